//! The commands of downloads: beginning one, holding it, giving it up, and going on after a restart.

use super::download_list::{Phase, Tracked};
use super::login_session::Account;
use super::node::{Node, random};
use super::share;
use crate::client::command::failure::{Cause, Failure};
use crate::client::download::transfer::{Ground, Subject, Transfer, TransferProgress};
use crate::client::download::verify::verify_existing;
use crate::client::output::event::Event;
use crate::client::output::report::Report;
use crate::client::output::status::{Delivered, DownloadState, DownloadStatus, Reached};
use crate::client::rpc::error::RpcError;
use crate::client::rpc::queries::{Found, find, find_again};
use crate::client::state::record::DownloadRecord;
use crate::client::storage::part::{Finished, Opened, Part, PartLabel, resolve_destination};
use crate::client::storage::piece_source::PieceSource;
use crate::model::digest::InfoHash;
use crate::model::manifest::Manifest;
use crate::model::name::{FileName, GroupId};
use crate::wire::client_tracker::{HOLD_MORE_MAX, Holding, Reply, Request};
use crate::wire::codec::{Blob, List};
use crate::wire::error::Code;
use crate::wire::manifest;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Fetches the manifest of a share and checks it against its info hash.
fn fetch_manifest(node: &Node, found: &Found) -> Result<Arc<Manifest>, Failure> {
    let mut bytes = Vec::new();
    loop {
        let offset = u32::try_from(bytes.len()).map_err(|_| "the list of pieces is too long")?;
        let reply = node.link.call(&Request::GetManifest { share: found.share, offset });
        let Reply::ManifestPart { total, part } = reply? else {
            return Err(RpcError::Unexpected.into());
        };
        bytes.extend_from_slice(part.as_bytes());
        if bytes.len() >= total as usize {
            break;
        }
        if part.as_bytes().is_empty() || total as usize > manifest::MANIFEST_LEN_MAX {
            return Err("the tracker does not have the whole list of pieces".into());
        }
    }
    let manifest = manifest::decode(&bytes, found.content.info_hash)
        .map_err(|error| format!("the list of pieces from the tracker is wrong: {error}"))?;
    if manifest.layout() != found.content.layout {
        return Err("the list of pieces from the tracker does not match the size of the file".into());
    }
    Ok(Arc::new(manifest))
}

/// Begins a download to where the user asked for and returns; the rest happens beside the prompt. One that is under way
/// there already is what is asked for, as where a script is run again.
pub(crate) fn begin(
    node: &Arc<Node>,
    account: &Arc<Account>,
    group: &GroupId,
    name: &FileName,
    typed: &Path,
) -> Result<Report, Failure> {
    let to = resolve_destination(typed, name).map_err(|error| error.to_string())?;
    let same = account.downloads.find(group, name).filter(|it| it.destination == to && it.phase.is_busy());
    if same.is_some() {
        return Ok(Report::Downloading { group: group.clone(), file: name.clone(), destination: to });
    }
    let id = account.downloads.begin(group, name, to.clone())?;
    go_on(node, account, id, group, name, to).inspect_err(|_| account.downloads.remove(id))
}

/// Goes on with a download of which there is a record, and which is starting, under the group and name that its share
/// goes by now. If it cannot go on it is still starting.
pub(crate) fn take_up(
    node: &Arc<Node>,
    account: &Arc<Account>,
    id: u64,
    record: &DownloadRecord,
) -> Result<Report, Failure> {
    let DownloadRecord { group, name, destination, share, .. } = record;
    let went_on = go_on(node, account, id, group, name, destination.clone());
    let may_be_moved = went_on.as_ref().is_err_and(|failure| match failure.cause {
        Cause::Refused(code) => code.is_gone(),
        Cause::OtherVersion => true,
        Cause::NoTracker | Cause::Other => false,
    });
    if !may_be_moved {
        return went_on;
    }
    let Some((to_group, to_name)) = find_again(&node.link, &node.keyring, *share, name)? else {
        return went_on;
    };
    account.downloads.rename(id, &to_group, &to_name);
    let went_on = go_on(node, account, id, &to_group, &to_name, destination.clone());
    let went_on = went_on.inspect_err(|_| account.downloads.rename(id, group, name))?;
    // Now that it is remembered under the other one.
    node.remembered(account.slot.remove_download(group, name), |error| error.to_string());
    Ok(went_on)
}

