//! Events in folders, as the system reports them: inotify.

use rustix::fs::inotify::{self, CreateFlags, ReadFlags, Reader, WatchFlags};
use rustix::io::Errno;
use std::ffi::{OsStr, OsString};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Bytes that one call reads. An event with the longest name takes 272.
const BUFFER_LEN: usize = 16 * 1024;

/// Names one watched folder. The system gives each watch a new number, and never the same number twice.
pub type WatchId = i32;

/// One event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FolderEvent {
    /// An entry with this name was made, removed or changed in a folder.
    Entry { folder: WatchId, name: OsString, is_folder: bool },
    /// The folder itself was moved or removed, or its watch has ended.
    Lost { folder: WatchId },
    /// Events are missing.
    Overflow,
}

/// The watched folders of one owner, with a descriptor that is readable once there are events.
#[derive(Debug)]
pub struct FolderEvents {
    fd: OwnedFd,
}

impl FolderEvents {
    /// Makes a watcher without a folder.
    ///
    /// # Errors
    /// Those of inotify_init(2), also if the user has too many such watchers.
    pub fn new() -> io::Result<Self> {
        Ok(Self { fd: inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)? })
    }

    /// Reports the events of a folder from now on. Does not follow a symbolic link.
    ///
    /// # Errors
    /// Those of inotify_add_watch(2): `ENOSPC` if a user has as many watches as the system allows.
    pub fn watch(&self, folder: &Path) -> io::Result<WatchId> {
        let what = WatchFlags::CREATE
            | WatchFlags::DELETE
            | WatchFlags::MOVED_FROM
            | WatchFlags::MOVED_TO
            | WatchFlags::MODIFY
            | WatchFlags::CLOSE_WRITE
            | WatchFlags::ATTRIB
            | WatchFlags::DELETE_SELF
            | WatchFlags::MOVE_SELF;
        let how = WatchFlags::ONLYDIR | WatchFlags::DONT_FOLLOW | WatchFlags::EXCL_UNLINK;
        Ok(inotify::add_watch(&self.fd, folder, what | how)?)
    }

    /// Stops the reports of a folder.
    pub fn unwatch(&self, folder: WatchId) {
        // The watch of a removed folder has ended already.
        let _ = inotify::remove_watch(&self.fd, folder);
    }

    /// The events since the last call. Does not wait.
    ///
    /// # Errors
    /// Those of read(2).
    pub fn take(&self) -> io::Result<Vec<FolderEvent>> {
        let mut buffer = [MaybeUninit::uninit(); BUFFER_LEN];
        let mut reader = Reader::new(self.fd.as_fd(), &mut buffer);
        let mut events = Vec::new();
        loop {
            match reader.next() {
                Ok(event) => events.extend(told(&event)),
                Err(Errno::AGAIN) => return Ok(events),
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

fn told(event: &inotify::Event<'_>) -> Option<FolderEvent> {
    let (folder, what) = (event.wd(), event.events());
    if what.contains(ReadFlags::QUEUE_OVERFLOW) {
        return Some(FolderEvent::Overflow);
    }
    match event.file_name() {
        Some(name) => {
            let name = OsStr::from_bytes(name.to_bytes()).to_owned();
            Some(FolderEvent::Entry { folder, name, is_folder: what.contains(ReadFlags::ISDIR) })
        }
        None => {
            let lost = ReadFlags::DELETE_SELF | ReadFlags::MOVE_SELF | ReadFlags::UNMOUNT | ReadFlags::IGNORED;
            what.intersects(lost).then_some(FolderEvent::Lost { folder })
        }
    }
}

impl AsFd for FolderEvents {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn folder_events_tell_what_happens_with_its_name() {
        let temp = tempfile::tempdir().expect("a temporary folder");
        let events = FolderEvents::new().expect("a descriptor");
        let folder = events.watch(temp.path()).expect("a folder");
        assert_eq!(events.take().expect("read"), []);
        fs::write(temp.path().join("a"), "new").expect("written");
        fs::create_dir(temp.path().join("d")).expect("made");
        fs::rename(temp.path().join("a"), temp.path().join("b")).expect("moved");
        let mut told = events.take().expect("read");
        told.dedup();
        let named = |name: &str| {
            let is = |event: &&FolderEvent| matches!(event, FolderEvent::Entry { name: of, .. } if *of == *name);
            told.iter().filter(is).count()
        };
        assert!(named("a") >= 2 && named("b") == 1, "{told:?}");
        assert!(told.contains(&FolderEvent::Entry { folder, name: "d".into(), is_folder: true }), "{told:?}");
        fs::remove_dir_all(temp.path()).expect("there");
        assert!(events.take().expect("read").contains(&FolderEvent::Lost { folder }));
    }

    #[test]
    fn folder_events_tell_that_the_queue_of_the_system_has_overflowed() {
        let temp = tempfile::tempdir().expect("a temporary folder");
        let events = FolderEvents::new().expect("a descriptor");
        events.watch(temp.path()).expect("a folder");
        let room = fs::read_to_string("/proc/sys/fs/inotify/max_queued_events").expect("Linux tells");
        let room: usize = room.trim().parse().expect("a number");
        let names = ["a", "b"].map(|name| temp.path().join(name));
        fs::write(&names[0], "new").expect("written");
        for turn in 0..=room / 2 {
            fs::rename(&names[turn % 2], &names[(turn + 1) % 2]).expect("renamed");
        }
        let told = events.take().expect("read");
        assert!(told.len() <= room + 1 && told.contains(&FolderEvent::Overflow), "{}", told.len());
        fs::write(temp.path().join("c"), "new").expect("written");
        assert!(!events.take().expect("read").is_empty(), "later ones are told again");
    }

    #[test]
    fn no_link_and_no_file_is_watched() {
        let temp = tempfile::tempdir().expect("a temporary folder");
        let events = FolderEvents::new().expect("a descriptor");
        std::os::unix::fs::symlink("/", temp.path().join("link")).expect("made");
        fs::write(temp.path().join("file"), "").expect("written");
        for name in ["link", "file", "none"] {
            events.watch(&temp.path().join(name)).expect_err(name);
        }
    }
}
