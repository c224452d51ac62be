//! What this client gives to others: content by group and info hash, whole files as well as files in download.

use super::passing::Passing;
use super::source::{PieceSource, SourceError};
use crate::model::bitfield::Bitfield;
use crate::model::digest::InfoHash;
use crate::model::id::GroupRef;
use crate::model::piece::{Layout, PieceIndex};
use crate::wire::conn::Sender;
use crate::wire::peer::{Answer, NEWS_MAX};
use crossbeam_channel as channel;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::thread::JoinHandle;
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
    // Locked; never while pieces are read or sent.
    state: Mutex<ServedState>,
}

struct ServedState {
    source: Arc<dyn PieceSource>,
    have: Bitfield,
    /// Pieces that the audience has not been told of.
    news: Vec<u32>,
    /// The connections that are open on this content.
    audience: Vec<Arc<Sender>>,
    over: bool,
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

    /// Opens a connection on this content: gives the pieces held now, and tells of later ones. None if it has ended.
    pub fn attend(&self, sender: &Arc<Sender>) -> Option<Bitfield> {
        let mut state = self.state.lock();
        if state.over {
            return None;
        }
        state.audience.push(sender.clone());
        Some(state.have.clone())
    }

    /// Ends what [`Served::attend`] began.
    pub fn leave(&self, sender: &Arc<Sender>) {
        self.state.lock().audience.retain(|other| !Arc::ptr_eq(other, sender));
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
        state.news.push(piece.get());
        let first = state.news.len() == 1;
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
        let (news, audience) = {
            let mut state = self.state.lock();
            (std::mem::take(&mut state.news), state.audience.clone())
        };
        for part in news.chunks(NEWS_MAX) {
            let pieces = crate::wire::codec::List::first_of(part.to_vec());
            let message = Answer::News { pieces };
            audience.iter().for_each(|sender| sender.push(&message));
        }
    }

    fn end(&self) {
        let audience = {
            let mut state = self.state.lock();
            state.over = true;
            std::mem::take(&mut state.audience)
        };
        audience.iter().for_each(|sender| sender.end());
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
        let teller = std::thread::Builder::new().name("piece-news".into()).spawn(move || tell(&told))?;
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
        let state = ServedState { source, have, news: Vec::new(), audience: Vec::new(), over: false };
        if self.closed.load(Ordering::Relaxed) {
            return None;
        }
        let news = self.news.clone();
        let (given, passing, state) = (AtomicU64::new(0), Passing::default(), Mutex::new(state));
        let served = Arc::new(Served { group, info_hash, layout, news, given, passing, state });
        let old = self.served.lock().insert((group, info_hash), served.clone());
        if let Some(old) = old {
            old.end();
        }
        Some(served)
    }

    /// What is served of this content in this group.
    pub fn find(&self, group: GroupRef, info_hash: InfoHash) -> Option<Arc<Served>> {
        self.served.lock().get(&(group, info_hash)).cloned()
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
