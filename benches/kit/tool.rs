//! What every tool that is compared does, and what is noted of it.

use super::house::FILE;
use super::program::Usage;
use crate::common::program::Program;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// What one run took.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Taken {
    /// When it was told to.
    pub start: Instant,
    /// When everything was there and verified, as the tool says.
    pub verified: Instant,
    /// When the file had its final name, durably; `None` if the tool does not care for that.
    pub named: Option<Instant>,
    /// What the taking side used.
    pub usage: Usage,
}

/// One way to move the file.
pub(crate) trait Tool {
    /// The giving side.
    fn givers(&self) -> Vec<&Program>;

    /// Moves the file into the folder, under the name that it has.
    fn take(&mut self, folder: &Path) -> Taken;
}

/// A folder for each giver of a tool that wants one, with the file in it.
pub(crate) fn giver_folder(own: &Path, file: &Path, number: usize) -> PathBuf {
    let folder = own.join(format!("giver-{number}"));
    fs::create_dir(&folder).expect("a new folder");
    fs::hard_link(file, folder.join(FILE)).expect("on the same file system");
    folder
}
