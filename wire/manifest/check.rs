//! Checks a manifest that comes part by part. The check never holds the manifest: only the last path, a hash, and the
//! rest of a part that ends inside a value. Each byte costs the same.

use super::format::{ATTRIBUTES, ATTRIBUTES_LEN, MANIFEST_LEN_MAX, SECTIONS_LEN_MAX, SECTIONS_RATIO_MAX, take_head};
use crate::model::digest::{InfoHash, Sha1Digest};
use crate::model::manifest::{FILES_MAX, FileAttributes, FileEntry, TreeCheck};
use crate::model::piece::{Layout, PIECES_MAX};
use crate::wire::codec::{DecodeError, Decoder, Wire};
use ring::digest::{Context, SHA256};
use std::fmt;

/// Receives what a manifest says during the check.
pub trait ManifestSink {
    fn file(&mut self, file: FileEntry);
    /// The digests of the next pieces.
    fn pieces(&mut self, digests: &[[u8; Sha1Digest::LEN]]);
    /// The attributes of the next file.
    fn attributes(&mut self, attributes: FileAttributes);
}

/// Keeps nothing.
impl ManifestSink for () {
    fn file(&mut self, _: FileEntry) {}
    fn pieces(&mut self, _: &[[u8; Sha1Digest::LEN]]) {}
    fn attributes(&mut self, _: FileAttributes) {}
}

/// The result of the check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ManifestSummary {
    pub layout: Layout,
    pub file_count: u32,
    /// The first component of every path.
    pub root: Box<str>,
}

/// The check of a manifest after some of its parts.
///
/// Invariant: `rest` is shorter than the value that it begins, and so shorter than a file with the longest path.
pub struct ManifestCheck<K = ()> {
    kept: K,
    /// The hash so far and the expected hash. `None` if another check covers the hash.
    hash: Option<(Context, InfoHash)>,
    tree: TreeCheck,
    next: Next,
    /// How many bytes of the hashed part are still to come.
    hashed_left: usize,
    /// How many bytes the sections may still have.
    room: usize,
    sections_left: u8,
    kind_before: u8,
    /// How many bytes have come.
    len: usize,
    /// The beginning of a value that is not complete.
    rest: Vec<u8>,
}

/// What the check expects next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    Head,
    FileCount,
    /// This many files.
    Files(usize),
    PieceCount,
    /// This many digests.
    Pieces(usize),
    SectionCount,
    Section,
    /// The attributes of this many files.
    Attributes(usize),
    /// This many bytes of a section that this version does not know.
    Unknown(usize),
    End,
}

impl<K> fmt::Debug for ManifestCheck<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ManifestCheck").field("next", &self.next).field("len", &self.len).finish_non_exhaustive()
    }
}

impl<K: ManifestSink> ManifestCheck<K> {
    /// Checks the manifest with this info hash, and passes its values to `sink`.
    pub fn new(info_hash: InfoHash, sink: K) -> Self {
        Self::with(Some((Context::new(&SHA256), info_hash)), sink)
    }

    /// Checks a manifest whose hash is known to be right, and passes its values to `sink`.
    pub(super) fn of_hashed(sink: K) -> Self {
        Self::with(None, sink)
    }

    fn with(hash: Option<(Context, InfoHash)>, kept: K) -> Self {
        Self {
            kept,
            hash,
            tree: TreeCheck::default(),
            next: Next::Head,
            hashed_left: 0,
            room: 0,
            sections_left: 0,
            kind_before: 0,
            len: 0,
            rest: Vec::new(),
        }
    }

    /// Takes the next part.
    ///
    /// # Errors
    /// The part is not of a manifest, or not of the manifest with this info hash. No part may follow then.
    pub fn feed(&mut self, part: &[u8]) -> Result<(), DecodeError> {
        self.len = self.len.saturating_add(part.len());
        if self.len > MANIFEST_LEN_MAX {
            return Err(DecodeError::OverCap { len: self.len, max: MANIFEST_LEN_MAX });
        }
        let joined = std::mem::take(&mut self.rest);
        if joined.is_empty() {
            return self.take_all(part);
        }
        self.take_all(&[&joined, part].concat())
    }

    /// Takes all complete values, and keeps the rest.
    fn take_all(&mut self, bytes: &[u8]) -> Result<(), DecodeError> {
        let mut rest = bytes;
        while self.next != Next::End {
            let is_hashed = self.is_hashed();
            let within = if is_hashed { &rest[..rest.len().min(self.hashed_left)] } else { rest };
            let mut from = Decoder::new(within);
            match self.take(&mut from) {
                Ok(()) => {}
                // The value goes on in the next part. The hashed part must not end inside a value.
                Err(DecodeError::Truncated) if !is_hashed || within.len() < self.hashed_left => {
                    self.rest = rest.to_vec();
                    return Ok(());
                }
                Err(error) => return Err(error),
            }
            let taken = within.len() - from.left();
            if is_hashed {
                self.note_hashed(&rest[..taken])?;
            }
            rest = &rest[taken..];
        }
        if rest.is_empty() { Ok(()) } else { Err(DecodeError::Trailing(rest.len())) }
    }

    fn is_hashed(&self) -> bool {
        matches!(self.next, Next::FileCount | Next::Files(_) | Next::PieceCount | Next::Pieces(_))
            || (self.next == Next::SectionCount && self.hashed_left > 0)
    }

