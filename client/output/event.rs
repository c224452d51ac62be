//! Events beside the commands: as values, and as lines for a person.

use super::download_failure::DownloadFailure;
use super::line_pace::{LineKind, LineSource};
use super::status;
use super::status::{DownloadStatus, Fetched, Reached};
use crate::model::address::TrackerAddr;
use crate::model::escape::ShownPath;
use crate::model::name::{FileName, GroupId, UserId};
use crate::model::notice::{ChangeKind, Notice, UnplacedChange};
use crate::wire::client_tracker::ReachClass;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

/// A message that is no answer to a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The client listens for other members.
    Listening(SocketAddr),
    /// The client listens only for this machine, and a tracker is elsewhere.
    OnlyThisMachine {
        listens: SocketAddr,
        /// The address to start the client with, so that others reach it.
        rather: SocketAddr,
    },
    /// The tracker could not reach the client at this address.
    NotReached { addr: SocketAddr, found: ReachClass },
    /// The tracker does not tell others the configured address, because it sees the client at another IP.
    NotPassedOn { named: SocketAddr, seen: IpAddr },
    /// The client is going to read a file to share it.
    Uploading,
    /// The client is reading the file.
    Hashed {
        /// Bytes so far.
        done: u64,
        /// Bytes in all.
        total: u64,
        /// Time since the start.
        took: Duration,
    },
    /// The progress of a running download. Only programs are told.
    DownloadProgress(DownloadStatus),
    /// A download is complete.
    DownloadCompleted {
        /// From which group.
        group: GroupId,
        /// Which file.
        file: FileName,
        /// The path of the file.
        path: PathBuf,
        /// Its size in bytes.
        bytes: u64,
        /// The part that came over the network.
        fetched: Fetched,
    },
    /// A download has failed.
    DownloadFailed {
        /// From which group.
        group: GroupId,
        /// Which file.
        file: FileName,
        failure: DownloadFailure,
        /// How far the download was, if it had begun.
        reached: Option<Reached>,
    },
    /// A download of an earlier login goes on.
    DownloadContinued {
        /// From which group.
        group: GroupId,
        /// Which file.
        file: FileName,
    },
    /// The file of a running download has no sharer any more.
    DownloadStranded {
        /// From which group.
        group: GroupId,
        /// Which file.
        file: FileName,
        /// What happened to the share.
        why: String,
    },
    /// The file of a running download has a new version.
    DownloadOutdated {
        /// From which group.
        group: GroupId,
        /// Which file.
        file: FileName,
    },
    /// A download of an earlier login goes on later.
    DownloadWaits {
        /// From which group.
        group: GroupId,
        /// Which file.
        file: FileName,
        /// The reason for the wait.
        why: String,
    },
    /// A download of an earlier login does not go on.
    DownloadLost {
        /// From which group.
        group: GroupId,
        /// Which file.
        file: FileName,
        /// Why.
        why: String,
    },
    /// A user asks to join a group of this user.
    JoinRequested {
        /// Which group.
        group: GroupId,
        /// The asking user.
        user: UserId,
    },
    /// A decision about the user or about something that belongs to the user.
    Notice(Notice),
    /// The user logged in with a former name.
    LoggedInAs {
        /// The typed name.
        asked: UserId,
        /// The current name.
        user: UserId,
    },
    /// The connection to a tracker was lost.
    TrackerLost {
        /// Which one.
        tracker: TrackerAddr,
        /// Why.
        why: String,
    },
    /// A tracker was reached again.
    TrackerReached {
        /// Which one.
        tracker: TrackerAddr,
        /// The tracker that was lost before, and why, if that was not told.
        lost: Option<(TrackerAddr, String)>,
    },
    /// The login has ended by itself.
    LoggedOut {
        /// Why.
        why: String,
    },
    /// A shared file is missing or unreadable. The client looks for it again.
    ShareMissing {
        /// In which group.
        group: GroupId,
        /// Under which name.
        file: FileName,
        /// Whether the client still gives parts of it to others.
        partly: bool,
        /// What is missing, and the consequence.
        why: String,
    },
    /// A shared file has changed, and the client does not give its new content to others.
    ShareChanged {
        /// In which group.
        group: GroupId,
        /// Under which name.
        file: FileName,
        /// Whether the client still gives parts of it to others.
        partly: bool,
        /// The changed file, and what to do.
        why: String,
    },
    /// The client gives a missing or changed file to others again.
    ShareBack {
        /// In which group.
        group: GroupId,
        /// Under which name.
        file: FileName,
    },
    /// A file is no longer shared, or does not come back.
    ShareLost {
        /// In which group.
        group: GroupId,
        /// Under which name.
        file: FileName,
        /// Why.
        why: String,
    },
    /// Files of a shared folder were shared, and other shares have ended.
    FolderShared {
        /// In which group.
        group: GroupId,
        /// Which folder.
        folder: PathBuf,
        /// The number of new shares, new versions included.
        shared: usize,
        /// The number of ended shares.
        ended: usize,
    },
    /// Files have come into a folder that follows a group.
    FolderCame {
        /// From which group.
        group: GroupId,
        /// Which folder.
        folder: PathBuf,
        /// The number of files, new versions included.
        files: usize,
        /// The last file.
        last: FileName,
    },
    /// Something in a folder of a group needs the user's attention.
    FolderTrouble {
        /// In which group.
        group: GroupId,
        /// Which folder.
        folder: PathBuf,
        /// The problem, and what to do.
        why: String,
    },
    /// Something is wrong, but the client goes on.
    Warning(String),
}

