//! One download of the user: from its start by a command or a record to its end.

mod failure;
pub(super) mod hold_back;
pub(super) mod look_after;
pub(super) mod manifest;
pub(super) mod newer;
mod old_copy;
mod own_copy;
pub(super) mod update;

use super::announce::{take_part, tell_withdrawn, withdraw};
use super::download_list::{DownloadPhase, Tracked};
use super::login_session::LoginSession;
use super::node::random;
use super::parts::{self, Widened};
use super::share::{forget_all, share_downloaded, tell_untold};
use crate::client::command::failure::{Cause, Failure};
use crate::client::difference::old_version::OldVersion;
use crate::client::download::error::DownloadError;
use crate::client::download::patching::find_difference;
use crate::client::download::transfer::{Subject, Transfer, TransferProgress, TransferSetup};
use crate::client::download::verify::{finish, is_complete};
use crate::client::download::whole_hash::WholeHash;
use crate::client::output::event::Event;
use crate::client::output::report::Report;
use crate::client::output::status::{Fetched, Reached};
use crate::client::rpc::queries::{Found, find};
use crate::client::state::record::DownloadRecord;
use crate::client::storage::file_stamp::Stamps;
use crate::client::storage::part::{
    OpenedPart, Part, PartError, PartLabel, PartPlan, PartRecord, Taken, resolve_destination,
};
use crate::client::storage::piece_source::PieceSource;
use crate::client::storage::selection::PartSource;
use crate::model::digest::Sha1Digest;
use crate::model::escape::ShownPath;
use crate::model::manifest::Manifest;
use crate::model::name::{FileName, GroupId};
use crate::sys::give_way;
use crate::wire::client_tracker::Peer;
use failure::failure_of;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

/// Begins a download to the typed destination and returns; a helper thread does the rest beside the prompt. If the same
/// download already runs to that place, as when a script runs again, the command succeeds.
pub(super) fn begin(
    session: &Arc<LoginSession>,
    (group, name): (&GroupId, &FileName),
    typed: &Path,
    patterns: Vec<String>,
) -> Result<Report, Failure> {
    let to = resolve_destination(typed, name).map_err(|error| error.to_string())?;
    let downloads = session.downloads();
    let is_same = |it: &Tracked| it.destination == to && it.patterns == patterns && it.phase.is_busy();
    let same = downloads.find(group, name).filter(is_same);
    if same.is_some() {
        return Ok(Report::Downloading { group: group.clone(), file: name.clone(), destination: to });
    }
    let id = downloads.begin((group, name), to.clone(), patterns).map_err(|error| error.to_string())?;
    let order = DownloadOrder { id, group, name, to, record: PartRecord::Absent, update: Update::default() };
    go_on(session, order).inspect_err(|_| downloads.remove(id))
}

/// A download to begin or to resume.
#[derive(Debug)]
pub(super) struct DownloadOrder<'a> {
    /// The number of the download, which is in the phase `Starting`.
    pub id: u64,
    pub group: &'a GroupId,
    pub name: &'a FileName,
    /// Where the complete file will be.
    pub to: PathBuf,
    pub record: PartRecord,
    pub update: Update,
}

impl DownloadOrder<'_> {
    /// The record of this download that the client keeps until the file is complete.
    fn record_of(&self, subject: &Subject, widened: &Widened) -> DownloadRecord {
        DownloadRecord {
            group: self.group.clone(),
            name: self.name.clone(),
            destination: self.to.clone(),
            content: subject.content,
            share: subject.share,
            paused: false,
            part: widened.to_part(subject.selection.as_ref()),
        }
    }
}

/// How a download treats an old version of its content.
#[derive(Debug, Default)]
pub(super) struct Update {
    /// The download replaces the old version, if that lies at the destination.
    pub replaces: bool,
    /// The download fetched an old version before.
    pub is_newer: bool,
    /// The unfinished part of that old version. The download takes the equal pieces from it.
    pub unfinished: Option<Arc<Part>>,
}

/// The nice value of a helper thread that hashes.
const NICE: i32 = 10;

