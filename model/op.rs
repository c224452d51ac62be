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
    /// Lamport counter: greater than the counter of every op that the origin knew when it issued this one.
    pub lamport: u64,
    /// The client's command for this change, or [`CommandId::NONE`] if a tracker made the change itself.
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
    /// A client makes an account. The op's id names the user.
    CreateUser {
        /// The name asked for.
        name: UserId,
        password: PasswordHash,
    },
    /// A user changes the password. Session tokens from before are void.
    ChangePassword {
        user: UserRef,
        /// The op that set the password which this one replaces. The change has no effect if the password is another by
        /// then.
        former: OpId,
        password: PasswordHash,
    },
    /// A user makes a group. The op's id names the group, and the founder is its first member.
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
    /// An owner lets a user in.
    AcceptRequest {
        group: GroupRef,
        user: UserRef,
        by: UserRef,
    },
    /// An owner turns a request down.
    RejectRequest {
        group: GroupRef,
        user: UserRef,
        by: UserRef,
    },
    /// A member leaves, or a user withdraws a request to join.
    LeaveGroup {
        group: GroupRef,
        user: UserRef,
    },
    /// An owner removes a member.
    RemoveMember {
        group: GroupRef,
        user: UserRef,
        by: UserRef,
    },
    /// A member shares content in a group under a name. The op's id names the share.
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
    /// A member stops sharing it.
    LeaveShare {
        share: ShareRef,
        user: UserRef,
    },
    /// A user has read the notices about ops up to this place in the order. Late ops can change those notices. So the
    /// op says which were read, and the unread ones stay.
    ReadNotices {
        user: UserRef,
        through: OpOrder,
        /// SHA-256 of the notices that were read, computed by `State::notices_digest`.
        shown: [u8; 32],
    },
    /// A tracker proposes a floor. The op's id names the proposal. The author of this op and of the next two is a
    /// tracker.
    ProposeFloor {
        floor: Arc<FloorProposal>,
    },
    /// A tracker holds exactly the ops of a proposal and has the same base.
    ReadyForFloor {
        proposal: OpId,
    },
    /// A tracker promises to take no other op below a proposed floor.
    PromiseFloor {
        proposal: OpId,
        /// The proposal once more, so that the promise holds even without the proposal's own op.
        floor: Arc<FloorProposal>,
    },
    /// An operator makes all trackers forget one. The author is a tracker.
    ForgetTracker {
        tracker: u16,
    },
    /// An operator takes a forgotten tracker back. The author is a tracker.
    UnforgetTracker {
        tracker: u16,
    },
    /// A tracker tells a user of a lost change. The command id is derived from that change. So two trackers that lost
    /// the same change tell of it once.
    NoteUnplaced {
        user: UserRef,
        change: UnplacedChange,
    },
    /// An operator makes an account. The op's id names the user. The author of this op and of the next seven is the
    /// operator of the tracker that issued it.
    MakeUser {
        /// The name asked for.
        name: UserId,
        password: PasswordHash,
    },
    /// An operator sets a user's password. The user's sessions end.
    ResetPassword {
        user: UserRef,
        password: PasswordHash,
    },
    /// An operator ends a user's sessions. The password stays.
    EndSessions {
        user: UserRef,
    },
    /// An operator disables an account. Memberships and shares stay.
    DisableUser {
        user: UserRef,
    },
    /// An operator enables an account again.
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
    /// An operator deletes a group for good. Its name becomes free.
    DeleteGroup {
        group: GroupRef,
    },
    /// A user logs out. The tokens of that session are void.
    EndSession {
        user: UserRef,
        session: SessionId,
        /// The time at which the last of its tokens was made, or a later time, in seconds since 1970.
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
    /// An owner makes a user a member. The user need not have asked.
    AddMember {
        group: GroupRef,
        user: UserRef,
        by: UserRef,
    },
    /// An owner decides how users get into a group.
    SetGroup {
        group: GroupRef,
        access: GroupAccess,
        by: UserRef,
    },
    /// A user allows owners to add the user to their groups, or forbids it.
    SetAdding {
        user: UserRef,
        allowed: bool,
    },
}

impl OpBody {
    /// Whether a tracker made the change for its operator or for all trackers, and not for a client's command.
    pub fn is_of_tracker(&self) -> bool {
        matches!(self, OpBody::NoteUnplaced { .. })
            || (self.author().is_none() && !matches!(self, OpBody::CreateUser { .. }))
    }

    /// The user under whose commands the op's command id counts: the author of the change, or the one whose change was
    /// lost. `None` for a new account, since nobody is logged in then, and for other changes of trackers.
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

    /// What the author hears if the change is lost. `None` for changes that nobody misses, for new accounts, and for
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
