//! Ops above a floor. Its base state has forgotten what was hidden for long.

use super::side::{NONE, Side, content, file, ground_gone, group, heal, lab, nothing, shared};
use groupshare::model::id::{CommandId, GroupRef, OpId, Origin, ShareRef, UserRef};
use groupshare::model::notice::{ChangeKind, Notice, UnplacedChange};
use groupshare::model::op::floor::{FloorMark, FloorProposal};
use groupshare::model::op::{Op, OpBody};
use groupshare::tracker::state::{CommandOwner, Fate};
use std::sync::Arc;

/// The subject of a change without a place.
fn lost() -> UnplacedChange {
    UnplacedChange { kind: ChangeKind::LeaveGroup, group: Some(group("lab")), file: None }
}

/// A floor up to this counter. Trackers 1 and 2 have to agree on it.
fn floor(lamport: u64) -> Arc<FloorProposal> {
    Arc::new(FloorProposal {
        after: FloorMark::default(),
        mark: FloorMark { lamport, base: [7; 32] },
        vector: Vec::new(),
        participants: vec![1, 2],
    })
}

fn propose(side: &mut Side, floor: &Arc<FloorProposal>) -> OpId {
    side.add(CommandId::NONE, OpBody::ProposeFloor { floor: Arc::clone(floor) }).id
}

fn promise(side: &mut Side, proposal: OpId, floor: &Arc<FloorProposal>) -> Op {
    side.add(CommandId::NONE, OpBody::PromiseFloor { proposal, floor: Arc::clone(floor) })
}

/// The known proposals, each with the trackers that are ready.
fn proposals(side: &Side) -> Vec<(OpId, Vec<u16>)> {
    let all = side.state.proposals();
    all.map(|(id, _, ready)| (id, ready.iter().copied().collect())).collect()
}

/// The known promised floors, each with the trackers that have promised.
fn promises(side: &Side) -> Vec<(OpId, Vec<u16>)> {
    let all = side.state.promises();
    all.map(|(id, _, by)| (id, by.iter().copied().collect())).collect()
}

fn gate(side: &Side) -> Option<u64> {
    side.state.gate().map(|floor| floor.mark.lamport)
}

/// The tracker goes on under another incarnation, and the earlier one is dropped.
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
fn only_participants_have_a_word_about_a_floor() {
    let (mut a, mut b) = lab();
    let mut c = Side::new(3);
    heal(&mut a, &mut c);
    let other = propose(&mut c, &floor(4));
    let proposal = propose(&mut a, &floor(4));
    heal(&mut a, &mut c);
    c.add(CommandId::NONE, OpBody::ReadyForFloor { proposal });
    promise(&mut c, proposal, &floor(4));
    heal(&mut b, &mut c);
    assert_eq!((proposals(&c), promises(&c)), (vec![(proposal, vec![])], vec![]));
    assert!(c.state.fate(other) == Fate::Forgotten, "it made nothing");
}

#[test]
fn a_promised_floor_lets_nothing_else_below_it() {
    let (mut a, mut b) = lab();
    let proposal = propose(&mut a, &floor(4));
    heal(&mut a, &mut b);
    promise(&mut a, proposal, &floor(4));
    assert_eq!(gate(&a), Some(4));
    heal(&mut a, &mut b);
    promise(&mut b, proposal, &floor(4));
    heal(&mut a, &mut b);
    assert_eq!(promises(&a), [(proposal, vec![1, 2])]);
    let gate = a.state.gate().expect("promised");
    assert!(gate.excludes(nothing(), 4) && !gate.excludes(nothing(), 5));
}

#[test]
fn promises_of_the_floor_under_the_state_bound_the_next_one() {
    let (mut a, mut b) = lab();
    let lamport = a.state.lamport();
    a.pause();
    let proposal = propose(&mut a, &floor(lamport));
    promise(&mut a, proposal, &floor(lamport));
    heal(&mut a, &mut b);
    let last = promise(&mut b, proposal, &floor(lamport));
    heal(&mut a, &mut b);
    // Everything above it is folded on the base.
    let mut state = a.state.clone();
    let (below, above): (Vec<_>, Vec<_>) = a.ops.values().partition(|op| op.lamport <= lamport);
    a.state = Default::default();
    below.iter().for_each(|op| a.state.apply(op));
    a.state.prune(lamport);
    above.iter().for_each(|op| a.state.apply(op));
    assert_eq!((proposals(&a), promises(&a), gate(&a)), (vec![], vec![], None));
    assert_eq!(a.state.promised_at(), last.lamport);
    state.prune(last.lamport);
    assert_eq!(state.promised_at(), 0, "of that floor no promise is known");
}

#[test]
fn a_floor_that_only_forgotten_trackers_have_promised_binds_nobody() {
    let (mut a, mut b) = lab();
    let proposal = propose(&mut b, &floor(4));
    promise(&mut b, proposal, &floor(4));
    heal(&mut a, &mut b);
    assert_eq!(gate(&a), Some(4));
    a.forget(2);
    assert_eq!(gate(&a), None);
    a.unforget(2);
    assert_eq!(gate(&a), Some(4));
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
    heal(&mut a, &mut b);
    assert_eq!(a.notices(user), [Notice::Unplaced { change: lost() }]);
}

/// The name finds a file again. A request with the old reference hears that the share is forgotten.
#[test]
fn a_dropped_share_is_known_to_be_forgotten() {
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