/// Lets a download in the phase `Starting` go on. If that fails, the download stays in that phase.
pub(super) fn go_on(session: &Arc<LoginSession>, order: DownloadOrder<'_>) -> Result<Report, Failure> {
    let Prepared { subject, whole, widened, opened, peers, old } = prepare(session, &order)?;
    let record = order.record_of(&subject, &widened);
    let DownloadOrder { id, group, name, to, .. } = order;
    session.remembered(session.slot().put_download(record, &whole), |error| {
        format!("The download of {name} will not go on by itself after a restart: {error}")
    });
    match opened {
        OpenedPart::Part(part) => {
            session.help(format!("begin-{id}"), move |session| {
                start(session, id, subject, Begun { part, peers, old });
            });
        }
        OpenedPart::Taken(taken) => {
            session.help(format!("look-{id}"), move |session| adopt(session, id, &subject, taken));
        }
    }
    Ok(Report::Downloading { group: group.clone(), file: name.clone(), destination: to })
}

/// The tracker's answers about a download, and its place on the disk.
struct Prepared {
    subject: Subject,
    /// The manifest of everything that is shared under the name.
    whole: Arc<Manifest>,
    /// The wanted files of a folder, if not all.
    widened: Widened,
    opened: OpenedPart,
    /// The members that had pieces when the tracker answered.
    peers: Vec<Peer>,
    /// Old versions on this machine.
    old: Vec<OldVersion>,
}

/// The input of a download that begins.
struct Begun {
    part: Part,
    peers: Vec<Peer>,
    old: Vec<OldVersion>,
}

/// Checks what the user should hear of at once: whether such a file exists, and whether the disk has room.
fn prepare(session: &LoginSession, order: &DownloadOrder<'_>) -> Result<Prepared, Failure> {
    let DownloadOrder { id, group, name, to, record, update } = order;
    let Found { share, group: group_ref, content, .. } = find(&session.node().link, group, name)?;
    let known = session.downloads().get(*id).and_then(|tracked| tracked.info_hash);
    if !update.is_newer && known.is_some_and(|known| known != content.info_hash) {
        let why = format!("{name} is shared in another version now; update_file {group} {name} goes over to that");
        return Err(Failure { why, cause: Cause::OtherVersion });
    }
    if !content.is_sized() {
        let what =
            "was shared by a program that did not tell its size; it can be downloaded once a client shares it too";
        return Err(format!("{name} {what}").into());
    }
    let (manifest, peers) = manifest::fetch_with_peers(session, share, &content)?;
    let whole = manifest;
    let remembered = session.slot().download(group, name);
    let is_elsewhere = |it: &&DownloadRecord| it.is_held() && it.destination != *to;
    let elsewhere = remembered.as_ref().filter(is_elsewhere).cloned();
    let same = remembered.filter(|it| it.destination == *to && it.content.info_hash == content.info_hash);
    let patterns = session.downloads().get(*id).map(|tracked| tracked.patterns).unwrap_or_default();
    let widened = match &same {
        Some(same) => parts::widen(same, &whole, &patterns)?,
        None => Widened { patterns, before: None },
    };
    session.downloads().widen(*id, &widened.patterns);
    let selection = parts::selection(name, &whole, &widened.patterns)?;
    let manifest = selection.as_ref().map_or(&whole, |selection| selection.manifest()).clone();
    let of_disk = selection.as_ref().map_or(content.info_hash, |part| part.info_hash(content.info_hash));
    let subject = Subject { group: group_ref, share, name: (*name).clone(), content, manifest, selection };
    let label = PartLabel { info_hash: of_disk, group: (*group).clone(), name: (*name).clone() };
    let record = match record {
        PartRecord::Absent if same.is_some() => PartRecord::Begun,
        other => *other,
    };
    let shared = PartLabel { info_hash: content.info_hash, ..label.clone() };
    let unfinished = update.unfinished.as_ref();
    let beside = unfinished.filter(|part| !old_copy::is_inherited(part, to, &subject));
    let old = old_copy::find(session, &shared, beside);
    let replaces = old.replaced_at(to).filter(|_| update.replaces && subject.selection.is_none());
    let plan = PartPlan { record, replaces, held: widened.files() };
    let makes_way = unfinished.map_or(Ok(()), |part| old_copy::make_way(part, to, &subject, &label));
    makes_way.map_err(|error| error.to_string())?;
    // `Part::open` renames the files that are there. The record with their names must be on disk before.
    let held = same.filter(DownloadRecord::is_held).filter(|_| widened.before.is_some());
    if held.is_some() {
        let record = order.record_of(&subject, &widened);
        session.slot().put_download(record, &whole).map_err(|error| error.to_string())?;
    }
    let opened = Part::open(to, subject.manifest.clone(), &label, plan);
    match (&opened, held) {
        (Ok(_), Some(_)) => session.node().catalog.remove(group_ref, content.info_hash),
        (Err(_), Some(held)) => session.remembered(session.slot().put_download(held, &whole), ToString::to_string),
        _ => {}
    }
    let opened = opened.map_err(|error| error.to_string())?;
    // The client remembers only one part of a folder.
    if let Some(other) = elsewhere {
        let path = ShownPath(&other.destination);
        session.event(&Event::Warning(format!("{path} is no longer given to others: {name} goes to another place")));
    }
    session.downloads().settle(*id, to.clone(), (&content, subject.manifest.layout().size()));
    Ok(Prepared { subject, whole, widened, opened, peers, old: old.versions })
}

