//! Requests of a client for information, and unasked messages to it.

use super::client::{Client, Share, words};
use super::names::{file, group};
use groupshare::model::id::ShareRef;
use groupshare::wire::client_tracker::{GroupKey, Holding, Peer, Reply, Request};
use groupshare::wire::codec::List;

impl Client {
    pub(crate) fn find_share(&mut self, group_name: &str, name: &str) -> Share {
        self.share_reply(Request::FindShare { group: group(group_name), name: file(name) })
    }

    pub(crate) fn peers(&mut self, share: ShareRef) -> Vec<Peer> {
        match self.ask(Request::FindPeers { share }) {
            Reply::Peers { peers, .. } => peers.into_vec(),
            other => panic!("no peers but {}", words(&other)),
        }
    }

    /// The keys of all groups.
    pub(crate) fn keys(&mut self) -> Vec<GroupKey> {
        match self.ask(Request::ListKeys { after: None }) {
            Reply::Keys { keys, more: false } => keys.into_vec(),
            other => panic!("no keys but {other:?}"),
        }
    }

    /// All unasked messages so far: those that the tracker sends before its answer to this heartbeat.
    pub(crate) fn all_pushed(&mut self) -> Vec<Reply> {
        self.done(Request::Heartbeat {});
        self.unasked.drain(..).collect()
    }
}

pub(crate) fn some_pieces(pieces: &[u32]) -> Holding {
    Holding::More { pieces: List::new(pieces.to_vec()).expect("few") }
}
