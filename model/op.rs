//! The changes that make up the trackers' state. The state is the fold of all ops in their total order.

use super::id::{CommandId, GroupRef, OpId, OpOrder, ShareRef, UserRef};
use super::manifest::Content;
use super::name::{FileName, GroupId, UserId};
use std::fmt;
use std::sync::Arc;

/// One accepted change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Op {
    /// Its name: origin and gap-free sequence.
    pub id: OpId,
    /// Lamport counter: greater than that of every op the origin knew when it issued this one.
    pub lamport: u64,
    /// The client's command behind it.
    pub command: CommandId,
    /// What it changes.
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

/// What an op changes. Names were resolved to ids when the command was accepted; what each op means when its
/// precondition is gone by the time it is folded stands in the table of docs/FOLD.md.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OpBody {
    /// An account is made; the op's id names the user.
    CreateUser {
        /// The name asked for.
        name: UserId,
        /// Proves the password.
        password: PasswordHash,
    },
    /// A user changes the password; session tokens made before it end.
    ChangePassword {
        /// Whose.
        user: UserRef,
        /// The new one.
        password: PasswordHash,
    },
    /// A group is made; the op's id names it and the founder is its first member.
    CreateGroup {
        /// The name asked for.
        name: GroupId,
        /// First member and owner.
        founder: UserRef,
    },
    /// A user asks to be let in.
    RequestJoin {
        /// Into which group.
        group: GroupRef,
        /// Who asks.
        user: UserRef,
    },
    /// The owner lets a user in.
    AcceptRequest {
        /// Into which group.
        group: GroupRef,
        /// Who is let in.
        user: UserRef,
        /// The owner who decides.
        by: UserRef,
    },
    /// The owner turns a request down.
    RejectRequest {
        /// For which group.
        group: GroupRef,
        /// Who is turned down.
        user: UserRef,
        /// The owner who decides.
        by: UserRef,
    },
    /// A member leaves, or somebody who asked to be let in withdraws.
    LeaveGroup {
        /// Which group.
        group: GroupRef,
        /// Who leaves.
        user: UserRef,
    },
    /// The owner removes a member.
    RemoveMember {
        /// From which group.
        group: GroupRef,
        /// Who is removed.
        user: UserRef,
        /// The owner who decides.
        by: UserRef,
    },
    /// Content is shared in a group under a name; the op's id names the share.
    CreateShare {
        /// In which group.
        group: GroupRef,
        /// The first sharer.
        user: UserRef,
        /// The name asked for.
        name: FileName,
        /// What is shared.
        content: Content,
        /// The share of the same user under the same name that this one replaces.
        replaces: Option<ShareRef>,
    },
    /// Another member shares the same content.
    JoinShare {
        /// Which share.
        share: ShareRef,
        /// Who shares it from now on.
        user: UserRef,
    },
    /// A member shares it no longer.
    LeaveShare {
        /// Which share.
        share: ShareRef,
        /// Who stops.
        user: UserRef,
    },
    /// A user has read the notices about ops up to this place in the order. Ops that come late can change which
    /// notices those are, so the op says what was read; notices that were not read stay.
    ReadNotices {
        /// Who read them.
        user: UserRef,
        /// Up to which.
        through: OpOrder,
        /// SHA-256 of the notices that were read, which names them as `tracker::state` says.
        shown: [u8; 32],
    },
}
