//! Every row of docs/FOLD.md, played on two trackers that lose sight of each other and meet again.

use groupshare::model::digest::{InfoHash, Sha1Digest};
use groupshare::model::id::{CommandId, GroupRef, OpId, OpOrder, Origin, ShareRef, UserRef};
use groupshare::model::manifest::Content;
use groupshare::model::name::{FileName, GroupId, UserId};
use groupshare::model::notice::Notice;
use groupshare::model::op::{Op, OpBody, PasswordHash};
use groupshare::model::piece::{Layout, PIECE_LEN};
use groupshare::tracker::accept::{Accepted, Change, accept};
use groupshare::tracker::state::{Standing, State};
use groupshare::wire::error::Code;
use std::collections::BTreeMap;

/// A tracker that knows these ops.
struct Side {
    origin: Origin,
    ops: BTreeMap<OpOrder, Op>,
    state: State,
    /// Makes names of commands that no other command has.
    commands: u64,
}

fn user(name: &str) -> UserId {
    UserId::parse(name).expect(name)
}

fn group(name: &str) -> GroupId {
    GroupId::parse(name).expect(name)
}

fn file(name: &str) -> FileName {
    FileName::parse(name).expect(name)
}

fn content(n: u8) -> Content {
    Content {
        layout: Layout::new(u64::from(n)).expect("small"),
        sha1: Sha1Digest([n; 20]),
        info_hash: InfoHash([n; 32]),
        file_count: 1,
    }
}

/// The same file, whose size is not told.
fn unmeasured(n: u8) -> Content {
    let layout = Layout::new(u64::from(PIECE_LEN)).expect("one piece");
    Content { layout, info_hash: InfoHash([100 + n; 32]), file_count: 0, ..content(n) }
}

fn password(text: &str) -> PasswordHash {
    PasswordHash(text.into())
}

fn nothing() -> OpId {
    OpId { origin: Origin { tracker: 99, incarnation: 99 }, seq: 99 }
}

impl Side {
    fn new(tracker: u16) -> Self {
        let origin = Origin { tracker, incarnation: 7 };
        Self { origin, ops: BTreeMap::new(), state: State::new(), commands: 0 }
    }

    fn add(&mut self, command: CommandId, body: OpBody) -> Op {
        let id = OpId { origin: self.origin, seq: self.state.seen(self.origin) + 1 };
        let op = Op { id, lamport: self.state.lamport() + 1, command, body };
        self.state.apply(&op);
        self.ops.insert(op.order(), op.clone());
        op
    }

    fn command(&mut self) -> CommandId {
        self.commands += 1;
        CommandId((u128::from(self.origin.tracker) << 64 | u128::from(self.commands)).to_be_bytes())
    }

    fn try_run(&mut self, change: Change) -> Result<Option<Op>, Code> {
        let command = self.command();
        match accept(&self.state, &change).map_err(|refusal| refusal.code)? {
            Accepted::Op(body) => Ok(Some(self.add(command, body))),
            Accepted::Already => Ok(None),
        }
    }

    fn run(&mut self, change: Change) -> Op {
        self.try_run(change).expect("is accepted").expect("needs an op")
    }

    /// Lets time pass, so that what this side does next comes later in the order than what the other side does now.
    fn pause(&mut self) {
        for _ in 0..10 {
            let command = self.command();
            self.add(command, OpBody::LeaveShare { share: ShareRef(nothing()), user: UserRef(nothing()) });
        }
    }

    fn of(&self, name: &str) -> UserRef {
        self.state.user_named(&user(name)).expect(name)
    }

    fn group(&self, name: &str) -> GroupRef {
        self.state.group_named(&group(name)).expect(name)
    }

    fn create_user(&mut self, name: &str) -> UserRef {
        UserRef(self.run(Change::CreateUser { name: user(name), password: password(name) }).id)
    }

    fn change_password(&mut self, name: &str, to: &str) -> OpId {
        self.run(Change::ChangePassword { user: self.of(name), password: password(to) }).id
    }

    fn create_group(&mut self, name: &str, lab: &str) -> GroupRef {
        GroupRef(self.run(Change::CreateGroup { user: self.of(name), group: group(lab) }).id)
    }

    fn ask(&mut self, name: &str, lab: &str) {
        self.run(Change::JoinGroup { user: self.of(name), group: group(lab) });
    }

    fn admit(&mut self, by: &str, lab: &str, name: &str) {
        self.run(Change::AcceptRequest { user: self.of(by), group: group(lab), target: user(name) });
    }

    fn reject(&mut self, by: &str, lab: &str, name: &str) {
        self.run(Change::RejectRequest { user: self.of(by), group: group(lab), target: user(name) });
    }

    fn leave(&mut self, name: &str, lab: &str) {
        self.run(Change::LeaveGroup { user: self.of(name), group: group(lab) });
    }

    fn remove(&mut self, by: &str, lab: &str, name: &str) {
        self.run(Change::RemoveMember { user: self.of(by), group: group(lab), target: user(name) });
    }

    fn share(&mut self, name: &str, lab: &str, of: &str, n: u8) -> ShareRef {
        self.share_content(name, lab, of, content(n))
    }

    fn share_content(&mut self, name: &str, lab: &str, of: &str, content: Content) -> ShareRef {
        let change = Change::Share { user: self.of(name), group: group(lab), name: file(of), content };
        ShareRef(self.run(change).id)
    }

