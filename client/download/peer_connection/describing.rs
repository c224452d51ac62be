//! The descriptions that were requested from a peer. Pure: the time is passed in.

use crate::model::piece::PieceIndex;
use crate::model::piece::block::BlockLen;
use crate::wire::codec::List;
use crate::wire::peer::{DESCRIBED_MAX, PeerRequest};
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// The maximum number of open requests of one connection: the peer works on one while the answer to the other travels.
const ASKED_MAX: usize = 2;
/// The number of pieces in the first request.
const FIRST: usize = 4;
/// If an answer takes longer, the request has too many pieces: the peer is short of time.
const PATIENCE: Duration = Duration::from_millis(500);

/// The requests for digests on one connection.
#[derive(Debug)]
pub(super) struct Describing {
    /// Requests without an answer, with their times, the oldest first.
    asked: VecDeque<(u32, Vec<PieceIndex>, Instant)>,
    /// The number of pieces in one request; zero if the peer does not describe.
    at_once: usize,
}

impl Default for Describing {
    fn default() -> Self {
        Self { asked: VecDeque::new(), at_once: FIRST }
    }
}

impl Describing {
    /// The number of further pieces to request now.
    pub(super) fn room(&self) -> Option<usize> {
        (self.asked.len() < ASKED_MAX && self.at_once > 0).then_some(self.at_once)
    }

    /// Notes a request for the descriptions of these pieces.
    pub(super) fn ask(
        &mut self,
        request: u32,
        block_len: BlockLen,
        pieces: Vec<PieceIndex>,
        now: Instant,
    ) -> PeerRequest {
        let numbers = List::new(pieces.iter().map(|piece| piece.get()).collect());
        self.asked.push_back((request, pieces, now));
        PeerRequest::Describe { block_len, pieces: numbers.expect("no more than may be asked for at once") }
    }

    /// Whether this request is the next one to be answered.
    pub(super) fn is_next(&self, request: u32) -> bool {
        self.asked.front().is_some_and(|(id, ..)| *id == request)
    }

    /// Takes the pieces of an answered request. Returns `None` if another request was next.
    pub(super) fn take(&mut self, request: u32, now: Instant) -> Option<Vec<PieceIndex>> {
        if !self.is_next(request) {
            return None;
        }
        let (_, pieces, since) = self.asked.pop_front()?;
        let quick = now.saturating_duration_since(since) < PATIENCE;
        self.at_once = if quick { (2 * self.at_once).min(DESCRIBED_MAX) } else { 1.min(self.at_once) };
        Some(pieces)
    }

    /// Requests nothing more.
    pub(super) fn end(&mut self) {
        self.at_once = 0;
    }

    /// The pieces of all requests.
    pub(super) fn drain(&mut self) -> Vec<Vec<PieceIndex>> {
        self.asked.drain(..).map(|(_, pieces, _)| pieces).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::piece::{Layout, PIECE_LEN};

    fn pieces(count: usize) -> Vec<PieceIndex> {
        let layout = Layout::new(100 * u64::from(PIECE_LEN)).expect("small");
        layout.indexes().take(count).collect()
    }

    #[test]
    fn a_quick_peer_is_asked_for_more_at_a_time_and_a_slow_one_for_a_piece() {
        let (mut describing, mut now) = (Describing::default(), Instant::now());
        let mut asked = Vec::new();
        for request in 1..7 {
            let most = describing.room().expect("nothing is on its way");
            asked.push(most);
            describing.ask(request, BlockLen::SHORTEST, pieces(most), now);
            now += if request < 4 { PATIENCE / 2 } else { PATIENCE };
            assert_eq!(describing.take(request, now), Some(pieces(most)));
        }
        assert_eq!(asked, [FIRST, 8, DESCRIBED_MAX, DESCRIBED_MAX, 1, 1]);
    }

    #[test]
    fn answers_come_in_order_and_whoever_describes_nothing_is_asked_for_nothing() {
        let (mut describing, now) = (Describing::default(), Instant::now());
        describing.ask(1, BlockLen::SHORTEST, pieces(1), now);
        describing.ask(2, BlockLen::SHORTEST, pieces(2), now);
        assert_eq!((describing.room(), describing.take(2, now)), (None, None));
        assert_eq!(describing.take(1, now), Some(pieces(1)));
        describing.end();
        assert_eq!((describing.room(), describing.drain(), describing.take(2, now)), (None, vec![pieces(2)], None));
    }
}
