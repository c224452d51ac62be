//! Downloads without a tracker: seeders and leechers in one process, over real sockets.

use crate::common::deadline::LONG;
use crate::common::identity::{at, opening, peer_identity, peer_key};
use crate::common::relay::Relay;
use crate::common::subject::*;
use crate::common::wait::wait_until;
use crate::common::wiretap::Wiretap;
use crate::member::*;
use groupshare::client::download::engine::event::EngineEvent;
use groupshare::client::upload::admission::CONNECTIONS_MAX;
use groupshare::model::bitfield::Bitfield;
use groupshare::model::id::ClientId;
use groupshare::model::piece::{Layout, PIECE_LEN};
use groupshare::rate::limit::Limit;
use groupshare::rate::uplink::Uplink;
use groupshare::wire::client_tracker::Peer;
use groupshare::wire::deadlines::HANDSHAKE_DEADLINE;
use groupshare::wire::handshake::HandshakeError;
use groupshare::wire::handshake::peer::peer_to_peer;
use groupshare::wire::peer::{PeerReply, PeerRequest};
use groupshare::wire::refusal::Code;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::ops::Range;
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A member whose downloads wait this long for other members.
fn patient(patience: Duration) -> Member {
    Member::with(3, MemberSetup { patience: Some(patience), ..MemberSetup::default() })
}

/// A member with this upload limit, and its limiter.
fn limited(limit: Limit) -> (Member, Arc<Uplink>) {
    let uplink = Uplink::new(limit);
    (Member::with(1, MemberSetup { uplink: uplink.clone(), ..MemberSetup::default() }), uplink)
}

/// One member gives this content to another.
fn arrives(data: &[u8]) {
    let subject = subject_of(data);
    let (seeder, leecher) = (Member::new(1), Member::new(2));
    seeder.seed(data, &subject, all(&subject));
    leecher.download(1, &subject);
    leecher.engine.peers(1, vec![seeder.peer(1, &subject)]);
    leecher.expect_finished(data);
}

#[test]
fn a_file_of_any_length_arrives_identical() {
    let piece = PIECE_LEN as usize;
    for len in [0, 1, piece - 1, piece, piece + 1, 5 * piece, 20 * piece + 77] {
        arrives(&bytes(len));
    }
}

#[test]
fn zeros_are_never_sent_and_arrive_as_holes_that_are_given_on() {
    let mut data = bytes(40 * PIECE_LEN as usize + 5);
    // All full pieces except the first two and the last.
    data[2 * PIECE_LEN as usize..39 * PIECE_LEN as usize].fill(0);
    let subject = subject_of(&data);
    let (seeder, middle, last) = (Member::new(1), Member::new(2), Member::new(3));
    seeder.seed(&data, &subject, all(&subject));
    let download = middle.download(1, &subject);
    assert_eq!(download.have().held(), 37, "before anybody was asked");
    middle.engine.peers(1, vec![seeder.peer(1, &subject)]);
    middle.expect_finished(&data);
    assert_eq!(download.progress(Instant::now()).received, 3 * u64::from(PIECE_LEN) + 5);
    let room = std::fs::metadata(middle.destination()).expect("there").blocks() * 512;
    assert!(room <= 4 * u64::from(PIECE_LEN), "{room}");
    last.download(1, &subject);
    last.engine.peers(1, vec![middle.peer(2, &subject)]);
    last.expect_finished(&data);
}

#[test]
fn a_file_of_nothing_but_zeros_needs_nobody() {
    let data = vec![0; 3 * PIECE_LEN as usize + 9];
    let leecher = Member::new(2);
    leecher.download(1, &subject_of(&data));
    leecher.expect_finished(&data);
}

#[test]
fn many_zeros_are_hashed_to_the_end_once_the_last_piece_is_there() {
    let mut data = vec![0; 200 * PIECE_LEN as usize];
    // So the client has to hash almost nothing when the last piece comes.
    data[..PIECE_LEN as usize].copy_from_slice(&bytes(PIECE_LEN as usize));
    arrives(&data);
}

