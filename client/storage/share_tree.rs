//! The tree of files of a path on this disk, for a share.

use super::file_stamp::{self, FileStamp, Stamps};
use super::import_error::ImportError;
use super::left_out::{LeftOut, LeftOutKind};
use super::local_name;
use crate::model::manifest::{FILES_MAX, FileAttributes, FileEntry, FileTime, ManifestError};
use crate::model::name::FileName;
use crate::model::path::RelPath;
use crate::sys::files::{look_unlinked, names_in, open_unlinked};
use std::ffi::{OsStr, OsString};
use std::fs::{self, File, Metadata};
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use unicode_normalization::UnicodeNormalization;

/// The files of a future share, in stream order, with their stamps at the time of the list.
#[derive(Debug)]
pub(crate) struct ShareTree {
    /// Absolute path of the file or folder, without a symbolic link in it.
    pub root: PathBuf,
    /// The files, in the form that `check_files` requires.
    pub files: Vec<FileEntry>,
    /// One per file.
    pub stamps: Stamps,
    /// One per file.
    pub attributes: Vec<FileAttributes>,
    /// The entries of the folder that are not shared.
    pub left_out: LeftOut,
}

/// The share name of the file or folder at a path.
///
/// # Errors
/// If the path does not exist, or its name is not UTF-8 or not allowed.
pub(crate) fn share_name(path: &Path) -> Result<FileName, ImportError> {
    let root = named_root(path)?;
    let name = root.file_name().ok_or_else(|| ImportError::Nameless(path.to_path_buf()))?;
    let name = name.to_str().ok_or_else(|| ImportError::NotUtf8(root.clone()))?;
    FileName::from_input(name).map_err(|error| ImportError::Name(root, error))
}

/// The absolute path of the user's input, with the names that the user gave.
fn named_root(path: &Path) -> Result<PathBuf, ImportError> {
    let io = |error| ImportError::from_io(path.to_path_buf(), error);
    fs::metadata(path).map_err(io)?;
    // `.` and `..` have a name of their own only after they are resolved.
    match path.file_name() {
        Some(_) => Ok(std::path::absolute(path).map_err(io)?.components().collect()),
        None => fs::canonicalize(path).map_err(io),
    }
}

/// A place to share: its path, and the file or folder there at the first look.
#[derive(Debug)]
pub struct SharePlace {
    root: PathBuf,
    /// Device and inode.
    node: (u64, u64),
    /// Only for a file.
    stamp: Option<FileStamp>,
}

impl SharePlace {
    /// The place of a path. The user's own path may be or contain a symbolic link: it means the current target. No link
    /// is followed later.
    ///
    /// # Errors
    /// If the path does not exist, or the system reports an error.
    pub fn find(path: &Path) -> Result<Self, ImportError> {
        let io = |error| ImportError::from_io(path.to_path_buf(), error);
        let root = fs::canonicalize(named_root(path)?).map_err(io)?;
        let found = look_unlinked(&root).map_err(io)?;
        let stamp = found.is_file().then(|| FileStamp::of(&found));
        Ok(Self { root, node: node_of(&found), stamp })
    }

    /// The place of a file at an absolute path that may have no symbolic link.
    ///
    /// # Errors
    /// If no file is there, or the system reports an error.
    pub(crate) fn unlinked(path: PathBuf) -> Result<Self, ImportError> {
        let found = look_unlinked(&path).map_err(|error| ImportError::from_io(path.clone(), error))?;
        match found.is_file() {
            true => Ok(Self { root: path, node: node_of(&found), stamp: Some(FileStamp::of(&found)) }),
            false => Err(ImportError::NotShareable(path)),
        }
    }

    /// Absolute, without a symbolic link.
    pub(crate) fn path(&self) -> &Path {
        &self.root
    }

    /// The current metadata of the place.
    ///
    /// # Errors
    /// `Replaced` if something else lies there by now; `NotFound`, `Io`.
    fn look(&self) -> Result<Metadata, ImportError> {
        let found = look_unlinked(&self.root).map_err(|error| ImportError::from_io(self.root.clone(), error))?;
        let stamp = found.is_file().then(|| FileStamp::of(&found));
        match (node_of(&found), stamp) == (self.node, self.stamp) {
            true => Ok(found),
            false => Err(ImportError::Replaced(self.root.clone())),
        }
    }
}

fn node_of(found: &Metadata) -> (u64, u64) {
    (found.dev(), found.ino())
}

