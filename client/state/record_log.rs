//! The file of a slot's records: a log to which every change adds a line.
//!
//! ```text
//! groupshare client records 2                      the header: what it is, and the version of its format
//! 5f0ac2d1<tab>share<tab>lab<tab>film.mkv<tab>...  a change: the CRC-32 of what follows it, its kind, its fields
//! ```
//!
//! A change counts once its line is synced. Changes that are made together go out in one write and one sync.
//!
//! - A crash during a write leaves the beginning of the written data. So the last line may be torn: it has no line
//!   break, and its checksum is wrong. The reader drops such a line, which was never acknowledged.
//! - A wrong line anywhere else is damage. The reader skips it and reports it.
//! - A failed write is cut off again. If that fails too, or a sync does, the log is rewritten before the next change.
//! - Replaced lines stay until they are the greater part of a long log. Then the log is rewritten in one step: after a
//!   crash there is the old one or the new one. So the bytes written grow with the changes.

use super::change::Change;
use super::file::{Fields, StateError};
use crate::model::escape::{from_field, to_field};
use crate::sys::durable;
use crate::sys::files::{self, Open};
use std::fs::{self, File, Metadata};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

const KIND: &str = "groupshare client records";
const VERSION: u32 = 2;
/// A shorter log is not rewritten, in bytes.
const REWRITTEN_LEN_MIN: u64 = 64 * 1024;

/// The content of a log.
#[derive(Debug)]
pub(super) struct RecordsRead {
    /// The changes that could be read, in their order.
    pub changes: Vec<Change>,
    pub state: LogState,
}

/// The condition of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LogState {
    /// No log is there.
    Missing,
    /// Every line is whole.
    Whole,
    /// The last line was torn, or ends without its line break. Nothing acknowledged is missing.
    Torn,
    /// Changes may be missing.
    Damaged,
}

/// The log of a slot. Only the client that holds the slot appends to it.
#[derive(Debug)]
pub(super) struct RecordLog {
    path: PathBuf,
    /// `None` until the log is rewritten: there is no log yet, or its end is unknown.
    file: Option<File>,
    len: u64,
    lines: usize,
    /// After a failed rewrite, the next one waits for this length.
    rewritten_len: u64,
}

impl RecordLog {
    /// Reads the log at a path.
    ///
    /// # Errors
    /// `Newer`, `Io`. Damage is no error.
    pub(super) fn open(path: PathBuf) -> Result<(Self, RecordsRead), StateError> {
        let mut log = Self { path, file: None, len: 0, lines: 0, rewritten_len: REWRITTEN_LEN_MIN };
        let bytes = match fs::read(&log.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Ok((log, RecordsRead { changes: Vec::new(), state: LogState::Missing }));
            }
            read => read.map_err(StateError::io(&log.path, "read"))?,
        };
        let read = read(&bytes).ok_or_else(|| StateError::Newer(log.path.clone()))?;
        if read.state == LogState::Whole {
            let file = files::open_file(&log.path, Open::Write).map_err(StateError::io(&log.path, "open"))?;
            (log.file, log.len, log.lines) = (Some(file), bytes.len() as u64, read.changes.len());
        }
        Ok((log, read))
    }

    /// The path of the log.
    pub(super) fn path(&self) -> &PathBuf {
        &self.path
    }

    /// Whether changes can be appended. If not, the log must be rewritten first.
    pub(super) fn is_open(&self) -> bool {
        self.file.is_some()
    }

    /// Appends changes, durably.
    ///
    /// # Errors
    /// `Io`; the log then has none of them, except after a failed sync.
    pub(super) fn append(&mut self, changes: &[Change]) -> Result<(), StateError> {
        let text: String = changes.iter().map(to_line).collect();
        let Some(file) = &self.file else {
            return Err(StateError::Io(self.path.clone(), "write", io::ErrorKind::NotFound.into()));
        };
        let written = file.write_all_at(text.as_bytes(), self.len);
        let (written, is_known) = match written {
            Ok(()) => (file.sync_data(), false),
            Err(error) => (Err(error), file.set_len(self.len).is_ok()),
        };
        if let Err(error) = written {
            if !is_known {
                self.file = None;
            }
            return Err(StateError::Io(self.path.clone(), "write", error));
        }
        self.len += text.len() as u64;
        self.lines += changes.len();
        Ok(())
    }

    /// Whether replaced lines are the greater part of a long log: `rows` changes would say the same.
    pub(super) fn is_wasteful(&self, rows: usize) -> bool {
        self.len > self.rewritten_len && self.lines > 2 * rows
    }

    /// Rewrites the log in one step with exactly these changes.
    ///
    /// # Errors
    /// `Io`; the log is unchanged, except after a failed last sync.
    pub(super) fn rewrite(&mut self, changes: &[Change]) -> Result<(), StateError> {
        let mut text = format!("{KIND} {VERSION}\n");
        text.extend(changes.iter().map(to_line));
        self.rewritten_len = self.len + REWRITTEN_LEN_MIN;
        let replaced = durable::replace(&self.path, text.as_bytes());
        // The new file may have taken the name of the open one, even if the last step of that failed.
        self.file = self.file.take().filter(|file| replaced.is_err() && is_at(file, &self.path));
        replaced.map_err(StateError::io(&self.path, "write"))?;
        let file = files::open_file(&self.path, Open::Write).map_err(StateError::io(&self.path, "open"))?;
        (self.file, self.len, self.lines) = (Some(file), text.len() as u64, changes.len());
        self.rewritten_len = REWRITTEN_LEN_MIN;
        Ok(())
    }
}

