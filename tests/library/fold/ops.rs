//! Rules for ops of every kind.

use super::side::{NONE, Side, content, file, ground_gone, group, heal, lab, nothing, password, shared};
use groupshare::model::id::{CommandId, GroupRef, OpId, OpOrder, ShareRef, UserRef};
use groupshare::model::op::OpBody;
use groupshare::model::op::group_access::GroupAccess;
use groupshare::tracker::ledger::accept::Change;
use groupshare::tracker::state::{CommandOwner, Membership};

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
    // A change of the second group stays, although the first group came before.
    b.ask("dave", "x");
    b.admit("alice", "x", "dave");
    b.share("dave", "x", "f", 1);
    heal(&mut a, &mut b);
    assert_eq!(a.members("x"), ["alice", "dave"]);
    assert_eq!(a.files("x"), [shared("f", 1, &["dave"])]);
    assert_eq!(a.state.group_named(&group("x~2")), None);
    assert_eq!(a.state.canonical(second.id), first.id);
    assert_eq!(a.state.command(CommandOwner::User(founder), command), Some(first.id));
    assert_eq!(a.state.membership(GroupRef(second.id), founder), Membership::Owner);
}

#[test]
fn a_command_is_known_until_its_user_has_made_1024_others() {
    let (mut a, mut b) = lab();
    let (alice, bob) = (a.of("alice"), a.of("bob"));
    let account = a.ops.values().find_map(|op| match &op.body {
        OpBody::CreateUser { name, .. } => Some((name.clone(), op.command)),
        _ => None,
    });
    let account = account.expect("an account");
    let make = |name: &str| OpBody::CreateGroup { name: group(name), founder: alice };
    let first = a.add(CommandId([9; 16]), make("x"));
    let change = |side: &mut Side, user| {
        let command = side.command();
        side.add(command, OpBody::ChangePassword { user, former: nothing(), password: password("p") });
    };
    (0..1023).for_each(|_| change(&mut a, alice));
    change(&mut a, bob);
    assert_eq!(
        a.state.command(CommandOwner::User(alice), first.command),
        Some(first.id),
        "the changes of others do not count"
    );
    heal(&mut a, &mut b);
    b.add(first.command, make("y"));
    assert_eq!(b.state.group_named(&group("y")), None);
    change(&mut b, alice);
    assert_eq!(b.state.command(CommandOwner::User(alice), first.command), None);
    let again = b.add(first.command, make("y"));
    assert_eq!(b.state.group_named(&group("y")), Some(GroupRef(again.id)));
    let (name, account) = account;
    assert!(b.state.command(CommandOwner::NewUser(&name), account).is_some(), "the account's own stays");
    heal(&mut a, &mut b);
}

/// Bob's command reaches both sides. On one side it makes a share, which carol joins. On the other side it joins
/// alice's share.
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
fn ops_about_nothing_are_told_to_their_authors() {
    let (mut a, _) = lab();
    let before = (a.members("lab"), a.files("lab"), a.chain(a.group("lab")));
    let (u, g, s) = (UserRef(nothing()), GroupRef(nothing()), ShareRef(nothing()));
    let (alice, lab) = (a.of("alice"), a.group("lab"));
    let (through, shown) = (OpOrder { lamport: 99, origin: a.origin }, [0; 32]);
    let wrong_kind = UserRef(lab.0);
    let share = |group, user| {
        let (name, content, replaces) = (file("f"), content(1), Some(s));
        OpBody::CreateShare { group, user, name, content, replaces }
    };
    let nobody_is_told = [
        OpBody::ChangePassword { user: u, former: nothing(), password: password("x") },
        OpBody::CreateGroup { name: group("x"), founder: u },
        OpBody::CreateGroup { name: group("x"), founder: wrong_kind },
        OpBody::RequestJoin { group: lab, user: u },
        OpBody::AcceptRequest { group: g, user: alice, by: u },
        OpBody::RejectRequest { group: g, user: alice, by: u },
        OpBody::LeaveGroup { group: lab, user: wrong_kind },
        OpBody::AddMember { group: lab, user: alice, by: u },
        OpBody::SetGroup { group: lab, access: GroupAccess::Open, by: u },
        OpBody::SetAdding { user: u, allowed: false },
        share(lab, u),
        OpBody::ReadNotices { user: u, through, shown },
    ];
    let alice_is_told = [
        OpBody::RequestJoin { group: g, user: alice },
        OpBody::AcceptRequest { group: lab, user: u, by: alice },
        OpBody::AcceptRequest { group: g, user: alice, by: alice },
        OpBody::RejectRequest { group: lab, user: u, by: alice },
        OpBody::LeaveGroup { group: g, user: alice },
        OpBody::RemoveMember { group: lab, user: u, by: alice },
        OpBody::MakeOwner { group: lab, user: u, by: alice },
        OpBody::DropOwner { group: g, user: alice, by: alice },
        OpBody::AddMember { group: g, user: alice, by: alice },
        OpBody::SetGroup { group: g, access: GroupAccess::Open, by: alice },
        share(g, alice),
        OpBody::JoinShare { share: s, user: alice },
        OpBody::LeaveShare { share: s, user: alice },
    ];
    let mut expected = Vec::new();
    for body in nobody_is_told {
        let command = a.command();
        a.add(command, body);
        assert_eq!(a.notices(alice), NONE);
    }
    for body in alice_is_told {
        let kind = body.change_kind().expect("alice makes it");
        let command = a.command();
        a.add(command, body);
        expected.push(ground_gone(kind));
        assert_eq!(a.notices(alice), expected);
    }
    assert_eq!((a.members("lab"), a.files("lab"), a.chain(a.group("lab"))), before);
    assert_eq!(a.state.group_count(), 1);
}
