//! What is to happen, in the order of made-up time. Events of one moment happen in the order in which they were put in.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::{Duration, Instant};

/// A connection in its slot. A slot is used again under the next generation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct ConnId {
    pub(crate) slot: u32,
    pub(crate) generation: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Event {
    /// A member begins its download.
    Begins(u32),
    /// A member looks at the clock.
    Tick(u32),
    /// A member tells the tracker what came in, and asks it for peers now and then.
    Heartbeat(u32),
    /// The tracker's answer with peers is there.
    Peers(u32),
    /// The tracker tells what it has put off.
    TellPutOff,
    /// The content is open on a connection from the first to the second, or is refused.
    Dialed(u32, u32),
    /// A request is at the giver.
    Asked(ConnId, u32),
    /// What is asked for on a connection has waited as long as it may.
    Held(ConnId),
    /// The taker hears that a piece is on its way to another member, until so many milliseconds from now.
    PutOff(ConnId, u32),
    /// The uplink of a member is free, or its limit allows more.
    Uplink(u32),
    /// Bytes of a piece are at the taker; the last ones of it or not.
    Delivered(ConnId, u32, bool),
    /// The taker sees that the giver has ended the connection, in the middle of a piece or not.
    Ended(ConnId, bool),
    /// A member tells of its new pieces.
    Announces(u32),
    /// News that waited behind a piece are at the taker.
    News(ConnId),
}

/// The events to come, and the time.
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

    /// The time as the product's code takes it.
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
