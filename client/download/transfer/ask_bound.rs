//! Limits the requests of a download on all its connections together. Pure: the time is passed in.
//!
//! Each connection requests what its own way holds. All arriving data share one line. If that line is slow, each
//! connection is slower than it seems. Its pieces would be requested from others too, and would come twice.

use crate::model::name::UserId;
use crate::model::piece::PIECE_LEN;
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// This many requests are always allowed.
const ASKED_MIN: usize = 8;
/// Beyond `ASKED_MIN`, as many requests are allowed as pieces arrive in this time.
const AHEAD: Duration = Duration::from_secs(4);
/// Of this many pieces, one is reserved for users other than the one with most expected pieces. So one slow user leaves
/// requests for the others.
const OTHERS: usize = 4;
/// The measured rate rises at once. Its fall is slow, about as the mean of this time.
const FALL: Duration = Duration::from_secs(2);

#[derive(Debug)]
pub struct AskBound {
    /// Requested pieces that are expected.
    expected: usize,
    /// The expected pieces of each user.
    of_users: HashMap<UserId, usize>,
    /// The received bytes at the last look.
    came: u64,
    looked: Instant,
    /// In bytes a second.
    rate: f64,
}

impl AskBound {
    pub fn new(now: Instant) -> Self {
        Self { expected: 0, of_users: HashMap::new(), came: 0, looked: now, rate: 0.0 }
    }

    /// Whether to request one more piece from this user.
    pub fn has_room(&self, user: &UserId) -> bool {
        let most = ASKED_MIN + (self.rate * AHEAD.as_secs_f64() / f64::from(PIECE_LEN)) as usize;
        let of_user = self.of_users.get(user).copied().unwrap_or_default();
        self.expected < most && of_user < most - most / OTHERS
    }

    /// The time for one piece at the rate of all connections together. Zero if nothing arrives.
    pub fn line_time(&self) -> Duration {
        Duration::try_from_secs_f64(f64::from(PIECE_LEN) / self.rate).unwrap_or_default()
    }

    /// Changes the number of expected pieces on one connection to this user from `before` to `now`.
    pub fn expect(&mut self, user: &UserId, before: usize, now: usize) {
        self.expected = self.expected + now - before;
        let of_user = self.of_users.entry(user.clone()).or_default();
        *of_user = *of_user + now - before;
        if *of_user == 0 {
            self.of_users.remove(user);
        }
    }

    /// Takes the total of received bytes.
    pub fn look(&mut self, came: u64, now: Instant) {
        let time = now.saturating_duration_since(self.looked).as_secs_f64();
        if time > 0.0 {
            let rate = came.saturating_sub(self.came) as f64 / time;
            let share = (time / FALL.as_secs_f64()).min(1.0);
            self.rate = rate.max(self.rate + (rate - self.rate) * share);
            (self.came, self.looked) = (came, now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TICK: Duration = Duration::from_millis(200);

    fn user(name: &str) -> UserId {
        UserId::parse(name).expect("a name")
    }

    /// The maximum number of pieces requested from these users together, while none arrives.
    fn asked(bound: &mut AskBound, users: &[&str]) -> usize {
        let (mut count, users) = (0, users.iter().map(|name| user(name)));
        for user in users {
            while bound.has_room(&user) {
                bound.expect(&user, 0, 1);
                count += 1;
            }
        }
        count
    }

    fn most(bound: &mut AskBound) -> usize {
        let mut idle = AskBound { of_users: HashMap::new(), ..*bound };
        asked(&mut idle, &["ann", "bob"])
    }

    #[test]
    fn the_pieces_a_user_owes_keep_no_other_user_from_being_asked() {
        let begun = Instant::now();
        let mut bound = AskBound::new(begun);
        let slow = asked(&mut bound, &["slow"]);
        assert_eq!((slow, asked(&mut bound, &["ann", "bob"])), (6, 2), "of eight");
        // The others bring 10 MB/s, so more and more requests go to them.
        bound.expect(&user("ann"), 2, 0);
        bound.look(2_000_000, begun + TICK);
        assert!(asked(&mut bound, &["ann"]) > 50);
        bound.expect(&user("slow"), slow, 0);
        assert_eq!(bound.of_users.len(), 1, "users without expected pieces are forgotten");
    }

    #[test]
    fn a_thin_line_is_asked_for_a_few_pieces_and_a_fast_one_for_as_many_as_it_brings() {
        let (mut bound, mut now) = (AskBound::new(Instant::now()), Instant::now());
        assert_eq!(most(&mut bound), ASKED_MIN);
        let mut came = 0;
        for (rate, least, upto) in [(125_000, 8, 9), (100_000_000, 700, 800), (125_000, 8, 9)] {
            for _ in 0..100 {
                now += TICK;
                came += rate / 5;
                bound.look(came, now);
            }
            assert!((least..=upto).contains(&most(&mut bound)), "{rate}: {}", most(&mut bound));
        }
    }

    #[test]
    fn a_pause_of_a_moment_does_not_count() {
        let begun = Instant::now();
        let mut bound = AskBound::new(begun);
        bound.look(20_000_000, begun + TICK);
        let before = most(&mut bound);
        bound.look(20_000_000, begun + 2 * TICK);
        assert!(most(&mut bound) > before / 2 && most(&mut bound) < before);
    }
}
