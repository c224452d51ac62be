//! Ops beside their bytes: every body, and complete ops.

use super::cast::{ALICE, BOB, COMMAND, FILM, LAB, PLACE, TRACKER, content, film, lab, user};
use groupshare::model::id::{OpId, Seen, SessionId};
use groupshare::model::notice::{ChangeKind, UnplacedChange};
use groupshare::model::op::floor::{FloorMark, FloorProposal};
use groupshare::model::op::group_access::GroupAccess;
use groupshare::model::op::{Op, OpBody, PasswordHash};
use std::sync::Arc;

/// Every body of an op beside its bytes.
pub(crate) fn op_bodies() -> Vec<(OpBody, &'static str)> {
    [account_bodies(), group_bodies(), share_bodies(), tracker_bodies(), operator_bodies(), owner_bodies()]
        .into_iter()
        .flatten()
        .collect()
}

/// Of accounts.
fn account_bodies() -> Vec<(OpBody, &'static str)> {
    vec![
        (
            OpBody::CreateUser { name: user("alice"), password: hash() },
            r#"
            01                      # CreateUser
            0005 "alice"            # name
            000f "$argon2id$v=19$"  # password hash
            "#,
        ),
        (
            OpBody::ChangePassword { user: BOB, former: BOB.0, password: hash() },
            r#"
            02                                     # ChangePassword
            0001 1a2b3c4d5e6f7081 0000000000000002 # user
            0001 1a2b3c4d5e6f7081 0000000000000002 # former
            000f "$argon2id$v=19$"                 # password hash
            "#,
        ),
    ]
}

/// Of groups and their members.
fn group_bodies() -> Vec<(OpBody, &'static str)> {
    let group = LAB;
    let by = ALICE;
    vec![
        (
            OpBody::CreateGroup { name: lab(), founder: ALICE },
            r#"
            03                                     # CreateGroup
            0003 "lab"                             # name
            0001 1a2b3c4d5e6f7081 0000000000000001 # founder
            "#,
        ),
        (
            OpBody::RequestJoin { group, user: BOB },
            r#"
            04                                     # RequestJoin
            0001 1a2b3c4d5e6f7081 0000000000000003 # group
            0001 1a2b3c4d5e6f7081 0000000000000002 # user
            "#,
        ),
        (
            OpBody::AcceptRequest { group, user: BOB, by },
            r#"
            05                                     # AcceptRequest
            0001 1a2b3c4d5e6f7081 0000000000000003 # group
            0001 1a2b3c4d5e6f7081 0000000000000002 # user
            0001 1a2b3c4d5e6f7081 0000000000000001 # by
            "#,
        ),
        (
            OpBody::RejectRequest { group, user: BOB, by },
            r#"
            06                                     # RejectRequest
            0001 1a2b3c4d5e6f7081 0000000000000003 # group
            0001 1a2b3c4d5e6f7081 0000000000000002 # user
            0001 1a2b3c4d5e6f7081 0000000000000001 # by
            "#,
        ),
        (
            OpBody::LeaveGroup { group, user: BOB },
            r#"
            07                                     # LeaveGroup
            0001 1a2b3c4d5e6f7081 0000000000000003 # group
            0001 1a2b3c4d5e6f7081 0000000000000002 # user
            "#,
        ),
        (
            OpBody::RemoveMember { group, user: BOB, by },
            r#"
            08                                     # RemoveMember
            0001 1a2b3c4d5e6f7081 0000000000000003 # group
            0001 1a2b3c4d5e6f7081 0000000000000002 # user
            0001 1a2b3c4d5e6f7081 0000000000000001 # by
            "#,
        ),
    ]
}

