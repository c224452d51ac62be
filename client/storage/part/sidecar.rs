//! The sidecar of an unfinished download: a small locked file beside it that says what is being downloaded.

use super::error::{Foreign, PartError};
use super::paths::PartPaths;
use crate::model::digest::InfoHash;
use crate::model::escape::{from_field, to_field};
use crate::model::name::{FileName, GroupId};
use crate::sys::file_id::{self, FileId};
use crate::sys::files::{self, Open};
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::sync::atomic::{AtomicBool, Ordering};

/// The first line. The number is the version of the format.
const HEADER: &str = "groupshare unfinished download 2";
/// The beginning of the first line in every version.
const KIND: &[u8] = b"groupshare unfinished download ";
/// Far longer than any sidecar, yet short enough to read any file that was put there.
const LEN_MAX: u64 = 64 * 1024;
/// The maximum number of foreign files in the sidecar's place that are moved aside.
const ASIDE_MAX: u32 = 99;
/// How often the file may disappear between its opening and its lock before that counts as a fault.
const ATTEMPTS_MAX: u32 = 16;

/// The subject of the download, for the next run and for a curious person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartLabel {
    /// From which group.
    pub group: GroupId,
    /// The name it is shared under.
    pub name: FileName,
    /// The exact content. Only this decides whether a download can be resumed.
    pub info_hash: InfoHash,
}

/// The content of a sidecar.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Note {
    pub label: PartLabel,
    /// The id of the part. Unknown until the part is made.
    pub part: Option<FileId>,
    /// The id of the replaced version, which now has the part's name and is to be removed.
    pub replaced: Option<FileId>,
}

impl Note {
    fn to_text(&self) -> String {
        let PartLabel { group, name, info_hash } = &self.label;
        let (group, name) = (to_field(group.as_str().as_bytes()), to_field(name.as_str().as_bytes()));
        let line = |key: &str, id: Option<FileId>| id.map_or(String::new(), |id| format!("{key} {}\n", id_to_text(id)));
        let (part, replaced) = (line("part", self.part), line("replaced", self.replaced));
        format!("{HEADER}\ninfo_hash {info_hash}\ngroup {group}\nname {name}\n{part}{replaced}")
    }

    fn from_text(text: &str) -> Option<Self> {
        let mut lines = text.strip_suffix('\n')?.split('\n');
        let mut field = |key: &str| lines.next()?.strip_prefix(key);
        field(HEADER).filter(|rest| rest.is_empty())?;
        let info_hash = InfoHash::from_hex(field("info_hash ")?)?;
        let plain = |text: &str| String::from_utf8(from_field(text)?).ok();
        let group = GroupId::parse(&plain(field("group ")?)?).ok()?;
        let name = FileName::parse(&plain(field("name ")?)?).ok()?;
        let mut id = |key: &str| match lines.next() {
            None => Some(None),
            Some(line) => id_from_text(line.strip_prefix(key)?).map(Some),
        };
        let (part, replaced) = (id("part ")?, id("replaced ")?);
        let label = PartLabel { group, name, info_hash };
        lines.next().is_none().then_some(Self { label, part, replaced })
    }
}

fn id_to_text(FileId { inode, born }: FileId) -> String {
    format!("{inode} {}", born.map_or("-".to_owned(), |(s, ns)| format!("{s}.{ns}")))
}

fn id_from_text(text: &str) -> Option<FileId> {
    let (inode, born) = text.split_once(' ')?;
    let born = match born {
        "-" => None,
        known => {
            let (seconds, nanoseconds) = known.split_once('.')?;
            Some((seconds.parse().ok()?, nanoseconds.parse().ok()?))
        }
    };
    Some(FileId { inode: inode.parse().ok()?, born })
}

/// The sidecar. This process has it locked as long as the value lives.
#[derive(Debug)]
pub(super) struct Sidecar {
    file: File,
    note: Option<Note>,
    remove_on_drop: AtomicBool,
    removed: AtomicBool,
    paths: PartPaths,
}

