//! A connection between two trackers: in order and without loss in either direction until it breaks, which loses any part
//! of what was on its way. Connections know nothing of each other, so what went through two of them arrives in any order.

use groupshare::model::id::Seen;
use groupshare::model::op::Op;
use groupshare::tracker::cluster::version_vector::VersionVector;
use std::collections::VecDeque;

/// What goes through a connection.
pub(crate) enum Message {
    /// The first of each side: what is durable there.
    Hello(Vec<Seen>),
    /// Durable ops.
    Ops(Vec<Op>),
    /// Everything behind this once more, since it could not be kept.
    GiveAgain(Vec<Seen>),
}

/// One end of a connection.
pub(crate) struct End {
    /// Whose, by index.
    pub tracker: usize,
    pub open: bool,
    /// What the far side has; `None` until it has said so.
    pub far: Option<VersionVector>,
    /// How far this side's ops were looked at, by their place on its disk.
    pub cursor: usize,
    /// What is on its way to this end.
    pub inbox: VecDeque<Message>,
    /// Nothing more is taken before the ops taken last are durable.
    pub waits: bool,
    /// What came last could not be kept: what comes is let go of until everything is asked for again.
    pub refused: bool,
}

/// A connection. The end that called is the first.
pub(crate) struct Conn {
    pub ends: [End; 2],
    /// Nothing more is carried; what has left still arrives.
    pub broken: bool,
}

/// One end of one connection.
pub(crate) type EndId = (usize, usize);

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
