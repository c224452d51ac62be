//! Which other tracker gives its base to this one: one at a time. Also which trackers not to ask for now. Pure.

use crate::model::op::floor::FloorMark;
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

/// A giver that sends no part for this long loses its slot.
const SILENCE_MAX: Duration = Duration::from_secs(60);
/// The time after which an incomplete base is given up.
const WHOLE_MAX: Duration = Duration::from_secs(3600);
/// How long a tracker that gave no sound base rests. The rest doubles each time.
const REST_MIN: Duration = Duration::from_secs(600);
/// Longest rest.
const REST_MAX: Duration = Duration::from_secs(24 * 3600);
/// The pause before a tracker is asked again that had moved on to another base.
const PAUSE: Duration = Duration::from_secs(1);
/// How often in a row a tracker may have moved on to another base.
const EXCUSES_MAX: u32 = 8;

/// The slot of the giver. Numbers stand for trackers.
#[derive(Debug, Default)]
pub(crate) struct BaseSlot {
    giver: Option<Giver>,
    rests: BTreeMap<u16, Rest>,
    /// The trackers whose base this one needs, including those that wait for their turn.
    needed: BTreeSet<u16>,
    /// The floor here and another floor. The floor keeper has found that this tracker cannot get from the first to the
    /// second by itself.
    out_of_reach: Option<[FloorMark; 2]>,
    /// A base is here, and the tracker is about to restart on it.
    whole: bool,
}

#[derive(Debug)]
struct Giver {
    number: u16,
    begun: Instant,
    heard: Instant,
    taken: u64,
    total: u64,
}

#[derive(Debug)]
struct Rest {
    until: Instant,
    /// Whether the tracker gave no sound base.
    blamed: bool,
    /// The length of this rest, which the next one doubles.
    last: Duration,
    excuses: u32,
}

impl BaseSlot {
    /// Gives a tracker the slot if it is free. Returns true if the tracker has just got the slot. Then the caller asks
    /// for its base.
    pub(crate) fn claim(&mut self, number: u16, now: Instant) -> bool {
        let rests = self.rests.get(&number).is_some_and(|rest| now < rest.until);
        let free = self.giver.is_none() && !self.whole && !rests;
        if free {
            self.giver = Some(Giver { number, begun: now, heard: now, taken: 0, total: 0 });
        }
        free
    }

    /// Whether the tracker with this number has the slot.
    pub(crate) fn is_giver(&self, number: u16) -> bool {
        !self.whole && self.giver.as_ref().is_some_and(|giver| giver.number == number)
    }

    /// The giver has sent a part: `taken` bytes are here.
    pub(crate) fn note_part(&mut self, taken: u64, total: u64, now: Instant) {
        if let Some(giver) = &mut self.giver {
            (giver.heard, giver.taken, giver.total) = (now, taken, total);
        }
    }

    /// A whole base is here. No other tracker is asked, and the base stays needed.
    pub(crate) fn note_whole(&mut self) {
        self.whole = true;
    }

    /// The giver's link has ended, or its base is no longer needed.
    pub(crate) fn leave(&mut self, number: u16) {
        self.giver.take_if(|giver| giver.number == number);
    }

    /// Notes whether this tracker needs the base of another tracker. The base of a blamed tracker does not count as
    /// needed. Returns whether this tracker needs any base.
    pub(crate) fn set_needed(&mut self, number: u16, needed: bool, now: Instant) -> bool {
        match needed && !self.is_blamed(number, now) {
            true => self.needed.insert(number),
            false => self.needed.remove(&number),
        };
        self.whole || !self.needed.is_empty()
    }

    /// Notes that this tracker cannot get from one floor to another by itself, or clears that.
    pub(crate) fn note_out_of_reach(&mut self, between: Option<[FloorMark; 2]>) {
        self.out_of_reach = between;
    }

    /// Whether the floor keeper has found that this tracker cannot get from one floor to the other by itself.
    pub(crate) fn is_out_of_reach(&self, own: FloorMark, higher: FloorMark) -> bool {
        self.out_of_reach == Some([own, higher])
    }

    /// Whether a tracker rests because it gave no sound base.
    pub(crate) fn is_blamed(&self, number: u16, now: Instant) -> bool {
        self.rests.get(&number).is_some_and(|rest| rest.blamed && now < rest.until)
    }

    fn rest(&mut self, number: u16, now: Instant) -> &mut Rest {
        let none = Rest { until: now, blamed: false, last: Duration::ZERO, excuses: 0 };
        self.rests.entry(number).or_insert(none)
    }

    /// The base of a tracker is not available for now, and the tracker is not to blame. It is asked again after a
    /// pause.
    pub(crate) fn put_off(&mut self, number: u16, pause: Duration, now: Instant) {
        self.leave(number);
        let rest = self.rest(number, now);
        (rest.until, rest.blamed) = (now + pause, false);
    }

