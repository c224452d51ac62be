//! The wishes for manifests that went out on a link: decides which come next, and when. Pure.

use crate::model::digest::InfoHash;
use std::time::{Duration, Instant};

/// The most missing manifests to have asked the other tracker for at a time.
pub(super) const WISHES_MAX: usize = if cfg!(test) { 4 } else { 8 * 1024 };
/// After this long without an answer, the other tracker counts as lacking a manifest. It may get the manifest later.
const ASK_PAUSE: Duration = Duration::from_secs(30);

#[derive(Debug)]
pub(super) struct SentWishes {
    /// The number of the last wish.
    last: u64,
    at: Instant,
    /// The number of manifests that the other tracker has given when all wishes are fulfilled.
    expected: u64,
}

impl SentWishes {
    pub(super) fn new(now: Instant) -> Self {
        Self { last: 0, at: now, expected: 0 }
    }

    /// The next wishes. `given` is how many manifests the other tracker has given. `missing` returns the missing
    /// manifests after a wish, and the number of the last of them.
    pub(super) fn next(
        &mut self,
        now: Instant,
        given: u64,
        missing: impl Fn(u64, usize) -> (Vec<InfoHash>, u64),
    ) -> Vec<InfoHash> {
        let is_over = now.saturating_duration_since(self.at) >= ASK_PAUSE;
        let waits_for = if is_over { 0 } else { self.expected.saturating_sub(given) as usize };
        if waits_for > WISHES_MAX / 2 {
            return Vec::new();
        }
        let (mut wished, mut last) = missing(self.last, WISHES_MAX - waits_for);
        if wished.is_empty() && is_over {
            (wished, last) = missing(0, WISHES_MAX);
        }
        if !wished.is_empty() || is_over {
            *self = Self { last, at: now, expected: given + (waits_for + wished.len()) as u64 };
        }
        wished
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The missing manifests, which have numbers from 1 on.
    fn missing(numbers: impl IntoIterator<Item = u8>) -> impl Fn(u64, usize) -> (Vec<InfoHash>, u64) {
        let numbers: Vec<u8> = numbers.into_iter().collect();
        move |wish, most| {
            let later: Vec<u8> = numbers.iter().copied().filter(|&n| u64::from(n) > wish).take(most).collect();
            let last = later.last().map_or(wish, |&n| u64::from(n));
            (later.iter().map(|&n| InfoHash([n; 32])).collect(), last)
        }
    }

    fn numbers(wished: Vec<InfoHash>) -> Vec<u8> {
        wished.into_iter().map(|InfoHash(bytes)| bytes[0]).collect()
    }

    #[test]
    fn more_are_asked_for_when_half_of_them_have_come() {
        let now = Instant::now();
        let mut wishes = SentWishes::new(now);
        assert_eq!(numbers(wishes.next(now, 0, missing(1..=9))), [1, 2, 3, 4]);
        assert_eq!(numbers(wishes.next(now, 1, missing(2..=9))), [0; 0]);
        assert_eq!(numbers(wishes.next(now, 2, missing(3..=9))), [5, 6]);
        assert_eq!(numbers(wishes.next(now, 6, missing(7..=9))), [7, 8, 9]);
        assert_eq!(numbers(wishes.next(now, 9, missing([]))), [0; 0]);
    }

    #[test]
    fn manifests_that_the_other_tracker_lacks_hold_no_others_up() {
        let mut now = Instant::now();
        let mut wishes = SentWishes::new(now);
        assert_eq!(numbers(wishes.next(now, 0, missing(1..=6))), [1, 2, 3, 4]);
        now += ASK_PAUSE;
        assert_eq!(numbers(wishes.next(now, 0, missing(1..=6))), [5, 6]);
        now += ASK_PAUSE;
        assert_eq!(numbers(wishes.next(now, 2, missing(1..=4))), [1, 2, 3, 4], "it may have them by now");
    }
}
