//! The folder for a tracker's data: made at the first start, readable by this user alone, and locked while the tracker
//! runs.

use crate::sys;
use crate::sys::durable::numbered_folder::{BEFORE, FolderKind, FormatError};
use crate::sys::files::{self, Open};
use crate::sys::space::free_bytes;
use rustix::fs::{Access, access};
use std::ffi::OsString;
use std::fmt;
use std::fs::{DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The file that is locked.
const LOCK: &str = "lock";
/// The least room on the disk that a ready tracker needs.
const ROOM_MIN: u64 = 1024 * 1024;

/// Why a data folder cannot be used. Each error is one line.
#[derive(Debug)]
pub enum DataDirError {
    /// The folder, or something in it, cannot be made or opened.
    Io {
        path: PathBuf,
        /// What failed.
        doing: &'static str,
        error: io::Error,
    },
    /// Another tracker is running on it.
    Locked(PathBuf),
    /// It is of another version of this program.
    Format(FormatError),
}

impl fmt::Display for DataDirError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DataDirError::Io { path, doing, error } => {
                write!(f, "cannot {doing} {}: {}", path.display(), sys::reason(error))
            }
            DataDirError::Locked(path) => write!(
                f,
                "another tracker is using {}; stop it, or give this one another folder with --data-dir",
                path.display()
            ),
            DataDirError::Format(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for DataDirError {}

/// The format of a data folder. A new one gets a step that leads to it from the one before.
const KIND: FolderKind = FolderKind {
    name: "groupshare tracker folder",
    oldest: 0,
    steps: &[give_number],
    // Lines of the audit are only added, and a copy of a repair is nobody's.
    stays: |name| name == LOCK || name == "audit" || name.contains("-before-repair"),
    shared: &["manifests"],
};

/// To 1: a folder of before 1.0 has the same files and no number. It may have a list of trackers that were retired at
/// one tracker only, which nothing reads.
fn give_number(folder: &Path) -> io::Result<()> {
    if folder.join("retired").exists() {
        return Err(io::Error::other(
            "it has the file 'retired', and forgotten trackers are kept in the journal now; remove this file, start, and \
             say 'forget N' for each number in it",
        ));
    }
    Ok(())
}

/// A locked data folder. The lock ends with its last clone.
#[derive(Debug, Clone)]
pub struct DataDir {
    path: PathBuf,
    upgraded_from: Option<u32>,
    _lock: Arc<File>,
}

/// The default data folder of a tracker: `<tracker_info>.data/tracker-<number>`, with links resolved.
///
/// # Errors
/// Those of finding `tracker_info`.
pub fn default_path(tracker_info: &Path, number: u16) -> io::Result<PathBuf> {
    let mut path = OsString::from(tracker_info.canonicalize()?);
    path.push(".data");
    Ok(PathBuf::from(path).join(format!("tracker-{number}")))
}

impl DataDir {
    /// Makes the folder if it does not exist, and locks it. A folder of an older format is upgraded.
    pub fn open(path: &Path) -> Result<Self, DataDirError> {
        make_folder(path)?;
        let locked = Self::lock(path, Open::WriteOrNew(0o600))?;
        let upgraded_from = KIND.open(path).map_err(DataDirError::Format)?;
        Ok(Self { upgraded_from, ..locked })
    }

    /// Locks an existing folder, and changes nothing in it. A folder of an older format is refused.
    pub fn open_existing(path: &Path) -> Result<Self, DataDirError> {
        let locked = Self::lock(path, Open::Read)?;
        KIND.check(path).map_err(DataDirError::Format)?;
        Ok(locked)
    }

    fn lock(path: &Path, how: Open) -> Result<Self, DataDirError> {
        let lock_path = path.join(LOCK);
        let failed = |error| DataDirError::Io { path: lock_path.clone(), doing: "open", error };
        let lock = files::open_file(&lock_path, how).map_err(failed)?;
        match files::try_lock(&lock) {
            Ok(true) => Ok(Self { path: path.to_path_buf(), upgraded_from: None, _lock: Arc::new(lock) }),
            Ok(false) => Err(DataDirError::Locked(path.to_path_buf())),
            Err(error) => Err(DataDirError::Io { path: lock_path, doing: "lock", error }),
        }
    }

    /// Makes a folder inside if it does not exist.
    pub fn folder(&self, name: &str) -> Result<PathBuf, DataDirError> {
        let path = self.path.join(name);
        make_folder(&path)?;
        Ok(path)
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What the operator is told of an upgrade, if the folder was upgraded when it was opened.
    pub fn upgrade(&self) -> Option<String> {
        let (before, known) = (self.path.join(BEFORE), KIND.known());
        self.upgraded_from.map(|format| {
            format!(
                "{} was upgraded from format {format} to {known}; what was there before is kept in {} until the next \
                 upgrade",
                self.path.display(),
                before.display()
            )
        })
    }
}

/// Makes a folder and its parents, for their owner alone. Leaves existing ones as they are.
///
/// # Errors
/// It cannot be made.
pub(super) fn make_folder(path: &Path) -> Result<(), DataDirError> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(|error| DataDirError::Io { path: path.to_path_buf(), doing: "make the folder", error })
}

/// Why the next change may not fit on the disk of a folder, if that is so.
pub(super) fn disk_trouble(folder: &Path) -> Option<String> {
    match has_room(folder) {
        Ok(true) => None,
        Ok(false) => Some(format!("less than {ROOM_MIN} bytes are free on the disk")),
        Err(error) => Some(format!("the data folder cannot be written to: {}", sys::reason(&error))),
    }
}

fn has_room(folder: &Path) -> io::Result<bool> {
    access(folder, Access::WRITE_OK)?;
    Ok(free_bytes(&File::open(folder)?)?.is_none_or(|free| free >= ROOM_MIN))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt;

    #[test]
    fn a_folder_that_is_there_has_room_and_one_that_is_gone_is_told() {
        let folder = tempfile::tempdir().expect("a folder");
        assert!(has_room(folder.path()).expect("writable"));
        assert!(has_room(&folder.path().join("gone")).is_err());
    }

    #[test]
    fn it_is_made_for_its_owner_alone_and_locked_as_long_as_it_is_used() {
        let temp = tempfile::tempdir().expect("a folder");
        let path = temp.path().join("a").join("tracker-1");
        let data = DataDir::open(&path).expect("made");
        assert_eq!(path.metadata().expect("there").mode() & 0o777, 0o700);
        let error = DataDir::open(&path).expect_err("in use").to_string();
        assert!(error.starts_with("another tracker is using ") && error.contains("--data-dir"), "{error}");
        assert!(data.folder("manifests").expect("made").is_dir());
        drop(data);
        DataDir::open(&path).expect("free again");
    }

    #[test]
    fn a_list_of_retired_trackers_is_not_passed_over() {
        let temp = tempfile::tempdir().expect("a folder");
        let retired = temp.path().join("retired");
        std::fs::write(&retired, "2\n").expect("writable");
        let error = DataDir::open(temp.path()).expect_err("it has a list").to_string();
        assert!(error.starts_with(&format!("cannot upgrade {}: ", temp.path().display())), "{error}");
        assert!(error.contains("it has the file 'retired'"), "{error}");
        assert!(error.contains("say 'forget N'") && !error.contains('\n'), "{error}");
        std::fs::remove_file(&retired).expect("it is there");
        DataDir::open(temp.path()).expect("the remedy works");
    }

    #[test]
    fn a_folder_without_a_number_is_upgraded_by_a_start_and_by_nothing_else() {
        let temp = tempfile::tempdir().expect("a folder");
        drop(DataDir::open(temp.path()).expect("made"));
        assert_eq!(DataDir::open(temp.path()).expect("known").upgrade(), None);
        std::fs::remove_file(temp.path().join("format")).expect("there");
        std::fs::create_dir(temp.path().join("journal")).expect("made");
        let error = DataDir::open_existing(temp.path()).expect_err("it has no number").to_string();
        assert!(error.contains("has format 0") && error.contains("a normal start upgrades it"), "{error}");
        let told = DataDir::open(temp.path()).expect("upgraded").upgrade().expect("it was");
        assert!(told.contains("from format 0 to 1") && told.contains("before-upgrade"), "{told}");
        assert!(temp.path().join("before-upgrade/journal").is_dir() && temp.path().join("journal").is_dir());
        DataDir::open_existing(temp.path()).expect("known");
    }

    #[test]
    fn a_file_in_its_place_is_told_in_one_line() {
        let temp = tempfile::tempdir().expect("a folder");
        let path = temp.path().join("file");
        std::fs::write(&path, "").expect("writable");
        let error = DataDir::open(&path).expect_err("a file").to_string();
        assert!(error.starts_with("cannot make the folder ") && !error.contains('\n'), "{error}");
    }

    #[test]
    fn by_default_it_stands_beside_tracker_info_and_bears_the_number() {
        let temp = tempfile::tempdir().expect("a folder");
        let info = temp.path().join("tracker_info.txt");
        std::fs::write(&info, "").expect("writable");
        let expected = info.canonicalize().expect("there").with_file_name("tracker_info.txt.data").join("tracker-3");
        assert_eq!(default_path(&info, 3).expect("there"), expected);
    }
}
