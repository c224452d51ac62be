//! A file in the data folder whose presence makes the tracker refuse changes of clients.

use crate::sys::{durable, files};
use parking_lot::Mutex;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// The name of the file.
const NAME: &str = "read_only";

/// The file, whether it exists or not.
pub(super) struct ReadOnlyMark {
    folder: PathBuf,
    /// Locked while the file is made or removed: of two callers the later one decides.
    turn: Mutex<()>,
}

impl ReadOnlyMark {
    pub(super) fn new(data_dir: &Path) -> Self {
        Self { folder: data_dir.to_path_buf(), turn: Mutex::new(()) }
    }

    /// # Errors
    /// Those of the system.
    pub(super) fn is_set(&self) -> io::Result<bool> {
        self.folder.join(NAME).try_exists()
    }

    /// How long the file has existed.
    pub(super) fn lasts(&self) -> Duration {
        let made = fs::metadata(self.folder.join(NAME)).and_then(|file| file.modified());
        made.ok().and_then(|made| SystemTime::now().duration_since(made).ok()).unwrap_or_default()
    }

    /// Makes or removes the file, durably before `then` runs.
    ///
    /// # Errors
    /// Those of the system.
    pub(super) fn set(&self, read_only: bool, then: impl FnOnce()) -> io::Result<()> {
        let _turn = self.turn.lock();
        self.write(read_only)?;
        then();
        Ok(())
    }

    fn write(&self, read_only: bool) -> io::Result<()> {
        if read_only {
            return durable::create(&self.folder.join(NAME), b"").map(|_| ());
        }
        match fs::remove_file(self.folder.join(NAME)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            removed => removed.and_then(|()| files::sync_folder(&files::open_folder(&self.folder)?)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_set_and_taken_away_as_often_as_one_likes() {
        let folder = tempfile::tempdir().expect("a folder");
        let mark = ReadOnlyMark::new(folder.path());
        for read_only in [false, true, true, false] {
            mark.set(read_only, || {}).expect("writable");
            assert_eq!(ReadOnlyMark::new(folder.path()).is_set().expect("readable"), read_only);
            assert!(mark.lasts() < Duration::from_secs(60));
        }
    }
}
