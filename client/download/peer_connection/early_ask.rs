//! The first piece of a download, requested right behind `Open` from a peer that has every piece according to the
//! tracker. So the request does not wait for the answer to `Open`.

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

/// A requested piece, which goes back to the picker if the connection does not open.
pub(crate) struct EarlyAsk {
    transfer: Arc<Transfer>,
    peer: PeerId,
    asked: Option<EarlyAsked>,
}

/// The state that an opened connection takes over.
pub(super) struct EarlyAsked {
    pub lane: Lane,
    pub asking: Asking,
    pub request: u32,
    pub piece: PieceIndex,
}

impl EarlyAsk {
    /// Requests a piece if the download begins and the peer is said to have everything. Later in a download, this would
    /// keep the piece from open connections. Only few connections do so at a time; the others wait for the answer to
    /// `Open`.
    pub(crate) fn send(transfer: &Arc<Transfer>, peer: &Peer, way: Way, sender: &FrameSender) -> Option<Self> {
        let (layout, now) = (transfer.layout(), Instant::now());
        if transfer.came() > 0 || peer.held != layout.count() || !transfer.has_room(&peer.user) {
            return None;
        }
        let peer = peer.id();
        let lane = transfer.peer_early(&peer, way)?;
        let mut asking = Asking::new(layout, now);
        let want = |outlook| transfer.want((&peer, lane), outlook, now).map(|ask| ask.of_peer(sender.features()));
        let Some((request, wanted)) = asking.next(now, want) else {
            transfer.peer_closed(&peer, lane);
            return None;
        };
        transfer.recount(&peer.user, 0, 1);
        // If the send fails, no answer to `Open` comes either.
        let _ = sender.send(request, &wanted.request());
        let asked = Some(EarlyAsked { lane, asking, request, piece: wanted.piece });
        Some(Self { transfer: transfer.clone(), peer, asked })
    }

    /// Hands the request over to the opened connection.
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
