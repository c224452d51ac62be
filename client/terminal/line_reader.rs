//! The lines of a script: bytes from any source, cut at line ends, with a limit on their length.

use std::io::{self, Read};

/// The longest line in bytes, without its line end.
pub(crate) const LINE_LEN_MAX: usize = 64 * 1024;

/// A byte order mark, with which some editors begin a text. It has no meaning, and is no part of the first line.
const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

/// The result of reading a line.
#[derive(Debug)]
pub(crate) enum LineRead {
    /// A line without its line end (`\n` or `\r\n`).
    Text(String),
    /// A line that is not valid UTF-8; its bytes are gone.
    NotUtf8,
    /// A line longer than 64 KiB; its bytes are gone.
    TooLong,
    /// The end of the source.
    End,
    /// The source cannot be read.
    Broken(io::Error),
}

/// Cuts a source into lines. Bytes behind the last line end are a line too.
pub(crate) struct LineReader<R> {
    from: R,
    /// The read bytes: `buffer[start..end]` is not cut yet.
    buffer: Box<[u8]>,
    start: usize,
    end: usize,
    /// Whether the current line was too long and has lost its beginning.
    too_long: bool,
    number: u64,
}

impl<R: Read> LineReader<R> {
    /// The lines of `from`.
    pub(crate) fn new(from: R) -> Self {
        // The longest line with its mark and line end, and one more byte that shows an even longer line.
        let len = BYTE_ORDER_MARK.len() + LINE_LEN_MAX + 3;
        Self { from, buffer: vec![0; len].into(), start: 0, end: 0, too_long: false, number: 0 }
    }

    /// The number of the last returned line, from 1.
    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// Whether the next line is already in the buffer.
    pub(crate) fn holds_line(&self) -> bool {
        self.buffer[self.start..self.end].contains(&b'\n')
    }

    /// The next line. An error of the source ends the call, but not the source: the bytes before it are kept.
    pub(crate) fn next_line(&mut self) -> LineRead {
        let mut seen = 0;
        loop {
            let held = &self.buffer[self.start..self.end];
            if let Some(len) = held[seen..].iter().position(|&byte| byte == b'\n').map(|at| seen + at) {
                return self.cut(len, 1);
            }
            if held.len() == self.buffer.len() {
                self.too_long = true;
                (self.start, self.end) = (0, 0);
            }
            self.make_room();
            seen = self.end;
            match self.from.read(&mut self.buffer[self.end..]) {
                Ok(0) if seen == 0 && !self.too_long => return LineRead::End,
                Ok(0) => return self.cut(seen, 0),
                Ok(len) => self.end += len,
                Err(error) => return LineRead::Broken(error),
            }
        }
    }

