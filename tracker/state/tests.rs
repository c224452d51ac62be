//! Checks the invariants of a state table by table, and makes random histories for these checks.

#![cfg(test)]

use super::key::ByName;
use super::sparse_array::SparseArray;
use super::tables::{AccountStanding, Created, GroupNo, ShareNo, State, UserNo};
use crate::model::digest::{InfoHash, Sha1Digest};
use crate::model::id::{CommandId, GroupRef, OpId, OpOrder, Origin, SessionId, ShareRef, UserRef};
use crate::model::manifest::Content;
use crate::model::name::{FileName, GroupId, UserId};
use crate::model::notice::{ChangeKind, Notice, UnplacedChange};
use crate::model::op::floor::{FloorMark, FloorProposal};
use crate::model::op::group_access::GroupAccess;
use crate::model::op::{Op, OpBody, PasswordHash};
use crate::model::piece::Layout;
use imbl::OrdSet;
use proptest::collection::vec;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

impl State {
    /// Pretends that every number for groups and shares was used and dropped.
    pub(crate) fn use_up_numbers(&mut self) {
        let kept = self.groups.clone();
        self.groups = SparseArray::from_number(u32::MAX);
        assert!(kept.iter().all(|(number, row)| self.groups.fill(number, row.clone())));
        assert_eq!(self.shares.len(), 0, "none are there");
        self.shares = SparseArray::from_number(u32::MAX);
    }

    /// Asserts every invariant.
    pub(crate) fn check(&self) {
        self.check_users();
        self.check_groups();
        self.check_shares();
        self.check_origins();
        let turned = self.aliases.iter().map(|(&id, alias)| (alias.of, id)).collect();
        assert_eq!(self.stand_ins, turned);
        assert!(self.aliases.values().all(|alias| !self.aliases.contains_key(&alias.of) && alias.made <= self.lamport));
        assert_eq!(self.made.len(), self.users.len() + self.groups.len() + self.shares.len());
        assert!(self.notices.keys().all(|(user, ..)| self.users.get(user.0).is_some()));
        for (number, user) in self.users.iter() {
            let unread: Vec<_> = self.notices.iter().filter(|(key, _)| key.0.0 == number).map(|(_, row)| row).collect();
            assert_eq!(unread.len(), user.unread as usize);
            assert!(unread.len() <= Notice::UNREAD_MAX);
            assert!(unread.iter().skip(1).all(|notice| notice.count() == 1), "only the oldest one is a count");
        }
    }

    fn check_origins(&self) {
        let known: u64 = self.version().map(|(_, seq)| seq).chain(self.past.values().map(|past| past.seq)).sum();
        assert!(known <= self.folded);
        assert!(self.floor > 0 || (known == self.folded && self.past.is_empty()));
        assert_eq!(self.origins.len(), self.by_origin.len());
        for (number, origin) in self.origins.iter() {
            assert_eq!(self.by_origin[origin].number, number);
            assert!(!self.past.contains_key(origin));
        }
        for origin in self.by_origin.keys().chain(self.past.keys()) {
            assert!(self.trackers.contains_key(&origin.tracker));
        }
    }

    fn check_made(&self, id: OpId, made: Created, visible: bool) {
        assert_eq!(self.made.get(&id), Some(&made));
        assert!(!visible || self.canonical(id) == id, "{made:?} is visible and has an alias");
    }

    fn check_users(&self) {
        assert_eq!(self.user_names.len(), self.users.len());
        for (number, user) in self.users.iter().map(|(number, user)| (UserNo(number), user)) {
            assert_eq!(self.user_names.get(&ByName::new(&user.name)), Some(&number));
            self.check_made(user.id, Created::User(number), true);
            let known: BTreeSet<_> = user.commands.iter().map(|(command, _)| *command).collect();
            assert_eq!(known.len(), user.commands.len(), "a command is known twice");
            let waits = self.groups.iter().filter(|(_, group)| group.requests.contains_key(&ByName::new(&user.name)));
            assert_eq!(user.requests, waits.map(|(group, _)| GroupNo(group)).collect(), "where {number:?} waits");
            if user.standing == AccountStanding::Deleted {
                let left = (user.memberships, user.requests.len(), user.shares.len(), user.unread);
                assert_eq!(left, (0, 0, 0, 0), "a deleted user is somewhere");
            }
        }
    }

