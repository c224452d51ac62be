//! The entries of a folder that are not shared, and the line that tells of them.

use crate::model::escape::ShownPath;
use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

/// Why an entry of a folder is not shared. The order is that of the message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum LeftOutKind {
    /// A symbolic link, which is not followed because it may lead out of the folder.
    Link,
    /// A folder without any file or folder. A share consists of files.
    EmptyFolder,
    /// Neither a file nor a folder nor a link.
    Special,
    /// The system does not let this user read it.
    Unreadable,
    /// Its name is not UTF-8, could mislead its readers or is too long; or it lies too deep.
    Name,
    /// Its name is that of its neighbour in another Unicode form.
    SameName,
    /// It delivers another number of bytes than its reported size.
    Sizeless,
}

impl LeftOutKind {
    /// The words for one such entry and for several.
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

/// The entries of a folder that are not shared, for a message to the user.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct LeftOut {
    /// The number of each kind that occurs.
    counts: BTreeMap<LeftOutKind, u64>,
    /// The first of them, as an example.
    first: Option<PathBuf>,
}

impl LeftOut {
    /// Whether the whole folder is shared.
    pub fn is_empty(&self) -> bool {
        self.first.is_none()
    }

    /// Whether only empty folders are left out.
    pub(crate) fn is_empty_folders(&self) -> bool {
        self.counts.keys().all(|kind| *kind == LeftOutKind::EmptyFolder)
    }

    /// Counts an entry that is not shared.
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
