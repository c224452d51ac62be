//! The effect of lying members and strangers on a seeder, and on those it serves, while they download.

use super::ordeal::Ordeal;
use super::replay::Recorder;
use crate::common::deadline::LONG;
use crate::common::identity::{at, secret};
use crate::common::subject::{all, group};
use crate::common::wait::wait_until;
use crate::member::{Member, MemberSetup, greet, key, open};
use groupshare::client::upload::event::SeederEvent;
use groupshare::client::upload::served::Served;
use groupshare::model::bitfield::Bitfield;
use groupshare::rate::limit::Limit;
use groupshare::rate::uplink::Uplink;
use groupshare::wire::connection::{self, FrameReceiver, RecvError};
use groupshare::wire::frame::{FRAME_LEN_MAX, UNASKED};
use groupshare::wire::handshake::HandshakeError;
use groupshare::wire::handshake::peer::{PeerCaller, peer_accepts};
use groupshare::wire::peer::{PeerReply, PeerRequest, REQUESTS_MAX};
use groupshare::wire::refusal::Code;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

/// How long it takes to handle something that has already arrived.
const MOMENT: Duration = Duration::from_millis(20);

/// A seeder of the whole content.
pub(super) fn seeder(ordeal: &Ordeal) -> (Member, Arc<Served>) {
    let seeder = Member::new(1);
    let served = seeder.seed(&ordeal.data, &ordeal.subject, all(&ordeal.subject));
    (seeder, served)
}

pub(super) fn addr(seeder: &Member, ordeal: &Ordeal) -> SocketAddr {
    seeder.peer(1, &ordeal.subject).addrs[0]
}

/// An honest member gets the file from the seeder.
pub(super) fn still_serves(seeder: &Member, ordeal: &Ordeal) {
    let leecher = Member::new(200);
    leecher.download(1, &ordeal.subject);
    leecher.engine.peers(1, vec![seeder.peer(1, &ordeal.subject)]);
    leecher.expect_finished(&ordeal.data);
}

/// A member gets the file through this relay, which records everything.
pub(super) fn recorded_download(seeder: &Member, ordeal: &Ordeal) -> Recorder {
    let relay = Recorder::to(addr(seeder, ordeal));
    let mut peer = seeder.peer(1, &ordeal.subject);
    peer.addrs = at(relay.addr);
    let member = Member::new(2);
    member.download(1, &ordeal.subject);
    member.engine.peers(1, vec![peer]);
    member.expect_finished(&ordeal.data);
    relay
}

/// A stranger that repeats to the seeder what another client has sent.
pub(super) fn replayer(seeder: &Member, ordeal: &Ordeal, said: &[u8]) -> TcpStream {
    let mut replayer = TcpStream::connect(addr(seeder, ordeal)).expect("the seeder listens");
    replayer.set_read_timeout(Some(LONG)).expect("an option");
    replayer.write_all(said).expect("sent");
    replayer
}

/// The next answer to a request.
fn answer(receiver: &mut FrameReceiver) -> (u32, Result<Vec<u8>, Code>) {
    loop {
        let frame = receiver.recv(LONG).expect("an answer");
        if frame.request == UNASKED {
            continue;
        }
        let answer = match frame.message().expect("one that is understood") {
            PeerReply::Piece { .. } => Ok(frame.body.to_vec()),
            PeerReply::Refused { code, .. } => Err(Code::from_number(code).expect("a known reason")),
            other => panic!("{other:?}"),
        };
        return (frame.request, answer);
    }
}

#[test]
fn a_leecher_that_asks_for_everything_at_once_waits_alone_while_others_get_the_file() {
    let ordeal = Ordeal::new();
    let (seeder, _) = seeder(&ordeal);
    // Far more than a leecher may have on its way, and the leecher reads nothing.
    let asked = 40 * REQUESTS_MAX as u32;
    let mut greedy: Vec<_> = (2..6)
        .map(|number| {
            let (receiver, sender) = open(&seeder, &ordeal.subject, number).expect("there is a place");
            for number in 0..asked {
                sender.send(2 + number, &PeerRequest::GetPiece { piece: number % 9 }).expect("sent");
            }
            (receiver, sender)
        })
        .collect();
    still_serves(&seeder, &ordeal);
    // A leecher that reads after all gets what it asked for, in order.
    let (receiver, _) = &mut greedy[0];
    for number in 0..30 {
        assert!(answer(receiver) == (2 + number, Ok(ordeal.piece(number % 9))), "{number}");
    }
}

