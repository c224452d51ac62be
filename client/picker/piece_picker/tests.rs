//! The picker by example: its choices in different situations.

mod model;

use super::*;
use crate::model::piece::PIECE_LEN;
use std::collections::{BTreeSet, VecDeque};

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

/// A picker without any piece, and peers with these pieces.
fn picker<const N: usize>(pieces: u32, peers: [Bitfield; N]) -> (PiecePicker, [PeerSlot; N]) {
    let mut picker = PiecePicker::new(layout(pieces), bits(pieces, []), OWN, WINDOW, 1);
    let mut number = 0;
    let slots = peers.map(|bits| {
        number += 1;
        let slot = picker.add_peer(client(number));
        picker.set_bitfield(slot, &bits);
        slot
    });
    (picker, slots)
}

fn pick(picker: &mut PiecePicker, lane: Lane) -> Option<u32> {
    picker.pick(lane, |_| true).map(PieceIndex::get)
}

fn receive(picker: &mut PiecePicker, lane: Lane, piece: u32) -> Received {
    picker.received(lane, picker.layout.index(piece).expect("in the layout"))
}

fn fetch_all(picker: &mut PiecePicker, lane: Lane) -> Vec<u32> {
    let step =
        |picker: &mut PiecePicker| picker.pick(lane, |_| true).inspect(|&piece| drop(picker.received(lane, piece)));
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
        let mut picker = PiecePicker::new(layout(500), bits(500, 0..60), OWN, WINDOW, seed);
        let peer = picker.add_peer(client(1));
        picker.set_bitfield(peer, &Bitfield::all(layout(500)));
        chosen.extend(pick(&mut picker, peer.lane(0)));
    }
    assert_eq!(chosen, (60..60 + WINDOW).collect());
}

#[test]
fn a_download_that_begins_with_zeros_scatters_its_first_pieces_like_any_other() {
    let furthest = |scatter: bool| {
        let mut picker = PiecePicker::new(layout(2000), bits(2000, 0..60), OWN, WINDOW, 1);
        if scatter {
            picker.scatter();
        }
        let peer = picker.add_peer(client(1));
        picker.set_bitfield(peer, &Bitfield::all(layout(2000)));
        (0..SCATTERED_MAX).filter_map(|_| pick(&mut picker, peer.lane(0))).max().expect("some were chosen")
    };
    assert!(furthest(false) < 60 + WINDOW);
    assert!((60 + 2 * WINDOW..60 + WINDOWS_MAX * WINDOW).contains(&furthest(true)));
}

#[test]
fn a_rarer_piece_is_chosen_though_it_lies_outside_the_window() {
    let (mut picker, [complete, _]) = picker(500, [bits(500, 0..500), bits(500, (0..500).filter(|&n| n != 400))]);
    assert_eq!(pick(&mut picker, complete.lane(0)), Some(400));
}

#[test]
fn once_the_window_is_all_asked_for_the_choice_is_in_the_nearest_one() {
    let mut picker = PiecePicker::new(layout(500), bits(500, []), OWN, 10, 1);
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
        picker.pick(lane, |_| true).expect("three are missing");
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
    picker.pick(peer.lane(0), |_| true).expect("three are missing");
    let kept = picker.pick(peer.lane(1), |_| true).expect("two are missing");
    picker.give_back(peer.lane(0));
    assert_eq!(picker.missing(), 2);
    assert_eq!(picker.received(peer.lane(1), kept), Received::First { cancel: vec![] });
}

#[test]
fn a_bad_piece_goes_back() {
    let (mut picker, [peer]) = picker(1, [bits(1, [0])]);
    let piece = picker.pick(peer.lane(0), |_| true).expect("one is missing");
    assert_eq!(picker.pick(peer.lane(1), |_| true), None);
    picker.failed(peer.lane(0), piece);
    assert_eq!(picker.pick(peer.lane(1), |_| true), Some(piece));
}

/// A search without a result lifts the bounds of blocks, but not of their leaves. A piece that went back then was
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

/// 20,000 pieces, in two blocks, with only these missing.
fn almost_complete(missing: &[u32]) -> PiecePicker {
    let here = bits(20_000, (0..20_000).filter(|number| !missing.contains(number)));
    PiecePicker::new(layout(20_000), here, OWN, WINDOW, 1)
}

fn join(picker: &mut PiecePicker, number: u8, held: impl IntoIterator<Item = u32>) -> PeerSlot {
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
    let piece = picker.pick(slow.lane(0), |_| true).expect("one is missing");
    picker.remove_peer(slow);
    assert_eq!(picker.pick(other.lane(0), |_| true), Some(piece));
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
    let given = |picker: &mut PiecePicker, number| peers.map(|peer| pick(picker, peer.lane(number)).is_some());
    assert_eq!(given(&mut picker, 0), [true, true, true, false]);
    assert_eq!(given(&mut picker, 1), [false; 4]);
    picker.give_back(peers[1].lane(0));
    assert_eq!(given(&mut picker, 1), [false, true, false, false]);

    let (mut busy, [a, b]) = self::picker(4, [bits(4, 0..4), bits(4, 0..4)]);
    assert!([a, a, b, b].into_iter().all(|peer| busy.pick(peer.lane(0), |_| true).is_some()));
    assert_eq!(busy.pick(b.lane(0), |_| true), None);
    assert!(busy.pick(b.lane(1), |_| true).is_some());
}

