//! Limits the memory that the long frames of all connections take together: incoming frames with those that are being
//! answered, and outgoing answers.
//!
//! A site gets room only if all its bytes then do not exceed the bytes that are free. The same rule holds for each
//! network of a site and for each user there. Freed room goes to the waiting payer that has the least.

use crate::model::address::{network_of, place_of};
use crate::model::id::UserRef;
use parking_lot::{Condvar, Mutex, MutexGuard};
use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::net::{IpAddr, Shutdown, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

const MIB: usize = 1024 * 1024;
/// Most bytes of incoming frames: of all, of one site, and of one network.
const INCOMING_BYTES: [usize; 3] = [8 * MIB, 4 * MIB, 3 * MIB];
/// The same for replies.
const REPLY_BYTES: [usize; 3] = [6 * MIB, 4 * MIB, 3 * MIB];
/// The same for pushes that wait for a far side. No thread waits to queue them.
const PUSH_BYTES: [usize; 3] = [8 * MIB, 6 * MIB, 4 * MIB];
/// A frame that takes longer may be cut off in favour of one that waits.
const SLOW: Duration = Duration::from_secs(2);
/// The shortest time between two frames that are cut off.
const CUT_PAUSE: Duration = Duration::from_millis(100);

/// The rooms of a tracker.
#[derive(Debug)]
pub struct LongFrames {
    pub incoming: Arc<FrameRoom>,
    pub replies: Arc<FrameRoom>,
    pub pushes: Arc<FrameRoom>,
}

impl LongFrames {
    pub fn new() -> Arc<Self> {
        Self::with_most(INCOMING_BYTES, REPLY_BYTES)
    }

    /// Rooms with these limits in bytes: of all, of one site, and of one network.
    pub fn with_most(incoming: [usize; 3], replies: [usize; 3]) -> Arc<Self> {
        let room = |most| Arc::new(FrameRoom { most, taken: Mutex::default() });
        Arc::new(Self { incoming: room(incoming), replies: room(replies), pushes: room(PUSH_BYTES) })
    }
}

/// The user or address for whom a frame counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Payer {
    ip: IpAddr,
    user: Option<UserRef>,
}

/// A site, a network, or a user there.
type Level = (u8, IpAddr, Option<UserRef>);

impl Payer {
    /// A user at an address; `None` before the login.
    pub fn new(ip: IpAddr, user: Option<UserRef>) -> Self {
        Self { ip: network_of(ip), user }
    }

    fn levels(self) -> [Level; 3] {
        [(0, place_of(self.ip), None), (1, self.ip, None), (2, self.ip, self.user)]
    }
}

/// Room for frames. A frame without room waits.
#[derive(Debug)]
pub struct FrameRoom {
    most: [usize; 3],
    taken: Mutex<Taken>,
}

/// Invariant: `all` is the sum over each kind of level, and no level is 0.
#[derive(Debug, Default)]
struct Taken {
    all: usize,
    levels: HashMap<Level, usize>,
    frames: BTreeMap<u64, Held>,
    waiting: BTreeMap<Payer, Line>,
    /// Frames that waited and now have their room.
    granted: HashSet<u64>,
    /// Numbers frames and turns.
    count: u64,
    last_cut: Option<Instant>,
}

/// A frame that has room.
#[derive(Debug)]
struct Held {
    payer: Payer,
    since: Instant,
    /// How many bytes have come in.
    come: usize,
    /// The connection that a cut ends.
    stream: Option<Arc<TcpStream>>,
}

/// The waiting frames of one payer.
#[derive(Debug)]
struct Line {
    /// The turn since which the payer waits.
    since: u64,
    waiters: VecDeque<Waiter>,
}

#[derive(Debug)]
struct Waiter {
    id: u64,
    wish: Wish,
    wake: Arc<Condvar>,
}

/// A wish for more bytes.
#[derive(Debug, Clone, Copy)]
struct Wish {
    len: usize,
    /// The frame will want more later. Such frames may fill only half of all room. The other half lets frames that have
    /// begun come to their end.
    begins: bool,
}

impl Taken {
    fn number(&mut self) -> u64 {
        self.count += 1;
        self.count
    }

    fn own(&self, payer: Payer) -> [usize; 3] {
        payer.levels().map(|level| self.levels.get(&level).copied().unwrap_or_default())
    }

    fn change(&mut self, payer: Payer, from: usize, to: usize) {
        self.all = self.all - from + to;
        for level in payer.levels() {
            let own = self.levels.entry(level).or_default();
            *own = *own - from + to;
            if *own == 0 {
                self.levels.remove(&level);
            }
        }
    }

