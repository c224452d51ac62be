//! A rate limiter for the news that a client holds pieces of a share. A client may move again and again, or alternate
//! between nothing and something. Time is passed in.

use super::super::client_key::ClientKey;
use super::shared_pace::SharedPace;
use crate::model::id::ShareRef;
use crate::rate::buckets::{Buckets, Pace};
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// How often the news of one client and one share goes out.
const PACE: Pace = Pace { burst: 3, interval: Duration::from_secs(3) };

/// How much news goes out in all: the limiter remembers it for 9 s. A user with many clients and shares leaves as much
/// to others. The clients of others also ask by themselves now and then.
const PACE_OF_ALL: Pace = Pace { burst: 4096, interval: Duration::from_micros(2200) };

/// What went out lately, and what has to wait. Only the newest news is worth telling later, so a key suffices.
///
/// The size is bounded: only so much goes out in a while, and news waits only if the same was told moments ago.
#[derive(Debug)]
pub struct TellingPace {
    told: Buckets<(ShareRef, ClientKey)>,
    users: SharedPace,
    owed: BTreeSet<(ShareRef, ClientKey)>,
}

impl Default for TellingPace {
    fn default() -> Self {
        Self { told: Buckets::new(PACE), users: SharedPace::new(PACE_OF_ALL), owed: BTreeSet::new() }
    }
}

impl TellingPace {
    /// Whether the news that this client holds pieces of this share may go out now. If it went out lately, the news
    /// waits. If the user has had too much told, the news is lost.
    pub fn allows(&mut self, share: ShareRef, holder: ClientKey, now: Instant) -> bool {
        let what = (share, holder);
        if !self.told.allows(&what, now) {
            self.owed.insert(what);
            return false;
        }
        self.owed.remove(&what);
        let allowed = self.users.allows(holder.user, now);
        if allowed {
            self.told.take(&what, now);
            self.users.take(holder.user, 1, now);
        }
        allowed
    }

    /// The news that waited long enough. The caller asks [`TellingPace::allows`] before telling it.
    pub fn due(&mut self, now: Instant) -> Vec<(ShareRef, ClientKey)> {
        let told = &self.told;
        let (due, owed): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.owed).into_iter().partition(|what| told.allows(what, now));
        self.owed = owed.into_iter().collect();
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::id::{ClientId, OpId, Origin, UserRef};

    fn op(seq: u64) -> OpId {
        OpId { origin: Origin { tracker: 1, incarnation: 1 }, seq }
    }

    fn holder(client: u8) -> ClientKey {
        ClientKey { user: UserRef(op(1)), client: ClientId([client; 16]) }
    }

    #[test]
    fn news_of_a_moving_client_comes_every_few_seconds_and_at_the_end() {
        let (mut pace, share, begun) = (TellingPace::default(), ShareRef(op(9)), Instant::now());
        let (mut told, mut last_told) = (0, begun);
        for ms in 0..60_000 {
            let now = begun + Duration::from_millis(ms);
            if ms % 1000 == 0 {
                for (share, holder) in pace.due(now) {
                    assert!(pace.allows(share, holder, now), "what is due may be told");
                    (told, last_told) = (told + 1, now);
                }
            }
            if pace.allows(share, holder(1), now) {
                (told, last_told) = (told + 1, now);
            }
        }
        assert!((20..=PACE.burst + 20).contains(&told), "{told}");
        assert!(begun + Duration::from_secs(60) - last_told <= 2 * PACE.interval, "it never falls silent");
        let later = begun + Duration::from_secs(60) + PACE.interval;
        assert_eq!(pace.due(later), [(share, holder(1))], "where it is at the end is told");
        assert_eq!((pace.due(later), pace.owed.len()), (Vec::new(), 0), "once");
    }

    #[test]
    fn a_holder_of_very_many_shares_is_told_of_within_bounds_and_leaves_as_much_to_others() {
        let (mut pace, begun) = (TellingPace::default(), Instant::now());
        let mut told = 0;
        for ms in 0..20_000 {
            let now = begun + Duration::from_millis(ms);
            told += (0..4).filter(|at| pace.allows(ShareRef(op(4 * ms + at)), holder(1), now)).count();
        }
        assert!(told < 12_000, "{told}");
        let now = begun + Duration::from_secs(20);
        assert!(pace.told.len() <= 4 * PACE_OF_ALL.burst as usize, "{}", pace.told.len());
        let other = ClientKey { user: UserRef(op(2)), client: ClientId([1; 16]) };
        assert!((0..1000).all(|share| pace.allows(ShareRef(op(share)), other, now)));
    }

    #[test]
    fn a_client_that_moves_all_the_time_holds_nobody_else_up() {
        let (mut pace, share, now) = (TellingPace::default(), ShareRef(op(9)), Instant::now());
        let told = (0..1000).filter(|_| pace.allows(share, holder(1), now)).count();
        assert_eq!(told, PACE.burst as usize);
        assert!(pace.allows(share, holder(2), now), "another client of the user");
        assert!(pace.allows(ShareRef(op(8)), holder(1), now), "another share");
        assert_eq!(pace.owed.len(), 1);
    }
}