/// Verifies the pieces on this disk, including copies elsewhere, then lets the engine fetch the missing ones.
fn start(session: &Arc<LoginSession>, id: u64, subject: Subject, Begun { part, peers, old }: Begun) {
    let (begun, part) = (Instant::now(), Arc::new(part));
    // This thread also computes the whole hash: first of the verified pieces, then of those that arrive.
    give_way(NICE);
    let copies = own_copy::find(session, &subject);
    // Verification may take so long that other members have the pieces by then.
    let peers = if copies.is_empty() && old.is_empty() && part.is_fresh() { peers } else { Vec::new() };
    let Some(mut verified) = own_copy::verify_and_fill(session, &subject, &part, &copies) else { return };
    let is_here = !copies.is_empty() || !old.is_empty();
    let difference = old_copy::take_equal(session, &part, old, &mut verified).map(Arc::new);
    if is_here && verified.have.is_complete() {
        return copied(session, id, &subject, (&part, &verified.hash), begun);
    }
    let node = session.node();
    let (group, info_hash) = (subject.group, subject.content.info_hash);
    let (source, have): (Arc<dyn PieceSource>, _) = match &subject.selection {
        None => (part.clone(), verified.have.clone()),
        Some(meant) => (Arc::new(PartSource::new(part.clone(), meant.clone())), meant.outer_bits(&verified.have)),
    };
    let Some(served) = node.catalog.add(group, info_hash, source, have) else {
        if !session.is_over() {
            fail(session, id, &DownloadError::Closing);
        }
        return;
    };
    let (client, seed) = (node.client, u64::from_be_bytes(random()));
    let setup = TransferSetup { id, subject, part, verified, difference, served, client, seed };
    let transfer = Transfer::new(setup, Instant::now());
    let transfer = Arc::new(transfer);
    // The user may have cancelled the download in the meantime.
    let begun = !session.is_over() && session.downloads().advance(id, DownloadPhase::Running(transfer.clone()));
    if !begun {
        unserve(session, &transfer);
        return;
    }
    session.engine().add(transfer.clone());
    // The tracker is asked again below, so an empty list means nothing yet.
    if !peers.is_empty() {
        session.engine().peers(id, peers);
    }
    if let Err(error) = take_part(session, &transfer) {
        session.event(&Event::Warning(format!("{}: {error}", transfer.subject().name)));
    }
    find_difference(&transfer, || session.is_over(), || session.engine().decided(id));
}

/// Ends a download of which everything was here already as a copy. Checks that the copy is right.
fn copied(session: &LoginSession, id: u64, subject: &Subject, (part, hash): (&Part, &WholeHash), begun: Instant) {
    match finish(part, hash, sha1_of(subject), || session.is_over()) {
        Ok(()) => {
            let path = &part.destination();
            forget_replaced(session, id, subject, path);
            give_on_unless_shared(session, id, subject, path);
            complete(session, id, subject, path, Fetched { bytes: 0, took: begun.elapsed() });
            tell_untold(session);
        }
        // The next login resumes the download.
        Err(DownloadError::Closing) => part.release(),
        Err(error) => {
            part.release();
            fail(session, id, &error);
        }
    }
}

/// Whether the user already shares the file of a download from another place, unchanged. The share stays there.
fn is_shared(session: &LoginSession, Tracked { group, name, .. }: &Tracked, subject: &Subject) -> bool {
    let mut shares = session.slot().shares_of(subject.content.info_hash).into_iter();
    shares.any(|own| {
        let stamps = || Stamps::take(&own.path, subject.manifest.files());
        own.group == *group
            && own.name == *name
            && own.content == subject.content
            && stamps().is_ok_and(|now| now.digest() == own.stamps)
    })
}

/// The SHA-1 of a download's content. The SHA-1 of a selection of files is unknown.
fn sha1_of(subject: &Subject) -> Option<&Sha1Digest> {
    subject.selection.is_none().then_some(&subject.content.sha1)
}

