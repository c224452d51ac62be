//! Changes that could not be placed: lists of them in the data folder, and notices to their authors. Also bases that
//! lost their place.

use crate::model::id::{CommandId, OpId, Origin, UserRef};
use crate::model::name::{FileName, GroupId};
use crate::model::notice::{ChangeKind, UnplacedChange};
use crate::model::op::{Op, OpBody};
use crate::sys;
use crate::sys::{durable, files};
use crate::tracker::core::Core;
use crate::tracker::journal;
use crate::tracker::journal::base::adoption::UnplacedSink;
use crate::tracker::ledger::accept::Change;
use crate::tracker::state::State;
use crate::tracker::warn::Warn;
use crossbeam_channel::{Receiver, RecvTimeoutError};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::ffi::OsStr;
use std::fmt;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The prefix of each list's name, before its number.
const PREFIX: &str = "unplaced-";
/// The suffix of a list's name until its authors have been told.
const NEW: &str = ".new.jsonl";
/// The suffix after that.
const TOLD: &str = ".jsonl";
/// The ending of a base that lost its place.
const LEFT: &str = "left";
/// The most notices for one user from one list: the state remembers more commands of a user than that.
const NOTICES_MAX: u32 = 512;
/// The pause before the next attempt to tell authors.
const PAUSE: Duration = Duration::from_secs(5);

/// A list of changes in the data folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnplacedList {
    /// The file, or the folder of the lists if that is unreadable.
    pub path: PathBuf,
    /// The number of changes, or why it is unknown.
    pub count: Result<usize, UnreadableList>,
}

/// Why a list of changes cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnreadableList(String);

impl fmt::Display for UnreadableList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for UnreadableList {}

impl UnplacedList {
    /// Whether its authors still have to be told.
    pub(super) fn is_new(&self) -> bool {
        is_new(&self.path)
    }
}

impl fmt::Display for UnplacedList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.display();
        match &self.count {
            Ok(count) => write!(f, "changes that could not be placed: {count}, listed in {path}"),
            Err(why) => write!(f, "changes that could not be placed are listed in {path}, which cannot be read: {why}"),
        }
    }
}

/// A line of a list: one change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct UnplacedLine {
    /// The id of its op: tracker, incarnation and sequence.
    op: String,
    lamport: u64,
    change: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    group: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<String>,
    /// The op that made the author's account, if a notice is due.
    #[serde(skip_serializing_if = "Option::is_none")]
    author: Option<String>,
    /// The command of the notice. Trackers that lost the same change use the same command, and so tell it once.
    #[serde(skip_serializing_if = "Option::is_none")]
    command: Option<String>,
}

/// The words for the kinds of changes, as in the protocol for programs.
const KINDS: [(ChangeKind, &str); 15] = [
    (ChangeKind::ChangePassword, "change_password"),
    (ChangeKind::CreateGroup, "create_group"),
    (ChangeKind::RequestJoin, "join_group"),
    (ChangeKind::AcceptRequest, "accept_request"),
    (ChangeKind::RejectRequest, "reject_request"),
    (ChangeKind::LeaveGroup, "leave_group"),
    (ChangeKind::RemoveMember, "remove_member"),
    (ChangeKind::CreateShare, "share"),
    (ChangeKind::JoinShare, "join_share"),
    (ChangeKind::LeaveShare, "stop_share"),
    (ChangeKind::MakeOwner, "make_owner"),
    (ChangeKind::DropOwner, "drop_owner"),
    (ChangeKind::AddMember, "add_member"),
    (ChangeKind::SetGroup, "set_group"),
    (ChangeKind::SetAdding, "set_adding"),
];

fn id_text(id: OpId) -> String {
    format!("{}-{:016x}-{}", id.origin.tracker, id.origin.incarnation, id.seq)
}

fn id_of(text: &str) -> Option<OpId> {
    let mut parts = text.splitn(3, '-');
    let tracker = parts.next()?.parse().ok()?;
    let incarnation = u64::from_str_radix(parts.next()?, 16).ok()?;
    Some(OpId { origin: Origin { tracker, incarnation }, seq: parts.next()?.parse().ok()? })
}

