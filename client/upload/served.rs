//! One content that the client serves in one group: a whole share, or a running download.

use super::leases::Leases;
use super::scarcity::freshness::Freshness;
use super::stats::UploadStats;
use crate::client::storage::piece_source::{PieceSource, SourceError};
use crate::model::bitfield::Bitfield;
use crate::model::digest::InfoHash;
use crate::model::id::GroupRef;
use crate::model::piece::{Layout, PieceIndex};
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::sync::{Mutex, channel};
use crate::sys::vectored::ScatteredRoom;
use crate::wire::codec::List;
use crate::wire::connection::FrameSender;
use crate::wire::peer::{NEWS_MAX, PeerReply};
use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

/// One content that the client serves in one group.
pub struct Served {
    // Immutable.
    group: GroupRef,
    info_hash: InfoHash,
    layout: Layout,
    news: channel::Sender<Announcement>,
    /// Bytes of pieces given away.
    given: AtomicU64,
    leases: Arc<Leases>,
    stats: UploadStats,
    /// The pieces given so far. Present if the content was complete from the start, because its user shared it.
    freshness: Option<Mutex<Freshness>>,
    // Locked, but never while pieces are read or sent.
    state: Mutex<ServedState>,
}

struct ServedState {
    source: Arc<dyn PieceSource>,
    have: Bitfield,
    /// New pieces that some subscriber has not heard of, in order.
    news: VecDeque<u32>,
    /// The number of new pieces before these.
    told_to_all: u64,
    /// Whether the announcer will come to this content.
    due: bool,
    subscribers: Vec<Subscriber>,
    over: bool,
}

/// A connection with this content open.
struct Subscriber {
    sender: Arc<FrameSender>,
    /// How many of the new pieces it has heard of, including those before it came.
    told: u64,
}

impl ServedState {
    /// Drops the news that every subscriber has heard.
    fn forget_old_news(&mut self) {
        let gained = self.told_to_all + self.news.len() as u64;
        let told_to_all = self.subscribers.iter().map(|subscriber| subscriber.told).min().unwrap_or(gained);
        self.news.drain(..(told_to_all - self.told_to_all) as usize);
        self.told_to_all = told_to_all;
    }

    /// The next news for a subscriber. The news counts as told from now on.
    fn next_news(&mut self, sender: &Arc<FrameSender>) -> Option<List<u32, NEWS_MAX>> {
        let subscriber = self.subscribers.iter_mut().find(|subscriber| Arc::ptr_eq(&subscriber.sender, sender))?;
        let untold = self.news.range((subscriber.told - self.told_to_all) as usize..);
        let pieces: Vec<_> = untold.take(NEWS_MAX).copied().collect();
        subscriber.told += pieces.len() as u64;
        self.forget_old_news();
        (!pieces.is_empty()).then(|| List::first_of(pieces))
    }
}

impl Served {
    pub(super) fn new(
        group: GroupRef,
        info_hash: InfoHash,
        source: Arc<dyn PieceSource>,
        have: Bitfield,
        news: channel::Sender<Announcement>,
    ) -> Self {
        let layout = source.layout();
        let is_whole = have.held() == layout.count();
        let freshness = is_whole.then(|| Mutex::new(Freshness::new(layout)));
        let state = ServedState {
            source,
            have,
            news: VecDeque::new(),
            told_to_all: 0,
            due: false,
            subscribers: Vec::new(),
            over: false,
        };
        let (given, leases, stats) = (AtomicU64::new(0), Arc::default(), UploadStats::default());
        Self { group, info_hash, layout, news, given, leases, stats, freshness, state: Mutex::new(state) }
    }

    pub fn group(&self) -> GroupRef {
        self.group
    }

    pub fn info_hash(&self) -> InfoHash {
        self.info_hash
    }

    pub fn layout(&self) -> Layout {
        self.layout
    }

    /// Bytes of pieces given away so far.
    pub fn given(&self) -> u64 {
        self.given.load(Ordering::Relaxed)
    }

