//! The files of one byte stream that are open.

use parking_lot::Mutex;
use std::fs::File;
use std::sync::Arc;

/// Most files of one stream that are open at a time.
const OPEN_MAX: usize = 32;

/// The files of a stream that are open, at most `OPEN_MAX`, the one used last in front.
#[derive(Default)]
pub(crate) struct OpenFiles {
    recent: Mutex<Vec<(usize, Arc<File>)>>,
}

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
    }
}
