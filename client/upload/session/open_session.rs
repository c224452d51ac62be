//! A connection with content open: its requests, and its replies. The connection never waits for the far side.

use super::complaint_pace::ComplaintPace;
use super::context::SessionContext;
use super::description::Description;
use super::desk::{Awaited, Desk, HandBack, OthersWait};
use super::doing::{Doing, Stop};
use super::lending::lend;
use super::piece_out::{NotGiven, PieceOut, WantedPiece};
use crate::client::reach::way::Way;
use crate::client::storage::piece_source::SourceError;
use crate::client::upload::event::SeederEvent;
use crate::client::upload::place::Place;
use crate::client::upload::scarcity::piece_row::PieceRow;
use crate::client::upload::scarcity::put_offs::PutOffs;
use crate::client::upload::scarcity::row_place::RowPlace;
use crate::client::upload::served::Served;
use crate::client::upload::stats::UploadMeter;
use crate::model::name::UserId;
use crate::model::piece::block::{BlockLen, BlockSet};
use crate::model::piece::{PIECE_LEN, PieceIndex};
use crate::rate::uplink::PolledFlow;
use crate::wire::codec::Blob;
use crate::wire::connection::{FrameReceiver, FrameSender};
use crate::wire::deadlines::{FRAME_DEADLINE, IDLE_DEADLINE};
use crate::wire::peer::{PeerReply, PeerRequest};
use crate::wire::record_layer::RECORD_PLAIN_MAX;
use crate::wire::refusal::{Code, Refusal};
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How often a connection checks whether an unavailable piece is available now: leases end silently.
const LOOK_PAUSE: Duration = Duration::from_millis(500);
/// How long a connection keeps its worker while others wait. This is the time of some pieces.
const TURN: Duration = Duration::from_millis(5);
/// The records of a piece, including the head of its frame.
const PIECE_RECORDS: usize = (PIECE_LEN as usize).div_ceil(RECORD_PLAIN_MAX) + 1;

/// A connection with content open.
pub(super) struct OpenSession {
    served: Arc<Served>,
    receiver: FrameReceiver,
    sender: Arc<FrameSender>,
    place: Arc<Place>,
    user: UserId,
    flow: PolledFlow,
    row: RowPlace,
    put_offs: PutOffs,
    /// The bytes that the socket has taken since it was full; `None` if it never was. `stalled` says whether it is
    /// full.
    taken: Option<u64>,
    stalled: bool,
    meter: UploadMeter,
    doing: Doing,
    /// How many records of a piece are encrypted at a time.
    stretch: usize,
    /// Whether a piece was given since the last call of `has_given`.
    gave: bool,
    complaints: ComplaintPace,
    /// The deadline of the incoming frame.
    frame_by: Option<Instant>,
    /// Since when the socket has taken none of the waiting data.
    stuck: Option<Instant>,
}

impl OpenSession {
    /// Begins with the request for the pieces of the content.
    pub(super) fn new(
        context: &SessionContext,
        served: Arc<Served>,
        (receiver, sender): (FrameReceiver, Arc<FrameSender>),
        (user, way, place): (UserId, Way, Arc<Place>),
        request: u32,
    ) -> Self {
        let waker = context.waker.clone();
        let flow = context.uplink.join_polled(&user, move || waker.wake());
        let meter = served.stats().join(&user, way, Instant::now());
        Self {
            served,
            receiver,
            sender,
            place,
            row: context.row.join(&user),
            user,
            flow,
            put_offs: PutOffs::default(),
            taken: None,
            stalled: false,
            meter,
            doing: Doing::Opens(request),
            stretch: PIECE_RECORDS,
            gave: false,
            complaints: ComplaintPace::default(),
            frame_by: None,
            stuck: None,
        }
    }

    pub(super) fn user(&self) -> &UserId {
        &self.user
    }