    pub fn leases(&self) -> &Arc<Leases> {
        &self.leases
    }

    pub fn stats(&self) -> &UploadStats {
        &self.stats
    }

    /// Whether the content was complete from the start.
    pub(super) fn is_origin(&self) -> bool {
        self.freshness.is_some()
    }

    /// Notes that the piece was given to a member, or that its transfer was interrupted.
    pub(super) fn gave(&self, piece: PieceIndex) {
        self.freshness.iter().for_each(|fresh| fresh.lock().give(piece));
    }

    /// Whether pieces that no member has received come before this one. `idle` is the time in which nothing has left.
    pub(super) fn is_stale(&self, piece: PieceIndex, idle: Duration, now: Instant) -> bool {
        self.freshness.as_ref().is_some_and(|fresh| fresh.lock().is_stale(piece, idle, now))
    }

    /// Subscribes a connection: returns the current pieces, and later tells it of new ones. Returns `None` if the
    /// content has ended.
    pub fn attend(&self, sender: &Arc<FrameSender>) -> Option<Bitfield> {
        let mut state = self.state.lock();
        if state.over {
            return None;
        }
        let told = state.told_to_all + state.news.len() as u64;
        state.subscribers.push(Subscriber { sender: sender.clone(), told });
        Some(state.have.clone())
    }

    /// Ends what [`Served::attend`] began.
    pub fn leave(&self, sender: &Arc<FrameSender>) {
        let mut state = self.state.lock();
        state.subscribers.retain(|subscriber| !Arc::ptr_eq(&subscriber.sender, sender));
        state.forget_old_news();
    }

    /// Reads a piece from this byte on, as much as there is room for. Returns `None` if the piece is missing.
    pub fn read(&self, piece: PieceIndex, from: u64, room: ScatteredRoom<'_>) -> Option<Result<(), SourceError>> {
        let source = self.source_of(piece)?;
        self.given.fetch_add(room.len() as u64, Ordering::Relaxed);
        Some(source.scatter_at(self.layout.offset(piece) + from, room))
    }

    /// Reads a piece without giving it away. Returns `None` if the piece is missing.
    pub(super) fn look(&self, piece: PieceIndex, room: &mut [u8]) -> Option<Result<(), SourceError>> {
        Some(self.source_of(piece)?.read_piece(piece, room))
    }

    fn source_of(&self, piece: PieceIndex) -> Option<Arc<dyn PieceSource>> {
        let state = self.state.lock();
        (!state.over && state.have.has(piece)).then(|| state.source.clone())
    }

    /// Serves a verified and written piece from now on.
    pub fn add(self: &Arc<Self>, piece: PieceIndex) {
        let mut state = self.state.lock();
        if !state.have.insert(piece) || state.subscribers.is_empty() {
            return;
        }
        state.news.push_back(piece.get());
        let first = !std::mem::replace(&mut state.due, true);
        drop(state);
        if first {
            // This fails only while the client closes.
            let _ = self.news.send(Announcement::Of(Arc::downgrade(self)));
        }
    }

    /// The served pieces.
    pub fn have(&self) -> Bitfield {
        self.state.lock().have.clone()
    }

    /// Serves every piece from this source from now on. Connections stay.
    pub fn complete(self: &Arc<Self>, source: Arc<dyn PieceSource>) {
        self.extend(source, &Bitfield::all(self.layout));
    }

    /// Serves these pieces from this source from now on, besides the earlier ones. Connections stay.
    pub(super) fn extend(self: &Arc<Self>, source: Arc<dyn PieceSource>, have: &Bitfield) {
        let missing: Vec<_> = {
            let mut state = self.state.lock();
            state.source = source;
            have.iter(self.layout).filter(|&piece| !state.have.has(piece)).collect()
        };
        missing.into_iter().for_each(|piece| self.add(piece));
    }

