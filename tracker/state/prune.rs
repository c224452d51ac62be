//! What the base state forgets: whatever is hidden and was not named for long. docs/FOLD.md says why nobody misses it.

use super::tables::{Created, GroupNo, PastOrigin, ShareNo, State};
use crate::model::id::{OpId, Origin};
use std::collections::BTreeMap;

/// How many dropped origins of a tracker are known: those with the latest ops. Few in tests.
const PAST_MAX: usize = if cfg!(test) { 2 } else { 1024 };

/// How much was dropped.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Dropped {
    pub groups: usize,
    pub shares: usize,
    pub aliases: usize,
    pub origins: usize,
}

/// What became of an op.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// What it made is there, visible or hidden.
    Known,
    /// It was folded, and there is nothing that it made.
    Forgotten,
    /// It was not folded, as far as is known.
    Unheard,
}

/// Forgetting.
impl State {
    /// Makes the fold of all ops up to a Lamport counter the base state of the floor there. Drops what is hidden and
    /// was named by no op above the floor before.
    pub fn prune(&mut self, lamport: u64) -> Dropped {
        let before = self.floor;
        self.floor = lamport;
        Dropped {
            shares: self.drop_shares(before),
            groups: self.drop_groups(before),
            aliases: self.drop_aliases(before),
            origins: self.drop_origins(before),
        }
    }

    /// What became of the op of this id.
    pub fn fate(&self, id: OpId) -> Fate {
        if self.created(id).is_some() {
            Fate::Known
        } else if id.seq <= self.seen(id.origin) {
            Fate::Forgotten
        } else {
            Fate::Unheard
        }
    }

    fn drop_shares(&mut self, before: u64) -> usize {
        let all = (0, ShareNo(0))..=(before, ShareNo(u32::MAX));
        let idle: Vec<_> = self.hidden_shares.range(all).copied().collect();
        for entry in &idle {
            let id = self.share_row(entry.1).id;
            self.made.remove(&id);
            self.shares.remove(entry.1.0);
            self.hidden_shares.remove(entry);
        }
        idle.len()
    }

    /// Drops groups with their requests. Their shares are gone: those were named no later.
    fn drop_groups(&mut self, before: u64) -> usize {
        let all = (0, GroupNo(0))..=(before, GroupNo(u32::MAX));
        let idle: Vec<_> = self.hidden_groups.range(all).copied().collect();
        for entry in &idle {
            let id = self.group_row(entry.1).id;
            self.made.remove(&id);
            self.groups.remove(entry.1.0);
            self.hidden_groups.remove(entry);
        }
        idle.len()
    }

    fn drop_aliases(&mut self, before: u64) -> usize {
        let old = self.aliases.iter().filter(|(_, alias)| alias.made <= before);
        let old: Vec<_> = old.map(|(&id, alias)| (alias.of, id)).collect();
        for pair in &old {
            self.stand_ins.remove(pair);
            self.aliases.remove(&pair.1);
        }
        old.len()
    }

    /// Drops the origins under which no tracker goes on.
    fn drop_origins(&mut self, before: u64) -> usize {
        let mut latest: BTreeMap<u16, (u64, Origin)> = BTreeMap::new();
        for (&origin, row) in &self.by_origin {
            let latest = latest.entry(origin.tracker).or_insert((row.last, origin));
            *latest = (row.last, origin).max(*latest);
        }
        let gone = |tracker: u16| self.trackers[&tracker].forgotten.is_some_and(|at| at <= before);
        let over = |origin: Origin| latest[&origin.tracker].1 != origin || gone(origin.tracker);
        let old = self.by_origin.iter().filter(|&(&origin, row)| row.last <= before && over(origin));
        let old: Vec<_> = old.map(|(&origin, &row)| (origin, row)).collect();
        for &(origin, row) in &old {
            self.by_origin.remove(&origin);
            self.origins.remove(row.number);
            self.past.insert(origin, PastOrigin { seq: row.seq, last: row.last });
        }
        self.bound_past();
        old.len()
    }

