//! The files that have come from a followed group, and those that were passed over. Each adds a line to a log. A loss
//! of the last lines does no harm: the client finds the files that are here, and passes over the others once more.
//!
//! Later lines replace earlier ones of the same name. Once the file is more than twice as long as after its last
//! rewrite, it is rewritten without the replaced lines.

use super::file::{Fields, StateError};
use crate::client::folder::following::Came;
use crate::model::digest::InfoHash;
use crate::model::escape::{from_field, to_field};
use crate::model::name::{FileName, UserId};
use crate::sys::durable;
use crate::sys::files::{self, Open};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// A log that has grown by less than this is not rewritten, in bytes.
const SLACK_LEN: u64 = 64 * 1024;

const CAME: &[u8] = b"came";
const BEGUN: &[u8] = b"begun";
const PASSED: &[u8] = b"passed";

/// The content of a log.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct FollowedFiles {
    /// The file that is here under each name, or was.
    pub came: BTreeMap<FileName, Came>,
    /// The file that was last begun under a name, and that may have come without a note.
    pub begun: BTreeMap<FileName, Came>,
    /// The share that was last passed over under a name.
    pub passed: BTreeMap<FileName, InfoHash>,
}

/// The log of one followed group.
#[derive(Debug)]
pub struct FollowLog {
    path: PathBuf,
    file: File,
    /// The current length and the length after the last rewrite, in bytes.
    len: u64,
    whole_len: u64,
}

fn came_line(kind: &[u8], name: &FileName, Came { info_hash, size, author }: &Came) -> String {
    line(&[
        kind,
        name.as_str().as_bytes(),
        info_hash.to_string().as_bytes(),
        size.to_string().as_bytes(),
        author.as_str().as_bytes(),
    ])
}

fn passed_line((name, info_hash): (&FileName, &InfoHash)) -> String {
    line(&[PASSED, name.as_str().as_bytes(), info_hash.to_string().as_bytes()])
}

fn line(fields: &[&[u8]]) -> String {
    let fields: Vec<String> = fields.iter().map(|field| to_field(field)).collect();
    fields.join("\t") + "\n"
}

impl FollowedFiles {
    fn read(&mut self, fields: &Fields) -> Option<()> {
        let text = |field| std::str::from_utf8(field).ok();
        let [kind, name, info_hash, rest @ ..] = &fields[..] else { return None };
        let key = (FileName::parse(text(name)?).ok()?, InfoHash::from_hex(text(info_hash)?)?);
        match (kind.as_slice(), rest) {
            (CAME | BEGUN, [size, author]) => {
                let (size, author) = (text(size)?.parse().ok()?, UserId::parse(text(author)?).ok()?);
                let files = if kind == CAME { &mut self.came } else { &mut self.begun };
                files.insert(key.0, Came { info_hash: key.1, size, author });
            }
            (PASSED, []) => drop(self.passed.insert(key.0, key.1)),
            _ => return None,
        }
        Some(())
    }

    /// The content of a log's lines. Wrong lines are ignored.
    fn of(bytes: &[u8]) -> Self {
        let mut files = Self::default();
        for line in bytes.split(|&byte| byte == b'\n') {
            let fields = std::str::from_utf8(line).ok().and_then(|line| line.split('\t').map(from_field).collect());
            let _ = fields.and_then(|fields: Fields| files.read(&fields));
        }
        let Self { came, begun, .. } = &mut files;
        begun.retain(|name, begun| came.get(name) != Some(begun));
        files
    }

    fn write(&self, path: &Path) -> Result<(), StateError> {
        durable::replace(path, self.to_text().as_bytes()).map_err(StateError::io(path, "write"))
    }

    fn to_text(&self) -> String {
        let came = self.came.iter().map(|(name, came)| came_line(CAME, name, came));
        let begun = self.begun.iter().map(|(name, begun)| came_line(BEGUN, name, begun));
        came.chain(begun).chain(self.passed.iter().map(passed_line)).collect()
    }
}

impl FollowLog {
    /// Reads the log at a path, and opens it for appending. Wrong lines are ignored. Returns `None` if there is no log,
    /// because then the shares from before its start are unknown.
    ///
    /// # Errors
    /// `Io`.
    pub fn open(path: &Path) -> Result<Option<(Self, FollowedFiles)>, StateError> {
        let bytes = match fs::read(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            read => read.map_err(StateError::io(path, "read"))?,
        };
        let files = FollowedFiles::of(&bytes);
        // The replaced lines go, and so does half a line at the end.
        if files.to_text().as_bytes() != bytes {
            files.write(path)?;
        }
        Ok(Some((Self::at(path)?, files)))
    }

    /// Begins a new log with the shares to pass over.
    ///
    /// # Errors
    /// `Io`.
    pub fn begin(path: &Path, passed: &BTreeMap<FileName, InfoHash>) -> Result<(), StateError> {
        FollowedFiles { passed: passed.clone(), ..FollowedFiles::default() }.write(path)
    }

