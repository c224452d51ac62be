//! Manifests of files that do not exist.

use groupshare::model::digest::Sha1Digest;
use groupshare::model::manifest::{Content, FileEntry, Manifest};
use groupshare::model::path::RelPath;
use groupshare::model::piece::PIECE_LEN;
use groupshare::wire::manifest::encode;

/// A manifest of one file of `pieces` pieces. Another `seed` makes it another file.
pub(crate) fn manifest(name: &str, pieces: u32, seed: u8) -> (Vec<u8>, Content) {
    let len = u64::from(pieces) * u64::from(PIECE_LEN);
    let entry = FileEntry { path: RelPath::parse(name).expect(name), len };
    let digest = |piece: u32| {
        let mut digest = [seed; 20];
        digest[..4].copy_from_slice(&piece.to_be_bytes());
        Sha1Digest(digest)
    };
    let manifest = Manifest::new(vec![entry], (0..pieces).map(digest).collect()).expect("valid");
    let (bytes, info_hash) = encode(&manifest).expect("below the cap");
    let content = Content { layout: manifest.layout(), sha1: Sha1Digest([seed; 20]), info_hash, file_count: 1 };
    (bytes, content)
}
