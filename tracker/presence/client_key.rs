//! What a running client goes by among all trackers.

use crate::model::id::{ClientId, UserRef};
use std::ops::RangeInclusive;

/// A running client of a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientKey {
    pub user: UserRef,
    pub client: ClientId,
}

impl ClientKey {
    /// All keys that clients of a user can have.
    pub(super) fn all_of(user: UserRef) -> RangeInclusive<Self> {
        Self { user, client: ClientId([0; 16]) }..=Self { user, client: ClientId([0xff; 16]) }
    }
}
