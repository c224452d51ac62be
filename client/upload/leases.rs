//! Leases: pieces that are on their way to a member who passes them on. A scarce uplink gives them to nobody else.

use crate::model::name::UserId;
use crate::sync::Mutex;
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// A member has this long to verify a piece and to tell the others of it.
const TELLING: Duration = Duration::from_secs(1);
/// With more leases than this, those that are over are removed.
const KEPT: usize = 256;

/// The pieces of one content that are on their way, each to one member.
#[derive(Debug, Default)]
pub struct Leases {
    // Locked; never while pieces are read or sent.
    pieces: Mutex<HashMap<u32, Lease>>,
}

#[derive(Debug)]
struct Lease {
    user: UserId,
    /// Connections on which it is being sent.
    sending: usize,
    /// When the lease ends once no connection sends the piece. `None` if it was never sent as a whole.
    until: Option<Instant>,
}

impl Lease {
    fn new(user: &UserId) -> Self {
        Self { user: user.clone(), sending: 0, until: None }
    }

    fn is_over(&self, now: Instant) -> bool {
        self.sending == 0 && self.until.is_none_or(|until| until <= now)
    }
}

impl Leases {
    /// Leases a piece to this member. `None` if another member has it.
    pub fn begin(&self, piece: u32, user: &UserId, now: Instant) -> Option<LeaseGuard<'_>> {
        let mut pieces = self.pieces.lock();
        if pieces.len() > KEPT {
            pieces.retain(|_, lease| !lease.is_over(now));
        }
        let lease = pieces.entry(piece).or_insert_with(|| Lease::new(user));
        if lease.user != *user {
            if !lease.is_over(now) {
                return None;
            }
            *lease = Lease::new(user);
        }
        lease.sending += 1;
        Some(LeaseGuard { leases: self, piece, until: None })
    }
}

/// A piece that is being sent. Dropping this ends the lease, unless the piece was sent.
#[derive(Debug)]
pub struct LeaseGuard<'a> {
    leases: &'a Leases,
    piece: u32,
    until: Option<Instant>,
}

impl LeaseGuard<'_> {
    /// The whole piece was sent, and the member passes it on soon.
    pub fn sent(mut self, now: Instant) {
        self.until = Some(now + TELLING);
    }
}

impl Drop for LeaseGuard<'_> {
    fn drop(&mut self) {
        let mut pieces = self.leases.pieces.lock();
        // It is there: a lease is not over while its piece is being sent.
        let Some(lease) = pieces.get_mut(&self.piece) else { return };
        lease.sending -= 1;
        lease.until = self.until.or(lease.until);
        if lease.sending == 0 && lease.until.is_none() {
            pieces.remove(&self.piece);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_piece_is_on_its_way_to_one_member_until_that_one_had_time_to_tell() {
        let user = |name| UserId::parse(name).expect("a name");
        let (ann, bob) = (user("ann"), user("bob"));
        let (leases, now) = (Leases::default(), Instant::now());
        let way = leases.begin(7, &ann, now).expect("nobody has it");
        assert!(leases.begin(7, &bob, now + TELLING * 100).is_none(), "it is still being sent");
        assert!(leases.begin(8, &bob, now).is_some(), "another piece");
        way.sent(now);
        assert!(leases.begin(7, &bob, now).is_none());
        drop(leases.begin(7, &bob, now + TELLING).expect("time is over"));
        assert!(leases.begin(7, &ann, now).is_some(), "who broke off passes nothing on");
    }

    /// The member was given the piece on two connections, and one of them broke.
    #[test]
    fn a_piece_that_breaks_off_on_one_connection_is_still_on_its_way_on_the_other() {
        let user = |name| UserId::parse(name).expect("a name");
        let (ann, bob) = (user("ann"), user("bob"));
        let (leases, now) = (Leases::default(), Instant::now());
        let ways = [(); 2].map(|()| leases.begin(7, &ann, now).expect("nobody else has it"));
        let [broken, other] = ways;
        drop(broken);
        assert!(leases.begin(7, &bob, now).is_none());
        drop(other);
        assert!(leases.begin(7, &bob, now).is_some());
    }

    #[test]
    fn what_is_over_is_not_kept() {
        let ann = UserId::parse("ann").expect("a name");
        let (leases, now) = (Leases::default(), Instant::now());
        for piece in 0..10_000 {
            let now = now + TELLING * piece;
            leases.begin(piece, &ann, now).expect("nobody has it").sent(now);
        }
        assert!(leases.pieces.lock().len() <= KEPT + 1);
    }
}
