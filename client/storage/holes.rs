//! The pieces of a stream in holes of its files, which read as zeros. The file system reports the holes.

use crate::model::piece::{Layout, PIECE_LEN, PieceIndex};
use crate::sys::space;
use std::fs::File;
use std::io;
use std::ops::Range;

/// Calls `found` for each piece that has data in a file. `stretch` is the place of the file in the stream. Makes at
/// most two calls of lseek(2) for each piece, however many holes there are.
///
/// # Errors
/// Those of lseek(2). Then some pieces were left out.
pub(crate) fn for_each_with_data(
    layout: Layout,
    file: &File,
    stretch: Range<u64>,
    mut found: impl FnMut(PieceIndex),
) -> io::Result<()> {
    let mut ranges = space::data_ranges(file, stretch.end - stretch.start);
    while let Some(range) = ranges.next() {
        let range = range?;
        let end = stretch.start + range.end;
        layout.touched_by(stretch.start + range.start..end).for_each(&mut found);
        ranges.go_on_at(end.next_multiple_of(u64::from(PIECE_LEN)) - stretch.start);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::FileExt;

    const LEN: u64 = PIECE_LEN as u64;

    #[test]
    fn a_piece_has_data_if_any_byte_of_it_was_written_in_whatever_file() {
        let file = tempfile::tempfile().expect("a temporary file");
        file.set_len(10 * LEN).expect("extended");
        // The file begins in the middle of the second piece of the stream.
        let start = LEN + LEN / 2;
        let layout = Layout::new(start + 10 * LEN).expect("small");
        let found = || {
            let mut found = Vec::new();
            for_each_with_data(layout, &file, start..start + 10 * LEN, |piece| found.push(piece.get())).expect("told");
            found.dedup();
            found
        };
        if found().len() > 1 {
            // A file system without holes.
            return;
        }
        assert!(found().is_empty());
        for (at, len, expected) in [
            (0, 1, &[1][..]),
            (5 * LEN, 1, &[1, 6]),
            (5 * LEN + 20_000, 1, &[1, 6]),
            (10 * LEN - 1, 1, &[1, 6, 11]),
            (8 * LEN, LEN, &[1, 6, 9, 10, 11]),
        ] {
            file.write_all_at(&vec![1; len as usize], at).expect("written");
            assert_eq!(found(), expected, "{at}");
        }
    }
}
