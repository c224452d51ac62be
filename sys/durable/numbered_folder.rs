//! A folder whose format has a number, and how one of an older format is upgraded.
//!
//! Its file `format` says the number. A step of an upgrade changes a copy of the folder. So no step meets anything that
//! another step left half done:
//!
//! 1. `upgrade.new` gets a copy, on which the steps run. It is made durable.
//! 2. It gets the name `upgrade.ready`. This is the moment: whatever happens, the upgrade goes on from here.
//! 3. The entries of the folder go into `replaced`, then `upgrade.ready` gets the name `upgrade.placing`.
//! 4. The entries of `upgrade.placing` take their places.
//! 5. The earlier `before-upgrade` is removed, and `replaced` gets this name.
//!
//! The names say how far an upgrade has come. So the next start does the rest. It may do each part of it twice.

use super::replace;
use crate::sys;
use crate::sys::files;
use std::fmt;
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

/// The file with the number.
pub const FORMAT: &str = "format";
/// Holds the entries from before the last upgrade.
pub const BEFORE: &str = "before-upgrade";
const NEW: &str = "upgrade.new";
const READY: &str = "upgrade.ready";
const PLACING: &str = "upgrade.placing";
const REPLACED: &str = "replaced";
/// Precedes the version of the program in the second line of the file.
const WRITTEN_BY: &str = "written by ";

/// Leads a copy of a folder from one format to the next one. It is called once for a copy.
pub type UpgradeStep = fn(&Path) -> io::Result<()>;

/// A kind of such folders. The caller must have locked a folder before it opens the folder.
#[derive(Debug)]
pub struct FolderKind {
    /// The first words of the file with the number.
    pub name: &'static str,
    /// The format from which the first step leads on. A folder without a number has format 0.
    pub oldest: u32,
    /// One for each format that can be upgraded, in order.
    pub steps: &'static [UpgradeStep],
    /// Entries that no step changes. They keep their places, as do sockets.
    pub stays: fn(&str) -> bool,
    /// Folders whose files are replaced as a whole when they change. The copy shares their files.
    pub shared: &'static [&'static str],
}

/// Why a folder cannot be used. Each is one line.
#[derive(Debug)]
pub enum FormatError {
    Io {
        path: PathBuf,
        /// What was tried.
        doing: &'static str,
        error: io::Error,
    },
    /// Its format is newer than those that this program knows.
    Newer {
        folder: PathBuf,
        format: u32,
        known: u32,
        /// The version of the program that made it.
        written_by: String,
        /// Whether `before-upgrade` is there, in a format that this program knows.
        goes_back: bool,
    },
    /// No step leads on from its format.
    TooOld { folder: PathBuf, format: u32, oldest: u32 },
    /// It is to be upgraded, and nothing may be changed.
    NotUpgraded { folder: PathBuf, format: u32, known: u32 },
    /// The file at this path does not say a number.
    Unreadable(PathBuf),
    /// This entry lies elsewhere: it is a link, or something is mounted on it. So it cannot be replaced.
    Elsewhere(PathBuf),
}

impl fmt::Display for FormatError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let this = env!("CARGO_PKG_VERSION");
        match self {
            Self::Io { path, doing, error } => {
                write!(f, "cannot {doing} {}: {}", path.display(), sys::reason(error))
            }
            Self::Newer { folder, format, known, written_by, goes_back } => {
                write!(
                    f,
                    "{} has format {format} of version {written_by}, and this is version {this}, which knows formats up \
                     to {known}; use version {written_by} or newer",
                    folder.display()
                )?;
                if *goes_back {
                    write!(f, ", or go back to {}", folder.join(BEFORE).display())?;
                }
                Ok(())
            }
            Self::TooOld { folder, format, oldest } => write!(
                f,
                "{} has format {format}, and this is version {this}, which upgrades formats from {oldest} on; start a \
                 version between the two first",
                folder.display()
            ),
            Self::NotUpgraded { folder, format, known } => write!(
                f,
                "{} has format {format}, and this is version {this} with format {known}; a normal start upgrades it",
                folder.display()
            ),
            Self::Unreadable(path) => {
                write!(f, "{} is damaged; restore a backup, or move the folder aside", path.display())
            }
            Self::Elsewhere(path) => write!(
                f,
                "cannot upgrade {}, since it is a link, or something is mounted there; have the whole folder on that \
                 disk",
                path.display()
            ),
        }
    }
}

impl std::error::Error for FormatError {}

fn failed<'a>(path: &'a Path, doing: &'static str) -> impl Fn(io::Error) -> FormatError + 'a {
    move |error| FormatError::Io { path: path.to_path_buf(), doing, error }
}

impl FolderKind {
    /// The format that this program reads and writes.
    pub fn known(&self) -> u32 {
        self.oldest.saturating_add(self.steps.len().try_into().unwrap_or(u32::MAX))
    }