/// Whether an open file is the one at a path.
fn is_at(file: &File, path: &Path) -> bool {
    let id = |metadata: io::Result<Metadata>| metadata.ok().map(|metadata| (metadata.dev(), metadata.ino()));
    id(file.metadata()) == id(fs::symlink_metadata(path))
}

/// The content of a log's bytes. `None` if a newer version wrote them.
fn read(bytes: &[u8]) -> Option<RecordsRead> {
    let (header, mut rest) = split_line(bytes).unwrap_or_default();
    let version = std::str::from_utf8(header).ok().and_then(|header| header.strip_prefix(KIND)?.strip_prefix(' '));
    let version = version.and_then(|version| version.parse::<u32>().ok());
    let mut state = match version {
        Some(version) if version > VERSION => return None,
        Some(VERSION) => LogState::Whole,
        _ => LogState::Damaged,
    };
    let mut changes = Vec::new();
    while let Some((line, behind)) = split_line(rest) {
        match from_line(line) {
            Some(change) => changes.push(change),
            None => state = LogState::Damaged,
        }
        rest = behind;
    }
    if let Some((_, but_one)) = rest.split_last() {
        // The last line may have lost only its line break, or have another byte in its place.
        changes.extend(from_line(rest).or_else(|| from_line(but_one)));
        state = if state == LogState::Damaged { state } else { LogState::Torn };
    }
    Some(RecordsRead { changes, state })
}

/// The first line, without its line break, and what follows it.
fn split_line(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = bytes.iter().position(|&byte| byte == b'\n')?;
    Some((&bytes[..end], &bytes[end + 1..]))
}

fn to_line(change: &Change) -> String {
    let fields: Vec<_> = change.to_fields().iter().map(|field| to_field(field)).collect();
    let fields = fields.join("\t");
    format!("{:08x}\t{fields}\n", crc32fast::hash(fields.as_bytes()))
}

