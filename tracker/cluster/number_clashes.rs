//! The tracker numbers that another program claims too, for the operator. The operator is told once, and told again
//! when it is over. Pure.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// A rejected program that is silent for this long counts as gone. A running one calls every few seconds.
const GONE_AFTER: Duration = Duration::from_secs(60);

/// By the number that is claimed.
#[derive(Debug, Default)]
pub(super) struct NumberClashes(BTreeMap<u16, NumberClash>);

#[derive(Debug)]
struct NumberClash {
    /// The program that was rejected last.
    instance: [u8; 16],
    /// The address from which it called.
    from: String,
    at: Instant,
}

impl NumberClashes {
    /// A program was rejected, because another one has its number. Returns true if that is news.
    pub(super) fn note(&mut self, number: u16, instance: [u8; 16], from: &str, at: Instant) -> bool {
        let clash = NumberClash { instance, from: from.to_owned(), at };
        self.0.insert(number, clash).is_none_or(|before| before.from != from)
    }

    /// A program was accepted. Returns true if it is the one that was rejected last: then the clash is over.
    pub(super) fn taken(&mut self, number: u16, instance: [u8; 16]) -> bool {
        let over = self.0.get(&number).is_some_and(|clash| clash.instance == instance);
        over && self.0.remove(&number).is_some()
    }

    /// Forgets the programs that have been silent for long, and returns their numbers.
    pub(super) fn sweep(&mut self, now: Instant) -> Vec<u16> {
        let gone = |_: &u16, clash: &mut NumberClash| now.saturating_duration_since(clash.at) >= GONE_AFTER;
        self.0.extract_if(.., gone).map(|(number, _)| number).collect()
    }

    pub(super) fn lines(&self) -> Vec<String> {
        self.0.iter().map(|(&number, clash)| words(number, &clash.from)).collect()
    }
}

/// A clash in words, for the operator.
pub(super) fn words(number: u16, from: &str) -> String {
    format!("another tracker runs under the number {number}, it called from {from}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clash_is_news_once_and_over_when_the_other_one_is_taken_or_calls_no_more() {
        let start = Instant::now();
        let at = |secs| start + Duration::from_secs(secs);
        let mut clashes = NumberClashes::default();
        assert!(clashes.note(2, [1; 16], "192.0.2.7", at(0)));
        assert!(!clashes.note(2, [1; 16], "192.0.2.7", at(2)));
        assert!(clashes.note(2, [3; 16], "192.0.2.8", at(4)), "from another address");
        assert_eq!(clashes.lines(), ["another tracker runs under the number 2, it called from 192.0.2.8"]);
        assert!(!clashes.taken(2, [1; 16]) && !clashes.taken(3, [3; 16]));
        assert!(clashes.sweep(at(63)).is_empty());
        assert!(clashes.taken(2, [3; 16]) && !clashes.taken(2, [3; 16]));
        assert!(clashes.note(2, [1; 16], "192.0.2.7", at(70)));
        assert_eq!((clashes.sweep(at(129)), clashes.sweep(at(130)), clashes.sweep(at(131))), (vec![], vec![2], vec![]));
        assert!(clashes.lines().is_empty());
    }
}
