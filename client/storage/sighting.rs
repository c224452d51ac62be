//! What lies at the places of a share's files now, as far as a look without reading content tells.

use super::file_stamp::{FileStamp, Stamps, may_read};
use super::local_name::locate;
use crate::model::digest::Sha1Digest;
use crate::model::manifest::FileEntry;
use crate::sys;
use crate::sys::files::{is_link, look_unlinked};
use sha1::{Digest, Sha1};
use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// What lies at the place of one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sight {
    /// A readable file of the right length.
    File(FileStamp, InodeChange),
    /// Something else, or a file of another length.
    Other(FileStamp, InodeChange),
    /// A symbolic link, or a file behind one. No link is followed.
    Link,
    /// Nothing.
    Gone,
    /// The system refuses to read it, for this reason.
    Unreadable(String),
}

/// The time of the inode's last change: seconds since 1970 and nanoseconds. Unlike the time of the last write, no
/// program can set it back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InodeChange(i64, i64);

impl Sight {
    /// Looks at the place of a file with this expected length.
    pub fn at(path: &Path, len: u64) -> Self {
        match look_unlinked(path).and_then(|found| may_read(path).map(|()| found)) {
            Ok(found) if found.is_file() && found.size() == len => {
                Sight::File(FileStamp::of(&found), change_of(&found))
            }
            Ok(found) => Sight::Other(FileStamp::of(&found), change_of(&found)),
            Err(error) if is_link(&error) => Sight::Link,
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Sight::Gone,
            Err(error) => Sight::Unreadable(sys::reason(&error)),
        }
    }

    /// The stamp of a file that may have the right content.
    pub fn stamp(&self) -> Option<FileStamp> {
        match self {
            Sight::File(stamp, _) => Some(*stamp),
            Sight::Other(..) | Sight::Link | Sight::Gone | Sight::Unreadable(_) => None,
        }
    }

    fn digest_into(&self, sha1: &mut Sha1) {
        let (kind, inode) = match self {
            Sight::File(stamp, change) => (0u8, Some((stamp, change))),
            Sight::Other(stamp, change) => (1, Some((stamp, change))),
            Sight::Gone => (2, None),
            Sight::Unreadable(_) => (3, None),
            Sight::Link => (4, None),
        };
        sha1.update([kind]);
        if let Some((FileStamp { inode, size, modified }, InodeChange(seconds, nanos))) = inode {
            for number in [*inode, *size] {
                sha1.update(number.to_be_bytes());
            }
            for number in [modified.0, modified.1, *seconds, *nanos] {
                sha1.update(number.to_be_bytes());
            }
        }
    }
}

fn change_of(found: &Metadata) -> InodeChange {
    InodeChange(found.ctime(), found.ctime_nsec())
}

/// What lies at the places of all files of a share, in stream order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sighting(pub Box<[Sight]>);

impl Sighting {
    /// Looks at the files of a share at `root`.
    pub fn take(root: &Path, files: &[FileEntry]) -> Self {
        Self(files.iter().map(|file| Sight::at(&locate(root, &file.path), file.len)).collect())
    }

    /// The stamps, if a file of the right length lies at every place.
    pub fn stamps(&self) -> Option<Stamps> {
        self.0.iter().map(Sight::stamp).collect::<Option<_>>().map(Stamps)
    }

    /// A digest of everything. Two sightings with the same digest have seen the same.
    pub fn digest(&self) -> Sha1Digest {
        let mut sha1 = Sha1::new();
        self.0.iter().for_each(|seen| seen.digest_into(&mut sha1));
        Sha1Digest(sha1.finalize().into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::path::RelPath;
    use std::fs::{self, File};
    use std::os::unix::fs::{FileExt, symlink};
    use std::time::SystemTime;

    fn entry(len: u64) -> [FileEntry; 1] {
        [FileEntry { path: RelPath::parse("f").expect("a path"), len }]
    }

    #[test]
    fn a_look_tells_a_file_from_another_one_from_nothing_and_from_what_cannot_be_read() {
        let temp = tempfile::tempdir().expect("a temporary folder");
        let path = temp.path().join("f");
        let look = || Sighting::take(&path, &entry(7)).0[0].clone();
        assert_eq!(look(), Sight::Gone);
        assert_eq!(Sight::at(&path.join("below"), 7), Sight::Gone);
        fs::write(&path, "content").expect("written");
        assert!(matches!(look(), Sight::File(..)));
        assert_eq!(Sight::at(&path.join("below"), 7), Sight::Gone, "its folder is a file");
        fs::write(&path, "longer content").expect("written");
        assert!(matches!(look(), Sight::Other(..)));
        fs::remove_file(&path).expect("removed");
        fs::create_dir(&path).expect("made");
        assert!(matches!(look(), Sight::Other(..)));
        fs::remove_dir(&path).expect("removed");
        symlink(&path, &path).expect("made");
        assert_eq!(look(), Sight::Link, "it leads to itself");
        fs::remove_file(&path).expect("removed");
        fs::write(temp.path().join("other"), "content").expect("written");
        symlink("other", &path).expect("made");
        assert_eq!(look(), Sight::Link);
        fs::create_dir(temp.path().join("folder")).expect("made");
        fs::write(temp.path().join("folder/g"), "content").expect("written");
        assert!(matches!(Sight::at(&temp.path().join("folder/g"), 7), Sight::File(..)));
        symlink("folder", temp.path().join("way")).expect("made");
        assert_eq!(Sight::at(&temp.path().join("way/g"), 7), Sight::Link);
    }

    #[test]
    fn a_write_that_keeps_size_and_time_still_makes_a_file_look_different() {
        let temp = tempfile::tempdir().expect("a temporary folder");
        let path = temp.path().join("f");
        fs::write(&path, "content").expect("written");
        let file = File::options().write(true).open(&path).expect("opened");
        file.set_modified(SystemTime::UNIX_EPOCH).expect("set");
        let before = Sighting::take(&path, &entry(7));
        assert_eq!(before.digest(), Sighting::take(&path, &entry(7)).digest());
        // The clock of a file system may stand still between two writes.
        while Sighting::take(&path, &entry(7)).digest() == before.digest() {
            file.write_all_at(b"CONTENT", 0).expect("written");
            file.set_modified(SystemTime::UNIX_EPOCH).expect("set");
        }
        let after = Sighting::take(&path, &entry(7));
        assert_eq!(before.stamps(), after.stamps());
    }
}
