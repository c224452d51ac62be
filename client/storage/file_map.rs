//! The places of files in one byte stream.

use crate::model::manifest::FileEntry;

/// The end of each file in the stream.
pub(crate) struct FileMap {
    ends: Box<[u64]>,
}

/// A stretch of the stream within one file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stretch {
    /// The number of the file, from 0.
    pub file: usize,
    /// The beginning of the stretch in the file, in bytes.
    pub offset: u64,
    /// Its length in bytes, never 0.
    pub len: usize,
}

impl FileMap {
    /// The map of consecutive files.
    pub(crate) fn new(files: &[FileEntry]) -> Self {
        let mut end = 0;
        let ends = files.iter().map(|file| {
            end += file.len;
            end
        });
        Self { ends: ends.collect() }
    }

    /// The beginning of a file in the stream, in bytes.
    pub(crate) fn start(&self, file: usize) -> u64 {
        file.checked_sub(1).map_or(0, |before| self.ends[before])
    }

    /// The stretches, in order, that make up `len` bytes of the stream from `offset` on. Empty files have none.
    ///
    /// # Panics
    /// When used up to beyond the end of the stream.
    pub(crate) fn stretches(&self, offset: u64, len: usize) -> impl Iterator<Item = Stretch> + '_ {
        let mut file = self.ends.partition_point(|&end| end <= offset);
        let mut at = offset;
        let end = offset + len as u64;
        std::iter::from_fn(move || {
            if at == end {
                return None;
            }
            while self.ends[file] == at {
                file += 1;
            }
            let stop = self.ends[file].min(end);
            // At most `len`, which is a usize.
            let stretch = Stretch { file, offset: at - self.start(file), len: (stop - at) as usize };
            at = stop;
            Some(stretch)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::path::RelPath;

    fn map(lens: &[u64]) -> FileMap {
        let files: Vec<_> = lens
            .iter()
            .enumerate()
            .map(|(i, &len)| FileEntry { path: RelPath::parse(&format!("d/{i:04}")).expect("a path"), len })
            .collect();
        FileMap::new(&files)
    }

    fn list(map: &FileMap, offset: u64, len: usize) -> Vec<(usize, u64, usize)> {
        map.stretches(offset, len).map(|s| (s.file, s.offset, s.len)).collect()
    }

    #[test]
    fn a_stretch_crosses_borders_and_passes_over_empty_files() {
        let map = map(&[0, 3, 0, 0, 2, 5, 0]);
        assert_eq!(list(&map, 0, 10), [(1, 0, 3), (4, 0, 2), (5, 0, 5)]);
        assert_eq!(list(&map, 2, 2), [(1, 2, 1), (4, 0, 1)]);
        assert_eq!(list(&map, 3, 2), [(4, 0, 2)]);
        assert_eq!(list(&map, 9, 1), [(5, 4, 1)]);
        assert_eq!(list(&map, 10, 0), []);
        assert_eq!(list(&map, 0, 0), []);
    }

    #[test]
    fn every_stretch_of_every_length_covers_exactly_its_bytes() {
        let lens = [2, 0, 1, 4, 0, 3];
        let map = map(&lens);
        let bytes: Vec<_> =
            lens.iter().enumerate().flat_map(|(file, &len)| (0..len).map(move |at| (file, at))).collect();
        for from in 0..=bytes.len() {
            for to in from..=bytes.len() {
                let covered: Vec<_> = map
                    .stretches(from as u64, to - from)
                    .flat_map(|s| (0..s.len as u64).map(move |at| (s.file, s.offset + at)))
                    .collect();
                assert_eq!(covered, bytes[from..to]);
            }
        }
    }

    #[test]
    fn an_offset_beyond_4_gib_is_found() {
        let big = 5 << 30;
        assert_eq!(list(&map(&[big, big]), big + (4 << 30) - 1, 7), [(1, (4 << 30) - 1, 7)]);
    }
}
