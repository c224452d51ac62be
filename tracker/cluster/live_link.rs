//! A link to another tracker that stands: what its threads share.

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

/// Calls that wait for a slow link. Others are dropped: whoever calls does so again.
const CALLS_MAX: usize = 256;

/// Shared by the thread that receives and the one that sends.
pub(crate) struct LiveLink {
    /// Made at random when the other program starts: tells two programs of one number apart.
    pub(crate) instance: [u8; 16],
    pub(crate) sender: Arc<FrameSender>,
    /// Wakes the thread that sends.
    pub(crate) wakeup: Arc<Wakeup>,
    pub(crate) progress: Mutex<LinkProgress>,
    pub(crate) signs: SignOfLife,
    /// Manifests that the other tracker wants, still to be sent.
    pub(crate) wanted: Mutex<BTreeSet<InfoHash>>,
    /// How many manifests it has given.
    pub(crate) manifests_given: AtomicU64,
    /// Calls of clients, still to be passed on: [`CALLS_MAX`] at most.
    pub(crate) calls: Mutex<VecDeque<LinkMessage>>,
}

impl LiveLink {
    /// Asks the other tracker whether it is there, and waits for the answer, but not longer than this.
    pub(crate) fn answers(&self, longest: Duration) -> bool {
        self.signs.ask(longest, || self.wakeup.wake())
    }

    /// Has a call passed on, unless too many wait.
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

/// How far the tracker at the other end is.
pub(crate) struct LinkProgress {
    /// Its floor, as it said last. Ops go either way only while it is the floor of this tracker.
    pub(crate) floor: FloorMark,
    /// It wants the base of this floor.
    pub(crate) wants_base: Option<FloorMark>,
    /// It is to be asked for the base of this floor.
    pub(crate) ask_for_base: Option<FloorMark>,
    /// Ops that went either way on this link, or that it had before: none of them is sent again.
    pub(crate) exchanged: VersionVector,
    /// What it has said to be durable.
    pub(crate) durable: VersionVector,
    /// Whether its state was the same when it knew the same ops, once that was compared.
    pub(crate) agrees: Option<bool>,
    /// It has asked for everything that is durable here and not there, whatever it was given.
    pub(crate) asks_again: bool,
    /// It is to be asked for what was given and could not be kept here.
    pub(crate) gives_again: bool,
}

impl LinkProgress {
    /// Of a tracker that greeted with what it has.
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
