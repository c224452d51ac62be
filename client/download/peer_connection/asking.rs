//! The open requests of one connection, and when to request more. Pure: the time is passed in, and so is the choice of
//! the pieces.

use super::liveness::{Due, Liveness};
use super::pipe::Pipe;
use crate::client::difference::piece_ask::PieceAsk;
use crate::client::download::transfer::Outlook;
use crate::model::piece::{Layout, PieceIndex};
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// After this many refusals in a row because others receive the pieces, the connection waits for the next tick.
/// Otherwise it would request all pieces over and over from a peer that refuses each one.
const PUT_OFF_MAX: u32 = 16;

/// A requested piece that the peer does not give now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refused {
    pub piece: PieceIndex,
    /// Whether the peer has given nothing for too long.
    pub is_gone: bool,
}

/// The requests of one connection.
#[derive(Debug)]
pub struct Asking {
    layout: Layout,
    /// Requests without a reply, the oldest in front.
    asked: VecDeque<(u32, PieceAsk)>,
    last_request: u32,
    /// How far ahead the connection requests.
    pipe: Pipe,
    liveness: Liveness,
    /// Received bytes so far.
    come: u64,
    /// The last attempt found no piece to request.
    nothing_left: bool,
    /// The number of refusals in a row because others receive the pieces.
    put_off: u32,
}

impl Asking {
    /// The requests of a connection that opens now.
    pub fn new(layout: Layout, now: Instant) -> Self {
        Self {
            layout,
            asked: VecDeque::new(),
            last_request: 1,
            pipe: Pipe::default(),
            liveness: Liveness::new(now),
            come: 0,
            nothing_left: false,
            put_off: 0,
        }
    }

    /// Whether the peer owes nothing.
    pub fn is_idle(&self) -> bool {
        self.asked.is_empty()
    }

    /// The number of owed pieces.
    pub fn owed(&self) -> usize {
        self.asked.len()
    }

    /// The number of owed pieces that are still expected. This excludes pieces that others may take and pieces that are
    /// long overdue.
    pub fn expected(&self, now: Instant) -> usize {
        if self.liveness.is_late() { 0 } else { self.owed() - self.pipe.overdue(now) }
    }

    /// Whether others may take the owed pieces, and nothing has come since.
    pub fn is_late(&self) -> bool {
        self.liveness.is_late()
    }

    /// A new request number.
    pub fn number(&mut self) -> u32 {
        self.last_request = self.last_request.wrapping_add(1).max(1);
        self.last_request
    }

    /// Whether the way to the peer holds more than was requested.
    fn has_room(&self, now: Instant) -> bool {
        !self.liveness.is_late() && self.put_off < PUT_OFF_MAX && self.pipe.has_room(now)
    }

    /// The next piece to request, as `pick` chooses it for this outlook, with the request number. The peer owes it from
    /// now on.
    pub fn next(
        &mut self,
        now: Instant,
        pick: impl FnOnce(Option<Outlook>) -> Option<PieceAsk>,
    ) -> Option<(u32, PieceAsk)> {
        if !self.has_room(now) {
            return None;
        }
        let picked = pick(self.pipe.outlook(now));
        self.nothing_left = picked.is_none();
        let wanted = picked?;
        if self.asked.is_empty() {
            // The deadline runs from the request on.
            self.liveness.restart(now);
        }
        self.pipe.ask(wanted.len(self.layout), now);
        let request = self.number();
        self.asked.push_back((request, wanted.clone()));
        Some((request, wanted))
    }

    /// Notes received bytes. Returns whether to request more now, in the middle of a piece.
    pub fn hear(&mut self, bytes: u64, now: Instant) -> bool {
        self.come += bytes;
        self.liveness.hear(self.come, !self.asked.is_empty(), now);
        self.pipe.hear(bytes, now);
        !self.nothing_left && self.has_room(now)
    }

    /// Takes the piece of this request. Returns `None` if another request was next.
    pub fn take(&mut self, request: u32, now: Instant) -> Option<PieceAsk> {
        let (_, wanted) = self.asked.pop_front().filter(|(id, _)| *id == request)?;
        self.liveness.deliver(now);
        self.pipe.settle(true, now);
        self.put_off = 0;
        Some(wanted)
    }

    /// Notes that a piece has proved right.
    pub fn prove(&mut self) {
        self.pipe.prove();
    }

    /// Takes the refusal of this request. Returns `None` if another request was next.
    pub fn refuse(&mut self, request: u32, now: Instant) -> Option<Refused> {
        let (_, wanted) = self.asked.pop_front().filter(|(id, _)| *id == request)?;
        self.pipe.settle(false, now);
        self.put_off += 1;
        Some(Refused { piece: wanted.piece, is_gone: self.liveness.put_off(now) })
    }

    /// The latest frame is no sign of life.
    pub fn disregard(&mut self) {
        self.liveness.disregard();
    }

