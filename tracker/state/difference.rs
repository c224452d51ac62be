//! The effects of ops that came late: the differences for single users between the state before them and the state
//! after.

use super::effect::{Effect, Told};
use super::queries::Membership;
use super::tables::{AccountStanding, State};
use crate::model::id::{GroupRef, OpId, ShareRef, UserRef};
use crate::model::notice::Notice;
use crate::model::op::{Op, OpBody};
use std::collections::{BTreeMap, BTreeSet};

/// The users, memberships and shares that some ops can affect, wherever their place in the order is. The lists may
/// have duplicates.
#[derive(Debug, Default)]
pub struct Affected {
    users: Vec<UserRef>,
    memberships: Vec<(GroupRef, UserRef)>,
    departures: Vec<(GroupRef, UserRef)>,
    sharers: Vec<(ShareRef, UserRef)>,
    /// Groups in which the membership of anybody may differ. An op in one of these can mean more in the state before
    /// than in the state after, so its effects in the later state do not name all users.
    groups: Vec<GroupRef>,
}

impl Affected {
    /// Adds what another `Affected` lists.
    pub fn append(&mut self, mut others: Affected) {
        self.users.append(&mut others.users);
        self.memberships.append(&mut others.memberships);
        self.departures.append(&mut others.departures);
        self.sharers.append(&mut others.sharers);
        self.groups.append(&mut others.groups);
    }

    /// Leaves out entries that are the same in both states. The states may differ by noted ops only. The caller notes
    /// further ops afterwards.
    pub fn narrow(&mut self, before: &State, after: &State) {
        let states = [before, after];
        let own = |id: OpId| states.iter().all(|state| state.canonical(id) == id);
        let key = |state: &State, group: GroupRef| (state.chain(group), state.group_name(group));
        each_once(&mut self.users);
        each_once(&mut self.memberships);
        each_once(&mut self.departures);
        each_once(&mut self.sharers);
        each_once(&mut self.groups);
        self.users.retain(|&user| {
            let same = own(user.0) && sessions(before, user) == sessions(after, user);
            !same || before.notices(user, usize::MAX) != after.notices(user, usize::MAX)
        });
        self.memberships.retain(|&(group, user)| {
            let same = own(group.0) && own(user.0) && key(before, group) == key(after, group);
            !same || before.membership(group, user) != after.membership(group, user)
        });
        self.departures.retain(|&(group, user)| {
            let same = own(group.0) && own(user.0);
            let ended = |(share, user)| !after.is_sharer(share, user);
            !same || shared_in(before, after, group, user).into_iter().any(ended)
        });
        self.sharers.retain(|&(share, user)| {
            let same = own(share.0) && own(user.0);
            !same || before.is_sharer(share, user) != after.is_sharer(share, user)
        });
    }

    /// Takes note of what an op can affect. `caused` has the op's effects in the later state.
    pub fn note(&mut self, op: &Op, caused: &[Effect]) {
        self.note_others(op, caused);
        let mut member = |group, user| {
            self.memberships.push((group, user));
            self.users.push(user);
        };
        match op.body {
            // Trackers agree on floors and forget each other without telling any user.
            OpBody::ProposeFloor { .. }
            | OpBody::ReadyForFloor { .. }
            | OpBody::PromiseFloor { .. }
            | OpBody::ForgetTracker { .. }
            | OpBody::UnforgetTracker { .. }
            // Says only what owners may do from now on: nobody is told.
            | OpBody::SetAdding { .. } => {}
            OpBody::CreateUser { .. } | OpBody::MakeUser { .. } => self.users.push(UserRef(op.id)),
            OpBody::ChangePassword { user, .. }
            | OpBody::ResetPassword { user, .. }
            | OpBody::EndSessions { user }
            | OpBody::DisableUser { user }
            | OpBody::EnableUser { user }
            | OpBody::DeleteUser { user }
            | OpBody::ReadNotices { user, .. }
            | OpBody::NoteUnplaced { user, .. }
            | OpBody::EndSession { user, .. } => self.users.push(user),
            OpBody::CreateGroup { founder, .. } => member(GroupRef(op.id), founder),
            OpBody::RequestJoin { group, user } | OpBody::GiveGroup { group, user } => member(group, user),
            OpBody::DeleteGroup { .. } => {}
            OpBody::SetGroup { by, .. } => self.users.push(by),
            OpBody::AcceptRequest { group, user, by }
            | OpBody::RejectRequest { group, user, by }
            | OpBody::MakeOwner { group, user, by }
            | OpBody::DropOwner { group, user, by }
            | OpBody::AddMember { group, user, by } => {
                member(group, user);
                self.users.push(by);
            }
            OpBody::LeaveGroup { group, user } => {
                member(group, user);
                self.departures.push((group, user));
            }
            OpBody::RemoveMember { group, user, by } => {
                member(group, user);
                self.users.push(by);
                self.departures.push((group, user));
            }
            OpBody::CreateShare { user, replaces, .. } => {
                self.users.push(user);
                self.sharers.push((ShareRef(op.id), user));
                self.sharers.extend(replaces.map(|old| (old, user)));
            }
            OpBody::JoinShare { share, user } | OpBody::LeaveShare { share, user } => {
                self.users.push(user);
                self.sharers.push((share, user));
            }
        }
    }
}