    fn stop(&mut self, name: &str, lab: &str, of: &str) {
        self.run(Change::StopShare { user: self.of(name), group: group(lab), name: file(of) });
    }

    fn members(&self, lab: &str) -> Vec<String> {
        let rows = self.state.members_after(self.group(lab), None, 99);
        rows.into_iter().map(|row| row.name.to_string()).collect()
    }

    fn owner(&self, lab: &str) -> String {
        let owner = self.state.owner(self.group(lab)).expect("a visible group has an owner");
        self.state.account(owner).expect("exists").name.to_string()
    }

    fn waiting(&self, lab: &str) -> Vec<String> {
        let rows = self.state.requests_after(self.group(lab), None, 99);
        rows.into_iter().map(|(_, name)| name.to_string()).collect()
    }

    /// What is shared in a group: name, content and sharers.
    fn files(&self, lab: &str) -> Vec<(String, u8, Vec<String>)> {
        let name = |user| self.state.account(user).expect("exists").name.to_string();
        let rows = self.state.files_after(self.group(lab), None, 99).into_iter();
        rows.map(|row| {
            let sharers = self.state.sharers(row.share).map(name).collect();
            (row.name.to_string(), row.content.info_hash.0[0], sharers)
        })
        .collect()
    }

    /// Takes note that a user was shown the notices up to a place.
    fn read(&mut self, name: &str, through: OpOrder) -> Option<Op> {
        let user = self.of(name);
        let shown = self.state.notices_digest(user, through);
        self.try_run(Change::ReadNotices { user, through, shown }).expect("is accepted")
    }

    fn notices(&self, user: UserRef) -> Vec<Notice> {
        self.state.notices(user, 99).into_iter().map(|(_, notice)| notice).collect()
    }

    fn chain(&self, group: GroupRef) -> [u8; 32] {
        self.state.chain(group).expect("exists")
    }

    /// Everybody leaves the group `lab`.
    fn empty_lab(&mut self) {
        for name in ["bob", "carol", "alice"] {
            self.leave(name, "lab");
        }
    }
}

/// Both sides learn what the other one did.
fn heal(a: &mut Side, b: &mut Side) {
    let mut all = a.ops.clone();
    all.extend(b.ops.clone());
    for side in [a, b] {
        side.ops = all.clone();
        side.state = State::new();
        all.values().for_each(|op| side.state.apply(op));
    }
}

/// Two sides that know alice, bob, carol and dave, and the group `lab`, which alice founded and bob and carol joined.
fn lab() -> (Side, Side) {
    let (mut a, mut b) = (Side::new(1), Side::new(2));
    for name in ["alice", "bob", "carol", "dave"] {
        a.create_user(name);
    }
    a.create_group("alice", "lab");
    for name in ["bob", "carol"] {
        a.ask(name, "lab");
        a.admit("alice", "lab", name);
        let (through, _) = a.state.notices(a.of(name), 9)[0];
        a.read(name, through).expect("there is one");
    }
    heal(&mut a, &mut b);
    (a, b)
}

/// The same, and dave waits to be let in.
fn lab_with_request() -> (Side, Side) {
    let (mut a, mut b) = lab();
    a.ask("dave", "lab");
    heal(&mut a, &mut b);
    (a, b)
}

fn shared(name: &str, n: u8, sharers: &[&str]) -> (String, u8, Vec<String>) {
    (name.to_owned(), n, sharers.iter().map(|&name| name.to_owned()).collect())
}

fn accepted(name: &str) -> Notice {
    Notice::Accepted { group: group(name) }
}

fn rejected(name: &str) -> Notice {
    Notice::Rejected { group: group(name) }
}

fn removed(name: &str) -> Notice {
    Notice::Removed { group: group(name) }
}

fn overridden(name: &str) -> Notice {
    Notice::DecisionOverridden { group: group("lab"), user: user(name) }
}

fn renamed_group(from: &str, to: &str) -> Notice {
    Notice::GroupRenamed { from: group(from), to: group(to) }
}

fn renamed_share(from: &str, to: &str) -> Notice {
    Notice::ShareRenamed { group: group("lab"), from: file(from), to: file(to) }
}

fn overridden_share(name: &str) -> Notice {
    Notice::ShareOverridden { group: group("lab"), name: file(name) }
}

const NONE: [Notice; 0] = [];
const NOBODY: [&str; 0] = [];

#[test]
fn every_row_of_the_table_has_its_test() {
    let tests = include_str!("fold.rs");
    let rows: Vec<&str> = include_str!("../docs/FOLD.md").lines().filter(|line| line.starts_with("| ")).collect();
    assert!(rows.len() > 40);
    for row in &rows[1..] {
        let name = row.rsplit('`').nth(1).unwrap_or_else(|| panic!("no test: {row}"));
        assert!(tests.contains(&format!("\nfn {name}()")), "{name}");
    }
}

#[test]
fn an_op_folded_twice_counts_once() {
    let (mut a, _) = lab();
    let op = a.run(Change::LeaveGroup { user: a.of("bob"), group: group("lab") });
    let digest = a.state.digest();
    a.state.apply(&op);
    assert_eq!(a.state.digest(), digest);
    assert_eq!(a.state.op_count(), a.ops.len() as u64);
}

