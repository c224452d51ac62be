//! From where users have logged in of late: there they have tries of their own, which strangers cannot use up. Pure.

use crate::model::name::UserId;
use std::collections::HashMap;
use std::net::IpAddr;

/// How many pairs of a user and a place are known: more than one address can make accounts in half a day.
const KNOWN_MAX: usize = 16_384;

#[derive(Debug, Default)]
pub(super) struct KnownPlaces {
    /// When each was noted last.
    noted: HashMap<(UserId, IpAddr), u64>,
    last: u64,
}

impl KnownPlaces {
    /// The user has logged in there. Of too many the older half is forgotten.
    pub(super) fn note(&mut self, user: &UserId, place: IpAddr) {
        self.last += 1;
        self.noted.insert((user.clone(), place), self.last);
        if self.noted.len() > KNOWN_MAX {
            let mut all: Vec<u64> = self.noted.values().copied().collect();
            let half = *all.select_nth_unstable(KNOWN_MAX / 2).1;
            self.noted.retain(|_, noted| *noted > half);
        }
    }

    pub(super) fn knows(&self, user: &UserId, place: IpAddr) -> bool {
        self.noted.contains_key(&(user.clone(), place))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::name::tests::user;

    #[test]
    fn the_latest_are_known_and_no_more_than_there_may_be() {
        let mut places = KnownPlaces::default();
        let place = |n: usize| IpAddr::from((n as u32).to_be_bytes());
        for n in 0..3 * KNOWN_MAX {
            places.note(&user("eve"), place(n));
            // Whoever comes back is not forgotten.
            places.note(&user("ann"), place(1));
            assert!(places.noted.len() <= KNOWN_MAX);
        }
        assert!(places.knows(&user("ann"), place(1)) && places.knows(&user("eve"), place(3 * KNOWN_MAX - 1)));
        assert!(!places.knows(&user("eve"), place(1)) && !places.knows(&user("bob"), place(1)));
    }
}