    /// The level without room for the wish.
    fn lacks(&self, most: [usize; 3], payer: Payer, wish: Wish) -> Option<usize> {
        let own = self.own(payer);
        let around = [self.all, own[0], own[1]];
        let most = most.map(|most| if wish.begins { most / 2 } else { most });
        (0..3).find(|&at| own[at] + wish.len > most[at].saturating_sub(around[at]))
    }

    /// Gives room to waiting frames as long as there is some. The next one is always of the payer with the least.
    fn grant(&mut self, most: [usize; 3]) {
        loop {
            let fits = |(payer, line): &(&Payer, &Line)| {
                line.waiters.front().is_some_and(|first| self.lacks(most, **payer, first.wish).is_none())
            };
            let rank = |(payer, line): &(&Payer, &Line)| (self.own(**payer), line.since);
            let Some(payer) = self.waiting.iter().filter(fits).min_by_key(rank).map(|(&payer, _)| payer) else {
                return;
            };
            let turn = self.number();
            let Some(line) = self.waiting.get_mut(&payer) else { return };
            line.since = turn;
            let Some(first) = line.waiters.pop_front() else { return };
            if line.waiters.is_empty() {
                self.waiting.remove(&payer);
            }
            self.change(payer, 0, first.wish.len);
            self.granted.insert(first.id);
            first.wake.notify_one();
        }
    }

    /// Stops waiting.
    fn give_up(&mut self, payer: Payer, id: u64) {
        if let Some(line) = self.waiting.get_mut(&payer) {
            line.waiters.retain(|waiter| waiter.id != id);
            if line.waiters.is_empty() {
                self.waiting.remove(&payer);
            }
        }
    }

    /// Cuts off the slowest frame that is in the way of a waiting one. Only frames of payers with at least as much as
    /// this payer are in the way.
    fn cut_slowest(&mut self, most: [usize; 3], payer: Payer, wish: Wish, now: Instant) {
        if self.last_cut.is_some_and(|last| now.saturating_duration_since(last) < CUT_PAUSE) {
            return;
        }
        let Some(at) = self.lacks(most, payer, wish) else { return };
        let mine = self.own(payer)[at];
        let is_around = |held: &Held| at == 0 || held.payer.levels()[at - 1] == payer.levels()[at - 1];
        let in_the_way = |held: &Held| is_around(held) && self.own(held.payer)[at] >= mine;
        let age = |held: &Held| now.saturating_duration_since(held.since);
        let slow =
            self.frames.iter().filter(|(_, held)| held.stream.is_some() && age(held) >= SLOW && in_the_way(held));
        let speed = |(_, held): &(&u64, &Held)| held.come as u128 / age(held).as_millis().max(1);
        let slowest = slow.min_by_key(speed).map(|(&id, _)| id);
        let slowest = slowest.and_then(|id| self.frames.get_mut(&id));
        if let Some(stream) = slowest.and_then(|held| held.stream.take()) {
            // An error means that the connection has ended by itself.
            let _ = stream.shutdown(Shutdown::Both);
            self.last_cut = Some(now);
        }
    }
}

impl FrameRoom {
    /// Waits until this time for room for the beginning of a frame, which grows later.
    pub fn begin(
        self: &Arc<Self>,
        payer: Payer,
        len: usize,
        stream: &Arc<TcpStream>,
        by: Instant,
    ) -> Option<LongFrame> {
        self.take(payer, Wish { len, begins: true }, stream, by)
    }

    /// Waits until this time for room for a whole frame.
    pub fn whole(
        self: &Arc<Self>,
        payer: Payer,
        len: usize,
        stream: &Arc<TcpStream>,
        by: Instant,
    ) -> Option<LongFrame> {
        self.take(payer, Wish { len, begins: false }, stream, by)
    }

    fn take(self: &Arc<Self>, payer: Payer, wish: Wish, stream: &Arc<TcpStream>, by: Instant) -> Option<LongFrame> {
        let mut taken = self.wait(payer, wish, by)?;
        let id = taken.number();
        let held = Held { payer, since: Instant::now(), come: 0, stream: Some(stream.clone()) };
        taken.frames.insert(id, held);
        Some(LongFrame { room: self.clone(), payer, id, len: wish.len })
    }

