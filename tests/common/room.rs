//! A tracker in this process, and a folder for each person at a client.

use super::tracker::TestTracker;
use std::fs;
use std::path::PathBuf;

pub(crate) struct Room {
    pub tracker: TestTracker,
    pub folder: tempfile::TempDir,
}

impl TestTracker {
    pub(crate) fn start() -> Self {
        Self::start_with(|_| {})
    }
}

impl Room {
    pub(crate) fn new() -> Self {
        Self { tracker: TestTracker::start(), folder: tempfile::tempdir().expect("a folder") }
    }

    /// The folder of a person. It is made if necessary.
    pub(crate) fn place(&self, name: &str) -> PathBuf {
        let place = self.folder.path().join(name);
        fs::create_dir_all(&place).expect("a folder");
        place
    }
}
