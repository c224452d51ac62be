//! The tables of the state: the rows of users, groups and shares by number, and the indexes from ids and names to
//! numbers.

use super::effect::{Effect, Told};
use super::floor_table::FloorTable;
use super::key::{ByName, OpKey};
use super::sparse_array::SparseArray;
use crate::model::id::{CommandId, GroupRef, OpId, OpOrder, Origin, SessionId, ShareRef, UserRef};
use crate::model::manifest::Content;
use crate::model::name::{FileName, GroupId, UserId};
use crate::model::notice::Notice;
use crate::model::op::group_access::GroupAccess;
use crate::model::op::{Op, PasswordHash};
use imbl::ordmap::DiffItem;
use imbl::{OrdMap, OrdSet, Vector};
use std::ops::Bound;

/// Why a number leads to a row.
const NUMBERED: &str = "a row goes only when no other names its number";

/// Everything the trackers keep for good. Cloning takes constant time; clones share structure.
///
/// Inside, users, groups and shares have numbers, in the order in which they were made. So the keys of the tables are
/// small, and the numbers are the same at every tracker. A number is never used again, even if its row is dropped.
/// Numbers never leave this module, because a late op shifts them. Outside, an entity's id is the id of the op that
/// made it.
///
/// Invariants:
/// * a name leads to exactly one visible entity, which bears it;
/// * every user, every group with members and every share with sharers is visible; all others are hidden;
/// * a hidden entity does not own its name, and may become visible again under another;
/// * every group with members has owners, and all of them are members; the owner is the earliest of them;
/// * a group keeps its name as long as it has members, because the keys of their memberships contain it;
/// * a sharer in a group is a member of it, and no user is both a member and waiting to be let in;
/// * a deleted user is in no group, waits for none and has no notices; a deleted group has no members and no requests;
/// * a user whom an owner put into a group and who has not chosen it is a member, and shares nothing there;
/// * a group's chain changes exactly when a member departs;
/// * a share that its author has replaced has no sharers;
/// * the id of a visible entity is no alias, and no alias leads to an alias;
/// * a hidden share in a hidden group was last named no later than the group.
#[derive(Debug, Clone, Default)]
pub struct State {
    /// The number of ops.
    pub(super) folded: u64,
    pub(super) lamport: u64,
    pub(super) last: Option<OpOrder>,
    /// The Lamport counter up to which the ops of the base state reach; 0 while there is none.
    pub(super) floor: u64,
    /// How many notices the last op has caused.
    pub(super) told: u32,
    /// What the last op has caused.
    pub(super) caused: Vec<Effect>,
    pub(super) by_origin: OrdMap<Origin, OriginRow>,
    /// The origins by number.
    pub(super) origins: SparseArray<Origin>,
    /// Origins that were dropped.
    pub(super) past: OrdMap<Origin, PastOrigin>,
    /// The trackers that have issued an op, and those that were forgotten.
    pub(super) trackers: OrdMap<u16, TrackerRow>,
    pub(super) floors: FloorTable,
    /// What ops made.
    pub(super) made: OrdMap<OpId, Created>,
    /// Ids that stand for another: those of repeated commands, and of shares that an equal share replaced.
    pub(super) aliases: OrdMap<OpId, AliasRow>,
    /// The aliases the other way round: the canonical id, and an alias of it.
    pub(super) stand_ins: OrdSet<(OpId, OpId)>,

    pub(super) users: SparseArray<UserRow>,
    pub(super) user_names: OrdMap<ByName<UserId>, UserNo>,

    pub(super) groups: SparseArray<GroupRow>,
    /// Visible groups only.
    pub(super) group_names: OrdMap<ByName<GroupId>, GroupNo>,
    /// The groups without members, by when they were last named.
    pub(super) hidden_groups: OrdSet<(u64, GroupNo)>,
    /// The memberships of each user, by the group's name. One table for all: a set for each user would have a nearly
    /// empty node. Every entry has a name; `None` is the start of a range.
    pub(super) memberships: OrdSet<(UserNo, Option<GroupId>, GroupNo)>,
    /// The members of each group, by name. One table for all; `None` is the start of a range.
    pub(super) roster: OrdMap<(GroupNo, Option<ByName<UserId>>), MemberRow>,
    /// The same members by rank: the lowest rank in a group succeeds the last owner.
    pub(super) ranks: OrdSet<(GroupNo, u32, UserNo)>,
    /// The owners of each group, in the order in which they became owners.
    pub(super) owners: OrdSet<(GroupNo, u32, UserNo)>,
    /// Memberships that were an owner's decision, with that owner. The user has neither asked for one nor shared
    /// anything in the group yet.
    pub(super) added: OrdMap<(UserNo, GroupNo), UserNo>,

