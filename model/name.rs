//! Names that people choose for users, groups and shared files. They are checked where they enter, and canonical from
//! then on.
//!
//! A canonical name is UTF-8 in Unicode Normalization Form C (UAX #15). It has no control, bidirectional-format or
//! line-separator character, no `/`, no space at either end, and is neither `.` nor `..`. The name of a shared file may
//! be several such names joined with `/`: its place in a folder.
//!
//! `~` is reserved. If two sides of a network partition both gave away a name, the later holder goes on as `name~2`. So
//! nobody may choose a name with `~` in it, and only that suffix form is canonical.

pub mod pattern;
pub mod shared_path;

use std::fmt;
use std::iter;
use std::sync::Arc;
use unicode_normalization::char::is_combining_mark;
use unicode_normalization::{UnicodeNormalization, is_nfc};
use unicode_security::{RestrictionLevel, RestrictionLevelDetection};

/// Longest user or group name that may be chosen, in bytes of UTF-8.
pub const USER_LEN_MAX: usize = 64;
/// Longest file name that may be chosen, in bytes of UTF-8; the limit of Linux file systems.
pub const FILE_LEN_MAX: usize = 255;
/// Room for the `~N` suffix behind a chosen name, in bytes.
const SUFFIX_LEN_MAX: usize = 11;

/// Why a text is not a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NameError {
    Empty,
    /// The text is longer than this many bytes.
    TooLong(usize),
    /// The path has more than this many components.
    TooDeep(usize),
    /// The text holds this character, which no name may hold.
    Character(char),
    /// The text begins or ends with white space.
    OuterSpace,
    Dots,
    /// The text is not in Normalization Form C.
    NotNormalized,
    /// `~` is reserved for the suffix of names that were given away twice.
    Tilde,
}

impl fmt::Display for NameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NameError::Empty => write!(f, "a name cannot be empty"),
            NameError::TooLong(max) => write!(f, "a name has at most {max} bytes"),
            NameError::TooDeep(max) => write!(f, "a path has at most {max} components"),
            NameError::Character(c) => write!(f, "a name cannot contain {}", c.escape_unicode()),
            NameError::OuterSpace => write!(f, "a name cannot begin or end with a space"),
            NameError::Dots => write!(f, "'.' and '..' are not names"),
            NameError::NotNormalized => write!(f, "the name is not in Unicode Normalization Form C"),
            NameError::Tilde => write!(f, "'~' is reserved and cannot be chosen in a name"),
        }
    }
}

impl std::error::Error for NameError {}

/// True for characters that can end a line, or change how the text around them is shown.
pub fn is_unsafe_char(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{061C}' | '\u{200E}' | '\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
        || matches!(c, '\u{2028}' | '\u{2029}' | '\u{FEFF}')
}

/// Most marks on one letter: of marks that fit any letter, and of marks of one script.
const MARKS_MAX: usize = 4;
const SCRIPT_MARKS_MAX: usize = 8;

/// The characters of a text, each with whether it deceives a reader at a terminal. A character deceives if it ends a
/// line, turns the direction, is invisible, or is one of too many marks on a letter. A joiner or selector deceives
/// where no emoji or script needs it.
pub(crate) fn seen(text: &str) -> impl Iterator<Item = (char, bool)> {
    let mut chars = text.chars().peekable();
    let (mut before, mut marks, mut tags) = (None, 0, 0);
    iter::from_fn(move || {
        let c = chars.next()?;
        let is_tag = tags > 0;
        tags = if is_tag { tags - 1 } else { tags_of_flag(c, chars.clone()) };
        let is_mark = is_combining_mark(c);
        marks = if is_mark { marks + 1 } else { 0 };
        let most = if bears_any_letter(c) { MARKS_MAX } else { SCRIPT_MARKS_MAX };
        let piled = is_mark && (before == Some(c) || marks > most);
        let hidden = is_invisible(c) && !is_tag && !is_needed(c, before, chars.peek().copied());
        before = Some(c);
        Some((c, is_unsafe_char(c) || piled || hidden))
    })
}

/// How many tag characters behind a character make it the flag of England, Scotland or Wales. Unicode has no other
/// flags of this kind.
fn tags_of_flag(c: char, behind: impl Iterator<Item = char>) -> usize {
    let tags: String = behind.take(6).collect();
    let is_flag = |region: &&str| {
        let tag = |letter| char::from_u32(0xE0000 + u32::from(letter));
        tags.chars().eq(region.chars().filter_map(tag).chain(['\u{E007F}']))
    };
    if c == '\u{1F3F4}' && ["gbeng", "gbsct", "gbwls"].iter().any(is_flag) { 6 } else { 0 }
}