    fn check_groups(&self) {
        let (mut visible, mut hidden) = (0, OrdSet::new());
        for (number, group) in self.groups.iter().map(|(number, group)| (GroupNo(number), group)) {
            let members: Vec<_> = self.members_behind(number, None).collect();
            let owners = members.iter().filter_map(|member| Some((member.owner?, member.user)));
            let first = owners.min().map(|(_, user)| user);
            assert_eq!((group.owner, group.member_count as usize), (first, members.len()));
            let named = self.group_names.get(&ByName::new(&group.name)) == Some(&number);
            assert_eq!(named, first.is_some());
            assert_eq!(first.is_some(), !members.is_empty(), "members without an owner");
            assert!(group.founder.is_none_or(|founder| self.is_member_no(number, founder)));
            visible += usize::from(named);
            if named {
                assert_eq!(group.idle, 0);
            } else {
                hidden.insert((group.idle, number));
            }
            self.check_made(group.id, Created::Group(number), true);
            for member in &members {
                assert!(self.is_member_no(number, member.user) && member.rank < group.joined);
                assert!(member.owner.is_none_or(|place| place < group.led));
            }
            assert!(!group.deleted || (members.is_empty() && group.requests.is_empty()));
            for (key, &user) in &group.requests {
                assert_eq!(*key, self.by_name(user));
                assert!(!self.is_member_no(number, user), "a member waits to be let in");
            }
        }
        assert_eq!(self.group_names.len(), visible);
        assert_eq!(self.hidden_groups, hidden);
        assert!(hidden.iter().all(|(idle, _)| *idle > 0 && *idle <= self.lamport));
        let named = self.roster.iter().map(|((group, key), member)| {
            assert_eq!(*key, Some(self.by_name(member.user)));
            (member.user, Some(self.group_row(*group).name.clone()), *group)
        });
        assert_eq!(self.memberships, named.collect());
        let ranks = self.roster.iter().map(|((group, _), member)| (*group, member.rank, member.user));
        assert_eq!(self.ranks, ranks.collect());
        let owners = self.roster.iter().filter_map(|((group, _), member)| Some((*group, member.owner?, member.user)));
        assert_eq!(self.owners, owners.collect());
        for &(user, group) in self.added.keys() {
            assert!(self.is_member_no(group, user), "somebody was added who is no member");
            let shares = self.user_row(user).shares.range((group, ShareNo(0))..);
            assert_eq!(shares.take_while(|(of, _)| *of == group).count(), 0, "who shares is there by choice");
        }
        for (number, user) in self.users.iter().map(|(number, user)| (UserNo(number), user)) {
            assert_eq!(user.memberships as usize, self.groups_behind(number, None).count());
            let owned = self.groups.values().filter(|group| group.owner == Some(number));
            assert_eq!(user.owned as usize, owned.count());
        }
    }

    fn check_shares(&self) {
        let mut sharers: BTreeMap<ShareNo, u32> = BTreeMap::new();
        for (number, user) in self.users.iter() {
            for &(group, share) in &user.shares {
                assert_eq!(group, self.share_row(share).group);
                assert!(self.is_member_no(group, UserNo(number)), "somebody shares in a group without being a member");
                *sharers.entry(share).or_default() += 1;
            }
        }
        let mut hidden = OrdSet::new();
        for (number, share) in self.shares.iter().map(|(number, share)| (ShareNo(number), share)) {
            let visible = sharers.contains_key(&number);
            assert!(!visible || share.successor.is_none(), "somebody shares what its author has replaced");
            assert!(self.users.get(share.author.0).is_some());
            assert_eq!(share.sharer_count, sharers.get(&number).copied().unwrap_or(0));
            let group = self.group_row(share.group);
            assert_eq!(group.files.get(&ByName::new(&share.name)) == Some(&number), visible);
            self.check_made(share.id, Created::Share(number), visible);
            if visible {
                assert_eq!(share.idle, 0);
            } else {
                hidden.insert((share.idle, number));
                assert!(group.owner.is_some() || share.idle <= group.idle, "a share outlives its group");
            }
        }
        assert_eq!(self.hidden_shares, hidden);
        assert!(hidden.iter().all(|(idle, _)| *idle > 0 && *idle <= self.lamport));
        assert_eq!(self.listed, sharers.len());
        assert_eq!(self.listed, self.groups.values().map(|group| group.files.len()).sum::<usize>());
    }
}

