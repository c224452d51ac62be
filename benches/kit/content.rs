//! Files to move, and the digests of those that have arrived.

use sha1::{Digest, Sha1};
use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;

/// How many bytes of a file this program handles at a time.
const CHUNK_LEN: usize = 1 << 20;

/// A new folder in `parent`. Dropping it removes it.
pub(crate) fn folder_in(parent: &Path) -> tempfile::TempDir {
    tempfile::Builder::new().prefix("groupshare-bench.").tempdir_in(parent).expect("a temporary folder")
}

/// Writes a file of incompressible bytes and syncs it. Returns its SHA-1.
pub(crate) fn write_noise(path: &Path, len: u64) -> [u8; 20] {
    let mut file = File::create(path).expect("made");
    let (mut sha1, mut left, mut state) = (Sha1::new(), len, 0x9e37_79b9_7f4a_7c15_u64);
    let mut chunk = vec![0; CHUNK_LEN];
    while left > 0 {
        for word in chunk.chunks_exact_mut(8) {
            // xorshift64 (Marsaglia 2003).
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            word.copy_from_slice(&state.to_le_bytes());
        }
        let now = &chunk[..left.min(CHUNK_LEN as u64) as usize];
        file.write_all(now).expect("written");
        sha1.update(now);
        left -= now.len() as u64;
    }
    file.sync_all().expect("synced");
    sha1.finalize().into()
}

/// The SHA-1 of each stretch of `stretch_len` bytes of a file, one after the other.
pub(crate) fn digests(path: &Path, stretch_len: usize) -> Vec<u8> {
    let mut file = File::open(path).expect("there");
    let (mut digests, mut stretch) = (Vec::new(), Vec::new());
    loop {
        stretch.clear();
        Read::by_ref(&mut file).take(stretch_len as u64).read_to_end(&mut stretch).expect("read");
        if stretch.is_empty() {
            return digests;
        }
        digests.extend_from_slice(&Sha1::digest(&stretch));
    }
}

/// The SHA-1 of a file.
pub(crate) fn sha1_of_file(path: &Path) -> [u8; 20] {
    let mut file = File::open(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let (mut sha1, mut chunk) = (Sha1::new(), vec![0; CHUNK_LEN]);
    loop {
        match file.read(&mut chunk).expect("read") {
            0 => return sha1.finalize().into(),
            len => sha1.update(&chunk[..len]),
        }
    }
}