    /// When the connection may go on with what it waits for: now at the latest, if it may.
    pub(super) fn turn_due(&self, awaited: Awaited, now: Instant) -> Option<Instant> {
        match &self.doing {
            Doing::Wants(wanted) if awaited == Awaited::Row => {
                let look_at = wanted.until.min(wanted.look_at);
                Some(if self.row.is_called() { look_at.min(now) } else { look_at })
            }
            _ => self.flow.due(),
        }
    }

    /// Whether a piece was given since the last call.
    pub(super) fn has_given(&mut self) -> bool {
        std::mem::take(&mut self.gave)
    }

    /// The deadline of this wait.
    pub(super) fn deadline(&mut self, awaited: Awaited, now: Instant) -> Option<Instant> {
        match awaited {
            Awaited::Bytes => Some(self.frame_by.unwrap_or(now + IDLE_DEADLINE)),
            Awaited::Room => Some(*self.stuck.get_or_insert(now) + FRAME_DEADLINE),
            Awaited::Limiter | Awaited::Row => None,
        }
    }

    /// Answers requests until the connection has to wait, or its turn is over.
    pub(super) fn work(&mut self, context: &SessionContext, desk: &mut Desk<'_>) -> HandBack {
        let begun = Instant::now();
        loop {
            match self.go_on(context, desk) {
                Ok(None) => {}
                Ok(Some(awaited)) => return HandBack::Waits(awaited),
                Err(Stop::Over) => return HandBack::Ends,
                Err(Stop::NotGiven(why)) => {
                    // Part of the piece has left, and the rest must come before any other message.
                    let Doing::Gives(piece) = std::mem::replace(&mut self.doing, Doing::Nothing) else {
                        return HandBack::Ends;
                    };
                    if !self.refuse(context, &piece, &why) {
                        return HandBack::Ends;
                    }
                    continue;
                }
            }
            if desk.others.look() && begun.elapsed() >= TURN {
                return HandBack::Yields;
            }
            if matches!(self.doing, Doing::Describes(_)) {
                continue;
            }
            match self.receiver.poll() {
                Ok(true) => {}
                Ok(false) if desk.others.linger(|within| self.receiver.wait_readable(within)) => continue,
                Ok(false) => {
                    let by = || self.frame_by.unwrap_or_else(|| Instant::now() + FRAME_DEADLINE);
                    self.frame_by = if self.receiver.is_idle() { None } else { Some(by()) };
                    return HandBack::Waits(Awaited::Bytes);
                }
                Err(_) => return HandBack::Ends,
            }
            self.frame_by = None;
            let heard = self.hear(context);
            self.receiver.next_frame();
            if heard.is_err() {
                return HandBack::Ends;
            }
        }
    }

    /// Goes on with the current activity, and sends waiting data. Returns what the connection waits for; `None` once it
    /// can take the next request.
    fn go_on(&mut self, context: &SessionContext, desk: &mut Desk<'_>) -> Result<Option<Awaited>, Stop> {
        match std::mem::replace(&mut self.doing, Doing::Nothing) {
            Doing::Nothing => {}
            Doing::Opens(request) => self.open(request)?,
            Doing::Describes(description) => self.describe(context, description)?,
            other => self.doing = other,
        }
        if let Doing::Pays(mut left) = self.doing {
            while left > 0 {
                match self.flow.take(left) {
                    Some(paid) => left -= paid,
                    None => {
                        self.doing = Doing::Pays(left);
                        return Ok(Some(Awaited::Limiter));
                    }
                }
            }
            self.doing = Doing::Nothing;
            self.place.finish(0, Instant::now());
        }
        if let Doing::Wants(wanted) = &self.doing {
            let wanted = wanted.clone();
            if !self.begin(wanted)? {
                return Ok(Some(Awaited::Row));
            }
        }
        if matches!(self.doing, Doing::Gives(_))
            && let Doing::Gives(mut piece) = std::mem::replace(&mut self.doing, Doing::Nothing)
        {
            if std::mem::take(&mut self.stalled) {
                self.count_taken();
            }
            let given = self.give(&mut piece, context, desk);
            if !matches!(given, Ok(None)) {
                if matches!(given, Ok(Some(Awaited::Room))) {
                    self.count_taken();
                    (self.taken, self.stalled) = (Some(0), true);
                    self.row.change(PieceRow::stall);
                }
                self.doing = Doing::Gives(piece);
                return given;
            }
            self.finish(&mut piece);
        }
        if matches!(self.doing, Doing::Nothing) && self.place.is_given_up() {
            return Err(Stop::Over);
        }
        // A connection that does not read its replies is not heard.
        while self.sender.flush_rest() {
            if !desk.others.linger(|within| self.sender.wait_writable(within)) {
                return Ok(Some(Awaited::Room));
            }
        }
        self.stuck = None;
        if self.sender.is_over() { Err(Stop::Over) } else { Ok(None) }
    }

