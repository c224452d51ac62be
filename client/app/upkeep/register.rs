//! The shares of a login that are looked after: what is known of each, and what is to be done next.

use super::complaints::Complaints;
use super::standing::{Finding, Lack, Reason, ShareKey, ShareNews, Standing, Watched};
use crate::client::storage::shared_files::SharedFiles;
use crate::model::bitfield::Bitfield;
use crate::model::digest::Sha1Digest;
use crate::model::id::ShareRef;
use crate::model::name::UserId;
use crate::model::piece::PieceIndex;
use parking_lot::{Condvar, Mutex};
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Least time from one round over all shares to the next, unless something has happened.
const ROUND_PAUSE: Duration = Duration::from_millis(100);

/// Most shares about which the user waits to be asked. Of others the user is told, and knows what to type.
const QUESTIONS_MAX: usize = 8;

/// Pieces that were found right, and the stamps under which they were.
#[derive(Clone)]
pub(crate) struct Checked {
    pub source: Arc<SharedFiles>,
    pub have: Bitfield,
}

/// What is known of a share.
#[derive(Clone)]
pub(crate) struct Known {
    pub share: ShareRef,
    /// Nothing before the first look, unless it was hashed in this login.
    pub checked: Option<Checked>,
    /// A piece was wrong though its stamps were right: all is to be read.
    pub doubted: bool,
    /// What the last look has seen, if something is lacking.
    pub seen: Option<Sha1Digest>,
    pub standing: Standing,
}

struct RegisterEntry {
    known: Known,
    watched: Watched,
}

#[derive(Default)]
struct RegisterState {
    shares: HashMap<ShareKey, RegisterEntry>,
    /// Those whose time has come, the earliest in front.
    ready: VecDeque<ShareKey>,
    /// Those that are to be read once what is being read is done.
    queue: VecDeque<ShareKey>,
    complaints: Complaints,
    /// Those of which other content lies on the disk, and the user has not been asked about it.
    questions: VecDeque<ShareKey>,
}

impl RegisterState {
    /// Notes what the user is to be asked about.
    fn note(&mut self, key: ShareKey, news: Option<ShareNews>) -> Option<ShareNews> {
        let asked = matches!(&news, Some(ShareNews::Lacks(lack)) if lack.reason.is_other_content());
        if asked && self.questions.len() < QUESTIONS_MAX && !self.questions.contains(&key) {
            self.questions.push_back(key);
        }
        news
    }

    /// Gathers those whose time has come. Gives the earliest time of all.
    fn make_ready(&mut self, now: Instant) -> Option<Instant> {
        let due = self.shares.iter().filter_map(|(key, entry)| Some((entry.watched.due()?, *key)));
        let mut due: Vec<_> = due.collect();
        due.sort_unstable();
        let earliest = due.first().map(|(due, _)| *due);
        self.ready.extend(due.into_iter().take_while(|(due, _)| *due <= now).map(|(_, key)| key));
        earliest.into_iter().chain(self.complaints.due(now)).min()
    }
}

/// Something to do for a share.
pub(crate) enum Upkeep {
    /// Look at its files.
    Look(ShareKey),
    /// Read this piece, of which a member says that it is wrong.
    Check(ShareKey, PieceIndex),
}

/// The register. Its lock is never held across a request or the disk.
#[derive(Default)]
pub(crate) struct ShareRegister {
    state: Mutex<RegisterState>,
    changed: Condvar,
}

impl ShareRegister {
    /// Looks after a share that was not found as it was hashed.
    pub(crate) fn watch(&self, key: ShareKey, share: ShareRef) {
        let now = Instant::now();
        let new = || {
            let known = Known { share, checked: None, doubted: false, seen: None, standing: Standing::Unknown };
            RegisterEntry { known, watched: Watched::new(now) }
        };
        let mut state = self.state.lock();
        let entry = state.shares.entry(key).or_insert_with(new);
        entry.known.share = share;
        entry.watched.alarm(now);
        drop(state);
        self.changed.notify_all();
    }