/// A share's content; `n` tells contents apart.
pub(crate) fn content(n: u8) -> Content {
    Content {
        layout: Layout::new(u64::from(n)).expect("small"),
        sha1: Sha1Digest([n; 20]),
        info_hash: InfoHash([n; 32]),
        file_count: 1,
    }
}

/// Dice for one op: kind, three picks among what exists, a name, an oddity.
type Dice = (u8, u8, u8, u8, u8, u8);

/// Makes ops that often touch the same entities: few names, and ids of earlier ops, of the right kind or not.
fn ops(dice: &[Dice]) -> Vec<Op> {
    let mut made: [Vec<OpId>; 3] = [vec![], vec![], vec![]];
    let mut proposed = None;
    let mut seqs = [0; 3];
    let mut ops: Vec<Op> = Vec::new();
    for (i, &(kind, a, b, c, name, odd)) in dice.iter().enumerate() {
        let tracker = odd % 3;
        let origin = Origin { tracker: u16::from(tracker), incarnation: 1 };
        // Now and then a sequence comes twice, or after a gap.
        let last = &mut seqs[usize::from(tracker)];
        let seq = match odd % 23 {
            0 => *last,
            1 => *last + 2,
            _ => *last + 1,
        };
        *last = seq.max(*last) - u64::from(odd % 23 == 1) * 2;
        let id = OpId { origin, seq };
        let pick = |what: usize, n: u8| {
            let what = if odd % 17 == 0 { (what + 1) % 3 } else { what };
            let nothing = OpId { origin, seq: u64::MAX - u64::from(n) };
            // One of the first few, so that ops touch the same ones.
            let among = made[what].len().min(4);
            if n == 255 || among == 0 { nothing } else { made[what][usize::from(n) % among] }
        };
        let (user, by) = (UserRef(pick(0, a)), UserRef(pick(0, c)));
        let (group, share) = (GroupRef(pick(1, b)), ShareRef(pick(2, b)));
        let body = match kind {
            208..224 | 240..248 => operated(kind, (user, group), name),
            224..232 => decided(kind, (user, by), group, name),
            232..240 => vote(proposed.unwrap_or(id), user, (kind, name, c)),
            _ => body(kind, (user, by), (group, share), (name, c)),
        };
        match body {
            OpBody::CreateUser { .. } | OpBody::MakeUser { .. } => made[0].push(id),
            OpBody::CreateGroup { .. } => made[1].push(id),
            OpBody::ProposeFloor { .. } => proposed = Some(id),
            OpBody::CreateShare { .. } => made[2].push(id),
            _ => {}
        }
        let repeats = odd % 19 == 0 && i > 0;
        let command = if repeats { ops[usize::from(a) % i].command } else { CommandId((i as u128).to_be_bytes()) };
        ops.push(Op { id, lamport: i as u64 / 2 + 1, command, body });
    }
    ops
}