fn command_of(op: &Op) -> CommandId {
    if matches!(op.body, OpBody::NoteUnplaced { .. }) {
        return op.command;
    }
    let mut digest = ring::digest::Context::new(&ring::digest::SHA256);
    digest.update(b"unplaced");
    digest.update(&op.id.origin.tracker.to_be_bytes());
    digest.update(&op.id.origin.incarnation.to_be_bytes());
    digest.update(&op.id.seq.to_be_bytes());
    let digest = digest.finish();
    CommandId(*digest.as_ref().first_chunk().expect("SHA-256 is longer than an id"))
}

/// What the author is told of a change. `before` is a state that has the entities in it.
fn told(body: &OpBody, before: &State) -> Option<UnplacedChange> {
    if let OpBody::NoteUnplaced { change, .. } = body {
        return Some(change.clone());
    }
    let group = |group| before.group_name(group);
    let share = |share| before.share(share).map(|info| (before.group_name(info.group), info.name));
    let (group, file) = match body {
        OpBody::CreateGroup { name, .. } => (Some(name.clone()), None),
        OpBody::RequestJoin { group: of, .. }
        | OpBody::AcceptRequest { group: of, .. }
        | OpBody::RejectRequest { group: of, .. }
        | OpBody::LeaveGroup { group: of, .. }
        | OpBody::RemoveMember { group: of, .. }
        | OpBody::MakeOwner { group: of, .. }
        | OpBody::DropOwner { group: of, .. }
        | OpBody::AddMember { group: of, .. }
        | OpBody::SetGroup { group: of, .. } => (group(*of), None),
        OpBody::CreateShare { group: of, name, .. } => (group(*of), Some(name.clone())),
        OpBody::JoinShare { share: of, .. } | OpBody::LeaveShare { share: of, .. } => {
            share(*of).map_or((None, None), |(group, name)| (group, Some(name)))
        }
        _ => (None, None),
    };
    Some(UnplacedChange { kind: body.change_kind()?, group, file })
}

/// What an operator did to an account or a group: the word for it, the user and the group.
fn operated(body: &OpBody, before: &State) -> Option<(&'static str, Option<String>, Option<GroupId>)> {
    let name = |user| before.account(user).map(|account| account.name.to_string());
    Some(match *body {
        OpBody::MakeUser { ref name, .. } => ("create_user", Some(name.to_string()), None),
        OpBody::ResetPassword { user, .. } => ("reset_password", name(user), None),
        OpBody::EndSessions { user } => ("kick", name(user), None),
        OpBody::DisableUser { user } => ("disable_user", name(user), None),
        OpBody::EnableUser { user } => ("enable_user", name(user), None),
        OpBody::DeleteUser { user } => ("delete_user", name(user), None),
        OpBody::GiveGroup { group, user } => ("give_group", name(user), before.group_name(group)),
        OpBody::DeleteGroup { group } => ("delete_group", None, before.group_name(group)),
        _ => return None,
    })
}

impl UnplacedLine {
    /// `None` for an op whose loss no user notices.
    fn of(op: &Op, before: &State) -> Option<Self> {
        let (id, lamport) = (id_text(op.id), op.lamport);
        let line = |change: &str, user| Self {
            op: id,
            lamport,
            change: change.to_owned(),
            user,
            group: None,
            file: None,
            author: None,
            command: None,
        };
        match &op.body {
            OpBody::CreateUser { name, .. } => return Some(line("create_user", Some(name.to_string()))),
            OpBody::ForgetTracker { tracker } => return Some(line(&format!("forget {tracker}"), None)),
            OpBody::UnforgetTracker { tracker } => return Some(line(&format!("unforget {tracker}"), None)),
            _ => {}
        }
        if let Some((word, name, group)) = operated(&op.body, before) {
            return Some(Self { group: group.map(|group| group.to_string()), ..line(word, name) });
        }
        let UnplacedChange { kind, group, file } = told(&op.body, before)?;
        let author = before.account(op.body.author()?);
        let word = KINDS.iter().find(|(other, _)| *other == kind).map_or("", |(_, word)| word);
        Some(Self {
            group: group.map(|group| group.to_string()),
            file: file.map(|file| file.to_string()),
            author: author.as_ref().map(|author| id_text(author.user.0)),
            command: Some(format!("{:?}", command_of(op))),
            ..line(word, author.map(|author| author.name.to_string()))
        })
    }

