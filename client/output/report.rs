//! The results of commands: as values, and as lines for a person.

use super::status::{DownloadStatus, IncompleteShare, Totals, UploadStatus};
use crate::client::command::table::{Word, help};
use crate::model::escape::ShownPath;
use crate::model::manifest::Content;
use crate::model::name::{FileName, GroupId, UserId};
use crate::model::op::group_access::GroupAccess;
use crate::model::units::{duration, size};
use crate::rate::limit::Limit;
use crate::wire::client_tracker::{FileLine, FoundFile, GroupLine, MemberLine, Role};
use serde_json::{Map, Value};
use std::path::PathBuf;
use std::time::Duration;

/// The state of a folder that is shared as a whole, or that follows a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FolderStatus {
    /// In which group.
    pub group: GroupId,
    /// The path of the folder.
    pub folder: PathBuf,
    /// Whether shares of the group come into the folder. Otherwise the group shares its files.
    pub follows: bool,
    /// The number of files that are shared, or that have come.
    pub files: usize,
    /// The number of files still to be shared, or still to come.
    pub waiting: usize,
    /// The number of missing files that stay shared for now.
    pub gone: usize,
    /// The problem, if there is one.
    pub why: Option<String>,
}

impl FolderStatus {
    fn line(&self) -> String {
        let Self { group, folder, follows, files, waiting, gone, why } = self;
        let files = counted(*files as u64, "file");
        let what = if *follows { "follows" } else { "shared in" };
        let more = |count: usize, word: &str| if count == 0 { String::new() } else { format!(", {count} {word}") };
        let why = why.as_ref().map_or_else(String::new, |why| format!("; {why}"));
        let (waiting, gone) = (more(*waiting, "waiting"), more(*gone, "gone"));
        format!("{}  {what} {group}: {files}{waiting}{gone}{why}", ShownPath(folder))
    }
}

/// The answer to a successful command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Report {
    /// Done, in these words.
    Done(&'static str),
    /// There is nothing to say.
    Nothing,
    /// A user is logged in.
    LoggedIn {
        /// The user's name, which may differ from the typed one.
        user: UserId,
    },
    /// All groups.
    Groups(Vec<GroupLine>),
    /// The users that ask to join a group.
    Requests(Vec<UserId>),
    /// The members of a group.
    Members(Vec<MemberLine>),
    /// The shares of a group.
    Files(Vec<FileLine>),
    /// The files in a shared folder.
    Folder(Vec<FileInFolder>),
    /// The matching files in the user's groups.
    Found(Vec<FoundFile>),
    /// A file or folder is shared.
    Uploaded {
        /// In which group.
        group: GroupId,
        /// Under which name.
        file: FileName,
        /// The shared content.
        content: Content,
    },
    /// A download has begun.
    Downloading {
        /// From which group.
        group: GroupId,
        /// Of which file.
        file: FileName,
        /// Where the complete file will be.
        destination: PathBuf,
    },
    /// All downloads of this login, and the totals.
    Downloads(Vec<DownloadStatus>, Totals),
    /// The uploads, and the shares that are not given whole.
    Uploads(Vec<UploadStatus>, Vec<IncompleteShare>),
    /// All downloads of this login, and the uploads.
    Transfers(Vec<DownloadStatus>, Vec<UploadStatus>, Totals),
    /// The last messages to the user.
    Notices {
        /// The latest first.
        told: Vec<ToldAgo>,
        /// The maximum number of messages that are kept.
        most: usize,
    },
    /// The folders that are shared as a whole or follow a group.
    Folders(Vec<FolderStatus>),
    /// The rate limits of pieces.
    Limits {
        /// To other members.
        upload: Limit,
        /// From other members.
        download: Limit,
    },
    /// The help for one command or for all.
    Help(Option<Word>),
}

/// A file in a shared folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileInFolder {
    /// With the name of the share as its first component.
    pub path: String,
    /// In bytes.
    pub len: u64,
}

impl FileInFolder {
    fn line(&self) -> String {
        format!("{}  {}", self.path, size(self.len))
    }
}

/// An earlier message to the user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToldAgo {
    pub ago: Duration,
    /// The form for programs.
    pub told: Map<String, Value>,
}

impl ToldAgo {
    /// The message with its age, at this time in seconds since 1970.
    pub(crate) fn of(told: Map<String, Value>, now_s: u64) -> Self {
        let at = told.get("at").and_then(Value::as_u64).unwrap_or(now_s);
        Self { ago: Duration::from_secs(now_s.saturating_sub(at)), told }
    }

    /// The line for a person.
    fn line(&self) -> String {
        let message = self.told.get("message").and_then(Value::as_str).unwrap_or_default();
        format!("{} ago  {message}", duration(self.ago))
    }
}

