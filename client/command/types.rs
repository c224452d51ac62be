//! The meaning of a line: a command, or the parts for one.

use super::table::Word;
use crate::model::name::pattern::NamePattern;
use crate::model::name::shared_path::SharedPath;
use crate::model::name::{FileName, GroupId, UserId};
use crate::model::op::group_access::GroupAccess;
use crate::rate::limit::Limit;
use crate::wire::client_tracker::Password;
use crate::wire::refusal::Code;
use std::fmt;
use std::path::PathBuf;
use zeroize::Zeroizing;

/// The maximum number of characters of a wrong word that an error repeats.
pub(super) const SHOWN_MAX: usize = 60;

/// The default size limit of a folder that follows a group, in bytes: 10 GiB.
pub(crate) const FOLLOWED_SIZE: u64 = 10 << 30;

/// The direction of a rate limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// To other members.
    Upload,
    /// From other members.
    Download,
}

/// The order of a list of files.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Order {
    /// By name, in each group.
    #[default]
    Name,
    /// The largest first.
    Size,
    /// The files with the most online members first.
    Members,
}

impl Order {
    /// The order with this name, in any case.
    pub(super) fn parse(word: &str) -> Option<Self> {
        match word.to_ascii_lowercase().as_str() {
            "name" => Some(Order::Name),
            "size" => Some(Order::Size),
            "members" => Some(Order::Members),
            _ => None,
        }
    }
}

/// A command to the client. The table of commands describes each of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    CreateUser {
        user: UserId,
        password: Password,
    },
    Login {
        user: UserId,
        password: Password,
    },
    Logout,
    ChangePassword {
        old: Password,
        new: Password,
    },
    CreateGroup {
        group: GroupId,
    },
    JoinGroup {
        group: GroupId,
    },
    LeaveGroup {
        group: GroupId,
    },
    ListRequests {
        group: GroupId,
    },
    AcceptRequest {
        group: GroupId,
        user: UserId,
    },
    RejectRequest {
        group: GroupId,
        user: UserId,
    },
    RemoveMember {
        group: GroupId,
        user: UserId,
    },
    AddMember {
        group: GroupId,
        user: UserId,
    },
    MakeOwner {
        group: GroupId,
        user: UserId,
    },
    DropOwner {
        group: GroupId,
        user: UserId,
    },
    SetGroup {
        group: GroupId,
        access: GroupAccess,
    },
    SetAdding {
        allowed: bool,
    },
    ListMembers {
        group: GroupId,
    },
    ListGroups,
    /// Only files that match a pattern, or all.
    ListFiles {
        group: GroupId,
        pattern: Option<NamePattern>,
        order: Order,
    },
    /// The files in a shared folder.
    ListFolder {
        group: GroupId,
        path: SharedPath,
        order: Order,
    },
    /// Searches all groups of the user.
    Find {
        pattern: NamePattern,
        order: Order,
    },
    /// The path is absolute if the working folder is known.
    UploadFile {
        path: PathBuf,
        group: GroupId,
    },
    /// The destination is a folder or the new file's name. It is absolute if the working folder is known. A typed `/`
    /// at its end is kept.
    DownloadFile {
        group: GroupId,
        file: FileName,
        destination: PathBuf,
    },
    /// Without a destination the new version replaces the old one.
    UpdateFile {
        group: GroupId,
        file: FileName,
        destination: Option<PathBuf>,
    },
    /// Some files of a shared folder.
    DownloadPart {
        group: GroupId,
        path: SharedPath,
        destination: PathBuf,
    },
    ShowDownloads,
    ShowUploads,
    Watch,
    Notices,
    PauseDownload {
        group: GroupId,
        file: FileName,
    },
    ResumeDownload {
        group: GroupId,
        file: FileName,
    },
    CancelDownload {
        group: GroupId,
        file: FileName,
    },
    ShareFolder {
        path: PathBuf,
        group: GroupId,
    },
    UnshareFolder {
        path: PathBuf,
    },
    FollowGroup {
        group: GroupId,
        folder: PathBuf,
        /// Whether existing shares come too.
        all: bool,
        /// In bytes.
        max_size: u64,
    },
    UnfollowGroup {
        group: GroupId,
    },
    ShowFolders,
    StopShare {
        group: GroupId,
        file: FileName,
    },
    /// Shows both limits, or changes one.
    Limit {
        change: Option<(Direction, Limit)>,
    },
    /// Waits for one download, or for all.
    Wait {
        which: Option<(GroupId, FileName)>,
    },
}

/// The meaning of one line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ParsedLine {
    /// A blank line or a comment.
    Nothing,
    Command(Command),
    /// A command with missing passwords.
    Incomplete(IncompleteCommand),
    /// `help` for one command or for all.
    Help(Option<Word>),
    Quit,
}

/// A command that still needs passwords.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IncompleteCommand {
    CreateUser(UserId),
    Login(UserId),
    ChangePassword,
}

impl IncompleteCommand {
    /// The questions, in order.
    pub fn prompts(&self) -> Vec<PasswordPrompt> {
        let ask = |text: &str, twice| PasswordPrompt { text: text.to_owned(), twice };
        match self {
            IncompleteCommand::CreateUser(user) => vec![ask(&format!("New password for {user}: "), true)],
            IncompleteCommand::Login(user) => vec![ask(&format!("Password for {user}: "), false)],
            IncompleteCommand::ChangePassword => vec![ask("Present password: ", false), ask("New password: ", true)],
        }
    }

    /// The command with the answers to its prompts.
    ///
    /// # Errors
    /// An answer is no valid password.
    pub fn complete(self, answers: Vec<Zeroizing<String>>) -> Result<Command, CommandError> {
        let mut answers = answers.into_iter();
        let mut next = || password(&answers.next().unwrap_or_default());
        Ok(match self {
            IncompleteCommand::CreateUser(user) => Command::CreateUser { user, password: next()? },
            IncompleteCommand::Login(user) => Command::Login { user, password: next()? },
            IncompleteCommand::ChangePassword => Command::ChangePassword { old: next()?, new: next()? },
        })
    }
}

/// A question for one password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PasswordPrompt {
    pub text: String,
    /// Whether a person types it twice, because a typing error would not be noticed.
    pub twice: bool,
}

/// Why a line is no command, in one line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandError(pub(super) String);

impl fmt::Display for CommandError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for CommandError {}

/// A typed password.
pub(super) fn password(text: &str) -> Result<Password, CommandError> {
    Password::new(text).ok_or_else(|| CommandError(Code::BadPassword.words().to_owned()))
}
