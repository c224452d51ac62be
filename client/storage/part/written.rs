//! Finds the written pieces of a part, and whether an unknown part belongs to a download.

use super::error::PartError;
use super::paths::PartPaths;
use crate::client::hash::piece_hash::sha1_of;
use crate::client::storage::file_map::FileMap;
use crate::client::storage::holes::for_each_with_data;
use crate::model::bitfield::Bitfield;
use crate::model::manifest::Manifest;
use crate::model::piece::PieceIndex;
use crate::sys::files::{self, Open};
use rustix::fs::FileType;
use std::collections::HashSet;
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// After this many wrong pieces and no right one, the part is of something else.
const WRONG_MAX: usize = 16;
/// The maximum number of pieces to read for this answer. The user waits for it.
const LOOKED_AT_MAX: usize = 512;
/// The bytes at the beginning of a file that show whether any program has written to it.
const BEGIN_LEN: usize = 64 * 1024;

/// The pieces with any byte that was ever written. `file` opens a file by its number.
pub(super) fn pieces_with_data(manifest: &Manifest, file: impl Fn(usize) -> Option<Arc<File>>) -> Bitfield {
    let layout = manifest.layout();
    let mut pieces = Bitfield::none(layout);
    let map = FileMap::new(manifest.files());
    for (number, entry) in manifest.files().iter().enumerate() {
        let start = map.start(number);
        let Some(file) = file(number) else { continue };
        // Unknown pieces are fetched again.
        let _ = for_each_with_data(layout, &file, start..start + entry.len, |piece| {
            pieces.insert(piece);
        });
    }
    pieces
}

/// Whether the part's place holds something of the download, or nothing at all. A few pieces are enough, because a part
/// holds only right pieces. Changes nothing.
///
/// # Errors
/// `Foreign` or `Io` if the part cannot be opened.
pub(super) fn is_of_download(paths: &PartPaths, manifest: &Manifest) -> Result<bool, PartError> {
    let path = paths.part_path();
    let only = match manifest.is_folder() {
        true => None,
        false => Some(Arc::new(
            files::open_in(&paths.folder, &paths.part_name, Open::Read)
                .map_err(|error| PartError::from_open(&path, "open", error))?,
        )),
    };
    let folder = match manifest.is_folder() {
        false => None,
        true => Some(
            files::open_folder_in(&paths.folder, &paths.part_name)
                .map_err(|error| PartError::from_open(&path, "open", error))?,
        ),
    };
    let file = |number: usize| {
        only.clone().or_else(|| {
            let below = manifest.files()[number].path.below_root()?;
            files::open_beneath(folder.as_ref()?, below, Open::Read).ok().map(Arc::new)
        })
    };
    let layout = manifest.layout();
    let mut wrong = 0;
    for piece in pieces_with_data(manifest, file).iter(layout).take(LOOKED_AT_MAX) {
        let mut data = vec![0; layout.len(piece) as usize];
        read(manifest, piece, file, &mut data);
        // Zeros may stand for bytes that were never written.
        if data.iter().all(|&byte| byte == 0) {
            continue;
        }
        if sha1_of(&data) == manifest.pieces()[piece.as_usize()] {
            return Ok(true);
        }
        wrong += 1;
        if wrong == WRONG_MAX {
            break;
        }
    }
    Ok(wrong == 0 && (only.is_some() || holds_nothing_else(&path, manifest)))
}

/// Whether a folder holds only files of the manifest, or nothing.
pub(super) fn holds_nothing_else(root: &Path, manifest: &Manifest) -> bool {
    let files = manifest.files().iter().filter_map(|entry| entry.path.below_root());
    let listed: HashSet<&Path> = files.flat_map(|path| Path::new(path).ancestors()).collect();
    let mut folders = vec![PathBuf::new()];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = fs::read_dir(root.join(&folder)) else { return false };
        for entry in entries {
            let Ok(entry) = entry else { return false };
            let below = folder.join(entry.file_name());
            if !listed.contains(&*below) {
                return false;
            }
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                folders.push(below);
            }
        }
    }
    true
}

/// Reads the existing bytes of a piece. Missing bytes stay zeros, so a short foreign file is recognized too.
fn read(manifest: &Manifest, piece: PieceIndex, file: impl Fn(usize) -> Option<Arc<File>>, data: &mut [u8]) {
    let map = FileMap::new(manifest.files());
    let mut rest = data;
    for stretch in map.stretches(manifest.layout().offset(piece), rest.len()) {
        let (now, later) = rest.split_at_mut(stretch.len);
        if let Some(file) = file(stretch.file) {
            read_what_is_there(&file, now, stretch.offset);
        }
        rest = later;
    }
}

/// Whether a file begins with anything but zeros.
pub(super) fn begins_with_data(file: &File) -> bool {
    let mut begin = vec![0; BEGIN_LEN];
    read_what_is_there(file, &mut begin, 0);
    begin.iter().any(|&byte| byte != 0)
}

fn read_what_is_there(file: &File, mut buffer: &mut [u8], mut offset: u64) {
    while let Ok(len @ 1..) = file.read_at(buffer, offset) {
        buffer = &mut buffer[len..];
        offset += len as u64;
    }
}

/// Whether the part's place holds the right kind: a folder for the download of a folder, or a file for that of a file.
pub(super) fn is_of_kind(kind: FileType, manifest: &Manifest) -> bool {
    kind == if manifest.is_folder() { FileType::Directory } else { FileType::RegularFile }
}
