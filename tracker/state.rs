//! The trackers' state: the fold of all ops in their total order. Pure and deterministic: trackers that know the same
//! ops have the same state, byte for byte. docs/FOLD.md says what every op means when its precondition is gone.

mod account;
pub(crate) mod check;
mod commands;
mod decode;
pub mod effect;
mod encode;
mod group;
mod key;
mod notice;
mod share;
mod table;
mod view;

pub use view::{Account, GroupRow, MemberRow, ShareInfo, Standing};

use crate::model::id::{CommandId, GroupRef, OpId, OpOrder, Origin, ShareRef, UserRef};
use crate::model::manifest::Content;
use crate::model::name::{FileName, GroupId, UserId};
use crate::model::notice::Notice;
use crate::model::op::{Op, OpBody, PasswordHash};
use commands::Commands;
use effect::Effect;
use imbl::{OrdMap, OrdSet, Vector};
use key::{ByName, OpKey};
use table::Table;

/// Why a number leads to a row.
const NUMBERED: &str = "numbers are made with their rows, which stay";

/// Everything the trackers know for good. Cloning takes constant time; clones share structure.
///
/// Users, groups and shares have numbers inside, in the order in which they were made: the keys of the tables are small,
/// and since the order is the same everywhere, so are the numbers. They never leave this module, because an op that
/// comes late shifts them; outside, entities go by the ids of the ops that made them.
///
/// Invariants:
/// * a name leads to exactly one visible entity, which bears it: every user, every group with members, every share with
///   sharers; whatever is hidden has no name of its own and may come back under another;
/// * the owner of a group is its member of lowest rank, and a group is visible exactly if it has one;
/// * who shares something in a group is a member of it, and nobody is both a member and waiting to be let in;
/// * a group's chain changes exactly when a member departs;
/// * what is visible has no alias for its id, and aliases form no circle.
#[derive(Debug, Clone, Default)]
pub struct State {
    /// How many ops were folded.
    folded: u64,
    lamport: u64,
    last: Option<OpOrder>,
    /// How many notices the last op has caused.
    told: u32,
    /// What the last op has caused.
    caused: Vec<Effect>,
    lines: OrdMap<Origin, Line>,
    /// The origins by number.
    origins: Vector<Origin>,
    /// The first op of every command.
    commands: Commands,
    /// Ids that mean what another id means: repeated commands, and shares that turned out to be one.
    aliases: OrdMap<OpId, OpId>,
    /// The same the other way round: what is meant, and an id that means it.
    stand_ins: OrdSet<(OpId, OpId)>,

    users: Table<User>,
    user_names: OrdMap<ByName<UserId>, UserNo>,

    groups: Table<Group>,
    /// Visible groups only.
    group_names: OrdMap<ByName<GroupId>, GroupNo>,

    shares: Table<Share>,
    /// How many shares are visible.
    listed: usize,

    /// By user and by the place of the op that caused them; the last number tells apart what one op caused.
    notices: OrdMap<(UserNo, OpOrder, u32), Notice>,
}

/// The ops of one origin.
#[derive(Debug, Clone, Default)]
struct Line {
    number: u32,
    /// What each op made, from sequence 1 on: as many as were folded.
    made: Vector<Made>,
}

/// What an op made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Made {
    Nothing,
    User(UserNo),
    Group(GroupNo),
    Share(ShareNo),
}

/// The number of a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct UserNo(u32);

/// The number of a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct GroupNo(u32);

/// The number of a share.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct ShareNo(u32);

#[derive(Debug, Clone)]
struct User {
    id: OpId,
    /// Never changes.
    name: UserId,
    password: PasswordHash,
    password_set_by: OpId,
    /// Where the user is a member.
    groups: OrdSet<GroupNo>,
    /// What the user shares, and where.
    shares: OrdSet<(GroupNo, ShareNo)>,
}

#[derive(Debug, Clone)]
struct Group {
    id: OpId,
    /// The name it bears, or bore when it was last visible.
    name: GroupId,
    /// The member of lowest rank.
    owner: Option<UserNo>,
    /// How many ever joined: the rank of the next one.
    joined: u32,
    chain: [u8; 32],
    roster: OrdMap<ByName<UserId>, Member>,
    /// Who waits to be let in.
    requests: OrdMap<ByName<UserId>, UserNo>,
    /// Visible shares only.
    files: OrdMap<ByName<FileName>, ShareNo>,
}

