//! The other trackers: who they are, which of them are connected, and how far they are. docs/ARCHITECTURE.md says how
//! trackers stay in sync.

mod bell;
mod dialer;
mod feed;
pub mod knowledge;
mod link;
mod outgoing;
mod roll;

pub use dialer::Dialer;
pub use feed::Feed;
pub use link::serve;
pub use roll::{Other, Standing};

use super::acceptor::Warn;
use super::state::State;
use crate::model::id::Origin;
use parking_lot::Mutex;
use roll::Roll;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The digest of a state is computed when nothing has changed for this long.
const QUIET: Duration = Duration::from_secs(1);

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
    roll: Roll,
    warn: Warn,
    digest: Mutex<Digest>,
}

/// The digest of the durable state, if it is known.
struct Digest {
    state: Arc<State>,
    since: Instant,
    digest: Option<[u8; 32]>,
}

impl Replica {
    /// Nobody is connected. `feed` is given every op as it becomes durable.
    ///
    /// Errors: the list of retired trackers cannot be read, for this reason.
    pub fn new(me: Me, feed: Arc<Feed>, warn: Warn) -> std::io::Result<Self> {
        let roll = Roll::new(&me)?;
        let digest = Digest { state: Arc::default(), since: Instant::now(), digest: None };
        Ok(Self { me, feed, roll, warn, digest: Mutex::new(digest) })
    }

    /// The other trackers and how each is doing.
    pub fn others(&self, state: &State) -> Vec<Other> {
        self.roll.others(state)
    }

    /// Retires a tracker: it is no longer called, and turned away should it call.
    ///
    /// Errors: this is its own number, or it cannot be written down.
    pub fn forget(&self, number: u16) -> Result<(), String> {
        if number == self.me.origin.tracker {
            return Err("a tracker cannot retire itself; retire it at another one".into());
        }
        self.roll.retire(number).map_err(|error| format!("cannot write it down: {}", crate::sys::reason(&error)))
    }

    /// A tracker cannot be reached any more, or still not.
    fn lost(&self, number: u16, why: &str) {
        if self.roll.excuse(number, why) {
            (self.warn)(&format!("tracker {number} is not connected: {why}"));
        }
    }

    /// Has all links look at once for what there is to say; false if there is no link.
    pub fn ring(&self) -> bool {
        self.roll.ring()
    }

    /// Ends all links.
    pub fn close(&self) {
        self.roll.end_all();
    }

    /// The digest of the durable state, once nothing has changed for [`QUIET`]. It takes its time on a large state, and is
    /// computed once for each.
    fn digest(&self, state: &Arc<State>, now: Instant) -> Option<[u8; 32]> {
        let mut known = self.digest.lock();
        if !Arc::ptr_eq(&known.state, state) {
            *known = Digest { state: Arc::clone(state), since: now, digest: None };
        }
        if known.digest.is_none() && now.saturating_duration_since(known.since) >= QUIET {
            known.digest = Some(state.digest());
        }
        known.digest
    }
}
