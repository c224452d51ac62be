//! The tree of files that a path on this disk stands for when it is shared.

use super::file_stamp::{FileStamp, Stamps};
use super::import_error::ImportError;
use crate::model::escape::ShownPath;
use crate::model::manifest::{FILES_MAX, FileEntry, ManifestError};
use crate::model::path::RelPath;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

/// The files of a share-to-be, in stream order, with the stamps they had when they were listed.
#[derive(Debug)]
pub(crate) struct ShareTree {
    /// Absolute path of the file or folder.
    pub root: PathBuf,
    /// The files, as `check_files` wants them.
    pub files: Vec<FileEntry>,
    /// One per file.
    pub stamps: Stamps,
    /// What of the folder is not shared.
    pub left_out: LeftOut,
}

/// What of a folder is not shared, for a word to the user. A symbolic link is left out rather than followed, since it
/// may lead out of the folder; a folder without files is, since a share consists of files.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct LeftOut {
    /// Number of symbolic links.
    pub links: u64,
    /// Number of folders that hold neither file nor folder.
    pub empty_folders: u64,
    /// The first of either, as an example.
    pub first: Option<PathBuf>,
}

impl LeftOut {
    /// Whether all of the folder is shared.
    pub fn is_empty(&self) -> bool {
        self.first.is_none()
    }
}

impl fmt::Display for LeftOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kinds = [(self.links, "symbolic link"), (self.empty_folders, "empty folder")];
        let counted: Vec<_> = kinds
            .iter()
            .filter(|(count, _)| *count > 0)
            .map(|(count, kind)| format!("{count} {kind}{}", if *count == 1 { "" } else { "s" }))
            .collect();
        write!(f, "not shared: {}", counted.join(" and "))?;
        match &self.first {
            Some(first) => write!(f, ", such as {}", ShownPath(first)),
            None => Ok(()),
        }
    }
}

impl ShareTree {
    /// Lists what is to be shared at a path. The path itself may be a symbolic link, since the user named it.
    ///
    /// # Errors
    /// If nothing is there or nothing in it can be shared, if a name is not UTF-8 or could mislead, and for what is
    /// neither file nor folder.
    pub(crate) fn list(path: &Path) -> Result<Self, ImportError> {
        let io = |error| ImportError::from_io(path.to_path_buf(), error);
        let metadata = fs::metadata(path).map_err(io)?;
        // `.` and `..` have a name of their own only once they are resolved.
        let root = match path.file_name() {
            Some(_) => std::path::absolute(path).map_err(io)?.components().collect(),
            None => fs::canonicalize(path).map_err(io)?,
        };
        let name = root.file_name().ok_or_else(|| ImportError::Nameless(path.to_path_buf()))?.to_owned();
        let mut listing = Listing::default();
        if metadata.is_dir() {
            let name = checked(None, &name, &root)?;
            listing.folder(&root, &name)?;
        } else if metadata.is_file() {
            listing.file(checked(None, &name, &root)?, FileStamp::of(&metadata));
        } else {
            return Err(ImportError::NotShareable(path.to_path_buf()));
        }
        Ok(Self { root, files: listing.files, stamps: Stamps(listing.stamps.into()), left_out: listing.left_out })
    }
}

#[derive(Default)]
struct Listing {
    files: Vec<FileEntry>,
    stamps: Vec<FileStamp>,
    left_out: LeftOut,
}

impl Listing {
    fn file(&mut self, path: RelPath, stamp: FileStamp) {
        self.files.push(FileEntry { path, len: stamp.size });
        self.stamps.push(stamp);
    }

    /// A folder's entries sorted by name, each followed at once by what lies in it, is the order by components.
    fn folder(&mut self, folder: &Path, rel: &RelPath) -> Result<(), ImportError> {
        let io = |error| ImportError::from_io(folder.to_path_buf(), error);
        let mut names: Vec<OsString> = Vec::new();
        for entry in fs::read_dir(folder).map_err(io)? {
            names.push(entry.map_err(io)?.file_name());
        }
        names.sort_unstable();
        if names.is_empty() {
            self.left_out.empty_folders += 1;
            self.left_out.first.get_or_insert_with(|| folder.to_path_buf());
        }
        for name in names {
            let path = folder.join(&name);
            let metadata = fs::symlink_metadata(&path).map_err(|error| ImportError::from_io(path.clone(), error))?;
            if metadata.is_symlink() {
                self.left_out.links += 1;
                self.left_out.first.get_or_insert(path);
                continue;
            }
            let rel = checked(Some(rel), &name, &path)?;
            if metadata.is_dir() {
                self.folder(&path, &rel)?;
            } else if metadata.is_file() {
                self.file(rel, FileStamp::of(&metadata));
            } else {
                return Err(ImportError::NotShareable(path));
            }
            if self.files.len() > FILES_MAX {
                return Err(ImportError::Size(folder.to_path_buf(), ManifestError::TooManyFiles));
            }
        }
        Ok(())
    }
}

