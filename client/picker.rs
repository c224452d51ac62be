//! Which piece of a download to ask of whom next: rarest first.
//!
//! The picker knows *peers* and *lanes*. A peer is a remote client; it counts once in a piece's availability, however
//! many connections lead to it. A lane is one connection to a peer. What is in flight is kept per lane, because it is
//! a connection that dies or has to be told to cancel. A piece is asked of a peer once at most, because its connections
//! share one uplink, so that a second copy would only slow the first.
//!
//! Ties are broken at random within a window, and there with preference for the own *share*: the incomplete members of
//! the swarm, as far as they know each other, divide the pieces by number, in the order of their client ids. So they
//! ask a scarce seeder for different pieces without a word between them. What shares leave to chance (members that do
//! not know each other yet, the last pieces) the seeder settles: it puts off who asks for what it is giving to another
//! one. A piece that was put off is asked of nobody until it is known to be there or some time has passed.
//!
//! A peer is *scarce* if it is one of few that hold all, fewer than the members who want it. It is asked for what
//! others hold too, or have the share of, only while little else is asked of it.

use std::collections::BTreeMap;

use super::own_share::OwnShare;
use super::rarity::{HOLDERS_MAX, Holdings, Rarity};
use super::split_mix::SplitMix;
use crate::model::bitfield::Bitfield;
use crate::model::id::ClientId;
use crate::model::piece::{Layout, PieceIndex};

/// Among equally rare pieces the choice is made within this many: 64 MiB.
pub const WINDOW: u32 = 128;
/// Most lanes that one piece is in flight with.
pub const COPIES_MAX: usize = 3;

/// A member of a swarm that divides the pieces of a scarce peer looks for its own share in more windows, up to this many.
const WINDOWS_MAX: u32 = 8;
/// The first pieces of a download that complete peers are asked for are chosen in as many windows: members who begin at the same time do not know each
/// other yet, and would ask a scarce seeder for the same pieces.
const SCATTERED_MAX: u32 = 16;
/// Most pieces in flight with a scarce peer beside which it is asked for one that others may bring.
const REPEATED_MAX: usize = 2;

/// A peer, named by the picker. The place is used again once the peer is removed, under another generation: what is
/// said later in the name of a removed peer is recognised and changes nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerSlot {
    place: u32,
    generation: u32,
}

impl PeerSlot {
    /// One of the connections to this peer. The caller numbers them as it likes.
    pub fn lane(self, number: u16) -> Lane {
        Lane { peer: self, number }
    }
}

/// One connection to a peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lane {
    peer: PeerSlot,
    number: u16,
}

impl Lane {
    /// The peer that it leads to.
    pub fn peer(self) -> PeerSlot {
        self.peer
    }

    /// The number that the caller gave it.
    pub fn number(self) -> u16 {
        self.number
    }
}

/// What a piece that arrived was good for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Received {
    /// It was not here before.
    First {
        /// The other lanes that were asked for it and need not deliver it any more.
        cancel: Vec<Lane>,
    },
    /// Another lane was faster.
    Duplicate,
}

/// The piece picker of one download.
///
/// Invariants:
/// - A piece is in exactly one state: missing (a bit in `rarity`), in flight (a key of `flights`) or here (a bit in
///   `have`).
/// - A piece is in flight with at most `COPIES_MAX` lanes, of as many peers; with none if it was put off, being in flight
///   to another member.
/// - `lanes` lists the same pairs as `flights`, and only lanes of peers that are there.
/// - `hash_position` is the first piece that is not here, or the number of pieces.
///
/// At 2 million pieces it takes 2.3 bytes per piece, and for each peer that holds some but not all pieces a bit per
/// piece and an eighth on top.
pub struct Picker {
    layout: Layout,
    own: ClientId,
    window: u32,
    random: SplitMix,
    have: Bitfield,
    rarity: Rarity,
    flights: BTreeMap<PieceIndex, Copies>,
    lanes: BTreeMap<Lane, Vec<PieceIndex>>,
    hash_position: u32,
    places: Vec<Place>,
    free: Vec<u32>,
    share: OwnShare,
    /// Pieces that were chosen so far, as far as that matters.
    scattered: u32,
    in_order: bool,
    /// Room for the equals of one choice, kept to save the allocation.
    equals: Vec<u32>,
}

/// A place for a peer. The generation counts the peers that were here before.
struct Place {
    generation: u32,
    peer: Option<Peer>,
}

struct Peer {
    client: ClientId,
    holdings: Holdings,
}

/// What a peer holds; `None` once it is removed.
fn holdings_mut(places: &mut [Place], peer: PeerSlot) -> Option<&mut Holdings> {
    let place = places.get_mut(peer.place as usize).filter(|place| place.generation == peer.generation)?;
    place.peer.as_mut().map(|peer| &mut peer.holdings)
}

/// The lanes that one piece is in flight with, packed to the front.
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

    /// Takes the lane out; false if it was not there.
    fn remove(&mut self, lane: Lane) -> bool {
        let found = self.0.iter().position(|&place| place == Some(lane));
        if let Some(found) = found {
            self.0[found..].rotate_left(1);
            self.0[COPIES_MAX - 1] = None;
        }
        found.is_some()
    }
}

impl Picker {
    /// A picker for a download by the client `own`, of which `have` is here already. `window` is in pieces, at least 1;
    /// the time of a choice grows with it.
    ///
    /// The window keeps the complete-file hash close behind: of equally rare pieces none is picked that lies `window`
    /// or more beyond both the hash position and the lowest one that is still to be had. A narrower window keeps it
    /// closer, but makes members of a swarm ask a scarce seeder for the same pieces more often.
    pub fn new(layout: Layout, have: Bitfield, own: ClientId, window: u32, seed: u64) -> Self {
        assert_eq!(have.len(), layout.count(), "the bitfield is of this layout");
        let (rarity, begins) = (Rarity::new(layout, &have), have.is_empty());
        let mut picker = Self {
            layout,
            own,
            window: window.max(1),
            random: SplitMix(seed),
            have,
            rarity,
            flights: BTreeMap::new(),
            lanes: BTreeMap::new(),
            hash_position: 0,
            places: Vec::new(),
            free: Vec::new(),
            share: OwnShare { rank: 0, of: 1 },
            scattered: if begins { 0 } else { SCATTERED_MAX },
            in_order: false,
            equals: Vec::new(),
        };
        picker.advance_hash_position();
        picker
    }

    /// A peer, which holds nothing as far as is known; a client that is a peer already keeps its slot. Only clients that
    /// can be asked belong here: others would make pieces look less rare than they are.
    pub fn add_peer(&mut self, client: ClientId) -> PeerSlot {
        let same = |place: &Place| place.peer.as_ref().is_some_and(|peer| peer.client == client);
        if let Some(place) = self.places.iter().position(same) {
            return PeerSlot { place: place as u32, generation: self.places[place].generation };
        }
        let place = self.free.pop().unwrap_or_else(|| {
            assert!(self.places.len() < HOLDERS_MAX, "connections are capped far below");
            self.places.push(Place { generation: 0, peer: None });
            self.places.len() as u32 - 1
        });
        let there = &mut self.places[place as usize];
        there.peer = Some(Peer { client, holdings: Holdings::Nothing });
        let slot = PeerSlot { place, generation: there.generation };
        self.divide();
        slot
    }