    /// Sends the pieces of the content. The reply may be as long as half a piece, so the rate limiter counts it too.
    fn open(&mut self, request: u32) -> Result<(), Stop> {
        if !self.place.begin(Instant::now()) {
            return Err(Stop::Over);
        }
        let Some(have) = self.served.attend(&self.sender) else {
            self.say(request, &PeerReply::refused(&Code::NotServed.into()))?;
            return Err(Stop::Over);
        };
        let bits = Blob::new(have.as_bytes().to_vec()).expect("the longest bitfield is within the cap");
        self.say(request, &PeerReply::Opened { bits })?;
        self.sender.flush();
        self.doing = Doing::Pays(self.served.layout().count() as usize / 8);
        Ok(())
    }

    /// Answers as soon as there is room.
    fn say(&self, request: u32, reply: &PeerReply) -> Result<(), Stop> {
        self.sender.queue(request, reply).map_err(|_| Stop::Over)
    }

    /// Takes up a request that has come in.
    fn hear(&mut self, context: &SessionContext) -> Result<(), Stop> {
        let frame = self.receiver.frame().map_err(|_| Stop::Over)?;
        let request = frame.request;
        match frame.message() {
            Ok(PeerRequest::GetPiece { piece }) => self.take_up((piece, None), request),
            Ok(PeerRequest::GetBlocks { piece, block_len, blocks }) => {
                let index = self.served.layout().index(piece);
                let set = |index| BlockSet::from_bytes(block_len, self.served.layout().len(index), blocks.as_bytes());
                match index.map(set) {
                    Some(None) => self.end_malformed(request),
                    blocks => self.take_up((piece, blocks.flatten().map(Arc::new)), request),
                }
            }
            Ok(PeerRequest::Describe { block_len, pieces }) => self.take_up_description(block_len, &pieces, request),
            Ok(PeerRequest::BadPiece { piece }) => {
                let complaint = self.complaints.hear(&self.served, &self.user, piece, Instant::now());
                complaint.into_iter().for_each(|complaint| drop(context.events.try_send(complaint)));
                self.answer(request, &PeerReply::Alive {})
            }
            Ok(PeerRequest::KeepAlive {}) => self.answer(request, &PeerReply::Alive {}),
            Ok(PeerRequest::Open { .. }) | Err(_) => self.end_malformed(request),
        }
    }

    fn end_malformed(&self, request: u32) -> Result<(), Stop> {
        self.say(request, &PeerReply::refused(&Code::Malformed.into()))?;
        Err(Stop::Over)
    }

    /// Answers, and tells the news.
    fn answer(&self, request: u32, reply: &PeerReply) -> Result<(), Stop> {
        self.say(request, reply)?;
        self.served.catch_up(&self.sender);
        Ok(())
    }

    /// Takes up a request for digests of pieces.
    fn take_up_description(&mut self, len: BlockLen, pieces: &[u32], request: u32) -> Result<(), Stop> {
        if !self.place.begin(Instant::now()) {
            return Err(Stop::Over);
        }
        let layout = self.served.layout();
        let known: Result<Vec<_>, u32> = pieces.iter().map(|&piece| layout.index(piece).ok_or(piece)).collect();
        match known {
            Ok(pieces) => self.doing = Doing::Describes(Box::new(Description::new(request, len, pieces))),
            Err(piece) => self.put_off(request, &NotGiven::NoSuchPiece.refusal(piece))?,
        }
        Ok(())
    }

