//! The other trackers: who they are, which of them are connected, and how far they are. docs/ARCHITECTURE.md says how
//! trackers stay in sync.

use super::feed::Feed;
use super::log_throttle::LogThrottle;
use super::state_digest::StateDigest;
use super::tracker_table::{Other, TrackerTable};
use crate::model::id::Origin;
use crate::sys;
use crate::tracker::state::State;
use crate::tracker::warn::Warn;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

/// Who this tracker is to the others.
#[derive(Debug, Clone)]
pub struct Me {
    /// Under which it issues ops.
    pub origin: Origin,
    /// Random, made at the start: tells two programs of one number apart.
    pub instance: [u8; 16],
    /// Where the other trackers of the list are, by their numbers.
    pub others: Vec<(u16, SocketAddr)>,
    /// Where the numbers of retired trackers are kept.
    pub retired: PathBuf,
}

/// What a tracker knows of the others.
pub struct Replica {
    me: Me,
    feed: Arc<Feed>,
    table: TrackerTable,
    warn: Warn,
    digest: Mutex<StateDigest>,
    /// What the operator is told of each of them, by number.
    throttles: Mutex<BTreeMap<u16, LogThrottle>>,
}

impl Replica {
    /// Nobody is connected. `feed` is given every op as it becomes durable.
    ///
    /// # Errors
    /// The list of retired trackers cannot be read, for this reason.
    pub fn new(me: Me, feed: Arc<Feed>, warn: Warn) -> std::io::Result<Self> {
        let table = TrackerTable::new(&me)?;
        let digest = Mutex::new(StateDigest::new(Instant::now()));
        Ok(Self { me, feed, table, warn, digest, throttles: Mutex::default() })
    }

    /// Who this tracker is to the others.
    pub(crate) fn me(&self) -> &Me {
        &self.me
    }

    /// The latest durable ops.
    pub(crate) fn feed(&self) -> &Arc<Feed> {
        &self.feed
    }

    /// The other trackers, by number.
    pub(crate) fn table(&self) -> &TrackerTable {
        &self.table
    }

    /// Tells the operator.
    pub(crate) fn warn(&self, line: &str) {
        (self.warn)(line);
    }

    /// The other trackers and how each is doing.
    pub fn others(&self, state: &State) -> Vec<Other> {
        self.table.others(state)
    }

    /// Retires a tracker: it is no longer called, and turned away should it call.
    ///
    /// # Errors
    /// This is its own number, no tracker has it, or it cannot be written down.
    pub fn forget(&self, number: u16) -> Result<(), String> {
        if number == self.me.origin.tracker {
            return Err("a tracker cannot retire itself; retire it at another one".into());
        }
        if !self.table.is_known(number) {
            return Err("there is no tracker of this number on the list, and none has called".into());
        }
        self.table.retire(number).map_err(|error| format!("cannot write it down: {}", sys::reason(&error)))
    }

    /// A tracker cannot be reached any more, or still not.
    pub(crate) fn lost(&self, number: u16, why: &str) {
        if self.table.excuse(number, why) {
            self.tell(number, format!("tracker {number} is not connected: {why}"));
        }
    }

    /// Tells the operator that a tracker has come or gone, unless that was so many times of late.
    pub(crate) fn tell(&self, number: u16, line: String) {
        let now = Instant::now();
        let line = self.throttles.lock().entry(number).or_insert_with(|| LogThrottle::new(now)).tell(line, now);
        line.iter().for_each(|line| (self.warn)(line));
    }

    /// Tells the operator what has waited for long enough.
    pub fn sweep(&self, now: Instant) {
        let due: Vec<String> = self.throttles.lock().values_mut().filter_map(|throttle| throttle.due(now)).collect();
        due.iter().for_each(|line| (self.warn)(line));
    }

    /// Has all links look at once for what there is to say; false if there is no link.
    pub fn wake(&self) -> bool {
        self.table.wake()
    }

    /// Ends all links.
    pub fn close(&self) {
        self.table.end_all();
    }

    /// The digest of the durable state, once it has been at rest. `None` also while another link computes it.
    pub(crate) fn digest(&self, state: &Arc<State>, now: Instant) -> Option<[u8; 32]> {
        self.digest.try_lock()?.of(state, now, |state| {
            let begun = sys::thread_time();
            (state.digest(), sys::thread_time() - begun)
        })
    }
}
