//! Future events in the order of simulated time. Events of one moment happen in the order in which they were added.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::{Duration, Instant};

/// A connection in its slot. The next connection in a slot has the next generation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct ConnId {
    pub(crate) slot: u32,
    pub(crate) generation: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Event {
    /// A member begins its download.
    Begins(u32),
    /// A member has a tick.
    Tick(u32),
    /// A member tells the tracker what came in, and sometimes asks it for peers.
    Heartbeat(u32),
    /// The tracker's answer with peers has arrived.
    Peers(u32),
    /// The tracker sends what it has put off.
    TellPutOff,
    /// A connection from the first member to the second has opened the content, or was refused.
    Dialed(u32, u32),
    /// A request has arrived at the giver.
    Asked(ConnId, u32),
    /// The request of a connection has waited as long as it may.
    Held(ConnId),
    /// The taker hears that a piece is on its way to another member, and how many milliseconds that may take.
    PutOff(ConnId, u32),
    /// The uplink of a member is free, or its limit allows more.
    Uplink(u32),
    /// Bytes of a piece have arrived at the taker. The flag says whether they are the last ones.
    Delivered(ConnId, u32, bool),
    /// The taker sees that the giver has ended the connection. The flag says whether it was in the middle of a piece.
    Ended(ConnId, bool),
    /// A member tells of its new pieces.
    Announces(u32),
    /// News that waited behind a piece have arrived at the taker.
    News(ConnId),
}

/// The future events, and the time.
#[derive(Debug)]
pub(crate) struct Clock {
    begun: Instant,
    now: Duration,
    heap: BinaryHeap<Reverse<(Duration, u64, Event)>>,
    count: u64,
}

impl Clock {
    pub(crate) fn new() -> Self {
        Self { begun: Instant::now(), now: Duration::ZERO, heap: BinaryHeap::new(), count: 0 }
    }

    /// The time since the beginning.
    pub(crate) fn elapsed(&self) -> Duration {
        self.now
    }

    /// The time in the type of the product's code.
    pub(crate) fn now(&self) -> Instant {
        self.begun + self.now
    }

    pub(crate) fn after(&mut self, pause: Duration, event: Event) {
        self.at(self.now + pause, event);
    }

    pub(crate) fn at(&mut self, when: Duration, event: Event) {
        self.count += 1;
        self.heap.push(Reverse((when.max(self.now), self.count, event)));
    }

    /// Goes on to the next event.
    pub(crate) fn next(&mut self) -> Option<Event> {
        let Reverse((when, _, event)) = self.heap.pop()?;
        self.now = when;
        Some(event)
    }
}
