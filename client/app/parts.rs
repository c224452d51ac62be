//! Downloads of some files of a folder: how they begin, and how their files are then given to others.
//!
//! A complete download of this kind stays in the slot, with the stamps of its files. The client gives the pieces to
//! others as long as the stamps match. A later download of more files of the folder goes on from there.

use super::download_list::{DownloadPhase, Tracked};
use super::login_session::LoginSession;
use crate::client::command::failure::Failure;
use crate::client::download::transfer::Subject;
use crate::client::download::verify::is_complete;
use crate::client::output::event::Event;
use crate::client::rpc::error::RpcError;
use crate::client::state::record::{DownloadRecord, FolderPart, HeldPart, PATTERNS_MAX};
use crate::client::storage::file_stamp::Stamps;
use crate::client::storage::part::HeldFiles;
use crate::client::storage::selection::{PartSource, Selection};
use crate::client::storage::shared_files::SharedFiles;
use crate::model::bitfield::Bitfield;
use crate::model::id::GroupRef;
use crate::model::manifest::{Content, Manifest};
use crate::model::name::shared_path::PathPattern;
use crate::model::name::{FileName, GroupId};
use crate::wire::client_tracker::Holding;
use crate::wire::codec::Blob;
use std::path::Path;
use std::sync::Arc;

/// The files of a folder that these patterns select. `None` stands for all files. A share that is no folder is an
/// error.
pub(super) fn selection(
    name: &FileName,
    manifest: &Manifest,
    patterns: &[String],
) -> Result<Option<Arc<Selection>>, Failure> {
    if patterns.is_empty() {
        return Ok(None);
    }
    if !manifest.is_folder() {
        return Err(format!("{name} is a file and no folder").into());
    }
    let patterns: Vec<PathPattern> = patterns.iter().filter_map(|text| PathPattern::new(text).ok()).collect();
    let selection = Selection::of(manifest, |path| patterns.iter().any(|pattern| pattern.matches(path)));
    let selection = selection.ok_or_else(|| format!("No file in {name} has such a name"))?;
    Ok((!selection.is_whole(manifest)).then(|| Arc::new(selection)))
}

/// The wanted files of a folder, and those that were complete before.
#[derive(Default)]
pub(super) struct Widened {
    pub patterns: Vec<String>,
    pub before: Option<(HeldPart, HeldFiles)>,
}

impl Widened {
    /// The part in the record of a download of these files.
    pub(super) fn to_part(&self, selection: Option<&Arc<Selection>>) -> Option<FolderPart> {
        let before = self.before.as_ref().map(|(part, _)| part.clone());
        let is_part = selection.is_some() || before.is_some();
        is_part.then(|| FolderPart { patterns: self.patterns.clone(), held: None, before })
    }

    pub(super) fn files(&self) -> Option<HeldFiles> {
        self.before.as_ref().map(|(_, files)| files.clone())
    }
}

/// Adds patterns to a folder download with the same destination: returns the existing files, and the patterns of both.
///
/// # Errors
/// The existing files have changed. The user's changes stay as they are.
pub(super) fn widen(record: &DownloadRecord, manifest: &Manifest, patterns: &[String]) -> Result<Widened, Failure> {
    let FolderPart { patterns: before, held, before: unfinished } = record.part.clone().unwrap_or_default();
    let Some(stamps) = held else {
        let files = unfinished.and_then(|part| Some((part.clone(), held_files(&record.name, manifest, &part)?)));
        return Ok(Widened { patterns: patterns.to_vec(), before: files });
    };
    let mut all = before.clone();
    all.extend(patterns.iter().filter(|pattern| !before.contains(pattern)).cloned());
    if all.len() > PATTERNS_MAX {
        return Err(format!("{} is made of {PATTERNS_MAX} downloads already; download all of it", record.name).into());
    }
    let part = HeldPart { patterns: before, stamps };
    let files = held_files(&record.name, manifest, &part).filter(|files| files.are_at(&record.destination));
    if files.is_none() && record.destination.exists() {
        let path = record.destination.display();
        return Err(format!("{path} has changed since it was downloaded; choose another destination").into());
    }
    let patterns = if patterns.is_empty() { Vec::new() } else { all };
    Ok(Widened { patterns, before: files.map(|files| (part, files)) })
}

