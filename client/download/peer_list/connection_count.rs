//! How many connections a download wants: four times as many as long as that brings clearly more. On a line that loses
//! packets, each connection is slow however free the line is. Pure.

use std::time::{Duration, Instant};

/// Most that are wanted.
const MOST: usize = 16;
/// New connections have so long to come up to their pace, and are measured for as long.
const STEP: Duration = Duration::from_secs(1);
/// So many times the connections are tried. With twice as many, chance decides where packets are lost, and a short download
/// is over before there are enough.
const FACTOR: usize = 4;
/// Each new one must bring such a part of what the others bring.
const GAIN: f64 = 0.3;
/// Where they did not, more are tried again after this long.
const REST: Duration = Duration::from_secs(30);

#[derive(Debug)]
pub(super) struct ConnectionCount {
    wanted: usize,
    /// How many there were before the last growth.
    had: usize,
    phase: Phase,
    /// When the phase began, and how many bytes had come by then.
    since: Instant,
    came: u64,
}

/// What is done at the moment. Paces are in bytes a second.
#[derive(Debug, Clone, Copy)]
enum Phase {
    /// The pace of the connections that are there is measured.
    Measures,
    /// There are more since the pace was this one.
    Comes { before: f64 },
    /// Their pace is measured.
    Judges { before: f64 },
    /// More brought nothing.
    Rests,
}

impl ConnectionCount {
    /// Begins with so many.
    pub(super) fn new(wanted: usize, now: Instant) -> Self {
        Self { wanted, had: wanted, phase: Phase::Measures, since: now, came: 0 }
    }

    /// How many are wanted now that so many bytes have come in all.
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

    /// The pace that is worth the last growth.
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

    /// How many are wanted in each second, where so many connections bring so many bytes a second.
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
    fn what_brings_nothing_is_taken_back_and_tried_again_much_later() {
        let wanted = wanted_in(40, |_| 11_000_000);
        assert_eq!(wanted[..5], [2, 8, 8, 2, 2]);
        assert!(wanted[5..34].iter().all(|&count| count == 2), "{wanted:?}");
        assert_eq!(wanted[34..38], [8, 8, 2, 2]);
        assert_eq!(wanted_in(10, |_| 0), [2; 10], "nothing comes, and nothing is known");
    }
}