    /// Describes one more piece, and answers after the last one.
    fn describe(&mut self, context: &SessionContext, mut description: Box<Description>) -> Result<(), Stop> {
        let Some(piece) = description.next() else {
            self.doing = Doing::Pays(description.price());
            return self.answer(description.request, &description.answer());
        };
        if let Err(why) = description.go_on(&self.served) {
            self.report(context, piece, &why);
            return self.put_off(description.request, &why.refusal(piece.get()));
        }
        self.doing = Doing::Describes(description);
        Ok(())
    }

    /// Takes up a request for a piece, which then waits for its turn.
    fn take_up(&mut self, (piece, blocks): (u32, Option<Arc<BlockSet>>), request: u32) -> Result<(), Stop> {
        let Some(index) = self.served.layout().index(piece) else {
            return self.put_off(request, &NotGiven::NoSuchPiece.refusal(piece));
        };
        if !self.place.wait() {
            return Err(Stop::Over);
        }
        let limited = self.flow.is_limited();
        self.row.change(|row, id, now| row.ask(id, limited, now));
        let now = Instant::now();
        let (look_at, until) = (now + LOOK_PAUSE, now + self.put_offs.hold());
        self.doing = Doing::Wants(WantedPiece { index, blocks, request, look_at, until });
        Ok(())
    }

    /// Begins to give the wanted piece if the connection has its turn. If not, refuses it for now once the far side has
    /// to hear something. Returns false while the connection waits.
    fn begin(&mut self, mut wanted: WantedPiece) -> Result<bool, Stop> {
        let WantedPiece { index, look_at, until, .. } = wanted;
        let (now, limited) = (Instant::now(), self.flow.is_limited());
        if now >= look_at.min(until) {
            // A piece that was unavailable may be available now.
            self.row.change(|row, id, now| row.ask(id, limited, now));
            wanted.look_at = now + LOOK_PAUSE;
        }
        if self.row.is_called() {
            if let Some(lease) = lend(&self.served, &self.row, (&self.user, &self.flow), index, now) {
                if !self.place.begin(now) {
                    return Err(Stop::Over);
                }
                self.row.change(PieceRow::begin);
                self.doing = Doing::Gives(Box::new(PieceOut::new(&self.served, &wanted, lease)));
                return Ok(true);
            }
            self.row.change(PieceRow::block);
            if self.put_offs.at_once() {
                return self.put_off_wanted(wanted, false).map(|()| true);
            }
        }
        if now < until {
            self.doing = Doing::Wants(wanted);
            return Ok(false);
        }
        self.put_off_wanted(wanted, true).map(|()| true)
    }

    fn put_off_wanted(&mut self, wanted: WantedPiece, held: bool) -> Result<(), Stop> {
        self.put_offs.count(held);
        self.doing = Doing::Nothing;
        self.row.change(PieceRow::give_up);
        self.put_off(wanted.request, &NotGiven::OnItsWay.refusal(wanted.index.get()))
    }

    /// Tells the row how much the socket has taken since it was full.
    fn count_taken(&mut self) {
        if let Some(taken) = self.taken.as_mut().map(std::mem::take) {
            self.row.change(|row, id, now| row.go_on(id, taken, now));
        }
    }

    /// Notes that all of the piece has left.
    fn finish(&mut self, piece: &mut PieceOut) {
        let now = Instant::now();
        piece.lease.take().into_iter().for_each(|lease| lease.sent(now));
        self.served.gave(piece.index);
        self.count_taken();
        self.row.change(|row, id, now| row.end(id, piece.len, now));
        self.place.finish(piece.len.into(), now);
        (self.gave, self.taken, self.put_offs) = (true, None, PutOffs::default());
        self.served.catch_up(&self.sender);
    }

    /// Refuses a piece for now.
    fn put_off(&self, request: u32, why: &Refusal) -> Result<(), Stop> {
        self.place.finish(0, Instant::now());
        self.answer(request, &PeerReply::refused(why))
    }