    /// Tells every connection of pieces that it has not heard of.
    pub(super) fn announce(&self) {
        let subscribers: Vec<_> = {
            let mut state = self.state.lock();
            state.due = false;
            state.subscribers.iter().map(|subscriber| subscriber.sender.clone()).collect()
        };
        subscribers.iter().for_each(|sender| self.catch_up(sender));
    }

    /// Tells a connection of pieces that it has not heard of, unless data still waits to leave on it. So news is merged
    /// while the far side or the uplink is slow. The session calls this after each reply, which sends the waiting data
    /// too.
    pub fn catch_up(&self, sender: &Arc<FrameSender>) {
        sender.flush();
        while sender.is_clear() {
            let Some(pieces) = self.state.lock().next_news(sender) else {
                return;
            };
            sender.push(&PeerReply::News { pieces });
        }
    }

    pub(super) fn end(&self) {
        let subscribers = {
            let mut state = self.state.lock();
            state.over = true;
            std::mem::take(&mut state.subscribers)
        };
        subscribers.iter().for_each(|subscriber| subscriber.sender.end());
    }
}

impl fmt::Debug for Served {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Served").field("info_hash", &self.info_hash).finish_non_exhaustive()
    }
}

/// A message to the announcer.
#[derive(Debug)]
pub(super) enum Announcement {
    /// This content has news.
    Of(Weak<Served>),
    /// The announcer ends.
    End,
}

#[cfg(test)]
mod tests {
    use super::super::catalog::Catalog;
    use super::*;
    use crate::client::storage::piece_source::SourceError;
    use crate::model::id::{OpId, Origin};
    use crate::model::piece::PIECE_LEN;
    use crate::sync::thread;
    use crate::wire::connection::{FrameReceiver, split};
    use crate::wire::frame::{self, FRAME_LEN_MAX, HEADER_LEN, UNASKED};
    use crate::wire::handshake::tests::keys;
    use crate::wire::record_layer::FrameRecords;
    use std::net::{TcpListener, TcpStream};
    use std::time::Duration;

    const DEADLINE: Duration = Duration::from_secs(60);

    /// Content that no test reads.
    struct Unread(Layout);

    impl PieceSource for Unread {
        fn layout(&self) -> Layout {
            self.0
        }

        fn read_at(&self, _: u64, _: &mut [u8]) -> Result<(), SourceError> {
            unreachable!("no piece is asked for")
        }
    }

    fn layout_of(pieces: u32) -> Layout {
        Layout::new(u64::from(pieces) * u64::from(PIECE_LEN)).expect("small")
    }

    fn serve_nothing_of(catalog: &Catalog, pieces: u32) -> Arc<Served> {
        let layout = layout_of(pieces);
        let group = GroupRef(OpId { origin: Origin { tracker: 1, incarnation: 1 }, seq: 1 });
        let source = Arc::new(Unread(layout));
        let served = catalog.add(group, InfoHash([7; 32]), source, Bitfield::none(layout));
        served.expect("it is not closing")
    }

