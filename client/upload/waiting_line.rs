//! Who waits for a place at the seeder, in the order in which they came. Pure: the time is passed in.

use crate::model::name::UserId;
use std::time::{Duration, Instant};

/// Whoever does not come back for this long waits no more. A downloader comes again after half a second.
const LAPSE: Duration = Duration::from_secs(3);
/// Most users in the line.
const LEN_MAX: usize = 256;

/// The users in the line, the first one in front, and when each came last.
#[derive(Debug, Default)]
pub(super) struct WaitingLine(Vec<(UserId, Instant)>);

impl WaitingLine {
    /// How many others are in the line before this user.
    pub(super) fn before(&mut self, user: &UserId, now: Instant) -> usize {
        self.0.retain(|(_, came)| now.saturating_duration_since(*came) < LAPSE);
        self.0.iter().take_while(|(other, _)| other != user).count()
    }

    /// This user waits. Gives the place in the line, counted from one.
    pub(super) fn wait(&mut self, user: &UserId, now: Instant) -> usize {
        let before = self.before(user, now);
        if let Some(known) = self.0.get_mut(before) {
            known.1 = now;
        } else if self.0.len() < LEN_MAX {
            self.0.push((user.clone(), now));
        }
        before + 1
    }

    /// This user has a place.
    pub(super) fn leave(&mut self, user: &UserId) {
        self.0.retain(|(other, _)| other != user);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::name::tests::user;

    #[test]
    fn whoever_comes_again_in_time_keeps_the_place_in_the_line() {
        let (mut line, now) = (WaitingLine::default(), Instant::now());
        let (ann, bob, cleo) = (user("ann"), user("bob"), user("cleo"));
        assert_eq!([&ann, &bob, &cleo].map(|user| line.wait(user, now)), [1, 2, 3]);
        assert_eq!(line.wait(&bob, now + LAPSE / 2), 2);
        assert_eq!(line.before(&cleo, now + LAPSE / 2), 2);
        assert_eq!(line.before(&user("dan"), now + LAPSE), 1, "ann and cleo did not come again");
        line.leave(&bob);
        assert_eq!(line.wait(&cleo, now + LAPSE), 1);
    }

    #[test]
    fn no_more_wait_in_it_than_may() {
        let (mut line, now) = (WaitingLine::default(), Instant::now());
        let places: Vec<_> = (0..2 * LEN_MAX).map(|number| line.wait(&user(&format!("u{number}")), now)).collect();
        assert_eq!(places.last(), Some(&(LEN_MAX + 1)));
        assert_eq!(line.0.len(), LEN_MAX);
    }
}