#[test]
fn an_op_behind_a_gap_changes_nothing() {
    let (mut a, mut b) = lab();
    a.leave("bob", "lab");
    let op = a.run(Change::LeaveGroup { user: a.of("carol"), group: group("lab") });
    let digest = b.state.digest();
    b.state.apply(&op);
    assert_eq!(b.state.digest(), digest);
    assert_eq!(b.state.seen(a.origin), op.id.seq - 2);
}

#[test]
fn a_repeated_command_is_carried_out_once_and_both_ids_mean_the_same() {
    let (mut a, mut b) = lab();
    let command = CommandId([9; 16]);
    let founder = a.of("alice");
    let make = OpBody::CreateGroup { name: group("x"), founder };
    let first = a.add(command, make.clone());
    b.pause();
    let second = b.add(command, make);
    // What is done to the second stays, although the first came before it.
    b.ask("dave", "x");
    b.admit("alice", "x", "dave");
    b.share("dave", "x", "f", 1);
    heal(&mut a, &mut b);
    assert_eq!(a.members("x"), ["alice", "dave"]);
    assert_eq!(a.files("x"), [shared("f", 1, &["dave"])]);
    assert_eq!(a.state.group_named(&group("x~2")), None);
    assert_eq!(a.state.canonical(second.id), first.id);
    assert_eq!(a.state.command(command), Some(first.id));
    assert_eq!(a.state.standing(GroupRef(second.id), founder), Standing::Owner);
}

/// Bob's command reaches both sides: here it makes a share, which carol joins, there it joins the one of alice.
#[test]
fn a_share_made_by_a_repeated_command_is_found_by_those_who_joined_it() {
    for stays in [true, false] {
        let (mut a, mut b) = lab();
        let command = CommandId([9; 16]);
        let (group, user) = (a.group("lab"), a.of("bob"));
        let share = b.share("alice", "lab", "f", 1);
        b.add(command, OpBody::JoinShare { share, user });
        if !stays {
            b.stop("alice", "lab", "f");
            b.stop("bob", "lab", "f");
        }
        a.pause();
        let make = OpBody::CreateShare { group, user, name: file("f"), content: content(1), replaces: None };
        let made = ShareRef(a.add(command, make).id);
        assert_eq!(a.share("carol", "lab", "f", 1), ShareRef(OpId { seq: made.0.seq + 1, ..made.0 }));
        heal(&mut a, &mut b);
        let sharers: &[&str] = if stays { &["alice", "bob", "carol"] } else { &["carol"] };
        assert_eq!(a.files("lab"), [shared("f", 1, sharers)]);
        assert_eq!(a.state.canonical(made.0) == share.0, stays);
    }
}

#[test]
fn ops_about_nothing_do_nothing() {
    let (mut a, _) = lab();
    let before = (a.members("lab"), a.files("lab"), a.chain(a.group("lab")));
    let (u, g, s) = (UserRef(nothing()), GroupRef(nothing()), ShareRef(nothing()));
    let (alice, lab) = (a.of("alice"), a.group("lab"));
    let (through, shown) = (OpOrder { lamport: 99, origin: a.origin }, [0; 32]);
    let wrong_kind = UserRef(lab.0);
    for body in [
        OpBody::ChangePassword { user: u, password: password("x") },
        OpBody::CreateGroup { name: group("x"), founder: u },
        OpBody::CreateGroup { name: group("x"), founder: wrong_kind },
        OpBody::RequestJoin { group: g, user: alice },
        OpBody::RequestJoin { group: lab, user: u },
        OpBody::AcceptRequest { group: lab, user: u, by: alice },
        OpBody::AcceptRequest { group: g, user: alice, by: u },
        OpBody::RejectRequest { group: g, user: alice, by: u },
        OpBody::LeaveGroup { group: g, user: alice },
        OpBody::LeaveGroup { group: lab, user: wrong_kind },
        OpBody::RemoveMember { group: lab, user: u, by: alice },
        OpBody::CreateShare { group: g, user: alice, name: file("f"), content: content(1), replaces: Some(s) },
        OpBody::CreateShare { group: lab, user: u, name: file("f"), content: content(1), replaces: None },
        OpBody::JoinShare { share: s, user: alice },
        OpBody::LeaveShare { share: s, user: alice },
        OpBody::ReadNotices { user: u, through, shown },
    ] {
        let command = a.command();
        a.add(command, body);
    }
    assert_eq!((a.members("lab"), a.files("lab"), a.chain(a.group("lab"))), before);
    assert_eq!(a.state.group_count(), 1);
    assert_eq!(a.notices(alice), NONE);
}

#[test]
fn an_account_bears_the_name_it_was_made_under() {
    let (mut a, _) = lab();
    let erin = a.create_user("erin");
    assert_eq!(a.of("erin"), erin);
    assert_eq!(a.state.account(erin).expect("exists").name, user("erin"));
    assert_eq!(a.state.accounts_born(&user("erin")).len(), 1);
}

