//! Paths and names as text: as a person may see them, and as a record keeps them.

use crate::model::escape::escape;
use crate::model::name::is_unsafe_char;
use std::fmt;
use std::path::Path;

/// A path as a person may see it: what could change the terminal or the line is escaped.
pub(crate) struct Shown<'a>(pub &'a Path);

impl fmt::Display for Shown<'_> {
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

/// What `to_field` made the text of; `None` for what it never writes.
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
    fn a_path_cannot_move_the_cursor_or_end_the_line() {
        let path = Path::new("/tmp/a\x1b[2J\n\u{202E}b ü");
        assert_eq!(Shown(path).to_string(), "/tmp/a\\u{1b}[2J\\u{a}\\u{202e}b ü");
    }

    #[test]
    fn a_damaged_field_is_not_taken_for_a_path() {
        for bad in ["\\", "\\x", "\\x1", "\\xg1", "\\n", "\\x+1", "a\\xé"] {
            assert_eq!(from_field(bad), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_survive_a_record(bytes: Vec<u8>) {
            let text = to_field(&bytes);
            prop_assert!(!text.contains(['\t', '\n', '\r']));
            prop_assert_eq!(from_field(&text), Some(bytes));
        }
    }
}
