//! The tables of the state: rows of users, groups and shares by number, and what ids and names lead to.

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

/// Everything the trackers know for good. Cloning takes constant time; clones share structure.
///
/// Inside, users, groups and shares have numbers, in the order in which they were made. So the keys of the tables are
/// small, and the numbers are the same at every tracker. A number is never used again, also if its row is dropped. It
/// never leaves this module, because an op that comes late shifts it. Outside, entities go by the ids of the ops that
/// made them.
///
/// Invariants:
/// * a name leads to exactly one visible entity, which bears it;
/// * every user, every group with members and every share with sharers is visible; a hidden entity has no name of its
///   own and may come back under another;
/// * every group with members has owners, and all of them are members; the owner is the first that became one;
/// * a group keeps its name as long as it has members: under it stand their memberships;
/// * whoever shares something in a group is a member of it, and nobody is both a member and waiting to be let in;
/// * a deleted user is in no group, waits for none and has no notices; a deleted group has no members, and nobody waits;
/// * whoever is in a group by the choice of an owner alone is a member of it, and shares nothing there;
/// * a group's chain changes exactly when a member departs;
/// * nobody shares what its author has replaced;
/// * what is visible has no alias for its id, and no alias leads to an alias;
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
    /// Ids that mean what another id means: repeated commands, and shares that turned out to be one.
    pub(super) aliases: OrdMap<OpId, AliasRow>,
    /// The aliases the other way round: the id that is meant, and an id that means it.
    pub(super) stand_ins: OrdSet<(OpId, OpId)>,

    pub(super) users: SparseArray<UserRow>,
    pub(super) user_names: OrdMap<ByName<UserId>, UserNo>,

    pub(super) groups: SparseArray<GroupRow>,
    /// Visible groups only.
    pub(super) group_names: OrdMap<ByName<GroupId>, GroupNo>,
    /// The groups without members, by when they were last named.
    pub(super) hidden_groups: OrdSet<(u64, GroupNo)>,
    /// Where each user is a member, by the name of the group. One table for all: a set for each user would have a node
    /// that is nearly empty. Every entry has a name; a range begins without.
    pub(super) memberships: OrdSet<(UserNo, Option<GroupId>, GroupNo)>,
    /// The members of each group, by name. One table for all and a range that begins without a name, as above.
    pub(super) roster: OrdMap<(GroupNo, Option<ByName<UserId>>), MemberRow>,
    /// The same members by rank: the first of a group succeeds the last owner.
    pub(super) ranks: OrdSet<(GroupNo, u32, UserNo)>,
    /// The owners of each group, by when they became so.
    pub(super) owners: OrdSet<(GroupNo, u32, UserNo)>,
    /// Where a user is a member who has not asked and has shared nothing yet, with the owner whose choice it was.
    pub(super) added: OrdMap<(UserNo, GroupNo), UserNo>,

    pub(super) shares: SparseArray<ShareRow>,
    /// How many shares are visible.
    pub(super) listed: usize,
    /// The shares without sharers, by when they were last named.
    pub(super) hidden_shares: OrdSet<(u64, ShareNo)>,

    /// By user and by the place of the op that caused them; the last number tells apart what one op caused. The first one
    /// of a user may count those that came before.
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

/// An origin that was dropped: its tracker goes on under another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct PastOrigin {
    /// The sequence of its last op.
    pub(super) seq: u64,
    /// The Lamport counter of that op.
    pub(super) last: u64,
}

/// A tracker.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct TrackerRow {
    /// Set once the others have let go of it: the Lamport counter of the op that said so.
    pub(super) forgotten: Option<u64>,
}

/// What an id stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct AliasRow {
    /// Has no alias itself.
    pub(super) of: OpId,
    /// The Lamport counter of the op since which it does.
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
    /// The command that made the account. It stays known as long as the account.
    pub(super) made_by: CommandId,
    /// The user's own last commands with their ops, the oldest first.
    pub(super) commands: Vector<(CommandId, OpKey)>,
    /// Never changes.
    pub(super) name: UserId,
    pub(super) password: PasswordHash,
    /// The op that set the password, which names it.
    pub(super) password_op: OpId,
    /// The op since which sessions count: earlier ones have ended.
    pub(super) sessions_since: OpId,
    /// The sessions of which the user logged out last, the oldest first.
    pub(super) ended: Vector<EndedSession>,
    /// Tokens made up to this time are void: the user has logged out of their session, or may have. In seconds since
    /// 1970; 0 while all ended sessions are known.
    pub(super) void_through_s: u64,
    pub(super) standing: AccountStanding,
    /// How many groups the user is a member of.
    pub(super) memberships: u32,
    /// Of how many of them the user is the owner, the first of all.
    pub(super) owned: u32,
    /// Where the user waits to be let in, also where nobody is left to do so.
    pub(super) requests: OrdSet<GroupNo>,
    /// What the user shares, and where.
    pub(super) shares: OrdSet<(GroupNo, ShareNo)>,
    /// How many rows of notices the user has.
    pub(super) unread: u32,
    /// Owners make the user a member of no group.
    pub(super) forbids_adding: bool,
}

/// A session of which its user has logged out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct EndedSession {
    pub(super) session: SessionId,
    /// The time of its last token, in seconds since 1970; 0 if all sessions of before were ended since.
    pub(super) through_s: u64,
}