#[test]
fn two_leechers_with_different_halves_complete_each_other_after_the_seeder_has_left() {
    let data = bytes(40 * PIECE_LEN as usize + 5);
    let subject = subject_of(&data);
    let layout = subject.content.layout;
    let half = |odd: bool| {
        let mut bits = Bitfield::none(layout);
        layout.indexes().filter(|piece| (piece.get() % 2 == 1) == odd).for_each(|piece| {
            bits.insert(piece);
        });
        bits
    };
    let (one, two) = (Member::new(1), Member::new(2));
    let (first, second) = (one.download(1, &subject), two.download(1, &subject));
    for (member, download, odd) in [(&one, &first, false), (&two, &second, true)] {
        let seeder = Member::new(9);
        seeder.seed(&data, &subject, half(odd));
        member.engine.peers(1, vec![seeder.peer(9, &subject)]);
        wait_until("a half arrives", || download.have().held() == half(odd).held());
        // The seeder leaves here.
    }
    one.engine.peers(1, vec![two.peer(2, &subject)]);
    two.engine.peers(1, vec![one.peer(1, &subject)]);
    one.expect_finished(&data);
    two.expect_finished(&data);
}

#[test]
fn a_download_whose_file_somebody_else_has_spoiled_says_so_and_goes_on_with_what_is_right() {
    let data = bytes(8 * PIECE_LEN as usize);
    let subject = subject_of(&data);
    let layout = subject.content.layout;
    let part_of = |pieces: Range<u32>| {
        let mut part = Bitfield::none(layout);
        for piece in pieces {
            part.insert(layout.index(piece).expect("in the file"));
        }
        part
    };
    let (begin, end) = (part_of(0..4), part_of(4..8));
    // In one case the file is cut off. Its content is then unreadable, or zeros as soon as more comes in behind it. In
    // the other case zeros replace everything. By then the SHA-1 of the whole covers the beginning and not the end.
    let len = data.len() as u64;
    for (first, len) in [(&begin, 0), (&begin, len), (&end, 0), (&end, len)] {
        let (begun, whole, leecher) = (Member::new(1), Member::new(2), Member::new(3));
        begun.seed(&data, &subject, first.clone());
        whole.seed(&data, &subject, all(&subject));
        let download = leecher.download(1, &subject);
        leecher.engine.peers(1, vec![begun.peer(1, &subject)]);
        wait_until("a half arrives", || download.have().held() == first.held());
        let part =
            std::fs::File::options().write(true).open(leecher.folder.path().join("out.bin.part")).expect("there");
        part.set_len(0).and_then(|()| part.set_len(len)).expect("room");
        leecher.engine.peers(1, vec![whole.peer(2, &subject)]);
        match leecher.hears() {
            EngineEvent::Failed(_, why) => {
                assert!(why.to_string().contains("out.bin.part was changed during the download"), "{why}")
            }
            other => panic!("{other:?}"),
        }
        // Like in the client, other threads may still hold it.
        download.part().release();
        leecher.catalog.remove(group(), subject.content.info_hash);
        leecher.download(2, &subject);
        leecher.engine.peers(2, vec![whole.peer(2, &subject)]);
        leecher.expect_finished(&data);
    }
}