#[test]
fn the_later_of_two_accounts_with_one_name_is_renamed() {
    let (mut a, mut b) = lab();
    a.pause();
    let (later, first) = (a.create_user("erin"), b.create_user("erin"));
    let of_later = a.create_group("erin", "x");
    heal(&mut a, &mut b);
    assert_eq!(a.of("erin"), first);
    assert_eq!(a.of("erin~2"), later);
    assert_eq!(a.state.owner(of_later), Some(later));
    let born: Vec<_> = a.state.accounts_born(&user("erin")).into_iter().map(|account| account.user).collect();
    assert_eq!(born, [first, later]);
    assert_eq!(a.state.accounts_born(&user("erin~2")).len(), 1);
    assert_eq!(a.notices(later), [Notice::UserRenamed { from: user("erin"), to: user("erin~2") }]);
    assert_eq!(a.notices(first), NONE);
}

#[test]
fn the_later_of_two_password_changes_holds() {
    let (mut a, mut b) = lab();
    a.pause();
    let (later, first) = (a.change_password("bob", "later"), b.change_password("bob", "first"));
    let bob = a.of("bob");
    assert!(b.state.password_holds(bob, first));
    heal(&mut a, &mut b);
    assert_eq!(b.state.account(bob).expect("exists").password, password("later"));
    assert!(b.state.password_holds(bob, later) && !b.state.password_holds(bob, first));
}

#[test]
fn a_founder_owns_the_group() {
    let (a, _) = lab();
    assert_eq!(a.owner("lab"), "alice");
    assert_eq!(a.state.standing(a.group("lab"), a.of("alice")), Standing::Owner);
    assert_eq!(a.chain(a.group("lab")), [0; 32]);
}

#[test]
fn the_later_of_two_groups_with_one_name_is_renamed() {
    let (mut a, mut b) = lab();
    a.pause();
    let (later, first) = (a.create_group("bob", "x"), b.create_group("carol", "x"));
    a.share("bob", "x", "f", 1);
    heal(&mut a, &mut b);
    assert_eq!((a.group("x"), a.group("x~2")), (first, later));
    assert_eq!(a.files("x~2"), [shared("f", 1, &["bob"])]);
    assert_eq!(a.notices(a.of("bob")), [renamed_group("x", "x~2")]);
    assert_eq!(a.notices(a.of("carol")), NONE);
}

#[test]
fn a_request_waits_for_the_owner() {
    let (a, _) = lab_with_request();
    assert_eq!(a.waiting("lab"), ["dave"]);
    assert_eq!(a.state.standing(a.group("lab"), a.of("dave")), Standing::Waiting);
    assert_eq!(a.members("lab"), ["alice", "bob", "carol"]);
}

#[test]
fn a_request_of_a_member_is_overridden() {
    let (mut a, mut b) = lab();
    b.ask("dave", "lab");
    b.admit("alice", "lab", "dave");
    a.pause();
    a.ask("dave", "lab");
    heal(&mut a, &mut b);
    assert_eq!(a.waiting("lab"), NOBODY);
    assert_eq!(a.members("lab"), ["alice", "bob", "carol", "dave"]);
    let overridden = Notice::RequestOverridden { group: group("lab") };
    assert_eq!(a.notices(a.of("dave")), [accepted("lab"), overridden]);
}

#[test]
fn a_request_made_on_both_sides_is_one() {
    let (mut a, mut b) = lab();
    a.ask("dave", "lab");
    b.ask("dave", "lab");
    heal(&mut a, &mut b);
    assert_eq!(a.waiting("lab"), ["dave"]);
    assert_eq!(a.notices(a.of("dave")), NONE);
}

#[test]
fn a_request_to_a_group_without_members_is_turned_down() {
    let (mut a, mut b) = lab();
    b.empty_lab();
    a.pause();
    a.ask("dave", "lab");
    heal(&mut a, &mut b);
    assert_eq!(a.state.group_named(&group("lab")), None);
    assert_eq!(a.notices(a.of("dave")), [rejected("lab")]);
}

#[test]
fn an_accepted_user_is_a_member() {
    let (mut a, _) = lab_with_request();
    let chain = a.chain(a.group("lab"));
    a.admit("alice", "lab", "dave");
    assert_eq!(a.members("lab"), ["alice", "bob", "carol", "dave"]);
    assert_eq!(a.waiting("lab"), NOBODY);
    assert_eq!(a.notices(a.of("dave")), [accepted("lab")]);
    assert_eq!(a.chain(a.group("lab")), chain, "who joins gets the key that is there");
}

#[test]
fn acceptance_on_both_sides_is_one() {
    let (mut a, mut b) = lab_with_request();
    a.admit("alice", "lab", "dave");
    b.admit("alice", "lab", "dave");
    heal(&mut a, &mut b);
    assert_eq!(a.members("lab"), ["alice", "bob", "carol", "dave"]);
    assert_eq!(a.notices(a.of("dave")), [accepted("lab")]);
    assert_eq!(a.notices(a.of("alice")), NONE);
}

#[test]
fn acceptance_of_a_withdrawn_request_is_overridden() {
    for withdrawn in [true, false] {
        let (mut a, mut b) = lab_with_request();
        if withdrawn {
            b.leave("dave", "lab");
        } else {
            b.reject("alice", "lab", "dave");
        }
        a.pause();
        a.admit("alice", "lab", "dave");
        heal(&mut a, &mut b);
        assert_eq!(a.members("lab"), ["alice", "bob", "carol"]);
        assert_eq!(a.notices(a.of("alice")), [overridden("dave")]);
    }
}

