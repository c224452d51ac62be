//! Makes dials take turns if they need a tracker to reach the same member. A tracker passes few calls on, and one pair
//! of ports makes only one connection.

use super::way::Way;
use crate::model::id::PeerId;
use crate::wire::connection::FrameSender;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::{Arc, Weak};

/// The maximum number of members to remember. Beyond this limit, members without a dial are forgotten.
const PEERS_MAX: usize = 1024;

/// The turn among dials of type `D`, for each member.
#[derive(Debug)]
pub(super) struct CallTurns<D> {
    peers: Mutex<HashMap<PeerId, PeerTurn<D>>>,
}

impl<D> Default for CallTurns<D> {
    fn default() -> Self {
        Self { peers: Mutex::default() }
    }
}

#[derive(Debug)]
struct PeerTurn<D> {
    /// The dial that may have the member called.
    dial: Weak<D>,
    /// The punched connection on the pair of listening ports.
    punched: Weak<FrameSender>,
    /// The way that worked last.
    last: Option<Way>,
}

impl<D> PeerTurn<D> {
    fn new() -> Self {
        Self { dial: Weak::new(), punched: Weak::new(), last: None }
    }

    fn is_free_for(&self, attempt: &Arc<D>) -> bool {
        self.punched.strong_count() == 0 && self.dial.upgrade().is_none_or(|other| Arc::ptr_eq(&other, attempt))
    }

    fn is_free(&self) -> bool {
        self.punched.strong_count() + self.dial.strong_count() == 0
    }
}

impl<D> CallTurns<D> {
    /// Whether it is the turn of this dial. If so, the turn lasts until the dial has ended.
    pub(super) fn take(&self, peer: &PeerId, attempt: &Arc<D>) -> bool {
        let mut peers = self.peers.lock();
        if peers.len() >= PEERS_MAX {
            peers.retain(|_, turn| !turn.is_free());
        }
        let turn = peers.entry(peer.clone()).or_insert_with(PeerTurn::new);
        let free = turn.is_free_for(attempt);
        if free {
            turn.dial = Arc::downgrade(attempt);
        }
        free
    }

    /// Notes that a dial has made a connection. `lasting` is that connection if it leaves from the listening port.
    pub(super) fn connected(&self, peer: &PeerId, way: Way, lasting: Option<&Arc<FrameSender>>) {
        let mut peers = self.peers.lock();
        let Some(turn) = peers.get_mut(peer).filter(|_| way != Way::Direct) else { return };
        (turn.dial, turn.last) = (Weak::new(), Some(way));
        if let Some(sender) = lasting.filter(|_| way == Way::Punched) {
            turn.punched = Arc::downgrade(sender);
        }
    }

    /// The way to a member that worked last, for any content.
    pub(super) fn last(&self, peer: &PeerId) -> Option<Way> {
        self.peers.lock().get(peer).and_then(|turn| turn.last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::id::ClientId;
    use crate::model::name::tests::user;

    fn peer(name: &str, number: u128) -> PeerId {
        PeerId { user: user(name), client: ClientId(number.to_be_bytes()) }
    }

    #[test]
    fn dials_of_one_member_take_turns_and_those_of_others_are_not_concerned() {
        let (turns, [bob, carol]) = (CallTurns::default(), [peer("bob", 1), peer("carol", 2)]);
        let [first, second] = [Arc::new(1), Arc::new(2)];
        assert!(turns.take(&bob, &first) && turns.take(&bob, &first));
        assert!(!turns.take(&bob, &second) && turns.take(&carol, &second));
        assert!(turns.take(&peer("eve", 1), &Arc::new(3)), "turns count per user, not per client");
        drop(first);
        assert!(turns.take(&bob, &second), "the first has ended");
    }

    #[test]
    fn members_that_nobody_dials_are_forgotten_when_there_are_many() {
        let (turns, attempt) = (CallTurns::default(), Arc::new(0));
        assert!(turns.take(&peer("bob", u128::MAX), &attempt));
        for number in 0..2 * PEERS_MAX as u128 {
            let passing = Arc::new(1);
            assert!(turns.take(&peer("bob", number), &passing));
        }
        assert!(turns.peers.lock().len() <= PEERS_MAX);
        assert!(!turns.take(&peer("bob", u128::MAX), &Arc::new(0)), "this one is dialed");
    }
}