    /// The peer holds exactly these pieces. O(1) for all pieces, else O(pieces).
    pub fn set_bitfield(&mut self, peer: PeerSlot, bits: &Bitfield) {
        assert_eq!(bits.len(), self.layout.count(), "the bitfield is of this layout");
        self.drop_holdings(peer);
        if let Some(holdings) = holdings_mut(&mut self.places, peer) {
            *holdings = self.rarity.add(bits);
            self.divide();
            self.recall();
        }
    }

    /// The peer holds one more piece. O(1), but for the last one, which is O(pieces).
    pub fn peer_has(&mut self, peer: PeerSlot, piece: PieceIndex) {
        let Some(holdings) = holdings_mut(&mut self.places, peer) else { return };
        if self.rarity.add_one(holdings, piece) {
            self.set_bitfield(peer, &Bitfield::all(self.layout));
        }
        self.put_back_if_put_off(piece);
    }

    /// The peer is gone; what was in flight with it goes back. O(pieces), unless it held all or nothing.
    pub fn remove_peer(&mut self, peer: PeerSlot) {
        if self.holdings(peer).is_none() {
            return;
        }
        while let Some((&lane, _)) = self.lanes.range(peer.lane(0)..=peer.lane(u16::MAX)).next() {
            self.give_back(lane);
        }
        self.drop_holdings(peer);
        let place = &mut self.places[peer.place as usize];
        place.peer = None;
        place.generation = place.generation.wrapping_add(1);
        self.free.push(peer.place);
        self.divide();
    }

    /// The piece to ask for on this lane now; it is then in flight there. How many a lane has in flight is up to the
    /// caller.
    ///
    /// It is the rarest missing piece of the peer's. Once nothing that any peer holds is missing, the endgame begins: a
    /// lane with nothing in flight gets a copy of a piece that is in flight with other peers only, the one with fewest
    /// copies first. The only complete peer is spared what others can still be asked for.
    pub fn pick(&mut self, lane: Lane) -> Option<PieceIndex> {
        let piece = self.pick_missing(lane.peer).or_else(|| self.pick_copy(lane))?;
        self.rarity.take(piece);
        self.flights.entry(piece).or_default().add(lane);
        self.lanes.entry(lane).or_default().push(piece);
        self.assert_one_state(piece);
        Some(piece)
    }

    /// The piece arrived on this lane, was verified and is written: from here on it counts as here. That is so even if
    /// the lane has been given back or its peer removed in between.
    pub fn received(&mut self, lane: Lane, piece: PieceIndex) -> Received {
        if !self.have.insert(piece) {
            return Received::Duplicate;
        }
        self.rarity.take(piece);
        let mut cancel = Vec::new();
        for asked in self.flights.remove(&piece).unwrap_or_default().iter() {
            self.forget(asked, piece);
            if asked != lane {
                cancel.push(asked);
            }
        }
        self.advance_hash_position();
        self.assert_one_state(piece);
        Received::First { cancel }
    }

    /// The piece will not come on this lane, or was bad: it goes back, unless another lane has it in flight too.
    pub fn failed(&mut self, lane: Lane, piece: PieceIndex) {
        let Some(copies) = self.flights.get_mut(&piece) else { return };
        if !copies.remove(lane) {
            return;
        }
        self.forget(lane, piece);
        self.put_back_if_put_off(piece);
        self.assert_one_state(piece);
    }

    /// The piece will not come on this lane now, because its peer is giving it to another member: it is asked of nobody
    /// until somebody else is known to hold it or [`Picker::recall`] is called.
    pub fn put_off(&mut self, lane: Lane, piece: PieceIndex) {
        if self.flights.get_mut(&piece).is_some_and(|copies| copies.remove(lane)) {
            self.forget(lane, piece);
        }
    }

    /// What was put off may be asked for again.
    pub fn recall(&mut self) {
        let put_off = |(&piece, copies): (&PieceIndex, &Copies)| (copies.len() == 0).then_some(piece);
        let pieces: Vec<_> = self.flights.iter().filter_map(put_off).collect();
        pieces.into_iter().for_each(|piece| self.put_back_if_put_off(piece));
    }

    /// The connection is gone or stuck: all that was in flight on it goes back.
    pub fn give_back(&mut self, lane: Lane) {
        while let Some(&piece) = self.lanes.get(&lane).and_then(|pieces| pieces.last()) {
            self.failed(lane, piece);
        }
    }

    /// The connection is silent: what is in flight on it goes back as far as peers hold it that were not asked for it.
    /// The rest would only be asked of the same peer again.
    pub fn snub(&mut self, lane: Lane) {
        for piece in self.lanes.get(&lane).cloned().unwrap_or_default() {
            let asked = self.flights.get(&piece).map_or(0, Copies::len);
            if self.availability(piece) as usize > asked {
                self.failed(lane, piece);
            }
        }
    }

    /// Whether of equals to choose from the first is chosen, for a download so fast that the complete-file hash should
    /// find its pieces in the order in which it takes them. Begins as no: any of them, so that members differ.
    pub fn set_in_order(&mut self, in_order: bool) {
        self.in_order = in_order;
    }

    /// The pieces that are here.
    pub fn have(&self) -> &Bitfield {
        &self.have
    }

    /// Whether all pieces are here.
    pub fn is_complete(&self) -> bool {
        self.have.is_complete()
    }

    /// Number of pieces that are neither here nor in flight.
    pub fn missing(&self) -> u32 {
        self.rarity.missing_count()
    }

    /// How many peers hold the piece.
    pub fn availability(&self, piece: PieceIndex) -> u32 {
        self.rarity.availability(piece)
    }

    /// Number of pieces that are here without a gap from the start: how far the complete-file hash can be.
    pub fn hash_position(&self) -> u32 {
        self.hash_position
    }

    /// Whether the peer holds anything that is not here yet, be it in flight with others: if not, a connection to it
    /// serves no purpose for now. Takes `&mut` to correct bounds on the way; nothing that can be seen changes.
    pub fn wants_from(&mut self, peer: PeerSlot) -> bool {
        let Some(holdings) = holdings_mut(&mut self.places, peer) else { return false };
        self.rarity.rarest(holdings).is_some() || self.flights.keys().any(|&piece| holdings.has(piece))
    }

    fn pick_missing(&mut self, peer: PeerSlot) -> Option<PieceIndex> {
        let complete = matches!(self.holdings(peer), Some(Holdings::All));
        let scarce = self.is_scarce(peer);
        let may_repeat = !scarce || self.may_repeat(peer);
        let holdings = holdings_mut(&mut self.places, peer)?;
        let rarest = self.rarity.rarest(holdings)?;
        // What others hold too can be asked of them.
        if rarest.count > 0 && !may_repeat {
            return None;
        }
        let windows = match () {
            () if scarce => self.share.of.min(WINDOWS_MAX),
            () if complete && self.scattered < SCATTERED_MAX => WINDOWS_MAX,
            () => 1,
        };
        let window = self.window.saturating_mul(windows);
        let ahead = rarest.first - self.hash_position;
        let start = if ahead < window { self.hash_position } else { rarest.first };
        let range = rarest.first..start.saturating_add(window);
        self.rarity.equals(holdings, rarest.count, range, &mut self.equals);
        let own = self.share.narrow(&mut self.equals, self.window);
        if scarce && !own {
            if !may_repeat {
                return None;
            }
            // The members whose share it is begin at the other end.
            self.equals.drain(..self.equals.len() / 4 * 3);
        }
        self.scattered = self.scattered.saturating_add(1);
        let chosen = if self.in_order { 0 } else { self.random.below(self.equals.len()) };
        self.layout.index(self.equals[chosen])
    }

