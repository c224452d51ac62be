//! A crowd that downloads one file in simulated time: the product's decisions over a simulated network. A seed decides
//! everything.

pub(crate) mod access;
mod events;
mod giving;
mod member;
mod places;
mod row;
pub(crate) mod rules;
mod slots;
mod taking;
pub(crate) mod tracker;

use access::{Access, least_time};
use events::{Clock, ConnId, Event};
use groupshare::client::download::dial_pace::DialPaces;
use groupshare::client::download::peer_list::PeerList;
use groupshare::client::download::transfer::ask_bound::AskBound;
use groupshare::client::download::transfer::open_peers::OpenPeers;
use groupshare::client::picker::piece_picker::{PiecePicker, WINDOW};
use groupshare::client::picker::split_mix::SplitMix;
use groupshare::client::upload::leases::Leases;
use groupshare::model::bitfield::Bitfield;
use groupshare::model::piece::Layout;
use groupshare::rate::fair_queue::FairQueue;
use groupshare::rate::limit::Limit;
use groupshare::rate::token_bucket::TokenBucket;
use member::{Limited, Member, Names, Taking};
use places::Places;
use row::GiverRow;
use rules::Rules;
use slots::Slots;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;
use taking::HOLD_PAUSE;
use tracker::{Said, Tracker};

/// The setup of a simulation.
#[derive(Debug, Clone)]
pub(crate) struct Setup {
    pub(crate) size: u64,
    pub(crate) seeder: Access,
    /// The upload limit of the seeder.
    pub(crate) cap: Limit,
    pub(crate) members: Vec<Access>,
    /// Bytes of a connection that leave at a time on an unlimited uplink.
    pub(crate) chunk: u32,
    /// A member decides about dials and connections once in so many ticks. The product does at each tick.
    pub(crate) look_ticks: u32,
    pub(crate) rules: Rules,
    pub(crate) seed: u64,
}

/// The results of a simulation.
#[derive(Debug, Default, Clone, PartialEq)]
pub(crate) struct Outcome {
    /// The least possible time, in seconds.
    pub(crate) least: f64,
    /// When each member had everything, in order.
    pub(crate) done: Vec<Duration>,
    pub(crate) failed: usize,
    pub(crate) seeder_sent: u64,
    /// When the seeder had given each piece once.
    pub(crate) all_given: Option<Duration>,
    pub(crate) tally: Tally,
    pub(crate) tracker: Said,
}

/// Sums over all members.
#[derive(Debug, Default, Clone, Copy, PartialEq)]
pub(crate) struct Tally {
    /// Bytes of pieces that came in, complete or not.
    pub(crate) received: u64,
    pub(crate) duplicates: u64,
    /// Other bytes between members.
    pub(crate) control: u64,
    /// Refusals because a piece is on its way to another member.
    pub(crate) put_off: u64,
    /// Refusals because all places are taken.
    pub(crate) busy: u64,
    /// Connections that were silent and lost their pieces to others.
    pub(crate) snubbed: u64,
    pub(crate) events: u64,
}

pub(crate) struct World {
    clock: Clock,
    random: SplitMix,
    rules: Rules,
    layout: Layout,
    chunk: u32,
    look_ticks: u32,
    members: Vec<Member>,
    conns: Slots,
    leases: Vec<Arc<Leases>>,
    rows: Vec<GiverRow>,
    tracker: Tracker,
    tally: Tally,
    running: usize,
}

/// Runs the simulation to its end, or for a day.
pub(crate) fn play(setup: &Setup) -> Outcome {
    World::new(setup).run(setup)
}

impl World {
    fn new(setup: &Setup) -> Self {
        let leases = (0..=setup.members.len()).map(|_| Arc::default()).collect();
        let (clock, mut random) = (Clock::new(), SplitMix(setup.seed));
        let layout = Layout::new(setup.size).expect("a size that may be");
        let accesses = [setup.seeder].into_iter().chain(setup.members.iter().copied());
        let mut members = Vec::new();
        for (number, access) in (0..).zip(accesses) {
            let names = Names::of(number, &mut random);
            let (have, limit) = match number {
                0 => (Bitfield::all(layout), setup.cap),
                _ => (Bitfield::none(layout), Limit::NONE),
            };
            let taking = (number > 0).then(|| taking(&names, layout, &clock, random.below(usize::MAX) as u64));
            members.push(member((names, access), have, (limit, layout), taking));
        }
        let names: Vec<_> = members.iter().map(|member| member.names.clone()).collect();
        let tracker = Tracker::new(layout, &names, clock.now());
        let rows = (0..=setup.members.len()).map(|_| GiverRow::new(layout)).collect();
        let (conns, running) = (Slots::default(), setup.members.len());
        let (rules, chunk, look_ticks) = (setup.rules, setup.chunk, setup.look_ticks);
        let tally = Tally::default();
        Self { clock, random, rules, layout, chunk, look_ticks, members, conns, leases, rows, tracker, tally, running }
    }