/// A member in the roster of a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Member {
    user: UserNo,
    /// How many had joined before.
    rank: u32,
}

#[derive(Debug, Clone)]
struct Share {
    id: OpId,
    group: GroupNo,
    /// The name it bears, or bore when it was last visible.
    name: FileName,
    content: Content,
    sharer_count: u32,
}

impl State {
    /// The state before any op.
    pub fn new() -> Self {
        Self::default()
    }

    /// Folds one op. Ops must come in their total order and those of one origin without a gap; one whose id was folded
    /// before or lies behind a gap changes nothing. Any op is taken: whatever it asks for that cannot be is left out, as
    /// docs/FOLD.md says.
    pub fn apply(&mut self, op: &Op) {
        self.caused.clear();
        let Some(key) = self.enter(op) else { return };
        if let Some(first) = self.commands.insert(op.command, key) {
            self.repeated(op, self.id(first));
            return;
        }
        match &op.body {
            OpBody::CreateUser { name, password } => self.create_user(op, name, password),
            OpBody::ChangePassword { user, password } => self.change_password(op, *user, password),
            OpBody::CreateGroup { name, founder } => self.create_group(op, name, *founder),
            OpBody::RequestJoin { group, user } => self.request_join(op, *group, *user),
            OpBody::AcceptRequest { group, user, by } => self.accept_request(op, *group, *user, *by),
            OpBody::RejectRequest { group, user, by } => self.reject_request(op, *group, *user, *by),
            OpBody::LeaveGroup { group, user } => self.leave_group(op, *group, *user),
            OpBody::RemoveMember { group, user, by } => self.remove_member(op, *group, *user, *by),
            OpBody::CreateShare { group, user, name, content, replaces } => {
                self.create_share(op, (*group, *user), (name, content), *replaces);
            }
            OpBody::JoinShare { share, user } => self.join_share(op, *share, *user),
            OpBody::LeaveShare { share, user } => self.leave_share(*share, *user),
            OpBody::ReadNotices { user, through, shown } => self.read_notices(*user, *through, shown),
        }
    }

    /// Takes note of the op; `None` if it is not the next one of its origin.
    fn enter(&mut self, op: &Op) -> Option<OpKey> {
        let OpId { origin, seq } = op.id;
        if seq != self.seen(origin).checked_add(1)? {
            return None;
        }
        if seq == 1 {
            let number = next_number(self.origins.len())?;
            self.origins.push_back(origin);
            self.lines.insert(origin, Line { number, made: Vector::new() });
        }
        let line = self.lines.get_mut(&origin)?;
        line.made.push_back(Made::Nothing);
        let key = OpKey::new(line.number, seq);
        self.folded += 1;
        self.lamport = self.lamport.max(op.lamport);
        self.last = self.last.max(Some(op.order()));
        self.told = 0;
        Some(key)
    }

    /// The id of an op whose command was carried out before stands for what the first one made. Where that one joined a
    /// share, which this one made where it was accepted, the id stands for such a share.
    fn repeated(&mut self, op: &Op, first: OpId) {
        match &op.body {
            OpBody::CreateShare { group, name, content, .. } if self.made(first) == Some(Made::Nothing) => {
                self.repeat_share(op, *group, name, content);
            }
            _ => {
                self.alias(op.id, first);
            }
        }
    }

    /// Takes note of what the op being folded makes.
    fn note(&mut self, op: &Op, made: Made) {
        let last = self.lines.get_mut(&op.id.origin).and_then(|line| line.made.back_mut());
        *last.expect("the op was entered") = made;
    }

    fn id(&self, key: OpKey) -> OpId {
        OpId { origin: self.origins[key.origin() as usize], seq: key.seq() }
    }

    /// The id that an id stands for: itself, unless it is the id of a repeated command or of a share that turned out to
    /// be the same as another.
    pub fn canonical(&self, id: OpId) -> OpId {
        let mut id = id;
        while let Some(&other) = self.aliases.get(&id) {
            id = other;
        }
        id
    }

    /// From now on this id stands for another; whether it stood for none before.
    fn alias(&mut self, id: OpId, other: OpId) -> bool {
        self.stand_ins.insert((other, id));
        self.aliases.insert(id, other).is_none()
    }

