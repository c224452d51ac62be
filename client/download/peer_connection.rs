//! The leecher's end of one connection to a peer: asks for pieces, and takes what comes without waiting for it.

use super::error::DownloadError;
use super::lie::Lie;
use super::liveness::{Due, Liveness};
use super::transfer::{PieceError, Transfer};
use crate::client::keyring::Keyring;
use crate::client::picker::piece_picker::Lane;
use crate::client::rate::downlink::Downlink;
use crate::model::bitfield::Bitfield;
use crate::model::digest::KeyId;
use crate::model::id::ClientId;
use crate::model::name::UserId;
use crate::model::piece::{Layout, PieceIndex};
use crate::wire::client_tracker::Peer;
use crate::wire::connection::{self, FrameReceiver, FrameSender, RecvError, TimedStream};
use crate::wire::deadlines::HANDSHAKE_DEADLINE;
use crate::wire::frame::FRAME_LEN_MAX;
use crate::wire::handshake::{self, HandshakeError, Secret};
use crate::wire::peer::{NEWS_MAX, PeerReply, PeerRequest, REQUESTS_MAX};
use crate::wire::record_layer::RecordError;
use crate::wire::refusal::Code;
use std::collections::VecDeque;
use std::fmt;
use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Most pieces asked for and not yet here, per connection: one comes in while the next is read and encrypted at the
/// seeder. It begins with one and grows by one with each piece that comes, since a seeder that takes long over the first
/// should not be asked for more before the other members who begin now are known.
const DEPTH_MAX: usize = 3;
const _: () = assert!(DEPTH_MAX <= REQUESTS_MAX);
/// A peer accepts the connection within this time or counts as gone.
const CONNECT_DEADLINE: Duration = Duration::from_secs(3);
/// How long a worker waits for more before it gives the connection back.
const LINGER: Duration = Duration::from_millis(4);

/// After so many pieces in a row that are on their way to others the peer is asked for more at the next look at the time:
/// one that says so of every piece would be asked for all of them over and over.
const PUT_OFF_MAX: u32 = 16;

/// Why a connection did not come about.
#[derive(Debug)]
pub(crate) enum DialError {
    /// Our key or the peer's is out of date: the keys are asked for again, and the peer is not to blame.
    UnknownKey,
    /// The peer has no room now, or does not serve the content yet.
    NotNow,
    /// The peer is not reached or does not speak as it should.
    Failed,
}

/// Why a connection ends.
#[derive(Debug)]
pub(crate) enum DropReason {
    /// It ended or failed; the peer may be tried again.
    Lost,
    /// The peer sent what no honest peer sends: it is not tried again for this download.
    Lied(Lie),
}

/// What the work on a connection came to.
#[derive(Debug)]
pub(crate) enum WorkOutcome {
    /// Nothing more comes in right now.
    Waits,
    /// There is more, but others wait for the worker.
    Yields,
    /// The connection ends.
    Drops(DropReason),
    /// The last piece is here.
    Completes,
    /// The download cannot go on.
    Stops(DownloadError),
}

/// One connection.
pub(crate) struct PeerConnection {
    transfer: Arc<Transfer>,
    client: ClientId,
    user: UserId,
    key: KeyId,
    lane: Lane,
    receiver: FrameReceiver,
    sender: Arc<FrameSender>,
    asked: VecDeque<(u32, PieceIndex)>,
    /// How many may be asked for at a time now.
    depth: usize,
    last_request: u32,
    /// How often in a row it has put us off.
    put_off: u32,
    keep_alive: Option<u32>,
    liveness: Liveness,
    /// The limit lets it take nothing before.
    not_before: Option<Instant>,
}

impl fmt::Debug for PeerConnection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PeerConnection").field("user", &self.user).field("lane", &self.lane).finish_non_exhaustive()
    }
}

impl PeerConnection {
    /// Connects to a peer under the group's key and opens the content.
    pub(crate) fn dial(
        transfer: Arc<Transfer>,
        peer: &Peer,
        keyring: &Keyring,
        me: &UserId,
    ) -> Result<Self, DialError> {
        let (key_id, key) = keyring.of_group(transfer.subject().group).ok_or(DialError::UnknownKey)?;
        let (receiver, sender, bits) = open(&transfer, peer, (key_id, &key), me)?;
        let lane = transfer.peer_opened(peer.client, &peer.user, &bits);
        Ok(Self {
            transfer,
            client: peer.client,
            user: peer.user.clone(),
            key: key_id,
            lane,
            receiver,
            sender,
            asked: VecDeque::with_capacity(DEPTH_MAX),
            depth: 1,
            last_request: 1,
            put_off: 0,
            keep_alive: None,
            liveness: Liveness::new(Instant::now()),
            not_before: None,
        })
    }

    /// When it is to be worked on again though nothing may come in: it had to stop because of the limit.
    pub(crate) fn not_before(&self) -> Option<Instant> {
        self.not_before
    }

