//! What leaves for other members, kept to a limit that they share fairly: connections wait here for their turn.

use super::fair_queue::{Seat, Turns};
use super::limit::Limit;
use super::token_bucket::Pace;
use crate::model::name::UserId;
use parking_lot::{Condvar, Mutex};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Who waits looks this often whether its connection is still there.
const LOOK_PAUSE: Duration = Duration::from_millis(200);
/// A member who is late to ask again gets what left for others meanwhile, as far as it left in this time: a busy machine
/// takes a core away for as long. Where many have asked for nothing for a while, the others wait so long for each.
const BEHIND_MAX: Duration = Duration::from_millis(100);

/// The limit of everything that is served.
#[derive(Debug)]
pub struct Uplink {
    begun: Instant,
    /// Set while there is no limit: then nobody takes the lock.
    unlimited: AtomicBool,
    // Locked; a wait gives it up.
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    pace: Pace,
    turns: Turns,
    /// Wakes each that waits.
    bells: HashMap<Seat, Arc<Condvar>>,
    /// Whose turn is next: the one that waits for the time, while the others wait for it.
    first: Option<Seat>,
}

impl Uplink {
    /// Keeps to this limit.
    pub fn new(limit: Limit) -> Arc<Self> {
        let state = State { pace: Pace::new(limit), turns: Turns::default(), bells: HashMap::new(), first: None };
        let unlimited = AtomicBool::new(limit == Limit::NONE);
        Arc::new(Self { begun: Instant::now(), unlimited, state: Mutex::new(state) })
    }

    /// The limit.
    pub fn limit(&self) -> Limit {
        self.state.lock().pace.limit()
    }

    /// Keeps to another limit from now on.
    pub fn set_limit(&self, limit: Limit) {
        let mut state = self.state.lock();
        self.unlimited.store(limit == Limit::NONE, Ordering::Relaxed);
        state.pace.set_limit(limit, self.begun.elapsed());
        for bell in state.bells.values() {
            bell.notify_one();
        }
    }

    /// A place for a connection of this member.
    pub fn join(self: &Arc<Self>, user: &UserId) -> UplinkSeat {
        let mut state = self.state.lock();
        let (seat, bell) = (state.turns.join(user), Arc::new(Condvar::new()));
        state.bells.insert(seat, bell.clone());
        UplinkSeat { uplink: self.clone(), seat, bell }
    }
}

impl State {
    /// Decides whose turn is next, if that is open, and wakes it.
    fn call_first(&mut self) {
        if self.first.is_none() {
            self.first = self.turns.next();
            if let Some(bell) = self.first.and_then(|seat| self.bells.get(&seat)) {
                bell.notify_one();
            }
        }
    }

    /// The seat waits from now on.
    fn wait(&mut self, seat: Seat) {
        self.turns.wait(seat, self.pace.len_in(BEHIND_MAX));
    }

    /// Some of `len` bytes, if it is the seat's turn and some may leave now; it then waits no more. Else the time at
    /// which some may, or none if it is another's turn.
    fn take(&mut self, seat: Seat, now: Duration, len: usize) -> Result<usize, Option<Duration>> {
        self.call_first();
        if self.first != Some(seat) {
            return Err(None);
        }
        let allowed = self.pace.allowance(now, len).map_err(Some)?;
        self.pace.pass(now, allowed);
        self.turns.serve(seat, allowed);
        self.pass_on(seat);
        Ok(allowed)
    }

    /// The seat waits no more; the next one is called if it was first.
    fn pass_on(&mut self, seat: Seat) {
        self.turns.give_up(seat);
        if self.first == Some(seat) {
            self.first = None;
        }
        self.call_first();
    }
}

/// A connection's place.
#[derive(Debug)]
pub struct UplinkSeat {
    uplink: Arc<Uplink>,
    seat: Seat,
    bell: Arc<Condvar>,
}

impl UplinkSeat {
    /// Whether the bytes of this connection would be missed by other members: there is a limit, and they wait.
    pub fn is_contended(&self) -> bool {
        !self.uplink.unlimited.load(Ordering::Relaxed) && self.uplink.state.lock().turns.others_wait(self.seat)
    }

