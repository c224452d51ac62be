//! Decides whose request is carried out next, with turns by site, network and user. So a client with many connections
//! cannot keep others from the processor. A site that has used much of the processor also gives way to all other work
//! of the machine.

mod line;

use crate::model::address::place_of;
use crate::model::id::UserRef;
use crate::rate::buckets::{Buckets, Pace};
use crate::sys;
use line::{SharesOfTurns, TurnLine};
use parking_lot::Mutex;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

/// A request that takes longer no longer counts: it waits for a disk, a password or the far side.
const WORK_MAX: Duration = Duration::from_millis(20);
/// How many of the waiting requests check the line in each [`WORK_MAX`].
const LOOKING: u32 = 16;

/// How many requests of a lone site are under way for each core. Requests of another site that arrives find as many
/// turns left.
const AT_ONCE: usize = 32;

/// The unit of processor time.
const UNIT: Duration = Duration::from_micros(10);
/// A site that has used more units than this lately is busy. People need less.
const WORK_OF_IDLE: u64 = 5_000;
/// How many units a site may use at once: some thousand requests.
const WORK_BURST: u64 = 50_000;
/// After that, a site gets one unit in this many units of time on a machine with one core, and more with more cores.
/// People need far less.
const WORK_SHARE: u32 = 64;
/// The nice value of threads that work for a site beyond its part: about a tenth of a core beside other work.
const CROWDED_NICE: i32 = 10;

/// The turns of all connections.
#[derive(Debug)]
pub struct RequestTurns(Mutex<TurnsState>);

#[derive(Debug)]
struct TurnsState {
    line: TurnLine<Arc<WaitingThread>>,
    /// The processor time of each site's connections.
    work: Buckets<IpAddr>,
}

/// A connection that waits for its turn.
#[derive(Debug)]
struct WaitingThread {
    /// The number of the turn, once it has come.
    turn: AtomicU64,
    thread: Thread,
}

/// The turn of a request. Dropping it ends the turn.
#[derive(Debug)]
pub(crate) struct RequestTurn {
    turns: Arc<RequestTurns>,
    number: u64,
}

/// There are more turns at a time than cores, because a request that has to wait for its turn costs one more wake-up. A
/// wake-up costs as much as a short request. Beside other sites, a site has half of the cores. All busy sites together
/// have as many turns as there are cores. The rest of the machine is for others.
fn bounds() -> SharesOfTurns {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let (all, of_lone_site) = (2 * AT_ONCE * cores, AT_ONCE * cores);
    SharesOfTurns { all, of_lone_site, of_site: (cores / 2).max(1), of_busy: cores.max(2) }
}

impl Default for RequestTurns {
    fn default() -> Self {
        let cores = thread::available_parallelism().map_or(1, usize::from) as u32;
        let work = Pace { burst: WORK_BURST, interval: UNIT * WORK_SHARE / cores };
        Self(Mutex::new(TurnsState { line: TurnLine::new(bounds(), WORK_MAX), work: Buckets::new(work) }))
    }
}

impl RequestTurns {
    /// Waits for the turn of this user at this address. `worked` is the processor time of the thread since its last
    /// turn.
    pub(crate) fn take(self: &Arc<Self>, ip: IpAddr, user: Option<UserRef>, worked: Duration) -> RequestTurn {
        let waiting = Arc::new(WaitingThread { turn: AtomicU64::new(0), thread: thread::current() });
        let now = Instant::now();
        let mut state = self.0.lock();
        if state.is_crowded(ip, worked, now) {
            drop(state);
            // Lasts as long as the connection: a thread cannot take its nice value back.
            sys::give_way(CROWDED_NICE);
            state = self.0.lock();
        }
        let is_busy = state.work.taken(&place_of(ip), now) > WORK_OF_IDLE;
        state.line.enter(ip, user, is_busy, waiting.clone());
        loop {
            grant(&mut state.line, Instant::now(), Some(&waiting));
            let pause = WORK_MAX * (1 + state.line.waiting() as u32 / LOOKING);
            drop(state);
            if waiting.turn.load(Ordering::Acquire) == 0 {
                thread::park_timeout(pause);
            }
            match waiting.turn.load(Ordering::Acquire) {
                0 => state = self.0.lock(),
                number => return RequestTurn { turns: self.clone(), number },
            }
        }
    }
}

impl TurnsState {
    /// Counts work for a site. Returns whether the site has had more than its part. Work beyond that part does not
    /// count: a site that was busy for a day is like any other a moment later.
    fn is_crowded(&mut self, ip: IpAddr, worked: Duration, now: Instant) -> bool {
        let site = place_of(ip);
        if self.work.wait(&site, 0, now).is_zero() {
            self.work.take_many(&site, worked.as_micros() as u64 / UNIT.as_micros() as u64, now);
        }
        !self.work.wait(&site, 0, now).is_zero()
    }
}

impl Drop for RequestTurn {
    fn drop(&mut self) {
        let line = &mut self.turns.0.lock().line;
        line.done(self.number);
        grant(line, Instant::now(), None);
    }
}

/// Gives turns to as many requests as may have one, and wakes all of their threads but this one.
fn grant(line: &mut TurnLine<Arc<WaitingThread>>, now: Instant, awake: Option<&Arc<WaitingThread>>) {
    while let Some((turn, next)) = line.next(now) {
        next.turn.store(turn, Ordering::Release);
        if !awake.is_some_and(|awake| Arc::ptr_eq(awake, &next)) {
            next.thread.unpark();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicUsize;

    #[test]
    fn every_request_has_its_turn_however_many_wait() {
        let (turns, done) = (Arc::new(RequestTurns::default()), AtomicUsize::new(0));
        thread::scope(|scope| {
            for number in 0..50 {
                let (turns, done) = (&turns, &done);
                scope.spawn(move || {
                    for _ in 0..20 {
                        drop(turns.take(IpAddr::from([127, 0, 0, number % 5]), None, Duration::ZERO));
                        done.fetch_add(1, Ordering::Relaxed);
                    }
                });
            }
        });
        assert_eq!(done.into_inner(), 1000);
    }

    #[test]
    fn a_site_that_has_worked_for_long_gives_way_until_others_had_as_much_time_and_no_other_site_does() {
        let turns = RequestTurns::default();
        let (crowd, honest, now) = (IpAddr::from([192, 0, 2, 1]), IpAddr::from([192, 0, 2, 2]), Instant::now());
        let crowded = |ip, worked, now| turns.0.lock().is_crowded(ip, worked, now);
        let burst = UNIT * WORK_BURST as u32;
        assert!(!crowded(crowd, burst, now), "some thousand requests");
        assert!(crowded(crowd, UNIT, now));
        assert!(!crowded(honest, Duration::from_millis(30), now));
        let cores = thread::available_parallelism().map_or(1, usize::from) as u32;
        (0..1000).for_each(|_| assert!(crowded(crowd, Duration::from_secs(1), now)));
        let later = now + UNIT * WORK_SHARE / cores;
        assert!(!crowded(crowd, Duration::ZERO, later));
        for second in 2..60 {
            let people = Duration::from_millis(10);
            assert!(!crowded(honest, people, now + Duration::from_secs(second)), "people need less");
        }
    }

    #[test]
    fn turns_that_are_never_given_back_hold_nobody_up_for_long() {
        let turns = Arc::new(RequestTurns::default());
        let held: Vec<_> = (0..20).map(|_| turns.take(IpAddr::from([127, 0, 0, 1]), None, Duration::ZERO)).collect();
        drop(turns.take(IpAddr::from([127, 0, 0, 2]), None, Duration::ZERO));
        drop(held);
    }
}
