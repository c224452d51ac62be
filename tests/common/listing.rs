//! The contents of a folder.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// An entry in a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Entry {
    Folder,
    Link(PathBuf),
    File(Vec<u8>),
}

/// The files, folders and links in a folder and in all folders below, by their paths. Does not follow links.
pub(crate) fn listing(folder: &Path) -> BTreeMap<PathBuf, Entry> {
    let mut all = BTreeMap::new();
    let mut open = vec![folder.to_path_buf()];
    while let Some(next) = open.pop() {
        for entry in fs::read_dir(&next).expect("it can be read") {
            let path = entry.expect("it can be read").path();
            let kind = fs::symlink_metadata(&path).expect("it is there").file_type();
            let found = if kind.is_symlink() {
                Entry::Link(fs::read_link(&path).expect("a link"))
            } else if kind.is_dir() {
                open.push(path.clone());
                Entry::Folder
            } else {
                Entry::File(fs::read(&path).expect("it can be read"))
            };
            all.insert(path.strip_prefix(folder).expect("below it").to_path_buf(), found);
        }
    }
    all
}
