//! The shares of a login that a thread looks after: what is known of each, and the next step.

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

/// The minimum time between two rounds over all shares, unless an event comes.
const ROUND_PAUSE: Duration = Duration::from_millis(100);

/// The maximum number of shares with a waiting question to the user. For others the client only tells the user, who
/// knows what to type.
const QUESTIONS_MAX: usize = 8;

/// Pieces that were found right, and the stamps of their files then.
#[derive(Clone)]
pub(crate) struct Checked {
    pub source: Arc<SharedFiles>,
    pub have: Bitfield,
}

/// The knowledge about a share.
#[derive(Clone)]
pub(crate) struct Known {
    pub share: ShareRef,
    /// `None` before the first look, unless the share was hashed in this login.
    pub checked: Option<Checked>,
    /// A piece was wrong though its stamps matched, so the whole share must be read.
    pub doubted: bool,
    /// What the last look has seen, if something is missing or wrong.
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
    /// The shares that are due, the earliest first.
    ready: VecDeque<ShareKey>,
    /// The shares to read after the current one.
    queue: VecDeque<ShareKey>,
    complaints: Complaints,
    /// The shares with other content on the disk about which the user has not been asked.
    questions: VecDeque<ShareKey>,
}

impl RegisterState {
    /// Notes that the user is to be asked, if the news says so.
    fn note(&mut self, key: ShareKey, news: Option<ShareNews>) -> Option<ShareNews> {
        let asked = matches!(&news, Some(ShareNews::Lacks(lack)) if lack.reason.is_other_content());
        if asked && self.questions.len() < QUESTIONS_MAX && !self.questions.contains(&key) {
            self.questions.push_back(key);
        }
        news
    }

    /// Collects the shares that are due. Returns the earliest due time of all.
    fn make_ready(&mut self, now: Instant) -> Option<Instant> {
        let due = self.shares.iter().filter_map(|(key, entry)| Some((entry.watched.due()?, *key)));
        let mut due: Vec<_> = due.collect();
        due.sort_unstable();
        let earliest = due.first().map(|(due, _)| *due);
        self.ready.extend(due.into_iter().take_while(|(due, _)| *due <= now).map(|(_, key)| key));
        earliest.into_iter().chain(self.complaints.due(now)).min()
    }
}

/// The next step for a share.
pub(crate) enum Upkeep {
    /// Look at its files.
    Look(ShareKey),
    /// Read this piece, because a member says that it is wrong.
    Check(ShareKey, PieceIndex),
}

/// The register. No thread holds its lock across a request or a disk access.
#[derive(Default)]
pub(crate) struct ShareRegister {
    state: Mutex<RegisterState>,
    changed: Condvar,
}

impl ShareRegister {
    /// Looks after a share that differs from when it was hashed.
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

    /// Notes that a share is given whole from this source. Returns the news for the user.
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

    /// Stops looking after a share.
    pub(crate) fn forget(&self, key: ShareKey) {
        let mut state = self.state.lock();
        state.shares.remove(&key);
        state.queue.retain(|other| *other != key);
        state.ready.retain(|other| *other != key);
        state.complaints.forget(key);
        state.questions.retain(|other| *other != key);
    }

    /// Takes a share whose place has other content, and about which the user has not been asked yet. The flag says
    /// whether a symbolic link leads there.
    pub(crate) fn take_question(&self) -> Option<(ShareKey, bool)> {
        let RegisterState { shares, questions, .. } = &mut *self.state.lock();
        let standing = |key: &ShareKey| shares.get(key).map(|entry| entry.watched.standing());
        let other = |key: &ShareKey| match standing(key) {
            Some(Standing::Lacking(lack)) if lack.reason.is_other_content() => Some(lack.reason == Reason::Link),
            _ => None,
        };
        // A look that is under way may still find other content.
        let is_open = |key: &ShareKey| matches!(standing(key), Some(Standing::Unknown | Standing::Reading));
        questions.retain(|key| is_open(key) || other(key).is_some());
        let (at, linked) = questions.iter().enumerate().find_map(|(at, key)| Some((at, other(key)?)))?;
        questions.remove(at).map(|key| (key, linked))
    }