    /// Sees to it that a folder has the known format: writes the number into an empty one, and upgrades an older one.
    /// Gives the format that it had, if that was an older one.
    ///
    /// # Errors
    /// Another call does the rest then; nothing is lost.
    pub fn open(&self, folder: &Path) -> Result<Option<u32>, FormatError> {
        self.open_as_far_as(folder, &mut |_| Ok(()))
    }

    /// Says whether a folder has the known format. Changes nothing.
    ///
    /// # Errors
    /// It has another one.
    pub fn check(&self, folder: &Path) -> Result<(), FormatError> {
        let known = self.known();
        let format = self.format(folder)?.map_or(0, |(format, _)| format);
        let is_underway = [READY, PLACING].iter().any(|name| folder.join(name).exists());
        if format < known || is_underway {
            return Err(FormatError::NotUpgraded { folder: folder.to_path_buf(), format, known });
        }
        Ok(())
    }

    /// The same as `open`, for tests that stop it at any of its acts: `go_on` is asked before each.
    fn open_as_far_as(&self, folder: &Path, go_on: &mut GoOn<'_>) -> Result<Option<u32>, FormatError> {
        let mut upgrade = Upgrade { kind: self, folder, go_on };
        upgrade.finish()?;
        let format = match self.format(folder)? {
            Some((format, _)) => format,
            // An operator may have put links into a new folder.
            None if upgrade.entries(folder)?.iter().all(|name| folder.join(name).is_symlink()) => {
                self.write(folder)?;
                return Ok(None);
            }
            None => 0,
        };
        if format == self.known() {
            return Ok(None);
        }
        let (Some(done), true) = (format.checked_sub(self.oldest), format < self.known()) else {
            return Err(FormatError::TooOld { folder: folder.to_path_buf(), format, oldest: self.oldest });
        };
        let made = upgrade.make(self.steps.get(done as usize..).unwrap_or_default());
        if made.is_err() {
            // It may have taken the last room of the disk. If it stays, the next call removes it.
            let _ = upgrade.remove_new();
        }
        made?;
        upgrade.finish()?;
        Ok(Some(format))
    }

    /// The number in a folder, with the version of the program that wrote it.
    ///
    /// # Errors
    /// `Newer` among others.
    fn format(&self, folder: &Path) -> Result<Option<(u32, String)>, FormatError> {
        let known = self.known();
        match self.written(folder)? {
            Some((format, written_by)) if format > known => {
                let before = folder.join(BEFORE);
                let format_before = self.written(&before).map(|written| written.map_or(0, |(format, _)| format));
                let goes_back = before.is_dir() && format_before.is_ok_and(|it| (self.oldest..=known).contains(&it));
                Err(FormatError::Newer { folder: folder.to_path_buf(), format, known, written_by, goes_back })
            }
            written => Ok(written),
        }
    }

    /// The number in a folder, whatever it is.
    fn written(&self, folder: &Path) -> Result<Option<(u32, String)>, FormatError> {
        let path = folder.join(FORMAT);
        let text = match fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            read => read.map_err(failed(&path, "read"))?,
        };
        let text = String::from_utf8_lossy(&text);
        let mut lines = text.lines();
        let format = lines.next().and_then(|line| line.strip_prefix(self.name)?.trim().parse().ok());
        let version = lines.next().and_then(|line| line.strip_prefix(WRITTEN_BY)).unwrap_or_default();
        let format: u32 = format.ok_or(FormatError::Unreadable(path))?;
        let is_plain = |c: &char| c.is_ascii_alphanumeric() || ".-+".contains(*c);
        Ok(Some((format, version.chars().take_while(is_plain).take(64).collect())))
    }

    fn write(&self, folder: &Path) -> Result<(), FormatError> {
        let text = format!("{} {}\n{WRITTEN_BY}{}\n", self.name, self.known(), env!("CARGO_PKG_VERSION"));
        let path = folder.join(FORMAT);
        replace(&path, text.as_bytes()).map_err(failed(&path, "write"))
    }
}

/// Asked before each act of an upgrade.
type GoOn<'a> = dyn FnMut(&Path) -> io::Result<()> + 'a;

/// An upgrade of a folder.
struct Upgrade<'a> {
    kind: &'a FolderKind,
    folder: &'a Path,
    go_on: &'a mut GoOn<'a>,
}

