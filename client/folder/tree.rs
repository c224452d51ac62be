//! A folder and the files below it on the disk: which files there are, and which of them had events. No link is
//! followed, and no other device is entered.

use super::node::FolderNode;
use super::place::{is_left_out, shared_name};
use crate::client::storage::file_stamp::FileStamp;
use crate::client::storage::local_name::locate;
use crate::model::name::FileName;
use crate::model::path::RelPath;
use crate::sys::files::{is_link, look_unlinked, names_in, open_unlinked, stat_in};
use crate::sys::folder_events::{FolderEvent, FolderEvents, WatchId};
use rustix::fs::{FileType, Stat};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;
use unicode_normalization::UnicodeNormalization;

/// The maximum number of shared files of a folder.
pub(crate) const FILES_MAX: usize = 1 << 18;

/// The identity of the folder at a path without links; `None` if there is none.
pub(crate) fn folder_node(path: &Path) -> Option<FolderNode> {
    let found = look_unlinked(path).ok().filter(|found| found.is_dir())?;
    let born = found.created().ok().and_then(|born| born.duration_since(UNIX_EPOCH).ok());
    // Some file systems report the start of the epoch for every file.
    Some(FolderNode { device: found.dev(), inode: found.ino(), born: born.filter(|born| !born.is_zero()) })
}

/// The result of a scan.
#[derive(Debug, Default)]
pub(crate) struct Scan {
    pub files: BTreeMap<FileName, FileStamp>,
    /// Entries that cannot be shared, because of their name or because they are unreadable: their number, and the path
    /// and reason of the first.
    pub unfit: usize,
    pub first_unfit: Option<(PathBuf, String)>,
    /// Files, and folders with everything in them, that may exist: the system does not tell. In the composed form, as
    /// names are.
    unknown: Vec<String>,
    /// Folders still to read.
    left: Vec<String>,
}

impl Scan {
    /// Whether a file of this name may exist though the scan did not find it.
    pub(crate) fn is_unknown(&self, name: &FileName) -> bool {
        self.unknown.iter().any(|unknown| is_at_or_below(name.as_str(), unknown))
    }

    /// Whether the scan found everything.
    pub(crate) fn is_whole(&self) -> bool {
        self.unknown.is_empty()
    }

    fn pass_over(&mut self, path: PathBuf, why: impl ToString) {
        self.unfit += 1;
        self.first_unfit.get_or_insert_with(|| (path, why.to_string()));
    }
}

/// The events in a folder.
#[derive(Debug, Default)]
pub(crate) struct Happened {
    pub files: BTreeSet<FileName>,
    /// Folders with events: each file that was in them needs a look. In the composed form, as names are.
    pub folders: Vec<String>,
    /// The whole folder needs a scan.
    pub rescan: bool,
    /// An entry that cannot be shared has come.
    pub unfit: bool,
}

/// A watched folder.
#[derive(Debug)]
pub(crate) struct FolderTree {
    root: PathBuf,
    /// The identity of the folder when this began.
    node: FolderNode,
    /// `None` if the system has no watch left. Then the folder is scanned from time to time.
    events: Option<FolderEvents>,
    /// The watched folders by their paths in this one. The folder itself is "".
    watches: BTreeMap<String, WatchId>,
    paths: HashMap<WatchId, String>,
}

impl FolderTree {
    /// The folder with this identity at an absolute path without links. Watches begin with the first scan.
    pub(crate) fn new(root: PathBuf, node: FolderNode) -> Self {
        let events = FolderEvents::new().ok();
        let node = folder_node(&root).filter(|found| node.is_same(found)).unwrap_or(node);
        Self { root, node, events, watches: BTreeMap::new(), paths: HashMap::new() }
    }

    /// Whether the folder itself is there, with the same identity as at the start.
    pub(crate) fn is_there(&self) -> bool {
        folder_node(&self.root) == Some(self.node)
    }

    /// Whether the system reports events.
    pub(crate) fn is_watched(&self) -> bool {
        self.events.is_some()
    }

    /// The path of a file on the disk.
    pub(crate) fn path_of(&self, name: &FileName) -> PathBuf {
        // Every file name is a path below a folder of any name.
        RelPath::parse(&format!("f/{name}"))
            .map_or_else(|_| self.root.join(name.as_str()), |path| locate(&self.root, &path))
    }