    /// The seeder's end of a connection, and the receiver of the leecher.
    fn connect() -> (Arc<FrameSender>, FrameReceiver) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let far = TcpStream::connect(listener.local_addr().expect("bound")).expect("connects");
        let (near, _) = listener.accept().expect("accepts");
        let (near_keys, far_keys) = keys();
        let (_, sender) = split(near, near_keys, FRAME_LEN_MAX, true).expect("a socket");
        let (receiver, _) = split(far, far_keys, FRAME_LEN_MAX, true).expect("a socket");
        (sender, receiver)
    }

    fn hear_news(receiver: &mut FrameReceiver) -> Vec<u32> {
        let frame = receiver.recv(DEADLINE).expect("the connection lives");
        assert_eq!(frame.request, UNASKED);
        match frame.message() {
            Ok(PeerReply::News { pieces }) => pieces.to_vec(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_leecher_that_takes_long_over_a_piece_hears_of_all_that_was_gained_meanwhile() {
        const GAINED: u32 = 300;
        let catalog = Catalog::start().expect("a thread");
        let served = serve_nothing_of(&catalog, GAINED);
        let (sender, mut receiver) = connect();
        let held = served.attend(&sender).expect("it is served");
        assert!(held.is_empty());
        let (begun, waits) = channel::bounded(1);
        let (go_on, told) = channel::bounded::<()>(0);
        thread::scope(|scope| {
            let (served, sender) = (&served, &sender);
            scope.spawn(move || {
                let mut records = FrameRecords::default();
                drop(records.begin(&frame::of(1, &PeerReply::Alive {}), HEADER_LEN));
                assert!(sender.begin_parts());
                let sealed = sender.seal_part(&mut records);
                begun.send(()).expect("somebody waits for it");
                told.recv_timeout(DEADLINE).expect("told");
                assert_eq!(sender.send_some(sealed).expect("goes out"), sealed.len());
                sender.end_parts();
                served.catch_up(sender);
            });
            waits.recv_timeout(DEADLINE).expect("a piece is on its way");
            for piece in served.layout().indexes() {
                served.add(piece);
                served.announce();
            }
            assert!(!sender.is_over(), "no connection is cut off for it");
            go_on.send(()).expect("it waits");
            let frame = receiver.recv(DEADLINE).expect("the connection lives");
            assert_eq!(frame.message(), Ok(PeerReply::Alive {}));
            let mut heard = Vec::new();
            while heard.len() < GAINED as usize {
                heard.extend(hear_news(&mut receiver));
            }
            // Two threads announce, in any order.
            heard.sort_unstable();
            assert!(heard.into_iter().eq(0..GAINED));
        });
        catalog.close();
    }

    #[test]
    fn connections_stay_while_pieces_come_and_end_when_one_goes_that_they_know_of() {
        let catalog = Catalog::start().expect("a thread");
        let served = serve_nothing_of(&catalog, 4);
        let (group, info_hash, layout) = (served.group(), served.info_hash(), layout_of(4));
        let offer = |numbers: &[u32]| {
            let mut have = Bitfield::none(layout);
            for &number in numbers {
                have.insert(layout.index(number).expect("there"));
            }
            catalog.offer(group, info_hash, Arc::new(Unread(layout)), have);
        };
        let (sender, mut receiver) = connect();
        served.attend(&sender).expect("it is served");
        offer(&[2]);
        assert_eq!(hear_news(&mut receiver), [2]);
        offer(&[1, 2]);
        assert_eq!(hear_news(&mut receiver), [1]);
        assert!(!sender.is_over());
        offer(&[1, 3]);
        assert!(sender.is_over());
        let now = catalog.find(group, info_hash).expect("served").have();
        assert_eq!(now.iter(layout).map(PieceIndex::get).collect::<Vec<_>>(), [1, 3]);
        catalog.close();
    }

    #[test]
    fn news_are_kept_only_for_those_who_have_not_heard_them() {
        let catalog = Catalog::start().expect("a thread");
        let served = serve_nothing_of(&catalog, 10);
        let add = |numbers: std::ops::Range<u32>| {
            for number in numbers {
                served.add(served.layout().index(number).expect("there"));
            }
        };
        let kept = || served.state.lock().news.len();
        add(0..2);
        assert_eq!(kept(), 0, "no subscriber is left");
        let ((early, mut hears_early), (late, mut hears_late)) = (connect(), connect());
        served.attend(&early).expect("it is served");
        add(2..4);
        assert_eq!(served.attend(&late).expect("it is served").held(), 4);
        add(4..5);
        let hear = |receiver: &mut FrameReceiver, upto: u32| {
            let mut heard = Vec::new();
            while heard.last() != Some(&upto) {
                heard.extend(hear_news(receiver));
            }
            heard
        };
        assert_eq!(hear(&mut hears_early, 4), [2, 3, 4]);
        assert_eq!(hear(&mut hears_late, 4), [4]);
        served.announce();
        assert_eq!(kept(), 0, "everybody has heard");
        served.leave(&early);
        served.leave(&late);
        add(5..10);
        assert_eq!(kept(), 0);
        catalog.close();
    }
}