#[test]
fn the_endgame_does_not_wait_for_a_piece_that_nobody_holds() {
    let (mut picker, [a, b]) = picker(3, [bits(3, [0, 1]), bits(3, [0, 1])]);
    let piece = picker.pick(a.lane(0), |_| true);
    assert!(picker.pick(a.lane(1), |_| true).is_some());
    assert!(picker.pick(b.lane(0), |_| true).is_some() && piece.is_some());
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
        let piece = picker.pick(seed.lane(0), |_| true).expect("plenty is missing");
        picker.received(seed.lane(0), piece);
    }
    let late = picker.add_peer(client(2));
    assert!(!picker.wants_from(late));
    assert_eq!(picker.pick(late.lane(0), |_| true), None);
    picker.set_bitfield(late, &bits(300, 0..299));
    assert!(picker.wants_from(late));
    assert!(picker.pick(late.lane(0), |_| true).is_some());
}

#[test]
fn no_pieces_are_complete_at_once() {
    let (mut picker, [peer]) = picker(0, [bits(0, [])]);
    assert!(picker.is_complete());
    assert_eq!((picker.missing(), picker.hash_position()), (0, 0));
    assert!(!picker.wants_from(peer));
    assert_eq!(picker.pick(peer.lane(0), |_| true), None);
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
fn the_picker_does_not_ask_for_pieces_here_from_the_start() {
    let mut picker = PiecePicker::new(layout(5), bits(5, [0, 1, 3]), OWN, WINDOW, 1);
    let peer = picker.add_peer(client(1));
    picker.set_bitfield(peer, &bits(5, 0..5));
    assert_eq!((picker.missing(), picker.hash_position()), (2, 2));
    assert_eq!(fetch_all(&mut picker, peer.lane(0)).into_iter().collect::<BTreeSet<_>>(), BTreeSet::from([2, 4]));
}

#[test]
fn a_peer_with_the_id_of_another_has_pieces_of_its_own() {
    let (mut picker, [peer]) = picker(2, [bits(2, [0])]);
    let other = picker.add_peer(client(1));
    picker.set_bitfield(other, &bits(2, [1]));
    picker.remove_peer(other);
    assert!(other != peer && picker.wants_from(peer));
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
    assert_eq!(picker.pick(gone.lane(0), |_| true), None);
    assert_eq!(picker.availability(layout(2).index(1).expect("there")), 0);
    let piece = picker.pick(next.lane(0), |_| true).expect("one is held");
    picker.failed(gone.lane(0), piece);
    picker.give_back(gone.lane(0));
    assert_eq!(picker.missing(), 1);
}

#[test]
fn the_same_seed_makes_the_same_choices() {
    let order = |seed| {
        let mut picker = PiecePicker::new(layout(300), bits(300, []), OWN, WINDOW, seed);
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
        let mut picker = PiecePicker::new(layout(90), bits(90, []), client(own), WINDOW, 1);
        let seed = picker.add_peer(client(1));
        picker.set_bitfield(seed, &Bitfield::all(layout(90)));
        ids.iter().filter(|&&id| id != own).for_each(|&id| _ = picker.add_peer(client(id)));
        (0..30).map(|_| pick(&mut picker, seed.lane(0)).expect("90 are missing")).collect::<BTreeSet<_>>()
    });
    let all: BTreeSet<_> = picks.iter().flatten().copied().collect();
    assert_eq!(all.len(), 90);
}

/// A swarm in which a seeder sends one piece per tick, in turn to the members, and members send each other one each.
/// The others hear of a member's pieces four ticks later, and of nothing before they know each other. The seeder
/// refuses a piece that it gave to another member in the last eight ticks. Refused pieces are recalled every eight
/// ticks.
struct LoneSeeder {
    pickers: Vec<PiecePicker>,
    /// By member and peer. The seeder is the peer behind the last member.
    slots: Vec<Vec<PeerSlot>>,
    asked: Vec<Vec<VecDeque<PieceIndex>>>,
    news: VecDeque<Vec<(usize, PieceIndex)>>,
    /// The member and the time of the seeder's last gift of each piece.
    given: Vec<Option<(usize, usize)>>,
    turn: usize,
    tick: usize,
    /// The tick at which the members begin to know each other.
    acquainted: usize,
}

impl LoneSeeder {
    fn new(members: usize, pieces: u32, acquainted: usize) -> Self {
        let new = |own| {
            let mut picker = PiecePicker::new(layout(pieces), bits(pieces, []), client(own as u8), WINDOW, own as u64);
            let seed = picker.add_peer(client(members as u8));
            picker.set_bitfield(seed, &Bitfield::all(layout(pieces)));
            (picker, vec![seed; members + 1])
        };
        let (pickers, slots) = (0..members).map(new).unzip();
        Self {
            pickers,
            slots,
            asked: vec![vec![VecDeque::new(); members + 1]; members],
            news: VecDeque::from(vec![Vec::new(); 4]),
            given: vec![None; pieces as usize],
            turn: 0,
            tick: 0,
            acquainted,
        }
    }