    /// A share is given whole from this source. Gives what the user has to be told.
    pub(crate) fn served(&self, key: ShareKey, share: ShareRef, checked: Checked) -> Option<ShareNews> {
        let known = Known { share, checked: Some(checked), doubted: false, seen: None, standing: Standing::Unknown };
        let mut state = self.state.lock();
        match state.shares.get_mut(&key) {
            Some(entry) => {
                entry.known = known;
                entry.watched.whole(Instant::now(), Duration::ZERO)
            }
            None => {
                let now = Instant::now();
                let mut watched = Watched::new(now);
                watched.whole(now, Duration::ZERO);
                state.shares.insert(key, RegisterEntry { known, watched });
                None
            }
        }
    }

    /// Looks after a share no longer.
    pub(crate) fn forget(&self, key: ShareKey) {
        let mut state = self.state.lock();
        state.shares.remove(&key);
        state.queue.retain(|other| *other != key);
        state.ready.retain(|other| *other != key);
        state.complaints.forget(key);
        state.questions.retain(|other| *other != key);
    }

    /// A share in whose place other content lies, about which the user has not been asked yet, and whether a symbolic link
    /// leads there.
    pub(crate) fn take_question(&self) -> Option<(ShareKey, bool)> {
        let RegisterState { shares, questions, .. } = &mut *self.state.lock();
        let standing = |key: &ShareKey| shares.get(key).map(|entry| entry.watched.standing());
        let other = |key: &ShareKey| match standing(key) {
            Some(Standing::Lacking(lack)) if lack.reason.is_other_content() => Some(lack.reason == Reason::Link),
            _ => None,
        };
        // What is being looked at may turn out to be other content still.
        let is_open = |key: &ShareKey| matches!(standing(key), Some(Standing::Unknown | Standing::Reading));
        questions.retain(|key| is_open(key) || other(key).is_some());
        let (at, linked) = questions.iter().enumerate().find_map(|(at, key)| Some((at, other(key)?)))?;
        questions.remove(at).map(|key| (key, linked))
    }

    /// The user has not answered: the question comes again, before those about other shares.
    pub(crate) fn ask_again(&self, key: ShareKey) {
        let mut state = self.state.lock();
        if state.shares.contains_key(&key) && !state.questions.contains(&key) {
            state.questions.push_front(key);
            state.questions.truncate(QUESTIONS_MAX);
        }
    }

    /// A member, or this program itself, says that a piece of a share is wrong.
    pub(crate) fn complain(&self, user: Option<UserId>, key: ShareKey, piece: PieceIndex) {
        let mut state = self.state.lock();
        if state.shares.contains_key(&key) {
            state.complaints.put(user, key, piece, Instant::now());
            self.changed.notify_all();
        }
    }

    /// A piece was read because of a complaint.
    pub(crate) fn checked(&self, took: Duration) {
        self.state.lock().complaints.checked(Instant::now(), took);
    }

    /// A piece was wrong though the stamps of its files were right: all of the share is to be read.
    pub(crate) fn doubt(&self, key: ShareKey, piece: PieceIndex) {
        let mut state = self.state.lock();
        let Some(entry) = state.shares.get_mut(&key) else { return };
        if let Some(checked) = &mut entry.known.checked {
            checked.have.remove(piece);
        }
        entry.known.doubted = true;
        entry.watched.alarm(Instant::now());
    }

    /// A share is about to be given whole: gives what the user has to be told.
    pub(crate) fn is_back(&self, key: ShareKey) -> Option<ShareNews> {
        self.state.lock().shares.get_mut(&key)?.watched.forget_told()
    }

    /// How the shares stand that are not given whole.
    pub(crate) fn incomplete(&self) -> Vec<(ShareKey, Standing)> {
        let state = self.state.lock();
        let standings = state.shares.iter().map(|(key, entry)| (*key, entry.watched.standing()));
        let incomplete = standings.filter(|(_, standing)| matches!(standing, Standing::Reading | Standing::Lacking(_)));
        incomplete.map(|(key, standing)| (key, standing.clone())).collect()
    }

    /// Notes what is lacking of a share that is yet to be read. Gives what the user has to be told.
    pub(crate) fn lacks(&self, key: ShareKey, lack: Lack) -> Option<ShareNews> {
        let mut state = self.state.lock();
        let news = state.shares.get_mut(&key)?.watched.note(lack);
        state.note(key, news)
    }

