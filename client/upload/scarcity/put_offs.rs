//! The replies to a connection while its request waits for its turn. Pure.

use std::time::Duration;

/// How long a request waits for its turn before it is refused for now, because the far side has to hear something. Far
/// sides accept growing pauses.
const HOLDS: [Duration; 4] =
    [Duration::from_millis(500), Duration::from_millis(1500), Duration::from_millis(4500), Duration::from_secs(8)];
/// After this many refusals in a row a connection has to wait even for a piece that is not available. Otherwise it
/// would ask over and over.
const AT_ONCE_MAX: usize = 8;

/// The refusals in a row of a connection.
#[derive(Debug, Default)]
pub struct PutOffs {
    all: usize,
    /// Refusals after the longest wait.
    held: usize,
}

impl PutOffs {
    /// The longest wait of the next request.
    pub fn hold(&self) -> Duration {
        HOLDS[self.held.min(HOLDS.len() - 1)]
    }

    /// Whether to refuse the next unavailable piece at once.
    pub fn at_once(&self) -> bool {
        self.all < AT_ONCE_MAX
    }

    /// Counts a refusal. `held` says whether the request had waited as long as it may.
    pub fn count(&mut self, held: bool) {
        (self.all, self.held) = (self.all + 1, self.held + usize::from(held));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_given_nothing_asks_a_few_times_at_once_and_then_seldom() {
        let (mut put_offs, mut time, mut asked) = (PutOffs::default(), Duration::ZERO, 0);
        while time < Duration::from_secs(60) {
            let held = !put_offs.at_once();
            time += if held { put_offs.hold() } else { Duration::ZERO };
            put_offs.count(held);
            asked += 1;
        }
        assert!((12..20).contains(&asked), "{asked} in a minute");
    }
}
