//! Numbers that name things: trackers, ops, users, groups, shares, commands, running clients.

use super::name::UserId;
use std::fmt;

/// The issuer of an op: a tracker in one incarnation. An incarnation is one run of the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Origin {
    /// The tracker's number: its line in tracker_info.txt, from 1.
    pub tracker: u16,
    /// Random, and new at every start. So a restored data folder never issues an id that others have seen.
    pub incarnation: u64,
}

/// The name of an op: its origin, and its number there. An origin numbers its ops from 1 without gaps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OpId {
    pub origin: Origin,
    pub seq: u64,
}

/// All ops of an origin up to one of them: an entry of a version vector.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    pub origin: Origin,
    /// The sequence of the last one.
    pub seq: u64,
}

/// The place of an op in the total order of all ops: by Lamport counter, then by origin. An origin never issues two
/// ops with one counter, so no two ops have the same place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OpOrder {
    /// Greater than the counter of every op that its origin knew.
    pub lamport: u64,
    /// Decides the order of ops with equal counters.
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

/// A command's own name, which the client makes at random. A command that the client repeats at another tracker keeps
/// its name.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CommandId(pub [u8; 16]);

impl CommandId {
    /// The command of a change that no client asked for.
    pub const NONE: Self = Self([0; 16]);
}

impl fmt::Debug for CommandId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

/// A running client. It takes a random name at its start, so one user can be logged in from several clients.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientId(pub [u8; 16]);

impl fmt::Debug for ClientId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

/// A session of a user, from a login to the logout, with a random name. Tokens carry the name, and the holder of a
/// token is logged in.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(pub [u8; 16]);

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

/// A client as others name it. Clients choose their own ids, so two users' clients may have the same id.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerId {
    pub user: UserId,
    pub client: ClientId,
}

/// Lets a client into the relay of a tracker in place of a login. It is random, and good for one client and a few
/// seconds.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct RelayTicket(pub [u8; 16]);

impl fmt::Debug for RelayTicket {
    /// A ticket is a secret while it is good.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RelayTicket(..)")
    }
}

/// The public key of one run of a client among its peers (X25519).
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
