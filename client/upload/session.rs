//! One connection of the seeder, from its handshake to its end.

use super::admission::{Admission, NoPlace};
use super::catalog::Catalog;
use super::event::SeederEvent;
use super::given::{Given, Giving, TakeGiven};
use super::place::Place;
use super::served::Served;
use super::stats::UploadMeter;
use super::turns::{TurnFlow, Turns};
use crate::client::keyring::Keyring;
use crate::client::reach::calls::Calls;
use crate::client::reach::identity::{Doubt, Identity};
use crate::client::reach::way::Way;
use crate::client::storage::piece_source::SourceError;
use crate::model::digest::{InfoHash, KeyId};
use crate::model::id::GroupRef;
use crate::model::name::UserId;
use crate::model::piece::PIECE_LEN;
use crate::rate::uplink::{Uplink, UplinkFlow};
use crate::sys::net::lingering::LingeringSockets;
use crate::wire::certificate::Certificate;
use crate::wire::codec::{Blob, Payload};
use crate::wire::connection::{self, FrameReceiver, FrameSender, TimedStream};
use crate::wire::deadlines::{HANDSHAKE_DEADLINE, IDLE_DEADLINE};
use crate::wire::frame::{self, EARLY_FRAME_LEN_MAX, FRAME_LEN_MAX, UNASKED};
use crate::wire::handshake::peer::{PeerCaller, peer_accepts};
use crate::wire::handshake::{Secret, refusal_in_clear};
use crate::wire::peer::{PeerReply, PeerRequest};
use crate::wire::record_layer::FrameRecords;
use crate::wire::refusal::{Code, Refusal};
use crossbeam_channel as channel;
use std::io::{self, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

/// Least time between two complaints of one connection that are heard. Whoever was given a wrong piece leaves.
const COMPLAINT_PAUSE: Duration = Duration::from_secs(10);

/// A lease lasts so many times as long as the piece takes where members share the limit. A slow link takes longer.
const LEASE_SLACK: u32 = 4;
/// A lease may last as long as this.
const LEASE_MIN: Duration = Duration::from_secs(5);

/// What the sessions of a seeder share.
pub(super) struct SessionContext {
    pub identity: Arc<Identity>,
    pub keyring: Arc<Keyring>,
    pub catalog: Arc<Catalog>,
    pub uplink: Arc<Uplink>,
    pub turns: Arc<Turns>,
    pub events: channel::Sender<SeederEvent>,
    pub take_given: TakeGiven,
    pub calls: Arc<Calls>,
    /// The number of the next connection.
    pub next: AtomicU64,
    pub admission: Admission,
    /// Connections that were turned away or ended.
    pub leaving: LingeringSockets<Arc<TcpStream>>,
}

impl SessionContext {
    /// Tells the far side in the clear to come back later.
    pub(super) fn turn_away(&self, stream: Arc<TcpStream>) {
        // Nothing was sent before: the refusal fits into the empty socket buffer, and this does not wait.
        let _ = (&*stream).write_all(&refusal_in_clear(Code::Busy));
        self.leaving.put(stream, Instant::now());
    }

    /// Serves a connection that somebody else made, from its handshake to its end.
    pub(super) fn serve(&self, id: u64, stream: Arc<TcpStream>, way: Way) {
        let mut group = None;
        let by = Instant::now() + HANDSHAKE_DEADLINE;
        let secret = self.identity.secret();
        let handshake = peer_accepts(&mut TimedStream::until(&stream, by), secret, |key, certificate| {
            let (of, secret) = self.look_at(key, certificate)?;
            group = Some(of);
            Ok(secret)
        });
        let (Ok(PeerCaller { keys, key, certificate }), Some(group)) = (handshake, group) else {
            if self.admission.is_given_up(id) {
                self.turn_away(stream);
            }
            return;
        };
        if !self.is_current(id, group, key) {
            return;
        }
        let Ok((mut receiver, sender)) = connection::split(stream.clone(), keys, EARLY_FRAME_LEN_MAX, true) else {
            return;
        };
        match self.hear_first(id, by, &mut receiver, &sender) {
            Some((_, FirstMessage::Give(info_hash))) => {
                receiver.next_frame();
                receiver.set_frame_len_max(FRAME_LEN_MAX);
                return (self.take_given)(Given { certificate, group, key, info_hash, receiver, sender, by });
            }
            Some((request, FirstMessage::Open(info_hash))) => {
                let leecher = Leecher { id, group, user: certificate.user, way };
                self.serve_open(leecher, (request, info_hash), &mut receiver, &sender);
            }
            None => {}
        }
        self.part(stream, &sender);
    }

    /// Serves a connection that this client made to give pieces, from its first message to its end.
    pub(super) fn give(&self, id: u64, stream: Arc<TcpStream>, giving: Giving) {
        let Giving { keys, user, group, key, info_hash, way } = giving;
        let by = Instant::now() + HANDSHAKE_DEADLINE;
        if !self.is_current(id, group, key) {
            return;
        }
        let Ok((mut receiver, sender)) = connection::split(stream.clone(), keys, EARLY_FRAME_LEN_MAX, true) else {
            return;
        };
        if sender.send(UNASKED, &PeerReply::Give { info_hash }).is_ok() {
            match self.hear_first(id, by, &mut receiver, &sender) {
                Some((request, FirstMessage::Open(asked))) if asked == info_hash => {
                    let leecher = Leecher { id, group, user, way };
                    self.serve_open(leecher, (request, info_hash), &mut receiver, &sender);
                }
                Some((request, _)) => drop(sender.send(request, &PeerReply::refused(&Code::Malformed.into()))),
                None => {}
            }
        }
        self.part(stream, &sender);
    }

    /// Notes the group of a connection. False if its key has changed since the handshake. From here on `drop_group` finds
    /// the connection.
    fn is_current(&self, id: u64, group: GroupRef, key: KeyId) -> bool {
        self.admission.of_group(id, group);
        self.keyring.by_id(key).is_some()
    }

    /// Ends a connection once everything is sent.
    fn part(&self, stream: Arc<TcpStream>, sender: &FrameSender) {
        sender.finish();
        self.leaving.put(stream, Instant::now());
    }

    /// Serves a content to a leecher who asks for it.
    fn serve_open(
        &self,
        leecher: Leecher,
        asked: (u32, InfoHash),
        receiver: &mut FrameReceiver,
        sender: &Arc<FrameSender>,
    ) {
        let (request, info_hash) = asked;
        // Who asks for what is not here takes nobody's place.
        let Some(served) = self.catalog.find(leecher.group, info_hash) else {
            let _ = sender.send(request, &PeerReply::refused(&Code::NotServed.into()));
            return;
        };
        let Some(place) = self.give_place(&leecher, request, sender) else { return };
        let Leecher { user, way, .. } = leecher;
        let (flow, meter) = (self.uplink.join(&user), served.stats().join(&user, way, Instant::now()));
        let turns = self.turns.join(&user);
        let session = UploadSession { context: self, served: &served, sender, place, user, flow, turns, meter };
        if session.open(request).is_ok() {
            session.answer(receiver);
        }
        served.leave(sender);
        if session.place.is_given_up() {
            // Does not wait for a far side that reads nothing.
            sender.push(&PeerReply::refused(&Code::Busy.into()));
        }
    }

    /// Whether somebody with this certificate, who names this key, is let in: gives the group and its key, or says why not.
    fn look_at(&self, key: KeyId, certificate: &Certificate) -> Result<(GroupRef, Secret), Code> {
        if certificate.client == self.identity.client() || certificate.key == self.identity.key() {
            return Err(Code::OtherClient);
        }
        match self.identity.check(certificate, Instant::now()) {
            Ok(()) => {}
            // Nobody is logged in, so no group is known either.
            Err(Doubt::NoSigner) => return Err(Code::UnknownKey),
            Err(Doubt::Certificate(_)) => return Err(Code::BadCertificate),
        }
        self.keyring.by_id(key).ok_or_else(|| {
            // The tracker may know the key, but to ask takes longer than a peer should wait. The peer comes again.
            let _ = self.events.try_send(SeederEvent::UnknownKey(key));
            Code::UnknownKey
        })
    }

    /// Takes the first message, which names the content. It has to come by this time.
    fn hear_first(
        &self,
        id: u64,
        by: Instant,
        receiver: &mut FrameReceiver,
        sender: &FrameSender,
    ) -> Option<(u32, FirstMessage)> {
        let Ok(frame) = receiver.recv_by(by) else {
            if self.admission.is_given_up(id) {
                let _ = sender.send(UNASKED, &PeerReply::refused(&Code::Busy.into()));
            }
            return None;
        };
        let request = frame.request;
        if let Ok(PeerRequest::Open { info_hash }) = frame.message() {
            return Some((request, FirstMessage::Open(info_hash)));
        }
        if let Ok(PeerReply::Give { info_hash }) = frame.message() {
            return Some((request, FirstMessage::Give(info_hash)));
        }
        let _ = sender.send(request, &PeerReply::refused(&Code::Malformed.into()));
        None
    }

    /// Gives a leecher a place, or says that there is none.
    fn give_place(&self, leecher: &Leecher, request: u32, sender: &FrameSender) -> Option<Arc<Place>> {
        match self.admission.admit(leecher.id, &leecher.user, Instant::now()) {
            Ok(place) => Some(place),
            Err(NoPlace { in_line }) => {
                let busy = in_line.map_or(Code::Busy.into(), |place| Refusal::about(Code::Busy, place));
                let _ = sender.send(request, &PeerReply::refused(&busy));
                None
            }
        }
    }
}

/// What a connection is about.
enum FirstMessage {
    /// The far side takes.
    Open(InfoHash),
    /// The far side gives.
    Give(InfoHash),
}

/// Who takes pieces on a connection.
struct Leecher {
    /// The connection's number.
    id: u64,
    group: GroupRef,
    user: UserId,
    way: Way,
}

/// Why a piece is not given.
enum NotGiven {
    /// The uplink is short, and the piece is on its way to another member.
    OnItsWay,
    NoSuchPiece,
    /// This process, or the machine, has no descriptor left to open the file.
    NoDescriptor,
    /// The content cannot be served any more.
    Broken(SourceError),
}

impl NotGiven {
    /// What the peer is told.
    fn refusal(&self, piece: u32) -> Refusal {
        match self {
            NotGiven::OnItsWay | NotGiven::NoDescriptor => Refusal::about(Code::OnItsWay, piece),
            NotGiven::NoSuchPiece => Refusal::about(Code::NoSuchPiece, piece),
            NotGiven::Broken(SourceError::Changed(_)) => Code::FileChanged.into(),
            NotGiven::Broken(_) => Code::NotServed.into(),
        }
    }
}

/// A connection that is open on one content.
struct UploadSession<'a> {
    context: &'a SessionContext,
    served: &'a Served,
    sender: &'a Arc<FrameSender>,
    place: Arc<Place>,
    user: UserId,
    flow: UplinkFlow,
    turns: TurnFlow,
    meter: UploadMeter,
}

