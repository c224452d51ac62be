//! Subscriptions to changes among the clients of this tracker, for the links to other trackers. A subscription does
//! not queue changes. It marks which clients and holdings to look at again.

use super::client_key::ClientKey;
use super::pace::shared_pace::SharedPace;
use crate::model::id::{ShareRef, UserRef};
use crate::rate::buckets::Pace;
use crate::wire::client_tracker::Holding;
use crate::wire::contact::Contact;
use parking_lot::Mutex;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::Bound;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

/// The pace of changes after the first full account: 65,536 small ones at once, and then 4,000 a second. If a user's
/// holdings change again and again, the links tell only the latest. They do so only while more of the pace is left than
/// the user has taken.
const TOLD: Pace = Pace { burst: 65_536, interval: Duration::from_micros(250) };
/// How many bytes of a holding count as one more change.
const TOLD_LEN: usize = 64;

/// A fact about a client of this tracker that another tracker does not know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PresenceChange {
    /// It is logged in here, or is at another address, or has another certificate. Comes before its holdings.
    Online {
        key: ClientKey,
        /// Who and where it is to its peers, if it has announced that.
        contact: Option<Arc<Contact>>,
    },
    /// It is no longer logged in here, and holds nothing.
    Offline { key: ClientKey },
    /// What it now holds of a share.
    Holds {
        key: ClientKey,
        share: ShareRef,
        /// All, nothing, or exactly these pieces.
        holding: Holding,
    },
}

/// What one subscriber has not taken yet. Its size stays bounded, however much changes. The bound is what is known of
/// this tracker's clients now, and what the subscriber has taken of clients that are gone.
pub struct Subscription {
    unsent: Mutex<Unsent>,
    notify: Box<dyn Fn() + Send + Sync>,
}

impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Subscription({} clients)", self.unsent.lock().clients.len())
    }
}

impl Subscription {
    pub(super) fn new(notify: Box<dyn Fn() + Send + Sync>) -> Self {
        Self { unsent: Mutex::default(), notify }
    }

    /// Takes note of a change. Returns true if the subscription was empty before and now is not.
    fn note(&self, note: impl Fn(&mut Unsent)) -> bool {
        let mut unsent = self.unsent.lock();
        let was_empty = unsent.clients.is_empty();
        note(&mut unsent);
        was_empty && !unsent.clients.is_empty()
    }

    /// Tells the subscriber that there is something to take. Must not be called under a lock.
    pub(super) fn notify(&self) {
        (self.notify)();
    }

    /// Takes up to `count_max` changes, with their present values.
    pub(super) fn take(&self, count_max: usize, current: &impl CurrentPresence, now: Instant) -> Taken {
        self.unsent.lock().take(count_max, current, now)
    }
}

/// What a subscriber has taken.
#[derive(Debug)]
pub struct Taken {
    pub changes: Vec<PresenceChange>,
    /// There is more, of users that had their part already. The subscriber takes it later, without a notification.
    pub put_off: bool,
}

/// The present facts about the clients of this tracker.
pub(super) trait CurrentPresence {
    /// The contact of a client, if it is logged in here.
    fn contact(&self, key: ClientKey) -> Option<Option<Arc<Contact>>>;
    fn holding(&self, key: ClientKey, share: ShareRef) -> Holding;
}

/// Which clients to look at again.
#[derive(Debug)]
pub(super) struct Unsent {
    clients: BTreeMap<ClientKey, UnsentClient>,
    /// The client with which the last take ended. The next take goes on after it, so that no client waits forever.
    taken: Option<ClientKey>,
    /// Everything has been told once.
    is_told: bool,
    pace: SharedPace,
}

impl Default for Unsent {
    fn default() -> Self {
        Self { clients: BTreeMap::new(), taken: None, is_told: false, pace: SharedPace::new(TOLD) }
    }
}

/// What to look at again of one client. Invariant: if not `told`, it has `online` set, or was told before and is
/// `gone`.
#[derive(Debug)]
struct UnsentClient {
    /// The subscriber has taken it as online.
    told: bool,
    /// The login that the subscriber took has ended.
    gone: bool,
    /// It has logged in, or its contact has changed.
    online: bool,
    /// The shares whose holding to look at again, each with whether the subscriber knows of a holding there.
    shares: BTreeMap<ShareRef, bool>,
}

impl UnsentClient {
    fn new(told: bool) -> Self {
        Self { told, gone: false, online: false, shares: BTreeMap::new() }
    }

    fn is_done(&self) -> bool {
        !self.gone && !self.online && self.shares.is_empty()
    }
}

impl Unsent {
    /// A client has logged in here.
    pub(super) fn came(&mut self, key: ClientKey) {
        self.clients.entry(key).or_insert_with(|| UnsentClient::new(false)).online = true;
    }

    /// A client of this tracker has another contact.
    pub(super) fn moved(&mut self, key: ClientKey) {
        self.clients.entry(key).or_insert_with(|| UnsentClient::new(true)).online = true;
    }

    /// A client of this tracker is gone.
    pub(super) fn went(&mut self, key: ClientKey) {
        let told = self.clients.remove(&key).is_none_or(|client| client.told);
        if told {
            self.clients.insert(key, UnsentClient { gone: true, ..UnsentClient::new(true) });
        }
    }

