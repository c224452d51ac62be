//! Bytes in a form that people can read: hexadecimal digits, `"text"` for its UTF-8, `ff*20` for twenty equal bytes. A
//! comment begins with `#`.

/// The bytes that a text denotes.
pub(super) fn bytes(text: &str) -> Vec<u8> {
    text.lines().flat_map(|line| line_bytes(line, line)).collect()
}

fn line_bytes(line: &str, rest: &str) -> Vec<u8> {
    let rest = rest.trim_start();
    if rest.is_empty() || rest.starts_with('#') {
        return Vec::new();
    }
    let (mut bytes, behind) = match rest.strip_prefix('"') {
        Some(quoted) => {
            let (text, behind) = quoted.split_once('"').unwrap_or_else(|| panic!("no closing quote: {line}"));
            (text.as_bytes().to_vec(), behind)
        }
        None => {
            let (word, behind) = rest.split_at(rest.find([' ', '#']).unwrap_or(rest.len()));
            (word_bytes(word, line), behind)
        }
    };
    bytes.extend(line_bytes(line, behind));
    bytes
}

fn word_bytes(word: &str, line: &str) -> Vec<u8> {
    let (digits, times) = match word.split_once('*') {
        Some((digits, times)) => (digits, times.parse().unwrap_or_else(|_| panic!("no number of times: {line}"))),
        None => (word, 1),
    };
    assert!(digits.len() % 2 == 0 && digits.is_ascii(), "half a byte: {line}");
    let byte = |at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap_or_else(|_| panic!("no digits: {line}"));
    (0..digits.len()).step_by(2).map(byte).collect::<Vec<_>>().repeat(times)
}

/// Bytes as digits, to show a difference.
pub(super) fn digits(bytes: &[u8]) -> String {
    let groups: Vec<String> = bytes.chunks(4).map(|four| four.iter().map(|b| format!("{b:02x}")).collect()).collect();
    groups.join(" ")
}

#[test]
fn annotated_bytes_are_digits_texts_and_repetitions() {
    assert_eq!(bytes("00 0102 \"a b\" # ff\n\n  # all comment\nff*3 00"), b"\x00\x01\x02a b\xff\xff\xff\x00");
    assert_eq!(bytes("0001*2"), [0, 1, 0, 1]);
}
