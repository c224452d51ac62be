//! What a user is told about decisions that somebody else, or the order of ops, took.

use super::name::{FileName, GroupId, UserId};

/// One message to a user. It is kept until the user has read it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// The owner let the user in.
    Accepted { group: GroupId },
    /// The owner turned the user's request down.
    Rejected { group: GroupId },
    /// The owner removed the user.
    Removed { group: GroupId },
    /// The name of the account was taken before on the other side of a partition.
    UserRenamed {
        /// The name asked for.
        from: UserId,
        /// The name it goes by now.
        to: UserId,
    },
    /// The name of the user's group was taken before on the other side of a partition.
    GroupRenamed {
        /// The name asked for.
        from: GroupId,
        /// The name it goes by now.
        to: GroupId,
    },
    /// The name of the user's share was taken before on the other side of a partition.
    ShareRenamed {
        group: GroupId,
        /// The name asked for.
        from: FileName,
        /// The name it goes by now.
        to: FileName,
    },
    /// A change the user had made as owner has no effect: an earlier change had taken the ground from under it.
    DecisionOverridden { group: GroupId, user: UserId },
    /// The user's request to join has no effect, since the user was a member already.
    RequestOverridden { group: GroupId },
    /// The user's share has no effect, since the user was no longer a member.
    ShareOverridden { group: GroupId, name: FileName },
}