    /// Puts back a question that the user has not answered. That question comes before those about other shares.
    pub(crate) fn ask_again(&self, key: ShareKey) {
        let mut state = self.state.lock();
        if state.shares.contains_key(&key) && !state.questions.contains(&key) {
            state.questions.push_front(key);
            state.questions.truncate(QUESTIONS_MAX);
        }
    }

    /// Takes in a complaint about a piece, by a member or by this program itself.
    pub(crate) fn complain(&self, user: Option<UserId>, key: ShareKey, piece: PieceIndex) {
        let mut state = self.state.lock();
        if state.shares.contains_key(&key) {
            state.complaints.put(user, key, piece, Instant::now());
            self.changed.notify_all();
        }
    }

    /// Notes that a piece was read because of a complaint.
    pub(crate) fn checked(&self, took: Duration) {
        self.state.lock().complaints.checked(Instant::now(), took);
    }

    /// Notes that a piece was wrong though the stamps of its files matched. The whole share must be read.
    pub(crate) fn doubt(&self, key: ShareKey, piece: PieceIndex) {
        let mut state = self.state.lock();
        let Some(entry) = state.shares.get_mut(&key) else { return };
        if let Some(checked) = &mut entry.known.checked {
            checked.have.remove(piece);
        }
        entry.known.doubted = true;
        entry.watched.alarm(Instant::now());
    }

    /// Notes that a share is about to be given whole. Returns the news for the user.
    pub(crate) fn is_back(&self, key: ShareKey) -> Option<ShareNews> {
        self.state.lock().shares.get_mut(&key)?.watched.forget_told()
    }

    /// The state of the shares that are not given whole.
    pub(crate) fn incomplete(&self) -> Vec<(ShareKey, Standing)> {
        let state = self.state.lock();
        let standings = state.shares.iter().map(|(key, entry)| (*key, entry.watched.standing()));
        let incomplete = standings.filter(|(_, standing)| matches!(standing, Standing::Reading | Standing::Lacking(_)));
        incomplete.map(|(key, standing)| (key, standing.clone())).collect()
    }

    /// Notes what is missing or wrong with a share that is still to be read. Returns the news for the user.
    pub(crate) fn lacks(&self, key: ShareKey, lack: Lack) -> Option<ShareNews> {
        let mut state = self.state.lock();
        let news = state.shares.get_mut(&key)?.watched.note(lack);
        state.note(key, news)
    }

    /// Takes in an alarm about a share. Returns false if no thread looks after it.
    pub(crate) fn alarm(&self, key: ShareKey, now: Instant) -> bool {
        let mut state = self.state.lock();
        let Some(entry) = state.shares.get_mut(&key) else { return false };
        entry.watched.alarm(now);
        drop(state);
        self.changed.notify_all();
        true
    }

    /// Makes the client give the pieces of a share again, after another source of them has gone.
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

    /// Waits for the next step and returns it. Waits until this time at the latest, and not at all while a share is
    /// being read.
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

    /// Makes [`ShareRegister::next`] check whether the session is over.
    pub(crate) fn wake(&self) {
        // A waiter holds the lock from its look at the flag until it waits.
        let _state = self.state.lock();
        self.changed.notify_all();
    }

    /// Whether to read a share now. If another share is being read, this one queues.
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

    /// Notes the result of a look, after which no reading is needed.
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

    /// Notes the result of a reading: what is known now, and what is missing or wrong.
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

    /// Has a share looked at again, because its reading told nothing.
    pub(crate) fn look_again(&self, key: ShareKey) {
        if let Some(entry) = self.state.lock().shares.get_mut(&key) {
            entry.watched.look_again(Instant::now());
        }
    }

    /// Whether a share is being read, or waits for that.
    pub(crate) fn is_reading(&self, key: ShareKey) -> bool {
        let state = self.state.lock();
        state.shares.get(&key).is_some_and(|entry| *entry.watched.standing() == Standing::Reading)
    }
}
