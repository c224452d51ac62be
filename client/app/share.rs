//! Shares a file or folder: from the request to the tracker until the share is stopped.

use super::download_list::{DownloadPhase, Tracked};
use super::login_session::{LoginSession, Untold};
use super::node::command_id;
use super::upkeep::register::Checked;
use super::upkeep::standing::ShareKey;
use crate::client::command::failure::Failure;
use crate::client::download::transfer::Subject;
use crate::client::output::event::Event;
use crate::client::output::report::Report;
use crate::client::rpc::error::RpcError;
use crate::client::rpc::queries::is_superseded;
use crate::client::state::record::ShareRecord;
use crate::client::storage::file_stamp::Stamps;
use crate::client::storage::import::{Import, hash_for_sharing, under_other_name};
use crate::client::storage::share_tree::{SharePlace, share_name};
use crate::client::storage::shared_files::SharedFiles;
use crate::model::bitfield::Bitfield;
use crate::model::digest::InfoHash;
use crate::model::id::ShareRef;
use crate::model::manifest::{Content, Manifest};
use crate::model::name::{FileName, GroupId};
use crate::wire::client_tracker::{Holding, MANIFEST_PART_MAX, Reply, Request};
use crate::wire::codec::Blob;
use crate::wire::manifest;
use crate::wire::refusal::{Code, Refusal};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

/// A manifest up to this many bytes goes along with the request for its share. That is the manifest of a file of 100
/// MB.
const SHORT_MANIFEST_LEN: usize = 4 * 1024;
/// How often the client resends a part that got no turn at the tracker, and the pause before each time.
const TURNS_ASKED: u32 = 8;
const TURN_PAUSE: Duration = Duration::from_secs(1);
/// The maximum number of parts of a manifest in flight at a time.
const PARTS_AT_ONCE: usize = 16;

/// A share on this machine: its path and its content.
pub(super) struct LocalShare<'a> {
    pub group: &'a GroupId,
    pub name: &'a FileName,
    pub path: &'a Path,
    pub content: Content,
    pub manifest: &'a Manifest,
    pub stamps: Stamps,
}

/// The file or folder to share.
pub(super) enum ToShare<'a> {
    /// A path that the user has typed, under its own name.
    Named(&'a Path),
    /// A place that the user was asked about, under this name.
    Asked(&'a SharePlace, &'a FileName),
    /// A file of a shared folder.
    InFolder(InFolder<'a>),
}

/// A file of a shared folder that is to be shared.
pub(super) struct InFolder<'a> {
    pub place: &'a SharePlace,
    pub name: &'a FileName,
    /// The share that may already be of this file. If it is, nothing is read.
    pub known: Option<&'a ShareRecord>,
    /// Whether the folder is still shared.
    pub is_wanted: &'a dyn Fn() -> bool,
}