impl ShareTree {
    /// Lists a place for a share of this name. The local name of the place is no part of the share.
    ///
    /// # Errors
    /// If nothing or something else is there, if nothing in it can be shared, or if it is neither file nor folder.
    pub(crate) fn list(place: &SharePlace, name: &FileName) -> Result<Self, ImportError> {
        let (root, metadata) = (place.root.clone(), place.look()?);
        let rel = RelPath::root_of(name);
        let mut listing = Listing::default();
        if metadata.is_dir() {
            listing.entries(&root, &rel, examine_folder(&root, &metadata)?)?;
        } else {
            listing.file(rel, &examine(&root, &metadata)?);
        }
        let Listing { files, stamps, attributes, left_out } = listing;
        if files.is_empty() && !left_out.is_empty_folders() {
            return Err(ImportError::AllLeftOut(root, left_out));
        }
        Ok(Self { root, files, stamps: Stamps(stamps.into()), attributes, left_out })
    }
}

impl ShareTree {
    /// Whether a file is unchanged since it was listed, as far as the system tells.
    pub(crate) fn is_unchanged(&self, path: &Path) -> bool {
        self.position(path).is_some_and(|at| file_stamp::check(path, &self.stamps.0[at]).is_ok())
    }

    fn position(&self, path: &Path) -> Option<usize> {
        self.files.iter().position(|file| local_name::locate(&self.root, &file.path) == path)
    }

    /// Leaves out a file that proved unreadable. Returns false for a file outside a folder.
    pub(crate) fn leave_out(&mut self, path: &Path, kind: LeftOutKind) -> bool {
        let Some(at) = self.position(path).filter(|_| path != self.root) else { return false };
        self.files.remove(at);
        self.attributes.remove(at);
        let stamps = self.stamps.0.iter().enumerate().filter(|(number, _)| *number != at);
        self.stamps = Stamps(stamps.map(|(_, stamp)| *stamp).collect());
        self.left_out.add(kind, path.to_path_buf());
        true
    }
}

#[derive(Default)]
struct Listing {
    files: Vec<FileEntry>,
    stamps: Vec<FileStamp>,
    attributes: Vec<FileAttributes>,
    left_out: LeftOut,
}

impl Listing {
    fn file(&mut self, path: RelPath, metadata: &Metadata) {
        let stamp = FileStamp::of(metadata);
        self.files.push(FileEntry { path, len: stamp.size });
        self.stamps.push(stamp);
        self.attributes.push(attributes_of(metadata));
    }

    /// Takes in the entries of a folder, sorted by name. The entries of a subfolder follow that subfolder at once,
    /// which is the order by components.
    ///
    /// # Errors
    /// If there are too many files.
    fn entries(&mut self, folder: &Path, rel: &RelPath, names: Vec<OsString>) -> Result<(), ImportError> {
        if names.is_empty() {
            self.left_out.add(LeftOutKind::EmptyFolder, folder.to_path_buf());
        }
        let mut named = Vec::with_capacity(names.len());
        for name in names {
            match shared_name(rel, &name) {
                Some((shared, rank)) => named.push((shared, rank, name)),
                None => self.left_out.add(LeftOutKind::Name, folder.join(name)),
            }
        }
        named.sort_unstable();
        let mut before = None;
        for (shared, _, name) in named {
            let path = folder.join(name);
            if before.as_ref() == Some(&shared) {
                self.left_out.add(LeftOutKind::SameName, path);
                continue;
            }
            self.entry(path, shared.clone())?;
            if self.files.len() > FILES_MAX {
                return Err(ImportError::Size(folder.to_path_buf(), ManifestError::TooManyFiles));
            }
            before = Some(shared);
        }
        Ok(())
    }

    fn entry(&mut self, path: PathBuf, rel: RelPath) -> Result<(), ImportError> {
        let io = |error| ImportError::from_io(path.clone(), error);
        let found = fs::symlink_metadata(&path).map_err(io).and_then(|metadata| match metadata.file_type() {
            kind if kind.is_symlink() => Ok(Entry::Link),
            kind if kind.is_dir() => examine_folder(&path, &metadata).map(Entry::Folder),
            _ => examine(&path, &metadata).map(Entry::File),
        });
        match found {
            Ok(Entry::File(metadata)) => self.file(rel, &metadata),
            Ok(Entry::Folder(names)) => return self.entries(&path, &rel, names),
            // Or a folder on the way is a link by now.
            Ok(Entry::Link) | Err(ImportError::Replaced(_)) => self.left_out.add(LeftOutKind::Link, path),
            // The entry has disappeared during the list.
            Err(ImportError::NotFound(_)) => {}
            Err(ImportError::NotShareable(_)) => self.left_out.add(LeftOutKind::Special, path),
            Err(ImportError::Sizeless(_)) => self.left_out.add(LeftOutKind::Sizeless, path),
            Err(_) => self.left_out.add(LeftOutKind::Unreadable, path),
        }
        Ok(())
    }
}

