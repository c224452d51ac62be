//! Effects: what an op that was folded means to single users. Whoever is logged in is told once the op is durable.

use super::{Standing, State, UserNo};
use crate::model::id::{GroupRef, OpOrder, ShareRef, UserRef};
use crate::model::notice::Notice;
use crate::model::op::{Op, OpBody};
use std::collections::{BTreeMap, BTreeSet, HashSet};

/// A message to one user, on all clients.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Effect {
    /// To whom.
    pub to: UserRef,
    /// What.
    pub what: Told,
}

/// What a user is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Told {
    /// The user is a member of this group from now on.
    Joined {
        /// Which group.
        group: GroupRef,
    },
    /// The user is no longer a member, and shares nothing there any more.
    Departed {
        /// Which group.
        group: GroupRef,
    },
    /// The key of a group of which the user is a member is another, or its name.
    KeyChanged {
        /// Which group.
        group: GroupRef,
    },
    /// The user shares this no longer. Not told with a departure from its group.
    ShareEnded {
        /// What.
        share: ShareRef,
    },
    /// The password was changed: logins made with the one before are over.
    PasswordChanged,
    /// Somebody asks to be let into a group of which the user is the owner.
    Requested {
        /// Which group.
        group: GroupRef,
        /// Who asks.
        user: UserRef,
    },
    /// There is a notice that the user has not read.
    Noticed {
        /// Its place, for marking it as read.
        order: OpOrder,
        /// What it says.
        notice: Notice,
    },
}

impl State {
    /// What the op that was folded last has caused. A departure also changes the key of those who stay, who are not
    /// listed. All ids are canonical.
    pub fn caused(&self) -> &[Effect] {
        &self.caused
    }

    pub(super) fn cause(&mut self, to: UserNo, what: Told) {
        let to = UserRef(self.user_row(to).id);
        self.caused.push(Effect { to, what });
    }
}

/// Whom and what some ops may have meant something to, wherever they stand in the order.
///
/// Some may be there several times.
#[derive(Debug, Default)]
pub struct Candidates {
    users: Vec<UserRef>,
    memberships: Vec<(GroupRef, UserRef)>,
    departures: Vec<(GroupRef, UserRef)>,
    sharers: Vec<(ShareRef, UserRef)>,
}

