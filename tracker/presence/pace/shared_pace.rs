//! A rate limiter for everything that users cause together. No user takes more than what remains for the others. Time
//! is passed in.

use crate::model::id::UserRef;
use crate::rate::buckets::{Buckets, Pace};
use std::time::Instant;

/// A user may take more only while more is left than this user has taken. This holds however many users take all they
/// can.
#[derive(Debug)]
pub(crate) struct SharedPace {
    burst: u64,
    all: Buckets<()>,
    users: Buckets<UserRef>,
}

impl SharedPace {
    pub(crate) fn new(pace: Pace) -> Self {
        Self { burst: pace.burst, all: Buckets::new(pace), users: Buckets::new(pace) }
    }

    /// Whether this user may cause one more now.
    pub(crate) fn allows(&self, user: UserRef, now: Instant) -> bool {
        self.users.taken(&user, now) + self.all.taken(&(), now) < self.burst
    }

    /// Counts what a user has caused.
    pub(crate) fn take(&mut self, user: UserRef, count: u64, now: Instant) {
        self.users.take_many(&user, count, now);
        self.all.take_many(&(), count, now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::id::{OpId, Origin};
    use std::time::Duration;

    #[test]
    fn a_user_who_takes_all_leaves_as_much_to_others_and_gets_it_back_in_time() {
        let now = Instant::now();
        let mut shared = SharedPace::new(Pace { burst: 1024, interval: Duration::from_millis(1) });
        let user = |seq| UserRef(OpId { origin: Origin { tracker: 1, incarnation: 1 }, seq });
        let mut taken = |seq, now| {
            let mut count = 0;
            while shared.allows(user(seq), now) {
                shared.take(user(seq), 1, now);
                count += 1;
            }
            count
        };
        assert_eq!((taken(1, now), taken(2, now), taken(3, now), taken(1, now)), (512, 256, 128, 0));
        assert_eq!(taken(1, now + Duration::from_millis(1024)), 512);
    }
}