/// Shares a file or folder. `progress` gets the numbers of hashed bytes and of all bytes.
pub(super) fn upload(
    session: &LoginSession,
    (what, group): (ToShare<'_>, &GroupId),
    cancel: &AtomicBool,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Report, Failure> {
    // The group's refusal should come before a long file is read.
    check_member(session, group)?;
    let is_wanted = match &what {
        ToShare::InFolder(file) => file.is_wanted,
        ToShare::Named(_) | ToShare::Asked(..) => &|| true,
    };
    let hashed = match what {
        ToShare::Named(path) => share_name(path).and_then(|name| {
            let place = SharePlace::find(path)?;
            Ok((hash_for_sharing(&place, &name, cancel, progress)?, name))
        }),
        ToShare::Asked(place, name) => {
            hash_for_sharing(place, name, cancel, progress).map(|hashed| (hashed, name.clone()))
        }
        ToShare::InFolder(InFolder { place, name, known, .. }) => {
            let known = known.and_then(|record| moved(session, (place, name), record));
            let hashed = known.map_or_else(|| hash_for_sharing(place, name, cancel, progress), Ok);
            hashed.map(|hashed| (hashed, name.clone()))
        }
    };
    let (hashed, name) = hashed.map_err(|error| error.to_string())?;
    if !hashed.left_out.is_empty() {
        session.event(&Event::Warning(hashed.left_out.to_string()));
    }
    let content = share_hashed(session, (group, &name), hashed, is_wanted)?;
    Ok(Report::Uploaded { group: group.clone(), file: name, content })
}

/// Returns what is known of an earlier share with another name or place, if this is the same file.
fn moved(session: &LoginSession, (place, name): (&SharePlace, &FileName), record: &ShareRecord) -> Option<Import> {
    let known = session.slot().manifest(&record.content.info_hash).ok().flatten()?;
    let moved = under_other_name(place, name, (&known, record.content.sha1)).ok()?;
    (moved.stamps.digest() == record.stamps && moved.manifest.layout() == known.layout()).then_some(moved)
}

/// Whether the user may share in a group. The keyring knows the user's groups. Only the tracker says why a group is
/// missing there.
pub(super) fn check_member(session: &LoginSession, group: &GroupId) -> Result<(), RpcError> {
    if session.node().keyring.group_named(group).is_some() {
        return Ok(());
    }
    match session.call(&Request::ListFiles { group: group.clone(), after: None })? {
        Reply::Files { .. } => Ok(()),
        _ => Err(RpcError::Unexpected),
    }
}

/// Gives a share to others that the tracker has accepted.
type Serve<'a> = dyn Fn(ShareRef) -> Result<(), RpcError> + 'a;

/// Shares newly hashed content, if the user still wants that.
fn share_hashed(
    session: &LoginSession,
    (group, name): (&GroupId, &FileName),
    hashed: Import,
    is_wanted: &dyn Fn() -> bool,
) -> Result<Content, RpcError> {
    let (bytes, info_hash) = manifest::encode(&hashed.manifest)
        .ok_or_else(|| Refusal::about(Code::BadManifest, "the names of the files in it are too long in all"))?;
    let content = Content {
        layout: hashed.manifest.layout(),
        sha1: hashed.sha1,
        info_hash,
        // At most 2^20 files.
        file_count: hashed.manifest.files().len() as u32,
    };
    let (path, manifest, stamps) = (&*hashed.root, &hashed.manifest, hashed.stamps);
    let then =
        |share| serve(session, share, LocalShare { group, name, path, content, manifest, stamps: stamps.clone() });
    publish(session, (group, name, content), &bytes, (is_wanted, &then))?;
    Ok(content)
}

/// Has the tracker accept a share, if it is wanted, and then gives the share to others through `then`. No other
/// decision comes between these steps. If the tracker lacks the manifest, the client sends it; that may take long and
/// blocks no other decision.
fn publish(
    session: &LoginSession,
    (group, name, content): (&GroupId, &FileName, Content),
    manifest: &[u8],
    (is_wanted, then): (&dyn Fn() -> bool, &Serve<'_>),
) -> Result<(), RpcError> {
    let request = Request::ShareFile { command: command_id(), group: group.clone(), name: name.clone(), content };
    let refused = |error: &RpcError, with| matches!(error, RpcError::Refused(refusal) if refusal.code == with);
    let info_hash = content.info_hash;
    // A short manifest goes along unasked. The tracker would ask for it unless the group has it already.
    let along = (manifest.len() <= SHORT_MANIFEST_LEN).then(|| manifest_part(group, info_hash, manifest, 0));
    let requests: Vec<_> = along.into_iter().chain([request]).collect();
    for last in [false, false, true] {
        let shared = session.decide(|| {
            if !is_wanted() {
                return Err(RpcError::Cancelled);
            }
            match session.node().link.call_all(&requests)?.pop() {
                Some(Ok(Reply::Share { share, .. })) => then(share).map(|()| true),
                Some(Err(refusal)) if !last && refusal.code == Code::NeedManifest => Ok(false),
                Some(Err(refusal)) => Err(refusal.into()),
                Some(Ok(_)) | None => Err(RpcError::Unexpected),
            }
        })?;
        if shared {
            return Ok(());
        }
        match put_manifest(session, group, info_hash, manifest) {
            // If the client loses the tracker in between, the next one has no part of the manifest. The client sends it
            // again.
            Err(error) if !refused(&error, Code::BadManifest) => return Err(error),
            _ => {}
        }
    }
    Err(RpcError::Unexpected)
}

fn put_manifest(session: &LoginSession, group: &GroupId, info_hash: InfoHash, bytes: &[u8]) -> Result<(), RpcError> {
    let offsets: Vec<usize> = (0..bytes.len()).step_by(MANIFEST_PART_MAX).collect();
    let bring = |offsets: &[usize]| {
        let parts: Vec<_> = offsets.iter().map(|&offset| manifest_part(group, info_hash, bytes, offset)).collect();
        session.node().link.call_all(&parts)
    };
    bring_parts(&offsets, bring, || !session.ends_within(TURN_PAUSE))
}

/// Sends parts in order, several at a time. Sends a part that got no turn again after `pause`. Gives up if `pause`
/// returns false.
fn bring_parts<P>(
    parts: &[P],
    mut bring: impl FnMut(&[P]) -> Result<Vec<Result<Reply, Refusal>>, RpcError>,
    pause: impl Fn() -> bool,
) -> Result<(), RpcError> {
    let (mut taken, mut slowed) = (0, 0);
    while taken < parts.len() {
        let lot = &parts[taken..parts.len().min(taken + PARTS_AT_ONCE)];
        for answer in bring(lot)? {
            let Err(refusal) = answer else {
                (taken, slowed) = (taken + 1, 0);
                continue;
            };
            // The tracker keeps the parts before this one and counts none twice. A refusal about a limit is different.
            let had_no_turn = refusal.code == Code::SlowDown && refusal.about.is_empty();
            slowed += 1;
            if !had_no_turn || slowed > TURNS_ASKED || !pause() {
                return Err(refusal.into());
            }
            break;
        }
    }
    Ok(())
}

/// The request with the part of a manifest at an offset.
fn manifest_part(group: &GroupId, info_hash: InfoHash, bytes: &[u8], offset: usize) -> Request {
    let end = bytes.len().min(offset + MANIFEST_PART_MAX);
    let part = Blob::new(bytes[offset..end].to_vec()).expect("cut at the cap");
    // At most MANIFEST_LEN_MAX, far below 2^32.
    let (total, offset) = (bytes.len() as u32, offset as u32);
    Request::PutManifest { group: group.clone(), info_hash, total, offset, part }
}

/// Gives a file to others from now on, keeps a record of that, and tells the tracker.
pub(super) fn serve(session: &LoginSession, share: ShareRef, shared: LocalShare<'_>) -> Result<(), RpcError> {
    let key = offer(session, share, shared)?;
    hold_now(session, share, key)
}

/// Tells the tracker which pieces of a share this client gives right now.
pub(super) fn hold_now(session: &LoginSession, share: ShareRef, (group, info_hash): ShareKey) -> Result<(), RpcError> {
    session.tell_holding(|| {
        let served = session.node().catalog.find(group, info_hash);
        session.hold(share, served.map_or(Holding::Nothing {}, |served| holding(&served.have())))
    })
}

/// Gives a file to others from now on, and keeps a record of that. The caller still has to tell the tracker.
pub(super) fn offer(session: &LoginSession, share: ShareRef, shared: LocalShare<'_>) -> Result<ShareKey, Refusal> {
    let LocalShare { group, name, path, content, manifest, stamps } = shared;
    let node = session.node();
    let group_ref = node.keyring.group_named(group).ok_or_else(|| Refusal::about(Code::NotMember, group))?;
    let digest = stamps.digest();
    let source = Arc::new(SharedFiles::new(path.to_path_buf(), manifest.files(), content.layout, stamps));
    let (key, all) = ((group_ref, content.info_hash), Bitfield::all(content.layout));
    node.catalog.offer(group_ref, content.info_hash, source.clone(), all.clone());
    // The client no longer serves the former share of this name.
    let before = session.slot().share(group, name);
    if let Some(old) = before.filter(|old| old.content.info_hash != content.info_hash) {
        unserve(session, &old);
    }
    let record = ShareRecord {
        share: Some(share),
        group: group.clone(),
        name: name.clone(),
        path: path.to_path_buf(),
        content,
        stamps: digest,
    };
    session.remembered(session.slot().put_share(record, manifest), |error| {
        format!("{name} will not be shared again by itself after a restart: {error}")
    });
    if session.upkeep().served(key, share, Checked { source, have: all }).is_some() {
        session.event(&Event::ShareBack { group: group.clone(), file: name.clone() });
    }
    Ok(key)
}

/// The description of these pieces for the tracker.
pub(super) fn holding(have: &Bitfield) -> Holding {
    if have.is_complete() {
        return Holding::All {};
    }
    Holding::Exactly { bits: Blob::new(have.as_bytes().to_vec()).expect("the longest bitfield is within the cap") }
}

/// Stops a share on all clients of the user.
pub(super) fn stop(session: &LoginSession, group: &GroupId, name: &FileName) -> Result<(), RpcError> {
    match stop_all(session, group, std::slice::from_ref(name))?.pop() {
        Some(Err(refusal)) => Err(refusal.into()),
        _ => Ok(()),
    }
}

/// Stops all of these shares on all clients of the user. Returns the answer for each.
pub(super) fn stop_all(
    session: &LoginSession,
    group: &GroupId,
    names: &[FileName],
) -> Result<Vec<Result<Reply, Refusal>>, RpcError> {
    let request =
        |name: &FileName| Request::StopShare { command: command_id(), group: group.clone(), name: name.clone() };
    session.decide(|| {
        let link = &session.node().link;
        let mut answers = link.call_all(&names.iter().map(request).collect::<Vec<_>>())?;
        let mut stopped = Vec::new();
        for (name, answer) in names.iter().zip(&mut answers) {
            let own = session.slot().share(group, name);
            if answer.is_err() {
                // The tracker knows no sharers of an old version any more.
                match own.as_ref().and_then(|own| own.share) {
                    Some(old) if is_superseded(link, old)? => *answer = Ok(Reply::Done {}),
                    _ => continue,
                }
            }
            stopped.extend(own);
        }
        forget_all(session, &stopped);
        Ok(answers)
    })
}

/// Stops serving some shares, and removes their records.
pub fn forget(session: &LoginSession, which: impl Fn(&ShareRecord) -> bool) {
    let mut shares = session.slot().shares();
    shares.retain(which);
    forget_all(session, &shares);
}

/// Stops serving these shares, and removes their records.
pub(super) fn forget_all(session: &LoginSession, shares: &[ShareRecord]) {
    session.remembered(session.slot().remove_shares(shares), ToString::to_string);
    for record in shares {
        unserve(session, record);
    }
    session.folders().ended(shares);
}

/// Stops serving a share and looking after it. If a share of another name has the same content, the client checks that
/// one and serves it from there.
fn unserve(session: &LoginSession, record: &ShareRecord) {
    let ShareRecord { group: of, name, content, .. } = record;
    let Some(group) = session.node().keyring.group_named(of) else { return };
    let key = (group, content.info_hash);
    session.upkeep().forget(key);
    session.node().catalog.remove(group, content.info_hash);
    let others = session.slot().shares_of(content.info_hash).into_iter();
    let other = others.filter(|other| other.group == *of && other.name != *name).find_map(|other| other.share);
    if let Some(other) = other {
        session.upkeep().watch(key, other);
    }
}

/// Gives a downloaded file to others from now on. The caller still has to tell a tracker: see [`tell_untold`]. The
/// stamps are taken at once, because the file may change before that. The record of the download stays until a tracker
/// was told. So a later login can tell a tracker if this login cannot.
pub(super) fn share_downloaded(session: &LoginSession, tracked: Tracked, subject: &Subject, path: &Path) {
    let Subject { group: group_ref, name, content, manifest, .. } = subject;
    let (share, is_outdated) = match &tracked.phase {
        DownloadPhase::Running(transfer) => (transfer.share(), transfer.is_outdated()),
        _ => (subject.share, false),
    };
    let (name, content, manifest) = (name.clone(), *content, manifest.clone());
    let Ok(stamps) = Stamps::take(path, manifest.files()) else {
        session.node().catalog.remove(*group_ref, content.info_hash);
        forget_download(session, &tracked.group, &name);
        let why = Refusal::about(Code::FileChanged, path.display()).to_string();
        return session.event(&Event::ShareLost { group: tracked.group, file: name, why });
    };
    let source = SharedFiles::new(path.to_path_buf(), manifest.files(), content.layout, stamps.clone());
    session.node().catalog.offer(*group_ref, content.info_hash, Arc::new(source), Bitfield::all(content.layout));
    let (group, path) = (tracked.group, path.to_path_buf());
    session.untold().add(Untold { group, name, share, path, content, manifest, stamps, is_outdated });
}

/// Tells the tracker of downloaded files that it has not heard of.
pub(super) fn tell_untold(session: &LoginSession) {
    session.untold().tell(|untold| {
        let told = match tell(session, untold) {
            Err(RpcError::Refused(refusal)) if refusal.code == Code::FileExists => {
                keep_old(session, untold).and_then(|kept| if kept { Ok(()) } else { Err(refusal.into()) })
            }
            told => told,
        };
        let refused = match told {
            Ok(()) => None,
            // A refusal at the end of the login says nothing about the share. The next login tells of it.
            Err(RpcError::Refused(refusal)) if !refusal.code.is_passing() && !session.is_over() => Some(refusal),
            Err(_) => return false,
        };
        let Untold { group, name, content, .. } = untold;
        forget_download(session, group, name);
        if let Some(refusal) = refused {
            let served = session.node().keyring.group_named(group);
            session.event(&Event::ShareLost { group: group.clone(), file: name.clone(), why: refusal.to_string() });
            if let Some(group) = served {
                session.node().catalog.remove(group, content.info_hash);
            }
        }
        true
    });
}

/// Removes the record of a complete download. If the user has begun the download again, the record stays: it belongs to
/// the new download.
fn forget_download(session: &LoginSession, group: &GroupId, name: &FileName) {
    if session.downloads().find(group, name).is_none_or(|tracked| tracked.phase.has_ended()) {
        session.remembered(session.slot().remove_download(group, name), ToString::to_string);
    }
}

fn tell(session: &LoginSession, untold: &Untold) -> Result<(), RpcError> {
    let Untold { group, name, content, manifest, .. } = untold;
    let bytes = manifest::encode(manifest).map(|(bytes, _)| bytes).unwrap_or_default();
    publish(session, (group, name, *content), &bytes, (&|| true, &|share| give_downloaded(session, share, untold)))
}

/// Keeps a downloaded file as an old version, if its author has replaced it by now. Members that are in the middle of
/// it still get it. Returns false if it is the current version.
fn keep_old(session: &LoginSession, untold: &Untold) -> Result<bool, RpcError> {
    if !is_superseded(&session.node().link, untold.share)? {
        return Ok(false);
    }
    session.decide(|| give_downloaded(session, untold.share, untold))?;
    if !untold.is_outdated && !session.slot().folders().follows_into(&untold.group, &untold.path) {
        let (group, file) = (untold.group.clone(), untold.name.clone());
        session.event(&Event::DownloadOutdated { group, file });
    }
    Ok(true)
}

/// Gives a downloaded file to others as this share.
fn give_downloaded(session: &LoginSession, share: ShareRef, untold: &Untold) -> Result<(), RpcError> {
    let Untold { group, name, path, content, manifest, stamps, .. } = untold;
    let (content, stamps) = (*content, stamps.clone());
    let unchanged = Stamps::take(path, manifest.files()).is_ok_and(|now| now == stamps);
    let key = offer(session, share, LocalShare { group, name, path, content, manifest, stamps })?;
    if unchanged {
        return hold_now(session, share, key);
    }
    // The client reads a changed file again before the tracker hears of it.
    session.upkeep().alarm(key, Instant::now());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    /// Sends `count` parts to a simulated tracker. The tracker's answer to the nth request for a part is `answer`.
    /// Returns the result, the parts that the tracker has, and the number of pauses.
    fn brings(count: usize, answer: impl Fn(usize, u32) -> Option<Refusal>) -> (Result<(), RpcError>, Vec<usize>, u32) {
        let (parts, pauses) = ((0..count).collect::<Vec<_>>(), Cell::new(0));
        let (mut has, mut times) = (Vec::new(), vec![0; count]);
        let bring = |lot: &[usize]| {
            let mut behind = false;
            let answers = lot.iter().map(|&part| {
                // After a part that got no turn, the tracker takes no further part.
                if behind {
                    return Err(Code::SlowDown.into());
                }
                times[part] += 1;
                match answer(part, times[part]) {
                    Some(refusal) => {
                        behind = true;
                        Err(refusal)
                    }
                    None => {
                        has.push(part);
                        Ok(Reply::Done {})
                    }
                }
            });
            Ok(answers.collect())
        };
        let came = bring_parts(&parts, bring, || {
            pauses.set(pauses.get() + 1);
            true
        });
        (came, has, pauses.get())
    }

    #[test]
    fn a_part_that_gets_no_turn_comes_again_also_the_first_and_however_many_did_before_it() {
        let (came, has, pauses) = brings(1, |_, time| (time == 1).then(|| Code::SlowDown.into()));
        assert!(came.is_ok() && (has, pauses) == (vec![0], 1));
        let (came, has, pauses) = brings(40, |part, time| (part % 3 == 0 && time <= 2).then(|| Code::SlowDown.into()));
        assert!(came.is_ok() && (has, pauses) == ((0..40).collect(), 28), "14 parts, each two times");
    }

    #[test]
    fn a_part_that_never_gets_a_turn_is_given_up_and_one_over_a_limit_at_once() {
        let (came, has, pauses) = brings(3, |part, _| (part == 2).then(|| Code::SlowDown.into()));
        assert!(matches!(came, Err(RpcError::Refused(refusal)) if refusal.code == Code::SlowDown));
        assert_eq!((has, pauses), (vec![0, 1], TURNS_ASKED));
        let (came, _, pauses) =
            brings(1, |_, _| Some(Refusal::about(Code::SlowDown, "you may bring more in 3 minutes")));
        assert!(came.is_err() && pauses == 0);
    }
}
