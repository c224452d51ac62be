//! Results, failures and events as JSON objects, for programs.

use super::download_failure::DownloadFailure;
use super::event::Event;
use super::report::{FileInFolder, FolderStatus, Report};
use super::status::{Delivered, DownloadState, DownloadStatus, IncompleteShare, Obstacle, Totals, UploadStatus};
use crate::client::command::failure::{Cause, Failure};
use crate::client::reach::way::Way;
use crate::model::manifest::Content;
use crate::model::name::{FileName, GroupId, UserId};
use crate::rate::limit::Limit;
use crate::wire::client_tracker::{FileLine, FoundFile, GroupLine, MemberLine, ReachClass};
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use serde_json::{Map, Value, json};
use std::net::SocketAddr;
use std::path::Path;

/// The answer to a successful command.
pub(crate) fn answer(report: &Report) -> Map<String, Value> {
    let told = match report {
        Report::Done(words) => json!({ "message": words }),
        Report::Nothing => json!({}),
        Report::LoggedIn { user } => json!({ "user_id": user.as_str() }),
        Report::Groups(groups) => json!({ "groups": list(groups, group) }),
        Report::Requests(users) => json!({ "requests": list(users, |user| json!(user.as_str())) }),
        Report::Members(members) => json!({ "members": list(members, member) }),
        // Long lists: their entries become objects one by one, when they are written.
        Report::Files(_) | Report::Folder(_) | Report::Found(_) => json!({}),
        Report::Uploaded { group, file, content } => with(shared(group, file), what(content)),
        Report::Downloading { group, file, destination } => {
            with(shared(group, file), json!({ "file_path": path(destination) }))
        }
        Report::Downloads(downloads, totals) => {
            json!({ "downloads": list(downloads, download), "total": total(totals) })
        }
        Report::Uploads(uploads, shares) => {
            json!({ "uploads": list(uploads, upload), "incomplete": list(shares, incomplete) })
        }
        Report::Transfers(downloads, uploads, totals) => {
            let (downloads, uploads) = (list(downloads, download), list(uploads, upload));
            json!({ "downloads": downloads, "uploads": uploads, "total": total(totals) })
        }
        Report::Notices { told, most } => {
            let notices = list(told, |told| Value::Object(told.told.clone()));
            json!({ "notices": notices, "kept": told.len(), "most": most })
        }
        Report::Folders(folders) => json!({ "folders": list(folders, folder) }),
        Report::Limits { upload, download } => json!({ "upload": rate(*upload), "download": rate(*download) }),
        Report::Help(_) => json!({ "lines": report.lines() }),
    };
    members(with(json!({ "status": "success" }), told))
}

/// The answer to a failed command.
pub(crate) fn refusal(failure: &Failure) -> Map<String, Value> {
    let code = match failure.cause {
        Cause::Refused(code) => json!({ "code": format!("{code:?}") }),
        Cause::NoTracker => json!({ "code": "NoTracker" }),
        Cause::OtherVersion | Cause::Other => json!({}),
    };
    members(with(json!({ "status": "error", "message": failure.why }), code))
}

/// An address at which others cannot reach the client, and the finding.
fn unreachable(addr: SocketAddr, found: &str) -> Value {
    json!({ "ip": addr.ip(), "port": addr.port(), "found": found })
}

fn reach_class(found: ReachClass) -> &'static str {
    match found {
        ReachClass::Reached => "reached",
        ReachClass::Refused => "refused",
        ReachClass::NoAnswer => "no_answer",
        ReachClass::OtherProgram => "other_program",
        ReachClass::NotTried => "not_tried",
    }
}