impl Candidates {
    /// Takes note of an op.
    pub fn note(&mut self, op: &Op) {
        let mut member = |group, user| {
            self.memberships.push((group, user));
            self.users.push(user);
        };
        match op.body {
            OpBody::CreateUser { .. } => self.users.push(UserRef(op.id)),
            OpBody::ChangePassword { user, .. } | OpBody::ReadNotices { user, .. } => self.users.push(user),
            OpBody::CreateGroup { founder, .. } => member(GroupRef(op.id), founder),
            OpBody::RequestJoin { group, user } => member(group, user),
            OpBody::AcceptRequest { group, user, by } | OpBody::RejectRequest { group, user, by } => {
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

/// Sorts, and leaves out what is there twice.
fn each_once<T: Ord>(list: &mut Vec<T>) {
    list.sort_unstable();
    list.dedup();
}

/// What it means to single users that some ops were folded, among them late ones, after which anything may be different
/// from before. `candidates` has all ops that were folded since the last state that both have in common.
pub fn between(before: &State, after: &State, candidates: Candidates) -> Vec<Effect> {
    let Candidates { mut users, mut memberships, mut departures, mut sharers } = candidates;
    each_once(&mut departures);
    sharers.extend(departures.into_iter().flat_map(|(group, user)| shared_in(before, after, group, user)));
    each_once(&mut memberships);
    each_once(&mut sharers);
    each_once(&mut users);
    let mut out = Vec::new();
    let mut tell = |to: UserRef, what| out.push(Effect { to, what });
    let user_after = |user: UserRef| UserRef(after.canonical(user.0));
    // What turned out to be the same as another went by an id of its own before, or the other did.
    let (mut standings, mut rekeyed, mut departed) = (BTreeMap::new(), BTreeSet::new(), BTreeSet::new());
    let mut groups = HashSet::new();
    for (group, user) in memberships {
        let own = (GroupRef(after.canonical(group.0)), user_after(user));
        let (member, waiting) = standings.entry(own).or_insert((false, false));
        // Nearly always they are the same.
        let ids = [own, (own.0, user), (group, own.1), (group, user)];
        for (group, user) in ids.into_iter().take(if own == (group, user) { 1 } else { ids.len() }) {
            let standing = before.standing(group, user);
            *member |= matches!(standing, Standing::Member | Standing::Owner);
            *waiting |= standing == Standing::Waiting;
        }
        for group in [own.0, group] {
            if !groups.insert(group) {
                continue;
            }
            let key = |state: &State| {
                state.chain(group).map(|chain| (state.canonical(group.0), chain, state.group_name(group)))
            };
            if key(before).is_some_and(|key_before| key(after) != Some(key_before)) {
                rekeyed.insert(own.0);
            }
            // Whoever waited is told when the last member leaves.
            users.extend(before.waiting(group).chain(after.waiting(group)));
        }
    }
    for ((group, user), (member, waiting)) in standings {
        match (member, after.is_member(group, user)) {
            (false, true) => tell(user, Told::Joined { group }),
            (true, false) => {
                departed.insert((group, user));
                tell(user, Told::Departed { group });
            }
            _ => {}
        }
        if let (false, true, Some(owner)) = (waiting, after.is_waiting(group, user), after.owner(group)) {
            tell(owner, Told::Requested { group, user });
        }
    }
    for group in rekeyed {
        after.members(group).for_each(|member| tell(member, Told::KeyChanged { group }));
    }
    for (share, user) in shared(before, after, sharers) {
        // Whoever departs from a group knows that nothing is shared there any more.
        let departs = after.share(share).is_some_and(|info| departed.contains(&(info.group, user)));
        if !departs && !after.is_sharer(share, user) {
            tell(user, Told::ShareEnded { share });
        }
    }
    let mut users: Vec<_> = users.into_iter().map(user_after).collect();
    each_once(&mut users);
    for to in users {
        let password = |state: &State| state.account(to).map(|account| account.password_set_by);
        if password(before).is_some_and(|before| password(after) != Some(before)) {
            tell(to, Told::PasswordChanged);
        }
        let known = before.notices(to, usize::MAX);
        let new = after.notices(to, usize::MAX).into_iter().filter(|notice| !known.contains(notice));
        new.for_each(|(order, notice)| tell(to, Told::Noticed { order, notice }));
    }
    out
}

/// What a user shared in a group that the user departed from on the way, and may be back in.
fn shared_in(before: &State, after: &State, group: GroupRef, user: UserRef) -> Vec<(ShareRef, UserRef)> {
    let groups = [group.0, after.canonical(group.0)].map(|group| GroupRef(before.canonical(group)));
    let users = BTreeSet::from([user, UserRef(after.canonical(user.0))]);
    let shares = users.into_iter().flat_map(|user| before.shares_of(user).map(move |info| (info, user)));
    shares.filter(|(info, _)| groups.contains(&info.group)).map(|(info, user)| (info.share, user)).collect()
}

/// Those of the candidates who shared what they may not share any more, by the ids that hold after it.
fn shared(before: &State, after: &State, candidates: Vec<(ShareRef, UserRef)>) -> BTreeSet<(ShareRef, UserRef)> {
    let user_after = |user: UserRef| UserRef(after.canonical(user.0));
    candidates
        .into_iter()
        .flat_map(|(share, user)| {
            // An alias may also have come to an end: then what it stood for was shared.
            let ids = [share.0, before.canonical(share.0), after.canonical(share.0)];
            let count = if ids == [share.0; 3] { 1 } else { ids.len() };
            ids.into_iter().take(count).map(move |id| (ShareRef(id), user))
        })
        .filter(|&(share, user)| {
            let renamed = user_after(user);
            before.is_sharer(share, user) || (renamed != user && before.is_sharer(share, renamed))
        })
        .map(|(share, user)| (ShareRef(after.canonical(share.0)), user_after(user)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::id::{CommandId, OpId, Origin};
    use crate::model::name::tests::group;
    use crate::model::name::{FileName, UserId};
    use crate::model::op::PasswordHash;
    use crate::model::op::{Op, OpBody};
    use crate::tracker::state::check::{content, histories};
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    /// One tracker's history so far.
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

        /// Folds an op; gives what it told to whom, notices without their place.
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
    fn who_is_let_in_hears_of_it() {
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
    fn who_departs_and_is_let_in_again_in_one_batch_hears_that_the_shares_have_ended() {
        let mut history = History::new();
        let [alice, bob, ..] = history.users;
        let group = history.lab;
        let name = FileName::parse("f").expect("a name");
        let (shared, _) =
            history.fold(OpBody::CreateShare { group, user: bob, name, content: content(1), replaces: None });
        let before = history.state.clone();
        let mut candidates = Candidates::default();
        let leave = OpBody::LeaveGroup { group, user: bob };
        for body in
            [leave, OpBody::RequestJoin { group, user: bob }, OpBody::AcceptRequest { group, user: bob, by: alice }]
        {
            candidates.note(&history.fold(body).0);
        }
        let told = between(&before, &history.state, candidates).into_iter().map(|effect| (effect.to, effect.what));
        let share = ShareRef(shared.id);
        let accepted = history.noticed(Notice::Accepted { group: self::group("lab") });
        let key = Told::KeyChanged { group };
        let expected = [(alice, key.clone()), (bob, key), (bob, Told::ShareEnded { share }), (bob, accepted)];
        assert_eq!(told.collect::<Vec<_>>(), expected);
    }

    #[test]
    fn a_password_change_ends_logins() {
        let mut history = History::new();
        let user = history.users[1];
        let told = history.told(OpBody::ChangePassword { user, password: password() });
        assert_eq!(told, [(user, Told::PasswordChanged)]);
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

        /// Whatever happens, every membership that begins or ends and every new notice is told, once and to the right
        /// user, and nothing else of the kind.
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
                    let new = after.notices(to, 999).into_iter().filter(|notice| !before.notices(to, 999).contains(notice));
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
