//! The key of a running client, the same at all trackers.

use crate::model::id::{ClientId, UserRef};
use std::ops::RangeInclusive;

/// A running client of a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientKey {
    pub user: UserRef,
    pub client: ClientId,
}

impl ClientKey {
    /// The range of all keys of a user's clients.
    pub(super) fn all_of(user: UserRef) -> RangeInclusive<Self> {
        Self { user, client: ClientId([0; 16]) }..=Self { user, client: ClientId([0xff; 16]) }
    }
}