    /// Tells the client of a piece that cannot be read.
    fn report(&self, context: &SessionContext, piece: PieceIndex, why: &NotGiven) {
        if let NotGiven::Broken(error) = why {
            let (group, info_hash) = (self.served.group(), self.served.info_hash());
            let unreadable = Some(piece).filter(|_| matches!(error, SourceError::Io(..)));
            let _ = context.events.try_send(SeederEvent::Broken { group, info_hash, unreadable });
        }
    }

    /// Refuses a piece that cannot be given. Returns false if part of it has left already, because then no refusal can
    /// be sent.
    fn refuse(&self, context: &SessionContext, piece: &PieceOut, why: &NotGiven) -> bool {
        self.report(context, piece.index, why);
        self.row.change(PieceRow::give_up);
        piece.is_unbegun() && self.put_off(piece.request, &why.refusal(piece.index.get())).is_ok()
    }

    /// Goes on with a piece. Returns what the connection waits for; `None` once all of it is sent.
    fn give(
        &mut self,
        piece: &mut PieceOut,
        context: &SessionContext,
        desk: &mut Desk<'_>,
    ) -> Result<Option<Awaited>, Stop> {
        loop {
            if let Some(rest) = &mut piece.rest {
                let (sent, awaited) = self.pour(rest.left(), &mut piece.credit, desk.others)?;
                rest.pass(sent);
                if awaited.is_some() {
                    return Ok(awaited);
                }
                piece.rest = None;
            }
            if piece.is_sealed() {
                self.sender.end_parts();
                return Ok(None);
            }
            let small = self.flow.is_limited() || !context.kept.has_room(&self.user);
            let stretch = if small { 1 } else { self.stretch };
            let len = piece.fill(&self.served, stretch, desk.records).map_err(Stop::NotGiven)?;
            // Earlier messages have to leave first.
            if piece.is_unbegun() && !self.sender.begin_parts() {
                return Ok(Some(Awaited::Room));
            }
            piece.pass(len);
            let sealed = self.sender.seal_part(desk.records);
            let (sent, awaited) = self.pour(sealed, &mut piece.credit, desk.others)?;
            if awaited.is_some() {
                piece.rest = Some(context.kept.keep(&self.user, &sealed[sent..]));
                self.stretch = 1;
                return Ok(awaited);
            }
            self.stretch = (2 * self.stretch).min(PIECE_RECORDS);
        }
    }

    /// Sends encrypted bytes, as far as the rate limiter and the socket allow. Returns how many have left, and what the
    /// rest waits for.
    fn pour(
        &mut self,
        bytes: &[u8],
        credit: &mut usize,
        others: OthersWait<'_>,
    ) -> io::Result<(usize, Option<Awaited>)> {
        let mut sent = 0;
        while sent < bytes.len() {
            let left = &bytes[sent..];
            if *credit == 0 {
                match self.flow.take(left.len()) {
                    Some(allowed) => *credit = allowed,
                    None => return Ok((sent, Some(Awaited::Limiter))),
                }
            }
            match self.sender.send_some(&left[..left.len().min(*credit)])? {
                0 if others.linger(|within| self.sender.wait_writable(within)) => {}
                0 => return Ok((sent, Some(Awaited::Room))),
                len => {
                    (sent, *credit) = (sent + len, *credit - len);
                    self.taken = self.taken.map(|taken| taken + len as u64);
                    self.meter.give(len);
                    self.stuck = None;
                }
            }
        }
        Ok((sent, None))
    }

    /// Tells the far side why, if it has lost its place to another. Does not wait for a far side that reads nothing.
    pub(super) fn close(self) -> Arc<FrameSender> {
        if let Doing::Gives(piece) = &self.doing {
            self.served.gave(piece.index);
        }
        self.served.leave(&self.sender);
        if self.place.is_given_up() {
            self.sender.push(&PeerReply::refused(&Code::Busy.into()));
        }
        self.sender
    }
}
