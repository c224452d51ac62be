//! A long list on the screen: one windowful at a time, and the next one after a key.

use super::interrupt::Interrupt;
use super::window::window;
use super::writer::TerminalWriter;
use crate::model::escape::escape;
use crate::sys::echo_off::{EchoOff, Typing};
use std::io;
use std::time::Duration;
use unicode_width::UnicodeWidthStr;

/// The line below a windowful.
const MORE: &str = "-- any key for more, q to stop --";
/// The length of one wait for a key.
const PAUSE: Duration = Duration::from_secs(60);

/// Shows a list as it comes. For a person at a screen, it stops below each windowful.
pub(crate) struct Pager<'a> {
    terminal: &'a TerminalWriter,
    interrupt: &'a Interrupt,
    /// The rows that are left in the window; `None` without a screen or a person.
    left: Option<usize>,
}

impl<'a> Pager<'a> {
    pub(crate) fn new(terminal: &'a TerminalWriter, interrupt: &'a Interrupt) -> Self {
        let left = (interrupt.serves_person() && terminal.has_screen()).then(page_rows);
        Self { terminal, interrupt, left }
    }

    /// Shows these lines. Returns false if the user does not want to see more.
    pub(crate) fn show(&mut self, lines: &[String]) -> bool {
        let mut rest = lines;
        while let (Some(left), false) = (self.left, rest.is_empty()) {
            let (count, rows) = fitting(rest, left, page_rows(), window(io::stdout()).1);
            if count == 0 {
                if !self.wants_more() {
                    return false;
                }
                self.left = Some(page_rows());
                continue;
            }
            self.terminal.results(&rest[..count]);
            self.left = Some(left.saturating_sub(rows));
            rest = &rest[count..];
        }
        self.terminal.results(rest);
        !self.interrupt.is_cancelled()
    }

    /// Waits for a key below the page. Messages meanwhile follow after it.
    fn wants_more(&self) -> bool {
        let _quiet = self.terminal.keep_quiet();
        let Ok(_echo) = EchoOff::begin(io::stdin(), Typing::Keys) else { return true };
        self.terminal.draw(MORE);
        let keys = loop {
            if let Some(keys) = self.interrupt.keys_within(io::stdin(), PAUSE) {
                break keys;
            }
        };
        self.terminal.draw("\r\x1b[K");
        !matches!(keys.first(), None | Some(b'q' | b'Q' | b'\x04'))
    }
}

/// The rows of a windowful. The last row is for the question.
fn page_rows() -> usize {
    window(io::stdout()).0.saturating_sub(1).max(1)
}

/// How many of these lines fit into the rows that are left of a page, and how many rows they take. A line that is
/// higher than a page gets a page of its own.
fn fitting(lines: &[String], left: usize, page: usize, columns: usize) -> (usize, usize) {
    let (mut count, mut used) = (0, 0);
    for line in lines {
        let rows = escape(line).width().div_ceil(columns.max(1)).max(1);
        if used + rows > left && (count > 0 || left < page) {
            break;
        }
        count += 1;
        used += rows;
    }
    (count, used)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(widths: &[usize]) -> Vec<String> {
        widths.iter().map(|width| "x".repeat(*width)).collect()
    }

    #[test]
    fn as_many_lines_fit_as_their_rows_leave_room_for() {
        for (widths, left, fit) in [
            (&[3, 3, 3][..], 23, (3, 3)),
            (&[3, 3, 3], 2, (2, 2)),
            (&[3, 3], 0, (0, 0)),
            (&[0, 0], 1, (1, 1)),
            (&[80, 81], 3, (2, 3)),
            (&[80, 81], 2, (1, 1)),
            (&[160, 1], 1, (0, 0)),
            (&[80 * 30, 1], 23, (1, 30)),
            (&[80 * 30, 1], 22, (0, 0)),
        ] {
            assert_eq!(fitting(&lines(widths), left, 23, 80), fit, "{widths:?} {left}");
        }
        assert_eq!(fitting(&["日本語".to_owned()], 2, 2, 5), (1, 2));
        assert_eq!(fitting(&lines(&[1]), 1, 1, 0), (1, 1), "a window without columns");
    }
}