impl Sidecar {
    /// Locks the sidecar of a place, and makes an empty one if there is none. `recorded` says that the client has a
    /// record of the download. Then a damaged sidecar counts as empty, and any other file is moved aside.
    ///
    /// # Errors
    /// `Busy` if another download has it; `Foreign` for a file that is no sidecar; `DiskFull`, `Io`.
    pub(super) fn lock(paths: PartPaths, recorded: bool) -> Result<Self, PartError> {
        for _ in 0..ATTEMPTS_MAX {
            let path = paths.sidecar_path();
            let file = files::open_in(&paths.folder, &paths.sidecar_name, Open::WriteOrNew(0o600))
                .map_err(|error| PartError::from_open(&path, "open", error))?;
            if !files::try_lock(&file).map_err(|error| PartError::Io(path.clone(), "lock", error))? {
                return Err(PartError::Busy(paths.destination()));
            }
            // The former owner of the lock may have removed the file, and a third process may have made another.
            let found = file.metadata().map_err(|error| PartError::Io(path.clone(), "look at", error))?;
            if paths.stat(&paths.sidecar_name)?.is_none_or(|there| there.st_ino != found.ino()) {
                continue;
            }
            if paths.is_of_another_user(found.uid()) {
                return Err(PartError::Foreign(path, Foreign::Owner));
            }
            let mut bytes = Vec::new();
            (&file)
                .take(LEN_MAX)
                .read_to_end(&mut bytes)
                .map_err(|error| PartError::Io(path.clone(), "read", error))?;
            let note = std::str::from_utf8(&bytes).ok().and_then(Note::from_text);
            // A power loss leaves files with zeros.
            let damaged = bytes.starts_with(KIND) || bytes.iter().all(|&byte| byte == 0);
            if note.is_none() && !bytes.is_empty() && !(recorded && damaged) {
                if recorded && move_aside(&paths) {
                    continue;
                }
                return Err(PartError::Foreign(path, Foreign::Unknown));
            }
            let (remove_on_drop, removed) = (AtomicBool::new(false), AtomicBool::new(false));
            return Ok(Self { file, note, remove_on_drop, removed, paths });
        }
        Err(PartError::Busy(paths.destination()))
    }

    /// The place of the sidecar.
    pub(super) fn paths(&self) -> &PartPaths {
        &self.paths
    }

    /// The content of the sidecar. `None` if it is new.
    pub(super) fn note(&self) -> Option<&Note> {
        self.note.as_ref()
    }

    /// Whether the sidecar is of this content.
    pub(super) fn is_of(&self, info_hash: &InfoHash) -> bool {
        self.note.as_ref().is_some_and(|note| note.label.info_hash == *info_hash)
    }

    /// Writes the label durably, so that no unfinished download ever exists without it. Writes in place, because a new
    /// file would not have the lock.
    ///
    /// # Errors
    /// `DiskFull`, `Io`.
    pub(super) fn write(&mut self, label: &PartLabel) -> Result<(), PartError> {
        self.put_durably(Note { label: label.clone(), part: None, replaced: None })
    }

    /// As `write`, for a part that already exists under another name.
    ///
    /// # Errors
    /// `DiskFull`, `Io`.
    pub(super) fn write_taken(&mut self, label: &PartLabel, part: FileId) -> Result<(), PartError> {
        self.put_durably(Note { label: label.clone(), part: Some(part), replaced: None })
    }

    /// As `write`, for a folder that is open under another label. This is the last write before the lock is given back.
    ///
    /// # Errors
    /// `DiskFull`, `Io`.
    pub(super) fn write_heir(&self, label: &PartLabel, part: FileId) -> Result<(), PartError> {
        self.write_note(&Note { label: label.clone(), part: Some(part), replaced: None })?;
        self.file.sync_data().map_err(|error| PartError::from_io(&self.paths.sidecar_path(), "write", 0, error))
    }

    fn put_durably(&mut self, note: Note) -> Result<(), PartError> {
        self.put(note)?;
        let io = |error| PartError::from_io(&self.paths.sidecar_path(), "write", 0, error);
        self.file.sync_all().map_err(io)?;
        files::sync_folder(&self.paths.folder).map_err(io)
    }