impl Affected {
    /// Some ops name one user, group or share and reach others too: `caused` says which. Of a whole group anybody may
    /// be reached.
    fn note_others(&mut self, op: &Op, caused: &[Effect]) {
        if let OpBody::DeleteUser { .. }
        | OpBody::GiveGroup { .. }
        | OpBody::DeleteGroup { .. }
        | OpBody::SetGroup { .. }
        | OpBody::CreateShare { .. } = op.body
        {
            self.note_effects(caused);
        }
        if let OpBody::DeleteGroup { group } | OpBody::SetGroup { group, .. } = op.body {
            self.groups.push(group);
        }
    }

    /// Takes note of the users that effects reach.
    pub fn note_effects(&mut self, effects: &[Effect]) {
        for Effect { to, what } in effects {
            self.users.push(*to);
            if let Told::Joined { group } | Told::Departed { group } = *what {
                self.memberships.push((group, *to));
                self.departures.push((group, *to));
            }
            if let Told::Superseded { old, .. } | Told::ShareEnded { share: old } = *what {
                self.sharers.push((old, *to));
            }
        }
    }
}

/// Sorts, and removes duplicates.
fn each_once<T: Ord>(list: &mut Vec<T>) {
    list.sort_unstable();
    list.dedup();
}

/// The effects of some ops on single users if some of these ops came late. Then anything may differ between the two
/// states. `affected` has all ops that the fold took since the last state that both states have in common.
pub fn effects_between(before: &State, after: &State, affected: Affected) -> Vec<Effect> {
    let Affected { mut users, mut memberships, mut departures, mut sharers, mut groups } = affected;
    each_once(&mut groups);
    memberships.extend(groups.into_iter().flat_map(|group| in_group(before, after, group)));
    each_once(&mut departures);
    sharers.extend(departures.into_iter().flat_map(|(group, user)| shared_in(before, after, group, user)));
    each_once(&mut memberships);
    each_once(&mut sharers);
    let mut groups: Vec<_> = memberships.iter().map(|(group, _)| *group).collect();
    groups.extend(memberships.iter().map(|(group, _)| GroupRef(after.canonical(group.0))));
    groups.extend(memberships.iter().map(|(group, _)| GroupRef(became(before, after, group.0))));
    each_once(&mut groups);
    // When the last member leaves, the users who wait are told.
    users.extend(groups.iter().flat_map(|&group| before.waiting(group).chain(after.waiting(group))));

    let mut comparison = Comparison { before, after, effects: Vec::new() };
    let departed = comparison.compare_memberships(memberships);
    comparison.compare_keys(&groups);
    comparison.compare_shares(sharers, &departed);
    comparison.compare_users(users);
    comparison.effects
}

/// The id that stands, in the later state, for what `id` meant before. An alias may have ended: then `id` itself means
/// something else.
fn became(before: &State, after: &State, id: OpId) -> OpId {
    after.canonical(before.canonical(id))
}

/// Two states, and the differences between them for single users.
struct Comparison<'a> {
    before: &'a State,
    after: &'a State,
    effects: Vec<Effect>,
}

