//! Clients that can give pieces of a share.

use super::client_key::ClientKey;
use crate::model::id::ShareRef;
use crate::model::piece_set::PieceSet;
use crate::wire::contact::Contact;
use std::net::SocketAddr;
use std::sync::Arc;

/// A client that holds pieces of a share and can be reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    pub key: ClientKey,
    /// Who and where it is.
    pub contact: Arc<Contact>,
    /// How many pieces it holds.
    pub held: u32,
}

/// An address that can give pieces of a share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// The client's address.
    pub addr: SocketAddr,
    /// The pieces; `None` for all.
    pub pieces: Option<Arc<PieceSet>>,
}

/// A client began to hold pieces of a share, or is now at another address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HolderUp {
    pub share: ShareRef,
    pub holder: Holder,
    /// The clients of this tracker to tell: those that lack pieces of it, or some of these in a crowd.
    pub tell: Vec<ClientKey>,
}

/// A client that is online.
#[derive(Debug, Clone)]
pub struct OnlineClient {
    pub key: ClientKey,
    /// Who and where it is, once it has announced that.
    pub contact: Option<Arc<Contact>>,
    /// The tracker that the client is logged in at; `None` for this tracker.
    pub tracker: Option<u16>,
}