    /// Writes the id of the part, if it is not written yet. The write is not durable: if it is lost, the pieces
    /// identify the part.
    ///
    /// # Errors
    /// `DiskFull`, `Io`.
    pub(super) fn write_part(&mut self, label: &PartLabel, part: FileId) -> Result<(), PartError> {
        let note = Note { label: label.clone(), part: Some(part), replaced: None };
        if self.note.as_ref() == Some(&note) { Ok(()) } else { self.put(note) }
    }

    /// Writes durably the id of the folder that the part has replaced. From here on that folder is removed file by
    /// file, if need be by the next run.
    ///
    /// # Errors
    /// `DiskFull`, `Io`.
    pub(super) fn write_replaced(&self, replaced: FileId) -> Result<(), PartError> {
        let Some(note) = &self.note else { return Ok(()) };
        self.write_note(&Note { replaced: Some(replaced), ..note.clone() })?;
        self.file.sync_data().map_err(|error| PartError::from_io(&self.paths.sidecar_path(), "write", 0, error))
    }

    fn put(&mut self, note: Note) -> Result<(), PartError> {
        self.write_note(&note)?;
        self.note = Some(note);
        Ok(())
    }

    fn write_note(&self, note: &Note) -> Result<(), PartError> {
        let text = note.to_text();
        let io = |error| PartError::from_io(&self.paths.sidecar_path(), "write", text.len() as u64, error);
        self.file.write_all_at(text.as_bytes(), 0).map_err(io)?;
        self.file.set_len(text.len() as u64).map_err(io)
    }

    /// Removes the file when the value is dropped.
    pub(super) fn remove_on_drop(&self) {
        self.remove_on_drop.store(true, Ordering::Relaxed);
    }

    /// Gives the lock back. The next owner of the lock owns the file.
    pub(super) fn release(&self) {
        self.removed.store(true, Ordering::Relaxed);
        // If this fails, the lock ends with the value.
        let _ = files::unlock(&self.file);
    }

    /// Removes the file now, even while threads hold the value: its download is given up, and another one may take the
    /// place. A foreign file in its place stays.
    pub(super) fn remove(&self) {
        let own = || {
            let found = file_id::id_in(&self.paths.folder, &self.paths.sidecar_name).ok()?;
            Some(found.is_some() && found == file_id::id_of(&self.file).ok())
        };
        // A second removal could hit the file of the next download.
        if !self.removed.swap(true, Ordering::Relaxed) && own() == Some(true) {
            // The lock still holds. A sidecar without its download does no harm.
            let _ = files::remove_file_in(&self.paths.folder, &self.paths.sidecar_name);
        }
    }
}

/// Gives a foreign file in the sidecar's place a name of its own. Returns false if no name is free.
fn move_aside(paths: &PartPaths) -> bool {
    (1..=ASIDE_MAX).any(|number| {
        let mut aside = paths.sidecar_name.clone();
        aside.push(format!(".damaged-{number}"));
        files::rename_noreplace(&paths.folder, &paths.sidecar_name, &aside).is_ok()
    })
}

