//! Sockets with a name and an owner in a folder, for programs of this machine.

use rustix::fs::{CWD, Mode, OFlags, openat};
use std::fs::{self, Permissions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

/// Longest path in the address of a socket, in bytes.
const PATH_LEN_MAX: usize = 107;

/// Listens under a name in a folder, for this user alone. It replaces any entry with the name. So only the owner of the
/// folder may call this.
///
/// # Errors
/// Those of socket(2), bind(2), chmod(2) and rename(2).
pub fn bind(folder: &Path, name: &str) -> io::Result<UnixListener> {
    let new = format!("{name}.new");
    // A killed program may have left the socket.
    match fs::remove_file(folder.join(&new)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = with_short_path(folder, &new, |path| UnixListener::bind(path))?;
    fs::set_permissions(folder.join(&new), Permissions::from_mode(0o600))?;
    // Thus the name always leads to a socket, and that socket always has its permissions.
    fs::rename(folder.join(&new), folder.join(name))?;
    Ok(listener)
}

/// Connects to the socket of this name in a folder.
///
/// # Errors
/// Those of connect(2).
pub fn connect(folder: &Path, name: &str) -> io::Result<UnixStream> {
    with_short_path(folder, name, |path| UnixStream::connect(path))
}

/// The user of the program at the other end.
///
/// # Errors
/// Those of getsockopt(2).
pub fn peer_user(stream: &UnixStream) -> io::Result<u32> {
    Ok(rustix::net::sockopt::socket_peercred(stream)?.uid.as_raw())
}

/// The user of this program.
pub fn own_user() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// If a path is too long for an address, a descriptor of its folder stands in its place.
fn with_short_path<T>(folder: &Path, name: &str, work: impl FnOnce(&Path) -> io::Result<T>) -> io::Result<T> {
    let path = folder.join(name);
    if path.as_os_str().len() <= PATH_LEN_MAX {
        return work(&path);
    }
    let folder = openat(CWD, folder, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    work(&PathBuf::from(format!("/proc/self/fd/{}", folder.as_raw_fd())).join(name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::os::unix::fs::FileTypeExt;

    fn speaks(folder: &Path) {
        let listener = bind(folder, "door").expect("bound");
        let mut caller = connect(folder, "door").expect("connected");
        let (mut called, _) = listener.accept().expect("accepted");
        assert_eq!(peer_user(&called).expect("told"), own_user());
        caller.write_all(b"x").expect("written");
        drop(caller);
        let mut heard = String::new();
        called.read_to_string(&mut heard).expect("read");
        assert_eq!(heard, "x");
        let kept = fs::symlink_metadata(folder.join("door")).expect("there");
        assert!(kept.file_type().is_socket());
        assert_eq!(kept.permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_socket_is_for_its_owner_and_takes_the_place_of_one_that_was_left() {
        let folder = tempfile::tempdir().expect("a folder");
        speaks(folder.path());
        // The listener is gone, the file is not.
        assert_eq!(connect(folder.path(), "door").expect_err("left").kind(), io::ErrorKind::ConnectionRefused);
        fs::rename(folder.path().join("door"), folder.path().join("door.new")).expect("renamed");
        speaks(folder.path());
    }

    #[test]
    fn a_path_may_be_longer_than_an_address() {
        let folder = tempfile::tempdir().expect("a folder");
        let deep = folder.path().join("d".repeat(200));
        fs::create_dir(&deep).expect("made");
        speaks(&deep);
    }
}
