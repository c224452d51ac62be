//! The commands of sharing, and bringing shares back at the next login.

use super::login_session::{Account, Untold};
use super::node::{Node, command_id};
use crate::client::command::failure::Failure;
use crate::client::download::transfer::Subject;
use crate::client::output::event::Event;
use crate::client::output::report::Report;
use crate::client::rpc::error::RpcError;
use crate::client::rpc::queries::{Found, find, find_again};
use crate::client::state::record::ShareRecord;
use crate::client::storage::file_stamp::Stamps;
use crate::client::storage::import::{Hashed, hash_for_sharing};
use crate::client::storage::shared_files::Source;
use crate::model::bitfield::Bitfield;
use crate::model::digest::InfoHash;
use crate::model::id::ShareRef;
use crate::model::manifest::{Content, Manifest};
use crate::model::name::{FileName, GroupId};
use crate::wire::client_tracker::{Holding, MANIFEST_PART_MAX, Reply, Request};
use crate::wire::codec::Blob;
use crate::wire::error::{Code, Refusal};
use crate::wire::manifest;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// What is shared: where it lies, and what it consists of.
struct Shared<'a> {
    group: &'a GroupId,
    name: &'a FileName,
    path: &'a Path,
    content: Content,
    manifest: &'a Manifest,
    stamps: Stamps,
}

