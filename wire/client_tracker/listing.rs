//! The lines of the lists that a tracker sends: groups, members, files.

use crate::model::manifest::Content;
use crate::model::name::{FileName, GroupId, UserId};
use crate::model::op::group_access::GroupAccess;
use crate::wire::codec::{DecodeError, Decoder, Wire, wire_struct};
use std::fmt;

/// One group in `list_groups`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupLine {
    pub name: GroupId,
    /// The first of its owners.
    pub owner: UserId,
    pub owner_count: u32,
    pub member_count: u32,
    pub access: GroupAccess,
    /// The asking user's role in the group.
    pub role: Role,
}
wire_struct!(GroupLine { name, owner, owner_count, member_count, access, role });

/// A user's role in a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Role {
    Stranger = 0,
    /// The user has asked to join.
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

/// One member in `list_members`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberLine {
    pub name: UserId,
    /// Whether this is an owner.
    pub owner: bool,
    /// On how many clients the member is logged in.
    pub online: u32,
}
wire_struct!(MemberLine { name, owner, online });

/// One share in `list_files`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileLine {
    pub name: FileName,
    pub content: Content,
    /// The first sharer of it.
    pub author: UserId,
    /// How many members share it.
    pub sharer_count: u32,
    /// How many online clients hold pieces of it.
    pub online: u32,
}
wire_struct!(FileLine { name, content, author, sharer_count, online });

/// One share in the results of a search.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundFile {
    pub group: GroupId,
    pub file: FileLine,
}
wire_struct!(FoundFile { group, file });

/// The place up to which a search has got. Groups come in the order of their names, and so do the shares of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SearchPlace {
    pub group: GroupId,
    /// The last share of the group that the search has seen.
    pub name: Option<FileName>,
}
wire_struct!(SearchPlace { group, name });

/// Group and share with a `/` between them. No group has a `/` in its name.
impl fmt::Display for SearchPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.group, self.name.as_ref().map_or("", FileName::as_str))
    }
}

impl SearchPlace {
    /// The place that this text stands for.
    pub fn parse(text: &str) -> Option<Self> {
        let (group, name) = text.split_once('/')?;
        let name = Some(name).filter(|name| !name.is_empty()).map(FileName::parse).transpose().ok()?;
        Some(Self { group: GroupId::parse(group).ok()?, name })
    }
}
