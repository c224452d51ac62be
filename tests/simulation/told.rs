//! What a tracker has told its clients since its start, batch by batch like the notifier. The sum of the messages must
//! equal the state.

use super::tracker::Batch;
use groupshare::model::id::{GroupRef, OpId, OpOrder, ShareRef, UserRef};
use groupshare::model::notice::Notice;
use groupshare::model::op::{Op, OpBody};
use groupshare::tracker::state::effect::Told as What;
use groupshare::tracker::state::{AccountStanding, State};
use std::collections::{BTreeMap, BTreeSet};

/// What the clients of all users believe.
///
/// A client reads the state at its login. So this begins with the state at the tracker's start.
#[derive(Default)]
pub(crate) struct Told {
    /// Everything that the known ops made. Some of it may become visible only after another op.
    all: Made,
    /// The visible part of it.
    made: Made,
    members: BTreeSet<(GroupRef, UserRef)>,
    keys: BTreeMap<(GroupRef, UserRef), Key>,
    sharers: BTreeSet<(ShareRef, UserRef)>,
    /// The op to which each user's session is bound; `None` for a user whom the trackers reject.
    sessions: BTreeMap<UserRef, Option<OpId>>,
    notices: BTreeMap<UserRef, Vec<(OpOrder, Notice)>>,
}

/// The parts of a group's key.
type Key = (GroupRef, [u8; 32]);

fn key_of(state: &State, group: GroupRef) -> Key {
    (GroupRef(state.canonical(group.0)), state.chain(group).expect("it exists"))
}

/// The op to which a new session of a user is bound; `None` if the trackers reject the user.
fn session_of(state: &State, user: UserRef) -> Option<OpId> {
    let account = state.account(user).filter(|account| account.standing == AccountStanding::Active);
    account.map(|account| account.sessions_since)
}

/// Everything that some ops have made.
#[derive(Default, Clone)]
pub(crate) struct Made {
    pub users: BTreeSet<UserRef>,
    pub groups: BTreeSet<GroupRef>,
    pub shares: BTreeSet<ShareRef>,
}

impl Made {
    /// Notes what an op makes.
    pub(crate) fn note(&mut self, op: &Op) {
        match op.body {
            OpBody::CreateUser { .. } | OpBody::MakeUser { .. } => drop(self.users.insert(UserRef(op.id))),
            OpBody::CreateGroup { .. } => drop(self.groups.insert(GroupRef(op.id))),
            OpBody::CreateShare { .. } => drop(self.shares.insert(ShareRef(op.id))),
            _ => {}
        }
    }

    /// Leaves out aliases, and what does not exist.
    pub(crate) fn canonical(&self, state: &State) -> Self {
        let users = self.users.iter().map(|user| UserRef(state.canonical(user.0)));
        let groups = self.groups.iter().map(|group| GroupRef(state.canonical(group.0)));
        let shares = self.shares.iter().map(|share| ShareRef(state.canonical(share.0)));
        Self {
            users: users.filter(|&user| state.account(user).is_some()).collect(),
            groups: groups.filter(|&group| state.group_name(group).is_some()).collect(),
            shares: shares.filter(|&share| state.share(share).is_some()).collect(),
        }
    }

    /// The members of each group.
    pub(crate) fn members(&self, state: &State) -> BTreeSet<(GroupRef, UserRef)> {
        self.groups.iter().flat_map(|&group| state.members(group).map(move |user| (group, user))).collect()
    }

    /// The sharers of each share.
    pub(crate) fn sharers(&self, state: &State) -> BTreeSet<(ShareRef, UserRef)> {
        let of = |&user: &UserRef| state.shares_of(user).map(move |info| (info.share, user));
        self.users.iter().flat_map(of).collect()
    }
}

impl Told {
    /// The state before the first message.
    pub(crate) fn new(state: &State, made: &Made) -> Self {
        let (all, made) = (made.clone(), made.canonical(state));
        let members = made.members(state);
        let key = |&(group, user): &(GroupRef, UserRef)| ((group, user), key_of(state, group));
        let session = |&user: &UserRef| (user, session_of(state, user));
        Self {
            keys: members.iter().map(key).collect(),
            members,
            sharers: made.sharers(state),
            sessions: made.users.iter().map(session).collect(),
            notices: made.users.iter().map(|&user| (user, state.notices(user, usize::MAX))).collect(),
            all,
            made,
        }
    }

    /// Sends the messages of a batch.
    pub(crate) fn publish(&mut self, batch: &Batch) {
        let state = &batch.after;
        batch.ops.iter().for_each(|op| self.all.note(op));
        self.made = self.all.canonical(state);
        let moved = if batch.meaning.late { self.rekey(state) } else { BTreeSet::new() };
        for effect in &batch.meaning.effects {
            self.tell(state, effect.to, &effect.what);
        }
        for op in &batch.ops {
            self.begin(state, op);
        }
        moved.into_iter().for_each(|user| self.log_in(state, user));
        self.check(state);
        if batch.meaning.late {
            self.check_notices(state);
        }
    }

