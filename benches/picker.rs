//! The cost of the picker at its largest: 2,097,152 pieces (1 TiB) and 200 peers. `cargo bench -- picker`.

use crate::kit::options::Options;
use std::time::{Duration, Instant};

use groupshare::client::picker::piece_picker::{Lane, PeerSlot, PiecePicker, WINDOW};
use groupshare::model::bitfield::Bitfield;
use groupshare::model::id::ClientId;
use groupshare::model::piece::{Layout, PIECES_MAX, SIZE_MAX};

const PEERS: usize = 200;
const PICKS: usize = 100_000;

pub(crate) fn bench(_: &Options) {
    println!("{PIECES_MAX} pieces, {PEERS} peers\n");
    println!("{:<52}{:>8}{:>10}{:>10}{:>10}{:>10}", "", "calls", "mean us", "p50 us", "p99 us", "max us");
    choices();
    scarce();
    churn();
    comings();
    endgame();
    calls();
    println!("\nMost memory this run took: {}", peak_memory());
}

/// Picks and deliveries in a swarm that does not change.
fn choices() {
    let full: Vec<_> = (0..PEERS).map(|_| Bitfield::all(layout())).collect();
    run("pick, all complete", &full, 0, PEERS);

    let halves: Vec<_> = (0..PEERS).map(|peer| random_bits(peer as u64, 50)).collect();
    run("pick, each holds a random half", &halves, 0, PEERS);
    run("pick, the same with 99 % here", &halves, 99, PEERS);

    let mut sparse: Vec<_> = (0..PEERS - 1).map(|peer| random_bits(peer as u64, 1)).collect();
    sparse.push(Bitfield::all(layout()));
    run("pick, each holds a random hundredth, one is complete", &sparse, 0, PEERS);

    // The first 150 peers hold nothing of the rarer half. That is the worst case for a search from the rarest piece on.
    let lower = |piece: u32| piece < PIECES_MAX / 2;
    let split: Vec<_> = (0..PEERS).map(|peer| bits(|piece| lower(piece) == (peer < 150))).collect();
    run("pick, peers that hold nothing of the rarer half", &split, 0, 150);
    let even: Vec<_> = (0..PEERS).map(|peer| bits(|piece| (piece % 2 == 0) == (peer < 150))).collect();
    run("pick, the same with every second piece rarer", &even, 0, 150);
}

/// Picks from the only complete peer. Seven other members want everything from it too.
fn scarce() {
    let mut holdings: Vec<_> = (0..7).map(|peer| random_bits(peer as u64, 5)).collect();
    holdings.insert(0, Bitfield::all(layout()));
    run("pick, a scarce seeder and seven who want all of it", &holdings, 0, 1);
}

/// Picks while others announce pieces.
fn churn() {
    let halves: Vec<_> = (0..PEERS).map(|peer| random_bits(peer as u64, 50)).collect();
    let (mut picker, peers) = swarm(&halves, 0);
    let mut random = Random(7);
    let (mut picks, mut haves) = (Times::new(), Times::new());
    for round in 0..PICKS {
        let lane = peers[round % PEERS].lane(0);
        let piece = layout().index(random.next() % PIECES_MAX).expect("below the count");
        let peer = peers[random.next() as usize % PEERS];
        haves.take(|| picker.peer_has(peer, piece));
        exchange(&mut picker, lane, &mut picks);
    }
    picks.print("pick, one piece announced before each");
    haves.print("peer_has");
}

/// Peers come and go while two hundred others hold a part.
fn comings() {
    for (part, percent) in [("a half", 50), ("a hundredth", 1)] {
        let holdings: Vec<_> = (0..PEERS).map(|peer| random_bits(peer as u64, percent)).collect();
        let (mut picker, peers) = swarm(&holdings, 0);
        let guests = [("all", Bitfield::all(layout())), (part, random_bits(1 << 41, percent))];
        for (what, bits) in guests {
            let (mut joins, mut leaves, mut picks) = (Times::new(), Times::new(), Times::new());
            for _ in 0..20 {
                let guest = joins.take(|| {
                    let guest = picker.add_peer(client(PEERS));
                    picker.set_bitfield(guest, &bits);
                    guest
                });
                leaves.take(|| picker.remove_peer(guest));
                for peer in &peers {
                    exchange(&mut picker, peer.lane(0), &mut picks);
                }
            }
            joins.print(&format!("a peer with {what} comes to those with {part}"));
            leaves.print(&format!("a peer with {what} leaves those with {part}"));
            picks.print("first pick of each after that");
        }
    }
}

