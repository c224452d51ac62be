//! Chooses the next piece to request and the peer to ask for it: rarest first.
//!
//! The picker knows *peers* and *lanes*. A peer is a remote client, and counts once in a piece's availability, however
//! many connections lead to it. A lane is one connection to a peer. The picker keeps the pieces in flight per lane,
//! because connections die one by one. The picker requests a piece from a peer at most once. The connections of a peer
//! share one uplink, so a second copy would only slow down the first.
//!
//! The picker breaks ties at random within a window, with preference for the own *part*. The incomplete members of the
//! swarm that know each other divide the pieces by number, in the order of their client ids. So they request different
//! pieces from a scarce seeder without talking to each other. Some pieces remain to chance: the last ones, and those of
//! members that do not know each other yet. There the seeder decides: it refuses a piece for now while another member
//! is receiving that piece. The picker then requests such a piece from no peer until some peer is known to hold it or
//! some time has passed.
//!
//! A peer is *scarce* if it holds everything, and if fewer peers hold everything than members want pieces. Other
//! members may hold a piece of a scarce peer too, or have it in their part. The picker requests such a piece from the
//! scarce peer only while it has requested little else there.

use std::collections::BTreeMap;

use super::availability::{Availability, HOLDERS_MAX, Holdings};
pub use super::lane::{Lane, PeerSlot};
use super::partition::Partition;
use super::split_mix::SplitMix;
use crate::model::bitfield::Bitfield;
use crate::model::id::ClientId;
use crate::model::piece::{Layout, PieceIndex};

/// Among equally rare pieces, the picker chooses within this many: 64 MiB.
pub const WINDOW: u32 = 128;
/// The maximum number of lanes on which one piece is in flight.
pub const COPIES_MAX: usize = 3;
/// For a scarce peer, the picker searches its own part in one window per member, up to this many.
const WINDOWS_MAX: u32 = 8;
/// The picker chooses up to this many first pieces of a download in `WINDOWS_MAX` windows, if the peer is complete.
/// Members that begin at the same time do not know each other yet. Otherwise they would request the same pieces from a
/// scarce seeder.
const SCATTERED_MAX: u32 = 16;
/// With fewer pieces than this in flight, the picker requests from a scarce peer even pieces that others may bring.
const REPEATED_MAX: usize = 2;

/// The result of a received piece.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Received {
    /// The piece is new here.
    First {
        /// The other lanes with a request for the piece. They need not deliver it any more.
        cancel: Vec<Lane>,
    },
    /// Another lane was faster.
    Duplicate,
}

/// The piece picker of one download.
///
/// Invariants:
/// - A piece is in exactly one state: missing (a bit in `availability`), in flight (a key of `flights`) or here (a bit
///   in `have`).
/// - A piece is in flight on at most `COPIES_MAX` lanes, of as many peers. It is on no lane if the peer has refused it
///   for now, because it is in flight to another member.
/// - `lanes` lists the same pairs as `flights`, and only lanes of present peers.
/// - `hash_position` is the first piece that is not here, or the number of pieces.
///
/// At 2 million pieces it takes 2.3 bytes per piece. For each peer that holds some but not all pieces, it takes a bit
/// per piece and an eighth on top.
pub struct PiecePicker {
    layout: Layout,
    own: ClientId,
    window: u32,
    random: SplitMix,
    have: Bitfield,
    availability: Availability,
    flights: BTreeMap<PieceIndex, Copies>,
    lanes: BTreeMap<Lane, Vec<PieceIndex>>,
    hash_position: u32,
    slots: Vec<SlotEntry>,
    free: Vec<u32>,
    partition: Partition,
    /// The chosen pieces so far, counted up to `SCATTERED_MAX` at least.
    scattered: u32,
    in_order: bool,
    /// The equal pieces of one choice. Kept to save the allocation.
    equals: Vec<u32>,
}

/// The content of a slot. The generation counts its former peers.
struct SlotEntry {
    generation: u32,
    peer: Option<PickerPeer>,
}

struct PickerPeer {
    client: ClientId,
    holdings: Holdings,
}

