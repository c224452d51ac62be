//! The encoding of a manifest. The hashed part has the content of a share, and its SHA-256 is the info hash. Sections
//! follow, which may say more about the files and are no part of the content.

mod check;
mod format;

pub use check::{ManifestCheck, ManifestSink, ManifestSummary};
pub use format::{MANIFEST_LEN_MAX, SECTIONS_LEN_MAX, SECTIONS_RATIO_MAX};

use super::codec::{DecodeError, Decoder, Wire, from_bytes, to_bytes};
use crate::model::digest::{InfoHash, Sha1Digest};
use crate::model::manifest::{FileAttributes, FileEntry, Manifest};
use format::{ATTRIBUTES, MAGIC, OLDER_MAGIC, take_head};

/// This version skips sections of an unknown kind, so that later versions may add some. The canonical form is a
/// manifest without them.
impl Wire for Manifest {
    fn put(&self, out: &mut Vec<u8>) {
        let begin = out.len();
        MAGIC.put(out);
        0u32.put(out);
        let hashed_from = out.len();
        // Both counts are capped far below 2^32.
        (self.files().len() as u32).put(out);
        self.files().iter().for_each(|file| file.put(out));
        (self.pieces().len() as u32).put(out);
        self.pieces().iter().for_each(|piece| piece.put(out));
        patch_len(out, hashed_from);
        let sections_from = out.len();
        put_sections(self.attributes(), out);
        if out.len() - begin > MANIFEST_LEN_MAX {
            // A share with very long paths loses its attributes, so that the share itself still fits.
            out.truncate(sections_from);
            put_sections(&[], out);
        }
    }

    fn take(from: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        let mut check = ManifestCheck::of_hashed(Gathered::default());
        check.feed(from.bytes(from.left())?)?;
        let (_, Gathered { files, pieces, attributes }) = check.finish()?;
        let manifest = Manifest::new(files, pieces).map_err(|_| DecodeError::Value("a manifest"))?;
        if attributes.is_empty() {
            return Ok(manifest);
        }
        manifest.with_attributes(attributes).map_err(|_| DecodeError::Value("the number of attributes"))
    }
}

/// Everything in a manifest.
#[derive(Debug, Default)]
struct Gathered {
    files: Vec<FileEntry>,
    pieces: Vec<Sha1Digest>,
    attributes: Vec<FileAttributes>,
}

impl ManifestSink for Gathered {
    fn file(&mut self, file: FileEntry) {
        self.files.push(file);
    }

    fn pieces(&mut self, digests: &[[u8; Sha1Digest::LEN]]) {
        self.pieces.extend(digests.iter().copied().map(Sha1Digest));
    }

    fn attributes(&mut self, attributes: FileAttributes) {
        self.attributes.push(attributes);
    }
}

/// One section if there are attributes, otherwise none.
fn put_sections(attributes: &[FileAttributes], out: &mut Vec<u8>) {
    let told = !attributes.is_empty();
    told.put(out);
    if told {
        ATTRIBUTES.put(out);
        0u32.put(out);
        let from = out.len();
        attributes.iter().for_each(|file| file.put(out));
        patch_len(out, from);
    }
}

/// Writes the number of bytes from `from` on into the four bytes before them.
fn patch_len(out: &mut [u8], from: usize) {
    // A manifest has at most 2^20 paths of 3 KiB.
    let len = (out.len() - from) as u32;
    out[from - 4..from].copy_from_slice(&len.to_be_bytes());
}

/// The encoding of a manifest and its info hash. `None` if its paths make it longer than the cap.
pub fn encode(manifest: &Manifest) -> Option<(Vec<u8>, InfoHash)> {
    let bytes = to_bytes(manifest);
    let info_hash = info_hash_of(&bytes).expect("it was just encoded");
    (bytes.len() <= MANIFEST_LEN_MAX).then_some((bytes, info_hash))
}

/// The manifest that these bytes encode. Its info hash must be the expected one.
pub fn decode(bytes: &[u8], expected: InfoHash) -> Result<Manifest, DecodeError> {
    if bytes.len() > MANIFEST_LEN_MAX {
        return Err(DecodeError::OverCap { len: bytes.len(), max: MANIFEST_LEN_MAX });
    }
    if info_hash_of(bytes)? != expected {
        return Err(DecodeError::Value("the info hash"));
    }
    from_bytes(bytes)
}