    /// Takes room as soon as there is some; `None` if there is none until this time.
    fn wait(&self, payer: Payer, wish: Wish, by: Instant) -> Option<MutexGuard<'_, Taken>> {
        let mut taken = self.taken.lock();
        if taken.waiting.is_empty() && taken.lacks(self.most, payer, wish).is_none() {
            taken.change(payer, 0, wish.len);
            return Some(taken);
        }
        let (id, wake) = (taken.number(), Arc::new(Condvar::new()));
        let line = taken.waiting.entry(payer).or_insert_with(|| Line { since: id, waiters: VecDeque::new() });
        let waiter = Waiter { id, wish, wake: wake.clone() };
        // Frames that have begun come before others.
        if wish.begins {
            line.waiters.push_back(waiter)
        } else {
            line.waiters.push_front(waiter)
        }
        taken.grant(self.most);
        while !taken.granted.remove(&id) {
            let now = Instant::now();
            if now >= by {
                taken.give_up(payer, id);
                taken.grant(self.most);
                return None;
            }
            taken.cut_slowest(self.most, payer, wish, now);
            wake.wait_until(&mut taken, by.min(now + CUT_PAUSE));
        }
        Some(taken)
    }
}

/// Room for a frame. Dropping this frees the room.
#[derive(Debug)]
pub struct LongFrame {
    room: Arc<FrameRoom>,
    payer: Payer,
    id: u64,
    len: usize,
}

impl LongFrame {
    /// Notes that `come` bytes of the frame have come in, and changes its room to `len`. Waits for more room until this
    /// time; false if there is none.
    pub fn grow(&mut self, come: usize, len: usize, by: Instant) -> bool {
        if let Some(held) = self.room.taken.lock().frames.get_mut(&self.id) {
            held.come = come;
        }
        if len <= self.len {
            self.shrink(len);
        } else if self.room.wait(self.payer, Wish { len: len - self.len, begins: false }, by).is_some() {
            self.len = len;
        } else {
            return false;
        }
        true
    }

    /// Frees all but `len` bytes.
    pub fn shrink(&mut self, len: usize) {
        if len < self.len {
            let mut taken = self.room.taken.lock();
            taken.change(self.payer, self.len, len);
            taken.grant(self.room.most);
            self.len = len;
        }
    }

    /// The whole frame has come in. From now on it cannot be cut off.
    pub fn settle(&mut self) {
        if let Some(held) = self.room.taken.lock().frames.get_mut(&self.id) {
            held.stream = None;
        }
    }
}