    fn run(mut self, setup: &Setup) -> Outcome {
        for number in 1..self.members.len() as u32 {
            // Members do not begin in the same millisecond.
            let at = Duration::from_micros(self.random.below(100_000) as u64);
            self.clock.at(at, Event::Begins(number));
        }
        self.clock.after(HOLD_PAUSE, Event::TellPutOff);
        while self.running > 0 && self.clock.elapsed() < Duration::from_secs(86_400) {
            let Some(event) = self.clock.next() else { break };
            self.tally.events += 1;
            self.happen(event);
        }
        let takers = || self.members.iter().skip(1);
        let mut done: Vec<_> = takers().filter_map(|member| member.done).collect();
        done.sort();
        let up = setup.cap.bytes_per_second().map_or(setup.seeder.up, |cap| setup.seeder.up.min(cap.get() as f64));
        Outcome {
            least: least_time(setup.size, up, &setup.members),
            failed: takers().count() - done.len(),
            done,
            all_given: self.members[0].all_given,
            seeder_sent: self.members[0].sent,
            tally: self.tally,
            tracker: self.tracker.said,
        }
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Begins(member) => self.begins(member),
            Event::Tick(member) => self.tick(member),
            Event::Heartbeat(member) => self.heartbeat(member),
            Event::Peers(member) => self.peers(member),
            Event::TellPutOff => {
                let told = self.tracker.put_off(self.clock.now());
                told.iter().for_each(|(holder, told)| self.holder_up(*holder, told));
                self.clock.after(HOLD_PAUSE, Event::TellPutOff);
            }
            Event::Dialed(taker, giver) => self.dialed(taker, giver),
            Event::Asked(conn, piece) => self.asked(conn, piece),
            Event::Held(conn) => self.held(conn),
            Event::PutOff(conn, until_ms) => self.put_off(conn, until_ms),
            Event::Uplink(giver) => self.uplink(giver),
            Event::Delivered(conn, len, last) => self.delivered(conn, len, last),
            Event::Ended(conn, in_piece) => self.lose(conn, in_piece),
            Event::Announces(giver) => self.announce(giver),
            Event::News(conn) => self.news(conn),
        }
    }

    /// How long it takes from one end of a connection to the other.
    fn delay(&self, id: ConnId) -> Duration {
        let conn = &self.conns[id];
        self.members[conn.giver as usize].access.delay + self.members[conn.taker as usize].access.delay
    }

    /// Two members.
    fn pair(&mut self, one: u32, two: u32) -> [&mut Member; 2] {
        self.members.get_disjoint_mut([one as usize, two as usize]).expect("two that are there")
    }
}

/// The state in which a download begins.
fn taking(names: &Names, layout: Layout, clock: &Clock, seed: u64) -> Taking {
    let now = clock.now();
    let picker = PiecePicker::new(layout, Bitfield::none(layout), names.id.client, WINDOW, seed);
    Taking {
        peers: PeerList::new(now, 2, Some(Duration::from_secs(60)), seed),
        paces: DialPaces::default(),
        open: OpenPeers::new(picker, now),
        conns: Vec::new(),
        lanes: 0,
        known: HashSet::new(),
        fresh: Vec::new(),
        asked_tracker: Duration::ZERO,
        promised: BTreeMap::new(),
        ticks: 0,
        bound: AskBound::new(now),
        came: 0,
    }
}

fn member(
    (names, access): (Names, Access),
    have: Bitfield,
    (limit, layout): (Limit, Layout),
    taking: Option<Taking>,
) -> Member {
    let limit = (limit != Limit::NONE).then(|| Limited {
        bucket: TokenBucket::new(limit),
        queue: FairQueue::default(),
        flows: HashMap::new(),
        due: None,
    });
    Member {
        names,
        access,
        have,
        taking,
        done: None,
        failed: false,
        down_free: Duration::ZERO,
        places: Places::default(),
        ready: Vec::new(),
        uplink_busy: false,
        up_free: Duration::ZERO,
        limit,
        unannounced: Vec::new(),
        given: vec![0; layout.count() as usize],
        never_given: layout.count(),
        all_given: None,
        sent: 0,
    }
}