impl Comparison<'_> {
    fn tell(&mut self, to: UserRef, what: Told) {
        self.effects.push(Effect { to, what });
    }

    fn user_after(&self, user: UserRef) -> UserRef {
        UserRef(self.after.canonical(user.0))
    }

    fn became(&self, id: OpId) -> OpId {
        became(self.before, self.after, id)
    }

    /// Tells of memberships that began or ended and of requests. Returns the memberships that ended.
    fn compare_memberships(&mut self, memberships: Vec<(GroupRef, UserRef)>) -> BTreeSet<(GroupRef, UserRef)> {
        let Self { before, after, .. } = *self;
        let mut known = BTreeMap::new();
        for (group, user) in memberships {
            let own = (GroupRef(after.canonical(group.0)), self.user_after(user));
            known.entry(own).or_insert((false, false));
            // Two ids of one entity may have meant two entities before. Nearly always all four pairs are the same.
            let ids = [own, (own.0, user), (group, own.1), (group, user)];
            for (group, user) in ids.into_iter().take(if own == (group, user) { 1 } else { ids.len() }) {
                let membership = before.membership(group, user);
                let became = (GroupRef(self.became(group.0)), UserRef(self.became(user.0)));
                let (member, waiting) = known.entry(became).or_insert((false, false));
                *member |= matches!(membership, Membership::Member | Membership::Owner);
                *waiting |= membership == Membership::Waiting;
            }
        }
        let mut departed = BTreeSet::new();
        for ((group, user), (member, waiting)) in known {
            match (member, after.is_member(group, user)) {
                (false, true) => self.tell(user, Told::Joined { group }),
                (true, false) => {
                    departed.insert((group, user));
                    self.tell(user, Told::Departed { group });
                }
                _ => {}
            }
            if !waiting && after.is_waiting(group, user) {
                after.owners(group).for_each(|owner| self.tell(owner, Told::Requested { group, user }));
            }
        }
        departed
    }

    /// Tells members that their group has another key or another name.
    fn compare_keys(&mut self, groups: &[GroupRef]) {
        let Self { before, after, .. } = *self;
        let mut rekeyed = BTreeSet::new();
        for &group in groups {
            let key = |state: &State| {
                state.chain(group).map(|chain| (state.canonical(group.0), chain, state.group_name(group)))
            };
            if key(before).is_some_and(|key_before| key(after) != Some(key_before)) {
                rekeyed.insert(GroupRef(after.canonical(group.0)));
            }
        }
        for group in rekeyed {
            after.members(group).for_each(|member| self.tell(member, Told::KeyChanged { group }));
        }
    }

    /// Tells of shares that have ended. A user who departs from a group knows that all their shares there have ended.
    fn compare_shares(&mut self, sharers: Vec<(ShareRef, UserRef)>, departed: &BTreeSet<(GroupRef, UserRef)>) {
        let after = self.after;
        for (share, user) in shared(self.before, after, sharers) {
            let departs = after.share(share).is_some_and(|info| departed.contains(&(info.group, user)));
            if !departs && !after.is_sharer(share, user) {
                let newer = after.newer(share).filter(|_| after.author(share) != Some(user));
                self.tell(user, newer.map_or(Told::ShareEnded { share }, |new| Told::Superseded { old: share, new }));
            }
        }
    }

    /// Tells of sessions that ended and of new notices.
    fn compare_users(&mut self, users: Vec<UserRef>) {
        let Self { before, after, .. } = *self;
        let mut users: Vec<_> =
            users.into_iter().flat_map(|user| [self.user_after(user), UserRef(self.became(user.0))]).collect();
        each_once(&mut users);
        for to in users {
            let other_sessions = sessions(before, to).is_some_and(|before| sessions(after, to) != Some(before));
            if other_sessions || before.logouts(to) != after.logouts(to) {
                self.tell(to, Told::SessionsEnded);
            }
            let known = before.notices(to, usize::MAX);
            // A user was told of a counted notice when it came.
            let is_new = |notice: &(_, _)| !known.contains(notice) && !matches!(notice.1, Notice::Older { .. });
            let new = after.notices(to, usize::MAX).into_iter().filter(is_new);
            new.for_each(|(order, notice)| self.tell(to, Told::Noticed { order, notice }));
        }
    }
}

/// Which sessions of a user count: since an op, and as long as the user is let in.
fn sessions(state: &State, user: UserRef) -> Option<(OpId, AccountStanding)> {
    state.account(user).map(|account| (account.sessions_since, account.standing))
}

/// Everybody who is in a group, or waits to be, in one of the states.
fn in_group(before: &State, after: &State, group: GroupRef) -> Vec<(GroupRef, UserRef)> {
    let ids = BTreeSet::from([group.0, after.canonical(group.0), became(before, after, group.0)].map(GroupRef));
    let users = [before, after].into_iter().flat_map(|state| {
        ids.iter().flat_map(|&id| state.members(id).chain(state.waiting(id)).map(move |user| (id, user)))
    });
    users.collect()
}

/// What a user shared in a group before departing from it. The user may have rejoined since.
fn shared_in(before: &State, after: &State, group: GroupRef, user: UserRef) -> Vec<(ShareRef, UserRef)> {
    let groups = [group.0, after.canonical(group.0)].map(|group| GroupRef(before.canonical(group)));
    let users = BTreeSet::from([user, UserRef(after.canonical(user.0))]);
    let shares = users.into_iter().flat_map(|user| before.shares_of(user).map(move |info| (info, user)));
    shares.filter(|(info, _)| groups.contains(&info.group)).map(|(info, user)| (info.share, user)).collect()
}

/// Which candidates were sharers before, by their ids in the later state.
fn shared(before: &State, after: &State, candidates: Vec<(ShareRef, UserRef)>) -> BTreeSet<(ShareRef, UserRef)> {
    let mut known = BTreeSet::new();
    for (share, user) in candidates {
        // Two ids of one entity may have meant two entities before.
        for share in [share.0, after.canonical(share.0)].map(ShareRef) {
            for user in [user.0, after.canonical(user.0)].map(UserRef) {
                if before.is_sharer(share, user) {
                    known.insert((ShareRef(became(before, after, share.0)), UserRef(became(before, after, user.0))));
                }
            }
        }
    }
    known
}
