//! The fold of any ops, and the ledger that orders them.

use super::history::{self, Trackers};
use super::script::Script;
use groupshare::model::id::{GroupRef, SessionId};
use groupshare::model::op::Op;
use groupshare::model::op::group_access::GroupAccess;
use groupshare::tracker::ledger::accept::Change;
use groupshare::tracker::ledger::{Finish, Ledger, Submission, impossible};
use groupshare::tracker::state::{Membership, State};
use groupshare::wire::refusal::Refusal;
use std::convert::Infallible;

/// Most ops of one history.
const OPS_MAX: usize = 48;
/// More entries than any list here has.
const ALL: usize = 1000;

/// The canonical bytes of a state.
pub(super) fn encoded(state: &State) -> Vec<u8> {
    let mut bytes = Vec::new();
    let Ok(()) = state.encode(|part| {
        bytes.extend_from_slice(part);
        Ok::<(), Infallible>(())
    });
    bytes
}

fn fold(mut ops: Vec<Op>) -> State {
    ops.sort_by_key(Op::order);
    let mut state = State::new();
    ops.iter().for_each(|op| state.apply(op));
    state
}

/// Ops, each made of some bytes, folded in their order.
pub(super) fn state(data: &[u8]) {
    let (mut script, mut trackers) = (Script::new(data), Trackers::new());
    let ops: Vec<_> = std::iter::from_fn(|| trackers.op(&mut script)).take(OPS_MAX).collect();
    let mut state = fold(ops.clone());
    let bytes = encoded(&state);
    let decoded = State::decode(&bytes).expect("its canonical form");
    assert_eq!(encoded(&decoded), bytes);
    check_views(&decoded);
    check_views(&state);
    ops.iter().for_each(|op| state.apply(op));
    let seen = |state: &State| state.version().collect::<Vec<_>>();
    if seen(&state) == seen(&decoded) {
        assert_eq!(encoded(&state), bytes, "an op that is known changes nothing");
    }
}

/// The views of a state agree with each other.
fn check_views(state: &State) {
    let asking = history::user(0);
    let groups = state.groups_after(None, ALL, asking);
    assert_eq!(groups.len(), state.group_count());
    let mut shares = 0;
    for row in &groups {
        let group = state.group_named(&row.name).expect("it is listed");
        assert_eq!(state.group_name(group).as_ref(), Some(&row.name));
        let owner = state.owner(group).expect("a visible group has one");
        assert_eq!(state.account(owner).map(|account| account.name), Some(row.owner.clone()));
        assert_eq!(state.membership(group, owner), Membership::Owner);
        shares += check_group(state, group);
        assert_eq!(state.members_after(group, None, ALL).len() as u32, row.member_count);
    }
    assert_eq!(shares, state.share_count());
}

/// Returns how many shares a group has.
fn check_group(state: &State, group: GroupRef) -> usize {
    for row in state.members_after(group, None, ALL) {
        assert!(state.is_member(group, row.user) && !state.is_waiting(group, row.user));
        assert_eq!(row.owner, state.owners(group).any(|owner| owner == row.user));
        assert_eq!(state.user_named(&row.name), Some(row.user));
    }
    assert!(state.waiting(group).all(|user| !state.is_member(group, user)));
    let files = state.files_after(group, None, ALL);
    for file in &files {
        let found = state.share_named(group, &file.name).expect("it is listed");
        assert_eq!((found.share, found.group), (file.share, group));
        let sharers: Vec<_> = state.sharers(file.share).collect();
        assert_eq!(sharers.len() as u32, file.sharer_count);
        assert!(!sharers.is_empty() && sharers.iter().all(|&user| state.is_member(group, user)));
    }
    files.len()
}

