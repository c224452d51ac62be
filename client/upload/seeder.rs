//! The seeder: accepts connections of peers, and gives each a thread of its own.

use super::admission::Admission;
use super::catalog::Catalog;
use super::event::SeederEvent;
use super::given::{Giving, TakeGiven};
use super::origin::ConnectionOrigin;
use super::session::SessionContext;
use super::turns::Turns;
use crate::client::keyring::Keyring;
use crate::client::reach::answerer::{Giver, MadeConnection};
use crate::client::reach::calls::Calls;
use crate::client::reach::identity::Identity;
use crate::client::reach::way::Way;
use crate::model::digest::InfoHash;
use crate::model::id::GroupRef;
use crate::rate::uplink::Uplink;
use crate::sys::net::lingering::LingeringSockets;
use crossbeam_channel as channel;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// Most connections that were turned away or ended and have time to read why.
const LEAVING_MAX: usize = 64;
/// Stack of a connection's thread, in bytes. Buffers are on the heap.
const STACK_LEN: usize = 256 * 1024;

/// What a seeder works with.
pub struct SeederSetup {
    pub identity: Arc<Identity>,
    pub keyring: Arc<Keyring>,
    pub catalog: Arc<Catalog>,
    /// Sets the limit.
    pub uplink: Arc<Uplink>,
    /// Its receiver must be drained.
    pub events: channel::Sender<SeederEvent>,
    /// Whoever waits for connections of those who give.
    pub take_given: TakeGiven,
    /// Whoever dials a member at the same moment as that dials this client.
    pub calls: Arc<Calls>,
}

/// The listener and its sessions.
pub struct Seeder {
    context: Arc<SessionContext>,
    addr: SocketAddr,
    /// Not an `OwnedThread`: one that cannot be woken is left behind.
    listener: Option<JoinHandle<()>>,
}

impl Seeder {
    /// Serves on a bound listener.
    pub fn start(listener: TcpListener, setup: SeederSetup) -> io::Result<Self> {
        let addr = listener.local_addr()?;
        let SeederSetup { identity, keyring, catalog, uplink, events, take_given, calls } = setup;
        let (admission, leaving) = (Admission::default(), LingeringSockets::new(LEAVING_MAX));
        let turns = Turns::new(std::thread::available_parallelism().map_or(1, usize::from));
        let context = Arc::new(SessionContext {
            identity,
            keyring,
            catalog,
            uplink,
            turns,
            events,
            take_given,
            calls,
            next: AtomicU64::new(0),
            admission,
            leaving,
        });
        let thread = std::thread::Builder::new().name("seeder".into()).spawn({
            let context = context.clone();
            move || accept(&context, &listener)
        })?;
        Ok(Self { context, addr, listener: Some(thread) })
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Serves a connection that came about in another way than by the listener: whoever takes shakes hands first.
    pub fn accept(&self, stream: TcpStream, way: Way) -> io::Result<()> {
        let ip = (way != Way::Relayed).then(|| stream.peer_addr()).transpose()?.map(|addr| addr.ip());
        take_in(&self.context, stream, ip, move |context, id, stream| context.serve(id, stream, way));
        Ok(())
    }

    /// Gives pieces on a connection that this client has made.
    pub fn give(&self, stream: TcpStream, giving: Giving) -> io::Result<()> {
        let ip = stream.peer_addr()?.ip();
        take_in(&self.context, stream, Some(ip), move |context, id, stream| context.give(id, stream, giving));
        Ok(())
    }

    /// Ends the connections from these addresses, which this machine has no more.
    pub(crate) fn end_from(&self, gone: &[IpAddr]) {
        self.context.admission.end_from(gone);
    }

    /// Drops the connections made under a key of this group, which is no longer valid.
    pub fn drop_group(&self, group: GroupRef) {
        self.context.admission.drop_group(group);
    }
}

impl Drop for Seeder {
    fn drop(&mut self) {
        let threads = self.context.admission.close();
        // Wakes the listener, which then sees that the admission is closing.
        let near: &[IpAddr] = match self.addr.ip() {
            ip if !ip.is_unspecified() => &[ip],
            IpAddr::V4(_) => &[IpAddr::V4(Ipv4Addr::LOCALHOST)],
            // It takes both. Either may be switched off.
            IpAddr::V6(_) => &[IpAddr::V6(Ipv6Addr::LOCALHOST), IpAddr::V4(Ipv4Addr::LOCALHOST)],
        };
        let woken = near.iter().any(|&ip| {
            TcpStream::connect_timeout(&SocketAddr::new(ip, self.addr.port()), Duration::from_secs(1)).is_ok()
        });
        // A listener that cannot be woken stays behind. It holds nothing but its socket.
        let listener = self.listener.take().filter(|_| woken);
        for thread in threads.into_iter().chain(listener) {
            // A panic of the thread was printed when it happened.
            let _ = thread.join();
        }
    }
}

fn accept(context: &Arc<SessionContext>, listener: &TcpListener) {
    loop {
        let accepted = listener.accept();
        if context.admission.is_closing() {
            return;
        }
        match accepted {
            Ok((stream, from)) => {
                // This side may be dialing the same member at this moment, to take from it.
                if let Err(stream) = context.calls.accepted(stream, from) {
                    let serve = |context: &SessionContext, id, stream| context.serve(id, stream, Way::Direct);
                    take_in(context, stream, Some(from.ip()), serve);
                }
            }
            // Most likely out of descriptors; the kernel refuses connections once the backlog is full. The pause keeps
            // the thread from spinning until a connection ends.
            Err(_) => std::thread::park_timeout(Duration::from_millis(100)),
        }
    }
}

/// For calls that this client answers.
impl Giver for Seeder {
    fn gives(&self, group: GroupRef, info_hash: InfoHash) -> bool {
        self.context.catalog.find(group, info_hash).is_some()
    }

