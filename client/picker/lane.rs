//! The names of peers and their connections in the picker.

/// The name of a peer in the picker. A later peer may get the same place, under the next generation. So a late call in
/// the name of a removed peer changes nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerSlot {
    /// Where the peer stands in the picker's list.
    pub(super) place: u32,
    /// The number of peers that had this place before.
    pub(super) generation: u32,
}

impl PeerSlot {
    /// A connection to this peer. The caller chooses its number.
    pub fn lane(self, number: u16) -> Lane {
        Lane { peer: self, number }
    }
}

/// One connection to a peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lane {
    pub(super) peer: PeerSlot,
    number: u16,
}

impl Lane {
    pub fn peer(self) -> PeerSlot {
        self.peer
    }

    /// The number that the caller gave it.
    pub fn number(self) -> u16 {
        self.number
    }
}