impl Drop for LongFrame {
    fn drop(&mut self) {
        let mut taken = self.room.taken.lock();
        taken.frames.remove(&self.id);
        taken.change(self.payer, self.len, 0);
        taken.grant(self.room.most);
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{LONG, sockets};
    use super::*;
    use crate::model::id::{OpId, Origin};
    use std::io::Read;
    use std::thread;

    fn payer(last: u8, user: u64) -> Payer {
        let user = UserRef(OpId { origin: Origin { tracker: 1, incarnation: 1 }, seq: user });
        Payer::new(IpAddr::from([127, 0, 0, last]), Some(user))
    }

    /// A payer at this IPv6 address.
    fn at(ip: &str) -> Payer {
        Payer::new(ip.parse().expect("an address"), None)
    }

    fn stream() -> Arc<TcpStream> {
        Arc::new(sockets().0)
    }

    #[test]
    fn nobody_takes_more_than_what_others_leave() {
        let (frames, now, stream) = (LongFrames::new(), Instant::now(), stream());
        let room = &frames.incoming;
        let fill = |payer| std::iter::from_fn(|| room.whole(payer, MIB / 8, &stream, now)).collect::<Vec<_>>();
        let greedy = fill(payer(1, 1));
        assert_eq!(greedy.len(), 12, "half of what a network may take");
        let other = fill(payer(1, 2));
        assert_eq!(other.len(), 4, "a third of what a site may take, less what the first has");
        // Several networks of one site, and then a network elsewhere.
        let sites: Vec<_> = ["2001:db8:1:1::1", "2001:db8:1:2::1", "2001:db8:1:3::1"].map(|ip| fill(at(ip))).into();
        let len: usize = sites.iter().map(Vec::len).sum();
        assert!(sites.iter().all(|held| !held.is_empty()) && len <= 32, "{len}");
        assert!(room.whole(payer(9, 9), MIB, &stream, now).is_some(), "somebody else");
        drop((greedy, other, sites));
        let taken = room.taken.lock();
        assert_eq!((taken.all, taken.levels.len(), taken.frames.len()), (0, 0, 0));
    }

    #[test]
    fn frames_that_only_begin_leave_room_for_those_that_go_on() {
        let (frames, now, stream) = (LongFrames::new(), Instant::now(), stream());
        let mut begun: Vec<_> = Vec::new();
        for user in 0..2000 {
            begun.extend(frames.incoming.begin(payer((user % 200) as u8, user), MIB / 8, &stream, now));
        }
        assert!(begun.len() > 8, "{}", begun.len());
        while let Some(mut frame) = begun.pop() {
            assert!(frame.grow(MIB / 16, MIB + MIB / 16, now), "each can be finished");
        }
    }

    #[test]
    fn room_that_is_given_back_goes_to_whoever_has_least() {
        let (frames, stream) = (LongFrames::new(), stream());
        let now = Instant::now();
        let mut held = Vec::new();
        for user in 0..100 {
            let payer = payer(1, user);
            held.extend(std::iter::from_fn(|| frames.incoming.whole(payer, MIB / 16, &stream, now)));
        }
        let waits = |user| {
            let (room, stream) = (frames.incoming.clone(), stream.clone());
            let waiter = thread::spawn(move || {
                let by = Instant::now() + LONG;
                room.whole(payer(1, user), MIB / 16, &stream, by).expect("room")
            });
            let payer = payer(1, user);
            while !frames.incoming.taken.lock().waiting.contains_key(&payer) {
                thread::yield_now();
            }
            waiter
        };
        let (greedy, honest) = (waits(0), waits(1000));
        held.remove(held.len() - 1);
        let honest = honest.join().expect("the honest one is first");
        assert!(!greedy.is_finished());
        drop((honest, held));
        drop(greedy.join().expect("has room"));
    }

    #[test]
    fn a_payer_with_less_ends_stalled_frames_of_bigger_payers_but_not_its_own() {
        let frames = LongFrames::new();
        let [greedy, honest] = [0, 1].map(|_| sockets());
        let [to_greedy, to_honest] = [greedy.0, honest.0].map(Arc::new);
        let now = Instant::now();
        let room = &frames.incoming;
        let held: Vec<_> = std::iter::from_fn(|| room.whole(payer(1, 1), MIB / 16, &to_greedy, now)).collect();
        let mut mine = room.whole(payer(1, 2), MIB / 16, &to_honest, now).expect("room");
        // As if all frames had begun some time ago.
        room.taken.lock().frames.values_mut().for_each(|held| held.since -= 2 * SLOW);
        assert!(!mine.grow(MIB / 16, MIB, Instant::now() + CUT_PAUSE));
        assert_eq!((&greedy.1).read(&mut [0]).expect("ended"), 0);
        honest.1.set_nonblocking(true).expect("set");
        assert!((&honest.1).read(&mut [0]).is_err(), "goes on");
        drop(held);
    }

    #[test]
    fn a_frame_that_stands_still_ends_for_one_that_waits_and_a_faster_one_does_not() {
        let frames = LongFrames::new();
        let streams: Vec<_> = (0..200).map(|_| sockets()).map(|(near, far)| (Arc::new(near), far)).collect();
        let now = Instant::now();
        let mut held: Vec<LongFrame> = Vec::new();
        for (user, (near, _)) in (0..).zip(&streams) {
            held.extend(frames.incoming.whole(payer(1, user), MIB / 16, near, now));
        }
        let fast = held.iter_mut().next().expect("one");
        assert!(fast.grow(MIB / 16, MIB / 16, now));
        let settled = &mut held[1];
        settled.settle();
        // As if all frames had begun some time ago.
        frames.incoming.taken.lock().frames.values_mut().for_each(|held| held.since -= 2 * SLOW);
        let ends: Vec<_> = streams.iter().map(|(_, far)| far.try_clone().expect("a socket")).collect();
        let waiter = {
            let (frames, stream) = (frames.clone(), stream());
            thread::spawn(move || {
                frames.incoming.whole(payer(1, 1000), MIB / 16, &stream, Instant::now() + LONG).is_some()
            })
        };
        let slow = ends.into_iter().nth(2).expect("one");
        assert_eq!((&slow).read(&mut [0]).expect("ended"), 0);
        drop(held.remove(2));
        assert!(waiter.join().expect("ends"));
        for at in [0, 1] {
            streams[at].1.set_nonblocking(true).expect("set");
            assert!((&streams[at].1).read(&mut [0]).is_err(), "{at} goes on");
        }
    }
}
