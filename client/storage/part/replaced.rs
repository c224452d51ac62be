//! The old version of a content that a download replaces.
//!
//! A run that is killed between the exchange of the names and the removal leaves the old version beside the new one.
//! The next run finds the new version under the final name, verifies it, and removes the old one.

use super::body::Body;
use super::each_file::for_each_file;
use super::error::PartError;
use super::paths::PartPaths;
use super::removal::{remove_listed, remove_own};
use super::sidecar::{PartLabel, Sidecar};
use super::take_back::HeldFiles;
use super::written::holds_nothing_else;
use crate::client::storage::file_stamp::{Stamps, StampsDigest};
use crate::model::manifest::Manifest;
use crate::sys::file_id::FileId;
use crate::sys::files;
use rustix::io::Errno;
use std::collections::HashMap;
use std::convert::Infallible;
use std::fs::{File, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::sync::Arc;

/// The client's own record about a download, whatever lies on the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PartRecord {
    /// The client has no record: the download begins. A part without a sidecar does not belong to the download.
    Absent,
    /// The download has begun. A part without a sidecar belongs to the download if the pieces match. Without a part the
    /// download begins again.
    Begun,
    /// The download has begun, and does not begin again by itself. Without its part it waits.
    Awaited,
    /// As `Awaited`, and the download moves elsewhere, so anything may have its final name.
    Moving,
}

/// How to open a download.
#[derive(Debug, Clone)]
pub struct PartPlan {
    pub record: PartRecord,
    /// The old version that may have the final name until the download replaces it.
    pub replaces: Option<Replaced>,
    /// The complete files of the download, whose folder may have the final name.
    pub held: Option<HeldFiles>,
}

impl PartRecord {
    /// Whether the download does not begin again by itself.
    pub(super) fn is_awaited(self) -> bool {
        matches!(self, PartRecord::Awaited | PartRecord::Moving)
    }
}

impl From<PartRecord> for PartPlan {
    fn from(record: PartRecord) -> Self {
        Self { record, replaces: None, held: None }
    }
}

/// An old version that was found right, and the stamps of its files.
#[derive(Debug, Clone)]
pub struct Replaced {
    pub manifest: Arc<Manifest>,
    pub stamps: StampsDigest,
}

/// The permissions of a path.
fn mode_at(path: &Path) -> Option<u32> {
    files::look_unlinked(path).ok().map(|found| found.mode() & 0o777)
}

impl Replaced {
    /// Whether exactly this version lies at a path: the same files, unchanged since, and nothing else in a folder.
    pub fn is_at(&self, path: &Path) -> bool {
        let same = Stamps::take(path, self.manifest.files()).is_ok_and(|now| now.digest() == self.stamps);
        same && (!self.manifest.is_folder() || holds_nothing_else(path, &self.manifest))
    }