    /// A client's holding of a share has changed. The flags say whether it held something before and does now.
    pub(super) fn held(&mut self, key: ClientKey, share: ShareRef, before: bool, now: bool) {
        let client = self.clients.entry(key).or_insert_with(|| UnsentClient::new(true));
        let told = *client.shares.entry(share).or_insert(before);
        if !told && !now {
            client.shares.remove(&share);
        }
        if client.is_done() {
            self.clients.remove(&key);
        }
    }

    /// The clients with an untold change in such a share.
    pub(super) fn clients_where(&self, which: impl Fn(ShareRef) -> bool) -> Vec<ClientKey> {
        let fits = |client: &UnsentClient| client.shares.keys().any(|&share| which(share));
        self.clients.iter().filter(|(_, client)| fits(client)).map(|(&key, _)| key).collect()
    }

    fn take(&mut self, count_max: usize, current: &impl CurrentPresence, now: Instant) -> Taken {
        let (mut changes, mut passed) = (Vec::new(), BTreeSet::new());
        while changes.len() < count_max {
            let Some(key) = self.next(&passed) else {
                break;
            };
            if self.is_told && !self.pace.allows(key.user, now) {
                passed.insert(key.user);
                self.taken = Some(*ClientKey::all_of(key.user).end());
                continue;
            }
            let before = changes.len();
            self.take_of(key, count_max, current, &mut changes);
            if self.is_told {
                let told = changes[before..].iter().map(PresenceChange::weight).sum();
                self.pace.take(key.user, told, now);
            }
        }
        let is_all = changes.len() < count_max;
        self.is_told |= is_all;
        Taken { changes, put_off: is_all && !passed.is_empty() }
    }

    /// The next client after the last one taken, in a circle; skips the users in `passed`.
    fn next(&self, passed: &BTreeSet<UserRef>) -> Option<ClientKey> {
        let first_from = |from: Bound<ClientKey>| {
            let mut from = from;
            loop {
                let (&key, _) = self.clients.range((from, Bound::Unbounded)).next()?;
                if !passed.contains(&key.user) {
                    return Some(key);
                }
                from = Bound::Excluded(*ClientKey::all_of(key.user).end());
            }
        };
        let behind = self.taken.and_then(|taken| first_from(Bound::Excluded(taken)));
        behind.or_else(|| first_from(Bound::Unbounded))
    }

    /// Takes the changes of one client, in the order in which they must be told.
    fn take_of(
        &mut self,
        key: ClientKey,
        count_max: usize,
        current: &impl CurrentPresence,
        changes: &mut Vec<PresenceChange>,
    ) {
        let Some(client) = self.clients.get_mut(&key) else {
            return;
        };
        while changes.len() < count_max && !client.is_done() {
            if client.gone {
                (client.gone, client.told) = (false, false);
                changes.push(PresenceChange::Offline { key });
            } else if client.online {
                (client.online, client.told) = (false, true);
                changes.extend(current.contact(key).map(|contact| PresenceChange::Online { key, contact }));
            } else if let Some((share, _)) = client.shares.pop_first() {
                changes.push(PresenceChange::Holds { key, share, holding: current.holding(key, share) });
            }
        }
        if client.is_done() {
            self.clients.remove(&key);
        }
        self.taken = Some(key);
    }
}

impl PresenceChange {
    /// How many changes this counts as.
    fn weight(&self) -> u64 {
        let len = match self {
            PresenceChange::Holds { holding: Holding::Exactly { bits }, .. } => bits.as_bytes().len(),
            PresenceChange::Holds { holding: Holding::Runs { edges }, .. } => size_of_val(&edges[..]),
            // Includes the contact.
            PresenceChange::Online { .. } => 8 * TOLD_LEN,
            PresenceChange::Holds { .. } | PresenceChange::Offline { .. } => 0,
        };
        1 + (len / TOLD_LEN) as u64
    }
}

/// All subscriptions that are still in use.
#[derive(Debug, Default)]
pub(super) struct Subscribers {
    all: Vec<Weak<Subscription>>,
    /// Those that have become non-empty since the last call.
    woken: Vec<Arc<Subscription>>,
}

impl Subscribers {
    /// Adds a subscription that `note` fills with the present facts.
    pub(super) fn add(&mut self, subscription: &Arc<Subscription>, note: impl Fn(&mut Unsent)) {
        self.all.push(Arc::downgrade(subscription));
        if subscription.note(note) {
            self.woken.push(subscription.clone());
        }
    }

    /// Takes note of a change in each of them.
    pub(super) fn each(&mut self, note: impl Fn(&mut Unsent)) {
        let woken = &mut self.woken;
        self.all.retain(|subscription| {
            let Some(subscription) = subscription.upgrade() else {
                return false;
            };
            if subscription.note(&note) {
                woken.push(subscription);
            }
            true
        });
    }

    /// The subscriptions to notify, outside the lock.
    pub(super) fn take_woken(&mut self) -> Vec<Arc<Subscription>> {
        std::mem::take(&mut self.woken)
    }
}