/// Copies of the last 800 pieces, four on their way with each peer.
fn endgame() {
    let mut have = Bitfield::all(layout());
    let mut random = Random(3);
    while have.len() - have.held() < 4 * PEERS as u32 {
        have.remove(layout().index(random.next() % PIECES_MAX).expect("below the count"));
    }
    let mut picker = PiecePicker::new(layout(), have, ClientId([0; 16]), WINDOW, 1);
    let peers: Vec<_> = (0..PEERS).map(|peer| picker.add_peer(client(peer))).collect();
    for &peer in &peers {
        picker.set_bitfield(peer, &Bitfield::all(layout()));
    }
    for round in 0..4 * PEERS {
        picker.pick(peers[round % PEERS].lane(0), |_| true).expect("800 are missing");
    }
    let mut picks = Times::new();
    for round in 0..2 * PEERS {
        let lane = peers[round % PEERS].lane(1 + (round / PEERS) as u16);
        picks.take(|| picker.pick(lane, |_| true)).expect("800 are in flight");
    }
    picks.print("pick, endgame with 800 pieces in flight");
}

/// The other calls.
fn calls() {
    let halves: Vec<_> = (0..PEERS).map(|peer| random_bits(peer as u64, 50)).collect();
    let (mut picker, peers) = swarm(&halves, 0);
    let (mut failures, mut wants, mut seeds) = (Times::new(), Times::new(), Times::new());
    for round in 0..PICKS {
        let peer = peers[round % PEERS];
        let piece = picker.pick(peer.lane(0), |_| true).expect("plenty is missing");
        failures.take(|| picker.failed(peer.lane(0), piece));
        wants.take(|| picker.wants_from(peer));
    }
    failures.print("failed");
    wants.print("wants_from");
    let all = Bitfield::all(layout());
    for peer in PEERS..2 * PEERS {
        let peer = picker.add_peer(client(peer));
        seeds.take(|| picker.set_bitfield(peer, &all));
    }
    seeds.print("set_bitfield, all");
    let (mut made, none) = (Times::new(), Bitfield::none(layout()));
    for seed in 0..5 {
        made.take(|| PiecePicker::new(layout(), none.clone(), ClientId([0; 16]), WINDOW, seed));
    }
    made.print("new");
}

/// Picks by the first `pickers` peers in turn, each delivered at once. `here` percent of the pieces are here already.
fn run(name: &str, holdings: &[Bitfield], here: u32, pickers: usize) {
    let (mut picker, peers) = swarm(holdings, here);
    let mut times = Times::new();
    let lacking = picker.missing() as usize;
    for round in 0..PICKS.min(lacking * 9 / 10) {
        exchange(&mut picker, peers[round % pickers].lane(0), &mut times);
    }
    times.print(name);
}

fn exchange(picker: &mut PiecePicker, lane: Lane, times: &mut Times) {
    if let Some(piece) = times.take(|| picker.pick(lane, |_| true)) {
        picker.received(lane, piece);
    }
}

fn swarm(holdings: &[Bitfield], here: u32) -> (PiecePicker, Vec<PeerSlot>) {
    let mut picker = PiecePicker::new(layout(), random_bits(1 << 40, here), ClientId([0; 16]), WINDOW, 1);
    let peers: Vec<_> = (0..holdings.len()).map(|peer| picker.add_peer(client(peer))).collect();
    for (&peer, bits) in peers.iter().zip(holdings) {
        picker.set_bitfield(peer, bits);
    }
    (picker, peers)
}

fn client(number: usize) -> ClientId {
    ClientId((1 + number as u128).to_be_bytes())
}

fn layout() -> Layout {
    Layout::new(SIZE_MAX).expect("the largest")
}

fn bits(hold: impl Fn(u32) -> bool) -> Bitfield {
    let mut bits = Bitfield::none(layout());
    for piece in layout().indexes().filter(|piece| hold(piece.get())) {
        bits.insert(piece);
    }
    bits
}

fn random_bits(seed: u64, percent: u32) -> Bitfield {
    let mut random = Random(seed);
    let mut bits = Bitfield::none(layout());
    for piece in layout().indexes() {
        if random.next() % 100 < percent {
            bits.insert(piece);
        }
    }
    bits
}

struct Random(u64);

impl Random {
    fn next(&mut self) -> u32 {
        self.0 = self.0.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
        let mixed = (self.0 ^ (self.0 >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        (mixed >> 32) as u32
    }
}

struct Times(Vec<Duration>);

impl Times {
    fn new() -> Self {
        Self(Vec::with_capacity(PICKS))
    }

    fn take<T>(&mut self, call: impl FnOnce() -> T) -> T {
        let start = Instant::now();
        let result = std::hint::black_box(call());
        self.0.push(start.elapsed());
        result
    }

    fn print(mut self, name: &str) {
        self.0.sort_unstable();
        let count = self.0.len();
        let at = |share: usize| micros(self.0[(count - 1) * share / 100]);
        let mean = micros(self.0.iter().sum::<Duration>()) / count as f64;
        println!("{name:<52}{count:>8}{mean:>10.2}{:>10.2}{:>10.2}{:>10.1}", at(50), at(99), at(100));
    }
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

fn peak_memory() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    peak.map_or("unknown".to_owned(), |peak| peak.trim().to_owned())
}
