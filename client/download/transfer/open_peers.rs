//! The peers with connections, the requests to each, and the deliveries of each. Pure: the time is passed in.

use crate::client::picker::piece_picker::{Lane, PeerSlot, PiecePicker};
use crate::client::reach::way::Way;
use crate::model::bitfield::Bitfield;
use crate::model::id::PeerId;
use crate::model::name::UserId;
use crate::model::piece::{Layout, PieceIndex};
use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

/// The rate is measured over runs of this many pieces.
const RUN: u32 = 16;
/// A run within this time (100 MB/s) is so fast that hashing is the bottleneck. Among equal pieces, the picker then
/// takes the next one in order, so the whole hash reads few of them back.
const FAST_RUN: Duration = Duration::from_millis(80);

/// No piece counts as long overdue before this time: a fast connection may pause.
const OVERDUE_MIN: Duration = Duration::from_secs(1);
/// The maximum number of connections that get a request before they open. So peers that never answer block few pieces.
const EARLY_MAX: usize = 2;

/// The expected course of a connection.
#[derive(Debug, Clone, Copy)]
pub struct Outlook {
    /// When all its requested pieces will be here.
    pub done_at: Instant,
    /// How long a piece takes.
    pub per_piece: Duration,
}

impl Outlook {
    /// Whether a copy of a piece would come far sooner on this connection than on the other. A connection that is long
    /// overdue may never deliver.
    fn outruns(&self, other: &Outlook, now: Instant) -> bool {
        let (left, past) = (other.done_at.saturating_duration_since(now), now.saturating_duration_since(other.done_at));
        left.max(past) > 2 * self.per_piece
    }

    /// Whether the requested pieces are long overdue.
    pub fn is_overdue(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.done_at) > (2 * self.per_piece).max(OVERDUE_MIN)
    }
}

pub struct OpenPeers {
    pub picker: PiecePicker,
    /// The outlooks of lanes that have delivered something.
    outlooks: HashMap<Lane, Outlook>,
    open: HashMap<PeerId, OpenPeer>,
    /// The lanes that have not opened yet, [`EARLY_MAX`] at most.
    early: Vec<Lane>,
    /// Bytes that members delivered on connections that have ended.
    before: BTreeMap<UserId, u64>,
    /// The ways of ended connections: the last one of each member.
    ways_before: BTreeMap<UserId, Way>,
    /// The pieces of the current run, and when it began.
    run: u32,
    run_since: Instant,
}

struct OpenPeer {
    slot: PeerSlot,
    /// The way of the latest connection.
    way: Way,
    lanes: u16,
    last_lane: u16,
    /// Bytes of good pieces.
    delivered: u64,
}

impl OpenPeers {
    pub fn new(picker: PiecePicker, now: Instant) -> Self {
        let (before, ways_before) = (BTreeMap::new(), BTreeMap::new());
        let (outlooks, open, early) = (HashMap::new(), HashMap::new(), Vec::new());
        Self { picker, outlooks, open, early, before, ways_before, run: 0, run_since: now }
    }

    /// Notes the outlook of a lane.
    pub fn expect(&mut self, lane: Lane, outlook: Outlook) {
        self.outlooks.insert(lane, outlook);
    }

    /// The piece to request on this lane, for this outlook.
    pub fn pick(&mut self, lane: Lane, outlook: Option<Outlook>, now: Instant) -> Option<PieceIndex> {
        if let Some(outlook) = outlook {
            self.expect(lane, outlook);
        }
        let outlooks = &self.outlooks;
        // A lane without an outlook is expected to deliver nothing.
        let outrun = |other| match (outlook, outlooks.get(&other)) {
            (Some(own), Some(other)) => own.outruns(other, now),
            _ => true,
        };
        self.picker.pick(lane, outrun)
    }

    /// The number of clients with a connection.
    pub fn count(&self) -> usize {
        self.open.len()
    }

    /// Adds an open connection to a client that holds these pieces.
    pub fn opened(&mut self, peer: &PeerId, way: Way, bits: &Bitfield) -> Lane {
        let lane = self.add(peer, way);
        self.confirmed(peer, lane, (way, bits));
        lane
    }

