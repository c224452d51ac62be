//! The rate limiter of what leaves for members. Members share the limit fairly. Their connections wait for their turns,
//! on a thread of their own or under a poll.

use super::fair_queue::{FairQueue, FlowId};
use super::limit::Limit;
use super::token_bucket::TokenBucket;
use crate::model::name::UserId;
use parking_lot::{Condvar, Mutex};
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// A waiting thread checks this often whether its connection is over.
const LOOK_PAUSE: Duration = Duration::from_millis(200);
/// A member with a late request may later get what it missed in this time. A busy machine takes a core away for about
/// as long. For each member that was idle before, the others wait this long at most.
const BEHIND_MAX: Duration = Duration::from_millis(100);

/// The rate limiter of all uploads of a client, or of all that a tracker relays.
#[derive(Debug)]
pub struct Uplink {
    begun: Instant,
    /// Set while there is no limit, so that no thread takes the lock.
    unlimited: AtomicBool,
    // Locked, except while a thread waits.
    state: Mutex<UplinkState>,
}

/// Tells the thread of a connection that the connection may be able to go on. The caller holds the lock while it rings.
#[derive(Clone)]
struct Bell(Arc<dyn Fn() + Send + Sync>);

impl fmt::Debug for Bell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Bell(..)")
    }
}

#[derive(Debug)]
struct UplinkState {
    bucket: TokenBucket,
    queue: FairQueue,
    /// The bell of each connection.
    bells: HashMap<FlowId, Bell>,
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

    /// Changes to another limit.
    pub fn set_limit(&self, limit: Limit) {
        let mut state = self.state.lock();
        self.unlimited.store(limit == Limit::NONE, Ordering::Relaxed);
        state.bucket.set_limit(limit, self.begun.elapsed());
        state.bells.values().for_each(|bell| (bell.0)());
    }

    /// Adds a connection of this member, with a thread that waits.
    pub fn join(self: &Arc<Self>, user: &UserId) -> UplinkFlow {
        let bell = Arc::new(Condvar::new());
        let flow = self.join_polled(user, {
            let bell = bell.clone();
            move || {
                bell.notify_one();
            }
        });
        UplinkFlow { flow, bell }
    }

    /// Adds a connection of this member without a thread that waits. The limiter calls `ring` when the connection's
    /// turn comes, and when the limit changes. `ring` must not wait.
    pub fn join_polled(self: &Arc<Self>, user: &UserId, ring: impl Fn() + Send + Sync + 'static) -> PolledFlow {
        let mut state = self.state.lock();
        let flow = state.queue.join(user);
        state.bells.insert(flow, Bell(Arc::new(ring)));
        PolledFlow { uplink: self.clone(), flow, waits: false }
    }
}

impl UplinkState {
    /// Decides whose turn is next, if that is open, and rings that connection.
    fn call_first(&mut self) {
        if self.first.is_none() {
            self.first = self.queue.next();
            if let Some(bell) = self.first.and_then(|flow| self.bells.get(&flow)) {
                (bell.0)();
            }
        }
    }

    fn wait(&mut self, flow: FlowId) {
        self.queue.wait(flow, self.bucket.len_in(BEHIND_MAX));
    }

    /// How many of `len` bytes may leave. If some may, the connection stops waiting.
    ///
    /// # Errors
    /// No byte may leave now. The error is the time from which some may, or `None` if it is another connection's turn.
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

    /// The connection stops waiting. If it had the turn, the next connection is rung.
    fn pass_on(&mut self, flow: FlowId) {
        self.queue.give_up(flow);
        if self.first == Some(flow) {
            self.first = None;
        }
        self.call_first();
    }
}

/// One connection at the limiter, with a thread that waits. Dropping this removes the connection.
#[derive(Debug)]
pub struct UplinkFlow {
    flow: PolledFlow,
    bell: Arc<Condvar>,
}

