//! A connection between two trackers: in order and without loss in either direction until it breaks, which loses any part
//! of what was on its way. Connections know nothing of each other, so what went through two of them arrives in any order.

use super::disk::Base;
use groupshare::model::id::Seen;
use groupshare::model::op::Op;
use groupshare::model::op::floor::FloorMark;
use groupshare::tracker::cluster::version_vector::VersionVector;
use std::collections::VecDeque;
use std::rc::Rc;

/// In how many parts a base travels.
pub(crate) const BASE_PARTS: usize = 3;

/// What goes through a connection.
#[derive(Clone)]
pub(crate) enum Message {
    /// The first of each side: its floor and what is durable there.
    Hello(FloorMark, Vec<Seen>),
    /// The same later, when there is another floor.
    Have(FloorMark, Vec<Seen>),
    /// Durable ops.
    Ops(Vec<Op>),
    /// Everything behind this once more, since it could not be kept.
    GiveAgain(Vec<Seen>),
    /// The base of the far side's floor is wanted.
    WantBase(FloorMark),
    /// One part of a base.
    Base(Rc<Base>, usize),
    /// There is another floor by now.
    NoBase,
}

/// What an end knows of the far side.
pub(crate) struct Far {
    pub floor: FloorMark,
    /// What it has.
    pub has: VersionVector,
}

/// One end of a connection.
pub(crate) struct End {
    /// Whose, by index.
    pub tracker: usize,
    pub open: bool,
    /// `None` until the far side has said it.
    pub far: Option<Far>,
    /// How far this side's ops were looked at, by their place on its disk.
    pub cursor: usize,
    /// What is on its way to this end.
    pub inbox: VecDeque<Message>,
    /// Nothing more is taken before the ops taken last are durable.
    pub waits: bool,
    /// What came last could not be kept: what comes is let go of until everything is asked for again.
    pub refused: bool,
    /// The base that was asked for, and how many parts of it have come.
    pub taking: Option<(FloorMark, usize)>,
}

/// A connection. The end that called is the first.
pub(crate) struct Conn {
    pub ends: [End; 2],
    /// Nothing more is carried; what has left still arrives.
    pub broken: bool,
}

/// One end of one connection.
pub(crate) type EndId = (usize, usize);

impl End {
    /// Takes note of what the far side says that it has.
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

    /// Sends something to the far side of an end.
    pub(crate) fn send(&mut self, from: usize, message: Message) {
        if !self.broken {
            self.ends[1 - from].inbox.push_back(message);
        }
    }

    /// Breaks it; of what is on its way, only so much arrives.
    pub(crate) fn break_off(&mut self, arrives: [usize; 2]) {
        self.broken = true;
        for (end, arrives) in self.ends.iter_mut().zip(arrives) {
            end.inbox.truncate(arrives);
        }
    }

    /// An end is gone.
    pub(crate) fn close(&mut self, side: usize) {
        self.broken = true;
        self.ends[side].open = false;
        self.ends[side].inbox.clear();
    }
}
