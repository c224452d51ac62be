//! The binary dialect on a connection, from the handshake to the end. A connection from another tracker becomes a
//! link.

use super::Session;
use super::connection::{AcceptedConnection, hang_up};
use super::deferred_reply::DeferredReply;
use super::handshake;
use crate::model::id::RelayTicket;
use crate::sys::unix_time_s;
use crate::tracker::admission::ConnectionSlot;
use crate::tracker::core::Core;
use crate::tracker::log::{Level, LogKind};
use crate::tracker::metrics::{BegunCommand, NO_COMMAND};
use crate::tracker::presence::TTL;
use crate::tracker::push::push_channel::PushChannel;
use crate::tracker::replication::link;
use crate::tracker::request_turns::RequestTurn;
use crate::wire::client_tracker::{Reply, Request};
use crate::wire::codec::DecodeError;
use crate::wire::connection::{self, FrameReceiver, FrameSender, LongFrame, LongFrames, Payer, RecvError};
use crate::wire::frame::{self, EARLY_FRAME_LEN_MAX, FRAME_LEN_MAX, UNASKED};
use crate::wire::handshake::{Caller, HandshakeError, refusal_in_clear};
use crate::wire::mirror::mirror_answer;
use crate::wire::record_layer::{RECORD_PLAIN_MAX, RecordError};
use crate::wire::refusal::{Code, Refusal};
use crate::wire::transport_keys::TransportKeys;
use std::io::Write;
use std::net::TcpStream;
use std::sync::Arc;
use std::thread;
use std::time::Instant;
use zeroize::Zeroizing;

/// A client's connection.
struct BinaryDialect {
    session: Session,
    frames: Arc<LongFrames>,
    sender: Arc<FrameSender>,
    deferred: Arc<DeferredReply>,
}

/// Serves a connection until it ends.
pub(crate) fn serve(core: Arc<Core>, connection: AcceptedConnection) {
    let AcceptedConnection { stream, seen, slot, close_handle } = connection;
    let keys = match handshake::accept(&stream, &core, seen.ip(), slot.is_reserved()) {
        Ok(Caller::Client(keys)) => keys,
        Ok(Caller::Tracker(keys)) => {
            serve_tracker(&core, &stream, keys, slot);
            return hang_up(&stream);
        }
        Ok(Caller::AtRelay(ticket)) => {
            serve_at_relay(&core, &stream, ticket, slot);
            return hang_up(&stream);
        }
        Ok(Caller::AtMirror) => {
            // If this does not arrive, the caller is no longer waiting for it.
            let _ = (&*stream).write_all(&mirror_answer(core.cluster_key.mirrored(seen, unix_time_s())));
            return;
        }
        // A caller that was turned away has been told why. Of the failures only this one is the operator's.
        Err(error) => {
            if matches!(error, HandshakeError::Turned(Code::TooOld | Code::TooNew | Code::Version)) {
                let (kind, from) = (LogKind::Version.at(seen.ip()), seen.ip());
                core.oversight.log.event(Level::Warn, kind, &format!("a caller was {error}"), &[("from", &from)]);
            }
            return hang_up(&stream);
        }
    };
    let Ok((mut receiver, sender)) = connection::split(stream.clone(), keys, EARLY_FRAME_LEN_MAX, false) else {
        return;
    };
    receiver.set_long_frames(&core.long_frames.incoming, Payer::new(seen.ip(), None));
    let push_channel: Arc<dyn PushChannel> = Arc::<FrameSender>::clone(&sender);
    close_handle.open(push_channel.clone());
    let deferred = DeferredReply::new(sender.clone(), &core);
    let frames = core.long_frames.clone();
    let mut dialect = BinaryDialect { session: Session::new(core, push_channel, seen, slot), frames, sender, deferred };
    while dialect.turn(&mut receiver) {}
    dialect.deferred.settle();
    // Another thread may be about to tell the client something.
    dialect.sender.finish();
    dialect.session.log_out();
    hang_up(&stream);
}

/// Serves a client that wants to meet another one, if this tracker has a relay.
fn serve_at_relay(core: &Core, stream: &Arc<TcpStream>, ticket: RelayTicket, mut slot: ConnectionSlot) {
    match &core.relay {
        Some(relay) => relay.serve(stream, ticket, || slot.set_relayed()),
        // If this does not arrive, the end of the connection says enough.
        None => drop((&**stream).write_all(&refusal_in_clear(Code::NoRelay))),
    }
}

/// Serves another tracker, on a thread with enough stack for folding.
fn serve_tracker(core: &Core, stream: &Arc<TcpStream>, keys: TransportKeys, mut slot: ConnectionSlot) {
    thread::scope(|scope| {
        let greeted = || slot.set_tracker();
        let serve = move || link::serve(core, stream, keys, None, greeted);
        let thread = thread::Builder::new().name("link".into()).spawn_scoped(scope, serve);
        // The link tells the operator why it has ended. Without a thread the other tracker calls again.
        let _ = thread.map(thread::ScopedJoinHandle::join);
    });
}

/// Refuses a message that cannot be decoded.
fn malformed(error: &DecodeError) -> Refusal {
    let code = match error {
        DecodeError::UnknownKind(_) => Code::UnknownKind,
        DecodeError::OverCap { .. } => Code::TooLarge,
        DecodeError::Truncated
        | DecodeError::Trailing(_)
        | DecodeError::Utf8
        | DecodeError::Name(_)
        | DecodeError::Value(_)
        | DecodeError::OlderManifest => Code::Malformed,
    };
    Refusal::about(code, error)
}

/// Refuses bytes that are no frame.
fn out_of_frame(error: &RecordError) -> Refusal {
    let code = match error {
        RecordError::FrameTooLong { .. } => Code::TooLarge,
        RecordError::Forged | RecordError::BadLength | RecordError::Framing => Code::Malformed,
    };
    Refusal::about(code, error)
}