/// An event.
pub(crate) fn event(event: &Event) -> Map<String, Value> {
    let (name, told) = match event {
        Event::Listening(addr) => ("listening", json!({ "ip": addr.ip(), "port": addr.port() })),
        Event::OnlyThisMachine { listens, .. } => ("unreachable", unreachable(*listens, "loopback")),
        Event::NotReached { addr, found } => ("unreachable", unreachable(*addr, reach_class(*found))),
        Event::NotPassedOn { named, .. } => ("unreachable", unreachable(*named, "not_tried")),
        Event::Uploading => ("upload_begun", json!({})),
        Event::Hashed { done, total, .. } => ("upload_progress", json!({ "done": done, "size": total })),
        Event::DownloadProgress(status) => ("download_progress", download(status)),
        Event::DownloadCompleted { group, file, path: to, bytes, fetched } => {
            let seconds = fetched.took.as_secs_f64();
            let told = json!({ "file_path": path(to), "size": bytes, "fetched": fetched.bytes, "seconds": seconds });
            ("download_completed", with(shared(group, file), told))
        }
        Event::DownloadFailed { group, file, failure: why, .. } => {
            ("download_failed", with(shared(group, file), failure(why)))
        }
        Event::DownloadContinued { group, file } => ("download_continued", shared(group, file)),
        Event::DownloadWaits { group, file, why } => {
            ("download_waits", with(shared(group, file), json!({ "reason": why })))
        }
        Event::DownloadStranded { group, file, why } => {
            ("download_stranded", with(shared(group, file), json!({ "reason": why })))
        }
        Event::DownloadLost { group, file, why } => {
            ("download_lost", with(shared(group, file), json!({ "reason": why })))
        }
        Event::DownloadOutdated { group, file } => ("download_outdated", shared(group, file)),
        Event::JoinRequested { group, user } => {
            ("join_requested", json!({ "group_id": group.as_str(), "user_id": user.as_str() }))
        }
        Event::Notice(notice) => notice.members(),
        Event::LoggedInAs { asked, user } => {
            ("user_renamed", json!({ "user_id": asked.as_str(), "new_user_id": user.as_str() }))
        }
        Event::TrackerLost { tracker, why } => {
            ("tracker_lost", json!({ "ip": tracker.host(), "port": tracker.port(), "reason": why }))
        }
        Event::TrackerReached { tracker, .. } => {
            ("tracker_reached", json!({ "ip": tracker.host(), "port": tracker.port() }))
        }
        Event::LoggedOut { why } => ("logged_out", json!({ "reason": why })),
        Event::ShareMissing { group, file, partly, why } => {
            ("share_missing", with(shared(group, file), json!({ "partly": partly, "reason": why })))
        }
        Event::ShareChanged { group, file, partly, why } => {
            ("share_changed", with(shared(group, file), json!({ "partly": partly, "reason": why })))
        }
        Event::ShareBack { group, file } => ("share_back", shared(group, file)),
        Event::ShareLost { group, file, why } => ("share_lost", with(shared(group, file), json!({ "reason": why }))),
        Event::FolderShared { .. } | Event::FolderCame { .. } | Event::FolderTrouble { .. } => folder_event(event),
        Event::Warning(_) => ("warning", json!({})),
    };
    let mut members = members(with(json!({ "event": name }), told));
    if let Some(line) = event.line() {
        members.insert("message".into(), line.into());
    }
    members
}

/// An answer, with its long list if it has one.
pub(crate) struct AnswerLine<'a> {
    pub members: Map<String, Value>,
    pub report: &'a Report,
}

impl Serialize for AnswerLine<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut to = to.serialize_map(None)?;
        for (name, value) in &self.members {
            to.serialize_entry(name, value)?;
        }
        match self.report {
            Report::Files(files) => to.serialize_entry("files", &Entries(files, file))?,
            Report::Folder(files) => to.serialize_entry("files", &Entries(files, in_folder))?,
            Report::Found(files) => to.serialize_entry("files", &Entries(files, found))?,
            _ => {}
        }
        to.end()
    }
}

/// Entries that become objects one by one.
struct Entries<'a, T>(&'a [T], fn(&T) -> Value);

impl<T> Serialize for Entries<'_, T> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(self.0.iter().map(self.1))
    }
}

fn list<T>(entries: &[T], entry: impl Fn(&T) -> Value) -> Value {
    entries.iter().map(entry).collect()
}

fn group(line: &GroupLine) -> Value {
    json!({
        "group_id": line.name.as_str(),
        "owner": line.owner.as_str(),
        "owners": line.owner_count,
        "members": line.member_count,
        "access": line.access.as_str(),
        "role": line.role.as_str(),
    })
}

fn of_folder(group: &GroupId, folder: &Path) -> Value {
    json!({ "group_id": group.as_str(), "folder_path": path(folder) })
}

/// An event of a folder.
fn folder_event(event: &Event) -> (&'static str, Value) {
    match event {
        Event::FolderShared { group, folder, shared, ended } => {
            ("folder_shared", with(of_folder(group, folder), json!({ "shared": shared, "ended": ended })))
        }
        Event::FolderCame { group, folder, files, last } => {
            ("folder_came", with(of_folder(group, folder), json!({ "files": files, "last": last.as_str() })))
        }
        Event::FolderTrouble { group, folder, why } => {
            ("folder_trouble", with(of_folder(group, folder), json!({ "reason": why })))
        }
        _ => ("", json!({})),
    }
}

