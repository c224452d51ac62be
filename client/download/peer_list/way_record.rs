//! The known ways to one peer: the one that worked last, why none did, and when to try a better one than the relay.
//! Pure: the time is passed in.

use crate::client::download::obstacle::MemberObstacle;
use crate::client::reach::way::Way;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The pause before another try of a better way than the relay. The pause doubles after each failed try.
const BETTER_PAUSE: Duration = Duration::from_secs(30);
/// The longest such pause.
const BETTER_PAUSE_MAX: Duration = Duration::from_secs(300);

/// The time of the next try of a better way.
#[derive(Debug, Clone, Copy)]
struct BetterTry {
    pause: Duration,
    at: Instant,
    /// Whether a dial is under way.
    under_way: bool,
}

#[derive(Debug, Default)]
pub(super) struct WayRecord {
    last: Option<Way>,
    /// Why the last dial made no connection.
    obstacle: Option<Arc<MemberObstacle>>,
    /// At its last dial, the tracker refused to call the member again so soon.
    put_off: bool,
    /// Set while a relayed connection exists.
    better: Option<BetterTry>,
}

impl WayRecord {
    /// The way that worked last.
    pub(super) fn last(&self) -> Option<Way> {
        self.last
    }

    pub(super) fn obstacle(&self) -> Option<&Arc<MemberObstacle>> {
        self.obstacle.as_ref()
    }

    pub(super) fn is_put_off(&self) -> bool {
        self.put_off
    }

    /// Whether a peer with this many connections may have one more.
    pub(super) fn has_room(&self, lanes: usize) -> bool {
        lanes == 0 || self.last.and_then(Way::lanes_max).is_none_or(|most| lanes < most)
    }

    /// Notes a new connection.
    pub(super) fn connected(&mut self, way: Way, now: Instant) {
        (self.last, self.obstacle, self.put_off) = (Some(way), None, false);
        let first = BetterTry { pause: BETTER_PAUSE, at: now + BETTER_PAUSE, under_way: false };
        self.better = (way == Way::Relayed).then_some(first);
    }

    /// Notes a failed dial. A refusal of too many calls says less than the result of the calls before, so that result
    /// stays.
    pub(super) fn missed(&mut self, why: MemberObstacle) {
        self.put_off = why.is_of_too_many_calls();
        let is_unreached = |obstacle: &MemberObstacle| matches!(obstacle, MemberObstacle::Unreached(_));
        let knows_more = self.obstacle.as_deref().is_some_and(is_unreached);
        if !(knows_more && self.put_off) {
            self.obstacle = Some(Arc::new(why));
        }
    }

    /// Notes that the last connection is gone.
    pub(super) fn parted(&mut self) {
        self.better = None;
    }

    /// Whether to try a better way now. If so, the try counts as under way.
    pub(super) fn try_better(&mut self, now: Instant) -> bool {
        let Some(better) = self.better.as_mut().filter(|better| !better.under_way && better.at <= now) else {
            return false;
        };
        better.under_way = true;
        true
    }

    /// Whether the dial that is under way is for a better way.
    pub(super) fn is_trying_better(&self) -> bool {
        self.better.is_some_and(|better| better.under_way)
    }

    /// Notes that no better way was found.
    pub(super) fn found_no_better(&mut self, now: Instant) {
        if let Some(better) = &mut self.better {
            let pause = (better.pause * 2).min(BETTER_PAUSE_MAX);
            *better = BetterTry { pause, at: now + better.pause, under_way: false };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_better_way_than_a_relay_is_tried_after_30_s_and_ever_more_rarely_to_5_minutes() {
        let (mut record, mut now) = (WayRecord::default(), Instant::now());
        assert!(!record.try_better(now));
        record.connected(Way::Relayed, now);
        for pause_s in [30, 30, 60, 120, 240, 300, 300] {
            let pause = Duration::from_secs(pause_s);
            assert!(!record.try_better(now + pause - Duration::from_millis(1)), "{pause_s}");
            now += pause;
            assert!(record.try_better(now) && record.is_trying_better(), "{pause_s}");
            assert!(!record.try_better(now), "one at a time");
            record.found_no_better(now);
        }
        record.connected(Way::Punched, now);
        assert!(!record.try_better(now + 2 * BETTER_PAUSE_MAX), "it was found");
    }

    #[test]
    fn a_way_that_costs_others_gets_few_connections() {
        let mut record = WayRecord::default();
        assert!(record.has_room(100), "nothing is known yet");
        for (way, most) in [(Way::Direct, 100), (Way::Called, 2), (Way::Punched, 1), (Way::Relayed, 1)] {
            record.connected(way, Instant::now());
            assert!(record.has_room(most - 1), "{way}");
            assert_eq!(record.has_room(most), way == Way::Direct, "{way}");
        }
    }
}