    /// A tracker has moved on to another base. This may happen a few times. If it happens too often, returns how long
    /// the tracker rests.
    pub(crate) fn excuse(&mut self, number: u16, now: Instant) -> Option<Duration> {
        let rest = self.rest(number, now);
        rest.excuses += 1;
        if rest.excuses > EXCUSES_MAX {
            return Some(self.blame(number, now));
        }
        self.put_off(number, PAUSE, now);
        None
    }

    /// It gave no base, or an unsound one. Returns how long it rests.
    pub(crate) fn blame(&mut self, number: u16, now: Instant) -> Duration {
        self.leave(number);
        let rest = self.rest(number, now);
        let last = rest.last.saturating_mul(2).clamp(REST_MIN, REST_MAX);
        *rest = Rest { until: now + last, blamed: true, last, excuses: 0 };
        last
    }

    /// Takes the slot from a giver that is too late. Returns its number.
    pub(crate) fn sweep(&mut self, now: Instant) -> Option<u16> {
        let passed = |since: Instant| now.saturating_duration_since(since);
        let is_late = |giver: &mut Giver| passed(giver.heard) >= SILENCE_MAX || passed(giver.begun) >= WHOLE_MAX;
        let late = self.giver.take_if(|giver| !self.whole && is_late(giver))?.number;
        self.blame(late, now);
        Some(late)
    }

    /// The giver, and how much of its base is here, in percent.
    pub(crate) fn progress(&self) -> Option<(u16, u64)> {
        let giver = self.giver.as_ref()?;
        Some((giver.number, giver.taken.saturating_mul(100) / giver.total.max(1)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::OnceLock;

    fn at(secs: u64) -> Instant {
        static START: OnceLock<Instant> = OnceLock::new();
        *START.get_or_init(Instant::now) + Duration::from_secs(secs)
    }

    #[test]
    fn one_gives_at_a_time_and_the_next_one_once_it_has_gone_or_is_silent() {
        let mut slot = BaseSlot::default();
        assert!(slot.claim(2, at(0)) && !slot.claim(2, at(0)) && !slot.claim(3, at(0)));
        assert!(slot.is_giver(2) && !slot.is_giver(3));
        slot.leave(3);
        assert!(slot.is_giver(2));
        slot.leave(2);
        assert!(slot.claim(3, at(1)));
        slot.note_part(10, 40, at(50));
        assert_eq!((slot.sweep(at(109)), slot.progress()), (None, Some((3, 25))));
        assert_eq!(slot.sweep(at(110)), Some(3), "it was silent for a minute");
        assert!(!slot.claim(3, at(111)) && slot.claim(2, at(111)));
    }

    #[test]
    fn a_giver_that_never_comes_to_an_end_loses_its_place_too() {
        let mut slot = BaseSlot::default();
        assert!(slot.claim(2, at(0)));
        for minute in 1..60 {
            slot.note_part(minute, u64::MAX, at(minute * 60 - 1));
            assert_eq!(slot.sweep(at(minute * 60)), None);
        }
        slot.note_part(60, u64::MAX, at(3599));
        assert_eq!(slot.sweep(at(3600)), Some(2));
    }

    #[test]
    fn a_tracker_that_gives_no_sound_base_rests_longer_each_time_and_is_not_waited_for() {
        let mut slot = BaseSlot::default();
        let mut now = 0;
        for minutes in [10, 20, 40, 80, 160, 320, 640, 1280, 1440, 1440] {
            assert!(slot.claim(2, at(now)) && slot.set_needed(2, true, at(now)));
            assert_eq!(slot.blame(2, at(now)), Duration::from_secs(minutes * 60));
            assert!(!slot.set_needed(2, true, at(now)), "clients change something here meanwhile");
            now += minutes * 60;
            assert!(!slot.claim(2, at(now - 1)));
        }
    }

    #[test]
    fn a_tracker_that_always_has_another_base_is_blamed_in_the_end() {
        let mut slot = BaseSlot::default();
        for second in 0..8 {
            assert!(slot.claim(2, at(second)) && slot.excuse(2, at(second)).is_none());
            assert!(!slot.claim(2, at(second)) && slot.set_needed(2, true, at(second)));
        }
        assert!(slot.claim(2, at(8)));
        assert_eq!(slot.excuse(2, at(8)), Some(REST_MIN));
        assert!(!slot.set_needed(2, true, at(9)));
    }

    #[test]
    fn once_a_base_is_here_nobody_else_is_asked_and_no_client_changes_anything() {
        let mut slot = BaseSlot::default();
        assert!(slot.claim(2, at(0)) && slot.set_needed(2, true, at(0)));
        slot.note_whole();
        slot.leave(2);
        assert!(!slot.claim(3, at(1)) && slot.set_needed(2, false, at(1)) && slot.sweep(at(9999)).is_none());
    }
}
