//! The beginning of a connection: this client reaches a peer, in any way, and opens the content.

use super::peer_connection::early_ask::EarlyAsk;
use super::transfer::Transfer;
use crate::client::keyring::Keyring;
use crate::client::reach::calls::{Attempt, CallSubject};
use crate::client::reach::reacher::{Miss, Reacher, Sought};
use crate::client::reach::unreached::Unreached;
use crate::client::reach::way::Way;
use crate::model::bitfield::Bitfield;
use crate::model::digest::KeyId;
use crate::model::piece::Layout;
use crate::wire::client_tracker::Peer;
use crate::wire::connection::{FrameReceiver, FrameSender};
use crate::wire::deadlines::HANDSHAKE_DEADLINE;
use crate::wire::peer::{NEWS_MAX, PeerReply, PeerRequest};
use crate::wire::refusal::Code;
use std::sync::Arc;
use std::time::Instant;

/// Why a dial has failed.
#[derive(Debug)]
pub(crate) enum DialError {
    /// This client has no key of the group. The peer is not to blame.
    UnknownKey,
    /// This client has no certificate. The peer is not to blame.
    NoCertificate,
    /// Other clients listen at the addresses of the peer. The user is not to blame.
    OtherClient(Box<Unreached>),
    /// This client has no room, or the download stops. The peer is not to blame.
    NotNow,
    /// The peer has no room now. The number is the place in its queue, if the peer has told it. The peer is not to
    /// blame.
    Busy(Option<u32>),
    /// The peer does not serve the content yet. The peer is not to blame.
    NotServed,
    /// The peer cannot be reached.
    Unreached(Box<Unreached>),
    /// The peer violates the protocol.
    Failed,
}

impl From<Miss> for DialError {
    fn from(miss: Miss) -> Self {
        match miss {
            Miss::NoCertificate => DialError::NoCertificate,
            Miss::Stopped | Miss::NotNow => DialError::NotNow,
            Miss::Unreached(why) if why.is_elsewhere() => DialError::OtherClient(why),
            Miss::Unreached(why) => DialError::Unreached(why),
        }
    }
}

/// A peer to reach.
#[derive(Debug)]
pub(crate) struct DialTarget {
    pub peer: Peer,
    /// The way that worked last.
    pub last: Option<Way>,
    /// Whether a relayed connection exists, so that only a better one helps.
    pub better: bool,
}

/// A connection with open content.
pub(crate) struct OpenedConnection {
    pub receiver: FrameReceiver,
    pub sender: Arc<FrameSender>,
    /// The pieces of the peer.
    pub bits: Bitfield,
    /// The group key of the connection.
    pub key: KeyId,
    pub way: Way,
    /// The piece that this client requested together with `Open`.
    pub early: Option<EarlyAsk>,
}

/// Reaches a peer and opens the content. Ends early if the download stops.
pub(crate) fn open(
    transfer: &Arc<Transfer>,
    target: &DialTarget,
    reacher: &Reacher,
    keyring: &Keyring,
) -> Result<OpenedConnection, DialError> {
    let group = transfer.subject().group;
    let (key_id, key) = keyring.of_group(group).ok_or(DialError::UnknownKey)?;
    let attempt = Attempt::new().map_err(|_| DialError::NotNow)?;
    let _dialing = transfer.dialing(&attempt).ok_or(DialError::NotNow)?;
    let info_hash = transfer.subject().content.info_hash;
    let certificate = reacher.identity.certificate();
    let wanted = Sought {
        peer: &target.peer,
        subject: CallSubject { group, info_hash, peer: target.peer.id(), key: target.peer.key },
        share: transfer.share(),
        key: (key_id, &key),
        last: target.last,
        better: target.better,
        is_current: &|| {
            let current = keyring.of_group(group).is_some_and(|(id, _)| id == key_id);
            current && reacher.identity.certificate() == certificate
        },
    };
    let reached = reacher.reach(&wanted, &attempt)?;
    let (mut receiver, sender) = (reached.receiver, reached.sender);
    let by = Instant::now() + HANDSHAKE_DEADLINE;
    if !attempt.waits_on(&sender) {
        return Err(DialError::NotNow);
    }
    sender.send(1, &PeerRequest::Open { info_hash }).map_err(|_| DialError::Failed)?;
    let early = EarlyAsk::send(transfer, &target.peer, reached.way, &sender);
    let bits = opened(&mut receiver, transfer.layout(), by)?;
    receiver.next_frame();
    Ok(OpenedConnection { receiver, sender, bits, key: reached.key, way: reached.way, early })
}

/// Waits for the reply to `Open` until this time. News may come before the reply.
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
            PeerReply::Refused { code, about } if code == Code::Busy as u16 => {
                return Err(DialError::Busy(about.as_str().parse().ok()));
            }
            PeerReply::Refused { code, .. } if code == Code::NotServed as u16 => return Err(DialError::NotServed),
            _ => return Err(DialError::Failed),
        }
    }
}
