//! The peers with connections, what each is asked for, and what each has delivered. Pure: the time is passed in.

use crate::client::picker::piece_picker::{Lane, PeerSlot, PiecePicker};
use crate::client::reach::way::Way;
use crate::model::bitfield::Bitfield;
use crate::model::id::PeerId;
use crate::model::name::UserId;
use crate::model::piece::PieceIndex;
use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

/// The rate is measured over runs of this many pieces.
const RUN: u32 = 16;
/// A run within this time (100 MB/s) is so fast that hashing is the bottleneck. The picker then takes equal pieces in
/// order, and the whole hash has to read few of them back.
const FAST_RUN: Duration = Duration::from_millis(80);

/// Nothing is long overdue before this time: a fast connection may pause.
const OVERDUE_MIN: Duration = Duration::from_secs(1);

/// What is to be expected of a connection.
#[derive(Debug, Clone, Copy)]
pub struct Outlook {
    /// When all that it was asked for will be here.
    pub done_at: Instant,
    /// How long a piece takes.
    pub per_piece: Duration,
}

impl Outlook {
    /// Whether a copy of a piece would be here far sooner by this connection than by the other. One that should have
    /// brought it long ago may never do.
    fn outruns(&self, other: &Outlook, now: Instant) -> bool {
        let (left, past) = (other.done_at.saturating_duration_since(now), now.saturating_duration_since(other.done_at));
        left.max(past) > 2 * self.per_piece
    }

    /// Whether what was to come is long overdue.
    pub fn is_overdue(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.done_at) > (2 * self.per_piece).max(OVERDUE_MIN)
    }
}

pub struct OpenPeers {
    pub picker: PiecePicker,
    /// Of those that have brought something.
    outlooks: HashMap<Lane, Outlook>,
    open: HashMap<PeerId, OpenPeer>,
    /// Bytes that members delivered on connections that are gone by now.
    before: BTreeMap<UserId, u64>,
    /// The ways of those connections: the last one for each member.
    ways_before: BTreeMap<UserId, Way>,
    /// Pieces of the run so far, and since when.
    run: u32,
    run_since: Instant,
}

struct OpenPeer {
    slot: PeerSlot,
    /// That of the latest connection.
    way: Way,
    lanes: u16,
    last_lane: u16,
    /// Bytes of good pieces.
    delivered: u64,
}

impl OpenPeers {
    pub fn new(picker: PiecePicker, now: Instant) -> Self {
        let (before, ways_before) = (BTreeMap::new(), BTreeMap::new());
        let (outlooks, open) = (HashMap::new(), HashMap::new());
        Self { picker, outlooks, open, before, ways_before, run: 0, run_since: now }
    }

    /// This is to be expected of a lane.
    pub fn expect(&mut self, lane: Lane, outlook: Outlook) {
        self.outlooks.insert(lane, outlook);
    }

    /// The piece to ask for on this lane, of which this is to be expected.
    pub fn pick(&mut self, lane: Lane, outlook: Option<Outlook>, now: Instant) -> Option<PieceIndex> {
        if let Some(outlook) = outlook {
            self.expect(lane, outlook);
        }
        let outlooks = &self.outlooks;
        // Of whom nothing is known, nothing is expected.
        let outrun = |other| match (outlook, outlooks.get(&other)) {
            (Some(own), Some(other)) => own.outruns(other, now),
            _ => true,
        };
        self.picker.pick(lane, outrun)
    }

    /// How many clients have a connection.
    pub fn count(&self) -> usize {
        self.open.len()
    }

    /// Adds an open connection to a client that holds these pieces.
    pub fn opened(&mut self, peer: &PeerId, way: Way, bits: &Bitfield) -> Lane {
        let peer = self.open.entry(peer.clone()).or_insert_with(|| OpenPeer {
            slot: self.picker.add_peer(peer.client),
            way,
            lanes: 0,
            last_lane: 0,
            delivered: 0,
        });
        // The connections to a client are of one way, unless a better one replaces them.
        peer.way = way;
        peer.lanes += 1;
        peer.last_lane = peer.last_lane.wrapping_add(1);
        self.picker.set_bitfield(peer.slot, bits);
        peer.slot.lane(peer.last_lane)
    }

    /// Removes a connection. What was in flight on it goes back.
    pub fn closed(&mut self, id: &PeerId, lane: Lane) {
        self.picker.give_back(lane);
        self.outlooks.remove(&lane);
        if let Some(peer) = self.open.get_mut(id).filter(|peer| peer.slot == lane.peer()) {
            peer.lanes -= 1;
            if peer.lanes == 0 {
                self.picker.remove_peer(peer.slot);
                if peer.delivered > 0 {
                    *self.before.entry(id.user.clone()).or_default() += peer.delivered;
                    self.ways_before.insert(id.user.clone(), peer.way);
                }
                self.open.remove(id);
            }
        }
    }

    /// Counts a good piece of so many bytes.
    pub fn credit(&mut self, id: &PeerId, bytes: u64) {
        if let Some(peer) = self.open.get_mut(id) {
            peer.delivered += bytes;
        }
    }

    /// Counts a piece that has come in. At the end of a run it says whether that was fast.
    pub fn count_run(&mut self, now: Instant) -> Option<bool> {
        self.run += 1;
        if self.run < RUN {
            return None;
        }
        let is_fast = now.duration_since(self.run_since) < FAST_RUN;
        self.picker.set_in_order(is_fast);
        (self.run, self.run_since) = (0, now);
        Some(is_fast)
    }

    /// Bytes of good pieces from each member that has delivered some or could.
    pub fn delivered(&self) -> BTreeMap<UserId, u64> {
        let mut all = self.before.clone();
        for (id, peer) in &self.open {
            *all.entry(id.user.clone()).or_default() += peer.delivered;
        }
        all
    }

    /// The best way to each member with an open connection.
    pub fn ways(&self) -> BTreeMap<UserId, Way> {
        let mut ways = BTreeMap::new();
        for (id, peer) in &self.open {
            let way: &mut Way = ways.entry(id.user.clone()).or_insert(peer.way);
            *way = peer.way.min(*way);
        }
        ways
    }

    /// The same, and the last way to each member who has delivered and has no connection now.
    pub fn last_ways(&self) -> BTreeMap<UserId, Way> {
        let mut ways = self.ways_before.clone();
        ways.extend(self.ways());
        ways
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_is_worth_it_where_the_other_is_far_slower_or_long_overdue() {
        const SECOND: Duration = Duration::from_secs(1);
        let now = Instant::now() + 100 * SECOND;
        let own = Outlook { done_at: now, per_piece: SECOND };
        let other = |done_at| Outlook { done_at, per_piece: SECOND };
        assert!(!own.outruns(&other(now + SECOND), now), "as fast as this one, as on a thin downlink that all share");
        assert!(own.outruns(&other(now + 3 * SECOND), now));
        assert!(!own.outruns(&other(now - SECOND), now));
        assert!(own.outruns(&other(now - 3 * SECOND), now));
    }
}
