//! A disk in memory. It fails on command, and a power cut loses what was not synced.

use crate::common::random::Random;
use groupshare::tracker::journal::disk::{Disk, DiskFile};
use parking_lot::Mutex;
use rustix::io::Errno;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

const SECTOR_LEN: usize = 512;

/// A fault at a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The call fails. If it is a sync, the bytes in question never reach the disk, though they can still be read.
    Error(Errno),
    /// A write writes half of its bytes and reports that. All other calls work.
    Short,
    /// A write writes half of its bytes and reports that. The call after it fails.
    ShortThen(Errno),
    /// The process is killed in the middle of the call. Nothing after it has any effect.
    Kill,
}

/// The disk. Clones are the same disk.
#[derive(Clone, Default)]
pub(crate) struct MemDisk(Arc<Mutex<Inner>>);

#[derive(Default)]
struct Inner {
    files: Vec<File>,
    names: BTreeMap<String, usize>,
    durable_names: BTreeMap<String, usize>,
    calls: u64,
    syncs: u64,
    fault: Option<(u64, Fault)>,
    killed: bool,
    /// How many bytes may still be allocated.
    room: Option<u64>,
    /// Unreadable files.
    unreadable: BTreeSet<String>,
}

#[derive(Default, Clone)]
struct File {
    bytes: Vec<u8>,
    durable: Vec<u8>,
    /// The sectors written since the last sync.
    dirty: Vec<usize>,
}

impl Inner {
    /// Counts a call. Returns whether only half of it is to be done, or fails.
    fn call(&mut self, is_sync: bool) -> io::Result<bool> {
        if self.killed {
            return Err(io::Error::other("killed"));
        }
        self.calls += 1;
        self.syncs += u64::from(is_sync);
        match self.fault {
            Some((at, fault)) if at == self.calls => match fault {
                Fault::Error(errno) => Err(errno.into()),
                Fault::Short => Ok(true),
                Fault::ShortThen(errno) => {
                    self.fault = Some((at + 1, Fault::Error(errno)));
                    Ok(true)
                }
                Fault::Kill => {
                    self.killed = true;
                    Ok(true)
                }
            },
            _ => Ok(false),
        }
    }

    fn end(&self) -> io::Result<()> {
        if self.killed { Err(io::Error::other("killed")) } else { Ok(()) }
    }

    fn find(&self, name: &str) -> io::Result<usize> {
        self.names.get(name).copied().ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

impl MemDisk {
    /// Makes a call fail. The next one has number 1.
    pub(crate) fn fail_at(&self, call: u64, fault: Fault) {
        let mut inner = self.0.lock();
        inner.calls = 0;
        inner.fault = Some((call, fault));
    }

    /// How many changing calls there were since `fail_at`.
    pub(crate) fn calls(&self) -> u64 {
        self.0.lock().calls
    }

    /// Leaves this much room for files to grow, or no limit.
    pub(crate) fn set_room(&self, room: Option<u64>) {
        self.0.lock().room = room;
    }

    /// Makes every read of a file fail.
    pub(crate) fn spoil(&self, name: &str) {
        self.0.lock().unreadable.insert(name.to_owned());
    }

    /// Adds a durable file.
    pub(crate) fn put(&self, name: &str, bytes: Vec<u8>) {
        let mut inner = self.0.lock();
        let id = inner.files.len();
        inner.files.push(File { durable: bytes.clone(), bytes, dirty: Vec::new() });
        inner.names.insert(name.to_owned(), id);
        inner.durable_names.insert(name.to_owned(), id);
    }

    pub(crate) fn names(&self) -> Vec<String> {
        self.0.lock().names.keys().cloned().collect()
    }

    /// The disk that the next process finds after a kill.
    pub(crate) fn after_kill(&self) -> MemDisk {
        let inner = self.0.lock();
        let disk = Inner {
            files: inner.files.clone(),
            names: inner.names.clone(),
            durable_names: inner.durable_names.clone(),
            unreadable: inner.unreadable.clone(),
            ..Inner::default()
        };
        MemDisk(Arc::new(Mutex::new(disk)))
    }

    /// The disk after a power cut. Each sector, length and name that was not synced is there or not.
    pub(crate) fn after_power_loss(&self, seed: u64) -> MemDisk {
        let mut random = Random(seed);
        let inner = self.0.lock();
        let mut names = if coin(&mut random) { &inner.names } else { &inner.durable_names }.clone();
        let mut files = inner.files.clone();
        for file in &mut files {
            let long = coin(&mut random);
            let len = if long { file.bytes.len() } else { file.durable.len() };
            let mut bytes = file.durable.clone();
            bytes.resize(len, 0);
            for &sector in &file.dirty {
                let (from, to) = (sector * SECTOR_LEN, ((sector + 1) * SECTOR_LEN).min(len).min(file.bytes.len()));
                if from < to && coin(&mut random) {
                    bytes[from..to].copy_from_slice(&file.bytes[from..to]);
                }
            }
            *file = File { durable: bytes.clone(), bytes, dirty: Vec::new() };
        }
        names.retain(|_, &mut id| id < files.len());
        let disk = Inner { files, durable_names: names.clone(), names, ..Inner::default() };
        MemDisk(Arc::new(Mutex::new(disk)))
    }
}

fn coin(random: &mut Random) -> bool {
    random.next().is_multiple_of(2)
}

impl Disk for MemDisk {
    fn path(&self, name: &str) -> PathBuf {
        PathBuf::from("/data/journal").join(name)
    }

    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.names())
    }