#[test]
fn a_file_of_right_pieces_and_a_wrong_sha1_is_laid_to_whoever_shared_it() {
    let data = bytes(3 * PIECE_LEN as usize);
    let mut subject = subject_of(&data);
    subject.content.sha1.0[0] ^= 1;
    let (seeder, leecher) = (Member::new(1), Member::new(2));
    seeder.seed(&data, &subject, all(&subject));
    leecher.download(1, &subject);
    leecher.engine.peers(1, vec![seeder.peer(1, &subject)]);
    match leecher.hears() {
        EngineEvent::Failed(_, why) => {
            assert!(why.to_string().ends_with("whoever shared it gave a wrong SHA-1"), "{why}")
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_leecher_serves_what_it_has_while_it_downloads() {
    let data = bytes(30 * PIECE_LEN as usize);
    let subject = subject_of(&data);
    let (seeder, middle, last) = (Member::new(1), Member::new(2), Member::new(3));
    // The last one knows only the middle one, which has nothing yet.
    middle.download(1, &subject);
    last.download(1, &subject);
    last.engine.peers(1, vec![middle.peer(2, &subject)]);
    seeder.seed(&data, &subject, all(&subject));
    middle.engine.peers(1, vec![seeder.peer(1, &subject)]);
    last.expect_finished(&data);
    middle.expect_finished(&data);
}

#[test]
fn a_peer_that_sends_bad_pieces_is_dropped_and_the_others_finish_the_file() {
    let data = bytes(24 * PIECE_LEN as usize);
    let mut wrong = data.clone();
    wrong.iter_mut().for_each(|byte| *byte ^= 1);
    let subject = subject_of(&data);
    let (good, bad, leecher) = (Member::new(1), Member::new(2), Member::new(3));
    good.seed(&data, &subject, all(&subject));
    let lies = bad.seed(&wrong, &subject, all(&subject));
    // The honest one is known from the start: a download ends when all known peers have lied.
    let relay = Wiretap::to(good.peer(1, &subject).addrs[0]);
    relay.hold();
    leecher.download(1, &subject);
    leecher.engine.peers(1, vec![bad.peer(2, &subject), Peer { addrs: at(relay.addr), ..good.peer(1, &subject) }]);
    wait_until("the bad peer is asked", || lies.given() > 0);
    relay.release();
    leecher.expect_finished(&data);
}

#[test]
fn a_download_ends_with_its_reason_when_the_only_peer_lies() {
    let data = bytes(4 * PIECE_LEN as usize);
    let wrong = vec![0; data.len()];
    let subject = subject_of(&data);
    let (bad, leecher) = (Member::new(2), Member::new(3));
    bad.seed(&wrong, &subject, all(&subject));
    leecher.download(1, &subject);
    leecher.engine.peers(1, vec![bad.peer(2, &subject)]);
    match leecher.hears() {
        EngineEvent::Failed(_, why) => {
            assert!(why.to_string().contains("user2") && why.to_string().contains("SHA-1"), "{why}")
        }
        other => panic!("{other:?}"),
    }
    assert!(!leecher.destination().exists());
}

#[test]
fn a_download_without_any_member_ends_when_its_patience_does() {
    let data = bytes(10);
    let subject = subject_of(&data);
    let leecher = patient(Duration::from_millis(300));
    leecher.download(1, &subject);
    leecher.engine.peers(1, Vec::new());
    match leecher.hears() {
        EngineEvent::Failed(_, why) => assert!(why.to_string().contains("no online member"), "{why}"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_download_goes_on_by_itself_when_the_way_to_its_only_member_is_there_again() {
    let data = bytes(8 * PIECE_LEN as usize);
    let subject = subject_of(&data);
    let (seeder, uplink) = limited(Limit::of(PIECE_LEN.into()));
    seeder.seed(&data, &subject, all(&subject));
    let relay = Relay::to(seeder.peer(1, &subject).addrs[0], |_, _, _| {});
    let leecher = patient(LONG);
    let download = leecher.download(1, &subject);
    leecher.engine.peers(1, vec![Peer { addrs: at(relay.addr), ..seeder.peer(1, &subject) }]);
    wait_until("a piece is there", || download.have().held() > 0);
    relay.block();
    wait_until("nobody is there", || download.progress(Instant::now()).peers == 0);
    uplink.set_limit(Limit::NONE);
    relay.unblock();
    // The client does this when a tracker is reachable again.
    leecher.engine.retry();
    leecher.expect_finished(&data);
}

#[test]
fn speed_and_rest_follow_the_bytes_before_the_first_piece_is_whole() {
    let data = bytes(PIECE_LEN as usize);
    let subject = subject_of(&data);
    // A piece takes half a minute.
    let (seeder, uplink) = limited(Limit::of(20_000));
    seeder.seed(&data, &subject, all(&subject));
    let leecher = Member::new(3);
    let download = leecher.download(1, &subject);
    leecher.engine.peers(1, vec![seeder.peer(1, &subject)]);
    let progress = || download.progress(Instant::now());
    wait_until("a speed", || progress().bytes_per_s > 0.0);
    let first = progress();
    assert!(first.done == 0 && first.arriving > 0, "{first:?}");
    wait_until("more bytes", || progress().arriving > first.arriving);
    uplink.set_limit(Limit::NONE);
    leecher.expect_finished(&data);
    let last = progress();
    assert_eq!((last.done, last.received, last.arriving), (last.total, last.total, 0));
}

#[test]
fn bytes_of_a_piece_that_is_lost_on_the_way_are_not_on_their_way_any_more() {
    let data = bytes(PIECE_LEN as usize);
    let subject = subject_of(&data);
    let (seeder, _) = limited(Limit::of(20_000));
    seeder.seed(&data, &subject, all(&subject));
    let relay = Relay::to(seeder.peer(1, &subject).addrs[0], |_, _, _| {});
    let leecher = Member::new(3);
    let download = leecher.download(1, &subject);
    leecher.engine.peers(1, vec![Peer { addrs: at(relay.addr), ..seeder.peer(1, &subject) }]);
    let progress = || download.progress(Instant::now());
    wait_until("bytes", || progress().arriving > 0);
    relay.block();
    wait_until("nobody is there", || progress().peers == 0);
    assert_eq!(progress().arriving, 0);
}

#[test]
fn pieces_of_a_dead_seeder_come_from_the_others() {
    let data = bytes(60 * PIECE_LEN as usize);
    let subject = subject_of(&data);
    let (stays, leaves, leecher) = (Member::new(1), Member::new(2), Member::new(3));
    stays.seed(&data, &subject, all(&subject));
    let given = leaves.seed(&data, &subject, all(&subject));
    leecher.download(1, &subject);
    leecher.engine.peers(1, vec![leaves.peer(2, &subject)]);
    wait_until("the download runs", || given.given() > 0);
    drop(leaves);
    leecher.engine.peers(1, vec![stays.peer(1, &subject)]);
    leecher.expect_finished(&data);
}

#[test]
fn ending_does_not_wait_for_peers_that_never_answer() {
    let data = bytes(PIECE_LEN as usize);
    let subject = subject_of(&data);
    let leecher = Member::new(1);
    leecher.download(1, &subject);
    let deaf = TcpListener::bind("127.0.0.1:0").expect("a port");
    let addr = deaf.local_addr().expect("bound");
    let peer = |number| Peer {
        client: ClientId([number; 16]),
        user: user(number),
        key: peer_key(number),
        addrs: at(addr),
        held: 1,
    };
    let begun = Instant::now();
    leecher.engine.peers(1, (10..40).map(peer).collect());
    let _connected = deaf.accept().expect("a leecher");
    drop(leecher);
    assert!(begun.elapsed() < HANDSHAKE_DEADLINE, "{:?}", begun.elapsed());
}

#[test]
fn nothing_comes_under_an_old_key_and_the_download_goes_on_under_the_new_one() {
    let data = bytes(8 * PIECE_LEN as usize);
    let subject = subject_of(&data);
    let (seeder, leecher) = (Member::new(1), Member::new(2));
    let served = seeder.seed(&data, &subject, all(&subject));
    seeder.keyring.put(key(8));
    let download = leecher.download(1, &subject);
    leecher.engine.peers(1, vec![seeder.peer(1, &subject)]);
    match leecher.hears() {
        EngineEvent::StaleKey(of) => assert_eq!(of, group()),
        other => panic!("{other:?}"),
    }
    assert_eq!((served.given(), download.have().held()), (0, 0));
    leecher.keyring.put(key(8));
    loop {
        match leecher.hears() {
            // Dials that were under way with the old key.
            EngineEvent::StaleKey(_)
            | EngineEvent::StaleCertificate
            | EngineEvent::StalePeer(_)
            | EngineEvent::FirstPiece(_) => {}
            EngineEvent::Finished(..) => break,
            EngineEvent::Failed(_, why) => panic!("{why}"),
        }
    }
}

#[test]
fn a_download_that_was_removed_goes_on_where_it_was() {
    let data = bytes(60 * PIECE_LEN as usize);
    let subject = subject_of(&data);
    let (seeder, leecher) = (Member::new(1), Member::new(2));
    // Only a part, so that the download is still running however late the test checks.
    let mut some = Bitfield::none(subject.content.layout);
    subject.content.layout.indexes().take(40).for_each(|piece| {
        some.insert(piece);
    });
    seeder.seed(&data, &subject, some);
    let download = leecher.download(1, &subject);
    leecher.engine.peers(1, vec![seeder.peer(1, &subject)]);
    wait_until("some pieces arrive", || download.have().held() > 5);
    leecher.engine.remove(&download);
    let had = download.have().held();
    leecher.catalog.clear();
    drop(download);
    // From another member now: the first one may still be at an earlier request.
    let other = Member::new(3);
    let served = other.seed(&data, &subject, all(&subject));
    let download = leecher.download(2, &subject);
    assert_eq!(download.have().held(), had);
    leecher.engine.peers(2, vec![other.peer(3, &subject)]);
    leecher.expect_finished(&data);
    let missing = u64::from(Layout::count(subject.content.layout) - had) * u64::from(PIECE_LEN);
    assert_eq!(served.given(), missing, "only what was missing was fetched");
}

/// The download is paused, or given up, at the moment when it has been prepared.
#[test]
fn a_download_that_was_removed_before_it_began_never_begins() {
    let subject = subject_of(&bytes(1));
    let leecher = Member::new(1);
    let download = leecher.prepare(1, &subject);
    leecher.engine.remove(&download);
    leecher.engine.add(download.clone());
    wait_until("the engine lets go of it", || Arc::strong_count(&download) == 1);
}

#[test]
fn neither_content_nor_names_cross_the_network_in_the_clear() {
    let mut data = bytes(3 * PIECE_LEN as usize);
    let phrase = b"what only the group may read";
    data[100_000..100_000 + phrase.len()].copy_from_slice(phrase);
    let subject = subject_of(&data);
    let (seeder, leecher) = (Member::new(1), Member::new(2));
    seeder.seed(&data, &subject, all(&subject));
    let mut peer = seeder.peer(1, &subject);
    let relay = Wiretap::to(peer.addrs[0]);
    peer.addrs = at(relay.addr);
    leecher.download(1, &subject);
    leecher.engine.peers(1, vec![peer]);
    leecher.expect_finished(&data);
    assert!(relay.seen().len() > data.len(), "everything went through the relay");
    let info_hash = subject.content.info_hash.0;
    let (key_id, asks, gives) = (key(7).id.0, leecher.identity.key().0, seeder.identity.key().0);
    let (client, other) = (leecher.client.0, seeder.client.0);
    let of_content: [&[u8]; 4] = [phrase, &data[..32], b"f.bin", &info_hash];
    let of_members: [&[u8]; 8] = [GROUP.as_bytes(), &key_id, b"user2", b"user1", &asks, &gives, &client, &other];
    for secret in of_content.into_iter().chain(of_members) {
        assert!(!relay.saw(secret), "{} is readable on the wire", String::from_utf8_lossy(secret));
    }
}

#[test]
fn without_the_key_of_the_group_nobody_gets_a_byte_of_a_piece() {
    let data = bytes(2 * PIECE_LEN as usize);
    let subject = subject_of(&data);
    let seeder = Member::new(1);
    let served = seeder.seed(&data, &subject, all(&subject));
    let addr = seeder.peer(1, &subject).addrs[0];
    let connect = || TcpStream::connect(addr).expect("the seeder listens");
    let deadline = |stream: &TcpStream| stream.set_read_timeout(Some(LONG)).expect("an option");

    // A refusal in the clear answers an id that the group does not have.
    let mut stranger = connect();
    deadline(&stranger);
    let refused = greet(&mut stranger, &seeder, 2, 9);
    assert!(matches!(refused, Err(HandshakeError::Refused(Some(Code::UnknownKey)))));

    // The right id with the wrong key gets an answer that does not decrypt.
    let mut guesser = connect();
    deadline(&guesser);
    let refused = peer_to_peer(&mut guesser, &peer_identity(2), seeder.identity.key(), (key(7).id, &key(8).key));
    assert!(matches!(refused, Err(HandshakeError::Crypto)));

    // A stranger that repeats the first message of a member's handshake gets an answer that it cannot read. Nothing
    // that it sends decrypts.
    let recorded = {
        let relay = Wiretap::to(addr);
        let mut member = TcpStream::connect(relay.addr).expect("the relay listens");
        deadline(&member);
        greet(&mut member, &seeder, 2, 7).expect("a member");
        opening(&relay.seen()).to_vec()
    };
    let mut replayer = connect();
    deadline(&replayer);
    replayer.write_all(&recorded).expect("sent");
    let mut answer = [0; 2 + 56];
    replayer.read_exact(&mut answer).expect("the handshake is answered");
    replayer.write_all(&[0, 40]).and_then(|()| replayer.write_all(&[5; 40])).expect("sent");
    let mut rest = Vec::new();
    let _ = replayer.read_to_end(&mut rest);
    assert_eq!(rest, b"", "the connection ends without a byte");
    assert_eq!(served.given(), 0);
}

/// A file of 4 MiB goes from one member to another, no faster than this rate allows.
fn takes_the_time_of(rate: u64, seeder: &Member, leecher: &Member) {
    let data = bytes(8 * PIECE_LEN as usize);
    let subject = subject_of(&data);
    seeder.seed(&data, &subject, all(&subject));
    let begun = Instant::now();
    leecher.download(1, &subject);
    leecher.engine.peers(1, vec![seeder.peer(1, &subject)]);
    leecher.expect_finished(&data);
    // A burst of 50 ms is allowed, and the bytes that several connections have begun to take.
    let least = Duration::from_secs_f64(data.len() as f64 / rate as f64) - Duration::from_millis(100);
    assert!(begun.elapsed() >= least, "{:?}, {least:?} at the least", begun.elapsed());
}

#[test]
fn a_seeder_keeps_to_the_upload_limit() {
    let rate = 5_000_000;
    let (seeder, _) = limited(Limit::of(rate));
    takes_the_time_of(rate, &seeder, &Member::new(2));
}

#[test]
fn a_leecher_keeps_to_the_download_limit() {
    let rate = 5_000_000;
    let download = Limit::of(rate);
    let leecher = Member::with(2, MemberSetup { download, ..MemberSetup::default() });
    takes_the_time_of(rate, &Member::new(1), &leecher);
}

#[test]
fn while_members_wait_for_a_limited_uplink_no_piece_goes_to_two_of_them_at_once() {
    let data = bytes(2 * PIECE_LEN as usize);
    let subject = subject_of(&data);
    let (seeder, _) = limited(Limit::of(1));
    let served = seeder.seed(&data, &subject, all(&subject));
    let (_waits, ask) = open(&seeder, &subject, 2).expect("there is a place");
    let way = served.leases().begin(0, &user(3), LONG, Instant::now()).expect("nobody takes it");
    ask.send(2, &PeerRequest::GetPiece { piece: 1 }).expect("sent");
    wait_until("the first one is at it", || served.given() > 0);
    let (mut late, ask) = open(&seeder, &subject, 4).expect("there is a place");
    ask.send(2, &PeerRequest::GetPiece { piece: 0 }).expect("sent");
    let frame = late.recv(LONG).expect("an answer");
    let refused = matches!(frame.message(), Ok(PeerReply::Refused { code, .. }) if code == Code::OnItsWay as u16);
    assert!(refused && frame.request == 2);
    drop(way);
    let given = served.given();
    ask.send(3, &PeerRequest::GetPiece { piece: 0 }).expect("the connection goes on");
    wait_until("it is given now", || served.given() > given);
}

#[test]
fn a_member_that_opens_is_answered_at_once_however_scarce_the_uplink() {
    let data = bytes(9 * PIECE_LEN as usize);
    let subject = subject_of(&data);
    let (seeder, _) = limited(Limit::of(1));
    let served = seeder.seed(&data, &subject, all(&subject));
    let (_waits, ask) = open(&seeder, &subject, 2).expect("there is a place");
    ask.send(2, &PeerRequest::GetPiece { piece: 1 }).expect("sent");
    wait_until("the first one is at it", || served.given() > 0);
    open(&seeder, &subject, 3).expect("it is opened, though no byte may leave for minutes");
}

#[test]
fn a_member_gets_many_connections_but_leaves_places_for_others() {
    let data = bytes(10);
    let subject = subject_of(&data);
    let seeder = Member::new(1);
    seeder.seed(&data, &subject, all(&subject));
    let open = |number| open(&seeder, &subject, number);
    let mut first = Vec::new();
    let refused = loop {
        match open(2) {
            Ok(connection) => first.push(connection),
            Err(code) => break code,
        }
    };
    assert_eq!(refused, Code::Busy as u16);
    assert!((8..=16).contains(&first.len()), "{}", first.len());
    // Other members get places too, though fewer. A connection that has ended makes room.
    let others: Vec<_> = (3..40).map(|number| open(number).expect("there is a place")).collect();
    assert_eq!(open(2).map(drop), Err(Code::Busy as u16));
    drop(open(50).expect("there is a place"));
    first.iter().for_each(|(_, sender)| sender.end());
    wait_until("the places are free again", || open(2).is_ok());
    drop(others);
}

#[test]
fn a_member_that_finds_no_place_reads_why() {
    let seeder = Member::new(1);
    let data = bytes(10);
    let subject = subject_of(&data);
    seeder.seed(&data, &subject, all(&subject));
    let taken = (0..CONNECTIONS_MAX as u8).map(|number| open(&seeder, &subject, number).expect("there is a place"));
    let _taken: Vec<_> = taken.collect();
    for _ in 0..100 {
        let refused = open(&seeder, &subject, CONNECTIONS_MAX as u8).err();
        assert_eq!(refused, Some(Code::Busy as u16));
    }
}