    pub(super) shares: SparseArray<ShareRow>,
    /// How many shares are visible.
    pub(super) listed: usize,
    /// The shares without sharers, by when they were last named.
    pub(super) hidden_shares: OrdSet<(u64, ShareNo)>,

    /// By user and by the place of the op that caused the notice. The last number numbers the notices of one op. A
    /// user's first notice may be a count of earlier ones.
    pub(super) notices: OrdMap<(UserNo, OpOrder, u32), Notice>,
}

/// The ops of one origin.
#[derive(Debug, Clone, Copy)]
pub(super) struct OriginRow {
    pub(super) number: u32,
    /// The sequence of its last op.
    pub(super) seq: u64,
    /// The Lamport counter of that op.
    pub(super) last: u64,
}

/// An origin that was dropped: its tracker uses another one now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct PastOrigin {
    /// The sequence of its last op.
    pub(super) seq: u64,
    /// The Lamport counter of that op.
    pub(super) last: u64,
}

/// A tracker, as the fold knows it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct TrackerRow {
    /// The Lamport counter of the op that made the cluster forget this tracker.
    pub(super) forgotten: Option<u64>,
}

/// What an id stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct AliasRow {
    /// The id that is meant. It is no alias itself.
    pub(super) of: OpId,
    /// The Lamport counter of the op since which the alias holds.
    pub(super) made: u64,
}

/// What an op made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Created {
    User(UserNo),
    Group(GroupNo),
    Share(ShareNo),
}

/// The number of a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct UserNo(pub(super) u32);

/// The number of a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct GroupNo(pub(super) u32);

/// The number of a share.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ShareNo(pub(super) u32);

#[derive(Debug, Clone)]
pub(super) struct UserRow {
    pub(super) id: OpId,
    /// The command that made the account. The state knows it as long as the account.
    pub(super) made_by: CommandId,
    /// The user's latest commands with their ops, the oldest first.
    pub(super) commands: Vector<(CommandId, OpKey)>,
    /// Never changes.
    pub(super) name: UserId,
    pub(super) password: PasswordHash,
    /// The op that set the password. Its id names the password.
    pub(super) password_op: OpId,
    /// The op since which sessions count: it ended all earlier ones.
    pub(super) sessions_since: OpId,
    /// The latest sessions that the user logged out of, the oldest first.
    pub(super) ended: Vector<EndedSession>,
    /// Tokens made up to this time are void, because the user has logged out of their session or may have. In seconds
    /// since 1970; 0 while the state knows all ended sessions.
    pub(super) void_through_s: u64,
    pub(super) standing: AccountStanding,
    /// How many groups the user is a member of.
    pub(super) memberships: u32,
    /// How many of them have this user as first owner.
    pub(super) owned: u32,
    /// The groups that the user waits to be let into, including groups without members.
    pub(super) requests: OrdSet<GroupNo>,
    /// What the user shares, and where.
    pub(super) shares: OrdSet<(GroupNo, ShareNo)>,
    /// How many rows of notices the user has.
    pub(super) unread: u32,
    /// The user refuses to be made a member by owners.
    pub(super) forbids_adding: bool,
}

/// A session that its user has logged out of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct EndedSession {
    pub(super) session: SessionId,
    /// The time of its last token, in seconds since 1970; 0 if a later op ended all sessions.
    pub(super) through_s: u64,
}

/// Whether the user of an account may log in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AccountStanding {
    Active,
    /// The operator has closed the account to logins, until it is enabled again.
    Disabled,
    /// For good. The account is in no group and shares nothing.
    Deleted,
}

#[derive(Debug, Clone)]
pub(super) struct GroupRow {
    pub(super) id: OpId,
    /// The name it bears, or bore when it was last visible.
    pub(super) name: GroupId,
    /// The owner who became one first.
    pub(super) owner: Option<UserNo>,
    /// The user who made it. `None` once that user has departed or an operator has given the group away.
    pub(super) founder: Option<UserNo>,
    pub(super) access: GroupAccess,
    /// While the group has no members: the Lamport counter of the last op that named it. Else 0.
    pub(super) idle: u64,
    /// How many users ever joined: the rank of the next member.
    pub(super) joined: u32,
    /// How many members ever became an owner: the place of the next one.
    pub(super) led: u32,
    pub(super) chain: [u8; 32],
    pub(super) member_count: u32,
    /// The users who wait to be let in.
    pub(super) requests: OrdMap<ByName<UserId>, UserNo>,
    /// Visible shares only.
    pub(super) files: OrdMap<ByName<FileName>, ShareNo>,
    /// An operator has deleted it: it never has members again, and ops that name it change nothing.
    pub(super) deleted: bool,
}

