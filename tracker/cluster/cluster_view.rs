//! A tracker's view of the cluster: the other trackers, which of them are connected, and their progress.
//! docs/PROTOCOL.md says what trackers do on a link.

use super::base_slot::BaseSlot;
use super::feed::Feed;
use super::local_tracker::LocalTracker;
use super::log_throttle::LogThrottle;
use super::other_tracker::OtherTracker;
use super::state_digest::StateDigest;
use super::tracker_table::TrackerTable;
use super::wakeup::Wakeup;
use crate::model::op::floor::FloorMark;
use crate::sys;
use crate::tracker::state::State;
use crate::tracker::warn::Warn;
use crate::wire::refusal::Refusal;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Instant;

/// Why a tracker was not forgotten, or not taken back.
#[derive(Debug)]
pub enum ForgetError {
    /// It is this tracker.
    Own,
    /// No tracker has this number.
    Unknown,
    /// A tracker that is not forgotten cannot be taken back.
    NotForgotten,
    /// The change cannot be made durable.
    Refused(Refusal),
}

impl fmt::Display for ForgetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ForgetError::Own => f.write_str("it is this one; say it at another tracker"),
            ForgetError::Unknown => {
                f.write_str("no tracker of this number is on the list, has called or made a change")
            }
            ForgetError::NotForgotten => f.write_str("it is not forgotten"),
            ForgetError::Refused(refusal) => write!(f, "{refusal}"),
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
    /// By the number of the other tracker.
    throttles: Mutex<BTreeMap<u16, LogThrottle>>,
    /// Which tracker gives its base to this one.
    base_slot: Mutex<BaseSlot>,
    floor_wakeup: Arc<Wakeup>,
}

impl ClusterView {
    /// Begins with the durable state. The caller appends every op to `feed` when it becomes durable.
    pub fn new(me: LocalTracker, feed: Arc<Feed>, state: &State, warn: Warn) -> Self {
        let table = TrackerTable::new(&me, state);
        let digest = Mutex::new(StateDigest::new(Instant::now()));
        Self {
            me,
            feed,
            table,
            warn,
            digest,
            throttles: Mutex::default(),
            base_slot: Mutex::default(),
            floor_wakeup: Arc::default(),
        }
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

    /// The other trackers, compared with this state and this floor.
    pub fn others(&self, state: &State, floor: FloorMark) -> Vec<OtherTracker> {
        let giver = self.base_slot.lock().progress();
        self.table.others(state, floor, giver)
    }

    /// Checks that a number belongs to another tracker.
    ///
    /// # Errors
    /// `Own`, `Unknown`.
    pub(crate) fn must_be_other(&self, number: u16, state: &State) -> Result<(), ForgetError> {
        if number == self.me.origin.tracker {
            return Err(ForgetError::Own);
        }
        if self.table.is_known(number) || state.knows_tracker(number) { Ok(()) } else { Err(ForgetError::Unknown) }
    }

    /// Takes note of the forgotten trackers of the durable state. Ends the links with them and tells the operator what
    /// has changed. Never waits for another tracker.
    pub(crate) fn set_forgotten(&self, state: &State) {
        for (number, forgotten) in self.table.set_forgotten(state.forgotten().collect()) {
            let what = if forgotten { "forgotten" } else { "taken back" };
            self.tell(number, format!("tracker {number} is {what}"));
        }
    }

    /// A link was lost, or could not be made. Tells the operator if that is news.
    pub(crate) fn lost(&self, number: u16, why: &impl fmt::Display) {
        if self.table.note_away(number, &why.to_string()) {
            self.tell(number, format!("tracker {number} is not connected: {why}"));
        }
    }

    /// A program was rejected, because another one has its number. It calls again and again; the operator is told
    /// once.
    pub(crate) fn tell_clash(&self, number: u16, instance: [u8; 16], from: &str) {
        if let Some(line) = self.table.note_clash(number, instance, from) {
            self.warn(&line);
        }
    }

    /// A program was accepted. If it was rejected before, takes back what the operator was told.
    pub(crate) fn end_clash(&self, number: u16, instance: [u8; 16]) {
        if self.table.end_clash(number, instance) {
            self.tell_no_clash(number);
        }
    }

    fn tell_no_clash(&self, number: u16) {
        self.warn(&format!("no other tracker runs under the number {number} any more"));
    }

    /// The tracker numbers that several programs claim, in words for the operator.
    pub fn clashes(&self) -> Vec<String> {
        self.table.clashes()
    }

    /// Tells the operator that a tracker has come or gone, within the rate limit.
    pub(crate) fn tell(&self, number: u16, line: String) {
        let now = Instant::now();
        let line = self.throttles.lock().entry(number).or_insert_with(|| LogThrottle::new(now)).tell(line, now);
        line.iter().for_each(|line| (self.warn)(line));
    }

    /// Tells the operator the lines that have waited long enough.
    pub fn sweep(&self, now: Instant) {
        let due: Vec<String> = self.throttles.lock().values_mut().filter_map(|throttle| throttle.due(now)).collect();
        due.iter().for_each(|line| (self.warn)(line));
        self.table.sweep_clashes(now).into_iter().for_each(|number| self.tell_no_clash(number));
    }

    /// Makes all links check at once what to send. Returns false if there is no link.
    pub fn wake(&self) -> bool {
        self.table.wake()
    }

    /// Ends all links.
    pub fn close(&self) {
        self.table.end_all();
    }

    pub(crate) fn base_slot(&self) -> &Mutex<BaseSlot> {
        &self.base_slot
    }

    /// The highest floor of the connected trackers, without those that cannot give the base of their floor.
    pub fn highest_floor(&self) -> Option<FloorMark> {
        let (floors, slot, now) = (self.table.floors(), self.base_slot.lock(), Instant::now());
        floors.into_iter().filter(|(number, _)| !slot.is_blamed(*number, now)).map(|(_, floor)| floor).max()
    }

    /// Wakes the floor keeper, which may be able to go on.
    pub(crate) fn floor_wakeup(&self) -> &Arc<Wakeup> {
        &self.floor_wakeup
    }

    /// The digest of the durable state, once the state has been at rest. `None` also while another link computes it.
    pub(crate) fn digest(&self, state: &Arc<State>, now: Instant) -> Option<[u8; 32]> {
        self.digest.try_lock()?.of(state, now, |state| {
            let begun = sys::thread_time();
            (state.digest(), sys::thread_time() - begun)
        })
    }
}
