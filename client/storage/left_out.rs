//! What of a folder is not shared, and the line that tells it.

use crate::model::escape::ShownPath;
use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

/// Why something in a folder is not shared. In the order in which the kinds are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum LeftOutKind {
    /// A symbolic link. It may lead out of the folder, so it is not followed.
    Link,
    /// A folder that holds neither file nor folder. A share consists of files.
    EmptyFolder,
    /// Neither a file nor a folder nor a link.
    Special,
    /// The system does not let this user read it.
    Unreadable,
    /// Its name is not UTF-8, could mislead where it is shown, or is too long, or it lies too deep.
    Name,
    /// Its name is that of something beside it in another Unicode form.
    SameName,
    /// It gives another number of bytes than it says that it has.
    Sizeless,
}

impl LeftOutKind {
    /// One of it and several of it, in words.
    fn words(self) -> (&'static str, &'static str) {
        match self {
            LeftOutKind::Link => ("symbolic link", "symbolic links"),
            LeftOutKind::EmptyFolder => ("empty folder", "empty folders"),
            LeftOutKind::Special => ("socket, pipe or device", "sockets, pipes or devices"),
            LeftOutKind::Unreadable => ("unreadable file or folder", "unreadable files or folders"),
            LeftOutKind::Name => ("name that cannot be shared", "names that cannot be shared"),
            LeftOutKind::SameName => ("second spelling of a name", "second spellings of a name"),
            LeftOutKind::Sizeless => ("file without a size of its own", "files without a size of their own"),
        }
    }
}

/// What of a folder is not shared, for a word to the user.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct LeftOut {
    /// How many of each kind, where there are any.
    counts: BTreeMap<LeftOutKind, u64>,
    /// The first of them, as an example.
    first: Option<PathBuf>,
}

impl LeftOut {
    /// Whether all of the folder is shared.
    pub fn is_empty(&self) -> bool {
        self.first.is_none()
    }

    /// Whether empty folders are all that is not shared.
    pub(crate) fn is_empty_folders(&self) -> bool {
        self.counts.keys().all(|kind| *kind == LeftOutKind::EmptyFolder)
    }

    /// Counts something that is not shared.
    pub(crate) fn add(&mut self, kind: LeftOutKind, path: PathBuf) {
        *self.counts.entry(kind).or_default() += 1;
        self.first.get_or_insert(path);
    }
}

impl fmt::Display for LeftOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not shared: ")?;
        let mut counted = self.counts.iter().peekable();
        let mut before = "";
        while let Some((kind, count)) = counted.next() {
            let (one, many) = kind.words();
            let before = match counted.peek() {
                None if !before.is_empty() => " and ",
                _ => std::mem::replace(&mut before, ", "),
            };
            write!(f, "{before}{count} {}", if *count == 1 { one } else { many })?;
        }
        match &self.first {
            Some(first) => write!(f, ", such as {}", ShownPath(first)),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_is_counted_in_one_line() {
        let told = |kinds: &[LeftOutKind]| {
            let mut left_out = LeftOut::default();
            kinds.iter().for_each(|kind| left_out.add(*kind, PathBuf::from("/d/first")));
            left_out.to_string()
        };
        use LeftOutKind::*;
        assert_eq!(told(&[Link]), "not shared: 1 symbolic link, such as /d/first");
        assert_eq!(
            told(&[Special, Link, Special]),
            "not shared: 1 symbolic link and 2 sockets, pipes or devices, such as /d/first"
        );
        let all = told(&[Link, EmptyFolder, Special, Unreadable, Name, SameName, Sizeless]);
        let words = "1 unreadable file or folder, 1 name that cannot be shared, 1 second spelling of a name and 1 file";
        assert!(all.contains(words) && !all.contains('\n'), "{all}");
    }
}
