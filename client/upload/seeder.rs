//! The seeder: takes connections of peers, and gives them pieces.

mod dispatcher;
mod message;
mod workers;

use super::admission::Admission;
use super::catalog::Catalog;
use super::event::SeederEvent;
use super::given::{Giving, TakeGiven};
use super::scarcity::row_place::UploadRow;
use super::session::{Entrance, SessionContext};
use crate::client::keyring::Keyring;
use crate::client::reach::answerer::{Giver, MadeConnection};
use crate::client::reach::calls::Calls;
use crate::client::reach::identity::Identity;
use crate::client::reach::way::Way;
use crate::model::digest::InfoHash;
use crate::model::id::GroupRef;
use crate::rate::uplink::Uplink;
use crate::sys::net::lingering::LingeringSockets;
use crate::sys::owned_thread::OwnedThread;
use crate::sys::waker::Waker;
use crossbeam_channel as channel;
use dispatcher::UploadDispatcher;
use message::{SeederMailbox, SeederMessage};
use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;

/// The maximum number of ended or rejected connections that get time to read the reason.
const LEAVING_MAX: usize = 64;

/// The parts that a seeder uses.
pub struct SeederSetup {
    pub identity: Arc<Identity>,
    pub keyring: Arc<Keyring>,
    pub catalog: Arc<Catalog>,
    /// Sets the limit.
    pub uplink: Arc<Uplink>,
    /// Its receiver must be drained.
    pub events: channel::Sender<SeederEvent>,
    /// Takes connections from members that give.
    pub take_given: TakeGiven,
    /// Finds the dial to a member that dials this client at the same moment.
    pub calls: Arc<Calls>,
}

/// The listener and its sessions. Every call returns at once.
pub struct Seeder {
    context: Arc<SessionContext>,
    addr: SocketAddr,
    mailbox: SeederMailbox,
    thread: OwnedThread,
}

impl Seeder {
    /// Serves on a bound listener.
    pub fn start(listener: TcpListener, setup: SeederSetup) -> io::Result<Self> {
        let addr = listener.local_addr()?;
        let SeederSetup { identity, keyring, catalog, uplink, events, take_given, calls } = setup;
        // Unbounded, but the thread that takes the messages never waits for others.
        let (messages, inbox) = channel::unbounded();
        let mailbox = SeederMailbox { messages, waker: Arc::new(Waker::new()?) };
        let context = Arc::new(SessionContext {
            identity,
            keyring,
            catalog,
            uplink,
            row: UploadRow::new(mailbox.waker.clone()),
            events,
            take_given,
            admission: Admission::default(),
            kept: Arc::default(),
            leaving: LingeringSockets::new(LEAVING_MAX),
            waker: mailbox.waker.clone(),
        });
        let dispatcher = UploadDispatcher::new(context.clone(), calls, listener, (inbox, mailbox.clone()))?;
        let thread = OwnedThread::start("seeder", move || dispatcher.run())?;
        Ok(Self { context, addr, mailbox, thread })
    }

    /// The address of the listener.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Serves a connection that did not come through the listener. The far side, which takes pieces, begins the
    /// handshake.
    pub fn accept(&self, stream: TcpStream, way: Way) -> io::Result<()> {
        let ip = (way != Way::Relayed).then(|| stream.peer_addr()).transpose()?.map(|addr| addr.ip());
        self.mailbox.send(SeederMessage::Entered(stream, ip, Entrance::Taken(way)));
        Ok(())
    }

    /// Gives pieces on a connection that this client has made.
    pub fn give(&self, stream: TcpStream, giving: Giving) -> io::Result<()> {
        let ip = stream.peer_addr()?.ip();
        self.mailbox.send(SeederMessage::Entered(stream, Some(ip), Entrance::Made(Box::new(giving))));
        Ok(())
    }

    /// Ends the connections from these addresses, which this machine has lost.
    pub(crate) fn end_from(&self, gone: &[IpAddr]) {
        self.context.admission.end_from(gone);
    }

    /// Drops the connections under a key of this group, which is no longer valid.
    pub fn drop_group(&self, group: GroupRef) {
        self.context.admission.drop_group(group);
    }
}

impl Drop for Seeder {
    fn drop(&mut self) {
        self.mailbox.send(SeederMessage::Close);
        self.thread.join();
    }
}

/// Serves the connections of calls that this client answers.
impl Giver for Seeder {
    fn gives(&self, group: GroupRef, info_hash: InfoHash) -> bool {
        self.context.catalog.find(group, info_hash).is_some()
    }