    fn note_hashed(&mut self, bytes: &[u8]) -> Result<(), DecodeError> {
        self.hashed_left -= bytes.len();
        let Some((hash, _)) = &mut self.hash else { return Ok(()) };
        hash.update(bytes);
        if self.hashed_left > 0 {
            return Ok(());
        }
        let is_right = self.hash.take().is_none_or(|(hash, InfoHash(expected))| hash.finish().as_ref() == expected);
        if is_right { Ok(()) } else { Err(DecodeError::Value("the info hash")) }
    }

    /// Takes one value, or as many of the same kind as are there.
    fn take(&mut self, from: &mut Decoder<'_>) -> Result<(), DecodeError> {
        self.next = match self.next {
            Next::Head => self.take_head(from)?,
            Next::FileCount => Next::of_files(take_count(from, FILES_MAX)?),
            Next::Files(left) => {
                let file = FileEntry::take(from)?;
                self.tree.add(&file).map_err(|_| DecodeError::Value("a manifest"))?;
                self.kept.file(file);
                Next::of_files(left - 1)
            }
            Next::PieceCount => {
                let pieces = take_count(from, PIECES_MAX as usize)?;
                let layout = self.tree.finish().map_err(|_| DecodeError::Value("a manifest"))?;
                if layout.count() as usize != pieces {
                    return Err(DecodeError::Value("a manifest"));
                }
                Next::of_pieces(pieces)
            }
            Next::Pieces(left) => {
                // At least one.
                let count = (from.left() / Sha1Digest::LEN).clamp(1, left);
                self.kept.pieces(from.bytes(count * Sha1Digest::LEN)?.as_chunks().0);
                Next::of_pieces(left - count)
            }
            // The hashed part goes on behind its last value.
            Next::SectionCount if self.hashed_left > 0 => return Err(DecodeError::Trailing(self.hashed_left)),
            Next::SectionCount => {
                self.sections_left = u8::take(from)?;
                self.next_section()
            }
            Next::Section => self.take_section(from)?,
            Next::Attributes(left) => {
                self.kept.attributes(FileAttributes::take(from)?);
                if left > 1 { Next::Attributes(left - 1) } else { self.next_section() }
            }
            Next::Unknown(left) => {
                let count = from.left().clamp(1, left);
                from.bytes(count)?;
                if left > count { Next::Unknown(left - count) } else { self.next_section() }
            }
            Next::End => Next::End,
        };
        Ok(())
    }

    fn take_head(&mut self, from: &mut Decoder<'_>) -> Result<Next, DecodeError> {
        self.hashed_left = take_head(from)?;
        if self.hashed_left > MANIFEST_LEN_MAX {
            return Err(DecodeError::Truncated);
        }
        self.room = SECTIONS_LEN_MAX + SECTIONS_RATIO_MAX * self.hashed_left;
        Ok(Next::FileCount)
    }

    fn take_section(&mut self, from: &mut Decoder<'_>) -> Result<Next, DecodeError> {
        let (kind, len) = (u8::take(from)?, u32::take(from)? as usize);
        if kind <= self.kind_before {
            return Err(DecodeError::Value("the order of a manifest's sections"));
        }
        self.room = self.room.checked_sub(len).ok_or(DecodeError::OverCap { len, max: self.room })?;
        self.sections_left -= 1;
        self.kind_before = kind;
        if kind != ATTRIBUTES {
            return Ok(if len == 0 { self.next_section() } else { Next::Unknown(len) });
        }
        let files = self.tree.files();
        match len.checked_sub(files * ATTRIBUTES_LEN) {
            None => Err(DecodeError::Truncated),
            Some(0) => Ok(Next::Attributes(files)),
            Some(more) => Err(DecodeError::Trailing(more)),
        }
    }

    fn next_section(&self) -> Next {
        if self.sections_left == 0 { Next::End } else { Next::Section }
    }

    /// The result of the check, after all parts.
    ///
    /// # Errors
    /// It ends too early.
    pub fn finish(self) -> Result<(ManifestSummary, K), DecodeError> {
        if self.next != Next::End {
            return Err(DecodeError::Truncated);
        }
        let layout = self.tree.finish().map_err(|_| DecodeError::Value("a manifest"))?;
        // At most 2^20.
        let file_count = self.tree.files() as u32;
        Ok((ManifestSummary { layout, file_count, root: self.tree.root().into() }, self.kept))
    }
}

impl Next {
    fn of_files(left: usize) -> Self {
        if left == 0 { Self::PieceCount } else { Self::Files(left) }
    }

    fn of_pieces(left: usize) -> Self {
        if left == 0 { Self::SectionCount } else { Self::Pieces(left) }
    }
}

fn take_count(from: &mut Decoder<'_>, max: usize) -> Result<usize, DecodeError> {
    let len = u32::take(from)? as usize;
    if len > max { Err(DecodeError::OverCap { len, max }) } else { Ok(len) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::manifest::Manifest;
    use crate::model::path::{PATH_LEN_MAX, RelPath};
    use crate::wire::codec::to_bytes;

    #[test]
    fn a_check_keeps_less_than_one_path_of_what_has_come() {
        let path = |at: u32| format!("d/{}{at:04}", format!("{}/", "x".repeat(250)).repeat(12));
        let file = |at| FileEntry { path: RelPath::parse(&path(at)).expect("a path"), len: 0 };
        let bytes = to_bytes(&Manifest::new((0..100).map(file).collect(), Vec::new()).expect("empty files"));
        let mut check = ManifestCheck::of_hashed(());
        for part in bytes.chunks(1000) {
            check.feed(part).expect("valid");
            assert!(check.rest.capacity() <= PATH_LEN_MAX + 10, "{}", check.rest.capacity());
        }
        assert_eq!(check.finish().map(|(summary, ())| summary.file_count), Ok(100));
    }
}
