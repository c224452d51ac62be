//! The lists that a tracker keeps, put together from the pages in which it tells them.

use super::link::{CallError, Link};
use crate::model::name::{GroupId, UserId};
use crate::wire::client_tracker::{FileLine, GroupLine, MemberLine, Reply, Request};

/// Every group there is.
pub(crate) fn groups(link: &Link) -> Result<Vec<GroupLine>, CallError> {
    let mut list = Vec::new();
    let mut after = None;
    loop {
        let Reply::Groups { groups, more } = link.call(&Request::ListGroups { after })? else {
            return Err(CallError::Unexpected);
        };
        after = groups.last().map(|line| line.name.clone()).filter(|_| more);
        list.extend(groups.into_vec());
        if after.is_none() {
            return Ok(list);
        }
    }
}

/// Who asks to be let into a group.
pub(crate) fn requests(link: &Link, group: &GroupId) -> Result<Vec<UserId>, CallError> {
    let mut list = Vec::new();
    let mut after = None;
    loop {
        let request = Request::ListRequests { group: group.clone(), after };
        let Reply::Users { users, more } = link.call(&request)? else {
            return Err(CallError::Unexpected);
        };
        after = users.last().cloned().filter(|_| more);
        list.extend(users.into_vec());
        if after.is_none() {
            return Ok(list);
        }
    }
}

/// Who is in a group.
pub(crate) fn members(link: &Link, group: &GroupId) -> Result<Vec<MemberLine>, CallError> {
    let mut list = Vec::new();
    let mut after = None;
    loop {
        let request = Request::ListMembers { group: group.clone(), after };
        let Reply::Members { members, more } = link.call(&request)? else {
            return Err(CallError::Unexpected);
        };
        after = members.last().map(|line| line.name.clone()).filter(|_| more);
        list.extend(members.into_vec());
        if after.is_none() {
            return Ok(list);
        }
    }
}

/// What is shared in a group.
pub(crate) fn files(link: &Link, group: &GroupId) -> Result<Vec<FileLine>, CallError> {
    let mut list = Vec::new();
    let mut after = None;
    loop {
        let request = Request::ListFiles { group: group.clone(), after };
        let Reply::Files { files, more } = link.call(&request)? else {
            return Err(CallError::Unexpected);
        };
        after = files.last().map(|line| line.name.clone()).filter(|_| more);
        list.extend(files.into_vec());
        if after.is_none() {
            return Ok(list);
        }
    }
}