fn held_files(name: &FileName, manifest: &Manifest, part: &HeldPart) -> Option<HeldFiles> {
    let selection = selection(name, manifest, &part.patterns).ok()??;
    Some(HeldFiles { selection, stamps: part.stamps })
}

/// The part that was complete before the user asked for more of the folder, if the rest is not here yet.
pub(super) fn before(record: &DownloadRecord, manifest: &Manifest) -> Option<HeldFiles> {
    let part = record.part.as_ref().filter(|part| part.held.is_none())?.before.as_ref()?;
    held_files(&record.name, manifest, part)
}

/// Goes back to the part that was complete, because the user no longer wants more of the folder. The client gives that
/// part to others as before.
pub(super) fn fall_back(session: &LoginSession, record: DownloadRecord, manifest: &Manifest, files: &HeldFiles) {
    let Some(FolderPart { before: Some(part), .. }) = record.part.clone() else { return };
    let Some(group) = session.node().keyring.group_named(&record.group) else { return };
    let selection = &files.selection;
    let Ok(stamps) = Stamps::take(&record.destination, selection.manifest().files()) else { return };
    let is_right = || {
        let (files, layout) = (selection.manifest().files(), selection.manifest().layout());
        let source = SharedFiles::new(record.destination.clone(), files, layout, stamps.clone());
        is_complete(&source, selection.manifest(), None, session.over()) == Some(true)
    };
    if stamps.digest() != part.stamps && !is_right() {
        return;
    }
    let held = FolderPart { patterns: part.patterns, held: Some(stamps.digest()), before: None };
    let record = DownloadRecord { part: Some(held), paused: false, ..record };
    session.remembered(session.slot().put_download(record.clone(), manifest), ToString::to_string);
    serve(session, (group, &record.content), selection, (&record.destination, stamps));
    take_in(session, record);
    // If this tracker does not hear of it, the next one does.
    let _ = announce(session);
}

/// Keeps a complete selection of a folder, and gives it to others in this login and in later ones.
pub(super) fn hold(session: &LoginSession, tracked: &Tracked, subject: &Subject, path: &Path) {
    let Some(selection) = &subject.selection else { return };
    let stamps = match Stamps::take(path, selection.manifest().files()) {
        Ok(stamps) => stamps,
        Err(error) => {
            return session.event(&Event::Warning(format!("{} is not given to others: {error}", tracked.name)));
        }
    };
    let digest = stamps.digest();
    serve(session, (subject.group, &subject.content), selection, (path, stamps));
    let Some(record) = session.slot().download(&tracked.group, &tracked.name) else { return };
    let part = record.part.clone().map(|part| FolderPart { held: Some(digest), before: None, ..part });
    let held = DownloadRecord { destination: path.to_path_buf(), part, ..record };
    if let Ok(Some(whole)) = session.slot().manifest(&subject.content.info_hash) {
        session.remembered(session.slot().put_download(held, &whole), ToString::to_string);
    }
}

fn serve(
    session: &LoginSession,
    (group, content): (GroupRef, &Content),
    selection: &Arc<Selection>,
    (path, stamps): (&Path, Stamps),
) {
    // A client that serves the whole folder needs no part of it.
    if session.node().catalog.find(group, content.info_hash).is_some_and(|served| served.have().is_complete()) {
        return;
    }
    let (files, layout) = (selection.manifest().files(), selection.manifest().layout());
    let source = SharedFiles::new(path.to_path_buf(), files, layout, stamps);
    let source = Arc::new(PartSource::new(Arc::new(source), selection.clone()));
    session.node().catalog.offer(group, content.info_hash, source, selection.outer_bits(&Bitfield::all(layout)));
}

