//! How many bytes a connection requests ahead: twice what the way to the peer holds at its measured rate. The factor of
//! two leaves room for a rate that still grows. Pure.

use crate::client::download::transfer::Outlook;
use crate::model::piece::PIECE_LEN;
use crate::wire::peer::REQUESTS_MAX;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Bytes to request in any case: one piece arrives while the peer reads and encrypts the next.
const READY_LEN: u64 = 2 * PIECE_LEN as u64;
/// But never more than arrive in this time. Other peers are the better source for further pieces if the line is slow.
const READY_TIME: Duration = Duration::from_secs(1);
/// No piece counts as expected for longer, at any rate. Otherwise many slow peers would keep others from getting
/// requests.
const EXPECTED_MAX: Duration = Duration::from_secs(30);
/// The number of pieces to request before one has proved right. So the first bad piece exposes a bad peer.
const ON_TRUST_MAX: usize = 3;

/// The bytes on their way to this end on one connection.
#[derive(Debug, Default)]
pub(super) struct Pipe {
    /// Open requests, the oldest first.
    requests: VecDeque<PipeRequest>,
    /// The bytes of all open requests.
    asked_len: u64,
    /// Received bytes so far, of all frames.
    come: u64,
    /// The value of `come` when the last piece was complete.
    settled: u64,
    /// The minimum time from a request to its first byte, measured when nothing else was on its way.
    round_trip: Option<Duration>,
    /// Bytes a second, once a piece has come.
    pace: Option<f64>,
    /// Whether a piece has proved right.
    proved: bool,
    /// The number of requested pieces that were not refused.
    on_trust: usize,
}

#[derive(Debug)]
struct PipeRequest {
    len: u64,
    at: Instant,
    /// The value of `come` at the request.
    come: u64,
    /// Whether nothing else was on its way.
    alone: bool,
    /// The outlook at the request, if one was known.
    outlook: Option<Outlook>,
}

impl Pipe {
    /// Notes a request for a piece of this length.
    pub(super) fn ask(&mut self, len: u32, now: Instant) {
        let (len, alone) = (u64::from(len), self.requests.is_empty());
        if alone {
            self.settled = self.come;
        }
        self.asked_len += len;
        self.on_trust += 1;
        let outlook = self.outlook(now);
        self.requests.push_back(PipeRequest { len, at: now, come: self.come, alone, outlook });
    }

    /// Notes that a piece has proved right.
    pub(super) fn prove(&mut self) {
        self.proved = true;
    }

    /// Notes received bytes.
    pub(super) fn hear(&mut self, len: u64, now: Instant) {
        if let Some(first) = self.requests.front().filter(|first| first.alone && first.come == self.come) {
            let took = now.saturating_duration_since(first.at);
            self.round_trip = Some(self.round_trip.map_or(took, |least| least.min(took)));
        }
        self.come += len;
    }

    /// Notes that the piece of the oldest request has come, or will not come.
    pub(super) fn settle(&mut self, came: bool, now: Instant) {
        let Some(request) = self.requests.front() else { return };
        if came {
            let pace = self.pace_of_first(now);
            // The rate falls slowly: a single piece may have met a pause.
            self.pace = Some(self.pace.map_or(pace, |known| pace.max((3.0 * known + pace) / 4.0)));
        }
        self.asked_len -= request.len;
        self.on_trust -= usize::from(!came);
        self.requests.pop_front();
        self.settled = self.come;
    }

    /// The rate since the oldest request, in bytes a second.
    fn pace_of_first(&self, now: Instant) -> f64 {
        let Some(first) = self.requests.front() else { return 0.0 };
        let took = now.saturating_duration_since(first.at).max(Duration::from_micros(1));
        (self.come - first.come) as f64 / took.as_secs_f64()
    }

    /// The outlook, once something has come.
    pub(super) fn outlook(&self, now: Instant) -> Option<Outlook> {
        let has_begun = self.requests.front().is_some_and(|first| self.come > first.come);
        let pace = self.pace.or_else(|| has_begun.then(|| self.pace_of_first(now)))?.max(1.0);
        let time_of = |len: u64| Duration::from_secs_f64(len as f64 / pace);
        Some(Outlook { done_at: now + time_of(self.left()), per_piece: time_of(PIECE_LEN.into()) })
    }

    /// The number of pieces that are long overdue, by the outlook at their request.
    pub(super) fn overdue(&self, now: Instant) -> usize {
        let is_overdue = |request: &&PipeRequest| {
            request.outlook.is_some_and(|it| it.is_overdue(now)) || now > request.at + EXPECTED_MAX
        };
        self.requests.iter().filter(is_overdue).count()
    }

    /// Requested bytes that have not come.
    fn left(&self) -> u64 {
        self.asked_len.saturating_sub(self.come - self.settled)
    }

    /// Whether to request another piece.
    pub(super) fn has_room(&self, now: Instant) -> bool {
        let fits = self.requests.len() < REQUESTS_MAX && self.left() < self.wanted_len(now);
        (self.proved || self.on_trust < ON_TRUST_MAX) && (self.requests.is_empty() || fits)
    }

