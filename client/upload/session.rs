//! One connection of the seeder, from its handshake to its end. No thread waits for it: a worker goes on with it when
//! data have come in or can go out, and then hands it back.

mod complaint_pace;
mod context;
mod description;
mod desk;
mod doing;
mod greeting;
mod kept_rests;
mod lending;
mod open_session;
mod piece_out;

pub(super) use context::SessionContext;
pub(super) use desk::{Awaited, Desk, HandBack, OthersWait};

use super::admission::NoPlace;
use super::given::{Given, Giving};
use crate::client::reach::way::Way;
use crate::model::digest::{InfoHash, KeyId};
use crate::model::id::GroupRef;
use crate::model::name::UserId;
use crate::wire::certificate::Certificate;
use crate::wire::connection::{self, FrameReceiver, FrameSender};
use crate::wire::deadlines::HANDSHAKE_DEADLINE;
use crate::wire::frame::{EARLY_FRAME_LEN_MAX, FRAME_LEN_MAX};
use crate::wire::handshake::peer::PeerCaller;
use crate::wire::peer::{PeerReply, PeerRequest};
use crate::wire::refusal::{Code, Refusal};
use crate::wire::transport_keys::TransportKeys;
use greeting::Greeting;
use open_session::OpenSession;
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Instant;

/// How a connection came to the seeder.
pub(super) enum Entrance {
    /// Another member made it, in this way, and begins the handshake.
    Taken(Way),
    /// This client made it, to give pieces.
    Made(Box<Giving>),
}

/// One connection of the seeder.
pub(super) struct UploadConnection {
    id: u64,
    stream: Arc<TcpStream>,
    /// The deadline for naming the content.
    by: Instant,
    stage: UploadStage,
}

enum UploadStage {
    Entered(Entrance),
    Greets(Way, Greeting),
    /// The far side is about to name the content.
    Named(Box<Introduced>),
    Open(Box<OpenSession>),
    /// The connection has nothing left to say.
    Over,
}

/// A connection after its handshake.
struct Introduced {
    receiver: FrameReceiver,
    sender: Arc<FrameSender>,
    way: Way,
    group: GroupRef,
    key: KeyId,
    far_side: FarSide,
}

enum FarSide {
    /// The far side made the connection, and may take or give.
    Caller(Certificate),
    /// The far side gets this content.
    Called(UserId, InfoHash),
}

/// The purpose of a connection.
enum FirstMessage {
    /// The far side takes.
    Open(InfoHash),
    /// The far side gives.
    Give(InfoHash),
}

impl UploadConnection {
    pub(super) fn new(id: u64, stream: Arc<TcpStream>, entrance: Entrance, now: Instant) -> Self {
        Self { id, stream, by: now + HANDSHAKE_DEADLINE, stage: UploadStage::Entered(entrance) }
    }

    pub(super) fn id(&self) -> u64 {
        self.id
    }

    /// The socket to poll.
    pub(super) fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// The user, once the connection has content open.
    pub(super) fn user(&self) -> Option<&UserId> {
        match &self.stage {
            UploadStage::Open(session) => Some(session.user()),
            _ => None,
        }
    }

    /// When the connection may go on with what it waits for. `None` while another connection comes first.
    pub(super) fn turn_due(&self, awaited: Awaited, now: Instant) -> Option<Instant> {
        match &self.stage {
            UploadStage::Open(session) => session.turn_due(awaited, now),
            _ => None,
        }
    }

    /// Whether a piece was given since the last call.
    pub(super) fn has_given(&mut self) -> bool {
        match &mut self.stage {
            UploadStage::Open(session) => session.has_given(),
            _ => false,
        }
    }

    /// The deadline of this wait.
    pub(super) fn deadline(&mut self, awaited: Awaited, now: Instant) -> Option<Instant> {
        match &mut self.stage {
            UploadStage::Open(session) => session.deadline(awaited, now),
            _ => Some(self.by),
        }
    }

    /// Goes on as far as possible without waiting.
    pub(super) fn work(&mut self, context: &SessionContext, desk: &mut Desk<'_>) -> HandBack {
        loop {
            let next = match &mut self.stage {
                UploadStage::Open(session) => return session.work(context, desk),
                UploadStage::Over => return HandBack::Ends,
                UploadStage::Entered(_) => self.enter(context),
                UploadStage::Greets(..) => self.greet(context),
                UploadStage::Named(_) => self.hear_first(context),
            };
            if let Some(back) = next {
                return back;
            }
        }
    }

    fn enter(&mut self, context: &SessionContext) -> Option<HandBack> {
        let UploadStage::Entered(entrance) = std::mem::replace(&mut self.stage, UploadStage::Over) else {
            return Some(HandBack::Ends);
        };
        match entrance {
            Entrance::Taken(way) => self.stage = UploadStage::Greets(way, Greeting::default()),
            Entrance::Made(giving) => {
                let Giving { keys, user, group, key, info_hash, way } = *giving;
                let far_side = FarSide::Called(user, info_hash);
                self.introduce(context, keys, (way, group, key), far_side);
                if let UploadStage::Named(introduced) = &self.stage {
                    introduced.sender.push(&PeerReply::Give { info_hash });
                }
            }
        }
        None
    }

    /// Takes the available data of the handshake, and answers it once complete.
    fn greet(&mut self, context: &SessionContext) -> Option<HandBack> {
        let UploadStage::Greets(way, greeting) = &mut self.stage else { return Some(HandBack::Ends) };
        match greeting.poll(&self.stream) {
            Ok(true) => {}
            Ok(false) => return Some(HandBack::Waits(Awaited::Bytes)),
            Err(_) => return Some(HandBack::Ends),
        }
        let (mut group, way) = (None, *way);
        let accepted = greeting.accept(&self.stream, context.identity.secret(), |key, certificate| {
            let (of, secret) = context.look_at(key, certificate)?;
            group = Some(of);
            Ok(secret)
        });
        if let (Ok(PeerCaller { keys, key, certificate }), Some(group)) = (accepted, group) {
            self.introduce(context, keys, (way, group, key), FarSide::Caller(certificate));
        } else {
            // A rejected connection has been told why.
            self.stage = UploadStage::Over;
        }
        None
    }

