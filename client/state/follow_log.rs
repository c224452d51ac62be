//! What has come by following a group, and what was passed over: a log to which every such file adds a line. Losing the
//! last lines does no harm: what is here is found to be here, and what was passed over is passed over once more.

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
use std::path::Path;

const CAME: &[u8] = b"came";
const BEGUN: &[u8] = b"begun";
const PASSED: &[u8] = b"passed";

/// What a log says.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct FollowedFiles {
    pub came: BTreeMap<FileName, Came>,
    /// What was begun last under a name, and may have come without a note.
    pub begun: BTreeMap<FileName, Came>,
    pub passed: BTreeMap<FileName, InfoHash>,
}

/// The log of one followed group.
#[derive(Debug)]
pub(crate) struct FollowLog(File);

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

    fn write(&self, path: &Path) -> Result<(), StateError> {
        durable::replace(path, self.to_text().as_bytes()).map_err(StateError::io(path, "write"))
    }

    fn to_text(&self) -> String {
        let came = self.came.iter().map(|(name, came)| came_line(CAME, name, came));
        let is_open = |(name, begun): &(&FileName, &Came)| self.came.get(*name) != Some(*begun);
        let begun = self.begun.iter().filter(is_open).map(|(name, begun)| came_line(BEGUN, name, begun));
        came.chain(begun).chain(self.passed.iter().map(passed_line)).collect()
    }
}

impl FollowLog {
    /// Reads the log at a path, and opens it to be added to. Wrong lines count for nothing. `None` for a log that is not
    /// there: what was passed over when it began is not known.
    ///
    /// # Errors
    /// `Io`.
    pub(crate) fn open(path: &Path) -> Result<Option<(Self, FollowedFiles)>, StateError> {
        let text = match fs::read(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            read => read.map_err(StateError::io(path, "read"))?,
        };
        let text = String::from_utf8_lossy(&text);
        let mut files = FollowedFiles::default();
        for line in text.split_terminator('\n') {
            if let Some(fields) = line.split('\t').map(from_field).collect::<Option<Fields>>() {
                let _ = files.read(&fields);
            }
        }
        // What later lines supersede goes, and half a line at the end.
        let whole = files.to_text();
        if whole.len() != text.len() {
            files.write(path)?;
        }
        Ok(Some((Self::at(path)?, files)))
    }

    /// A log that begins anew with what is passed over.
    ///
    /// # Errors
    /// `Io`.
    pub(crate) fn begin(path: &Path, passed: &BTreeMap<FileName, InfoHash>) -> Result<(), StateError> {
        FollowedFiles { passed: passed.clone(), ..FollowedFiles::default() }.write(path)
    }

    fn at(path: &Path) -> Result<Self, StateError> {
        let mut file = files::open_file(path, Open::WriteOrNew(0o600)).map_err(StateError::io(path, "open"))?;
        io::Seek::seek(&mut file, io::SeekFrom::End(0)).map_err(StateError::io(path, "read"))?;
        Ok(Self(file))
    }

    /// A file has come.
    ///
    /// # Errors
    /// Those of write(2).
    pub(crate) fn came(&mut self, name: &FileName, came: &Came) -> io::Result<()> {
        self.0.write_all(came_line(CAME, name, came).as_bytes())
    }

    /// A file is about to come.
    ///
    /// # Errors
    /// Those of write(2).
    pub(crate) fn begun(&mut self, name: &FileName, begun: &Came) -> io::Result<()> {
        self.0.write_all(came_line(BEGUN, name, begun).as_bytes())
    }

    /// A file is passed over.
    ///
    /// # Errors
    /// Those of write(2).
    pub(crate) fn passed(&mut self, name: &FileName, info_hash: &InfoHash) -> io::Result<()> {
        self.0.write_all(passed_line((name, info_hash)).as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::name::tests::{file, user};

    #[test]
    fn what_came_and_what_was_passed_over_is_known_again_and_half_a_line_does_no_harm() {
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
}