fn body(kind: u8, (user, by): (UserRef, UserRef), (group, share): (GroupRef, ShareRef), (name, c): (u8, u8)) -> OpBody {
    let text = ["x", "y", "z", "x~2"][usize::from(name) % 4];
    let password = PasswordHash("p".into());
    match kind % 16 {
        _ if kind >= 252 => OpBody::ForgetTracker { tracker: u16::from(c % 4) },
        _ if kind >= 248 => OpBody::UnforgetTracker { tracker: u16::from(c % 4) },
        0 | 1 => OpBody::CreateUser { name: UserId::parse(text).expect(text), password },
        // The former password is the first one, or another.
        2 => OpBody::ChangePassword { user, former: if c % 2 == 0 { user.0 } else { by.0 }, password },
        3 => OpBody::CreateGroup { name: GroupId::parse(text).expect(text), founder: user },
        4 | 5 => OpBody::RequestJoin { group, user },
        6 | 7 => OpBody::AcceptRequest { group, user, by },
        8 => OpBody::RejectRequest { group, user, by },
        9 => OpBody::LeaveGroup { group, user },
        10 => OpBody::RemoveMember { group, user, by },
        11 | 12 => {
            let replaces = (c % 3 == 0).then_some(share);
            OpBody::CreateShare {
                group,
                user,
                name: FileName::parse(text).expect(text),
                content: content(c % 2),
                replaces,
            }
        }
        13 => OpBody::JoinShare { share, user },
        14 => OpBody::LeaveShare { share, user },
        _ => {
            let through = OpOrder { lamport: u64::from(c), origin: group.0.origin };
            OpBody::ReadNotices { user, through, shown: [c; 32] }
        }
    }
}

/// An owner's decision: about owners, or about who gets in.
fn decided(kind: u8, (user, by): (UserRef, UserRef), group: GroupRef, name: u8) -> OpBody {
    match kind % 8 {
        0..3 => OpBody::MakeOwner { group, user, by },
        3 | 4 => OpBody::DropOwner { group, user, by },
        5 => OpBody::AddMember { group, user, by },
        6 => OpBody::SetGroup { group, access: GroupAccess::ALL[usize::from(name) % 3], by },
        _ => OpBody::SetAdding { user, allowed: !name.is_multiple_of(4) },
    }
}

/// An operator's change.
fn operated(kind: u8, (user, group): (UserRef, GroupRef), name: u8) -> OpBody {
    let password = PasswordHash("p".into());
    match kind % 8 {
        0 => {
            let text = ["x", "y", "z", "x~2"][usize::from(name) % 4];
            OpBody::MakeUser { name: UserId::parse(text).expect(text), password }
        }
        1 => OpBody::ResetPassword { user, password },
        2 => OpBody::EndSessions { user },
        3 => OpBody::DisableUser { user },
        4 => OpBody::EnableUser { user },
        // Rare, because a deletion is final.
        5 if name >= 224 => OpBody::DeleteUser { user },
        5 => OpBody::EndSession { user, session: SessionId([name % 8; 16]), through_s: name.into() },
        7 if name >= 224 => OpBody::DeleteGroup { group },
        _ => OpBody::GiveGroup { group, user },
    }
}

/// Votes of trackers on floors, and their reports of lost changes.
fn vote(proposal: OpId, user: UserRef, (kind, name, c): (u8, u8, u8)) -> OpBody {
    let mark = |n: u8| FloorMark { lamport: u64::from(n % 64), base: [n % 2; 32] };
    let (after, mark, participants) = (mark(name), mark(c), vec![0, 1]);
    let floor = Arc::new(FloorProposal { after, mark, vector: Vec::new(), participants });
    match kind % 4 {
        0 => OpBody::ProposeFloor { floor },
        1 => OpBody::ReadyForFloor { proposal },
        2 => OpBody::PromiseFloor { proposal, floor },
        _ => {
            let change = UnplacedChange { kind: ChangeKind::LeaveGroup, group: None, file: None };
            OpBody::NoteUnplaced { user, change }
        }
    }
}

prop_compose! {
    /// Up to 120 ops, in histories that no real tracker issues.
    pub(crate) fn histories()(dice in vec(any::<Dice>(), 0..120)) -> Vec<Op> {
        ops(&dice)
    }
}

fn fold(ops: &[Op]) -> State {
    let mut state = State::new();
    ops.iter().for_each(|op| state.apply(op));
    state
}