#[test]
fn acceptance_by_an_owner_who_left_stands() {
    let (mut a, mut b) = lab_with_request();
    b.leave("alice", "lab");
    a.pause();
    a.admit("alice", "lab", "dave");
    heal(&mut a, &mut b);
    assert_eq!(a.members("lab"), ["bob", "carol", "dave"]);
    assert_eq!(a.owner("lab"), "bob");
    assert_eq!(a.notices(a.of("dave")), [accepted("lab")]);
}

#[test]
fn acceptance_revives_a_group_without_members() {
    let (mut a, mut b) = lab_with_request();
    let lab = a.group("lab");
    b.empty_lab();
    let chain = b.chain(lab);
    a.pause();
    a.admit("alice", "lab", "dave");
    heal(&mut a, &mut b);
    assert_eq!(a.group("lab"), lab);
    assert_eq!(a.owner("lab"), "dave");
    assert_eq!(a.members("lab"), ["dave"]);
    assert_eq!(a.chain(lab), chain, "departures of before count on");
    assert_eq!(a.notices(a.of("dave")), [rejected("lab"), accepted("lab")]);
}

#[test]
fn a_revived_group_whose_name_is_taken_is_renamed() {
    let (mut a, mut b) = lab_with_request();
    let old = a.group("lab");
    b.empty_lab();
    let new = b.create_group("carol", "lab");
    a.pause();
    a.admit("alice", "lab", "dave");
    heal(&mut a, &mut b);
    assert_eq!((a.group("lab"), a.group("lab~2")), (new, old));
    assert_eq!(a.owner("lab~2"), "dave");
    let told = [rejected("lab"), renamed_group("lab", "lab~2"), accepted("lab~2")];
    assert_eq!(a.notices(a.of("dave")), told);
}

#[test]
fn a_rejected_request_is_gone() {
    let (mut a, _) = lab_with_request();
    a.reject("alice", "lab", "dave");
    assert_eq!(a.waiting("lab"), NOBODY);
    assert_eq!(a.notices(a.of("dave")), [rejected("lab")]);
    a.ask("dave", "lab");
    assert_eq!(a.waiting("lab"), ["dave"]);
}

#[test]
fn rejection_after_acceptance_is_overridden() {
    let (mut a, mut b) = lab_with_request();
    b.admit("alice", "lab", "dave");
    a.pause();
    a.reject("alice", "lab", "dave");
    heal(&mut a, &mut b);
    assert_eq!(a.members("lab"), ["alice", "bob", "carol", "dave"]);
    assert_eq!(a.notices(a.of("alice")), [overridden("dave")]);
}

#[test]
fn rejection_of_a_withdrawn_request_does_nothing() {
    let (mut a, mut b) = lab_with_request();
    b.leave("dave", "lab");
    a.pause();
    a.reject("alice", "lab", "dave");
    heal(&mut a, &mut b);
    assert_eq!(a.waiting("lab"), NOBODY);
    assert_eq!(a.notices(a.of("alice")), NONE);
    assert_eq!(a.notices(a.of("dave")), NONE);
}

#[test]
fn rejection_by_an_owner_who_left_stands() {
    let (mut a, mut b) = lab_with_request();
    b.leave("alice", "lab");
    a.pause();
    a.reject("alice", "lab", "dave");
    heal(&mut a, &mut b);
    assert_eq!(a.waiting("lab"), NOBODY);
    assert_eq!(a.notices(a.of("dave")), [rejected("lab")]);
}

#[test]
fn leaving_withdraws_the_shares_and_changes_the_chain() {
    let (mut a, _) = lab();
    a.create_group("bob", "other");
    a.share("bob", "lab", "mine", 1);
    a.share("bob", "lab", "ours", 2);
    a.share("alice", "lab", "ours", 2);
    a.share("bob", "other", "mine", 1);
    let lab = a.group("lab");
    let chain = a.chain(lab);
    a.leave("bob", "lab");
    assert_eq!(a.files("lab"), [shared("ours", 2, &["alice"])]);
    assert_eq!(a.files("other"), [shared("mine", 1, &["bob"])]);
    assert_ne!(a.chain(lab), chain);
    assert_eq!(a.state.standing(lab, a.of("bob")), Standing::Stranger);
}

#[test]
fn the_next_in_rank_succeeds_the_owner() {
    let (mut a, _) = lab();
    a.leave("alice", "lab");
    assert_eq!(a.owner("lab"), "bob");
    a.leave("bob", "lab");
    assert_eq!(a.owner("lab"), "carol");
}

#[test]
fn the_last_to_leave_hides_the_group() {
    let (mut a, _) = lab_with_request();
    let old = a.group("lab");
    a.empty_lab();
    assert_eq!(a.state.group_named(&group("lab")), None);
    assert_eq!(a.state.groups_after(None, 9, a.of("alice")), []);
    assert_eq!(a.notices(a.of("dave")), [rejected("lab")]);
    let new = a.create_group("dave", "lab");
    assert_ne!(new, old);
    assert_eq!(a.group("lab"), new);
}

#[test]
fn leaving_withdraws_a_request() {
    let (mut a, _) = lab_with_request();
    let chain = a.chain(a.group("lab"));
    a.leave("dave", "lab");
    assert_eq!(a.waiting("lab"), NOBODY);
    assert_eq!(a.chain(a.group("lab")), chain);
}