#[test]
fn leechers_that_take_the_same_pieces_without_end_keep_them_from_nobody() {
    let ordeal = Ordeal::new();
    let seeder = Member::with(1, MemberSetup { uplink: Uplink::new(Limit::of(4_000_000)), ..MemberSetup::default() });
    seeder.seed(&ordeal.data, &ordeal.subject, all(&ordeal.subject));
    // Two leechers for each of eight pieces, so that each of these is always on its way.
    let greedy: Vec<_> = (0..16).map(|_| open(&seeder, &ordeal.subject, 2).expect("there is a place")).collect();
    thread::scope(|scope| {
        let mut senders = Vec::new();
        for ((mut receiver, sender), piece) in greedy.into_iter().zip((0..8).cycle()) {
            (0..100).for_each(|number| sender.send(2 + number, &PeerRequest::GetPiece { piece }).expect("sent"));
            senders.push(sender);
            scope.spawn(move || while receiver.recv(LONG).is_ok() {});
        }
        still_serves(&seeder, &ordeal);
        senders.iter().for_each(|sender| sender.end());
    });
}

/// Each leecher first gets its pieces promised, and then takes what its sockets hold.
#[test]
fn members_who_ask_a_scarce_uplink_for_everything_and_read_nothing_keep_nobody_waiting() {
    let ordeal = Ordeal::new();
    let seeder = Member::with(1, MemberSetup { uplink: Uplink::new(Limit::of(8_000_000)), ..MemberSetup::default() });
    seeder.seed(&ordeal.data, &ordeal.subject, all(&ordeal.subject));
    let greedy: Vec<_> = (2..8)
        .map(|number| {
            let (receiver, sender) = open(&seeder, &ordeal.subject, number).expect("there is a place");
            for asked in 0..10 * REQUESTS_MAX as u32 {
                let piece = (asked + u32::from(number)) % 9;
                sender.send(2 + asked, &PeerRequest::GetPiece { piece }).expect("sent");
            }
            (receiver, sender)
        })
        .collect();
    still_serves(&seeder, &ordeal);
    drop(greedy);
}

#[test]
fn one_user_with_a_hundred_and_fifty_connections_has_a_part_of_the_places() {
    let ordeal = Ordeal::new();
    let (seeder, _) = seeder(&ordeal);
    let crowd: Vec<_> = (0..150).map(|_| open(&seeder, &ordeal.subject, 2)).collect();
    let refused = crowd.iter().filter(|opened| opened.is_err()).count();
    assert!(crowd.iter().all(|opened| opened.as_ref().err().is_none_or(|&code| code == Code::Busy as u16)));
    assert_eq!(crowd.len() - refused, 16);
    still_serves(&seeder, &ordeal);
}

#[test]
fn a_hundred_and_fifty_connections_that_do_nothing_keep_nobody_out_under_whatever_names() {
    let ordeal = Ordeal::new();
    let (seeder, _) = seeder(&ordeal);
    let mut crowd: Vec<_> = (0..150).map(|number| open(&seeder, &ordeal.subject, number)).collect();
    assert_eq!(crowd.iter().filter(|opened| opened.is_ok()).count(), 128, "as many as there are places");
    // Some have asked for pieces and read none of them.
    for (_, sender) in crowd.iter().flatten().step_by(3) {
        for number in 0..4 * REQUESTS_MAX as u32 {
            let _ = sender.send(2 + number, &PeerRequest::GetPiece { piece: number % 9 });
        }
    }
    still_serves(&seeder, &ordeal);
    let mut told = crowd.iter_mut().flatten().filter_map(|(receiver, _)| receiver.recv(MOMENT).ok()?.message().ok());
    let busy = |told| matches!(told, PeerReply::Refused { code, .. } if code == Code::Busy as u16);
    assert!(told.any(busy), "a closed connection got its refusal");
}

#[test]
fn a_member_that_complains_all_the_time_is_heard_once_and_answered_each_time() {
    let ordeal = Ordeal::new();
    let (events, heard) = crossbeam_channel::bounded(64);
    let seeder = Member::with(1, MemberSetup { events, ..MemberSetup::default() });
    seeder.seed(&ordeal.data, &ordeal.subject, all(&ordeal.subject));
    let (mut receiver, sender) = open(&seeder, &ordeal.subject, 2).expect("there is a place");
    for (number, piece) in [9, u32::MAX, 3].into_iter().chain(0..100).zip(2..).map(|(piece, number)| (number, piece)) {
        sender.send(number, &PeerRequest::BadPiece { piece }).expect("sent");
        let frame = receiver.recv(LONG).expect("an answer");
        assert_eq!((frame.request, frame.message()), (number, Ok(PeerReply::Alive {})));
        receiver.next_frame();
    }
    let heard: Vec<_> = heard.try_iter().collect();
    let third = ordeal.subject.content.layout.index(3);
    assert!(
        matches!(&heard[..], [SeederEvent::Complaint { piece, .. }] if Some(*piece) == third),
        "pieces that do not exist count for nothing: {heard:?}"
    );
    still_serves(&seeder, &ordeal);
}