    /// All ids that mean what this one means: the canonical one, then those that stand for it.
    pub fn ids_of(&self, id: OpId) -> Vec<OpId> {
        let mut ids = vec![self.canonical(id)];
        let mut next = 0;
        while let Some(&of) = ids.get(next) {
            let first = OpId { origin: Origin { tracker: 0, incarnation: 0 }, seq: 0 };
            let stand_ins = self.stand_ins.range((of, first)..).take_while(|(meant, _)| *meant == of);
            ids.extend(stand_ins.map(|&(_, id)| id));
            next += 1;
        }
        ids
    }

    /// How many ids stand for others. As long as ops come in their order, none ceases to.
    pub fn alias_count(&self) -> usize {
        self.aliases.len()
    }

    fn made(&self, id: OpId) -> Option<Made> {
        let id = self.canonical(id);
        let index = usize::try_from(id.seq.checked_sub(1)?).ok()?;
        self.lines.get(&id.origin)?.made.get(index).copied()
    }

    fn user_no(&self, user: UserRef) -> Option<UserNo> {
        match self.made(user.0) {
            Some(Made::User(number)) => Some(number),
            _ => None,
        }
    }

    fn group_no(&self, group: GroupRef) -> Option<GroupNo> {
        match self.made(group.0) {
            Some(Made::Group(number)) => Some(number),
            _ => None,
        }
    }

    fn share_no(&self, share: ShareRef) -> Option<ShareNo> {
        match self.made(share.0) {
            Some(Made::Share(number)) => Some(number),
            _ => None,
        }
    }

    fn user_row(&self, number: UserNo) -> &User {
        self.users.get(number.0).expect(NUMBERED)
    }

    fn user_row_mut(&mut self, number: UserNo) -> &mut User {
        self.users.get_mut(number.0).expect(NUMBERED)
    }

    fn group_row(&self, number: GroupNo) -> &Group {
        self.groups.get(number.0).expect(NUMBERED)
    }

    fn group_row_mut(&mut self, number: GroupNo) -> &mut Group {
        self.groups.get_mut(number.0).expect(NUMBERED)
    }

    fn share_row(&self, number: ShareNo) -> &Share {
        self.shares.get(number.0).expect(NUMBERED)
    }

    fn share_row_mut(&mut self, number: ShareNo) -> &mut Share {
        self.shares.get_mut(number.0).expect(NUMBERED)
    }

    /// How many ops were folded.
    pub fn op_count(&self) -> u64 {
        self.folded
    }

    /// The highest Lamport counter among the ops folded; 0 before the first.
    pub fn lamport(&self) -> u64 {
        self.lamport
    }

    /// The highest place in the order among the ops folded. An op below it comes late: it cannot be folded here any
    /// more, only into an earlier state.
    pub fn last(&self) -> Option<OpOrder> {
        self.last
    }

    /// The sequence up to which the ops of an origin were folded; 0 if none was.
    pub fn seen(&self, origin: Origin) -> u64 {
        self.lines.get(&origin).map_or(0, |line| line.made.len() as u64)
    }

    /// The version vector: every origin with the sequence up to which its ops were folded.
    pub fn version(&self) -> impl Iterator<Item = (Origin, u64)> + '_ {
        self.lines.iter().map(|(&origin, line)| (origin, line.made.len() as u64))
    }

    /// The op that carried out a command, if one did.
    pub fn command(&self, command: CommandId) -> Option<OpId> {
        self.commands.get(command).map(|key| self.id(key))
    }
}

/// The number of the next row of a table that has `len` rows; `None` once numbers run out.
fn next_number(len: usize) -> Option<u32> {
    u32::try_from(len).ok()
}

/// Gives a name to an entity if it is free. One descent where it is, which is nearly always.
fn claim<K: Ord + Clone, V: Clone>(names: &mut OrdMap<K, V>, name: K, to: V) -> bool {
    match names.insert(name.clone(), to) {
        None => true,
        Some(holder) => {
            names.insert(name, holder);
            false
        }
    }
}

/// The first name that can be taken among `name~2`, `name~3` and so on.
fn first_free<N>(wanted: &N, with_suffix: impl Fn(&N, u32) -> N, mut take: impl FnMut(&N) -> bool) -> N {
    let renamed = (2..=u32::MAX).map(|n| with_suffix(wanted, n)).find(|name| take(name));
    renamed.expect("there are more suffixes than entities")
}
