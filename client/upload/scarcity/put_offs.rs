//! What the far side of a connection hears while what it asks for waits for its turn. Pure.

use std::time::Duration;

/// How long a request waits for its turn before the far side hears that it is not given a piece now: it has to hear
/// something. Far sides bear with pauses that grow.
const HOLDS: [Duration; 4] =
    [Duration::from_millis(500), Duration::from_millis(1500), Duration::from_millis(4500), Duration::from_secs(8)];
/// After so many refusals in a row whoever asks for what is not to be had waits too, rather than ask over and over.
const AT_ONCE_MAX: usize = 8;

/// How many pieces in a row a connection was not given.
#[derive(Debug, Default)]
pub struct PutOffs {
    all: usize,
    /// Those that waited as long as they may.
    held: usize,
}

impl PutOffs {
    /// How long the next one may wait.
    pub fn hold(&self) -> Duration {
        HOLDS[self.held.min(HOLDS.len() - 1)]
    }

    /// Whether the next one that is not to be had is refused at once.
    pub fn at_once(&self) -> bool {
        self.all < AT_ONCE_MAX
    }

    /// One was not given. `held` if it waited as long as it may.
    pub fn count(&mut self, held: bool) {
        (self.all, self.held) = (self.all + 1, self.held + usize::from(held));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_is_not_given_anything_asks_a_few_times_at_once_and_then_seldom() {
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
