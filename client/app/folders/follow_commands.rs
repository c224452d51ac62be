//! Carries out the commands about followed groups.

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

/// Lets new shares of a group come into a folder from now on. With `all`, existing shares come too.
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
        // The size limit may differ.
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

/// The path of a folder without symbolic links. The folder may not exist yet.
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

/// Makes a folder if there is none; returns its identity.
fn made_folder(path: &Path) -> io::Result<FolderNode> {
    match fs::create_dir(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => folder_node(path).ok_or_else(|| io::Error::from(io::ErrorKind::NotADirectory)),
    }
}

/// The shares of a group right now.
pub(super) fn there_now(session: &LoginSession, group: &GroupId) -> Result<BTreeMap<FileName, InfoHash>, RpcError> {
    let mut there = BTreeMap::new();
    queries::files(&session.node().link, group, &mut |lines| {
        there.extend(lines.into_iter().map(|line| (line.name, line.content.info_hash)));
        !session.is_over()
    })?;
    Ok(there)
}

/// Ends the following of a group. Files that have arrived stay, and running downloads go on.
pub(crate) fn unfollow_group(session: &LoginSession, group: &GroupId) -> Result<Report, Failure> {
    let folders = session.slot().folders();
    let followed = folders.list().into_iter().find(|folder| !folder.is_shared() && folder.group == *group);
    let followed = followed.ok_or_else(|| format!("{group} is not followed; see show_folders"))?;
    folders.remove_where(|folder| same_folder(folder, &followed)).map_err(|error| error.to_string())?;
    let _ = fs::remove_file(session.slot().follow_log(&followed.path));
    session.follows().wake();
    Ok(Report::Done("Stopped following the group"))
}