/// The holdings of a peer; `None` once it is removed.
fn holdings_mut(slots: &mut [SlotEntry], peer: PeerSlot) -> Option<&mut Holdings> {
    let entry = slots.get_mut(peer.place as usize).filter(|entry| entry.generation == peer.generation)?;
    entry.peer.as_mut().map(|peer| &mut peer.holdings)
}

/// The lanes on which one piece is in flight, packed to the front.
#[derive(Default)]
struct Copies([Option<Lane>; COPIES_MAX]);

impl Copies {
    fn iter(&self) -> impl Iterator<Item = Lane> + '_ {
        self.0.iter().copied().flatten()
    }

    fn len(&self) -> usize {
        self.iter().count()
    }

    fn add(&mut self, lane: Lane) {
        let room = self.0.iter_mut().find(|place| place.is_none());
        *room.expect("a piece with COPIES_MAX copies is not picked") = Some(lane);
    }

    /// Removes the lane. Returns false if it was not there.
    fn remove(&mut self, lane: Lane) -> bool {
        let found = self.0.iter().position(|&place| place == Some(lane));
        if let Some(found) = found {
            self.0[found..].rotate_left(1);
            self.0[COPIES_MAX - 1] = None;
        }
        found.is_some()
    }
}

impl PiecePicker {
    /// A picker for a download by the client `own`, with the pieces `have`. `window` is in pieces, at least 1. The time
    /// of a choice grows with it. The window keeps the whole hash close behind. Among equally rare pieces, the picker
    /// takes none that lies `window` or more beyond both the hash position and the lowest of them. A narrower window
    /// keeps the hash closer. But then the members of a swarm request the same pieces from a scarce seeder more often.
    pub fn new(layout: Layout, have: Bitfield, own: ClientId, window: u32, seed: u64) -> Self {
        assert_eq!(have.len(), layout.count(), "the bitfield is of this layout");
        let (availability, begins) = (Availability::new(layout, &have), have.is_empty());
        let mut picker = Self {
            layout,
            own,
            window: window.max(1),
            random: SplitMix(seed),
            have,
            availability,
            flights: BTreeMap::new(),
            lanes: BTreeMap::new(),
            hash_position: 0,
            slots: Vec::new(),
            free: Vec::new(),
            partition: Partition { rank: 0, of: 1 },
            scattered: if begins { 0 } else { SCATTERED_MAX },
            in_order: false,
            equals: Vec::new(),
        };
        picker.advance_hash_position();
        picker
    }

    /// Handles the download as new, though some pieces came from this machine. So the first ones are chosen in more
    /// windows.
    pub fn scatter(&mut self) {
        self.scattered = 0;
    }

    /// Adds a peer without known pieces. Each peer is added once, however many connections lead to it. Only clients
    /// that take requests belong here: others would make pieces look less rare than they are. The id decides which part
    /// of the pieces is whose. Peers of two users may have the same id.
    pub fn add_peer(&mut self, client: ClientId) -> PeerSlot {
        let place = self.free.pop().unwrap_or_else(|| {
            assert!(self.slots.len() < HOLDERS_MAX, "the limit of connections is far below");
            self.slots.push(SlotEntry { generation: 0, peer: None });
            self.slots.len() as u32 - 1
        });
        let there = &mut self.slots[place as usize];
        there.peer = Some(PickerPeer { client, holdings: Holdings::Nothing });
        let slot = PeerSlot { place, generation: there.generation };
        self.divide();
        slot
    }

    /// The peer holds exactly these pieces. O(1) for all pieces, else O(pieces).
    pub fn set_bitfield(&mut self, peer: PeerSlot, bits: &Bitfield) {
        assert_eq!(bits.len(), self.layout.count(), "the bitfield is of this layout");
        self.drop_holdings(peer);
        if let Some(holdings) = holdings_mut(&mut self.slots, peer) {
            *holdings = self.availability.add(bits);
            self.divide();
            self.recall();
        }
    }