/// Whether bytes begin like the manifests of an older version of the program.
pub fn is_older(bytes: &[u8]) -> bool {
    bytes.starts_with(&OLDER_MAGIC)
}

/// The info hash of an encoded manifest.
fn info_hash_of(bytes: &[u8]) -> Result<InfoHash, DecodeError> {
    let mut from = Decoder::new(bytes);
    let len = take_head(&mut from)?;
    let digest = ring::digest::digest(&ring::digest::SHA256, from.bytes(len)?);
    Ok(InfoHash(digest.as_ref().try_into().expect("SHA-256 has 32 bytes")))
}

#[cfg(test)]
mod tests {
    use super::super::codec::DecodeError::{OlderManifest, OverCap, Trailing, Truncated, Value};
    use super::*;
    use crate::model::manifest::{FILES_MAX, FileTime};
    use crate::model::path::RelPath;
    use crate::model::piece::{PIECE_LEN, PIECES_MAX};

    const TIME: FileTime = match FileTime::new(-2, 3) {
        Some(time) => time,
        None => panic!("a time"),
    };

    fn manifest(files: &[(&str, u64)], pieces: usize) -> Manifest {
        let file = |&(path, len): &(&str, u64)| FileEntry { path: RelPath::parse(path).expect("a path"), len };
        Manifest::new(files.iter().map(file).collect(), vec![Sha1Digest([7; 20]); pieces]).expect("a manifest")
    }

    /// Encodes parts of a manifest that need not fit together.
    fn raw(files: &[(&str, u64)], pieces: u32, sections: &[(u8, &[u8])]) -> Vec<u8> {
        let mut hashed = Vec::new();
        (files.len() as u32).put(&mut hashed);
        for (path, len) in files {
            (path.len() as u16).put(&mut hashed);
            hashed.extend_from_slice(path.as_bytes());
            len.put(&mut hashed);
        }
        pieces.put(&mut hashed);
        (0..pieces).for_each(|_| Sha1Digest([7; 20]).put(&mut hashed));
        let mut out = MAGIC.to_vec();
        (hashed.len() as u32).put(&mut out);
        out.extend(hashed);
        (sections.len() as u8).put(&mut out);
        for (kind, bytes) in sections {
            kind.put(&mut out);
            (bytes.len() as u32).put(&mut out);
            out.extend_from_slice(bytes);
        }
        out
    }

    /// Decodes bytes under their real info hash.
    fn decode_as_is(bytes: &[u8]) -> Result<Manifest, DecodeError> {
        decode(bytes, info_hash_of(bytes)?)
    }

