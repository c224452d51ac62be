//! The interface of every compared tool, and the results of its runs.

use super::house::FILE;
use super::program::Usage;
use crate::common::program::Program;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// The times and resources of one run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Taken {
    /// When the command was given.
    pub start: Instant,
    /// When the tool reported that every byte was there and verified.
    pub verified: Instant,
    /// When the file durably had its final name. `None` if the tool does not sync.
    pub named: Option<Instant>,
    /// The resources of the taking side.
    pub usage: Usage,
}

/// One tool that moves the file.
pub(crate) trait Tool {
    /// The programs of the giving side.
    fn givers(&self) -> Vec<&Program>;

    /// Moves the file into the folder, under its own name.
    fn take(&mut self, folder: &Path) -> Taken;
}

/// A folder with the file in it, for each giver of a tool that needs one.
pub(crate) fn giver_folder(own: &Path, file: &Path, number: usize) -> PathBuf {
    let folder = own.join(format!("giver-{number}"));
    fs::create_dir(&folder).expect("a new folder");
    fs::hard_link(file, folder.join(FILE)).expect("on the same file system");
    folder
}
