//! Judges by the time whether a peer is silent, slow, or gone. Every byte is a sign of life, not only a whole piece.

use crate::wire::deadlines::HEARTBEAT_INTERVAL;
use std::time::{Duration, Instant};

/// After at least this long without a byte, others may take the pieces that were requested from the peer.
const SILENT_DEADLINE: Duration = Duration::from_millis(700);
/// A peer on a slow or shared line counts as silent after this many times its longest recent pause.
const SILENT_PAUSES: u32 = 4;
/// The upper limit of the silence deadline. All peers share the line to this end. So a peer counts as silent only after
/// the time in which the line carries one piece, but at the latest after this limit.
const SILENT_DEADLINE_MAX: Duration = Duration::from_secs(10);
/// After this long, others may take a piece even while its bytes arrive, and also the pieces requested behind it. The
/// connection goes on: it may be the only one, and a slow link delivers a piece in the end.
const SLOW_DEADLINE: Duration = Duration::from_secs(120);
/// A peer without a byte for this long gives nothing.
const GIVING_PAUSE: Duration = Duration::from_secs(10);
/// After this long without a byte of the requested pieces, the peer is gone.
const DEAD_DEADLINE: Duration = Duration::from_secs(20);

/// A peer that gives nothing and refuses every request for now is gone after this time.
const PUT_OFF_DEADLINE: Duration = Duration::from_secs(120);

/// What is due on a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Due {
    /// The pieces do not come, and others may take them. Due again only after a piece has come.
    GiveBack,
    /// This end has said nothing for long. The peer needs a sign of life.
    KeepAlive,
    /// The peer is gone.
    End,
}

/// When a peer was last heard, and since when it owes a piece.
#[derive(Debug)]
pub struct Liveness {
    /// When bytes last came in, and the total then.
    heard: Instant,
    heard_bytes: u64,
    /// When the last bytes that count as life came in, not counting the frame that is still arriving.
    lived: Instant,
    /// Since when the next piece is due.
    piece_since: Instant,
    /// Other peers may take over the pieces of this peer, and no piece has come from it since.
    late: bool,
    /// The longest pause between bytes since the last piece, and the longest between the two pieces before.
    pauses: [Duration; 2],
    /// The time that the shared line to this end needs for a piece.
    line_time: Duration,
    /// Since when the peer has refused every request for now.
    put_off_since: Option<Instant>,
}

impl Liveness {
    /// The liveness of a peer that was just heard.
    pub fn new(now: Instant) -> Self {
        Self {
            heard: now,
            heard_bytes: 0,
            lived: now,
            piece_since: now,
            late: false,
            pauses: [Duration::ZERO; 2],
            line_time: Duration::ZERO,
            put_off_since: None,
        }
    }

    /// Notes the total of received bytes. `asked` says whether pieces were due.
    pub fn hear(&mut self, bytes: u64, asked: bool, now: Instant) {
        if bytes > self.heard_bytes {
            self.heard_bytes = bytes;
            if asked {
                self.pauses[0] = self.pauses[0].max(now.saturating_duration_since(self.heard));
            }
            self.heard = now;
        }
    }

    /// Restarts the clock: at the first request, or after the rate limiter has kept this end from reading.
    pub fn restart(&mut self, now: Instant) {
        (self.heard, self.lived) = (now, now);
        self.piece_since = now;
    }

    /// The latest frame is no sign of life. A peer that only announces pieces gives none.
    pub fn disregard(&mut self) {
        self.heard = self.lived;
    }

    /// The latest frame answers a request.
    pub fn answer(&mut self) {
        self.lived = self.heard;
    }

    /// Notes that a piece has come. The clock of the next one starts.
    pub fn deliver(&mut self, now: Instant) {
        self.put_off_since = None;
        self.pauses = [Duration::ZERO, self.pauses[0]];
        self.go_on(now);
    }

    /// Notes that the peer refuses a piece for now. Returns true if it has given nothing for too long.
    pub fn put_off(&mut self, now: Instant) -> bool {
        self.go_on(now);
        now.duration_since(*self.put_off_since.get_or_insert(now)) > PUT_OFF_DEADLINE
    }

