//! The base on its way over a link. A tracker with a lower floor takes the base of the other one, part by part, and
//! restarts on it.

use crate::model::op::floor::FloorMark;
use crate::model::units::duration;
use crate::tracker::cluster::live_link::LiveLink;
use crate::tracker::commit::{BaseError, BasePart, Standing};
use crate::tracker::core::Core;
use crate::tracker::floor::rules;
use crate::wire::codec::Blob;
use crate::wire::refusal::{Code, Refusal};
use crate::wire::tracker_tracker::{BASE_PART_MAX, LinkMessage};
use std::time::{Duration, Instant};

/// The longest base to accept, in bytes.
const BASE_LEN_MAX: u64 = 4 << 30;
/// The pause before asking again for a base that this tracker could not keep.
const DISK_PAUSE: Duration = Duration::from_secs(30);
/// No tracker has made a floor that lies this far above every known change.
const LEAP_MAX: u64 = 1 << 32;

/// A transfer of a base, and the offset that it has reached.
struct Transfer {
    floor: FloorMark,
    offset: u64,
}

/// The giving half, on the sending thread.
#[derive(Default)]
pub(super) struct BaseGiver(Option<Transfer>);

impl BaseGiver {
    /// The next part of what the other tracker wants. `None` if it wants nothing.
    pub(super) fn next(&mut self, core: &Core, live: &LiveLink) -> Option<LinkMessage> {
        if let Some(floor) = live.progress.lock().wants_base.take() {
            self.0 = Some(Transfer { floor, offset: 0 });
        }
        let Transfer { floor, offset } = self.0.take()?;
        let part = core.bases.part(floor, offset, BASE_PART_MAX).unwrap_or_else(|why| {
            core.cluster.warn(&format!("the base cannot be read for another tracker: {why}"));
            None
        });
        let message = part.and_then(|BasePart { total, bytes }| {
            let end = offset + bytes.len() as u64;
            let part = Blob::new(bytes).filter(|part| !part.as_bytes().is_empty())?;
            self.0 = (end < total).then_some(Transfer { floor, offset: end });
            Some(LinkMessage::Base { floor, total, offset, part })
        });
        Some(message.unwrap_or(LinkMessage::NoBase { floor }))
    }
}

/// The taking half, on the receiving thread.
pub(super) struct BaseTaker<'a> {
    core: &'a Core,
    number: u16,
    live: &'a LiveLink,
    /// The last floor of the other tracker that was above the floor here.
    higher: Option<FloorMark>,
    asked: Option<Transfer>,
}

impl<'a> BaseTaker<'a> {
    pub(super) fn new(core: &'a Core, number: u16, live: &'a LiveLink) -> Self {
        Self { core, number, live, higher: None, asked: None }
    }

    /// Asks for the base of the other tracker if its floor is higher and this tracker cannot reach that floor by
    /// itself. Only one tracker gives its base at a time. Meanwhile this tracker refuses changes of clients.
    ///
    /// # Errors
    /// `Malformed` if no tracker can have reached its floor.
    pub(super) fn look(&mut self, now: Instant) -> Result<(), Refusal> {
        let Standing { state, floor: own } = self.core.committer.standing();
        let floor = self.live.progress.lock().floor;
        if floor.lamport > state.lamport().saturating_add(LEAP_MAX) {
            return Err(Refusal::about(Code::Malformed, "a floor that no tracker can have reached"));
        }
        if floor <= own.mark {
            self.end(now);
            return Ok(());
        }
        if self.higher.replace(floor) != Some(floor) {
            self.core.cluster.floor_wakeup().wake();
        }
        // The floor keeper tells if this tracker lacks the ops of that floor. It may have to read for long before it
        // can tell.
        let heard = rules::by_word(&state, own.mark, floor).is_some();
        let by_itself = heard && !self.core.cluster.base_slot().lock().is_out_of_reach(own.mark, floor);
        if by_itself {
            self.give_up();
        }
        self.ask(floor, by_itself, now);
        Ok(())
    }