/// A ledger that makes changes of its own, and takes the ops of others as they come.
pub(super) fn ledger(data: &[u8]) {
    let (mut script, mut trackers) = (Script::new(data), Trackers::new());
    let mut ledger = Ledger::new(history::origin(3), State::new());
    // The ops that it took, the durable state, and how many ops have had their meaning reported.
    let (mut taken, mut durable, mut told): (Vec<Op>, State, usize) = (Vec::new(), State::new(), 0);
    let mut folded = State::new();
    while let Some(step) = script.byte() {
        match step % 4 {
            0 | 1 => {
                let lot: Vec<_> = (0..=step >> 5).map_while(|_| trackers.op(&mut script)).collect();
                let before = ledger.state().digest();
                match give(&mut ledger, lot, &durable, &taken) {
                    Ok(ops) => taken.extend(ops),
                    Err(_) => assert_eq!(ledger.state().digest(), before, "a lot is taken as a whole or not at all"),
                }
            }
            2 => {
                let Some(change) = change(&mut script) else { break };
                if let Ok(Submission::Made(op)) = ledger.submit(history::own_command(step), &change) {
                    taken.push(op);
                }
            }
            _ => {
                drop(ledger.cut().meaning(&taken[told..]));
                told = taken.len();
                durable = ledger.state().clone();
                ledger.settle(&durable);
            }
        }
        if folded.op_count() != taken.len() as u64 {
            folded = fold(taken.clone());
        }
        assert_eq!((folded.op_count(), ledger.state().op_count()), (taken.len() as u64, taken.len() as u64));
        assert_eq!(ledger.state().digest(), folded.digest(), "it is the fold of all that was taken");
        if taken.len() >= OPS_MAX {
            break;
        }
    }
    ledger.reset(&durable);
    assert_eq!(ledger.state().digest(), durable.digest());
}

/// Passes ops to a ledger until it has taken all. Returns those that it took.
fn give(ledger: &mut Ledger, ops: Vec<Op>, durable: &State, log: &[Op]) -> Result<Vec<Op>, Refusal> {
    let (mut ops, mut taken) = (ops, Vec::new());
    loop {
        let mut receipt = ledger.receive(ops, durable)?;
        taken.append(&mut receipt.taken);
        ops = receipt.rest;
        if let Some(mut refold) = receipt.refold {
            if refold.needs_history() {
                let mut log = log.to_vec();
                log.sort_by_key(Op::order);
                log.into_iter().for_each(|op| refold.take(op));
                assert_eq!(refold.missing(), 0);
            }
            while refold.slice(7) {}
            refold.narrow();
            match ledger.finish(refold) {
                Finish::Swapped(mut late, _) => taken.append(&mut late),
                Finish::Impossible(_) => return Err(impossible()),
                Finish::Behind(_) | Finish::Void(_) => panic!("nothing has happened meanwhile"),
            }
        }
        if ops.is_empty() {
            return Ok(taken);
        }
    }
}

fn change(script: &mut Script<'_>) -> Option<Change> {
    let (kind, a, b) = (script.byte()?, script.byte()?, script.byte()?);
    let (user, group, target) = (history::user(a), history::group_name(b), history::user_name(b >> 3));
    Some(match kind % 16 {
        0 => Change::CreateUser { name: target, password: history::password(a) },
        1 => Change::ChangePassword { user, former: user.0, password: history::password(b) },
        2 => Change::CreateGroup { user, group },
        3 => Change::JoinGroup { user, group },
        4 => Change::LeaveGroup { user, group },
        5 => Change::AcceptRequest { user, group, target },
        6 => Change::RejectRequest { user, group, target },
        7 => Change::RemoveMember { user, group, target },
        8 => Change::Share { user, group, name: history::file_name(kind), content: history::content(kind >> 4) },
        9 => Change::StopShare { user, group, name: history::file_name(kind) },
        10 => Change::MakeOwner { user, group, target },
        11 => Change::DropOwner { user, group, target },
        12 => Change::AddMember { user, group, target },
        13 => Change::SetGroup { user, group, access: GroupAccess::ALL[usize::from(kind >> 4) % 3] },
        14 => Change::SetAdding { user, allowed: b >= 0x80 },
        _ if b >= 0xc0 => Change::EndSession { user, session: SessionId([b; 16]), through_s: kind.into() },
        _ => Change::ReadNotices { user, through: history::order(b), shown: Some([kind; 32]) },
    })
}