/// Whether somebody may log in to an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AccountStanding {
    Active,
    /// The operator lets nobody in until it is enabled again.
    Disabled,
    /// For good. The account is in no group and shares nothing.
    Deleted,
}

#[derive(Debug, Clone)]
pub(super) struct GroupRow {
    pub(super) id: OpId,
    /// The name it bears, or bore when it was last visible.
    pub(super) name: GroupId,
    /// The first of its owners.
    pub(super) owner: Option<UserNo>,
    /// Who made it, unless that one has departed since or an operator has given the group away.
    pub(super) founder: Option<UserNo>,
    pub(super) access: GroupAccess,
    /// While it has no members: the Lamport counter of the last op that named it. Else 0.
    pub(super) idle: u64,
    /// How many ever joined: the next one has this rank.
    pub(super) joined: u32,
    /// How many ever became an owner: the next one has this place.
    pub(super) led: u32,
    pub(super) chain: [u8; 32],
    pub(super) member_count: u32,
    /// Who waits to be let in.
    pub(super) requests: OrdMap<ByName<UserId>, UserNo>,
    /// Visible shares only.
    pub(super) files: OrdMap<ByName<FileName>, ShareNo>,
    /// An operator has deleted it: it never has members again, and no op means it.
    pub(super) deleted: bool,
}

/// A member in the roster of a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct MemberRow {
    pub(super) user: UserNo,
    /// Of those who joined, the first has the lowest.
    pub(super) rank: u32,
    /// The place among the owners, for one of them.
    pub(super) owner: Option<u32>,
}

#[derive(Debug, Clone)]
pub(super) struct ShareRow {
    pub(super) id: OpId,
    pub(super) group: GroupNo,
    /// The name it bears, or bore when it was last visible.
    pub(super) name: FileName,
    pub(super) content: Content,
    /// Who made it. It stays so after this user has ended the share or departed.
    pub(super) author: UserNo,
    /// The share that its author has shared in its place: nobody shares this one ever again.
    pub(super) successor: Option<OpId>,
    pub(super) sharer_count: u32,
    /// While nobody shares it: the Lamport counter of the last op that named it. Else 0.
    pub(super) idle: u64,
}

impl State {
    /// The state before any op.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes note of an op and returns its key; `None` if it is not the next one of its origin or lies below the floor.
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

    /// The id that an id stands for. That is another one only for a repeated command, or for a share that turned out to
    /// be the same as another.
    pub fn canonical(&self, id: OpId) -> OpId {
        self.aliases.get(&id).map_or(id, |alias| alias.of)
    }

    /// From now on this id stands for another, and so does every id that stood for it.
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

    /// The ids that stand for this one.
    fn stand_ins(&self, of: OpId) -> impl Iterator<Item = OpId> + '_ {
        let first = OpId { origin: Origin { tracker: 0, incarnation: 0 }, seq: 0 };
        self.stand_ins.range((of, first)..).take_while(move |(meant, _)| *meant == of).map(|&(_, id)| id)
    }

    /// All ids that mean what this one means, the canonical one first.
    pub fn ids_of(&self, id: OpId) -> Vec<OpId> {
        let of = self.canonical(id);
        std::iter::once(of).chain(self.stand_ins(of)).collect()
    }

    /// The ids that stand for others since an earlier state, or for others than then. Looks at what has changed only: the
    /// tables share memory.
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

    /// The key of a user in lists that go by name.
    pub(super) fn by_name(&self, user: UserNo) -> ByName<UserId> {
        ByName::new(&self.user_row(user).name)
    }

    pub(super) fn is_member_no(&self, group: GroupNo, user: UserNo) -> bool {
        self.member(group, user).is_some()
    }

    /// The groups of which a user is a member, by name, behind one of them.
    pub(super) fn groups_behind(&self, user: UserNo, after: Option<&GroupId>) -> impl Iterator<Item = GroupNo> + '_ {
        let behind = Bound::Excluded((user, after.cloned(), GroupNo(u32::MAX)));
        let entries = self.memberships.range((behind, Bound::Unbounded));
        entries.take_while(move |(of, ..)| *of == user).map(|&(_, _, group)| group)
    }

    pub(super) fn is_sharer_no(&self, share: ShareNo, user: UserNo) -> bool {
        self.user_row(user).shares.contains(&(self.share_row(share).group, share))
    }

    /// What the last op has caused, by canonical ids. A departure also changes the key of the members who stay; no
    /// effect says so.
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

    /// The highest place in the order among the ops. An op below it comes late: only an earlier state can fold it.
    pub fn last(&self) -> Option<OpOrder> {
        self.last
    }

    /// The Lamport counter up to which the base state has the ops: 0 while there is none. Only
    /// [`State::prune`] raises it.
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

/// Gives a name to an entity if the name is free. That is nearly always so, and takes one descent.
pub(super) fn claim<K: Ord + Clone, V: Clone>(names: &mut OrdMap<K, V>, name: K, to: V) -> bool {
    match names.insert(name.clone(), to) {
        None => true,
        Some(holder) => {
            names.insert(name, holder);
            false
        }
    }
}

/// The first name that can be taken among `name~2`, `name~3` and so on.
pub(super) fn first_free<N>(wanted: &N, with_suffix: impl Fn(&N, u32) -> N, mut take: impl FnMut(&N) -> bool) -> N {
    let renamed = (2..=u32::MAX).map(|n| with_suffix(wanted, n)).find(|name| take(name));
    renamed.expect("there are more suffixes than entities")
}
