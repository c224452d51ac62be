//! Connections on which the connecting side gives pieces.

use crate::common::deadline::LONG;
use crate::common::identity::{peer_identity, peer_key, secret};
use crate::common::subject::{all, bytes, group, subject_of, user};
use crate::member::{Member, MemberSetup, greet, key};
use groupshare::client::download::transfer::Subject;
use groupshare::client::reach::way::Way;
use groupshare::client::upload::given::Giving;
use groupshare::model::digest::InfoHash;
use groupshare::model::piece::PIECE_LEN;
use groupshare::wire::connection::{self, FrameReceiver, FrameSender, RecvError};
use groupshare::wire::frame::{FRAME_LEN_MAX, Message, UNASKED};
use groupshare::wire::handshake::peer::{peer_accepts, peer_to_peer};
use groupshare::wire::peer::{PeerReply, PeerRequest};
use groupshare::wire::refusal::Code;
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;

/// The next message; `None` at the end.
fn next<M: Message>(receiver: &mut FrameReceiver) -> Option<(u32, M)> {
    match receiver.recv(LONG) {
        Ok(frame) => Some((frame.request, frame.message().expect("it is understood"))),
        Err(RecvError::Closed | RecvError::Cut | RecvError::Io(_)) => None,
        Err(error) => panic!("{error}"),
    }
}

/// A member of the group that connects to another one.
fn connect(to: &Member, subject: &Subject) -> (FrameReceiver, Arc<FrameSender>) {
    let stream = TcpStream::connect(to.peer(1, subject).addrs[0]).expect("it listens");
    let keys = greet(&mut &stream, to, 2, 7).expect("a member");
    connection::split(stream, keys, FRAME_LEN_MAX, true).expect("a socket")
}

/// A called seeder connects to a waiting member, and offers its content.
fn called(seeder: &Member, gives: InfoHash) -> (FrameReceiver, Arc<FrameSender>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let stream = TcpStream::connect(listener.local_addr().expect("bound")).expect("it listens");
    let (near, _) = listener.accept().expect("somebody came");
    let waits = std::thread::spawn(move || {
        let admit = |_, _: &_| Ok(key(7).key);
        let keys = peer_accepts(&mut &near, &secret(2), admit).expect("a member").keys;
        connection::split(near, keys, FRAME_LEN_MAX, true).expect("a socket")
    });
    let (me, under) = (seeder.identity.shown().expect("certified"), key(7));
    let keys = peer_to_peer(&mut &stream, &me, peer_key(2), (under.id, &under.key)).expect("a member");
    let giving = Giving { keys, user: user(2), group: group(), key: under.id, info_hash: gives, way: Way::Called };
    seeder.seeder.as_ref().expect("it runs").give(stream, giving).expect("a socket");
    waits.join().expect("no panic")
}

#[test]
fn a_member_waiting_for_a_giver_hears_who_it_is_and_takes_from_it() {
    let subject = subject_of(&bytes(10));
    let (given, handed) = crossbeam_channel::unbounded();
    let member = Member::with(1, MemberSetup { given, ..MemberSetup::default() });
    let (mut receiver, sender) = connect(&member, &subject);
    let info_hash = subject.content.info_hash;
    sender.send(UNASKED, &PeerReply::Give { info_hash }).expect("sent");
    let mut given = handed.recv_timeout(LONG).expect("it is handed over");
    assert_eq!((given.info_hash, given.group, given.key), (info_hash, group(), key(7).id));
    assert_eq!(given.certificate, peer_identity(2).certificate);
    given.sender.send(1, &PeerRequest::Open { info_hash }).expect("sent");
    assert_eq!(next(&mut receiver), Some((1, PeerRequest::Open { info_hash })));
    // A piece is longer than any message of a stranger may be.
    let long = PeerReply::News { pieces: groupshare::wire::codec::List::new((0..4000).collect()).expect("few") };
    sender.send(UNASKED, &long).expect("sent");
    assert_eq!(next(&mut given.receiver), Some((UNASKED, long)));
}

#[test]
fn a_member_that_gives_unasked_is_cut() {
    let subject = subject_of(&bytes(10));
    let (given, handed) = crossbeam_channel::unbounded();
    let member = Member::with(1, MemberSetup { given, ..MemberSetup::default() });
    let (mut receiver, sender) = connect(&member, &subject);
    sender.send(UNASKED, &PeerReply::Give { info_hash: subject.content.info_hash }).expect("sent");
    drop(handed.recv_timeout(LONG).expect("it is handed over"));
    assert_eq!(next::<PeerReply>(&mut receiver), None);
}

#[test]
fn a_seeder_that_was_called_says_what_it_gives_and_gives_it() {
    let data = bytes(PIECE_LEN as usize + 5);
    let subject = subject_of(&data);
    let seeder = Member::new(1);
    let served = seeder.seed(&data, &subject, all(&subject));
    let info_hash = subject.content.info_hash;
    let (mut receiver, sender) = called(&seeder, info_hash);
    assert_eq!(next(&mut receiver), Some((UNASKED, PeerReply::Give { info_hash })));
    sender.send(1, &PeerRequest::Open { info_hash }).expect("sent");
    assert!(matches!(next(&mut receiver), Some((1, PeerReply::Opened { .. }))));
    sender.send(2, &PeerRequest::GetPiece { piece: 1 }).expect("sent");
    let frame = receiver.recv(LONG).expect("a piece");
    assert!(matches!(frame.message(), Ok(PeerReply::Piece { data }) if data.len == 5), "the last five bytes");
    assert_eq!(served.given(), 5);
}

#[test]
fn a_seeder_that_was_called_gives_nothing_but_what_it_came_for() {
    let data = bytes(10);
    let subject = subject_of(&data);
    let seeder = Member::new(1);
    let served = seeder.seed(&data, &subject, all(&subject));
    let info_hash = InfoHash([9; 32]);
    for first in [PeerRequest::Open { info_hash: subject.content.info_hash }, PeerRequest::GetPiece { piece: 0 }] {
        let (mut receiver, sender) = called(&seeder, info_hash);
        assert_eq!(next(&mut receiver), Some((UNASKED, PeerReply::Give { info_hash })));
        sender.send(1, &first).expect("sent");
        let refused = next(&mut receiver);
        let malformed = |code: u16| code == Code::Malformed as u16;
        assert!(matches!(refused, Some((1, PeerReply::Refused { code, .. })) if malformed(code)), "{refused:?}");
        assert_eq!(next::<PeerReply>(&mut receiver), None);
    }
    assert_eq!(served.given(), 0);
}

#[test]
fn a_connection_that_did_not_come_to_the_listener_is_served_as_any_other() {
    let data = bytes(10);
    let subject = subject_of(&data);
    let seeder = Member::new(1);
    seeder.seed(&data, &subject, all(&subject));
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let stream = TcpStream::connect(listener.local_addr().expect("bound")).expect("it listens");
    let (accepted, _) = listener.accept().expect("somebody came");
    seeder.seeder.as_ref().expect("it runs").accept(accepted, Way::Punched).expect("a socket");
    let keys = greet(&mut &stream, &seeder, 2, 7).expect("a member");
    let (mut receiver, sender) = connection::split(stream, keys, FRAME_LEN_MAX, true).expect("a socket");
    sender.send(1, &PeerRequest::Open { info_hash: subject.content.info_hash }).expect("sent");
    assert!(matches!(next(&mut receiver), Some((1, PeerReply::Opened { .. }))));
}
