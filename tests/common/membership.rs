//! What members of a group ask of a tracker, and tell it.

use super::client::{Client, words};
use super::names::{command, group, user};
use groupshare::model::id::ShareRef;
use groupshare::wire::client_tracker::{Holding, Reply, Request};
use std::net::SocketAddr;

impl Client {
    pub(crate) fn join(&mut self, name: &str) {
        self.done(Request::JoinGroup { command: command(), group: group(name) });
    }

    pub(crate) fn accept(&mut self, group_name: &str, name: &str) {
        self.done(Request::AcceptRequest { command: command(), group: group(group_name), user: user(name) });
    }

    pub(crate) fn announce(&mut self, port: u16) -> SocketAddr {
        match self.ask(Request::Announce { ip: None, port }) {
            Reply::Announced { addr } => addr,
            other => panic!("not announced but {}", words(&other)),
        }
    }

    pub(crate) fn hold(&mut self, share: ShareRef, holding: Holding) {
        self.done(Request::Hold { share, holding });
    }
}

pub(crate) fn all_pieces() -> Holding {
    Holding::All {}
}