#[test]
fn a_withdrawal_after_acceptance_is_a_departure() {
    let (mut a, mut b) = lab_with_request();
    let chain = a.chain(a.group("lab"));
    b.admit("alice", "lab", "dave");
    a.pause();
    a.leave("dave", "lab");
    heal(&mut a, &mut b);
    assert_eq!(a.members("lab"), ["alice", "bob", "carol"]);
    assert_ne!(a.chain(a.group("lab")), chain, "dave had the key");
}

#[test]
fn leaving_after_removal_does_nothing() {
    let (mut a, mut b) = lab();
    b.remove("alice", "lab", "bob");
    let chain = b.chain(b.group("lab"));
    a.pause();
    a.leave("bob", "lab");
    heal(&mut a, &mut b);
    assert_eq!(a.chain(a.group("lab")), chain);
    assert_eq!(a.notices(a.of("bob")), [removed("lab")]);
}

#[test]
fn rejoining_restores_nothing() {
    let (mut a, _) = lab();
    a.share("alice", "lab", "f", 1);
    a.leave("alice", "lab");
    a.ask("alice", "lab");
    a.admit("bob", "lab", "alice");
    assert_eq!(a.owner("lab"), "bob");
    assert_eq!(a.files("lab"), []);
    a.leave("bob", "lab");
    assert_eq!(a.owner("lab"), "carol");
}

#[test]
fn a_removed_member_is_gone_with_all_shares() {
    let (mut a, _) = lab();
    a.share("bob", "lab", "f", 1);
    let chain = a.chain(a.group("lab"));
    a.remove("alice", "lab", "bob");
    assert_eq!(a.members("lab"), ["alice", "carol"]);
    assert_eq!(a.files("lab"), []);
    assert_ne!(a.chain(a.group("lab")), chain);
    assert_eq!(a.notices(a.of("bob")), [removed("lab")]);
}

#[test]
fn removal_on_both_sides_is_one_departure() {
    let (mut a, mut b) = lab();
    b.remove("alice", "lab", "bob");
    let chain = b.chain(b.group("lab"));
    a.pause();
    a.remove("alice", "lab", "bob");
    heal(&mut a, &mut b);
    assert_eq!(a.chain(a.group("lab")), chain);
    assert_eq!(a.notices(a.of("bob")), [removed("lab")]);
    assert_eq!(a.notices(a.of("alice")), NONE);
}

#[test]
fn removal_by_an_owner_who_left_stands() {
    let (mut a, mut b) = lab();
    b.leave("alice", "lab");
    a.pause();
    a.remove("alice", "lab", "carol");
    heal(&mut a, &mut b);
    assert_eq!(a.members("lab"), ["bob"]);
    assert_eq!(a.notices(a.of("carol")), [removed("lab")]);
}

#[test]
fn removal_of_the_new_owner_is_overridden() {
    let (mut a, mut b) = lab();
    b.leave("alice", "lab");
    a.pause();
    a.remove("alice", "lab", "bob");
    heal(&mut a, &mut b);
    assert_eq!(a.owner("lab"), "bob");
    assert_eq!(a.notices(a.of("alice")), [overridden("bob")]);
    assert_eq!(a.notices(a.of("bob")), NONE);
}

#[test]
fn departures_on_both_sides_make_one_chain() {
    let (mut a, mut b) = lab();
    let lab = a.group("lab");
    a.leave("bob", "lab");
    b.leave("carol", "lab");
    let (of_a, of_b) = (a.chain(lab), b.chain(lab));
    heal(&mut a, &mut b);
    assert_eq!(a.chain(lab), b.chain(lab));
    assert!(a.chain(lab) != of_a && a.chain(lab) != of_b, "neither bob nor carol has been told this key");
}

#[test]
fn a_share_bears_its_name() {
    let (mut a, _) = lab();
    let share = a.share("bob", "lab", "f", 1);
    assert_eq!(a.state.share_named(a.group("lab"), &file("f")).expect("is listed").share, share);
    assert_eq!(a.files("lab"), [shared("f", 1, &["bob"])]);
}

#[test]
fn the_later_of_two_shares_with_one_name_is_renamed() {
    let (mut a, mut b) = lab();
    b.share("carol", "lab", "f", 2);
    a.pause();
    a.share("bob", "lab", "f", 1);
    a.share("alice", "lab", "f", 1);
    heal(&mut a, &mut b);
    assert_eq!(a.files("lab"), [shared("f", 2, &["carol"]), shared("f~2", 1, &["alice", "bob"])]);
    assert_eq!(a.notices(a.of("bob")), [renamed_share("f", "f~2")]);
}

#[test]
fn the_same_content_shared_on_both_sides_is_one_share() {
    let (mut a, mut b) = lab();
    let first = b.share("carol", "lab", "f", 1);
    a.pause();
    let later = a.share("bob", "lab", "f", 1);
    a.share("alice", "lab", "f", 1);
    heal(&mut a, &mut b);
    assert_eq!(a.files("lab"), [shared("f", 1, &["alice", "bob", "carol"])]);
    assert_eq!(a.state.share(later).expect("is an alias").share, first);
    assert_eq!(a.notices(a.of("bob")), NONE);
    a.stop("bob", "lab", "f");
    assert!(!a.state.is_sharer(later, a.of("bob")));
}