    #[test]
    fn a_manifest_is_known_by_the_sha_256_of_its_files_and_pieces() {
        let manifest = manifest(&[("d/a", 1), ("d/b", u64::from(PIECE_LEN))], 2);
        let (bytes, hash) = encode(&manifest).expect("short");
        assert_eq!(bytes, raw(&[("d/a", 1), ("d/b", u64::from(PIECE_LEN))], 2, &[]));
        assert_eq!(decode(&bytes, hash), Ok(manifest));
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            assert!(decode(&changed, hash).is_err(), "{at}");
        }
    }

    #[test]
    fn attributes_travel_beside_the_content_and_are_no_part_of_it() {
        let plain = manifest(&[("d/a", 1), ("d/b", 0)], 1);
        let attributes = |executable| FileAttributes { executable, modified: TIME };
        let told = plain.clone().with_attributes(vec![attributes(true), attributes(false)]).expect("two");
        let (bytes, hash) = encode(&told).expect("short");
        let encoded = |flag: u8| [&[flag][..], &[0xff; 7], &[0xfe, 0, 0, 0, 3]].concat();
        let section = [encoded(1), encoded(0)].concat();
        assert_eq!(bytes, raw(&[("d/a", 1), ("d/b", 0)], 1, &[(1, &section)]));
        assert_eq!(hash, encode(&plain).expect("short").1);
        assert_eq!(decode(&bytes, hash), Ok(told));
    }

    #[test]
    fn sections_that_a_later_version_may_have_are_passed_over() {
        let files = &[("a", 1)][..];
        let attributes = [&[1][..], &[0; 12]].concat();
        let bytes = raw(files, 1, &[(1, &attributes), (2, b"digests of blocks"), (255, b"")]);
        let known = decode_as_is(&bytes).expect("it has all that this version needs");
        assert!(known.attributes()[0].executable);
        assert_eq!(encode(&known), Some((raw(files, 1, &[(1, &attributes)]), info_hash_of(&bytes).expect("whole"))));
    }

    #[test]
    fn sections_are_bounded_in_order_and_in_their_values() {
        let files = &[("a", 1)][..];
        let refused = |sections: &[(u8, &[u8])]| decode_as_is(&raw(files, 1, sections)).expect_err("refused");
        let order = Value("the order of a manifest's sections");
        for kinds in [[0, 1], [2, 2], [3, 2]] {
            assert_eq!(refused(&kinds.map(|kind| (kind, &b""[..]))), order, "{kinds:?}");
        }
        let attributes = |flag, nanoseconds: u32| [&[flag][..], &[0; 8], &nanoseconds.to_be_bytes()].concat();
        assert_eq!(refused(&[(1, &attributes(2, 0))]), Value("a flag"));
        assert_eq!(refused(&[(1, &attributes(0, 1_000_000_000))]), Value("the time of a file"));
        assert_eq!(refused(&[(1, &[])]), Truncated);
        assert_eq!(refused(&[(1, &attributes(0, 0).repeat(2))]), Trailing(13));
        assert_eq!(refused(&[(1, &[0; 12])]), Truncated);
        // Two counts, a path of one byte with its length, the length of the file, a digest.
        let hashed_len = 4 + 3 + 8 + 4 + 20;
        let most = vec![0; SECTIONS_LEN_MAX + SECTIONS_RATIO_MAX * hashed_len];
        assert!(decode_as_is(&raw(files, 1, &[(2, &most)])).is_ok());
        assert_eq!(refused(&[(2, &most), (3, &[0])]), OverCap { len: 1, max: 0 });
    }

    #[test]
    fn bytes_named_by_their_info_hash_still_have_to_be_a_manifest() {
        assert!(decode_as_is(&raw(&[("a", 1)], 1, &[])).is_ok());
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
            assert_eq!(decode_as_is(&raw(files, pieces, &[])), Err(Value("a manifest")), "{files:?}");
        }
        for path in ["../a", "/a", "d//a", "d/", "", ".", "u\u{308}"] {
            assert!(matches!(decode_as_is(&raw(&[(path, 1)], 1, &[])), Err(DecodeError::Name(_))), "{path}");
        }
    }

    #[test]
    fn a_manifest_of_another_version_is_refused_in_clear_words() {
        let mut bytes = raw(&[("a", 1)], 1, &[]);
        bytes[7] = 3;
        assert_eq!(decode(&bytes, InfoHash([0; 32])), Err(Value("the version of a manifest")));
        bytes[7] = 1;
        assert_eq!(decode(&bytes, InfoHash([0; 32])), Err(OlderManifest));
        let words = "it was made by an older version of groupshare; share the file again";
        assert_eq!(OlderManifest.to_string(), words);
    }

    #[test]
    fn a_manifest_ends_where_its_bytes_end() {
        let bytes = raw(&[("d/a", 1), ("d/b", 2)], 1, &[(1, &[0; 26]), (7, b"later")]);
        for cut in 0..bytes.len() {
            assert_eq!(decode_as_is(&bytes[..cut]), Err(Truncated), "{cut}");
        }
        assert_eq!(decode_as_is(&[&bytes[..], &[0]].concat()), Err(Trailing(1)));
    }

    /// Checks a manifest in parts of this length.
    fn check(bytes: &[u8], info_hash: InfoHash, part_len: usize) -> Result<ManifestSummary, DecodeError> {
        let mut check = ManifestCheck::new(info_hash, ());
        bytes.chunks(part_len).try_for_each(|part| check.feed(part))?;
        check.finish().map(|(summary, ())| summary)
    }

    #[test]
    fn a_manifest_in_parts_is_what_it_is_in_one() {
        let attributes = [&[1][..], &[0; 12]].concat().repeat(3);
        let files = [("d/a", 1), ("d/b/c", u64::from(PIECE_LEN)), ("d/b/é", 7)];
        let bytes = raw(&files, 2, &[(1, &attributes), (2, b"digests of blocks"), (9, b"")]);
        let info_hash = info_hash_of(&bytes).expect("whole");
        let whole = decode(&bytes, info_hash).expect("valid");
        let expected = ManifestSummary { layout: whole.layout(), file_count: 3, root: "d".into() };
        for part_len in 1..=bytes.len() {
            assert_eq!(check(&bytes, info_hash, part_len), Ok(expected.clone()), "{part_len}");
            assert_eq!(check(&[&bytes[..], &[0]].concat(), info_hash, part_len), Err(Trailing(1)), "{part_len}");
        }
        for part_len in [1, 2, 7, 19, 64, bytes.len()] {
            for cut in 0..bytes.len() {
                assert_eq!(check(&bytes[..cut], info_hash, part_len), Err(Truncated), "{cut} {part_len}");
            }
            for at in 0..bytes.len() {
                for flip in [1, 0x40, 0xff] {
                    let mut other = bytes.clone();
                    other[at] ^= flip;
                    let is_right = check(&other, info_hash, part_len).is_ok();
                    assert_eq!(is_right, decode(&other, info_hash).is_ok(), "{at} {flip} {part_len}");
                    let Ok(info_hash) = info_hash_of(&other) else { continue };
                    let is_right = check(&other, info_hash, part_len).is_ok();
                    assert_eq!(is_right, decode_as_is(&other).is_ok(), "{at} {flip} {part_len} under its own hash");
                }
            }
        }
    }

    #[test]
    fn bytes_over_the_cap_are_refused_before_they_are_hashed() {
        let mut long = vec![0; MANIFEST_LEN_MAX + 1];
        let expected = Err(OverCap { len: MANIFEST_LEN_MAX + 1, max: MANIFEST_LEN_MAX });
        assert_eq!(decode(&long, InfoHash([0; 32])), expected);
        long.pop();
        long[..8].copy_from_slice(&MAGIC);
        assert_eq!(decode(&long, InfoHash([0; 32])), Err(Value("the info hash")));
    }

    #[test]
    fn the_largest_share_with_ordinary_paths_is_under_the_cap() {
        // This manifest is computed and not made, since making it takes a while: counts, files with paths of 77 bytes,
        // digests. Without attributes it fits. With attributes, paths of 63 bytes fit.
        let len = |path: usize| 8 + 4 + 4 + FILES_MAX * (2 + path + 8) + 4 + PIECES_MAX as usize * Sha1Digest::LEN + 1;
        assert!(len(77) <= MANIFEST_LEN_MAX, "{}", len(77));
        assert!(len(63) + 5 + FILES_MAX * 13 <= MANIFEST_LEN_MAX);
    }

    #[test]
    fn attributes_are_left_out_where_they_would_take_a_share_over_the_cap() {
        // With paths of 3 KiB a few files come near the cap.
        let path = |at: u32| format!("d/{}{at:08}", format!("{}/", "x".repeat(250)).repeat(12));
        let entry_len = 2 + path(0).len() + 8;
        let count = (MANIFEST_LEN_MAX - 100) / entry_len;
        let spare = MANIFEST_LEN_MAX - count * entry_len;
        assert!(spare < count * 13, "there is no room for them");
        let files = (0..count as u32).map(|at| FileEntry { path: RelPath::parse(&path(at)).expect("a path"), len: 0 });
        let manifest = Manifest::new(files.collect(), Vec::new()).expect("empty files");
        let plain = encode(&manifest).expect("it fits");
        let attributes = vec![FileAttributes { executable: true, modified: TIME }; count];
        assert!(encode(&manifest.with_attributes(attributes).expect("as many")) == Some(plain));
    }
}
