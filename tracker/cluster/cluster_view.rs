//! What a tracker knows of the cluster: the other trackers, which of them are connected, and how far they are.
//! docs/ARCHITECTURE.md says how trackers stay in sync.

use super::feed::Feed;
use super::local_tracker::LocalTracker;
use super::log_throttle::LogThrottle;
use super::other_tracker::OtherTracker;
use super::state_digest::StateDigest;
use super::tracker_table::TrackerTable;
use crate::sys;
use crate::tracker::state::State;
use crate::tracker::warn::Warn;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Instant;

/// Why a tracker was not retired.
#[derive(Debug)]
pub enum ForgetError {
    /// It is this one.
    Own,
    /// No tracker has this number.
    Unknown,
    /// The list of retired trackers cannot be written.
    Io(io::Error),
}

impl fmt::Display for ForgetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ForgetError::Own => f.write_str("a tracker cannot retire itself; retire it at another one"),
            ForgetError::Unknown => f.write_str("there is no tracker of this number on the list, and none has called"),
            ForgetError::Io(error) => write!(f, "cannot write it down: {}", sys::reason(error)),
        }
    }
}

impl std::error::Error for ForgetError {}

/// The other trackers, for the links to them and for the operator.
pub struct ClusterView {
    me: LocalTracker,
    feed: Arc<Feed>,
    table: TrackerTable,
    warn: Warn,
    digest: Mutex<StateDigest>,
    /// By number of the other tracker.
    throttles: Mutex<BTreeMap<u16, LogThrottle>>,
}

impl ClusterView {
    /// The caller appends every op to `feed` as it becomes durable.
    ///
    /// # Errors
    /// The list of retired trackers cannot be read.
    pub fn new(me: LocalTracker, feed: Arc<Feed>, warn: Warn) -> io::Result<Self> {
        let table = TrackerTable::new(&me)?;
        let digest = Mutex::new(StateDigest::new(Instant::now()));
        Ok(Self { me, feed, table, warn, digest, throttles: Mutex::default() })
    }

    pub(crate) fn me(&self) -> &LocalTracker {
        &self.me
    }

    pub(crate) fn feed(&self) -> &Arc<Feed> {
        &self.feed
    }

    pub(crate) fn table(&self) -> &TrackerTable {
        &self.table
    }

    pub(crate) fn warn(&self, line: &str) {
        (self.warn)(line);
    }

    pub fn others(&self, state: &State) -> Vec<OtherTracker> {
        self.table.others(state)
    }

    /// Retires a tracker: it is no longer called, and turned away if it calls.
    pub fn forget(&self, number: u16) -> Result<(), ForgetError> {
        if number == self.me.origin.tracker {
            return Err(ForgetError::Own);
        }
        if !self.table.is_known(number) {
            return Err(ForgetError::Unknown);
        }
        self.table.retire(number).map_err(ForgetError::Io)
    }

    /// A link was lost or did not come about. The operator is told if that is news.
    pub(crate) fn lost(&self, number: u16, why: &impl fmt::Display) {
        if self.table.note_away(number, &why.to_string()) {
            self.tell(number, format!("tracker {number} is not connected: {why}"));
        }
    }

    /// A program was turned away, since another one has its number. It calls again and again; the operator is told once.
    pub(crate) fn tell_clash(&self, number: u16, instance: [u8; 16], from: &str) {
        if let Some(line) = self.table.note_clash(number, instance, from) {
            self.warn(&line);
        }
    }

    /// A program was taken. If it was turned away before, the operator was told too much.
    pub(crate) fn end_clash(&self, number: u16, instance: [u8; 16]) {
        if self.table.end_clash(number, instance) {
            self.tell_no_clash(number);
        }
    }

    fn tell_no_clash(&self, number: u16) {
        self.warn(&format!("no other tracker runs under the number {number} any more"));
    }

    /// What the operator is told of numbers that several programs claim.
    pub fn clashes(&self) -> Vec<String> {
        self.table.clashes()
    }

    /// Tells the operator that a tracker has come or gone, at most so often.
    pub(crate) fn tell(&self, number: u16, line: String) {
        let now = Instant::now();
        let line = self.throttles.lock().entry(number).or_insert_with(|| LogThrottle::new(now)).tell(line, now);
        line.iter().for_each(|line| (self.warn)(line));
    }

    /// Tells the operator the lines that were held back long enough.
    pub fn sweep(&self, now: Instant) {
        let due: Vec<String> = self.throttles.lock().values_mut().filter_map(|throttle| throttle.due(now)).collect();
        due.iter().for_each(|line| (self.warn)(line));
        self.table.sweep_clashes(now).into_iter().for_each(|number| self.tell_no_clash(number));
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
