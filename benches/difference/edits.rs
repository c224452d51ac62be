//! The edits: each makes an old version and a new one.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

/// An edit of a file of a given length.
pub(super) struct Edit {
    pub name: &'static str,
    pub words: &'static str,
    /// The file is the image of a disk.
    pub is_image: bool,
    /// Writes the old version and the new one.
    pub make: fn(u64, &Path, &Path),
}

/// All edits.
pub(super) const EDITS: [Edit; 11] = [
    edit("append", "1 MiB appended", append),
    edit("overwrite", "1 MiB overwritten in the middle", overwrite),
    edit("insert", "4 KiB inserted at the front", insert),
    edit("cut", "1 MiB cut out of the middle", cut),
    edit("shuffle", "32 stretches in another order", shuffle),
    Edit { is_image: true, ..edit("clusters", "an image, 3 % of it written in clusters", clusters) },
    Edit { is_image: true, ..edit("scattered", "an image, 1,000 single writes of 4 KiB", scattered) },
    edit("tar", "a tar with one file changed", tar),
    edit("database", "a database, 2 % of its pages changed", database),
    edit("gzip", "a compressed archive, a line changed in the middle", gzip),
    edit("small", "a text of 256 KiB, a line inserted at the front", small),
];

const fn edit(name: &'static str, words: &'static str, make: fn(u64, &Path, &Path)) -> Edit {
    Edit { name, words, is_image: false, make }
}

/// Random numbers, the same in every run.
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> u64 {
        // xorshift64* (Vigna 2016).
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    fn bytes(&mut self, len: usize) -> Vec<u8> {
        let mut bytes: Vec<u8> = (0..len.div_ceil(8)).flat_map(|_| self.next().to_le_bytes()).collect();
        bytes.truncate(len);
        bytes
    }
}

fn write(old: (&Path, &[u8]), new: (&Path, &[u8])) {
    for (path, bytes) in [old, new] {
        fs::write(path, bytes).expect("written");
    }
}

/// An old version of noise, and its new version.
fn of_noise(len: u64, (old, new): (&Path, &Path), change: impl FnOnce(&mut Vec<u8>, &mut Noise)) {
    let mut noise = Noise(len | 1);
    let before = noise.bytes(len as usize);
    let mut after = before.clone();
    change(&mut after, &mut noise);
    write((old, &before), (new, &after));
}

fn append(len: u64, old: &Path, new: &Path) {
    of_noise(len, (old, new), |bytes, noise| bytes.extend(noise.bytes(1 << 20)));
}

fn overwrite(len: u64, old: &Path, new: &Path) {
    of_noise(len, (old, new), |bytes, noise| {
        let at = bytes.len() / 2 + 12_345;
        bytes[at..at + (1 << 20)].copy_from_slice(&noise.bytes(1 << 20));
    });
}

fn insert(len: u64, old: &Path, new: &Path) {
    of_noise(len, (old, new), |bytes, noise| drop(bytes.splice(..0, noise.bytes(4096))));
}

fn cut(len: u64, old: &Path, new: &Path) {
    of_noise(len, (old, new), |bytes, _| {
        let at = bytes.len() / 2 + 777;
        drop(bytes.drain(at..at + (1 << 20)));
    });
}

fn shuffle(len: u64, old: &Path, new: &Path) {
    of_noise(len, (old, new), |bytes, noise| {
        let stretch_len = bytes.len() / 32 + 1001;
        let mut stretches: Vec<Vec<u8>> = bytes.chunks(stretch_len).map(<[u8]>::to_vec).collect();
        for last in (1..stretches.len()).rev() {
            stretches.swap(last, noise.below(last as u64 + 1) as usize);
        }
        *bytes = stretches.concat();
    });
}

/// Writes in clusters of 4 KiB.
fn clusters(len: u64, old: &Path, new: &Path) {
    of_noise(len, (old, new), |bytes, noise| {
        let cluster = 1 << 20;
        for _ in 0..bytes.len() * 3 / 100 / cluster {
            let at = (noise.below((bytes.len() - cluster) as u64) & !4095) as usize;
            bytes[at..at + cluster].copy_from_slice(&noise.bytes(cluster));
        }
    });
}

fn scattered(len: u64, old: &Path, new: &Path) {
    of_noise(len, (old, new), |bytes, noise| {
        for _ in 0..1000 {
            let at = (noise.below(bytes.len() as u64 - 4096) & !4095) as usize;
            bytes[at..at + 4096].copy_from_slice(&noise.bytes(4096));
        }
    });
}

/// Files of 1 byte to 256 KiB, each behind a header of 512 bytes and padded to a multiple of 512 bytes.
fn tar(len: u64, old: &Path, new: &Path) {
    let archive = |changed: bool| {
        let (mut noise, mut out) = (Noise(7), Vec::new());
        while (out.len() as u64) < len {
            let number = out.len();
            let mut file_len = 1 + noise.below(256 << 10) as usize;
            let mut content = noise.bytes(file_len);
            if changed && (len / 2..).contains(&(number as u64)) && (number as u64) < len / 2 + (256 << 10) {
                content.extend(b"a line more than before\n".repeat(40));
                file_len = content.len();
            }
            let mut header = format!("folder/file-{number}\0{file_len:o}\0").into_bytes();
            header.resize(512, 0);
            out.extend(header);
            content.resize(file_len.next_multiple_of(512), 0);
            out.extend(content);
        }
        out
    };
    write((old, &archive(false)), (new, &archive(true)));
}

/// Pages of 8 KiB. Some rows of 100 bytes are rewritten, and one page in a hundred is new.
fn database(len: u64, old: &Path, new: &Path) {
    of_noise(len, (old, new), |bytes, noise| {
        let pages = bytes.len() / 8192;
        for _ in 0..pages / 50 {
            let at = noise.below(pages as u64) as usize * 8192 + noise.below(8000) as usize;
            bytes[at..at + 100].copy_from_slice(&noise.bytes(100));
        }
        bytes.extend(noise.bytes(pages / 100 * 8192));
    });
}

/// Lines of words.
fn text(len: usize) -> Vec<u8> {
    const WORDS: [&str; 12] =
        ["tracker", "member", "piece", "group", "share", "the", "of", "and", "comes", "goes", "again", "whole"];
    let (mut noise, mut out) = (Noise(11), Vec::with_capacity(len + 100));
    while out.len() < len {
        for _ in 0..8 {
            out.extend_from_slice(WORDS[noise.below(12) as usize].as_bytes());
            out.extend_from_slice(format!(" {} ", noise.below(1000)).as_bytes());
        }
        out.push(b'\n');
    }
    out
}

fn gzip(len: u64, old: &Path, new: &Path) {
    let compress = |text: &[u8], path: &Path| {
        let out = Stdio::from(File::create(path).expect("made"));
        let mut child = Command::new("gzip").arg("-n").stdin(Stdio::piped()).stdout(out).spawn().expect("installed");
        child.stdin.take().expect("piped").write_all(text).expect("taken");
        assert!(child.wait().expect("started").success());
    };
    // The compressed text has about a third of this length.
    let mut lines = text(3 * len as usize);
    compress(&lines, old);
    let middle = lines.len() / 2;
    lines.splice(middle..middle, *b"something else\n");
    compress(&lines, new);
}

fn small(_: u64, old: &Path, new: &Path) {
    let before = text(256 << 10);
    let after = [&b"a line at the front\n"[..], &before].concat();
    write((old, &before), (new, &after));
}