impl Report {
    /// The lines for a person. A list has one entry per line: first the name, then two spaces and the rest. An empty
    /// list says so.
    pub fn lines(&self) -> Vec<String> {
        match self {
            Report::Done(words) => vec![(*words).to_owned()],
            Report::Nothing => Vec::new(),
            Report::LoggedIn { .. } => vec!["Login successful".to_owned()],
            Report::Groups(groups) => list(groups, group_line, "No groups yet; make one with create_group"),
            Report::Requests(users) => list(users, ToString::to_string, "No pending requests"),
            Report::Members(members) => members.iter().map(member_line).collect(),
            Report::Files(files) => {
                list(files, file_line, "No files shared in this group yet; share one with upload_file")
            }
            Report::Folder(files) => list(files, FileInFolder::line, "No file in it has such a name"),
            Report::Found(files) => list(files, found_line, "No file has such a name"),
            Report::Uploaded { .. } => vec!["Uploaded".to_owned()],
            Report::Downloading { .. } => vec!["Downloading...".to_owned()],
            Report::Downloads(downloads, totals) => {
                let lines: Vec<String> = downloads.iter().flat_map(DownloadStatus::lines).collect();
                // Another command shows the total of uploads alone.
                let total = totals.line().filter(|_| downloads.iter().any(DownloadStatus::moves));
                list(&[lines, Vec::from_iter(total)].concat(), String::clone, "No downloads yet")
            }
            Report::Uploads(uploads, incomplete) => {
                let lines = uploads.iter().map(UploadStatus::line).chain(incomplete.iter().map(IncompleteShare::line));
                list(&lines.collect::<Vec<_>>(), String::clone, "Nothing is being given to anybody now")
            }
            Report::Transfers(downloads, uploads, totals) => {
                let downloads = downloads.iter().flat_map(DownloadStatus::lines);
                let uploads = uploads.iter().map(UploadStatus::line);
                let lines: Vec<String> = downloads.chain(uploads).chain(totals.line()).collect();
                list(&lines, String::clone, "Nothing is under way")
            }
            Report::Folders(folders) => list(
                folders,
                FolderStatus::line,
                "No folder is shared or follows a group; see share_folder and follow_group",
            ),
            Report::Notices { told, most } => {
                let kept = format!("{} kept, {most} at most", told.len());
                let lines: Vec<String> = told.iter().map(ToldAgo::line).collect();
                if lines.is_empty() { vec!["Nothing was told yet".to_owned()] } else { [lines, vec![kept]].concat() }
            }
            Report::Limits { upload, download } => vec![format!("upload  {upload}"), format!("download  {download}")],
            Report::Help(about) => help(*about),
        }
    }
}

fn list<T>(entries: &[T], line: impl Fn(&T) -> String, empty: &str) -> Vec<String> {
    if entries.is_empty() { vec![empty.to_owned()] } else { entries.iter().map(line).collect() }
}

fn group_line(line: &GroupLine) -> String {
    let members = counted(line.member_count, "member");
    let role = match line.role {
        Role::Stranger => "",
        Role::Requested => ", you asked to join",
        Role::Member => ", you are a member",
        Role::Owner if line.owner_count > 1 => ", you are an owner",
        Role::Owner => ", you are the owner",
    };
    let others = match line.owner_count {
        0 | 1 => String::new(),
        owners => format!(" and {}", counted(owners - 1, "other")),
    };
    let access = match line.access {
        GroupAccess::Open => ", open",
        GroupAccess::Ask => "",
        GroupAccess::Closed => ", closed",
    };
    format!("{}  {members}, owner {}{others}{access}{role}", line.name, line.owner)
}

fn member_line(line: &MemberLine) -> String {
    let online = match line.online {
        0 => "offline".to_owned(),
        1 => "online".to_owned(),
        clients => format!("online with {clients} clients"),
    };
    let owner = if line.owner { ", owner" } else { "" };
    format!("{}  {online}{owner}", line.name)
}

fn file_line(line: &FileLine) -> String {
    let size = match line.content.is_sized() {
        true => size(line.content.layout.size()),
        false => "size not told yet".to_owned(),
    };
    let folder = match line.content.file_count {
        0 | 1 => String::new(),
        files => format!(", {files} files"),
    };
    let online = match line.online {
        0 => "no member online with it".to_owned(),
        members => format!("{} online with it", counted(members, "member")),
    };
    format!("{}  {size}{folder}, {online}, sha1 {}", line.name, line.content.sha1)
}

fn found_line(found: &FoundFile) -> String {
    format!("[{}] {}", found.group, file_line(&found.file))
}

fn counted(count: impl Into<u64>, noun: &str) -> String {
    let count = count.into();
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}
