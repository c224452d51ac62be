//! The window of the terminal: its size, and text that is cut to fit.

use rustix::termios::tcgetwinsize;
use std::os::fd::AsFd;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// Stands for text that was cut off.
const CUT: char = '…';

/// The numbers of rows and columns, or the usual ones if unknown.
pub(super) fn window(of: impl AsFd) -> (usize, usize) {
    let size = tcgetwinsize(of).ok().filter(|size| size.ws_row > 0 && size.ws_col > 0);
    size.map_or((24, 80), |size| (size.ws_row.into(), size.ws_col.into()))
}

/// As much of a line as fits before the last of these columns. A character in that column could move the cursor to the
/// next row.
pub(super) fn fitted(line: &str, columns: usize) -> String {
    let room = columns.saturating_sub(1);
    if line.width() <= room {
        return line.to_owned();
    }
    let mut left = room.saturating_sub(1);
    let fits = |c: &char| {
        let width = c.width().unwrap_or(0);
        let fits = width <= left;
        left = if fits { left - width } else { 0 };
        fits
    };
    let mut cut: String = line.chars().take_while(fits).collect();
    if room > 0 {
        cut.push(CUT);
    }
    cut
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_cut_where_the_window_ends_by_the_width_of_its_characters() {
        for (line, columns, shown) in [
            ("film.mkv", 9, "film.mkv"),
            ("film.mkv", 8, "film.m…"),
            ("日本語", 7, "日本語"),
            ("日本語", 6, "日本…"),
            ("日本語", 5, "日…"),
            ("e\u{301}e\u{301}", 3, "e\u{301}e\u{301}"),
            ("ab", 2, "…"),
            ("ab", 1, ""),
            ("", 0, ""),
        ] {
            assert_eq!(fitted(line, columns), shown, "{line} {columns}");
            assert!(shown.width() < columns.max(1), "{line} {columns}");
        }
    }
}