    fn seed(&self) -> usize {
        self.pickers.len()
    }

    fn meet(&mut self) {
        let have: Vec<_> = self.pickers.iter().map(|picker| picker.have().clone()).collect();
        let members = 0..self.seed();
        for (own, other) in members.clone().flat_map(|own| members.clone().map(move |other| (own, other))) {
            if own != other {
                self.slots[own][other] = self.pickers[own].add_peer(client(other as u8));
                self.pickers[own].set_bitfield(self.slots[own][other], &have[other]);
            }
        }
    }

    fn hear_news(&mut self) {
        for (member, piece) in self.news.pop_front().unwrap_or_default() {
            for other in (0..self.seed()).filter(|&other| other != member && self.tick >= self.acquainted) {
                self.pickers[other].peer_has(self.slots[other][member], piece);
            }
        }
    }

    fn ask(&mut self, depth: usize) {
        let seed = self.seed();
        for own in 0..seed {
            if self.tick.is_multiple_of(8) {
                self.pickers[own].recall();
            }
            for (peer, queue) in self.asked[own].iter_mut().enumerate() {
                let known = peer == seed || self.tick >= self.acquainted && peer != own;
                while known && queue.len() < depth {
                    let Some(piece) = self.pickers[own].pick(self.slots[own][peer].lane(0), |_| true) else { break };
                    queue.push_back(piece);
                }
            }
        }
    }

    /// The member that gets a piece from the seeder now.
    fn serve(&mut self) -> Option<usize> {
        let seed = self.seed();
        let served = (0..seed).map(|offset| (self.turn + offset) % seed).find(|&own| {
            while let Some(&piece) = self.asked[own][seed].front() {
                if self.given[piece.as_usize()].is_none_or(|(to, at)| to == own || self.tick >= at + 8) {
                    return true;
                }
                self.asked[own][seed].pop_front();
                self.pickers[own].put_off(self.slots[own][seed].lane(0), piece);
            }
            false
        });
        if let Some(own) = served {
            self.turn = own + 1;
            self.given[self.asked[own][seed][0].as_usize()] = Some((own, self.tick));
        }
        served
    }

    fn deliver(&mut self, served: Option<usize>) {
        let seed = self.seed();
        let mut arrived = Vec::new();
        for own in 0..seed {
            for peer in (0..=seed).filter(|&peer| peer != seed || served == Some(own)) {
                let Some(piece) = self.asked[own][peer].pop_front() else { continue };
                let lane = self.slots[own][peer].lane(0);
                let Received::First { cancel } = self.pickers[own].received(lane, piece) else { continue };
                arrived.push((own, piece));
                for (queue, slot) in self.asked[own].iter_mut().zip(&self.slots[own]) {
                    queue.retain(|&other| other != piece || !cancel.contains(&slot.lane(0)));
                }
            }
        }
        self.news.push_back(arrived);
    }

    /// How many pieces the seeder sends until every member has all. Members request `depth` pieces ahead from each
    /// peer.
    fn pieces_sent(mut self, depth: usize) -> usize {
        let mut sent = 0;
        while !self.pickers.iter().all(PiecePicker::is_complete) {
            self.tick += 1;
            if self.tick == self.acquainted {
                self.meet();
            }
            self.hear_news();
            self.ask(depth);
            let served = self.serve();
            sent += usize::from(served.is_some());
            self.deliver(served);
        }
        sent
    }
}

#[test]
fn a_lone_seeder_sends_hardly_a_piece_twice() {
    for acquainted in [1, 24] {
        let sent = LoneSeeder::new(8, 512, acquainted).pieces_sent(2);
        assert!((512..=520).contains(&sent), "{sent}");
    }
    let sent = LoneSeeder::new(2, 40, 6).pieces_sent(3);
    assert!((40..=41).contains(&sent), "{sent}");
}

#[test]
fn a_put_off_piece_goes_to_new_holders_and_once_recalled_to_its_peer() {
    let (mut picker, [seed, other]) = picker(1, [bits(1, [0]), bits(1, [])]);
    let piece = picker.pick(seed.lane(0), |_| true).expect("one is missing");
    picker.put_off(seed.lane(0), piece);
    assert_eq!((picker.pick(seed.lane(0), |_| true), picker.missing()), (None, 0));
    assert!(picker.wants_from(seed));
    picker.recall();
    assert_eq!(picker.pick(seed.lane(0), |_| true), Some(piece));
    picker.put_off(seed.lane(0), piece);
    picker.peer_has(other, piece);
    assert_eq!(picker.pick(other.lane(0), |_| true), Some(piece));
    picker.put_off(seed.lane(0), piece);
    assert_eq!(picker.received(other.lane(0), piece), Received::First { cancel: vec![] });
}
