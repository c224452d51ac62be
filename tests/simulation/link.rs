//! A connection between two trackers. Each direction is in order and without loss until the connection breaks, which
//! loses any part of the messages on their way. Messages on two connections have no order.

use super::disk::Base;
use groupshare::model::id::Seen;
use groupshare::model::op::Op;
use groupshare::model::op::floor::FloorMark;
use groupshare::tracker::cluster::version_vector::VersionVector;
use std::collections::VecDeque;
use std::rc::Rc;

/// In how many parts a base travels.
pub(crate) const BASE_PARTS: usize = 3;

/// A message on a connection.
#[derive(Clone)]
pub(crate) enum Message {
    /// The first message of each side: its floor, and what is durable there.
    Hello(FloorMark, Vec<Seen>),
    /// The same later, after a change of the floor.
    Have(FloorMark, Vec<Seen>),
    /// Durable ops.
    Ops(Vec<Op>),
    /// A request to send everything behind this once more, since it could not be kept.
    GiveAgain(Vec<Seen>),
    /// A request for the base of the far side's floor.
    WantBase(FloorMark),
    /// One part of a base.
    Base(Rc<Base>, usize),
    /// The sender has another floor by now.
    NoBase,
}

/// What one end knows of the far side.
pub(crate) struct Far {
    pub floor: FloorMark,
    /// What the far side has.
    pub has: VersionVector,
}

/// One end of a connection.
pub(crate) struct End {
    /// The tracker at this end, by index.
    pub tracker: usize,
    pub open: bool,
    /// `None` until the far side has sent it.
    pub far: Option<Far>,
    /// How far this end has gone through its own ops, by their place on its disk.
    pub cursor: usize,
    /// Messages on their way to this end.
    pub inbox: VecDeque<Message>,
    /// This end takes nothing more until its last ops are durable.
    pub waits: bool,
    /// The last ops could not be kept. This end drops everything until it asks for all of it again.
    pub refused: bool,
    /// The requested base, and how many of its parts have come.
    pub taking: Option<(FloorMark, usize)>,
}

/// A connection. The calling end is the first.
pub(crate) struct Conn {
    pub ends: [End; 2],
    /// The connection carries nothing more. Messages that have left still arrive.
    pub broken: bool,
}

/// One end of one connection.
pub(crate) type EndId = (usize, usize);

impl End {
    /// Notes what the far side has.
    pub(crate) fn hear(&mut self, floor: FloorMark, seen: &[Seen]) {
        self.far = Some(Far { floor, has: VersionVector::new(seen) });
        (self.cursor, self.taking) = (0, None);
    }

    /// The floor of the far side.
    pub(crate) fn far_floor(&self) -> Option<FloorMark> {
        self.far.as_ref().map(|far| far.floor)
    }
}

impl Conn {
    /// A connection between two trackers, by index.
    pub(crate) fn new(of: [usize; 2]) -> Self {
        let end = |tracker| End {
            tracker,
            open: true,
            far: None,
            cursor: 0,
            inbox: VecDeque::new(),
            waits: false,
            refused: false,
            taking: None,
        };
        Self { ends: of.map(end), broken: false }
    }

    /// Sends a message to the far side of an end.
    pub(crate) fn send(&mut self, from: usize, message: Message) {
        if !self.broken {
            self.ends[1 - from].inbox.push_back(message);
        }
    }

    /// Breaks the connection. Of the messages on their way, only this many arrive in each direction.
    pub(crate) fn break_off(&mut self, arrives: [usize; 2]) {
        self.broken = true;
        for (end, arrives) in self.ends.iter_mut().zip(arrives) {
            end.inbox.truncate(arrives);
        }
    }

    /// Closes one end.
    pub(crate) fn close(&mut self, side: usize) {
        self.broken = true;
        self.ends[side].open = false;
        self.ends[side].inbox.clear();
    }
}
