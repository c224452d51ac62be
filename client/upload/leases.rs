//! Leases: pieces that are on their way to a member that passes them on. A scarce uplink gives such a piece to no one
//! else.

use crate::model::name::UserId;
use crate::sync::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A member has this long to verify a piece and to tell the others of it.
const TELLING: Duration = Duration::from_secs(1);
/// A piece is leased this many times in a row. After that, every member gets it for a while.
const ROW_MAX: usize = 4;
/// A row of leases is forgotten this long after the end of its last lease.
const MEMORY: Duration = Duration::from_secs(20);
/// The maximum number of pieces with remembered leases. Beyond this limit, pieces are given without one.
const KEPT_MAX: usize = 8192;

/// The pieces of one content that are on their way, each to one member.
///
/// Invariants: A lease ends at the time that was set at its beginning, whatever its member does. No member has two
/// leases of a piece in succession. A row has at most `ROW_MAX` leases.
#[derive(Debug, Default)]
pub struct Leases {
    // Locked, but never while pieces are read or sent.
    state: Mutex<LeasesState>,
}

#[derive(Debug, Default)]
struct LeasesState {
    pieces: HashMap<u32, Lease>,
    /// The id of the last lease.
    last: u64,
}

#[derive(Debug)]
struct Lease {
    id: u64,
    user: UserId,
    /// The number of the lease in its row.
    number: usize,
    /// The number of connections that are sending the piece.
    sending: usize,
    /// The end of the lease once no connection sends the piece. If the piece was never sent completely, this is the
    /// beginning of the lease.
    until: Instant,
    /// The latest end of the lease.
    by: Instant,
}

impl Lease {
    fn end(&self) -> Instant {
        if self.sending > 0 { self.by } else { self.until.min(self.by) }
    }
}

impl Leases {
    /// Leases a piece to this member for `term` at most. Returns `None` if another member has the lease. After the end
    /// of its lease a member gets the piece again, but without excluding others.
    pub fn begin(self: &Arc<Self>, piece: u32, user: &UserId, term: Duration, now: Instant) -> Option<LeaseGuard> {
        let mut state = self.state.lock();
        let LeasesState { pieces, last } = &mut *state;
        if pieces.len() >= KEPT_MAX {
            pieces.retain(|_, lease| lease.end() + MEMORY > now);
        }
        let is_full = pieces.len() >= KEPT_MAX;
        let guard = |id| LeaseGuard { leases: self.clone(), piece, id, until: None };
        let known = pieces.get_mut(&piece).filter(|lease| lease.end() + MEMORY > now);
        let number = match known {
            Some(lease) if lease.end() > now => {
                if lease.user != *user {
                    return None;
                }
                lease.sending += 1;
                return Some(guard(Some(lease.id)));
            }
            Some(lease) if lease.user == *user || lease.number == ROW_MAX => return Some(guard(None)),
            Some(lease) => lease.number + 1,
            None if is_full => return Some(guard(None)),
            None => 1,
        };
        *last += 1;
        let lease = Lease { id: *last, user: user.clone(), number, sending: 1, until: now, by: now + term };
        pieces.insert(piece, lease);
        Some(guard(Some(*last)))
    }
}

/// A piece that is being sent. Dropping this ends the lease, unless the piece was sent.
#[derive(Debug)]
pub struct LeaseGuard {
    leases: Arc<Leases>,
    piece: u32,
    /// `None` if the guard excludes no one.
    id: Option<u64>,
    until: Option<Instant>,
}

impl LeaseGuard {
    /// Notes that the whole piece was sent, and that the member will pass it on soon.
    pub fn sent(mut self, now: Instant) {
        self.until = Some(now + TELLING);
    }
}

