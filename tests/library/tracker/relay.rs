//! The relay of a tracker, with raw sockets at both ends: its effect on members and strangers.

use crate::common::client::Client;
use crate::common::deadline::LONG;
use crate::common::membership::announcement;
use crate::common::names::user;
use crate::common::tracker::TestTracker;
use crate::common::vacant::Vacant;
use crate::common::wait::wait_until;
use groupshare::client::reach::relay::Relays;
use groupshare::model::address::TrackerAddr;
use groupshare::model::id::{ClientId, RelayTicket};
use groupshare::rate::limit::Limit;
use groupshare::tracker::admission::Caps;
use groupshare::tracker::relay::{RelayEnd, RelaySettings, RelayTickets};
use groupshare::wire::client_tracker::{Reply, Request};
use groupshare::wire::handshake::refusal_in_clear;
use groupshare::wire::refusal::Code;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

const FAST: RelaySettings = RelaySettings { limit: Limit::NONE, silence: LONG, ticket_life: Duration::from_secs(100) };
/// The first bytes of a client.
const PREFACE: &[u8] = b"GRPSHARE\x00\x04\x06";

fn relaying(relay: RelaySettings) -> TestTracker {
    TestTracker::start_with(|settings| settings.relay = Some(relay))
}

/// Tickets for clients of these two users, or the reason why there are none.
fn issue(tracker: &TestTracker, from: &str, to: &str) -> Result<RelayTickets, String> {
    static CLIENTS: AtomicU64 = AtomicU64::new(1);
    let end = |name: &str| {
        let client = u128::from(CLIENTS.fetch_add(1, Ordering::Relaxed));
        RelayEnd { user: user(name), client: ClientId(client.to_be_bytes()) }
    };
    let relay = tracker.server.core().relay.as_ref().expect("it relays");
    relay.issue((end(from), tracker.addr.ip()), end(to), Instant::now()).map_err(|refusal| refusal.to_string())
}

fn relays(trackers: Vec<TrackerAddr>) -> Relays {
    Relays::new(trackers).expect("a descriptor")
}

fn come(tracker: &TestTracker, ticket: RelayTicket) -> TcpStream {
    let mut stream = TcpStream::connect(tracker.addr).expect("connected");
    stream.set_read_timeout(Some(LONG)).expect("an option");
    stream.write_all(&[PREFACE, &ticket.0].concat()).expect("sent");
    stream
}

fn read<const N: usize>(stream: &mut TcpStream) -> [u8; N] {
    let mut bytes = [0; N];
    stream.read_exact(&mut bytes).expect("bytes");
    bytes
}

fn rest(stream: &mut TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    // A connection that was cut has delivered the bytes before.
    let _ = stream.read_to_end(&mut bytes);
    bytes
}

/// Two clients of these users, after their meeting.
fn meet(tracker: &TestTracker, from: &str, to: &str) -> (TcpStream, TcpStream) {
    let tickets = issue(tracker, from, to).expect("tickets");
    let mut ends = (come(tracker, tickets.caller), come(tracker, tickets.called));
    assert_eq!((read(&mut ends.0), read(&mut ends.1)), ([1], [1]));
    ends
}

/// All connections, and those that have proved nothing.
fn connections(tracker: &TestTracker) -> (usize, usize) {
    let connections = tracker.server.status().connections;
    (connections.total, connections.early)
}

fn refused(code: Code) -> Vec<u8> {
    refusal_in_clear(code).to_vec()
}

#[test]
fn two_members_get_each_others_bytes_and_each_others_end() {
    let tracker = relaying(FAST);
    let (mut ann, mut bob) = meet(&tracker, "ann", "bob");
    ann.write_all(b"a handshake").expect("sent");
    assert_eq!(&read::<11>(&mut bob), b"a handshake");
    bob.write_all(b"its answer").expect("sent");
    assert_eq!(&read::<10>(&mut ann), b"its answer");
    let long: Vec<u8> = (0..5_000_000u32).map(|at| (at % 251) as u8).collect();
    thread::scope(|scope| {
        scope.spawn(|| {
            ann.write_all(&long).expect("sent");
            ann.shutdown(Shutdown::Write).expect("open");
        });
        assert!(rest(&mut bob) == long, "all of it, in order");
    });
    bob.write_all(b"thanks").expect("the other direction is open");
    assert_eq!(tracker.server.status().relay.expect("a relay").pairs, 1);
    drop(bob);
    assert_eq!(rest(&mut ann), b"thanks");
    wait_until("the pair has ended", || tracker.server.status().relay.is_some_and(|relay| relay.pairs == 0));
    let said = tracker.server.status().to_string();
    assert!(said.contains("\nrelay       0 pairs, 5.0 MB relayed since the start, no limit at most"), "{said}");
}

