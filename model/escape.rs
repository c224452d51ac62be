//! Text from outside made fit to show or keep. No character in it moves the cursor, ends the line, turns the direction
//! of writing, hides, or piles up marks.

use super::name::{is_unsafe_char, seen};
use std::borrow::Cow;
use std::fmt;
use std::fmt::Write;
use std::path::Path;

/// The text, with every character that deceives a reader at a terminal written as `\u{..}`. Escaping twice changes
/// nothing more.
pub(crate) fn escape(text: &str) -> Cow<'_, str> {
    let is_printable = |byte| matches!(byte, b' '..=b'~');
    if text.bytes().all(is_printable) || seen(text).all(|(_, deceives)| !deceives) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 16);
    for (c, deceives) in seen(text) {
        if deceives {
            write!(shown, "{}", c.escape_unicode()).expect("writing to a string does not fail");
        } else {
            shown.push(c);
        }
    }
    Cow::Owned(shown)
}

/// The text escaped. If it is longer than `chars_max` characters, it is cut there and ends with `...`.
pub(crate) fn excerpt(text: &str, chars_max: usize) -> String {
    match text.char_indices().nth(chars_max) {
        Some((cut, _)) => format!("{}...", escape(&text[..cut])),
        None => escape(text).into_owned(),
    }
}

/// Longest text that [`quoted`] keeps whole, in characters.
const QUOTED_MAX: usize = 256;

/// Text as it stands behind `=` in a line of pairs: escaped, cut, and in quotes if it is ambiguous without them.
pub(crate) fn quoted(text: &str) -> String {
    let cut = text.char_indices().nth(QUOTED_MAX).map_or(text, |(at, _)| &text[..at]);
    let shown = escape(cut);
    let is_special = |c: char| matches!(c, '"' | '=' | '\\') || c.is_whitespace();
    match shown.is_empty() || shown.contains(is_special) {
        false => shown.into_owned(),
        true => format!("\"{}\"", shown.replace('\\', "\\\\").replace('"', "\\\"")),
    }
}

/// A path as a person may see it. Characters that could change the terminal or the line are escaped.
pub(crate) struct ShownPath<'a>(pub &'a Path);

impl fmt::Display for ShownPath<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&escape(&self.0.to_string_lossy()))
    }
}

/// Text for one field of a record: printable characters as they are, `\` and every other byte as `\xNN`.
pub(crate) fn to_field(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    let hex = |text: &mut String, bytes: &[u8]| bytes.iter().for_each(|byte| text.push_str(&format!("\\x{byte:02x}")));
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c == '\\' || is_unsafe_char(c) {
                true => hex(&mut text, c.encode_utf8(&mut [0; 4]).as_bytes()),
                false => text.push(c),
            }
        }
        hex(&mut text, chunk.invalid());
    }
    text
}

