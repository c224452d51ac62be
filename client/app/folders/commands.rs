//! What the commands about shared folders do.

use super::register::GoneFiles;
use crate::client::app::login_session::LoginSession;
use crate::client::app::share;
use crate::client::command::failure::Failure;
use crate::client::folder::tree::folder_node;
use crate::client::output::report::{FolderStatus, Report};
use crate::client::state::folders::{Bond, FolderRecord};
use crate::client::state::record::ShareRecord;
use crate::model::escape::ShownPath;
use crate::model::name::{FileName, GroupId};
use crate::model::notice::Notice;
use crate::sys;
use std::fs;
use std::path::Path;

/// Most folders of a login: each has a descriptor of its own.
const FOLDERS_MAX: usize = 16;

/// Shares a folder as a whole from now on. Of one that is shared already, the shares end whose files are gone.
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
        // Where another folder has its place, as when a disk is not mounted, nothing was agreed to.
        false => session.folders().wake(),
    }
    Ok(Report::Done("Sharing the folder"))
}

/// Whether two records are of one folder, be it another one of that name by now.
pub(super) fn same_folder(one: &FolderRecord, other: &FolderRecord) -> bool {
    (&one.path, &one.group, one.is_shared()) == (&other.path, &other.group, other.is_shared())
}

/// Whether a folder can be shared or follow a group beside the others.
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

/// Shares a folder no longer. Its files stay.
pub(crate) fn unshare_folder(session: &LoginSession, path: &Path) -> Result<Report, Failure> {
    // One that is away has the name under which it was shared.
    let root = fs::canonicalize(path).or_else(|_| std::path::absolute(path)).unwrap_or_else(|_| path.to_path_buf());
    let folders = session.slot().folders();
    let folder = folders.list().into_iter().find(|folder| folder.is_shared() && folder.path == root);
    let folder = folder.ok_or_else(|| format!("{} is not a shared folder; see show_folders", ShownPath(path)))?;
    folders.remove_where(|other| same_folder(other, &folder)).map_err(|error| error.to_string())?;
    session.folders().stop_reading();
    // What is about to be shared at this moment is shared by now, or will not be: see `keeper`.
    let names = session.decide(|| shares_in(session, &folder).into_iter().map(|share| share.name).collect::<Vec<_>>());
    share::stop_all(session, &folder.group, &names)?;
    Ok(Report::Done("Stopped sharing the folder"))
}

/// How the folders stand. Of one that was named a moment ago nothing is known yet.
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

/// Ends the shares of which the user was asked.
pub(crate) fn agree(session: &LoginSession, question: &GoneFiles) -> Report {
    session.folders().agree(question.folder.clone());
    Report::Done("Stopped sharing them")
}

/// What the user is asked about files that are gone.
pub(crate) fn question(GoneFiles { folder, group, count }: &GoneFiles) -> String {
    format!("{count} shared files of {} are gone. Stop sharing them in {group}? [y/N] ", ShownPath(folder))
}

/// Fails if a file is shared with its folder: it would be shared again.
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

/// Whether a notice is of a new version that takes its place in a folder by itself, or its file there is shared again.
pub(crate) fn needs_nobody(session: &LoginSession, notice: &Notice) -> bool {
    let Notice::NewVersion { group, name, author } = notice else { return false };
    let folders = session.slot().folders();
    // Two sides of a partition did not know of each other's version, and the older one may be in the place of the newer.
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

/// What is shared of a folder.
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
