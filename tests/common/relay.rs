//! A relay between two programs. It passes every byte on, and can cut the connections.

use parking_lot::Mutex;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

pub(crate) struct Relay {
    pub addr: SocketAddr,
    open: Arc<Mutex<Vec<TcpStream>>>,
    blocked: Arc<AtomicBool>,
}

impl Relay {
    /// A relay that connects every caller of `addr` to `to`. `watch` sees all bytes before the relay passes them on,
    /// with the number of their connection, from 0, and whether the connecting side sent them. The threads end with
    /// this process.
    pub(crate) fn to(to: SocketAddr, watch: impl Fn(usize, bool, &[u8]) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let addr = listener.local_addr().expect("bound");
        let (open, blocked): (Arc<Mutex<Vec<TcpStream>>>, Arc<AtomicBool>) = Default::default();
        let (connections, closed, watch) = (open.clone(), blocked.clone(), Arc::new(watch));
        std::thread::spawn(move || {
            let mut number = 0;
            for near in listener.incoming() {
                if closed.load(Ordering::SeqCst) {
                    continue;
                }
                let (Ok(near), Ok(far)) = (near, TcpStream::connect(to)) else { continue };
                let connection = number;
                number += 1;
                for (from, to, asked) in [(&near, &far, true), (&far, &near, false)] {
                    from.set_nodelay(true).expect("a socket");
                    let (from, to) = (from.try_clone().expect("descriptors"), to.try_clone().expect("descriptors"));
                    let watch = watch.clone();
                    let see = move |bytes: &[u8]| watch(connection, asked, bytes);
                    std::thread::spawn(move || pass_on(from, to, see));
                }
                connections.lock().push(near);
            }
        });
        Self { addr, open, blocked }
    }

    /// Ends every connection that is open now.
    pub(crate) fn cut(&self) {
        self.open.lock().drain(..).for_each(|stream| drop(stream.shutdown(Shutdown::Both)));
    }

    /// Ends every connection and accepts no more.
    pub(crate) fn block(&self) {
        self.blocked.store(true, Ordering::SeqCst);
        self.cut();
    }

    /// Accepts connections again.
    pub(crate) fn unblock(&self) {
        self.blocked.store(false, Ordering::SeqCst);
    }
}

fn pass_on(mut from: TcpStream, mut to: TcpStream, see: impl Fn(&[u8])) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(len @ 1..) = from.read(&mut buffer) {
        see(&buffer[..len]);
        if to.write_all(&buffer[..len]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Both);
}