impl Drop for LeaseGuard {
    fn drop(&mut self) {
        let mut state = self.leases.state.lock();
        // Another lease may have followed one that took too long.
        let lease = state.pieces.get_mut(&self.piece).filter(|lease| Some(lease.id) == self.id);
        if let Some(lease) = lease {
            lease.sending -= 1;
            lease.until = self.until.unwrap_or(lease.until);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::name::tests::user;

    const TERM: Duration = Duration::from_secs(60);

    #[test]
    fn a_piece_is_on_its_way_to_one_member_until_that_one_had_time_to_tell() {
        let (ann, bob) = (user("ann"), user("bob"));
        let (leases, now) = (Arc::<Leases>::default(), Instant::now());
        let way = leases.begin(7, &ann, TERM, now).expect("nobody has it");
        assert!(leases.begin(7, &bob, TERM, now + TERM / 2).is_none(), "it is still being sent");
        assert!(leases.begin(8, &bob, TERM, now).is_some(), "another piece");
        way.sent(now);
        assert!(leases.begin(7, &bob, TERM, now).is_none());
        drop(leases.begin(7, &bob, TERM, now + TELLING).expect("time is over"));
        assert!(leases.begin(7, &ann, TERM, now + TELLING).is_some(), "a member that broke off passes nothing on");
    }

    /// The member received the piece on two connections, and one of them broke.
    #[test]
    fn a_piece_that_breaks_off_on_one_connection_is_still_on_its_way_on_the_other() {
        let (ann, bob) = (user("ann"), user("bob"));
        let (leases, now) = (Arc::<Leases>::default(), Instant::now());
        let ways = [(); 2].map(|()| leases.begin(7, &ann, TERM, now).expect("nobody else has it"));
        let [broken, other] = ways;
        drop(broken);
        assert!(leases.begin(7, &bob, TERM, now).is_none());
        drop(other);
        assert!(leases.begin(7, &bob, TERM, now).is_some());
    }

    /// Each member asks again before any other, on a second connection, before the first one has the piece.
    #[test]
    fn a_member_that_asks_again_and_again_keeps_a_piece_from_nobody_for_long() {
        let (leases, begun) = (Arc::<Leases>::default(), Instant::now());
        for crowd in [1, 2, 9] {
            let names: Vec<_> = (0..crowd).map(|number| user(&format!("eve{number}"))).collect();
            let (piece, mut now, mut ways) = (crowd as u32, begun, Vec::new());
            let got = loop {
                ways.truncate(100);
                for eve in names.iter().cycle().take(2 * crowd) {
                    ways.extend(leases.begin(piece, eve, TERM, now));
                    ways.rotate_right(1);
                }
                if leases.begin(piece, &user("ann"), TERM, now).is_some() {
                    break now - begun;
                }
                now += TELLING / 2;
            };
            assert!(got <= TERM * ROW_MAX as u32, "{crowd} of them: {got:?}");
        }
    }

    #[test]
    fn a_row_of_leases_is_followed_by_a_time_without_and_then_by_another_row() {
        let (leases, mut now) = (Arc::<Leases>::default(), Instant::now());
        for number in 0..ROW_MAX {
            let eve = user(&format!("eve{number}"));
            leases.begin(7, &eve, TERM, now).expect("the one before is over").sent(now);
            assert!(leases.begin(7, &user("ann"), TERM, now).is_none());
            now += TELLING;
        }
        let free = [user("ann"), user("bob")].map(|user| leases.begin(7, &user, TERM, now));
        assert!(free.iter().all(Option::is_some), "both get it");
        now += MEMORY;
        let _way = leases.begin(7, &user("ann"), TERM, now).expect("nobody has it");
        assert!(leases.begin(7, &user("bob"), TERM, now).is_none());
    }

    #[test]
    fn leases_that_are_over_are_dropped_and_the_kept_ones_are_bounded() {
        let ann = user("ann");
        let (leases, now) = (Arc::<Leases>::default(), Instant::now());
        let lens = (0..3 * KEPT_MAX as u32).map(|piece| {
            let now = now + TELLING / 1000 * piece;
            leases.begin(piece, &ann, TERM, now).expect("nobody has it").sent(now);
            leases.state.lock().pieces.len()
        });
        assert_eq!(lens.max(), Some(KEPT_MAX));
        leases.begin(0, &ann, TERM, now + TERM).expect("it is over");
        assert_eq!(leases.state.lock().pieces.len(), 1, "the others are forgotten");
    }
}
