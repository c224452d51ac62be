//! A backup as bytes: a head, chunks, and an end that proves it complete. docs/JOURNAL.md has the format.

use crate::model::digest::InfoHash;
use crate::model::op::Op;
use crate::model::op::floor::FloorMark;
use crate::sys;
use crate::wire::codec::{DecodeError, Decoder, Wire, from_bytes, to_bytes, wire_struct};
use ring::digest::{Context, SHA256};
use std::fmt;
use std::io::{self, Read, Write};

/// The first bytes.
const MAGIC: [u8; 8] = *b"GSHBKUP\n";
/// The version of the format. It also increases with the formats of states and ops.
const VERSION: u16 = 1;
/// Length of a head without magic and version, in bytes.
const HEAD_LEN: usize = 2 + 8 + 40 + 32;
/// The longest chunk, in bytes.
const CHUNK_MAX: usize = 64 * 1024;

/// The head of a backup.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BackupHead {
    /// The tracker that made it.
    pub tracker: u16,
    /// The time of the backup, in seconds since 1970.
    pub time: u64,
    /// The floor under its ops.
    pub floor: FloorMark,
    /// The digest of the state of base and ops.
    pub digest: [u8; 32],
}

wire_struct!(BackupHead { tracker, time, floor, digest });

/// The contents of a backup, counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct BackupCounts {
    pub ops: u64,
    pub manifests: u64,
    /// Manifests that the tracker lacked.
    pub absent: u64,
}

/// The content of a chunk. The base comes first, then the ops, then the manifests.
#[derive(Debug, PartialEq, Eq)]
pub enum BackupChunk {
    /// The next bytes of the base.
    Base(Vec<u8>),
    Op(Box<Op>),
    /// A manifest of `total` bytes begins.
    Manifest {
        info_hash: InfoHash,
        total: u32,
    },
    /// The next bytes of that manifest.
    Part(Vec<u8>),
    /// A manifest that the tracker lacked.
    Absent(InfoHash),
}

/// The kind of a chunk. Its letter stands before the length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
enum ChunkKind {
    Base = b'B',
    Op = b'O',
    Manifest = b'M',
    Part = b'm',
    Absent = b'A',
    End = b'E',
}

impl ChunkKind {
    fn of(byte: u8) -> Option<Self> {
        let all = [Self::Base, Self::Op, Self::Manifest, Self::Part, Self::Absent, Self::End];
        all.into_iter().find(|kind| *kind as u8 == byte)
    }
}

/// Why bytes are no backup. Each message is a sentence without its end.
#[derive(Debug)]
pub enum StreamError {
    /// They cannot be read.
    Io(io::Error),
    /// They begin differently.
    NoBackup,
    OtherVersion(u16),
    /// The end is missing.
    Torn,
    /// They differ from the written ones.
    Damaged(&'static str),
}

impl fmt::Display for StreamError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StreamError::Io(error) => write!(f, "the backup cannot be read: {}", sys::reason(error)),
            StreamError::NoBackup => f.write_str("this is no backup of a tracker"),
            StreamError::OtherVersion(version) => {
                let age = if *version > VERSION { "a newer" } else { "an older" };
                write!(
                    f,
                    "the backup has format {version} and was written by {age} version of this program; use that one"
                )
            }
            StreamError::Torn => f.write_str("the end of the backup is missing; take another one"),
            StreamError::Damaged(what) => write!(f, "the backup is damaged: {what}; take another one"),
        }
    }
}

impl std::error::Error for StreamError {}

impl From<io::Error> for StreamError {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::UnexpectedEof { StreamError::Torn } else { StreamError::Io(error) }
    }
}

/// Writes a backup.
pub struct BackupWriter<W> {
    out: W,
    sum: Context,
    counts: BackupCounts,
}

impl<W: Write> BackupWriter<W> {
    /// # Errors
    /// Those of writing, here and below.
    pub fn begin(out: W, head: &BackupHead) -> io::Result<Self> {
        let mut writer = Self { out, sum: Context::new(&SHA256), counts: BackupCounts::default() };
        writer.write(&MAGIC)?;
        writer.write(&to_bytes(&VERSION))?;
        writer.write(&to_bytes(head))?;
        Ok(writer)
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.sum.update(bytes);
        self.out.write_all(bytes)
    }

    fn chunk(&mut self, kind: ChunkKind, payload: &[u8]) -> io::Result<()> {
        // Callers give at most this many bytes.
        let len = payload.len() as u32;
        self.write(&[kind as u8])?;
        self.write(&to_bytes(&len))?;
        self.write(payload)
    }

    /// Adds the next bytes of the base.
    pub fn base(&mut self, bytes: &[u8]) -> io::Result<()> {
        bytes.chunks(CHUNK_MAX).try_for_each(|part| self.chunk(ChunkKind::Base, part))
    }

    pub fn op(&mut self, op: &Op) -> io::Result<()> {
        self.counts.ops += 1;
        self.chunk(ChunkKind::Op, &to_bytes(op))
    }

    /// Begins a manifest of `total` bytes.
    pub fn manifest(&mut self, info_hash: InfoHash, total: u32) -> io::Result<()> {
        self.counts.manifests += 1;
        self.chunk(ChunkKind::Manifest, &[to_bytes(&info_hash), to_bytes(&total)].concat())
    }

