//! Clients from which pieces of a share can be had.

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

/// Where pieces of a share can be had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// The client's address.
    pub addr: SocketAddr,
    /// The pieces; none for all.
    pub pieces: Option<Arc<PieceSet>>,
}

/// Somebody began to hold pieces of a share, or holds them elsewhere now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HolderUp {
    pub share: ShareRef,
    pub holder: Holder,
    /// The clients of this tracker that want to know: those that do not hold all of it, or in a crowd some of them.
    pub tell: Vec<ClientKey>,
}

/// A client that is online.
#[derive(Debug, Clone)]
pub struct OnlineClient {
    pub key: ClientKey,
    /// Who and where it is, once it has said so.
    pub contact: Option<Arc<Contact>>,
    /// The tracker at which it is logged in, `None` for this one.
    pub tracker: Option<u16>,
}
