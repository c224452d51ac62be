//! What a running client goes by among all trackers.

use crate::model::id::{ClientId, UserRef};

/// A running client of a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientKey {
    pub user: UserRef,
    pub client: ClientId,
}
