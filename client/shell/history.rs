//! The lines that the arrow keys bring back, in a file that lasts from run to run. Several clients may use it at a
//! time: each adds its lines under a lock of the file.

use crate::client::state::file::{StateError, set_aside};
use crate::model::escape::ShownPath;
use crate::sys;
use crate::sys::files::{self, Open};
use rustyline::error::ReadlineError;
use rustyline::history::{FileHistory, History};
use std::fmt;
use std::io::{self, Write};
use std::path::PathBuf;

/// The maximum number of lines to keep.
pub(crate) const LINES_MAX: usize = 1000;
/// Begins a file of the editor's own format.
const HEADER: &str = "#V2\n";

/// Why lines cannot be kept.
enum HistoryError {
    Make(io::Error),
    SetAside(StateError),
    Read(ReadlineError),
}

impl fmt::Display for HistoryError {
    /// Without the system's number of an error.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            HistoryError::Make(error) | HistoryError::Read(ReadlineError::Io(error)) => {
                f.write_str(&sys::reason(error))
            }
            HistoryError::SetAside(error) => write!(f, "{error}"),
            HistoryError::Read(error) => write!(f, "{error}"),
        }
    }
}

/// The file, and whether it is usable.
pub(crate) struct HistoryFile {
    path: PathBuf,
    broken: bool,
}

impl HistoryFile {
    /// Reads the lines of earlier runs. An unreadable file is set aside, and the returned line says so.
    pub(crate) fn load(path: PathBuf, history: &mut FileHistory) -> (Self, Option<String>) {
        let mut file = Self { path, broken: false };
        let failed = file.make().and_then(|()| match history.load(&file.path) {
            Ok(()) => Ok(None),
            Err(ReadlineError::Io(error)) if error.kind() == io::ErrorKind::InvalidData => file.put_aside().map(Some),
            Err(error) => Err(HistoryError::Read(error)),
        });
        match failed {
            Ok(told) => (file, told),
            Err(why) => {
                file.broken = true;
                let told = format!("Lines typed now are not kept for later: {}: {why}", ShownPath(&file.path));
                (file, Some(told))
            }
        }
    }

    /// Makes the file for its owner alone, if it is missing.
    fn make(&self) -> Result<(), HistoryError> {
        let made = files::open_file(&self.path, Open::New(0o600));
        match made.and_then(|mut file| file.write_all(HEADER.as_bytes())) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(HistoryError::Make(error)),
            _ => Ok(()),
        }
    }

    fn put_aside(&self) -> Result<String, HistoryError> {
        let aside = set_aside(&self.path).map_err(HistoryError::SetAside)?;
        self.make()?;
        Ok(format!("{} was damaged and has been moved to {}", ShownPath(&self.path), ShownPath(&aside)))
    }

    /// Adds the new lines of `history`.
    pub(crate) fn append(&mut self, history: &mut FileHistory) {
        // A failure loses only a line of the history, and the next call tries again.
        let _ = if self.broken { Ok(()) } else { history.append(&self.path) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lines_that_a_release_has_kept_come_back() {
        let temp = tempfile::tempdir().expect("a temporary folder");
        let path = temp.path().join("history");
        std::fs::write(&path, include_str!("../../tests/recorded/1.0/history")).expect("written");
        let mut history = FileHistory::new();
        let (_, told) = HistoryFile::load(path, &mut history);
        assert_eq!(told, None);
        assert_eq!(history.iter().collect::<Vec<_>>(), ["login ann", "list_files \"a b\""]);
    }
}