    /// Exchanges the names of the part and of the old version, in one step. Then checks the file or folder that had the
    /// final name. If that is not the old version any more, exchanges the names back.
    ///
    /// # Errors
    /// `Edited`, `NoExchange`, `Io`. Both have their former names then.
    pub(super) fn exchange(&self, paths: &PartPaths) -> Result<(), PartError> {
        let exchange = || {
            files::exchange(&paths.folder, &paths.part_name, &paths.name).map_err(|error| {
                match Errno::from_io_error(&error) {
                    Some(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => PartError::NoExchange(paths.destination()),
                    _ => PartError::Io(paths.destination(), "replace", error),
                }
            })
        };
        exchange()?;
        if self.is_at(&paths.part_path()) {
            return Ok(());
        }
        exchange()?;
        Err(PartError::Edited(paths.destination()))
    }

    /// Removes the old version from the former place of the part. Anything else stays. For a folder, the sidecar notes
    /// this first: a killed run leaves a folder that looks like no version.
    ///
    /// # Errors
    /// `DiskFull`, `Io`.
    pub(super) fn remove(&self, paths: &PartPaths, sidecar: &Sidecar) -> Result<(), PartError> {
        let Some(own) = paths.id(&paths.part_name)? else { return Ok(()) };
        if sidecar.note().and_then(|note| note.replaced) != Some(own) {
            if !self.is_at(&paths.part_path()) {
                return Ok(());
            }
            if self.manifest.is_folder() {
                sidecar.write_replaced(own)?;
            }
        }
        remove_own(paths, &own, Some(&self.manifest)).map(drop)
    }
}

/// Gives new files the permissions of the old files below `root` that they replace. `of` computes them from the old
/// ones and from whether the file is to be executable. Each folder gets those of the old folder and `of_folder`
/// besides.
pub(super) fn keep_modes(
    body: &Body,
    manifest: &Manifest,
    root: &Path,
    (of, of_folder): (impl Fn(u32, bool) -> u32 + Sync, u32),
) {
    // A file system may keep none.
    let Ok::<_, Infallible>(()) = for_each_file(manifest, |number, entry| {
        let executable = manifest.attributes().get(number).is_some_and(|attributes| attributes.executable);
        if let (Some(mode), Ok(file)) = (mode_at(&entry.path.placed_in(root)), body.file(manifest, number)) {
            let _ = file.set_permissions(Permissions::from_mode(of(mode, executable)));
        }
        Ok(())
    });
    // The inner folders come first: an outer one may forbid access.
    for path in manifest.folders().into_iter().rev() {
        let old = if path.is_empty() { root.to_path_buf() } else { root.join(path) };
        if let (Some(mode), Ok(folder)) = (mode_at(&old), body.folder(path)) {
            let _ = folder.set_permissions(Permissions::from_mode(mode | of_folder));
        }
    }
}

/// Turns a folder with this id into the beginning of another version. First removes files that the other version does
/// not have with the same length. If the run is killed before the end, the folder is still the part of the old version,
/// which makes those files again.
///
/// # Errors
/// `DiskFull`, `Io`.
pub(super) fn hand_over(
    (folder, id): (&File, FileId),
    (old, new): (&Manifest, &Manifest),
    (sidecar, label): (&Sidecar, &PartLabel),
) -> Result<(), PartError> {
    let lens: HashMap<_, _> = new.files().iter().map(|entry| (entry.path.below_root(), entry.len)).collect();
    let goes = old.files().iter().filter(|entry| lens.get(&entry.path.below_root()) != Some(&entry.len));
    remove_listed(folder, goes).map_err(|error| PartError::Io(sidecar.paths().part_path(), "remove", error))?;
    sidecar.write_heir(label, id)
}

#[cfg(test)]
mod tests {
    use super::super::{OpenedPart, Part};
    use super::*;
    use crate::client::hash::piece_hash::sha1_of;
    use crate::model::digest::InfoHash;
    use crate::model::manifest::FileEntry;
    use crate::model::name::{FileName, GroupId};
    use crate::model::path::RelPath;
    use crate::model::piece::PIECE_LEN;
    use std::collections::BTreeMap;
    use std::fs;
    use std::path::PathBuf;
    use std::time::SystemTime;
    use tempfile::TempDir;

    /// Files by their paths. The first component of each is the share.
    type Content = BTreeMap<&'static str, &'static [u8]>;

    /// An old version on the disk as `f`, and the new one to replace it.
    struct Bench {
        temp: TempDir,
        old: Replaced,
        new: Arc<Manifest>,
        bytes: Vec<u8>,
    }

    fn manifest(content: &Content) -> (Arc<Manifest>, Vec<u8>) {
        let entry = |(path, bytes): (&&str, &&[u8])| FileEntry {
            path: RelPath::parse(path).expect("a path"),
            len: bytes.len() as u64,
        };
        let bytes = content.values().copied().collect::<Vec<_>>().concat();
        let pieces = if bytes.is_empty() { vec![] } else { vec![sha1_of(&bytes)] };
        (Arc::new(Manifest::new(content.iter().map(entry).collect(), pieces).expect("in order")), bytes)
    }

    impl Bench {
        fn new(old: &Content, new: &Content) -> Self {
            let temp = tempfile::tempdir().expect("a temporary folder");
            let root = fs::canonicalize(temp.path()).expect("there").join("f");
            for (path, bytes) in old {
                let path = RelPath::parse(path).expect("a path").placed_in(&root);
                fs::create_dir_all(path.parent().expect("below the folder")).expect("made");
                fs::write(path, bytes).expect("written");
            }
            let (manifest_of_old, _) = manifest(old);
            let stamps = Stamps::take(&root, manifest_of_old.files()).expect("just written").digest();
            let (new, bytes) = manifest(new);
            Self { temp, old: Replaced { manifest: manifest_of_old, stamps }, new, bytes }
        }

        fn of_a_file() -> Self {
            Self::new(&Content::from([("f", &b"the old version"[..])]), &Content::from([("f", &b"the new one"[..])]))
        }

        fn of_a_folder() -> Self {
            let old = Content::from([("f/a", &b"old"[..]), ("f/gone", b"gone"), ("f/sub/b", b"same")]);
            let new = Content::from([("f/a", &b"newer"[..]), ("f/more/c", b"c"), ("f/sub/b", b"same")]);
            Self::new(&old, &new)
        }

        fn path(&self, name: &str) -> PathBuf {
            fs::canonicalize(self.temp.path()).expect("there").join(name)
        }