impl Drop for Sidecar {
    fn drop(&mut self) {
        if *self.remove_on_drop.get_mut() {
            self.remove();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::path::Path;

    #[test]
    fn the_sidecar_of_a_release_is_read_and_written_as_it_is() {
        let text = include_str!("../../../tests/recorded/1.0/sidecar");
        let note = Note::from_text(text).expect("it is known");
        assert_eq!((note.label.group.as_str(), note.label.name.as_str()), ("lab", "a/b c"));
        assert_eq!(note.part, Some(FileId { inode: 12, born: Some((1_700_000_000, 5)) }));
        assert_eq!(note.to_text(), text);
    }

    fn label(byte: u8) -> PartLabel {
        PartLabel {
            group: GroupId::parse("lab 1").expect("a name"),
            name: FileName::parse("a \\ b.bin").expect("a name"),
            info_hash: InfoHash([byte; 32]),
        }
    }

    fn lock(folder: &Path) -> Result<Sidecar, PartError> {
        Sidecar::lock(PartPaths::of(&folder.join("f")).expect("the folder is there"), false)
    }

    #[test]
    fn the_next_run_knows_the_download_and_one_client_has_it_at_a_time() {
        let temp = tempfile::tempdir().expect("a temporary folder");
        let mut first = lock(temp.path()).expect("free");
        assert_eq!(first.note(), None);
        first.write(&label(1)).expect("written");
        first.write(&label(2)).expect("written again");
        assert!(matches!(lock(temp.path()), Err(PartError::Busy(_))));
        drop(first);
        let second = lock(temp.path()).expect("free again");
        assert_eq!(second.note(), Some(&Note { label: label(2), part: None, replaced: None }));
        second.remove_on_drop();
        drop(second);
        assert_eq!(fs::read_dir(temp.path()).expect("there").count(), 0);
    }

    #[test]
    fn which_file_the_part_is_survives_the_text() {
        for born in [None, Some((-1, 999_999_999)), Some((1_700_000_000, 0))] {
            let id = FileId { inode: u64::MAX, born };
            for replaced in [None, Some(id)] {
                let note = Note { label: label(1), part: Some(id), replaced };
                assert_eq!(Note::from_text(&note.to_text()), Some(note));
            }
            let note = Note { label: label(1), part: Some(id), replaced: None };
            for wrong in ["part 1", "part x -", "part 1 1", "part -1 -", "part 1 -\n"] {
                let text = note.to_text().lines().take(4).map(|line| format!("{line}\n")).collect::<String>();
                assert_eq!(Note::from_text(&format!("{text}{wrong}\n")), None, "{wrong}");
            }
        }
    }

    #[test]
    fn a_bad_sidecar_makes_room_for_a_record_and_no_foreign_byte_is_lost() {
        let temp = tempfile::tempdir().expect("a temporary folder");
        let path = temp.path().join("f.part.meta");
        let good = Note { label: label(1), part: None, replaced: None }.to_text();
        let lock = || Sidecar::lock(PartPaths::of(&temp.path().join("f")).expect("there"), true);
        for damaged in [&good.as_bytes()[..40], &[0; 100], b""] {
            fs::write(&path, damaged).expect("written");
            let mut sidecar = lock().expect("the record knows better");
            assert_eq!(sidecar.note(), None);
            sidecar.write(&label(1)).expect("written");
            drop(sidecar);
            assert_eq!(fs::read_to_string(&path).expect("there"), good);
        }
        fs::write(&path, "my notes").expect("written");
        lock().expect("there is room");
        let aside = temp.path().join("f.part.meta.damaged-1");
        assert_eq!(fs::read_to_string(aside).expect("kept"), "my notes");
    }

    #[test]
    fn a_foreign_file_in_the_place_of_the_sidecar_is_left_as_it_is() {
        let temp = tempfile::tempdir().expect("a temporary folder");
        let path = temp.path().join("f.part.meta");
        let good = Note { label: label(1), part: None, replaced: None }.to_text();
        for content in [
            "my notes\n",
            "\u{0}",
            &good[..good.len() - 1],
            &format!("{good}x\n"),
            &good.replace("download 2", "download 1"),
        ] {
            fs::write(&path, content).expect("written");
            assert!(matches!(lock(temp.path()), Err(PartError::Foreign(_, Foreign::Unknown))), "{content}");
            assert_eq!(fs::read(&path).expect("still there"), content.as_bytes());
        }
        fs::write(&path, b"\xff").expect("written");
        assert!(matches!(lock(temp.path()), Err(PartError::Foreign(_, Foreign::Unknown))));
        fs::remove_file(&path).expect("removed");
        symlink("target", &path).expect("made");
        assert!(matches!(lock(temp.path()), Err(PartError::Foreign(_, Foreign::Link))));
        assert!(!temp.path().join("target").exists());
        fs::remove_file(&path).expect("removed");
        fs::create_dir(&path).expect("made");
        assert!(matches!(lock(temp.path()), Err(PartError::Foreign(_, Foreign::Kind))));
    }
}