/// The attributes that travel with a file.
fn attributes_of(metadata: &Metadata) -> FileAttributes {
    // Below 10^9, according to the system.
    let nanoseconds = u32::try_from(metadata.mtime_nsec()).unwrap_or_default();
    let modified = FileTime::new(metadata.mtime(), nanoseconds).unwrap_or_default();
    FileAttributes { executable: metadata.mode() & 0o111 != 0, modified }
}

/// An entry of a folder.
enum Entry {
    File(Metadata),
    Folder(Vec<OsString>),
    Link,
}

/// The names in a folder.
///
/// # Errors
/// Those of `open_listed`.
fn examine_folder(path: &Path, listed: &Metadata) -> Result<Vec<OsString>, ImportError> {
    let (folder, _) = open_listed(path, listed)?;
    names_in(folder).map_err(|error| ImportError::from_io(path.to_path_buf(), error))
}

/// Opens a listed entry without following a symbolic link, and returns its metadata.
///
/// # Errors
/// `Replaced` for a link, in its place or on the way, and if something else lies there by now; `NotFound`, `Io`.
fn open_listed(path: &Path, listed: &Metadata) -> Result<(File, Metadata), ImportError> {
    let io = |error| ImportError::from_io(path.to_path_buf(), error);
    let file = open_unlinked(path).map_err(io)?;
    let opened = file.metadata().map_err(io)?;
    match node_of(&opened) == node_of(listed) {
        true => Ok((file, opened)),
        false => Err(ImportError::Replaced(path.to_path_buf())),
    }
}

/// The path in the share of an entry of a folder, and how well its name fits. `None` if its name is not allowed. A name
/// with a plain ASCII look-alike could mislead.
fn shared_name(folder: &RelPath, name: &OsStr) -> Option<(RelPath, u8)> {
    let name = name.to_str()?;
    let shared: String = name.nfc().collect();
    let misleads = shared.is_ascii() && shared != name;
    let path = RelPath::parse(&format!("{folder}/{shared}")).ok().filter(|_| !misleads)?;
    Some((path, local_name::rank(name, &shared)))
}

