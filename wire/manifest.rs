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

#[cfg(test)]
mod tests {
    use super::super::codec::DecodeError::{OverCap, Trailing, Truncated, Value};
    use super::*;
    use crate::model::path::RelPath;
    use crate::model::piece::PIECE_LEN;

    fn manifest(files: &[(&str, u64)], pieces: usize) -> Manifest {
        let file = |&(path, len): &(&str, u64)| FileEntry { path: RelPath::parse(path).expect("a path"), len };
        Manifest::new(files.iter().map(file).collect(), vec![Sha1Digest([7; 20]); pieces]).expect("a manifest")
    }

    /// Encodes parts of a manifest that together need not be one.
    fn raw(magic: &[u8; 8], files: &[(&str, u64)], pieces: u32) -> Vec<u8> {
        let mut out = magic.to_vec();
        (files.len() as u32).put(&mut out);
        for (path, len) in files {
            (path.len() as u16).put(&mut out);
            out.extend_from_slice(path.as_bytes());
            len.put(&mut out);
        }
        pieces.put(&mut out);
        (0..pieces).for_each(|_| Sha1Digest([7; 20]).put(&mut out));
        out
    }

    /// Decodes bytes under the info hash that is really theirs.
    fn decode_as_is(bytes: &[u8]) -> Result<Manifest, DecodeError> {
        decode(bytes, info_hash(bytes))
    }

    #[test]
    fn a_manifest_is_known_by_the_sha_256_of_its_bytes() {
        let manifest = manifest(&[("d/a", 1), ("d/b", u64::from(PIECE_LEN))], 2);
        let (bytes, hash) = encode(&manifest).expect("short");
        assert_eq!(bytes, raw(&MAGIC, &[("d/a", 1), ("d/b", u64::from(PIECE_LEN))], 2));
        assert_eq!(decode(&bytes, hash), Ok(manifest));
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            assert_eq!(decode(&changed, hash), Err(Value("the info hash")), "{at}");
        }
    }

    #[test]
    fn what_is_named_by_its_info_hash_still_has_to_be_a_manifest() {
        assert!(decode_as_is(&raw(&MAGIC, &[("a", 1)], 1)).is_ok());
        assert_eq!(decode_as_is(&raw(b"GSMANIF\x02", &[("a", 1)], 1)), Err(Value("the version of a manifest")));
        for (files, pieces) in [
            (&[][..], 0),
            (&[("a", 1)], 0),
            (&[("a", 1)], 2),
            (&[("a", 0)], 1),
            (&[("a", 1), ("b", 1)], 1),
            (&[("d/b", 1), ("d/a", 1)], 1),
            (&[("d/a", 1), ("d/a", 1)], 1),
            (&[("d/a", 1), ("d/a/b", 1)], 1),
            (&[("d/a", u64::MAX), ("d/b", 1)], 1),
            (&[("a", u64::MAX)], 1),
        ] {
            assert_eq!(decode_as_is(&raw(&MAGIC, files, pieces)), Err(Value("a manifest")), "{files:?}");
        }
        for path in ["../a", "/a", "d//a", "d/", "", "."] {
            assert!(matches!(decode_as_is(&raw(&MAGIC, &[(path, 1)], 1)), Err(DecodeError::Name(_))), "{path}");
        }
    }

    #[test]
    fn a_manifest_ends_where_its_bytes_end() {
        let bytes = raw(&MAGIC, &[("d/a", 1), ("d/b", 2)], 1);
        for cut in 0..bytes.len() {
            assert_eq!(decode_as_is(&bytes[..cut]), Err(Truncated), "{cut}");
        }
        assert_eq!(decode_as_is(&[&bytes[..], &[0]].concat()), Err(Trailing(1)));
    }

    #[test]
    fn bytes_over_the_cap_are_refused_before_they_are_hashed() {
        let long = vec![0; MANIFEST_LEN_MAX + 1];
        let expected = Err(OverCap { len: MANIFEST_LEN_MAX + 1, max: MANIFEST_LEN_MAX });
        assert_eq!(decode(&long, InfoHash([0; 32])), expected);
        assert_eq!(decode(&long[1..], InfoHash([0; 32])), Err(Value("the info hash")));
    }

    #[test]
    fn the_largest_share_with_ordinary_paths_is_under_the_cap() {
        // Not made, since that takes a while: counts, files with paths of 77 bytes, digests.
        let len = 8 + 4 + FILES_MAX * (2 + 77 + 8) + 4 + PIECES_MAX as usize * Sha1Digest::LEN;
        assert!(len <= MANIFEST_LEN_MAX, "{len}");
    }
}
