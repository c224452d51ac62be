//! Finds the path of a share's file on this disk. The share has its names in Normalization Form C; a disk may have them
//! in another form.

use crate::model::path::RelPath;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use unicode_normalization::UnicodeNormalization;

/// The path of a file of a share at `root`. Each name on the way is looked up as in the share, then in Normalization
/// Form D, then in any form with the same meaning. A name that is missing stays as in the share.
pub(crate) fn locate(root: &Path, path: &RelPath) -> PathBuf {
    let exact = path.placed_in(root);
    let Some(below) = path.below_root().filter(|below| !below.is_ascii()) else { return exact };
    if is_there(&exact) {
        return exact;
    }
    let mut at = root.to_path_buf();
    for name in below.split('/') {
        match find(&at, name) {
            Some(found) => at.push(found),
            None => return exact,
        }
    }
    at
}

fn is_there(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok()
}

/// The name on the disk of an entry in a folder.
fn find(folder: &Path, name: &str) -> Option<OsString> {
    if name.is_ascii() || is_there(&folder.join(name)) {
        return Some(name.into());
    }
    let decomposed: String = name.nfd().collect();
    if is_there(&folder.join(&decomposed)) {
        return Some(decomposed.into());
    }
    let names = fs::read_dir(folder).ok()?.filter_map(|entry| Some(entry.ok()?.file_name()));
    names.filter(|found| found.to_str().is_some_and(|found| found.nfc().eq(name.chars()))).min()
}

/// How well a name on the disk fits its name in the share. `locate` chooses the smallest rank.
pub(crate) fn rank(on_disk: &str, shared: &str) -> u8 {
    if on_disk == shared {
        0
    } else if shared.nfd().eq(on_disk.chars()) {
        1
    } else {
        2
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_found_in_every_form_and_the_exact_one_first() {
        let temp = tempfile::tempdir().expect("a temporary folder");
        let path = RelPath::parse("d/ü/a\u{e9}\u{e9}").expect("a path");
        // In the order in which `locate` prefers them: composed, decomposed, mixed.
        let forms = ["ü/a\u{e9}\u{e9}", "ü/ae\u{301}e\u{301}", "u\u{308}/ae\u{301}\u{e9}", "u\u{308}/a\u{e9}e\u{301}"];
        assert_eq!(locate(temp.path(), &path), temp.path().join(forms[0]), "nothing is there");
        for form in forms.into_iter().rev() {
            let place = temp.path().join(form);
            fs::create_dir_all(place.parent().expect("it has one")).expect("made");
            fs::write(&place, form).expect("written");
            let found = locate(temp.path(), &path);
            assert_eq!(fs::read_to_string(&found).expect("it is there"), form, "{found:?}");
        }
    }

    #[test]
    fn the_rank_follows_the_order_of_the_search() {
        let ranks = ["\u{e9}\u{e9}", "e\u{301}e\u{301}", "e\u{301}\u{e9}"].map(|form| rank(form, "\u{e9}\u{e9}"));
        assert_eq!(ranks, [0, 1, 2]);
    }
}
