//! What this client gives to others: content by group and info hash, whole files as well as files in download.

use super::leases::Passing;
use super::stats::Takers;
use crate::client::storage::piece_source::{PieceSource, SourceError};
use crate::model::bitfield::Bitfield;
use crate::model::digest::InfoHash;
use crate::model::id::GroupRef;
use crate::model::piece::{Layout, PieceIndex};
use crate::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use crate::sync::thread::{self, JoinHandle};
use crate::sync::{Mutex, channel};
use crate::wire::codec::List;
use crate::wire::connection::FrameSender;
use crate::wire::peer::{NEWS_MAX, PeerReply};
use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

/// News of one moment leave together: leechers hear of a new piece within this time.
const NEWS_PAUSE: Duration = Duration::from_millis(20);

/// One content that is served in one group.
pub struct Served {
    // Immutable.
    group: GroupRef,
    info_hash: InfoHash,
    layout: Layout,
    news: channel::Sender<News>,
    /// Bytes of pieces given away.
    given: AtomicU64,
    passing: Passing,
    takers: Takers,
    // Locked; never while pieces are read or sent.
    state: Mutex<ServedState>,
}

struct ServedState {
    source: Arc<dyn PieceSource>,
    have: Bitfield,
    /// The pieces gained, in order, as far as somebody listens who has not been told of them.
    news: VecDeque<u32>,
    /// How many were gained before these.
    told_to_all: u64,
    /// Whether the thread that tells will come to this content.
    due: bool,
    audience: Vec<Listener>,
    over: bool,
}

/// A connection that is open on this content.
struct Listener {
    sender: Arc<FrameSender>,
    /// How many of the pieces gained it has been told of, or held back then already.
    told: u64,
}

impl ServedState {
    /// Forgets the news that nobody is to be told of any more.
    fn forget_old_news(&mut self) {
        let gained = self.told_to_all + self.news.len() as u64;
        let told_to_all = self.audience.iter().map(|listener| listener.told).min().unwrap_or(gained);
        self.news.drain(..(told_to_all - self.told_to_all) as usize);
        self.told_to_all = told_to_all;
    }

    /// What a connection is to be told of next, which then counts as told.
    fn next_news(&mut self, sender: &Arc<FrameSender>) -> Option<List<u32, NEWS_MAX>> {
        let listener = self.audience.iter_mut().find(|listener| Arc::ptr_eq(&listener.sender, sender))?;
        let untold = self.news.range((listener.told - self.told_to_all) as usize..);
        let pieces: Vec<_> = untold.take(NEWS_MAX).copied().collect();
        listener.told += pieces.len() as u64;
        self.forget_old_news();
        (!pieces.is_empty()).then(|| List::first_of(pieces))
    }
}

impl Served {
    /// In which group.
    pub fn group(&self) -> GroupRef {
        self.group
    }

    /// Which content.
    pub fn info_hash(&self) -> InfoHash {
        self.info_hash
    }

    /// How it is cut.
    pub fn layout(&self) -> Layout {
        self.layout
    }

    /// Bytes of pieces given away so far.
    pub fn given(&self) -> u64 {
        self.given.load(Ordering::Relaxed)
    }

    /// The pieces on their way to members who give them on.
    pub fn passing(&self) -> &Passing {
        &self.passing
    }

    /// The members who take it.
    pub fn takers(&self) -> &Takers {
        &self.takers
    }

    /// Opens a connection on this content: gives the pieces held now, and tells of later ones. None if it has ended.
    pub fn attend(&self, sender: &Arc<FrameSender>) -> Option<Bitfield> {
        let mut state = self.state.lock();
        if state.over {
            return None;
        }
        let told = state.told_to_all + state.news.len() as u64;
        state.audience.push(Listener { sender: sender.clone(), told });
        Some(state.have.clone())
    }

    /// Ends what [`Served::attend`] began.
    pub fn leave(&self, sender: &Arc<FrameSender>) {
        let mut state = self.state.lock();
        state.audience.retain(|listener| !Arc::ptr_eq(&listener.sender, sender));
        state.forget_old_news();
    }

    /// Reads a piece that is held; none if it is not held.
    pub fn read(&self, piece: PieceIndex, out: &mut [u8]) -> Option<Result<(), SourceError>> {
        let source = {
            let state = self.state.lock();
            (!state.over && state.have.has(piece)).then(|| state.source.clone())
        }?;
        self.given.fetch_add(out.len() as u64, Ordering::Relaxed);
        Some(source.read_piece(piece, out))
    }

    /// A piece has been verified and written: it is served from now on.
    pub fn add(self: &Arc<Self>, piece: PieceIndex) {
        let mut state = self.state.lock();
        if !state.have.insert(piece) || state.audience.is_empty() {
            return;
        }
        state.news.push_back(piece.get());
        let first = !std::mem::replace(&mut state.due, true);
        drop(state);
        if first {
            // Nobody listens any more when the client is closing.
            let _ = self.news.send(News::Of(Arc::downgrade(self)));
        }
    }