/// The metadata of a file that this user may read.
///
/// # Errors
/// `NotShareable` if it is no regular file. `Sizeless` if it has content but no size, as files have that the system
/// generates on a read. Also those of `open_listed`.
fn examine(path: &Path, listed: &Metadata) -> Result<Metadata, ImportError> {
    if !listed.is_file() {
        return Err(ImportError::NotShareable(path.to_path_buf()));
    }
    let io = |error| ImportError::from_io(path.to_path_buf(), error);
    let (mut file, opened) = open_listed(path, listed)?;
    if opened.len() > 0 || file.read(&mut [0]).map_err(io)? == 0 {
        return Ok(opened);
    }
    // Another program may have just begun to write it.
    match file.metadata().map_err(io)? {
        now if now.len() > 0 => Ok(now),
        _ => Err(ImportError::Sizeless(path.to_path_buf())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::manifest::check_files;
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::os::unix::net::UnixListener;

    /// Lists a path under its own name.
    fn list(path: &Path) -> Result<ShareTree, ImportError> {
        ShareTree::list(&SharePlace::find(path)?, &share_name(path)?)
    }

    fn make_pipe(path: &Path) {
        let (kind, mode) = (rustix::fs::FileType::Fifo, rustix::fs::Mode::RUSR);
        rustix::fs::mknodat(rustix::fs::CWD, path, kind, mode, 0).expect("a pipe");
    }

    fn folder_with(files: &[&str]) -> (tempfile::TempDir, PathBuf) {
        let temp = tempfile::tempdir().expect("a temporary folder");
        let root = temp.path().join("d");
        fs::create_dir(&root).expect("made");
        for file in files {
            let path = root.join(file);
            fs::create_dir_all(path.parent().expect("below the root")).expect("made");
            fs::write(path, file).expect("written");
        }
        (temp, root)
    }

    #[test]
    fn a_tree_is_listed_in_the_order_that_a_manifest_wants() {
        let (_temp, root) = folder_with(&["b", "a/z", "a-b", "a.c/x", "a/b/c", "é/ü", "Z"]);
        let tree = list(&root).expect("all can be shared");
        let paths: Vec<_> = tree.files.iter().map(|file| file.path.as_str()).collect();
        assert_eq!(paths, ["d/Z", "d/a/b/c", "d/a/z", "d/a-b", "d/a.c/x", "d/b", "d/é/ü"]);
        check_files(&tree.files).expect("in order");
        assert_eq!(tree.stamps, Stamps::take(&tree.root, &tree.files).expect("unchanged"));
        assert_eq!(tree.left_out, LeftOut::default());
    }

    #[test]
    fn nothing_is_opened_or_listed_behind_a_link_that_comes_after_the_look() {
        let (temp, root) = folder_with(&["sub/a", "b"]);
        let folder = fs::symlink_metadata(root.join("sub")).expect("there");
        let file = fs::symlink_metadata(root.join("b")).expect("there");
        for (path, way) in [("sub", "sub"), ("b", "b"), ("sub/a", "sub")] {
            let (place, away) = (root.join(way), temp.path().join("away"));
            let listed = fs::symlink_metadata(root.join(path)).expect("there");
            fs::rename(&place, &away).and_then(|()| symlink(&away, &place)).expect("replaced");
            let opened = open_listed(&root.join(path), &listed);
            assert!(matches!(opened, Err(ImportError::Replaced(_))), "{path}");
            fs::remove_file(&place).and_then(|()| fs::rename(&away, &place)).expect("back");
        }
        fs::rename(root.join("b"), root.join("c")).expect("moved");
        make_pipe(&root.join("b"));
        assert!(
            matches!(examine(&root.join("b"), &file), Err(ImportError::Replaced(_))),
            "nobody waits for its writer"
        );
        fs::rename(root.join("sub"), temp.path().join("sub"))
            .and_then(|()| fs::create_dir(root.join("sub")))
            .expect("made");
        assert!(matches!(examine_folder(&root.join("sub"), &folder), Err(ImportError::Replaced(_))));
    }

    #[test]
    fn links_and_empty_folders_are_left_out_and_told() {
        let (temp, root) = folder_with(&["a"]);
        fs::write(temp.path().join("secret"), "secret").expect("written");
        symlink("../secret", root.join("link")).expect("made");
        symlink("..", root.join("up")).expect("made");
        fs::create_dir(root.join("empty")).expect("made");
        let tree = list(&root).expect("there is a file");
        assert_eq!(tree.files.len(), 1);
        let first = root.join("empty");
        let told = format!("not shared: 2 symbolic links and 1 empty folder, such as {}", first.display());
        assert_eq!(tree.left_out.to_string(), told);
    }

    #[test]
    fn one_thing_that_cannot_be_shared_keeps_nothing_else_back() {
        let (_temp, root) = folder_with(&["a", "sub/b"]);
        make_pipe(&root.join("sub/pipe"));
        let _socket = UnixListener::bind(root.join("socket")).expect("bound");
        fs::write(root.join(OsStr::from_bytes(b"\xff")), "").expect("written");
        fs::create_dir(root.join("a\nb")).expect("made");
        fs::write(root.join("a\nb/c"), "").expect("written");
        fs::write(root.join("5 \u{212a}"), "looks like a K").expect("written");
        let tree = list(&root).expect("there are files");
        let paths: Vec<_> = tree.files.iter().map(|file| file.path.as_str()).collect();
        assert_eq!(paths, ["d/a", "d/sub/b"]);
        let told = tree.left_out.to_string();
        let counted = "not shared: 2 sockets, pipes or devices and 3 names that cannot be shared, such as /";
        assert!(told.starts_with(counted) && !told.contains('\n'), "{told}");
    }

    #[test]
    fn an_unreadable_file_or_folder_is_left_out_and_told_and_refused_if_it_is_named() {
        let (_temp, root) = folder_with(&["a", "b", "c/d"]);
        for path in ["b", "c"] {
            fs::set_permissions(root.join(path), fs::Permissions::from_mode(0o0)).expect("set");
        }
        let tree = list(&root).expect("there is a file");
        if fs::read_dir(root.join("c")).is_err() {
            assert_eq!(tree.files.len(), 1);
            let told = tree.left_out.to_string();
            assert!(told.starts_with("not shared: 2 unreadable files or folders, such as /"), "{told}");
            for path in ["b", "c"] {
                let error = list(&root.join(path)).expect_err("it cannot be read").to_string();
                assert!(error.starts_with("cannot read /"), "{error}");
            }
        }
        fs::set_permissions(root.join("c"), fs::Permissions::from_mode(0o700)).expect("set");
        // The system refuses this one even to its superuser.
        let error = list(Path::new("/proc/self/mem")).expect_err("it cannot be read").to_string();
        assert!(error.starts_with("cannot read /proc/") && error.contains("/mem: "), "{error}");
    }

    #[test]
    fn a_file_that_says_it_is_empty_and_is_not_is_refused_and_left_out_of_a_folder() {
        let error = list(Path::new("/proc/version")).expect_err("it has content").to_string();
        assert_eq!(error, "/proc/version does not have as many bytes as it says; share a copy of it");
        let error = list(Path::new("/proc/sys/fs/epoll")).expect_err("nothing in it can be shared").to_string();
        let words = "/proc/sys/fs/epoll holds no file that can be shared; not shared: 1 file without a size of its own";
        assert!(error.starts_with(words), "{error}");
        let (_temp, root) = folder_with(&[""; 0]);
        fs::write(root.join("empty"), "").expect("written");
        assert_eq!(list(&root.join("empty")).expect("really empty").files[0].len, 0);
    }

    #[test]
    fn names_are_normalized_and_of_two_that_become_one_the_second_is_left_out() {
        let (_temp, root) = folder_with(&["u\u{308}/e\u{301}", "z\u{e9}e\u{301}"]);
        let tree = list(&root).expect("all can be shared");
        let paths = |tree: &ShareTree| tree.files.iter().map(|it| it.path.to_string()).collect::<Vec<_>>();
        assert_eq!(paths(&tree), ["d/z\u{e9}\u{e9}", "d/\u{fc}/\u{e9}"]);
        assert!(tree.left_out.is_empty());
        assert_eq!(tree.stamps, Stamps::take(&root, &tree.files).expect("found under their own names"));
        fs::write(root.join("ze\u{301}e\u{301}"), "other").expect("written");
        fs::create_dir(root.join("\u{fc}")).expect("made");
        fs::write(root.join("\u{fc}/x"), "composed").expect("written");
        let tree = list(&root).expect("some can be shared");
        assert_eq!(paths(&tree), ["d/z\u{e9}\u{e9}", "d/\u{fc}/x"]);
        assert_eq!(tree.stamps, Stamps::take(&root, &tree.files).expect("the same files"));
        let told = tree.left_out.to_string();
        assert!(told.starts_with("not shared: 2 second spellings of a name, such as /"), "{told}");
    }

    #[test]
    fn a_link_that_the_user_names_is_followed_and_gives_its_own_name() {
        let (temp, root) = folder_with(&["a"]);
        symlink(root.join("a"), temp.path().join("mine")).expect("made");
        let tree = list(&temp.path().join("mine")).expect("a file");
        assert_eq!(tree.files[0].path.as_str(), "mine");
        let dots = list(&root.join(".")).expect("a folder");
        assert_eq!(dots.files[0].path.as_str(), "d/a");
        let slash = list(Path::new(&format!("{}/", root.display()))).expect("a folder");
        assert_eq!(slash.root, root);
        let up = list(&root.join("..").join("d").join("..").join("d")).expect("a folder");
        assert_eq!(up.files[0].path.as_str(), "d/a");
    }

    #[test]
    fn the_error_names_the_file_that_cannot_be_shared() {
        let (_temp, root) = folder_with(&["a"]);
        let error = list(&root.join("none")).expect_err("nothing is there");
        assert!(error.to_string().contains("none"), "{error}");
        let pipe = root.join("pipe");
        make_pipe(&pipe);
        let error = list(&pipe).expect_err("a pipe cannot be shared").to_string();
        assert!(error.ends_with("pipe is neither a file nor a folder and cannot be shared"), "{error}");
        for (bad, word) in [(&b"\xff"[..], "UTF-8"), (b"a\nb", "cannot contain"), (b"a~", "reserved")] {
            let path = root.join(OsStr::from_bytes(bad));
            fs::write(&path, "").expect("written");
            let error = list(&path).expect_err("the name is no good").to_string();
            assert!(error.contains(word) && !error.contains('\n'), "{error}");
        }
        assert!(list(Path::new("/dev/null")).is_err());
        assert!(list(Path::new("/")).is_err());
    }
}
