//! Limits how often the operator is told that a tracker has come or gone. A link that breaks again and again must not
//! fill the console.

use std::time::{Duration, Instant};

/// How many lines may come at once.
const LINES_MAX: u32 = 6;
/// The time after which one more line is allowed.
const PAUSE: Duration = Duration::from_secs(60);

/// A token bucket for the lines about one tracker. It keeps the last line that had to wait.
#[derive(Debug)]
pub(crate) struct LogThrottle {
    /// How many lines may come now.
    left: u32,
    /// When the last token was added.
    since: Instant,
    /// The last line that had to wait, and how many have waited.
    untold: Option<(String, u32)>,
}

impl LogThrottle {
    pub(crate) fn new(now: Instant) -> Self {
        Self { left: LINES_MAX, since: now, untold: None }
    }

    /// Takes a line. Returns the line to tell now, if there is one.
    pub(crate) fn tell(&mut self, line: String, now: Instant) -> Option<String> {
        let count = self.untold.as_ref().map_or(0, |(_, count)| *count);
        self.untold = Some((line, count + 1));
        self.due(now)
    }

    /// The waiting line, once there is a token for it.
    pub(crate) fn due(&mut self, now: Instant) -> Option<String> {
        while now.saturating_duration_since(self.since) >= PAUSE && self.left < LINES_MAX {
            self.left += 1;
            self.since += PAUSE;
        }
        if self.left == 0 {
            return None;
        }
        let (line, count) = self.untold.take()?;
        if self.left == LINES_MAX {
            self.since = now;
        }
        self.left -= 1;
        Some(match count {
            1 => line,
            _ => format!("{line}; it has come or gone {} more times", count - 1),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_that_breaks_again_and_again_is_told_of_a_few_times_and_then_once_a_minute() {
        let start = Instant::now();
        let at = |secs| start + Duration::from_secs(secs);
        let mut throttle = LogThrottle::new(start);
        let told = (0..20).filter_map(|n| throttle.tell(format!("line {n}"), at(1000 + n))).collect::<Vec<_>>();
        assert_eq!(told, (0..6).map(|n| format!("line {n}")).collect::<Vec<_>>());
        assert_eq!(throttle.due(at(1059)), None);
        let last = "line 19; it has come or gone 13 more times";
        assert_eq!(throttle.due(at(1060)).as_deref(), Some(last), "what holds now is told in the end");
        assert_eq!((throttle.due(at(1060)), throttle.tell("again".into(), at(1070))), (None, None));
        assert_eq!(throttle.due(at(1120)).as_deref(), Some("again"));
        let rested = (0..8).filter_map(|n| throttle.tell(format!("line {n}"), at(5000))).count();
        assert_eq!(rested, 6);
    }
}
