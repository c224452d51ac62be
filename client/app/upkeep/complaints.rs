//! Pieces that members say are wrong, and how many of them are read again. Pure: the time is passed in.

use super::standing::ShareKey;
use crate::model::piece::PieceIndex;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Most complaints that wait. Whoever downloads a wrong piece complains again.
const WAITING_MAX: usize = 32;
/// Least time between two pieces that are read because of complaints, however many members complain.
const PAUSE: Duration = Duration::from_millis(250);
/// The pause after such a piece, in times of how long it took.
const REST: u32 = 10;

/// Complaints about pieces. A member who lies costs a piece read per pause, and no more.
#[derive(Debug, Default)]
pub(super) struct Complaints {
    waiting: VecDeque<(ShareKey, PieceIndex)>,
    /// The next piece is not read before this time.
    rested: Option<Instant>,
}

impl Complaints {
    /// Takes a complaint in, unless it waits already or too many do.
    pub(super) fn put(&mut self, key: ShareKey, piece: PieceIndex) {
        if self.waiting.len() < WAITING_MAX && !self.waiting.contains(&(key, piece)) {
            self.waiting.push_back((key, piece));
        }
    }

    /// When the next piece may be read.
    pub(super) fn due(&self, now: Instant) -> Option<Instant> {
        (!self.waiting.is_empty()).then(|| self.rested.unwrap_or(now))
    }

    /// The piece to read now, if it is time.
    pub(super) fn take(&mut self, now: Instant) -> Option<(ShareKey, PieceIndex)> {
        self.due(now).filter(|due| *due <= now)?;
        self.rested = Some(now + PAUSE);
        self.waiting.pop_front()
    }

    /// The piece was read.
    pub(super) fn checked(&mut self, now: Instant, took: Duration) {
        self.rested = Some(now + (took * REST).max(PAUSE));
    }

    /// Drops what was said of a share.
    pub(super) fn forget(&mut self, key: ShareKey) {
        self.waiting.retain(|(other, _)| *other != key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::digest::InfoHash;
    use crate::model::id::{GroupRef, OpId, Origin};
    use crate::model::piece::{Layout, SIZE_MAX};

    const KEY: ShareKey = (GroupRef(OpId { origin: Origin { tracker: 1, incarnation: 1 }, seq: 1 }), InfoHash([7; 32]));

    #[test]
    fn however_many_complain_about_right_pieces_four_are_read_in_a_second() {
        let layout = Layout::new(SIZE_MAX).expect("the longest");
        let piece = |number: u32| layout.index(number).expect("it has so many");
        let mut complaints = Complaints::default();
        let mut now = Instant::now();
        assert_eq!((complaints.due(now), complaints.take(now)), (None, None));
        let (end, mut read) = (now + Duration::from_secs(10), 0);
        for number in 0.. {
            complaints.put(KEY, piece(number % 1_000_000));
            complaints.put(KEY, piece(number % 1_000_000));
            assert!(complaints.waiting.len() <= WAITING_MAX);
            if complaints.take(now).is_some() {
                complaints.checked(now, Duration::from_millis(1));
                read += 1;
            }
            now += Duration::from_millis(1);
            if now >= end {
                break;
            }
        }
        assert_eq!(read, 40);
        complaints.forget(KEY);
        assert_eq!(complaints.due(now), None);
    }

    #[test]
    fn a_first_complaint_is_looked_at_at_once_and_one_of_the_same_piece_once() {
        let piece = Layout::new(1).and_then(|layout| layout.index(0)).expect("it has one");
        let mut complaints = Complaints::default();
        let now = Instant::now();
        complaints.put(KEY, piece);
        complaints.put(KEY, piece);
        assert_eq!(complaints.due(now), Some(now));
        assert_eq!(complaints.take(now), Some((KEY, piece)));
        assert_eq!(complaints.take(now + PAUSE), None);
        complaints.put(KEY, piece);
        complaints.checked(now, PAUSE);
        assert_eq!(complaints.due(now), Some(now + 10 * PAUSE), "a slow disk is left alone for longer");
    }
}
