//! What the commands about shared folders do.

use super::register::GoneFiles;
use crate::client::app::login_session::LoginSession;
use crate::client::app::share;
use crate::client::command::failure::Failure;
use crate::client::folder::tree::folder_node;
use crate::client::output::report::{FolderStatus, Report};
use crate::client::state::folders::SharedFolder;
use crate::client::state::record::ShareRecord;
use crate::model::escape::ShownPath;
use crate::model::name::{FileName, GroupId};
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
    let folders = session.slot().folders();
    let known = folders.list();
    if let Some(other) = known.iter().find(|known| overlap(&known.path, &root))
        && (other.path != root || other.group != *group)
    {
        let (path, group) = (ShownPath(&other.path), &other.group);
        return Err(format!("{path} is shared in {group} already, and two shared folders cannot overlap").into());
    }
    if overlap(session.node().state.root(), &root) {
        return Err(format!("{} holds this client's own state and is not shared", ShownPath(&root)).into());
    }
    if known.len() >= FOLDERS_MAX && !known.iter().any(|known| known.path == root) {
        return Err(format!("{FOLDERS_MAX} folders are shared already, and no more can be").into());
    }
    let folder = SharedFolder { group: group.clone(), path: root.clone(), node };
    let is_known = known.contains(&folder);
    folders.put(folder).map_err(|error| error.to_string())?;
    match is_known {
        true => session.folders().agree(root),
        // Where another folder has its place, as when a disk is not mounted, nothing was agreed to.
        false => session.folders().wake(),
    }
    Ok(Report::Done("Sharing the folder"))
}

/// Shares a folder no longer. Its files stay.
pub(crate) fn unshare_folder(session: &LoginSession, path: &Path) -> Result<Report, Failure> {
    // One that is away has the name under which it was shared.
    let root = fs::canonicalize(path).or_else(|_| std::path::absolute(path)).unwrap_or_else(|_| path.to_path_buf());
    let folders = session.slot().folders();
    let folder = folders.list().into_iter().find(|folder| folder.path == root);
    let folder = folder.ok_or_else(|| format!("{} is not a shared folder; see show_folders", ShownPath(path)))?;
    folders.remove_where(|other| other.path == folder.path).map_err(|error| error.to_string())?;
    session.folders().stop_reading();
    // What is about to be shared at this moment is shared by now, or will not be: see `keeper`.
    let names = session.decide(|| shares_in(session, &folder).into_iter().map(|share| share.name).collect::<Vec<_>>());
    share::stop_all(session, &folder.group, &names)?;
    Ok(Report::Done("Stopped sharing the folder"))
}

/// How the folders stand. Of one that was named a moment ago nothing is known yet.
pub(crate) fn show(session: &LoginSession) -> Report {
    let standings = session.folders().standings();
    let status = |SharedFolder { group, path, .. }: SharedFolder| {
        let known = standings.iter().find(|standing| standing.group == group && standing.folder == path).cloned();
        known.unwrap_or(FolderStatus { group, folder: path, shared: 0, waiting: 0, gone: 0, why: None })
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
pub(crate) fn folder_of(session: &LoginSession, share: &ShareRecord) -> Option<SharedFolder> {
    session.slot().folders().list().into_iter().find(|folder| belongs(folder, share))
}

/// What is shared of a folder.
pub(super) fn shares_in(session: &LoginSession, folder: &SharedFolder) -> Vec<ShareRecord> {
    let mut shares = session.slot().shares();
    shares.retain(|share| belongs(folder, share));
    shares
}

fn belongs(folder: &SharedFolder, share: &ShareRecord) -> bool {
    let relative = || share.path.strip_prefix(&folder.path).ok()?.to_str();
    share.group == folder.group
        && share.content.file_count <= 1
        && relative().is_some_and(|relative| FileName::from_input(relative).is_ok_and(|name| name == share.name))
}

fn overlap(one: &Path, other: &Path) -> bool {
    one.starts_with(other) || other.starts_with(one)
}