    /// The whole is here: every piece comes from there from now on. Connections stay.
    pub fn complete(self: &Arc<Self>, source: Arc<dyn PieceSource>) {
        let missing: Vec<_> = {
            let mut state = self.state.lock();
            state.source = source;
            self.layout.indexes().filter(|&piece| !state.have.has(piece)).collect()
        };
        missing.into_iter().for_each(|piece| self.add(piece));
    }

    fn tell_news(&self) {
        let audience: Vec<_> = {
            let mut state = self.state.lock();
            state.due = false;
            state.audience.iter().map(|listener| listener.sender.clone()).collect()
        };
        audience.iter().for_each(|sender| self.catch_up(sender));
    }

    /// Tells a connection of the pieces gained that it has not been told of; if something still waits to leave on it,
    /// not yet. So these are merged while the far side or the uplink is slow. Whoever answers on the connection calls
    /// this after each answer, which takes along what waited.
    pub fn catch_up(&self, sender: &Arc<FrameSender>) {
        sender.flush();
        while sender.is_clear() {
            let Some(pieces) = self.state.lock().next_news(sender) else {
                return;
            };
            sender.push(&PeerReply::News { pieces });
        }
    }

    fn end(&self) {
        let audience = {
            let mut state = self.state.lock();
            state.over = true;
            std::mem::take(&mut state.audience)
        };
        audience.iter().for_each(|listener| listener.sender.end());
    }
}

impl fmt::Debug for Served {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Served").field("info_hash", &self.info_hash).finish_non_exhaustive()
    }
}

/// All that is served, and the thread that tells leechers of new pieces.
#[derive(Debug)]
pub struct Serving {
    served: Mutex<HashMap<(GroupRef, InfoHash), Arc<Served>>>,
    news: channel::Sender<News>,
    closed: AtomicBool,
    teller: Mutex<Option<JoinHandle<()>>>,
}

impl Serving {
    /// Serves nothing yet.
    pub fn start() -> std::io::Result<Self> {
        // Unbounded, but each content is in the queue once at most.
        let (news, told) = channel::unbounded();
        let teller = thread::Builder::new().name("piece-news".into()).spawn(move || tell(&told))?;
        let (served, closed) = (Mutex::default(), AtomicBool::new(false));
        Ok(Self { served, news, closed, teller: Mutex::new(Some(teller)) })
    }

    /// Serves content from now on; what was served under the same info hash in the group ends. None while closing.
    pub fn add(
        &self,
        group: GroupRef,
        info_hash: InfoHash,
        layout: Layout,
        source: Arc<dyn PieceSource>,
        have: Bitfield,
    ) -> Option<Arc<Served>> {
        let state = ServedState {
            source,
            have,
            news: VecDeque::new(),
            told_to_all: 0,
            due: false,
            audience: Vec::new(),
            over: false,
        };
        let news = self.news.clone();
        let (given, passing, takers) = (AtomicU64::new(0), Passing::default(), Takers::default());
        let state = Mutex::new(state);
        let served = Arc::new(Served { group, info_hash, layout, news, given, passing, takers, state });
        let old = {
            let mut all = self.served.lock();
            // Under the lock, so that `close` finds what was let in before.
            if self.closed.load(Ordering::Relaxed) {
                return None;
            }
            all.insert((group, info_hash), served.clone())
        };
        if let Some(old) = old {
            old.end();
        }
        Some(served)
    }

    /// What is served of this content in this group.
    pub fn find(&self, group: GroupRef, info_hash: InfoHash) -> Option<Arc<Served>> {
        self.served.lock().get(&(group, info_hash)).cloned()
    }

    /// All that is served.
    pub fn list(&self) -> Vec<Arc<Served>> {
        self.served.lock().values().cloned().collect()
    }

    /// Serves this content no longer and drops the connections on it.
    pub fn remove(&self, group: GroupRef, info_hash: InfoHash) {
        let old = self.served.lock().remove(&(group, info_hash));
        if let Some(old) = old {
            old.end();
        }
    }

    /// Serves nothing of this group any longer.
    pub fn remove_group(&self, group: GroupRef) {
        self.remove_where(|served| served.group == group);
    }

    /// Serves nothing any longer.
    pub fn clear(&self) {
        self.remove_where(|_| true);
    }

    fn remove_where(&self, gone: impl Fn(&Served) -> bool) {
        let ended: Vec<_> = {
            let mut served = self.served.lock();
            let keys: Vec<_> = served.iter().filter(|(_, s)| gone(s)).map(|(key, _)| *key).collect();
            keys.iter().filter_map(|key| served.remove(key)).collect()
        };
        ended.iter().for_each(|served| served.end());
    }

