//! The sidecar of an unfinished download: the small locked file beside it that says what is being downloaded.

use super::error::{Foreign, PartError};
use super::paths::PartPaths;
use crate::model::digest::InfoHash;
use crate::model::escape::{from_field, to_field};
use crate::model::name::{FileName, GroupId};
use crate::sys::files::{self, Open};
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::sync::atomic::{AtomicBool, Ordering};

/// First line; the number is the version of the format.
const HEADER: &str = "groupshare unfinished download 1";
/// Far longer than any sidecar, short enough to be read whatever was put there.
const LEN_MAX: u64 = 64 * 1024;
/// How often the file may be removed between opening and locking it before that is taken for a fault.
const ATTEMPTS_MAX: u32 = 16;

/// What is downloaded, for the next run and for a person who wonders.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartLabel {
    /// From which group.
    pub group: GroupId,
    /// The name it is shared under.
    pub name: FileName,
    /// What exactly it is. Nothing else decides whether a download can be resumed.
    pub info_hash: InfoHash,
}

impl PartLabel {
    fn to_text(&self) -> String {
        let (group, name) = (to_field(self.group.as_str().as_bytes()), to_field(self.name.as_str().as_bytes()));
        format!("{HEADER}\ninfo_hash {}\ngroup {group}\nname {name}\n", self.info_hash)
    }

    fn from_text(text: &str) -> Option<Self> {
        let mut lines = text.strip_suffix('\n')?.split('\n');
        let mut field = |key: &str| lines.next()?.strip_prefix(key);
        field(HEADER).filter(|rest| rest.is_empty())?;
        let info_hash = InfoHash::from_hex(field("info_hash ")?)?;
        let plain = |text: &str| String::from_utf8(from_field(text)?).ok();
        let group = GroupId::parse(&plain(field("group ")?)?).ok()?;
        let name = FileName::parse(&plain(field("name ")?)?).ok()?;
        lines.next().is_none().then_some(Self { group, name, info_hash })
    }
}

/// The sidecar, locked by this process as long as the value lives.
#[derive(Debug)]
pub(super) struct Sidecar {
    file: File,
    label: Option<PartLabel>,
    remove_on_drop: AtomicBool,
    removed: AtomicBool,
    paths: PartPaths,
}

impl Sidecar {
    /// Locks the sidecar of a place; makes an empty one if there is none.
    ///
    /// # Errors
    /// `Busy` if another download has it; `Foreign` if what lies there is no sidecar; `DiskFull`, `Io`.
    pub(super) fn lock(paths: PartPaths) -> Result<Self, PartError> {
        let path = paths.sidecar_path();
        for _ in 0..ATTEMPTS_MAX {
            let file = files::open_in(&paths.folder, &paths.sidecar_name, Open::WriteOrNew(0o600))
                .map_err(|error| PartError::from_open(&path, "open", error))?;
            if !files::try_lock(&file).map_err(|error| PartError::Io(path.clone(), "lock", error))? {
                return Err(PartError::Busy(paths.destination));
            }
            // Whoever had the lock before may have removed the file, and a third one made another.
            let inode = file.metadata().map_err(|error| PartError::Io(path.clone(), "look at", error))?.ino();
            if paths.stat(&paths.sidecar_name)?.is_none_or(|there| there.st_ino != inode) {
                continue;
            }
            let mut text = String::new();
            let label = match (&file).take(LEN_MAX).read_to_string(&mut text) {
                Ok(0) => None,
                Ok(_) => match PartLabel::from_text(&text) {
                    None => return Err(PartError::Foreign(path, Foreign::Unknown)),
                    label => label,
                },
                Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                    return Err(PartError::Foreign(path, Foreign::Unknown));
                }
                Err(error) => return Err(PartError::Io(path, "read", error)),
            };
            let (remove_on_drop, removed) = (AtomicBool::new(false), AtomicBool::new(false));
            return Ok(Self { file, label, remove_on_drop, removed, paths });
        }
        Err(PartError::Busy(paths.destination))
    }

    /// The place it lies in.
    pub(super) fn paths(&self) -> &PartPaths {
        &self.paths
    }

    /// What it says is downloaded here; `None` if it is new.
    pub(super) fn label(&self) -> Option<&PartLabel> {
        self.label.as_ref()
    }

    /// Writes what is downloaded here, durably, so that no unfinished download is ever there without it.
    /// In place, since a new file would not have the lock.
    ///
    /// # Errors
    /// `DiskFull`, `Io`.
    pub(super) fn write(&mut self, label: &PartLabel) -> Result<(), PartError> {
        let text = label.to_text();
        let io = |error| PartError::from_io(&self.paths.sidecar_path(), "write", text.len() as u64, error);
        self.file.set_len(0).map_err(io)?;
        self.file.write_all_at(text.as_bytes(), 0).map_err(io)?;
        self.file.sync_all().map_err(io)?;
        files::sync_folder(&self.paths.folder).map_err(io)?;
        self.label = Some(label.clone());
        Ok(())
    }

    /// Lets the file go with the value.
    pub(super) fn remove_on_drop(&self) {
        self.remove_on_drop.store(true, Ordering::Relaxed);
    }

    /// Removes the file now, whoever still holds the value: its download is given up, and another may take the place.
    pub(super) fn remove(&self) {
        // A second time it could be the file of that other one.
        if !self.removed.swap(true, Ordering::Relaxed) {
            // Under the lock still. A sidecar that stays behind without its download harms nobody.
            let _ = files::remove_file_in(&self.paths.folder, &self.paths.sidecar_name);
        }
    }
}