    /// The latest frame answers another request.
    pub fn answer(&mut self) {
        self.liveness.answer();
    }

    /// Restarts the clock, because something kept this end from reading.
    pub fn restart(&mut self, now: Instant) {
        self.liveness.restart(now);
    }

    /// What is due at a tick. `awaited` says whether another reply is expected. `line_time` is the time that the shared
    /// line to this end needs for a piece. Refused pieces may be requested again from now on.
    pub fn look(&mut self, awaited: bool, line_time: Duration, now: Instant) -> Option<Due> {
        self.put_off = 0;
        self.liveness.share_line(line_time);
        self.liveness.due(now, !self.asked.is_empty(), awaited)
    }

    /// The outlook for the owed pieces.
    pub fn outlook(&self, now: Instant) -> Option<Outlook> {
        if self.asked.is_empty() { None } else { self.pipe.outlook(now) }
    }

    /// Whether a piece is arriving, however slowly.
    pub fn is_giving(&self, now: Instant) -> bool {
        !self.asked.is_empty() && self.liveness.is_giving(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::piece::PIECE_LEN;

    const MS: Duration = Duration::from_millis(1);

    /// A test connection with these pieces to request.
    struct Asked {
        asking: Asking,
        left: VecDeque<u32>,
    }

    impl Asked {
        fn of(count: u32, now: Instant) -> Self {
            let layout = Layout::new(u64::from(count) * u64::from(PIECE_LEN)).expect("a good size");
            Self { asking: Asking::new(layout, now), left: (0..count).collect() }
        }

        fn ask_all(&mut self, now: Instant) -> Vec<u32> {
            let (asking, left) = (&mut self.asking, &mut self.left);
            let mut pick = || asking.next(now, |_| left.pop_front().and_then(piece_at).map(PieceAsk::from));
            std::iter::from_fn(|| pick().map(|(request, _)| request)).collect()
        }
    }

    fn piece_at(piece: u32) -> Option<PieceIndex> {
        Layout::new(u64::from(PIECE_LEN) * 1000)?.index(piece)
    }

    #[test]
    fn the_piece_that_comes_is_the_one_asked_for_first() {
        let now = Instant::now();
        let mut asked = Asked::of(9, now);
        let first = asked.ask_all(now);
        assert_eq!(first.len(), 1, "nothing is known of the way");
        asked.asking.hear(PIECE_LEN.into(), now + 100 * MS);
        let more = asked.ask_all(now + 100 * MS);
        assert!(!more.is_empty());
        assert_eq!(asked.asking.take(first[0], now + 100 * MS).map(|it| it.piece.get()), Some(0));
        assert_eq!(asked.asking.take(first[0], now + 100 * MS), None, "it has come already");
    }

    #[test]
    fn a_member_that_puts_all_off_is_asked_again_next_tick_and_finally_gone() {
        let now = Instant::now();
        let mut asked = Asked::of(1000, now);
        let refused = |asked: &mut Asked, now| {
            let mut count = 0;
            while let Some(request) = asked.ask_all(now).pop() {
                let refused = asked.asking.refuse(request, now).expect("it was asked for");
                count += u32::from(!refused.is_gone);
            }
            count
        };
        assert_eq!(refused(&mut asked, now), PUT_OFF_MAX);
        assert_eq!(asked.asking.look(false, Duration::ZERO, now + 200 * MS), None);
        assert_eq!(refused(&mut asked, now + 200 * MS), PUT_OFF_MAX);
        assert_eq!(
            asked.asking.look(false, Duration::ZERO, now + 200_000 * MS),
            Some(Due::KeepAlive),
            "nothing is owed"
        );
        assert_eq!(refused(&mut asked, now + 200_000 * MS), 0);
    }

    #[test]
    fn a_late_connection_is_asked_for_nothing_until_something_has_come() {
        let now = Instant::now();
        let mut asked = Asked::of(9, now);
        let first = asked.ask_all(now);
        let late = now + 5000 * MS;
        assert_eq!(asked.asking.look(false, Duration::ZERO, late), Some(Due::GiveBack));
        assert!(!asked.asking.hear(PIECE_LEN.into(), late) && asked.ask_all(late).is_empty());
        assert!(asked.asking.take(first[0], late).is_some());
        assert!(!asked.ask_all(late).is_empty());
    }

    #[test]
    fn more_bytes_ask_for_nothing_when_nothing_is_left() {
        let now = Instant::now();
        let mut asked = Asked::of(1, now);
        assert_eq!(asked.ask_all(now).len(), 1);
        asked.asking.hear(u64::from(PIECE_LEN) - 1, now + 10 * MS);
        assert!(asked.ask_all(now + 10 * MS).is_empty());
        assert!(!asked.asking.hear(1, now + 11 * MS), "it was tried in vain");
    }
}
