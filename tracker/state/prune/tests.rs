//! What a floor drops, what stays, and that no user notices: random histories, made as trackers make them.

#![cfg(test)]

use super::*;
use crate::model::id::{CommandId, GroupRef, OpOrder, ShareRef, UserRef};
use crate::model::name::{FileName, GroupId, UserId};
use crate::model::op::{Op, PasswordHash};
use crate::tracker::ledger::accept::{Acceptance, Change, accept};
use crate::tracker::ledger::operator::{OperatorChange, accept_operator};
use crate::tracker::state::tests::{content, histories};
use crate::tracker::state::{CommandOwner, Membership};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use std::collections::BTreeSet;
use std::convert::Infallible;

/// A single tracker.
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
fn a_hidden_entity_goes_with_the_second_floor() {
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
fn an_entity_named_above_the_floor_before_stays() {
    let mut lone = Lone::new();
    let group = lone.create_group("g");
    let share = lone.share(group, 1);
    lone.leave(group);
    lone.prune();
    // The group has no member, so it stays hidden.
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
fn an_alias_goes_and_its_entity_stays() {
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
    // The state still knows its ops, and its commands count as carried out.
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
    let commands = state.user_row(crate::tracker::state::tables::UserNo(0)).commands.len();
    assert_eq!(bytes(state).len(), bytes(&Lone::new().state).len() + commands * (16 + 12));
}

/// A tracker in a random history.
struct Site {
    origin: Origin,
    /// All ops that it has received, including those below its floor.
    ops: BTreeMap<OpOrder, Op>,
    /// The fold of all `ops`, never pruned.
    whole: State,
    /// The base of its last floor.
    base: State,
    /// The base and all ops above it.
    live: State,
    /// How many floors it has established.
    floors: usize,
}

impl Site {
    fn new(tracker: u16) -> Self {
        let (whole, base, live) = Default::default();
        let origin = Origin { tracker, incarnation: 1 };
        Self { origin, ops: BTreeMap::new(), whole, base, live, floors: 0 }
    }

    /// Issues an op.
    fn issue(&mut self, command: CommandId, body: OpBody) -> Op {
        let id = OpId { origin: self.origin, seq: self.live.seen(self.origin) + 1 };
        let op = Op { id, lamport: self.live.lamport() + 1, command, body };
        self.ops.insert(op.order(), op.clone());
        self.whole.apply(&op);
        self.live.apply(&op);
        assert_eq!(self.live.caused(), self.whole.caused());
        op
    }

    /// Whether the user who asks for a change has become an alias. The login of such a user has ended.
    fn is_over(&self, change: &Change) -> bool {
        change.user().is_some_and(|user| self.whole.canonical(user.0) != user.0)
    }

    fn submit(&mut self, command: CommandId, change: &Change) {
        if self.is_over(change) {
            return;
        }
        let known = self.live.knows_command(change.owner(), command);
        assert_eq!(known, self.whole.knows_command(change.owner(), command));
        let accepted = accept(&self.live, change);
        assert_eq!(accepted, accept(&self.whole, change));
        if let (false, Ok(Acceptance::Op(body))) = (known, accepted) {
            self.issue(command, body);
        }
    }

    /// Takes the ops of another site up to a Lamport counter.
    fn take(&mut self, ops: &BTreeMap<OpOrder, Op>, through: u64) {
        let before = self.ops.len();
        let new = ops.iter().filter(|(order, _)| order.lamport <= through);
        self.ops.extend(new.map(|(order, op)| (*order, op.clone())));
        if self.ops.len() > before {
            self.whole = State::new();
            self.ops.values().for_each(|op| self.whole.apply(op));
            self.live = self.base.clone();
            self.above_floor().iter().for_each(|op| self.live.apply(op));
        }
    }

    fn above_floor(&self) -> Vec<Op> {
        self.ops.values().filter(|op| op.lamport > self.base.floor()).cloned().collect()
    }

    fn establish(&mut self, lamport: u64) -> Dropped {
        let above = self.above_floor();
        let (below, above): (Vec<_>, Vec<_>) = above.into_iter().partition(|op| op.lamport <= lamport);
        below.iter().for_each(|op| self.base.apply(op));
        let dropped = self.base.prune(lamport);
        self.base.check();
        self.live = self.base.clone();
        above.iter().for_each(|op| self.live.apply(op));
        self.floors += 1;
        dropped
    }
}

/// A floor that is being agreed on.
struct Agreement {
    lamport: u64,
    /// The sites that hold all ops up to there. The floor is settled once all sites do.
    ready: BTreeSet<usize>,
    promised: BTreeSet<usize>,
}

/// Trackers that take changes, exchange ops now and then, and agree on floors.
struct World {
    sites: Vec<Site>,
    /// The floors that all sites have promised.
    floors: Vec<u64>,
    agreement: Option<Agreement>,
    /// The highest Lamport counter of a promise: the next floor is not below it.
    promised_at: u64,
    /// Earlier requests, to be repeated.
    commands: Vec<(CommandId, Change)>,
    dropped: Dropped,
}

/// The dice for one step.
type Roll = (u8, u8, u8, u8, u8, u8);

impl World {
    fn play(rolls: &[Roll]) -> Self {
        let sites = (1..=3).map(Site::new).collect();
        let (floors, agreement, commands) = Default::default();
        let mut world = Self { sites, floors, agreement, promised_at: 0, commands, dropped: Dropped::default() };
        for roll in rolls {
            world.step(*roll);
        }
        world
    }

    fn step(&mut self, (kind, at, a, b, c, d): Roll) {
        let at = usize::from(at) % self.sites.len();
        match kind {
            0..=139 => {
                let Some(change) = change(&self.sites[at].live, (kind, a, b, c, d)) else { return };
                let command = CommandId((self.commands.len() as u128).to_be_bytes());
                self.sites[at].submit(command, &change);
                self.commands.push((command, change));
            }
            140..=154 if !self.commands.is_empty() => {
                // A client that had no answer asks another tracker.
                let (command, change) = &self.commands[self.commands.len().saturating_sub(1 + usize::from(a % 8))];
                self.sites[at].submit(*command, change);
            }
            155..=178 => {
                let from = (at + 1 + usize::from(a) % 2) % self.sites.len();
                let given = self.sites[from].ops.clone();
                let through = if b < 100 { self.sites[from].live.lamport() / 2 } else { u64::MAX };
                self.sites[at].take(&given, through);
            }
            185..=189 => self.sites[at].origin.incarnation += 1,
            190..=191 => {
                self.sites[at].issue(CommandId::NONE, OpBody::ForgetTracker { tracker: 1 + u16::from(a % 3) });
            }
            179..=184 => {
                let change = operator_change((kind, a, b));
                if let Ok(Acceptance::Op(body)) = accept_operator(&self.sites[at].live, &change) {
                    let command = CommandId([kind, at as u8, a, b, c, d, 0xee, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
                    self.sites[at].issue(command, body);
                }
            }
            192..=193 => {
                self.sites[at].issue(CommandId::NONE, OpBody::UnforgetTracker { tracker: 1 + u16::from(a % 3) });
            }
            _ => self.go_on_with_floor(at),
        }
        self.compare(at);
    }

    /// One tracker's next step to a floor.
    fn go_on_with_floor(&mut self, at: usize) {
        if self.sites[at].floors < self.floors.len() {
            let lamport = self.floors[self.sites[at].floors];
            self.establish(at, lamport);
            return;
        }
        // Stands for the votes by which a tracker is ready and promises. After it the tracker's counter is above the
        // floor.
        let vote = OpBody::UnforgetTracker { tracker: 99 };
        let Some(agreement) = &mut self.agreement else {
            let lamport = self.sites[at].live.lamport();
            let all = self.sites.iter().all(|site| site.floors == self.floors.len());
            if all && lamport > self.sites[at].live.floor() && lamport >= self.promised_at {
                self.agreement = Some(Agreement { lamport, ready: BTreeSet::new(), promised: BTreeSet::new() });
            }
            return;
        };
        let lamport = agreement.lamport;
        if !agreement.ready.contains(&at) {
            // The site's clock passes the floor first, so that the site issues nothing below it.
            let given: Vec<_> = self.sites.iter().map(|site| site.ops.clone()).collect();
            given.iter().for_each(|ops| self.sites[at].take(ops, lamport));
            self.sites[at].issue(CommandId::NONE, vote);
            agreement.ready.insert(at);
        } else if agreement.ready.len() == self.sites.len() && agreement.promised.insert(at) {
            let given: Vec<_> = self.sites.iter().map(|site| site.ops.clone()).collect();
            given.iter().for_each(|ops| self.sites[at].take(ops, lamport));
            let op = self.sites[at].issue(CommandId::NONE, vote);
            self.promised_at = self.promised_at.max(op.lamport);
            if agreement.promised.len() == self.sites.len() {
                self.floors.push(lamport);
                self.agreement = None;
            }
        }
    }

    fn establish(&mut self, at: usize, lamport: u64) {
        let dropped = self.sites[at].establish(lamport);
        let floors = self.sites[at].floors;
        for other in self.sites.iter().filter(|site| site.floors == floors) {
            assert_eq!(bytes(&other.base), bytes(&self.sites[at].base), "the base of floor {floors}");
        }
        self.dropped = sum(self.dropped, dropped);
    }

    /// Users see the same at a tracker as if no floor had dropped anything.
    fn compare(&self, at: usize) {
        let Site { whole, live, .. } = &self.sites[at];
        live.check();
        assert_eq!(view(live), view(whole));
        for (command, change) in self.commands.iter().filter(|(_, change)| !self.sites[at].is_over(change)) {
            assert_eq!(live.knows_command(change.owner(), *command), whole.knows_command(change.owner(), *command));
            let (op, first) = (live.command(change.owner(), *command), whole.command(change.owner(), *command));
            assert!(op == first || op.is_none());
        }
    }

    /// All sites exchange their ops and establish all floors.
    fn meet(&mut self) {
        for at in 0..self.sites.len() {
            while self.sites[at].floors < self.floors.len() {
                self.establish(at, self.floors[self.sites[at].floors]);
            }
        }
        let given: Vec<_> = self.sites.iter().map(|site| site.ops.clone()).collect();
        for at in 0..self.sites.len() {
            given.iter().for_each(|ops| self.sites[at].take(ops, u64::MAX));
            self.compare(at);
            assert_eq!(bytes(&self.sites[at].live), bytes(&self.sites[0].live));
        }
    }
}

fn sum(a: Dropped, b: Dropped) -> Dropped {
    Dropped {
        groups: a.groups + b.groups,
        shares: a.shares + b.shares,
        aliases: a.aliases + b.aliases,
        origins: a.origins + b.origins,
    }
}

/// A change that a user of this tracker may ask for.
fn change(state: &State, (kind, a, b, c, d): (u8, u8, u8, u8, u8)) -> Option<Change> {
    let user_name = |n: u8| UserId::parse(["ann", "ben", "cat"][usize::from(n) % 3]).expect("a name");
    let group = GroupId::parse(["x", "y"][usize::from(b) % 2]).expect("a name");
    let name = FileName::parse(["f", "g"][usize::from(c) % 2]).expect("a name");
    let Some(user) = state.user_named(&user_name(a)) else {
        return Some(Change::CreateUser { name: user_name(a), password: PasswordHash("p".into()) });
    };
    let target = user_name(c);
    Some(match kind % 16 {
        0 | 1 => Change::CreateGroup { user, group },
        2 | 3 => Change::JoinGroup { user, group },
        4 | 5 => Change::AcceptRequest { user, group, target },
        6 => {
            let of = state.group_named(&group)?;
            let (_, target) = state.requests_after(of, None, 1).pop()?;
            Change::RejectRequest { user: state.owner(of)?, group, target }
        }
        7 | 8 => Change::LeaveGroup { user, group },
        9 => Change::RemoveMember { user, group, target },
        10 | 11 => Change::Share { user, group, name, content: content(d % 2) },
        12 | 13 => Change::StopShare { user, group, name },
        // Most of the users read late, so that there are too many notices now and then.
        15 if d % 8 == 0 => {
            let (through, _) = *state.notices(user, 9).last()?;
            Change::ReadNotices { user, through, shown: state.notices_digest(user, through) }
        }
        _ => {
            let former = state.account(user)?.password_op;
            Change::ChangePassword { user, former, password: PasswordHash("q".into()) }
        }
    })
}

/// A change that an operator may make.
fn operator_change((kind, a, b): (u8, u8, u8)) -> OperatorChange {
    let user = UserId::parse(["ann", "ben", "cat"][usize::from(a) % 3]).expect("a name");
    let group = GroupId::parse(["x", "y"][usize::from(b) % 2]).expect("a name");
    match kind {
        // Rare, because a deletion is final.
        179 if a % 8 == 0 => OperatorChange::DeleteUser { user },
        179 | 180 => OperatorChange::ResetPassword { user, password: PasswordHash("r".into()) },
        181 if b % 8 == 0 => OperatorChange::DisableUser { user },
        181 | 182 => OperatorChange::EnableUser { user },
        183 => OperatorChange::GiveGroup { group, user },
        _ => OperatorChange::DeleteGroup { group },
    }
}

/// Everything that users and operators see, in words.
fn view(state: &State) -> String {
    let mut out = format!("{} {} {:?}", state.op_count(), state.lamport(), state.last());
    out += &format!(" {:?}\n", state.forgotten().collect::<Vec<_>>());
    for user in state.users.values() {
        let account = state.account(UserRef(user.id));
        out += &format!("{account:?} {:?}\n", state.notices(UserRef(user.id), 99));
    }
    for info in state.groups_after(None, 99, UserRef(OpId { origin: Origin { tracker: 0, incarnation: 0 }, seq: 0 })) {
        let group = info.group;
        let (members, waiting) = (state.members_after(group, None, 99), state.requests_after(group, None, 99));
        out += &format!("{info:?} {:?} {members:?} {waiting:?}\n", state.chain(group));
        for file in state.files_after(group, None, 99) {
            out += &format!("{file:?} {:?}\n", state.sharers(file.share).collect::<Vec<_>>());
        }
    }
    out
}

fn bytes(state: &State) -> Vec<u8> {
    let mut bytes = Vec::new();
    let Ok(()) = state.encode(|part| {
        bytes.extend_from_slice(part);
        Ok::<(), Infallible>(())
    });
    bytes
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

    /// Holds also for ops about forgotten entities, which no tracker would issue.
    #[test]
    fn floors_at_any_time_keep_every_invariant(ops in histories(), floors in vec(0usize..120, 0..6)) {
        let mut state = State::new();
        for (n, op) in ops.iter().enumerate() {
            state.apply(op);
            state.check();
            if floors.contains(&n) {
                state.prune(state.lamport());
                state.check();
                let decoded = State::decode(&bytes(&state)).expect("its own form");
                decoded.check();
                prop_assert_eq!(bytes(&decoded), bytes(&state));
            }
        }
    }

    #[test]
    fn nobody_notices_what_is_dropped(rolls in vec(any::<Roll>(), 0..250)) {
        World::play(&rolls).meet();
    }

    /// A state has the same bytes whatever way it came about.
    #[test]
    fn states_above_a_floor_are_byte_equal_by_whatever_way(rolls in vec(any::<Roll>(), 0..250), cut in any::<u16>()) {
        let mut world = World::play(&rolls);
        world.meet();
        let Site { ops, live, .. } = &world.sites[0];
        let ops: Vec<_> = ops.values().collect();
        // Folds from the first op on, with copies that took other ways.
        let (mut straight, mut floors) = (State::new(), world.floors.iter().copied().peekable());
        let cut = usize::from(cut) % (ops.len() + 1);
        for (n, op) in ops.iter().enumerate() {
            while floors.next_if(|&floor| floor < op.lamport).is_some() {
                let below = ops[..n].iter().map(|op| op.lamport).max().unwrap_or(0);
                let floor = world.floors[world.floors.len() - floors.clone().count() - 1];
                assert!(below <= floor);
                straight.prune(floor);
            }
            if n == cut {
                // Encodes and decodes the state, and folds the known ops once more.
                straight = State::decode(&bytes(&straight)).expect("its own form");
                ops[..n].iter().for_each(|op| straight.apply(op));
            }
            if n % 32 == 7 {
                let mut aside = straight.clone();
                ops[n + 1..].iter().for_each(|op| aside.apply(op));
            }
            straight.apply(op);
        }
        for floor in floors {
            straight.prune(floor);
        }
        prop_assert_eq!(bytes(&straight), bytes(live));
        (straight.told, straight.caused) = (0, Vec::new());
        let decoded = State::decode(&bytes(live)).expect("its own form");
        prop_assert_eq!(format!("{decoded:?}"), format!("{straight:?}"));
    }
}

/// The random histories contain the cases that they exist for.
#[test]
fn histories_at_random_drop_something_of_every_kind_and_count_notices() {
    let (mut dropped, mut counted) = (Dropped::default(), 0);
    let mut runner = TestRunner::deterministic();
    for _ in 0..20 {
        let rolls = vec(any::<Roll>(), 250).new_tree(&mut runner).expect("no filter").current();
        let world = World::play(&rolls);
        dropped = sum(dropped, world.dropped);
        counted += world.sites[0].live.notices.values().filter(|notice| notice.count() > 1).count();
    }
    let Dropped { groups, shares, aliases, origins } = dropped;
    assert!(groups > 5 && shares > 3 && aliases > 5 && origins > 5, "{dropped:?}");
    assert!(counted > 1, "{counted} users have had too many notices");
}