    /// Adds the next bytes of that manifest.
    pub fn part(&mut self, bytes: &[u8]) -> io::Result<()> {
        bytes.chunks(CHUNK_MAX).try_for_each(|part| self.chunk(ChunkKind::Part, part))
    }

    /// Adds a mark that a manifest is absent.
    pub fn absent(&mut self, info_hash: InfoHash) -> io::Result<()> {
        self.counts.absent += 1;
        self.chunk(ChunkKind::Absent, &to_bytes(&info_hash))
    }

    /// Goes on in another writer. `onto` copies the bytes written so far into it.
    pub fn moved<V: Write, E>(self, onto: impl FnOnce(W) -> Result<V, E>) -> Result<BackupWriter<V>, E> {
        Ok(BackupWriter { out: onto(self.out)?, sum: self.sum, counts: self.counts })
    }

    /// Writes the end.
    pub fn end(mut self) -> io::Result<()> {
        let BackupCounts { ops, manifests, absent } = self.counts;
        let sum = self.sum.clone().finish();
        let counts = [ops, manifests, absent].map(|count| to_bytes(&count)).concat();
        self.chunk(ChunkKind::End, &[&counts, sum.as_ref()].concat())?;
        self.out.flush()
    }
}

/// Reads a backup.
pub struct BackupReader<R> {
    from: R,
    sum: Context,
    counts: BackupCounts,
}

impl<R: Read> BackupReader<R> {
    /// Reads the head.
    ///
    /// # Errors
    /// These are not the first bytes of a backup that this program can read.
    pub fn open(from: R) -> Result<(BackupHead, Self), StreamError> {
        let mut reader = Self { from, sum: Context::new(&SHA256), counts: BackupCounts::default() };
        let (mut magic, mut version, mut head) = ([0; MAGIC.len()], [0; 2], [0; HEAD_LEN]);
        let begins = reader.read(&mut magic);
        if matches!(begins, Err(StreamError::Torn)) || (begins.is_ok() && magic != MAGIC) {
            return Err(StreamError::NoBackup);
        }
        begins?;
        reader.read(&mut version)?;
        let version = u16::from_be_bytes(version);
        if version != VERSION {
            return Err(StreamError::OtherVersion(version));
        }
        reader.read(&mut head)?;
        let head = from_bytes(&head).map_err(|_| StreamError::Damaged("its head is not valid"))?;
        Ok((head, reader))
    }

    fn read(&mut self, bytes: &mut [u8]) -> Result<(), StreamError> {
        self.from.read_exact(bytes)?;
        self.sum.update(bytes);
        Ok(())
    }

    /// The next chunk. `None` at the end, after the check of the whole stream.
    ///
    /// # Errors
    /// The stream is damaged, or nothing more can be read.
    pub fn next_chunk(&mut self) -> Result<Option<BackupChunk>, StreamError> {
        const UNREADABLE: StreamError = StreamError::Damaged("a part of it is unreadable");
        let sum = self.sum.clone();
        let (mut kind, mut len) = ([0], [0; 4]);
        self.read(&mut kind)?;
        self.read(&mut len)?;
        let len = usize::try_from(u32::from_be_bytes(len)).unwrap_or(usize::MAX);
        let kind = ChunkKind::of(kind[0]).filter(|_| len <= CHUNK_MAX).ok_or(UNREADABLE)?;
        let mut payload = vec![0; len];
        self.read(&mut payload)?;
        let chunk = match kind {
            ChunkKind::Base => BackupChunk::Base(payload),
            ChunkKind::Part => BackupChunk::Part(payload),
            ChunkKind::Op => {
                self.counts.ops += 1;
                BackupChunk::Op(from_bytes(&payload).map(Box::new).map_err(|_| UNREADABLE)?)
            }
            ChunkKind::Absent => {
                self.counts.absent += 1;
                BackupChunk::Absent(from_bytes(&payload).map_err(|_| UNREADABLE)?)
            }
            ChunkKind::Manifest => {
                self.counts.manifests += 1;
                let mut from = Decoder::new(&payload);
                let mut begins = || Ok((InfoHash::take(&mut from)?, u32::take(&mut from)?));
                let (info_hash, total) = begins().map_err(|_: DecodeError| UNREADABLE)?;
                BackupChunk::Manifest { info_hash, total }
            }
            ChunkKind::End => return self.finish(&payload, sum).map(|()| None),
        };
        Ok(Some(chunk))
    }

    /// `sum` is the digest of the bytes before the end.
    fn finish(&mut self, payload: &[u8], sum: Context) -> Result<(), StreamError> {
        let BackupCounts { ops, manifests, absent } = self.counts;
        let counts = [ops, manifests, absent].map(|count| to_bytes(&count)).concat();
        if payload != [&counts, sum.finish().as_ref()].concat() {
            return Err(StreamError::Damaged("its checksum is wrong"));
        }
        match self.from.read(&mut [0])? {
            0 => Ok(()),
            _ => Err(StreamError::Damaged("something follows its end")),
        }
    }
}