    /// Something may be wrong with a share. False if it is not looked after.
    pub(crate) fn alarm(&self, key: ShareKey, now: Instant) -> bool {
        let mut state = self.state.lock();
        let Some(entry) = state.shares.get_mut(&key) else { return false };
        entry.watched.alarm(now);
        drop(state);
        self.changed.notify_all();
        true
    }

    /// Something else has taken the place of a share's pieces and is gone: they are to be given again.
    pub(crate) fn give_again(&self, key: ShareKey, now: Instant) {
        if let Some(entry) = self.state.lock().shares.get_mut(&key) {
            entry.known.seen = None;
        }
        self.alarm(key, now);
    }

    /// What is known of a share.
    pub(crate) fn known(&self, key: ShareKey) -> Option<Known> {
        let state = self.state.lock();
        state.shares.get(&key).map(|entry| Known { standing: entry.watched.standing().clone(), ..entry.known.clone() })
    }

    /// Waits until there is something to do, which it gives. Waits no longer than until this time, and while
    /// something is being read not at all.
    pub(crate) fn next(&self, reading: bool, until: Option<Instant>, over: &AtomicBool) -> Option<Upkeep> {
        let mut state = self.state.lock();
        while !over.load(Ordering::Relaxed) {
            let now = Instant::now();
            if let Some((key, piece)) = state.complaints.take(now) {
                return Some(Upkeep::Check(key, piece));
            }
            if !reading && let Some(key) = state.queue.pop_front() {
                return Some(Upkeep::Look(key));
            }
            if let Some(key) = state.ready.pop_front() {
                return Some(Upkeep::Look(key));
            }
            let due = state.make_ready(now);
            if due.is_some_and(|due| due <= now) {
                continue;
            }
            if reading || until.is_some_and(|until| until <= now) {
                return None;
            }
            match due.map(|due| due.max(now + ROUND_PAUSE)).into_iter().chain(until).min() {
                Some(until) => drop(self.changed.wait_until(&mut state, until)),
                None => self.changed.wait(&mut state),
            }
        }
        None
    }

    /// Has [`ShareRegister::next`] look whether all is over.
    pub(crate) fn wake(&self) {
        // Whoever waits holds the lock from looking to waiting.
        let _state = self.state.lock();
        self.changed.notify_all();
    }

    /// Whether a share that has to be read is read now. If something else is being read, its turn comes after that.
    pub(crate) fn may_read(&self, key: ShareKey, reading: bool, now: Instant) -> bool {
        let mut state = self.state.lock();
        let Some(entry) = state.shares.get_mut(&key) else { return false };
        if !entry.watched.may_read(now) {
            return false;
        }
        if reading && !state.queue.contains(&key) {
            state.queue.push_back(key);
        }
        !reading
    }

    /// A share was looked at and need not be read.
    pub(crate) fn looked(
        &self,
        key: ShareKey,
        seen: Option<Sha1Digest>,
        finding: Finding,
        took: Duration,
    ) -> Option<ShareNews> {
        let mut state = self.state.lock();
        let entry = state.shares.get_mut(&key)?;
        entry.known.seen = seen.filter(|_| finding != Finding::Whole);
        let news = entry.watched.looked(finding, Instant::now(), took);
        state.note(key, news)
    }

    /// A share was read: what is known of it now, and what is lacking.
    pub(crate) fn read(
        &self,
        key: ShareKey,
        found: (Sha1Digest, Checked, Option<Lack>),
        took: Duration,
    ) -> Option<ShareNews> {
        let mut state = self.state.lock();
        let entry = state.shares.get_mut(&key)?;
        let (seen, checked, lack) = found;
        (entry.known.checked, entry.known.doubted) = (Some(checked), false);
        entry.known.seen = lack.is_some().then_some(seen);
        let news = entry.watched.read(lack, Instant::now(), took);
        state.note(key, news)
    }

    /// What was read of a share tells nothing: it is looked at again.
    pub(crate) fn look_again(&self, key: ShareKey) {
        if let Some(entry) = self.state.lock().shares.get_mut(&key) {
            entry.watched.look_again(Instant::now());
        }
    }

    /// Whether a share is being read, or will be.
    pub(crate) fn is_reading(&self, key: ShareKey) -> bool {
        let state = self.state.lock();
        state.shares.get(&key).is_some_and(|entry| *entry.watched.standing() == Standing::Reading)
    }
}
