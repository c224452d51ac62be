//! What a tracker tells a user about decisions of others, or about the order of ops.

use super::name::{FileName, GroupId, UserId};
use serde_json::{Value, json};

/// A kind of change that a user makes, by the number of its op.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum ChangeKind {
    ChangePassword = 2,
    CreateGroup = 3,
    RequestJoin = 4,
    AcceptRequest = 5,
    RejectRequest = 6,
    LeaveGroup = 7,
    RemoveMember = 8,
    CreateShare = 9,
    JoinShare = 10,
    LeaveShare = 11,
    MakeOwner = 28,
    DropOwner = 29,
    AddMember = 30,
    SetGroup = 31,
    SetAdding = 32,
}

impl ChangeKind {
    /// Every kind, in the order of the numbers.
    pub const ALL: [Self; 15] = [
        Self::ChangePassword,
        Self::CreateGroup,
        Self::RequestJoin,
        Self::AcceptRequest,
        Self::RejectRequest,
        Self::LeaveGroup,
        Self::RemoveMember,
        Self::CreateShare,
        Self::JoinShare,
        Self::LeaveShare,
        Self::MakeOwner,
        Self::DropOwner,
        Self::AddMember,
        Self::SetGroup,
        Self::SetAdding,
    ];

    /// The command that makes such a change.
    fn command(self) -> &'static str {
        match self {
            Self::ChangePassword => "change_password",
            Self::CreateGroup => "create_group",
            Self::RequestJoin => "join_group",
            Self::AcceptRequest => "accept_request",
            Self::RejectRequest => "reject_request",
            Self::LeaveGroup => "leave_group",
            Self::RemoveMember => "remove_member",
            Self::CreateShare | Self::JoinShare => "upload_file",
            Self::LeaveShare => "stop_share",
            Self::MakeOwner => "make_owner",
            Self::DropOwner => "drop_owner",
            Self::AddMember => "add_member",
            Self::SetGroup => "set_group",
            Self::SetAdding => "set_adding",
        }
    }
}

/// A user's change that has no place above the floor, as its author hears of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnplacedChange {
    pub kind: ChangeKind,
    /// The group it was about, if that is known.
    pub group: Option<GroupId>,
    /// The file it was about, if that is known.
    pub file: Option<FileName>,
}

/// One message to a user. It is kept until the user has read it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// The owner let the user in.
    Accepted { group: GroupId },
    /// The owner turned the user's request down.
    Rejected { group: GroupId },
    /// The owner removed the user.
    Removed { group: GroupId },
    /// Another user got the name of the account on the other side of a partition.
    UserRenamed {
        /// The name asked for.
        from: UserId,
        /// The present name of the account.
        to: UserId,
    },
    /// Another group got the name of the user's group on the other side of a partition.
    GroupRenamed {
        /// The name asked for.
        from: GroupId,
        /// The present name of the group.
        to: GroupId,
    },
    /// Another share got the name of the user's share on the other side of a partition.
    ShareRenamed {
        group: GroupId,
        /// The name asked for.
        from: FileName,
        /// The present name of the share.
        to: FileName,
    },
    /// A change that the user made as owner has no effect: an earlier change removed its precondition.
    DecisionOverridden { group: GroupId, user: UserId },
    /// The user's request to join has no effect: the user was a member already.
    RequestOverridden { group: GroupId },
    /// The user's share has no effect: the user was no longer a member.
    ShareOverridden { group: GroupId, name: FileName },
    /// The user's change has no effect: its group or share was dropped before.
    GroundGone {
        kind: ChangeKind,
        /// The file it was about, if that is known.
        file: Option<FileName>,
    },
    /// The user's change is lost: only one tracker took it, and it has no place above the floor.
    Unplaced { change: UnplacedChange },
    /// The trackers no longer keep this many older notices of the user: too many were unread.
    Older { count: u64 },
    /// The user's new password has no effect: the password that it replaces was no longer the user's.
    PasswordOverridden {},
    /// The operator has set another password.
    PasswordReset {},
    /// The operator has ended the user's sessions.
    SessionsEnded {},
    /// The operator has disabled the account.
    AccountDisabled {},
    /// The operator has enabled the account again.
    AccountEnabled {},
    /// The operator has made the user the owner.
    GroupGiven { group: GroupId },
    /// The operator has made somebody else the owner in the place of this user.
    GroupTaken { group: GroupId, to: UserId },
    /// The operator has deleted a group that the user was in or wanted to join.
    GroupDeleted { group: GroupId },
    /// The first sharer of a file has shared a new version in its place. The user no longer shares the old one.
    NewVersion {
        group: GroupId,
        /// The name of the file that the user shared.
        name: FileName,
        author: UserId,
    },
    /// An owner has made the user a member, without a request of the user.
    Added { group: GroupId, by: UserId },
    /// An owner has made the user one too.
    OwnerMade { group: GroupId, by: UserId },
    /// An owner has made the user a plain member.
    OwnerDropped { group: GroupId, by: UserId },
}

