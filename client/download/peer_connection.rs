//! The downloading end of one connection to a peer. It requests pieces, and takes arriving data without waiting.

pub mod asking;
mod complaint;
mod describing;
pub(crate) mod early_ask;
pub mod liveness;
pub(crate) mod outcome;
mod pipe;

use super::lie::Lie;
use super::opening::OpenedConnection;
use super::patching::{described, not_described, take_wanted};
use super::transfer::{PieceError, Transfer};
use crate::client::picker::piece_picker::Lane;
use crate::client::rate::downlink::Downlink;
use crate::client::reach::gone::is_from;
use crate::client::reach::way::Way;
use crate::model::digest::KeyId;
use crate::model::id::PeerId;
use crate::model::piece::PieceIndex;
use crate::wire::client_tracker::Peer;
use crate::wire::connection::{FrameReceiver, FrameSender};
use crate::wire::handshake::features::Features;
use crate::wire::peer::{PeerReply, PeerRequest};
use crate::wire::refusal::Code;
use asking::{Asking, Refused};
use complaint::Complaint;
use describing::Describing;
use early_ask::{EarlyAsk, EarlyAsked};
use liveness::Due;
use outcome::{lied, recv_failed};

pub(crate) use outcome::{DropReason, WorkOutcome};
use std::fmt;
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long a connection of a fast download keeps its worker while others wait. This is the time of some 30 pieces.
const FAST_TURN: Duration = Duration::from_millis(50);
/// How long a worker waits for more data before it gives the connection back.
const LINGER: Duration = Duration::from_millis(4);

/// One connection. Its pieces in flight go back to the picker when it is dropped.
pub(crate) struct PeerConnection {
    transfer: Arc<Transfer>,
    peer: PeerId,
    key: KeyId,
    way: Way,
    since: Instant,
    lane: Lane,
    receiver: FrameReceiver,
    sender: Arc<FrameSender>,
    asking: Asking,
    /// The number of pieces that the transfer expects on this connection.
    expected: usize,
    /// The requested descriptions that have not come, the oldest first.
    describing: Describing,
    /// Data may have come along with the answer to `Open`: news, or what was requested before the connection opened.
    may_have_come: bool,
    /// The request for a piece that the peer turned out not to have. The request went out before the peer said what it
    /// has.
    mistaken: Option<u32>,
    /// Whether a good piece has come, and no bad one since.
    delivers: bool,
    /// Whether its turn is over. Then the connection requests nothing until every requested piece is here.
    drains: bool,
    /// How many more pieces the peer may announce: each at most once.
    news_left: u32,
    /// The keep-alive that waits for its reply.
    keep_alive: Option<u32>,
    /// The rate limiter lets the connection take nothing before this time.
    not_before: Option<Instant>,
    /// The complaint about a wrong piece. After it the connection requests nothing more.
    complaint: Option<Complaint>,
    /// Bytes of the current, incomplete frame.
    arriving: u64,
}

impl fmt::Debug for PeerConnection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PeerConnection")
            .field("user", &self.peer.user)
            .field("lane", &self.lane)
            .finish_non_exhaustive()
    }
}

impl PeerConnection {
    /// Takes over a connection with open content.
    pub(crate) fn new(transfer: Arc<Transfer>, peer: &Peer, opened: OpenedConnection) -> Self {
        let OpenedConnection { receiver, sender, bits, key, way, early } = opened;
        let (peer, now) = (peer.id(), Instant::now());
        let (lane, asking, expected, mistaken) = match early.and_then(EarlyAsk::take) {
            Some(EarlyAsked { lane, mut asking, request, piece }) => {
                transfer.peer_confirmed(&peer, lane, (way, &bits));
                asking.restart(now);
                (lane, asking, 1, (!bits.has(piece)).then_some(request))
            }
            None => (transfer.peer_opened(&peer, way, &bits), Asking::new(transfer.layout(), now), 0, None),
        };
        let mut describing = Describing::default();
        if !sender.features().has(Features::BLOCKS) {
            describing.end();
            transfer.difference().into_iter().for_each(|it| it.ask_no_more(now));
        }
        let news_left = transfer.layout().count().saturating_sub(bits.held());
        Self {
            transfer,
            peer,
            key,
            way,
            since: now,
            lane,
            receiver,
            sender,
            asking,
            expected,
            describing,
            may_have_come: true,
            mistaken,
            delivers: false,
            drains: false,
            news_left,
            keep_alive: None,
            not_before: None,
            complaint: None,
            arriving: 0,
        }
    }

    /// Whether a worker should look at the connection once, readable or not.
    pub(crate) fn may_have_come(&self) -> bool {
        self.may_have_come
    }