#[test]
fn a_third_one_with_either_ticket_is_refused_and_disturbs_nobody() {
    let tracker = relaying(FAST);
    let RelayTickets { caller, called } = issue(&tracker, "ann", "bob").expect("tickets");
    let (mut ann, mut bob) = (come(&tracker, caller), come(&tracker, called));
    assert_eq!((read(&mut ann), read(&mut bob)), ([1], [1]));
    for ticket in [caller, called] {
        assert_eq!(rest(&mut come(&tracker, ticket)), refused(Code::BadTicket));
    }
    ann.write_all(b"x").expect("sent");
    assert_eq!(&read(&mut bob), b"x");
}

#[test]
fn the_relay_refuses_a_client_that_comes_too_late_and_one_that_waits_in_vain() {
    let late = relaying(RelaySettings { ticket_life: Duration::ZERO, ..FAST });
    let tickets = issue(&late, "ann", "bob").expect("tickets");
    assert_eq!(rest(&mut come(&late, tickets.caller)), refused(Code::BadTicket));
    let short = relaying(RelaySettings { ticket_life: Duration::from_millis(300), ..FAST });
    let tickets = issue(&short, "ann", "bob").expect("tickets");
    assert_eq!(rest(&mut come(&short, tickets.called)), refused(Code::BadTicket));
    for _ in 0..4 {
        issue(&short, "ann", "bob").expect("the places are free again");
    }
}

#[test]
fn a_user_has_four_pairs_and_hears_who_has_no_place_left() {
    let tracker = relaying(FAST);
    let mut pairs: Vec<_> = (0..4).map(|_| meet(&tracker, "ann", "bob")).collect();
    let refusal = issue(&tracker, "eve", "ann").expect_err("ann has four");
    assert_eq!(refusal, "The relay has no more places: ann has 4 places already");
    pairs.pop();
    wait_until("there is a place again", || issue(&tracker, "eve", "ann").is_ok());
}

#[test]
fn a_caller_alone_makes_no_pair_and_takes_no_place_of_the_one_it_calls() {
    let tracker = relaying(FAST);
    let mut held = Vec::new();
    for _ in 0..4 {
        let tickets = issue(&tracker, "eve", "bob").expect("eve's own places");
        let first = come(&tracker, tickets.caller);
        wait_until("it waits", || connections(&tracker) == (held.len() + 1, 0));
        assert_eq!(rest(&mut come(&tracker, tickets.caller)), refused(Code::BadTicket));
        wait_until("the other one is gone", || connections(&tracker).0 == held.len() + 1);
        held.push(first);
    }
    assert_eq!(tracker.server.status().relay.expect("a relay").pairs, 0);
    let refusal = issue(&tracker, "eve", "joe").expect_err("she has four calls");
    assert_eq!(refusal, "The relay has no more places: eve has 4 places already");
    let _pairs = [meet(&tracker, "cat", "bob"), meet(&tracker, "bob", "joe"), meet(&tracker, "bob", "ann")];
}

#[test]
fn a_called_one_with_four_pairs_and_its_caller_both_hear_that_there_is_no_place() {
    let tracker = relaying(FAST);
    let early = issue(&tracker, "eve", "bob").expect("bob has none yet");
    let _pairs: Vec<_> = (0..4).map(|_| meet(&tracker, "ann", "bob")).collect();
    let (mut eve, mut bob) = (come(&tracker, early.caller), come(&tracker, early.called));
    assert_eq!([rest(&mut eve), rest(&mut bob)], [refused(Code::RelayFull), refused(Code::RelayFull)]);
}

