//! The picker beside a model that computes everything from scratch, for random events.

use super::*;
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

/// The right behaviour of a picker, computed from scratch at every step.
struct Model {
    picker: PiecePicker,
    window: u32,
    here: Vec<bool>,
    flights: Vec<Vec<Lane>>,
    put_off: Vec<bool>,
    peers: Vec<ModelPeer>,
    /// The number of picked pieces, without copies.
    chosen: u32,
}

struct ModelPeer {
    slot: PeerSlot,
    client: u8,
    here: bool,
    holds: Vec<bool>,
}

/// An event of or at a peer.
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
        let picker = PiecePicker::new(layout(pieces), have, OWN, window, seed);
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

    /// All right answers. None means that there is nothing to pick.
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
        let picked = self.picker.pick(lane, |_| true);
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

    fn nth_in_flight(&self, lane: Lane, nth: usize) -> Option<PieceIndex> {
        let piece = *self.in_flight_on(lane).get(nth)?;
        self.picker.layout.index(piece as u32)
    }

    fn hold(&mut self, peer: usize, quarters: usize, seed: u64) {
        let (layout, mut random) = (self.picker.layout, SplitMix(seed));
        let bits = bits(layout.count(), (0..layout.count()).filter(|_| random.below(4) < quarters));
        self.picker.set_bitfield(self.peers[peer].slot, &bits);
        self.peers[peer].holds = layout.indexes().map(|piece| bits.has(piece)).collect();
        if self.peers[peer].here {
            self.put_off.fill(false);
        }
    }

    fn take(&mut self, peer: usize, step: &Step) {
        let layout = self.picker.layout;
        let peer = peer % self.peers.len().max(1);
        let Some(slot) = self.peers.get(peer).map(|peer| peer.slot) else { return self.join() };
        let any_piece = |number: u32| layout.index(number % layout.count().max(1));
        match *step {
            Step::Join => self.join(),
            Step::Holds { quarters, seed } => self.hold(peer, quarters, seed),
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
                if let Some(piece) = self.nth_in_flight(slot.lane(lane), nth) {
                    self.receive(slot.lane(lane), piece);
                }
            }
            Step::Stray { piece } => {
                let Some(piece) = any_piece(piece) else { return };
                self.receive(slot.lane(0), piece);
            }
            Step::Fail { lane, nth } => {
                if let Some(piece) = self.nth_in_flight(slot.lane(lane), nth) {
                    self.picker.failed(slot.lane(lane), piece);
                    self.drop_flights(|flying, copy| copy == slot.lane(lane) && flying == piece.as_usize());
                }
            }
            Step::GiveBack { lane } => {
                self.picker.give_back(slot.lane(lane));
                self.drop_flights(|_, copy| copy == slot.lane(lane));
            }
            Step::PutOff { lane, nth } => {
                if let Some(piece) = self.nth_in_flight(slot.lane(lane), nth) {
                    self.picker.put_off(slot.lane(lane), piece);
                    self.drop_flights(|flying, copy| copy == slot.lane(lane) && flying == piece.as_usize());
                    self.put_off[piece.as_usize()] = self.flights[piece.as_usize()].is_empty();
                }
            }
            Step::Recall => {
                self.picker.recall();
                self.put_off.fill(false);
            }
            Step::Snub { lane } => {
                self.picker.snub(slot.lane(lane));
                let others: Vec<_> =
                    (0..self.here.len()).map(|piece| self.availability(piece) > self.flights[piece].len()).collect();
                self.drop_flights(|piece, copy| copy == slot.lane(lane) && others[piece]);
            }
        }
    }

    /// Checks every question and the invariants.
    fn check(&mut self) {
        let layout = self.picker.layout;
        for piece in layout.indexes() {
            let number = piece.as_usize();
            let asked: Vec<_> = self.picker.flights.get(&piece).into_iter().flat_map(Copies::iter).collect();
            assert_eq!(self.picker.availability.is_missing(piece), self.is_missing(number));
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
        let peers = self.picker.slots.iter().filter_map(|entry| entry.peer.as_ref());
        self.picker.availability.check(peers.map(|peer| &peer.holdings));
    }

    /// Lets every lane fetch until none gets anything, and checks that every piece of every peer has come.
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
    fn the_picker_chooses_right_whatever_happens_and_every_held_piece_arrives(
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
