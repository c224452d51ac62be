//! Room on a file system in memory. It reserves room by writing zeros there, on one core and as slowly as a download
//! comes in. So the download goes on meanwhile. What is still to be reserved counts as taken for other downloads of this
//! process.

use crate::sys::owned_thread::OwnedThread;
use crate::sys::space;
use parking_lot::Mutex;
use rustix::io::Errno;
use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::MetadataExt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::Duration;

/// Bytes that are reserved together: whoever writes to the same file waits for them.
const STEP: u64 = 256 * 1024;
/// Pause between two steps, which leaves the cores to the download: 128 MB are reserved in a second.
const PAUSE: Duration = Duration::from_millis(2);

/// Bytes that are still to be reserved, by device.
static PROMISED: Mutex<BTreeMap<u64, u64>> = Mutex::new(BTreeMap::new());

/// Reserves room for a stretch of a file.
pub(super) type Allocate = fn(&File, Range<u64>) -> io::Result<()>;
/// A stretch of a file, by the file's number, that needs room.
pub(super) type Need = (usize, Range<u64>);

/// A thread that reserves room. It ends when this is dropped.
pub(super) struct Reservation {
    over: Arc<AtomicBool>,
    failed: Arc<OnceLock<Errno>>,
    _thread: OwnedThread,
}

impl Reservation {
    /// Reserves the room of these stretches, on the file system of this folder. Their files have `held` bytes of it.
    /// `open` opens a file by its number.
    ///
    /// # Errors
    /// `ENOSPC` if there is no room for all; or the system has none for a thread.
    pub(super) fn start(
        (folder, held): (&File, u64),
        needs: Vec<Need>,
        open: impl Fn(usize) -> io::Result<Arc<File>> + Send + 'static,
        allocate: Allocate,
    ) -> io::Result<Self> {
        let promise = Promise::of(folder, held, needs.iter().map(|(_, range)| range.end - range.start).sum())?;
        let (over, failed) = (Arc::new(AtomicBool::new(false)), Arc::new(OnceLock::new()));
        let thread = OwnedThread::start("reserve", {
            let (over, failed) = (over.clone(), failed.clone());
            move || {
                if let Err(error) = reserve(needs, open, (allocate, promise), &over) {
                    let _ = failed.set(Errno::from_io_error(&error).unwrap_or(Errno::IO));
                }
            }
        })?;
        Ok(Self { over, failed, _thread: thread })
    }

    /// Whether there is room for what has been asked for so far.
    ///
    /// # Errors
    /// Why there is not.
    pub(super) fn check(&self) -> io::Result<()> {
        self.failed.get().map_or(Ok(()), |&error| Err(error.into()))
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
    }
}

/// Room that was found and is not yet reserved.
struct Promise {
    device: u64,
    bytes: u64,
}

impl Promise {
    fn of(folder: &File, held: u64, bytes: u64) -> io::Result<Self> {
        let device = folder.metadata()?.dev();
        let mut promised = PROMISED.lock();
        let of_device = promised.entry(device).or_default();
        let needed = of_device.saturating_add(bytes);
        if space::free_bytes(folder)?.is_some_and(|free| free.saturating_add(held) < needed) {
            return Err(Errno::NOSPC.into());
        }
        *of_device = needed;
        Ok(Self { device, bytes })
    }

    /// So many bytes of it are reserved.
    fn keep(&mut self, bytes: u64) {
        self.bytes -= bytes;
        if let Some(of_device) = PROMISED.lock().get_mut(&self.device) {
            *of_device -= bytes;
        }
    }
}

impl Drop for Promise {
    fn drop(&mut self) {
        self.keep(self.bytes);
    }
}

fn reserve(
    needs: Vec<Need>,
    open: impl Fn(usize) -> io::Result<Arc<File>>,
    (allocate, mut promise): (Allocate, Promise),
    over: &AtomicBool,
) -> io::Result<()> {
    // From the end: a download that comes fast comes in order, and what it has written needs nothing.
    for (number, Range { start, mut end }) in needs.into_iter().rev() {
        if over.load(Ordering::Relaxed) {
            return Ok(());
        }
        let file = open(number)?;
        while start < end && !over.load(Ordering::Relaxed) {
            let before = start.max(end.saturating_sub(STEP));
            allocate(&file, before..end)?;
            promise.keep(end - before);
            end = before;
            thread::park_timeout(PAUSE);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_one_download_was_promised_is_not_there_for_another() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let folder = File::open(folder.path()).expect("there");
        let free = space::free_bytes(&folder).expect("told").expect("told");
        // Others on this machine may take some meanwhile, and give some back.
        let mut first = Promise::of(&folder, free, free).expect("there is room");
        let error = Promise::of(&folder, free / 4, free).map(drop).expect_err("a quarter and what is free");
        assert_eq!(Errno::from_io_error(&error), Some(Errno::NOSPC));
        first.keep(free / 2);
        drop(Promise::of(&folder, free, free).expect("half is reserved by now"));
        drop(first);
        drop(Promise::of(&folder, free / 2, free).expect("given back"));
    }
}