    /// The peer holds one more piece. O(1), but for the last one, which is O(pieces).
    pub fn peer_has(&mut self, peer: PeerSlot, piece: PieceIndex) {
        let Some(holdings) = holdings_mut(&mut self.slots, peer) else { return };
        if self.availability.add_one(holdings, piece) {
            self.set_bitfield(peer, &Bitfield::all(self.layout));
        }
        self.put_back_if_put_off(piece);
    }

    /// Removes a peer. Its pieces in flight go back. O(pieces), unless it held all or nothing.
    pub fn remove_peer(&mut self, peer: PeerSlot) {
        if self.holdings(peer).is_none() {
            return;
        }
        while let Some((&lane, _)) = self.lanes.range(peer.lane(0)..=peer.lane(u16::MAX)).next() {
            self.give_back(lane);
        }
        self.drop_holdings(peer);
        let entry = &mut self.slots[peer.place as usize];
        entry.peer = None;
        entry.generation = entry.generation.wrapping_add(1);
        self.free.push(peer.place);
        self.divide();
    }

    /// The piece to request on this lane now, where it is in flight from now on. The caller limits the number in flight
    /// per lane.
    ///
    /// The result is the rarest missing piece of the peer. The endgame begins once no peer holds a missing piece. Then
    /// a lane with nothing in flight gets a copy of a piece that is in flight with other peers only. `outrun` must say
    /// that this lane outruns the lanes of that piece. The piece with fewest copies comes first. The picker requests no
    /// piece from the only complete peer that others can still deliver.
    pub fn pick(&mut self, lane: Lane, outrun: impl Fn(Lane) -> bool) -> Option<PieceIndex> {
        let piece = self.pick_missing(lane.peer).or_else(|| self.pick_copy(lane, outrun))?;
        self.availability.take(piece);
        self.flights.entry(piece).or_default().add(lane);
        self.lanes.entry(lane).or_default().push(piece);
        self.assert_one_state(piece);
        Some(piece)
    }

    /// Notes that a piece from this lane is verified and written. It counts as here from now on, even if the lane was
    /// given back or its peer was removed in between.
    pub fn received(&mut self, lane: Lane, piece: PieceIndex) -> Received {
        match self.found(piece) {
            None => Received::Duplicate,
            Some(mut cancel) => {
                cancel.retain(|asked| *asked != lane);
                Received::First { cancel }
            }
        }
    }

    /// Notes that a piece from any source is verified and written. Returns the lanes with a request for it: they need
    /// not deliver it any more. Returns `None` if the piece was here before.
    pub fn found(&mut self, piece: PieceIndex) -> Option<Vec<Lane>> {
        if !self.have.insert(piece) {
            return None;
        }
        self.availability.take(piece);
        let asked: Vec<_> = self.flights.remove(&piece).unwrap_or_default().iter().collect();
        asked.iter().for_each(|lane| self.forget(*lane, piece));
        self.advance_hash_position();
        self.assert_one_state(piece);
        Some(asked)
    }

    /// Whether the peer is known to hold the piece.
    pub fn holds(&self, peer: PeerSlot, piece: PieceIndex) -> bool {
        self.holdings(peer).is_some_and(|holdings| holdings.has(piece))
    }

    /// Notes that the piece will not come on this lane, or was bad. The piece goes back, unless another lane has it in
    /// flight too.
    pub fn failed(&mut self, lane: Lane, piece: PieceIndex) {
        let Some(copies) = self.flights.get_mut(&piece) else { return };
        if !copies.remove(lane) {
            return;
        }
        self.forget(lane, piece);
        self.put_back_if_put_off(piece);
        self.assert_one_state(piece);
    }

    /// Notes that the peer refuses the piece for now, because it is giving the piece to another member. The picker
    /// requests it from no peer until another one is known to hold it or [`PiecePicker::recall`] is called.
    pub fn put_off(&mut self, lane: Lane, piece: PieceIndex) {
        if self.flights.get_mut(&piece).is_some_and(|copies| copies.remove(lane)) {
            self.forget(lane, piece);
        }
    }

    /// Lets refused pieces be requested again.
    pub fn recall(&mut self) {
        let put_off = |(&piece, copies): (&PieceIndex, &Copies)| (copies.len() == 0).then_some(piece);
        let pieces: Vec<_> = self.flights.iter().filter_map(put_off).collect();
        pieces.into_iter().for_each(|piece| self.put_back_if_put_off(piece));
    }

