//! The seeder: accepts peers, and answers each on a thread of its own.

use super::served::{Served, Serving};
use super::stats::Taking;
use crate::client::keyring::Keyring;
use crate::client::rate::uplink::{Uplink, UplinkFlow};
use crate::client::storage::piece_source::SourceError;
use crate::model::digest::{InfoHash, KeyId};
use crate::model::id::GroupRef;
use crate::model::name::UserId;
use crate::model::piece::PIECE_LEN;
use crate::sys::lingering::LingeringSockets;
use crate::wire::channel::refusal_in_clear;
use crate::wire::codec::{Blob, Payload};
use crate::wire::connection::{self, FrameReceiver, FrameSender, TimedStream};
use crate::wire::deadlines::{HANDSHAKE_DEADLINE, IDLE_DEADLINE};
use crate::wire::error::{Code, Refusal};
use crate::wire::frame::{self, EARLY_FRAME_LEN_MAX, HEADER_LEN, UNASKED};
use crate::wire::handshake;
use crate::wire::peer::{PeerReply, PeerRequest};
use crossbeam_channel as channel;
use parking_lot::{Condvar, Mutex};
use std::cmp::Reverse;
use std::collections::HashMap;
use std::io::{self, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Most members' connections that are served at once; one more is told to come back later.
pub const CONNECTIONS_MAX: usize = 128;
/// Connections, besides, that have not proved yet to be a member's. When there is one more, the oldest of the address
/// that has most of them is told to come back later: a member proves it within moments, and who holds places gets in
/// nobody's way.
const EARLY_MAX: usize = 32;
/// Most threads of connections. Those that were given up take a moment to end; whoever comes meanwhile waits for that.
const THREADS_MAX: usize = CONNECTIONS_MAX + 2 * EARLY_MAX;
/// A member may have this part of the free places, and one connection in any case while there is a place. Who comes
/// first so keeps nobody out, and fewer connections each are left as more members come.
const MEMBER_PART: usize = 8;
/// Connections that were turned away or ended and are given time to read why.
const LEAVING_MAX: usize = 64;
/// Stack of a connection's thread; buffers are on the heap.
const STACK_LEN: usize = 256 * 1024;

/// What the seeder tells the rest of the client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SeederEvent {
    /// A peer named a key that is not known here: the group's key may have changed.
    UnknownKey(KeyId),
    /// A file cannot be served any more: it was changed on disk or cannot be read.
    Broken {
        /// In which group.
        group: GroupRef,
        /// Which content.
        info_hash: InfoHash,
        /// What is wrong, in one line.
        why: String,
    },
}

struct Shared {
    // Immutable.
    keyring: Arc<Keyring>,
    serving: Arc<Serving>,
    uplink: Arc<Uplink>,
    events: channel::Sender<SeederEvent>,
    closing: AtomicBool,
    last_connection: AtomicU64,
    // Locked.
    connections: Mutex<HashMap<u64, Connection>>,
    /// A thread of a connection has ended.
    ended: Condvar,
    /// Turned away or ended.
    leaving: LingeringSockets<Arc<TcpStream>>,
}

/// What is known of whoever has connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// Nothing yet. A handshake alone may be a replay.
    Early,
    /// Nothing, and another one has the place now.
    GivenUp,
    /// A message was made with the key of a group.
    Member,
}

struct Connection {
    /// For ending the connection at any stage.
    stream: Arc<TcpStream>,
    ip: IpAddr,
    standing: Standing,
    group: Option<GroupRef>,
    /// Who asks, once that was said.
    user: Option<UserId>,
    thread: Option<JoinHandle<()>>,
}

/// The listener and its connections.
pub struct Seeder {
    shared: Arc<Shared>,
    addr: SocketAddr,
    listener: Option<JoinHandle<()>>,
}

