//! Queries: look-ups by name and id, and lists in pages.
//!
//! Groups without members and shares without sharers have no name to be found by and appear in no list. Lists are in
//! the order of names. A page begins after the last name of the page before.

mod shares;

use super::key::ByName;
use super::tables::{AccountStanding, GroupNo, State, UserNo, UserRow};
use crate::model::id::{GroupRef, OpId, UserRef};
use crate::model::name::{GroupId, UserId};
use crate::model::op::PasswordHash;
use crate::model::op::floor::FloorProposal;
use crate::model::op::group_access::GroupAccess;
use imbl::OrdSet;
pub use shares::{ShareInfo, SharedChange, SharedSet};
use std::ops::Bound;
use std::sync::Arc;

/// An account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    pub user: UserRef,
    pub name: UserId,
    pub password: PasswordHash,
    /// The op that set the password. Its id names the password.
    pub password_op: OpId,
    /// The op since which sessions count. Tokens are bound to it.
    pub sessions_since: OpId,
    pub standing: AccountStanding,
}

/// What a user is in a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Membership {
    Stranger,
    /// Waits to be let in.
    Waiting,
    /// A member, but no owner.
    Member,
    Owner,
}

/// A group in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupInfo {
    pub group: GroupRef,
    pub name: GroupId,
    pub member_count: u32,
    /// The first of its owners.
    pub owner: UserId,
    pub owner_count: u32,
    pub access: GroupAccess,
    pub membership: Membership,
}

/// A member in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberInfo {
    pub user: UserRef,
    pub name: UserId,
    pub owner: bool,
}

/// Trackers.
impl State {
    /// Whether an op has come from the tracker of this number, or the cluster has ever forgotten that tracker.
    pub fn knows_tracker(&self, number: u16) -> bool {
        self.trackers.contains_key(&number)
    }

    /// Whether the cluster has forgotten this tracker.
    pub fn is_forgotten(&self, number: u16) -> bool {
        self.trackers.get(&number).is_some_and(|tracker| tracker.forgotten.is_some())
    }

    /// The trackers that are forgotten.
    pub fn forgotten(&self) -> impl Iterator<Item = u16> + '_ {
        self.trackers.iter().filter(|(_, tracker)| tracker.forgotten.is_some()).map(|(&number, _)| number)
    }

    /// The trackers that have issued an op, and those that the cluster has ever forgotten.
    pub fn tracker_numbers(&self) -> impl Iterator<Item = u16> + '_ {
        self.trackers.keys().copied()
    }
}

/// Enough numbers for the accounts, groups and shares that separated trackers accept at the same time.
const NUMBERS_SPARE: u32 = 1 << 20;

/// Numbers.
impl State {
    /// Whether more accounts, groups and shares can be made: numbers are never used again.
    pub fn has_numbers(&self) -> bool {
        [self.users.used(), self.groups.used(), self.shares.used()].iter().all(|used| *used < u32::MAX - NUMBERS_SPARE)
    }
}

/// Floors.
impl State {
    /// The last proposal of each tracker, with the numbers of the trackers that are ready for it.
    pub fn proposals(&self) -> impl Iterator<Item = (OpId, &Arc<FloorProposal>, &OrdSet<u16>)> {
        self.floors.proposals()
    }

    /// The promised floors, with the id of the proposal and the numbers of the trackers that have promised it.
    pub fn promises(&self) -> impl Iterator<Item = (OpId, &Arc<FloorProposal>, &OrdSet<u16>)> {
        self.floors.promises()
    }

    /// The highest floor that follows the one under this state and that a tracker of the cluster has promised. At or
    /// below this floor, only the ops that are part of it have a place. Other floors may exclude ops that the base has.
    pub fn gate(&self) -> Option<&Arc<FloorProposal>> {
        let follow = self.promises().filter(|(_, floor, _)| floor.after.lamport == self.floor);
        let binding = follow.filter(|(_, _, by)| by.iter().any(|&tracker| !self.is_forgotten(tracker)));
        binding.max_by_key(|(id, floor, _)| (floor.mark, *id)).map(|(_, floor, _)| floor)
    }

