//! The places from which users have logged in lately. There they have tries of their own, which strangers cannot use
//! up. Pure.

use crate::model::name::UserId;
use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};
use std::net::IpAddr;

/// How many pairs of a user and a place are known: more than the accounts that one address can make in half a day.
const KNOWN_MAX: usize = 16_384;

/// How many stay when there are too many.
const KEPT: usize = KNOWN_MAX / 4 * 3;

#[derive(Debug, Default)]
pub(super) struct KnownPlaces {
    /// The order of the latest logins.
    noted: HashMap<(UserId, IpAddr), u64>,
    last: u64,
}

impl KnownPlaces {
    /// The user has logged in there. Forgets some pairs if there are too many.
    pub(super) fn note(&mut self, user: &UserId, place: IpAddr) {
        self.last += 1;
        self.noted.insert((user.clone(), place), self.last);
        if self.noted.len() > KNOWN_MAX {
            self.forget();
        }
    }

    /// Keeps the latest user of each place, then the second one of each, and so on. So the users of the most crowded
    /// places go first.
    fn forget(&mut self) {
        let mut all: Vec<_> = self.noted.iter().map(|((_, place), noted)| (Reverse(*noted), *place)).collect();
        all.sort_unstable();
        let mut of_place: HashMap<IpAddr, usize> = HashMap::new();
        let mut ranked: Vec<_> = all
            .into_iter()
            .map(|(noted, place)| {
                let later = of_place.entry(place).or_default();
                *later += 1;
                (*later, noted)
            })
            .collect();
        ranked.sort_unstable();
        let kept: HashSet<u64> = ranked.into_iter().take(KEPT).map(|(_, Reverse(noted))| noted).collect();
        self.noted.retain(|_, noted| kept.contains(noted));
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
            // A user who returns is not forgotten.
            places.note(&user("ann"), place(1));
            assert!(places.noted.len() <= KNOWN_MAX);
        }
        assert!(places.knows(&user("ann"), place(1)) && places.knows(&user("eve"), place(3 * KNOWN_MAX - 1)));
        assert!(!places.knows(&user("eve"), place(1)) && !places.knows(&user("bob"), place(1)));
    }

    #[test]
    fn very_many_accounts_at_one_place_push_out_no_user_of_another() {
        let mut places = KnownPlaces::default();
        let (at_home, office) = (|n: u8| IpAddr::from([10, 0, 0, n]), [10, 0, 1, 1].into());
        for n in 0..200 {
            places.note(&user(&format!("ann{n}")), at_home(n));
            places.note(&user(&format!("bob{n}")), office);
        }
        for n in 0..2 * KNOWN_MAX {
            places.note(&user(&format!("eve{n}")), [192, 0, 2, 1].into());
        }
        assert!((0..200).all(|n| places.knows(&user(&format!("ann{n}")), at_home(n))));
        assert!((0..200).all(|n| places.knows(&user(&format!("bob{n}")), office)));
        assert!(places.noted.len() <= KNOWN_MAX);
    }
}
