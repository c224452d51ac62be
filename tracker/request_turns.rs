//! Whose request is carried out next: a few at a time, with turns by site, network and user. So whoever asks on many
//! connections keeps nobody else from the processor.

mod line;

use crate::model::id::UserRef;
use line::{SharesOfTurns, TurnLine};
use parking_lot::Mutex;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

/// Whoever is at a request for longer counts no more. It waits for a disk, a password or the far side.
const WORK_MAX: Duration = Duration::from_millis(20);
/// How many of those who wait look after each other in [`WORK_MAX`].
const LOOKING: u32 = 16;

/// The turns of all connections.
#[derive(Debug)]
pub struct RequestTurns(Mutex<TurnLine<Arc<WaitingThread>>>);

/// A connection that waits for its turn.
#[derive(Debug)]
struct WaitingThread {
    /// The number of the turn, once it has come.
    turn: AtomicU64,
    thread: Thread,
}

/// The turn of a request. It is over when this is dropped.
#[derive(Debug)]
pub(crate) struct RequestTurn {
    turns: Arc<RequestTurns>,
    number: u64,
}

/// As many at a time as there are cores, and more than one, since whoever has a turn may wait for a lock. Beside other sites
/// a site has half of them: the rest of the machine is for others.
fn bounds() -> SharesOfTurns {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    SharesOfTurns { all: cores.max(2), of_site: (cores / 2).max(1) }
}

impl Default for RequestTurns {
    fn default() -> Self {
        Self(Mutex::new(TurnLine::new(bounds(), WORK_MAX)))
    }
}

impl RequestTurns {
    /// Waits for the turn of this user, who asks from there.
    pub(crate) fn take(self: &Arc<Self>, ip: IpAddr, user: Option<UserRef>) -> RequestTurn {
        let waiting = Arc::new(WaitingThread { turn: AtomicU64::new(0), thread: thread::current() });
        let mut line = self.0.lock();
        line.enter(ip, user, waiting.clone());
        loop {
            grant(&mut line, Instant::now());
            let pause = WORK_MAX * (1 + line.waiting() as u32 / LOOKING);
            drop(line);
            if waiting.turn.load(Ordering::Acquire) == 0 {
                thread::park_timeout(pause);
            }
            match waiting.turn.load(Ordering::Acquire) {
                0 => line = self.0.lock(),
                number => return RequestTurn { turns: self.clone(), number },
            }
        }
    }
}

impl Drop for RequestTurn {
    fn drop(&mut self) {
        let mut line = self.turns.0.lock();
        line.done(self.number);
        grant(&mut line, Instant::now());
    }
}

/// Gives a turn to as many as may have one.
fn grant(line: &mut TurnLine<Arc<WaitingThread>>, now: Instant) {
    while let Some((turn, next)) = line.next(now) {
        next.turn.store(turn, Ordering::Release);
        next.thread.unpark();
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
                        drop(turns.take(IpAddr::from([127, 0, 0, number % 5]), None));
                        done.fetch_add(1, Ordering::Relaxed);
                    }
                });
            }
        });
        assert_eq!(done.into_inner(), 1000);
    }

    #[test]
    fn turns_that_are_never_given_back_hold_nobody_up_for_long() {
        let turns = Arc::new(RequestTurns::default());
        let held: Vec<_> = (0..10 * bounds().all).map(|_| turns.take(IpAddr::from([127, 0, 0, 1]), None)).collect();
        drop(turns.take(IpAddr::from([127, 0, 0, 2]), None));
        drop(held);
    }
}
