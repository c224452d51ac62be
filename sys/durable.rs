//! Whole files that are written in one step and survive a crash.

pub mod numbered_folder;

use super::files;
use super::random::random_bytes;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

/// Writes a file in the place of an existing one or of none. After a crash the path has the old bytes or the new ones.
/// Only one writer at a time may use a path.
///
/// # Errors
/// Those of the system. After an error the old file is still there, unless the last sync failed.
pub fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let (folder, name) = folder_and_name(path)?;
    let new = with_suffix(name, ".new");
    write_new(&folder, &new, bytes)?;
    files::rename_in(&folder, &new, name).inspect_err(|_| remove(&folder, &new))?;
    files::sync_folder(&folder)
}

/// Makes a file unless its name is taken. Returns true if it did. Of several writers one wins, and no reader sees half
/// a file.
///
/// # Errors
/// Those of the system.
pub fn create(path: &Path, bytes: &[u8]) -> io::Result<bool> {
    let (folder, name) = folder_and_name(path)?;
    let new = with_suffix(name, &format!(".{:016x}.tmp", u64::from_be_bytes(random_bytes()?)));
    write_new(&folder, &new, bytes)?;
    let renamed = files::rename_noreplace(&folder, &new, name).inspect_err(|_| remove(&folder, &new));
    match renamed {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        renamed => renamed.and_then(|()| files::sync_folder(&folder)).map(|()| true),
    }
}

fn folder_and_name(path: &Path) -> io::Result<(File, &OsStr)> {
    let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    Ok((files::open_folder(folder.unwrap_or(Path::new(".")))?, name))
}

fn with_suffix(name: &OsStr, suffix: &str) -> OsString {
    let mut new = name.to_owned();
    new.push(suffix);
    new
}

fn write_new(folder: &File, name: &OsStr, bytes: &[u8]) -> io::Result<()> {
    let mut file = files::make_file_in(folder, name)?;
    let written = file.write_all(bytes).and_then(|()| file.sync_all());
    written.inspect_err(|_| remove(folder, name))
}

/// Removes a new file that did not get its name. If that fails, the next writer replaces it.
fn remove(folder: &File, name: &OsStr) {
    let _ = files::remove_file_in(folder, name);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::survive_file_size_limit;
    use std::fs;
    use std::os::unix::fs::{MetadataExt, symlink};
    use std::path::PathBuf;
    use std::process::Command;

    /// The path of the file that a child process cannot replace.
    const CHILD: &str = "GROUPSHARE_TEST_REPLACED";

    fn place() -> (tempfile::TempDir, PathBuf) {
        let temp = tempfile::tempdir().expect("a temporary folder");
        let path = temp.path().join("file");
        (temp, path)
    }

    fn names(folder: &Path) -> usize {
        fs::read_dir(folder).expect("readable").count()
    }

    #[test]
    fn a_durable_file_is_for_its_owner_alone_and_leaves_nothing_else_behind() {
        let (temp, path) = place();
        for bytes in [&b"old"[..], b"", b"new"] {
            replace(&path, bytes).expect("replaced");
            assert_eq!(fs::read(&path).expect("there"), bytes);
        }
        let other = temp.path().join("other");
        assert!(create(&other, b"first").expect("made"));
        assert!(!create(&other, b"second").expect("it is there"));
        assert_eq!(fs::read(&other).expect("there"), b"first");
        for path in [path, other] {
            assert_eq!(fs::metadata(path).expect("there").mode() & 0o777, 0o600);
        }
        assert_eq!(names(temp.path()), 2);
    }

    #[test]
    fn a_link_is_replaced_and_never_followed() {
        let (temp, path) = place();
        let outside = tempfile::tempdir().expect("a temporary folder");
        let target = outside.path().join("target");
        fs::write(&target, "safe").expect("written");
        symlink(&target, temp.path().join("file.new")).expect("linked");
        symlink(&target, &path).expect("linked");
        replace(&path, b"new").expect("replaced");
        assert!(fs::symlink_metadata(&path).expect("there").is_file());
        assert_eq!(fs::read(&path).expect("there"), b"new");
        fs::hard_link(&target, temp.path().join("file.new")).expect("linked");
        replace(&path, b"newer").expect("replaced");
        let dangling = temp.path().join("dangling");
        symlink(outside.path().join("nothing"), &dangling).expect("linked");
        assert!(!create(&dangling, b"new").expect("the name is taken"));
        assert_eq!((fs::read(&target).expect("there"), names(outside.path())), (b"safe".to_vec(), 1));
    }

    #[test]
    fn a_file_stays_as_it_was_when_the_new_one_cannot_be_written() {
        if let Some(path) = std::env::var_os(CHILD) {
            survive_file_size_limit();
            for write in [|path: &Path, bytes: &[u8]| create(path, bytes).map(drop), replace] {
                let error = write(Path::new(&path), &[1; 1 << 20]).expect_err("no file may be that large");
                assert_eq!(error.kind(), io::ErrorKind::FileTooLarge);
            }
            return;
        }
        let (temp, path) = place();
        replace(&path, b"old").expect("replaced");
        let test = "sys::durable::tests::a_file_stays_as_it_was_when_the_new_one_cannot_be_written";
        let mut child = Command::new("sh");
        child.args(["-c", "ulimit -f 1; exec \"$@\"", "sh"]).arg(std::env::current_exe().expect("this program"));
        let output = child.args(["--exact", test]).env(CHILD, &path).output().expect("a shell");
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && said.contains("1 passed"), "{output:?}");
        assert_eq!(fs::read(&path).expect("there"), b"old");
        assert_eq!(names(temp.path()), 1);
    }

    #[test]
    fn a_file_whose_place_cannot_be_taken_leaves_nothing_behind() {
        let (temp, path) = place();
        fs::create_dir(&path).expect("made");
        replace(&path, b"new").expect_err("a folder has the name");
        assert!(!create(&path, b"new").expect("the name is taken"));
        assert_eq!(names(temp.path()), 1);
    }
}
