//! How much memory the long frames of a program's connections take together: those on their way in, those that are being
//! answered, and answers on their way out.

use crate::model::address::network_of;
use parking_lot::{Condvar, Mutex};
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

/// Most bytes that the frames of one network take. One frame may be this long.
const NETWORK_BYTES: usize = 3 * 1024 * 1024;
/// Most bytes that all take.
const ALL_BYTES: usize = 12 * 1024 * 1024;

/// What is taken. A frame for which there is no room waits: a network waits for its own frames first.
#[derive(Debug, Default)]
pub struct LongFrames {
    taken: Mutex<Taken>,
    freed: Condvar,
}

/// Invariant: `all` is the sum of `networks`, none of which is 0.
#[derive(Debug, Default)]
struct Taken {
    all: usize,
    networks: HashMap<IpAddr, usize>,
}

impl Taken {
    fn change(&mut self, network: IpAddr, from: usize, to: usize) {
        self.all = self.all - from + to;
        let own = self.networks.entry(network).or_default();
        *own = *own - from + to;
        if *own == 0 {
            self.networks.remove(&network);
        }
    }

    fn has_room(&self, network: IpAddr, len: usize) -> bool {
        let own = self.networks.get(&network).copied().unwrap_or_default();
        own + len <= NETWORK_BYTES && self.all + len <= ALL_BYTES
    }
}

impl LongFrames {
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// Waits until this time for room for a frame on a connection with this address.
    pub fn take(self: &Arc<Self>, ip: IpAddr, len: usize, until: Instant) -> Option<LongFrame> {
        let (network, len) = (network_of(ip), len.min(NETWORK_BYTES));
        let mut taken = self.taken.lock();
        while !taken.has_room(network, len) {
            if self.freed.wait_until(&mut taken, until).timed_out() && !taken.has_room(network, len) {
                return None;
            }
        }
        taken.change(network, 0, len);
        Some(LongFrame { frames: self.clone(), network, len })
    }
}

/// Room for a frame, until dropped.
#[derive(Debug)]
pub struct LongFrame {
    frames: Arc<LongFrames>,
    network: IpAddr,
    len: usize,
}

impl LongFrame {
    /// Gives back all but so many bytes.
    pub fn shrink(&mut self, len: usize) {
        if len < self.len {
            self.frames.taken.lock().change(self.network, self.len, len);
            self.len = len;
            self.frames.freed.notify_all();
        }
    }
}

impl Drop for LongFrame {
    fn drop(&mut self) {
        self.shrink(0);
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::LONG;
    use super::*;
    use std::thread;

    fn ip(last: u8) -> IpAddr {
        IpAddr::from([127, 0, 0, last])
    }

    #[test]
    fn a_network_that_has_taken_its_part_waits_and_another_one_does_not() {
        let (frames, now) = (LongFrames::new(), Instant::now());
        let mut first = frames.take(ip(1), NETWORK_BYTES - 10, now).expect("room");
        assert!(frames.take(ip(1), 11, now).is_none());
        let other = frames.take(ip(2), usize::MAX, now).expect("room for one, however long");
        first.shrink(100);
        drop(frames.take(ip(1), NETWORK_BYTES - 100, now).expect("room again"));
        drop((first, other));
        let taken = frames.taken.lock();
        assert_eq!((taken.all, taken.networks.len()), (0, 0));
    }

    #[test]
    fn whoever_waits_gets_the_room_that_is_given_back() {
        let (frames, now) = (LongFrames::new(), Instant::now());
        let held: Vec<_> = (0..).map_while(|last| frames.take(ip(last), NETWORK_BYTES, now)).collect();
        assert_eq!(held.len(), ALL_BYTES / NETWORK_BYTES);
        let waiting = frames.clone();
        let waiter = thread::spawn(move || waiting.take(ip(100), 10, Instant::now() + LONG).is_some());
        drop(held);
        assert!(waiter.join().expect("ends"));
    }
}