    /// The highest Lamport counter of an op that promises the floor under the state; 0 if none is known. The next floor
    /// is not below it.
    pub fn promised_at(&self) -> u64 {
        self.floors.promised_at()
    }
}

/// Accounts.
impl State {
    /// The user of this name, unless the account was deleted.
    pub fn user_named(&self, name: &UserId) -> Option<UserRef> {
        let user = *self.user_names.get(&ByName::new(name))?;
        (!self.is_deleted(user)).then(|| self.user_ref(user))
    }

    /// Whether an account has this name, or had it when an operator deleted the account.
    pub fn is_user_name_taken(&self, name: &UserId) -> bool {
        self.user_names.contains_key(&ByName::new(name))
    }

    /// All accounts by name, deleted ones included, at most `count`.
    pub fn users_after(&self, after: Option<&UserId>, count: usize) -> Vec<Account> {
        let rows = self.user_names.range((ByName::behind(after), Bound::Unbounded));
        rows.map(|(_, &user)| self.account_of(self.user_row(user))).take(count).collect()
    }

    /// The account of this name, even if it is deleted.
    pub fn account_named(&self, name: &UserId) -> Option<Account> {
        self.user_names.get(&ByName::new(name)).map(|&user| self.account_of(self.user_row(user)))
    }

    /// How many accounts were deleted. Looks at every account.
    pub fn deleted_user_count(&self) -> usize {
        self.users.values().filter(|row| row.standing == AccountStanding::Deleted).count()
    }

    /// An account, even if it is deleted. Its reference is the user's own, also if `user` is the id of a repeated
    /// command.
    pub fn account(&self, user: UserRef) -> Option<Account> {
        self.user_no(user).map(|user| self.account_of(self.user_row(user)))
    }

    /// The accounts that a name at login can mean: those made under this name and not deleted, whatever their names
    /// are now. In the order in which they were made.
    pub fn accounts_born(&self, name: &UserId) -> Vec<Account> {
        self.born(name)
            .filter(|&user| !self.is_deleted(user))
            .map(|user| self.account_of(self.user_row(user)))
            .collect()
    }

    pub(super) fn born(&self, name: &UserId) -> impl Iterator<Item = UserNo> {
        let exact = self.user_names.get(&ByName::new(name));
        // Accounts stay, and each took the first free suffix. So the suffixes have no gap.
        let renamed = (2..=u32::MAX).map_while(|n| self.user_names.get(&ByName::new(&name.with_suffix(n))));
        let renamed = renamed.take_while(move |_| exact.is_some() && name.is_chosen());
        exact.into_iter().chain(renamed).copied()
    }

    /// Whether the user refuses to be made a member by owners.
    pub fn forbids_adding(&self, user: UserRef) -> bool {
        self.user_no(user).is_some_and(|user| self.user_row(user).forbids_adding)
    }

    /// Whether the user's sessions that are bound to this op still count.
    pub fn session_holds(&self, user: UserRef, since: OpId) -> bool {
        let row = self.user_no(user).map(|user| self.user_row(user));
        let holds = |row: &UserRow| row.sessions_since == self.canonical(since);
        row.is_some_and(|row| row.standing == AccountStanding::Active && holds(row))
    }

    /// How many accounts there are, deleted ones included.
    pub fn user_count(&self) -> usize {
        self.users.len()
    }

    fn account_of(&self, user: &UserRow) -> Account {
        let UserRow { id, name, password, password_op, sessions_since, standing, .. } = user.clone();
        Account { user: UserRef(id), name, password, password_op, sessions_since, standing }
    }

    fn user_ref(&self, user: UserNo) -> UserRef {
        UserRef(self.user_row(user).id)
    }
}

