//! A link to another tracker, after its handshake. Both sides greet, then one thread receives and another sends.

use super::link_error::LinkError;
use super::link_receiver::LinkReceiver;
use super::link_sender::LinkSender;
use super::seen_parts::{self, GatheredSeen};
use crate::model::id::Seen;
use crate::model::op::floor::FloorMark;
use crate::tracker::cluster::live_link::{LinkProgress, LiveLink};
use crate::tracker::cluster::sign_of_life::SignOfLife;
use crate::tracker::commit::Standing;
use crate::tracker::core::Core;
use crate::tracker::presence::HeardFrom;
use crate::wire::connection::{self, FrameReceiver, FrameSender};
use crate::wire::deadlines::HANDSHAKE_DEADLINE;
use crate::wire::frame::{FRAME_LEN_MAX, UNASKED};
use crate::wire::refusal::{Code, Refusal};
use crate::wire::tracker_tracker::LinkMessage;
use crate::wire::transport_keys::TransportKeys;
use parking_lot::Mutex;
use std::net::TcpStream;
use std::sync::Arc;
use std::thread;
use std::time::Instant;

/// The first message of the other tracker.
struct Greeting {
    number: u16,
    instance: [u8; 16],
    floor: FloorMark,
    has: Vec<Seen>,
}

/// Serves a link until it ends. `called` is the number of the tracker that this one called; `None` if the other one
/// called. `greeted` runs once the far side has proved to be a tracker.
pub(crate) fn serve(
    core: &Core,
    stream: &Arc<TcpStream>,
    keys: TransportKeys,
    called: Option<u16>,
    greeted: impl FnOnce(),
) -> Result<(), LinkError> {
    let split = connection::split(stream.clone(), keys, FRAME_LEN_MAX, false);
    let (mut receiver, sender) = split.map_err(LinkError::Begin)?;
    if called.is_some() {
        greet(core, &sender)?;
    }
    let Greeting { number, instance, floor, has } = receive_greeting(&mut receiver)?;
    greeted();
    if let Some(called) = called.filter(|&called| called != number) {
        return Err(LinkError::OtherNumber { called, answers: number });
    }
    let live = Arc::new(LiveLink {
        instance,
        sender: sender.clone(),
        wakeup: Arc::default(),
        progress: Mutex::new(LinkProgress::new(&has, floor)),
        signs: SignOfLife::default(),
        wanted: Mutex::default(),
        manifests_given: 0.into(),
        calls: Mutex::default(),
    });
    if let Err(refusal) = core.cluster.table().enter(number, &live) {
        if called.is_none() && refusal.code == Code::TrackerNumber {
            core.cluster.tell_clash(number, instance, &address_of(stream));
        }
        // If this does not arrive, the end of the connection says enough.
        let _ = sender.send(UNASKED, &LinkMessage::refused(&refusal));
        return Err(refusal.into());
    }
    core.cluster.end_clash(number, instance);
    core.cluster.tell(number, format!("tracker {number} is connected"));
    let greeted = if called.is_none() { greet(core, &sender) } else { Ok(()) };
    let ended = greeted.and_then(|()| exchange(core, number, &live, &mut receiver));
    sender.end();
    live.signs.end();
    core.cluster.table().leave(number, &live);
    if let Err(why) = &ended {
        core.cluster.lost(number, why);
    }
    ended
}

fn greet(core: &Core, sender: &FrameSender) -> Result<(), LinkError> {
    let me = core.cluster.me();
    let Standing { state, floor } = core.committer.standing();
    let (tracker, instance, floor) = (me.origin.tracker, me.instance, floor.mark);
    let hello = |seen| LinkMessage::Hello { tracker, instance, floor, seen };
    let said = seen_parts::say(&state, hello, |message| sender.send(UNASKED, message));
    said.map_err(LinkError::Begin).map(|_| ())
}

fn receive_greeting(receiver: &mut FrameReceiver) -> Result<Greeting, LinkError> {
    let mut next = || match receiver.recv(HANDSHAKE_DEADLINE)?.message::<LinkMessage>()? {
        LinkMessage::Refused { code, about } => Err(LinkError::from(Refusal::received(code, &about))),
        message => Ok(message),
    };
    let LinkMessage::Hello { tracker: number, instance, floor, mut seen } = next()? else {
        return Err(LinkError::NoGreeting);
    };
    let mut gathered = GatheredSeen::default();
    loop {
        if let Some(has) = gathered.add(seen)? {
            return Ok(Greeting { number, instance, floor, has });
        }
        seen = match next()? {
            LinkMessage::SeenMore { seen } => seen,
            _ => return Err(LinkError::NoGreeting),
        };
    }
}

fn address_of(stream: &TcpStream) -> String {
    stream.peer_addr().map_or_else(|_| "an unknown address".into(), |addr| addr.ip().to_string())
}

/// Sends and receives until either ends.
fn exchange(core: &Core, number: u16, live: &Arc<LiveLink>, receiver: &mut FrameReceiver) -> Result<(), LinkError> {
    core.presence.begin_snapshot(HeardFrom { tracker: number, at: Instant::now() });
    thread::scope(|scope| {
        let name = format!("link-{number}-out");
        let send = || {
            let sent = LinkSender::new(core, live).run();
            // If the link has ended already, the other thread tells the reason.
            let why = sent.err().filter(|_| !live.sender.is_over());
            live.sender.end();
            why.map(LinkError::System)
        };
        let sending = thread::Builder::new().name(name).spawn_scoped(scope, send).map_err(LinkError::System)?;
        let ended = LinkReceiver::new(core, number, live).run(receiver);
        live.sender.end();
        live.wakeup.wake();
        // A thread that panicked has printed that. After a refusal the far side may take no more messages: the refusal
        // is the reason.
        let failed = sending.join().ok().flatten().filter(|_| !matches!(ended, Err(LinkError::Refused(_))));
        failed.map_or(ended, Err)
    })
}
