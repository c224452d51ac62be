//! A recorder between two programs, whose records a test can replay.

use parking_lot::Mutex;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;

/// Passes all bytes on, and keeps those of the connecting sides. Its threads end with this process.
pub(crate) struct Recorder {
    pub addr: SocketAddr,
    said: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl Recorder {
    /// A recorder that connects every caller to `to`.
    pub(crate) fn to(to: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let addr = listener.local_addr().expect("bound");
        let said = Arc::<Mutex<Vec<Vec<u8>>>>::default();
        let kept = said.clone();
        thread::spawn(move || {
            for near in listener.incoming() {
                let (Ok(near), Ok(far)) = (near, TcpStream::connect(to)) else { continue };
                let mut all = kept.lock();
                let number = all.len();
                all.push(Vec::new());
                let (back, answers) = (near.try_clone().expect("descriptors"), far.try_clone().expect("descriptors"));
                let kept = kept.clone();
                thread::spawn(move || pass_on(near, far, |bytes| kept.lock()[number].extend(bytes)));
                thread::spawn(move || pass_on(answers, back, |_| {}));
            }
        });
        Self { addr, said }
    }

    /// What each connecting side has sent, in the order of the connections.
    pub(crate) fn said(&self) -> Vec<Vec<u8>> {
        self.said.lock().clone()
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