    /// The number of bytes to have on request.
    fn wanted_len(&self, now: Instant) -> u64 {
        let pace = self.pace.unwrap_or_else(|| self.pace_of_first(now));
        let on_the_way = pace * self.round_trip.unwrap_or_default().as_secs_f64();
        READY_LEN.min((pace * READY_TIME.as_secs_f64()) as u64).max((2.0 * on_the_way) as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// Simulates a connection with this round trip in ms and this rate in bytes per ms. Returns the maximum number of
    /// pieces on request after `ms` milliseconds.
    fn asked_after(ms: u32, round_trip: u32, len_per_ms: u64) -> usize {
        let (mut pipe, begun) = (Pipe::default(), Instant::now());
        let (mut sent, mut left) = (VecDeque::new(), VecDeque::<u64>::new());
        let mut most = 0;
        for time in 0..ms {
            let now = begun + time * MS;
            while sent.front().is_some_and(|&at| time >= at + round_trip) {
                sent.pop_front();
                left.push_back(PIECE_LEN.into());
            }
            let mut come = len_per_ms;
            while let Some(first) = left.front_mut().filter(|_| come > 0) {
                let part = come.min(*first);
                (come, *first) = (come - part, *first - part);
                pipe.hear(part, now);
                if *first == 0 {
                    left.pop_front();
                    pipe.settle(true, now);
                    pipe.prove();
                }
            }
            while pipe.has_room(now) {
                pipe.ask(PIECE_LEN, now);
                sent.push_back(time);
            }
            most = most.max(pipe.requests.len());
        }
        most
    }

    #[test]
    fn as_much_is_asked_for_as_the_way_holds_and_no_more_than_the_protocol_takes() {
        // 100 Mbit/s hold half a piece over 20 ms and 2.5 pieces over 100 ms; 1 Gbit/s hold 24 pieces over 100 ms.
        assert_eq!(asked_after(3_000, 20, 12_500), 3);
        assert_eq!(asked_after(3_000, 100, 12_500), 6);
        assert_eq!(asked_after(3_000, 100, 125_000), REQUESTS_MAX);
        assert_eq!(asked_after(3_000, 1, 125_000), 3, "on a network of one's own");
    }

    #[test]
    fn a_thin_line_brings_one_piece_after_the_other() {
        // 2 Mbit/s, a piece in two seconds.
        assert_eq!(asked_after(60_000, 20, 250), 2);
        let (mut pipe, begun) = (Pipe::default(), Instant::now());
        pipe.ask(PIECE_LEN, begun);
        pipe.hear(1000, begun + 10 * MS);
        for second in 1..9 {
            pipe.hear(50_000, begun + 1000 * second * MS);
            assert!(!pipe.has_room(begun + 1000 * second * MS), "{second}");
        }
        pipe.hear(80_000, begun + 9_500 * MS);
        assert!(pipe.has_room(begun + 9_500 * MS), "the end of the piece is near");
    }

    #[test]
    fn few_pieces_are_asked_for_before_one_has_proved_right() {
        let (mut pipe, now) = (Pipe::default(), Instant::now());
        let ask_all = |pipe: &mut Pipe, now: Instant| {
            let had = pipe.requests.len();
            while pipe.has_room(now) {
                pipe.ask(PIECE_LEN, now);
            }
            pipe.requests.len() - had
        };
        assert_eq!(ask_all(&mut pipe, now), 1);
        pipe.settle(false, now);
        assert_eq!(ask_all(&mut pipe, now), 1);
        // 5 MB/s over 100 ms.
        pipe.hear(PIECE_LEN.into(), now + 100 * MS);
        assert_eq!(ask_all(&mut pipe, now + 101 * MS), ON_TRUST_MAX - 1, "the refused one does not count");
        pipe.settle(true, now + 101 * MS);
        pipe.hear(PIECE_LEN.into(), now + 101 * MS);
        pipe.settle(true, now + 101 * MS);
        assert_eq!(ask_all(&mut pipe, now + 101 * MS), 0);
        pipe.prove();
        assert!(ask_all(&mut pipe, now + 101 * MS) > 0);
    }

    #[test]
    fn a_piece_long_overdue_is_expected_no_longer() {
        let (mut pipe, now) = (Pipe::default(), Instant::now());
        pipe.ask(PIECE_LEN, now);
        assert_eq!((pipe.overdue(now + 30_000 * MS), pipe.overdue(now + 30_001 * MS)), (0, 1), "nothing is known");
        // A piece takes a second.
        pipe.hear(PIECE_LEN.into(), now + 1000 * MS);
        pipe.settle(true, now + 1000 * MS);
        let now = now + 1000 * MS;
        (0..3).for_each(|_| pipe.ask(PIECE_LEN, now));
        for second in 0..20 {
            pipe.hear(1, now + 1000 * second * MS);
        }
        let overdue = [2_900, 3_100, 4_100, 5_100].map(|ms| pipe.overdue(now + ms * MS));
        assert_eq!(overdue, [0, 1, 2, 3], "two seconds past its time each");
    }

    #[test]
    fn a_refused_piece_is_not_on_its_way() {
        let (mut pipe, now) = (Pipe::default(), Instant::now());
        assert!(pipe.has_room(now));
        pipe.ask(PIECE_LEN, now);
        assert!(!pipe.has_room(now + MS), "nothing is known of the pace");
        pipe.settle(false, now + MS);
        assert!(pipe.has_room(now + MS));
        assert_eq!((pipe.asked_len, pipe.pace), (0, None));
    }
}