    /// Lets go of the dropped origins that were silent longest, where a tracker has too many.
    fn bound_past(&mut self) {
        let mut by_tracker: BTreeMap<u16, Vec<(u64, Origin)>> = BTreeMap::new();
        for (&origin, past) in &self.past {
            by_tracker.entry(origin.tracker).or_default().push((past.last, origin));
        }
        for mut origins in by_tracker.into_values() {
            origins.sort_unstable();
            let many = origins.len().saturating_sub(PAST_MAX);
            for (_, origin) in &origins[..many] {
                self.past.remove(origin);
            }
        }
    }
}

/// What is hidden, and when it was named last.
impl State {
    /// Takes note that an op names a group.
    pub(super) fn touch_group(&mut self, group: GroupNo) {
        let row = self.group_row(group);
        if row.owner.is_none() && row.idle < self.lamport {
            self.hide_group(group);
        }
    }

    /// Takes note that an op names a share, and so the group in which it is.
    pub(super) fn touch_share(&mut self, share: ShareNo) {
        let row = self.share_row(share);
        let (group, hidden, idle) = (row.group, row.sharer_count == 0, row.idle);
        if hidden {
            if idle < self.lamport {
                self.hide_share(share);
            }
            self.touch_group(group);
        }
    }

    /// Takes note that an op leads to what an earlier one made.
    pub(super) fn touch_made(&mut self, id: OpId) {
        match self.created(id) {
            Some(Created::Group(group)) => self.touch_group(group),
            Some(Created::Share(share)) => self.touch_share(share),
            Some(Created::User(_)) | None => {}
        }
    }

    /// Takes note that a group has no members; the current op is the last that named it.
    pub(super) fn hide_group(&mut self, group: GroupNo) {
        let lamport = self.lamport;
        let before = std::mem::replace(&mut self.group_row_mut(group).idle, lamport);
        self.hidden_groups.remove(&(before, group));
        self.hidden_groups.insert((lamport, group));
    }

    /// Takes note that nobody shares a share; the current op is the last that named it.
    pub(super) fn hide_share(&mut self, share: ShareNo) {
        let lamport = self.lamport;
        let before = std::mem::replace(&mut self.share_row_mut(share).idle, lamport);
        self.hidden_shares.remove(&(before, share));
        self.hidden_shares.insert((lamport, share));
    }

    /// Takes note that a group has a member.
    pub(super) fn unhide_group(&mut self, group: GroupNo) {
        let before = std::mem::take(&mut self.group_row_mut(group).idle);
        self.hidden_groups.remove(&(before, group));
    }