/// The complete parts of folders that are given to others.
fn held(session: &LoginSession) -> Vec<DownloadRecord> {
    let mut records = session.slot().downloads();
    records.retain(DownloadRecord::is_held);
    records
}

/// Gives the folder parts of earlier logins to others again, as far as their files are unchanged.
pub(super) fn bring_back(session: &LoginSession) {
    for record in held(session) {
        let Some(group) = session.node().keyring.group_named(&record.group) else { continue };
        if session.node().catalog.find(group, record.content.info_hash).is_some() {
            continue;
        }
        let FolderPart { patterns, held, .. } = record.part.clone().unwrap_or_default();
        let manifest = session.slot().manifest(&record.content.info_hash).ok().flatten();
        let selection = manifest.and_then(|manifest| selection(&record.name, &manifest, &patterns).ok().flatten());
        let found = selection.and_then(|selection| {
            let stamps = Stamps::take(&record.destination, selection.manifest().files()).ok()?;
            (Some(stamps.digest()) == held).then_some((selection, stamps))
        });
        match found {
            Some((selection, stamps)) => {
                serve(session, (group, &record.content), &selection, (&record.destination, stamps));
            }
            None => {
                forget(session, &record);
                let path = record.destination.display();
                let words = format!("{path} is no longer what was downloaded, and is no longer given to others");
                session.event(&Event::Warning(words));
            }
        }
    }
    // The next tracker hears of all served content.
    let _ = announce(session);
}

/// Tells the tracker which pieces of folder parts this client holds.
pub(super) fn announce(session: &LoginSession) -> Result<(), RpcError> {
    for record in held(session) {
        let group = session.node().keyring.group_named(&record.group);
        let served = group.and_then(|group| session.node().catalog.find(group, record.content.info_hash));
        let Some(served) = served else { continue };
        let bits = Blob::new(served.have().as_bytes().to_vec()).expect("the longest bitfield is within the cap");
        match session.hold(record.share, Holding::Exactly { bits }) {
            // A tracker that does not know the share names no holders of it.
            Ok(()) | Err(RpcError::Refused(_)) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Stops giving a folder part to others. Returns false if there is none of that name.
pub(super) fn stop(session: &LoginSession, group: &GroupId, name: &FileName) -> bool {
    let Some(record) = session.slot().download(group, name).filter(DownloadRecord::is_held) else { return false };
    forget(session, &record);
    session.withdraw(record.share);
    true
}

/// Stops the folder parts of a group that the user has left.
pub(super) fn stop_group(session: &LoginSession, group: &GroupId) {
    held(session).iter().filter(|record| record.group == *group).for_each(|record| forget(session, record));
}

fn forget(session: &LoginSession, record: &DownloadRecord) {
    let is_whole = session.slot().shares_of(record.content.info_hash).iter().any(|share| share.group == record.group);
    if let Some(group) = session.node().keyring.group_named(&record.group).filter(|_| !is_whole) {
        session.node().catalog.remove(group, record.content.info_hash);
    }
    session.remembered(session.slot().remove_download(&record.group, &record.name), ToString::to_string);
}

/// Lists an earlier folder download at login.
pub(super) fn take_in(session: &LoginSession, record: DownloadRecord) {
    let downloads = session.downloads();
    let DownloadRecord { group, name, destination, content, part, .. } = record;
    let patterns = part.map(|part| part.patterns).unwrap_or_default();
    let manifest = session.slot().manifest(&content.info_hash).ok().flatten();
    let selection = manifest.and_then(|manifest| selection(&name, &manifest, &patterns).ok().flatten());
    if let Ok(id) = downloads.begin((&group, &name), destination.clone(), patterns) {
        let len = selection.map_or(content.layout.size(), |selection| selection.file_bytes());
        downloads.settle(id, destination, (&content, len));
        downloads.put_back(id, DownloadPhase::Complete);
    }
}