    fn go_on(&mut self, now: Instant) {
        self.answer();
        self.piece_since = now;
        self.late = false;
    }

    /// Whether bytes have come in lately, and a piece not too long ago. Such a connection does not have to make room
    /// for another user.
    pub fn is_giving(&self, now: Instant) -> bool {
        now.duration_since(self.heard) < GIVING_PAUSE && now.duration_since(self.piece_since) < SLOW_DEADLINE
    }

    /// Whether other peers may take over the pieces of this peer, and no piece has come from it since.
    pub fn is_late(&self) -> bool {
        self.late
    }

    /// Sets the time that the shared line to this end needs for a piece. Zero if nothing arrives on it.
    pub fn share_line(&mut self, line_time: Duration) {
        self.line_time = line_time;
    }

    /// The time without a byte after which the peer counts as silent.
    fn silent_deadline(&self) -> Duration {
        let [now, before] = self.pauses;
        let of_late = SILENT_PAUSES * now.max(before);
        of_late.max(self.line_time).clamp(SILENT_DEADLINE, SILENT_DEADLINE_MAX)
    }

    /// What is due now. `asked` says whether pieces are due, `awaited` whether another reply is.
    pub fn due(&mut self, now: Instant, asked: bool, awaited: bool) -> Option<Due> {
        let silent = now.duration_since(self.heard);
        if asked || awaited {
            if silent > DEAD_DEADLINE {
                return Some(Due::End);
            }
            let late = silent > self.silent_deadline() || now.duration_since(self.piece_since) > SLOW_DEADLINE;
            if asked && !self.late && late {
                self.late = true;
                return Some(Due::GiveBack);
            }
        } else if silent > HEARTBEAT_INTERVAL {
            return Some(Due::KeepAlive);
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn nobody_is_silent_before_the_line_could_have_brought_a_piece() {
        let begun = Instant::now();
        let due_after = |line_time: Duration, ms: u64| {
            let mut liveness = Liveness::new(begun);
            liveness.share_line(line_time);
            liveness.due(begun + Duration::from_millis(ms), true, false)
        };
        // 1 Mbit/s.
        assert_eq!(due_after(4 * SECOND, 3_900), None);
        assert_eq!(due_after(4 * SECOND, 4_100), Some(Due::GiveBack));
        assert_eq!(due_after(Duration::ZERO, 800), Some(Due::GiveBack), "nothing comes in");
        assert_eq!(due_after(1000 * SECOND, 10_100), Some(Due::GiveBack));
    }

    #[test]
    fn a_peer_of_which_bytes_come_is_not_cut_off_but_others_may_take_a_piece_that_takes_long() {
        let begun = Instant::now();
        let (mut liveness, mut now) = (Liveness::new(begun), begun);
        let mut given_back = Vec::new();
        for bytes in 1..10_000 {
            now += SECOND / 2;
            liveness.hear(bytes, true, now);
            match liveness.due(now, true, false) {
                Some(Due::GiveBack) => given_back.push(now - begun),
                other => assert_eq!(other, None, "{bytes}"),
            }
        }
        assert_eq!(given_back, [SLOW_DEADLINE + SECOND / 2]);
        assert!(liveness.is_late());
        liveness.deliver(now);
        assert!(!liveness.is_late(), "a piece that comes late makes up for it");
    }

    #[test]
    fn on_a_thin_line_a_pause_is_not_silence() {
        let begun = Instant::now();
        let mut liveness = Liveness::new(begun);
        liveness.hear(1, true, begun + SECOND / 2);
        assert_eq!(liveness.due(begun + 2 * SECOND, true, false), None, "it had paused for half a second");
        liveness.deliver(begun + SECOND / 2);
        liveness.hear(2, true, begun + SECOND / 2);
        liveness.deliver(begun + SECOND / 2);
        assert_eq!(
            liveness.due(begun + 2 * SECOND, true, false),
            Some(Due::GiveBack),
            "the long pause is too long ago"
        );
        let mut idle = Liveness::new(begun);
        idle.hear(1, false, begun + 5 * SECOND);
        assert_eq!(idle.due(begun + 6 * SECOND, true, false), Some(Due::GiveBack), "nothing was due");
        let mut sleepy = Liveness::new(begun);
        sleepy.hear(1, true, begun + 5 * SECOND);
        assert_eq!(sleepy.due(begun + 5 * SECOND + SILENT_DEADLINE_MAX, true, false), None);
        assert_eq!(sleepy.due(begun + 6 * SECOND + SILENT_DEADLINE_MAX, true, false), Some(Due::GiveBack));
    }

    #[test]
    fn a_slow_peer_is_giving_while_bytes_come_but_no_piece_may_take_for_ever() {
        let begun = Instant::now();
        let mut liveness = Liveness::new(begun);
        let mut giving = 0;
        for second in 1..=600 {
            let now = begun + SECOND * second;
            liveness.hear(second.into(), true, now);
            giving += u32::from(liveness.is_giving(now));
        }
        assert_eq!(SECOND * (giving + 1), SLOW_DEADLINE);
        liveness.deliver(begun + SECOND * 600);
        assert!(liveness.is_giving(begun + SECOND * 609));
        assert!(!liveness.is_giving(begun + SECOND * 611), "it is silent");
    }

    #[test]
    fn a_silent_peer_loses_its_pieces_first_and_its_connection_later() {
        let begun = Instant::now();
        let mut liveness = Liveness::new(begun);
        assert_eq!(liveness.due(begun + SILENT_DEADLINE, true, false), None);
        assert_eq!(liveness.due(begun + SECOND, true, false), Some(Due::GiveBack));
        assert_eq!(liveness.due(begun + DEAD_DEADLINE, true, false), None);
        assert_eq!(liveness.due(begun + DEAD_DEADLINE + SECOND, true, false), Some(Due::End));
        liveness.hear(0, true, Instant::now());
        assert_eq!(liveness.due(begun + DEAD_DEADLINE + SECOND, false, true), Some(Due::End), "nothing new came");
    }

    #[test]
    fn a_peer_that_announces_pieces_and_gives_none_is_as_good_as_silent() {
        let begun = Instant::now();
        let (mut liveness, mut now) = (Liveness::new(begun), begun);
        for bytes in 1..=40 {
            now += SECOND / 2;
            liveness.hear(bytes, true, now);
            liveness.disregard();
            assert_ne!(liveness.due(now, true, false), Some(Due::End), "{bytes}");
        }
        assert!(liveness.is_late());
        assert_eq!(liveness.due(now + SECOND / 2, true, false), Some(Due::End));
        liveness.hear(100, true, now);
        liveness.answer();
        liveness.hear(200, true, now + SECOND);
        liveness.disregard();
        assert_eq!(liveness.due(now + DEAD_DEADLINE, true, false), None, "bytes that came before count");
    }

    #[test]
    fn a_peer_that_puts_off_everything_is_gone_in_the_end_and_one_piece_makes_up_for_it() {
        let begun = Instant::now();
        let mut liveness = Liveness::new(begun);
        assert!(!liveness.put_off(begun) && !liveness.put_off(begun + PUT_OFF_DEADLINE));
        assert!(liveness.put_off(begun + PUT_OFF_DEADLINE + SECOND));
        liveness.deliver(begun + PUT_OFF_DEADLINE + SECOND);
        assert!(!liveness.put_off(begun + 2 * PUT_OFF_DEADLINE));
    }

    #[test]
    fn a_connection_that_asks_nothing_sends_a_sign_of_life_after_a_silence() {
        let begun = Instant::now();
        let mut liveness = Liveness::new(begun);
        assert_eq!(liveness.due(begun + HEARTBEAT_INTERVAL, false, false), None);
        let later = begun + HEARTBEAT_INTERVAL + SECOND;
        assert_eq!(liveness.due(later, false, false), Some(Due::KeepAlive));
        assert_eq!(liveness.due(later, false, true), None, "it is on its way");
        liveness.restart(later);
        assert_eq!(liveness.due(later + SILENT_DEADLINE, true, false), None, "the time runs from the question on");
    }
}