    /// The download it works for.
    pub(crate) fn transfer(&self) -> &Arc<Transfer> {
        &self.transfer
    }

    /// The client at the other end.
    pub(crate) fn client(&self) -> ClientId {
        self.client
    }

    /// Whose client that is.
    pub(crate) fn user(&self) -> &UserId {
        &self.user
    }

    /// The key of the group under which it was made.
    pub(crate) fn key(&self) -> KeyId {
        self.key
    }

    /// Whether it has brought a piece.
    pub(crate) fn has_delivered(&self) -> bool {
        self.depth > 1
    }

    /// The socket, for waiting until it is readable.
    pub(crate) fn stream(&self) -> &TcpStream {
        self.receiver.stream()
    }

    /// Asks for pieces up to the depth. An error means that the connection is lost.
    pub(crate) fn ask(&mut self) -> Result<(), DropReason> {
        while !self.liveness.is_late() && self.put_off < PUT_OFF_MAX && self.asked.len() < self.depth {
            let Some(piece) = self.transfer.pick(self.lane) else {
                return Ok(());
            };
            if self.asked.is_empty() {
                // The time runs from the question on.
                self.liveness.restart(Instant::now());
            }
            self.last_request = self.last_request.wrapping_add(1).max(1);
            self.asked.push_back((self.last_request, piece));
            let sent = self.sender.send(self.last_request, &PeerRequest::GetPiece { piece: piece.get() });
            sent.map_err(|_| DropReason::Lost)?;
        }
        Ok(())
    }

    /// Takes what has come in, until nothing more is there or `others_wait` says that the worker is wanted elsewhere.
    pub(crate) fn work(&mut self, downlink: &Downlink, others_wait: impl Fn() -> bool) -> WorkOutcome {
        self.not_before = None;
        loop {
            if self.transfer.is_stopped() {
                return WorkOutcome::Yields;
            }
            let had = self.receiver.polled();
            let mut left = 0;
            let polled = downlink.take(|most| {
                let polled = self.receiver.poll_within(most);
                let taken = (self.receiver.polled() - had) as usize;
                left = most - taken;
                (taken, polled)
            });
            let polled = match polled {
                Ok(polled) => polled,
                Err(when) => {
                    self.not_before = Some(when);
                    return WorkOutcome::Waits;
                }
            };
            self.liveness.hear(self.receiver.polled(), Instant::now);
            match polled {
                Ok(true) => {}
                Ok(false) if left == 0 => continue,
                // A worker lingers for a moment before it gives the connection back, unless it is wanted elsewhere:
                // the next bytes of a peer that delivers are on their way, and come cheaper so.
                Ok(false) if !others_wait() && self.receiver.wait_readable(LINGER) => continue,
                Ok(false) => return WorkOutcome::Waits,
                Err(error) => return WorkOutcome::Drops(recv_failed(error)),
            }
            let outcome = self.take_frame();
            self.receiver.next_frame();
            if let Some(outcome) = outcome {
                return outcome;
            }
            if others_wait() {
                return WorkOutcome::Yields;
            }
        }
    }

    /// One frame; a step if the work ends with it.
    fn take_frame(&mut self) -> Option<WorkOutcome> {
        let frame = match self.receiver.frame() {
            Ok(frame) => frame,
            Err(error) => return Some(WorkOutcome::Drops(recv_failed(error))),
        };
        let request = frame.request;
        match frame.message() {
            Ok(PeerReply::Piece { data }) => self.take_piece(request, data.len),
            Ok(PeerReply::News { pieces }) => self.take_news(&pieces),
            Ok(PeerReply::Alive {}) if self.keep_alive == Some(request) => {
                self.keep_alive = None;
                None
            }
            Ok(PeerReply::Refused { code, .. }) if code == Code::OnItsWay as u16 => self.put_off(request),
            Ok(PeerReply::Refused { .. }) => Some(WorkOutcome::Drops(DropReason::Lost)),
            Ok(PeerReply::Opened { .. } | PeerReply::Alive {}) => lied(Lie::Unasked),
            Err(error) => lied(Lie::Malformed(error)),
        }
    }

    fn take_piece(&mut self, request: u32, len: u32) -> Option<WorkOutcome> {
        let Some((_, piece)) = self.asked.pop_front().filter(|(id, _)| *id == request) else {
            return lied(Lie::UnaskedPiece);
        };
        self.liveness.deliver(Instant::now());
        self.put_off = 0;
        let first = self.depth == 1;
        self.depth = DEPTH_MAX.min(self.depth + 1);
        // The next question goes out first, so that the peer works while this piece is verified.
        if let Err(reason) = self.ask() {
            return Some(WorkOutcome::Drops(reason));
        }
        let frame = match self.receiver.frame() {
            Ok(frame) => frame,
            Err(error) => return Some(WorkOutcome::Drops(recv_failed(error))),
        };
        match self.transfer.take_piece(self.client, self.lane, piece, frame.payload(len)) {
            Ok(true) => Some(WorkOutcome::Completes),
            // The engine may make further connections to this peer now.
            Ok(false) => first.then_some(WorkOutcome::Yields),
            Err(PieceError::Bad) => lied(Lie::BadPiece),
            Err(PieceError::Stops(error)) => Some(WorkOutcome::Stops(error)),
        }
    }