/// Handles something that already has the final name. If every piece is right, the download is complete; otherwise the
/// file or folder stays untouched.
fn adopt(session: &LoginSession, id: u64, subject: &Subject, taken: Taken) {
    let path = taken.destination().to_path_buf();
    match is_complete(taken.source(), &subject.manifest, sha1_of(subject), session.over()) {
        None => {}
        Some(false) => {
            // A program that reads the event may resume the download at once.
            drop(taken);
            fail(session, id, &PartError::OtherContent(path).into());
        }
        Some(true) => {
            forget_replaced(session, id, subject, &path);
            give_on_unless_shared(session, id, subject, &path);
            complete(session, id, subject, &path, Fetched::default());
            if let Err(error) = taken.adopt() {
                session.event(&Event::Warning(error.to_string()));
            }
            tell_untold(session);
        }
    }
}

/// Gives the complete file of a download to others and tells the user. The tracker hears of it later: see
/// [`tell_finished`].
pub(super) fn finished(session: &LoginSession, transfer: &Transfer) {
    let (id, subject) = (transfer.id(), transfer.subject());
    let path = &transfer.part().destination();
    forget_replaced(session, id, subject, path);
    give_on(session, id, subject, path);
    let TransferProgress { received, elapsed, .. } = transfer.progress(Instant::now());
    complete(session, id, subject, path, Fetched { bytes: received, took: elapsed });
    // The tracker knows of the pieces of a selection, and they stay announced.
    if subject.selection.is_none() {
        session.withdraw(transfer.share());
    }
}

/// Tells the tracker of complete downloads. Some cannot be shared. The announcement of their pieces ends here, once a
/// tracker is reached again.
pub(super) fn tell_finished(session: &LoginSession) {
    tell_untold(session);
    if !session.untold().are_there() {
        let _ = tell_withdrawn(session);
    }
}

/// Forgets the old version, because the new one has replaced it.
fn forget_replaced(session: &LoginSession, id: u64, subject: &Subject, path: &Path) {
    let Some(Tracked { group, .. }) = session.downloads().get(id) else { return };
    let old = session.slot().share(&group, &subject.name);
    let old = old.filter(|old| old.path == path && old.content.info_hash != subject.content.info_hash);
    forget_all(session, old.as_slice());
}

/// Shares a complete download from now on. The client calls this before it tells of the end. A program that reads of
/// the end may ask others to fetch the file from here.
fn give_on(session: &LoginSession, id: u64, subject: &Subject, path: &Path) {
    match session.downloads().get(id) {
        Some(tracked) if subject.selection.is_some() => parts::hold(session, &tracked, subject, path),
        Some(tracked) => share_downloaded(session, tracked, subject, path),
        None => {}
    }
}

fn give_on_unless_shared(session: &LoginSession, id: u64, subject: &Subject, path: &Path) {
    match session.downloads().get(id) {
        Some(tracked) if subject.selection.is_none() && is_shared(session, &tracked, subject) => {
            forget_record(session, &tracked)
        }
        _ => give_on(session, id, subject, path),
    }
}

fn complete(session: &LoginSession, id: u64, subject: &Subject, path: &Path, fetched: Fetched) {
    let Some(tracked) = session.downloads().get(id) else {
        return;
    };
    let bytes = subject.selection.as_ref().map_or(subject.content.layout.size(), |selection| selection.file_bytes());
    session.downloads().settle(id, path.to_path_buf(), (&subject.content, bytes));
    session.downloads().end(id, DownloadPhase::Complete, || {
        let path = path.to_path_buf();
        let (group, file) = (tracked.group, subject.name.clone());
        session.completed(&Event::DownloadCompleted { group, file, path, bytes, fetched });
    });
    session.follows().wake();
}

/// Ends a download that has not delivered its file.
pub(super) fn fail(session: &LoginSession, id: u64, error: &DownloadError) {
    let Some(tracked) = session.downloads().get(id) else { return };
    let failure = failure_of(error);
    // The user can send an update elsewhere, so its record with the received pieces stays.
    let goes_elsewhere = matches!(error, DownloadError::Write(PartError::Edited(_) | PartError::NoExchange(_)));
    session.downloads().end(id, DownloadPhase::Failed(failure.clone()), || {
        if !goes_elsewhere {
            forget_record(session, &tracked);
        }
        if let DownloadPhase::Running(transfer) = &tracked.phase {
            let_go(session, transfer);
            // A program that reads the event may resume the download at once.
            transfer.part().release();
        }
        let Tracked { group, name: file, phase, .. } = tracked;
        let reached = match phase {
            DownloadPhase::Running(transfer) => {
                let TransferProgress { received, total, elapsed, .. } = transfer.progress(Instant::now());
                Some(Reached { received_bytes: received, total_bytes: total, took: elapsed })
            }
            _ => None,
        };
        session.event(&Event::DownloadFailed { group, file, failure, reached });
    });
    session.follows().wake();
}