/// Whether a mark may stand on letters of all scripts.
fn bears_any_letter(mark: char) -> bool {
    matches!(mark, '\u{300}'..='\u{36F}' | '\u{483}'..='\u{489}' | '\u{1AB0}'..='\u{1AFF}' | '\u{1DC0}'..='\u{1DFF}')
        || matches!(mark, '\u{20D0}'..='\u{20FF}' | '\u{FE20}'..='\u{FE2F}')
}

/// Whether a terminal shows nothing for a character, or a gap. These are the property Default_Ignorable_Code_Point,
/// fillers, blanks of unusual width, marks of annotations, and code points that are no characters.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{AD}' | '\u{34F}' | '\u{115F}' | '\u{1160}' | '\u{1680}' | '\u{17B4}' | '\u{17B5}')
        || matches!(c, '\u{180B}'..='\u{180F}' | '\u{2000}'..='\u{200D}' | '\u{205F}'..='\u{206F}' | '\u{2800}')
        || matches!(c, '\u{3164}' | '\u{FE00}'..='\u{FE0F}' | '\u{FFA0}' | '\u{FFF0}'..='\u{FFFC}')
        || matches!(c, '\u{13430}'..='\u{1343F}' | '\u{1BCA0}'..='\u{1BCA3}' | '\u{1D173}'..='\u{1D17A}')
        || matches!(c, '\u{FDD0}'..='\u{FDEF}' | '\u{E0000}'..='\u{E0FFF}')
        || u32::from(c) & 0xFFFE == 0xFFFE
}

/// Whether an invisible character has a use between these two characters.
fn is_needed(c: char, before: Option<char>, after: Option<char>) -> bool {
    let Some(before) = before else { return false };
    match c {
        '\u{FE0E}' | '\u{FE0F}' => {
            is_pictograph(before) || matches!(before, '#' | '*' | '0'..='9') && after == Some('\u{20E3}')
        }
        // Variants of an ideograph, which occur in people's names.
        '\u{FE00}'..='\u{FE02}' | '\u{E0100}'..='\u{E01EF}' => is_ideograph(before),
        '\u{180B}'..='\u{180F}' => matches!(before, '\u{1820}'..='\u{18AA}'),
        '\u{200D}' if is_pictograph(before) || before == '\u{FE0F}' => after.is_some_and(is_pictograph),
        '\u{200C}' | '\u{200D}' => joins(before) && after.is_some_and(joins),
        _ => false,
    }
}

/// Whether a character is a picture, or a symbol of a block with pictures in it.
fn is_pictograph(c: char) -> bool {
    matches!(c, '\u{A9}' | '\u{AE}' | '\u{203C}'..='\u{2049}' | '\u{2122}' | '\u{2139}' | '\u{2190}'..='\u{27BF}')
        || matches!(c, '\u{2934}'..='\u{2935}' | '\u{2B05}'..='\u{2B55}' | '\u{3030}' | '\u{303D}')
        || matches!(c, '\u{3297}' | '\u{3299}' | '\u{1F000}'..='\u{1FAFF}')
}

/// The property Unified_Ideograph, without the twelve such characters among the compatibility ideographs.
fn is_ideograph(c: char) -> bool {
    matches!(c, '\u{3400}'..='\u{4DBF}' | '\u{4E00}'..='\u{9FFF}' | '\u{20000}'..='\u{2FA1F}' | '\u{30000}'..='\u{323AF}')
}

/// Whether a letter is of a script in which joiners change the shape of letters. These are Arabic, Syriac, N'Ko, and
/// the scripts of India, Myanmar and the Khmer.
fn joins(c: char) -> bool {
    matches!(c, '\u{620}'..='\u{7FF}' | '\u{8A0}'..='\u{DFF}' | '\u{1000}'..='\u{109F}' | '\u{1780}'..='\u{17D3}')
}

/// Whether a name is plain enough for people to tell users and groups apart. It is "moderately restrictive" in the
/// words of UTS 39, except that any ASCII sign may occur, and no character deceives. Only a choice of a name asks this,
/// and never the decoder.
fn is_plain(name: &str) -> bool {
    let letters = name.chars().map(|c| if c.is_ascii() && !c.is_ascii_alphanumeric() { '_' } else { c });
    let letters: String = letters.collect();
    letters.check_restriction_level(RestrictionLevel::ModeratelyRestrictive)
        && seen(name).all(|(_, deceives)| !deceives)
}

/// Splits `name~N` into `name` and `N`; `N` is a decimal number from 2 on without leading zeros.
fn split_suffix(text: &str) -> Result<(&str, Option<u32>), NameError> {
    let Some((base, digits)) = text.split_once('~') else {
        return Ok((text, None));
    };
    let canonical = !digits.is_empty() && !digits.starts_with('0') && digits.bytes().all(|b| b.is_ascii_digit());
    match digits.parse::<u32>() {
        Ok(n) if canonical && n >= 2 => Ok((base, Some(n))),
        _ => Err(NameError::Tilde),
    }
}

