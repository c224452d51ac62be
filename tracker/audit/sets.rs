//! Sorts lines of the audit into sets of files. Each set drops only its own oldest lines. So a user with many changes
//! pushes out no line of an operator, and few lines of other users. Pure.

use super::line::AuditLine;
use crate::rate::buckets::{Buckets, Pace};
use std::time::{Duration, Instant};

/// How many lines of one user go to the set of accounts and groups. Further lines go to the rest.
const USER_PACE: Pace = Pace { burst: 500, interval: Duration::from_secs(30) };

/// A set of files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AuditSet {
    /// What operators and trackers did.
    Operators,
    /// What users did to accounts and groups.
    Users,
    /// What users share, and the lines of a user that exceed the pace.
    Rest,
}

/// Every set, in the order of its number.
pub(super) const SETS: [AuditSet; 3] = [AuditSet::Operators, AuditSet::Users, AuditSet::Rest];

impl AuditSet {
    /// The prefix of its files' names.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Operators => "operators",
            Self::Users => "users",
            Self::Rest => "rest",
        }
    }
}

/// Sorts lines into sets. Also numbers them, to keep their order across sets.
pub(super) struct LineSorter {
    users: Buckets<String>,
    last: u64,
}

impl LineSorter {
    pub(super) fn new() -> Self {
        Self { users: Buckets::new(USER_PACE), last: 0 }
    }

    /// The set of a line. `is_share` says that it is about a shared file or folder.
    pub(super) fn set_of(&mut self, line: &AuditLine, is_share: bool, now: Instant) -> AuditSet {
        // User names have no slash.
        if line.by.contains('/') {
            return AuditSet::Operators;
        }
        if is_share || !self.users.allows(&line.by, now) {
            return AuditSet::Rest;
        }
        self.users.take(&line.by, now);
        AuditSet::Users
    }

    /// The number of the next line, which is noted at this time, in seconds since 1970. It is higher than all numbers
    /// before, including those of an earlier run.
    pub(super) fn number(&mut self, seconds: u64) -> u64 {
        self.last = (self.last + 1).max(seconds.saturating_mul(1_000_000));
        self.last
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operators_accounts_and_shares_are_kept_apart_and_busy_users_go_to_the_rest() {
        let (mut sorter, start) = (LineSorter::new(), Instant::now());
        let by = |by: &str| AuditLine { by: by.to_owned(), ..AuditLine::default() };
        let users = (0..1000).filter(|_| sorter.set_of(&by("ann"), false, start) == AuditSet::Users).count();
        assert_eq!(users, 500);
        assert_eq!(sorter.set_of(&by("bob"), false, start), AuditSet::Users, "others are not concerned");
        assert_eq!(sorter.set_of(&by("bob"), true, start), AuditSet::Rest);
        assert_eq!(sorter.set_of(&by("ann"), false, start + USER_PACE.interval), AuditSet::Users);
        let operators = (0..1000).filter(|_| sorter.set_of(&by("operator/1"), false, start) == AuditSet::Operators);
        assert_eq!(operators.count(), 1000);
    }

    #[test]
    fn numbers_rise_within_a_second_and_from_run_to_run() {
        let mut sorter = LineSorter::new();
        let numbers = [7, 7, 8, 7].map(|seconds| sorter.number(seconds));
        assert_eq!(numbers, [7_000_000, 7_000_001, 8_000_000, 8_000_001]);
        assert!(LineSorter::new().number(9) > numbers[3]);
    }
}
