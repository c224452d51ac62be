//! The line of users that wait for a place at the seeder. Pure: the time is passed in.
//!
//! Users from an origin with few places and few users in the line come first. Among equals, the first to arrive comes
//! first. So a crowd at one address delays no one from elsewhere.

use super::origin::{ConnectionOrigin, Crowds};
use crate::model::name::UserId;
use std::time::{Duration, Instant};

/// A user that does not come back for this long leaves the line. A downloader comes again after half a second.
const LAPSE: Duration = Duration::from_secs(3);
/// The maximum number of users in the line.
const LEN_MAX: usize = 256;

/// The users in the line, in the order of their arrival.
#[derive(Debug, Default)]
pub(super) struct WaitingLine(Vec<Waiting>);

#[derive(Debug)]
struct Waiting {
    user: UserId,
    origin: ConnectionOrigin,
    /// When the user last came.
    came: Instant,
}

impl WaitingLine {
    /// The number of waiting users.
    pub(super) fn count(&mut self, now: Instant) -> usize {
        self.0.retain(|waiting| now.saturating_duration_since(waiting.came) < LAPSE);
        self.0.len()
    }

    /// The number of others that come before this user. `held` are the places of each origin.
    pub(super) fn before(
        &mut self,
        (user, origin): (&UserId, &ConnectionOrigin),
        held: &Crowds,
        now: Instant,
    ) -> usize {
        self.count(now);
        let (mut line, mut ranks, mut own) = (Crowds::default(), Vec::new(), None);
        for waiting in &self.0 {
            let rank = held.at(&waiting.origin) + line.at(&waiting.origin);
            line.add(&waiting.origin);
            if waiting.user == *user {
                own = Some(rank);
            } else {
                ranks.push((rank, own.is_some()));
            }
        }
        let own = own.unwrap_or_else(|| held.at(origin) + line.at(origin));
        ranks.into_iter().filter(|(rank, later)| *rank < own || *rank == own && !later).count()
    }

    /// Puts this user in the line. Returns its place, counted from one. If the line is full, the last user of the most
    /// crowded origin leaves it.
    pub(super) fn wait(&mut self, (user, origin): (&UserId, &ConnectionOrigin), held: &Crowds, now: Instant) -> usize {
        let before = self.before((user, origin), held, now);
        if let Some(known) = self.0.iter_mut().find(|waiting| waiting.user == *user) {
            known.came = now;
            return before + 1;
        }
        self.0.push(Waiting { user: user.clone(), origin: origin.clone(), came: now });
        if self.0.len() > LEN_MAX {
            let line: Crowds = self.0.iter().map(|waiting| &waiting.origin).collect();
            let last = (0..self.0.len()).max_by_key(|&at| (line.at(&self.0[at].origin), at));
            last.into_iter().for_each(|last| drop(self.0.remove(last)));
        }
        before + 1
    }

    /// Removes this user, which has a place now.
    pub(super) fn leave(&mut self, user: &UserId) {
        self.0.retain(|waiting| waiting.user != *user);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::name::tests::user;

    fn at(host: u8) -> ConnectionOrigin {
        ConnectionOrigin::of([10, 0, 0, host].into())
    }

    #[test]
    fn a_user_who_comes_again_in_time_keeps_the_place_in_the_line() {
        let (mut line, now, none) = (WaitingLine::default(), Instant::now(), Crowds::default());
        let [ann, bob, cleo, dan] = ["ann", "bob", "cleo", "dan"].map(user);
        let at = at(1);
        assert_eq!([&ann, &bob, &cleo].map(|user| line.wait((user, &at), &none, now)), [1, 2, 3]);
        assert_eq!(line.wait((&bob, &at), &none, now + LAPSE / 2), 2);
        assert_eq!(line.before((&cleo, &at), &none, now + LAPSE / 2), 2);
        assert_eq!(line.before((&dan, &at), &none, now + LAPSE), 1, "ann and cleo did not come again");
        line.leave(&bob);
        assert_eq!(line.wait((&cleo, &at), &none, now + LAPSE), 1);
    }

    #[test]
    fn a_crowd_in_the_line_or_among_those_with_places_is_before_nobody_from_elsewhere() {
        let (mut line, now) = (WaitingLine::default(), Instant::now());
        let held: Crowds = [at(1), at(1), at(2)].iter().collect();
        let eves: Vec<_> = (0..9).map(|number| user(&format!("eve{number}"))).collect();
        let places: Vec<_> = eves.iter().map(|eve| line.wait((eve, &at(1)), &held, now)).collect();
        assert_eq!(places, [1, 2, 3, 4, 5, 6, 7, 8, 9]);
        assert_eq!(line.wait((&user("ann"), &at(2)), &held, now), 1);
        assert_eq!(line.wait((&user("bob"), &at(3)), &held, now), 1, "no user from this origin has a place");
        assert_eq!(line.before((&user("ann"), &at(2)), &held, now), 1);
        assert_eq!(line.before((&eves[0], &at(1)), &held, now), 2);
    }

    #[test]
    fn no_more_wait_in_it_than_may_and_a_crowd_keeps_nobody_from_it() {
        let (mut line, now, none) = (WaitingLine::default(), Instant::now(), Crowds::default());
        for number in 0..2 * LEN_MAX {
            line.wait((&user(&format!("eve{number}")), &at(1)), &none, now);
        }
        assert_eq!(line.0.len(), LEN_MAX);
        let ann = user("ann");
        line.wait((&ann, &at(2)), &none, now);
        assert_eq!(line.0.len(), LEN_MAX);
        assert!(line.0.iter().any(|waiting| waiting.user == ann));
    }
}
