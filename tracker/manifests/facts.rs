//! What a manifest says that shares must agree with, read from its file.

use crate::model::digest::InfoHash;
use crate::model::manifest::Content;
use crate::model::name::FileName;
use crate::model::piece::{Layout, PIECE_LEN};
use crate::sys;
use crate::wire::manifest::{MANIFEST_LEN_MAX, decode, is_older};
use crate::wire::refusal::{Code, Refusal};
use std::fmt::Display;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

/// What a share's description must agree with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ManifestFacts {
    pub layout: Layout,
    pub file_count: u32,
    /// The first component of every path.
    pub root: Arc<str>,
}

impl ManifestFacts {
    /// Whether this is the manifest of such content under such a name.
    pub fn agree_with(&self, name: &FileName, content: &Content) -> bool {
        let named = *self.root == *name.base().as_str();
        // The manifest of a share without a size has full pieces only.
        let told = content.is_sized() || self.layout.size().is_multiple_of(u64::from(PIECE_LEN));
        named && told && self.layout == content.layout && self.file_count == content.file_count.max(1)
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

/// Reads a whole manifest and checks it.
///
/// # Errors
/// `BadManifest` if it is none, or not the one with this hash; `Unavailable` if the disk does not give it.
pub(super) fn read_facts(file: &File, info_hash: InfoHash) -> Result<ManifestFacts, Refusal> {
    let len = file.metadata().map_err(|error| unavailable(&error))?.len();
    let mut bytes = vec![0; usize::try_from(len).unwrap_or(usize::MAX).min(MANIFEST_LEN_MAX + 1)];
    file.read_exact_at(&mut bytes, 0).map_err(|error| unavailable(&error))?;
    let manifest = decode(&bytes, info_hash).map_err(bad)?;
    Ok(ManifestFacts {
        layout: manifest.layout(),
        // At most 2^20.
        file_count: manifest.files().len() as u32,
        root: manifest.files()[0].path.root().into(),
    })
}
