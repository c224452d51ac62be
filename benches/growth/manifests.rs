//! What members claim about the files that they share.

use super::{Input, Work, timed};
use groupshare::model::digest::Sha1Digest;
use groupshare::model::manifest::{FileEntry, Manifest};
use groupshare::model::path::RelPath;
use groupshare::model::piece::{Layout, PIECE_LEN};
use groupshare::wire::manifest;

/// The number of files in manifests with growing paths.
const FILES: usize = 256;

pub(super) const INPUTS: &[Input] = &[
    Input::new("files of a manifest", (1 << 10, 1 << 15), |count| read((0..count).map(|n| format!("d/{n:08}")))),
    Input::new("folders of a manifest", (1 << 10, 1 << 15), |count| read((0..count).map(|n| format!("d/{n:08}/f")))),
    Input::new("depth of paths", (4, 64), |depth| {
        let folders = "d/".repeat(depth);
        read((0..FILES).map(|n| format!("{folders}{n:08}")))
    }),
    Input::new("length of paths", (64, 2048), |len| {
        let folders = format!("{}/", "d".repeat(31)).repeat(len / 32);
        read((0..FILES).map(|n| format!("{folders}{n:08}")))
    }),
    Input::new("letters with marks in paths", (32, 512), |count| {
        let name = "e\u{323}\u{302}".repeat(count / 8);
        // The composed form, which is the canonical one.
        let folders = format!("{}/", name.replace("e\u{323}\u{302}", "\u{1ec7}")).repeat(8);
        read((0..FILES).map(|n| format!("d/{folders}{n:08}")))
    }),
    Input::new("pieces of a manifest", (1 << 12, 1 << 17), |count| {
        let layout = Layout::new(count as u64 * u64::from(PIECE_LEN)).expect("small");
        let file = FileEntry { path: path("film.mkv"), len: layout.size() };
        encoded(&Manifest::new(vec![file], vec![Sha1Digest([7; 20]); count]).expect("whole"))
    }),
];

fn path(text: &str) -> RelPath {
    RelPath::parse(text).expect("a path")
}

/// Reads a manifest of empty files.
fn read(paths: impl Iterator<Item = String>) -> Work {
    let files = paths.map(|text| FileEntry { path: path(&text), len: 0 }).collect();
    encoded(&Manifest::new(files, Vec::new()).expect("in order"))
}

fn encoded(read: &Manifest) -> Work {
    let (bytes, info_hash) = manifest::encode(read).expect("below the cap");
    Box::new(move || timed(|| manifest::decode(&bytes, info_hash).expect("it was just written")))
}