#[test]
fn a_pair_that_says_nothing_for_too_long_is_closed() {
    let tracker = relaying(RelaySettings { silence: Duration::from_millis(200), ..FAST });
    let (mut ann, mut bob) = meet(&tracker, "ann", "bob");
    let begun = Instant::now();
    ann.write_all(b"x").expect("sent");
    assert_eq!(rest(&mut bob), b"x");
    assert_eq!(rest(&mut ann), b"");
    assert!(begun.elapsed() >= Duration::from_millis(200), "{:?}", begun.elapsed());
    wait_until("the place is free", || tracker.server.status().relay.is_some_and(|relay| relay.pairs == 0));
}

#[test]
fn the_cap_holds_and_a_user_with_four_pairs_gets_what_a_user_with_one_gets() {
    const CAP: u64 = 1_000_000;
    const WANTED: u64 = 1_500_000;
    let tracker = relaying(RelaySettings { limit: Limit::of(CAP), ..FAST });
    let pairs: Vec<_> = (0..4).map(|number| meet(&tracker, "many", &format!("m{number}"))).collect();
    let one = meet(&tracker, "one", "other");
    let (many_got, one_got) = (AtomicU64::new(0), AtomicU64::new(0));
    let begun = Instant::now();
    let is_over = || one_got.load(Ordering::Relaxed) >= WANTED;
    let send = |mut stream: &TcpStream| while stream.write_all(&[7; 64 * 1024]).is_ok() {};
    let receive = |mut stream: &TcpStream, got: &AtomicU64| {
        let mut buffer = [0; 64 * 1024];
        while let Ok(len @ 1..) = stream.read(&mut buffer) {
            got.fetch_add(len as u64, Ordering::Relaxed);
        }
    };
    thread::scope(|scope| {
        for (from, to) in &pairs {
            scope.spawn(|| send(from));
            scope.spawn(|| receive(to, &many_got));
        }
        scope.spawn(|| send(&one.0));
        scope.spawn(|| receive(&one.1, &one_got));
        wait_until("the lone pair got enough", is_over);
        let (many, one_got) = (many_got.load(Ordering::Relaxed), one_got.load(Ordering::Relaxed));
        let rate = (many + one_got) as f64 / begun.elapsed().as_secs_f64();
        for (from, to) in pairs.iter().chain([&one]) {
            for stream in [from, to] {
                let _ = stream.shutdown(Shutdown::Both);
            }
        }
        assert!(rate < 1.1 * CAP as f64, "{rate} bytes/s");
        let share = many as f64 / one_got as f64;
        assert!((0.7..1.4).contains(&share), "four pairs got {share} times what one got");
    });
}

#[test]
fn a_reader_that_is_slow_holds_its_sender_back_and_costs_the_tracker_no_memory() {
    const ENOUGH: usize = 256 << 20;
    let tracker = relaying(FAST);
    let (mut ann, mut bob) = meet(&tracker, "ann", "bob");
    ann.set_write_timeout(Some(Duration::from_millis(500))).expect("an option");
    let mut sent = 0;
    while sent < ENOUGH {
        match ann.write(&[7; 64 * 1024]) {
            Ok(len) => sent += len,
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            Err(error) => panic!("{error}"),
        }
    }
    assert!(sent < ENOUGH / 4, "{sent} bytes went somewhere");
    ann.shutdown(Shutdown::Write).expect("open");
    assert_eq!(rest(&mut bob).len(), sent, "nothing is lost");
}

#[test]
fn a_stranger_with_a_ticket_of_its_own_making_is_sent_away_and_takes_no_place_from_clients() {
    let caps = Caps { early: 4, ..Caps::default() };
    let tracker = TestTracker::start_with(|settings| {
        settings.caps = caps;
        settings.relay = Some(FAST);
    });
    let mut member = tracker.user("ann");
    for number in 0..100u128 {
        let mut stranger = TcpStream::connect(tracker.addr).expect("connected");
        let _ = stranger.write_all(&[PREFACE, &number.to_be_bytes()].concat());
        let told = rest(&mut stranger);
        assert!(told == refused(Code::BadTicket) || told == refused(Code::Busy), "{told:?}");
    }
    wait_until("a client gets in", || Client::try_connect(tracker.addr).is_ok());
    member.done(Request::Heartbeat {});
}

