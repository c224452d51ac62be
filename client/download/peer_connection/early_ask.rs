//! The first piece of a download, which is asked for right behind `Open`: of a peer that has every piece, as the tracker
//! says. So nothing waits for the answer to `Open`.

use super::asking::Asking;
use crate::client::download::transfer::Transfer;
use crate::client::picker::piece_picker::Lane;
use crate::client::reach::way::Way;
use crate::model::id::PeerId;
use crate::model::piece::PieceIndex;
use crate::wire::client_tracker::Peer;
use crate::wire::connection::FrameSender;
use std::sync::Arc;
use std::time::Instant;

/// A piece that is asked for, and may go back: then the connection does not open.
pub(crate) struct EarlyAsk {
    transfer: Arc<Transfer>,
    peer: PeerId,
    asked: Option<EarlyAsked>,
}

/// What a connection takes over that has opened.
pub(super) struct EarlyAsked {
    pub lane: Lane,
    pub asking: Asking,
    pub request: u32,
    pub piece: PieceIndex,
}

impl EarlyAsk {
    /// Asks if the download begins and the peer is said to have all of it. Later, connections are there that the piece
    /// would be kept from. Few ask so at a time: the others wait for the answer to `Open`.
    pub(crate) fn send(transfer: &Arc<Transfer>, peer: &Peer, way: Way, sender: &FrameSender) -> Option<Self> {
        let (layout, now) = (transfer.layout(), Instant::now());
        if transfer.came() > 0 || peer.held != layout.count() || !transfer.has_room(&peer.user) {
            return None;
        }
        let peer = peer.id();
        let lane = transfer.peer_early(&peer, way)?;
        let mut asking = Asking::new(layout, now);
        let Some((request, wanted)) = asking.next(now, |outlook| transfer.want((&peer, lane), outlook, now)) else {
            transfer.peer_closed(&peer, lane);
            return None;
        };
        transfer.recount(&peer.user, 0, 1);
        // Should it fail, no answer to `Open` comes either.
        let _ = sender.send(request, &wanted.request());
        let asked = Some(EarlyAsked { lane, asking, request, piece: wanted.piece });
        Some(Self { transfer: transfer.clone(), peer, asked })
    }

    /// The peer has opened.
    pub(super) fn take(mut self) -> Option<EarlyAsked> {
        self.asked.take()
    }
}

impl Drop for EarlyAsk {
    fn drop(&mut self) {
        if let Some(EarlyAsked { lane, .. }) = &self.asked {
            self.transfer.recount(&self.peer.user, 1, 0);
            self.transfer.peer_closed(&self.peer, *lane);
        }
    }
}