    /// The connection is gone or stuck. All its pieces in flight go back.
    pub fn give_back(&mut self, lane: Lane) {
        while let Some(&piece) = self.lanes.get(&lane).and_then(|pieces| pieces.last()) {
            self.failed(lane, piece);
        }
    }

    /// The connection is silent. Its pieces in flight go back if another peer without a request for them holds them.
    /// The rest would only be requested from the same peer again.
    pub fn snub(&mut self, lane: Lane) {
        for piece in self.lanes.get(&lane).cloned().unwrap_or_default() {
            let asked = self.flights.get(&piece).map_or(0, Copies::len);
            if self.availability(piece) as usize > asked {
                self.failed(lane, piece);
            }
        }
    }

    /// Whether to choose the first of equal pieces. A download that is faster than its whole hash needs them in the
    /// order of the hash. At first the choice is random, so that members differ.
    pub fn set_in_order(&mut self, in_order: bool) {
        self.in_order = in_order;
    }

    /// The pieces that are here.
    pub fn have(&self) -> &Bitfield {
        &self.have
    }

    pub fn is_complete(&self) -> bool {
        self.have.is_complete()
    }

    /// The number of pieces that are neither here nor in flight.
    pub fn missing(&self) -> u32 {
        self.availability.missing_count()
    }

    /// The number of peers that hold the piece.
    pub fn availability(&self, piece: PieceIndex) -> u32 {
        self.availability.holder_count(piece)
    }

    /// The number of pieces without a gap from the start, which is how far the whole hash can be.
    pub fn hash_position(&self) -> u32 {
        self.hash_position
    }

    /// Whether the peer holds a piece that is not here, even one in flight with others. Takes `&mut` to correct bounds
    /// on the way; no visible state changes.
    pub fn wants_from(&mut self, peer: PeerSlot) -> bool {
        let Some(holdings) = holdings_mut(&mut self.slots, peer) else { return false };
        self.availability.rarest(holdings).is_some() || self.flights.keys().any(|&piece| holdings.has(piece))
    }

    fn pick_missing(&mut self, peer: PeerSlot) -> Option<PieceIndex> {
        let complete = matches!(self.holdings(peer), Some(Holdings::All));
        let scarce = self.is_scarce(peer);
        let may_repeat = !scarce || self.may_repeat(peer);
        let holdings = holdings_mut(&mut self.slots, peer)?;
        let rarest = self.availability.rarest(holdings)?;
        // Other peers can deliver what they hold too.
        if rarest.count > 0 && !may_repeat {
            return None;
        }
        let windows = match () {
            () if scarce => self.partition.of.min(WINDOWS_MAX),
            () if complete && self.scattered < SCATTERED_MAX => WINDOWS_MAX,
            () => 1,
        };
        let window = self.window.saturating_mul(windows);
        let ahead = rarest.first - self.hash_position;
        let start = if ahead < window { self.hash_position } else { rarest.first };
        let range = rarest.first..start.saturating_add(window);
        self.availability.equals(holdings, rarest.count, range, &mut self.equals);
        let own = self.partition.narrow(&mut self.equals, self.window);
        if scarce && !own {
            if !may_repeat {
                return None;
            }
            // The members with that part begin at the other end.
            self.equals.drain(..self.equals.len() / 4 * 3);
        }
        self.scattered = self.scattered.saturating_add(1);
        let chosen = if self.in_order { 0 } else { self.random.below(self.equals.len()) };
        self.layout.index(self.equals[chosen])
    }

    /// Whether the peer holds everything, and fewer peers hold everything than members want pieces.
    fn is_scarce(&self, peer: PeerSlot) -> bool {
        let complete = matches!(self.holdings(peer), Some(Holdings::All));
        complete && self.availability.seeds() < self.partition.of
    }

