//! Ops above a floor, whose base state has forgotten what was hidden for long.

use super::side::{NONE, Side, content, file, ground_gone, group, lab, shared};
use groupshare::model::id::{CommandId, GroupRef, OpId, Origin, ShareRef, UserRef};
use groupshare::model::notice::{ChangeKind, Notice, UnplacedChange};
use groupshare::model::op::{Op, OpBody};
use groupshare::tracker::state::{CommandOwner, Fate};

/// What a change that has no place was about.
fn lost() -> UnplacedChange {
    UnplacedChange { kind: ChangeKind::LeaveGroup, group: Some(group("lab")), file: None }
}

/// The tracker goes on under another incarnation, and the one before is dropped.
fn drop_origin(side: &mut Side) -> Origin {
    let before = side.origin;
    side.origin.incarnation += 1;
    side.create_group("dave", "other");
    side.drop_hidden();
    assert_eq!(side.state.version().filter(|(origin, _)| *origin == before).count(), 0);
    before
}

#[test]
fn an_op_that_names_what_is_gone_is_told_to_its_author() {
    let (mut a, _) = lab();
    let (bob, alice, lab) = (a.of("bob"), a.of("alice"), a.group("lab"));
    let share = a.share("bob", "lab", "f", 1);
    a.empty_lab();
    a.drop_hidden();
    let before = a.notices(bob);
    let mut expected = before;
    for body in [
        OpBody::RequestJoin { group: lab, user: bob },
        OpBody::AcceptRequest { group: lab, user: alice, by: bob },
        OpBody::RejectRequest { group: lab, user: alice, by: bob },
        OpBody::LeaveGroup { group: lab, user: bob },
        OpBody::RemoveMember { group: lab, user: alice, by: bob },
        OpBody::CreateShare { group: lab, user: bob, name: file("f"), content: content(1), replaces: None },
        OpBody::JoinShare { share, user: bob },
        OpBody::LeaveShare { share, user: bob },
    ] {
        let kind = body.change_kind().expect("bob makes it");
        let command = a.command();
        let op = a.add(command, body);
        expected.push(ground_gone(kind));
        assert_eq!(a.notices(bob), expected);
        assert_eq!(a.state.fate(op.id), Fate::Forgotten);
    }
    assert_eq!(a.state.group_count(), 0);
}

#[test]
fn a_new_version_of_what_is_gone_is_shared() {
    let (mut a, _) = lab();
    let (user, group) = (a.of("bob"), a.group("lab"));
    let old = a.share("bob", "lab", "f", 1);
    a.stop("bob", "lab", "f");
    a.drop_hidden();
    assert_eq!(a.state.fate(old.0), Fate::Forgotten);
    let command = a.command();
    a.add(command, OpBody::CreateShare { group, user, name: file("f"), content: content(2), replaces: Some(old) });
    assert_eq!(a.files("lab"), [shared("f", 2, &["bob"])]);
    assert_eq!(a.notices(user), NONE);
}

#[test]
fn an_op_below_the_floor_changes_nothing() {
    let (mut a, mut b) = lab();
    b.leave("bob", "lab");
    let op = b.ops.values().next_back().expect("the last").clone();
    while a.state.lamport() < op.lamport {
        a.create_group("dave", "other");
        a.leave("dave", "other");
    }
    a.drop_hidden();
    let digest = a.state.digest();
    a.state.apply(&op);
    assert_eq!(a.state.digest(), digest);
    assert_eq!(a.state.fate(op.id), Fate::Unheard);
}

#[test]
fn an_op_of_a_dropped_origin_is_carried_out() {
    let (mut a, _) = lab();
    let before = drop_origin(&mut a);
    let seq = a.state.seen(before);
    assert!(seq > 0, "it is known what was folded");
    let id = OpId { origin: before, seq: seq + 1 };
    let body = OpBody::LeaveGroup { group: a.group("lab"), user: a.of("bob") };
    a.state.apply(&Op { id, lamport: a.state.lamport() + 1, command: CommandId([9; 16]), body });
    assert_eq!(a.members("lab"), ["alice", "carol"]);
    assert_eq!(a.state.seen(before), seq + 1);
}

#[test]
fn a_command_stays_known_when_the_origin_of_its_op_is_dropped() {
    let (mut a, _) = lab();
    let (command, founder) = (CommandId([9; 16]), a.of("alice"));
    let make = OpBody::CreateGroup { name: group("x"), founder };
    let first = a.add(command, make.clone());
    drop_origin(&mut a);
    let owner = CommandOwner::User(founder);
    assert!(a.state.knows_command(owner, command));
    assert_eq!(a.state.command(owner, command), None);
    let second = a.add(command, make);
    assert_eq!(a.state.group_named(&group("x")), Some(GroupRef(first.id)));
    assert_eq!(a.state.group_named(&group("x~2")), None);
    assert_eq!(a.state.fate(second.id), Fate::Forgotten);
}

#[test]
fn an_unplaced_change_is_told_to_its_author() {
    let (mut a, _) = lab();
    let user = a.of("dave");
    let command = a.command();
    a.add(command, OpBody::NoteUnplaced { user, change: lost() });
    assert_eq!(a.notices(user), [Notice::Unplaced { change: lost() }]);
}

#[test]
fn an_unplaced_change_that_two_trackers_note_is_told_once() {
    let (mut a, mut b) = lab();
    let user = a.of("dave");
    for side in [&mut a, &mut b] {
        side.add(CommandId([9; 16]), OpBody::NoteUnplaced { user, change: lost() });
    }
    super::side::heal(&mut a, &mut b);
    assert_eq!(a.notices(user), [Notice::Unplaced { change: lost() }]);
}

/// A file is found by its name again: whoever goes by the old reference is told that it is forgotten.
#[test]
fn what_is_dropped_is_known_to_be_forgotten() {
    let (mut a, _) = lab();
    let (bob, share) = (a.of("bob"), a.share("bob", "lab", "f", 1));
    a.stop("bob", "lab", "f");
    a.drop_hidden();
    let again = a.share("bob", "lab", "f", 1);
    assert_eq!([share, again].map(|share| a.state.fate(share.0)), [Fate::Forgotten, Fate::Known]);
    assert!(a.state.is_sharer(again, bob) && a.state.share(share).is_none());
    let unheard = ShareRef(OpId { seq: again.0.seq + 1, ..again.0 });
    assert_eq!(a.state.fate(unheard.0), Fate::Unheard);
    assert_eq!(a.state.fate(UserRef(OpId { origin: Origin { tracker: 9, incarnation: 9 }, seq: 1 }).0), Fate::Unheard);
}