/// The importance of an event for its reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weight {
    /// The success of something that the user asked for.
    Result,
    /// The failure of something that the user asked for, or its end.
    Trouble,
    /// Something under way, or an act of others.
    News,
    /// Progress. The next event of this kind replaces this one.
    Progress,
}

impl Event {
    /// The importance of the event.
    pub fn weight(&self) -> Weight {
        match self {
            Event::DownloadCompleted { .. } | Event::FolderCame { .. } => Weight::Result,
            Event::DownloadFailed { .. }
            | Event::DownloadStranded { .. }
            | Event::DownloadOutdated { .. }
            | Event::DownloadLost { .. }
            | Event::LoggedOut { .. }
            | Event::ShareMissing { .. }
            | Event::ShareChanged { .. }
            | Event::ShareLost { .. }
            | Event::FolderTrouble { .. }
            | Event::Warning(_) => Weight::Trouble,
            Event::Listening(_)
            | Event::OnlyThisMachine { .. }
            | Event::NotReached { .. }
            | Event::NotPassedOn { .. }
            | Event::Uploading
            | Event::DownloadProgress(_)
            | Event::DownloadContinued { .. }
            | Event::DownloadWaits { .. }
            | Event::JoinRequested { .. }
            | Event::Notice(_)
            | Event::LoggedInAs { .. }
            | Event::TrackerLost { .. }
            | Event::TrackerReached { .. }
            | Event::FolderShared { .. }
            | Event::ShareBack { .. } => Weight::News,
            Event::Hashed { .. } => Weight::Progress,
        }
    }

    /// The source of an event that can come again and again without the user's doing. Most notices cannot: each follows
    /// from a change by the user or by an operator.
    pub(super) fn cause(&self) -> Option<LineSource> {
        let (kind, source) = match self {
            Event::JoinRequested { group, .. } => (LineKind::JoinRequest, group.to_string()),
            Event::Notice(
                Notice::Added { group, .. }
                | Notice::OwnerMade { group, .. }
                | Notice::OwnerDropped { group, .. }
                | Notice::Removed { group },
            ) => (LineKind::Decision, group.to_string()),
            Event::Notice(Notice::NewVersion { group, .. }) | Event::DownloadOutdated { group, .. } => {
                (LineKind::NewVersion, group.to_string())
            }
            Event::TrackerLost { .. } | Event::TrackerReached { .. } => (LineKind::Trackers, String::new()),
            Event::DownloadStranded { group, .. } => (LineKind::Stranded, group.to_string()),
            Event::ShareLost { group, .. } => (LineKind::ShareLost, group.to_string()),
            Event::FolderTrouble { folder, .. } => (LineKind::ShareLost, ShownPath(folder).to_string()),
            Event::Warning(words) => (LineKind::Warning, words.clone()),
            _ => return None,
        };
        Some(LineSource { kind, source })
    }

