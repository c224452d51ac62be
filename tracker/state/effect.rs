//! Effects: what an op means to single users. The notifier tells those who are logged in once the op is durable.

use crate::model::id::{GroupRef, OpOrder, ShareRef, UserRef};
use crate::model::notice::Notice;

/// A message to one user, on all clients.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Effect {
    pub to: UserRef,
    pub what: Told,
}

/// What a user is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Told {
    /// The user is a member of this group from now on.
    Joined { group: GroupRef },
    /// The user is no longer a member, and shares nothing in the group any more.
    Departed { group: GroupRef },
    /// A group of which the user is a member has another key or another name.
    KeyChanged { group: GroupRef },
    /// The user shares this no longer. A departure from the group implies this without a message.
    ShareEnded { share: ShareRef },
    /// The user shares this no longer: its author has shared a new version in its place.
    Superseded { old: ShareRef, new: ShareRef },
    /// Logins from before are over: the password was changed, or an operator has ended them.
    SessionsEnded,
    /// A user asks to join a group that this user owns.
    Requested { group: GroupRef, user: UserRef },
    /// There is a notice that the user has not read.
    Noticed {
        /// Its place, for marking it as read.
        order: OpOrder,
        notice: Notice,
    },
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::id::{CommandId, OpId, Origin};
    use crate::model::name::tests::group;
    use crate::model::name::{FileName, UserId};
    use crate::model::op::PasswordHash;
    use crate::model::op::{Op, OpBody};
    use crate::tracker::state::State;
    use crate::tracker::state::difference::{Affected, effects_between};
    use crate::tracker::state::tests::{content, histories};
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    /// The history of one tracker.
    struct History {
        state: State,
        users: [UserRef; 4],
        lab: GroupRef,
    }

    const ORIGIN: Origin = Origin { tracker: 1, incarnation: 1 };

    fn password() -> PasswordHash {
        PasswordHash("p".into())
    }

    impl History {
        /// Alice founded `lab`, bob is a member, carol waits to be let in, dave is nothing there.
        fn new() -> Self {
            let nothing = OpId { origin: ORIGIN, seq: 0 };
            let (users, lab) = ([UserRef(nothing); 4], GroupRef(nothing));
            let mut history = Self { state: State::new(), users, lab };
            for (i, name) in ["alice", "bob", "carol", "dave"].into_iter().enumerate() {
                let name = UserId::parse(name).expect(name);
                history.users[i] = UserRef(history.fold(OpBody::CreateUser { name, password: password() }).0.id);
            }
            let [alice, bob, carol, _] = history.users;
            let founding = OpBody::CreateGroup { name: group("lab"), founder: alice };
            history.lab = GroupRef(history.fold(founding).0.id);
            let group = history.lab;
            history.fold(OpBody::RequestJoin { group, user: bob });
            history.fold(OpBody::AcceptRequest { group, user: bob, by: alice });
            history.fold(OpBody::RequestJoin { group, user: carol });
            history
        }

        fn fold(&mut self, body: OpBody) -> (Op, Vec<Effect>) {
            let id = OpId { origin: ORIGIN, seq: self.state.seen(ORIGIN) + 1 };
            let command = CommandId(u128::from(id.seq).to_be_bytes());
            let op = Op { id, lamport: self.state.lamport() + 1, command, body };
            self.state.apply(&op);
            (op, self.state.caused().to_vec())
        }

        /// Folds an op. Returns the messages that it causes, with their recipients. Leaves out the places of notices.
        fn told(&mut self, body: OpBody) -> Vec<(UserRef, Told)> {
            let (op, effects) = self.fold(body);
            for effect in &effects {
                if let Told::Noticed { order, .. } = effect.what {
                    assert_eq!(order, op.order());
                }
            }
            effects.into_iter().map(|effect| (effect.to, effect.what)).collect()
        }

        fn noticed(&self, notice: Notice) -> Told {
            Told::Noticed { order: self.state.last().expect("not empty"), notice }
        }
    }

    #[test]
    fn the_owner_hears_of_a_request_once() {
        let mut history = History::new();
        let [alice, _, _, dave] = history.users;
        let group = history.lab;
        let ask = OpBody::RequestJoin { group, user: dave };
        assert_eq!(history.told(ask.clone()), [(alice, Told::Requested { group, user: dave })]);
        assert_eq!(history.told(ask), []);
    }

    #[test]
    fn an_accepted_user_hears_of_it_once() {
        let mut history = History::new();
        let [alice, _, carol, _] = history.users;
        let group = history.lab;
        let told = history.told(OpBody::AcceptRequest { group, user: carol, by: alice });
        let notice = history.noticed(Notice::Accepted { group: self::group("lab") });
        assert_eq!(told, [(carol, Told::Joined { group }), (carol, notice)]);
        assert_eq!(history.told(OpBody::AcceptRequest { group, user: carol, by: alice }), []);
    }

    #[test]
    fn a_founder_is_a_member_at_once() {
        let mut history = History::new();
        let founder = history.users[3];
        let (op, effects) = history.fold(OpBody::CreateGroup { name: group("x"), founder });
        assert_eq!(effects, [Effect { to: founder, what: Told::Joined { group: GroupRef(op.id) } }]);
    }

    #[test]
    fn departures_are_told_to_those_who_depart_and_to_those_who_waited() {
        let mut history = History::new();
        let [alice, bob, carol, _] = history.users;
        let group = history.lab;
        let told = history.told(OpBody::RemoveMember { group, user: bob, by: alice });
        let departed = Told::Departed { group };
        let notice = history.noticed(Notice::Removed { group: self::group("lab") });
        assert_eq!(told, [(bob, departed), (bob, notice)]);

        let told = history.told(OpBody::LeaveGroup { group, user: alice });
        let departed = Told::Departed { group };
        let notice = history.noticed(Notice::Rejected { group: self::group("lab") });
        assert_eq!(told, [(alice, departed), (carol, notice)], "carol waited, and nobody is left");
    }

    #[test]
    fn a_withdrawn_request_is_no_departure() {
        let mut history = History::new();
        let (group, user) = (history.lab, history.users[2]);
        assert_eq!(history.told(OpBody::LeaveGroup { group, user }), []);
    }

    #[test]
    fn a_share_that_ends_or_is_replaced_is_told_to_its_sharer() {
        let mut history = History::new();
        let (group, user) = (history.lab, history.users[1]);
        let create = |n, replaces| {
            let name = FileName::parse("f").expect("a name");
            OpBody::CreateShare { group, user, name, content: content(n), replaces }
        };
        let (op, told) = history.fold(create(1, None));
        assert_eq!(told, []);
        let first = ShareRef(op.id);
        let (op, told) = history.fold(create(2, Some(first)));
        assert_eq!(told, [Effect { to: user, what: Told::ShareEnded { share: first } }]);
        let share = ShareRef(op.id);
        let ended = [(user, Told::ShareEnded { share })];
        assert_eq!(history.told(OpBody::LeaveShare { share, user }), ended);
        assert_eq!(history.told(OpBody::LeaveShare { share, user }), []);
    }

    #[test]
    fn a_user_who_departs_and_is_let_in_again_in_one_batch_hears_that_the_shares_have_ended() {
        let mut history = History::new();
        let [alice, bob, ..] = history.users;
        let group = history.lab;
        let name = FileName::parse("f").expect("a name");
        let (shared, _) =
            history.fold(OpBody::CreateShare { group, user: bob, name, content: content(1), replaces: None });
        let before = history.state.clone();
        let mut candidates = Affected::default();
        let leave = OpBody::LeaveGroup { group, user: bob };
        for body in
            [leave, OpBody::RequestJoin { group, user: bob }, OpBody::AcceptRequest { group, user: bob, by: alice }]
        {
            let (op, caused) = history.fold(body);
            candidates.note(&op, &caused);
        }
        let told =
            effects_between(&before, &history.state, candidates).into_iter().map(|effect| (effect.to, effect.what));
        let share = ShareRef(shared.id);
        let accepted = history.noticed(Notice::Accepted { group: self::group("lab") });
        let key = Told::KeyChanged { group };
        let expected = [(alice, key.clone()), (bob, key), (bob, Told::ShareEnded { share }), (bob, accepted)];
        assert_eq!(told.collect::<Vec<_>>(), expected);
    }

    /// Bob succeeds alice for a moment only: he is a member neither before nor after.
    #[test]
    fn a_late_deletion_is_told_also_in_a_group_that_is_deleted_since() {
        let History { state, users: [alice, bob, ..], lab } = History::new();
        let elsewhere = Origin { tracker: 2, incarnation: 1 };
        let op = |origin, ahead, body| {
            let id = OpId { origin, seq: state.seen(origin) + 1 };
            Op { id, lamport: state.lamport() + ahead, command: CommandId([ahead as u8; 16]), body }
        };
        let late = op(elsewhere, 1, OpBody::DeleteUser { user: alice });
        let known = op(ORIGIN, 2, OpBody::DeleteGroup { group: lab });
        let (mut before, mut after, mut candidates) = (state.clone(), state.clone(), Affected::default());
        before.apply(&known);
        for op in [&late, &known] {
            after.apply(op);
            candidates.note(op, after.caused());
        }
        let effects = effects_between(&before, &after, candidates);
        let told = effects.iter().filter(|effect| effect.to == bob).map(|effect| effect.what.clone());
        let notice = Notice::GroupGiven { group: group("lab") };
        assert_eq!(told.collect::<Vec<_>>(), [Told::Noticed { order: late.order(), notice }]);
        assert!(effects.contains(&Effect { to: alice, what: Told::SessionsEnded }));
    }

    #[test]
    fn a_password_change_ends_logins() {
        let mut history = History::new();
        let user = history.users[1];
        let told = history.told(OpBody::ChangePassword { user, former: user.0, password: password() });
        assert_eq!(told, [(user, Told::SessionsEnded)]);
    }

    #[test]
    fn overridden_decisions_and_renamed_things_are_told_to_their_authors() {
        let mut history = History::new();
        let [alice, bob, _, dave] = history.users;
        let group = history.lab;
        let told = history.told(OpBody::AcceptRequest { group, user: dave, by: alice });
        let (lab, user) = (self::group("lab"), UserId::parse("dave").expect("a name"));
        assert_eq!(told, [(alice, history.noticed(Notice::DecisionOverridden { group: lab.clone(), user }))]);

        let (op, effects) = history.fold(OpBody::CreateGroup { name: lab.clone(), founder: bob });
        let renamed = history.noticed(Notice::GroupRenamed { from: lab.clone(), to: lab.with_suffix(2) });
        let joined = Told::Joined { group: GroupRef(op.id) };
        assert_eq!(effects, [Effect { to: bob, what: joined }, Effect { to: bob, what: renamed }]);
    }

    #[test]
    fn ids_of_repeated_commands_are_told_by_their_real_ids() {
        let mut history = History::new();
        let [alice, bob, ..] = history.users;
        let repeat = Op {
            id: OpId { origin: ORIGIN, seq: history.state.seen(ORIGIN) + 1 },
            lamport: history.state.lamport() + 1,
            // The command that made the group.
            command: CommandId(u128::from(history.lab.0.seq).to_be_bytes()),
            body: OpBody::CreateGroup { name: group("lab"), founder: alice },
        };
        history.state.apply(&repeat);
        assert_eq!(history.state.caused(), []);
        let told = history.told(OpBody::LeaveGroup { group: GroupRef(repeat.id), user: bob });
        let group = history.lab;
        let departed = Told::Departed { group };
        assert_eq!(told, [(bob, departed)]);
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]

        /// Every membership that begins or ends and every new notice is told once, to the right user. Nothing else of
        /// these kinds is told.
        #[test]
        fn nothing_goes_untold_and_nothing_else_is_told(ops in histories()) {
            let mut orders = BTreeSet::new();
            let ops: Vec<Op> = ops.into_iter().filter(|op| orders.insert(op.order())).collect();
            let mut before = State::new();
            for op in &ops {
                let mut after = before.clone();
                after.apply(op);
                let users: BTreeSet<_> = ops.iter().filter_map(|op| after.account(UserRef(op.id))).map(|a| a.user).collect();
                let groups: Vec<_> = ops.iter().map(|op| GroupRef(after.canonical(op.id))).collect();
                let groups: BTreeSet<_> = groups.into_iter().filter(|group| after.chain(*group).is_some()).collect();
                let mut expected = Vec::new();
                for &to in &users {
                    for &group in &groups {
                        match (before.is_member(group, to), after.is_member(group, to)) {
                            (false, true) => expected.push((to, Some(group), true)),
                            (true, false) => expected.push((to, Some(group), false)),
                            _ => {}
                        }
                    }
                    let known = before.notices(to, 999);
                    let is_new = |told: &(_, Notice)| !known.contains(told) && told.1.count() == 1;
                    let new = after.notices(to, 999).into_iter().filter(is_new);
                    expected.extend(new.map(|_| (to, None, true)));
                }
                let told = after.caused().iter().filter_map(|effect| match effect.what {
                    Told::Joined { group } => Some((effect.to, Some(group), true)),
                    Told::Departed { group, .. } => Some((effect.to, Some(group), false)),
                    Told::Noticed { .. } => Some((effect.to, None, true)),
                    _ => None,
                });
                let mut told: Vec<_> = told.collect();
                told.sort_unstable();
                expected.sort_unstable();
                prop_assert_eq!(told, expected, "{:?}", op);
                before = after;
            }
        }
    }
}
