//! How many connections a download wants: four times as many, as long as that is clearly faster. On a line that loses
//! packets, each connection is slow even when the line has room. Pure.

use std::time::{Duration, Instant};

/// The maximum number of connections.
const MOST: usize = 16;
/// New connections have this long to reach their full rate. The measurement takes as long.
const STEP: Duration = Duration::from_secs(1);
/// The number of connections grows by this factor. After a mere doubling, chance would decide, because packet loss is
/// random, and short downloads would end too soon.
const FACTOR: usize = 4;
/// Each new connection must bring this fraction of the rate of an earlier one.
const GAIN: f64 = 0.3;
/// After a growth without success, the next attempt comes after this time.
const REST: Duration = Duration::from_secs(30);

#[derive(Debug)]
pub(super) struct ConnectionCount {
    wanted: usize,
    /// The number of connections before the last growth.
    had: usize,
    phase: Phase,
    /// When the phase began, and the received bytes at that time.
    since: Instant,
    came: u64,
}

/// The current phase. Rates are in bytes a second.
#[derive(Debug, Clone, Copy)]
enum Phase {
    /// Measures the rate of the existing connections.
    Measures,
    /// Waits for new connections. `before` is the rate before them.
    Comes { before: f64 },
    /// Measures the rate with the new connections.
    Judges { before: f64 },
    /// Waits after a growth without success.
    Rests,
}

impl ConnectionCount {
    /// Begins with this many connections.
    pub(super) fn new(wanted: usize, now: Instant) -> Self {
        Self { wanted, had: wanted, phase: Phase::Measures, since: now, came: 0 }
    }

    /// Takes the total of received bytes, and returns how many connections are wanted now.
    pub(super) fn look(&mut self, came: u64, now: Instant) -> usize {
        let took = now.saturating_duration_since(self.since);
        let due = if matches!(self.phase, Phase::Rests) { REST } else { STEP };
        if took < due {
            return self.wanted;
        }
        let pace = (came - self.came) as f64 / took.as_secs_f64();
        self.phase = match self.phase {
            Phase::Measures if pace == 0.0 => Phase::Measures,
            Phase::Measures => self.grow(pace),
            Phase::Comes { before } => Phase::Judges { before },
            Phase::Judges { before } if pace > self.enough(before) => self.grow(pace),
            Phase::Judges { .. } => {
                self.wanted = self.had;
                Phase::Rests
            }
            Phase::Rests => Phase::Measures,
        };
        (self.since, self.came) = (now, came);
        self.wanted
    }

    /// The rate that justifies the last growth.
    fn enough(&self, before: f64) -> f64 {
        let new = (self.wanted - self.had) as f64 / self.had as f64;
        before * (1.0 + GAIN * new)
    }

    fn grow(&mut self, before: f64) -> Phase {
        if self.wanted >= MOST {
            return Phase::Rests;
        }
        (self.had, self.wanted) = (self.wanted, (FACTOR * self.wanted).min(MOST));
        Phase::Comes { before }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The wanted number in each second, if this many connections bring this many bytes a second.
    fn wanted_in(seconds: u32, pace: impl Fn(usize) -> u64) -> Vec<usize> {
        let begun = Instant::now();
        let (mut count, mut came) = (ConnectionCount::new(2, begun), 0);
        let step = |second| {
            let wanted = count.look(came, begun + second * STEP);
            came += pace(wanted);
            wanted
        };
        (0..seconds).map(step).collect()
    }

    #[test]
    fn more_are_wanted_while_each_brings_more() {
        assert_eq!(wanted_in(9, |count| 700_000 * count as u64), [2, 8, 8, 16, 16, 16, 16, 16, 16]);
    }

    #[test]
    fn connections_that_bring_nothing_end_and_are_tried_again_much_later() {
        let wanted = wanted_in(40, |_| 11_000_000);
        assert_eq!(wanted[..5], [2, 8, 8, 2, 2]);
        assert!(wanted[5..34].iter().all(|&count| count == 2), "{wanted:?}");
        assert_eq!(wanted[34..38], [8, 8, 2, 2]);
        assert_eq!(wanted_in(10, |_| 0), [2; 10], "nothing comes, and nothing is known");
    }
}
