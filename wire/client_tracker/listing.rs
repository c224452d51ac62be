//! The lines of the lists that a tracker tells: groups, members, files.

use crate::model::manifest::Content;
use crate::model::name::{FileName, GroupId, UserId};
use crate::model::op::group_access::GroupAccess;
use crate::wire::codec::{DecodeError, Decoder, Wire, wire_struct};
use std::fmt;

/// What `list_groups` tells of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupLine {
    pub name: GroupId,
    /// The first of its owners.
    pub owner: UserId,
    pub owner_count: u32,
    pub member_count: u32,
    pub access: GroupAccess,
    /// What the asking user is in it.
    pub role: Role,
}
wire_struct!(GroupLine { name, owner, owner_count, member_count, access, role });

/// What a user is in a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Role {
    Stranger = 0,
    /// Has asked to be let in.
    Requested = 1,
    Member = 2,
    Owner = 3,
}

impl Role {
    /// The word for programs that speak JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Role::Stranger => "none",
            Role::Requested => "requested",
            Role::Member => "member",
            Role::Owner => "owner",
        }
    }
}

impl Wire for Role {
    fn put(&self, out: &mut Vec<u8>) {
        (*self as u8).put(out);
    }
    fn take(from: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        match u8::take(from)? {
            0 => Ok(Role::Stranger),
            1 => Ok(Role::Requested),
            2 => Ok(Role::Member),
            3 => Ok(Role::Owner),
            _ => Err(DecodeError::Value("a role")),
        }
    }
}

/// What `list_members` tells of a member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberLine {
    pub name: UserId,
    /// Whether this is an owner.
    pub owner: bool,
    /// On how many clients the member is logged in.
    pub online: u32,
}
wire_struct!(MemberLine { name, owner, online });

/// What `list_files` tells of a share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileLine {
    pub name: FileName,
    pub content: Content,
    /// Who was the first to share it.
    pub author: UserId,
    /// How many members share it.
    pub sharer_count: u32,
    /// How many clients that are online hold pieces of it.
    pub online: u32,
}
wire_struct!(FileLine { name, content, author, sharer_count, online });

/// What a search tells of a share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundFile {
    pub group: GroupId,
    pub file: FileLine,
}
wire_struct!(FoundFile { group, file });

/// Up to where a search has looked: groups go by name, and so do the shares of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SearchPlace {
    pub group: GroupId,
    /// The last share of it that was looked at.
    pub name: Option<FileName>,
}
wire_struct!(SearchPlace { group, name });

/// Group and share, with a `/` between them, which no group has in its name.
impl fmt::Display for SearchPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.group, self.name.as_ref().map_or("", FileName::as_str))
    }
}

impl SearchPlace {
    /// The place that was written as this text.
    pub fn parse(text: &str) -> Option<Self> {
        let (group, name) = text.split_once('/')?;
        let name = Some(name).filter(|name| !name.is_empty()).map(FileName::parse).transpose().ok()?;
        Some(Self { group: GroupId::parse(group).ok()?, name })
    }
}