    /// Whether the peer is one of few who hold all, fewer than the members who want it.
    fn is_scarce(&self, peer: PeerSlot) -> bool {
        let complete = matches!(self.holdings(peer), Some(Holdings::All));
        complete && self.rarity.seeds() < self.share.of
    }

    /// Whether a scarce peer is asked even for what others may be asking it for too, or for what others hold: only while
    /// little else is asked of it, so that a download goes on if the others do not.
    fn may_repeat(&self, peer: PeerSlot) -> bool {
        let lanes = self.lanes.range(peer.lane(0)..=peer.lane(u16::MAX));
        lanes.map(|(_, pieces)| pieces.len()).sum::<usize>() < REPEATED_MAX
    }

    fn pick_copy(&self, lane: Lane) -> Option<PieceIndex> {
        if self.rarity.obtainable() > 0 || self.lanes.contains_key(&lane) {
            return None;
        }
        if self.is_scarce(lane.peer) && !self.may_repeat(lane.peer) {
            return None;
        }
        let holdings = self.holdings(lane.peer)?;
        let lone_seed = self.rarity.seeds() == 1 && matches!(holdings, Holdings::All);
        let mut best = None;
        let mut fewest = COPIES_MAX;
        for (&piece, copies) in &self.flights {
            let asked = copies.len();
            let others_can = lone_seed && self.availability(piece) as usize > asked + 1;
            let elsewhere = || copies.iter().all(|copy| copy.peer != lane.peer);
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
        let place = self.places.get(peer.place as usize).filter(|place| place.generation == peer.generation)?;
        place.peer.as_ref().map(|peer| &peer.holdings)
    }

    /// The peer, if it is there, holds nothing any more.
    fn drop_holdings(&mut self, peer: PeerSlot) {
        let Some(holdings) = holdings_mut(&mut self.places, peer) else { return };
        let dropped = std::mem::replace(holdings, Holdings::Nothing);
        if let Some(loss) = self.rarity.subtract(dropped) {
            self.each_peer(|rarity, holdings| rarity.announce_loss(holdings, &loss));
        }
    }

    fn each_peer(&mut self, tell: impl Fn(&Rarity, &mut Holdings)) {
        for peer in self.places.iter_mut().filter_map(|place| place.peer.as_mut()) {
            tell(&self.rarity, &mut peer.holdings);
        }
    }

    /// Divides the pieces among the incomplete members of the swarm, of which we are one.
    fn divide(&mut self) {
        let peers = self.places.iter().filter_map(|place| place.peer.as_ref());
        let others = peers.filter(|peer| !matches!(peer.holdings, Holdings::All)).map(|peer| peer.client);
        let (rank, others) =
            others.fold((0, 0), |(rank, count), client| (rank + u32::from(client < self.own), count + 1));
        self.share = OwnShare { rank, of: others + 1 };
    }

    /// The piece is missing again if it is in flight with no lane.
    fn put_back_if_put_off(&mut self, piece: PieceIndex) {
        if self.flights.get(&piece).is_some_and(|copies| copies.len() == 0) {
            self.flights.remove(&piece);
            self.rarity.put_back(piece);
            self.each_peer(|rarity, holdings| rarity.announce(holdings, piece));
        }
    }

    /// The lane does not have the piece in flight any more.
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
            let states = [self.rarity.is_missing(piece), self.flights.contains_key(&piece), self.have.has(piece)];
            assert_eq!(states.iter().filter(|&&state| state).count(), 1, "piece {}", piece.get());
            let total = self.rarity.missing_count() + self.flights.len() as u32 + self.have.held();
            assert_eq!(total, self.layout.count());
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proptest::test_runner::RngSeed;
    use std::collections::{BTreeSet, VecDeque};

    use super::*;
    use crate::model::piece::PIECE_LEN;

    const OWN: ClientId = client(100);

    const fn client(number: u8) -> ClientId {
        ClientId([number; 16])
    }

    fn layout(pieces: u32) -> Layout {
        Layout::new(u64::from(pieces) * u64::from(PIECE_LEN)).expect("small")
    }

    fn bits(pieces: u32, held: impl IntoIterator<Item = u32>) -> Bitfield {
        let mut bits = Bitfield::none(layout(pieces));
        for number in held {
            bits.insert(layout(pieces).index(number).expect("in the layout"));
        }
        bits
    }

    /// A picker with nothing here, whose peers hold what is given.
    fn picker<const N: usize>(pieces: u32, peers: [Bitfield; N]) -> (Picker, [PeerSlot; N]) {
        let mut picker = Picker::new(layout(pieces), bits(pieces, []), OWN, WINDOW, 1);
        let mut number = 0;
        let slots = peers.map(|bits| {
            number += 1;
            let slot = picker.add_peer(client(number));
            picker.set_bitfield(slot, &bits);
            slot
        });
        (picker, slots)
    }

    fn pick(picker: &mut Picker, lane: Lane) -> Option<u32> {
        picker.pick(lane).map(PieceIndex::get)
    }

    fn receive(picker: &mut Picker, lane: Lane, piece: u32) -> Received {
        picker.received(lane, picker.layout.index(piece).expect("in the layout"))
    }

    fn fetch_all(picker: &mut Picker, lane: Lane) -> Vec<u32> {
        let step = |picker: &mut Picker| picker.pick(lane).inspect(|&piece| drop(picker.received(lane, piece)));
        std::iter::from_fn(|| step(picker)).map(PieceIndex::get).collect()
    }

    #[test]
    fn the_rarest_piece_is_chosen_first() {
        let holdings = [bits(6, 0..6), bits(6, [0, 1, 2, 4, 5]), bits(6, [0, 2, 5]), bits(6, [2, 5]), bits(6, [5])];
        let (mut picker, [complete, ..]) = picker(6, holdings);
        assert_eq!(picker.availability(layout(6).index(5).expect("there")), 5);
        let order = fetch_all(&mut picker, complete.lane(0));
        assert_eq!(order[..1], [3]);
        assert_eq!(order[1..3].iter().collect::<BTreeSet<_>>(), BTreeSet::from([&1, &4]));
        assert_eq!(order[3..], [0, 2, 5]);
    }

    #[test]
    fn in_order_the_first_of_equals_is_chosen_after_the_rarer_ones_and_of_the_own_share_before_others() {
        let (mut alone, [complete]) = picker(8, [bits(8, 0..8)]);
        alone.set_in_order(true);
        assert_eq!(fetch_all(&mut alone, complete.lane(0)), [0, 1, 2, 3, 4, 5, 6, 7]);
        let (mut picker, [complete, _partial]) = picker(8, [bits(8, 0..8), bits(8, [0, 1, 2, 3, 4, 7])]);
        picker.set_in_order(true);
        assert_eq!(fetch_all(&mut picker, complete.lane(0)), [5, 6, 1, 3, 7, 0, 2, 4]);
    }

    #[test]
    fn rarity_follows_what_peers_announce_and_who_leaves() {
        let (mut picker, [a, b, c]) = picker(3, [bits(3, 0..3), bits(3, [0, 1]), bits(3, [0])]);
        picker.peer_has(c, layout(3).index(2).expect("there"));
        picker.peer_has(b, layout(3).index(2).expect("there"));
        assert_eq!(pick(&mut picker, a.lane(0)), Some(1));
        picker.failed(a.lane(0), layout(3).index(1).expect("there"));
        picker.remove_peer(c);
        let d = picker.add_peer(client(9));
        picker.set_bitfield(d, &bits(3, [1, 2]));
        assert_eq!(pick(&mut picker, a.lane(0)), Some(0));
    }

    #[test]
    fn ties_are_chosen_at_random_inside_the_window_and_nowhere_else() {
        let mut chosen = BTreeSet::new();
        for seed in 0..2000 {
            let mut picker = Picker::new(layout(500), bits(500, 0..60), OWN, WINDOW, seed);
            let peer = picker.add_peer(client(1));
            picker.set_bitfield(peer, &Bitfield::all(layout(500)));
            chosen.extend(pick(&mut picker, peer.lane(0)));
        }
        assert_eq!(chosen, (60..60 + WINDOW).collect());
    }

    #[test]
    fn a_rarer_piece_is_chosen_though_it_lies_outside_the_window() {
        let (mut picker, [complete, _]) = picker(500, [bits(500, 0..500), bits(500, (0..500).filter(|&n| n != 400))]);
        assert_eq!(pick(&mut picker, complete.lane(0)), Some(400));
    }

    #[test]
    fn once_the_window_is_all_asked_for_the_choice_is_in_the_nearest_one() {
        let mut picker = Picker::new(layout(500), bits(500, []), OWN, 10, 1);
        picker.scattered = SCATTERED_MAX;
        let peer = picker.add_peer(client(1));
        picker.set_bitfield(peer, &Bitfield::all(layout(500)));
        let mut left: BTreeSet<_> = (0..500).collect();
        while let Some(&lowest) = left.first() {
            let piece = pick(&mut picker, peer.lane(0)).expect("something is missing");
            assert!(left.remove(&piece) && piece < lowest.max(10) + 10);
        }
    }

    #[test]
    fn the_complete_file_hash_is_never_further_behind_than_a_window_when_pieces_are_equally_rare() {
        let (mut picker, [peer]) = picker(1000, [bits(1000, 0..1000)]);
        picker.scattered = SCATTERED_MAX;
        while let Some(piece) = pick(&mut picker, peer.lane(0)) {
            assert!(piece < picker.hash_position() + WINDOW);
            receive(&mut picker, peer.lane(0), piece);
        }
        assert_eq!(picker.hash_position(), 1000);
    }

    #[test]
    fn the_hash_position_is_the_first_gap() {
        let (mut picker, [peer]) = picker(4, [bits(4, 0..4)]);
        let positions = [1, 0, 3, 2].map(|piece| {
            receive(&mut picker, peer.lane(0), piece);
            picker.hash_position()
        });
        assert_eq!(positions, [0, 2, 2, 4]);
    }

    #[test]
    fn the_pieces_of_a_dead_peer_go_back_and_are_there_for_others_at_once() {
        let (mut picker, [dead, live]) = picker(3, [bits(3, 0..3), bits(3, 0..3)]);
        for lane in [dead.lane(0), dead.lane(1), dead.lane(1)] {
            picker.pick(lane).expect("three are missing");
        }
        assert_eq!(picker.missing(), 0);
        picker.remove_peer(dead);
        assert_eq!(picker.missing(), 3);
        assert_eq!(fetch_all(&mut picker, live.lane(0)).len(), 3);
        assert!(picker.is_complete());
    }

    #[test]
    fn a_dead_connection_gives_back_its_own_pieces_only() {
        let (mut picker, [peer]) = picker(3, [bits(3, 0..3)]);
        picker.pick(peer.lane(0)).expect("three are missing");
        let kept = picker.pick(peer.lane(1)).expect("two are missing");
        picker.give_back(peer.lane(0));
        assert_eq!(picker.missing(), 2);
        assert_eq!(picker.received(peer.lane(1), kept), Received::First { cancel: vec![] });
    }

    #[test]
    fn a_bad_piece_goes_back() {
        let (mut picker, [peer]) = picker(1, [bits(1, [0])]);
        let piece = picker.pick(peer.lane(0)).expect("one is missing");
        assert_eq!(picker.pick(peer.lane(1)), None);
        picker.failed(peer.lane(0), piece);
        assert_eq!(picker.pick(peer.lane(1)), Some(piece));
    }

    /// A search that finds nothing lifts the bounds of blocks and not of their leaves; the piece that went back then was
    /// entered nowhere.
    #[test]
    fn a_piece_that_goes_back_after_a_fruitless_search_is_found() {
        let (mut picker, [peer]) = picker(2, [bits(2, [1])]);
        receive(&mut picker, peer.lane(0), 0);
        assert_eq!(pick(&mut picker, peer.lane(0)), Some(1));
        assert_eq!(pick(&mut picker, peer.lane(1)), None);
        picker.give_back(peer.lane(0));
        assert_eq!(pick(&mut picker, peer.lane(1)), Some(1));
    }

    /// 20,000 pieces, which are two blocks, and of them only these missing.
    fn almost_complete(missing: &[u32]) -> Picker {
        let here = bits(20_000, (0..20_000).filter(|number| !missing.contains(number)));
        Picker::new(layout(20_000), here, OWN, WINDOW, 1)
    }

    fn join(picker: &mut Picker, number: u8, held: impl IntoIterator<Item = u32>) -> PeerSlot {
        let slot = picker.add_peer(client(number));
        picker.set_bitfield(slot, &bits(20_000, held));
        slot
    }

    #[test]
    fn a_piece_that_became_rarer_is_chosen_though_a_search_has_passed_it_by() {
        let mut picker = almost_complete(&[5, 17_000]);
        let a = join(&mut picker, 1, [5, 17_000]);
        let b = join(&mut picker, 2, [17_000]);
        assert!(picker.wants_from(a));
        join(&mut picker, 3, [5]);
        picker.remove_peer(b);
        assert_eq!(pick(&mut picker, a.lane(0)), Some(17_000));
    }

    #[test]
    fn the_lowest_equal_is_found_though_a_rarer_piece_of_others_lies_beside_it() {
        let mut picker = almost_complete(&[5, 17_000, 17_001, 17_500]);
        let a = join(&mut picker, 1, [5, 17_000, 17_500]);
        join(&mut picker, 2, [17_000, 17_500]);
        let c = join(&mut picker, 3, [17_001]);
        assert_eq!(pick(&mut picker, c.lane(0)), Some(17_001));
        assert!(picker.wants_from(a));
        picker.give_back(c.lane(0));
        assert_eq!(pick(&mut picker, a.lane(0)), Some(5));
        assert_eq!(pick(&mut picker, a.lane(0)), Some(17_000));
    }

    #[test]
    fn a_piece_that_arrives_after_its_lane_was_given_back_counts() {
        let (mut picker, [slow, other]) = picker(1, [bits(1, [0]), bits(1, [0])]);
        let piece = picker.pick(slow.lane(0)).expect("one is missing");
        picker.remove_peer(slow);
        assert_eq!(picker.pick(other.lane(0)), Some(piece));
        let cancel = vec![other.lane(0)];
        assert_eq!(picker.received(slow.lane(0), piece), Received::First { cancel });
        assert_eq!(picker.received(other.lane(0), piece), Received::Duplicate);
    }

    #[test]
    fn in_the_endgame_idle_lanes_take_copies_fewest_first_and_the_fastest_wins() {
        let all = || bits(2, 0..2);
        let (mut picker, [a, b, c, d, e]) = picker(2, [all(), all(), all(), all(), all()]);
        let first = pick(&mut picker, a.lane(0)).expect("two are missing");
        let second = pick(&mut picker, b.lane(0)).expect("one is missing");
        let copies = [c, d, e].map(|peer| pick(&mut picker, peer.lane(0)).expect("copies are few"));
        assert_eq!(copies, [0, 1, 0]);
        let (slow, slower) = if first == 0 { (a, b) } else { (b, a) };
        let cancel = vec![slow.lane(0), e.lane(0)];
        assert_eq!(receive(&mut picker, c.lane(0), 0), Received::First { cancel });
        assert_eq!(receive(&mut picker, slow.lane(0), 0), Received::Duplicate);
        let cancel = vec![d.lane(0)];
        assert_eq!(receive(&mut picker, slower.lane(0), 1), Received::First { cancel });
        assert!(picker.is_complete() && first != second);
    }

    #[test]
    fn a_copy_is_never_asked_of_the_same_peer_nor_of_a_busy_lane_and_copies_are_bounded() {
        let (mut picker, peers) = picker(1, [bits(1, [0]), bits(1, [0]), bits(1, [0]), bits(1, [0])]);
        let given = |picker: &mut Picker, number| peers.map(|peer| pick(picker, peer.lane(number)).is_some());
        assert_eq!(given(&mut picker, 0), [true, true, true, false]);
        assert_eq!(given(&mut picker, 1), [false; 4]);
        picker.give_back(peers[1].lane(0));
        assert_eq!(given(&mut picker, 1), [false, true, false, false]);

        let (mut busy, [a, b]) = self::picker(4, [bits(4, 0..4), bits(4, 0..4)]);
        assert!([a, a, b, b].into_iter().all(|peer| busy.pick(peer.lane(0)).is_some()));
        assert_eq!(busy.pick(b.lane(0)), None);
        assert!(busy.pick(b.lane(1)).is_some());
    }

    #[test]
    fn the_endgame_does_not_wait_for_a_piece_that_nobody_holds() {
        let (mut picker, [a, b]) = picker(3, [bits(3, [0, 1]), bits(3, [0, 1])]);
        let piece = picker.pick(a.lane(0));
        assert!(picker.pick(a.lane(1)).is_some());
        assert!(picker.pick(b.lane(0)).is_some() && piece.is_some());
        assert_eq!(picker.missing(), 1);
    }

    #[test]
    fn there_is_no_endgame_while_something_can_still_be_asked_for() {
        let (mut picker, [a, b, c]) = picker(2, [bits(2, [0]), bits(2, [0]), bits(2, [1])]);
        assert_eq!(pick(&mut picker, a.lane(0)), Some(0));
        assert_eq!(pick(&mut picker, b.lane(0)), None);
        assert_eq!(pick(&mut picker, c.lane(0)), Some(1));
        assert_eq!(pick(&mut picker, b.lane(0)), Some(0));
    }

    #[test]
    fn the_only_complete_peer_is_spared_copies_that_others_can_give() {
        let (mut picker, [seed, a, b]) = picker(2, [bits(2, 0..2), bits(2, [0]), bits(2, [0])]);
        assert_eq!(pick(&mut picker, seed.lane(0)), Some(1));
        assert_eq!(pick(&mut picker, a.lane(0)), Some(0));
        assert_eq!(pick(&mut picker, seed.lane(1)), None);
        assert_eq!(pick(&mut picker, b.lane(0)), Some(0));
        assert_eq!(pick(&mut picker, seed.lane(1)), Some(0));
    }

    #[test]
    fn a_late_joiner_is_used_at_once() {
        let (mut picker, [seed]) = picker(300, [bits(300, 0..300)]);
        for _ in 0..200 {
            let piece = picker.pick(seed.lane(0)).expect("plenty is missing");
            picker.received(seed.lane(0), piece);
        }
        let late = picker.add_peer(client(2));
        assert!(!picker.wants_from(late));
        assert_eq!(picker.pick(late.lane(0)), None);
        picker.set_bitfield(late, &bits(300, 0..299));
        assert!(picker.wants_from(late));
        assert!(picker.pick(late.lane(0)).is_some());
    }

    #[test]
    fn no_pieces_are_complete_at_once() {
        let (mut picker, [peer]) = picker(0, [bits(0, [])]);
        assert!(picker.is_complete());
        assert_eq!((picker.missing(), picker.hash_position()), (0, 0));
        assert!(!picker.wants_from(peer));
        assert_eq!(picker.pick(peer.lane(0)), None);
        picker.remove_peer(peer);
    }

    #[test]
    fn one_piece_is_asked_for_and_completes() {
        let (mut picker, [nobody]) = picker(1, [bits(1, [])]);
        assert_eq!(pick(&mut picker, nobody.lane(0)), None);
        picker.peer_has(nobody, layout(1).index(0).expect("there"));
        assert_eq!(pick(&mut picker, nobody.lane(0)), Some(0));
        assert!(!picker.is_complete() && picker.wants_from(nobody));
        receive(&mut picker, nobody.lane(0), 0);
        assert!(picker.is_complete() && !picker.wants_from(nobody));
        assert_eq!(picker.hash_position(), 1);
    }

    #[test]
    fn what_is_here_from_the_start_is_not_asked_for() {
        let mut picker = Picker::new(layout(5), bits(5, [0, 1, 3]), OWN, WINDOW, 1);
        let peer = picker.add_peer(client(1));
        picker.set_bitfield(peer, &bits(5, 0..5));
        assert_eq!((picker.missing(), picker.hash_position()), (2, 2));
        assert_eq!(fetch_all(&mut picker, peer.lane(0)).into_iter().collect::<BTreeSet<_>>(), BTreeSet::from([2, 4]));
    }

    #[test]
    fn a_client_counts_once_however_many_connections_lead_to_it() {
        let (mut picker, [peer]) = picker(2, [bits(2, [0])]);
        assert_eq!(picker.add_peer(client(1)), peer);
        assert_eq!(picker.availability(layout(2).index(0).expect("there")), 1);
    }

    #[test]
    fn the_slot_of_a_removed_peer_changes_nothing() {
        let (mut picker, [gone]) = picker(2, [bits(2, 0..2)]);
        picker.remove_peer(gone);
        let next = picker.add_peer(client(2));
        picker.set_bitfield(next, &bits(2, [0]));
        assert_eq!(next.place, gone.place);
        picker.set_bitfield(gone, &bits(2, 0..2));
        picker.peer_has(gone, layout(2).index(1).expect("there"));
        picker.remove_peer(gone);
        assert!(!picker.wants_from(gone));
        assert_eq!(picker.pick(gone.lane(0)), None);
        assert_eq!(picker.availability(layout(2).index(1).expect("there")), 0);
        let piece = picker.pick(next.lane(0)).expect("one is held");
        picker.failed(gone.lane(0), piece);
        picker.give_back(gone.lane(0));
        assert_eq!(picker.missing(), 1);
    }

    #[test]
    fn the_same_seed_makes_the_same_choices() {
        let order = |seed| {
            let mut picker = Picker::new(layout(300), bits(300, []), OWN, WINDOW, seed);
            let peer = picker.add_peer(client(1));
            picker.set_bitfield(peer, &bits(300, 0..300));
            fetch_all(&mut picker, peer.lane(0))
        };
        assert_eq!(order(7), order(7));
        assert_ne!(order(7), order(8));
    }

    #[test]
    fn members_that_know_each_other_ask_for_different_pieces() {
        let ids = [5, 100, 200];
        let picks = ids.map(|own| {
            let mut picker = Picker::new(layout(90), bits(90, []), client(own), WINDOW, 1);
            let seed = picker.add_peer(client(1));
            picker.set_bitfield(seed, &Bitfield::all(layout(90)));
            ids.iter().filter(|&&id| id != own).for_each(|&id| _ = picker.add_peer(client(id)));
            (0..30).map(|_| pick(&mut picker, seed.lane(0)).expect("90 are missing")).collect::<BTreeSet<_>>()
        });
        let all: BTreeSet<_> = picks.iter().flatten().copied().collect();
        assert_eq!(all.len(), 90);
    }

    /// A swarm in which a seeder sends one piece per tick, in turn to the members, members send each other one each, and
    /// what a member holds is known to the others four ticks later, but nothing before they know each other at all. The
    /// seeder puts off whoever asks for what it gave to another one in the last eight ticks, and what was put off is
    /// recalled every eight ticks. Returns how many pieces the seeder sent.
    fn pieces_sent_by_a_lone_seeder(members: usize, pieces: u32, depth: usize, acquainted: usize) -> usize {
        let seed = members;
        let id = |peer: usize| client(peer as u8);
        let new = |own| Picker::new(layout(pieces), bits(pieces, []), id(own), WINDOW, own as u64);
        let mut pickers: Vec<_> = (0..members).map(new).collect();
        let mut slots = vec![Vec::new(); members];
        for (own, picker) in pickers.iter_mut().enumerate() {
            let peer = picker.add_peer(id(seed));
            picker.set_bitfield(peer, &Bitfield::all(layout(pieces)));
            slots[own] = vec![peer; members + 1];
        }
        let mut asked = vec![vec![VecDeque::new(); members + 1]; members];
        let mut news = VecDeque::from(vec![Vec::<(usize, PieceIndex)>::new(); 4]);
        let mut given = vec![None; pieces as usize];
        let (mut sent, mut turn, mut tick) = (0, 0, 0);
        while !pickers.iter().all(Picker::is_complete) {
            tick += 1;
            if tick == acquainted {
                let have: Vec<_> = pickers.iter().map(|picker| picker.have().clone()).collect();
                for (own, other) in (0..members).flat_map(|own| (0..members).map(move |other| (own, other))) {
                    if own != other {
                        slots[own][other] = pickers[own].add_peer(id(other));
                        pickers[own].set_bitfield(slots[own][other], &have[other]);
                    }
                }
            }
            for (member, piece) in news.pop_front().unwrap_or_default() {
                for other in (0..members).filter(|&other| other != member && tick >= acquainted) {
                    pickers[other].peer_has(slots[other][member], piece);
                }
            }
            for own in 0..members {
                if tick % 8 == 0 {
                    pickers[own].recall();
                }
                for (peer, queue) in asked[own].iter_mut().enumerate() {
                    let known = peer == seed || tick >= acquainted && peer != own;
                    while known && queue.len() < depth {
                        let Some(piece) = pickers[own].pick(slots[own][peer].lane(0)) else { break };
                        queue.push_back(piece);
                    }
                }
            }
            let turns = (0..members).map(|offset| (turn + offset) % members);
            let served = turns.into_iter().find(|&own| {
                while let Some(&piece) = asked[own][seed].front() {
                    if given[piece.as_usize()].is_none_or(|(to, at)| to == own || tick >= at + 8) {
                        return true;
                    }
                    asked[own][seed].pop_front();
                    pickers[own].put_off(slots[own][seed].lane(0), piece);
                }
                false
            });
            if let Some(own) = served {
                (sent, turn) = (sent + 1, own + 1);
                given[asked[own][seed][0].as_usize()] = Some((own, tick));
            }
            let mut arrived = Vec::new();
            for own in 0..members {
                for peer in (0..=seed).filter(|&peer| peer != seed || served == Some(own)) {
                    let Some(piece) = asked[own][peer].pop_front() else { continue };
                    let Received::First { cancel } = pickers[own].received(slots[own][peer].lane(0), piece) else {
                        continue;
                    };
                    arrived.push((own, piece));
                    for (peer, queue) in asked[own].iter_mut().enumerate() {
                        queue.retain(|&other| other != piece || !cancel.contains(&slots[own][peer].lane(0)));
                    }
                }
            }
            news.push_back(arrived);
        }
        sent
    }

    #[test]
    fn a_lone_seeder_sends_hardly_a_piece_twice() {
        for acquainted in [1, 24] {
            let sent = pieces_sent_by_a_lone_seeder(8, 512, 2, acquainted);
            assert!((512..=520).contains(&sent), "{sent}");
        }
        let sent = pieces_sent_by_a_lone_seeder(2, 40, 3, 6);
        assert!((40..=41).contains(&sent), "{sent}");
    }

    #[test]
    fn what_was_put_off_is_asked_of_whoever_gets_it_and_of_the_same_peer_only_once_recalled() {
        let (mut picker, [seed, other]) = picker(1, [bits(1, [0]), bits(1, [])]);
        let piece = picker.pick(seed.lane(0)).expect("one is missing");
        picker.put_off(seed.lane(0), piece);
        assert_eq!((picker.pick(seed.lane(0)), picker.missing()), (None, 0));
        assert!(picker.wants_from(seed));
        picker.recall();
        assert_eq!(picker.pick(seed.lane(0)), Some(piece));
        picker.put_off(seed.lane(0), piece);
        picker.peer_has(other, piece);
        assert_eq!(picker.pick(other.lane(0)), Some(piece));
        picker.put_off(seed.lane(0), piece);
        assert_eq!(picker.received(other.lane(0), piece), Received::First { cancel: vec![] });
    }

    /// What a picker should do, worked out from scratch at every step.
    struct Model {
        picker: Picker,
        window: u32,
        here: Vec<bool>,
        flights: Vec<Vec<Lane>>,
        put_off: Vec<bool>,
        peers: Vec<ModelPeer>,
        /// Pieces that were picked and not copies.
        chosen: u32,
    }

    struct ModelPeer {
        slot: PeerSlot,
        client: u8,
        here: bool,
        holds: Vec<bool>,
    }

    /// What happens to or at a peer.
    #[derive(Debug, Clone)]
    enum Step {
        Join,
        Holds { quarters: usize, seed: u64 },
        Has { piece: u32 },
        Leave,
        Pick { lane: u16 },
        Receive { lane: u16, nth: usize },
        Stray { piece: u32 },
        Fail { lane: u16, nth: usize },
        GiveBack { lane: u16 },
        Snub { lane: u16 },
        PutOff { lane: u16, nth: usize },
        Recall,
    }

    fn step() -> impl Strategy<Value = (usize, Step)> {
        let step = prop_oneof![
            1 => Just(Step::Join),
            2 => (0..=4usize, any::<u64>()).prop_map(|(quarters, seed)| Step::Holds { quarters, seed }),
            4 => any::<u32>().prop_map(|piece| Step::Has { piece }),
            1 => Just(Step::Leave),
            12 => (0..2u16).prop_map(|lane| Step::Pick { lane }),
            6 => (0..2u16, 0..4usize).prop_map(|(lane, nth)| Step::Receive { lane, nth }),
            1 => any::<u32>().prop_map(|piece| Step::Stray { piece }),
            2 => (0..2u16, 0..4usize).prop_map(|(lane, nth)| Step::Fail { lane, nth }),
            1 => (0..2u16).prop_map(|lane| Step::GiveBack { lane }),
            1 => (0..2u16).prop_map(|lane| Step::Snub { lane }),
            2 => (0..2u16, 0..4usize).prop_map(|(lane, nth)| Step::PutOff { lane, nth }),
            1 => Just(Step::Recall),
        ];
        (any::<usize>(), step)
    }

    impl Model {
        fn new(pieces: u32, here_percent: usize, window: u32, seed: u64) -> Self {
            let mut random = SplitMix(seed);
            let have = bits(pieces, (0..pieces).filter(|_| random.below(100) < here_percent));
            let here = layout(pieces).indexes().map(|piece| have.has(piece)).collect();
            let chosen = if have.is_empty() { 0 } else { SCATTERED_MAX };
            let picker = Picker::new(layout(pieces), have, OWN, window, seed);
            let (flights, put_off) = (vec![Vec::new(); pieces as usize], vec![false; pieces as usize]);
            Self { picker, window, here, flights, put_off, peers: Vec::new(), chosen }
        }

        fn availability(&self, piece: usize) -> usize {
            self.peers.iter().filter(|peer| peer.here && peer.holds[piece]).count()
        }

        fn is_missing(&self, piece: usize) -> bool {
            !self.here[piece] && self.flights[piece].is_empty() && !self.put_off[piece]
        }

        fn in_flight_on(&self, lane: Lane) -> Vec<usize> {
            (0..self.here.len()).filter(|&piece| self.flights[piece].contains(&lane)).collect()
        }

        /// All answers that would be right; none means that there is nothing to pick.
        fn right_picks(&self, peer: &ModelPeer, lane: Lane) -> Vec<usize> {
            let held = |piece: &usize| peer.here && peer.holds[*piece];
            let wanted: Vec<_> = (0..self.here.len()).filter(|&piece| self.is_missing(piece)).filter(held).collect();
            let Some(rarest) = wanted.iter().map(|&piece| self.availability(piece)).min() else {
                return self.right_copy(peer, lane).into_iter().collect();
            };
            let equals: Vec<_> = wanted.into_iter().filter(|&piece| self.availability(piece) == rarest).collect();
            let (scarce, may_repeat) = (self.is_scarce(peer), self.may_repeat(peer));
            if scarce && !may_repeat && rarest > self.seeds() {
                return Vec::new();
            }
            let windows = match scarce {
                true => self.members().len() as u32 + 1,
                false if Self::is_complete(peer) && self.chosen < SCATTERED_MAX => WINDOWS_MAX,
                false => 1,
            };
            let quarter = (self.window as usize).div_ceil(4).max(self.members().len() + 1);
            let window = (self.window * windows.min(WINDOWS_MAX)) as usize;
            let hash = self.here.iter().position(|&here| !here).expect("something is missing");
            let start = if equals[0] < hash + window { hash } else { equals[0] };
            let near: Vec<_> = equals.into_iter().filter(|&piece| piece < start + window).collect();
            let members = self.members();
            let rank = members.iter().filter(|peer| client(peer.client) < OWN).count();
            let own: Vec<_> = near.iter().copied().filter(|piece| piece % (members.len() + 1) == rank).collect();
            match own.first() {
                Some(first) if !members.is_empty() => {
                    own.iter().copied().filter(|&piece| piece < first + quarter).collect()
                }
                _ if scarce && !may_repeat => Vec::new(),
                _ if scarce => near[near.len() / 4 * 3..].to_vec(),
                _ => near,
            }
        }

        fn is_complete(peer: &ModelPeer) -> bool {
            !peer.holds.is_empty() && peer.holds.iter().all(|&held| held)
        }

        fn members(&self) -> Vec<&ModelPeer> {
            self.peers.iter().filter(|peer| peer.here && !Self::is_complete(peer)).collect()
        }

        fn seeds(&self) -> usize {
            self.peers.iter().filter(|peer| peer.here && Self::is_complete(peer)).count()
        }

        fn is_scarce(&self, peer: &ModelPeer) -> bool {
            peer.here && Self::is_complete(peer) && self.seeds() <= self.members().len()
        }

        fn may_repeat(&self, peer: &ModelPeer) -> bool {
            self.flights.iter().flatten().filter(|lane| lane.peer == peer.slot).count() < REPEATED_MAX
        }

        fn right_copy(&self, peer: &ModelPeer, lane: Lane) -> Option<usize> {
            let pieces = 0..self.here.len();
            let open = pieces.clone().any(|piece| self.is_missing(piece) && self.availability(piece) > 0);
            if open || !peer.here || !self.in_flight_on(lane).is_empty() {
                return None;
            }
            if self.is_scarce(peer) && !self.may_repeat(peer) {
                return None;
            }
            let complete = |peer: &ModelPeer| peer.here && peer.holds.iter().all(|&held| held);
            let lone = complete(peer) && self.peers.iter().filter(|peer| complete(peer)).count() == 1;
            let may = |&piece: &usize| {
                let copies = &self.flights[piece];
                let others_can = lone && self.availability(piece) > copies.len() + 1;
                let room = (1..COPIES_MAX).contains(&copies.len());
                room && !others_can && peer.holds[piece] && copies.iter().all(|copy| copy.peer != lane.peer)
            };
            pieces.filter(may).min_by_key(|&piece| self.flights[piece].len())
        }

        fn pick(&mut self, peer: usize, lane: u16) -> Option<PieceIndex> {
            let lane = self.peers[peer].slot.lane(lane);
            let right = self.right_picks(&self.peers[peer], lane);
            let picked = self.picker.pick(lane);
            match picked {
                Some(piece) => {
                    assert!(right.contains(&piece.as_usize()), "{piece:?} is none of {right:?}");
                    self.chosen += u32::from(self.flights[piece.as_usize()].is_empty());
                    self.flights[piece.as_usize()].push(lane);
                }
                None => assert!(right.is_empty(), "nothing, though right were {right:?}"),
            }
            picked
        }

        fn receive(&mut self, lane: Lane, piece: PieceIndex) {
            self.put_off[piece.as_usize()] = false;
            let copies = std::mem::take(&mut self.flights[piece.as_usize()]);
            let others = copies.into_iter().filter(|&copy| copy != lane).collect();
            let expected = match std::mem::replace(&mut self.here[piece.as_usize()], true) {
                true => Received::Duplicate,
                false => Received::First { cancel: others },
            };
            assert_eq!(self.picker.received(lane, piece), expected);
        }

        fn drop_flights(&mut self, gone: impl Fn(usize, Lane) -> bool) {
            for (piece, copies) in self.flights.iter_mut().enumerate() {
                copies.retain(|&copy| !gone(piece, copy));
            }
        }

        fn join(&mut self) {
            let number = self.peers.len() as u8;
            let (slot, holds) = (self.picker.add_peer(client(number)), vec![false; self.here.len()]);
            self.peers.push(ModelPeer { slot, client: number, here: true, holds });
        }

        fn take(&mut self, peer: usize, step: &Step) {
            let layout = self.picker.layout;
            let peer = peer % self.peers.len().max(1);
            let Some(slot) = self.peers.get(peer).map(|peer| peer.slot) else { return self.join() };
            let any_piece = |number: u32| layout.index(number % layout.count().max(1));
            match *step {
                Step::Join => self.join(),
                Step::Holds { quarters, seed } => {
                    let mut random = SplitMix(seed);
                    let bits = bits(layout.count(), (0..layout.count()).filter(|_| random.below(4) < quarters));
                    self.picker.set_bitfield(slot, &bits);
                    self.peers[peer].holds = layout.indexes().map(|piece| bits.has(piece)).collect();
                    if self.peers[peer].here {
                        self.put_off.fill(false);
                    }
                }
                Step::Has { piece } => {
                    let Some(piece) = any_piece(piece) else { return };
                    self.picker.peer_has(slot, piece);
                    self.peers[peer].holds[piece.as_usize()] = true;
                    self.put_off[piece.as_usize()] &= !self.peers[peer].here;
                }
                Step::Leave => {
                    self.picker.remove_peer(slot);
                    self.peers[peer].here = false;
                    self.drop_flights(|_, lane| lane.peer == slot);
                }
                Step::Pick { lane } => drop(self.pick(peer, lane)),
                Step::Receive { lane, nth } => {
                    if let Some(&piece) = self.in_flight_on(slot.lane(lane)).get(nth) {
                        self.receive(slot.lane(lane), layout.index(piece as u32).expect("in flight"));
                    }
                }
                Step::Stray { piece } => {
                    let Some(piece) = any_piece(piece) else { return };
                    self.receive(slot.lane(0), piece);
                }
                Step::Fail { lane, nth } => {
                    if let Some(&piece) = self.in_flight_on(slot.lane(lane)).get(nth) {
                        self.picker.failed(slot.lane(lane), layout.index(piece as u32).expect("in flight"));
                        self.drop_flights(|flying, copy| copy == slot.lane(lane) && flying == piece);
                    }
                }
                Step::GiveBack { lane } => {
                    self.picker.give_back(slot.lane(lane));
                    self.drop_flights(|_, copy| copy == slot.lane(lane));
                }
                Step::PutOff { lane, nth } => {
                    if let Some(&piece) = self.in_flight_on(slot.lane(lane)).get(nth) {
                        self.picker.put_off(slot.lane(lane), layout.index(piece as u32).expect("in flight"));
                        self.drop_flights(|flying, copy| copy == slot.lane(lane) && flying == piece);
                        self.put_off[piece] = self.flights[piece].is_empty();
                    }
                }
                Step::Recall => {
                    self.picker.recall();
                    self.put_off.fill(false);
                }
                Step::Snub { lane } => {
                    self.picker.snub(slot.lane(lane));
                    let others: Vec<_> = (0..self.here.len())
                        .map(|piece| self.availability(piece) > self.flights[piece].len())
                        .collect();
                    self.drop_flights(|piece, copy| copy == slot.lane(lane) && others[piece]);
                }
            }
        }

        /// Everything that can be asked, and the invariants.
        fn check(&mut self) {
            let layout = self.picker.layout;
            for piece in layout.indexes() {
                let number = piece.as_usize();
                let asked: Vec<_> = self.picker.flights.get(&piece).into_iter().flat_map(Copies::iter).collect();
                assert_eq!(self.picker.rarity.is_missing(piece), self.is_missing(number));
                assert_eq!(self.picker.have.has(piece), self.here[number]);
                assert_eq!(asked, self.flights[number]);
                assert_eq!(self.picker.availability(piece) as usize, self.availability(number));
            }
            let pairs: usize = self.flights.iter().map(Vec::len).sum();
            assert_eq!(self.picker.lanes.values().map(Vec::len).sum::<usize>(), pairs);
            assert!(self.picker.lanes.values().all(|pieces| !pieces.is_empty()));
            let gap = self.here.iter().position(|&here| !here).unwrap_or(self.here.len());
            assert_eq!(self.picker.hash_position() as usize, gap);
            for peer in &self.peers {
                let wanted = peer.here && peer.holds.iter().zip(&self.here).any(|(&held, &here)| held && !here);
                assert_eq!(self.picker.wants_from(peer.slot), wanted);
            }
            let peers = self.picker.places.iter().filter_map(|place| place.peer.as_ref());
            self.picker.rarity.check(peers.map(|peer| &peer.holdings));
        }

        /// Lets every lane fetch until none gets anything, and checks that all that anybody holds has come.
        fn finish(&mut self) {
            self.picker.recall();
            self.put_off.fill(false);
            loop {
                let mut asked = Vec::new();
                for peer in 0..self.peers.len() {
                    for lane in 0..2 {
                        let lane_name = self.peers[peer].slot.lane(lane);
                        asked.extend(self.in_flight_on(lane_name).into_iter().map(|piece| (lane_name, piece)));
                        asked.extend(self.pick(peer, lane).map(|piece| (lane_name, piece.as_usize())));
                    }
                }
                if asked.is_empty() {
                    break;
                }
                for (lane, piece) in asked {
                    self.receive(lane, self.picker.layout.index(piece as u32).expect("picked"));
                }
            }
            assert!((0..self.here.len()).all(|piece| self.here[piece] || self.availability(piece) == 0));
        }
    }

    fn sizes() -> impl Strategy<Value = (u32, usize)> {
        prop_oneof![
            1 => Just((0, 0)),
            4 => (1..6u32, Just(0)),
            4 => (100..400u32, 0..100usize),
            // More than one block.
            1 => (16_300..16_500u32, Just(99)),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig {
            cases: 250, rng_seed: RngSeed::Fixed(1), failure_persistence: None, ..ProptestConfig::default()
        })]

        #[test]
        fn whatever_happens_every_choice_is_right_and_all_that_is_held_arrives(
            (pieces, here) in sizes(),
            window in prop_oneof![1..5u32, Just(WINDOW)],
            seed in any::<u64>(),
            steps in prop::collection::vec(step(), 0..150),
        ) {
            let mut model = Model::new(pieces, here, window, seed);
            for (peer, step) in &steps {
                model.take(*peer, step);
                if pieces < 1000 {
                    model.check();
                }
            }
            model.check();
            model.finish();
            model.check();
        }
    }
}
