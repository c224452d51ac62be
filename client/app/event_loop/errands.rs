//! Tells and asks the tracker what no command asked for. A thread of its own waits for the answers, so no other thread
//! waits for a distant or hanging tracker. The event loop can still tell the end of a download meanwhile. The loop
//! notes what to do; the thread does it once, however often it was noted.

use crate::client::app::announce::{find_peers, hold_more, tell_withdrawn};
use crate::client::app::download;
use crate::client::app::download::look_after;
use crate::client::app::login::{Login, announce_and_bring_back};
use crate::client::app::login_session::LoginSession;
use crate::client::app::node::command_id;
use crate::client::app::restore;
use crate::client::app::share;
use crate::client::download::transfer::Transfer;
use crate::model::id::{OpOrder, ShareRef};
use crate::sys::owned_thread::OwnedThread;
use crate::wire::client_tracker::Request;
use crate::wire::deadlines::HEARTBEAT_INTERVAL;
use parking_lot::{Condvar, Mutex};
use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The pause between two requests for peers. The tracker also pushes new peers.
const PEERS_PAUSE: Duration = Duration::from_secs(10);

/// The noted work. Numbers stand for downloads.
#[derive(Debug, Default)]
pub(super) struct Noted {
    /// A download is complete.
    pub finished: bool,
    /// A tracker was reached after another one was lost.
    pub reached: bool,
    /// The keys of groups may be out of date.
    pub keys: bool,
    /// The certificate may be out of date.
    pub certificate: bool,
    /// The tracker may know by now whether others reach this client.
    pub reach: bool,
    /// Downloads that have received their first piece from a member.
    pub first_pieces: BTreeSet<u64>,
    /// Downloads with a member that is not at the address that the tracker gave.
    pub stale_peers: BTreeSet<u64>,
    /// Shares that the user has ended, each with the number of the login that was told. The client has a record of
    /// each.
    pub ended: BTreeSet<(u64, ShareRef)>,
    /// The last notice that was shown to a login.
    pub read: Option<(u64, OpOrder)>,
    /// The clock has ticked.
    pub clock: bool,
}

#[derive(Debug, Default)]
struct Fields {
    noted: Option<Noted>,
    closed: bool,
}

#[derive(Debug, Default)]
struct Notes {
    fields: Mutex<Fields>,
    changed: Condvar,
}

impl Notes {
    /// Waits for noted work. Returns `None` once the thread is to end.
    fn next(&self) -> Option<Noted> {
        let mut fields = self.fields.lock();
        loop {
            if fields.closed {
                return None;
            }
            if let Some(noted) = fields.noted.take() {
                return Some(noted);
            }
            self.changed.wait(&mut fields);
        }
    }
}

/// The thread. Dropping this ends the thread, after the answer that it waits for.
#[derive(Debug)]
pub(super) struct Errands {
    notes: Arc<Notes>,
    thread: OwnedThread,
}

impl Errands {
    pub(super) fn start(login: Arc<Login>) -> io::Result<Self> {
        let notes = Arc::<Notes>::default();
        let (all, now) = (notes.clone(), Instant::now());
        let thread = OwnedThread::start("errands", move || {
            let mut errand = Errand { login, beaten: now, asked: now };
            while let Some(noted) = all.next() {
                errand.run(noted);
            }
        })?;
        Ok(Self { notes, thread })
    }

    /// Adds work through the closure `note`.
    pub(super) fn note(&self, note: impl FnOnce(&mut Noted)) {
        note(self.notes.fields.lock().noted.get_or_insert_default());
        self.notes.changed.notify_one();
    }
}

impl Drop for Errands {
    fn drop(&mut self) {
        self.notes.fields.lock().closed = true;
        self.notes.changed.notify_one();
        self.thread.join();
    }
}

/// The state of the thread.
struct Errand {
    login: Arc<Login>,
    /// When the client last sent a heartbeat.
    beaten: Instant,
    /// When the client last asked the tracker for peers.
    asked: Instant,
}

impl Errand {
    /// Does the noted work. The next tracker hears what does not reach this one.
    fn run(&mut self, noted: Noted) {
        if let Some(session) = self.login.session() {
            self.for_session(&session, &noted);
        }
        if noted.certificate {
            let _ = self.login.node().announce();
        }
        if noted.clock {
            self.tick();
        }
    }

    fn for_session(&self, session: &Arc<LoginSession>, noted: &Noted) {
        if noted.reached {
            session.follows().reached();
            announce_and_bring_back(session);
            session.engine().retry();
        }
        if noted.finished {
            download::tell_finished(session);
        }
        if noted.keys {
            // The peer that needs a key asks again.
            let _ = session.refresh_keys();
        }
        if noted.reach {
            let _ = session.node().check_reach();
        }
        let of_login = noted.ended.iter().filter(|(login, _)| *login == session.number());
        of_login.for_each(|(_, share)| restore::ended(session, *share));
        // Members that begin now hear at once which pieces are here.
        each(session, &noted.first_pieces, |transfer| drop(hold_more(session, transfer)));
        each(session, &noted.stale_peers, |transfer| drop(find_peers(session, transfer)));
        if let Some((_, through)) = noted.read.filter(|(login, _)| *login == session.number()) {
            // If this does not reach the tracker, the client shows the notices once more.
            let _ = session.call(&Request::ReadNotices { command: command_id(), through });
        }
    }

    fn tick(&mut self) {
        let (node, now) = (self.login.node(), Instant::now());
        if node.link.tracker().is_none() {
            return;
        }
        if now.duration_since(self.beaten) >= HEARTBEAT_INTERVAL {
            self.beaten = now;
            let _ = node.link.call(&Request::Heartbeat {});
        }
        let Some(session) = self.login.session() else { return };
        if node.has_moved() {
            // If the client loses the tracker right now, it tells the next one anyway.
            let _ = node.announce().and_then(|()| node.check_reach());
            session.engine().retry();
        }
        let ask = now.duration_since(self.asked) >= PEERS_PAUSE;
        if ask {
            self.asked = now;
            share::tell_untold(&session);
            let _ = tell_withdrawn(&session);
            if session.take_unheard() {
                announce_and_bring_back(&session);
            }
        }
        for transfer in session.downloads().running() {
            let _ = hold_more(&session, &transfer);
            if ask {
                look_after::look_after(&session, &transfer);
            }
        }
    }
}

fn each(session: &LoginSession, ids: &BTreeSet<u64>, work: impl Fn(&Arc<Transfer>)) {
    session.downloads().running().iter().filter(|transfer| ids.contains(&transfer.id())).for_each(work);
}