    /// Ends everything and joins the thread.
    pub fn close(&self) {
        self.closed.store(true, Ordering::Relaxed);
        self.clear();
        // Said rather than left to the last sender's end: whoever still holds content holds a sender with it.
        let _ = self.news.send(News::End);
        if let Some(teller) = self.teller.lock().take() {
            // A panic of the thread was printed when it happened.
            let _ = teller.join();
        }
    }
}

/// What the thread is told.
#[derive(Debug)]
enum News {
    /// There are pieces to tell of.
    Of(Weak<Served>),
    /// Nothing more is to be told.
    End,
}

/// Gathers for a moment, then tells of each content once; until the end.
fn tell(told: &channel::Receiver<News>) {
    while let Ok(News::Of(first)) = told.recv() {
        let until = Instant::now() + NEWS_PAUSE;
        let mut fresh = vec![first];
        let mut over = false;
        while let Ok(next) = told.recv_deadline(until) {
            match next {
                News::Of(served) => fresh.push(served),
                News::End => {
                    over = true;
                    break;
                }
            }
        }
        fresh.iter().filter_map(Weak::upgrade).for_each(|served| served.tell_news());
        if over {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::storage::piece_source::SourceError;
    use crate::model::id::{OpId, Origin};
    use crate::model::piece::PIECE_LEN;
    use crate::wire::connection::{FrameReceiver, split};
    use crate::wire::frame::{self, FRAME_LEN_MAX, UNASKED};
    use crate::wire::handshake::tests::keys;
    use std::net::{TcpListener, TcpStream};

    const DEADLINE: Duration = Duration::from_secs(60);

    /// Content that nobody reads here.
    struct Unread(Layout);

    impl PieceSource for Unread {
        fn layout(&self) -> Layout {
            self.0
        }

        fn read_at(&self, _: u64, _: &mut [u8]) -> Result<(), SourceError> {
            unreachable!("no piece is asked for")
        }
    }

    fn serve_nothing_of(serving: &Serving, pieces: u32) -> Arc<Served> {
        let layout = Layout::new(u64::from(pieces) * u64::from(PIECE_LEN)).expect("small");
        let group = GroupRef(OpId { origin: Origin { tracker: 1, incarnation: 1 }, seq: 1 });
        let source = Arc::new(Unread(layout));
        let served = serving.add(group, InfoHash([7; 32]), layout, source, Bitfield::none(layout));
        served.expect("it is not closing")
    }

    /// The seeder's end of a connection, and what the leecher hears.
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
        let serving = Serving::start().expect("a thread");
        let served = serve_nothing_of(&serving, GAINED);
        let (sender, mut receiver) = connect();
        let held = served.attend(&sender).expect("it is served");
        assert!(held.is_empty());
        let (begun, waits) = channel::bounded(1);
        let (go_on, told) = channel::bounded::<()>(0);
        thread::scope(|scope| {
            let (served, sender) = (&served, &sender);
            scope.spawn(move || {
                let allow = |len| {
                    begun.send(()).expect("somebody waits for it");
                    told.recv_timeout(DEADLINE).ok().map(|()| len)
                };
                sender.send_paced(&frame::of(1, &PeerReply::Alive {}), allow).expect("goes out");
                served.catch_up(sender);
            });
            waits.recv_timeout(DEADLINE).expect("a piece is on its way");
            for piece in served.layout().indexes() {
                served.add(piece);
                served.tell_news();
            }
            assert!(!sender.is_over(), "nobody is cut off for it");
            go_on.send(()).expect("it waits");
            let frame = receiver.recv(DEADLINE).expect("the connection lives");
            assert_eq!(frame.message(), Ok(PeerReply::Alive {}));
            let mut heard = Vec::new();
            while heard.len() < GAINED as usize {
                heard.extend(hear_news(&mut receiver));
            }
            // Two threads tell.
            heard.sort_unstable();
            assert!(heard.into_iter().eq(0..GAINED));
        });
        serving.close();
    }

    #[test]
    fn news_are_kept_only_for_those_who_have_not_heard_them() {
        let serving = Serving::start().expect("a thread");
        let served = serve_nothing_of(&serving, 10);
        let add = |numbers: std::ops::Range<u32>| {
            for number in numbers {
                served.add(served.layout().index(number).expect("there"));
            }
        };
        let kept = || served.state.lock().news.len();
        add(0..2);
        assert_eq!(kept(), 0, "nobody listens");
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
        served.tell_news();
        assert_eq!(kept(), 0, "everybody has heard");
        served.leave(&early);
        served.leave(&late);
        add(5..10);
        assert_eq!(kept(), 0);
        serving.close();
    }
}