    /// The notice that is due: its command and its recipient. `None` if there is no recipient.
    fn notice(&self) -> Option<(CommandId, UserRef, UnplacedChange)> {
        let user = UserRef(id_of(self.author.as_deref()?)?);
        let command = u128::from_str_radix(self.command.as_deref()?, 16).ok()?;
        let (kind, _) = KINDS.iter().find(|(_, word)| *word == self.change)?;
        let group = self.group.as_deref().and_then(|group| GroupId::parse(group).ok());
        let file = self.file.as_deref().and_then(|file| FileName::parse(file).ok());
        Some((CommandId(command.to_be_bytes()), user, UnplacedChange { kind: *kind, group, file }))
    }
}

/// The lists in a data folder.
#[derive(Debug, Clone)]
pub struct UnplacedLists {
    folder: PathBuf,
}

impl UnplacedLists {
    pub fn new(folder: &Path) -> Self {
        Self { folder: folder.to_path_buf() }
    }

    /// The lists that the operator has not moved away.
    pub fn all(&self) -> Vec<UnplacedList> {
        let why = |error: io::Error| UnreadableList(sys::reason(&error));
        let count = |path: &Path| {
            let lines = BufReader::new(File::open(path)?).lines();
            lines.map(|line| line.map(|_| 1)).sum::<io::Result<usize>>()
        };
        match self.paths() {
            Ok(paths) => {
                paths.into_iter().map(|path| UnplacedList { count: count(&path).map_err(why), path }).collect()
            }
            Err(error) => vec![UnplacedList { path: self.folder.clone(), count: Err(why(error)) }],
        }
    }

    /// The bases that lost their place to another base, although the other one lacks a part of them. Lists those that
    /// the operator still keeps.
    pub fn left(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.folder.join(journal::FOLDER)).into_iter().flatten().flatten();
        let is_left = |path: &PathBuf| path.extension().is_some_and(|ending| ending == LEFT);
        let mut left: Vec<PathBuf> = entries.map(|entry| entry.path()).filter(is_left).collect();
        left.sort();
        left
    }

    fn paths(&self) -> io::Result<Vec<PathBuf>> {
        let entries: io::Result<Vec<_>> = fs::read_dir(&self.folder)?.map(|entry| Ok(entry?.path())).collect();
        let mut paths: Vec<PathBuf> = entries?;
        paths.retain(|path| name(path).is_some_and(|name| name.starts_with(PREFIX) && name.ends_with(TOLD)));
        paths.sort();
        Ok(paths)
    }

    /// The path of a new list, with the first free number.
    fn free_place(&self, lists: &[PathBuf]) -> PathBuf {
        let is_free = |n: &u64| {
            let [new, told] = [NEW, TOLD].map(|suffix| format!("{PREFIX}{n}{suffix}"));
            !lists.iter().any(|path| name(path).is_some_and(|name| name == new || name == told))
        };
        let number = (1..).find(is_free).unwrap_or_default();
        self.folder.join(format!("{PREFIX}{number}{NEW}"))
    }

    /// Tells the authors of the new lists, and then gives each list its final name. Returns early once `end` is
    /// disconnected; the next start goes on.
    pub(super) fn tell_authors(&self, core: &Core, warn: &Warn, end: &Receiver<()>) {
        for path in self.paths().unwrap_or_default().iter().filter(|path| is_new(path)) {
            let told = loop {
                match tell(core, path) {
                    // The disk may be full.
                    Err(TellError::Later) if end.recv_timeout(PAUSE) == Err(RecvTimeoutError::Timeout) => {}
                    told => break told,
                }
            };
            match told {
                Ok(()) => {}
                Err(TellError::Later) => return,
                Err(TellError::Failed(why)) => warn(&format!("the authors of {} are not told: {why}", path.display())),
            }
        }
    }
}

/// Why authors could not be told.
enum TellError {
    /// The tracker takes no changes at present.
    Later,
    Failed(io::Error),
}

impl From<io::Error> for TellError {
    fn from(error: io::Error) -> Self {
        TellError::Failed(error)
    }
}