    fn at(path: &Path) -> Result<Self, StateError> {
        let mut file = files::open_file(path, Open::WriteOrNew(0o600)).map_err(StateError::io(path, "open"))?;
        let len = io::Seek::seek(&mut file, io::SeekFrom::End(0)).map_err(StateError::io(path, "read"))?;
        Ok(Self { path: path.to_path_buf(), file, len, whole_len: len })
    }

    /// Whether to rewrite the log.
    pub fn is_wasteful(&self) -> bool {
        self.len > 2 * self.whole_len + SLACK_LEN
    }

    /// Rewrites the log with only the entries that count. After a failure it stays as it is, and the next try comes
    /// once it has doubled.
    ///
    /// # Errors
    /// `Io`.
    pub fn rewrite(&mut self, files: &FollowedFiles) -> Result<(), StateError> {
        self.whole_len = self.len;
        files.write(&self.path)?;
        *self = Self::at(&self.path)?;
        Ok(())
    }

    fn add(&mut self, line: &str) -> io::Result<()> {
        self.len += line.len() as u64;
        self.file.write_all(line.as_bytes())
    }

    /// Notes that a file has come.
    ///
    /// # Errors
    /// Those of write(2).
    pub fn came(&mut self, name: &FileName, came: &Came) -> io::Result<()> {
        self.add(&came_line(CAME, name, came))
    }

    /// Notes that a file is about to come.
    ///
    /// # Errors
    /// Those of write(2).
    pub fn begun(&mut self, name: &FileName, begun: &Came) -> io::Result<()> {
        self.add(&came_line(BEGUN, name, begun))
    }

    /// Notes that a file is passed over.
    ///
    /// # Errors
    /// Those of write(2).
    pub fn passed(&mut self, name: &FileName, info_hash: &InfoHash) -> io::Result<()> {
        self.add(&passed_line((name, info_hash)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::name::tests::{file, user};

    #[test]
    fn the_log_knows_files_that_came_or_were_passed_over_despite_half_a_line() {
        let temp = tempfile::tempdir().expect("a temporary folder");
        let path = temp.path().join("log");
        let open = |path: &Path| FollowLog::open(path).expect("read").expect("there");
        assert!(FollowLog::open(&path).expect("read").is_none(), "a log that is lost is no log of nothing");
        let baseline = BTreeMap::from([(file("old"), InfoHash([1; 32]))]);
        FollowLog::begin(&path, &baseline).expect("written");
        let (mut log, files) = open(&path);
        assert_eq!(files, FollowedFiles { passed: baseline.clone(), ..FollowedFiles::default() });
        let came = |version| Came { info_hash: InfoHash([version; 32]), size: 7, author: user("ann") };
        log.begun(&file("a/b"), &came(2)).expect("written");
        log.came(&file("a/b"), &came(2)).expect("written");
        log.begun(&file("a/b"), &came(4)).expect("written");
        log.came(&file("a/b"), &came(3)).expect("written");
        let passed = (file("x y"), InfoHash([4; 32]));
        log.passed(&passed.0, &InfoHash([3; 32])).expect("written");
        log.passed(&passed.0, &passed.1).expect("written");
        let whole = fs::read(&path).expect("there");
        let expected = FollowedFiles {
            begun: BTreeMap::from([(file("a/b"), came(4))]),
            came: BTreeMap::from([(file("a/b"), came(3))]),
            passed: baseline.into_iter().chain([passed]).collect(),
        };
        assert_eq!(open(&path).1, expected);
        for cut in 0..whole.len() {
            fs::write(&path, &whole[..cut]).expect("written");
            let (mut log, _) = open(&path);
            log.came(&file("new"), &came(9)).expect("written");
            assert_eq!(open(&path).1.came.get(&file("new")), Some(&came(9)), "cut at {cut}");
        }
    }

    #[test]
    fn a_log_of_many_versions_stays_as_long_as_what_counts_allows() {
        let temp = tempfile::tempdir().expect("a temporary folder");
        let path = temp.path().join("log");
        FollowLog::begin(&path, &BTreeMap::new()).expect("written");
        let (mut log, mut files) = FollowLog::open(&path).expect("read").expect("there");
        for version in 0..20_000_u64 {
            let came = Came { info_hash: InfoHash([version as u8; 32]), size: version, author: user("ann") };
            log.begun(&file("a"), &came).expect("written");
            log.came(&file("a"), &came).expect("written");
            files.came.insert(file("a"), came);
            if log.is_wasteful() {
                log.rewrite(&files).expect("written");
                assert!(fs::metadata(&path).expect("there").len() < 200);
            }
            assert!(fs::metadata(&path).expect("there").len() <= SLACK_LEN + 1000);
        }
        assert_eq!(FollowLog::open(&path).expect("read").expect("there").1, files);
    }
}