/// Who is a member of a group, and its chain.
fn members(state: &State, group: GroupNo) -> (Vec<UserNo>, [u8; 32]) {
    let members = state.members_behind(group, None).map(|member| member.user).collect();
    (members, state.group_row(group).chain)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_history_keeps_every_invariant(ops in histories()) {
        let mut state = State::new();
        for op in &ops {
            let before = state.clone();
            before.check();
            state.apply(op);
            state.check();
            for group in (0..).map(GroupNo).take(before.groups.len()) {
                let ((old, chain_before), (new, chain)) = (members(&before, group), members(&state, group));
                let departed = old.iter().any(|user| !new.contains(user));
                prop_assert_eq!(chain != chain_before, departed);
            }
        }
    }

    #[test]
    fn ops_that_arrive_in_any_order_fold_to_one_digest(ops in histories(), keys in vec(any::<u32>(), 120)) {
        let mut seen = BTreeSet::new();
        let ops: Vec<Op> = ops.into_iter().filter(|op| seen.insert(op.id)).collect();
        let mut arrived: Vec<_> = ops.iter().cloned().zip(keys).collect();
        arrived.sort_by_key(|(_, key)| *key);
        let mut sorted: Vec<_> = arrived.into_iter().map(|(op, _)| op).collect();
        sorted.sort_by_key(|op| (op.order(), op.id.seq));
        let mut expected = ops;
        expected.sort_by_key(|op| (op.order(), op.id.seq));
        prop_assert_eq!(fold(&sorted).digest(), fold(&expected).digest());
    }

    #[test]
    fn a_clone_is_not_touched_by_what_is_folded_later(ops in histories(), at in 0usize..120) {
        let at = at.min(ops.len());
        let early = fold(&ops[..at]);
        let digest = early.digest();
        let mut late = early.clone();
        ops[at..].iter().for_each(|op| late.apply(op));
        prop_assert_eq!(early.digest(), digest);
        prop_assert_eq!(late.digest(), fold(&ops).digest());
    }
}

/// Trackers of different builds compare digests. So a change of the form needs a new version.
#[test]
fn the_canonical_form_stays_what_it_is() {
    let dice: Vec<Dice> = (0u32..1200)
        .map(|i| {
            let [a, b, c, d] = i.wrapping_mul(0x9E37_79B1).to_be_bytes();
            (a, b, c, d, a ^ c, b.wrapping_add(d))
        })
        .collect();
    let mut history = ops(&dice);
    for op in &mut history {
        if matches!(op.body, OpBody::DeleteUser { .. } | OpBody::DeleteGroup { .. }) {
            // Not one of the few trackers that this test is about.
            op.body = OpBody::UnforgetTracker { tracker: 9 };
        }
    }
    let mut state = fold(&history);
    let [user, group] = [state.users.values().last().expect("made").id, state.groups.values().last().expect("made").id];
    let last = [OpBody::DeleteUser { user: UserRef(user) }, OpBody::DeleteGroup { group: GroupRef(group) }];
    let (by, lab) = state.groups.values().find_map(|group| Some((group.owner?, group.id))).expect("somebody owns one");
    let (by, lab) = (UserRef(state.user_row(by).id), GroupRef(lab));
    let adding = state.users.values().map(|user| OpBody::AddMember { group: lab, user: UserRef(user.id), by });
    let last: Vec<OpBody> = adding.chain(last).collect();
    for body in last {
        let id = OpId { seq: state.seen(user.origin) + 1, ..user };
        state.apply(&Op { id, lamport: state.lamport() + 1, command: CommandId([0xdd; 16]), body });
    }
    assert!(state.users.values().any(|user| user.standing == AccountStanding::Disabled));
    assert!(state.deleted_user_count() == 1 && state.groups.values().any(|group| group.deleted));
    assert!(state.group_count() > 2 && state.share_count() > 2 && !state.notices.is_empty());
    assert!(state.trackers.values().any(|tracker| tracker.forgotten.is_some()));
    assert!(state.proposals().count() > 0 && state.promises().count() > 0);
    assert!(state.users.values().any(|user| !user.ended.is_empty()));
    assert!(!state.added.is_empty());
    let known = "c951accf4142f5b2ccb82e92eaae3f5903959ce19a3ee1f190cd09117479908e";
    assert_eq!(InfoHash(state.digest()).to_string(), known);
}
