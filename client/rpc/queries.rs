//! Questions to a tracker: for a share by its name, and for lists, which come in pages.

use super::error::RpcError;
use super::link::TrackerLink;
use crate::model::id::{GroupRef, ShareRef};
use crate::model::manifest::Content;
use crate::model::name::pattern::NamePattern;
use crate::model::name::{FileName, GroupId, UserId};
use crate::wire::client_tracker::{FileLine, FoundFile, GroupKey, GroupLine, MemberLine, Reply, Request};
use std::iter;

/// The tracker's answer about a share that was looked up by name.
#[derive(Debug, Clone)]
pub(crate) struct Found {
    pub share: ShareRef,
    pub group: GroupRef,
    pub content: Content,
    /// Whether the user shares it too.
    pub shared_by_you: bool,
}

/// The share under a name.
pub(crate) fn find(link: &TrackerLink, group: &GroupId, name: &FileName) -> Result<Found, RpcError> {
    match link.call(&Request::FindShare { group: group.clone(), name: name.clone() })? {
        Reply::Share { share, group, content, shared_by_you, .. } => Ok(Found { share, group, content, shared_by_you }),
        _ => Err(RpcError::Unexpected),
    }
}

/// The current group and name of a share, among these groups. The share was called `name` before.
///
/// A share or its group is renamed when two sides of a partition gave the same name away. At that time no user was
/// logged in here to hear of it.
pub(crate) fn find_again(
    link: &TrackerLink,
    groups: &[GroupId],
    share: ShareRef,
    name: &FileName,
) -> Result<Option<(GroupId, FileName)>, RpcError> {
    for group in groups {
        // The later of two gets the first free suffix.
        for name in iter::once(name.base()).chain((2..).map(|n| name.with_suffix(n))) {
            match find(link, group, &name) {
                Ok(found) if found.share == share => return Ok(Some((group.clone(), name))),
                Ok(_) => {}
                Err(RpcError::Refused(refusal)) if refusal.code.is_gone() => {
                    if !name.is_chosen() {
                        break;
                    }
                }
                Err(error) => return Err(error),
            }
        }
    }
    Ok(None)
}

/// Whether a new version has replaced a share.
pub(crate) fn is_superseded(link: &TrackerLink, share: ShareRef) -> Result<bool, RpcError> {
    match link.call(&Request::FindPeers { share }) {
        Ok(Reply::Peers { newer, .. }) => Ok(newer.is_some()),
        Ok(_) => Err(RpcError::Unexpected),
        Err(RpcError::Refused(_)) => Ok(false),
        Err(error) => Err(error),
    }
}

/// All groups of the installation.
pub(crate) fn groups(link: &TrackerLink) -> Result<Vec<GroupLine>, RpcError> {
    let page = |reply| match reply {
        Reply::Groups { groups, more } => Some((groups.into_vec(), more)),
        _ => None,
    };
    pages(link, |after| Request::ListGroups { after }, page, |line| line.name.clone())
}

/// The users that ask to join a group.
pub(crate) fn requests(link: &TrackerLink, group: &GroupId) -> Result<Vec<UserId>, RpcError> {
    let page = |reply| match reply {
        Reply::Users { users, more } => Some((users.into_vec(), more)),
        _ => None,
    };
    pages(link, |after| Request::ListRequests { group: group.clone(), after }, page, UserId::clone)
}

/// The members of a group.
pub(crate) fn members(link: &TrackerLink, group: &GroupId) -> Result<Vec<MemberLine>, RpcError> {
    let page = |reply| match reply {
        Reply::Members { members, more } => Some((members.into_vec(), more)),
        _ => None,
    };
    pages(link, |after| Request::ListMembers { group: group.clone(), after }, page, |line| line.name.clone())
}

/// The shares of a group, page by page, as long as `each` wants another one.
pub(crate) fn files(
    link: &TrackerLink,
    group: &GroupId,
    each: &mut dyn FnMut(Vec<FileLine>) -> bool,
) -> Result<(), RpcError> {
    let page = |reply| match reply {
        Reply::Files { files, more } => {
            let next = files.last().map(|line| line.name.clone()).filter(|_| more);
            Some((files.into_vec(), next))
        }
        _ => None,
    };
    each_page(link, |after| Request::ListFiles { group: group.clone(), after }, page, each)
}

/// The shares whose names match a pattern, in one group or in all of the user's. The pages come as long as `each` wants
/// another one.
pub(crate) fn found(
    link: &TrackerLink,
    group: Option<&GroupId>,
    pattern: &NamePattern,
    each: &mut dyn FnMut(Vec<FoundFile>) -> bool,
) -> Result<(), RpcError> {
    let request = |after| Request::FindFiles { group: group.cloned(), pattern: pattern.clone(), after };
    let page = |reply| match reply {
        Reply::Found { files, next } => Some((files.into_vec(), next)),
        _ => None,
    };
    each_page(link, request, page, each)
}

/// The keys of the user's groups.
pub(crate) fn keys(link: &TrackerLink) -> Result<Vec<GroupKey>, RpcError> {
    let page = |reply| match reply {
        Reply::Keys { keys, more } => Some((keys.into_vec(), more)),
        _ => None,
    };
    pages(link, |after| Request::ListKeys { after }, page, |key| key.name.clone())
}

/// A whole list. `page` takes a page from a reply, and whether more follow. The next page begins after the `key` of the
/// last entry.
fn pages<T, K>(
    link: &TrackerLink,
    request: impl Fn(Option<K>) -> Request,
    page: impl Fn(Reply) -> Option<(Vec<T>, bool)>,
    key: impl Fn(&T) -> K,
) -> Result<Vec<T>, RpcError> {
    let page = |reply| {
        let (entries, more) = page(reply)?;
        let next = entries.last().map(&key).filter(|_| more);
        Some((entries, next))
    };
    let mut list = Vec::new();
    each_page(link, request, page, &mut |entries| {
        list.extend(entries);
        true
    })?;
    Ok(list)
}

/// The pages of a list, as long as `each` wants another one. `page` takes a page from a reply, and the start of the
/// next one.
fn each_page<T, K>(
    link: &TrackerLink,
    request: impl Fn(Option<K>) -> Request,
    page: impl Fn(Reply) -> Option<(Vec<T>, Option<K>)>,
    each: &mut dyn FnMut(Vec<T>) -> bool,
) -> Result<(), RpcError> {
    let mut after = None;
    loop {
        let (entries, next) = page(link.call(&request(after))?).ok_or(RpcError::Unexpected)?;
        after = next;
        if !each(entries) || after.is_none() {
            return Ok(());
        }
    }
}