impl Seeder {
    /// Serves on a bound listener, within the limit of the uplink. Events go to `events`, whose receiver must be drained.
    pub fn start(
        listener: TcpListener,
        keyring: Arc<Keyring>,
        serving: Arc<Serving>,
        uplink: Arc<Uplink>,
        events: channel::Sender<SeederEvent>,
    ) -> io::Result<Self> {
        let addr = listener.local_addr()?;
        let shared = Arc::new(Shared {
            keyring,
            serving,
            uplink,
            events,
            closing: AtomicBool::new(false),
            last_connection: AtomicU64::new(0),
            connections: Mutex::default(),
            ended: Condvar::new(),
            leaving: LingeringSockets::new(LEAVING_MAX),
        });
        let thread = std::thread::Builder::new().name("seeder".into()).spawn({
            let shared = shared.clone();
            move || accept(&shared, &listener)
        })?;
        Ok(Self { shared, addr, listener: Some(thread) })
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Drops the connections made under a key of this group: the key is no longer valid.
    pub fn drop_group(&self, group: GroupRef) {
        for connection in self.shared.connections.lock().values() {
            if connection.group == Some(group) {
                end(&connection.stream);
            }
        }
    }
}

impl Drop for Seeder {
    fn drop(&mut self) {
        self.shared.closing.store(true, Ordering::SeqCst);
        {
            // Whoever has looked whether it is over already waits by now.
            let _connections = self.shared.connections.lock();
            self.shared.ended.notify_all();
        }
        // Wakes the listener, which then sees that it is over.
        let mut wake = self.addr;
        if wake.ip().is_unspecified() {
            wake.set_ip(if wake.is_ipv4() { [127, 0, 0, 1].into() } else { [0, 0, 0, 0, 0, 0, 0, 1u16].into() });
        }
        let woken = TcpStream::connect_timeout(&wake, Duration::from_secs(1));
        let threads: Vec<_> = {
            let mut connections = self.shared.connections.lock();
            connections.values().for_each(|connection| end(&connection.stream));
            connections.values_mut().filter_map(|connection| connection.thread.take()).collect()
        };
        // A listener that could not be woken is left behind; it holds nothing but its socket.
        let listener = self.listener.take().filter(|_| woken.is_ok());
        for thread in threads.into_iter().chain(listener) {
            // A panic of the thread was printed when it happened.
            let _ = thread.join();
        }
    }
}

fn end(stream: &TcpStream) {
    // Fails only if the connection is gone already.
    let _ = stream.shutdown(Shutdown::Both);
}

fn accept(shared: &Arc<Shared>, listener: &TcpListener) {
    loop {
        let accepted = listener.accept();
        if shared.is_closing() {
            return;
        }
        match accepted {
            Ok((stream, from)) => take_in(shared, stream, from.ip().to_canonical()),
            // Out of descriptors, most likely: those who ask now are refused by the kernel once the backlog is full.
            // The pause keeps the thread from spinning until a connection ends.
            Err(_) => std::thread::park_timeout(Duration::from_millis(100)),
        }
    }
}

/// Gives a connection its thread, or says why not.
fn take_in(shared: &Arc<Shared>, stream: TcpStream, ip: IpAddr) {
    let stream = Arc::new(stream);
    let id = shared.last_connection.fetch_add(1, Ordering::Relaxed);
    let mut connections = shared.connections.lock();
    if count(&connections, Standing::Member) >= CONNECTIONS_MAX {
        drop(connections);
        shared.turn_away(stream);
        return;
    }
    if count(&connections, Standing::Early) >= EARLY_MAX {
        give_one_up(&mut connections);
    }
    // Of those beyond the members and the early ones there is nobody who was not given up.
    let full = |connections: &mut HashMap<u64, Connection>| connections.len() >= THREADS_MAX && !shared.is_closing();
    shared.ended.wait_while(&mut connections, full);
    if shared.is_closing() {
        return;
    }
    let standing = Standing::Early;
    connections.insert(id, Connection { stream: stream.clone(), ip, standing, group: None, user: None, thread: None });
    let thread = std::thread::Builder::new().name(format!("seed-{id}")).stack_size(STACK_LEN).spawn({
        let shared = shared.clone();
        move || {
            serve(&shared, id, stream);
            shared.connections.lock().remove(&id);
            shared.ended.notify_one();
        }
    });
    match thread {
        Ok(thread) => {
            if let Some(connection) = connections.get_mut(&id) {
                connection.thread = Some(thread);
            }
        }
        Err(_) => {
            connections.remove(&id);
        }
    }
}

fn count(connections: &HashMap<u64, Connection>, standing: Standing) -> usize {
    connections.values().filter(|connection| connection.standing == standing).count()
}

/// Gives up the oldest connection that has proved nothing, of the address that has most of them. Its thread tells so.
fn give_one_up(connections: &mut HashMap<u64, Connection>) {
    let mut per_address: HashMap<IpAddr, (usize, Reverse<u64>)> = HashMap::new();
    for (&id, connection) in connections.iter().filter(|(_, connection)| connection.standing == Standing::Early) {
        let (count, oldest) = per_address.entry(connection.ip).or_insert((0, Reverse(id)));
        *count += 1;
        *oldest = (*oldest).max(Reverse(id));
    }
    let Some((_, Reverse(id))) = per_address.into_values().max() else {
        return;
    };
    if let Some(connection) = connections.get_mut(&id) {
        connection.standing = Standing::GivenUp;
        // Wakes the thread, which finds that nothing more comes in. Fails only if the connection is gone already.
        let _ = connection.stream.shutdown(Shutdown::Read);
    }
}

/// One connection from its handshake to its end.
fn serve(shared: &Shared, id: u64, stream: Arc<TcpStream>) {
    let mut group = None;
    let handshake = handshake::peer_accepts(&mut TimedStream::new(&stream, HANDSHAKE_DEADLINE), |key_id| {
        let known = shared.keyring.by_id(key_id);
        if known.is_none() {
            // Asking the tracker takes longer than a peer should wait: it is refused and comes again.
            let _ = shared.events.try_send(SeederEvent::UnknownKey(key_id));
        }
        known.map(|(of, secret)| {
            group = Some(of);
            secret
        })
    });
    let (Ok((keys, key_id)), Some(group)) = (handshake, group) else {
        if shared.is_given_up(id) {
            shared.turn_away(stream);
        }
        return;
    };
    if let Some(connection) = shared.connections.lock().get_mut(&id) {
        connection.group = Some(group);
    }
    // The key may have changed since it was looked up; from here on `drop_group` finds this connection.
    if shared.keyring.by_id(key_id).is_none() {
        return;
    }
    let Ok((mut receiver, sender)) = connection::split(stream.clone(), keys, EARLY_FRAME_LEN_MAX, true) else {
        return;
    };
    if let Some((served, user)) = open(shared, id, group, &mut receiver, &sender) {
        let flow = shared.uplink.join(&user);
        let taking = served.takers().join(&user, Instant::now());
        answer(shared, &served, (&user, &flow, &taking), &mut receiver, &sender);
        served.leave(&sender);
    }
    sender.finish();
    shared.leaving.put(stream, Instant::now());
}

impl Shared {
    fn is_closing(&self) -> bool {
        self.closing.load(Ordering::SeqCst)
    }

