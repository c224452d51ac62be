//! Complaints of members about wrong pieces, and how many such pieces are read again. Pure: the time is passed in.

use super::standing::ShareKey;
use crate::model::name::UserId;
use crate::model::piece::PieceIndex;
use crate::rate::turn_queue::{TurnBounds, TurnQueue};
use std::time::{Duration, Instant};

/// Limits for waiting complaints. Members take turns, and the member with most complaints gives way. A member that
/// downloads a wrong piece complains again.
const BOUNDS: TurnBounds = TurnBounds { waiting: 32, each: 8, age: Duration::from_secs(60) };
/// The minimum time between two reads because of complaints, however many members complain.
const PAUSE: Duration = Duration::from_millis(250);
/// The pause after such a read is at least this many times as long as the read.
const REST: u32 = 10;

/// Complaints about pieces. A lying member costs one piece read per pause at most.
#[derive(Debug)]
pub(super) struct Complaints {
    waiting: TurnQueue<Option<UserId>, (ShareKey, PieceIndex)>,
    /// The next read is not before this time.
    rested: Option<Instant>,
}

impl Default for Complaints {
    fn default() -> Self {
        Self { waiting: TurnQueue::new(BOUNDS), rested: None }
    }
}

impl Complaints {
    /// Takes in a complaint of a member, or of this program itself. Drops it if too many of that member wait. If the
    /// piece already waits, the complaint counts for the member with fewer waiting complaints.
    pub(super) fn put(&mut self, user: Option<UserId>, key: ShareKey, piece: PieceIndex, now: Instant) {
        if !self.waiting.join(&user, |job| *job == (key, piece)) {
            self.waiting.put(user, (key, piece), now);
            drop(self.waiting.take_dropped());
        }
    }

    /// When the next piece may be read.
    pub(super) fn due(&self, now: Instant) -> Option<Instant> {
        self.waiting.waits(|_| true).then(|| self.rested.unwrap_or(now))
    }

    /// The piece to read now, if it is time.
    pub(super) fn take(&mut self, now: Instant) -> Option<(ShareKey, PieceIndex)> {
        self.due(now).filter(|due| *due <= now)?;
        self.rested = Some(now + PAUSE);
        let turn = self.waiting.take(now);
        drop(self.waiting.take_dropped());
        let turn = turn?;
        self.waiting.done(&turn.user);
        Some(turn.job)
    }

    /// Notes that a piece was read, and how long that took.
    pub(super) fn checked(&mut self, now: Instant, took: Duration) {
        self.rested = Some(now + (took * REST).max(PAUSE));
    }

    /// Drops the complaints about a share.
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

    fn user(number: u32) -> Option<UserId> {
        UserId::parse(&format!("user {number}")).ok()
    }

    #[test]
    fn a_member_is_heard_however_much_others_complain() {
        let layout = Layout::new(SIZE_MAX).expect("the longest");
        let piece = |number: u32| layout.index(number).expect("it has so many");
        let (mut complaints, now) = (Complaints::default(), Instant::now());
        (0..1000).for_each(|number| complaints.put(user(number % 8), KEY, piece(number), now));
        complaints.put(user(9), KEY, piece(5000), now);
        let mut at = now;
        let heard = (0..9).filter_map(|_| {
            at += PAUSE;
            complaints.take(at)
        });
        assert!(heard.into_iter().any(|(_, of)| of == piece(5000)), "it waits for one of each other member at most");
    }

    #[test]
    fn a_member_is_heard_where_as_many_others_wait_as_may_and_whoever_complained_of_its_piece_before() {
        let layout = Layout::new(SIZE_MAX).expect("the longest");
        let piece = |number: u32| layout.index(number).expect("it has so many");
        let (mut complaints, now) = (Complaints::default(), Instant::now());
        (0..8).for_each(|number| complaints.put(user(0), KEY, piece(number), now));
        complaints.put(user(99), KEY, piece(7), now);
        (1..40).for_each(|number| complaints.put(user(number), KEY, piece(100 + number), now));
        let mut at = now;
        let heard = std::iter::from_fn(|| {
            at += PAUSE;
            complaints.take(at)
        });
        let heard: Vec<_> = heard.map(|(_, piece)| piece).collect();
        assert!(heard.contains(&piece(139)), "the newcomer is heard");
        assert!(heard.len() == 32 && !heard.contains(&piece(6)), "eve's own give way");
    }

    #[test]
    fn the_client_reads_only_four_right_pieces_a_second_for_many_complaints() {
        let layout = Layout::new(SIZE_MAX).expect("the longest");
        let piece = |number: u32| layout.index(number).expect("it has so many");
        let mut complaints = Complaints::default();
        let mut now = Instant::now();
        assert_eq!((complaints.due(now), complaints.take(now)), (None, None));
        let (end, mut read) = (now + Duration::from_secs(10), 0);
        for number in 0.. {
            complaints.put(user(number % 99), KEY, piece(number % 1_000_000), now);
            complaints.put(user(number % 99), KEY, piece(number % 1_000_000), now);
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
        let (mut complaints, now) = (Complaints::default(), Instant::now());
        complaints.put(user(1), KEY, piece, now);
        complaints.put(user(2), KEY, piece, now);
        assert_eq!(complaints.due(now), Some(now));
        assert_eq!(complaints.take(now), Some((KEY, piece)));
        assert_eq!(complaints.take(now + PAUSE), None);
        complaints.put(user(1), KEY, piece, now);
        complaints.checked(now, PAUSE);
        assert_eq!(complaints.due(now), Some(now + 10 * PAUSE), "a slow disk is left alone for longer");
    }
}
