//! A state file: a few lines of text that are replaced as a whole and survive a crash.
//!
//! The first line has the kind of the file and the version of its format. Then each line has one record, with its
//! fields escaped and separated by tabs. The last line is `\end` and the number of records, which tells a cut file from
//! a short one.

use crate::model::escape::{ShownPath, from_field, to_field};
use crate::sys::durable::numbered_folder::FormatError;
use crate::sys::{self, durable, files};
use std::ffi::OsStr;
use std::fmt;
use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

/// Begins the last line. No record begins so, because `to_field` never writes this after a `\`.
const END: &str = "\\end ";

/// The fields of one record.
pub(crate) type Fields = Vec<Vec<u8>>;

/// Why the state cannot be read or kept.
#[derive(Debug)]
pub enum StateError {
    /// The system refuses; the second field says which action.
    Io(PathBuf, &'static str, io::Error),
    /// A newer version of the program wrote the file.
    Newer(PathBuf),
    /// A folder is of another version of the program.
    Format(FormatError),
    /// A file was damaged and now has the second name, and its content is lost. The next call finds no file.
    Damaged(PathBuf, PathBuf),
    /// The pin at this path is damaged. Any key of the trackers may differ from the first one.
    DamagedPin(PathBuf),
    /// The maximum number of clients already uses this state.
    TooManyClients(PathBuf),
    /// The login of this state has ended.
    Closed,
}

impl StateError {
    /// Makes the error for a failed call on a path.
    pub(crate) fn io<'a>(path: &'a Path, action: &'static str) -> impl Fn(io::Error) -> Self + 'a {
        move |error| StateError::Io(path.to_path_buf(), action, error)
    }
}

impl fmt::Display for StateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StateError::Io(path, action, error) => {
                write!(f, "cannot {action} {}: {}", ShownPath(path), sys::reason(error))
            }
            StateError::Newer(path) => write!(
                f,
                "{} was written by a newer version of this program; use that one, or another --state-dir",
                ShownPath(path)
            ),
            StateError::Format(error) => error.fmt(f),
            StateError::Damaged(path, aside) => {
                write!(f, "{} was damaged and has been moved to {}", ShownPath(path), ShownPath(aside))
            }
            StateError::DamagedPin(path) => write!(
                f,
                "{}, which keeps the trackers' key, is damaged: no key is trusted; ask their operator for the fingerprint \
                 and start the client with --accept-fingerprint and it",
                ShownPath(path)
            ),
            StateError::TooManyClients(path) => {
                write!(f, "too many clients use {} already; end one, or use another --state-dir", ShownPath(path))
            }
            StateError::Closed => write!(f, "the login has ended"),
        }
    }
}

impl std::error::Error for StateError {}

/// The content of a state file.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct StateRecords {
    /// The records that could be read.
    pub records: Vec<Fields>,
    /// Whether there may have been more.
    pub damaged: bool,
}

/// Reads a state file. Returns `None` if there is none.
///
/// # Errors
/// `Newer`, `Io`. Damage is no error.
pub(crate) fn read(path: &Path, kind: &str, version: u32) -> Result<Option<StateRecords>, StateError> {
    let bytes = match fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        read => read.map_err(StateError::io(path, "read"))?,
    };
    let text = String::from_utf8_lossy(&bytes);
    let mut lines = text.split('\n');
    let found = lines.next().and_then(|line| line.strip_prefix(kind)?.strip_prefix(' ')?.parse::<u32>().ok());
    if found.is_some_and(|found| found > version) {
        return Err(StateError::Newer(path.to_path_buf()));
    }
    if found != Some(version) {
        return Ok(Some(StateRecords { records: Vec::new(), damaged: true }));
    }
    // Whole if the last line is present, has its line break, and counts every line before it.
    let lines: Vec<_> = lines.collect();
    let (lines, whole) = match &lines[..] {
        [records @ .., last, ""] if last.strip_prefix(END).and_then(|n| n.parse().ok()) == Some(records.len()) => {
            (records, true)
        }
        // The text after the last line break is half a record.
        [records @ .., _] => (records, false),
        [] => (&[][..], false),
    };
    let records: Vec<Fields> = lines.iter().filter_map(|line| line.split('\t').map(from_field).collect()).collect();
    let damaged = !whole || records.len() < lines.len();
    Ok(Some(StateRecords { records, damaged }))
}

/// Replaces a state file in one step. `path` has one writer at a time.
///
/// # Errors
/// `Io`; the file is then unchanged.
pub(crate) fn write(path: &Path, kind: &str, version: u32, records: &[Vec<&[u8]>]) -> Result<(), StateError> {
    durable::replace(path, to_text(kind, version, records).as_bytes()).map_err(StateError::io(path, "write"))
}

/// The text of a state file with these records.
pub(crate) fn to_text(kind: &str, version: u32, records: &[Vec<&[u8]>]) -> String {
    let mut text = format!("{kind} {version}\n");
    for fields in records {
        let fields: Vec<_> = fields.iter().map(|field| to_field(field)).collect();
        text.push_str(&fields.join("\t"));
        text.push('\n');
    }
    text.push_str(&format!("{END}{}\n", records.len()));
    text
}