impl UnplacedSink for UnplacedLists {
    /// If the same changes come again, makes no second list.
    fn keep(&mut self, ops: &[Op], before: &State) -> io::Result<()> {
        let mut text = String::new();
        for line in ops.iter().filter_map(|op| UnplacedLine::of(op, before)) {
            text.push_str(&serde_json::to_string(&line).map_err(io::Error::other)?);
            text.push('\n');
        }
        if text.is_empty() {
            return Ok(());
        }
        let lists = self.paths()?;
        let is_same = |path: &PathBuf| is_new(path) && fs::read(path).is_ok_and(|bytes| bytes == text.as_bytes());
        if lists.iter().any(is_same) {
            return Ok(());
        }
        durable::replace(&self.free_place(&lists), text.as_bytes())
    }
}

fn name(path: &Path) -> Option<&str> {
    path.file_name().and_then(OsStr::to_str)
}

fn is_new(path: &Path) -> bool {
    name(path).is_some_and(|name| name.ends_with(NEW))
}

/// Issues the notices of a list, then gives the list its final name.
fn tell(core: &Core, path: &Path) -> Result<(), TellError> {
    let mut counts: HashMap<UserRef, u32> = HashMap::new();
    for line in BufReader::new(File::open(path)?).lines() {
        let line: UnplacedLine = serde_json::from_str(&line?).map_err(io::Error::other)?;
        let state = core.state();
        // A crash may have come before the change lost its place.
        let is_placed = id_of(&line.op).is_some_and(|id| id.seq <= state.seen(id.origin));
        let Some((command, user, change)) = line.notice().filter(|_| !is_placed) else { continue };
        let count = counts.entry(user).or_default();
        *count += 1;
        if *count > NOTICES_MAX || state.account(user).is_none() {
            continue;
        }
        if let Err(refusal) = core.committer.submit(command, &Change::NoteUnplaced { user, change }) {
            let later = refusal.code.is_passing();
            return Err(if later { TellError::Later } else { TellError::Failed(io::Error::other(refusal)) });
        }
    }
    if let (Some(folder), Some(stem)) = (path.parent(), name(path).and_then(|name| name.strip_suffix(NEW))) {
        let (new, told) = (format!("{stem}{NEW}"), format!("{stem}{TOLD}"));
        let folder = files::open_folder(folder)?;
        files::rename_in(&folder, OsStr::new(&new), OsStr::new(&told))?;
        files::sync_folder(&folder)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::id::{GroupRef, ShareRef};
    use crate::model::name::UserId;
    use crate::model::op::PasswordHash;
    use std::slice;

    const ORIGIN: Origin = Origin { tracker: 2, incarnation: 0xabc };

    fn op(seq: u64, body: OpBody) -> Op {
        let command = CommandId(u128::from(seq).to_be_bytes());
        Op { id: OpId { origin: ORIGIN, seq }, lamport: seq, command, body }
    }

    fn group(name: &str) -> GroupId {
        GroupId::parse(name).expect("a name")
    }

    /// An account makes a group, leaves it, joins an unknown share, and is told of a change. An operator forgets a
    /// tracker.
    fn ops() -> Vec<Op> {
        let name = UserId::parse("alice").expect("a name");
        let user = UserRef(OpId { origin: ORIGIN, seq: 1 });
        let change = UnplacedChange { kind: ChangeKind::LeaveShare, group: Some(group("x")), file: None };
        let bodies = [
            OpBody::CreateUser { name, password: PasswordHash("secret".into()) },
            OpBody::CreateGroup { founder: user, name: group("lab \"1\"") },
            OpBody::LeaveGroup { group: GroupRef(OpId { origin: ORIGIN, seq: 2 }), user },
            OpBody::JoinShare { share: ShareRef(OpId { origin: ORIGIN, seq: 99 }), user },
            OpBody::ForgetTracker { tracker: 3 },
            OpBody::NoteUnplaced { user, change },
        ];
        (1..).zip(bodies).map(|(seq, body)| op(seq, body)).collect()
    }

    fn lines() -> Vec<UnplacedLine> {
        let mut before = State::new();
        ops().iter().for_each(|op| before.apply(op));
        let texts = ops().into_iter().filter_map(|op| UnplacedLine::of(&op, &before));
        texts.map(|line| serde_json::from_str(&serde_json::to_string(&line).expect("text")).expect("a line")).collect()
    }

    #[test]
    fn a_line_says_what_was_changed_and_by_whom_and_no_secret() {
        let lines = lines();
        let shown = |line: &UnplacedLine| {
            let texts = [&line.user, &line.group, &line.file].map(|text| text.clone().unwrap_or_default());
            format!("{} {} {}: {}", line.op, line.lamport, line.change, texts.join("/"))
        };
        let expected = [
            "2-0000000000000abc-1 1 create_user: alice//",
            "2-0000000000000abc-2 2 create_group: alice/lab \"1\"/",
            "2-0000000000000abc-3 3 leave_group: alice/lab \"1\"/",
            "2-0000000000000abc-4 4 join_share: alice//",
            "2-0000000000000abc-5 5 forget 3: //",
            "2-0000000000000abc-6 6 stop_share: alice/x/",
        ];
        assert_eq!(lines.iter().map(shown).collect::<Vec<_>>(), expected);
        assert!(!format!("{lines:?}").contains("secret"));
        // No notice goes to authors without an account, or about an operator's change.
        let notices: Vec<_> = lines.iter().filter_map(UnplacedLine::notice).collect();
        let kinds: Vec<_> = notices.iter().map(|(_, _, change)| change.kind).collect();
        use ChangeKind::{CreateGroup, JoinShare, LeaveGroup, LeaveShare};
        assert_eq!(kinds, [CreateGroup, LeaveGroup, JoinShare, LeaveShare]);
        assert!(notices.iter().all(|(_, user, _)| user.0 == OpId { origin: ORIGIN, seq: 1 }));
        // The notice for a lost notice keeps its command.
        assert_eq!(notices[3].0, ops()[5].command);
    }

    #[test]
    fn every_kind_of_change_has_a_word_of_its_own() {
        let words: std::collections::BTreeSet<_> = KINDS.iter().map(|(_, word)| word).collect();
        assert_eq!(KINDS.map(|(kind, _)| kind), ChangeKind::ALL);
        assert_eq!(words.len(), KINDS.len());
    }

    #[test]
    fn the_same_changes_are_listed_once_and_others_get_a_list_of_their_own() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut lists = UnplacedLists::new(folder.path());
        let state = State::new();
        let mut counts = |ops: &[Op]| {
            lists.keep(ops, &state).expect("writable");
            let all = lists.all().into_iter();
            all.map(|list| (name(&list.path).expect("text").to_owned(), list.count)).collect::<Vec<_>>()
        };
        assert_eq!(counts(&[]), []);
        let first = ("unplaced-1.new.jsonl".to_owned(), Ok(6));
        assert_eq!(counts(&ops()), slice::from_ref(&first));
        assert_eq!(counts(&ops()), slice::from_ref(&first));
        assert_eq!(counts(&ops()[..2]), [first, ("unplaced-2.new.jsonl".to_owned(), Ok(2))]);
        // The list is reported as unreadable.
        fs::write(folder.path().join("unplaced-3.jsonl"), b"\xff\xfe\n").expect("writable");
        fs::create_dir(folder.path().join("unplaced-4.jsonl")).expect("writable");
        let told: Vec<String> = UnplacedLists::new(folder.path()).all().iter().map(|list| list.to_string()).collect();
        assert!(told[0].starts_with("changes that could not be placed: 6, listed in "), "{told:?}");
        assert!(told[2].contains("unplaced-3.jsonl, which cannot be read: "), "{told:?}");
        assert!(told[3].ends_with("unplaced-4.jsonl, which cannot be read: Is a directory"), "{told:?}");
        fs::remove_file(folder.path().join("unplaced-3.jsonl")).expect("there");
        fs::remove_dir(folder.path().join("unplaced-4.jsonl")).expect("there");
        // A number is not used again as long as its list exists.
        let at = |name: &str| folder.path().join(name);
        fs::rename(at("unplaced-1.new.jsonl"), at("unplaced-1.jsonl")).expect("there");
        let third = counts(&ops()[..1]);
        assert_eq!(
            third.iter().map(|(name, _)| &name[..10]).collect::<Vec<_>>(),
            ["unplaced-1", "unplaced-2", "unplaced-3"]
        );
    }
}
