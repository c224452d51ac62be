//! The place of a download: its destination, and the names beside it while it is unfinished.

use super::error::PartError;
use crate::client::hash::piece_hash::sha1_of;
use crate::model::name::FileName;
use crate::sys::file_id::{self, FileId};
use crate::sys::files;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// The longest file name of Linux file systems, in bytes.
const NAME_LEN_MAX: usize = 255;
/// The mode bit of a folder in which no user may remove the files of others.
const STICKY: u32 = 0o1000;
const PART_SUFFIX: &str = ".part";
const SIDECAR_SUFFIX: &str = ".part.meta";

/// The absolute destination of a download for the path `typed`. If that is a folder, the destination is inside it,
/// under the share's own name. Otherwise it is that path. The path of the folder has no symbolic link, so two ways to
/// write one destination are equal.
///
/// # Errors
/// `NoFolder` with the missing folder, `BadName`, `Io`.
pub fn resolve_destination(typed: &Path, name: &FileName) -> Result<PathBuf, PartError> {
    let into = typed.is_dir();
    let named = typed.to_path_buf();
    let (folder, file) = match (into, typed.file_name()) {
        (true, _) => (named, OsString::from(name.leaf())),
        // A path with a final slash means a folder, which is missing.
        (false, Some(_)) if typed.as_os_str().as_bytes().ends_with(b"/") => return Err(PartError::NoFolder(named)),
        (false, Some(file)) => (typed.parent().unwrap_or(Path::new("")).to_path_buf(), file.to_owned()),
        (false, None) => return Err(PartError::NoFolder(named)),
    };
    let folder = if folder.as_os_str().is_empty() { PathBuf::from(".") } else { folder };
    let resolved = fs::canonicalize(&folder).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => PartError::NoFolder(folder.clone()),
        _ => PartError::Io(folder.clone(), "use the folder", error),
    })?;
    let destination = resolved.join(file);
    PartPaths::of(&destination)?;
    Ok(destination)
}

/// The open folder of a destination, and the names in it. All work goes through the open folder, so it stays right
/// after a rename or move of the folder. The folder's path is looked up on demand.
#[derive(Debug)]
pub(super) struct PartPaths {
    /// The folder of all names below.
    pub folder: File,
    /// The path of the folder when it was opened.
    opened: PathBuf,
    /// The name of the complete download in the folder.
    pub name: OsString,
    /// The name of the unfinished download.
    pub part_name: OsString,
    /// The name of the sidecar beside it.
    pub sidecar_name: OsString,
}

impl PartPaths {
    /// The place of a destination.
    ///
    /// # Errors
    /// `NoFolder`, `BadName`, `Io`.
    pub(super) fn of(destination: &Path) -> Result<Self, PartError> {
        let bad = || PartError::BadName(destination.to_path_buf());
        let name = destination.file_name().ok_or_else(bad)?.to_owned();
        if name.len() > NAME_LEN_MAX {
            return Err(bad());
        }
        let parent = destination.parent().ok_or_else(bad)?;
        let folder = files::open_folder(parent).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => PartError::NoFolder(parent.to_path_buf()),
            _ => PartError::Io(parent.to_path_buf(), "open the folder", error),
        })?;
        let part_name = with_suffix(&name, PART_SUFFIX);
        let sidecar_name = with_suffix(&name, SIDECAR_SUFFIX);
        Ok(Self { folder, opened: parent.to_path_buf(), name, part_name, sidecar_name })
    }

    /// The current absolute path of the folder. If no path leads to it any more, the path under which it was opened.
    pub(super) fn folder_path(&self) -> PathBuf {
        file_id::path_of(&self.folder).unwrap_or_else(|| self.opened.clone())
    }

    /// The absolute path of the complete download.
    pub(super) fn destination(&self) -> PathBuf {
        self.path(&self.name)
    }

    /// The absolute path of the unfinished download.
    pub(super) fn part_path(&self) -> PathBuf {
        self.path(&self.part_name)
    }

    /// The absolute path of the sidecar.
    pub(super) fn sidecar_path(&self) -> PathBuf {
        self.path(&self.sidecar_name)
    }

    fn path(&self, name: &OsStr) -> PathBuf {
        self.folder_path().join(name)
    }

    /// Whether a file of `owner` belongs to another user in a shared folder such as /tmp. There all users may make
    /// files, and no user may remove the files of others. In other folders, a user with write access could replace
    /// everything anyway.
    pub(super) fn is_of_another_user(&self, owner: u32) -> bool {
        let me = rustix::process::geteuid().as_raw();
        self.folder.metadata().is_ok_and(|folder| is_of_another(owner, me, (folder.uid(), folder.mode())))
    }

    /// The metadata of a name in the folder.
    ///
    /// # Errors
    /// `Io`.
    pub(super) fn stat(&self, name: &OsStr) -> Result<Option<rustix::fs::Stat>, PartError> {
        files::stat_in(&self.folder, name).map_err(|error| PartError::Io(self.path(name), "look at", error))
    }

    /// Gives the unfinished download its final name, unless something has that name.
    ///
    /// # Errors
    /// `Exists`, `Io`.
    pub(super) fn rename_noreplace(&self) -> Result<(), PartError> {
        let renamed = files::rename_noreplace(&self.folder, &self.part_name, &self.name);
        renamed.map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => PartError::Exists(self.destination()),
            _ => PartError::Io(self.part_path(), "rename", error),
        })
    }

    /// The id of the file or folder with this name in the folder.
    ///
    /// # Errors
    /// `Io`.
    pub(super) fn id(&self, name: &OsStr) -> Result<Option<FileId>, PartError> {
        file_id::id_in(&self.folder, name).map_err(|error| PartError::Io(self.path(name), "look at", error))
    }
}