impl Upgrade<'_> {
    /// Makes an upgraded copy, up to the moment from which on it replaces the folder.
    fn make(&mut self, steps: &[UpgradeStep]) -> Result<(), FormatError> {
        let (new, doing) = (self.folder.join(NEW), "upgrade");
        let entries = self.entries(self.folder)?;
        for name in &entries {
            let path = self.folder.join(name);
            if path.is_symlink() || path.is_dir() && files::is_mount_point(&path).map_err(failed(&path, doing))? {
                return Err(FormatError::Elsewhere(path));
            }
        }
        self.act(&new, make_folder)?;
        for name in &entries {
            let share = self.kind.shared.iter().any(|shared| shared == name);
            self.copy((&self.folder.join(name), &new.join(name)), share)?;
        }
        for step in steps {
            // A reason that it gives is about the folder: the copy is nothing that an operator knows.
            (self.go_on)(&new).and_then(|()| step(&new)).map_err(failed(self.folder, doing))?;
        }
        (self.go_on)(&new).map_err(failed(&new, doing))?;
        self.kind.write(&new)?;
        self.act(&new, |new| files::open_folder(new).and_then(|it| files::sync_file_system(&it)))?;
        self.rename(NEW, READY)
    }

    /// Does what is left of an upgrade that was begun.
    fn finish(&mut self) -> Result<(), FormatError> {
        let is_there = |folder: &Path, name| folder.join(name).exists();
        self.remove_new()?;
        if is_there(self.folder, READY) {
            if !is_there(self.folder, REPLACED) {
                self.act(&self.folder.join(REPLACED), make_folder)?;
            }
            self.move_entries(self.folder, &self.folder.join(REPLACED))?;
            self.rename(READY, PLACING)?;
        }
        if is_there(self.folder, PLACING) {
            let placing = self.folder.join(PLACING);
            self.move_entries(&placing, self.folder)?;
            self.act(&placing, |placing| fs::remove_dir(placing))?;
            self.sync(self.folder)?;
        }
        if is_there(self.folder, REPLACED) {
            if is_there(self.folder, BEFORE) {
                self.act(&self.folder.join(BEFORE), |before| fs::remove_dir_all(before))?;
            }
            self.rename(REPLACED, BEFORE)?;
        }
        Ok(())
    }

    /// Removes a copy that is not complete.
    fn remove_new(&mut self) -> Result<(), FormatError> {
        let new = self.folder.join(NEW);
        if new.exists() { self.act(&new, |new| fs::remove_dir_all(new)) } else { Ok(()) }
    }

    /// The entries that an upgrade replaces.
    fn entries(&self, folder: &Path) -> Result<Vec<String>, FormatError> {
        let read = failed(folder, "read");
        let mut names = Vec::new();
        for entry in fs::read_dir(folder).map_err(&read)? {
            let entry = entry.map_err(&read)?;
            let kind = entry.file_type().map_err(&read)?;
            // This program gives its entries only names in UTF-8.
            let Ok(name) = entry.file_name().into_string() else { continue };
            let stays = [NEW, READY, PLACING, REPLACED, BEFORE].contains(&&*name) || (self.kind.stays)(&name);
            let is_link_to_one = kind.is_symlink() && entry.path().exists();
            if (kind.is_file() || kind.is_dir() || is_link_to_one) && !stays && !is_of_the_disk(&name) {
                names.push(name);
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    /// Copies a file, or a folder with all that is in it.
    fn copy(&mut self, (from, to): (&Path, &Path), share: bool) -> Result<(), FormatError> {
        if !from.is_dir() {
            return self.act(to, |to| match share && fs::hard_link(from, to).is_ok() {
                true => Ok(()),
                false => fs::copy(from, to).map(drop),
            });
        }
        self.act(to, make_folder)?;
        let read = failed(from, "read");
        for entry in fs::read_dir(from).map_err(&read)? {
            let name = entry.map_err(&read)?.file_name();
            self.copy((&from.join(&name), &to.join(&name)), share)?;
        }
        Ok(())
    }

    fn move_entries(&mut self, from: &Path, to: &Path) -> Result<(), FormatError> {
        for name in self.entries(from)? {
            self.act(&from.join(&name), |path| fs::rename(path, to.join(&name)))?;
        }
        self.sync(to)?;
        self.sync(from)
    }

    fn rename(&mut self, from: &str, to: &str) -> Result<(), FormatError> {
        let folder = self.folder;
        self.act(&folder.join(from), |path| fs::rename(path, folder.join(to)))?;
        self.sync(folder)
    }

    fn sync(&mut self, folder: &Path) -> Result<(), FormatError> {
        self.act(folder, |folder| files::open_folder(folder).and_then(|folder| files::sync_folder(&folder)))
    }

    /// Does one thing to a path.
    fn act(&mut self, path: &Path, act: impl FnOnce(&Path) -> io::Result<()>) -> Result<(), FormatError> {
        (self.go_on)(path).and_then(|()| act(path)).map_err(failed(path, "upgrade"))
    }
}

/// Whether a file system or its tools put an entry of this name into the root of a disk. The folder may be one.
fn is_of_the_disk(name: &str) -> bool {
    name == "lost+found" || name.starts_with('.')
}

fn make_folder(path: &Path) -> io::Result<()> {
    DirBuilder::new().mode(0o700).create(path)
}

#[cfg(test)]
mod tests;
