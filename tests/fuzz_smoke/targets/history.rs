//! Ops that three trackers could have made, and impossible ones: out of order, with gaps, about things that do not
//! exist.

use super::script::Script;
use groupshare::model::digest::{InfoHash, Sha1Digest};
use groupshare::model::id::{CommandId, GroupRef, OpId, OpOrder, Origin, Seen, SessionId, ShareRef, UserRef};
use groupshare::model::manifest::Content;
use groupshare::model::name::{FileName, GroupId, UserId};
use groupshare::model::notice::{ChangeKind, UnplacedChange};
use groupshare::model::op::floor::{FloorMark, FloorProposal};
use groupshare::model::op::group_access::GroupAccess;
use groupshare::model::op::{Op, OpBody, PasswordHash};
use groupshare::model::piece::Layout;
use std::sync::Arc;

/// Names that the ops use again and again.
const NAMES: [&str; 6] = ["ann", "bob", "ann~2", "Zoë", "a b", "ann~3"];

/// The present positions in the histories of the trackers.
pub(super) struct Trackers {
    seqs: [u64; 3],
    lamport: u64,
    commands: u64,
}

/// A tracker. The last one is the tracker of the ledger, whose own ops are not made here.
pub(super) fn origin(number: u8) -> Origin {
    let tracker = 1 + u16::from(number % 4);
    Origin { tracker, incarnation: u64::from(tracker) << 8 }
}

/// One of the early ops.
fn id(number: u8) -> OpId {
    OpId { origin: origin(number % 4), seq: u64::from(number / 4 % 16) + 1 }
}

pub(super) fn user_name(number: u8) -> UserId {
    UserId::parse(NAMES[usize::from(number) % NAMES.len()]).expect("a name")
}

pub(super) fn group_name(number: u8) -> GroupId {
    GroupId::parse(NAMES[usize::from(number) % NAMES.len()]).expect("a name")
}

pub(super) fn file_name(number: u8) -> FileName {
    FileName::parse(NAMES[usize::from(number) % NAMES.len()]).expect("a name")
}

pub(super) fn password(number: u8) -> PasswordHash {
    PasswordHash(format!("$argon2id${number}").as_str().into())
}

pub(super) fn content(number: u8) -> Content {
    let layout = Layout::new(u64::from(number % 4) << 19).expect("small");
    let (sha1, info_hash) = (Sha1Digest([number % 4; 20]), InfoHash([number % 4; 32]));
    // The sharer of a file need not tell its size.
    Content { layout, sha1, info_hash, file_count: u32::from(number & 4 == 0) }
}

/// An early place in the order.
pub(super) fn order(number: u8) -> OpOrder {
    OpOrder { lamport: u64::from(number), origin: origin(number) }
}

pub(super) fn user(number: u8) -> UserRef {
    UserRef(id(number))
}

fn group(number: u8) -> GroupRef {
    GroupRef(id(number))
}

fn share(number: u8) -> ShareRef {
    ShareRef(id(number))
}

impl Trackers {
    pub(super) fn new() -> Self {
        Self { seqs: [0; 3], lamport: 0, commands: 0 }
    }

    /// The next op.
    pub(super) fn op(&mut self, script: &mut Script<'_>) -> Option<Op> {
        let how = script.byte()?;
        let which = usize::from(how % 3);
        self.seqs[which] += match how >> 4 {
            // A gap, or a sequence that was used before.
            0 => 2,
            1 => 0,
            _ => 1,
        };
        self.lamport = match how >> 2 & 3 {
            0 => self.lamport,
            1 => self.lamport.saturating_sub(3).max(1),
            2 => self.lamport.saturating_add(1),
            _ => self.lamport.saturating_add(1 << script.byte()?.min(63)),
        };
        self.commands += 1;
        // Sometimes an earlier command.
        let command = if how >> 4 == 2 { self.commands / 2 } else { self.commands };
        let body = body(script)?;
        let id = OpId { origin: origin(which as u8), seq: self.seqs[which] };
        Some(Op { id, lamport: self.lamport, command: CommandId(u128::from(command).to_be_bytes()), body })
    }
}

