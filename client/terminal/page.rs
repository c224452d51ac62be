//! A page that takes the whole screen of the terminal, and is drawn anew as often as it changes.

use super::window::{fitted, window};
use super::writer::{ScreenGuard, TerminalWriter};
use crate::model::escape::escape;
use std::borrow::Cow;
use std::io;

/// The other screen of the terminal, without a cursor.
const PAGE_BEGINS: &str = "\x1b[?1049h\x1b[?25l";
const PAGE_ENDS: &str = "\x1b[?25h\x1b[?1049l";

/// A page that takes the whole screen.
pub(crate) struct Page<'a> {
    terminal: &'a TerminalWriter,
    /// Dropped last: what waited is written where it belongs.
    _quiet: ScreenGuard<'a>,
}

impl<'a> Page<'a> {
    /// Takes the whole screen until the page is dropped; what is said meanwhile follows then. `None` where there is no
    /// screen that lets what it shows be replaced.
    pub(crate) fn open(terminal: &'a TerminalWriter) -> Option<Self> {
        if !terminal.has_screen() {
            return None;
        }
        let quiet = terminal.keep_quiet();
        terminal.draw(PAGE_BEGINS);
        Some(Self { terminal, _quiet: quiet })
    }

    /// Shows these lines instead of those before, as far as there is room, and the last one in any case.
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

/// What draws these lines over a page of this size. Of more lines than rows those before the last are left out.
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