fn folder(status: &FolderStatus) -> Value {
    let FolderStatus { group, folder, follows, files, waiting, gone, why } = status;
    let told = json!({ "follows": follows, "files": files, "waiting": waiting, "gone": gone, "reason": why });
    with(of_folder(group, folder), told)
}

fn member(line: &MemberLine) -> Value {
    json!({ "user_id": line.name.as_str(), "owner": line.owner, "online": line.online })
}

fn file(line: &FileLine) -> Value {
    let told = json!({ "file_name": line.name.as_str(), "sharers": line.sharer_count, "online": line.online });
    with(told, what(&line.content))
}

fn in_folder(file: &FileInFolder) -> Value {
    json!({ "file_name": file.path, "size": file.len })
}

fn found(found: &FoundFile) -> Value {
    with(json!({ "group_id": found.group.as_str() }), file(&found.file))
}

fn download(status: &DownloadStatus) -> Value {
    let state = match status.state {
        DownloadState::Checking => "checking",
        DownloadState::Running => "running",
        DownloadState::Waiting => "waiting",
        DownloadState::Paused => "paused",
        DownloadState::Completed => "completed",
        DownloadState::Failed(_) => "failed",
    };
    let told = json!({
        "state": state,
        "done": status.done_bytes,
        "size": status.total_bytes,
        "bytes_per_second": status.speed,
        "members": status.peers,
        "delivered": list(&status.members, delivered),
        "reused": status.reused_bytes,
        "obstacles": list(&status.obstacles, obstacle),
    });
    let reason = match &status.state {
        DownloadState::Failed(why) => failure(why),
        _ => json!({}),
    };
    let part = if status.patterns.is_empty() { json!({}) } else { json!({ "patterns": status.patterns }) };
    with(with(with(shared(&status.group, &status.file), told), part), reason)
}

fn delivered(member: &Delivered) -> Value {
    json!({ "user_id": member.user.as_str(), "bytes": member.bytes, "way": member.way.map(Way::word) })
}

fn obstacle(obstacle: &Obstacle) -> Value {
    json!({ "user_id": obstacle.user.as_ref().map(UserId::as_str), "reason": obstacle.why })
}

fn failure(DownloadFailure { code, why }: &DownloadFailure) -> Value {
    json!({ "reason": why, "code": format!("{code:?}") })
}

fn upload(status: &UploadStatus) -> Value {
    let told = json!({
        "user_id": status.user.as_str(),
        "way": status.way.word(),
        "given": status.given_bytes,
        "bytes_per_second": status.speed,
    });
    with(shared(&status.group, &status.file), told)
}

fn total(totals: &Totals) -> Value {
    json!({
        "down": totals.down,
        "up": totals.up,
        "left": totals.left_bytes,
        "seconds_left": totals.left().map(|left| left.as_secs()),
    })
}

fn incomplete(share: &IncompleteShare) -> Value {
    with(shared(&share.group, &share.file), json!({ "partly": share.partly, "reason": share.why }))
}

/// A share's names.
fn shared(group: &GroupId, file: &FileName) -> Value {
    json!({ "group_id": group.as_str(), "file_name": file.as_str() })
}

fn what(content: &Content) -> Value {
    let size = content.is_sized().then(|| content.layout.size());
    json!({ "size": size, "fileSha": content.sha1.to_string(), "files": content.file_count.max(1) })
}

/// Bytes per second; null without a limit.
fn rate(limit: Limit) -> Value {
    json!(limit.bytes_per_second())
}

fn path(path: &Path) -> Value {
    path.to_string_lossy().into()
}

/// Merges both objects.
fn with(mut one: Value, other: Value) -> Value {
    if let (Value::Object(one), Value::Object(other)) = (&mut one, other) {
        one.extend(other);
    }
    one
}