impl Drop for Sidecar {
    fn drop(&mut self) {
        if *self.remove_on_drop.get_mut() {
            self.remove();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::path::Path;

    fn label(byte: u8) -> PartLabel {
        PartLabel {
            group: GroupId::parse("lab 1").expect("a name"),
            name: FileName::parse("a \\ b.bin").expect("a name"),
            info_hash: InfoHash([byte; 32]),
        }
    }

    fn lock(folder: &Path) -> Result<Sidecar, PartError> {
        Sidecar::lock(PartPaths::of(&folder.join("f")).expect("the folder is there"))
    }

    #[test]
    fn what_is_downloaded_is_known_to_the_next_run_and_one_client_has_it_at_a_time() {
        let temp = tempfile::tempdir().expect("a temporary folder");
        let mut first = lock(temp.path()).expect("free");
        assert_eq!(first.label(), None);
        first.write(&label(1)).expect("written");
        first.write(&label(2)).expect("written again");
        assert!(matches!(lock(temp.path()), Err(PartError::Busy(_))));
        drop(first);
        let second = lock(temp.path()).expect("free again");
        assert_eq!(second.label(), Some(&label(2)));
        second.remove_on_drop();
        drop(second);
        assert_eq!(fs::read_dir(temp.path()).expect("there").count(), 0);
    }

    #[test]
    fn what_is_no_sidecar_is_left_as_it_is() {
        let temp = tempfile::tempdir().expect("a temporary folder");
        let path = temp.path().join("f.part.meta");
        let good = label(1).to_text();
        for content in ["my notes\n", "\u{0}", &good[..good.len() - 1], &format!("{good}x\n"), &good.replace('1', "2")]
        {
            fs::write(&path, content).expect("written");
            assert!(matches!(lock(temp.path()), Err(PartError::Foreign(_, Foreign::Unknown))), "{content}");
            assert_eq!(fs::read(&path).expect("still there"), content.as_bytes());
        }
        fs::write(&path, b"\xff").expect("written");
        assert!(matches!(lock(temp.path()), Err(PartError::Foreign(_, Foreign::Unknown))));
        fs::remove_file(&path).expect("removed");
        symlink("target", &path).expect("made");
        assert!(matches!(lock(temp.path()), Err(PartError::Foreign(_, Foreign::Link))));
        assert!(!temp.path().join("target").exists());
        fs::remove_file(&path).expect("removed");
        fs::create_dir(&path).expect("made");
        assert!(matches!(lock(temp.path()), Err(PartError::Foreign(_, Foreign::Kind))));
    }
}