#[test]
fn a_size_told_on_one_side_is_that_of_the_file_shared_on_both() {
    for told_first in [true, false] {
        let (mut a, mut b) = lab();
        let (earlier, later) = if told_first { (content(1), unmeasured(1)) } else { (unmeasured(1), content(1)) };
        let first = b.share_content("carol", "lab", "f", earlier);
        a.pause();
        let second = a.share_content("bob", "lab", "f", later);
        heal(&mut a, &mut b);
        assert_eq!(a.files("lab"), [shared("f", 1, &["bob", "carol"])]);
        assert_eq!(a.state.share(second).expect("is an alias").share, first);
        assert_eq!(a.notices(a.of("bob")), NONE);
    }
}

#[test]
fn of_two_sizes_told_for_a_file_the_first_holds() {
    let (mut a, mut b) = lab();
    a.share_content("bob", "lab", "f", unmeasured(1));
    heal(&mut a, &mut b);
    b.share("carol", "lab", "f", 1);
    a.pause();
    a.share_content("alice", "lab", "f", Content { sha1: content(1).sha1, ..content(2) });
    heal(&mut a, &mut b);
    assert_eq!(a.files("lab"), [shared("f", 1, &["bob", "carol"]), shared("f~2", 2, &["alice"])]);
    assert_eq!(a.notices(a.of("alice")), [renamed_share("f", "f~2")]);
}

#[test]
fn a_share_of_a_departed_member_is_overridden() {
    let (mut a, mut b) = lab();
    b.remove("alice", "lab", "bob");
    a.pause();
    a.share("bob", "lab", "f", 1);
    heal(&mut a, &mut b);
    assert_eq!(a.files("lab"), []);
    assert_eq!(a.notices(a.of("bob")), [removed("lab"), overridden_share("f")]);
}

#[test]
fn a_share_of_a_departed_member_stays_with_those_who_joined_it() {
    let (mut a, mut b) = lab();
    b.remove("alice", "lab", "bob");
    a.pause();
    a.share("bob", "lab", "f", 1);
    a.share("carol", "lab", "f", 1);
    heal(&mut a, &mut b);
    assert_eq!(a.files("lab"), [shared("f", 1, &["carol"])]);
    assert_eq!(a.notices(a.of("carol")), NONE);
}

#[test]
fn a_new_version_takes_the_name() {
    let (mut a, _) = lab();
    let old = a.share("bob", "lab", "f", 1);
    let new = a.share("bob", "lab", "f", 2);
    assert_ne!(old, new);
    assert_eq!(a.files("lab"), [shared("f", 2, &["bob"])]);
    assert_eq!(a.state.share(old).expect("is kept").sharer_count, 0);
    assert_eq!(a.notices(a.of("bob")), NONE);
}

#[test]
fn a_new_version_of_what_others_joined_is_renamed() {
    let (mut a, mut b) = lab();
    a.share("bob", "lab", "f", 1);
    heal(&mut a, &mut b);
    b.share("carol", "lab", "f", 1);
    a.pause();
    a.share("bob", "lab", "f", 2);
    heal(&mut a, &mut b);
    assert_eq!(a.files("lab"), [shared("f", 1, &["carol"]), shared("f~2", 2, &["bob"])]);
    assert_eq!(a.notices(a.of("bob")), [renamed_share("f", "f~2")]);
}

#[test]
fn of_two_new_versions_the_later_is_renamed() {
    let (mut a, mut b) = lab();
    a.share("bob", "lab", "f", 1);
    heal(&mut a, &mut b);
    b.share("bob", "lab", "f", 2);
    a.pause();
    a.share("bob", "lab", "f", 3);
    heal(&mut a, &mut b);
    assert_eq!(a.files("lab"), [shared("f", 2, &["bob"]), shared("f~2", 3, &["bob"])]);
    assert_eq!(a.notices(a.of("bob")), [renamed_share("f", "f~2")]);
}

#[test]
fn a_member_joins_a_share() {
    let (mut a, _) = lab();
    a.share("bob", "lab", "f", 1);
    a.share("carol", "lab", "f", 1);
    assert_eq!(a.files("lab"), [shared("f", 1, &["bob", "carol"])]);
}

#[test]
fn joining_a_share_twice_counts_once() {
    let (mut a, mut b) = lab();
    a.share("bob", "lab", "f", 1);
    heal(&mut a, &mut b);
    a.share("carol", "lab", "f", 1);
    b.share("carol", "lab", "f", 1);
    heal(&mut a, &mut b);
    assert_eq!(a.files("lab"), [shared("f", 1, &["bob", "carol"])]);
    a.stop("carol", "lab", "f");
    assert_eq!(a.files("lab"), [shared("f", 1, &["bob"])]);
}

#[test]
fn joining_a_share_after_removal_is_overridden() {
    let (mut a, mut b) = lab();
    a.share("bob", "lab", "f", 1);
    heal(&mut a, &mut b);
    b.remove("alice", "lab", "carol");
    a.pause();
    a.share("carol", "lab", "f", 1);
    heal(&mut a, &mut b);
    assert_eq!(a.files("lab"), [shared("f", 1, &["bob"])]);
    assert_eq!(a.notices(a.of("carol")), [removed("lab"), overridden_share("f")]);
}

