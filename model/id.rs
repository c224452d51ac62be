//! Numbers that name things: trackers, ops, what ops created, commands, running clients.

use super::name::UserId;
use std::fmt;

/// Who issued an op: a tracker in one incarnation, which is one run of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Origin {
    /// The tracker's number: its line in tracker_info.txt, from 1.
    pub tracker: u16,
    /// Random, and new at every start: a data folder that was restored gives no id that others have seen.
    pub incarnation: u64,
}

/// The name of an op: the `seq`th that its origin issued, from 1 without gaps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OpId {
    pub origin: Origin,
    pub seq: u64,
}

/// All ops of an origin up to one of them: an entry of a version vector.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    pub origin: Origin,
    /// The last one.
    pub seq: u64,
}

/// The place of an op in the total order of all ops: by Lamport counter, then by origin. An origin never issues two
/// ops with one counter, so no two ops have the same place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OpOrder {
    /// Greater than that of every op its origin knew.
    pub lamport: u64,
    /// Decides among ops with one counter.
    pub origin: Origin,
}

macro_rules! entity {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub OpId);
    };
}

entity!(
    /// A user, named by the op that created the account.
    UserRef
);
entity!(
    /// A group, named by the op that created it.
    GroupRef
);
entity!(
    /// A share, named by the op that created it.
    ShareRef
);

/// A command's own name, made at random by the client that issues it; a command repeated at another tracker keeps it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CommandId(pub [u8; 16]);

impl CommandId {
    /// Of a change behind which no client stands.
    pub const NONE: Self = Self([0; 16]);
}

impl fmt::Debug for CommandId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

/// A running client, named at random when it starts, so that one user can be logged in from several.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientId(pub [u8; 16]);

impl fmt::Debug for ClientId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

/// A session of a user, from a login to the logout, named at random. Tokens carry it, and whoever has a token is in.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(pub [u8; 16]);

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

/// A client as others name it. Clients choose their ids, so an id alone may be that of another user's client.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerId {
    pub user: UserId,
    pub client: ClientId,
}

/// What lets a client to the relay of a tracker, in place of a login: random, for one client and a few seconds.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct RelayTicket(pub [u8; 16]);

impl fmt::Debug for RelayTicket {
    /// A secret while it is good.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RelayTicket(..)")
    }
}

/// The public key that one run of a client goes by among its peers (X25519).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerKey(pub [u8; 32]);

impl fmt::Display for PeerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().take(4).try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for PeerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PeerKey({self})")
    }
}