fn is_of_another(owner: u32, me: u32, (folder_owner, folder_mode): (u32, u32)) -> bool {
    folder_mode & STICKY != 0 && owner != me && owner != folder_owner
}

/// The name with the suffix. A name that would be too long is cut, with its digest in between.
fn with_suffix(name: &OsStr, suffix: &str) -> OsString {
    let bytes = name.as_bytes();
    // Both suffixes cut the name at the same place, so the two names still look like a pair.
    if bytes.len() + SIDECAR_SUFFIX.len() <= NAME_LEN_MAX {
        return OsString::from_vec([bytes, suffix.as_bytes()].concat());
    }
    let digest = &sha1_of(bytes).to_string()[..8];
    let mut end = NAME_LEN_MAX - SIDECAR_SUFFIX.len() - 1 - digest.len();
    // Not inside a character: file systems that insist on UTF-8 would refuse the name.
    while bytes[end] & 0xc0 == 0x80 && end > 0 {
        end -= 1;
    }
    OsString::from_vec([&bytes[..end], b"~", digest.as_bytes(), suffix.as_bytes()].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_made_by_another_user_in_a_sticky_folder_is_not_ones_own() {
        const TMP: (u32, u32) = (0, 0o41777);
        assert!(is_of_another(1001, 1000, TMP));
        assert!(!is_of_another(1000, 1000, TMP) && !is_of_another(0, 1000, TMP));
        assert!(!is_of_another(1001, 1000, (1000, 0o40755)), "a disk may give its files to somebody");
    }
    use std::os::unix::fs::symlink;

    fn name(text: &str) -> FileName {
        FileName::parse(text).expect("a name")
    }

    #[test]
    fn a_folder_takes_the_download_under_its_own_name_and_a_new_name_is_taken_as_it_is() {
        let temp = tempfile::tempdir().expect("a temporary folder");
        let root = fs::canonicalize(temp.path()).expect("there");
        let resolve = |typed: PathBuf| resolve_destination(&typed, &name("f.bin"));
        assert_eq!(resolve(root.clone()).expect("a folder"), root.join("f.bin"));
        assert_eq!(resolve(root.join("")).expect("a folder"), root.join("f.bin"));
        assert_eq!(resolve(root.join("g.bin")).expect("a free name"), root.join("g.bin"));
        fs::create_dir(root.join("real")).expect("made");
        symlink("real", root.join("link")).expect("made");
        assert_eq!(resolve(root.join("link")).expect("a folder"), root.join("real/f.bin"));
        assert_eq!(resolve(root.join("link/../g")).expect("a free name"), root.join("g"));
    }

    #[test]
    fn a_missing_folder_is_named() {
        let temp = tempfile::tempdir().expect("a temporary folder");
        let resolve = |typed: &str| resolve_destination(&temp.path().join(typed), &name("f"));
        for typed in ["none/g", "none/", "none/.."] {
            let error = resolve(typed).expect_err("no such folder");
            assert!(matches!(error, PartError::NoFolder(_)) && error.to_string().contains("none"), "{error}");
        }
        fs::write(temp.path().join("f"), "mine").expect("written");
        assert!(matches!(resolve("f/g"), Err(PartError::NoFolder(_))));
        assert!(matches!(resolve(&"x".repeat(256)), Err(PartError::BadName(_))));
    }

    #[test]
    fn the_longest_name_still_has_room_for_what_lies_beside_it() {
        let temp = tempfile::tempdir().expect("a temporary folder");
        for name in ["x".repeat(255), "é".repeat(127), "日".repeat(85), "x".repeat(246)] {
            let paths = PartPaths::of(&temp.path().join(&name)).expect("fits");
            assert!(paths.part_name.to_str().is_some_and(|part| part.ends_with(".part")));
            assert!(paths.sidecar_name.to_str().is_some_and(|part| part.ends_with(".part.meta")));
            assert!(paths.sidecar_name.len() <= NAME_LEN_MAX);
            fs::write(paths.sidecar_path(), "").expect("the file system takes the name");
        }
        let paths = PartPaths::of(&temp.path().join("x".repeat(245))).expect("fits");
        assert_eq!(paths.part_name.len(), 250);
    }
}
