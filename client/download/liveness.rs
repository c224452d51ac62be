//! What the time says about a peer: that it is silent, slow, or gone. Bytes count as life, whole pieces do not have to.

use crate::wire::deadlines::HEARTBEAT_INTERVAL;
use std::time::{Duration, Instant};

/// Nothing came for this long though pieces were asked for: others may take them.
const SILENT_DEADLINE: Duration = Duration::from_millis(700);
/// A piece has not come in this time, though bytes of it do: others may take it and those asked for behind it. The
/// connection goes on, since it may be the only one, and a slow link brings a piece in the end.
const SLOW_DEADLINE: Duration = Duration::from_secs(120);
/// Nothing came for this long though something was asked for: the peer is gone.
const DEAD_DEADLINE: Duration = Duration::from_secs(20);

/// What is due on a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Due {
    /// The pieces asked for do not come: others may take them. Once until a piece comes.
    GiveBack,
    /// Nothing was said for long: the peer is to be told that we are there.
    KeepAlive,
    /// The peer is gone.
    End,
}

/// When a peer was heard.
#[derive(Debug)]
pub(crate) struct Liveness {
    /// When bytes came in last, and how many had by then.
    heard: Instant,
    heard_bytes: u64,
    /// Since when the next piece is waited for.
    piece_since: Instant,
    late: bool,
}

impl Liveness {
    /// Of a peer that was just heard.
    pub(crate) fn new(now: Instant) -> Self {
        Self { heard: now, heard_bytes: 0, piece_since: now, late: false }
    }

    /// So many bytes have come in by now.
    pub(crate) fn hear(&mut self, bytes: u64, now: impl FnOnce() -> Instant) {
        if bytes > self.heard_bytes {
            self.heard_bytes = bytes;
            self.heard = now();
        }
    }

    /// Its time runs from now on: something is asked of it where nothing was, or it waited for us.
    pub(crate) fn restart(&mut self, now: Instant) {
        self.heard = now;
        self.piece_since = now;
    }

    /// A piece has come, or a refusal of one; the time of the next begins.
    pub(crate) fn deliver(&mut self, now: Instant) {
        self.piece_since = now;
        self.late = false;
    }

    /// Whether what was asked of it was left to others, and nothing came since.
    pub(crate) fn is_late(&self) -> bool {
        self.late
    }

    /// What is due now, where pieces were `asked` for, or another answer is `awaited`.
    pub(crate) fn due(&mut self, now: Instant, asked: bool, awaited: bool) -> Option<Due> {
        let silent = now.duration_since(self.heard);
        if asked || awaited {
            if silent > DEAD_DEADLINE {
                return Some(Due::End);
            }
            let late = silent > SILENT_DEADLINE || now.duration_since(self.piece_since) > SLOW_DEADLINE;
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
    fn a_peer_of_which_bytes_come_is_not_cut_off_but_others_may_take_a_piece_that_takes_long() {
        let begun = Instant::now();
        let (mut liveness, mut now) = (Liveness::new(begun), begun);
        let mut given_back = Vec::new();
        for bytes in 1..10_000 {
            now += SECOND / 2;
            liveness.hear(bytes, || now);
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
    fn a_silent_peer_loses_its_pieces_first_and_its_connection_later() {
        let begun = Instant::now();
        let mut liveness = Liveness::new(begun);
        assert_eq!(liveness.due(begun + SILENT_DEADLINE, true, false), None);
        assert_eq!(liveness.due(begun + SECOND, true, false), Some(Due::GiveBack));
        assert_eq!(liveness.due(begun + DEAD_DEADLINE, true, false), None);
        assert_eq!(liveness.due(begun + DEAD_DEADLINE + SECOND, true, false), Some(Due::End));
        liveness.hear(0, Instant::now);
        assert_eq!(liveness.due(begun + DEAD_DEADLINE + SECOND, false, true), Some(Due::End), "nothing new came");
    }

    #[test]
    fn where_nothing_is_asked_silence_is_answered_with_a_sign_of_life() {
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
