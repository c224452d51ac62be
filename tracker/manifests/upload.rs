//! A manifest that is coming in: its file, the check of the parts, and the room that it takes.

use super::facts::{FactsCheck, FileIdentity, ManifestFacts};
use super::lens::ReservedRoom;
use crate::model::digest::InfoHash;
use crate::sys::files::{self, Open};
use std::fs::{self, File};
use std::io;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// How long an upload waits for its next part.
const PART_WAIT: Duration = Duration::from_secs(60);
/// How long an upload may take.
const UPLOAD_MAX: Duration = Duration::from_secs(3600);

/// A manifest that is coming in. Dropping it removes its file.
#[derive(Debug)]
pub struct ManifestUpload {
    pub(super) info_hash: InfoHash,
    pub(super) total: u32,
    pub(super) written: u32,
    pub(super) file: File,
    pub(super) check: FactsCheck,
    pub(super) place: UploadPlace,
    pub(super) room: ReservedRoom,
    /// Its next part has come and got no turn.
    pub(super) refused: bool,
    begun: Instant,
    /// When its last part came.
    pub(super) heard: Instant,
}

impl ManifestUpload {
    /// Begins an upload into a new file.
    pub(super) fn begin((info_hash, total): (InfoHash, u32), path: PathBuf, room: ReservedRoom) -> io::Result<Self> {
        let file = files::open_file(&path, Open::New(0o600))?;
        let (place, check, now) = (UploadPlace(path), FactsCheck::new(info_hash), Instant::now());
        Ok(Self { info_hash, total, written: 0, file, check, place, room, refused: false, begun: now, heard: now })
    }

    /// Whether this is the part that got no turn.
    pub(crate) fn awaits(&self, part: &ManifestPart<'_>) -> bool {
        self.refused && self.is_of(part) && part.offset == self.written
    }

    /// Whether this part follows the one that got no turn.
    pub(super) fn is_behind(&self, part: &ManifestPart<'_>) -> bool {
        self.refused && self.is_of(part) && part.offset > self.written
    }

    fn is_of(&self, part: &ManifestPart<'_>) -> bool {
        (self.info_hash, self.total) == (part.info_hash, part.total)
    }

    /// Whether it takes too long: it holds room that others may need.
    pub fn is_stale(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.heard) >= PART_WAIT
            || now.saturating_duration_since(self.begun) >= UPLOAD_MAX
    }
}

/// The file of an upload. Dropping it removes the file, unless it has got its final name.
#[derive(Debug)]
pub(super) struct UploadPlace(pub(super) PathBuf);

impl Drop for UploadPlace {
    fn drop(&mut self) {
        // Fails if the file has its final name.
        let _ = fs::remove_file(&self.0);
    }
}

/// A manifest that is whole and valid, but not durable yet. Dropping it removes its file unless it was kept. Many may
/// wait together, so their files are not open.
#[derive(Debug)]
pub struct CheckedManifest {
    pub(super) info_hash: InfoHash,
    pub(super) place: UploadPlace,
    pub(super) identity: FileIdentity,
    pub(super) facts: ManifestFacts,
    pub(super) room: ReservedRoom,
}

impl CheckedManifest {
    pub fn info_hash(&self) -> InfoHash {
        self.info_hash
    }
}

/// One part of a manifest.
#[derive(Debug, Clone, Copy)]
pub struct ManifestPart<'a> {
    pub info_hash: InfoHash,
    /// Length of the whole in bytes.
    pub total: u32,
    pub offset: u32,
    pub bytes: &'a [u8],
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tracker::manifests::{Manifests, Requester};

    #[test]
    fn an_upload_keeps_its_room_while_its_parts_come() {
        let temp = tempfile::tempdir().expect("a folder");
        let manifests = Manifests::open(temp.path(), std::iter::empty(), false).expect("opened");
        let bytes = b"GSMANIF\x02\0\0\x40\0\0\0\0\x01\0\x05";
        let mut upload = None;
        let put = |upload: &mut Option<ManifestUpload>, offset: u32, bytes| {
            let part = ManifestPart { info_hash: InfoHash([1; 32]), total: 9000, offset, bytes };
            manifests.put(upload, part, Requester::Operator, |_| Ok(())).expect("nothing is wrong so far");
        };
        put(&mut upload, 0, &bytes[..10]);
        assert_eq!(manifests.lens().total(), 4096);
        let begun = upload.as_ref().expect("under way").begun;
        let second = Duration::from_secs(1);
        let is_stale = |upload: &Option<ManifestUpload>, now| upload.as_ref().is_some_and(|it| it.is_stale(now));
        assert!(!is_stale(&upload, begun + PART_WAIT - second));
        upload.iter_mut().for_each(|it| it.heard = begun + UPLOAD_MAX - second);
        assert!(!is_stale(&upload, begun + UPLOAD_MAX - second) && is_stale(&upload, begun + UPLOAD_MAX));
        put(&mut upload, 10, &bytes[10..]);
        let heard = upload.as_ref().expect("under way").heard;
        assert!(is_stale(&upload, heard + PART_WAIT));
        upload = None;
        assert_eq!((manifests.lens().total(), upload.is_none()), (0, true));
    }
}
