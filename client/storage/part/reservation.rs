//! Room on a file system in memory. Such a file system reserves room by writing zeros, on one core and as slowly as a
//! download comes in. So the download goes on meanwhile. For other downloads of this process, the room that is still to
//! be reserved counts as taken.

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

/// The number of bytes to reserve at a time. Writers to the same file wait for each step.
const STEP: u64 = 256 * 1024;
/// The pause between two steps, which leaves the cores to the download. So 128 MB are reserved in a second.
const PAUSE: Duration = Duration::from_millis(2);

/// Bytes that are still to be reserved, by device.
static PROMISED: Mutex<BTreeMap<u64, u64>> = Mutex::new(BTreeMap::new());

/// Reserves room for a stretch of a file.
pub(super) type Allocate = fn(&File, Range<u64>) -> io::Result<()>;
/// A stretch of a file, by the file's number, that needs room.
pub(super) type Need = (usize, Range<u64>);

/// A thread that reserves room. Dropping this ends it.
pub(super) struct Reservation {
    over: Arc<AtomicBool>,
    failed: Arc<OnceLock<Errno>>,
    _thread: OwnedThread,
}

impl Reservation {
    /// Reserves the room of these stretches, on the file system of this folder. The files already hold `held` bytes of
    /// that room. `open` opens a file by its number.
    ///
    /// # Errors
    /// `ENOSPC` if there is no room for everything, or if the system refuses a thread.
    pub(super) fn start(
        (folder, held): (&File, u64),
        needs: Vec<Need>,
        open: impl Fn(usize) -> io::Result<Arc<File>> + Send + 'static,
        allocate: Allocate,
    ) -> io::Result<Self> {
        let lacking = len_of(&needs).saturating_sub(held);
        let promise = Promise::of(folder.metadata()?.dev(), lacking, || space::free_bytes(folder))?;
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

    /// Whether there was room for all stretches so far.
    ///
    /// # Errors
    /// The lack of room.
    pub(super) fn check(&self) -> io::Result<()> {
        self.failed.get().map_or(Ok(()), |&error| Err(error.into()))
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
    }
}

/// The length of these stretches in bytes.
fn len_of(needs: &[Need]) -> u64 {
    needs.iter().map(|(_, range)| range.end - range.start).sum()
}

/// Room that was found and is not yet taken.
struct Promise {
    device: u64,
    bytes: u64,
}

impl Promise {
    /// Promises this many of the `free` bytes of a device.
    fn of(device: u64, bytes: u64, free: impl FnOnce() -> io::Result<Option<u64>>) -> io::Result<Self> {
        let mut promised = PROMISED.lock();
        let of_device = promised.entry(device).or_default();
        let needed = of_device.saturating_add(bytes);
        if free()?.is_some_and(|free| free < needed) {
            return Err(Errno::NOSPC.into());
        }
        *of_device = needed;
        Ok(Self { device, bytes })
    }

    /// Notes that the files have taken `taken` more bytes, and that at most `left` bytes are still to be reserved.
    fn keep(&mut self, taken: u64, left: u64) {
        let bytes = self.bytes.saturating_sub(taken).min(left);
        if let Some(of_device) = PROMISED.lock().get_mut(&self.device) {
            *of_device -= self.bytes - bytes;
        }
        self.bytes = bytes;
    }
}

impl Drop for Promise {
    fn drop(&mut self) {
        self.keep(0, 0);
    }
}

/// The number of bytes that a file takes on its file system.
pub(super) fn blocks_len(file: &File) -> io::Result<u64> {
    Ok(file.metadata()?.blocks() * 512)
}

fn reserve(
    needs: Vec<Need>,
    open: impl Fn(usize) -> io::Result<Arc<File>>,
    (allocate, mut promise): (Allocate, Promise),
    over: &AtomicBool,
) -> io::Result<()> {
    let mut left = len_of(&needs);
    // Starts at the end: a fast download comes in order, and its written bytes need no reservation.
    for (number, Range { start, mut end }) in needs.into_iter().rev() {
        if over.load(Ordering::Relaxed) {
            return Ok(());
        }
        let file = open(number)?;
        let mut held = blocks_len(&file)?;
        while start < end && !over.load(Ordering::Relaxed) {
            let before = start.max(end.saturating_sub(STEP));
            allocate(&file, before..end)?;
            left -= end - before;
            end = before;
            let now = blocks_len(&file)?;
            promise.keep(now.saturating_sub(held), left);
            held = now;
            thread::park_timeout(PAUSE);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A promise of `bytes` of `free` bytes, on a device that does not exist.
    fn promise(device: u64, bytes: u64, free: u64) -> Option<Promise> {
        match Promise::of(device, bytes, || Ok(Some(free))) {
            Ok(promise) => Some(promise),
            Err(error) => (Errno::from_io_error(&error) != Some(Errno::NOSPC)).then(|| panic!("{error}")),
        }
    }

    #[test]
    fn the_room_promised_to_one_download_is_not_there_for_another() {
        let device = u64::MAX;
        let mut first = promise(device, 1000, 1000).expect("there is room");
        assert!(promise(device, 1, 1000).is_none());
        // Another program frees some bytes, and half of the room is reserved.
        first.keep(500, 500);
        assert!(promise(device, 600, 1000).is_none());
        drop(promise(device, 500, 1000).expect("half is still promised"));
        drop(first);
        drop(promise(device, 1000, 1000).expect("given back"));
    }

    #[test]
    fn the_room_a_resumed_download_holds_is_not_promised_to_it_again() {
        let device = u64::MAX - 1;
        // Two files of 1000 bytes hold 900 each, and 200 bytes are free.
        let mut first = promise(device, 100, 200).expect("it lacks 100");
        let second = promise(device, 100, 200).expect("it lacks 100 too");
        assert!(promise(device, 1, 200).is_none());
        // The thread has reserved room where the file held none. A stretch that the file already held costs nothing in
        // its turn.
        first.keep(100, 900);
        assert!(promise(device, 1, 100).is_none(), "all that is free is the other's");
        first.keep(0, 0);
        drop(second);
        drop(promise(device, 100, 100).expect("nothing is promised any more"));
    }

    #[test]
    fn two_resumed_files_find_room_together_for_what_both_lack() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let opened = File::open(folder.path()).expect("there");
        let free = space::free_bytes(&opened).expect("told").expect("told");
        let file = Arc::new(tempfile::tempfile_in(folder.path()).expect("room"));
        // Each file is as long as all the free room, and already holds most of its length.
        let resume = || {
            let (needs, same) = (vec![(0, 0..free)], file.clone());
            let open = move |_| Ok(same.clone());
            Reservation::start((&opened, free - (1 << 20)), needs, open, |_, _| Ok(()))
        };
        let both = [resume().expect("there is room"), resume().expect("for both")];
        both.iter().for_each(|one| one.check().expect("it goes on"));
    }
}