fn members(object: Value) -> Map<String, Value> {
    match object {
        Value::Object(members) => members,
        _ => Map::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::command::table::COMMANDS;
    use crate::client::output::download_failure::FailureCode;
    use crate::client::output::event::Weight;
    use crate::client::output::status::Fetched;
    use crate::model::address::TrackerAddr;
    use crate::model::notice::{ChangeKind, Notice, UnplacedChange};
    use std::net::SocketAddr;
    use std::time::Duration;

    /// The rows of a table in the page for programs: the first column, and the words in code quotes of the second.
    fn rows(heading: &str) -> Vec<(String, Vec<String>)> {
        let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/JSON.md")).expect("a page");
        let table = page.lines().skip_while(|line| *line != heading).skip(1).take_while(|line| !line.starts_with('#'));
        let lines = table.filter(|line| line.starts_with("| `"));
        let row = |line: &str| {
            let cells: Vec<&str> = line.split('|').map(str::trim).collect();
            let quoted = cells[2].split('`').skip(1).step_by(2).map(str::to_owned);
            (cells[1].replace('`', ""), quoted.collect())
        };
        lines.map(row).collect()
    }

    fn notices() -> Vec<Notice> {
        let g = || GroupId::parse("g").expect("a name");
        let f = || FileName::parse("f").expect("a name");
        let u = || UserId::parse("u").expect("a name");
        vec![
            Notice::Accepted { group: g() },
            Notice::Rejected { group: g() },
            Notice::Removed { group: g() },
            Notice::UserRenamed { from: u(), to: u() },
            Notice::GroupRenamed { from: g(), to: g() },
            Notice::ShareRenamed { group: g(), from: f(), to: f() },
            Notice::DecisionOverridden { group: g(), user: u() },
            Notice::RequestOverridden { group: g() },
            Notice::ShareOverridden { group: g(), name: f() },
            Notice::GroundGone { kind: ChangeKind::LeaveGroup, file: None },
            Notice::Unplaced { change: UnplacedChange { kind: ChangeKind::LeaveGroup, group: None, file: None } },
            Notice::Older { count: 2 },
            Notice::PasswordOverridden {},
            Notice::PasswordReset {},
            Notice::SessionsEnded {},
            Notice::AccountDisabled {},
            Notice::AccountEnabled {},
            Notice::GroupGiven { group: g() },
            Notice::GroupTaken { group: g(), to: u() },
            Notice::GroupDeleted { group: g() },
            Notice::NewVersion { group: g(), name: f(), author: u() },
            Notice::Added { group: g(), by: u() },
            Notice::OwnerMade { group: g(), by: u() },
            Notice::OwnerDropped { group: g(), by: u() },
        ]
    }

    fn events() -> Vec<Event> {
        let (group, file) = (GroupId::parse("g").expect("a name"), FileName::parse("f").expect("a name"));
        let (user, to) = (UserId::parse("u").expect("a name"), UserId::parse("v").expect("a name"));
        let (why, addr) = ("why".to_owned(), SocketAddr::from(([127, 0, 0, 1], 1)));
        let tracker = TrackerAddr::from(addr);
        let failure = DownloadFailure { code: FailureCode::NoMember, why: why.clone() };
        let status = DownloadStatus {
            group: group.clone(),
            file: file.clone(),
            patterns: Vec::new(),
            state: DownloadState::Running,
            done_bytes: Some(1),
            total_bytes: 2,
            speed: 3,
            peers: 4,
            left: None,
            members: Vec::new(),
            reused_bytes: 0,
            obstacles: Vec::new(),
        };
        let (g, f) = (|| group.clone(), || file.clone());
        vec![
            Event::Listening(addr),
            Event::OnlyThisMachine { listens: addr, rather: addr },
            Event::NotReached { addr, found: ReachClass::NoAnswer },
            Event::NotPassedOn { named: addr, seen: addr.ip() },
            Event::Uploading,
            Event::Hashed { done: 1, total: 2, took: Duration::ZERO },
            Event::DownloadProgress(status),
            Event::DownloadCompleted {
                group: g(),
                file: f(),
                path: "/f".into(),
                bytes: 2,
                fetched: Fetched::default(),
            },
            Event::DownloadFailed { group: g(), file: f(), failure, reached: None },
            Event::DownloadContinued { group: g(), file: f() },
            Event::DownloadWaits { group: g(), file: f(), why: why.clone() },
            Event::DownloadStranded { group: g(), file: f(), why: why.clone() },
            Event::DownloadOutdated { group: g(), file: f() },
            Event::DownloadLost { group: g(), file: f(), why: why.clone() },
            Event::JoinRequested { group: g(), user: user.clone() },
            Event::LoggedInAs { asked: user, user: to },
            Event::ShareMissing { group: g(), file: f(), partly: true, why: why.clone() },
            Event::ShareChanged { group: g(), file: f(), partly: false, why: why.clone() },
            Event::ShareBack { group: g(), file: f() },
            Event::ShareLost { group: g(), file: f(), why: why.clone() },
            Event::FolderShared { group: g(), folder: "/f".into(), shared: 1, ended: 2 },
            Event::FolderCame { group: g(), folder: "/f".into(), files: 2, last: f() },
            Event::FolderTrouble { group: g(), folder: "/f".into(), why: why.clone() },
            Event::TrackerLost { tracker: tracker.clone(), why: why.clone() },
            Event::TrackerReached { tracker, lost: None },
            Event::LoggedOut { why: why.clone() },
            Event::Warning(why),
        ]
    }

    #[test]
    fn the_page_for_programs_has_every_event_with_its_members() {
        let mut documented = rows("### Events of the client");
        documented.sort();
        let of = |event: &Event| {
            let members = super::event(event);
            let star = if matches!(event.weight(), Weight::News | Weight::Progress) { "*" } else { "" };
            let name = format!("{}{star}", members["event"].as_str().expect("a name"));
            let rest = members.keys().filter(|key| !matches!(key.as_str(), "event" | "message")).cloned();
            assert_eq!(members.contains_key("message"), event.line().is_some(), "{members:?}");
            (name, rest.collect::<Vec<_>>())
        };
        let notices = notices().into_iter().map(Event::Notice);
        let mut told: Vec<_> = events().into_iter().chain(notices).map(|event| of(&event)).collect();
        told.sort();
        told.dedup();
        for (_, members) in &mut documented {
            members.sort();
        }
        assert_eq!(told, documented);
    }

    #[test]
    fn the_events_that_the_page_calls_notices_are_the_notices() {
        let names = rows("### Events of the client").into_iter().map(|(name, _)| name.replace('*', ""));
        let (first, notices) = ("request_accepted", notices());
        let documented = names.skip_while(|name| name != first).take(notices.len()).collect::<Vec<_>>();
        assert_eq!(documented, notices.iter().map(|notice| notice.members().0).collect::<Vec<_>>());
        assert_eq!(documented.last().map(String::as_str), Some("owner_dropped"));
    }

    #[test]
    fn programs_are_told_every_way_and_what_stands_between() {
        let user = |name| UserId::parse(name).expect("a name");
        let relayed = Delivered { user: user("ann"), bytes: 7, way: Some(Way::Relayed) };
        assert_eq!(delivered(&relayed), json!({ "user_id": "ann", "bytes": 7, "way": "relayed" }));
        let gone = Delivered { way: None, ..relayed };
        assert_eq!(delivered(&gone), json!({ "user_id": "ann", "bytes": 7, "way": null }));
        let busy = Obstacle { user: Some(user("bob")), why: "busy, 23rd in line".to_owned() };
        assert_eq!(obstacle(&busy), json!({ "user_id": "bob", "reason": "busy, 23rd in line" }));
        let down = Obstacle { user: None, why: "your own link is down".to_owned() };
        assert_eq!(obstacle(&down), json!({ "user_id": null, "reason": "your own link is down" }));
        let (group, file) = (GroupId::parse("g").expect("a name"), FileName::parse("f").expect("a name"));
        let direct = UploadStatus { group, file, user: user("ann"), way: Way::Direct, speed: 1, given_bytes: 2 };
        assert_eq!(upload(&direct)["way"], "direct");
    }

    #[test]
    fn the_page_for_programs_has_every_code_of_a_failed_download() {
        let next = |code: &FailureCode| match code {
            FailureCode::NoMember => Some(FailureCode::Unreached),
            FailureCode::Unreached => Some(FailureCode::OnlyLiars),
            FailureCode::OnlyLiars => Some(FailureCode::WrongSha1),
            FailureCode::WrongSha1 => Some(FailureCode::NotMember),
            FailureCode::NotMember => Some(FailureCode::Forgotten),
            FailureCode::Forgotten => Some(FailureCode::NoTracker),
            FailureCode::NoTracker => Some(FailureCode::DiskFull),
            FailureCode::DiskFull => Some(FailureCode::Obstructed),
            FailureCode::Obstructed => Some(FailureCode::PartChanged),
            FailureCode::PartChanged => Some(FailureCode::System),
            FailureCode::System => Some(FailureCode::Closing),
            FailureCode::Closing => None,
        };
        let codes = std::iter::successors(Some(FailureCode::NoMember), next);
        let told = codes.map(|code| failure(&DownloadFailure { code, why: String::new() })["code"].clone());
        let documented = rows("### Codes of failed downloads").into_iter().map(|(code, _)| json!(code));
        assert_eq!(told.collect::<Vec<_>>(), documented.collect::<Vec<_>>());
    }

    #[test]
    fn the_page_for_programs_has_every_command() {
        let documented = rows("### Commands of the client").into_iter().take(COMMANDS.len());
        let names: Vec<String> = documented.map(|(name, _)| name).collect();
        assert_eq!(names, COMMANDS.iter().map(|usage| usage.name()).collect::<Vec<_>>());
    }
}
