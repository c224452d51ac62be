//! One byte stream that lies in several files: where a stretch of it is, and which of the files are open.

use crate::model::manifest::FileEntry;
use parking_lot::Mutex;
use std::fs::File;
use std::sync::Arc;

/// Where each file ends in the stream.
pub(crate) struct FileMap {
    ends: Box<[u64]>,
}

/// A stretch of the stream that lies in one file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stretch {
    /// Which file, from 0.
    pub file: usize,
    /// Where in the file it begins, in bytes.
    pub offset: u64,
    /// Its length in bytes, never 0.
    pub len: usize,
}

impl FileMap {
    /// The map of files that follow one another.
    pub(crate) fn new(files: &[FileEntry]) -> Self {
        let mut end = 0;
        let ends = files.iter().map(|file| {
            end += file.len;
            end
        });
        Self { ends: ends.collect() }
    }

    /// Where a file begins in the stream, in bytes.
    pub(crate) fn start(&self, file: usize) -> u64 {
        file.checked_sub(1).map_or(0, |before| self.ends[before])
    }

    /// The stretches, in order, that make up `len` bytes of the stream from `offset` on. Files without bytes have none.
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
            // No longer than `len`, which is a usize.
            let stretch = Stretch { file, offset: at - self.start(file), len: (stop - at) as usize };
            at = stop;
            Some(stretch)
        })
    }
}

/// The files of a stream that are open, at most `OPEN_MAX`, the one used last in front.
#[derive(Default)]
pub(crate) struct OpenFiles {
    recent: Mutex<Vec<(usize, Arc<File>)>>,
}

/// Most files of one stream that are open at a time.
const OPEN_MAX: usize = 32;

impl OpenFiles {
    /// The file of that number, opened by `open` unless it is open. Two threads may open one file at the same time,
    /// since no lock is held meanwhile; one of the two is then closed again after its use.
    pub(crate) fn get<E>(&self, file: usize, open: impl FnOnce() -> Result<File, E>) -> Result<Arc<File>, E> {
        if let Some(found) = self.find(file) {
            return Ok(found);
        }
        let opened = Arc::new(open()?);
        let mut recent = self.recent.lock();
        recent.insert(0, (file, opened.clone()));
        let closing = (recent.len() > OPEN_MAX).then(|| recent.pop());
        drop(recent);
        drop(closing);
        Ok(opened)
    }

    /// Closes all.
    pub(crate) fn close(&self) {
        let closing = std::mem::take(&mut *self.recent.lock());
        drop(closing);
    }

    fn find(&self, file: usize) -> Option<Arc<File>> {
        let mut recent = self.recent.lock();
        let at = recent.iter().position(|(number, _)| *number == file)?;
        recent[..=at].rotate_right(1);
        Some(recent[0].1.clone())
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

    #[test]
    fn only_the_files_used_last_stay_open() {
        let open_files = OpenFiles::default();
        let temp = tempfile::tempdir().expect("a temporary folder");
        let open = || File::create(temp.path().join("f"));
        for file in 0..OPEN_MAX {
            open_files.get(file, open).expect("opened");
        }
        open_files.get(0, || Err::<File, ()>(())).expect("still open");
        open_files.get(OPEN_MAX, open).expect("opened");
        open_files.get(0, || Err::<File, ()>(())).expect("used a moment ago");
        assert!(open_files.get(1, || Err::<File, ()>(())).is_err(), "closed for the new one");
        open_files.close();
        assert!(open_files.get(0, || Err::<File, ()>(())).is_err());
    }
}
