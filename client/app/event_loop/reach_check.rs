//! The times at which the client asks the tracker again whether others reach it. It asks again if the tracker's answer
//! was that it did not try. Until the tracker has tried, it does not tell others the address that the user configured.

use crate::wire::client_tracker::ReachClass;
use std::time::{Duration, Instant};

/// The first pause before a check. Each later pause is twice as long, up to `LAST_PAUSE`. The tracker allows ten checks
/// a minute.
const FIRST_PAUSE: Duration = Duration::from_secs(60);
const LAST_PAUSE: Duration = Duration::from_secs(16 * 60);

/// The next check.
#[derive(Debug)]
pub(super) struct ReachCheck {
    due: Option<Instant>,
    /// The pause between the next answer and the check after it.
    pause: Duration,
}

impl Default for ReachCheck {
    fn default() -> Self {
        Self { due: None, pause: FIRST_PAUSE }
    }
}

impl ReachCheck {
    /// Takes in the tracker's answer.
    pub(super) fn heard(&mut self, found: ReachClass, now: Instant) {
        if found != ReachClass::NotTried {
            *self = Self::default();
        } else if self.due.is_none() {
            self.due = Some(now + self.pause);
            self.pause = (self.pause * 2).min(LAST_PAUSE);
        }
    }

    /// Whether to ask now. Returns true once for each check.
    pub(super) fn is_due(&mut self, now: Instant) -> bool {
        self.due.take_if(|due| *due <= now).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ReachClass::{NotTried, Reached, Refused};

    #[test]
    fn a_tracker_that_did_not_try_is_asked_again_and_again_ever_more_rarely() {
        let (mut check, begun) = (ReachCheck::default(), Instant::now());
        let mut asked = Vec::new();
        check.heard(NotTried, begun);
        for second in 0..2 * 3600 {
            let now = begun + Duration::from_secs(second);
            if check.is_due(now) {
                asked.push(second / 60);
                check.heard(NotTried, now);
            }
        }
        assert_eq!(asked, [1, 3, 7, 15, 31, 47, 63, 79, 95, 111]);
    }

    #[test]
    fn a_tracker_that_has_tried_is_asked_no_more() {
        for found in [Reached, Refused] {
            let (mut check, begun) = (ReachCheck::default(), Instant::now());
            let later = begun + FIRST_PAUSE;
            assert!(!check.is_due(later), "the tracker has not answered yet");
            check.heard(NotTried, begun);
            check.heard(found, begun);
            assert!(!check.is_due(later));
            check.heard(NotTried, later);
            assert!(check.is_due(later + FIRST_PAUSE), "the first pause again");
        }
    }

    #[test]
    fn two_answers_bring_one_check() {
        let (mut check, begun) = (ReachCheck::default(), Instant::now());
        check.heard(NotTried, begun);
        check.heard(NotTried, begun + FIRST_PAUSE / 2);
        let later = begun + FIRST_PAUSE;
        assert!(!check.is_due(later - Duration::from_secs(1)));
        assert!(check.is_due(later) && !check.is_due(later + LAST_PAUSE));
    }
}