/// A member in the roster of a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct MemberRow {
    pub(super) user: UserNo,
    /// The order of joining: the earliest member of the group has the lowest rank.
    pub(super) rank: u32,
    /// For an owner: the place among the owners.
    pub(super) owner: Option<u32>,
}

#[derive(Debug, Clone)]
pub(super) struct ShareRow {
    pub(super) id: OpId,
    pub(super) group: GroupNo,
    /// The name it bears, or bore when it was last visible.
    pub(super) name: FileName,
    pub(super) content: Content,
    /// The user who made it. Stays the same after this user has ended the share or departed.
    pub(super) author: UserNo,
    /// The share with which its author has replaced it. This one never has sharers again.
    pub(super) successor: Option<OpId>,
    pub(super) sharer_count: u32,
    /// While the share has no sharers: the Lamport counter of the last op that named it. Else 0.
    pub(super) idle: u64,
}

impl State {
    /// The state before any op.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes note of an op and returns its key. `None` if it is not the next op of its origin or lies below the floor.
    pub(super) fn enter(&mut self, op: &Op) -> Option<OpKey> {
        let OpId { origin, seq } = op.id;
        if self.floor > 0 && op.lamport <= self.floor {
            return None;
        }
        let number = match self.by_origin.get_mut(&origin) {
            Some(row) => {
                if seq != row.seq.checked_add(1)? {
                    return None;
                }
                (row.seq, row.last) = (seq, op.lamport);
                row.number
            }
            None => self.enter_origin(op)?,
        };
        self.folded += 1;
        self.lamport = self.lamport.max(op.lamport);
        self.last = self.last.max(Some(op.order()));
        self.told = 0;
        Some(OpKey::new(number, seq))
    }

    /// Takes note of the first op of an origin, or of the first one since the origin was dropped.
    fn enter_origin(&mut self, op: &Op) -> Option<u32> {
        let OpId { origin, seq } = op.id;
        if seq != self.seen(origin).checked_add(1)? {
            return None;
        }
        let number = self.origins.next()?;
        self.origins.push(origin);
        self.past.remove(&origin);
        self.by_origin.insert(origin, OriginRow { number, seq, last: op.lamport });
        self.trackers.entry(origin.tracker).or_default();
        Some(number)
    }

    /// Takes note of what the current op makes.
    pub(super) fn note(&mut self, op: &Op, made: Created) {
        self.made.insert(op.id, made);
    }

    /// The op of a key; `None` if its origin was dropped.
    pub(super) fn id(&self, key: OpKey) -> Option<OpId> {
        let origin = *self.origins.get(key.origin())?;
        Some(OpId { origin, seq: key.seq() })
    }

    /// The id that an id stands for. It is another one only for a repeated command, or for a share that an equal share
    /// replaced.
    pub fn canonical(&self, id: OpId) -> OpId {
        self.aliases.get(&id).map_or(id, |alias| alias.of)
    }

    /// From now on `id` stands for `other`, and so does every alias of `id`.
    pub(super) fn alias(&mut self, id: OpId, other: OpId) {
        let (of, made) = (self.canonical(other), self.lamport);
        let followers: Vec<OpId> = self.stand_ins(id).collect();
        for follower in followers {
            self.stand_ins.remove(&(id, follower));
            self.stand_ins.insert((of, follower));
            self.aliases.insert(follower, AliasRow { of, ..self.aliases[&follower] });
        }
        self.stand_ins.insert((of, id));
        self.aliases.insert(id, AliasRow { of, made });
    }