    /// When a worker should go on with the connection, readable or not, because the rate limiter has stopped it.
    pub(crate) fn not_before(&self) -> Option<Instant> {
        self.not_before
    }

    pub(crate) fn transfer(&self) -> &Arc<Transfer> {
        &self.transfer
    }

    pub(crate) fn peer(&self) -> &PeerId {
        &self.peer
    }

    /// The group key of the connection.
    pub(crate) fn key(&self) -> KeyId {
        self.key
    }

    /// The way on which the connection was made.
    pub(crate) fn way(&self) -> Way {
        self.way
    }

    /// When the connection opened.
    pub(crate) fn since(&self) -> Instant {
        self.since
    }

    /// Whether the connection has delivered a piece.
    pub(crate) fn has_delivered(&self) -> bool {
        self.delivers
    }

    /// The socket to poll.
    pub(crate) fn stream(&self) -> &TcpStream {
        self.receiver.stream()
    }

    /// The address that was dialed, for a direct connection.
    pub(crate) fn dialed(&self) -> Option<SocketAddr> {
        (self.way == Way::Direct).then(|| self.stream().peer_addr().ok()).flatten()
    }

    /// Whether the requested pieces do not arrive.
    pub(crate) fn is_silent(&self) -> bool {
        self.asking.is_late()
    }

    /// Whether the connection is from one of these addresses of this machine.
    pub(crate) fn is_from(&self, gone: &[IpAddr]) -> bool {
        !gone.is_empty() && is_from(self.sender.local_ip(), gone)
    }

    /// Requests as many pieces as the way to the peer holds.
    ///
    /// # Errors
    /// The connection is lost.
    pub(crate) fn ask(&mut self) -> Result<(), DropReason> {
        let now = Instant::now();
        if let Some(piece) = self.transfer.difference().and_then(|it| it.charge(&self.peer)) {
            self.complain(self.transfer.subject().outer(piece))?;
        }
        while self.complaint.is_none()
            && let Some(most) = self.describing.room()
            && let Some((block_len, pieces)) = self.transfer.to_describe((&self.peer, self.lane), (most, now))
        {
            let request = self.asking.number();
            let asked = self.describing.ask(request, block_len, pieces, now);
            self.sender.send(request, &asked).map_err(|_| DropReason::Lost)?;
        }
        let features = self.sender.features();
        while self.complaint.is_none()
            && !self.drains
            && self.transfer.has_room(&self.peer.user)
            && let Some((request, wanted)) = self.asking.next(now, |outlook| {
                self.transfer.want((&self.peer, self.lane), outlook, now).map(|ask| ask.of_peer(features))
            })
        {
            self.recount(self.asking.expected(now));
            self.sender.send(request, &wanted.request()).map_err(|_| DropReason::Lost)?;
        }
        Ok(())
    }

    /// Takes arriving data until there is no more or its turn is over. The turn is over when another connection waits
    /// for the worker. A turn is one frame, and longer in a fast download, because a change of the worker for each
    /// piece would cost time. In such a turn all requested pieces come in. If one came a turn later, it would be late
    /// for the whole hash.
    pub(crate) fn work(&mut self, downlink: &Downlink, others_wait: impl Fn() -> bool) -> WorkOutcome {
        let outcome = self.ask().map_or_else(WorkOutcome::Drops, |()| self.take_frames(downlink, others_wait));
        self.drains = false;
        outcome
    }

