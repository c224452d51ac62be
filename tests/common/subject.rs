//! Something to download: made-up bytes, and their share.

use groupshare::client::download::transfer::Subject;
use groupshare::model::bitfield::Bitfield;
use groupshare::model::digest::Sha1Digest;
use groupshare::model::id::{GroupRef, OpId, Origin, ShareRef};
use groupshare::model::manifest::{Content, FileEntry, Manifest};
use groupshare::model::name::{FileName, UserId};
use groupshare::model::path::RelPath;
use groupshare::model::piece::PIECE_LEN;
use groupshare::wire::manifest;
use sha1::{Digest, Sha1};
use std::sync::Arc;

fn op(seq: u64) -> OpId {
    OpId { origin: Origin { tracker: 1, incarnation: 1 }, seq }
}

pub(crate) fn group() -> GroupRef {
    GroupRef(op(1))
}

/// Bytes that look random, differ from piece to piece, and are the same in every run.
pub(crate) fn bytes(len: usize) -> Vec<u8> {
    bytes_of(len, 0x15)
}

/// The same, for several different files.
pub(crate) fn bytes_of(len: usize, seed: u8) -> Vec<u8> {
    let mut state = u64::from(seed) | 0x9e37_79b9_7f4a_7c00;
    let mut out = Vec::with_capacity(len + 8);
    while out.len() < len {
        state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
        out.extend_from_slice(&(state ^ (state >> 29)).to_le_bytes());
    }
    out.truncate(len);
    out
}

pub(crate) fn subject_of(data: &[u8]) -> Subject {
    let files = vec![FileEntry { path: RelPath::parse("f.bin").expect("a path"), len: data.len() as u64 }];
    let pieces = data.chunks(PIECE_LEN as usize).map(|piece| Sha1Digest(Sha1::digest(piece).into())).collect();
    let manifest = Manifest::new(files, pieces).expect("one file");
    let (_, info_hash) = manifest::encode(&manifest).expect("short");
    let sha1 = Sha1Digest(Sha1::digest(data).into());
    Subject {
        group: group(),
        share: ShareRef(op(2)),
        name: FileName::parse("f.bin").expect("a name"),
        content: Content { layout: manifest.layout(), sha1, info_hash, file_count: 1 },
        manifest: Arc::new(manifest),
        selection: None,
    }
}

pub(crate) fn user(number: u8) -> UserId {
    UserId::parse(&format!("user{number}")).expect("a name")
}

pub(crate) fn all(subject: &Subject) -> Bitfield {
    Bitfield::all(subject.content.layout)
}