    /// The aliases of this id.
    fn stand_ins(&self, of: OpId) -> impl Iterator<Item = OpId> + '_ {
        let first = OpId { origin: Origin { tracker: 0, incarnation: 0 }, seq: 0 };
        self.stand_ins.range((of, first)..).take_while(move |(meant, _)| *meant == of).map(|&(_, id)| id)
    }

    /// The canonical id of `id`, and then all its aliases.
    pub fn ids_of(&self, id: OpId) -> Vec<OpId> {
        let of = self.canonical(id);
        std::iter::once(of).chain(self.stand_ins(of)).collect()
    }

    /// The ids that have become aliases since an earlier state, or stand for another id than then. Visits only what
    /// has changed, because the tables share memory.
    pub fn aliased_since(&self, before: &Self) -> Vec<OpId> {
        let changes = before.aliases.diff(&self.aliases);
        let turned = changes.filter_map(|change| match change {
            DiffItem::Add(id, _) | DiffItem::Update { new: (id, _), .. } => Some(*id),
            DiffItem::Remove(..) => None,
        });
        turned.collect()
    }

    pub(super) fn created(&self, id: OpId) -> Option<Created> {
        self.made.get(&self.canonical(id)).copied()
    }

    pub(super) fn user_no(&self, user: UserRef) -> Option<UserNo> {
        match self.created(user.0) {
            Some(Created::User(number)) => Some(number),
            _ => None,
        }
    }

    pub(super) fn group_no(&self, group: GroupRef) -> Option<GroupNo> {
        match self.created(group.0) {
            Some(Created::Group(number)) => Some(number),
            _ => None,
        }
    }

    pub(super) fn share_no(&self, share: ShareRef) -> Option<ShareNo> {
        match self.created(share.0) {
            Some(Created::Share(number)) => Some(number),
            _ => None,
        }
    }

    pub(super) fn user_row(&self, number: UserNo) -> &UserRow {
        self.users.get(number.0).expect(NUMBERED)
    }

    pub(super) fn user_row_mut(&mut self, number: UserNo) -> &mut UserRow {
        self.users.get_mut(number.0).expect(NUMBERED)
    }

    pub(super) fn group_row(&self, number: GroupNo) -> &GroupRow {
        self.groups.get(number.0).expect(NUMBERED)
    }

    pub(super) fn group_row_mut(&mut self, number: GroupNo) -> &mut GroupRow {
        self.groups.get_mut(number.0).expect(NUMBERED)
    }

    pub(super) fn share_row(&self, number: ShareNo) -> &ShareRow {
        self.shares.get(number.0).expect(NUMBERED)
    }

    pub(super) fn share_row_mut(&mut self, number: ShareNo) -> &mut ShareRow {
        self.shares.get_mut(number.0).expect(NUMBERED)
    }

    /// The key of a user in lists that are ordered by name.
    pub(super) fn by_name(&self, user: UserNo) -> ByName<UserId> {
        ByName::new(&self.user_row(user).name)
    }

    pub(super) fn is_member_no(&self, group: GroupNo, user: UserNo) -> bool {
        self.member(group, user).is_some()
    }

    /// The groups that a user is a member of, by name, after the given one.
    pub(super) fn groups_behind(&self, user: UserNo, after: Option<&GroupId>) -> impl Iterator<Item = GroupNo> + '_ {
        let behind = Bound::Excluded((user, after.cloned(), GroupNo(u32::MAX)));
        let entries = self.memberships.range((behind, Bound::Unbounded));
        entries.take_while(move |(of, ..)| *of == user).map(|&(_, _, group)| group)
    }

    pub(super) fn is_sharer_no(&self, share: ShareNo, user: UserNo) -> bool {
        self.user_row(user).shares.contains(&(self.share_row(share).group, share))
    }

    /// What the last op has caused, by canonical ids. A departure also changes the key of the remaining members, for
    /// which there is no effect.
    pub fn caused(&self) -> &[Effect] {
        &self.caused
    }

    pub(super) fn cause(&mut self, to: UserNo, what: Told) {
        let to = UserRef(self.user_row(to).id);
        self.caused.push(Effect { to, what });
    }

    /// How many ops were folded.
    pub fn op_count(&self) -> u64 {
        self.folded
    }

    /// The highest Lamport counter among the ops; 0 before the first.
    pub fn lamport(&self) -> u64 {
        self.lamport
    }

    /// The highest place in the order among the ops. An op below it is late: only an earlier state can fold it.
    pub fn last(&self) -> Option<OpOrder> {
        self.last
    }

    /// The Lamport counter up to which the base state has the ops; 0 while there is none. Only [`State::prune`] raises
    /// it.
    pub fn floor(&self) -> u64 {
        self.floor
    }

    /// The sequence of the last op of an origin; 0 before the first.
    pub fn seen(&self, origin: Origin) -> u64 {
        let past = || self.past.get(&origin).map(|past| past.seq);
        self.by_origin.get(&origin).map(|row| row.seq).or_else(past).unwrap_or(0)
    }

    /// The version vector: every origin with the sequence of its last op.
    pub fn version(&self) -> impl Iterator<Item = (Origin, u64)> + '_ {
        self.by_origin.iter().map(|(&origin, row)| (origin, row.seq))
    }
}

/// Gives a name to an entity if the name is free. A free name is by far the most frequent case, and takes one descent.
pub(super) fn claim<K: Ord + Clone, V: Clone>(names: &mut OrdMap<K, V>, name: K, to: V) -> bool {
    match names.insert(name.clone(), to) {
        None => true,
        Some(holder) => {
            names.insert(name, holder);
            false
        }
    }
}

/// The first free name among `name~2`, `name~3` and so on.
pub(super) fn first_free<N>(wanted: &N, with_suffix: impl Fn(&N, u32) -> N, mut take: impl FnMut(&N) -> bool) -> N {
    let renamed = (2..=u32::MAX).map(|n| with_suffix(wanted, n)).find(|name| take(name));
    renamed.expect("there are more suffixes than entities")
}