    /// The line for a person, if there is one.
    pub fn line(&self) -> Option<String> {
        Some(match self {
            Event::DownloadProgress(_) => return None,
            Event::Listening(addr) => format!("Listening for other members on {addr}"),
            Event::OnlyThisMachine { listens, rather } => {
                format!("Other machines cannot reach {listens}; start the client with {rather}")
            }
            Event::NotReached { addr, found } => not_reached(*addr, *found),
            Event::NotPassedOn { named, seen } => {
                format!("Others do not learn {named}: the tracker sees you at {seen} and cannot verify that address")
            }
            Event::Uploading => "Uploading...".to_owned(),
            Event::Hashed { done, total, took } => status::hashed(*done, *total, *took),
            Event::DownloadCompleted { group, file, bytes, fetched, .. } => {
                status::completed(group, file, *bytes, *fetched)
            }
            Event::DownloadFailed { group, file, failure, reached } => {
                status::failed(group, file, &failure.why, *reached)
            }
            Event::DownloadContinued { group, file } => format!("Downloading {file} from {group} goes on"),
            Event::DownloadStranded { group, file, why } => {
                format!("Downloading {file} from {group} waits for members who have parts of it: {why}")
            }
            Event::DownloadOutdated { group, file } => outdated(group, file),
            Event::DownloadWaits { group, file, why } => {
                format!("Downloading {file} from {group} waits: {why}")
            }
            Event::DownloadLost { group, file, why } => {
                format!("Downloading {file} from {group} does not go on: {why}")
            }
            Event::JoinRequested { group, user } => {
                format!("{user} asks to join {group}: accept_request {group} {user}")
            }
            Event::Notice(notice) => notice_line(notice),
            Event::LoggedInAs { asked, user } => format!("The name {asked} was taken before; your name is {user}"),
            Event::TrackerLost { tracker, why } => format!("The tracker {tracker} was lost: {why}"),
            Event::TrackerReached { tracker, lost: Some((lost, why)) } => {
                format!("Connected to the tracker {tracker}; {lost} was lost: {why}")
            }
            Event::TrackerReached { tracker, lost: None } => format!("Connected to the tracker {tracker}"),
            Event::LoggedOut { why } => why.clone(),
            Event::ShareMissing { group, file, partly, why } | Event::ShareChanged { group, file, partly, why } => {
                let given = if *partly { "is given to others in part" } else { "is not given to others" };
                format!("{file} {given} in {group}: {why}")
            }
            Event::ShareBack { group, file } => format!("{file} is given to others in {group} again"),
            Event::ShareLost { group, file, why } => format!("{file} is not shared in {group} any more: {why}"),
            Event::FolderShared { group, folder, .. } | Event::FolderTrouble { group, folder, .. } => {
                format!("{} in {group}: {}", ShownPath(folder), self.of_folder())
            }
            Event::FolderCame { group, folder, .. } => {
                format!("{} from {group}: {}", ShownPath(folder), self.of_folder())
            }
            Event::Warning(what) => what.clone(),
        })
    }

    /// The words for an event of a folder.
    fn of_folder(&self) -> String {
        let files = |count: &usize| if *count == 1 { "1 file".to_owned() } else { format!("{count} files") };
        match self {
            Event::FolderShared { shared, ended: 0, .. } => format!("{} shared", files(shared)),
            Event::FolderShared { shared: 0, ended, .. } => format!("{} no longer shared", files(ended)),
            Event::FolderShared { shared, ended, .. } => {
                format!("{} shared, {} no longer", files(shared), files(ended))
            }
            Event::FolderCame { files: 1, last, .. } => format!("{last} has come"),
            Event::FolderCame { files, last, .. } => format!("{files} files have come; the last: {last}"),
            Event::FolderTrouble { why, .. } => why.clone(),
            _ => String::new(),
        }
    }
}

fn outdated(group: &GroupId, file: &FileName) -> String {
    format!(
        "There is a new version of {file} in {group}: update_file {group} {file}; without that, the download of the old version goes on"
    )
}

fn not_reached(addr: SocketAddr, found: ReachClass) -> String {
    let what = match found {
        ReachClass::Reached => "it was reached",
        ReachClass::Refused => "the connection was refused",
        ReachClass::NoAnswer => "no answer",
        ReachClass::OtherProgram => "another program answers there",
        ReachClass::NotTried => "it was not tried",
    };
    format!("Others cannot reach you at {addr} ({what}); you can still exchange files with members who can be reached")
}