    fn take_frames(&mut self, downlink: &Downlink, others_wait: impl Fn() -> bool) -> WorkOutcome {
        let begun = Instant::now();
        (self.not_before, self.may_have_come) = (None, false);
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
            if let Err(reason) = self.hear(self.receiver.polled() - had) {
                return WorkOutcome::Drops(reason);
            }
            match polled {
                Ok(true) => {}
                Ok(false) if left == 0 => continue,
                // The next bytes of a delivering peer are on their way. Waiting for them here is cheaper than under the
                // poll.
                Ok(false) if !others_wait() && self.receiver.wait_readable(LINGER) => continue,
                Ok(false) => return WorkOutcome::Waits,
                Err(error) => return WorkOutcome::Drops(recv_failed(error)),
            }
            let outcome = self.take_frame();
            self.receiver.next_frame();
            self.settle();
            if let Some(outcome) = outcome {
                return outcome;
            }
            if others_wait() {
                if !self.transfer.is_fast() || self.asking.is_idle() {
                    return WorkOutcome::Yields;
                }
                self.drains = begun.elapsed() >= FAST_TURN;
            }
        }
    }

    /// Notes received bytes. Requests more if that leaves room on the way to the peer.
    fn hear(&mut self, bytes: u64) -> Result<(), DropReason> {
        if bytes == 0 {
            return Ok(());
        }
        self.arriving += bytes;
        self.transfer.arrive(bytes);
        if self.asking.hear(bytes, Instant::now()) { self.ask() } else { Ok(()) }
    }

    /// Sets the number of expected pieces.
    fn recount(&mut self, expected: usize) {
        let before = std::mem::replace(&mut self.expected, expected);
        if before != expected {
            self.transfer.recount(&self.peer.user, before, expected);
        }
    }

    /// Settles the bytes of a frame that is now complete.
    fn settle(&mut self) {
        self.transfer.settle(std::mem::take(&mut self.arriving));
    }

    /// Takes one frame. Returns an outcome if the work ends with it.
    fn take_frame(&mut self) -> Option<WorkOutcome> {
        let frame = match self.receiver.frame() {
            Ok(frame) => frame,
            Err(error) => return Some(WorkOutcome::Drops(recv_failed(error))),
        };
        let request = frame.request;
        match frame.message() {
            Ok(PeerReply::Piece { data }) => self.take_piece(request, data.len),
            Ok(PeerReply::Digests { digests }) => self.take_digests(request, digests.as_bytes()),
            Ok(PeerReply::News { pieces }) => self.take_news(&pieces),
            Ok(PeerReply::Alive {}) if self.complaint.as_ref().is_some_and(|it| it.request() == request) => {
                Some(WorkOutcome::Drops(DropReason::GaveBad))
            }
            Ok(PeerReply::Alive {}) if self.keep_alive == Some(request) => {
                self.keep_alive = None;
                self.asking.answer();
                None
            }
            Ok(PeerReply::Refused { .. }) if self.describing.is_next(request) => self.describe_elsewhere(request),
            Ok(PeerReply::Refused { code, .. }) if code == Code::OnItsWay as u16 => self.put_off(request),
            Ok(PeerReply::Refused { .. }) if self.mistaken == Some(request) => self.give_back(request),
            Ok(PeerReply::Refused { code, .. }) if code == Code::Busy as u16 => {
                Some(WorkOutcome::Drops(DropReason::Busy))
            }
            Ok(PeerReply::Refused { .. }) => Some(WorkOutcome::Drops(DropReason::Lost)),
            Ok(PeerReply::Opened { .. } | PeerReply::Give { .. } | PeerReply::Alive {}) => lied(Lie::Unasked),
            Err(error) => lied(Lie::Malformed(error)),
        }
    }

    fn take_piece(&mut self, request: u32, len: u32) -> Option<WorkOutcome> {
        let now = Instant::now();
        let Some(wanted) = self.asking.take(request, now) else {
            return lied(Lie::UnaskedPiece);
        };
        self.recount(self.asking.expected(now));
        let first = !std::mem::replace(&mut self.delivers, true);
        // The next request goes out first, so the peer works while this piece is verified.
        if let Err(reason) = self.ask() {
            return Some(WorkOutcome::Drops(reason));
        }
        let frame = match self.receiver.frame() {
            Ok(frame) => frame,
            Err(error) => return Some(WorkOutcome::Drops(recv_failed(error))),
        };
        let taken = take_wanted(&self.transfer, (&self.peer, self.lane), &wanted, frame.payload(len));
        if taken.is_ok() {
            self.asking.prove();
        }
        match taken {
            Ok(true) => Some(WorkOutcome::Completes),
            // The engine may now dial this peer once more.
            Ok(false) => first.then_some(WorkOutcome::Yields),
            Err(PieceError::Bad) => self.complain(wanted.piece).err().map(WorkOutcome::Drops),
            Err(PieceError::Stops(error)) => Some(WorkOutcome::Stops(error)),
        }
    }

    /// Complains to the peer about a wrong piece or description. The connection ends with the answer.
    fn complain(&mut self, piece: PieceIndex) -> Result<(), DropReason> {
        if self.complaint.is_some() {
            return Ok(());
        }
        // A wrong piece is no delivery.
        self.delivers = false;
        let request = self.asking.number();
        let (now, polled) = (Instant::now(), self.receiver.polled());
        self.complaint = Some(Complaint::new(request, now, polled));
        let sent = self.sender.send(request, &PeerRequest::BadPiece { piece: piece.get() });
        sent.map_err(|_| DropReason::Lost)
    }

    fn take_digests(&mut self, request: u32, digests: &[u8]) -> Option<WorkOutcome> {
        self.asking.answer();
        let now = Instant::now();
        let Some(pieces) = self.describing.take(request, now) else { return lied(Lie::Unasked) };
        let is_right = described(&self.transfer, &self.peer, &pieces, (digests, now));
        if is_right { self.ask().err().map(WorkOutcome::Drops) } else { lied(Lie::WrongDigests) }
    }

    /// Gives back descriptions that the peer refuses. The connection asks for no more of them.
    fn describe_elsewhere(&mut self, request: u32) -> Option<WorkOutcome> {
        self.asking.answer();
        let pieces = self.describing.take(request, Instant::now());
        self.describing.end();
        self.give_back_descriptions(pieces);
        None
    }

    fn give_back_descriptions(&self, pieces: impl IntoIterator<Item = Vec<PieceIndex>>) {
        pieces.into_iter().for_each(|pieces| not_described(&self.transfer, &pieces));
    }

    fn put_off(&mut self, request: u32) -> Option<WorkOutcome> {
        let now = Instant::now();
        let Some(Refused { piece, is_gone }) = self.asking.refuse(request, now) else {
            return lied(Lie::UnaskedRefusal);
        };
        self.recount(self.asking.expected(now));
        if is_gone {
            return Some(WorkOutcome::Drops(DropReason::Lost));
        }
        self.transfer.put_off(self.lane, piece);
        self.ask().err().map(WorkOutcome::Drops)
    }

    /// Gives back a piece that the peer does not have. The request went out before the peer said what it has.
    fn give_back(&mut self, request: u32) -> Option<WorkOutcome> {
        self.mistaken = None;
        let now = Instant::now();
        let Some(Refused { piece, .. }) = self.asking.refuse(request, now) else {
            return lied(Lie::UnaskedRefusal);
        };
        self.recount(self.asking.expected(now));
        self.transfer.failed(self.lane, piece);
        self.ask().err().map(WorkOutcome::Drops)
    }

    fn take_news(&mut self, pieces: &[u32]) -> Option<WorkOutcome> {
        let count = u32::try_from(pieces.len()).ok().filter(|count| (1..=self.news_left).contains(count));
        let Some(count) = count else {
            return lied(Lie::NoNews);
        };
        self.news_left -= count;
        self.asking.disregard();
        let layout = self.transfer.layout();
        let known: Option<Vec<_>> = pieces.iter().map(|&number| layout.index(number)).collect();
        let Some(known) = known else {
            return lied(Lie::NoSuchPiece);
        };
        self.transfer.peer_has(self.lane, &known);
        self.ask().err().map(WorkOutcome::Drops)
    }

    /// Returns the final reason for the end of a connection. A peer that leaves without answering a complaint gave a
    /// wrong piece. It may be honest: a seeder that withdraws a piece ends the connections that know of it.
    pub(crate) fn blame(&self, reason: DropReason) -> DropReason {
        match reason {
            DropReason::Lost if self.complaint.is_some() => DropReason::GaveBad,
            other => other,
        }
    }

    /// Acts on the time: gives late pieces back, sends a keep-alive, finds that the peer is gone.
    ///
    /// # Errors
    /// The peer is gone.
    pub(crate) fn check_time(&mut self, now: Instant) -> Result<(), DropReason> {
        let (polled, held_back) = (self.receiver.polled(), self.not_before.is_some());
        // A busy machine, here or there, may delay the answer of an honest peer.
        if self.complaint.as_mut().is_some_and(|complaint| complaint.is_late(now, polled, held_back)) {
            return Err(DropReason::GaveBad);
        }
        if let Some(outlook) = self.asking.outlook(now) {
            self.transfer.expect(self.lane, outlook);
        }
        if self.not_before.is_some() {
            // The rate limiter keeps this end from reading, so the peer is not silent.
            self.asking.restart(now);
        }
        match self.asking.look(self.keep_alive.is_some(), self.transfer.line_time(), now) {
            Some(Due::GiveBack) => self.transfer.snub(self.lane),
            Some(Due::KeepAlive) => {
                let request = self.asking.number();
                self.keep_alive = Some(request);
                let sent = self.sender.send(request, &PeerRequest::KeepAlive {});
                sent.map_err(|_| DropReason::Lost)?;
            }
            Some(Due::End) => return Err(DropReason::Lost),
            None => {}
        }
        self.recount(self.asking.expected(now));
        Ok(())
    }

    /// Whether a piece is arriving, however slowly.
    pub(crate) fn is_giving(&self, now: Instant) -> bool {
        self.complaint.is_none() && self.asking.is_giving(now)
    }

    /// Whether the peer has a piece that this client lacks.
    pub(crate) fn is_useful(&self) -> bool {
        self.complaint.is_none() && self.transfer.wants_from(self.lane)
    }
}

impl Drop for PeerConnection {
    fn drop(&mut self) {
        self.settle();
        self.recount(0);
        let described = self.describing.drain();
        self.give_back_descriptions(described);
        self.sender.end();
        self.transfer.peer_closed(&self.peer, self.lane);
    }
}