    /// Changes to the present canonical ids. Returns the users that must log in again, since their ids were others.
    fn rekey(&mut self, state: &State) -> BTreeSet<UserRef> {
        let moved = self.sessions.keys().map(|user| UserRef(state.canonical(user.0)));
        let moved = moved.filter(|user| !self.sessions.contains_key(user)).collect();
        let stays = |user: &UserRef| state.canonical(user.0) == user.0;
        let group = |group: GroupRef| GroupRef(state.canonical(group.0));
        let share = |share: ShareRef| ShareRef(state.canonical(share.0));
        let members = std::mem::take(&mut self.members).into_iter().filter(|(_, user)| stays(user));
        self.members = members.map(|(of, user)| (group(of), user)).collect();
        let keys = std::mem::take(&mut self.keys).into_iter().filter(|((_, user), _)| stays(user));
        self.keys = keys.map(|((of, user), key)| ((group(of), user), key)).collect();
        let sharers = std::mem::take(&mut self.sharers).into_iter().filter(|(_, user)| stays(user));
        self.sharers = sharers.map(|(of, user)| (share(of), user)).collect();
        self.sessions.retain(|user, _| stays(user));
        self.notices.retain(|user, _| stays(user));
        moved
    }

    /// Logs in a user that was not logged in. The client reads the state.
    fn log_in(&mut self, state: &State, user: UserRef) {
        let made = Made { users: BTreeSet::from([user]), groups: self.made.groups.clone(), shares: BTreeSet::new() };
        let members = made.members(state).into_iter().filter(|(_, member)| *member == user);
        for (group, user) in members {
            self.members.insert((group, user));
            self.keys.insert((group, user), key_of(state, group));
        }
        self.sharers.extend(made.sharers(state));
        self.begin_session(state, user);
        self.notices.insert(user, state.notices(user, usize::MAX));
    }

    /// Begins a session of a user, if the trackers permit that.
    fn begin_session(&mut self, state: &State, user: UserRef) {
        self.sessions.insert(user, session_of(state, user));
    }

    fn tell(&mut self, state: &State, to: UserRef, what: &What) {
        let mut key = |group, user| {
            if state.is_member(group, user) {
                self.keys.insert((group, user), key_of(state, group));
            }
        };
        match *what {
            What::Joined { group } => {
                key(group, to);
                self.members.insert((group, to));
            }
            What::KeyChanged { group } => key(group, to),
            What::Departed { group } => {
                state.members(group).for_each(|user| key(group, user));
                self.members.remove(&(group, to));
                self.keys.remove(&(group, to));
                self.sharers
                    .retain(|(share, user)| *user != to || state.share(*share).is_some_and(|info| info.group != group));
            }
            What::ShareEnded { share } | What::Superseded { old: share, .. } => drop(self.sharers.remove(&(share, to))),
            What::SessionsEnded => {
                // A client that logged in under an id that a floor has dropped must log in again.
                self.sessions.remove(&to);
                if state.account(to).is_some() {
                    self.begin_session(state, to);
                }
            }
            What::Requested { group, user } => {
                assert!(state.group_name(group).is_some() && state.account(user).is_some());
            }
            What::Noticed { order, ref notice } => {
                self.notices.entry(to).or_default().push((order, notice.clone()));
            }
        }
    }

    /// The client that has made an op knows its outcome.
    fn begin(&mut self, state: &State, op: &Op) {
        let mut share = |share: ShareRef, user: UserRef| {
            if state.is_sharer(share, user) {
                self.sharers.insert((ShareRef(state.canonical(share.0)), UserRef(state.canonical(user.0))));
            }
        };
        match op.body {
            OpBody::CreateShare { user, .. } => share(ShareRef(op.id), user),
            OpBody::JoinShare { share: of, user } => share(of, user),
            OpBody::CreateUser { .. } => {
                let user = state.account(UserRef(op.id)).expect("it was made").user;
                if !self.sessions.contains_key(&user) {
                    self.begin_session(state, user);
                }
            }
            _ => {}
        }
    }

    fn check(&self, state: &State) {
        assert_eq!(self.members, self.made.members(state), "membership that was told, and the one there is");
        for &(group, user) in &self.members {
            let known = self.keys.get(&(group, user));
            assert_eq!(known, Some(&key_of(state, group)), "the key of {group:?} that {user:?} knows");
        }
        for &(share, user) in &self.sharers {
            assert!(state.is_sharer(share, user), "{user:?} was not told that {share:?} has ended");
        }
        for (&user, &since) in &self.sessions {
            let holds = since.is_none_or(|since| state.session_holds(user, since));
            assert!(holds, "{user:?} was not told that the session has ended");
        }
    }

    /// Slow if there are many notices.
    pub(crate) fn check_notices(&self, state: &State) {
        for &user in &self.made.users {
            // Clients received a counted notice when it came.
            let notices = state.notices(user, usize::MAX).into_iter();
            for notice in notices.filter(|(_, notice)| !matches!(notice, Notice::Older { .. })) {
                assert!(self.has_told(user, &notice), "{user:?} was not told {notice:?}");
            }
        }
    }

    /// Whether a client has received this notice.
    pub(crate) fn has_told(&self, user: UserRef, notice: &(OpOrder, Notice)) -> bool {
        self.notices.get(&user).is_some_and(|told| told.contains(notice))
    }
}
