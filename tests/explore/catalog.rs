//! A client gains and loses content while leechers listen.

use super::schedules::explore;
use crate::common::subject::user;
use groupshare::client::storage::piece_source::{PieceSource, SourceError};
use groupshare::client::upload::catalog::Catalog;
use groupshare::client::upload::leases::Leases;
use groupshare::client::upload::served::Served;
use groupshare::model::bitfield::Bitfield;
use groupshare::model::digest::{InfoHash, KeyId};
use groupshare::model::id::{ClientId, GroupRef, OpId, Origin, PeerKey};
use groupshare::model::piece::{Layout, PIECE_LEN, PieceIndex};
use groupshare::sync::atomic::{AtomicUsize, Ordering};
use groupshare::sync::thread;
use groupshare::wire::certificate::Certificate;
use groupshare::wire::connection::{FrameReceiver, FrameSender, split};
use groupshare::wire::frame::FRAME_LEN_MAX;
use groupshare::wire::handshake::peer::{PeerIdentity, peer_accepts, peer_to_peer};
use groupshare::wire::handshake::{Secret, public_key};
use groupshare::wire::peer::PeerReply;
use std::net::{TcpListener, TcpStream};
use std::ops::Range;
use std::sync::Arc;
use std::thread as outside;
use std::time::{Duration, Instant};

const PIECES: u32 = 6;
const GROUP: GroupRef = GroupRef(OpId { origin: Origin { tracker: 1, incarnation: 1 }, seq: 1 });
const INFO_HASH: InfoHash = InfoHash([7; 32]);

/// Content without a reader.
struct Unread;

impl PieceSource for Unread {
    fn layout(&self) -> Layout {
        Layout::new(u64::from(PIECES) * u64::from(PIECE_LEN)).expect("small")
    }

    fn read_at(&self, _: u64, _: &mut [u8]) -> Result<(), SourceError> {
        unreachable!("no piece is asked for")
    }
}

fn serve(catalog: &Catalog) -> Option<Arc<Served>> {
    let layout = Unread.layout();
    catalog.add(GROUP, INFO_HASH, Arc::new(Unread), Bitfield::none(layout))
}

/// A certificate that nobody checks.
fn unsigned(key: PeerKey) -> Certificate {
    Certificate::new((ClientId([1; 16]), user(1), key), 0, |_| [0; 64])
}

/// The seeder's end of a connection, and the leecher's receiver.
fn connect() -> (Arc<FrameSender>, FrameReceiver) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let far = TcpStream::connect(listener.local_addr().expect("bound")).expect("connects");
    let (near, _) = listener.accept().expect("accepts");
    let (group, accepting) = (Secret([7; 32]), Secret([1; 32]));
    let their = PeerKey(public_key(&accepting));
    let me = PeerIdentity { secret: Secret([2; 32]), certificate: unsigned(PeerKey(public_key(&Secret([2; 32])))) };
    // The explorer must not schedule any of this.
    let (near_keys, far_keys) = outside::scope(|scope| {
        let accepting =
            scope.spawn(|| peer_accepts(&mut &near, &accepting, |_, _| Ok(group.clone())).expect("a member").keys);
        let keys = peer_to_peer(&mut &far, &me, their, (KeyId([7; 16]), &group)).expect("a member");
        (accepting.join().expect("no panic"), keys)
    });
    let (_, sender) = split(near, near_keys, FRAME_LEN_MAX, true).expect("a socket");
    let (receiver, _) = split(far, far_keys, FRAME_LEN_MAX, true).expect("a socket");
    (sender, receiver)
}

/// Reads news until all pieces are known.
fn hear(receiver: &mut FrameReceiver, held: &Bitfield) {
    let layout = Unread.layout();
    let mut known: Vec<u32> = held.iter(layout).map(PieceIndex::get).collect();
    while known.len() < PIECES as usize {
        if !receiver.poll().expect("the connection lives") {
            thread::yield_now();
            continue;
        }
        match receiver.frame().expect("a frame").message() {
            Ok(PeerReply::News { pieces }) => known.extend(pieces.iter()),
            other => panic!("{other:?}"),
        }
        receiver.next_frame();
    }
    known.sort_unstable();
    assert!(known.into_iter().eq(0..PIECES), "told of each piece once");
}

#[test]
fn a_listening_peer_is_told_of_every_piece_once() {
    explore(|| {
        let catalog = Catalog::start().expect("a thread");
        let served = serve(&catalog).expect("open");
        let ((early, mut hears_early), (late, mut hears_late)) = (connect(), connect());
        let held = served.attend(&early).expect("it is served");
        let gain = |pieces: Range<u32>| {
            pieces.for_each(|piece| served.add(served.layout().index(piece).expect("there")));
        };
        let half = PIECES / 2;
        thread::scope(|scope| {
            scope.spawn(|| gain(0..half));
            scope.spawn(|| gain(half..PIECES));
            // Like the thread that has answered on the connection.
            scope.spawn(|| served.catch_up(&early));
            scope.spawn(|| hear(&mut hears_late, &served.attend(&late).expect("it is served")));
        });
        hear(&mut hears_early, &held);
        catalog.close();
        assert!(early.is_over() && late.is_over());
    });
}

#[test]
fn nothing_is_served_after_the_end() {
    explore(|| {
        let catalog = Catalog::start().expect("a thread");
        let (sender, _receiver) = connect();
        thread::scope(|scope| {
            scope.spawn(|| catalog.close());
            scope.spawn(|| serve(&catalog).map(|served| served.attend(&sender)));
            scope.spawn(|| serve(&catalog));
        });
        assert!(catalog.find(GROUP, INFO_HASH).is_none());
        assert!(serve(&catalog).is_none());
    });
}

/// Each member has two connections, and the first one breaks. A member that only asks after that shares the piece with
/// others.
#[test]
fn a_piece_is_on_its_way_to_one_member_at_a_time() {
    explore(|| {
        let (leases, now) = (Arc::new(Leases::default()), Instant::now());
        let given = AtomicUsize::new(0);
        let term = Duration::from_secs(9);
        let give = |number: u8, is_sent: bool| {
            let Some(broken) = leases.begin(1, &user(number), term, now) else { return };
            assert_eq!(given.fetch_add(1, Ordering::SeqCst), 0, "somebody else has it");
            let lease = leases.begin(1, &user(number), term, now).expect("it is on its way to this one");
            drop(broken);
            thread::yield_now();
            assert_eq!(given.fetch_sub(1, Ordering::SeqCst), 1, "somebody else was given it");
            if is_sent {
                lease.sent(now);
            }
        };
        thread::scope(|scope| {
            scope.spawn(|| give(1, false));
            scope.spawn(|| give(2, true));
            scope.spawn(|| give(3, false));
        });
        let later = now + Duration::from_secs(60);
        assert!(leases.begin(1, &user(4), term, later).is_some(), "a lease ends");
    });
}