/// Shares a file or folder; `progress` is told how many bytes of how many are hashed.
pub fn upload(
    node: &Node,
    account: &Arc<Account>,
    path: &Path,
    group: &GroupId,
    cancel: &AtomicBool,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Report, Failure> {
    // A group that refuses is better heard of before a long file is read than after.
    check_member(node, group)?;
    let hashed = hash_for_sharing(path, cancel, progress).map_err(|error| error.to_string())?;
    let root = hashed.manifest.files()[0].path.root();
    let name = FileName::from_input(root).map_err(|error| format!("cannot share {root}: {error}"))?;
    if !hashed.left_out.is_empty() {
        node.reporter.event(&Event::Warning(hashed.left_out.to_string()));
    }
    let content = share_hashed(node, account, group, &name, hashed)?;
    Ok(Report::Uploaded { group: group.clone(), file: name, content })
}

fn check_member(node: &Node, group: &GroupId) -> Result<(), RpcError> {
    match node.link.call(&Request::ListFiles { group: group.clone(), after: None })? {
        Reply::Files { .. } => Ok(()),
        _ => Err(RpcError::Unexpected),
    }
}

fn share_hashed(
    node: &Node,
    account: &Arc<Account>,
    group: &GroupId,
    name: &FileName,
    hashed: Hashed,
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
    let share = share_at_tracker(node, group, name, content, &bytes)?;
    let shared = Shared { group, name, path: &hashed.root, content, manifest: &hashed.manifest, stamps: hashed.stamps };
    serve(node, account, share, shared)?;
    Ok(content)
}

/// Makes the tracker know the share, with its manifest if it lacks that.
fn share_at_tracker(
    node: &Node,
    group: &GroupId,
    name: &FileName,
    content: Content,
    manifest: &[u8],
) -> Result<ShareRef, RpcError> {
    let request = Request::ShareFile { command: command_id(), group: group.clone(), name: name.clone(), content };
    let refused = |error: &RpcError, with| matches!(error, RpcError::Refused(refusal) if refusal.code == with);
    for last in [false, false, true] {
        match node.link.call(&request) {
            Ok(Reply::Share { share, .. }) => return Ok(share),
            Ok(_) => return Err(RpcError::Unexpected),
            Err(error) if !last && refused(&error, Code::NeedManifest) => {}
            Err(error) => return Err(error),
        }
        match put_manifest(node, group, content.info_hash, manifest) {
            // Should the tracker be lost in between, the next one has nothing of it: it is brought again.
            Err(error) if !refused(&error, Code::BadManifest) => return Err(error),
            _ => {}
        }
    }
    Err(RpcError::Unexpected)
}

fn put_manifest(node: &Node, group: &GroupId, info_hash: InfoHash, bytes: &[u8]) -> Result<(), RpcError> {
    // At most MANIFEST_LEN_MAX, far below 2^32.
    let total = bytes.len() as u32;
    let mut offset = 0;
    for part in bytes.chunks(MANIFEST_PART_MAX) {
        let part = Blob::new(part.to_vec()).expect("cut at the cap");
        let len = part.as_bytes().len() as u32;
        node.link.call(&Request::PutManifest { group: group.clone(), info_hash, total, offset, part })?;
        offset += len;
    }
    Ok(())
}

/// Gives the file to others from now on, and remembers that.
fn serve(node: &Node, account: &Arc<Account>, share: ShareRef, shared: Shared<'_>) -> Result<(), RpcError> {
    let Shared { group, name, path, content, manifest, stamps } = shared;
    let group_ref = node.keyring.group_named(group).ok_or_else(|| Refusal::about(Code::NotMember, group))?;
    let digest = stamps.digest();
    let source = Arc::new(Source::new(path.to_path_buf(), manifest.files(), content.layout, stamps));
    match node.serving.find(group_ref, content.info_hash) {
        Some(served) => served.complete(source),
        None => {
            let all = Bitfield::all(content.layout);
            node.serving.add(group_ref, content.info_hash, content.layout, source, all);
        }
    }
    // What stood under this name before is served no longer.
    for old in account.slot.shares() {
        if old.group == *group && old.name == *name && old.content.info_hash != content.info_hash {
            node.serving.remove(group_ref, old.content.info_hash);
        }
    }
    let record = ShareRecord {
        share: Some(share),
        group: group.clone(),
        name: name.clone(),
        path: path.to_path_buf(),
        content,
        stamps: digest,
    };
    node.remembered(account.slot.put_share(record, manifest), |error| {
        format!("{name} will not be shared again by itself after a restart: {error}")
    });
    node.link.call(&Request::Hold { share, holding: Holding::All {} }).map(drop)
}

/// Stops sharing, on all clients of the user.
pub fn stop(node: &Node, account: &Arc<Account>, group: &GroupId, name: &FileName) -> Result<(), RpcError> {
    let _deciding = account.deciding.lock();
    let request = Request::StopShare { command: command_id(), group: group.clone(), name: name.clone() };
    node.link.call(&request)?;
    forget(node, account, |record| record.group == *group && record.name == *name);
    Ok(())
}

/// Serves and remembers some shares no longer.
pub fn forget(node: &Node, account: &Arc<Account>, which: impl Fn(&ShareRecord) -> bool) {
    for record in account.slot.shares().into_iter().filter(which) {
        if let Some(group) = node.keyring.group_named(&record.group) {
            node.serving.remove(group, record.content.info_hash);
        }
        node.remembered(account.slot.remove_share(&record.group, &record.name), |error| error.to_string());
    }
}

/// Remembers the shares of a group no longer.
pub fn forget_group(node: &Node, account: &Arc<Account>, group: &GroupId) {
    forget(node, account, |record| record.group == *group);
}

/// Tells a tracker that has just been reached what is shared here.
pub fn hold_all(node: &Node, account: &Arc<Account>) -> Result<(), RpcError> {
    for record in account.slot.shares() {
        let served =
            node.keyring.group_named(&record.group).and_then(|g| node.serving.find(g, record.content.info_hash));
        if let (Some(share), Some(_)) = (record.share, served) {
            match node.link.call(&Request::Hold { share, holding: Holding::All {} }) {
                Ok(_) => {}
                // Somebody stopped it elsewhere while this client was away: the push that says so comes too.
                Err(RpcError::Refused(refusal)) => drop(note_refusal(account, &refusal)),
                Err(error) => return Err(error),
            }
        }
    }
    tell_untold(node, account);
    Ok(())
}

/// Takes note of a refusal to hold a share that this client knows from a tracker: one that says that there is no such
/// share comes from a tracker that has not heard of it yet. Gives whether it is one.
pub fn note_refusal(account: &Account, refusal: &Refusal) -> bool {
    let unheard = refusal.code == Code::NoSuchFile;
    account.unheard.fetch_or(unheard, Ordering::Relaxed);
    unheard
}

/// Whether the tracker has not heard yet of a share that another tracker has made.
pub fn is_unheard(node: &Node, account: &Account, share: ShareRef) -> bool {
    let asked = node.link.call(&Request::FindPeers { share });
    matches!(asked, Err(RpcError::Refused(refusal)) if note_refusal(account, &refusal))
}

/// What stands under the name of a share that some tracker has made; nothing if the one asked has not heard of it yet.
pub fn find_made(
    node: &Node,
    account: &Account,
    share: ShareRef,
    group: &GroupId,
    name: &FileName,
) -> Result<Option<Found>, RpcError> {
    match find(&node.link, group, name) {
        Err(RpcError::Refused(refusal)) if refusal.code.is_gone() => {
            if is_unheard(node, account, share) {
                return Ok(None);
            }
            // It may have heard of it since it was asked for the name.
            find(&node.link, group, name).map(Some)
        }
        found => found.map(Some),
    }
}

/// Brings back what was shared when the user was last logged in on this client, as far as it is not back yet.
pub fn restore(node: &Node, account: &Arc<Account>) {
    // One that goes by another name now may have to wait until the one that had that name goes by another too.
    for _ in 0..=account.slot.shares().len() {
        if !restore_each(node, account) {
            return;
        }
    }
}

/// Goes through all once; whether some of them go by other names now, under which they are to be brought back yet.
fn restore_each(node: &Node, account: &Arc<Account>) -> bool {
    let mut moved = false;
    for record in account.slot.shares() {
        if account.is_over() {
            return false;
        }
        let group = node.keyring.group_named(&record.group);
        if group.and_then(|group| node.serving.find(group, record.content.info_hash)).is_some() {
            continue;
        }
        let (group, file) = (record.group.clone(), record.name.clone());
        match restore_one(node, account, record) {
            Ok(Restored::AsItWas) => {}
            Ok(Restored::Changed) => node.reporter.event(&Event::ShareChanged { group, file }),
            Ok(Restored::Moved) => moved = true,
            Err(_) if account.is_over() => return false,
            Err(why) => node.reporter.event(&Event::ShareLost { group, file, why }),
        }
    }
    moved
}

/// How a share came back.
enum Restored {
    AsItWas,
    Changed,
    /// Not yet, since it goes by another name now.
    Moved,
}

/// One share; the error says why it does not come back.
fn restore_one(node: &Node, account: &Arc<Account>, record: ShareRecord) -> Result<Restored, String> {
    let ShareRecord { group, name, path, content, stamps, .. } = &record;
    let deciding = account.deciding.lock();
    let gone = |why: &str| {
        // Unless it was stopped here meanwhile.
        if !account.slot.shares().contains(&record) {
            return Ok(Restored::AsItWas);
        }
        forget(node, account, |other| other.group == *group && other.name == *name);
        Err(why.to_owned())
    };
    let found = match record.share {
        Some(share) => find_made(node, account, share, group, name),
        None => find(&node.link, group, name).map(Some),
    };
    let is_other = match &found {
        Ok(Some(found)) => record.share != Some(found.share) && !(found.shared_by_you && found.content == *content),
        Err(RpcError::Refused(refusal)) => refusal.code.is_gone(),
        Ok(None) | Err(_) => false,
    };
    if let Some(share) = record.share.filter(|_| is_other)
        && let Some((group, name)) =
            find_again(&node.link, &node.keyring, share, name).map_err(|error| error.to_string())?
    {
        let moved = account.slot.move_share(&record, &group, &name).map_err(|error| error.to_string())?;
        return Ok(if moved { Restored::Moved } else { Restored::AsItWas });
    }
    let found = match found {
        Ok(Some(found)) if found.shared_by_you => found,
        Ok(Some(_)) => return gone("it was stopped on another client"),
        Ok(None) => return Ok(Restored::AsItWas),
        Err(RpcError::Refused(refusal)) if refusal.code.is_gone() => return gone(&refusal.to_string()),
        Err(error) => return Err(error.to_string()),
    };
    let manifest = account.slot.manifest(&content.info_hash).ok().flatten();
    let unchanged = manifest.filter(|_| found.content == *content).and_then(|manifest| {
        let now = Stamps::take(path, manifest.files()).ok()?;
        (now.digest() == *stamps).then_some((manifest, now))
    });
    if let Some((manifest, now)) = unchanged {
        let shared = Shared { group, name, path, content: *content, manifest: &manifest, stamps: now };
        serve(node, account, found.share, shared).map_err(|error| error.to_string())?;
        return Ok(Restored::AsItWas);
    }
    drop(deciding);
    // Not as it was when it was last hashed: what does it hold now?
    let hashed = match hash_for_sharing(path, &account.over, &mut |_, _| {}) {
        Ok(hashed) => hashed,
        Err(error) => {
            let why = error.to_string();
            let _ =
                node.link.call(&Request::StopShare { command: command_id(), group: group.clone(), name: name.clone() });
            return gone(&why);
        }
    };
    let changed = hashed.sha1 != found.content.sha1;
    let _deciding = account.deciding.lock();
    if !account.slot.shares().contains(&record) {
        return Ok(Restored::AsItWas);
    }
    match share_hashed(node, account, group, name, hashed) {
        Ok(_) => Ok(if changed { Restored::Changed } else { Restored::AsItWas }),
        Err(RpcError::Refused(refusal)) => {
            let _ =
                node.link.call(&Request::StopShare { command: command_id(), group: group.clone(), name: name.clone() });
            gone(&format!("it has changed, and the new version cannot take its place: {refusal}"))
        }
        Err(error) => Err(error.to_string()),
    }
}

/// A downloaded file is shared from now on.
pub fn share_downloaded(node: &Node, account: &Arc<Account>, group: GroupId, subject: &Subject, path: &Path) {
    account.untold.lock().push(Untold {
        group,
        name: subject.name.clone(),
        path: path.to_path_buf(),
        content: subject.content,
        manifest: subject.manifest.clone(),
    });
    tell_untold(node, account);
}

/// Tells the tracker of what it could not be told before.
pub fn tell_untold(node: &Node, account: &Arc<Account>) {
    let untold = std::mem::take(&mut *account.untold.lock());
    for entry in untold {
        match tell(node, account, &entry) {
            Ok(()) => {}
            Err(RpcError::Refused(refusal)) => {
                let Untold { group, name, .. } = &entry;
                let (why, file) = (refusal.to_string(), name.clone());
                node.reporter.event(&Event::ShareLost { group: group.clone(), file, why });
                if let Some(group) = node.keyring.group_named(group) {
                    node.serving.remove(group, entry.content.info_hash);
                }
            }
            Err(_) => account.untold.lock().push(entry),
        }
    }
}

fn tell(node: &Node, account: &Arc<Account>, entry: &Untold) -> Result<(), RpcError> {
    let Untold { group, name, path, content, manifest } = entry;
    let Ok(stamps) = Stamps::take(path, manifest.files()) else {
        return Err(Refusal::about(Code::FileChanged, path.display()).into());
    };
    let bytes = manifest::encode(manifest).map(|(bytes, _)| bytes).unwrap_or_default();
    let share = share_at_tracker(node, group, name, *content, &bytes)?;
    serve(node, account, share, Shared { group, name, path, content: *content, manifest, stamps })
}

/// A file cannot be served any more: it was changed on disk, or cannot be read.
pub fn broken(node: &Node, account: &Arc<Account>, group: crate::model::id::GroupRef, info_hash: InfoHash, why: &str) {
    let Some(group_name) = node.keyring.name_of(group) else {
        return;
    };
    // Each connection on which it was being given has seen it.
    if node.serving.find(group, info_hash).is_none() {
        return;
    }
    node.serving.remove(group, info_hash);
    let record = account.slot.shares().into_iter().find(|r| r.group == group_name && r.content.info_hash == info_hash);
    let Some(record) = record else {
        return;
    };
    if let Some(share) = record.share {
        // A tracker that cannot be reached learns it with the next announcement.
        let _ = node.link.call(&Request::Hold { share, holding: Holding::Nothing {} });
    }
    node.reporter.event(&Event::ShareLost { group: group_name, file: record.name, why: why.to_owned() });
}
