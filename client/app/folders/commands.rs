//! Carries out the commands about shared folders.

use super::register::GoneFiles;
use crate::client::app::announce::unheard_of;
use crate::client::app::login_session::LoginSession;
use crate::client::app::share;
use crate::client::command::failure::Failure;
use crate::client::folder::tree::folder_node;
use crate::client::output::event::Event;
use crate::client::output::report::{FolderStatus, Report};
use crate::client::rpc::error::RpcError;
use crate::client::state::folders::{Bond, FolderRecord};
use crate::client::state::record::ShareRecord;
use crate::model::escape::ShownPath;
use crate::model::name::{FileName, GroupId};
use crate::model::notice::Notice;
use crate::sys;
use std::fs;
use std::path::Path;

/// The maximum number of folders of a login: each needs a descriptor of its own.
const FOLDERS_MAX: usize = 16;
/// The number of shares that end in one request.
pub(super) const LOT: usize = 256;

/// Begins to share a folder as a whole. For a folder that is shared already, agrees that the shares of its missing
/// files end.
pub(crate) fn share_folder(session: &LoginSession, path: &Path, group: &GroupId) -> Result<Report, Failure> {
    share::check_member(session, group)?;
    let root = fs::canonicalize(path).map_err(|error| format!("{}: {}", ShownPath(path), sys::reason(&error)))?;
    let node = folder_node(&root).ok_or_else(|| format!("{} is not a folder", ShownPath(path)))?;
    let record = FolderRecord { group: group.clone(), path: root.clone(), node, bond: Bond::Shared };
    if !session.slot().folders().list().iter().any(|known| same_folder(known, &record)) {
        check_place(session, &record.path)?;
    }
    let is_it = |known: &FolderRecord| same_folder(known, &record) && known.node.is_same(&record.node);
    let is_known = session.slot().folders().list().iter().any(is_it);
    session.slot().folders().put(record).map_err(|error| error.to_string())?;
    match is_known {
        true => session.folders().agree(root),
        // Another folder may lie in its place, as when a disk is not mounted. The user has agreed to nothing for that
        // one.
        false => session.folders().wake(),
    }
    Ok(Report::Done("Sharing the folder"))
}

/// Whether two records name the same folder path. The folder itself may be another one by now.
pub(super) fn same_folder(one: &FolderRecord, other: &FolderRecord) -> bool {
    (&one.path, &one.group, one.is_shared()) == (&other.path, &other.group, other.is_shared())
}

/// Whether a folder can be shared or can follow a group, beside the others.
pub(super) fn check_place(session: &LoginSession, folder: &Path) -> Result<(), Failure> {
    let known = session.slot().folders().list();
    if let Some(other) = known.iter().find(|known| known.overlaps(folder)) {
        let (path, group) = (ShownPath(&other.path), &other.group);
        let what = if other.is_shared() { "is shared in" } else { "follows" };
        return Err(format!("{path} {what} {group} already, and two such folders cannot overlap").into());
    }
    let state = session.node().state.root();
    if state.starts_with(folder) || folder.starts_with(state) {
        return Err(format!("{} holds this client's own state", ShownPath(folder)).into());
    }
    match known.len() {
        FOLDERS_MAX.. => Err(format!("{FOLDERS_MAX} folders are shared or follow a group already").into()),
        _ => Ok(()),
    }
}

/// Ends the sharing of a folder. Its files stay.
pub(crate) fn unshare_folder(session: &LoginSession, path: &Path) -> Result<Report, Failure> {
    // An absent folder still has the name under which it was shared.
    let root = fs::canonicalize(path).or_else(|_| std::path::absolute(path)).unwrap_or_else(|_| path.to_path_buf());
    let folders = session.slot().folders();
    let folder = folders.list().into_iter().find(|folder| folder.is_shared() && folder.path == root);
    let folder = folder.ok_or_else(|| format!("{} is not a shared folder; see show_folders", ShownPath(path)))?;
    folders.remove_where(|other| same_folder(other, &folder)).map_err(|error| error.to_string())?;
    session.folders().stop_reading();
    // `decide` waits for a share that is being made right now. After it the keeper makes none: see `keeper`.
    let mut shares = session.decide(|| shares_in(session, &folder));
    let ended = shares.chunks(LOT).try_for_each(|lot| end_heard(session, &folder.group, lot));
    shares.retain(|share| session.slot().share(&share.group, &share.name).is_some_and(|kept| kept == *share));
    let left = shares.len();
    session.folders().leave(shares);
    ended?;
    if left > 0 {
        let why = format!(
            "the tracker does not know {left} of its shares yet; they end once it does, while you stay logged in"
        );
        session.event(&Event::FolderTrouble { group: folder.group, folder: folder.path, why });
    }
    Ok(Report::Done("Stopped sharing the folder"))
}

