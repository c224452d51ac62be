//! Connects to a peer and opens the content.

use super::transfer::Transfer;
use crate::model::bitfield::Bitfield;
use crate::model::digest::KeyId;
use crate::model::piece::Layout;
use crate::wire::client_tracker::Peer;
use crate::wire::connection::{self, FrameReceiver, FrameSender, TimedStream};
use crate::wire::deadlines::HANDSHAKE_DEADLINE;
use crate::wire::frame::FRAME_LEN_MAX;
use crate::wire::handshake::peer::{PeerIdentity, peer_to_peer};
use crate::wire::handshake::{HandshakeError, Secret};
use crate::wire::peer::{NEWS_MAX, PeerReply, PeerRequest};
use crate::wire::refusal::Code;
use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A peer that has not accepted the connection after this time counts as gone.
const CONNECT_DEADLINE: Duration = Duration::from_secs(3);

/// Why a dial made no connection.
#[derive(Debug)]
pub(crate) enum DialError {
    /// The key of the group is out of date, here or at the peer. The peer is not to blame.
    UnknownKey,
    /// The certificate of this client is missing or has ended. The peer is not to blame.
    NoCertificate,
    /// Another client listens where the peer did. The user is not to blame.
    OtherClient,
    /// The peer has no room now, or does not serve the content yet. The peer is not to blame.
    NotNow,
    /// The peer cannot be reached or does not speak as it should.
    Failed,
}

/// Connects and opens the content. Ends early if the download stops.
pub(super) fn open(
    transfer: &Transfer,
    peer: &Peer,
    (key_id, key): (KeyId, &Secret),
    me: &PeerIdentity,
) -> Result<(FrameReceiver, Arc<FrameSender>, Bitfield), DialError> {
    let mut streams = peer.addrs.iter().filter_map(|addr| TcpStream::connect_timeout(addr, CONNECT_DEADLINE).ok());
    let stream = Arc::new(streams.next().ok_or(DialError::Failed)?);
    let _dialing = transfer.dialing(&stream).ok_or(DialError::NotNow)?;
    let by = Instant::now() + HANDSHAKE_DEADLINE;
    let keys = peer_to_peer(&mut TimedStream::until(&stream, by), me, peer.key, (key_id, key));
    let keys = keys.map_err(|error| match error {
        HandshakeError::Refused(Some(Code::UnknownKey)) => DialError::UnknownKey,
        HandshakeError::Refused(Some(Code::BadCertificate)) => DialError::NoCertificate,
        HandshakeError::Refused(Some(Code::OtherClient)) => DialError::OtherClient,
        HandshakeError::Refused(Some(Code::Busy)) => DialError::NotNow,
        _ => DialError::Failed,
    })?;
    let stream = stream.clone();
    let (mut receiver, sender) = connection::split(stream, keys, FRAME_LEN_MAX, true).map_err(|_| DialError::Failed)?;
    let info_hash = transfer.subject().content.info_hash;
    sender.send(1, &PeerRequest::Open { info_hash }).map_err(|_| DialError::Failed)?;
    let bits = opened(&mut receiver, transfer.layout(), by)?;
    receiver.next_frame();
    Ok((receiver, sender, bits))
}

/// Waits for the reply to `Open` until this time. News may come before it.
fn opened(receiver: &mut FrameReceiver, layout: Layout, by: Instant) -> Result<Bitfield, DialError> {
    let mut news = Vec::new();
    loop {
        let answer = receiver.recv_by(by).map_err(|_| DialError::Failed)?;
        match answer.message().map_err(|_| DialError::Failed)? {
            PeerReply::News { pieces } if news.len() < NEWS_MAX => news.extend_from_slice(&pieces),
            PeerReply::Opened { bits } => {
                let bits = Bitfield::from_bytes(layout, bits.as_bytes());
                let mut bits = bits.ok_or(DialError::Failed)?;
                news.iter().filter_map(|&number| layout.index(number)).for_each(|piece| {
                    bits.insert(piece);
                });
                return Ok(bits);
            }
            PeerReply::Refused { code, .. } if [Code::NotServed as u16, Code::Busy as u16].contains(&code) => {
                return Err(DialError::NotNow);
            }
            _ => return Err(DialError::Failed),
        }
    }
}