#[test]
fn members_at_the_relay_take_no_place_from_those_who_log_in() {
    let caps = Caps { early: 2, ..Caps::default() };
    let tracker = TestTracker::start_with(|settings| {
        settings.caps = caps;
        settings.relay = Some(FAST);
    });
    let _pairs: Vec<_> = (0..4).map(|_| meet(&tracker, "ann", "bob")).collect();
    let waiting = come(&tracker, issue(&tracker, "eve", "joe").expect("tickets").caller);
    wait_until("all have shown their tickets", || connections(&tracker) == (9, 0));
    drop((tracker.client(), tracker.client(), waiting));
}

#[test]
fn a_tracker_that_stops_ends_every_pair_and_tells_whoever_waits() {
    let tracker = relaying(RelaySettings { limit: Limit::of(1), ..FAST });
    let (mut ann, mut bob) = meet(&tracker, "ann", "bob");
    // More bytes than the cap lets through in a day.
    ann.write_all(&[7; 100_000]).expect("the sockets hold as much");
    let mut waiting = come(&tracker, issue(&tracker, "eve", "joe").expect("tickets").caller);
    wait_until("it waits", || connections(&tracker) == (3, 0));
    let begun = Instant::now();
    drop(tracker);
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    assert_eq!(rest(&mut waiting), refused(Code::Closing));
    rest(&mut ann);
    rest(&mut bob);
}

#[test]
fn a_tracker_that_relays_nothing_says_so() {
    let tracker = TestTracker::start();
    assert_eq!(rest(&mut come(&tracker, RelayTicket([7; 16]))), refused(Code::NoRelay));
    let relays = relays(vec![tracker.addr.into()]);
    let refusal = relays.meet(1, None, RelayTicket([7; 16])).expect_err("no relay");
    assert_eq!(refusal.to_string(), "This tracker relays nothing");
}

#[test]
fn a_client_that_says_where_it_is_learns_whether_its_tracker_relays() {
    for (tracker, relays) in [(relaying(FAST), true), (TestTracker::start(), false)] {
        let Reply::Announced { relay, .. } = tracker.user("ann").ask(announcement(18000)) else { panic!("announced") };
        assert_eq!(relay, relays);
    }
}

#[test]
fn clients_meet_at_the_tracker_of_a_number_whatever_their_lists_say_of_their_own() {
    let tracker = relaying(FAST);
    let RelayTickets { caller, called } = issue(&tracker, "ann", "bob").expect("tickets");
    let vacant = Vacant::at_loopback();
    let nobody = vacant.addr;
    thread::scope(|scope| {
        let ann = scope.spawn(|| relays(vec![nobody.into()]).meet(1, Some((1, tracker.addr)), caller));
        let bob = relays(vec![tracker.addr.into()]).meet(1, Some((2, nobody)), called);
        let (mut ann, mut bob) = (ann.join().expect("no panic").expect("met"), bob.expect("met"));
        ann.write_all(b"x").expect("sent");
        assert_eq!(&read(&mut bob), b"x");
    });
    let refusal = relays(vec![nobody.into()]).meet(2, None, caller).expect_err("a list of one");
    assert_eq!(refusal.to_string(), "tracker 2 is not on the list");
}

#[test]
fn a_relay_is_found_whatever_the_order_of_the_list() {
    let (relay, own) = (relaying(FAST), relaying(FAST));
    let RelayTickets { caller, called } = issue(&relay, "ann", "bob").expect("tickets");
    // The trackers' list begins with the relay. One client's list begins with its own tracker, and the other client has
    // no list.
    let lists = [own.addr, relay.addr].map(|addr| addr.into());
    thread::scope(|scope| {
        let ann = scope.spawn(|| relays(lists.to_vec()).meet(1, Some((2, own.addr)), caller));
        let bob = relays(lists.to_vec()).meet(1, None, called);
        let (mut ann, mut bob) = (ann.join().expect("no panic").expect("met"), bob.expect("met"));
        ann.write_all(b"x").expect("sent");
        assert_eq!(&read(&mut bob), b"x");
    });
    let refusal = relays(lists.to_vec()).meet(1, None, called).expect_err("it is used up");
    assert!(refusal.to_string().contains("ticket"), "{refusal}");
}
