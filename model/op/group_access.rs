//! How users get into a group.

use std::fmt;

/// How users get into a group when no owner adds them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
#[repr(u8)]
pub enum GroupAccess {
    /// Everybody may join at once.
    Open = 0,
    /// A user asks, and an owner decides.
    #[default]
    Ask = 1,
    /// Nobody joins or asks.
    Closed = 2,
}

impl GroupAccess {
    /// Every access, in the order of the numbers.
    pub const ALL: [Self; 3] = [Self::Open, Self::Ask, Self::Closed];

    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Ask => "ask",
            Self::Closed => "closed",
        }
    }

    /// The access with this name.
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
