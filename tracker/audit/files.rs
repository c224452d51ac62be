//! The files of one set of the audit: numbered, each of limited size. The oldest ones are removed.

use crate::sys::files::{Open, open_file, open_folder, sync_folder};
use std::collections::VecDeque;
use std::fs;
use std::fs::{DirBuilder, File};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Take, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

/// The longest file, in bytes.
pub(super) const FILE_LEN_MAX: u64 = 8 << 20;
/// The most files, including the current one.
const FILES_MAX: usize = 8;
const ENDING: &str = "jsonl";

/// The files. The last one is current.
#[derive(Debug)]
pub(super) struct AuditFiles {
    folder: PathBuf,
    /// The prefix of their names.
    set: &'static str,
    /// The longest file, in bytes.
    len_max: u64,
    /// The number of the current file.
    number: u64,
    /// `None` before the first write, and after an error.
    last: Option<OpenFile>,
}

#[derive(Debug)]
struct OpenFile {
    file: File,
    len: u64,
}

impl OpenFile {
    /// Opens a file to append to it. Ends a line that was cut short.
    fn open(path: &Path) -> io::Result<Self> {
        let mut file = open_file(path, Open::WriteOrNew(0o600))?;
        let len = file.seek(SeekFrom::End(0))?;
        let mut this = Self { file, len };
        if len > 0 {
            let mut last = [0];
            this.file.seek(SeekFrom::End(-1))?;
            this.file.read_exact(&mut last)?;
            if last != *b"\n" {
                this.append(b"\n")?;
            }
        }
        Ok(this)
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)?;
        self.len += bytes.len() as u64;
        Ok(())
    }
}

impl AuditFiles {
    /// Makes the folder if it does not exist.
    pub(super) fn open(folder: &Path, set: &'static str, len_max: u64) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        let number = numbers(folder, set)?.last().copied().unwrap_or(1);
        Ok(Self { folder: folder.to_path_buf(), set, len_max, number, last: None })
    }

    /// Writes whole lines, together far shorter than a file. After an error some of them may be there.
    pub(super) fn append(&mut self, lines: &[u8]) -> io::Result<()> {
        let mut last = self.opened()?;
        if last.len > 0 && last.len + lines.len() as u64 > self.len_max {
            last.file.sync_data()?;
            self.number += 1;
            self.make_room()?;
            last = self.opened()?;
        }
        last.append(lines)?;
        self.last = Some(last);
        Ok(())
    }

    /// The current file. Until it is given back, the next write opens it again.
    fn opened(&mut self) -> io::Result<OpenFile> {
        if let Some(last) = self.last.take() {
            return Ok(last);
        }
        let last = OpenFile::open(&path(&self.folder, self.set, self.number))?;
        if last.len == 0 {
            sync_folder(&open_folder(&self.folder)?)?;
        }
        Ok(last)
    }

    /// Removes old files to make room for one more.
    fn make_room(&self) -> io::Result<()> {
        let old = numbers(&self.folder, self.set)?;
        let too_many = (old.len() + 1).saturating_sub(FILES_MAX);
        old.iter().take(too_many).try_for_each(|&number| fs::remove_file(path(&self.folder, self.set, number)))
    }

    pub(super) fn sync(&self) -> io::Result<()> {
        self.last.as_ref().map_or(Ok(()), |last| last.file.sync_data())
    }
}

fn path(folder: &Path, set: &str, number: u64) -> PathBuf {
    folder.join(format!("{set}-{number:08}.{ENDING}"))
}

/// The numbers of the files of a set, the lowest first.
fn numbers(folder: &Path, set: &str) -> io::Result<Vec<u64>> {
    let number = |name: &str| -> Option<u64> {
        name.strip_prefix(set)?.strip_prefix('-')?.strip_suffix(ENDING)?.strip_suffix('.')?.parse().ok()
    };
    let mut numbers = Vec::new();
    for entry in fs::read_dir(folder)? {
        numbers.extend(entry?.file_name().to_str().and_then(number));
    }
    numbers.sort_unstable();
    Ok(numbers)
}

/// Reads the lines of a set, the oldest first. Another thread may write meanwhile.
pub(super) struct SetReader {
    folder: PathBuf,
    set: &'static str,
    /// The numbers of the remaining files.
    numbers: VecDeque<u64>,
    lines: Option<BufReader<Take<File>>>,
    /// The next line; empty at the end.
    line: Vec<u8>,
}

impl SetReader {
    /// A reader at the first line.
    pub(super) fn open(folder: &Path, set: &'static str) -> io::Result<Self> {
        let numbers = numbers(folder, set)?.into();
        let mut this = Self { folder: folder.to_path_buf(), set, numbers, lines: None, line: Vec::new() };
        this.advance()?;
        Ok(this)
    }

    /// The present line; `None` at the end.
    pub(super) fn line(&self) -> Option<&[u8]> {
        (!self.line.is_empty()).then_some(&self.line)
    }

    /// Moves on to the next line.
    pub(super) fn advance(&mut self) -> io::Result<()> {
        loop {
            self.line.clear();
            if let Some(lines) = &mut self.lines
                && lines.read_until(b'\n', &mut self.line)? > 0
            {
                return Ok(());
            }
            let Some(number) = self.numbers.pop_front() else {
                self.lines = None;
                return Ok(());
            };
            self.lines = match open_file(&path(&self.folder, self.set, number), Open::Read) {
                // The writer has removed the oldest file.
                Err(error) if error.kind() == io::ErrorKind::NotFound => None,
                Err(error) if error.kind() == io::ErrorKind::IsADirectory => None,
                opened => Some(BufReader::new(opened?.take(FILE_LEN_MAX))),
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SET: &str = "rest";

    fn lens(folder: &Path) -> Vec<u64> {
        let len = |number: &u64| fs::metadata(path(folder, SET, *number)).expect("there").len();
        numbers(folder, SET).expect("readable").iter().map(len).collect()
    }

    #[test]
    fn the_audit_never_takes_more_than_its_files_and_loses_the_oldest_lines() {
        let folder = tempfile::tempdir().expect("a folder");
        AuditFiles::open(folder.path(), "other", FILE_LEN_MAX)
            .and_then(|mut other| other.append(b"kept\n"))
            .expect("room");
        let mut files = AuditFiles::open(folder.path(), SET, FILE_LEN_MAX).expect("a folder");
        // Three of these lines fill a file.
        let lines = |n: u8| [vec![b'a' + n % 26; FILE_LEN_MAX as usize / 3 - 1], vec![b'\n']].concat();
        for n in 0..40 {
            files.append(&lines(n)).expect("room");
            let lens = lens(folder.path());
            assert!(lens.len() <= FILES_MAX && lens.iter().all(|len| *len <= FILE_LEN_MAX), "{lens:?}");
        }
        let mut firsts = Vec::new();
        let mut reader = SetReader::open(folder.path(), SET).expect("readable");
        while let Some(line) = reader.line() {
            firsts.push(line[0]);
            reader.advance().expect("readable");
        }
        let expected: Vec<u8> = (18..40).map(|n| b'a' + n % 26).collect();
        assert_eq!(firsts, expected, "seven full files and the last line");
        assert_eq!(SetReader::open(folder.path(), "other").expect("readable").line(), Some(&b"kept\n"[..]));
        // The next start continues the last file.
        drop(files);
        AuditFiles::open(folder.path(), SET, FILE_LEN_MAX).expect("a folder").append(&lines(0)).expect("room");
        assert_eq!(lens(folder.path()).last(), Some(&(2 * (FILE_LEN_MAX / 3))));
    }
}
