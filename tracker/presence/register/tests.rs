//! The invariants of a register, and random trackers that tell each other of their clients.

use super::{Home, Register};
use crate::model::id::{ClientId, GroupRef, OpId, Origin, ShareRef, UserRef};
use crate::model::piece::{Layout, PIECE_LEN};
use crate::tracker::presence::holdings::Holdings;
use crate::tracker::presence::remote_tracker::RemoteTracker;
use crate::tracker::presence::subscription::CurrentPresence;
use crate::tracker::presence::subscription::{PresenceChange, Subscription};
use crate::tracker::presence::swarm::SwarmInfo;
use crate::tracker::presence::{ClientKey, HeardFrom, Presence, TTL, Ticket};
use crate::wire::client_tracker::Holding;
use crate::wire::codec::{Blob, List};
use crate::wire::contact::tests::contact;
use proptest::collection::vec;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Instant;

const TRACKERS: usize = 3;
const CLIENTS: u8 = 4;

impl Register {
    /// Asserts every invariant.
    fn check(&self) {
        let (mut told, mut held, mut spent) = (BTreeSet::new(), BTreeMap::new(), 0);
        for (&key, client) in &self.clients {
            held.extend(client.holdings.roles().map(|(info, role)| ((info.share, key), role)));
            let claims = client.claims.iter().map(|claim| &claim.holdings);
            spent += claims.chain([&client.holdings]).map(Holdings::check).sum::<usize>();
            assert_eq!(self.crowded.contains(&key), client.holdings.is_crowded());
            for claim in &client.claims {
                assert!(told.insert((claim.tracker, key)), "two claims of one tracker");
            }
            if let Home::At(home) = client.home {
                assert!(told.insert((home, key)), "a claim besides the home");
            }
        }
        let of_teller =
            |(&home, tracker): (&u16, &RemoteTracker)| tracker.told.iter().map(|&key| (home, key)).collect::<Vec<_>>();
        assert_eq!(self.remote_trackers.iter().flat_map(of_teller).collect::<BTreeSet<_>>(), told);
        self.swarms.check(&held);
        assert!(self.crowded.iter().all(|key| self.clients.contains_key(key)));
        assert_eq!((self.budget.spent(), self.budget.overspender()), (spent, None));
    }

    /// What the register knows of a client, in the form in which a tracker tells it.
    fn known(&self, key: ClientKey) -> Option<Vec<PresenceChange>> {
        let client = self.clients.get(&key)?;
        let holds = |share| PresenceChange::Holds { key, share, holding: self.holding(key, share) };
        Some(
            [PresenceChange::Online { key, contact: client.contact.clone() }]
                .into_iter()
                .chain(client.holdings.shares().map(holds))
                .collect(),
        )
    }
}

fn op(seq: u64) -> OpId {
    OpId { origin: Origin { tracker: 1, incarnation: 7 }, seq }
}

fn key(client: u8) -> ClientKey {
    ClientKey { user: UserRef(op(u64::from(client % 2))), client: ClientId([client; 16]) }
}

/// Shares 0 and 1 turn out to be the same.
fn swarm(share: u64) -> SwarmInfo {
    let layout = Layout::new(10 * u64::from(PIECE_LEN)).expect("small");
    SwarmInfo { share: ShareRef(op(10 + share)), group: GroupRef(op(50)), layout }
}

fn merged(id: OpId) -> OpId {
    if id == op(11) { op(10) } else { id }
}

#[derive(Debug, Clone)]
enum Event {
    Enter(usize, u8),
    Leave(usize, u8),
    Announce(usize, u8, u16),
    Hold(usize, u8, bool, Holding),
    DropSharer(u8, bool),
    /// Some changes go from one tracker to another.
    Tell(usize, usize, usize),
    Cut(usize, usize),
    Link(usize, usize),
    /// Half a time to live passes. The clients with `true` stay silent.
    Age(Vec<bool>),
    /// A tracker learns that shares 0 and 1 are the same.
    Rekey(usize),
}