    /// Whether there is a limit.
    pub fn is_limited(&self) -> bool {
        !self.uplink.unlimited.load(Ordering::Relaxed)
    }

    /// Waits until some of `len` bytes may leave and gives how many; none when `is_over` says that nobody takes them.
    pub fn wait(&self, len: usize, is_over: impl Fn() -> bool) -> Option<usize> {
        if self.uplink.unlimited.load(Ordering::Relaxed) {
            return Some(len);
        }
        let mut state = self.uplink.state.lock();
        state.wait(self.seat);
        loop {
            if is_over() {
                state.pass_on(self.seat);
                return None;
            }
            let now = self.uplink.begun.elapsed();
            let pause = match state.take(self.seat, now, len) {
                Ok(allowed) => return Some(allowed),
                Err(when) => when.map_or(LOOK_PAUSE, |when| when.saturating_sub(now).min(LOOK_PAUSE)),
            };
            self.bell.wait_for(&mut state, pause);
        }
    }
}

impl Drop for UplinkSeat {
    fn drop(&mut self) {
        let mut state = self.uplink.state.lock();
        state.turns.leave(self.seat);
        state.bells.remove(&self.seat);
        state.pass_on(self.seat);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::name::tests::user;

    /// What leaves at once at 10 MB/s.
    const STEP_LEN: usize = 40_000;

    /// What each of the connections gets in ten seconds at 10 MB/s. All of them ask always, and are looked at in turn.
    fn shares_of<const N: usize>(names: [&str; N]) -> [usize; N] {
        let uplink = Uplink::new(Limit::of(10_000_000));
        let seats = names.map(|name| uplink.join(&user(name)));
        let mut state = uplink.state.lock();
        seats.iter().for_each(|seat| state.wait(seat.seat));
        let (mut got, mut now) = ([0; N], Duration::ZERO);
        while now < Duration::from_secs(10) {
            for (seat, got) in seats.iter().zip(&mut got) {
                match state.take(seat.seat, now, 1 << 20) {
                    Ok(len) => {
                        *got += len;
                        state.wait(seat.seat);
                    }
                    Err(when) => now = when.unwrap_or(now),
                }
            }
        }
        got
    }

    #[test]
    fn members_share_the_limit_whatever_the_number_of_their_connections() {
        let (one, many) = (shares_of(["one"; 1])[0], shares_of(["one", "many", "many", "many", "many"]));
        assert_eq!(many.iter().sum::<usize>(), one, "all of the limit is used, and no more");
        assert!(many[0].abs_diff(one / 2) <= STEP_LEN, "{many:?}");
        assert!(many[1..].iter().all(|got| got.abs_diff(one / 8) <= STEP_LEN), "{many:?}");
    }

    #[test]
    fn who_waits_goes_on_at_once_when_the_limit_is_lifted() {
        let uplink = Uplink::new(Limit::of(1));
        // Uses up what is allowed for the next minutes.
        assert!(uplink.join(&user("early")).wait(1024, || false).is_some());
        std::thread::scope(|scope| {
            let waits = scope.spawn(|| uplink.join(&user("late")).wait(1 << 20, || false));
            while uplink.state.lock().first.is_none() {
                std::thread::yield_now();
            }
            uplink.set_limit(Limit::NONE);
            assert_eq!(waits.join().expect("no panic"), Some(1 << 20));
        });
        assert_eq!(uplink.limit(), Limit::NONE);
    }

    #[test]
    fn a_connection_that_is_over_leaves_its_turn_to_the_next() {
        let uplink = Uplink::new(Limit::of(1));
        assert!(uplink.join(&user("early")).wait(1024, || false).is_some());
        let over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let waits = scope.spawn(|| uplink.join(&user("late")).wait(1, || over.load(Ordering::Relaxed)));
            while uplink.state.lock().first.is_none() {
                std::thread::yield_now();
            }
            over.store(true, Ordering::Relaxed);
            assert_eq!(waits.join().expect("no panic"), None);
        });
        assert_eq!(uplink.state.lock().first, None);
    }
}
