//! Hashes a file or folder for sharing.

use super::file_stamp::Stamps;
use super::import_error::ImportError;
use super::left_out::{LeftOut, LeftOutKind};
use super::piece_source::SourceError;
use super::share_tree::{SharePlace, ShareTree};
use super::shared_files::SharedFiles;
use crate::client::hash::piece_hash::hash_in_order;
use crate::client::hash::sha1_lanes::Sha1Stream;
use crate::model::digest::Sha1Digest;
use crate::model::manifest::{Manifest, check_files};
use crate::model::name::FileName;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

/// The maximum number of files of a folder that may prove unreadable only when they are read.
const UNREADABLE_MAX: u32 = 16;

/// The result of hashing.
#[derive(Debug)]
pub struct Import {
    /// The absolute path of the file or folder.
    pub root: PathBuf,
    /// The files and the digest of every piece.
    pub manifest: Manifest,
    /// The SHA-1 of the complete stream.
    pub sha1: Sha1Digest,
    /// The stamps of the files, to recognize a later change.
    pub stamps: Stamps,
    /// The entries of the folder that are not shared.
    pub left_out: LeftOut,
}

/// Reads a file or folder once. The rayon pool reads ahead and computes the digest of every piece. The calling thread
/// computes the digest of the whole, which is one chain. The share's `name` is the root of its paths, under any local
/// name: the same content has the same manifest everywhere. After each piece, `progress` gets the numbers of finished
/// bytes and of all bytes. Takes a few MiB of memory for any size.
///
/// If a file of a folder proves unreadable, it is left out, and the others are read again.
///
/// # Errors
/// Those of `ShareTree::list`; `Cancelled` soon after `cancel` is set; `Changed` if the files changed meanwhile; `Io`
/// and `Sizeless` for a single file, and for a folder with too many such files.
pub fn hash_for_sharing(
    place: &SharePlace,
    name: &FileName,
    cancel: &AtomicBool,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Import, ImportError> {
    let mut tree = ShareTree::list(place, name)?;
    let mut unreadable = 0;
    let hashed = loop {
        let error = match hash(&tree, cancel, progress) {
            Ok(hashed) => break hashed,
            Err(error) => error,
        };
        let left_out = match &error {
            ImportError::Io(path, _) => tree.leave_out(path, LeftOutKind::Unreadable),
            ImportError::Sizeless(path) => tree.leave_out(path, LeftOutKind::Sizeless),
            _ => false,
        };
        unreadable += 1;
        if !left_out || unreadable > UNREADABLE_MAX {
            return Err(error);
        }
        if tree.files.is_empty() {
            return Err(ImportError::AllLeftOut(tree.root, tree.left_out));
        }
    };
    let ShareTree { root, files, stamps, attributes, left_out } = tree;
    let manifest = Manifest::new(files, hashed.pieces).and_then(|manifest| manifest.with_attributes(attributes));
    let manifest = manifest.map_err(|error| ImportError::Size(root.clone(), error))?;
    Ok(Import { root, manifest, sha1: hashed.whole, stamps, left_out })
}

/// The import of a known file that has a new name or place. Nothing is read. The caller must check by the stamps that
/// it is the same file.
///
/// # Errors
/// Those of `ShareTree::list`.
pub(crate) fn under_other_name(
    place: &SharePlace,
    name: &FileName,
    (known, sha1): (&Manifest, Sha1Digest),
) -> Result<Import, ImportError> {
    let ShareTree { root, files, stamps, attributes, left_out } = ShareTree::list(place, name)?;
    let manifest =
        Manifest::new(files, known.pieces().to_vec()).and_then(|manifest| manifest.with_attributes(attributes));
    let manifest = manifest.map_err(|error| ImportError::Size(root.clone(), error))?;
    Ok(Import { root, manifest, sha1, stamps, left_out })
}

/// The digests of a tree's bytes.
struct Digests {
    pieces: Vec<Sha1Digest>,
    whole: Sha1Digest,
}

fn hash(tree: &ShareTree, cancel: &AtomicBool, progress: &mut dyn FnMut(u64, u64)) -> Result<Digests, ImportError> {
    let ShareTree { root, files, stamps, .. } = tree;
    let layout = check_files(files).map_err(|error| ImportError::Size(root.clone(), error))?;
    let source = SharedFiles::new(root.clone(), files, layout, stamps.clone());
    let mut pieces = Vec::with_capacity(layout.count() as usize);
    let mut whole = Sha1Stream::default();
    let holes = source.holes();
    let read = |piece, buffer: &mut [u8]| source.read_unless_hole(&holes, piece, buffer);
    let flow = hash_in_order(
        layout,
        layout.indexes(),
        read,
        || false,
        |piece, outcome| {
            if cancel.load(Ordering::Relaxed) {
                return ControlFlow::Break(ImportError::Cancelled);
            }
            let read = match outcome {
                Ok(read) => read,
                // A file that delivers too few bytes, though it is unchanged, reports a wrong size.
                Err(SourceError::Changed(path)) if tree.is_unchanged(&path) => {
                    return ControlFlow::Break(ImportError::Sizeless(path));
                }
                Err(error) => return ControlFlow::Break(error.into()),
            };
            whole.update(read.data);
            pieces.push(read.sha1);
            progress(layout.offset(piece) + read.data.len() as u64, layout.size());
            ControlFlow::Continue(())
        },
    );
    if let ControlFlow::Break(error) = flow {
        return Err(error);
    }
    // A file whose pieces were read early may have changed since.
    source.check_all()?;
    Ok(Digests { pieces, whole: whole.digest() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::hash::piece_hash::sha1_of;
    use crate::client::hash::piece_hash::tests::noise;
    use crate::model::name::tests::file as name;
    use crate::model::piece::PIECE_LEN;
    use crate::wire::manifest::encode;
    use std::fs;
    use std::os::unix::fs::FileExt;
    use std::path::Path;
    use std::time::SystemTime;

    fn found(path: &Path) -> SharePlace {
        SharePlace::find(path).expect("there")
    }

    fn hash(path: &Path) -> Result<Import, ImportError> {
        hash_for_sharing(&SharePlace::find(path)?, &name("f"), &AtomicBool::new(false), &mut |_, _| {})
    }

    #[test]
    fn a_file_gives_the_digests_of_its_pieces_and_of_the_whole() {
        let temp = tempfile::tempdir().expect("a temporary folder");
        let path = temp.path().join("Übung 1.bin");
        for len in [0, 1, PIECE_LEN as usize - 1, PIECE_LEN as usize, 20 * PIECE_LEN as usize, 1_000_001] {
            let content = noise(len);
            fs::write(&path, &content).expect("written");
            let mut last = (0, len as u64);
            let hashed = hash_for_sharing(&found(&path), &name("f"), &AtomicBool::new(false), &mut |done, total| {
                assert!(done > last.0 && total == len as u64);
                last = (done, total);
            })
            .expect("a file");
            assert_eq!(last, (len as u64, len as u64));
            assert_eq!(hashed.sha1, sha1_of(&content));
            let pieces: Vec<_> = content.chunks(PIECE_LEN as usize).map(sha1_of).collect();
            assert_eq!(hashed.manifest.pieces(), pieces);
            assert_eq!(hashed.manifest.files()[0].path.as_str(), "f");
            assert!(!hashed.manifest.is_folder());
        }
        assert_eq!(sha1_of(b""), Sha1Digest::OF_NOTHING);
    }

    #[test]
    fn a_folder_is_hashed_as_one_stream() {
        let temp = tempfile::tempdir().expect("a temporary folder");
        let root = temp.path().join("d");
        fs::create_dir_all(root.join("sub")).expect("made");
        let (a, b) = (noise(700_000), noise(900_001));
        fs::write(root.join("a"), &a).expect("written");
        fs::write(root.join("none"), b"").expect("written");
        fs::write(root.join("sub/b"), &b).expect("written");
        let hashed = hash(&root).expect("a folder");
        let stream = [a, b].concat();
        assert_eq!(hashed.sha1, sha1_of(&stream));
        assert_eq!(hashed.manifest.pieces(), stream.chunks(PIECE_LEN as usize).map(sha1_of).collect::<Vec<_>>());
        assert_eq!(hashed.manifest.files().len(), 3);
    }

    #[test]
    fn the_local_name_and_unicode_form_of_a_file_make_no_other_content() {
        let temp = tempfile::tempdir().expect("a temporary folder");
        let info_hash = |path: &str| {
            let hashed = hash_for_sharing(
                &found(&temp.path().join(path)),
                &name("Müll~2"),
                &AtomicBool::new(false),
                &mut |_, _| {},
            );
            encode(&hashed.expect("it can be shared").manifest).expect("short").1
        };
        for path in ["a", "Mu\u{308}ll", "Müll"] {
            fs::write(temp.path().join(path), "same").expect("written");
            assert_eq!(info_hash(path), info_hash("a"), "{path}");
        }
        for (folder, file) in [("d", "é/ü"), ("e", "e\u{301}/u\u{308}"), ("f", "é/u\u{308}")] {
            let file = temp.path().join(folder).join(file);
            fs::create_dir_all(file.parent().expect("it has one")).expect("made");
            fs::write(file, "same").expect("written");
            assert_eq!(info_hash(folder), info_hash("d"), "{folder}");
        }
    }

    #[test]
    fn a_folder_without_a_file_has_nothing_to_share() {
        let temp = tempfile::tempdir().expect("a temporary folder");
        fs::create_dir(temp.path().join("empty")).expect("made");
        let error = hash(temp.path()).expect_err("no file").to_string();
        assert!(error.ends_with("holds no file; there is nothing to share"), "{error}");
    }

    #[test]
    fn a_file_that_grows_while_it_is_read_is_refused() {
        let temp = tempfile::tempdir().expect("a temporary folder");
        let path = temp.path().join("log");
        fs::write(&path, noise(30 * PIECE_LEN as usize)).expect("written");
        let mut grown = false;
        let result = hash_for_sharing(&found(&path), &name("f"), &AtomicBool::new(false), &mut |_, _| {
            if !std::mem::replace(&mut grown, true) {
                fs::OpenOptions::new().append(true).open(&path).and_then(|file| file.set_len(1)).expect("changed");
            }
        });
        let error = result.expect_err("it changed");
        assert!(matches!(&error, ImportError::Changed(changed) if *changed == path), "{error}");
    }

    #[test]
    fn holes_have_the_digests_of_zeros_whatever_stands_beside_them() {
        let temp = tempfile::tempdir().expect("a temporary folder");
        let len = PIECE_LEN as usize;
        for written in [&[][..], &[0], &[7], &[0, 3, 4, 20], &[1, 2, 5, 9, 10, 11, 20]] {
            let (dense, sparse) = (temp.path().join("dense"), temp.path().join("sparse"));
            let mut content = vec![0; 20 * len + 100];
            let file = fs::File::create(&sparse).expect("made");
            file.set_len(content.len() as u64).expect("sparse");
            for piece in written {
                let data = noise(len.min(content.len() - piece * len));
                content[piece * len..][..data.len()].copy_from_slice(&data);
                file.write_all_at(&data, (piece * len) as u64).expect("written");
            }
            fs::write(&dense, &content).expect("written");
            let (dense, sparse) = (hash(&dense).expect("a file"), hash(&sparse).expect("a file"));
            assert_eq!((dense.sha1, dense.manifest.pieces()), (sparse.sha1, sparse.manifest.pieces()), "{written:?}");
            assert_eq!(dense.sha1, sha1_of(&content));
        }
    }

    #[test]
    fn a_hole_that_is_written_to_while_the_rest_is_read_is_refused() {
        let temp = tempfile::tempdir().expect("a temporary folder");
        let path = temp.path().join("disk");
        let file = fs::File::create(&path).expect("made");
        file.set_len(30 * u64::from(PIECE_LEN)).expect("sparse");
        let mut is_written = false;
        let result = hash_for_sharing(&found(&path), &name("f"), &AtomicBool::new(false), &mut |_, _| {
            if !std::mem::replace(&mut is_written, true) {
                file.write_all_at(b"data", 20 * u64::from(PIECE_LEN)).expect("written");
                file.set_modified(SystemTime::UNIX_EPOCH).expect("set");
            }
        });
        assert!(matches!(result, Err(ImportError::Changed(changed)) if changed == path));
    }

    #[test]
    fn a_file_of_a_folder_that_changes_after_it_was_read_is_refused() {
        let temp = tempfile::tempdir().expect("a temporary folder");
        let first = temp.path().join("a");
        fs::write(&first, noise(10)).expect("written");
        fs::write(temp.path().join("b"), noise(40 * PIECE_LEN as usize)).expect("written");
        let result = hash_for_sharing(&found(temp.path()), &name("f"), &AtomicBool::new(false), &mut |done, total| {
            if done == total {
                fs::write(&first, noise(11)).expect("written");
            }
        });
        assert!(matches!(result, Err(ImportError::Changed(changed)) if changed == first));
    }

    #[test]
    fn a_file_that_gives_fewer_bytes_than_it_says_is_refused_and_left_out_of_a_folder() {
        // The system generates these files, and reports one page of 4,096 bytes for each.
        let folder = Path::new("/sys/kernel/mm/transparent_hugepage");
        let Ok(metadata) = fs::metadata(folder.join("enabled")) else { return };
        assert_eq!(metadata.len(), 4096);
        let error = hash(&folder.join("enabled")).expect_err("it has less").to_string();
        assert!(error.ends_with("enabled does not have as many bytes as it says; share a copy of it"), "{error}");
        let temp = tempfile::tempdir().expect("a temporary folder");
        for name in ["a", "b", "c"] {
            fs::write(temp.path().join(name), name).expect("written");
        }
        let mut tree = ShareTree::list(&found(temp.path()), &name("d")).expect("three files");
        assert!(tree.leave_out(&temp.path().join("b"), LeftOutKind::Sizeless));
        assert!(
            !tree.leave_out(&temp.path().join("b"), LeftOutKind::Sizeless)
                && tree.left_out.to_string().contains("1 file")
        );
        let left = super::hash(&tree, &AtomicBool::new(false), &mut |_, _| {}).expect("two files");
        assert_eq!(left.whole, sha1_of(b"ac"));
        assert_eq!((tree.files.len(), tree.attributes.len(), tree.stamps.0.len()), (2, 2, 2));
    }

    #[test]
    fn hashing_stops_when_cancelled() {
        let temp = tempfile::tempdir().expect("a temporary folder");
        let path = temp.path().join("f");
        fs::write(&path, noise(40 * PIECE_LEN as usize)).expect("written");
        let cancel = AtomicBool::new(false);
        let mut last = 0;
        let result = hash_for_sharing(&found(&path), &name("f"), &cancel, &mut |done, _| {
            cancel.store(true, Ordering::Relaxed);
            last = done;
        });
        assert!(matches!(result, Err(ImportError::Cancelled)));
        assert_eq!(last, u64::from(PIECE_LEN));
    }
}
