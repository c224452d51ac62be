//! The commands that list something: one entry per line, name first, what else is told after two spaces.

use super::link::{CallError, Link};
use super::progress;
use crate::model::name::GroupId;
use crate::wire::client_tracker::{FileLine, GroupLine, MemberLine, Reply, Request, Role};

/// Every group there is.
pub fn groups(link: &Link) -> Result<Vec<String>, CallError> {
    let mut lines = Vec::new();
    let mut after = None;
    loop {
        let Reply::Groups { groups, more } = link.call(&Request::ListGroups { after })? else {
            return Err(CallError::Unexpected);
        };
        lines.extend(groups.iter().map(group_line));
        after = groups.last().map(|line| line.name.clone()).filter(|_| more);
        if after.is_none() {
            return Ok(or_empty(lines, "No groups yet; make one with create_group"));
        }
    }
}

fn group_line(line: &GroupLine) -> String {
    let members = counted(line.member_count, "member");
    let role = match line.role {
        Role::Stranger => "",
        Role::Requested => ", you asked to join",
        Role::Member => ", you are a member",
        Role::Owner => ", you are the owner",
    };
    format!("{}  {members}, owner {}{role}", line.name, line.owner)
}

/// Who asks to be let into a group.
pub fn requests(link: &Link, group: &GroupId) -> Result<Vec<String>, CallError> {
    let mut lines = Vec::new();
    let mut after = None;
    loop {
        let request = Request::ListRequests { group: group.clone(), after };
        let Reply::Users { users, more } = link.call(&request)? else {
            return Err(CallError::Unexpected);
        };
        lines.extend(users.iter().map(ToString::to_string));
        after = users.last().cloned().filter(|_| more);
        if after.is_none() {
            return Ok(or_empty(lines, "No pending requests"));
        }
    }
}

/// Who is in a group.
pub fn members(link: &Link, group: &GroupId) -> Result<Vec<String>, CallError> {
    let mut lines = Vec::new();
    let mut after = None;
    loop {
        let request = Request::ListMembers { group: group.clone(), after };
        let Reply::Members { members, more } = link.call(&request)? else {
            return Err(CallError::Unexpected);
        };
        lines.extend(members.iter().map(member_line));
        after = members.last().map(|line| line.name.clone()).filter(|_| more);
        if after.is_none() {
            return Ok(lines);
        }
    }
}

fn member_line(line: &MemberLine) -> String {
    let online = match line.online {
        0 => "offline".to_owned(),
        1 => "online".to_owned(),
        clients => format!("online with {clients} clients"),
    };
    let owner = if line.owner { ", owner" } else { "" };
    format!("{}  {online}{owner}", line.name)
}

/// What is shared in a group.
pub fn files(link: &Link, group: &GroupId) -> Result<Vec<String>, CallError> {
    let mut lines = Vec::new();
    let mut after = None;
    loop {
        let request = Request::ListFiles { group: group.clone(), after };
        let Reply::Files { files, more } = link.call(&request)? else {
            return Err(CallError::Unexpected);
        };
        lines.extend(files.iter().map(file_line));
        after = files.last().map(|line| line.name.clone()).filter(|_| more);
        if after.is_none() {
            return Ok(or_empty(lines, "No files shared in this group yet; share one with upload_file"));
        }
    }
}

fn file_line(line: &FileLine) -> String {
    let size = progress::size(line.content.layout.size());
    let folder = match line.content.file_count {
        1 => String::new(),
        files => format!(", {files} files"),
    };
    let online = match line.online {
        0 => "no member online with it".to_owned(),
        members => format!("{} online with it", counted(members, "member")),
    };
    format!("{}  {size}{folder}, {online}, sha1 {}", line.name, line.content.sha1)
}

fn counted(count: u32, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}

fn or_empty(lines: Vec<String>, empty: &str) -> Vec<String> {
    if lines.is_empty() { vec![empty.to_owned()] } else { lines }
}
