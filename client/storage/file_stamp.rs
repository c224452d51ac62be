//! Stamps: data of a file's inode that show whether its content is still the hashed one.

use super::local_name::locate;
use super::piece_source::SourceError;
use crate::model::digest::Sha1Digest;
use crate::model::manifest::FileEntry;
use crate::sys::files::look_unlinked;
use sha1::{Digest, Sha1};
use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// The identity of a file and the time of its last write. The time of the inode's last change is left out on purpose:
/// another name or other permissions do not change the content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileStamp {
    /// The number of the inode.
    pub inode: u64,
    /// The size in bytes.
    pub size: u64,
    /// The time of the last write: seconds since 1970 and nanoseconds.
    pub modified: (i64, i64),
}

impl FileStamp {
    /// The stamp in a file's metadata.
    pub fn of(metadata: &Metadata) -> Self {
        Self { inode: metadata.ino(), size: metadata.size(), modified: (metadata.mtime(), metadata.mtime_nsec()) }
    }
}

/// The stamps of the files of one share, in stream order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stamps(pub Box<[FileStamp]>);

/// A digest of stamps, for a record. Equal digests mean equal stamps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct StampsDigest(pub Sha1Digest);

impl StampsDigest {
    /// Stands for stamps that prove nothing, because the content was wrong under them. No stamps have this digest.
    pub const WORTHLESS: Self = Self(Sha1Digest([0; 20]));
}

impl Stamps {
    /// The current stamps of the files of a share at `root`.
    ///
    /// # Errors
    /// `Gone` if a file is missing; `Changed` for something else or for another length; `Io`, also for an unreadable
    /// file; `Link` for a symbolic link, in the place of a file or on the way there.
    pub fn take(root: &Path, files: &[FileEntry]) -> Result<Self, SourceError> {
        let stamps = files.iter().map(|file| {
            let path = locate(root, &file.path);
            match look_unlinked(&path).and_then(|found| may_read(&path).map(|()| found)) {
                Ok(found) if found.is_file() && found.size() == file.len => Ok(FileStamp::of(&found)),
                Ok(_) => Err(SourceError::Changed(path)),
                Err(error) => Err(SourceError::from_io(path, error)),
            }
        });
        stamps.collect::<Result<_, _>>().map(Self)
    }

    /// The digest for a record, to compare with that of later stamps.
    pub fn digest(&self) -> StampsDigest {
        let mut sha1 = Sha1::new();
        for stamp in &self.0 {
            sha1.update(stamp.inode.to_be_bytes());
            sha1.update(stamp.size.to_be_bytes());
            sha1.update(stamp.modified.0.to_be_bytes());
            sha1.update(stamp.modified.1.to_be_bytes());
        }
        StampsDigest(Sha1Digest(sha1.finalize().into()))
    }
}

/// Fails if this process may not read the file.
pub(crate) fn may_read(path: &Path) -> io::Result<()> {
    Ok(rustix::fs::access(path, rustix::fs::Access::READ_OK)?)
}

/// Whether the file at a path still has this stamp.
///
/// # Errors
/// `Changed`, `Link`, `Gone` or `Io` if it does not, or if that is unknown.
pub fn check(path: &Path, stamp: &FileStamp) -> Result<(), SourceError> {
    compare(path, stamp, look_unlinked(path))
}

/// Compares the file found at a path with a stamp.
pub(crate) fn compare(path: &Path, stamp: &FileStamp, found: io::Result<Metadata>) -> Result<(), SourceError> {
    match found {
        Ok(found) if found.is_file() && FileStamp::of(&found) == *stamp => Ok(()),
        Ok(_) => Err(SourceError::Changed(path.to_path_buf())),
        Err(error) => Err(SourceError::from_io(path.to_path_buf(), error)),
    }
}
