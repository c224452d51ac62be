//! What the tracker says of a share that is asked for by name.

use super::link::{CallError, Link};
use crate::model::id::{GroupRef, ShareRef};
use crate::model::manifest::Content;
use crate::model::name::{FileName, GroupId};
use crate::wire::client_tracker::{Reply, Request};

/// What the tracker says of a share.
#[derive(Debug, Clone)]
pub struct Found {
    /// The share.
    pub share: ShareRef,
    /// Its group.
    pub group: GroupRef,
    /// What it is.
    pub content: Content,
    /// Whether the user is one of its sharers.
    pub shared_by_you: bool,
}

/// Asks what is shared under a name.
pub(crate) fn find(link: &Link, group: &GroupId, name: &FileName) -> Result<Found, CallError> {
    match link.call(&Request::FindShare { group: group.clone(), name: name.clone() })? {
        Reply::Share { share, group, content, shared_by_you, .. } => Ok(Found { share, group, content, shared_by_you }),
        _ => Err(CallError::Unexpected),
    }
}
