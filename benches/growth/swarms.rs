//! Which client holds which pieces, as clients and other trackers tell it.

use super::town::{ORIGIN, Town, logged_in};
use super::{Input, Work, timed_in_all};
use crate::common::client::Client;
use crate::common::deadline::LONG;
use crate::common::tracker::{TestTracker, cluster};
use groupshare::model::id::{ClientId, OpId, PeerKey, Seen, ShareRef, UserRef};
use groupshare::model::name::UserId;
use groupshare::model::op::floor::FloorMark;
use groupshare::wire::certificate::Certificate;
use groupshare::wire::client_tracker::{Holding, Reply, Request};
use groupshare::wire::codec::{Blob, List};
use groupshare::wire::connection::{self, FrameReceiver, FrameSender, TimedStream};
use groupshare::wire::contact::Contact;
use groupshare::wire::deadlines::HANDSHAKE_DEADLINE;
use groupshare::wire::frame::{FRAME_LEN_MAX, UNASKED};
use groupshare::wire::handshake::tracker_to_tracker;
use groupshare::wire::tracker_tracker::LinkMessage;
use std::net::TcpStream;
use std::sync::Arc;

/// Requests on their way at once.
const AT_ONCE: usize = 16;
/// How often one client repeats itself, so that the time is long enough to measure.
const REPEATS: usize = 8;

pub(super) const INPUTS: &[Input] = &[
    Input::new("pieces that a client holds", (1 << 16, 1 << 20), |count| {
        let (town, share) = with_shares(1, count as u32);
        let bits = Blob::new(vec![0x55; count / 8]).expect("no more than the longest");
        told(&town, vec![Request::Hold { share: share[0], holding: Holding::Exactly { bits } }; REPEATS])
    }),
    Input::new("pieces told one by one", (1 << 9, 1 << 13), |count| {
        let (town, share) = with_shares(1, 16 * count as u32);
        let piece = |n: usize| List::new(vec![16 * n as u32]).expect("one");
        let more = |n| Request::Hold { share: share[0], holding: Holding::More { pieces: piece(n) } };
        told(&town, (0..count).map(more).collect())
    }),
    Input::new("shares that a client holds", (1 << 8, 1 << 12), |count| {
        let (town, shares) = with_shares(count, 1);
        told(&town, shares.iter().map(|&share| Request::Hold { share, holding: Holding::All {} }).collect())
    }),
    Input::new("clients that another tracker tells", (1 << 9, 1 << 13), |count| {
        let (town, shares) = with_shares(1, 64);
        let holding = Holding::All {};
        let messages = (0..count).flat_map(|n| told_of(n, &shares[..1], &holding)).collect();
        linked(&town, shares[0], messages)
    }),
    Input::new("holdings that another tracker tells", (1 << 9, 1 << 13), |count| {
        let (town, shares) = with_shares(count, 64);
        let holding = Holding::Exactly { bits: Blob::new(vec![0x55; 8]).expect("short") };
        linked(&town, shares[0], told_of(1, &shares, &holding))
    }),
];

/// A group of Alice and Bob, in which Alice shares `count` files of `pieces` pieces.
fn with_shares(count: usize, pieces: u32) -> (Town, Vec<ShareRef>) {
    let mut town = Town::default();
    let (alice, bob) = (town.person("alice"), town.person("bob"));
    let lab = town.group("lab", alice);
    town.let_in(lab, bob, alice);
    let shares = (0..count).map(|n| town.share(lab, alice, n, pieces)).collect();
    (town, shares)
}

/// Alice sends these requests and logs out.
fn told(town: &Town, requests: Vec<Request>) -> Work {
    let tracker = town.tracker();
    Box::new(move || {
        let mut alice = logged_in(&tracker, "alice");
        timed_in_all(|| {
            for lot in requests.chunks(AT_ONCE) {
                let asked: Vec<u32> = lot.iter().map(|request| alice.send(request)).collect();
                asked.into_iter().for_each(|id| assert_eq!(alice.reply(id), Reply::Done {}));
            }
            alice.done(Request::Logout {});
        })
    })
}

/// Another tracker announces Bob's client with this number, and its holdings.
fn told_of(number: usize, shares: &[ShareRef], holding: &Holding) -> Vec<LinkMessage> {
    let bob = UserRef(OpId { origin: ORIGIN, seq: 2 });
    let client = ClientId((number as u128).to_be_bytes());
    let certificate =
        Certificate::new((client, UserId::parse("bob").expect("a name"), PeerKey([2; 32])), 7, |_| [3; 64]);
    let contact = Contact {
        certificate,
        seen: ([127, 0, 0, 1], 40_000).into(),
        port: 1 + number as u16,
        interfaces: List::EMPTY,
        announced: None,
        proved: List::EMPTY,
        machine: [4; 16],
        round_trip_ms: 1,
    };
    let online = LinkMessage::Online { user: bob, client, contact: Some(Arc::new(contact)) };
    let holds = |&share| LinkMessage::Holds { user: bob, client, share, holding: holding.clone() };
    std::iter::once(online).chain(shares.iter().map(holds)).collect()
}

/// Another tracker sends all this while Alice downloads the share. Then she asks who holds it, and the link ends.
fn linked(town: &Town, share: ShareRef, messages: Vec<LinkMessage>) -> Work {
    let tracker = town.tracker();
    let mut alice = logged_in(&tracker, "alice");
    let none = Blob::new(vec![0; 8]).expect("short");
    alice.done(Request::Hold { share, holding: Holding::Exactly { bits: none } });
    let mut run = 0;
    Box::new(move || {
        run += 1;
        timed_in_all(|| tell(&tracker, run, &messages, &mut alice, share))
    })
}

fn tell(tracker: &TestTracker, run: u8, messages: &[LinkMessage], alice: &mut Client, share: ShareRef) {
    let (mut receiver, sender) = link(tracker, run);
    messages.iter().for_each(|message| sender.send(UNASKED, message).expect("sent"));
    sender
        .send(UNASKED, &LinkMessage::AllTold {})
        .and_then(|()| sender.send(UNASKED, &LinkMessage::AreYouThere {}))
        .expect("sent");
    let is_here = |receiver: &mut FrameReceiver| {
        let message = receiver.recv(LONG).expect("the link lasts").message::<LinkMessage>().expect("well formed");
        matches!(message, LinkMessage::Here {})
    };
    while !is_here(&mut receiver) {}
    assert!(matches!(alice.ask(Request::FindPeers { share }), Reply::Peers { .. }));
    alice.unasked.clear();
}

/// A link of a tracker that does not exist.
fn link(tracker: &TestTracker, run: u8) -> (FrameReceiver, Arc<FrameSender>) {
    let stream = TcpStream::connect(tracker.addr).expect("connects");
    let (id, key) = cluster().link_key();
    let keys = tracker_to_tracker(&mut TimedStream::new(&stream, HANDSHAKE_DEADLINE), id, &key).expect("the same key");
    let (receiver, sender) = connection::split(stream, keys, FRAME_LEN_MAX, false).expect("a socket");
    let state = tracker.server.core().state();
    let seen = List::first_of(state.version().map(|(origin, seq)| Seen { origin, seq }).collect());
    let floor = FloorMark::default();
    sender.send(UNASKED, &LinkMessage::Hello { tracker: 9, instance: [run; 16], floor, seen }).expect("sent");
    (receiver, sender)
}
