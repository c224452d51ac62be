//! An established link to another tracker: the data that its threads share.

use super::sign_of_life::SignOfLife;
use super::version_vector::VersionVector;
use super::wakeup::Wakeup;
use crate::model::digest::InfoHash;
use crate::model::id::Seen;
use crate::model::op::floor::FloorMark;
use crate::wire::connection::FrameSender;
use crate::wire::tracker_tracker::LinkMessage;
use parking_lot::Mutex;
use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

/// How many calls may wait for a slow link. Others are dropped: their callers try again.
const CALLS_MAX: usize = 256;

/// Shared by the receiving and the sending thread.
pub(crate) struct LiveLink {
    /// A random number of the other program's run. It tells apart two programs with one number.
    pub(crate) instance: [u8; 16],
    pub(crate) sender: Arc<FrameSender>,
    /// Wakes the sending thread.
    pub(crate) wakeup: Arc<Wakeup>,
    pub(crate) progress: Mutex<LinkProgress>,
    pub(crate) signs: SignOfLife,
    /// Manifests that the other tracker wants and has not been sent yet.
    pub(crate) wanted: Mutex<BTreeSet<InfoHash>>,
    /// How many manifests the other tracker has given.
    pub(crate) manifests_given: AtomicU64,
    /// Calls of clients that wait to be passed on: [`CALLS_MAX`] at most.
    pub(crate) calls: Mutex<VecDeque<LinkMessage>>,
}

impl LiveLink {
    /// Asks the other tracker for a sign of life, and waits for the answer at most this long.
    pub(crate) fn answers(&self, longest: Duration) -> bool {
        self.signs.ask(longest, || self.wakeup.wake())
    }

    /// Passes a call on, unless too many wait.
    pub(crate) fn pass_call(&self, call: LinkMessage) {
        {
            let mut calls = self.calls.lock();
            if calls.len() >= CALLS_MAX {
                return;
            }
            calls.push_back(call);
        }
        self.wakeup.wake();
    }
}

/// The progress of the tracker at the other end.
pub(crate) struct LinkProgress {
    /// Its floor, as it said last. Ops go either way only while this tracker has the same floor.
    pub(crate) floor: FloorMark,
    /// It wants the base of this floor.
    pub(crate) wants_base: Option<FloorMark>,
    /// The floor whose base to ask it for.
    pub(crate) ask_for_base: Option<FloorMark>,
    /// Ops that either side sent on this link, or that the other tracker had before. The link sends none of these ops
    /// again.
    pub(crate) exchanged: VersionVector,
    /// The ops that it has confirmed as durable.
    pub(crate) durable: VersionVector,
    /// Whether both trackers had equal states from the same ops, at the last comparison.
    pub(crate) agrees: Option<bool>,
    /// The other tracker has asked for all ops that are durable here and not there, even for ops that it was given
    /// already.
    pub(crate) asks_again: bool,
    /// The other tracker has to be asked again for the ops that this tracker could not keep.
    pub(crate) gives_again: bool,
}

impl LinkProgress {
    /// For a tracker that greeted with this version vector.
    pub(crate) fn new(has: &[Seen], floor: FloorMark) -> Self {
        Self {
            floor,
            wants_base: None,
            ask_for_base: None,
            exchanged: VersionVector::new(has),
            durable: VersionVector::new(has),
            agrees: None,
            asks_again: false,
            gives_again: false,
        }
    }
}
