//! What the commands about followed groups do.

use super::commands::{check_place, same_folder};
use crate::client::app::login_session::LoginSession;
use crate::client::app::share;
use crate::client::command::failure::Failure;
use crate::client::folder::node::FolderNode;
use crate::client::folder::tree::folder_node;
use crate::client::output::report::Report;
use crate::client::rpc::error::RpcError;
use crate::client::rpc::queries;
use crate::client::state::folders::{Bond, FolderRecord};
use crate::client::state::follow_log::FollowLog;
use crate::model::digest::InfoHash;
use crate::model::escape::ShownPath;
use crate::model::name::{FileName, GroupId};
use crate::sys;
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Has what is shared in a group come into a folder from now on, and with `all` what is shared there already.
pub(crate) fn follow_group(
    session: &LoginSession,
    group: &GroupId,
    (path, all, max_size): (&Path, bool, u64),
) -> Result<Report, Failure> {
    share::check_member(session, group)?;
    let folders = session.slot().folders();
    let root = future_path(path).map_err(|error| format!("{}: {}", ShownPath(path), sys::reason(&error)))?;
    let others = folders.list();
    let before = others.iter().find(|other| !other.is_shared() && other.group == *group);
    match before {
        Some(before) if before.path != root => {
            return Err(format!("{group} is followed already, into {}", ShownPath(&before.path)).into());
        }
        Some(_) if all => return Err(format!("{group} is followed already; unfollow_group first").into()),
        // With another size.
        Some(_) => {}
        None => {
            check_place(session, &root)?;
            let there = match all {
                true => BTreeMap::new(),
                false => there_now(session, group)?,
            };
            let log = session.slot().follow_log(&root);
            FollowLog::begin(&log, &there).map_err(|error| error.to_string())?;
        }
    }
    let node = made_folder(&root).map_err(|error| format!("{}: {}", ShownPath(path), sys::reason(&error)))?;
    let record = FolderRecord { group: group.clone(), path: root, node, bond: Bond::Follows(max_size) };
    folders.put(record).map_err(|error| error.to_string())?;
    session.follows().wake_for();
    Ok(Report::Done("Following the group"))
}

/// The path of a folder that may be yet to be made, without a symbolic link.
fn future_path(path: &Path) -> io::Result<PathBuf> {
    match fs::canonicalize(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let leaf = path.file_name().ok_or(error)?;
            let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
            Ok(fs::canonicalize(parent)?.join(leaf))
        }
        found => found,
    }
}

/// Makes a folder if it is not there; gives which one it is.
fn made_folder(path: &Path) -> io::Result<FolderNode> {
    match fs::create_dir(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => folder_node(path).ok_or_else(|| io::Error::from(io::ErrorKind::NotADirectory)),
    }
}

/// What is shared in a group now.
pub(super) fn there_now(session: &LoginSession, group: &GroupId) -> Result<BTreeMap<FileName, InfoHash>, RpcError> {
    let mut there = BTreeMap::new();
    queries::files(&session.node().link, group, &mut |lines| {
        there.extend(lines.into_iter().map(|line| (line.name, line.content.info_hash)));
        !session.is_over()
    })?;
    Ok(there)
}

/// Follows a group no longer. What came stays, and what is coming comes.
pub(crate) fn unfollow_group(session: &LoginSession, group: &GroupId) -> Result<Report, Failure> {
    let folders = session.slot().folders();
    let followed = folders.list().into_iter().find(|folder| !folder.is_shared() && folder.group == *group);
    let followed = followed.ok_or_else(|| format!("{group} is not followed; see show_folders"))?;
    folders.remove_where(|folder| same_folder(folder, &followed)).map_err(|error| error.to_string())?;
    let _ = fs::remove_file(session.slot().follow_log(&followed.path));
    session.follows().wake();
    Ok(Report::Done("Stopped following the group"))
}