fn from_line(line: &[u8]) -> Option<Change> {
    let (checksum, fields) = std::str::from_utf8(line).ok()?.split_once('\t')?;
    if checksum != format!("{:08x}", crc32fast::hash(fields.as_bytes())) {
        return None;
    }
    let fields: Fields = fields.split('\t').map(from_field).collect::<Option<_>>()?;
    Change::from_fields(&fields)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::state::change::{RecordKey, RecordKind};
    use crate::client::state::record::SlotRecord;
    use crate::client::state::record::tests::{download, share};

    fn changes() -> Vec<Change> {
        let download = SlotRecord::Download(download("lab", "Übung", 3));
        vec![
            Change::Put(SlotRecord::Share(share("lab", "f", 1))),
            Change::Remove(RecordKey { kind: RecordKind::Share, ..RecordKey::of(&download) }),
            Change::Put(download),
            Change::Put(SlotRecord::Share(share("class", "g", 2))),
        ]
    }

    fn place() -> (tempfile::TempDir, PathBuf) {
        let temp = tempfile::tempdir().expect("a temporary folder");
        let path = temp.path().join("records");
        (temp, path)
    }

    /// A log of two rewritten and two appended changes.
    fn written(path: &Path) -> RecordLog {
        let (mut log, read) = RecordLog::open(path.to_path_buf()).expect("none yet");
        assert_eq!((read.changes.len(), read.state, log.is_open()), (0, LogState::Missing, false));
        log.rewrite(&changes()[..2]).expect("written");
        log.append(&changes()[2..3]).expect("written");
        log.append(&changes()[3..]).expect("written");
        log
    }

    fn open(path: &Path) -> RecordsRead {
        RecordLog::open(path.to_path_buf()).expect("no error").1
    }

    #[test]
    fn changes_come_back_in_their_order_and_nobody_else_may_read_them() {
        let (temp, path) = place();
        let (log, again) = (written(&path), open(&path));
        assert_eq!((again.changes, again.state), (changes(), LogState::Whole));
        assert_eq!((log.len, log.lines), (fs::metadata(&path).expect("there").len(), 4));
        assert_eq!(fs::metadata(&path).expect("there").mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(temp.path()).expect("there").count(), 1);
    }

    #[test]
    fn wherever_a_crash_cuts_the_log_off_the_changes_before_are_there_and_nothing_is_called_damaged() {
        let (_temp, path) = place();
        drop(written(&path));
        let whole = fs::read(&path).expect("there");
        let header = KIND.len() + 3;
        for len in 0..=whole.len() {
            let read = read(&whole[..len]).expect("not newer");
            // A line that lacks only its line break is whole too.
            let lines = if len < header { 0 } else { split_lines(&whole[header..(len + 1).min(whole.len())]) };
            assert_eq!(read.changes, changes()[..lines], "cut at {len}");
            let expected = match whole[..len].last() {
                _ if len < header => LogState::Damaged,
                Some(b'\n') => LogState::Whole,
                _ => LogState::Torn,
            };
            assert_eq!(read.state, expected, "cut at {len}");
        }
    }

    fn split_lines(bytes: &[u8]) -> usize {
        bytes.iter().filter(|&&byte| byte == b'\n').count()
    }

    #[test]
    fn a_wrong_byte_loses_no_change_without_being_told_and_makes_up_none() {
        let (_temp, path) = place();
        drop(written(&path));
        let whole = fs::read(&path).expect("there");
        for at in 0..whole.len() {
            for flipped in [0x01, 0x02, 0x03, 0x10, 0x20, 0x80, 0xff] {
                let mut bytes = whole.clone();
                bytes[at] ^= flipped;
                let Some(read) = read(&bytes) else {
                    assert!(at < KIND.len() + 2, "only the header says that it is newer");
                    continue;
                };
                let mut originals = changes().into_iter();
                assert!(read.changes.iter().all(|change| originals.any(|original| original == *change)), "at {at}");
                let missing = changes().len() - read.changes.len();
                match read.state {
                    LogState::Damaged => assert!(missing <= 2, "at {at}"),
                    LogState::Whole | LogState::Torn | LogState::Missing => assert_eq!(missing, 0, "at {at}"),
                }
            }
        }
    }

    #[test]
    fn a_log_of_another_version_is_told_from_a_damaged_one() {
        let version = |version: &str| read(format!("{KIND} {version}\nwhatever\n").as_bytes()).map(|read| read.state);
        assert_eq!(version("2"), Some(LogState::Damaged));
        assert_eq!(version("3"), None);
        assert_eq!(version("x"), Some(LogState::Damaged));
        assert_eq!(read(b"groupshare other 2\n").map(|read| read.state), Some(LogState::Damaged));
    }

    #[test]
    fn a_log_is_wasteful_once_it_is_long_and_more_than_half_superseded() {
        let (_temp, path) = place();
        let mut log = written(&path);
        let change = &changes()[2..3];
        while log.len <= REWRITTEN_LEN_MIN {
            assert!(!log.is_wasteful(1), "it is short");
            log.append(change).expect("written");
        }
        let lines = log.lines;
        assert!(log.is_wasteful(lines.div_ceil(2) - 1));
        assert!(!log.is_wasteful(lines.div_ceil(2)));
        log.rewrite(change).expect("written");
        assert!(!log.is_wasteful(1));
        log.append(change).expect("written");
        assert_eq!(open(&path).changes, [change, change].concat());
    }

    #[test]
    fn after_a_rewriting_that_failed_changes_go_on_where_the_log_has_its_name() {
        let (temp, path) = place();
        let mut log = written(&path);
        fs::create_dir(temp.path().join("records.new")).expect("made");
        log.rewrite(&[]).expect_err("a folder is in the way");
        assert!(log.is_open());
        log.append(&changes()[..1]).expect("written");
        assert_eq!(open(&path).changes.len(), 5);
        // Another program puts another file there.
        fs::remove_file(&path).expect("there");
        fs::write(&path, "").expect("written");
        log.rewrite(&[]).expect_err("a folder is in the way");
        assert!(!log.is_open());
        log.append(&changes()[..1]).expect_err("it would be written where nobody finds it");
    }

    #[test]
    fn a_change_whose_write_or_sync_fails_is_refused_and_the_log_is_written_anew_before_the_next() {
        // The first device takes no byte. The second takes all, but cannot be synced.
        for device in ["/dev/full", "/dev/null"] {
            let (_temp, path) = place();
            let mut log = written(&path);
            let len = log.len;
            log.file = Some(File::options().write(true).open(device).expect("Linux has it"));
            log.append(&changes()[..1]).expect_err(device);
            assert_eq!((log.is_open(), log.len), (false, len));
            assert_eq!(open(&path).changes, changes());
            log.rewrite(&changes()[1..]).expect("written");
            log.append(&changes()[..1]).expect("written");
            assert_eq!(open(&path).changes, [&changes()[1..], &changes()[..1]].concat());
        }
    }
}