/// The act of a user, as the beginning of a sentence.
fn change_words(kind: ChangeKind, group: Option<&GroupId>, file: Option<&FileName>) -> String {
    let of = |what: &str, word: &str, name: Option<&str>| match name {
        Some(name) => format!("{what} {word} {name}"),
        None => what.to_owned(),
    };
    let group = group.map(GroupId::as_str);
    let shared = |what: &str| match file {
        Some(file) => of(&format!("{what} {file}"), "in", group),
        None => of(&format!("{what} a file"), "in", group),
    };
    match kind {
        ChangeKind::ChangePassword => "Your new password".to_owned(),
        ChangeKind::CreateGroup => of("Your new group", "called", group),
        ChangeKind::RequestJoin => of("Your join_group", "in", group),
        ChangeKind::AcceptRequest => of("Your accept_request", "in", group),
        ChangeKind::RejectRequest => of("Your reject_request", "in", group),
        ChangeKind::LeaveGroup => of("Your leave_group", "in", group),
        ChangeKind::RemoveMember => of("Your remove_member", "in", group),
        ChangeKind::CreateShare | ChangeKind::JoinShare => shared("Your sharing of"),
        ChangeKind::LeaveShare => shared("Your stop_share of"),
        ChangeKind::MakeOwner => of("Your make_owner", "in", group),
        ChangeKind::DropOwner => of("Your drop_owner", "in", group),
        ChangeKind::AddMember => of("Your add_member", "in", group),
        ChangeKind::SetGroup => of("Your set_group", "in", group),
        ChangeKind::SetAdding => "Your set_adding".to_owned(),
    }
}

fn notice_line(notice: &Notice) -> String {
    match notice {
        Notice::Accepted { group } => format!("You are a member of {group} now"),
        Notice::Rejected { group } => format!("Your request to join {group} was turned down"),
        Notice::Removed { group } => format!("You were removed from {group}"),
        Notice::UserRenamed { from, to } => {
            format!("The name {from} was taken by somebody else first; your name is {to} now")
        }
        Notice::GroupRenamed { from, to } => {
            format!("The group name {from} was taken by somebody else first; your group is {to} now")
        }
        Notice::ShareRenamed { group, from, to } => {
            format!("The name {from} was taken in {group} first; your file is shared as {to} now")
        }
        Notice::DecisionOverridden { group, user } => {
            format!("Your decision about {user} in {group} came too late and has no effect")
        }
        Notice::RequestOverridden { group } => format!("Your request to join {group} has no effect: you are a member"),
        Notice::ShareOverridden { group, name } => {
            format!("{name} is not shared in {group}: you were no longer a member")
        }
        Notice::GroundGone { kind, file } => {
            let what = change_words(*kind, None, file.as_ref());
            format!("{what} has no effect: the group or file is gone")
        }
        Notice::Unplaced { change: UnplacedChange { kind, group, file } } => {
            let what = change_words(*kind, group.as_ref(), file.as_ref());
            format!("{what} is lost: the tracker that took it had lost touch with the others; please do it again")
        }
        Notice::Older { count } => {
            format!("{count} older notices are gone: no more than {} wait for you", Notice::UNREAD_MAX)
        }
        Notice::PasswordOverridden {} => {
            "Your new password has no effect: it was changed or reset elsewhere first".to_owned()
        }
        Notice::PasswordReset {} => "The operator has reset your password".to_owned(),
        Notice::SessionsEnded {} => "The operator has ended your sessions".to_owned(),
        Notice::AccountDisabled {} => "The operator has disabled your account".to_owned(),
        Notice::AccountEnabled {} => "The operator has enabled your account again".to_owned(),
        Notice::GroupGiven { group } => format!("The operator has made you the owner of {group}"),
        Notice::GroupTaken { group, to } => format!("The operator has made {to} the owner of {group}"),
        Notice::GroupDeleted { group } => format!("The operator has deleted {group}"),
        Notice::NewVersion { group, name, author } => {
            format!("{author} has shared a new version of {name} in {group}: update_file {group} {name}")
        }
        Notice::Added { group, by } => format!("{by} has made you a member of {group}; leave_group {group} leaves it"),
        Notice::OwnerMade { group, by } => format!("{by} has made you an owner of {group}"),
        Notice::OwnerDropped { group, by } => format!("{by} has dropped you as an owner of {group}; you stay a member"),
    }
}