    fn ask(&mut self, floor: FloorMark, by_itself: bool, now: Instant) {
        let mut slot = self.core.cluster.base_slot().lock();
        let late = slot.sweep(now);
        self.core.committer.set_joining(slot.set_needed(self.number, !by_itself, now));
        let asks = !by_itself && slot.claim(self.number, now);
        drop(slot);
        if let Some(late) = late {
            self.core.cluster.warn(&format!("tracker {late} gives its base too slowly, another one is asked"));
        }
        if asks {
            self.asked = Some(Transfer { floor, offset: 0 });
            self.live.progress.lock().ask_for_base = Some(floor);
            self.live.wakeup.wake();
        }
    }

    /// Takes the next part of the requested base. Ignores parts of any other.
    pub(super) fn take(&mut self, part: (FloorMark, u64, u64), bytes: &[u8], now: Instant) {
        let (floor, total, offset) = part;
        let asked = self.asked.as_mut().filter(|_| self.core.cluster.base_slot().lock().is_giver(self.number));
        let Some(asked) = asked.filter(|asked| asked.floor == floor) else { return };
        let end = offset.saturating_add(bytes.len() as u64);
        if offset != asked.offset || bytes.is_empty() || end > total || total > BASE_LEN_MAX {
            return self.blame(now);
        }
        if let Err(why) = self.core.bases.take_part(floor, offset, bytes) {
            return self.cannot_keep(&why, now);
        }
        asked.offset = end;
        self.core.cluster.base_slot().lock().note_part(end, total, now);
        if end == total {
            self.finish(floor, now);
        }
    }

    /// The other tracker no longer has that base.
    pub(super) fn take_none(&mut self, floor: FloorMark, now: Instant) {
        if self.asked.as_ref().is_some_and(|asked| asked.floor == floor) {
            self.drop_part();
            let rest = self.core.cluster.base_slot().lock().excuse(self.number, now);
            rest.iter().for_each(|rest| self.tell_blame(*rest, now));
        }
    }

    /// All parts have come.
    fn finish(&mut self, floor: FloorMark, now: Instant) {
        match self.core.bases.taken(floor) {
            Ok(true) => {
                self.asked = None;
                self.core.cluster.base_slot().lock().note_whole();
                let (number, lamport) = (self.number, floor.lamport);
                self.core.restart.ask(&format!("it takes over what tracker {number} has up to change {lamport}"));
            }
            Ok(false) => self.blame(now),
            Err(why) => self.cannot_keep(&why, now),
        }
    }

    /// Ends the transfer. Another one may be underway by now.
    fn drop_part(&mut self) {
        if self.asked.take().is_some() && self.core.cluster.base_slot().lock().is_giver(self.number) {
            self.core.bases.give_up();
        }
    }

    /// Stops asking for the base of the other tracker.
    fn give_up(&mut self) {
        self.drop_part();
        self.core.cluster.base_slot().lock().leave(self.number);
    }

    fn blame(&mut self, now: Instant) {
        self.drop_part();
        let rest = self.core.cluster.base_slot().lock().blame(self.number, now);
        self.tell_blame(rest, now);
    }

    /// While the other tracker rests, this tracker does not wait for it.
    fn tell_blame(&self, rest: Duration, now: Instant) {
        let mut slot = self.core.cluster.base_slot().lock();
        self.core.committer.set_joining(slot.set_needed(self.number, false, now));
        drop(slot);
        let (number, rest) = (self.number, duration(rest));
        self.core.cluster.warn(&format!("tracker {number} sent an impossible base; it is asked again in {rest}"));
    }

    fn cannot_keep(&mut self, why: &BaseError, now: Instant) {
        self.drop_part();
        self.core.cluster.base_slot().lock().put_off(self.number, DISK_PAUSE, now);
        self.core.cluster.warn(&format!("the base of tracker {} cannot be kept: {why}", self.number));
    }

    /// The base of the other tracker is no longer needed.
    fn end(&mut self, now: Instant) {
        if self.higher.take().is_some() {
            self.give_up();
            let mut slot = self.core.cluster.base_slot().lock();
            self.core.committer.set_joining(slot.set_needed(self.number, false, now));
        }
    }
}

impl Drop for BaseTaker<'_> {
    /// The link has ended.
    fn drop(&mut self) {
        self.end(Instant::now());
    }
}