/// Groups.
impl State {
    pub fn group_named(&self, name: &GroupId) -> Option<GroupRef> {
        self.group_names.get(&ByName::new(name)).map(|&group| self.group_ref(group))
    }

    /// The name of a group. Without members, its last name.
    pub fn group_name(&self, group: GroupRef) -> Option<GroupId> {
        self.group_no(group).map(|group| self.group_row(group).name.clone())
    }

    /// What a user is in a group.
    pub fn membership(&self, group: GroupRef, user: UserRef) -> Membership {
        match (self.group_no(group), self.user_no(user)) {
            (Some(group), Some(user)) => self.membership_no(group, user),
            _ => Membership::Stranger,
        }
    }

    /// Whether a user is a member of a group.
    pub fn is_member(&self, group: GroupRef, user: UserRef) -> bool {
        matches!(self.membership(group, user), Membership::Member | Membership::Owner)
    }

    /// Whether a user waits to be let into a group.
    pub fn is_waiting(&self, group: GroupRef, user: UserRef) -> bool {
        self.membership(group, user) == Membership::Waiting
    }

    /// The owner of a group: the one who has been an owner longest. `None` if the group has no members.
    pub fn owner(&self, group: GroupRef) -> Option<UserRef> {
        self.group_row(self.group_no(group)?).owner.map(|user| self.user_ref(user))
    }

