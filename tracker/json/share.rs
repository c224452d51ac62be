//! Uploads and downloads of the JSON dialect, made of requests of the binary one. They use manifests, which programs
//! do not know.

use super::answer::Answer;
use super::memory::AnswerRoom;
use super::pieces::{ByPiece, Pieces};
use super::request::UploadCommand;
use crate::model::digest::Sha1Digest;
use crate::model::id::CommandId;
use crate::model::manifest::{Content, FileAttributes, FileEntry, Manifest};
use crate::model::name::{FileName, GroupId};
use crate::model::path::RelPath;
use crate::model::piece::PIECE_LEN;
use crate::tracker::session::Session;
use crate::wire::client_tracker::{Holding, MANIFEST_PART_MAX, Reply, Request};
use crate::wire::codec::Blob;
use crate::wire::manifest::{ManifestCheck, ManifestSink, encode};
use crate::wire::refusal::{Code, Refusal};
use std::sync::Arc;

/// The most pieces of a share in this dialect: 64 GiB.
pub const PIECES_MAX: usize = 128 * 1024;
/// The longest manifest that is read for an answer, in bytes. A manifest with the most pieces has 2.5 MiB. The rest is
/// for the file names of a folder.
const MANIFEST_LEN_MAX: u32 = 16 * 1024 * 1024;

fn malformed(why: &str) -> Refusal {
    Refusal::about(Code::Malformed, why)
}

/// The bytes of each piece while an answer is written: its digest and its number.
const PIECE_ANSWER_LEN: usize = Sha1Digest::LEN + size_of::<u32>();

/// A reply does not belong to its request, which is an error of this program.
fn unexpected() -> Refusal {
    Refusal::about(Code::Unavailable, "the tracker has answered itself something else")
}

/// Shares a file. The program counts as a holder of all its pieces.
pub(super) fn upload(session: &mut Session, upload: UploadCommand, command: CommandId) -> Result<Answer, Refusal> {
    if upload.pieces.len() > PIECES_MAX {
        let about = format!("a file has at most {PIECES_MAX} pieces here");
        return Err(Refusal::about(Code::TooLarge, about));
    }
    let (group, name) = (upload.group.clone(), upload.name.clone());
    let (manifest, content) = describe(upload)?;
    let request = Request::ShareFile { command, group: group.clone(), name, content };
    let mut shared = session.ask(request.clone());
    // Asks a second time if the manifest that was here turns out to be damaged.
    for _ in 0..2 {
        if !shared.as_ref().is_err_and(|refusal| refusal.code == Code::NeedManifest) {
            break;
        }
        put(session, &group, &manifest, &content)?;
        shared = session.ask(request.clone());
    }
    let shared = match shared {
        // The share was made, and has ended since.
        Err(_) if session.has_made(command) => return Ok(Answer::Done {}),
        shared => shared?,
    };
    let Reply::Share { share, .. } = shared else { return Err(unexpected()) };
    // The share exists. If the user has left the group, this does nothing.
    let _ = session.ask(Request::Hold { share, holding: Holding::All {} });
    Ok(Answer::Done {})
}

/// The manifest of a single file, and the content that the share keeps. Without a size all pieces count as full, until
/// a sharer tells the size: see [`Content::file_count`].
fn describe(upload: UploadCommand) -> Result<(Vec<u8>, Content), Refusal> {
    let UploadCommand { name, pieces, sha1, size, .. } = upload;
    let full = pieces.len() as u64 * u64::from(PIECE_LEN);
    // The size of a file without pieces is known.
    let file_count = u32::from(size.is_some() || full == 0);
    let size = size.unwrap_or(full);
    let path = RelPath::root_of(&name);
    let manifest = Manifest::new(vec![FileEntry { path, len: size }], pieces)
        .map_err(|_| malformed("piecewise_sha does not have one SHA-1 for each 524288 bytes of size"))?;
    if manifest.sha1().is_some_and(|known| known != sha1) {
        return Err(malformed("fileSha is not the SHA-1 of such a file: that of its only piece, or of nothing"));
    }
    let layout = manifest.layout();
    let (bytes, info_hash) = encode(&manifest).ok_or(Code::TooLarge)?;
    Ok((bytes, Content { layout, sha1, info_hash, file_count }))
}

fn put(session: &mut Session, group: &GroupId, manifest: &[u8], content: &Content) -> Result<(), Refusal> {
    // At most 128 MiB.
    let total = manifest.len() as u32;
    let mut offset = 0;
    for part in manifest.chunks(MANIFEST_PART_MAX) {
        let (len, part) = (part.len() as u32, Blob::new(part.to_vec()).ok_or_else(unexpected)?);
        let (group, info_hash) = (group.clone(), content.info_hash);
        session.ask(Request::PutManifest { group, info_hash, total, offset, part })?;
        offset += len;
    }
    Ok(())
}

/// The digests of a manifest, and nothing else of it: it may name a million files.
struct Digests(Vec<Sha1Digest>);

impl ManifestSink for Digests {
    fn file(&mut self, _: FileEntry) {}
    fn pieces(&mut self, digests: &[[u8; Sha1Digest::LEN]]) {
        self.0.extend(digests.iter().copied().map(Sha1Digest));
    }
    fn attributes(&mut self, _: FileAttributes) {}
}

/// Finds a share, its pieces, and their holders.
pub(super) fn find<T>(
    session: &mut Session,
    (group, name): (GroupId, FileName),
    waits: &mut AnswerRoom<T>,
    turn: fn(&Session) -> T,
) -> Result<Answer, Refusal> {
    let Reply::Share { share, name, content, .. } = session.ask(Request::FindShare { group, name })? else {
        return Err(unexpected());
    };
    let Content { layout, info_hash, .. } = content;
    let count = layout.count() as usize;
    if count > PIECES_MAX {
        let about = format!("{name} has more than {PIECES_MAX} pieces");
        return Err(Refusal::about(Code::TooLarge, about));
    }
    waits.reserve(2 * count * Sha1Digest::LEN + 3 * MANIFEST_PART_MAX)?;
    let damaged = || Refusal::about(Code::Unavailable, "this tracker's list of pieces is damaged");
    let mut check = ManifestCheck::new(info_hash, Digests(Vec::with_capacity(count)));
    let mut offset = 0;
    loop {
        let _turn = session.turn();
        let Reply::ManifestPart { total, part } = session.ask(Request::GetManifest { share, offset })? else {
            return Err(unexpected());
        };
        if total > MANIFEST_LEN_MAX {
            return Err(Refusal::about(Code::TooLarge, format!("{name} is a folder of too many files")));
        }
        check.feed(part.as_bytes()).map_err(|_| damaged())?;
        offset += part.as_bytes().len() as u32;
        if part.as_bytes().is_empty() || offset >= total {
            break;
        }
    }
    let (_, Digests(pieces)) = check.finish().map_err(|_| damaged())?;
    if pieces.len() != count {
        return Err(damaged());
    }
    let pieces: Arc<[_]> = pieces.into();
    waits.shrink(count * PIECE_ANSWER_LEN);
    // This looks at all holders for each piece.
    waits.resume(turn(session));
    let holders = session.holdings(share);
    let by_piece = ByPiece { pieces: pieces.clone(), layout, holders };
    Ok(Answer::Found { file_path: name.to_string(), file_chunks: Pieces(pieces), chunk_metadata: by_piece })
}