    fn accept(&self, stream: TcpStream, way: Way) {
        // Fails if the connection is gone already.
        let _ = Seeder::accept(self, stream, way);
    }

    fn give(&self, stream: TcpStream, made: MadeConnection) {
        let MadeConnection { keys, taker, group, key, info_hash } = made;
        let giving = Giving { keys, user: taker.user, group, key, info_hash, way: Way::Called };
        // Fails if the connection is gone already.
        let _ = Seeder::give(self, stream, giving);
    }
}

/// Gives a connection its session. It has an address unless it comes by the relay. Waits for a thread to end if there are too many.
fn take_in(
    context: &Arc<SessionContext>,
    stream: TcpStream,
    ip: Option<IpAddr>,
    serve: impl FnOnce(&SessionContext, u64, Arc<TcpStream>) + Send + 'static,
) {
    let (stream, id) = (Arc::new(stream), context.next.fetch_add(1, Ordering::Relaxed));
    let start = || {
        let (context, stream) = (context.clone(), stream.clone());
        std::thread::Builder::new().name(format!("upload-{id}")).stack_size(STACK_LEN).spawn(move || {
            serve(&context, id, stream);
            context.admission.leave(id);
        })
    };
    let origin = ip.map_or_else(|| ConnectionOrigin::relayed(id), ConnectionOrigin::of);
    context.admission.enter(id, stream.clone(), origin, start);
}

#[cfg(test)]
mod tests {
    use super::super::admission::{EARLY_MAX, THREADS_MAX};
    use super::*;
    use crate::client::reach::identity::tests::certified;
    use crate::model::digest::KeyId;
    use crate::model::id::{OpId, Origin};
    use crate::model::name::GroupId;
    use crate::rate::limit::Limit;
    use crate::wire::client_tracker::GroupKey;
    use crate::wire::handshake::Secret;
    use crate::wire::handshake::peer::peer_to_peer;
    use std::time::Instant;

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
        let catalog = Arc::new(Catalog::start().expect("a thread"));
        let (events, _heard) = channel::unbounded();
        let identity = Arc::new(certified(1));
        let (key, uplink) = (identity.key(), Uplink::new(Limit::NONE));
        let (take_given, calls) = (Box::new(drop), Arc::default());
        let setup = SeederSetup { identity, keyring, catalog, uplink, events, take_given, calls };
        let seeder = Seeder::start(listener, setup).expect("a thread");
        let connect = || TcpStream::connect(seeder.addr()).expect("it listens");

        // Nobody who is given up comes to an end while this is held, as on a busy machine.
        let leaving = seeder.context.leaving.hold();
        let _strangers: Vec<_> = (0..THREADS_MAX).map(|_| connect()).collect();
        let counts = || seeder.context.admission.counts();
        wait_until("all of them have a thread", || counts().0 == THREADS_MAX);
        let mut member = connect();
        wait_until("one makes room", || counts().1 == EARLY_MAX - 1);
        drop(leaving);
        let me = certified(2).shown().expect("certified");
        peer_to_peer(&mut member, &me, key, (id, &secret)).expect("there is room");
    }
}
