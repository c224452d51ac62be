//! The contents of a file or folder: by number, and as bytes on a disk.

use crate::common::random::Random;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Bytes by path below the root; a single file has the empty path.
pub(super) type Tree = BTreeMap<PathBuf, Vec<u8>>;

/// The content with this number: a folder of three files, or one file of up to five pieces.
pub(super) fn content(number: u64, folder: bool) -> Tree {
    let mut random = Random(number);
    let mut bytes = |len: u64| (0..len / 8 + 1).flat_map(|_| random.next().to_le_bytes()).collect::<Vec<u8>>();
    if folder {
        let files = [("a", 600_000), ("b/c", 900_000), ("z", 1_100_000)];
        return files.into_iter().map(|(name, len)| (PathBuf::from(name), bytes(len))).collect();
    }
    let len = 1_200_000 + number % 4 * 524_288;
    Tree::from([(PathBuf::new(), bytes(len))])
}

/// The content at a path; `None` if there is none.
pub(super) fn read(path: &Path) -> Option<Tree> {
    let mut tree = Tree::new();
    gather(path, &mut PathBuf::new(), &mut tree);
    Some(tree).filter(|tree| !tree.is_empty())
}

fn gather(path: &Path, below: &mut PathBuf, tree: &mut Tree) {
    let Ok(entries) = fs::read_dir(path) else {
        if let Ok(bytes) = fs::read(path) {
            tree.insert(below.clone(), bytes);
        }
        return;
    };
    for entry in entries {
        let name = entry.expect("read").file_name();
        below.push(&name);
        gather(&path.join(&name), below, tree);
        below.pop();
    }
}

/// Writes a content to a path, as new files that replace the old entry.
pub(super) fn write(path: &Path, tree: &Tree) {
    remove(path);
    for (below, bytes) in tree {
        let path = place(path, below);
        fs::create_dir_all(path.parent().expect("below a folder")).expect("made");
        fs::write(path, bytes).expect("room");
    }
}

/// The path of a file of a content.
pub(super) fn place(root: &Path, below: &Path) -> PathBuf {
    if below.as_os_str().is_empty() { root.to_path_buf() } else { root.join(below) }
}

pub(super) fn remove(path: &Path) {
    if path.is_dir() {
        fs::remove_dir_all(path).expect("removed");
    } else if path.exists() {
        fs::remove_file(path).expect("removed");
    }
}