        fn open(&self) -> OpenedPart {
            let label = PartLabel {
                info_hash: InfoHash([2; 32]),
                group: GroupId::parse("lab").expect("a name"),
                name: FileName::parse("f").expect("a name"),
            };
            let plan = PartPlan { record: PartRecord::Begun, replaces: Some(self.old.clone()), held: None };
            Part::open(&self.path("f"), self.new.clone(), &label, plan).expect("room")
        }

        /// A part with all its pieces.
        fn part(&self) -> Part {
            let OpenedPart::Part(part) = self.open() else { panic!("the old version is in the way") };
            for piece in self.new.layout().indexes() {
                part.write_piece(piece, self.bytes[..].into()).expect("room");
            }
            part
        }

        fn holds(&self, name: &str, manifest: &Manifest) -> bool {
            let there = Stamps::take(&self.path(name), manifest.files()).is_ok();
            there && (!manifest.is_folder() || holds_nothing_else(&self.path(name), manifest))
        }

        fn is_replaced(&self) -> bool {
            self.holds("f", &self.new) && !self.path("f.part").exists() && !self.path("f.part.meta").exists()
        }
    }

    #[test]
    fn a_new_version_takes_the_place_of_the_old_one_and_nothing_is_left_beside() {
        for bench in [Bench::of_a_file(), Bench::of_a_folder()] {
            let part = bench.part();
            assert!(bench.holds("f", &bench.old.manifest), "the old one stays until the end");
            part.finish().expect("replaced");
            drop(part);
            assert!(bench.is_replaced());
        }
    }

    #[test]
    fn the_new_version_hides_from_its_first_byte_on_what_the_old_one_hid() {
        let (file, folder) = (Bench::of_a_file(), Bench::of_a_folder());
        let chmod = |path: PathBuf, mode| fs::set_permissions(path, Permissions::from_mode(mode)).expect("set");
        chmod(file.path("f"), 0o600);
        chmod(folder.path("f/sub"), 0o710);
        chmod(folder.path("f"), 0o700);
        chmod(folder.path("f/a"), 0o640);
        for (bench, modes) in
            [(&file, &[("f", 0o600)][..]), (&folder, &[("f", 0o700), ("f/a", 0o640), ("f/sub", 0o710)])]
        {
            let part = bench.part();
            for (path, mode) in modes {
                assert_eq!(mode_at(&bench.path(&path.replacen('f', "f.part", 1))), Some(*mode), "{path}");
            }
            part.finish().expect("replaced");
            drop(part);
            for (path, mode) in modes {
                assert_eq!(mode_at(&bench.path(path)), Some(*mode), "{path}");
            }
            assert!(bench.is_replaced());
        }
    }

    #[test]
    fn a_file_that_was_written_to_meanwhile_keeps_its_name_and_what_came_is_kept() {
        let bench = Bench::of_a_file();
        let part = bench.part();
        fs::write(bench.path("f"), "edited since: mine").expect("written");
        let error = part.finish().expect_err("it is not what was downloaded");
        assert!(matches!(error, PartError::Edited(_)), "{error}");
        drop(part);
        assert_eq!(fs::read(bench.path("f")).expect("there"), b"edited since: mine");
        assert_eq!(fs::read(bench.path("f.part")).expect("kept"), bench.bytes);
    }

    #[test]
    fn a_folder_with_something_of_ones_own_is_not_replaced() {
        let bench = Bench::of_a_folder();
        let part = bench.part();
        fs::write(bench.path("f/sub/mine"), "mine").expect("written");
        assert!(matches!(part.finish(), Err(PartError::Edited(_))));
        assert_eq!(fs::read(bench.path("f/sub/mine")).expect("there"), b"mine");
        assert_eq!(fs::read(bench.path("f/a")).expect("there"), b"old");
        fs::remove_file(bench.path("f/sub/mine")).expect("there");
        part.finish().expect("replaced");
        drop(part);
        assert!(bench.is_replaced());
    }

    #[test]
    fn an_old_version_that_was_removed_leaves_its_name_to_the_new_one() {
        let bench = Bench::of_a_file();
        let part = bench.part();
        fs::remove_file(bench.path("f")).expect("there");
        part.finish().expect("renamed");
        drop(part);
        assert!(bench.is_replaced());
    }

    #[test]
    fn a_run_that_was_killed_right_behind_the_exchange_is_finished_by_the_next_one() {
        for bench in [Bench::of_a_file(), Bench::of_a_folder()] {
            let part = bench.part();
            part.body.end_reservation();
            bench.old.exchange(part.sidecar.paths()).expect("exchanged");
            drop(part);
            assert!(bench.holds("f", &bench.new) && bench.holds("f.part", &bench.old.manifest));
            let OpenedPart::Taken(taken) = bench.open() else { panic!("the new version has the name") };
            taken.adopt().expect("removed");
            assert!(bench.is_replaced());
        }
    }