    fn put_off(&mut self, request: u32) -> Option<WorkOutcome> {
        let Some((_, piece)) = self.asked.pop_front().filter(|(id, _)| *id == request) else {
            return lied(Lie::UnaskedRefusal);
        };
        self.liveness.deliver(Instant::now());
        self.put_off += 1;
        self.transfer.put_off(self.lane, piece);
        self.ask().err().map(WorkOutcome::Drops)
    }

    fn take_news(&mut self, pieces: &[u32]) -> Option<WorkOutcome> {
        let layout = self.transfer.layout();
        let known: Option<Vec<_>> = pieces.iter().map(|&number| layout.index(number)).collect();
        let Some(known) = known else {
            return lied(Lie::NoSuchPiece);
        };
        self.transfer.peer_has(self.lane, &known);
        self.ask().err().map(WorkOutcome::Drops)
    }

    /// Looks at the time: gives pieces back that do not come, says that it is there, finds that the peer is gone.
    pub(crate) fn check_time(&mut self, now: Instant) -> Result<(), DropReason> {
        self.put_off = 0;
        if self.not_before.is_some() {
            // What it sends waits for us.
            self.liveness.restart(now);
        }
        match self.liveness.due(now, !self.asked.is_empty(), self.keep_alive.is_some()) {
            Some(Due::GiveBack) => self.transfer.snub(self.lane),
            Some(Due::KeepAlive) => {
                self.last_request = self.last_request.wrapping_add(1).max(1);
                self.keep_alive = Some(self.last_request);
                let sent = self.sender.send(self.last_request, &PeerRequest::KeepAlive {});
                sent.map_err(|_| DropReason::Lost)?;
            }
            Some(Due::End) => return Err(DropReason::Lost),
            None => {}
        }
        Ok(())
    }

    /// Whether the peer has anything that is still wanted.
    pub(crate) fn is_useful(&self) -> bool {
        self.transfer.wants_from(self.lane)
    }
}

impl Drop for PeerConnection {
    fn drop(&mut self) {
        self.sender.end();
        self.transfer.peer_closed(self.client, self.lane);
    }
}

/// Connects, and opens the content; ends early if the download does.
fn open(
    transfer: &Transfer,
    peer: &Peer,
    (key_id, key): (KeyId, &Secret),
    me: &UserId,
) -> Result<(FrameReceiver, Arc<FrameSender>, Bitfield), DialError> {
    let stream = TcpStream::connect_timeout(&peer.addr, CONNECT_DEADLINE).map_err(|_| DialError::Failed)?;
    let stream = Arc::new(stream);
    let _dialing = transfer.dialing(&stream).ok_or(DialError::NotNow)?;
    let keys = handshake::peer_to_peer(&mut TimedStream::new(&stream, HANDSHAKE_DEADLINE), key_id, key);
    let keys = keys.map_err(|error| match error {
        HandshakeError::Refused(Some(Code::UnknownKey)) => DialError::UnknownKey,
        HandshakeError::Refused(Some(Code::Busy)) => DialError::NotNow,
        _ => DialError::Failed,
    })?;
    let stream = stream.clone();
    let (mut receiver, sender) = connection::split(stream, keys, FRAME_LEN_MAX, true).map_err(|_| DialError::Failed)?;
    let info_hash = transfer.subject().content.info_hash;
    sender.send(1, &PeerRequest::Open { info_hash, user: me.clone() }).map_err(|_| DialError::Failed)?;
    let bits = opened(&mut receiver, transfer.layout())?;
    receiver.next_frame();
    Ok((receiver, sender, bits))
}

fn lied(lie: Lie) -> Option<WorkOutcome> {
    Some(WorkOutcome::Drops(DropReason::Lied(lie)))
}

/// Waits for the answer to `Open`; news may come before it.
fn opened(receiver: &mut FrameReceiver, layout: Layout) -> Result<Bitfield, DialError> {
    let mut news = Vec::new();
    loop {
        let answer = receiver.recv(HANDSHAKE_DEADLINE).map_err(|_| DialError::Failed)?;
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

/// What the peer sent wrong is a lie only if it decrypts: bytes changed on the way do not.
fn recv_failed(error: RecvError) -> DropReason {
    match error {
        RecvError::Decode(error) => DropReason::Lied(Lie::Malformed(error)),
        RecvError::Record(error @ (RecordError::FrameTooLong { .. } | RecordError::Framing)) => {
            DropReason::Lied(Lie::Unframed(error))
        }
        _ => DropReason::Lost,
    }
}