impl UplinkFlow {
    /// Waits until some of `len` bytes may leave, and returns how many. `None` once `is_over` is true.
    pub fn wait(&self, len: usize, is_over: impl Fn() -> bool) -> Option<usize> {
        let PolledFlow { uplink, flow, .. } = &self.flow;
        if uplink.unlimited.load(Ordering::Relaxed) {
            return Some(len);
        }
        let mut state = uplink.state.lock();
        state.wait(*flow);
        loop {
            if is_over() {
                state.pass_on(*flow);
                return None;
            }
            let now = uplink.begun.elapsed();
            let pause = match state.take(*flow, now, len) {
                Ok(allowed) => return Some(allowed),
                Err(when) => when.map_or(LOOK_PAUSE, |when| when.saturating_sub(now).min(LOOK_PAUSE)),
            };
            self.bell.wait_for(&mut state, pause);
        }
    }
}

/// One connection at the limiter, without a thread that waits. Dropping this removes the connection.
#[derive(Debug)]
pub struct PolledFlow {
    uplink: Arc<Uplink>,
    flow: FlowId,
    waits: bool,
}

impl PolledFlow {
    /// How long `len` bytes take if all connections that wait now go on to wait. Zero without a limit.
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

    /// How many of `len` bytes may leave now. `None` if no byte may leave: the connection then waits, and calls this
    /// again when it is due.
    pub fn take(&mut self, len: usize) -> Option<usize> {
        if !self.is_limited() && !self.waits {
            return Some(len);
        }
        let mut state = self.uplink.state.lock();
        if !self.is_limited() {
            state.pass_on(self.flow);
            self.waits = false;
            return Some(len);
        }
        if !std::mem::replace(&mut self.waits, true) {
            state.wait(self.flow);
        }
        let taken = state.take(self.flow, self.uplink.begun.elapsed(), len).ok();
        self.waits = taken.is_none();
        taken
    }

    /// The time from which the waiting connection may take something. `None` while another connection comes first.
    pub fn due(&self) -> Option<Instant> {
        let (mut state, now) = (self.uplink.state.lock(), self.uplink.begun.elapsed());
        state.call_first();
        if self.is_limited() && state.first != Some(self.flow) {
            return None;
        }
        // If bytes may leave now, this is the limiter's start: a time before all others.
        Some(self.uplink.begun + state.bucket.allowance(now, 1).err().unwrap_or_default())
    }
}

impl Drop for PolledFlow {
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
    use std::sync::atomic::AtomicUsize;

    /// The bytes that leave at once at 10 MB/s.
    const STEP_LEN: usize = 40_000;

    /// The bytes that each connection gets in ten seconds at 10 MB/s. All of them always ask, and the test serves them
    /// in turn.
    fn shares_of<const N: usize>(names: [&str; N]) -> [usize; N] {
        let uplink = Uplink::new(Limit::of(10_000_000));
        let flows = names.map(|name| uplink.join_polled(&user(name), || ()));
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
    fn a_waiting_connection_goes_on_at_once_when_the_limit_is_lifted() {
        let uplink = Uplink::new(Limit::of(1));
        // This uses up the allowance of the next minutes.
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

    #[test]
    fn a_polling_user_is_called_in_turn_and_goes_on_once_the_limit_ends() {
        let uplink = Uplink::new(Limit::of(1));
        let rung = Arc::new(AtomicUsize::new(0));
        let join = |name| {
            let rung = rung.clone();
            uplink.join_polled(&user(name), move || {
                rung.fetch_add(1, Ordering::Relaxed);
            })
        };
        let [mut early, mut ann, mut bob] = ["early", "ann", "bob"].map(join);
        assert!(early.take(1024).is_some());
        assert_eq!([ann.take(1 << 20), bob.take(1 << 20)], [None; 2]);
        assert!(ann.due().is_some_and(|due| due > Instant::now()), "the first one knows its time");
        assert_eq!(bob.due(), None, "the next one is called");
        rung.store(0, Ordering::Relaxed);
        drop(ann);
        assert!(rung.load(Ordering::Relaxed) == 1 && bob.due().is_some());
        uplink.set_limit(Limit::NONE);
        assert!(rung.load(Ordering::Relaxed) > 1);
        assert!(bob.due().is_some_and(|due| due <= Instant::now()));
        assert_eq!(bob.take(1 << 20), Some(1 << 20));
        uplink.set_limit(Limit::of(1));
        assert_eq!(uplink.state.lock().queue.next(), None, "it waits no more");
    }
}
