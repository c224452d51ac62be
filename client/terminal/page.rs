//! A page on the whole screen of the terminal, redrawn at every change.

use super::window::{fitted, window};
use super::writer::{ScreenGuard, TerminalWriter};
use crate::model::escape::escape;
use std::borrow::Cow;
use std::io;

/// The alternate screen of the terminal, without a cursor.
const PAGE_BEGINS: &str = "\x1b[?1049h\x1b[?25l";
const PAGE_ENDS: &str = "\x1b[?25h\x1b[?1049l";

/// A page on the whole screen.
pub(crate) struct Page<'a> {
    terminal: &'a TerminalWriter,
    /// Dropped last: then the waiting lines are written to the normal screen.
    _quiet: ScreenGuard<'a>,
}

impl<'a> Page<'a> {
    /// Takes the whole screen until the page is dropped. Messages of that time appear afterwards. Returns `None` if
    /// shown text cannot be replaced on the screen.
    pub(crate) fn open(terminal: &'a TerminalWriter) -> Option<Self> {
        if !terminal.has_screen() {
            return None;
        }
        let quiet = terminal.keep_quiet();
        terminal.draw(PAGE_BEGINS);
        Some(Self { terminal, _quiet: quiet })
    }

    /// Replaces the shown lines with these, as far as there is room. Always shows the last one.
    pub(crate) fn show(&self, lines: &[String]) {
        let (rows, columns) = window(io::stdout());
        let escaped: Vec<_> = lines.iter().map(|line| escape(line)).collect();
        self.terminal.draw(&drawn(&escaped, rows, columns));
    }
}

impl Drop for Page<'_> {
    fn drop(&mut self) {
        self.terminal.draw(PAGE_ENDS);
    }
}

/// The text that draws these lines over a page of this size. If there are too many, lines before the last one are left
/// out.
fn drawn(lines: &[Cow<'_, str>], rows: usize, columns: usize) -> String {
    let left_out = lines.len().saturating_sub(rows.max(1));
    let before_last = lines.len().saturating_sub(1 + left_out);
    let shown = lines[..before_last].iter().chain(lines.last());
    let shown: Vec<String> = shown.map(|line| fitted(line, columns) + "\x1b[K").collect();
    format!("\x1b[H{}\x1b[J", shown.join("\r\n"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::terminal::writer::tests::sheets;

    #[test]
    fn a_page_with_too_many_lines_keeps_its_last_one() {
        let lines = ["a", "b", "c", "help"].map(Cow::Borrowed);
        assert_eq!(drawn(&lines, 3, 80), "\x1b[Ha\x1b[K\r\nb\x1b[K\r\nhelp\x1b[K\x1b[J");
        assert_eq!(drawn(&lines[..1], 3, 80), "\x1b[Ha\x1b[K\x1b[J");
        assert_eq!(drawn(&[], 3, 80), "\x1b[H\x1b[J");
        assert_eq!(drawn(&lines, 0, 80), "\x1b[Hhelp\x1b[K\x1b[J");
    }

    #[test]
    fn while_a_page_is_open_lines_wait_behind_it() {
        let (terminal, output, error) = sheets(true);
        let page = Page::open(&terminal).expect("a screen");
        page.show(&["x\x1b[2J".to_owned()]);
        terminal.event("news");
        assert_eq!(error.text(), "");
        drop(page);
        assert_eq!(error.text(), "news\n");
        let shown = output.text();
        assert!(shown.starts_with(PAGE_BEGINS) && shown.ends_with(PAGE_ENDS), "{shown}");
        assert!(shown.contains("x\\u{1b}[2J") && !shown.contains("\x1b[2J"), "{shown}");
        assert!(Page::open(&sheets(false).0).is_none(), "a file is no screen");
    }
}