    fn introduce(
        &mut self,
        context: &SessionContext,
        keys: TransportKeys,
        (way, group, key): (Way, GroupRef, KeyId),
        far_side: FarSide,
    ) {
        self.stage = UploadStage::Over;
        if !context.is_current(self.id, group, key) {
            return;
        }
        if let Ok((receiver, sender)) = connection::split(self.stream.clone(), keys, EARLY_FRAME_LEN_MAX, true) {
            let introduced = Introduced { receiver, sender, way, group, key, far_side };
            self.stage = UploadStage::Named(Box::new(introduced));
        }
    }

    /// Takes the first message, which names the content.
    fn hear_first(&mut self, context: &SessionContext) -> Option<HandBack> {
        let UploadStage::Named(introduced) = &mut self.stage else { return Some(HandBack::Ends) };
        match introduced.receiver.poll() {
            Ok(true) => {}
            Ok(false) => return Some(HandBack::Waits(Awaited::Bytes)),
            Err(_) => return Some(HandBack::Ends),
        }
        let Some((request, message)) = introduced.first_message() else { return Some(HandBack::Ends) };
        introduced.receiver.next_frame();
        let refused = match (message, &introduced.far_side) {
            (Some(FirstMessage::Give(info_hash)), FarSide::Caller(_)) => {
                return self.take_given(context, info_hash);
            }
            (Some(FirstMessage::Open(info_hash)), FarSide::Caller(certificate)) => {
                let user = certificate.user.clone();
                return self.open(context, user, request, info_hash);
            }
            (Some(FirstMessage::Open(asked)), FarSide::Called(user, info_hash)) if asked == *info_hash => {
                let user = user.clone();
                return self.open(context, user, request, asked);
            }
            _ => Code::Malformed.into(),
        };
        self.refuse(request, &refused)
    }

    /// Hands over a connection on which the far side gives.
    fn take_given(&mut self, context: &SessionContext, info_hash: InfoHash) -> Option<HandBack> {
        let stage = std::mem::replace(&mut self.stage, UploadStage::Over);
        if let UploadStage::Named(introduced) = stage {
            let Introduced { mut receiver, sender, group, key, far_side, .. } = *introduced;
            if let FarSide::Caller(certificate) = far_side {
                receiver.set_frame_len_max(FRAME_LEN_MAX);
                (context.take_given)(Given { certificate, group, key, info_hash, receiver, sender, by: self.by });
            }
        }
        Some(HandBack::Ends)
    }

    /// Opens the requested content for a member, if there is a place.
    fn open(&mut self, context: &SessionContext, user: UserId, request: u32, asked: InfoHash) -> Option<HandBack> {
        let UploadStage::Named(introduced) = &mut self.stage else { return Some(HandBack::Ends) };
        // A request for missing content takes no one's place.
        let Some(served) = context.catalog.find(introduced.group, asked) else {
            return self.refuse(request, &Code::NotServed.into());
        };
        let place = match context.admission.admit(self.id, &user, Instant::now()) {
            Ok(place) => place,
            Err(NoPlace { in_line }) => {
                let busy = in_line.map_or(Code::Busy.into(), |place| Refusal::about(Code::Busy, place));
                return self.refuse(request, &busy);
            }
        };
        if let UploadStage::Named(introduced) = std::mem::replace(&mut self.stage, UploadStage::Over) {
            let Introduced { receiver, sender, way, .. } = *introduced;
            let session = OpenSession::new(context, served, (receiver, sender), (user, way, place), request);
            self.stage = UploadStage::Open(Box::new(session));
        }
        // From now on the connection takes turns with the others.
        Some(HandBack::Yields)
    }

    /// Ends the connection with the reason.
    fn refuse(&mut self, request: u32, refusal: &Refusal) -> Option<HandBack> {
        if let UploadStage::Named(introduced) = &self.stage {
            // This fails only if too much data already waits.
            let _ = introduced.sender.queue(request, &PeerReply::refused(refusal));
        }
        Some(HandBack::Ends)
    }

    /// Ends the connection. If the connection lost its place to another one, this tells it so.
    pub(super) fn close(self, context: &SessionContext) {
        let Self { id, stream, stage, .. } = self;
        match stage {
            UploadStage::Entered(Entrance::Taken(_)) | UploadStage::Greets(..) if context.admission.is_given_up(id) => {
                context.turn_away(stream);
            }
            UploadStage::Named(introduced) => {
                if context.admission.is_given_up(id) {
                    introduced.sender.push(&PeerReply::refused(&Code::Busy.into()));
                }
                context.part(stream, &introduced.sender);
            }
            UploadStage::Open(session) => context.part(stream, &session.close()),
            _ => {}
        }
    }
}

impl Introduced {
    /// The request number of the first message, and the message if it is a valid first one.
    fn first_message(&self) -> Option<(u32, Option<FirstMessage>)> {
        let frame = self.receiver.frame().ok()?;
        let message = match (frame.message(), frame.message()) {
            (Ok(PeerRequest::Open { info_hash }), _) => Some(FirstMessage::Open(info_hash)),
            (_, Ok(PeerReply::Give { info_hash })) => Some(FirstMessage::Give(info_hash)),
            _ => None,
        };
        Some((frame.request, message))
    }
}
