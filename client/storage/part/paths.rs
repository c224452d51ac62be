//! The place of a download: its destination, and the names beside it that an unfinished one has.

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

/// Longest file name of Linux file systems, in bytes.
const NAME_LEN_MAX: usize = 255;
/// The mode of a folder in which nobody may remove what belongs to others.
const STICKY: u32 = 0o1000;
const PART_SUFFIX: &str = ".part";
const SIDECAR_SUFFIX: &str = ".part.meta";

/// The absolute path that a download goes to when the user asks for `typed`: inside it under the share's own name if
/// it is a folder, else that name itself. No symbolic link is left in the folder's path, so that two ways to write
/// one destination are one destination.
///
/// # Errors
/// `NoFolder` with the folder that is missing, `BadName`, `Io`.
pub fn resolve_destination(typed: &Path, name: &FileName) -> Result<PathBuf, PartError> {
    let into = typed.is_dir();
    let named = typed.to_path_buf();
    let (folder, file) = match (into, typed.file_name()) {
        (true, _) => (named, OsString::from(name.leaf())),
        // A path that ends in a slash means a folder, which is not there.
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

/// The folder of a destination, open, and the names in it. All work goes through the open folder, so that renaming or
/// moving a folder leads nothing astray. The folder's path is asked for when it is needed.
#[derive(Debug)]
pub(super) struct PartPaths {
    /// The folder that everything below lies in.
    pub folder: File,
    /// The path that the folder had when it was opened.
    opened: PathBuf,
    /// The name in the folder of what the download will become.
    pub name: OsString,
    /// The name of the unfinished download.
    pub part_name: OsString,
    /// The name of the file beside it that says what it is.
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

    /// Absolute path of the folder as it is now. The one that it was opened under if no path leads to it any more.
    pub(super) fn folder_path(&self) -> PathBuf {
        file_id::path_of(&self.folder).unwrap_or_else(|| self.opened.clone())
    }

    /// Absolute path of what the download will become.
    pub(super) fn destination(&self) -> PathBuf {
        self.path(&self.name)
    }

    /// Absolute path of the unfinished download.
    pub(super) fn part_path(&self) -> PathBuf {
        self.path(&self.part_name)
    }

    /// Absolute path of the file that says what it is.
    pub(super) fn sidecar_path(&self) -> PathBuf {
        self.path(&self.sidecar_name)
    }

    fn path(&self, name: &OsStr) -> PathBuf {
        self.folder_path().join(name)
    }

    /// Whether what belongs to `owner` is another user's, in a folder where everybody may make files and nobody may
    /// remove those of others. Elsewhere whoever may write to the folder could replace all that is in it.
    pub(super) fn is_of_another_user(&self, owner: u32) -> bool {
        let me = rustix::process::geteuid().as_raw();
        self.folder.metadata().is_ok_and(|folder| is_of_another(owner, me, (folder.uid(), folder.mode())))
    }

    /// What has a name in the folder.
    ///
    /// # Errors
    /// `Io`.
    pub(super) fn stat(&self, name: &OsStr) -> Result<Option<rustix::fs::Stat>, PartError> {
        files::stat_in(&self.folder, name).map_err(|error| PartError::Io(self.path(name), "look at", error))
    }

    /// Gives the unfinished download its final name, unless something has that.
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

    /// The id of what has a name in the folder.
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

/// The name with the suffix; where that would be too long, the name cut and its digest in between.
fn with_suffix(name: &OsStr, suffix: &str) -> OsString {
    let bytes = name.as_bytes();
    // Both suffixes leave out the same, so that the two names stay recognizable as a pair.
    if bytes.len() + SIDECAR_SUFFIX.len() <= NAME_LEN_MAX {
        return OsString::from_vec([bytes, suffix.as_bytes()].concat());
    }
    let digest = &sha1_of(bytes).to_string()[..8];
    let mut end = NAME_LEN_MAX - SIDECAR_SUFFIX.len() - 1 - digest.len();
    // Not inside a character, which file systems that insist on UTF-8 would refuse.
    while bytes[end] & 0xc0 == 0x80 && end > 0 {
        end -= 1;
    }
    OsString::from_vec([&bytes[..end], b"~", digest.as_bytes(), suffix.as_bytes()].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_another_user_has_made_in_a_folder_for_everybody_is_not_ones_own() {
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