    /// Adds a connection before it opens, to a client that is said to hold everything. If the client has announced its
    /// pieces on another connection, those stay. Returns `None` at the limit.
    pub fn early(&mut self, peer: &PeerId, way: Way, layout: Layout) -> Option<Lane> {
        if self.early.len() == EARLY_MAX {
            return None;
        }
        let is_known = self.open.contains_key(peer);
        let lane = self.add(peer, way);
        self.early.push(lane);
        if !is_known {
            self.picker.set_bitfield(lane.peer(), &Bitfield::all(layout));
        }
        Some(lane)
    }

    /// Notes that the connection has opened, and that the client holds exactly these pieces.
    pub fn confirmed(&mut self, id: &PeerId, lane: Lane, (way, bits): (Way, &Bitfield)) {
        self.early.retain(|early| *early != lane);
        // All connections to a client use one way, unless a better one replaces them.
        if let Some(peer) = self.open.get_mut(id) {
            peer.way = way;
        }
        self.picker.set_bitfield(lane.peer(), bits);
    }

    fn add(&mut self, peer: &PeerId, way: Way) -> Lane {
        let peer = self.open.entry(peer.clone()).or_insert_with(|| OpenPeer {
            slot: self.picker.add_peer(peer.client),
            way,
            lanes: 0,
            last_lane: 0,
            delivered: 0,
        });
        peer.lanes += 1;
        peer.last_lane = peer.last_lane.wrapping_add(1);
        peer.slot.lane(peer.last_lane)
    }

    /// Removes a connection. Its pieces in flight go back to the picker.
    pub fn closed(&mut self, id: &PeerId, lane: Lane) {
        self.picker.give_back(lane);
        self.outlooks.remove(&lane);
        self.early.retain(|early| *early != lane);
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

    /// Counts a good piece of this many bytes.
    pub fn credit(&mut self, id: &PeerId, bytes: u64) {
        if let Some(peer) = self.open.get_mut(id) {
            peer.delivered += bytes;
        }
    }

    /// Counts a received piece. At the end of a run, returns whether the run was fast.
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

    /// Bytes of good pieces from each member that has delivered any or could deliver.
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

    /// As `ways`, with the last way to each member that has delivered and has no connection now.
    pub fn last_ways(&self) -> BTreeMap<UserId, Way> {
        let mut ways = self.ways_before.clone();
        ways.extend(self.ways());
        ways
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::id::ClientId;
    use crate::model::piece::PIECE_LEN;

    fn peer(number: u8) -> PeerId {
        PeerId { user: UserId::parse("alice").expect("a name"), client: ClientId([number; 16]) }
    }

    /// The peers of a download of four pieces.
    fn peers() -> (OpenPeers, Layout) {
        let layout = Layout::new(4 * u64::from(PIECE_LEN)).expect("below the cap");
        let picker = PiecePicker::new(layout, Bitfield::none(layout), ClientId([99; 16]), 128, 1);
        (OpenPeers::new(picker, Instant::now()), layout)
    }

    #[test]
    fn few_connections_are_asked_for_something_before_they_open() {
        let (mut peers, layout) = peers();
        let lanes: Vec<_> = (0..9).map(|number| peers.early(&peer(number), Way::Direct, layout)).collect();
        assert_eq!(lanes.iter().flatten().count(), EARLY_MAX);
        let first = lanes[0].expect("there was room");
        peers.confirmed(&peer(0), first, (Way::Direct, &Bitfield::none(layout)));
        assert!(!peers.picker.wants_from(first.peer()), "the peer's own words count");
        let third = peers.early(&peer(3), Way::Direct, layout).expect("one has opened");
        peers.closed(&peer(3), third);
        assert!(peers.early(&peer(4), Way::Direct, layout).is_some(), "one has failed");
        assert!(peers.early(&peer(5), Way::Direct, layout).is_none());
    }

    #[test]
    fn a_further_connection_that_closes_takes_nothing_from_what_the_peer_has_said() {
        let (mut peers, layout) = peers();
        let open = peers.opened(&peer(1), Way::Direct, &Bitfield::none(layout));
        let further = peers.early(&peer(1), Way::Relayed, layout).expect("there is room");
        assert_eq!(peers.pick(further, None, Instant::now()), None);
        peers.closed(&peer(1), further);
        assert!(!peers.picker.wants_from(open.peer()));
        assert_eq!(peers.ways().into_values().collect::<Vec<_>>(), [Way::Direct], "it has not opened");
    }

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
