//! What stands between two programs: it passes every byte on, keeps all of them, can hold them back and cut the connections.

use parking_lot::{Condvar, Mutex};
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Bytes that went through.
type Log = Arc<Mutex<Vec<u8>>>;

pub(crate) struct Relay {
    pub addr: SocketAddr,
    seen: Log,
    /// What each of those who have connected has said.
    said: Arc<Mutex<Vec<Log>>>,
    open: Arc<Mutex<Vec<TcpStream>>>,
    held: Arc<(Mutex<bool>, Condvar)>,
    blocked: Arc<AtomicBool>,
}

impl Relay {
    /// Whoever connects to `addr` is connected to `to`. The threads end with the test's process.
    pub(crate) fn to(to: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let addr = listener.local_addr().expect("bound");
        let (seen, open) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Mutex::new(Vec::new())));
        let said: Arc<Mutex<Vec<Log>>> = Arc::default();
        let conversations = said.clone();
        let held = Arc::new((Mutex::new(false), Condvar::new()));
        let blocked: Arc<AtomicBool> = Arc::default();
        let (all, connections, gate, closed) = (seen.clone(), open.clone(), held.clone(), blocked.clone());
        std::thread::spawn(move || {
            for near in listener.incoming() {
                if closed.load(Ordering::SeqCst) {
                    continue;
                }
                let (Ok(near), Ok(far)) = (near, TcpStream::connect(to)) else { continue };
                let own = Log::default();
                conversations.lock().push(own.clone());
                for (from, to, own) in [(&near, &far, Some(own)), (&far, &near, None)] {
                    let (from, to) = (from.try_clone().expect("descriptors"), to.try_clone().expect("descriptors"));
                    let (all, gate) = (all.clone(), gate.clone());
                    std::thread::spawn(move || pass_on(from, to, (&all, own.as_deref()), &gate));
                }
                connections.lock().push(near);
            }
        });
        Self { addr, seen, said, open, held, blocked }
    }

    /// Holds everything back from now on.
    pub(crate) fn hold(&self) {
        *self.held.0.lock() = true;
    }

    /// Passes on what was held back, and everything after it.
    pub(crate) fn release(&self) {
        *self.held.0.lock() = false;
        self.held.1.notify_all();
    }

    /// Ends every connection that is open now.
    pub(crate) fn cut(&self) {
        self.open.lock().drain(..).for_each(|stream| drop(stream.shutdown(Shutdown::Both)));
    }

    /// Ends every connection and takes no more.
    pub(crate) fn block(&self) {
        self.blocked.store(true, Ordering::SeqCst);
        self.cut();
    }

    /// Takes connections again.
    pub(crate) fn unblock(&self) {
        self.blocked.store(false, Ordering::SeqCst);
    }

    /// Everything that went through, in both directions.
    pub(crate) fn seen(&self) -> Vec<u8> {
        self.seen.lock().clone()
    }

    /// What each of those who have connected has said, in the order of their connections.
    pub(crate) fn said(&self) -> Vec<Vec<u8>> {
        self.said.lock().iter().map(|conversation| conversation.lock().clone()).collect()
    }

    /// Whether these bytes went through next to each other.
    pub(crate) fn saw(&self, bytes: &[u8]) -> bool {
        self.seen.lock().windows(bytes.len()).any(|window| window == bytes)
    }
}

/// A log of everything, and one of what this side says, if it is kept.
type Logs<'a> = (&'a Mutex<Vec<u8>>, Option<&'a Mutex<Vec<u8>>>);

fn pass_on(mut from: TcpStream, mut to: TcpStream, (seen, own): Logs<'_>, gate: &(Mutex<bool>, Condvar)) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(len @ 1..) = from.read(&mut buffer) {
        seen.lock().extend_from_slice(&buffer[..len]);
        own.inspect(|own| own.lock().extend_from_slice(&buffer[..len]));
        gate.1.wait_while(&mut gate.0.lock(), |held| *held);
        if to.write_all(&buffer[..len]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Both);
}