fn body(script: &mut Script<'_>) -> Option<OpBody> {
    let kind = script.byte()?;
    let (a, b, c) = (script.byte()?, script.byte()?, script.byte()?);
    match kind {
        240.. => return Some(vote(kind, a, (b, c))),
        224..240 => return Some(operated(kind, a, b)),
        208..224 => return Some(decided(kind, a, (b, c))),
        _ => {}
    }
    Some(match kind % 14 {
        0 => OpBody::CreateUser { name: user_name(a), password: password(b) },
        1 => OpBody::ChangePassword { user: user(a), former: user(c).0, password: password(b) },
        2 => OpBody::CreateGroup { name: group_name(a), founder: user(b) },
        3 => OpBody::RequestJoin { group: group(a), user: user(b) },
        4 => OpBody::AcceptRequest { group: group(a), user: user(b), by: user(c) },
        5 => OpBody::RejectRequest { group: group(a), user: user(b), by: user(c) },
        6 => OpBody::LeaveGroup { group: group(a), user: user(b) },
        7 => OpBody::RemoveMember { group: group(a), user: user(b), by: user(c) },
        8 => OpBody::CreateShare {
            group: group(a),
            user: user(b),
            name: file_name(c),
            content: content(c >> 3),
            replaces: (c >= 0x80).then(|| share(c)),
        },
        9 => OpBody::JoinShare { share: share(a), user: user(b) },
        10 => OpBody::LeaveShare { share: share(a), user: user(b) },
        11 => OpBody::ForgetTracker { tracker: u16::from(a % 4) },
        12 => OpBody::UnforgetTracker { tracker: u16::from(a % 4) },
        _ => OpBody::ReadNotices { user: user(a), through: order(b), shown: [c; 32] },
    })
}

/// Decisions of owners about owners and about access.
fn decided(kind: u8, a: u8, (b, c): (u8, u8)) -> OpBody {
    match kind % 8 {
        0 | 1 => OpBody::MakeOwner { group: group(a), user: user(b), by: user(c) },
        2 | 3 => OpBody::DropOwner { group: group(a), user: user(b), by: user(c) },
        4 | 5 => OpBody::AddMember { group: group(a), user: user(b), by: user(c) },
        6 => OpBody::SetGroup { group: group(a), access: GroupAccess::ALL[usize::from(b) % 3], by: user(c) },
        _ => OpBody::SetAdding { user: user(a), allowed: b >= 0x80 },
    }
}

/// Actions of operators.
fn operated(kind: u8, a: u8, b: u8) -> OpBody {
    match kind % 8 {
        0 => OpBody::MakeUser { name: user_name(a), password: password(b) },
        1 => OpBody::ResetPassword { user: user(a), password: password(b) },
        2 => OpBody::EndSessions { user: user(a) },
        3 => OpBody::DisableUser { user: user(a) },
        4 => OpBody::EnableUser { user: user(a) },
        5 if b >= 0x80 => OpBody::EndSession { user: user(a), session: SessionId([b; 16]), through_s: b.into() },
        5 => OpBody::DeleteUser { user: user(a) },
        6 => OpBody::GiveGroup { group: group(a), user: user(b) },
        _ => OpBody::DeleteGroup { group: group(a) },
    }
}

/// Votes of trackers about floors, and their notes about lost changes.
fn vote(kind: u8, a: u8, (b, c): (u8, u8)) -> OpBody {
    let mark = |n: u8| FloorMark { lamport: u64::from(n % 64), base: [n % 2; 32] };
    let (after, mark, participants) = (mark(b), mark(c), vec![1, 2, 3]);
    let vector = vec![Seen { origin: origin(a % 3), seq: u64::from(b) }];
    let floor = Arc::new(FloorProposal { after, mark, vector, participants });
    let proposal = OpId { origin: origin(a % 3), seq: u64::from(a >> 2) };
    match kind % 4 {
        0 => OpBody::ProposeFloor { floor },
        1 => OpBody::ReadyForFloor { proposal },
        2 => OpBody::PromiseFloor { proposal, floor },
        _ => {
            let change = UnplacedChange { kind: ChangeKind::CreateShare, group: None, file: Some(file_name(c)) };
            OpBody::NoteUnplaced { user: user(a), change }
        }
    }
}

/// The command ids of this file end where those of the ledger's own ops begin.
pub(super) fn own_command(number: u8) -> CommandId {
    CommandId((1 << 64 | u128::from(number)).to_be_bytes())
}