#[test]
fn pieces_that_are_not_there_are_refused_and_the_others_are_given() {
    let ordeal = Ordeal::new();
    let seeder = Member::new(1);
    let mut some = Bitfield::none(ordeal.subject.content.layout);
    some.insert(ordeal.subject.content.layout.index(3).expect("there"));
    let served = seeder.seed(&ordeal.data, &ordeal.subject, some);
    let (mut receiver, sender) = open(&seeder, &ordeal.subject, 2).expect("there is a place");
    for (piece, request) in [0, 2, 4, 8, 9, 10, 1 << 31, u32::MAX].into_iter().zip(2..) {
        sender.send(request, &PeerRequest::GetPiece { piece }).expect("sent");
        assert_eq!(answer(&mut receiver), (request, Err(Code::NoSuchPiece)), "{piece}");
    }
    assert_eq!(served.given(), 0);
    sender.send(99, &PeerRequest::GetPiece { piece: 3 }).expect("sent");
    assert!(answer(&mut receiver) == (99, Ok(ordeal.piece(3))));
}

#[test]
fn messages_that_are_none_end_the_connection_of_who_sends_them_and_no_other() {
    let ordeal = Ordeal::new();
    let (seeder, served) = seeder(&ordeal);
    let bodies: [(u8, &[u8]); 7] = [
        (0, b""),
        (1, &[0; 32]),
        (2, &[0, 0, 0]),
        (2, &[0, 0, 0, 0, 0]),
        (3, b"and more"),
        (64, &[0xff; 4]),
        (99, &[]),
    ];
    for (kind, body) in bodies {
        let (mut receiver, sender) = open(&seeder, &ordeal.subject, 2).expect("there is a place");
        sender.send_frame(&super::liar::raw_frame(2, kind, body)).expect("sent");
        assert_eq!(answer(&mut receiver), (2, Err(Code::Malformed)), "{kind}");
        assert!(matches!(receiver.recv(LONG), Err(RecvError::Closed | RecvError::Cut | RecvError::Io(_))));
    }
    // A frame that is longer than any request.
    let (mut receiver, sender) = open(&seeder, &ordeal.subject, 2).expect("there is a place");
    let _ = sender.send_frame(&super::liar::raw_frame(2, 2, &vec![0; 2 * FRAME_LEN_MAX]));
    assert!(matches!(receiver.recv(LONG), Err(RecvError::Closed | RecvError::Cut | RecvError::Io(_))));
    assert_eq!(served.given(), 0);
    still_serves(&seeder, &ordeal);
}

#[test]
fn a_replay_of_all_that_a_member_has_sent_gets_nothing() {
    let ordeal = Ordeal::new();
    let (seeder, served) = seeder(&ordeal);
    let relay = recorded_download(&seeder, &ordeal);
    wait_until("all is recorded", || served.given() >= ordeal.data.len() as u64);
    let given = served.given();
    for conversation in relay.said() {
        assert!(conversation.len() > 100, "a handshake and a question at least");
        let mut replayer = replayer(&seeder, &ordeal, &conversation);
        let mut answer = Vec::new();
        // The seeder ends a connection with bytes that it does not understand.
        let _ = replayer.read_to_end(&mut answer);
        assert!(answer.len() <= 2 + 56, "no more than its part of a handshake: {}", answer.len());
    }
    assert_eq!(served.given(), given);
    still_serves(&seeder, &ordeal);
}

#[test]
fn a_removed_member_loses_the_open_connection_and_the_old_key_is_worthless() {
    let ordeal = Ordeal::new();
    let (seeder, served) = seeder(&ordeal);
    let (mut receiver, sender) = open(&seeder, &ordeal.subject, 2).expect("still a member");
    // A client does this when the tracker tells it the new key.
    seeder.keyring.put(key(8));
    seeder.seeder.as_ref().expect("it listens").drop_group(group());
    let _ = sender.send(2, &PeerRequest::GetPiece { piece: 0 });
    assert!(matches!(receiver.recv(LONG), Err(RecvError::Closed | RecvError::Cut | RecvError::Io(_))));
    let stream = TcpStream::connect(addr(&seeder, &ordeal)).expect("the seeder listens");
    stream.set_read_timeout(Some(LONG)).expect("an option");
    let refused = greet(&mut &stream, &seeder, 2, 7);
    assert!(matches!(refused, Err(HandshakeError::Refused(Some(Code::UnknownKey)))), "{refused:?}");
    assert_eq!(served.given(), 0);
    // A remaining member goes on under the new key.
    let leecher = Member::new(200);
    leecher.keyring.put(key(8));
    leecher.download(1, &ordeal.subject);
    leecher.engine.peers(1, vec![seeder.peer(1, &ordeal.subject)]);
    leecher.expect_finished(&ordeal.data);
}

#[test]
fn a_former_member_who_seeds_under_the_old_key_is_not_believed() {
    let ordeal = Ordeal::new();
    let liar = super::liar::Liar::before_the_handshake(1, |stream, told| {
        let accepted = peer_accepts(&mut &stream, &secret(1), |_, _| Ok(key(6).key));
        told.lied();
        if let Ok(PeerCaller { keys, .. }) = accepted {
            let _ = connection::split(stream, keys, FRAME_LEN_MAX, true)
                .map(|(mut receiver, _)| receiver.recv(LONG).is_ok());
        }
    });
    ordeal.is_survived(&[liar]);
}
