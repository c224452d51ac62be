//! What the benches of whole programs share: options, folders, contents, medians and tables.

// Every bench uses its own part of this.
#![allow(dead_code)]

pub(crate) mod house;
pub(crate) mod libtorrent;
pub(crate) mod limit;
pub(crate) mod program;
pub(crate) mod relay;
pub(crate) mod tools;
pub(crate) mod torrent;

use sha1::{Digest, Sha1};
use std::fmt::Write as _;
use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;
use std::time::Duration;

/// How much of a file is handled at a time, where this program handles it.
const CHUNK_LEN: usize = 1 << 20;

/// The options of a bench, given as `name=value` on its command line.
pub(crate) struct Options(Vec<(String, String)>);

impl Options {
    /// Reads the command line; anything but `known` names ends the program with a line that says what there is.
    pub(crate) fn from_args(known: &[&str]) -> Self {
        let mut options = Vec::new();
        for arg in std::env::args().skip(1).filter(|arg| arg != "--bench") {
            match arg.split_once('=') {
                Some((name, value)) if known.contains(&name) => options.push((name.to_owned(), value.to_owned())),
                _ => {
                    eprintln!("Not understood: {arg}. Options: {}=VALUE", known.join("=VALUE "));
                    std::process::exit(2);
                }
            }
        }
        Self(options)
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().rfind(|(given, _)| given == name).map(|(_, value)| value.as_str())
    }

    /// A number.
    pub(crate) fn number(&self, name: &str, default: usize) -> usize {
        self.get(name).map_or(default, |value| value.parse().unwrap_or_else(|_| panic!("{name}={value} is no number")))
    }

    /// A size in bytes, given in MiB.
    pub(crate) fn mib(&self, name: &str, default: u64) -> u64 {
        (self.number(name, default as usize) as u64) << 20
    }

    /// Words between commas.
    pub(crate) fn words(&self, name: &str, default: &str) -> Vec<String> {
        self.get(name).unwrap_or(default).split(',').map(str::to_owned).collect()
    }
}

/// A new folder in `parent`, which goes away when dropped.
pub(crate) fn folder_in(parent: &Path) -> tempfile::TempDir {
    tempfile::Builder::new().prefix("groupshare-bench.").tempdir_in(parent).expect("a temporary folder")
}

/// Writes a file of so many bytes that no compression makes smaller, down to the disk; gives its SHA-1.
pub(crate) fn write_noise(path: &Path, len: u64) -> [u8; 20] {
    let mut file = File::create(path).expect("made");
    let (mut sha1, mut left, mut state) = (Sha1::new(), len, 0x9e37_79b9_7f4a_7c15_u64);
    let mut chunk = vec![0; CHUNK_LEN];
    while left > 0 {
        for word in chunk.chunks_exact_mut(8) {
            // xorshift64 (Marsaglia 2003).
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            word.copy_from_slice(&state.to_le_bytes());
        }
        let now = &chunk[..left.min(CHUNK_LEN as u64) as usize];
        file.write_all(now).expect("written");
        sha1.update(now);
        left -= now.len() as u64;
    }
    file.sync_all().expect("synced");
    sha1.finalize().into()
}

/// The SHA-1 of each stretch of so many bytes of a file, one after the other.
pub(crate) fn digests(path: &Path, stretch_len: usize) -> Vec<u8> {
    let mut file = File::open(path).expect("there");
    let (mut digests, mut stretch) = (Vec::new(), Vec::new());
    loop {
        stretch.clear();
        Read::by_ref(&mut file).take(stretch_len as u64).read_to_end(&mut stretch).expect("read");
        if stretch.is_empty() {
            return digests;
        }
        digests.extend_from_slice(&Sha1::digest(&stretch));
    }
}

/// The SHA-1 of a file.
pub(crate) fn sha1_of_file(path: &Path) -> [u8; 20] {
    let mut file = File::open(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let (mut sha1, mut chunk) = (Sha1::new(), vec![0; CHUNK_LEN]);
    loop {
        match file.read(&mut chunk).expect("read") {
            0 => return sha1.finalize().into(),
            len => sha1.update(&chunk[..len]),
        }
    }
}

/// The median, the lower one of an even number.
pub(crate) fn median<T: PartialOrd + Copy>(values: impl IntoIterator<Item = T>) -> T {
    let mut values: Vec<T> = values.into_iter().collect();
    values.sort_by(|a, b| a.partial_cmp(b).expect("no NaN"));
    values[(values.len() - 1) / 2]
}

/// The median of times, in seconds.
pub(crate) fn median_s(times: impl IntoIterator<Item = Duration>) -> f64 {
    median(times).as_secs_f64()
}

/// Lines of columns, the first of each line to the left and the others to the right.
pub(crate) struct Table(Vec<Vec<String>>);

impl Table {
    /// A table with its headings.
    pub(crate) fn new(headings: &[&str]) -> Self {
        Self(vec![headings.iter().map(|&heading| heading.to_owned()).collect()])
    }

    /// Adds a line.
    pub(crate) fn line(&mut self, cells: Vec<String>) {
        self.0.push(cells);
    }

    /// Prints it as Markdown.
    pub(crate) fn print(&self) {
        let count = self.0[0].len();
        let width =
            |column: usize| self.0.iter().map(|line| line[column].chars().count()).max().expect("the headings").max(2);
        for (number, line) in self.0.iter().enumerate() {
            let mut out = String::new();
            for (column, cell) in line.iter().enumerate() {
                let width = width(column);
                let _ = if column == 0 { write!(out, "| {cell:<width$} ") } else { write!(out, "| {cell:>width$} ") };
            }
            println!("{out}|");
            if number == 0 {
                let rules = (0..count).map(|column| match column {
                    0 => format!("|{}", "-".repeat(width(0) + 2)),
                    _ => format!("|{}:", "-".repeat(width(column) + 1)),
                });
                println!("{}|", rules.collect::<String>());
            }
        }
    }
}