#[test]
fn joining_revives_a_share_without_sharers() {
    let (mut a, mut b) = lab();
    let share = a.share("bob", "lab", "f", 1);
    heal(&mut a, &mut b);
    b.stop("bob", "lab", "f");
    a.pause();
    a.share("carol", "lab", "f", 1);
    heal(&mut a, &mut b);
    assert_eq!(a.files("lab"), [shared("f", 1, &["carol"])]);
    assert!(a.state.is_sharer(share, a.of("carol")));
    assert_eq!(a.notices(a.of("carol")), NONE);
}

#[test]
fn a_revived_share_whose_name_is_taken_is_renamed() {
    let (mut a, mut b) = lab();
    a.share("bob", "lab", "f", 1);
    heal(&mut a, &mut b);
    b.stop("bob", "lab", "f");
    b.share("alice", "lab", "f", 2);
    a.pause();
    a.share("carol", "lab", "f", 1);
    heal(&mut a, &mut b);
    assert_eq!(a.files("lab"), [shared("f", 2, &["alice"]), shared("f~2", 1, &["carol"])]);
    assert_eq!(a.notices(a.of("carol")), [renamed_share("f", "f~2")]);
}

#[test]
fn a_revived_share_joins_its_twin() {
    let (mut a, mut b) = lab();
    let old = a.share("bob", "lab", "f", 1);
    heal(&mut a, &mut b);
    b.stop("bob", "lab", "f");
    let new = b.share("alice", "lab", "f", 1);
    a.pause();
    a.share("carol", "lab", "f", 1);
    heal(&mut a, &mut b);
    assert_eq!(a.files("lab"), [shared("f", 1, &["alice", "carol"])]);
    assert_eq!(a.state.share(old).expect("is an alias").share, new);
    assert_eq!(a.notices(a.of("carol")), NONE);
    a.stop("carol", "lab", "f");
    assert!(!a.state.is_sharer(old, a.of("carol")));
}

#[test]
fn a_revived_share_tells_its_twin_the_size() {
    let (mut a, mut b) = lab();
    let old = a.share("bob", "lab", "f", 1);
    heal(&mut a, &mut b);
    b.stop("bob", "lab", "f");
    let new = b.share_content("alice", "lab", "f", unmeasured(1));
    a.pause();
    a.share("carol", "lab", "f", 1);
    heal(&mut a, &mut b);
    assert_eq!(a.files("lab"), [shared("f", 1, &["alice", "carol"])]);
    assert_eq!(a.state.share(old).expect("is an alias").share, new);
}

#[test]
fn the_last_sharer_hides_the_share() {
    let (mut a, _) = lab();
    let old = a.share("bob", "lab", "f", 1);
    a.stop("bob", "lab", "f");
    assert_eq!(a.files("lab"), []);
    assert_eq!(a.state.share_named(a.group("lab"), &file("f")), None);
    let new = a.share("carol", "lab", "f", 2);
    assert_ne!(new, old);
    assert_eq!(a.files("lab"), [shared("f", 2, &["carol"])]);
}

#[test]
fn ending_a_share_twice_counts_once() {
    let (mut a, mut b) = lab();
    a.share("bob", "lab", "f", 1);
    a.share("carol", "lab", "f", 1);
    heal(&mut a, &mut b);
    a.stop("bob", "lab", "f");
    b.stop("bob", "lab", "f");
    heal(&mut a, &mut b);
    assert_eq!(a.files("lab"), [shared("f", 1, &["carol"])]);
    assert_eq!(a.notices(a.of("bob")), NONE);
}

#[test]
fn read_notices_are_dropped() {
    let (mut a, _) = lab_with_request();
    a.reject("alice", "lab", "dave");
    let (through, _) = a.state.notices(a.of("dave"), 9)[0];
    a.ask("dave", "lab");
    a.admit("alice", "lab", "dave");
    a.read("dave", through).expect("there is one");
    assert_eq!(a.notices(a.of("dave")), [accepted("lab")]);
    assert_eq!(a.read("dave", through), None);
}

/// Dave makes a group and is sent a notice about something else, up to which he is about to read; that the name of his
/// group had been taken before is known at the other tracker only.
fn notice_before_which_another_belongs() -> (Side, Side, UserRef, OpOrder) {
    let (mut a, mut b) = lab();
    b.create_group("carol", "x");
    a.pause();
    a.create_group("dave", "x");
    a.ask("dave", "lab");
    a.reject("alice", "lab", "dave");
    let dave = a.of("dave");
    let (through, _) = a.state.notices(dave, 9)[0];
    (a, b, dave, through)
}

/// His tracker learns of it only after he has read: dropping everything up to the place he read would drop what he was
/// never told.
#[test]
fn notices_that_were_not_shown_are_kept() {
    let (mut a, mut b, dave, through) = notice_before_which_another_belongs();
    a.read("dave", through).expect("there is one");
    assert_eq!(a.notices(dave), NONE);
    heal(&mut a, &mut b);
    assert_eq!(a.notices(dave), [renamed_group("x", "x~2"), rejected("lab")]);
}

/// The same, but the tracker had learned of it when it took note of what dave had read, and had not told him yet.
#[test]
fn notices_that_came_after_the_showing_are_kept() {
    let (mut a, mut b, dave, through) = notice_before_which_another_belongs();
    let shown = a.state.notices_digest(dave, through);
    heal(&mut a, &mut b);
    a.run(Change::ReadNotices { user: dave, through, shown });
    assert_eq!(a.notices(dave), [renamed_group("x", "x~2"), rejected("lab")]);
}