    /// All owners of a group, in the order in which they became owners.
    pub fn owners(&self, group: GroupRef) -> impl Iterator<Item = UserRef> + '_ {
        let owners = self.group_no(group).into_iter().flat_map(|group| self.owners_of(group));
        owners.map(|user| self.user_ref(user))
    }

    /// The founder of a group, as long as the founder cannot be removed from it.
    pub fn founder(&self, group: GroupRef) -> Option<UserRef> {
        self.group_row(self.group_no(group)?).founder.map(|user| self.user_ref(user))
    }

    /// Who gets into a group.
    pub fn access(&self, group: GroupRef) -> Option<GroupAccess> {
        self.group_no(group).map(|group| self.group_row(group).access)
    }

    pub fn member_count(&self, group: GroupRef) -> u32 {
        self.group_no(group).map_or(0, |group| self.group_row(group).member_count)
    }

    /// The hash over all departures from a group, of which its key is made.
    pub fn chain(&self, group: GroupRef) -> Option<[u8; 32]> {
        self.group_no(group).map(|group| self.group_row(group).chain)
    }

    /// How many groups have members.
    pub fn group_count(&self) -> usize {
        self.group_names.len()
    }

    /// The groups, at most `count`, with what the asking user is in each.
    pub fn groups_after(&self, after: Option<&GroupId>, count: usize, asking: UserRef) -> Vec<GroupInfo> {
        self.groups_for(self.user_no(asking), after, count)
    }

    /// The groups, at most `count`, for a caller without an account of its own: no membership is filled in.
    pub fn groups_all_after(&self, after: Option<&GroupId>, count: usize) -> Vec<GroupInfo> {
        self.groups_for(None, after, count)
    }

    fn groups_for(&self, asking: Option<UserNo>, after: Option<&GroupId>, count: usize) -> Vec<GroupInfo> {
        self.group_names
            .range((ByName::behind(after), Bound::Unbounded))
            .filter_map(|(key, &group)| {
                let row = self.group_row(group);
                Some(GroupInfo {
                    group: GroupRef(row.id),
                    name: key.name.clone(),
                    member_count: row.member_count,
                    owner: self.user_row(row.owner?).name.clone(),
                    // No more than members.
                    owner_count: self.owners_of(group).count() as u32,
                    access: row.access,
                    membership: asking.map_or(Membership::Stranger, |user| self.membership_no(group, user)),
                })
            })
            .take(count)
            .collect()
    }

    /// The members of a group, at most `count`.
    pub fn members_after(&self, group: GroupRef, after: Option<&UserId>, count: usize) -> Vec<MemberInfo> {
        let Some(group) = self.group_no(group) else { return Vec::new() };
        let members = self.members_behind(group, after).map(|member| {
            let UserRow { id, ref name, .. } = *self.user_row(member.user);
            MemberInfo { user: UserRef(id), name: name.clone(), owner: member.owner.is_some() }
        });
        members.take(count).collect()
    }

    /// All members of a group, by name.
    pub fn members(&self, group: GroupRef) -> impl Iterator<Item = UserRef> + '_ {
        let members = self.group_no(group).into_iter().flat_map(|group| self.members_behind(group, None));
        members.map(|member| self.user_ref(member.user))
    }

    /// The users who wait to be let into a group, at most `count`.
    pub fn requests_after(&self, group: GroupRef, after: Option<&UserId>, count: usize) -> Vec<(UserRef, UserId)> {
        let Some(group) = self.group_no(group) else { return Vec::new() };
        let waiting = self.group_row(group).requests.range((ByName::behind(after), Bound::Unbounded));
        waiting.map(|(key, &user)| (self.user_ref(user), key.name.clone())).take(count).collect()
    }

    /// All users who wait to be let into a group, by name.
    pub fn waiting(&self, group: GroupRef) -> impl Iterator<Item = UserRef> + '_ {
        let waiting = self.group_no(group).into_iter().flat_map(|group| self.group_row(group).requests.values());
        waiting.map(|&user| self.user_ref(user))
    }

    /// How many users wait to be let into a group.
    pub fn waiting_count(&self, group: GroupRef) -> usize {
        self.group_no(group).map_or(0, |group| self.group_row(group).requests.len())
    }

    /// The groups of which a user is a member, at most `count`.
    pub fn groups_of(&self, user: UserRef, after: Option<&GroupId>, count: usize) -> Vec<(GroupRef, GroupId)> {
        let Some(user) = self.user_no(user) else { return Vec::new() };
        let rows = self.groups_behind(user, after).map(|group| self.group_row(group));
        rows.map(|row| (GroupRef(row.id), row.name.clone())).take(count).collect()
    }

    /// How many groups a user is in by choice: the user made the group, asked to join, or shared something in it.
    pub fn chosen_count(&self, user: UserRef) -> usize {
        let all = self.user_no(user).map_or(0, |user| self.user_row(user).memberships as usize);
        all - self.added(user).count()
    }

    /// Whether an owner put a user into a group, and the user has not yet chosen to be there.
    pub fn is_added(&self, group: GroupRef, user: UserRef) -> bool {
        let found = self.user_no(user).zip(self.group_no(group));
        found.is_some_and(|place| self.added.contains_key(&place))
    }

    /// How many groups a user is in only because an owner decided so.
    pub fn added_count(&self, user: UserRef) -> usize {
        self.added(user).count()
    }

    /// How many of these were this owner's decision.
    pub fn added_by_count(&self, user: UserRef, by: UserRef) -> usize {
        let by = self.user_no(by);
        self.added(user).filter(|(_, owner)| Some(*owner) == by).count()
    }

    /// The largest number of these that one owner decided.
    pub fn most_added_by_one(&self, user: UserRef) -> usize {
        let mut owners: Vec<UserNo> = self.added(user).map(|(_, owner)| owner).collect();
        owners.sort_unstable();
        owners.chunk_by(|a, b| a == b).map(<[UserNo]>::len).max().unwrap_or(0)
    }

    /// The groups that a user is in only because an owner decided so, with that owner.
    fn added(&self, user: UserRef) -> impl Iterator<Item = (GroupNo, UserNo)> + '_ {
        let user = self.user_no(user);
        let places = user.into_iter().flat_map(|user| self.added.range((user, GroupNo(0))..));
        places.take_while(move |((of, _), _)| Some(*of) == user).map(|(&(_, group), &owner)| (group, owner))
    }

    /// How many groups a user waits to be let into, including groups without members.
    pub fn request_count(&self, user: UserRef) -> usize {
        self.user_no(user).map_or(0, |user| self.user_row(user).requests.len())
    }

    /// How many groups have this user as first owner, without those in which an owner put the user.
    pub fn chosen_owned_count(&self, user: UserRef) -> usize {
        let number = self.user_no(user);
        self.owned_count(user) - self.added(user).filter(|(group, _)| self.group_row(*group).owner == number).count()
    }

    /// How many groups have this user as first owner.
    pub fn owned_count(&self, user: UserRef) -> usize {
        self.user_no(user).map_or(0, |user| self.user_row(user).owned as usize)
    }

    /// The groups that a user waits to be let into, by name. Leaves out groups without members, where no owner can
    /// accept.
    pub fn requests_of(&self, user: UserRef) -> Vec<(GroupRef, GroupId)> {
        let waits = self.user_no(user).into_iter().flat_map(|user| &self.user_row(user).requests);
        let rows = waits.map(|&group| self.group_row(group)).filter(|row| row.owner.is_some());
        let mut groups: Vec<_> = rows.map(|row| (GroupRef(row.id), row.name.clone())).collect();
        groups.sort_unstable_by(|a, b| a.1.cmp(&b.1));
        groups
    }

    fn membership_no(&self, group: GroupNo, user: UserNo) -> Membership {
        let (row, key) = (self.group_row(group), self.by_name(user));
        if let Some(member) = self.member(group, user) {
            if member.owner.is_some() { Membership::Owner } else { Membership::Member }
        } else if row.requests.contains_key(&key) {
            Membership::Waiting
        } else {
            Membership::Stranger
        }
    }

    fn group_ref(&self, group: GroupNo) -> GroupRef {
        GroupRef(self.group_row(group).id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::id::{CommandId, Origin, ShareRef};
    use crate::model::name::FileName;
    use crate::model::op::{Op, OpBody};
    use crate::tracker::state::tests::content;

    fn fold(state: &mut State, body: OpBody) -> OpId {
        let origin = Origin { tracker: 1, incarnation: 1 };
        let id = OpId { origin, seq: state.seen(origin) + 1 };
        let command = CommandId(u128::from(id.seq).to_be_bytes());
        state.apply(&Op { id, lamport: id.seq, command, body });
        id
    }

    fn create_user(state: &mut State, name: &str) -> UserRef {
        let (name, password) = (UserId::parse(name).expect(name), PasswordHash("p".into()));
        UserRef(fold(state, OpBody::CreateUser { name, password }))
    }

    /// Ann founded five groups. In the first, ben and cat are members, and dan and eve wait. Ann shares five files
    /// there, and ben shares one of them too.
    fn state() -> (State, [UserRef; 5], GroupRef) {
        let mut state = State::new();
        let users = ["ann", "ben", "cat", "dan", "eve"].map(|name| create_user(&mut state, name));
        let [ann, ben, cat, dan, eve] = users;
        let groups = ["five", "four", "one", "three", "two"].map(|name| {
            let name = GroupId::parse(name).expect(name);
            GroupRef(fold(&mut state, OpBody::CreateGroup { name, founder: ann }))
        });
        let group = groups[0];
        for user in [ben, cat, dan, eve] {
            fold(&mut state, OpBody::RequestJoin { group, user });
        }
        for user in [ben, cat] {
            fold(&mut state, OpBody::AcceptRequest { group, user, by: ann });
        }
        for (n, name) in (0..).zip(["v", "w", "x", "y", "z"]) {
            let name = FileName::parse(name).expect(name);
            let body = OpBody::CreateShare { group, user: ann, name, content: content(n), replaces: None };
            let share = ShareRef(fold(&mut state, body));
            if n == 2 {
                fold(&mut state, OpBody::JoinShare { share, user: ben });
            }
        }
        (state, users, group)
    }

    /// Reads a list page by page, as clients do. Returns all rows.
    fn pages<R, N>(len: usize, page: impl Fn(Option<&N>) -> Vec<R>, name: impl Fn(&R) -> N) -> Vec<N> {
        let mut names: Vec<N> = Vec::new();
        loop {
            let rows = page(names.last());
            assert!(rows.len() <= len);
            names.extend(rows.iter().map(&name));
            if rows.len() < len {
                return names;
            }
        }
    }

    fn text(names: Vec<impl ToString>) -> String {
        names.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn lists_go_by_name_and_pages_continue_behind_the_last_name() {
        let (state, [ann, ..], group) = state();
        for n in 1..7 {
            let groups = pages(n, |after| state.groups_after(after, n, ann), |row| row.name.clone());
            assert_eq!(text(groups), "five four one three two");
            let own = pages(n, |after| state.groups_of(ann, after, n), |(_, name)| name.clone());
            assert_eq!(text(own), "five four one three two");
            let members = pages(n, |after| state.members_after(group, after, n), |row| row.name.clone());
            assert_eq!(text(members), "ann ben cat");
            let waiting = pages(n, |after| state.requests_after(group, after, n), |(_, name)| name.clone());
            assert_eq!(text(waiting), "dan eve");
            let files = pages(n, |after| state.files_after(group, after, n), |row| row.name.clone());
            assert_eq!(text(files), "v w x y z");
        }
    }

    #[test]
    fn a_page_can_begin_behind_a_name_that_is_gone() {
        let (mut state, [_, ben, ..], group) = state();
        fold(&mut state, OpBody::LeaveGroup { group, user: ben });
        let after = UserId::parse("ben").expect("a name");
        let rows = state.members_after(group, Some(&after), 9);
        assert_eq!(text(rows.into_iter().map(|row| row.name).collect()), "cat");
    }

    #[test]
    fn rows_tell_what_is_known() {
        let (state, [ann, ben, cat, dan, eve], group) = state();
        let membership = |user| state.groups_after(None, 1, user)[0].membership;
        assert_eq!(membership(ann), Membership::Owner);
        assert_eq!([ben, cat].map(membership), [Membership::Member; 2]);
        assert_eq!([dan, eve].map(membership), [Membership::Waiting; 2]);
        let nobody = UserRef(OpId { seq: 999, ..ann.0 });
        let row = &state.groups_after(None, 1, nobody)[0];
        assert_eq!((row.membership, row.member_count, row.owner.as_str()), (Membership::Stranger, 3, "ann"));
        assert_eq!(state.members_after(group, None, 9).iter().filter(|row| row.owner).count(), 1);
        let x = state.share_named(group, &FileName::parse("x").expect("a name")).expect("is shared");
        assert_eq!((x.group, x.content, x.sharer_count), (group, content(2), 2));
        assert_eq!(state.sharers(x.share).collect::<Vec<_>>(), [ann, ben]);
        assert_eq!(
            (state.shares_of(ann).count(), state.shares_of(ben).count(), state.shares_of(dan).count()),
            (5, 1, 0)
        );
        assert_eq!((state.user_count(), state.group_count(), state.share_count()), (5, 5, 5));
        assert_eq!(state.members(group).collect::<Vec<_>>(), [ann, ben, cat]);
        assert_eq!(state.waiting(group).collect::<Vec<_>>(), [dan, eve]);
    }

    #[test]
    fn the_version_counts_the_ops_of_every_origin() {
        let (state, [ann, ..], _) = state();
        assert_eq!(state.version().collect::<Vec<_>>(), [(ann.0.origin, state.op_count())]);
        assert_eq!(state.lamport(), state.op_count());
        assert_eq!(state.last().map(|last| last.lamport), Some(state.op_count()));
    }
}