/// Goes on with a download that is starting. If it cannot go on it is still starting.
pub(crate) fn go_on(
    node: &Arc<Node>,
    account: &Arc<Account>,
    id: u64,
    group: &GroupId,
    name: &FileName,
    to: PathBuf,
) -> Result<Report, Failure> {
    let (subject, part) = match prepare(node, account, id, group, name, &to)? {
        (subject, Opened::Part(part)) => (subject, Arc::new(part)),
        (subject, Opened::Finished(finished)) => {
            finish_late(node, account, id, &subject, &finished);
            return Ok(Report::Downloading { group: group.clone(), file: name.clone(), destination: to });
        }
    };
    let destination = part.destination().to_path_buf();
    let report = Report::Downloading { group: group.clone(), file: name.clone(), destination: destination.clone() };
    let record = DownloadRecord {
        group: group.clone(),
        name: name.clone(),
        destination,
        content: subject.content,
        share: subject.share,
        paused: false,
    };
    node.remembered(account.slot.put_download(record, &subject.manifest), |error| {
        format!("The download of {name} will not go on by itself after a restart: {error}")
    });
    let node = node.clone();
    account.help(format!("begin-{id}"), move |account| start(&node, account, id, subject, part));
    Ok(report)
}

/// Does what the user should hear of at once: whether there is such a file, and room for it.
fn prepare(
    node: &Node,
    account: &Account,
    id: u64,
    group: &GroupId,
    name: &FileName,
    to: &Path,
) -> Result<(Subject, Opened), Failure> {
    let found = find(&node.link, group, name)?;
    let known = account.downloads.get(id).and_then(|tracked| tracked.info_hash);
    if known.is_some_and(|known| known != found.content.info_hash) {
        let why = format!("{name} is shared in another version now; cancel this download and begin anew");
        return Err(Failure { why, cause: Cause::OtherVersion });
    }
    let own = account.slot.shares().into_iter().find(|share| share.group == *group && share.content == found.content);
    if let Some(own) = own {
        return Err(format!("You share this file yourself; it is {}", own.path.display()).into());
    }
    if !found.content.is_sized() {
        let what =
            "was shared by a program that did not tell its size; it can be downloaded once a client shares it too";
        return Err(format!("{name} {what}").into());
    }
    let manifest = fetch_manifest(node, &found)?;
    let opened = Part::open(to, manifest.clone(), &label(found.content.info_hash, group, name));
    let opened = opened.map_err(|error| error.to_string())?;
    account.downloads.settle(id, to.to_path_buf(), &found.content);
    let subject =
        Subject { group: found.group, share: found.share, name: name.clone(), content: found.content, manifest };
    Ok((subject, opened))
}

fn label(info_hash: InfoHash, group: &GroupId, name: &FileName) -> PartLabel {
    PartLabel { info_hash, group: group.clone(), name: name.clone() }
}

/// A download of an earlier run that had its name already when that run ended.
fn finish_late(node: &Node, account: &Arc<Account>, id: u64, subject: &Subject, finished: &Finished) {
    let path = finished.destination();
    share(node, account, id, subject, path);
    let Some(tracked) = account.downloads.get(id) else {
        return;
    };
    forget_record(node, account, &tracked);
    account.downloads.end(id, Phase::Complete, || {
        node.reporter.event(&completed(&tracked, subject, path, Duration::ZERO));
    });
}

/// Shares what was downloaded from now on.
pub(crate) fn share(node: &Node, account: &Arc<Account>, id: u64, subject: &Subject, path: &Path) {
    if let Some(tracked) = account.downloads.get(id) {
        share::share_downloaded(node, account, tracked.group, subject, path);
    }
}