fn checked(folder: Option<&RelPath>, name: &OsStr, path: &Path) -> Result<RelPath, ImportError> {
    let name = name.to_str().ok_or_else(|| ImportError::NotUtf8(path.to_path_buf()))?;
    let text = match folder {
        Some(folder) => format!("{}/{name}", folder.as_str()),
        None => name.to_owned(),
    };
    RelPath::parse(&text).map_err(|error| ImportError::Name(path.to_path_buf(), error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::manifest::check_files;
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::fs::symlink;

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
        let tree = ShareTree::list(&root).expect("all can be shared");
        let paths: Vec<_> = tree.files.iter().map(|file| file.path.as_str()).collect();
        assert_eq!(paths, ["d/Z", "d/a/b/c", "d/a/z", "d/a-b", "d/a.c/x", "d/b", "d/é/ü"]);
        check_files(&tree.files).expect("in order");
        assert_eq!(tree.stamps, Stamps::take(&tree.root, &tree.files).expect("unchanged"));
        assert_eq!(tree.left_out, LeftOut::default());
    }

    #[test]
    fn links_and_empty_folders_are_left_out_and_told() {
        let (temp, root) = folder_with(&["a"]);
        fs::write(temp.path().join("secret"), "secret").expect("written");
        symlink("../secret", root.join("link")).expect("made");
        symlink("..", root.join("up")).expect("made");
        fs::create_dir(root.join("empty")).expect("made");
        let tree = ShareTree::list(&root).expect("there is a file");
        assert_eq!(tree.files.len(), 1);
        let first = root.join("empty");
        let told = format!("not shared: 2 symbolic links and 1 empty folder, such as {}", first.display());
        assert_eq!(tree.left_out.to_string(), told);
        assert_eq!(tree.left_out, LeftOut { links: 2, empty_folders: 1, first: Some(first) });
    }

    #[test]
    fn a_link_that_the_user_names_is_followed_and_gives_its_own_name() {
        let (temp, root) = folder_with(&["a"]);
        symlink(root.join("a"), temp.path().join("mine")).expect("made");
        let tree = ShareTree::list(&temp.path().join("mine")).expect("a file");
        assert_eq!(tree.files[0].path.as_str(), "mine");
        let dots = ShareTree::list(&root.join(".")).expect("a folder");
        assert_eq!(dots.files[0].path.as_str(), "d/a");
        let slash = ShareTree::list(Path::new(&format!("{}/", root.display()))).expect("a folder");
        assert_eq!(slash.root, root);
        let up = ShareTree::list(&root.join("..").join("d").join("..").join("d")).expect("a folder");
        assert_eq!(up.files[0].path.as_str(), "d/a");
    }

    #[test]
    fn what_cannot_be_shared_is_named() {
        let (_temp, root) = folder_with(&["a"]);
        let error = ShareTree::list(&root.join("none")).expect_err("nothing is there");
        assert!(error.to_string().contains("none"), "{error}");
        let fifo = root.join("pipe");
        rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, rustix::fs::Mode::RUSR, 0)
            .expect("a pipe");
        for path in [&fifo, &root] {
            let error = ShareTree::list(path).expect_err("a pipe cannot be shared");
            assert!(error.to_string().contains("pipe"), "{error}");
        }
        fs::remove_file(&fifo).expect("removed");
        for (bad, word) in [(&b"\xff"[..], "UTF-8"), (b"a\nb", "cannot contain")] {
            let path = root.join(OsStr::from_bytes(bad));
            fs::write(&path, "").expect("written");
            let error = ShareTree::list(&root).expect_err("the name is no good").to_string();
            assert!(error.contains(word) && !error.contains('\n'), "{error}");
            fs::remove_file(&path).expect("removed");
        }
        assert!(ShareTree::list(Path::new("/dev/null")).is_err());
        assert!(ShareTree::list(Path::new("/")).is_err());
    }
}