    /// Tells somebody in the clear to come back later.
    fn turn_away(&self, stream: Arc<TcpStream>) {
        // Nothing was said before, so the refusal fits into the empty socket buffer and this does not wait.
        let _ = (&*stream).write_all(&refusal_in_clear(Code::Busy));
        self.leaving.put(stream, Instant::now());
    }

    fn is_given_up(&self, id: u64) -> bool {
        let connections = self.connections.lock();
        connections.get(&id).is_some_and(|connection| connection.standing == Standing::GivenUp)
    }

    /// Whether this member may have one more connection, which is then taken down as the member's.
    fn admit(&self, id: u64, user: &UserId) -> bool {
        let mut connections = self.connections.lock();
        let theirs = connections.values().filter(|other| other.user.as_ref() == Some(user)).count();
        let free = CONNECTIONS_MAX.saturating_sub(count(&connections, Standing::Member));
        let admitted = free > 0 && theirs <= (free - 1) / MEMBER_PART;
        let connection = connections.get_mut(&id).filter(|connection| connection.standing == Standing::Early);
        let Some(connection) = connection.filter(|_| admitted) else {
            return false;
        };
        connection.standing = Standing::Member;
        connection.user = Some(user.clone());
        true
    }
}

/// Takes the first message, which says what the connection is about and who asks.
fn open(
    shared: &Shared,
    id: u64,
    group: GroupRef,
    receiver: &mut FrameReceiver,
    sender: &Arc<FrameSender>,
) -> Option<(Arc<Served>, UserId)> {
    let Ok(frame) = receiver.recv(HANDSHAKE_DEADLINE) else {
        if shared.is_given_up(id) {
            let _ = sender.send(UNASKED, &PeerReply::refused(&Code::Busy.into()));
        }
        return None;
    };
    let request = frame.request;
    let Ok(PeerRequest::Open { info_hash, user }) = frame.message() else {
        let _ = sender.send(request, &PeerReply::refused(&Code::Malformed.into()));
        return None;
    };
    if !shared.admit(id, &user) {
        let _ = sender.send(request, &PeerReply::refused(&Code::Busy.into()));
        return None;
    }
    let served = shared.serving.find(group, info_hash);
    let Some((served, have)) = served.and_then(|served| served.attend(sender).map(|have| (served, have))) else {
        let _ = sender.send(request, &PeerReply::refused(&Code::NotServed.into()));
        return None;
    };
    let bits = Blob::new(have.as_bytes().to_vec()).expect("the longest bitfield is within the cap");
    if sender.send(request, &PeerReply::Opened { bits }).is_err() {
        served.leave(sender);
        return None;
    }
    Some((served, user))
}

/// Answers requests until the connection ends.
fn answer(
    shared: &Shared,
    served: &Served,
    (user, flow, taking): (&UserId, &UplinkFlow, &Taking),
    receiver: &mut FrameReceiver,
    sender: &Arc<FrameSender>,
) {
    let mut buffer = Vec::with_capacity(HEADER_LEN + PIECE_LEN as usize);
    while let Ok(frame) = receiver.recv(IDLE_DEADLINE) {
        let request = frame.request;
        let sent = match frame.message() {
            Ok(PeerRequest::GetPiece { piece }) => {
                let given = give(served, (user, flow), piece, || {
                    fill(served, piece, request, &mut buffer)?;
                    Ok(sender.send_paced(&buffer, |len| {
                        let over = || sender.is_over() || shared.is_closing();
                        flow.wait(len, over).inspect(|len| taking.give(*len))
                    }))
                });
                given.unwrap_or_else(|(refusal, broken)| {
                    if let Some(why) = broken {
                        let (group, info_hash) = (served.group(), served.info_hash());
                        let _ = shared.events.try_send(SeederEvent::Broken { group, info_hash, why });
                    }
                    sender.send(request, &PeerReply::refused(&refusal))
                })
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
        served.catch_up(sender);
    }
}

/// Why a piece is not given: what the peer is told, and what is wrong with the file if something is.
type NotGiven = (Refusal, Option<String>);

/// Gives a piece with `send`, unless the uplink is short and the piece is on its way to another member.
fn give(
    served: &Served,
    (user, flow): (&UserId, &UplinkFlow),
    piece: u32,
    send: impl FnOnce() -> Result<io::Result<()>, NotGiven>,
) -> Result<io::Result<()>, NotGiven> {
    if !flow.is_limited() {
        return send();
    }
    let passage = served.passing().begin(piece, user, Instant::now());
    if passage.is_none() && flow.is_contended() {
        return Err((Refusal::about(Code::OnItsWay, piece), None));
    }
    let sent = send()?;
    if let Some(passage) = passage.filter(|_| sent.is_ok()) {
        passage.sent(Instant::now());
    }
    Ok(sent)
}

/// Puts a whole piece frame together.
fn fill(served: &Served, piece: u32, request: u32, buffer: &mut Vec<u8>) -> Result<(), NotGiven> {
    let missing = || (Refusal::about(Code::NoSuchPiece, piece), None);
    let index = served.layout().index(piece).ok_or_else(missing)?;
    let len = served.layout().len(index);
    if buffer.len() == HEADER_LEN + len as usize {
        // The buffer has the right length from the piece before; its bytes are overwritten.
        frame::rewrite(buffer, request);
    } else {
        frame::begin(buffer, request, &PeerReply::Piece { data: Payload { len } });
        buffer.resize(HEADER_LEN + len as usize, 0);
        frame::end(buffer);
    }
    match served.read(index, &mut buffer[HEADER_LEN..]) {
        Some(Ok(())) => Ok(()),
        None => Err(missing()),
        Some(Err(error @ SourceError::Changed(_))) => Err((Code::FileChanged.into(), Some(error.to_string()))),
        Some(Err(error)) => Err((Code::NotServed.into(), Some(error.to_string()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::rate::limit::Limit;
    use crate::model::id::{OpId, Origin};
    use crate::model::name::GroupId;
    use crate::wire::client_tracker::GroupKey;
    use crate::wire::handshake::Secret;

    fn wait_until(what: &str, so: impl Fn() -> bool) {
        let deadline = Instant::now() + Duration::from_secs(60);
        while !so() {
            assert!(Instant::now() < deadline, "waited in vain for: {what}");
            std::thread::yield_now();
        }
    }

    #[test]
    fn a_member_who_comes_with_a_storm_of_strangers_waits_for_those_who_make_room() {
        let (id, secret) = (KeyId([7; 16]), Secret([7; 32]));
        let group = GroupRef(OpId { origin: Origin { tracker: 1, incarnation: 1 }, seq: 1 });
        let keyring = Arc::new(Keyring::default());
        let name = GroupId::parse("lab").expect("valid");
        keyring.put(GroupKey { group, name, id, key: secret.clone() });
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let serving = Arc::new(Serving::start().expect("a thread"));
        let (events, _heard) = channel::unbounded();
        let seeder = Seeder::start(listener, keyring, serving, Uplink::new(Limit::NONE), events).expect("a thread");
        let connect = || TcpStream::connect(seeder.addr()).expect("it listens");

        // Nobody who is given up comes to an end while this is held, as on a busy machine.
        let leaving = seeder.shared.leaving.hold();
        let _strangers: Vec<_> = (0..THREADS_MAX).map(|_| connect()).collect();
        let connections = || seeder.shared.connections.lock();
        wait_until("all of them have a thread", || connections().len() == THREADS_MAX);
        let mut member = connect();
        wait_until("one makes room", || count(&connections(), Standing::Early) == EARLY_MAX - 1);
        drop(leaving);
        handshake::peer_to_peer(&mut member, id, &secret).expect("there is room");
    }
}