    /// Takes note that somebody shares a share.
    pub(super) fn unhide_share(&mut self, share: ShareNo) {
        let before = std::mem::take(&mut self.share_row_mut(share).idle);
        self.hidden_shares.remove(&(before, share));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::id::{CommandId, GroupRef, ShareRef, UserRef};
    use crate::model::name::{FileName, GroupId, UserId};
    use crate::model::op::{Op, OpBody, PasswordHash};
    use crate::tracker::state::tests::content;
    use crate::tracker::state::{CommandOwner, Membership};

    /// One tracker, alone.
    struct Lone {
        state: State,
        origin: Origin,
        alice: UserRef,
    }

    impl Lone {
        fn new() -> Self {
            let origin = Origin { tracker: 1, incarnation: 1 };
            let mut lone = Self { state: State::new(), origin, alice: UserRef(OpId { origin, seq: 1 }) };
            let name = UserId::parse("alice").expect("a name");
            lone.fold(OpBody::CreateUser { name, password: PasswordHash("p".into()) });
            lone
        }

        /// Folds an op and returns it.
        fn fold(&mut self, body: OpBody) -> Op {
            let command = CommandId(u128::from(self.state.op_count() + 1).to_be_bytes());
            self.fold_as(command, body)
        }

        fn fold_as(&mut self, command: CommandId, body: OpBody) -> Op {
            let id = OpId { origin: self.origin, seq: self.state.seen(self.origin) + 1 };
            let op = Op { id, lamport: self.state.lamport() + 1, command, body };
            self.state.apply(&op);
            self.state.check();
            op
        }

        fn create_group(&mut self, name: &str) -> GroupRef {
            let name = GroupId::parse(name).expect(name);
            GroupRef(self.fold(OpBody::CreateGroup { name, founder: self.alice }).id)
        }

        fn leave(&mut self, group: GroupRef) {
            self.fold(OpBody::LeaveGroup { group, user: self.alice });
        }

        fn share(&mut self, group: GroupRef, n: u8) -> ShareRef {
            let name = FileName::parse("f").expect("a name");
            let body = OpBody::CreateShare { group, user: self.alice, name, content: content(n), replaces: None };
            ShareRef(self.fold(body).id)
        }

        fn prune(&mut self) -> Dropped {
            let dropped = self.state.prune(self.state.lamport());
            self.state.check();
            dropped
        }
    }

    #[test]
    fn what_is_hidden_goes_with_the_second_floor() {
        let mut lone = Lone::new();
        let (kept, left) = (lone.create_group("kept"), lone.create_group("left"));
        let shares = [lone.share(kept, 1), lone.share(left, 2)];
        lone.fold(OpBody::LeaveShare { share: shares[0], user: lone.alice });
        lone.leave(left);
        assert_eq!(lone.prune(), Dropped::default());
        assert_eq!(shares.map(|share| lone.state.fate(share.0)), [Fate::Known; 2]);
        assert_eq!(lone.prune(), Dropped { groups: 1, shares: 2, aliases: 0, origins: 0 });
        assert_eq!(shares.map(|share| lone.state.fate(share.0)), [Fate::Forgotten; 2]);
        assert_eq!([kept.0, left.0].map(|id| lone.state.fate(id)), [Fate::Known, Fate::Forgotten]);
        assert_eq!(lone.state.fate(OpId { seq: 99, ..left.0 }), Fate::Unheard);
        assert_eq!(lone.state.membership(kept, lone.alice), Membership::Owner);
        assert_eq!(lone.prune(), Dropped::default());
    }

    #[test]
    fn what_was_named_above_the_floor_before_stays() {
        let mut lone = Lone::new();
        let group = lone.create_group("g");
        let share = lone.share(group, 1);
        lone.leave(group);
        lone.prune();
        // Nobody is a member, so it stays hidden.
        lone.fold(OpBody::JoinShare { share, user: lone.alice });
        assert_eq!(lone.prune(), Dropped::default());
        assert_eq!(lone.prune(), Dropped { groups: 1, shares: 1, aliases: 0, origins: 0 });
    }

    #[test]
    fn requests_go_with_their_group() {
        let mut lone = Lone::new();
        let group = lone.create_group("g");
        lone.leave(group);
        lone.fold(OpBody::RequestJoin { group, user: lone.alice });
        lone.prune();
        assert_eq!(lone.prune().groups, 1);
        assert_eq!(lone.state.membership(group, lone.alice), Membership::Stranger);
    }

    #[test]
    fn an_alias_goes_and_what_it_stood_for_stays() {
        let mut lone = Lone::new();
        let group = lone.create_group("g");
        let (command, name) = (CommandId([9; 16]), GroupId::parse("x").expect("a name"));
        let make = OpBody::CreateGroup { name, founder: lone.alice };
        let first = lone.fold_as(command, make.clone());
        let second = lone.fold_as(command, make);
        lone.leave(group);
        lone.prune();
        assert_eq!(lone.state.canonical(second.id), first.id);
        assert_eq!(lone.prune(), Dropped { groups: 1, shares: 0, aliases: 1, origins: 0 });
        assert_eq!([first.id, second.id].map(|id| lone.state.fate(id)), [Fate::Known, Fate::Forgotten]);
    }

    #[test]
    fn an_origin_goes_once_its_tracker_goes_on_under_another() {
        let mut lone = Lone::new();
        let before = lone.origin;
        let last = lone.create_group("g");
        lone.prune();
        assert_eq!(lone.prune().origins, 0, "its tracker may go on under it");
        lone.origin.incarnation = 2;
        lone.create_group("h");
        assert_eq!(lone.prune().origins, 1);
        assert_eq!(lone.state.version().collect::<Vec<_>>(), [(lone.origin, 1)]);
        // Its ops are known all the same, and its commands count as carried out.
        assert_eq!(lone.state.seen(before), last.0.seq);
        let (owner, command) = (CommandOwner::User(lone.alice), CommandId(2u128.to_be_bytes()));
        assert!(lone.state.knows_command(owner, command));
        assert_eq!(lone.state.command(owner, command), None);
        let name = GroupId::parse("again").expect("a name");
        lone.fold_as(command, OpBody::CreateGroup { name: name.clone(), founder: lone.alice });
        assert_eq!(lone.state.group_named(&name), None, "it was carried out before");
    }

    #[test]
    fn a_late_op_brings_a_dropped_origin_back() {
        let mut lone = Lone::new();
        let before = lone.origin;
        let last = lone.create_group("g");
        lone.prune();
        lone.origin.incarnation = 2;
        lone.create_group("h");
        assert_eq!(lone.prune().origins, 1);
        lone.origin = before;
        let group = lone.create_group("late");
        assert_eq!(group.0, OpId { seq: last.0.seq + 1, ..last.0 });
        assert_eq!(lone.state.fate(group.0), Fate::Known);
        assert_eq!(lone.state.version().count(), 2);
    }

    #[test]
    fn few_dropped_origins_of_a_tracker_are_known() {
        let mut lone = Lone::new();
        for incarnation in 2..=6 {
            lone.origin.incarnation = incarnation;
            lone.create_group(&format!("g{incarnation}"));
        }
        lone.prune();
        assert_eq!(lone.prune().origins, 5);
        let known = (1..=6).filter(|&incarnation| lone.state.seen(Origin { tracker: 1, incarnation }) > 0);
        assert_eq!(known.collect::<Vec<_>>(), [4, 5, 6]);
    }

    #[test]
    fn the_last_origin_of_a_forgotten_tracker_goes() {
        let mut lone = Lone::new();
        lone.origin.tracker = 2;
        lone.create_group("g");
        lone.origin.tracker = 1;
        lone.fold_as(CommandId::NONE, OpBody::ForgetTracker { tracker: 2 });
        assert_eq!(lone.prune().origins, 0);
        assert_eq!(lone.prune().origins, 1);
        assert!(lone.state.is_forgotten(2));
    }

    #[test]
    fn an_op_below_the_floor_changes_nothing() {
        let mut lone = Lone::new();
        lone.create_group("g");
        lone.prune();
        let digest = lone.state.digest();
        let id = OpId { origin: Origin { tracker: 2, incarnation: 1 }, seq: 1 };
        let (body, lamport) = (OpBody::ForgetTracker { tracker: 3 }, lone.state.floor());
        lone.state.apply(&Op { id, lamport, command: CommandId::NONE, body });
        assert_eq!(lone.state.digest(), digest);
    }

    #[test]
    fn nothing_is_left_of_groups_that_came_and_went() {
        let mut lone = Lone::new();
        let state = &mut lone.state;
        for n in 0..100_000u32 {
            for leaves in [false, true] {
                let id = OpId { origin: lone.origin, seq: state.seen(lone.origin) + 1 };
                let name = GroupId::parse(&format!("g{n}")).expect("a name");
                let group = GroupRef(OpId { seq: id.seq - 1, ..id });
                let body = match leaves {
                    false => OpBody::CreateGroup { name, founder: lone.alice },
                    true => OpBody::LeaveGroup { group, user: lone.alice },
                };
                let command = CommandId(u128::from(id.seq).to_be_bytes());
                state.apply(&Op { id, lamport: id.seq, command, body });
            }
        }
        assert_eq!(lone.prune(), Dropped::default());
        assert_eq!(lone.prune(), Dropped { groups: 100_000, ..Dropped::default() });
        let state = &lone.state;
        assert_eq!((state.groups.len(), state.groups.used(), state.hidden_groups.len()), (0, 100_000, 0));
        assert_eq!((state.made.len(), state.users.len(), state.origins.len()), (1, 1, 1));
        assert_eq!((state.group_names.len(), state.notices.len(), state.aliases.len()), (0, 0, 0));
        let form = |state: &State| {
            let mut len = 0;
            let Ok(()) = state.encode(|part| {
                len += part.len();
                Ok::<(), std::convert::Infallible>(())
            });
            len
        };
        let commands = state.user_row(crate::tracker::state::tables::UserNo(0)).commands.len();
        assert_eq!(form(state), form(&Lone::new().state) + commands * (16 + 12));
    }
}