/// Whether a name may contain the path of a folder.
#[derive(Clone, Copy)]
enum Shape {
    Single,
    Path,
}

fn check(text: &str, len_max: usize, shape: Shape) -> Result<(), NameError> {
    if text.len() > len_max + SUFFIX_LEN_MAX {
        return Err(NameError::TooLong(len_max));
    }
    let (base, _) = split_suffix(text)?;
    if base.len() > len_max {
        return Err(NameError::TooLong(len_max));
    }
    match shape {
        Shape::Single => check_component(base)?,
        Shape::Path => base.split('/').try_for_each(check_component)?,
    }
    if !is_nfc(base) {
        return Err(NameError::NotNormalized);
    }
    Ok(())
}

fn check_component(text: &str) -> Result<(), NameError> {
    if text.is_empty() {
        return Err(NameError::Empty);
    }
    if text == "." || text == ".." {
        return Err(NameError::Dots);
    }
    if let Some(c) = text.chars().find(|&c| c == '/' || is_unsafe_char(c)) {
        return Err(NameError::Character(c));
    }
    if text.trim() != text {
        return Err(NameError::OuterSpace);
    }
    Ok(())
}

macro_rules! checked_name {
    ($(#[$doc:meta])* $name:ident, $len_max:expr, $shape:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Longest chosen name in bytes.
            pub const LEN_MAX: usize = $len_max;
            /// Longest canonical name in bytes, with the suffix of a name that was given away twice.
            pub const WIRE_LEN_MAX: usize = $len_max + SUFFIX_LEN_MAX;

            /// Takes a canonical name, in the form that the wire carries.
            pub fn parse(text: &str) -> Result<Self, NameError> {
                check(text, $len_max, $shape)?;
                Ok(Self(text.into()))
            }

            /// Takes a name as a person typed it: normalized first, then checked.
            pub fn from_input(text: &str) -> Result<Self, NameError> {
                Self::parse(&text.nfc().collect::<String>())
            }

            /// Whether a user may choose this name: it has no reserved suffix.
            pub fn is_chosen(&self) -> bool {
                !self.0.contains('~')
            }

            /// Whether people can tell this name from others: it has one alphabet beside the Latin one at most, and no
            /// invisible character. Users and groups choose only such names.
            pub fn is_plain(&self) -> bool {
                is_plain(&self.0)
            }

            pub fn as_str(&self) -> &str {
                &self.0
            }

            /// The chosen name, without the suffix of a name that was taken before.
            pub fn base(&self) -> Self {
                match self.0.split_once('~') {
                    Some((base, _)) => Self(base.into()),
                    None => self.clone(),
                }
            }

            /// `base~n`: the new name of its holder where the name was taken before.
            pub fn with_suffix(&self, n: u32) -> Self {
                debug_assert!(n >= 2, "the first holder keeps the plain name");
                Self(format!("{}~{n}", self.base().0).into())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }
    };
}

checked_name!(
    /// The name of an account.
    UserId,
    USER_LEN_MAX,
    Shape::Single
);
checked_name!(
    /// The name of a group.
    GroupId,
    USER_LEN_MAX,
    Shape::Single
);
checked_name!(
    /// The name under which a file or folder is shared in a group: a path component, or several joined with `/`. Joined
    /// to a folder, it never leads out of that folder.
    FileName,
    FILE_LEN_MAX,
    Shape::Path
);

impl FileName {
    /// The name of the file or folder itself: the last component.
    pub fn leaf(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or(&self.0)
    }

    /// The folder in which the file has its place; `None` without one.
    pub fn folder(&self) -> Option<&str> {
        self.0.rsplit_once('/').map(|(folder, _)| folder)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn user(name: &str) -> UserId {
        UserId::parse(name).expect(name)
    }

    pub(crate) fn group(name: &str) -> GroupId {
        GroupId::parse(name).expect(name)
    }

    pub(crate) fn file(name: &str) -> FileName {
        FileName::parse(name).expect(name)
    }

    #[test]
    fn ordinary_names_are_kept_as_they_are() {
        for text in ["alice", "a b", "Übung 3.pdf", "тест", "日本語", "it's", "-x", "a.b.c", "👩‍💻"] {
            assert_eq!(FileName::parse(text).expect(text).as_str(), text);
        }
    }

    #[test]
    fn forms_of_ideographs_and_flags_are_shown_as_they_are_and_tags_and_selectors_elsewhere_are_not() {
        let deceives = |text: &str| seen(text).any(|(_, deceives)| deceives);
        let flag = |region: &str| {
            let tags = region.bytes().filter_map(|byte| char::from_u32(0xE0000 + u32::from(byte)));
            iter::once('\u{1F3F4}').chain(tags).chain(['\u{E007F}']).collect::<String>()
        };
        for shown in ["葛\u{E0100}城.pdf", "\u{2A700}\u{FE00}", &flag("gbeng"), &format!("{}b", flag("gbsct"))] {
            assert!(!deceives(shown), "{}", shown.escape_unicode());
        }
        let open = flag("gbeng").replace('\u{E007F}', "b");
        for hidden in [
            "a\u{E0100}",
            "葛\u{E0100}\u{E0101}",
            &flag("rm -r"),
            &flag(""),
            &open,
            &format!("a{}", &flag("gbeng")[4..]),
        ] {
            assert!(deceives(hidden), "{}", hidden.escape_unicode());
        }
    }

    #[test]
    fn decomposed_input_becomes_the_composed_name() {
        let typed = "Mu\u{0308}ller";
        assert_eq!(UserId::parse(typed), Err(NameError::NotNormalized));
        assert_eq!(UserId::from_input(typed).expect("normalizes").as_str(), "Müller");
    }

    #[test]
    fn a_file_name_that_could_mislead_or_escape_is_refused() {
        for (text, error) in [
            ("", NameError::Empty),
            (".", NameError::Dots),
            ("..", NameError::Dots),
            ("../x", NameError::Dots),
            ("a/../x", NameError::Dots),
            ("a/.", NameError::Dots),
            ("/a", NameError::Empty),
            ("a/", NameError::Empty),
            ("a//b", NameError::Empty),
            ("a /b", NameError::OuterSpace),
            ("a~2/b", NameError::Tilde),
            ("a\0b", NameError::Character('\0')),
            ("a\nb", NameError::Character('\n')),
            ("a\u{202E}b", NameError::Character('\u{202E}')),
            (" a", NameError::OuterSpace),
            ("a ", NameError::OuterSpace),
            ("a~", NameError::Tilde),
            ("a~1", NameError::Tilde),
            ("a~02", NameError::Tilde),
            ("a~2~3", NameError::Tilde),
            ("~2", NameError::Empty),
        ] {
            assert_eq!(FileName::parse(text), Err(error), "{text:?}");
        }
    }

    #[test]
    fn a_shared_file_may_have_a_place_in_a_folder_and_users_and_groups_have_none() {
        let name = file("notes/2024/a b.pdf~2");
        assert_eq!((name.leaf(), name.folder()), ("a b.pdf~2", Some("notes/2024")));
        assert_eq!(name.base(), file("notes/2024/a b.pdf"));
        assert_eq!((file("a").leaf(), file("a").folder()), ("a", None));
        assert_eq!(UserId::parse("a/b"), Err(NameError::Character('/')));
        assert_eq!(GroupId::parse("a/b"), Err(NameError::Character('/')));
    }

    #[test]
    fn people_and_groups_are_told_apart_by_plain_names() {
        for plain in [
            "alice",
            "Mary Ann",
            "it's",
            "a+b@c",
            "#1 (new)!",
            "Müller",
            "тест",
            "日本語",
            "ひらがな and カタカナ",
            "김 Lee",
            "李明",
            "สวัสดี",
            "नमस्ते",
            "שלום",
            "سلام",
            "Việt Nam",
            "Ελένη",
        ] {
            assert!(user(plain).is_plain(), "{plain}");
        }
        for misleading in [
            "p\u{430}ypal",
            "al\u{456}ce",
            "Ωmega",
            "a\u{200B}b",
            "ali\u{E0041}ce",
            "ali\u{FFF9}ce",
            "a\u{2800}b",
            "a\u{3164}b",
            "a\u{AD}b",
            "a\u{200D}b",
            "a\u{FE0F}b",
            "ａｌｉｃｅ",
            "\u{1D41A}lice",
            "\u{1F600}",
            "葛\u{E0100}",
            "q\u{308}\u{308}",
            "q\u{30A}\u{308}\u{304}\u{301}\u{300}",
        ] {
            assert!(!group(misleading).is_plain(), "{}", misleading.escape_unicode());
        }
        assert!(!user(&format!("zalgq{}", "\u{308}\u{302}".repeat(10))).is_plain());
    }

    #[test]
    fn length_is_counted_in_bytes_and_the_suffix_has_room() {
        let longest = "é".repeat(USER_LEN_MAX / 2);
        assert!(UserId::parse(&longest).is_ok());
        assert_eq!(UserId::parse(&format!("{longest}x")), Err(NameError::TooLong(USER_LEN_MAX)));
        let name = UserId::parse(&longest).expect("fits");
        let renamed = UserId::parse(name.with_suffix(u32::MAX).as_str()).expect("the suffix fits");
        assert!(!renamed.is_chosen());
        assert_eq!(renamed.base(), name);
    }
}