/// Verifies what is on disk already, then lets the engine go on.
fn start(node: &Arc<Node>, account: &Arc<Account>, id: u64, subject: Subject, part: Arc<Part>) {
    let verified = verify_existing(&part, &account.over, &mut |_, _| {}).ok_or_else(|| "interrupted".to_owned());
    let outcome = verified.and_then(|verified| {
        let (group, info_hash, layout) = (subject.group, subject.content.info_hash, part.layout());
        let served = node.serving.add(group, info_hash, layout, part.clone(), verified.have.clone());
        let served = served.ok_or("the client is closing")?;
        let seed = u64::from_be_bytes(random());
        Ok(Arc::new(Transfer::new(id, subject, Ground { part, verified, served }, node.client, seed, Instant::now())))
    });
    let download = match outcome {
        Ok(download) => download,
        Err(_) if account.is_over() => return,
        Err(why) => {
            fail(node, account, id, &why);
            return;
        }
    };
    // A cancellation in the meantime stands.
    if account.is_over() || !account.downloads.advance(id, Phase::Running(download.clone())) {
        unserve(node, &download);
        return;
    }
    account.engine.add(download.clone());
    let told = hold(node, &download).and_then(|()| find_peers(node, account, &download));
    if let Err(error) = told {
        node.reporter.event(&Event::Warning(format!("{}: {error}", download.subject().name)));
    }
    download.follow_up(|| account.is_over());
}

/// A download has ended without the file.
pub(crate) fn fail(node: &Node, account: &Account, id: u64, why: &str) {
    let Some(tracked) = account.downloads.list().into_iter().find(|tracked| tracked.id == id) else { return };
    account.downloads.end(id, Phase::Failed { why: why.to_owned() }, || {
        forget_record(node, account, &tracked);
        let Tracked { group, name: file, phase, .. } = tracked;
        let reached = match phase {
            Phase::Running(download) => {
                let TransferProgress { received, total, elapsed, .. } = download.progress(Instant::now());
                Some(Reached { received_bytes: received, total_bytes: total, took: elapsed })
            }
            _ => None,
        };
        node.reporter.event(&Event::DownloadFailed { group, file, why: why.to_owned(), reached });
    });
}

fn forget_record(node: &Node, account: &Account, tracked: &Tracked) {
    node.remembered(account.slot.remove_download(&tracked.group, &tracked.name), |error| error.to_string());
}

/// Tells the tracker which pieces a download holds, none of them included: others learn that it is there.
pub(crate) fn hold(node: &Node, download: &Transfer) -> Result<(), RpcError> {
    // What comes in after this is told later.
    download.take_fresh();
    let bits = Blob::new(download.have().as_bytes().to_vec()).expect("the longest bitfield is within the cap");
    let holding = Holding::Exactly { bits };
    node.link.call(&Request::Hold { share: download.share(), holding }).map(drop)
}

/// Tells the tracker which pieces came in since it was told last.
pub(crate) fn hold_more(node: &Node, download: &Transfer) -> Result<(), RpcError> {
    let fresh = download.take_fresh();
    if fresh.is_empty() {
        return Ok(());
    }
    if fresh.len() > HOLD_MORE_MAX {
        return hold(node, download);
    }
    let holding = Holding::More { pieces: List::first_of(fresh) };
    node.link.call(&Request::Hold { share: download.share(), holding }).map(drop)
}

/// Asks the tracker who else has pieces.
pub(crate) fn find_peers(node: &Node, account: &Account, download: &Transfer) -> Result<(), RpcError> {
    let Reply::Peers { peers } = node.link.call(&Request::FindPeers { share: download.share() })? else {
        return Err(RpcError::Unexpected);
    };
    account.engine.peers(download.id(), peers.into_vec());
    Ok(())
}

