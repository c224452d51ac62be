//! Text that names files inside a shared folder: the name of the share, a `/`, and a pattern of paths.

use super::pattern::{NamePattern, PatternError};
use super::{FileName, NameError};
use std::fmt;
use unicode_normalization::UnicodeNormalization;

/// Longest text in bytes: the name of a share and a path in it.
const LEN_MAX: usize = 4096;

/// Why a text names no files inside a folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SharedPathError {
    TooLong,
    Name(NameError),
    Pattern(PatternError),
}

impl fmt::Display for SharedPathError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SharedPathError::TooLong => write!(f, "a path has at most {LEN_MAX} bytes"),
            SharedPathError::Name(error) => error.fmt(f),
            SharedPathError::Pattern(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for SharedPathError {}

/// A text such as `photos/2024/*.jpg`. Only the list of shares decides where the name of the share ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SharedPath {
    /// In Unicode's form C.
    text: String,
}

impl SharedPath {
    /// Whether a text names something inside a folder.
    pub fn is_one(text: &str) -> bool {
        text.contains('/')
    }

    pub fn new(text: &str) -> Result<Self, SharedPathError> {
        if text.len() > LEN_MAX {
            return Err(SharedPathError::TooLong);
        }
        let path = Self { text: text.nfc().collect() };
        let (name, below) = path.text.split_once('/').unwrap_or((&path.text, ""));
        FileName::parse(name).map_err(SharedPathError::Name)?;
        PathPattern::new(below).map_err(SharedPathError::Pattern)?;
        Ok(path)
    }

    /// The whole text as the name of a share, if it can be one.
    pub fn name(&self) -> Option<FileName> {
        FileName::parse(&self.text).ok()
    }

    /// The text as a pattern of share names. With a `/` at the end it matches all names that begin with the text.
    pub fn as_pattern(&self) -> Option<NamePattern> {
        let all = if self.text.ends_with('/') { "*" } else { "" };
        NamePattern::new(&format!("{}{all}", self.text)).ok()
    }

    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Each possible share name with the pattern of paths behind it, the longest name first.
    pub fn readings(&self) -> impl Iterator<Item = (FileName, PathPattern)> + '_ {
        let cuts = self.text.match_indices('/').map(|(at, _)| (&self.text[..at], &self.text[at + 1..])).rev();
        cuts.filter_map(|(name, below)| Some((FileName::parse(name).ok()?, PathPattern::new(below).ok()?)))
    }
}

/// A pattern of paths inside a folder. `*` never matches a `/`. A pattern that matches a folder matches everything in
/// that folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathPattern {
    text: String,
    components: Vec<Component>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Component {
    Exactly(String),
    Like(NamePattern),
}

impl PathPattern {
    /// Takes a pattern. A `/` at the end does not count. The empty pattern matches everything.
    pub fn new(text: &str) -> Result<Self, PatternError> {
        let text = text.strip_suffix('/').unwrap_or(text);
        if text.is_empty() {
            return Ok(Self { text: String::new(), components: Vec::new() });
        }
        let component = |text: &str| match text.contains(['*', '?', '[']) {
            true => NamePattern::new(text).map(Component::Like),
            // A name without pattern characters matches exactly itself.
            false if text.is_empty() => Err(PatternError::Empty),
            false => Ok(Component::Exactly(text.to_owned())),
        };
        let components = text.split('/').map(component).collect::<Result<_, _>>()?;
        Ok(Self { text: text.to_owned(), components })
    }

    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether the pattern matches a file, given its path below the folder.
    pub fn matches(&self, path: &str) -> bool {
        let mut names = path.split('/');
        self.components.iter().all(|component| match (component, names.next()) {
            (Component::Exactly(own), Some(name)) => own == name,
            (Component::Like(pattern), Some(name)) => pattern.matches(name),
            (_, None) => false,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn readings(text: &str) -> Vec<(String, PathPattern)> {
        let path = SharedPath::new(text).expect(text);
        path.readings().map(|(name, below)| (name.to_string(), below)).collect()
    }

    #[test]
    fn files_in_a_folder_are_meant_by_name_by_pattern_or_with_their_folder() {
        for (text, path, is) in [
            ("", "a.txt", true),
            ("a.txt", "a.txt", true),
            ("A.txt", "a.txt", false),
            ("a.txt", "sub/a.txt", false),
            ("sub", "sub/deep/a.txt", true),
            ("sub/", "sub/deep/a.txt", true),
            ("sub", "submarine/a.txt", false),
            ("*.txt", "a.txt", true),
            ("*.txt", "sub/a.txt", false),
            ("*/a.txt", "sub/a.txt", true),
            ("*/*", "a.txt", false),
            ("s?b/*.TXT", "sub/a.txt", false),
            ("[st]ub/*.txt", "sub/B.TXT", true),
            ("sub/a.txt/more", "sub/a.txt", false),
        ] {
            assert_eq!(PathPattern::new(text).expect(text).matches(path), is, "{text} {path}");
        }
        assert_eq!(PathPattern::new("a//b"), Err(PatternError::Empty));
        assert_eq!(PathPattern::new("/"), PathPattern::new(""));
    }

    #[test]
    fn the_share_is_named_before_some_slash() {
        let all = PathPattern::new("").expect("a pattern");
        assert_eq!(readings("photos/"), [("photos".to_owned(), all)]);
        let below = PathPattern::new("2024/*.jpg").expect("a pattern");
        let jpg = PathPattern::new("*.jpg").expect("a pattern");
        let both = [("\u{fc}/2024".to_owned(), jpg), ("\u{fc}".to_owned(), below)];
        assert_eq!(readings("u\u{308}/2024/*.jpg"), both, "the longest name first");
        let path = SharedPath::new("a/b").expect("a path");
        assert_eq!(path.name().as_ref().map(FileName::as_str), Some("a/b"));
        assert!(SharedPath::new("a/").is_ok_and(|path| path.name().is_none()));
        assert!(SharedPath::new("a/").expect("a path").as_pattern().is_some_and(|pattern| pattern.matches("a/b/c")));
        assert!(SharedPath::is_one("photos/") && !SharedPath::is_one("photos"));
        for wrong in
            ["/", "/a", "../a", "a//b", &format!("a/{}", "x*".repeat(300)), &format!("a/{}", "x/".repeat(3000))]
        {
            assert!(SharedPath::new(wrong).is_err(), "{wrong}");
        }
    }
}
