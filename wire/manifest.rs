//! The canonical encoding of a manifest, whose SHA-256 is the info hash.

use super::codec::{DecodeError, Decoder, Wire, from_bytes, to_bytes, wire_struct};
use crate::model::digest::{InfoHash, Sha1Digest};
use crate::model::manifest::{FILES_MAX, FileEntry, Manifest};
use crate::model::path::PATH_LEN_MAX;
use crate::model::piece::PIECES_MAX;

/// First bytes of an encoded manifest: what it is, and the version of the encoding.
const MAGIC: [u8; 8] = *b"GSMANIF\x01";
/// Longest encoding in bytes. A folder of 2^20 files has room for paths of about 80 bytes on average.
pub const MANIFEST_LEN_MAX: usize = 128 * 1024 * 1024;

wire_struct!(FileEntry { path, len });

impl Wire for Manifest {
    fn put(&self, out: &mut Vec<u8>) {
        MAGIC.put(out);
        // Both counts are capped far below 2^32.
        (self.files().len() as u32).put(out);
        self.files().iter().for_each(|file| file.put(out));
        (self.pieces().len() as u32).put(out);
        self.pieces().iter().for_each(|piece| piece.put(out));
    }

    fn take(from: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        if <[u8; 8]>::take(from)? != MAGIC {
            return Err(DecodeError::Value("the version of a manifest"));
        }
        let files = take_counted::<FileEntry>(from, FILES_MAX)?;
        let pieces = take_counted::<Sha1Digest>(from, PIECES_MAX as usize)?;
        Manifest::new(files, pieces).map_err(|_| DecodeError::Value("a manifest"))
    }
}

fn take_counted<T: Wire>(from: &mut Decoder<'_>, max: usize) -> Result<Vec<T>, DecodeError> {
    let len = u32::take(from)? as usize;
    if len > max {
        return Err(DecodeError::OverCap { len, max });
    }
    (0..len).map(|_| T::take(from)).collect()
}

/// The encoding of a manifest and its info hash; `None` if the paths are so long that it would be over the cap.
pub fn encode(manifest: &Manifest) -> Option<(Vec<u8>, InfoHash)> {
    let bytes = to_bytes(manifest);
    let info_hash = info_hash(&bytes);
    (bytes.len() <= MANIFEST_LEN_MAX).then_some((bytes, info_hash))
}

/// The manifest that these bytes encode, if they are the ones that the info hash names.
pub fn decode(bytes: &[u8], expected: InfoHash) -> Result<Manifest, DecodeError> {
    if bytes.len() > MANIFEST_LEN_MAX {
        return Err(DecodeError::OverCap { len: bytes.len(), max: MANIFEST_LEN_MAX });
    }
    if info_hash(bytes) != expected {
        return Err(DecodeError::Value("the info hash"));
    }
    from_bytes(bytes)
}

/// The info hash of an encoded manifest.
fn info_hash(bytes: &[u8]) -> InfoHash {
    let digest = ring::digest::digest(&ring::digest::SHA256, bytes);
    InfoHash(digest.as_ref().try_into().expect("SHA-256 has 32 bytes"))
}

const _: () = assert!(PATH_LEN_MAX <= u16::MAX as usize);