fn holdings() -> impl Strategy<Value = Holding> {
    let exactly = (any::<u8>(), 0u8..4).prop_map(|(a, b)| Blob::new(vec![a, b << 6]).expect("short"));
    prop_oneof![
        2 => Just(Holding::All {}),
        2 => Just(Holding::Nothing {}),
        2 => exactly.prop_map(|bits| Holding::Exactly { bits }),
        1 => Just(Holding::Exactly { bits: Blob::new(vec![0, 0]).expect("short") }),
        2 => vec(0u32..11, 0..10).prop_map(|pieces| Holding::More { pieces: List::new(pieces).expect("few") }),
    ]
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let (t, c) = (0..TRACKERS, 0..CLIENTS);
    let pair = (0..TRACKERS, 1..TRACKERS).prop_map(|(a, by)| (a, (a + by) % TRACKERS));
    let event = prop_oneof![
        4 => (t.clone(), c.clone()).prop_map(|(t, c)| Event::Enter(t, c)),
        2 => (t.clone(), c.clone()).prop_map(|(t, c)| Event::Leave(t, c)),
        2 => (t.clone(), c.clone(), 1u16..4).prop_map(|(t, c, port)| Event::Announce(t, c, port)),
        8 => (t.clone(), c, any::<bool>(), holdings()).prop_map(|(t, c, odd, holds)| Event::Hold(t, c, odd, holds)),
        1 => (0..2u8, any::<bool>()).prop_map(|(user, odd)| Event::DropSharer(user, odd)),
        8 => (pair.clone(), 1usize..5).prop_map(|((a, b), n)| Event::Tell(a, b, n)),
        1 => pair.clone().prop_map(|(a, b)| Event::Cut(a, b)),
        2 => pair.prop_map(|(a, b)| Event::Link(a, b)),
        1 => vec(any::<bool>(), TRACKERS * CLIENTS as usize).prop_map(Event::Age),
        1 => t.prop_map(Event::Rekey),
    ];
    vec(event, 0..150)
}

/// One direction of a link.
struct Link {
    subscription: Arc<Subscription>,
    all_told: bool,
}

/// Trackers and the links between them.
struct Net {
    now: Instant,
    trackers: Vec<Presence>,
    merged: Vec<bool>,
    tickets: BTreeMap<(usize, u8), Ticket>,
    links: BTreeMap<(usize, usize), Link>,
}

impl Net {
    fn new() -> Self {
        let trackers = (0..TRACKERS).map(|_| Presence::new()).collect();
        let (tickets, links) = (BTreeMap::new(), BTreeMap::new());
        Self { now: Instant::now(), trackers, merged: vec![false; TRACKERS], tickets, links }
    }

    /// The canonical share, as far as a tracker knows.
    fn canonical(&self, tracker: usize, swarm: SwarmInfo) -> SwarmInfo {
        let share = if self.merged[tracker] { ShareRef(merged(swarm.share.0)) } else { swarm.share };
        SwarmInfo { share, ..swarm }
    }

    /// The share that a client speaks of: the one of the twins that its tracker knows, or the odd one.
    fn swarm(&self, tracker: usize, client: u8, odd: bool) -> SwarmInfo {
        self.canonical(tracker, swarm(if odd { 2 } else { u64::from(client / 2) % 2 }))
    }

    fn run(&mut self, event: &Event) {
        match event {
            Event::Enter(t, c) => {
                self.tickets.insert((*t, *c), self.trackers[*t].enter(key(*c), self.now));
            }
            Event::Leave(t, c) => {
                self.tickets.remove(&(*t, *c)).iter().for_each(|ticket| self.trackers[*t].leave(ticket));
            }
            Event::Announce(t, c, port) => {
                if let Some(ticket) = self.tickets.get(&(*t, *c)) {
                    self.trackers[*t].announce(ticket, contact(*port));
                }
            }
            Event::Hold(t, c, odd, holding) => {
                if let Some(ticket) = self.tickets.get(&(*t, *c)) {
                    let _ = self.trackers[*t].hold(ticket, self.swarm(*t, *c, *odd), holding);
                }
            }
            Event::DropSharer(user, odd) => {
                for t in 0..TRACKERS {
                    let share = self.swarm(t, *user, *odd).share;
                    self.trackers[t].drop_sharer(UserRef(op(u64::from(*user))), share);
                }
            }
            Event::Tell(from, to, count) => drop(self.tell(*from, *to, *count)),
            Event::Cut(a, b) => {
                self.links.remove(&(*a, *b));
                self.links.remove(&(*b, *a));
            }
            Event::Link(a, b) => self.link(*a, *b),
            Event::Age(silent) => self.age(silent),
            Event::Rekey(t) => self.rekey(*t),
        }
    }

    fn heard(&self, tracker: usize) -> HeardFrom {
        HeardFrom { tracker: tracker as u16, at: self.now }
    }

    fn rekey(&mut self, t: usize) {
        self.merged[t] = true;
        self.trackers[t].rekey(merged);
    }