    #[test]
    fn a_run_that_was_killed_while_the_old_folder_was_removed_is_finished_by_the_next_one() {
        for removed in [&["f.part/a"][..], &["f.part/a", "f.part/gone", "f.part/sub/b"]] {
            let bench = Bench::of_a_folder();
            let part = bench.part();
            part.body.end_reservation();
            let paths = part.sidecar.paths();
            bench.old.exchange(paths).expect("exchanged");
            part.sidecar.write_replaced(paths.id(&paths.part_name).expect("there").expect("there")).expect("written");
            removed.iter().for_each(|path| fs::remove_file(bench.path(path)).expect("there"));
            drop(part);
            let OpenedPart::Taken(taken) = bench.open() else { panic!("the new version has the name") };
            taken.adopt().expect("removed");
            assert!(bench.is_replaced());
        }
    }

    #[test]
    fn an_old_version_changed_between_the_exchange_and_a_kill_stays_beside() {
        let bench = Bench::of_a_file();
        let part = bench.part();
        bench.old.exchange(part.sidecar.paths()).expect("exchanged");
        drop(part);
        let aside = File::options().write(true).open(bench.path("f.part")).expect("there");
        aside.set_modified(SystemTime::UNIX_EPOCH).expect("set");
        let OpenedPart::Taken(taken) = bench.open() else { panic!("the new version has the name") };
        taken.adopt().expect("nothing to remove");
        assert_eq!(fs::read(bench.path("f.part")).expect("kept"), b"the old version");
    }

    /// A folder of these files. All bytes of a file are equal.
    fn uniform(files: &[(&str, u8, usize)]) -> (Arc<Manifest>, Vec<u8>) {
        let entry = |(path, _, len): &(&str, u8, usize)| FileEntry {
            path: RelPath::parse(&format!("f/{path}")).expect("a path"),
            len: *len as u64,
        };
        let bytes: Vec<u8> = files.iter().flat_map(|(_, byte, len)| vec![*byte; *len]).collect();
        let pieces = bytes.chunks(PIECE_LEN as usize).map(sha1_of).collect();
        (Arc::new(Manifest::new(files.iter().map(entry).collect(), pieces).expect("in order")), bytes)
    }

    fn labelled(number: u8) -> PartLabel {
        PartLabel {
            info_hash: InfoHash([number; 32]),
            group: GroupId::parse("lab").expect("a name"),
            name: FileName::parse("f").expect("a name"),
        }
    }

    #[test]
    fn files_of_the_same_length_stay_and_the_part_is_the_newer_versions() {
        const LEN: usize = PIECE_LEN as usize;
        let temp = tempfile::tempdir().expect("a folder");
        let to = fs::canonicalize(temp.path()).expect("there").join("f");
        let (old, bytes) = uniform(&[("a", 1, LEN), ("gone/b", 2, 10), ("sub/c", 3, 3 * LEN), ("sub/d", 4, 10)]);
        let (new, _) = uniform(&[("a", 1, LEN), ("more/e", 5, 7), ("sub/c", 3, 3 * LEN), ("sub/d", 4, 11)]);
        let OpenedPart::Part(part) = Part::open(&to, old.clone(), &labelled(1), PartRecord::Absent).expect("room")
        else {
            panic!("nothing is there")
        };
        let layout = old.layout();
        for piece in layout.indexes().take(4) {
            let from = layout.offset(piece) as usize;
            let data = &bytes[from..from + layout.len(piece) as usize];
            part.write_piece(piece, data.into()).expect("room");
        }
        part.hand_over(&new, &labelled(2)).expect("handed over");
        let beside = |path: &str| temp.path().join("f.part").join(path);
        assert!(beside("a").exists() && !beside("gone").exists() && !beside("sub/d").exists());
        let again = Part::open(&to, old, &labelled(1), PartRecord::Begun);
        assert!(matches!(again, Err(PartError::OtherDownload { .. })), "it is the newer version's");
        let OpenedPart::Part(heir) = Part::open(&to, new, &labelled(2), PartRecord::Begun).expect("its own") else {
            panic!("it has no final name")
        };
        assert!(!heir.is_fresh());
        drop(part);
        // Behind the first file the stream is shifted by seven bytes, and `sub/c` still has its own bytes.
        assert_eq!(fs::read(beside("a")).expect("there"), vec![1; LEN]);
        let kept = fs::read(beside("sub/c")).expect("there");
        assert!(kept.len() == 3 * LEN && kept[..2 * LEN].iter().all(|byte| *byte == 3));
        assert_eq!(fs::read(beside("sub/d")).expect("made").len(), 11);
    }
}