/// Ends those shares that the tracker has heard of. For another one it would end an older version of the same name.
fn end_heard(session: &LoginSession, group: &GroupId, shares: &[ShareRecord]) -> Result<(), RpcError> {
    let unheard = unheard_of(session, shares)?;
    let is_heard = |record: &&ShareRecord| record.share.is_none_or(|share| !unheard.contains(&share));
    let names: Vec<_> = shares.iter().filter(is_heard).map(|record| record.name.clone()).collect();
    share::stop_all(session, group, &names).map(drop)
}

/// Shows the state of the folders. For a folder added a moment ago nothing is known yet.
pub(crate) fn show(session: &LoginSession) -> Report {
    let standings = [session.folders().standings(), session.follows().standings()].concat();
    let status = |folder: FolderRecord| {
        let follows = !folder.is_shared();
        let FolderRecord { group, path, .. } = folder;
        let is_it = |it: &&FolderStatus| (&it.group, &it.folder, it.follows) == (&group, &path, follows);
        let known = standings.iter().find(is_it).cloned();
        known.unwrap_or(FolderStatus { group, folder: path, follows, files: 0, waiting: 0, gone: 0, why: None })
    };
    Report::Folders(session.slot().folders().list().into_iter().map(status).collect())
}

/// Ends the shares that the question to the user named.
pub(crate) fn agree(session: &LoginSession, question: &GoneFiles) -> Report {
    session.folders().agree(question.folder.clone());
    Report::Done("Stopped sharing them")
}

/// The question to the user about missing files.
pub(crate) fn question(GoneFiles { folder, group, count }: &GoneFiles) -> String {
    format!("{count} shared files of {} are gone. Stop sharing them in {group}? [y/N] ", ShownPath(folder))
}

/// Fails if a file is shared with its folder, because the keeper would share it again.
pub(crate) fn check_single(session: &LoginSession, group: &GroupId, name: &FileName) -> Result<(), Failure> {
    match session.slot().share(group, name).and_then(|share| folder_of(session, &share)) {
        Some(folder) => {
            let folder = ShownPath(&folder.path);
            Err(format!("{name} is shared with {folder}: move it elsewhere, or unshare_folder").into())
        }
        None => Ok(()),
    }
}

/// The shared folder to which a share belongs.
pub(crate) fn folder_of(session: &LoginSession, share: &ShareRecord) -> Option<FolderRecord> {
    session.slot().folders().list().into_iter().find(|folder| belongs(folder, share))
}

/// Whether a notice needs no action of the user. Either the new version comes into a folder by itself, or the keeper
/// shares the folder's file again.
pub(crate) fn needs_nobody(session: &LoginSession, notice: &Notice) -> bool {
    let Notice::NewVersion { group, name, author } = notice else { return false };
    let folders = session.slot().folders();
    // Across a partition two trackers did not know each other's version. The older one may have replaced the newer one.
    let is_file = |path: &Path| fs::symlink_metadata(path).is_ok_and(|it| it.is_file());
    let is_in = |folder: &FolderRecord| {
        folder.is_shared() && folder.group == *group && is_file(&folder.path.join(name.as_str()))
    };
    if author == session.user() && folders.list().iter().any(is_in) {
        session.folders().doubt(group.clone(), name.clone());
        return true;
    }
    session.slot().share(group, name).is_some_and(|own| folders.follows_into(group, &own.path))
}

/// The shares whose files lie in a folder.
pub(super) fn shares_in(session: &LoginSession, folder: &FolderRecord) -> Vec<ShareRecord> {
    let mut shares = session.slot().shares();
    shares.retain(|share| belongs(folder, share));
    shares
}

fn belongs(folder: &FolderRecord, share: &ShareRecord) -> bool {
    let relative = || share.path.strip_prefix(&folder.path).ok()?.to_str();
    folder.is_shared()
        && share.group == folder.group
        && share.content.file_count <= 1
        && relative().is_some_and(|relative| FileName::from_input(relative).is_ok_and(|name| name == share.name))
}