impl Notice {
    /// Most unread notices of a user. The oldest one stands for all earlier ones.
    pub const UNREAD_MAX: usize = if cfg!(test) { 3 } else { 1024 };

    /// The notice's name for programs, and its fields with their names.
    pub(crate) fn members(&self) -> (&'static str, Value) {
        let group_only = |group: &GroupId| json!({ "group_id": group.as_str() });
        let group_and_user =
            |group: &GroupId, user: &UserId| json!({ "group_id": group.as_str(), "user_id": user.as_str() });
        match self {
            Self::Accepted { group } => ("request_accepted", group_only(group)),
            Self::Rejected { group } => ("request_rejected", group_only(group)),
            Self::Removed { group } => ("member_removed", group_only(group)),
            Self::UserRenamed { from, to } => {
                ("user_renamed", json!({ "user_id": from.as_str(), "new_user_id": to.as_str() }))
            }
            Self::GroupRenamed { from, to } => {
                ("group_renamed", json!({ "group_id": from.as_str(), "new_group_id": to.as_str() }))
            }
            Self::ShareRenamed { group, from, to } => {
                let members =
                    json!({ "group_id": group.as_str(), "file_name": from.as_str(), "new_file_name": to.as_str() });
                ("share_renamed", members)
            }
            Self::DecisionOverridden { group, user } => ("decision_overridden", group_and_user(group, user)),
            Self::RequestOverridden { group } => ("request_overridden", group_only(group)),
            Self::ShareOverridden { group, name } => {
                ("share_overridden", json!({ "group_id": group.as_str(), "file_name": name.as_str() }))
            }
            Self::GroundGone { kind, file } => {
                let file = file.as_ref().map(FileName::as_str);
                ("ground_gone", json!({ "command": kind.command(), "file_name": file }))
            }
            Self::Unplaced { change: UnplacedChange { kind, group, file } } => {
                let (group, file) = (group.as_ref().map(GroupId::as_str), file.as_ref().map(FileName::as_str));
                ("change_lost", json!({ "command": kind.command(), "group_id": group, "file_name": file }))
            }
            Self::Older { count } => ("older_notices", json!({ "count": count })),
            Self::PasswordOverridden {} => ("password_overridden", json!({})),
            Self::PasswordReset {} => ("password_reset", json!({})),
            Self::SessionsEnded {} => ("sessions_ended", json!({})),
            Self::AccountDisabled {} => ("account_disabled", json!({})),
            Self::AccountEnabled {} => ("account_enabled", json!({})),
            Self::GroupGiven { group } => ("group_given", group_only(group)),
            Self::GroupTaken { group, to } => ("group_taken", group_and_user(group, to)),
            Self::GroupDeleted { group } => ("group_deleted", group_only(group)),
            Self::NewVersion { group, name, author } => {
                let (group, file, user) = (group.as_str(), name.as_str(), author.as_str());
                ("new_version", json!({ "group_id": group, "file_name": file, "user_id": user }))
            }
            Self::Added { group, by } => ("member_added", group_and_user(group, by)),
            Self::OwnerMade { group, by } => ("owner_made", group_and_user(group, by)),
            Self::OwnerDropped { group, by } => ("owner_dropped", group_and_user(group, by)),
        }
    }

    /// How many notices it stands for.
    pub fn count(&self) -> u64 {
        if let Self::Older { count } = self { *count } else { 1 }
    }
}