/// Looks what has become of the share of a download that nobody delivers; tells the user once when it is no more.
pub(crate) fn look_after_stranded(node: &Node, account: &Account, download: &Transfer) {
    let Subject { name, content, .. } = download.subject();
    let Some(Tracked { group, .. }) = &account.downloads.get(download.id()) else {
        return;
    };
    if download.progress(Instant::now()).peers > 0 {
        return;
    }
    let why = match find(&node.link, group, name) {
        Ok(found) if found.content.info_hash == content.info_hash => {
            download.strand(None);
            if found.share != download.share() {
                // It was withdrawn, and is shared again.
                download.move_to(found.share);
                let _ = hold(node, download).and_then(|()| find_peers(node, account, download));
            }
            return;
        }
        Ok(_) => "it is shared in another version now",
        Err(RpcError::Refused(refusal)) if refusal.code == Code::NoSuchFile => "it is not shared any more",
        Err(_) => return,
    };
    if download.strand(Some(why)) {
        let why = why.to_owned();
        node.reporter.event(&Event::DownloadStranded { group: group.clone(), file: name.clone(), why });
    }
}

/// Serves the pieces of a download no longer.
pub(crate) fn unserve(node: &Node, download: &Transfer) {
    let subject = download.subject();
    node.serving.remove(subject.group, subject.content.info_hash);
}

/// Stops the downloads of a group.
pub(crate) fn stop_group(node: &Node, account: &Account, group: &GroupId, why: &str) {
    for tracked in account.downloads.list() {
        if tracked.group == *group && !tracked.phase.has_ended() {
            if let Phase::Running(download) = &tracked.phase {
                account.engine.remove(download);
            }
            fail(node, account, tracked.id, why);
        }
    }
}

/// Says that there is no such download.
pub(crate) fn no_download(group: &GroupId, name: &FileName) -> Failure {
    format!("No download of {name} from {group}; see show_downloads").into()
}

fn tracked(account: &Account, group: &GroupId, name: &FileName) -> Result<Tracked, Failure> {
    let tracked = account.downloads.find(group, name);
    tracked.ok_or_else(|| no_download(group, name))
}

/// Holds a download until `resume_download`.
pub(crate) fn pause(node: &Node, account: &Account, group: &GroupId, name: &FileName) -> Result<(), Failure> {
    let tracked = tracked(account, group, name)?;
    match &tracked.phase {
        Phase::Running(download) => {
            account.engine.remove(download);
            if download.is_finished() {
                return Err("The download has just ended".into());
            }
            let done = download.progress(Instant::now()).done;
            unserve(node, download);
            let share = download.share();
            // A tracker that cannot be reached forgets by itself.
            let _ = node.link.call(&Request::Hold { share, holding: Holding::Nothing {} });
            if !account.downloads.advance(tracked.id, Phase::Paused { done: Some(done) }) {
                return Err("The download has just ended".into());
            }
            account.slot.set_paused(group, name, true).map(drop).map_err(|error| error.to_string().into())
        }
        Phase::Waiting { .. } if account.downloads.restart(tracked.id).is_some() => {
            account.downloads.put_back(tracked.id, Phase::Paused { done: None });
            account.slot.set_paused(group, name, true).map(drop).map_err(|error| error.to_string().into())
        }
        Phase::Starting | Phase::Waiting { .. } => Err("The download is being prepared; try again in a moment".into()),
        Phase::Paused { .. } => Err("The download is paused already".into()),
        Phase::Complete | Phase::Failed { .. } => Err("The download has ended".into()),
    }
}

/// Goes on with a download that is held, waits or has failed.
pub(crate) fn resume(
    node: &Arc<Node>,
    account: &Arc<Account>,
    group: &GroupId,
    name: &FileName,
) -> Result<Report, Failure> {
    let tracked = tracked(account, group, name)?;
    match &tracked.phase {
        Phase::Complete => Err("The download is complete".into()),
        _ => match account.downloads.restart(tracked.id) {
            Some(before) => {
                let record = account.slot.downloads().into_iter().find(|it| it.group == *group && it.name == *name);
                let went_on = match record {
                    Some(record) => take_up(node, account, tracked.id, &record),
                    None => go_on(node, account, tracked.id, group, name, tracked.destination),
                };
                went_on.inspect_err(|_| account.downloads.put_back(tracked.id, before))
            }
            None => Err("The download runs already".into()),
        },
    }
}