    /// Whether to request a piece from a scarce peer even if other members hold it or have it in their part. True only
    /// while little else is requested from the scarce peer. So this download goes on even if the other members do not.
    fn may_repeat(&self, peer: PeerSlot) -> bool {
        let lanes = self.lanes.range(peer.lane(0)..=peer.lane(u16::MAX));
        lanes.map(|(_, pieces)| pieces.len()).sum::<usize>() < REPEATED_MAX
    }

    fn pick_copy(&self, lane: Lane, outrun: impl Fn(Lane) -> bool) -> Option<PieceIndex> {
        if self.availability.obtainable() > 0 || self.lanes.contains_key(&lane) {
            return None;
        }
        if self.is_scarce(lane.peer) && !self.may_repeat(lane.peer) {
            return None;
        }
        let holdings = self.holdings(lane.peer)?;
        let lone_seed = self.availability.seeds() == 1 && matches!(holdings, Holdings::All);
        let mut best = None;
        let mut fewest = COPIES_MAX;
        for (&piece, copies) in &self.flights {
            let asked = copies.len();
            let others_can = lone_seed && self.availability(piece) as usize > asked + 1;
            let elsewhere = || copies.iter().all(|copy| copy.peer != lane.peer && outrun(copy));
            if asked > 0 && asked < fewest && !others_can && holdings.has(piece) && elsewhere() {
                (best, fewest) = (Some(piece), asked);
            }
            if fewest == 1 {
                break;
            }
        }
        best
    }

    fn holdings(&self, peer: PeerSlot) -> Option<&Holdings> {
        let entry = self.slots.get(peer.place as usize).filter(|entry| entry.generation == peer.generation)?;
        entry.peer.as_ref().map(|peer| &peer.holdings)
    }

    /// Removes the holdings of a peer, if it is there.
    fn drop_holdings(&mut self, peer: PeerSlot) {
        let Some(holdings) = holdings_mut(&mut self.slots, peer) else { return };
        let dropped = std::mem::replace(holdings, Holdings::Nothing);
        if let Some(loss) = self.availability.subtract(dropped) {
            self.each_peer(|_, holdings| loss.announce(holdings));
        }
    }

    fn each_peer(&mut self, tell: impl Fn(&Availability, &mut Holdings)) {
        for peer in self.slots.iter_mut().filter_map(|entry| entry.peer.as_mut()) {
            tell(&self.availability, &mut peer.holdings);
        }
    }

    /// Divides the pieces among the incomplete members of the swarm, this one included.
    fn divide(&mut self) {
        let peers = self.slots.iter().filter_map(|entry| entry.peer.as_ref());
        let others = peers.filter(|peer| !matches!(peer.holdings, Holdings::All)).map(|peer| peer.client);
        let (rank, others) =
            others.fold((0, 0), |(rank, count), client| (rank + u32::from(client < self.own), count + 1));
        self.partition = Partition { rank, of: others + 1 };
    }

    /// A piece in flight on no lane is missing again.
    pub fn put_back_if_put_off(&mut self, piece: PieceIndex) {
        if self.flights.get(&piece).is_some_and(|copies| copies.len() == 0) {
            self.flights.remove(&piece);
            self.availability.put_back(piece);
            self.each_peer(|availability, holdings| availability.announce(holdings, piece));
        }
    }

    /// Removes the piece from those in flight on the lane.
    fn forget(&mut self, lane: Lane, piece: PieceIndex) {
        if let Some(pieces) = self.lanes.get_mut(&lane) {
            pieces.retain(|&other| other != piece);
            if pieces.is_empty() {
                self.lanes.remove(&lane);
            }
        }
    }

    fn advance_hash_position(&mut self) {
        while self.layout.index(self.hash_position).is_some_and(|piece| self.have.has(piece)) {
            self.hash_position += 1;
        }
    }

    fn assert_one_state(&self, piece: PieceIndex) {
        if cfg!(debug_assertions) {
            let states = [self.availability.is_missing(piece), self.flights.contains_key(&piece), self.have.has(piece)];
            assert_eq!(states.iter().filter(|&&state| state).count(), 1, "piece {}", piece.get());
            let total = self.availability.missing_count() + self.flights.len() as u32 + self.have.held();
            assert_eq!(total, self.layout.count());
        }
    }
}

#[cfg(test)]
mod tests;
