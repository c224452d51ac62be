//! The rate limiter of what leaves for members. They share the limit fairly, and connections wait for their turn.

use super::fair_queue::{FairQueue, FlowId};
use super::limit::Limit;
use super::token_bucket::TokenBucket;
use crate::model::name::UserId;
use parking_lot::{Condvar, Mutex};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// A waiting thread looks this often whether its connection is still there.
const LOOK_PAUSE: Duration = Duration::from_millis(200);
/// A member that is late with its next request gets later what it missed in this time: a busy machine takes a core away
/// for as long. For each member that was idle for a while, the others wait this long at most.
const BEHIND_MAX: Duration = Duration::from_millis(100);

/// The rate limiter of all uploads of a client, or of all that a tracker relays.
#[derive(Debug)]
pub struct Uplink {
    begun: Instant,
    /// Set while there is no limit, so that nobody takes the lock.
    unlimited: AtomicBool,
    // Locked; given up while a thread waits.
    state: Mutex<UplinkState>,
}

#[derive(Debug)]
struct UplinkState {
    bucket: TokenBucket,
    queue: FairQueue,
    /// Wakes the thread of each connection.
    bells: HashMap<FlowId, Arc<Condvar>>,
    /// The connection whose turn is next. It waits for the bucket, and the others wait for it.
    first: Option<FlowId>,
}

impl Uplink {
    pub fn new(limit: Limit) -> Arc<Self> {
        let state = UplinkState {
            bucket: TokenBucket::new(limit),
            queue: FairQueue::default(),
            bells: HashMap::new(),
            first: None,
        };
        let unlimited = AtomicBool::new(limit == Limit::NONE);
        Arc::new(Self { begun: Instant::now(), unlimited, state: Mutex::new(state) })
    }

    pub fn limit(&self) -> Limit {
        self.state.lock().bucket.limit()
    }

    /// Keeps to another limit from now on.
    pub fn set_limit(&self, limit: Limit) {
        let mut state = self.state.lock();
        self.unlimited.store(limit == Limit::NONE, Ordering::Relaxed);
        state.bucket.set_limit(limit, self.begun.elapsed());
        for bell in state.bells.values() {
            bell.notify_one();
        }
    }

    /// Adds a connection of this member.
    pub fn join(self: &Arc<Self>, user: &UserId) -> UplinkFlow {
        let mut state = self.state.lock();
        let (flow, bell) = (state.queue.join(user), Arc::new(Condvar::new()));
        state.bells.insert(flow, bell.clone());
        UplinkFlow { uplink: self.clone(), flow, bell }
    }
}

impl UplinkState {
    /// Decides whose turn is next, if nobody's is, and wakes its thread.
    fn call_first(&mut self) {
        if self.first.is_none() {
            self.first = self.queue.next();
            if let Some(bell) = self.first.and_then(|flow| self.bells.get(&flow)) {
                bell.notify_one();
            }
        }
    }

    fn wait(&mut self, flow: FlowId) {
        self.queue.wait(flow, self.bucket.len_in(BEHIND_MAX));
    }

    /// How many of `len` bytes may leave. The connection then waits no more.
    ///
    /// # Errors
    /// None may leave now. The error is the time from which on some may, or `None` if it is another connection's turn.
    fn take(&mut self, flow: FlowId, now: Duration, len: usize) -> Result<usize, Option<Duration>> {
        self.call_first();
        if self.first != Some(flow) {
            return Err(None);
        }
        let allowed = self.bucket.allowance(now, len).map_err(Some)?;
        self.bucket.pass(now, allowed);
        self.queue.serve(flow, allowed);
        self.pass_on(flow);
        Ok(allowed)
    }

    /// The connection waits no more. If it was its turn, the next one is called.
    fn pass_on(&mut self, flow: FlowId) {
        self.queue.give_up(flow);
        if self.first == Some(flow) {
            self.first = None;
        }
        self.call_first();
    }
}

/// One connection at the limiter, until this is dropped.
#[derive(Debug)]
pub struct UplinkFlow {
    uplink: Arc<Uplink>,
    flow: FlowId,
    bell: Arc<Condvar>,
}

impl UplinkFlow {
    /// Whether other members wait for what this connection takes.
    pub fn is_contended(&self) -> bool {
        !self.uplink.unlimited.load(Ordering::Relaxed) && self.uplink.state.lock().queue.others_wait(self.flow)
    }

    /// How long so many bytes take if those who wait now go on to wait. Zero without a limit.
    pub fn time_of(&self, len: usize) -> Duration {
        let state = self.uplink.state.lock();
        let sharers = state.queue.sharers(self.flow);
        state
            .bucket
            .limit()
            .bytes_per_second()
            .map_or(Duration::ZERO, |rate| Duration::from_secs_f64(len as f64 * sharers as f64 / rate.get() as f64))
    }

    pub fn is_limited(&self) -> bool {
        !self.uplink.unlimited.load(Ordering::Relaxed)
    }

    /// Waits until some of `len` bytes may leave, and gives how many. `None` once `is_over`.
    pub fn wait(&self, len: usize, is_over: impl Fn() -> bool) -> Option<usize> {
        if self.uplink.unlimited.load(Ordering::Relaxed) {
            return Some(len);
        }
        let mut state = self.uplink.state.lock();
        state.wait(self.flow);
        loop {
            if is_over() {
                state.pass_on(self.flow);
                return None;
            }
            let now = self.uplink.begun.elapsed();
            let pause = match state.take(self.flow, now, len) {
                Ok(allowed) => return Some(allowed),
                Err(when) => when.map_or(LOOK_PAUSE, |when| when.saturating_sub(now).min(LOOK_PAUSE)),
            };
            self.bell.wait_for(&mut state, pause);
        }
    }
}

impl Drop for UplinkFlow {
    fn drop(&mut self) {
        let mut state = self.uplink.state.lock();
        state.queue.leave(self.flow);
        state.bells.remove(&self.flow);
        state.pass_on(self.flow);
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
        let flows = names.map(|name| uplink.join(&user(name)));
        let mut state = uplink.state.lock();
        flows.iter().for_each(|flow| state.wait(flow.flow));
        let (mut got, mut now) = ([0; N], Duration::ZERO);
        while now < Duration::from_secs(10) {
            for (flow, got) in flows.iter().zip(&mut got) {
                match state.take(flow.flow, now, 1 << 20) {
                    Ok(len) => {
                        *got += len;
                        state.wait(flow.flow);
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
