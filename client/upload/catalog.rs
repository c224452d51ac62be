//! All served content, by group and info hash.

use super::served::{Announcement, Served};
use crate::client::storage::piece_source::PieceSource;
use crate::model::bitfield::Bitfield;
use crate::model::digest::InfoHash;
use crate::model::id::GroupRef;
use crate::sync::atomic::{AtomicBool, Ordering};
use crate::sync::thread::{self, JoinHandle};
use crate::sync::{Mutex, channel};
use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

/// News of this time leave together. Leechers hear of a new piece only this much later.
const NEWS_PAUSE: Duration = Duration::from_millis(20);

/// All served content, and the announcer: the thread that tells leechers of new pieces.
#[derive(Debug)]
pub struct Catalog {
    served: Mutex<HashMap<(GroupRef, InfoHash), Arc<Served>>>,
    news: channel::Sender<Announcement>,
    closed: AtomicBool,
    announcer: Mutex<Option<JoinHandle<()>>>,
}

impl Catalog {
    /// Starts the announcer. Nothing is served yet.
    pub fn start() -> io::Result<Self> {
        // Unbounded, but each content is in the queue at most once.
        let (news, told) = channel::unbounded();
        let announcer = thread::Builder::new().name("announcer".into()).spawn(move || announce(&told))?;
        let (served, closed) = (Mutex::default(), AtomicBool::new(false));
        Ok(Self { served, news, closed, announcer: Mutex::new(Some(announcer)) })
    }

    /// Serves content from now on, instead of the former content with the same info hash in the group. Returns `None`
    /// while closing.
    pub fn add(
        &self,
        group: GroupRef,
        info_hash: InfoHash,
        source: Arc<dyn PieceSource>,
        have: Bitfield,
    ) -> Option<Arc<Served>> {
        let served = Arc::new(Served::new(group, info_hash, source, have, self.news.clone()));
        let old = {
            let mut all = self.served.lock();
            // Under the lock, so that `close` finds all added content.
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

    /// Serves exactly these pieces from now on. Connections stay, unless they know of a piece that is no longer served.
    pub fn offer(&self, group: GroupRef, info_hash: InfoHash, source: Arc<dyn PieceSource>, have: Bitfield) {
        let layout = source.layout();
        match self.find(group, info_hash) {
            Some(served) if served.have().iter(layout).all(|piece| have.has(piece)) => served.extend(source, &have),
            _ => drop(self.add(group, info_hash, source, have)),
        }
    }

    pub fn find(&self, group: GroupRef, info_hash: InfoHash) -> Option<Arc<Served>> {
        self.served.lock().get(&(group, info_hash)).cloned()
    }

    pub fn list(&self) -> Vec<Arc<Served>> {
        self.served.lock().values().cloned().collect()
    }

    /// Stops serving this content, and drops its connections.
    pub fn remove(&self, group: GroupRef, info_hash: InfoHash) {
        let old = self.served.lock().remove(&(group, info_hash));
        if let Some(old) = old {
            old.end();
        }
    }

    /// Stops serving all content of this group.
    pub fn remove_group(&self, group: GroupRef) {
        self.remove_where(|served| served.group() == group);
    }

    /// Stops serving all content.
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

    /// Stops serving all content, and joins the announcer.
    pub fn close(&self) {
        self.closed.store(true, Ordering::Relaxed);
        self.clear();
        // The channel does not close by itself: every thread that still holds content also holds a sender.
        let _ = self.news.send(Announcement::End);
        if let Some(announcer) = self.announcer.lock().take() {
            // The panic of the thread has already been printed.
            let _ = announcer.join();
        }
    }
}

/// Collects news for a moment, then tells the news of each content once. Returns at `End`.
fn announce(told: &channel::Receiver<Announcement>) {
    while let Ok(Announcement::Of(first)) = told.recv() {
        let until = Instant::now() + NEWS_PAUSE;
        let mut fresh = vec![first];
        let mut over = false;
        while let Ok(next) = told.recv_deadline(until) {
            match next {
                Announcement::Of(served) => fresh.push(served),
                Announcement::End => {
                    over = true;
                    break;
                }
            }
        }
        fresh.iter().filter_map(Weak::upgrade).for_each(|served| served.announce());
        if over {
            return;
        }
    }
}