    fn read(&self, name: &str) -> io::Result<Vec<u8>> {
        let inner = self.0.lock();
        if inner.unreadable.contains(name) {
            return Err(Errno::IO.into());
        }
        Ok(inner.files[inner.find(name)?].bytes.clone())
    }

    fn read_part(&self, name: &str, range: Range<u64>) -> io::Result<Vec<u8>> {
        let bytes = self.read(name)?;
        let at = |offset: u64| bytes.len().min(offset as usize);
        Ok(bytes[at(range.start)..at(range.end)].to_vec())
    }

    fn len(&self, name: &str) -> io::Result<u64> {
        self.read(name).map(|bytes| bytes.len() as u64)
    }

    fn create(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        let mut inner = self.0.lock();
        inner.call(false)?;
        let id = inner.files.len();
        inner.files.push(File::default());
        inner.names.insert(name.to_owned(), id);
        inner.end()?;
        Ok(Box::new(MemFile { disk: self.clone(), id }))
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        let mut inner = self.0.lock();
        inner.call(false)?;
        let id = inner.find(name)?;
        Ok(Box::new(MemFile { disk: self.clone(), id }))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut inner = self.0.lock();
        inner.call(false)?;
        let id = inner.find(from)?;
        inner.names.remove(from);
        inner.names.insert(to.to_owned(), id);
        inner.end()
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut inner = self.0.lock();
        inner.call(false)?;
        inner.find(name)?;
        inner.names.remove(name);
        inner.end()
    }

    fn sync_folder(&self) -> io::Result<()> {
        let mut inner = self.0.lock();
        inner.call(true)?;
        inner.end()?;
        inner.durable_names = inner.names.clone();
        Ok(())
    }
}

struct MemFile {
    disk: MemDisk,
    id: usize,
}

impl MemFile {
    fn grow(inner: &mut Inner, id: usize, len: usize) -> io::Result<()> {
        let more = len.saturating_sub(inner.files[id].bytes.len());
        if let Some(room) = &mut inner.room {
            *room = room.checked_sub(more as u64).ok_or(Errno::NOSPC)?;
        }
        if more > 0 {
            inner.files[id].bytes.resize(len, 0);
        }
        Ok(())
    }
}

impl DiskFile for MemFile {
    fn write_at(&mut self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        let mut inner = self.disk.0.lock();
        let half = inner.call(false)?;
        let len = if half { bytes.len() / 2 } else { bytes.len() };
        let (from, to) = (offset as usize, offset as usize + len);
        Self::grow(&mut inner, self.id, to)?;
        let file = &mut inner.files[self.id];
        file.bytes[from..to].copy_from_slice(&bytes[..len]);
        file.dirty.extend(from / SECTOR_LEN..to.div_ceil(SECTOR_LEN));
        inner.end()?;
        Ok(len)
    }

    fn allocate(&mut self, len: u64) -> io::Result<()> {
        let mut inner = self.disk.0.lock();
        inner.call(false)?;
        Self::grow(&mut inner, self.id, len as usize)?;
        inner.end()
    }

    fn set_len(&mut self, len: u64) -> io::Result<()> {
        let mut inner = self.disk.0.lock();
        inner.call(false)?;
        inner.files[self.id].bytes.resize(len as usize, 0);
        inner.end()
    }

    fn sync_data(&mut self) -> io::Result<()> {
        let mut inner = self.disk.0.lock();
        if let Err(error) = inner.call(true) {
            // As on Linux, bytes that could not be written count as written from now on.
            inner.files[self.id].dirty.clear();
            return Err(error);
        }
        inner.end()?;
        let file = &mut inner.files[self.id];
        let mut durable = std::mem::take(&mut file.durable);
        durable.resize(file.bytes.len(), 0);
        for sector in file.dirty.drain(..) {
            let (from, to) = (sector * SECTOR_LEN, ((sector + 1) * SECTOR_LEN).min(file.bytes.len()));
            if from < to {
                durable[from..to].copy_from_slice(&file.bytes[from..to]);
            }
        }
        file.durable = durable;
        Ok(())
    }
}
