//! Requests and announcements of a group's members.

use super::client::{Client, words};
use super::names::{command, group, user};
use groupshare::model::id::{PeerKey, ShareRef};
use groupshare::wire::client_tracker::{Holding, Reply, Request};
use groupshare::wire::codec::List;
use std::net::SocketAddr;

impl Client {
    pub(crate) fn join(&mut self, name: &str) {
        self.done(Request::JoinGroup { command: command(), group: group(name) });
    }

    pub(crate) fn accept(&mut self, group_name: &str, name: &str) {
        self.done(Request::AcceptRequest { command: command(), group: group(group_name), user: user(name) });
    }

    /// Announces that the client listens at this port of the address that the tracker sees. Returns the address that
    /// others hear.
    pub(crate) fn announce(&mut self, port: u16) -> SocketAddr {
        match self.ask(announcement(port)) {
            Reply::Announced { seen, .. } => SocketAddr::new(seen.ip(), port),
            other => panic!("not announced but {}", words(&other)),
        }
    }

    pub(crate) fn hold(&mut self, share: ShareRef, holding: Holding) {
        self.done(Request::Hold { share, holding });
    }
}

/// A client that listens at this port, with a key without use.
pub(crate) fn announcement(port: u16) -> Request {
    Request::Announce {
        key: PeerKey([7; 32]),
        port,
        interfaces: List::EMPTY,
        announced: None,
        machine: [0; 16],
        round_trip_ms: 0,
    }
}

pub(crate) fn all_pieces() -> Holding {
    Holding::All {}
}
