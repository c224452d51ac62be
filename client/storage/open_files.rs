//! Keeps files open from one use to the next, and copes with a lack of descriptors.
//!
//! Descriptors belong to the process, so all byte streams together keep a bounded number of files open.

use crate::sys::lacks_descriptors;
use parking_lot::Mutex;
use std::fs::File;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The maximum number of files that all streams together keep open.
const KEPT_MAX: usize = 128;

/// The files that this process keeps open.
static KEPT: KeptFiles = KeptFiles::new();

/// Files of many streams, the most recently used first.
#[derive(Debug)]
struct KeptFiles {
    next: AtomicU64,
    // Locked, but never while a file is opened or closed.
    recent: Mutex<Vec<KeptFile>>,
}

#[derive(Debug)]
struct KeptFile {
    stream: u64,
    number: usize,
    file: Arc<File>,
}

impl KeptFiles {
    const fn new() -> Self {
        Self { next: AtomicU64::new(0), recent: Mutex::new(Vec::new()) }
    }

    fn find(&self, stream: u64, number: usize) -> Option<Arc<File>> {
        let mut recent = self.recent.lock();
        let at = recent.iter().position(|kept| kept.stream == stream && kept.number == number)?;
        recent[..=at].rotate_right(1);
        Some(recent[0].file.clone())
    }

    fn keep(&self, kept: KeptFile) {
        let mut recent = self.recent.lock();
        recent.insert(0, kept);
        let closing = (recent.len() > KEPT_MAX).then(|| recent.pop());
        drop(recent);
        drop(closing);
    }

    fn open_with_room<T>(&self, mut open: impl FnMut() -> io::Result<T>) -> io::Result<T> {
        loop {
            match open() {
                Err(error) if lacks_descriptors(&error) => {
                    let closing = self.recent.lock().pop();
                    if closing.is_none() {
                        return Err(error);
                    }
                }
                opened => return opened,
            }
        }
    }
}

/// Opens something. If no descriptor is left, closes kept files for it, the least recently used first.
///
/// # Errors
/// Those of `open`.
pub(crate) fn open_with_room<T>(open: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    KEPT.open_with_room(open)
}

/// The files of one byte stream. The most recently used files stay open.
pub(crate) struct OpenFiles {
    kept: &'static KeptFiles,
    stream: u64,
}

impl Default for OpenFiles {
    fn default() -> Self {
        Self::among(&KEPT)
    }
}

impl OpenFiles {
    fn among(kept: &'static KeptFiles) -> Self {
        Self { kept, stream: kept.next.fetch_add(1, Ordering::Relaxed) }
    }

    /// The file of this number. If it is not open, `open` opens it. Two threads may open one file at the same time,
    /// because no lock is held meanwhile. Then one of the two is closed after its use.
    pub(crate) fn get<E>(&self, number: usize, open: impl FnOnce() -> Result<File, E>) -> Result<Arc<File>, E> {
        if let Some(found) = self.kept.find(self.stream, number) {
            return Ok(found);
        }
        let file = Arc::new(open()?);
        self.kept.keep(KeptFile { stream: self.stream, number, file: file.clone() });
        Ok(file)
    }
}

impl Drop for OpenFiles {
    fn drop(&mut self) {
        let mut recent = self.kept.recent.lock();
        let (closing, others) = recent.drain(..).partition(|kept| kept.stream == self.stream);
        *recent = others;
        drop(recent);
        // Without the lock.
        drop::<Vec<_>>(closing);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::io::Errno;

    fn null() -> io::Result<File> {
        File::open("/dev/null")
    }

    fn closed() -> io::Result<File> {
        Err(io::ErrorKind::NotFound.into())
    }

    #[test]
    fn only_the_files_used_last_stay_open() {
        static OWN: KeptFiles = KeptFiles::new();
        let open_files = OpenFiles::among(&OWN);
        for file in 0..KEPT_MAX {
            open_files.get(file, null).expect("opened");
        }
        open_files.get(0, closed).expect("still open");
        open_files.get(KEPT_MAX, null).expect("opened");
        open_files.get(0, closed).expect("used a moment ago");
        assert!(open_files.get(1, closed).is_err(), "closed for the new one");
    }

    #[test]
    fn shares_keep_a_bounded_number_of_files_open_and_none_of_an_ended_share() {
        static OWN: KeptFiles = KeptFiles::new();
        let kept = &OWN;
        let streams: Vec<_> = (0..40).map(|_| OpenFiles::among(kept)).collect();
        for stream in &streams {
            for file in 0..40 {
                stream.get(file, null).expect("opened");
            }
        }
        assert_eq!(kept.recent.lock().len(), KEPT_MAX);
        let last = &streams[39];
        assert!((0..40).all(|file| last.get(file, closed).is_ok()), "the one used last has all of them");
        drop(streams);
        assert!(kept.recent.lock().is_empty());
    }

    #[test]
    fn a_file_that_lacks_a_descriptor_gets_that_of_the_one_used_longest_ago() {
        static OWN: KeptFiles = KeptFiles::new();
        let (kept, open_files) = (&OWN, OpenFiles::among(&OWN));
        (0..3).for_each(|file| drop(open_files.get(file, null).expect("opened")));
        let mut tries = 0;
        let when_two_are_closed = || {
            tries += 1;
            if tries <= 2 { Err(Errno::MFILE.into()) } else { null() }
        };
        kept.open_with_room(when_two_are_closed).expect("there is room in the end");
        assert!(open_files.get(2, closed).is_ok() && open_files.get(1, closed).is_err());
        let error = kept.open_with_room(|| Err::<(), _>(Errno::NFILE.into())).expect_err("nothing is left to close");
        assert!(lacks_descriptors(&error));
    }
}
