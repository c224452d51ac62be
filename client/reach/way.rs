//! The ways in which two members come to a connection.

use std::fmt;

/// The way of a connection. The better ones come first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Way {
    /// The member that takes has dialed.
    Direct,
    /// The member that gives has dialed, because a tracker asked it to.
    Called,
    /// Both members have dialed at the same moment.
    Punched,
    /// A tracker passes the bytes.
    Relayed,
}

impl Way {
    /// All ways, the best one first.
    pub const ALL: [Self; 4] = [Way::Direct, Way::Called, Way::Punched, Way::Relayed];

    /// The maximum number of connections of one download on this way to one member; `None` for as many as it wants.
    /// Each punched connection needs a call of its own, and calls are few. An operator pays for the relay.
    pub fn lanes_max(self) -> Option<usize> {
        match self {
            Way::Direct => None,
            Way::Called => Some(2),
            Way::Punched | Way::Relayed => Some(1),
        }
    }

    /// The word for people and programs.
    pub fn word(self) -> &'static str {
        match self {
            Way::Direct => "direct",
            Way::Called => "called",
            Way::Punched => "punched",
            Way::Relayed => "relayed",
        }
    }
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}