    fn link(&mut self, a: usize, b: usize) {
        for (from, to) in [(a, b), (b, a)] {
            let subscription = self.trackers[from].subscribe(Box::new(|| ()));
            self.links.insert((from, to), Link { subscription, all_told: false });
            self.trackers[to].begin_snapshot(self.heard(from));
        }
    }

    /// Sends some changes over a link. Returns false if there were none.
    fn tell(&mut self, from: usize, to: usize, count_max: usize) -> bool {
        let Some(link) = self.links.get_mut(&(from, to)) else {
            return false;
        };
        let changes = self.trackers[from].take(&link.subscription, count_max, self.now).changes;
        assert!(changes.len() <= count_max);
        let ends = !link.all_told && changes.len() < count_max;
        link.all_told |= ends;
        let (receiver, home, heard) = (&self.trackers[to], from as u16, self.heard(from));
        let any = !changes.is_empty();
        for change in changes {
            match change {
                PresenceChange::Online { key, contact } => drop(receiver.remote_online(heard, key, contact)),
                PresenceChange::Offline { key } => receiver.remote_offline(home, key),
                PresenceChange::Holds { key, share, holding } => {
                    let swarm = self.canonical(to, SwarmInfo { share, ..swarm(0) });
                    receiver.remote_holds(heard, key, swarm, &holding);
                }
            }
        }
        if ends {
            receiver.end_snapshot(home);
        }
        any
    }

    fn age(&mut self, silent: &[bool]) {
        self.now += TTL / 2;
        for (&(t, c), ticket) in &self.tickets {
            if !silent[t * CLIENTS as usize + c as usize] {
                self.trackers[t].heard(ticket, self.now);
            }
        }
        for &(from, to) in self.links.keys() {
            self.trackers[to].heard_from_tracker(self.heard(from));
        }
        self.trackers.iter().for_each(|tracker| drop(tracker.sweep(self.now)));
    }

    fn settle(&mut self) {
        for (a, b) in [(0, 1), (0, 2), (1, 2)] {
            if !self.links.contains_key(&(a, b)) {
                self.link(a, b);
            }
        }
        (0..TRACKERS).for_each(|t| self.rekey(t));
        let pairs: Vec<_> = self.links.keys().copied().collect();
        while pairs.iter().fold(false, |any, &(from, to)| self.tell(from, to, 3) || any) {}
    }
}

/// Ends a run: sends all changes to all trackers, and checks that they know them.
fn settles(net: &mut Net) {
    net.settle();
    let registers: Vec<_> = net.trackers.iter().map(|tracker| tracker.register.lock()).collect();
    for (t, register) in registers.iter().enumerate() {
        register.check();
        for key in (0..CLIENTS).map(key) {
            let is_here = |register: &Register| register.clients.get(&key).is_some_and(|client| client.is_here());
            let homes: Vec<_> = registers.iter().filter(|register| is_here(register)).collect();
            let known = register.known(key);
            if homes.is_empty() {
                assert_eq!(known, None, "tracker {t} knows one that is offline");
            } else if !is_here(register) {
                let truth: Vec<_> = homes.iter().map(|home| home.known(key)).collect();
                assert!(truth.contains(&known), "tracker {t} knows {known:?}, not {truth:?}");
            }
        }
    }
}

#[test]
fn claims_about_a_twin_from_before_the_link_was_lost_do_not_pass_for_new_ones() {
    let some = || Holding::Exactly { bits: Blob::new(vec![0x80, 0]).expect("short") };
    let mut net = Net::new();
    let first =
        [Event::Enter(0, 2), Event::Link(2, 0), Event::Hold(0, 2, false, Holding::All {}), Event::Tell(0, 2, 2)];
    // Tracker 0 learns that the shares are the same, and tells its clients again. Tracker 2 learns it halfway through.
    let then = [
        Event::Rekey(0),
        Event::Link(2, 0),
        Event::Hold(0, 2, false, some()),
        Event::Enter(0, 0),
        Event::Hold(0, 0, false, some()),
        Event::Tell(0, 2, 4),
    ];
    first.iter().chain(&then).for_each(|event| net.run(event));
    settles(&mut net);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn trackers_that_tell_each_other_come_to_know_the_same(events in events()) {
        let mut net = Net::new();
        for event in &events {
            net.run(event);
            net.trackers.iter().for_each(|tracker| tracker.register.lock().check());
        }
        settles(&mut net);
    }
}