/// Handles the engine's report that a download failed. A file that meanwhile has the final name may be a complete copy.
pub(super) fn engine_failed(session: &Arc<LoginSession>, transfer: &Arc<Transfer>, error: &DownloadError) {
    let id = transfer.id();
    if !matches!(error, DownloadError::Write(PartError::Exists(_))) {
        return fail(session, id, error);
    }
    let transfer = transfer.clone();
    session.help(format!("look-{id}"), move |session| match look_in_the_way(session, &transfer) {
        Ok(()) => {}
        Err(_) if session.is_over() => {}
        Err(error) => fail(session, id, &error.into()),
    });
}

/// Accepts the file with a download's final name as complete, if its content is right. All pieces of the download are
/// here.
fn look_in_the_way(session: &LoginSession, transfer: &Transfer) -> Result<(), PartError> {
    let (part, subject) = (transfer.part(), transfer.subject());
    let source = part.in_the_way()?;
    let path = part.destination();
    if is_complete(&source, &subject.manifest, sha1_of(subject), session.over()) != Some(true) {
        return Err(PartError::OtherContent(path));
    }
    give_on(session, transfer.id(), subject, &path);
    let left = part.abandon();
    let TransferProgress { received, elapsed, .. } = transfer.progress(Instant::now());
    complete(session, transfer.id(), subject, &path, Fetched { bytes: received, took: elapsed });
    tell_untold(session);
    left.map(drop)
}

/// Ends the downloads of a group after the user's membership has ended.
pub(super) fn stop_group(session: &LoginSession, group: &GroupId) {
    parts::stop_group(session, group);
    for tracked in session.downloads().list() {
        if tracked.group == *group && !tracked.phase.has_ended() {
            if let DownloadPhase::Running(transfer) = &tracked.phase {
                session.engine().remove(transfer);
            }
            fail(session, tracked.id, &DownloadError::NotMember);
        }
    }
}

/// Remembers the new destination of a running download: a folder of its path may have a new name.
pub(super) fn follow(session: &LoginSession, transfer: &Transfer) {
    let (id, content, now) = (transfer.id(), transfer.subject().content, transfer.part().destination());
    let Some(tracked) = session.downloads().get(id).filter(|tracked| tracked.destination != now) else { return };
    session.downloads().settle(id, now.clone(), (&content, transfer.part().manifest().layout().size()));
    let record = session.slot().download(&tracked.group, &tracked.name);
    let whole = session.slot().manifest(&content.info_hash).ok().flatten();
    if let (Some(record), Some(whole)) = (record, whole) {
        let moved = DownloadRecord { destination: now.clone(), ..record };
        session.remembered(session.slot().put_download(moved, &whole), ToString::to_string);
    }
}

fn is_starting() -> Failure {
    "The download is being prepared; try again in a moment".into()
}

/// Returns the latest download of this file.
pub(super) fn tracked(session: &LoginSession, group: &GroupId, name: &FileName) -> Result<Tracked, Failure> {
    let tracked = session.downloads().find(group, name);
    tracked.ok_or_else(|| format!("No download of {name} from {group}; see show_downloads").into())
}

fn forget_record(session: &LoginSession, tracked: &Tracked) {
    session.remembered(session.slot().remove_download(&tracked.group, &tracked.name), ToString::to_string);
}

/// Stops serving the pieces of a download that no longer runs, and tells the tracker.
fn let_go(session: &LoginSession, transfer: &Transfer) {
    unserve(session, transfer);
    withdraw(session, transfer.share());
}

fn unserve(session: &LoginSession, transfer: &Transfer) {
    let Subject { group, content, .. } = transfer.subject();
    let catalog = &session.node().catalog;
    if catalog.find(*group, content.info_hash).is_some_and(|served| Arc::ptr_eq(&served, transfer.served())) {
        catalog.remove(*group, content.info_hash);
        session.upkeep().give_again((*group, content.info_hash), Instant::now());
    }
}
