//! Who gets into a group.

use std::fmt;

/// Who gets into a group besides those whom an owner adds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
#[repr(u8)]
pub enum GroupAccess {
    /// Whoever wants to.
    Open = 0,
    /// Whoever asks and is let in by an owner.
    #[default]
    Ask = 1,
    /// Nobody, and nobody can ask.
    Closed = 2,
}

impl GroupAccess {
    /// Every one, in the order of the numbers.
    pub const ALL: [Self; 3] = [Self::Open, Self::Ask, Self::Closed];

    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Ask => "ask",
            Self::Closed => "closed",
        }
    }

    /// The one of this name.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|access| access.as_str() == text)
    }
}

impl fmt::Display for GroupAccess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_has_a_name_and_a_number() {
        for access in GroupAccess::ALL {
            assert_eq!(GroupAccess::parse(&access.to_string()), Some(access));
            assert_eq!(GroupAccess::ALL[access as usize], access);
        }
        assert_eq!((GroupAccess::parse("Open"), GroupAccess::default()), (None, GroupAccess::Ask));
    }
}
