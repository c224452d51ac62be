//! Relative paths inside a share, which can never lead out of the folder they are joined to.

use super::name::{FileName, NameError, is_unsafe_char};
use std::fmt;
use std::path::{Component, Path, PathBuf};
use unicode_normalization::is_nfc;

/// Longest relative path in bytes: `PATH_MAX` of Linux, less room for the folder in front of it.
pub const PATH_LEN_MAX: usize = 3072;
/// Most components of a relative path. Programs that walk a folder stop at the same depth.
pub const COMPONENTS_MAX: usize = 256;

/// A relative path of 1 to 256 components joined with `/`, in Unicode Normalization Form C. No component is empty, `.`,
/// `..` or longer than 255 bytes, and none holds a control or bidirectional-format character.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RelPath(Box<str>);

impl RelPath {
    /// Takes a path from outside.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        if text.len() > PATH_LEN_MAX {
            return Err(NameError::TooLong(PATH_LEN_MAX));
        }
        let is_ascii = text.is_ascii();
        for (depth, component) in text.split('/').enumerate() {
            match component {
                _ if depth >= COMPONENTS_MAX => return Err(NameError::TooDeep(COMPONENTS_MAX)),
                "" => return Err(NameError::Empty),
                "." | ".." => return Err(NameError::Dots),
                long if long.len() > FileName::LEN_MAX => return Err(NameError::TooLong(FileName::LEN_MAX)),
                _ => {}
            }
            let found = match is_ascii {
                true => component.bytes().find(u8::is_ascii_control).map(char::from),
                false => component.chars().find(|&c| is_unsafe_char(c)),
            };
            if let Some(c) = found {
                return Err(NameError::Character(c));
            }
        }
        if !is_ascii && !is_nfc(text) {
            return Err(NameError::NotNormalized);
        }
        Ok(Self(text.into()))
    }

    /// The first component of every path of a share: the last component of its canonical name, without a suffix. So the
    /// content is the same wherever in a folder the share has its place.
    pub fn root_of(name: &FileName) -> Self {
        Self(name.base().leaf().into())
    }

    /// The path as text, components joined with `/`.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The first component: the name of the shared file or of the shared folder.
    pub fn root(&self) -> &str {
        self.0.split('/').next().unwrap_or(&self.0)
    }

    /// The path behind the first component; `None` for a path of one component.
    pub fn below_root(&self) -> Option<&str> {
        self.0.split_once('/').map(|(_, rest)| rest)
    }

    /// The path below `root` without its first component: where the file lies if the folder has another name. For a
    /// path of one component that is `root` itself.
    pub fn placed_in(&self, root: &Path) -> PathBuf {
        let path = match self.below_root() {
            Some(rest) => root.join(rest),
            None => root.to_path_buf(),
        };
        debug_assert!(path.strip_prefix(root).is_ok_and(|p| p.components().all(|c| matches!(c, Component::Normal(_)))));
        path
    }
}

impl fmt::Display for RelPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for RelPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_path_leads_out_of_its_folder() {
        for bad in ["", "/etc/passwd", "a//b", "a/", "../a", "a/../b", "a/..", "./a", "a/\0", "a/\u{202E}b"] {
            assert!(RelPath::parse(bad).is_err(), "{bad:?}");
        }
        assert!(RelPath::parse(&"a".repeat(256)).is_err());
        assert_eq!(RelPath::parse("d/Mu\u{308}ller"), Err(NameError::NotNormalized));
        assert!(RelPath::parse(&"a/".repeat(PATH_LEN_MAX)).is_err());
        let deep = |count: usize| RelPath::parse(&vec!["a"; count].join("/")).map(drop);
        assert_eq!(deep(COMPONENTS_MAX), Ok(()));
        assert_eq!(deep(COMPONENTS_MAX + 1), Err(NameError::TooDeep(COMPONENTS_MAX)));
    }

    #[test]
    fn every_name_of_a_share_is_a_path() {
        for name in ["f", "Müller~2", "a.b", "notes/2024/f~2", &"é".repeat(127)] {
            let name = FileName::parse(name).expect("a name");
            let root = RelPath::root_of(&name);
            assert_eq!(RelPath::parse(name.base().leaf()), Ok(root.clone()));
            assert_eq!(root.below_root(), None);
        }
    }

    #[test]
    fn a_path_is_placed_in_a_folder_of_any_name() {
        let path = RelPath::parse("docs/a b/c~.txt").expect("fine");
        assert_eq!(path.root(), "docs");
        assert_eq!(path.placed_in(Path::new("/out/docs~2")), Path::new("/out/docs~2/a b/c~.txt"));
        let single = RelPath::parse("f.bin").expect("fine");
        assert_eq!(single.placed_in(Path::new("/out/g.bin")), Path::new("/out/g.bin"));
    }
}