/// The bytes of which `to_field` made the text. `None` for a text that `to_field` never writes.
pub(crate) fn from_field(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((plain, escaped)) = rest.split_once('\\') {
        bytes.extend_from_slice(plain.as_bytes());
        let digits = escaped.strip_prefix('x')?.get(..2)?;
        if !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return None;
        }
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
        rest = &escaped[3..];
    }
    bytes.extend_from_slice(rest.as_bytes());
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn ordinary_text_is_shown_as_it_is() {
        for text in ["", "notes.pdf", "Übung 3", "日本語", "👩‍💻", r"back\slash \u{7}"] {
            assert!(matches!(escape(text), Cow::Borrowed(shown) if shown == text), "{text}");
        }
    }

    #[test]
    fn a_character_that_acts_on_a_terminal_is_spelled_out() {
        assert_eq!(escape("a\x1b[2Jb"), r"a\u{1b}[2Jb");
        assert_eq!(escape("a\r\nb\0"), r"a\u{d}\u{a}b\u{0}");
        assert_eq!(escape("gpj\u{202E}exe.\u{9b}"), r"gpj\u{202e}exe.\u{9b}");
        assert_eq!(escape(&escape("\u{2028}")), r"\u{2028}");
    }

    #[test]
    fn a_character_that_is_unseen_or_piles_up_is_spelled_out() {
        for (text, shown) in [
            ("a\u{200B}b", r"a\u{200b}b"),
            ("a\u{E0041}b", r"a\u{e0041}b"),
            ("a\u{FFF9}b\u{FFFB}", r"a\u{fff9}b\u{fffb}"),
            ("a\u{2800}b\u{3164}\u{AD}\u{2060}", r"a\u{2800}b\u{3164}\u{ad}\u{2060}"),
            ("a\u{200D}b", r"a\u{200d}b"),
            ("a\u{FE0F}b", r"a\u{fe0f}b"),
            ("a\u{301}\u{301}", "a\u{301}\\u{301}"),
            ("a\u{324}\u{302}\u{323}\u{301}\u{300}b", "a\u{324}\u{302}\u{323}\u{301}\\u{300}b"),
        ] {
            assert_eq!(escape(text), shown);
        }
        let zalgo = format!("a{}", "\u{324}\u{302}".repeat(10));
        assert!(escape(&zalgo).chars().filter(|c| !c.is_ascii()).count() <= 4, "{}", escape(&zalgo));
    }

    #[test]
    fn names_as_people_write_them_are_shown_as_they_are() {
        for name in [
            "👩\u{200D}💻 ❤\u{FE0F} 1\u{FE0F}\u{20E3}",
            "🏳\u{FE0F}\u{200D}🌈",
            "می\u{200C}خواهم",
            "क्\u{200D}ष",
            "རྒྱུ",
            "မြွှုံ့",
            "e\u{301}a\u{308}",
            "שָׁלוֹם",
            "Screenshot 9.41.00\u{202F}AM",
            "日本\u{3000}語",
        ] {
            assert_eq!(escape(name), name, "{}", name.escape_unicode());
        }
    }

    #[test]
    fn a_text_in_a_line_of_pairs_cannot_make_a_line_or_a_pair() {
        for (text, shown) in [
            ("bob", "bob"),
            ("", "\"\""),
            ("a b", "\"a b\""),
            ("a=b", "\"a=b\""),
            ("a\"b", r#""a\"b""#),
            ("a\nkind=login", r#""a\\u{a}kind=login""#),
            ("\u{202e}", r#""\\u{202e}""#),
        ] {
            assert_eq!(quoted(text), shown);
        }
        assert_eq!(quoted(&"é".repeat(1000)), "é".repeat(QUOTED_MAX));
    }

    #[test]
    fn a_long_text_is_cut_between_characters() {
        assert_eq!(excerpt("ééé", 3), "ééé");
        assert_eq!(excerpt("éééé", 3), "ééé...");
        assert_eq!(excerpt("\0\0\0", 1), r"\u{0}...");
    }

    #[test]
    fn a_path_cannot_move_the_cursor_or_end_the_line() {
        let path = Path::new("/tmp/a\x1b[2J\n\u{202E}b ü");
        assert_eq!(ShownPath(path).to_string(), "/tmp/a\\u{1b}[2J\\u{a}\\u{202e}b ü");
    }

    #[test]
    fn a_damaged_field_is_not_taken_for_a_path() {
        for bad in ["\\", "\\x", "\\x1", "\\xg1", "\\n", "\\x+1", "a\\xé"] {
            assert_eq!(from_field(bad), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn escaping_twice_changes_nothing_more(text: String) {
            let once = escape(&text).into_owned();
            prop_assert_eq!(escape(&once), once.as_str());
        }

        #[test]
        fn any_bytes_survive_a_record(bytes: Vec<u8>) {
            let text = to_field(&bytes);
            prop_assert!(!text.contains(['\t', '\n', '\r']));
            prop_assert_eq!(from_field(&text), Some(bytes));
        }
    }
}
