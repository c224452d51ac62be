//! Stands before a listener and counts what it sends.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

/// Passes every byte on. Its threads end with this program, or with the connections.
pub(crate) struct CountingRelay {
    /// Where it listens.
    pub addr: SocketAddr,
    sent: Arc<AtomicU64>,
}

impl CountingRelay {
    /// Whoever connects to it is connected to `to`.
    pub(crate) fn to(to: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let addr = listener.local_addr().expect("bound");
        let (sent, received) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        let count = sent.clone();
        thread::spawn(move || {
            for near in listener.incoming().map_while(Result::ok) {
                let Ok(far) = TcpStream::connect(to) else { continue };
                for (from, to, count) in [(&near, &far, &received), (&far, &near, &count)] {
                    from.set_nodelay(true).expect("a socket");
                    let (from, to) = (from.try_clone().expect("descriptors"), to.try_clone().expect("descriptors"));
                    let count = count.clone();
                    thread::spawn(move || pass_on(from, to, &count));
                }
            }
        });
        Self { addr, sent }
    }

    /// Bytes that came from the listener behind it.
    pub(crate) fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }
}

fn pass_on(mut from: TcpStream, mut to: TcpStream, count: &AtomicU64) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(len @ 1..) = from.read(&mut buffer) {
        count.fetch_add(len as u64, Ordering::Relaxed);
        if to.write_all(&buffer[..len]).is_err() {
            break;
        }
    }
    let _ = (to.shutdown(Shutdown::Both), from.shutdown(Shutdown::Both));
}