impl UploadSession<'_> {
    /// Says what there is of the content. That may be as long as half a piece, so it is paid for like one: afterwards, as
    /// whoever opens waits for a short time only.
    fn open(&self, request: u32) -> io::Result<()> {
        let over = || io::Error::from(io::ErrorKind::NotConnected);
        if !self.place.begin(Instant::now()) {
            return Err(over());
        }
        let _turn =
            if self.flow.is_limited() { None } else { Some(self.turns.wait(|| self.is_over()).ok_or_else(over)?) };
        let Some(have) = self.served.attend(self.sender) else {
            let _ = self.sender.send(request, &PeerReply::refused(&Code::NotServed.into()));
            return Err(over());
        };
        let mut left = self.served.layout().count() as usize / 8;
        let bits = Blob::new(have.as_bytes().to_vec()).expect("the longest bitfield is within the cap");
        self.sender.send(request, &PeerReply::Opened { bits })?;
        while left > 0 {
            left -= self.flow.wait(left, || self.is_over()).ok_or_else(over)?;
        }
        self.place.finish(0, Instant::now());
        Ok(())
    }

    /// Answers requests until the connection ends.
    fn answer(&self, receiver: &mut FrameReceiver) {
        let sender = self.sender;
        let mut records = FrameRecords::default();
        let mut complained = None;
        while let Ok(frame) = receiver.recv(IDLE_DEADLINE) {
            let request = frame.request;
            let sent = match frame.message() {
                Ok(PeerRequest::GetPiece { piece }) => self.serve(piece, request, &mut records).unwrap_or_else(|why| {
                    let refusal = why.refusal(piece);
                    if let NotGiven::Broken(error) = why {
                        let (group, info_hash) = (self.served.group(), self.served.info_hash());
                        let unreadable =
                            matches!(error, SourceError::Io(..)).then(|| self.served.layout().index(piece));
                        let unreadable = unreadable.flatten();
                        let _ = self.context.events.try_send(SeederEvent::Broken { group, info_hash, unreadable });
                    }
                    sender.send(request, &PeerReply::refused(&refusal))
                }),
                Ok(PeerRequest::BadPiece { piece }) => {
                    self.hear_complaint(piece, &mut complained);
                    sender.send(request, &PeerReply::Alive {})
                }
                Ok(PeerRequest::KeepAlive {}) => sender.send(request, &PeerReply::Alive {}),
                Ok(PeerRequest::Open { .. }) | Err(_) => {
                    let _ = sender.send(request, &PeerReply::refused(&Code::Malformed.into()));
                    return;
                }
            };
            if sent.is_err() {
                return;
            }
            self.served.catch_up(sender);
        }
    }

    /// Passes a complaint on, unless this connection has complained a moment ago.
    fn hear_complaint(&self, piece: u32, complained: &mut Option<Instant>) {
        let now = Instant::now();
        let recent = complained.is_some_and(|at| now.duration_since(at) < COMPLAINT_PAUSE);
        if let Some(piece) = self.served.layout().index(piece).filter(|_| !recent) {
            *complained = Some(now);
            let (group, info_hash) = (self.served.group(), self.served.info_hash());
            let user = self.user.clone();
            let _ = self.context.events.try_send(SeederEvent::Complaint { user, group, info_hash, piece });
        }
    }

    /// Gives a piece, unless somebody else has the place by now.
    fn serve(&self, piece: u32, request: u32, records: &mut FrameRecords) -> Result<io::Result<()>, NotGiven> {
        if !self.place.begin(Instant::now()) {
            return Ok(Err(io::ErrorKind::NotConnected.into()));
        }
        let given = self.give(piece, request, records);
        let len = match (&given, self.served.layout().index(piece)) {
            (Ok(Ok(())), Some(index)) => self.served.layout().len(index),
            _ => 0,
        };
        self.place.finish(len.into(), Instant::now());
        given
    }

    /// Gives a piece, unless the uplink is short and the piece is on its way to another member.
    fn give(&self, piece: u32, request: u32, records: &mut FrameRecords) -> Result<io::Result<()>, NotGiven> {
        if !self.flow.is_limited() {
            let Some(_turn) = self.turns.wait(|| self.is_over()) else {
                return Ok(Err(io::ErrorKind::NotConnected.into()));
            };
            return self.send(piece, request, records);
        }
        let term = (LEASE_SLACK * self.flow.time_of(PIECE_LEN as usize)).max(LEASE_MIN);
        let lease = self.served.leases().begin(piece, &self.user, term, Instant::now());
        if lease.is_none() && self.flow.is_contended() {
            return Err(NotGiven::OnItsWay);
        }
        let sent = self.send(piece, request, records)?;
        if let Some(lease) = lease.filter(|_| sent.is_ok()) {
            lease.sent(Instant::now());
        }
        Ok(sent)
    }

    /// Whether nothing more is sent on this connection.
    fn is_over(&self) -> bool {
        self.sender.is_over() || self.place.is_given_up() || self.context.admission.is_closing()
    }

    fn send(&self, piece: u32, request: u32, records: &mut FrameRecords) -> Result<io::Result<()>, NotGiven> {
        fill(self.served, piece, request, records)?;
        Ok(self
            .sender
            .send_paced(records, |len| self.flow.wait(len, || self.is_over()).inspect(|len| self.meter.give(*len))))
    }
}

/// Puts a whole piece frame together, in the places of its records.
fn fill(served: &Served, piece: u32, request: u32, records: &mut FrameRecords) -> Result<(), NotGiven> {
    let index = served.layout().index(piece).ok_or(NotGiven::NoSuchPiece)?;
    let len = served.layout().len(index);
    let front = frame::front(request, &PeerReply::Piece { data: Payload { len } }, len as usize);
    let room = records.begin(&front, front.len() + len as usize);
    let read = served.read(index, room.collect()).ok_or(NotGiven::NoSuchPiece)?;
    read.map_err(|error| if error.is_of_descriptors() { NotGiven::NoDescriptor } else { NotGiven::Broken(error) })
}