/// Gives a download up and removes what came in so far.
pub(crate) fn cancel(node: &Node, account: &Account, group: &GroupId, name: &FileName) -> Result<(), Failure> {
    let tracked = tracked(account, group, name)?;
    if matches!(tracked.phase, Phase::Complete) {
        return Err("The download is complete; remove the file yourself if you do not want it".into());
    }
    if let Phase::Running(download) = &tracked.phase {
        account.engine.remove(download);
        if download.is_finished() {
            return Err("The download is complete; remove the file yourself if you do not want it".into());
        }
        unserve(node, download);
        let share = download.share();
        let _ = node.link.call(&Request::Hold { share, holding: Holding::Nothing {} });
    } else if account.downloads.restart(tracked.id).is_none() {
        // Nobody else goes on with it from here on.
        return Err("The download is being prepared; try again in a moment".into());
    }
    forget_record(node, account, &tracked);
    account.downloads.remove(tracked.id);
    match &tracked.phase {
        Phase::Running(download) => download.part().abandon(),
        _ => match tracked.info_hash {
            Some(info_hash) => Part::discard(&tracked.destination, &info_hash),
            None => Ok(()),
        },
    }
    .map_err(|error| error.to_string().into())
}

/// The file of a download is there: remembers and tells it.
pub(crate) fn finished(node: &Node, account: &Account, download: &Transfer, path: &Path) {
    let progress = download.progress(Instant::now());
    let subject = download.subject();
    let Some(tracked) = account.downloads.get(download.id()) else {
        return;
    };
    account.downloads.settle(tracked.id, path.to_path_buf(), &subject.content);
    forget_record(node, account, &tracked);
    account.downloads.end(tracked.id, Phase::Complete, || {
        node.reporter.event(&completed(&tracked, subject, path, progress.elapsed));
    });
}

fn completed(tracked: &Tracked, subject: &Subject, path: &Path, took: Duration) -> Event {
    Event::DownloadCompleted {
        group: tracked.group.clone(),
        file: subject.name.clone(),
        path: path.to_path_buf(),
        bytes: subject.content.layout.size(),
        took,
    }
}

/// How all downloads stand.
pub(crate) fn statuses(account: &Account, now: Instant) -> Vec<DownloadStatus> {
    account.downloads.list().iter().map(|tracked| status(tracked, now)).collect()
}

/// How a download stands.
pub(crate) fn status(tracked: &Tracked, now: Instant) -> DownloadStatus {
    let size = tracked.size.unwrap_or(0);
    let mut status = DownloadStatus {
        group: tracked.group.clone(),
        file: tracked.name.clone(),
        state: DownloadState::Running,
        done_bytes: None,
        total_bytes: size,
        speed: 0,
        peers: 0,
        left: None,
        members: Delivered::most_first(tracked.members.clone()),
    };
    match &tracked.phase {
        Phase::Starting => status.state = DownloadState::Checking,
        Phase::Running(download) => {
            let progress = download.progress(now);
            status.done_bytes = Some(progress.done);
            // A speed is not negative and far below 2^64.
            status.speed = progress.bytes_per_s as u64;
            status.peers = progress.peers;
            status.members = Delivered::most_first(download.delivered());
            let left = progress.total - progress.done;
            status.left = (progress.bytes_per_s >= 1.0)
                .then(|| Duration::from_secs_f64((left as f64 / progress.bytes_per_s).min(1e9)));
        }
        Phase::Waiting { .. } => status.state = DownloadState::Waiting,
        Phase::Paused { done } => {
            status.state = DownloadState::Paused;
            status.done_bytes = *done;
        }
        Phase::Complete => {
            status.state = DownloadState::Completed;
            status.done_bytes = Some(size);
        }
        Phase::Failed { why } => status.state = DownloadState::Failed(why.clone()),
    }
    status
}