/// Of shares and notices.
fn share_bodies() -> Vec<(OpBody, &'static str)> {
    let group = LAB;
    let share = FILM;
    vec![
        (
            OpBody::CreateShare { group, user: BOB, name: film(), content: content(), replaces: Some(share) },
            r#"
            09                                        # CreateShare
            0001 1a2b3c4d5e6f7081 0000000000000003    # group
            0001 1a2b3c4d5e6f7081 0000000000000002    # user
            0008 "film.mkv"                           # name
            00000000000f4240 5a*20 1f*32 00000001     # content
            01 0001 1a2b3c4d5e6f7081 0000000000000102 # replaces: this share
            "#,
        ),
        (
            OpBody::JoinShare { share, user: BOB },
            r#"
            0a                                     # JoinShare
            0001 1a2b3c4d5e6f7081 0000000000000102 # share
            0001 1a2b3c4d5e6f7081 0000000000000002 # user
            "#,
        ),
        (
            OpBody::LeaveShare { share, user: BOB },
            r#"
            0b                                     # LeaveShare
            0001 1a2b3c4d5e6f7081 0000000000000102 # share
            0001 1a2b3c4d5e6f7081 0000000000000002 # user
            "#,
        ),
        (
            OpBody::ReadNotices { user: BOB, through: PLACE, shown: [0x54; 32] },
            r#"
            0c                                     # ReadNotices
            0001 1a2b3c4d5e6f7081 0000000000000002 # user
            0000000000000009 0001 1a2b3c4d5e6f7081 # through
            54*32                                  # shown
            "#,
        ),
    ]
}

/// Of trackers.
fn tracker_bodies() -> Vec<(OpBody, &'static str)> {
    let proposal = OpId { origin: TRACKER, seq: 0x11 };
    let change = UnplacedChange { kind: ChangeKind::CreateShare, group: None, file: Some(film()) };
    vec![
        (
            OpBody::ProposeFloor { floor: Arc::new(floor_proposal()) },
            r#"
            0d                                     # ProposeFloor
            0000000000000005 f5*32                 # after
            0000000000000009 f9*32                 # mark
            00000001                               # vector: ops of one origin
            0001 1a2b3c4d5e6f7081 0000000000000102 #   258 of tracker 1 under this incarnation
            00000002 0001 0002                     # participants: trackers 1 and 2
            "#,
        ),
        (
            OpBody::ReadyForFloor { proposal },
            r#"
            0e                                     # ReadyForFloor
            0001 1a2b3c4d5e6f7081 0000000000000011 # proposal
            "#,
        ),
        (
            OpBody::PromiseFloor { proposal, floor: Arc::new(floor_proposal()) },
            r#"
            0f                                     # PromiseFloor
            0001 1a2b3c4d5e6f7081 0000000000000011 # proposal
            0000000000000005 f5*32                 # after
            0000000000000009 f9*32                 # mark
            00000001                               # vector: ops of one origin
            0001 1a2b3c4d5e6f7081 0000000000000102 #   258 of tracker 1 under this incarnation
            00000002 0001 0002                     # participants: trackers 1 and 2
            "#,
        ),
        (OpBody::ForgetTracker { tracker: 3 }, "10 0003 # ForgetTracker: tracker 3"),
        (OpBody::UnforgetTracker { tracker: 3 }, "11 0003 # UnforgetTracker: tracker 3"),
        (
            OpBody::NoteUnplaced { user: BOB, change },
            r#"
            12                                     # NoteUnplaced
            0001 1a2b3c4d5e6f7081 0000000000000002 # user
            09                                     # kind: CreateShare
            00                                     # group: there is none
            01 0008 "film.mkv"                     # file: there is one
            "#,
        ),
    ]
}