    fn make_room(&mut self) {
        if self.start > 0 {
            self.buffer.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
    }

    /// Takes a line of `len` bytes and its line end out of the buffer.
    fn cut(&mut self, len: usize, line_end_len: usize) -> LineRead {
        let bytes = &self.buffer[self.start..self.start + len];
        let bytes = bytes.strip_suffix(b"\r").unwrap_or(bytes);
        let mark = Some(BYTE_ORDER_MARK).filter(|_| self.number == 0);
        let bytes = mark.and_then(|mark| bytes.strip_prefix(mark)).unwrap_or(bytes);
        let line = if self.too_long || bytes.len() > LINE_LEN_MAX {
            LineRead::TooLong
        } else {
            std::str::from_utf8(bytes).map_or(LineRead::NotUtf8, |text| LineRead::Text(text.to_owned()))
        };
        self.start += len + line_end_len;
        self.too_long = false;
        self.number += 1;
        line
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns its bytes in portions of a given length.
    struct Portions<'a>(&'a [u8], usize);

    impl Read for Portions<'_> {
        fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
            let len = self.1.min(buf.len());
            (&mut self.0).take(len as u64).read(buf)
        }
    }

    fn all(bytes: &[u8], portion: usize) -> Vec<String> {
        let mut lines = LineReader::new(Portions(bytes, portion));
        let mut said = Vec::new();
        loop {
            said.push(match lines.next_line() {
                LineRead::Text(text) if text.len() > 100 => format!("{} bytes", text.len()),
                LineRead::Text(text) => text,
                LineRead::NotUtf8 => "not UTF-8".to_owned(),
                LineRead::TooLong => "too long".to_owned(),
                LineRead::End => return said,
                LineRead::Broken(error) => panic!("{error}"),
            });
        }
    }

    #[test]
    fn lines_are_the_same_in_whatever_portions_they_come() {
        for portion in [1, 2, 3, 1 << 20] {
            assert_eq!(all(b"", portion), [""; 0]);
            assert_eq!(all(b"a\nbc\r\n\nd", portion), ["a", "bc", "", "d"]);
            assert_eq!(all("ä\n日本\n".as_bytes(), portion), ["ä", "日本"]);
            assert_eq!(all(b"\n", portion), [""]);
            assert_eq!(all(b"a\r\r\n", portion), ["a\r"]);
        }
    }

    #[test]
    fn a_line_at_the_limit_is_read_and_one_over_it_is_passed_over() {
        for portion in [1000, 1 << 20] {
            for end in ["\n", "\r\n"] {
                let longest = format!("{}{end}b{end}", "a".repeat(LINE_LEN_MAX));
                assert_eq!(all(longest.as_bytes(), portion), ["65536 bytes", "b"]);
                let over = format!("{}{end}b{end}", "a".repeat(LINE_LEN_MAX + 1));
                assert_eq!(all(over.as_bytes(), portion), ["too long", "b"]);
            }
            let far_over = format!("x\n{}\nb", "a".repeat(10 * LINE_LEN_MAX));
            assert_eq!(all(far_over.as_bytes(), portion), ["x", "too long", "b"]);
            assert_eq!(all("a".repeat(3 * LINE_LEN_MAX).as_bytes(), portion), ["too long"]);
            assert_eq!(all("a".repeat(LINE_LEN_MAX + 3).as_bytes(), portion), ["too long"]);
        }
    }

    #[test]
    fn a_byte_order_mark_is_passed_over_at_the_beginning_and_nowhere_else() {
        for portion in [1, 2, 1 << 20] {
            assert_eq!(all("\u{feff}a\r\n\u{feff}b\n".as_bytes(), portion), ["a", "\u{feff}b"]);
            assert_eq!(all("\u{feff}".as_bytes(), portion), [""]);
            assert_eq!(all("\u{feff}\u{feff}a".as_bytes(), portion), ["\u{feff}a"]);
            assert_eq!(all(b"\xef\xbba", portion), ["not UTF-8"]);
            let longest = format!("\u{feff}{}\r\nb", "a".repeat(LINE_LEN_MAX));
            assert_eq!(all(longest.as_bytes(), portion), ["65536 bytes", "b"]);
        }
    }

    #[test]
    fn bytes_that_are_not_utf8_cost_their_line_only() {
        assert_eq!(all(b"a\n\xff\xfe\nb\n\xe6\x97", 2), ["a", "not UTF-8", "b", "not UTF-8"]);
    }

    #[test]
    fn lines_are_counted() {
        let mut lines = LineReader::new(&b"a\n\xff\nb"[..]);
        while !matches!(lines.next_line(), LineRead::End) {}
        assert_eq!(lines.number(), 3);
    }

    #[test]
    fn an_error_of_the_source_keeps_what_was_read() {
        struct Once(Vec<io::Result<&'static [u8]>>);
        impl Read for Once {
            fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
                let bytes = self.0.pop().unwrap_or(Ok(b""))?;
                buf[..bytes.len()].copy_from_slice(bytes);
                Ok(bytes.len())
            }
        }
        let source = Once(vec![Ok(b"b\n"), Err(io::ErrorKind::Interrupted.into()), Ok(b"a")]);
        let mut lines = LineReader::new(source);
        assert!(matches!(lines.next_line(), LineRead::Broken(_)));
        assert!(matches!(lines.next_line(), LineRead::Text(text) if text == "ab"));
    }
}