    /// The stamp of a file; `None` if it is missing or cannot be shared.
    ///
    /// # Errors
    /// The system does not tell whether it exists.
    pub(crate) fn look(&self, name: &FileName) -> io::Result<Option<FileStamp>> {
        match look_unlinked(&self.path_of(name)) {
            Ok(found) => Ok((found.is_file() && found.dev() == self.node.device).then(|| FileStamp::of(&found))),
            Err(error) if is_absence(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Finds all files, and watches all folders from now on.
    ///
    /// # Errors
    /// The folder itself is unreadable or missing.
    pub(crate) fn scan(&mut self) -> io::Result<Scan> {
        // A loss in the middle shows in the folder itself.
        self.open(&self.root)?;
        let mut scan = Scan::default();
        let mut found = BTreeSet::new();
        self.scan_below(String::new(), &mut scan, &mut found);
        if !found.contains("") {
            return Err(io::ErrorKind::NotFound.into());
        }
        let lost: Vec<String> = self.watches.keys().filter(|path| !found.contains(*path)).cloned().collect();
        lost.iter().for_each(|path| self.unwatch(path));
        Ok(scan)
    }

    fn scan_below(&mut self, folder: String, scan: &mut Scan, found: &mut BTreeSet<String>) {
        scan.left.push(folder);
        while let Some(folder) = scan.left.pop() {
            let path = self.root.join(&folder);
            // The watch comes first, so no event is missed while the names are read.
            self.watch(&folder, &path);
            match self.open(&path).and_then(|open| Ok((names_in(open.try_clone()?)?, open))) {
                Ok((names, open)) => {
                    names.iter().for_each(|name| self.entry(&folder, &open, name, scan));
                    found.insert(folder);
                }
                // The folder has disappeared by now.
                Err(error) if is_absence(&error) => {}
                Err(error) => {
                    scan.unknown.push(composed(&folder));
                    scan.pass_over(path, crate::sys::reason(&error));
                    // The folder is watched all the same, if possible.
                    found.insert(folder);
                }
            }
        }
    }

    fn open(&self, path: &Path) -> io::Result<File> {
        let open = open_unlinked(path)?;
        let found = open.metadata()?;
        match found.is_dir() && found.dev() == self.node.device {
            true => Ok(open),
            false => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn entry(&self, folder: &str, open: &File, name: &OsStr, scan: &mut Scan) {
        let path = || self.root.join(folder).join(name);
        let Some(text) = name.to_str() else { return scan.pass_over(path(), "the name is not UTF-8") };
        if is_left_out(text) {
            return;
        }
        let relative = if folder.is_empty() { text.to_owned() } else { format!("{folder}/{text}") };
        let stat = match stat_in(open, name) {
            Ok(Some(stat)) => stat,
            Ok(None) => return,
            Err(error) => {
                scan.unknown.push(composed(&relative));
                return scan.pass_over(path(), crate::sys::reason(&error));
            }
        };
        match FileType::from_raw_mode(stat.st_mode) {
            _ if stat.st_dev != self.node.device => {}
            FileType::Directory if relative.len() >= FileName::LEN_MAX => {
                scan.pass_over(path(), "the path is too long")
            }
            FileType::Directory => scan.left.push(relative),
            FileType::RegularFile => match shared_name(&relative) {
                Ok(_) if scan.files.len() >= FILES_MAX => scan.pass_over(path(), "there are too many files"),
                // Of two spellings, the composed one counts.
                Ok(name) if name.as_str() == relative || !scan.files.contains_key(&name) => {
                    scan.files.insert(name, stamp_of(&stat));
                }
                Ok(_) => {}
                Err(why) => scan.pass_over(path(), why),
            },
            _ => {}
        }
    }

    fn watch(&mut self, folder: &str, path: &Path) {
        let Some(events) = &self.events else { return };
        match events.watch(path) {
            Ok(id) => {
                if let Some(old) = self.watches.insert(folder.to_owned(), id).filter(|old| *old != id) {
                    events.unwatch(old);
                    self.paths.remove(&old);
                }
                // A moved folder still has its watch.
                if let Some(old) = self.paths.insert(id, folder.to_owned()).filter(|old| old != folder) {
                    self.watches.remove(&old);
                }
            }
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {}
            // The folder is unreadable too, and the scan reports that.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {}
            Err(_) => {
                self.events = None;
                self.watches.clear();
                self.paths.clear();
            }
        }
    }

    fn unwatch(&mut self, folder: &str) {
        if let Some(id) = self.watches.remove(folder) {
            self.paths.remove(&id);
            if let Some(events) = &self.events {
                events.unwatch(id);
            }
        }
    }

    /// The events since the last call. Does not wait.
    pub(crate) fn take(&mut self) -> Happened {
        let mut happened = Happened::default();
        let Some(events) = &self.events else { return happened };
        let Ok(events) = events.take() else { return Happened { rescan: true, ..happened } };
        let mut before = None;
        for event in events {
            if before.as_ref() == Some(&event) {
                continue;
            }
            match &event {
                FolderEvent::Overflow => happened.rescan = true,
                FolderEvent::Lost { folder } => match self.paths.get(folder).cloned() {
                    Some(path) if path.is_empty() => happened.rescan = true,
                    Some(path) => self.unwatch(&path),
                    None => {}
                },
                FolderEvent::Entry { folder, name, is_folder } => {
                    let Some(folder) = self.paths.get(folder) else { continue };
                    let Some(name) = name.to_str() else {
                        happened.unfit = true;
                        continue;
                    };
                    if is_left_out(name) {
                        continue;
                    }
                    let path = if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") };
                    match is_folder {
                        true => self.folder_happened(path, &mut happened),
                        false => match shared_name(&path) {
                            Ok(name) => drop(happened.files.insert(name)),
                            Err(_) => happened.unfit = true,
                        },
                    }
                }
            }
            before = Some(event);
        }
        happened
    }

    /// Handles an event of a folder, which has come, gone, or been replaced.
    fn folder_happened(&mut self, path: String, happened: &mut Happened) {
        let below: Vec<String> = self.watches.keys().filter(|known| is_at_or_below(known, &path)).cloned().collect();
        let is_there = folder_node(&self.root.join(&path)).is_some_and(|found| found.device == self.node.device);
        let mut scan = Scan::default();
        let mut found = BTreeSet::new();
        if is_there && path.len() < FileName::LEN_MAX {
            self.scan_below(path.clone(), &mut scan, &mut found);
        }
        below.iter().filter(|known| !found.contains(*known)).for_each(|known| self.unwatch(known));
        happened.unfit |= scan.unfit > 0;
        happened.files.extend(scan.files.into_keys());
        happened.folders.push(composed(&path));
    }

    /// Readable after an event.
    pub(crate) fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.events.as_ref().map(|events| events.as_fd())
    }
}

/// Whether an error means that no shareable file is there.
fn is_absence(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) || is_link(error)
}

/// A path in the composed form that names have.
fn composed(path: &str) -> String {
    path.nfc().collect()
}

fn is_at_or_below(path: &str, folder: &str) -> bool {
    path.strip_prefix(folder).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

fn stamp_of(stat: &Stat) -> FileStamp {
    FileStamp {
        inode: stat.st_ino,
        // No file has a negative size.
        size: stat.st_size as u64,
        modified: (stat.st_mtime, stat.st_mtime_nsec as i64),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::name::tests::file;
    use std::fs;
    use std::os::unix::fs::symlink;

    fn tree(files: &[&str]) -> (tempfile::TempDir, FolderTree) {
        let temp = tempfile::tempdir().expect("a temporary folder");
        let root = fs::canonicalize(temp.path()).expect("there");
        for file in files {
            write(&root, file);
        }
        let node = folder_node(&root).expect("a folder");
        (temp, FolderTree::new(root, node))
    }

    fn write(root: &Path, file: &str) {
        let path = root.join(file);
        fs::create_dir_all(path.parent().expect("below the root")).expect("made");
        fs::write(path, file).expect("written");
    }

    fn names(names: &[&str]) -> Vec<FileName> {
        names.iter().map(|name| file(name)).collect()
    }

    #[test]
    fn hidden_files_unfinished_downloads_links_and_what_is_no_file_are_left_out() {
        let files = [
            "a",
            "sub/b",
            "sub/deep/c",
            ".git/x",
            "sub/.hidden",
            "film.part",
            "film.part.meta",
            "bad~",
            "sub/e\u{301}",
        ];
        let (temp, mut tree) = tree(&files);
        symlink("a", temp.path().join("link")).expect("made");
        symlink("/", temp.path().join("away")).expect("made");
        rustix::fs::mknodat(rustix::fs::CWD, temp.path().join("pipe"), FileType::Fifo, rustix::fs::Mode::RUSR, 0)
            .expect("a pipe");
        let scan = tree.scan().expect("there");
        assert_eq!(scan.files.keys().cloned().collect::<Vec<_>>(), names(&["a", "sub/b", "sub/deep/c", "sub/\u{e9}"]));
        assert_eq!(scan.unfit, 1);
        assert!(scan.first_unfit.is_some_and(|(path, _)| path.ends_with("bad~")));
        for (name, stamp) in &scan.files {
            assert_eq!(tree.look(name).expect("told"), Some(*stamp), "{name}");
        }
        for name in ["link", "pipe", "sub", "none"] {
            assert_eq!(tree.look(&file(name)).expect("told"), None, "{name}");
        }
    }

    #[test]
    fn the_tree_tells_changes_also_in_folders_that_came_after_the_scan() {
        let (temp, mut tree) = tree(&["a"]);
        tree.scan().expect("there");
        assert!(tree.take().files.is_empty());
        write(temp.path(), "new/sub/b");
        assert!(tree.take().files.contains(&file("new/sub/b")));
        write(temp.path(), "new/sub/c");
        assert_eq!(Vec::from_iter(tree.take().files), names(&["new/sub/c"]));
        fs::rename(temp.path().join("new"), temp.path().join("other")).expect("moved");
        let happened = tree.take();
        assert_eq!(Vec::from_iter(happened.files), names(&["other/sub/b", "other/sub/c"]));
        assert!(happened.folders.contains(&"new".to_owned()) && !happened.rescan);
        write(temp.path(), "other/sub/d");
        assert_eq!(Vec::from_iter(tree.take().files), names(&["other/sub/d"]));
        fs::remove_dir_all(temp.path().join("other")).expect("there");
        assert!(tree.take().folders.contains(&"other".to_owned()));
        assert_eq!(tree.watches.len(), 1);
    }

    #[test]
    fn a_folder_that_is_not_the_one_that_was_named_is_seen_as_such() {
        let (temp, mut tree) = tree(&["d/a"]);
        let root = tree.root.join("d");
        let mut inner = FolderTree::new(root.clone(), folder_node(&root).expect("a folder"));
        inner.scan().expect("there");
        assert!(inner.is_there());
        fs::rename(&root, temp.path().join("e")).expect("moved");
        inner.scan().expect_err("it is away");
        assert_eq!(inner.watches.len(), 1, "and is watched as before");
        assert!(inner.take().rescan && !inner.is_there());
        write(temp.path(), "d/a");
        assert!(!inner.is_there(), "another folder has its name");
        assert!(tree.is_there());
        tree.scan().expect("there");
    }

    #[test]
    fn a_folder_in_another_form_is_known_by_its_composed_name() {
        let (temp, mut tree) = tree(&["e\u{301}/a"]);
        assert_eq!(Vec::from_iter(tree.scan().expect("there").files.into_keys()), names(&["\u{e9}/a"]));
        let other = tempfile::tempdir().expect("a folder");
        fs::rename(temp.path().join("e\u{301}"), other.path().join("e")).expect("moved");
        assert_eq!(tree.take().folders, ["\u{e9}"]);
    }

    #[test]
    fn the_tree_tells_a_name_unfit_to_share_also_when_it_comes_later() {
        let (temp, mut tree) = tree(&[]);
        tree.scan().expect("there");
        for name in ["bad~", "sub/bad~"] {
            write(temp.path(), name);
            assert!(tree.take().unfit, "{name}");
        }
    }

    #[test]
    fn a_file_that_a_scan_cannot_read_may_be_there() {
        let unknown = Scan { unknown: vec!["sub".into(), "a".into()], ..Scan::default() };
        for (name, is) in
            [("sub/b", true), ("sub", true), ("submarine", false), ("a", true), ("a/b", true), ("b", false)]
        {
            assert_eq!(unknown.is_unknown(&file(name)), is, "{name}");
        }
        assert!(!unknown.is_whole());
        // A file in place of a folder on the path hides nothing.
        let (_temp, tree) = tree(&["a"]);
        assert_eq!(tree.look(&file("a/b")).expect("told"), None);
    }
}