    fn accept(&self, stream: TcpStream, way: Way) {
        // This fails if the connection is already gone.
        let _ = Seeder::accept(self, stream, way);
    }

    fn give(&self, stream: TcpStream, made: MadeConnection) {
        let MadeConnection { keys, taker, group, key, info_hash } = made;
        let giving = Giving { keys, user: taker.user, group, key, info_hash, way: Way::Called };
        // This fails if the connection is already gone.
        let _ = Seeder::give(self, stream, giving);
    }
}

#[cfg(test)]
mod tests {
    use super::super::admission::EARLY_MAX;
    use super::*;
    use crate::client::reach::identity::tests::{certified, certified_as};
    use crate::client::storage::piece_source::{PieceSource, SourceError};
    use crate::model::bitfield::Bitfield;
    use crate::model::digest::KeyId;
    use crate::model::id::{OpId, Origin};
    use crate::model::name::{GroupId, UserId, tests::user};
    use crate::model::piece::{Layout, PIECE_LEN};
    use crate::rate::limit::Limit;
    use crate::wire::client_tracker::GroupKey;
    use crate::wire::connection::{FrameReceiver, FrameSender, split};
    use crate::wire::frame::{FRAME_LEN_MAX, Frame};
    use crate::wire::handshake::Secret;
    use crate::wire::handshake::peer::peer_to_peer;
    use crate::wire::peer::{PeerReply, PeerRequest, REQUESTS_MAX};
    use crate::wire::refusal::Code;
    use std::collections::BTreeSet;
    use std::io::Write;
    use std::time::{Duration, Instant};

    const LONG: Duration = Duration::from_secs(60);
    /// When a seeder that misses a turn looks again.
    const LOOKS_AGAIN: Duration = Duration::from_millis(500);
    const KEY: (KeyId, Secret) = (KeyId([7; 16]), Secret([7; 32]));
    const CONTENT: InfoHash = InfoHash([9; 32]);
    const PIECES: u32 = REQUESTS_MAX as u32;

    /// Content whose bytes tell their place.
    struct Told(Layout, Vec<u8>);

    impl Told {
        fn new() -> Self {
            let len = u64::from(PIECES) * u64::from(PIECE_LEN);
            let bytes = (0..len / 8).flat_map(u64::to_le_bytes).collect();
            Self(Layout::new(len).expect("small"), bytes)
        }
    }

    impl PieceSource for Told {
        fn layout(&self) -> Layout {
            self.0
        }

        fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), SourceError> {
            buffer.copy_from_slice(&self.1[offset as usize..][..buffer.len()]);
            Ok(())
        }
    }

    fn group() -> GroupRef {
        GroupRef(OpId { origin: Origin { tracker: 1, incarnation: 1 }, seq: 1 })
    }

    /// A seeder of one content.
    struct Stand {
        seeder: Seeder,
        key: crate::model::id::PeerKey,
        catalog: Arc<Catalog>,
    }

    impl Stand {
        fn new() -> Self {
            Self::limited(Limit::NONE)
        }

        fn limited(limit: Limit) -> Self {
            let keyring = Arc::new(Keyring::default());
            let name = GroupId::parse("lab").expect("valid");
            keyring.put(GroupKey { group: group(), name, id: KEY.0, key: KEY.1 });
            let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
            let catalog = Arc::new(Catalog::start().expect("a thread"));
            let told = Arc::new(Told::new());
            let have = Bitfield::all(told.layout());
            catalog.add(group(), CONTENT, told, have).expect("it is open");
            let (events, _heard) = channel::unbounded();
            let identity = Arc::new(certified(200));
            let (key, uplink) = (identity.key(), Uplink::new(limit));
            let (take_given, calls) = (Box::new(drop), Arc::default());
            let setup = SeederSetup { identity, keyring, catalog: catalog.clone(), uplink, events, take_given, calls };
            let seeder = Seeder::start(listener, setup).expect("threads");
            Self { seeder, key, catalog }
        }

        fn connect(&self) -> TcpStream {
            TcpStream::connect(self.seeder.addr()).expect("it listens")
        }

        /// Shakes hands as this member.
        fn meet(&self, number: u8, name: &UserId) -> (FrameReceiver, Arc<FrameSender>) {
            let mut stream = self.connect();
            stream.set_read_timeout(Some(LONG)).expect("an option");
            let me = certified_as(number, name).shown().expect("certified");
            let keys = peer_to_peer(&mut stream, &me, self.key, (KEY.0, &KEY.1)).expect("it has a place");
            split(stream, keys, FRAME_LEN_MAX, true).expect("a socket")
        }

        /// Opens the content as this member.
        fn open(&self, number: u8, name: &UserId) -> (FrameReceiver, Arc<FrameSender>) {
            let (mut receiver, sender) = self.meet(number, name);
            sender.send(1, &PeerRequest::Open { info_hash: CONTENT }).expect("sent");
            let frame = receiver.recv(LONG).expect("an answer");
            assert!(matches!(frame.message(), Ok(PeerReply::Opened { .. })));
            (receiver, sender)
        }

        fn kept(&self) -> usize {
            self.seeder.context.kept.len()
        }
    }

    impl Drop for Stand {
        fn drop(&mut self) {
            self.catalog.close();
        }
    }

    fn ask(sender: &FrameSender, piece: u32) {
        sender.send(100 + piece, &PeerRequest::GetPiece { piece }).expect("sent");
    }

    /// Takes this piece as the next reply.
    fn take(receiver: &mut FrameReceiver, piece: u32) {
        let frame = receiver.recv(LONG).expect("a piece");
        assert_eq!(frame.request, 100 + piece);
        check_piece(&frame, piece);
    }

    fn check_piece(frame: &Frame<'_>, piece: u32) {
        let message = frame.message();
        let Ok(PeerReply::Piece { data }) = message else { panic!("no piece but {message:?}") };
        let bytes: Vec<u8> = frame.payload(data.len).iter().collect::<Vec<_>>().concat();
        let numbers = bytes.chunks(8).map(|number| u64::from_le_bytes(number.try_into().expect("eight bytes")));
        let begin = u64::from(piece) * u64::from(PIECE_LEN) / 8;
        assert!(numbers.eq(begin..begin + u64::from(PIECE_LEN) / 8), "piece {piece}");
    }

    /// Takes all requested pieces. On a busy machine the uplink may be scarce. Then this requests a piece again that is
    /// on its way to another member.
    fn take_all(receiver: &mut FrameReceiver, sender: &FrameSender) {
        let mut left: BTreeSet<u32> = (0..PIECES).collect();
        while !left.is_empty() {
            let frame = receiver.recv(LONG).expect("a piece");
            let piece = frame.request - 100;
            match frame.message() {
                Ok(PeerReply::Refused { code, .. }) if Code::from_number(code) == Some(Code::OnItsWay) => {
                    ask(sender, piece)
                }
                _ => {
                    check_piece(&frame, piece);
                    assert!(left.remove(&piece), "piece {piece} comes once");
                }
            }
        }
    }

    fn wait_until(what: &str, so: impl Fn() -> bool) {
        let deadline = Instant::now() + LONG;
        while !so() {
            assert!(Instant::now() < deadline, "waited in vain for: {what}");
            std::thread::yield_now();
        }
    }

    #[test]
    fn a_member_who_comes_with_a_storm_of_strangers_is_served_and_they_hold_no_worker() {
        let stand = Stand::new();
        // Some say nothing. Others begin a handshake and say no more.
        let strangers: Vec<_> = (0..4 * EARLY_MAX)
            .map(|number| {
                let mut stranger = stand.connect();
                stranger.write_all(&b"GRPSHARE\0\x04\x02\x01"[..number % 13]).expect("there is room");
                stranger
            })
            .collect();
        let (mut receiver, sender) = stand.open(1, &user("ann"));
        let counts = || stand.seeder.context.admission.counts();
        wait_until("those who are too many are gone", || counts() == (EARLY_MAX, EARLY_MAX - 1));
        ask(&sender, 3);
        take(&mut receiver, 3);
        drop(strangers);
        wait_until("all of them are gone", || counts() == (1, 0));
    }

    #[test]
    fn sixty_members_are_served_by_a_few_threads_and_those_who_want_nothing_hold_no_memory() {
        let stand = Stand::new();
        let names: Vec<_> = (0..60).map(|number| user(&format!("member{number}"))).collect();
        let mut members: Vec<_> = (0..).zip(&names).map(|(number, name)| stand.open(number, name)).collect();
        (0..).zip(&members).for_each(|(number, (_, sender))| ask(sender, number % PIECES));
        (0..).zip(&mut members).for_each(|(number, (receiver, _))| take(receiver, number % PIECES));
        wait_until("nothing is kept", || stand.kept() == 0);
        assert_eq!(stand.seeder.context.admission.counts().0, 60);
        let names = std::fs::read_dir("/proc/self/task").expect("linux").filter_map(|task| {
            // A thread of another test may have ended.
            std::fs::read_to_string(task.ok()?.path().join("comm")).ok()
        });
        let numbers = names.filter_map(|name| name.trim().strip_prefix("upload-")?.parse().ok());
        assert!(numbers.max().is_some_and(|last: u32| last < 4), "as many threads as workers");
    }

    #[test]
    fn members_who_do_not_read_hold_no_worker_and_little_memory_and_get_all_in_the_end() {
        let stand = Stand::new();
        let open = |number: u8| {
            let (receiver, sender) = stand.open(number, &user(&format!("slow{number}")));
            (0..PIECES).for_each(|piece| ask(&sender, piece));
            (receiver, sender)
        };
        let mut slow: Vec<_> = (0..20).map(open).collect();
        let (mut receiver, sender) = stand.open(100, &user("ann"));
        (0..PIECES).for_each(|piece| ask(&sender, piece));
        take_all(&mut receiver, &sender);
        wait_until("all of them are stuck", || stand.kept() > 0);
        // One record for each, beyond the limit for all of them together.
        assert!(stand.kept() <= 8 * 1024 * 1024 + 20 * 64 * 1024, "{} bytes", stand.kept());
        // All at once: a connection that takes nothing within the time for a frame is cut off.
        std::thread::scope(|scope| {
            slow.iter_mut().for_each(|(receiver, sender)| drop(scope.spawn(|| take_all(receiver, sender))));
        });
        wait_until("nothing is kept", || stand.kept() == 0);
    }

    #[test]
    fn a_member_with_many_connections_takes_little_from_one_with_a_single_one() {
        let stand = Stand::new();
        let (many, one) = (user("many"), user("one"));
        let over = std::sync::atomic::AtomicBool::new(false);
        let had = std::sync::atomic::AtomicU64::new(0);
        let ordering = std::sync::atomic::Ordering::SeqCst;
        std::thread::scope(|scope| {
            for _ in 0..12 {
                let (mut receiver, sender) = stand.open(1, &many);
                let (over, had) = (&over, &had);
                scope.spawn(move || {
                    ask(&sender, 0);
                    while !over.load(ordering) {
                        ask(&sender, 0);
                        receiver.recv(LONG).expect("a piece");
                        had.fetch_add(1, ordering);
                    }
                });
            }
            let (mut receiver, sender) = stand.open(2, &one);
            wait_until("the others are at it", || had.load(ordering) > 24);
            let before = had.load(ordering);
            ask(&sender, 0);
            for _ in 0..48 {
                ask(&sender, 0);
                receiver.recv(LONG).expect("a piece");
            }
            let others = had.load(ordering) - before;
            over.store(true, ordering);
            // It would be twelve times as much if connections counted instead of members.
            assert!(others <= 4 * 48, "{others} pieces, and 48 for the other member");
        });
    }

    #[test]
    fn a_piece_whose_turn_comes_at_a_limited_uplink_leaves_before_the_seeder_looks_again() {
        // On a busy machine the uplink may be scarce. Then the seeder sends fewer pieces, and the round does not count.
        let is_piece = |receiver: &mut FrameReceiver, piece: u32| {
            let frame = receiver.recv(LONG).expect("an answer");
            match frame.message() {
                Ok(PeerReply::Refused { code, .. }) if Code::from_number(code) == Some(Code::OnItsWay) => false,
                _ => {
                    check_piece(&frame, piece);
                    true
                }
            }
        };
        let time_of_six = || {
            let stand = Stand::limited(Limit::of(16_000_000));
            let open = |number: u8| stand.open(number, &user(&format!("member{number}")));
            let mut members: Vec<_> = (0..6).map(open).collect();
            let begun = Instant::now();
            (0..).zip(&members).for_each(|(piece, (_, sender))| ask(sender, piece));
            let all_came = (0..).zip(&mut members).all(|(piece, (receiver, _))| is_piece(receiver, piece));
            all_came.then(|| begun.elapsed())
        };
        // Six pieces take 0.2 s. A seeder that misses a turn looks again after 0.5 s, in every round. A busy machine
        // delays some rounds.
        let (begun, mut took) = (Instant::now(), Vec::new());
        while !took.last().is_some_and(|last: &Option<Duration>| last.is_some_and(|last| last < LOOKS_AGAIN)) {
            assert!(begun.elapsed() < LONG, "{took:?}");
            took.push(time_of_six());
        }
    }

    #[test]
    fn closing_waits_for_nobody() {
        let stand = Stand::new();
        let _silent = stand.connect();
        let _early = stand.meet(1, &user("ann"));
        let (_receiver, sender) = stand.open(2, &user("bob"));
        (0..PIECES).for_each(|piece| ask(&sender, piece));
        let begun = Instant::now();
        drop(stand);
        assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    }
}
