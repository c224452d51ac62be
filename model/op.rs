//! The changes that make up the trackers' state. The state is the fold of all ops in their total order.

pub mod floor;
pub mod group_access;

use super::id::{CommandId, GroupRef, OpId, OpOrder, SessionId, ShareRef, UserRef};
use super::manifest::Content;
use super::name::{FileName, GroupId, UserId};
use super::notice::{ChangeKind, UnplacedChange};
use floor::FloorProposal;
use group_access::GroupAccess;
use std::fmt;
use std::sync::Arc;

/// One accepted change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Op {
    /// Its name: origin and gap-free sequence.
    pub id: OpId,
    /// Lamport counter: greater than that of every op the origin knew when it issued this one.
    pub lamport: u64,
    /// The client's command behind it; [`CommandId::NONE`] where a tracker made the change itself.
    pub command: CommandId,
    pub body: OpBody,
}

impl Op {
    /// Its place in the total order.
    pub fn order(&self) -> OpOrder {
        OpOrder { lamport: self.lamport, origin: self.id.origin }
    }
}

/// A finished password hash in PHC string format, never a password.
#[derive(Clone, PartialEq, Eq)]
pub struct PasswordHash(pub Arc<str>);

impl PasswordHash {
    /// Longest PHC string in bytes.
    pub const LEN_MAX: usize = 256;
}

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasswordHash(..)")
    }
}

/// What an op changes. Acceptance has resolved the names in the command to ids. docs/FOLD.md says what each op means
/// when its precondition is gone by the time it is folded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OpBody {
    /// An account is made; the op's id names the user.
    CreateUser {
        /// The name asked for.
        name: UserId,
        password: PasswordHash,
    },
    /// A user changes the password; session tokens made before it end.
    ChangePassword {
        user: UserRef,
        /// The op that set the password which this one replaces: it has no effect if that is another one by now.
        former: OpId,
        password: PasswordHash,
    },
    /// A group is made; the op's id names it and the founder is its first member.
    CreateGroup {
        /// The name asked for.
        name: GroupId,
        /// First member and owner.
        founder: UserRef,
    },
    RequestJoin {
        group: GroupRef,
        user: UserRef,
    },
    /// The owner lets a user in.
    AcceptRequest {
        group: GroupRef,
        user: UserRef,
        by: UserRef,
    },
    /// The owner turns a request down.
    RejectRequest {
        group: GroupRef,
        user: UserRef,
        by: UserRef,
    },
    /// A member leaves, or somebody who asked to be let in withdraws.
    LeaveGroup {
        group: GroupRef,
        user: UserRef,
    },
    /// The owner removes a member.
    RemoveMember {
        group: GroupRef,
        user: UserRef,
        by: UserRef,
    },
    /// Content is shared in a group under a name; the op's id names the share.
    CreateShare {
        group: GroupRef,
        /// The first sharer.
        user: UserRef,
        /// The name asked for.
        name: FileName,
        content: Content,
        /// The share of the same user under the same name that this one replaces.
        replaces: Option<ShareRef>,
    },
    /// Another member shares the same content.
    JoinShare {
        share: ShareRef,
        user: UserRef,
    },
    /// A member shares it no longer.
    LeaveShare {
        share: ShareRef,
        user: UserRef,
    },
    /// A user has read the notices about ops up to this place in the order. Ops that come late can change which
    /// notices those are, so the op says what was read; notices that were not read stay.
    ReadNotices {
        user: UserRef,
        through: OpOrder,
        /// SHA-256 of the notices that were read, which names them as `State::notices_digest` says.
        shown: [u8; 32],
    },
    /// A tracker proposes a floor; the op's id names the proposal. The author is a tracker, as of the next two.
    ProposeFloor {
        floor: Arc<FloorProposal>,
    },
    /// A tracker holds exactly the ops of a proposal and has the same base.
    ReadyForFloor {
        proposal: OpId,
    },
    /// A tracker promises to take nothing else below a proposed floor.
    PromiseFloor {
        proposal: OpId,
        /// The proposal once more, so that the promise binds without it.
        floor: Arc<FloorProposal>,
    },
    /// An operator has all trackers let go of one. The author is a tracker.
    ForgetTracker {
        tracker: u16,
    },
    /// An operator takes a forgotten tracker back. The author is a tracker.
    UnforgetTracker {
        tracker: u16,
    },
    /// A tracker tells a user of a change that was lost. Its command follows from that change, so that two trackers
    /// that lost the same one tell of it once.
    NoteUnplaced {
        user: UserRef,
        change: UnplacedChange,
    },
    /// An operator makes an account; the op's id names the user. The author of this and of the next seven is the
    /// operator of the tracker that has issued the op.
    MakeUser {
        /// The name asked for.
        name: UserId,
        password: PasswordHash,
    },
    /// An operator sets a user's password; sessions end.
    ResetPassword {
        user: UserRef,
        password: PasswordHash,
    },
    /// An operator ends a user's sessions. The password stays.
    EndSessions {
        user: UserRef,
    },
    /// An operator keeps a user out. Memberships and shares stay.
    DisableUser {
        user: UserRef,
    },
    /// An operator lets a user in again.
    EnableUser {
        user: UserRef,
    },
    /// An operator deletes an account for good. Its name stays taken.
    DeleteUser {
        user: UserRef,
    },
    /// An operator makes a user the owner of a group.
    GiveGroup {
        group: GroupRef,
        user: UserRef,
    },
    /// An operator deletes a group for good. Its name is free.
    DeleteGroup {
        group: GroupRef,
    },
    /// A user has logged out: the tokens of that session are void.
    EndSession {
        user: UserRef,
        session: SessionId,
        /// When the last of its tokens was made, or later; in seconds since 1970.
        through_s: u64,
    },
    /// An owner makes a member one more owner.
    MakeOwner {
        group: GroupRef,
        user: UserRef,
        by: UserRef,
    },
    /// An owner makes an owner a plain member.
    DropOwner {
        group: GroupRef,
        user: UserRef,
        by: UserRef,
    },
    /// An owner makes a user a member who need not have asked.
    AddMember {
        group: GroupRef,
        user: UserRef,
        by: UserRef,
    },
    /// An owner decides who gets into a group.
    SetGroup {
        group: GroupRef,
        access: GroupAccess,
        by: UserRef,
    },
    /// A user lets owners make the user a member of their groups, or not.
    SetAdding {
        user: UserRef,
        allowed: bool,
    },
}