/// Whether a connection ends with this refusal.
fn is_final(code: Code) -> bool {
    matches!(code, Code::Malformed | Code::TooLarge | Code::UnknownKind)
}

/// Whether carrying out a request may have to wait in another line: for passwords, for logins, or for lists to check.
fn waits_elsewhere(request: &Request) -> bool {
    matches!(
        request,
        Request::CreateUser { .. }
            | Request::Login { .. }
            | Request::Resume { .. }
            | Request::ChangePassword { .. }
            | Request::PutManifest { .. }
    )
}

impl BinaryDialect {
    /// Takes one request and answers it. Returns false if the connection is to end.
    fn turn(&mut self, receiver: &mut FrameReceiver) -> bool {
        let (id, request, turn) = match receiver.recv_in_turns(TTL, || self.session.turn()) {
            Ok((frame, turn)) => (frame.request, frame.message::<Request>(), turn),
            Err(RecvError::Record(error)) => return self.refuse_bytes(&out_of_frame(&error)),
            Err(RecvError::Decode(error)) => return self.refuse_bytes(&malformed(&error)),
            Err(RecvError::Closed | RecvError::Cut | RecvError::Idle | RecvError::Slow | RecvError::Io(_)) => {
                return false;
            }
        };
        // A request holds no turn while it waits for a durable change, in another line, or for a client to take a
        // reply.
        let elsewhere = request.as_ref().is_ok_and(waits_elsewhere);
        let turn = (!(elsewhere || self.deferred.is_owed())).then_some(turn);
        self.deferred.settle();
        if !self.session.is_heard() {
            return false;
        }
        let turn = turn.or_else(|| (!elsewhere).then(|| self.session.turn()));
        let command = BegunCommand::of_kind(request.as_ref().map_or(NO_COMMAND, Request::kind));
        let read = request.as_ref().ok().filter(|request| request.long_reply_len().is_some()).cloned();
        let outcome = match request {
            Ok(_) if id == UNASKED => Err(Refusal::about(Code::Malformed, "a request has no id")),
            Ok(request) => self.session.answer(request),
            Err(error) => Err(malformed(&error)),
        };
        let mut refusal = outcome.as_ref().err().map(|refusal| refusal.code);
        let reply = outcome.unwrap_or_else(|refusal| Reply::refused(&refusal));
        let sent = match self.session.pending.take() {
            Some(pending) => {
                drop(turn);
                self.deferred.defer(id, command, reply, pending);
                true
            }
            None => {
                let frame = frame::of(id, &reply);
                drop(reply);
                let (frame, turn, _room) = match read {
                    Some(read) if frame.len() > RECORD_PLAIN_MAX => {
                        let (frame, room) =
                            self.with_room(receiver, (id, read), frame, turn).unwrap_or_else(|refused| {
                                refusal = Some(refused.code);
                                (frame::of(id, &Reply::refused(&refused)), None)
                            });
                        (frame, None, room)
                    }
                    // The system takes a short reply at once, so the thread seals it within the turn too.
                    _ => {
                        let turn = turn.filter(|_| frame.len() <= RECORD_PLAIN_MAX);
                        (frame, turn, None)
                    }
                };
                self.session.note_answered(command, refusal);
                let sent = self.sender.send_frame(&frame).is_ok();
                drop(turn);
                sent && self.tell_notices()
            }
        };
        let go_on = !refusal.is_some_and(is_final);
        let payer = self.payer();
        receiver.set_long_frames(&self.frames.incoming, payer);
        self.sender.set_push_room(&self.frames.pushes, payer);
        receiver.set_frame_len_max(if self.session.is_logged_in() { FRAME_LEN_MAX } else { EARLY_FRAME_LEN_MAX });
        self.session.rest_after(refusal);
        sent && go_on
    }

    /// The long reply to a reading request, with the memory that it takes until the client has taken it. Without room
    /// the reply is dropped and its turn given up. Once there is room, the session makes the reply again.
    fn with_room(
        &mut self,
        receiver: &FrameReceiver,
        (id, read): (u32, Request),
        frame: Zeroizing<Vec<u8>>,
        turn: Option<RequestTurn>,
    ) -> Result<(Zeroizing<Vec<u8>>, Option<LongFrame>), Refusal> {
        let (replies, payer, stream) = (self.frames.replies.clone(), self.payer(), receiver.shared_stream());
        let room = replies.whole(payer, frame.len() + RECORD_PLAIN_MAX, stream, Instant::now());
        if room.is_some() {
            return Ok((frame, room));
        }
        drop((frame, turn));
        let len = read.long_reply_len().unwrap_or(FRAME_LEN_MAX);
        let mut room = replies.whole(payer, len, stream, self.session.answer_by()).ok_or(Code::SlowDown)?;
        let _turn = self.session.turn();
        let frame = frame::of(id, &self.session.answer(read)?);
        room.shrink(frame.len() + RECORD_PLAIN_MAX);
        Ok((frame, Some(room)))
    }

    fn payer(&self) -> Payer {
        Payer::new(self.session.ip(), self.session.logged_in())
    }

    /// Refuses bytes without a request id; the connection ends.
    fn refuse_bytes(&self, refusal: &Refusal) -> bool {
        self.deferred.settle();
        // If this does not arrive, the end of the connection says enough.
        let _ = self.sender.send(UNASKED, &Reply::refused(refusal));
        false
    }

    /// After a login: tells the user's unread notices. Returns false if the connection has ended.
    fn tell_notices(&mut self) -> bool {
        std::iter::from_fn(|| self.session.next_untold()).all(|notice| self.sender.send(UNASKED, &notice).is_ok())
    }
}
