//! The facts of a manifest that shares must agree with, from a check that reads each byte once.

use crate::model::digest::{InfoHash, Sha1Digest};
use crate::model::manifest::{Content, FileAttributes, FileEntry};
use crate::model::name::FileName;
use crate::model::piece::{Layout, PIECE_LEN};
use crate::sys;
use crate::wire::client_tracker::MANIFEST_PART_MAX;
use crate::wire::codec::DecodeError;
use crate::wire::manifest::{MANIFEST_LEN_MAX, ManifestCheck, ManifestSink, is_older};
use crate::wire::refusal::{Code, Refusal};
use ring::digest::{Context, SHA256, digest};
use std::fmt::Display;
use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};

/// The facts that a share's description must agree with. They have the same size for every manifest, and stay in
/// memory while the manifest is here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ManifestFacts {
    pub layout: Layout,
    pub file_count: u32,
    /// A digest of the first component of every path.
    root: [u8; 16],
    /// SHA-256 of the digests of the pieces.
    pieces: [u8; 32],
}

impl ManifestFacts {
    /// Whether content with this description, under this name, has this manifest.
    pub fn agree_with(&self, name: &FileName, content: &Content) -> bool {
        let named = self.root == root_digest(name.base().leaf());
        // The manifest of a share without a size has only full pieces.
        let told = content.is_sized() || self.layout.size().is_multiple_of(u64::from(PIECE_LEN));
        named && told && self.layout == content.layout && self.file_count == content.file_count.max(1)
    }

    /// Whether two contents have the same pieces.
    pub fn has_pieces_of(&self, other: &Self) -> bool {
        self.pieces == other.pieces
    }
}

fn root_digest(root: &str) -> [u8; 16] {
    let long = digest(&SHA256, root.as_bytes());
    std::array::from_fn(|at| long.as_ref()[at])
}

/// Identifies a file, to tell whether it is still the one that was checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FileIdentity {
    inode: u64,
    pub(super) len: u64,
    modified: (i64, i64),
}

impl FileIdentity {
    pub(super) fn of(file: &File) -> io::Result<Self> {
        let found = file.metadata()?;
        Ok(Self { inode: found.ino(), len: found.len(), modified: (found.mtime(), found.mtime_nsec()) })
    }
}

pub(super) fn unavailable(error: &io::Error) -> Refusal {
    Refusal::about(Code::Unavailable, sys::reason(error))
}

pub(super) fn bad(why: impl Display) -> Refusal {
    Refusal::about(Code::BadManifest, why)
}

/// Whether an older version of the program made a manifest.
pub(super) fn begins_as_older(file: &File) -> bool {
    let mut magic = [0; 8];
    file.read_exact_at(&mut magic, 0).is_ok() && is_older(&magic)
}

/// Hashes the digests of the pieces.
struct PiecesHash(Context);

impl ManifestSink for PiecesHash {
    fn file(&mut self, _: FileEntry) {}

    fn pieces(&mut self, digests: &[[u8; Sha1Digest::LEN]]) {
        self.0.update(digests.as_flattened());
    }

    fn attributes(&mut self, _: FileAttributes) {}
}

/// Gathers the facts of a manifest from its parts.
#[derive(Debug)]
pub(super) struct FactsCheck(ManifestCheck<PiecesHash>);

impl FactsCheck {
    pub(super) fn new(info_hash: InfoHash) -> Self {
        Self(ManifestCheck::new(info_hash, PiecesHash(Context::new(&SHA256))))
    }

    /// Takes the next part.
    pub(super) fn feed(&mut self, part: &[u8]) -> Result<(), DecodeError> {
        self.0.feed(part)
    }

    /// The facts, once all parts have come.
    pub(super) fn finish(self) -> Result<ManifestFacts, DecodeError> {
        let (summary, PiecesHash(pieces)) = self.0.finish()?;
        let pieces = pieces.finish().as_ref().try_into().expect("SHA-256 has 32 bytes");
        Ok(ManifestFacts {
            layout: summary.layout,
            file_count: summary.file_count,
            root: root_digest(&summary.root),
            pieces,
        })
    }
}

/// Reads a manifest part by part and checks it. Reads and checks each part in a turn from `turn`.
///
/// # Errors
/// `BadManifest` if it is no manifest, or has another hash; `Unavailable` if the disk cannot read it; those of `turn`.
pub(super) fn read_facts<T>(
    file: &File,
    info_hash: InfoHash,
    turn: impl Fn() -> Result<T, Refusal>,
) -> Result<ManifestFacts, Refusal> {
    let len = file.metadata().map_err(|error| unavailable(&error))?.len();
    if len > MANIFEST_LEN_MAX as u64 {
        return Err(bad("it is too large"));
    }
    let mut check = FactsCheck::new(info_hash);
    let mut part = vec![0; MANIFEST_PART_MAX];
    let mut offset = 0;
    while offset < len {
        let _turn = turn()?;
        let part = &mut part[..(len - offset).min(MANIFEST_PART_MAX as u64) as usize];
        file.read_exact_at(part, offset).map_err(|error| unavailable(&error))?;
        check.feed(part).map_err(bad)?;
        offset += part.len() as u64;
    }
    check.finish().map_err(bad)
}