impl OpBody {
    /// Whether a tracker made the change itself, for its operator or for all: no client with a command did.
    pub fn is_of_tracker(&self) -> bool {
        matches!(self, OpBody::NoteUnplaced { .. })
            || (self.author().is_none() && !matches!(self, OpBody::CreateUser { .. }))
    }

    /// Among which user's commands its command counts. That is the user who made the change, or who is told of one that
    /// was lost. `None` where an account is made, since nobody is logged in then, and for other changes of trackers.
    pub fn author(&self) -> Option<UserRef> {
        match self {
            OpBody::CreateUser { .. }
            | OpBody::ProposeFloor { .. }
            | OpBody::ReadyForFloor { .. }
            | OpBody::PromiseFloor { .. }
            | OpBody::ForgetTracker { .. }
            | OpBody::UnforgetTracker { .. }
            | OpBody::MakeUser { .. }
            | OpBody::ResetPassword { .. }
            | OpBody::EndSessions { .. }
            | OpBody::DisableUser { .. }
            | OpBody::EnableUser { .. }
            | OpBody::DeleteUser { .. }
            | OpBody::GiveGroup { .. }
            | OpBody::DeleteGroup { .. } => None,
            OpBody::CreateGroup { founder: user, .. }
            | OpBody::AcceptRequest { by: user, .. }
            | OpBody::RejectRequest { by: user, .. }
            | OpBody::RemoveMember { by: user, .. }
            | OpBody::MakeOwner { by: user, .. }
            | OpBody::DropOwner { by: user, .. }
            | OpBody::AddMember { by: user, .. }
            | OpBody::SetGroup { by: user, .. }
            | OpBody::SetAdding { user, .. }
            | OpBody::ChangePassword { user, .. }
            | OpBody::RequestJoin { user, .. }
            | OpBody::LeaveGroup { user, .. }
            | OpBody::CreateShare { user, .. }
            | OpBody::JoinShare { user, .. }
            | OpBody::LeaveShare { user, .. }
            | OpBody::ReadNotices { user, .. }
            | OpBody::NoteUnplaced { user, .. }
            | OpBody::EndSession { user, .. } => Some(*user),
        }
    }

    /// What the author is told of it if it is lost. `None` for what nobody misses, where an account is made, and for
    /// changes of trackers.
    pub fn change_kind(&self) -> Option<ChangeKind> {
        Some(match self {
            OpBody::ChangePassword { .. } => ChangeKind::ChangePassword,
            OpBody::CreateGroup { .. } => ChangeKind::CreateGroup,
            OpBody::RequestJoin { .. } => ChangeKind::RequestJoin,
            OpBody::AcceptRequest { .. } => ChangeKind::AcceptRequest,
            OpBody::RejectRequest { .. } => ChangeKind::RejectRequest,
            OpBody::LeaveGroup { .. } => ChangeKind::LeaveGroup,
            OpBody::RemoveMember { .. } => ChangeKind::RemoveMember,
            OpBody::CreateShare { .. } => ChangeKind::CreateShare,
            OpBody::JoinShare { .. } => ChangeKind::JoinShare,
            OpBody::LeaveShare { .. } => ChangeKind::LeaveShare,
            OpBody::MakeOwner { .. } => ChangeKind::MakeOwner,
            OpBody::DropOwner { .. } => ChangeKind::DropOwner,
            OpBody::AddMember { .. } => ChangeKind::AddMember,
            OpBody::SetGroup { .. } => ChangeKind::SetGroup,
            OpBody::SetAdding { .. } => ChangeKind::SetAdding,
            OpBody::CreateUser { .. }
            | OpBody::ReadNotices { .. }
            | OpBody::ProposeFloor { .. }
            | OpBody::ReadyForFloor { .. }
            | OpBody::PromiseFloor { .. }
            | OpBody::ForgetTracker { .. }
            | OpBody::UnforgetTracker { .. }
            | OpBody::NoteUnplaced { .. }
            | OpBody::MakeUser { .. }
            | OpBody::ResetPassword { .. }
            | OpBody::EndSessions { .. }
            | OpBody::DisableUser { .. }
            | OpBody::EnableUser { .. }
            | OpBody::DeleteUser { .. }
            | OpBody::GiveGroup { .. }
            | OpBody::DeleteGroup { .. }
            | OpBody::EndSession { .. } => return None,
        })
    }
}