/// Of operators.
fn operator_bodies() -> Vec<(OpBody, &'static str)> {
    vec![
        (
            OpBody::MakeUser { name: user("alice"), password: hash() },
            r#"
            13                      # MakeUser
            0005 "alice"            # name
            000f "$argon2id$v=19$"  # password hash
            "#,
        ),
        (
            OpBody::ResetPassword { user: BOB, password: hash() },
            r#"
            14                                     # ResetPassword
            0001 1a2b3c4d5e6f7081 0000000000000002 # user
            000f "$argon2id$v=19$"                 # password hash
            "#,
        ),
        (OpBody::EndSessions { user: BOB }, "15 0001 1a2b3c4d5e6f7081 0000000000000002 # EndSessions: user"),
        (OpBody::DisableUser { user: BOB }, "16 0001 1a2b3c4d5e6f7081 0000000000000002 # DisableUser: user"),
        (OpBody::EnableUser { user: BOB }, "17 0001 1a2b3c4d5e6f7081 0000000000000002 # EnableUser: user"),
        (OpBody::DeleteUser { user: BOB }, "18 0001 1a2b3c4d5e6f7081 0000000000000002 # DeleteUser: user"),
        (
            OpBody::GiveGroup { group: LAB, user: BOB },
            r#"
            19                                     # GiveGroup
            0001 1a2b3c4d5e6f7081 0000000000000003 # group
            0001 1a2b3c4d5e6f7081 0000000000000002 # user
            "#,
        ),
        (OpBody::DeleteGroup { group: LAB }, "1a 0001 1a2b3c4d5e6f7081 0000000000000003 # DeleteGroup: group"),
        (
            OpBody::EndSession { user: BOB, session: SessionId([0x5e; 16]), through_s: 0x69ff_0000 },
            r#"
            1b                                 # EndSession
            0001 1a2b3c4d5e6f7081 0000000000000002 # user
            5e*16                              # session
            0000000069ff0000                   # through when, in seconds since 1970
            "#,
        ),
    ]
}

/// Decisions of owners about owners and access.
fn owner_bodies() -> Vec<(OpBody, &'static str)> {
    let (group, by) = (LAB, ALICE);
    vec![
        (
            OpBody::MakeOwner { group, user: BOB, by },
            r#"
            1c                                     # MakeOwner
            0001 1a2b3c4d5e6f7081 0000000000000003 # group
            0001 1a2b3c4d5e6f7081 0000000000000002 # user
            0001 1a2b3c4d5e6f7081 0000000000000001 # by
            "#,
        ),
        (
            OpBody::DropOwner { group, user: BOB, by },
            r#"
            1d                                     # DropOwner
            0001 1a2b3c4d5e6f7081 0000000000000003 # group
            0001 1a2b3c4d5e6f7081 0000000000000002 # user
            0001 1a2b3c4d5e6f7081 0000000000000001 # by
            "#,
        ),
        (
            OpBody::AddMember { group, user: BOB, by },
            r#"
            1e                                     # AddMember
            0001 1a2b3c4d5e6f7081 0000000000000003 # group
            0001 1a2b3c4d5e6f7081 0000000000000002 # user
            0001 1a2b3c4d5e6f7081 0000000000000001 # by
            "#,
        ),
        (
            OpBody::SetGroup { group, access: GroupAccess::Closed, by },
            r#"
            1f                                     # SetGroup
            0001 1a2b3c4d5e6f7081 0000000000000003 # group
            02                                     # access: closed
            0001 1a2b3c4d5e6f7081 0000000000000001 # by
            "#,
        ),
        (
            OpBody::SetAdding { user: BOB, allowed: false },
            r#"
            20                                     # SetAdding
            0001 1a2b3c4d5e6f7081 0000000000000002 # user
            00                                     # allowed: no
            "#,
        ),
    ]
}

fn floor_proposal() -> FloorProposal {
    FloorProposal {
        after: FloorMark { lamport: 5, base: [0xf5; 32] },
        mark: FloorMark { lamport: 9, base: [0xf9; 32] },
        vector: vec![Seen { origin: TRACKER, seq: 0x0102 }],
        participants: vec![1, 2],
    }
}

pub(super) fn ops() -> Vec<(Op, &'static str)> {
    let body = OpBody::LeaveGroup { group: LAB, user: BOB };
    vec![(
        Op { id: OpId { origin: TRACKER, seq: 0x11 }, lamport: 0x22, command: COMMAND, body },
        r#"
                                               # id:
        0001                                   #   tracker 1
        1a2b3c4d5e6f7081                       #   incarnation
        0000000000000011                       #   its 17th op
        0000000000000022                       # Lamport counter
        c0*16                                  # command
                                               # body:
        07                                     #   LeaveGroup
        0001 1a2b3c4d5e6f7081 0000000000000003 #   group
        0001 1a2b3c4d5e6f7081 0000000000000002 #   user
        "#,
    )]
}

fn hash() -> PasswordHash {
    PasswordHash("$argon2id$v=19$".into())
}
