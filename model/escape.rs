//! Text from outside made fit to be shown: no character of it moves the cursor, ends the line or turns the direction.

use super::name::is_unsafe_char;
use std::borrow::Cow;
use std::fmt::Write;

/// The text with every control, bidirectional-format and line-separator character written as `\u{..}`. Escaping twice
/// changes nothing more.
pub(crate) fn escape(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_unsafe_char) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if is_unsafe_char(c) {
            write!(shown, "{}", c.escape_unicode()).expect("writing to a string does not fail");
        } else {
            shown.push(c);
        }
    }
    Cow::Owned(shown)
}

/// The text escaped and, where it is longer than `chars_max` characters, cut there with `...` behind it.
pub(crate) fn excerpt(text: &str, chars_max: usize) -> String {
    match text.char_indices().nth(chars_max) {
        Some((cut, _)) => format!("{}...", escape(&text[..cut])),
        None => escape(text).into_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinary_text_is_shown_as_it_is() {
        for text in ["", "notes.pdf", "Übung 3", "日本語", "👩‍💻", r"back\slash \u{7}"] {
            assert!(matches!(escape(text), Cow::Borrowed(shown) if shown == text), "{text}");
        }
    }

    #[test]
    fn what_would_act_on_a_terminal_is_spelled_out() {
        assert_eq!(escape("a\x1b[2Jb"), r"a\u{1b}[2Jb");
        assert_eq!(escape("a\r\nb\0"), r"a\u{d}\u{a}b\u{0}");
        assert_eq!(escape("gpj\u{202E}exe.\u{9b}"), r"gpj\u{202e}exe.\u{9b}");
        assert_eq!(escape(&escape("\u{2028}")), r"\u{2028}");
    }

    #[test]
    fn a_long_text_is_cut_between_characters() {
        assert_eq!(excerpt("ééé", 3), "ééé");
        assert_eq!(excerpt("éééé", 3), "ééé...");
        assert_eq!(excerpt("\0\0\0", 1), r"\u{0}...");
    }
}
