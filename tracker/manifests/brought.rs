//! The manifests that the user of a connection brings: the one on its way, and those that came whole and valid lately.
//! A user may share a manifest without bringing it only if the user has brought it before or is in a group that has
//! it.

use super::upload::ManifestUpload;
use crate::model::digest::InfoHash;
use crate::model::id::UserRef;
use std::collections::VecDeque;
use std::time::Instant;

/// How many manifests are remembered. The share for which a manifest comes is the next request.
const BROUGHT_MAX: usize = 64;

#[derive(Debug, Default)]
pub(crate) struct BroughtManifests {
    user: Option<UserRef>,
    pub(crate) upload: Option<ManifestUpload>,
    /// The latest one is at the end.
    whole: VecDeque<InfoHash>,
}

impl BroughtManifests {
    /// The manifests of this user. Drops what another user has brought on the same connection.
    pub(crate) fn of(&mut self, user: UserRef) -> &mut Self {
        if self.user != Some(user) {
            *self = Self { user: Some(user), ..Self::default() };
        }
        self
    }

    /// A manifest has come whole and valid.
    pub(crate) fn note(&mut self, info_hash: InfoHash) {
        self.whole.retain(|before| *before != info_hash);
        self.whole.push_back(info_hash);
        if self.whole.len() > BROUGHT_MAX {
            self.whole.pop_front();
        }
    }

    /// Whether the user has brought this one.
    pub(crate) fn has(&self, info_hash: InfoHash) -> bool {
        self.whole.contains(&info_hash)
    }

    /// Ends an upload that takes too long.
    pub(crate) fn end_stale(&mut self, now: Instant) {
        self.upload.take_if(|upload| upload.is_stale(now));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::id::{OpId, Origin};

    #[test]
    fn the_last_manifests_of_a_user_are_remembered_and_none_of_another_user() {
        let user = |seq| UserRef(OpId { origin: Origin { tracker: 1, incarnation: 1 }, seq });
        let mut all = BroughtManifests::default();
        for number in 0..=BROUGHT_MAX {
            all.of(user(1)).note(InfoHash([number as u8; 32]));
        }
        all.of(user(1)).note(InfoHash([5; 32]));
        let has = |all: &mut BroughtManifests, number, of| all.of(user(of)).has(InfoHash([number; 32]));
        assert!(!has(&mut all, 0, 1) && has(&mut all, 1, 1) && has(&mut all, BROUGHT_MAX as u8, 1));
        assert_eq!(all.whole.len(), BROUGHT_MAX);
        assert!(!has(&mut all, 1, 2) && !has(&mut all, 1, 1), "another user has logged in between");
    }
}