/// Moves a damaged file out of the way, to a free name. Returns that name.
///
/// # Errors
/// `Io`.
pub(crate) fn set_aside(path: &Path) -> Result<PathBuf, StateError> {
    let folder = path.parent().unwrap_or(Path::new("/"));
    let open = files::open_folder(folder).map_err(StateError::io(folder, "open"))?;
    let moved = put_aside(path, |name, aside| files::rename_noreplace(&open, name, aside));
    moved.map_err(StateError::io(path, "set aside"))
}

/// Gives a damaged file a second name, which remains when another file takes the first. Returns that name. If the disk
/// allows only one name per file, moves the file.
///
/// # Errors
/// `Io`.
pub(crate) fn keep_aside(path: &Path) -> Result<PathBuf, StateError> {
    let linked = put_aside(path, |_, aside| fs::hard_link(path, path.with_file_name(aside)));
    linked.or_else(|_| set_aside(path))
}

/// Tries names until `put` finds a free one.
fn put_aside(path: &Path, put: impl Fn(&OsStr, &OsStr) -> io::Result<()>) -> io::Result<PathBuf> {
    let name = path.file_name().unwrap_or_default();
    for number in 1.. {
        let mut aside = name.to_owned();
        aside.push(format!(".damaged-{number}"));
        match put(name, &aside) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
            Ok(()) => return Ok(path.with_file_name(aside)),
        }
    }
    unreachable!("a folder does not hold every number")
}

/// Makes a folder that only its owner may enter, and the missing folders above it.
///
/// # Errors
/// `Io`.
pub(crate) fn make_folder(path: &Path) -> Result<(), StateError> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(StateError::io(path, "make the folder"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt;

    const KIND: &str = "groupshare test";

    fn file() -> (tempfile::TempDir, PathBuf) {
        let temp = tempfile::tempdir().expect("a temporary folder");
        let path = temp.path().join("state");
        (temp, path)
    }

    fn records_of(path: &Path) -> StateRecords {
        read(path, KIND, 3).expect("no error").expect("there")
    }

    fn sample(path: &Path) -> Vec<Vec<&'static [u8]>> {
        let records = vec![vec![&b"share"[..], b"a\tb\nc\\\xff"], vec![b"", b""], vec![br"\end 2"]];
        write(path, KIND, 3, &records).expect("written");
        records
    }

    #[test]
    fn records_come_back_as_they_were_and_nobody_else_may_read_them() {
        let (temp, path) = file();
        assert_eq!(read(&path, KIND, 3).expect("none yet"), None);
        let records = sample(&path);
        assert_eq!(
            read(&path, KIND, 3).expect("there"),
            Some(StateRecords {
                records: records.iter().map(|r| r.iter().map(|f| f.to_vec()).collect()).collect(),
                damaged: false
            })
        );
        assert_eq!(fs::metadata(&path).expect("there").mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(temp.path()).expect("there").count(), 1);
    }

    #[test]
    fn wherever_the_file_is_cut_off_the_records_before_are_read_and_the_damage_is_seen() {
        let (_temp, path) = file();
        sample(&path);
        let whole_records = records_of(&path).records;
        let whole = fs::read(&path).expect("there");
        for len in 0..whole.len() {
            fs::write(&path, &whole[..len]).expect("cut");
            let lines = records_of(&path);
            assert!(lines.damaged, "cut at {len}");
            let before: Vec<Fields> = whole_records.iter().take(lines.records.len()).cloned().collect();
            assert_eq!(lines.records, before, "cut at {len}");
        }
    }

    #[test]
    fn a_damaged_record_does_not_take_the_others_with_it() {
        let (_temp, path) = file();
        fs::write(&path, format!("{KIND} 3\ngood\nb\\xad\\\nfine\n\\end 3\n")).expect("written");
        let lines = records_of(&path);
        assert_eq!(
            lines,
            StateRecords { records: vec![vec![b"good".to_vec()], vec![b"fine".to_vec()]], damaged: true }
        );
    }

    #[test]
    fn a_newer_file_is_not_touched_and_another_kind_is_damage() {
        let (_temp, path) = file();
        sample(&path);
        assert!(matches!(read(&path, KIND, 2), Err(StateError::Newer(_))));
        assert!(read(&path, "groupshare other", 3).expect("no error").expect("there").damaged);
    }

    #[test]
    fn a_file_set_aside_keeps_its_content_and_its_number() {
        let (_temp, path) = file();
        for number in 1..=2 {
            fs::write(&path, format!("content {number}")).expect("written");
            let aside = set_aside(&path).expect("moved");
            assert!(aside.to_string_lossy().ends_with(&format!("state.damaged-{number}")));
            assert_eq!(fs::read_to_string(aside).expect("there"), format!("content {number}"));
            assert!(!path.exists());
        }
    }
}
