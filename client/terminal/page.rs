//! Text for a place of a given size on a screen. Pure.

use std::borrow::Cow;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// Stands where something was cut off.
const CUT: char = '…';

/// As much of a line as fits before the last of these columns: a character there could make the screen go to the next
/// row.
pub(crate) fn fitted(line: &str, columns: usize) -> String {
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

/// What draws these lines over a page of this size. Of more lines than rows those before the last are left out.
pub(crate) fn drawn(lines: &[Cow<'_, str>], rows: usize, columns: usize) -> String {
    let left_out = lines.len().saturating_sub(rows.max(1));
    let before_last = lines.len().saturating_sub(1 + left_out);
    let shown = lines[..before_last].iter().chain(lines.last());
    let shown: Vec<String> = shown.map(|line| fitted(line, columns) + "\x1b[K").collect();
    format!("\x1b[H{}\x1b[J", shown.join("\r\n"))
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

    #[test]
    fn a_page_with_too_many_lines_keeps_its_last_one() {
        let lines = ["a", "b", "c", "help"].map(Cow::Borrowed);
        assert_eq!(drawn(&lines, 3, 80), "\x1b[Ha\x1b[K\r\nb\x1b[K\r\nhelp\x1b[K\x1b[J");
        assert_eq!(drawn(&lines[..1], 3, 80), "\x1b[Ha\x1b[K\x1b[J");
        assert_eq!(drawn(&[], 3, 80), "\x1b[H\x1b[J");
        assert_eq!(drawn(&lines, 0, 80), "\x1b[Hhelp\x1b[K\x1b[J");
    }
}
