//! The connections that are being served, each by a thread of its own.

use crate::sys::owned_thread::OwnedThread;
use crate::tracker::admission::ConnectionSlot;
use crate::tracker::core::Core;
use crate::tracker::json;
use crate::tracker::json::Permits;
use crate::tracker::push::close_handle::CloseHandle;
use crate::tracker::session;
use crate::wire::channel::refusal_in_clear;
use crate::wire::error::Code;
use crossbeam_channel::{Receiver, Sender as ChannelSender, unbounded};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Shutdown, TcpStream};
use std::sync::Arc;

/// Stack of a connection's thread, in bytes. Address space, of which only what is used becomes memory: 16 KiB for a
/// client that logs in and lists. Measured over all tests of sessions: a release build needs less than 32 KiB, a debug
/// build less than 128.
const STACK_LEN: usize = if cfg!(debug_assertions) { 512 * 1024 } else { 128 * 1024 };

/// What is spoken on a connection.
#[derive(Debug, Clone)]
pub enum Dialect {
    /// What docs/PROTOCOL.md describes.
    Binary,
    /// What docs/JSON.md describes.
    Json(Arc<Permits>),
}

impl Dialect {
    /// Whether other trackers connect to the same socket.
    pub fn is_for_trackers(&self) -> bool {
        matches!(self, Dialect::Binary)
    }

    /// What somebody is told for whom there is no room.
    pub fn busy(&self) -> Vec<u8> {
        match self {
            Dialect::Binary => refusal_in_clear(Code::Busy).to_vec(),
            Dialect::Json(_) => json::busy(),
        }
    }

    fn serve(&self, core: Arc<Core>, stream: &Arc<TcpStream>, ip: IpAddr, slot: ConnectionSlot, handle: &CloseHandle) {
        match self {
            Dialect::Binary => session::serve(core, stream, ip, slot, handle),
            Dialect::Json(permits) => json::serve(core, stream, ip, slot, handle, permits),
        }
    }
}

/// The table of connections.
pub struct Connections {
    core: Arc<Core>,
    inner: Mutex<Inner>,
    /// A thread that is about to end leaves its number here.
    ended: ChannelSender<u64>,
}

#[derive(Default)]
struct Inner {
    last: u64,
    running: HashMap<u64, Connection>,
}

struct Connection {
    stream: Arc<TcpStream>,
    handle: Arc<CloseHandle>,
    thread: OwnedThread,
}

/// Says that a thread is about to end, even by a panic.
struct Ended {
    number: u64,
    tell: ChannelSender<u64>,
}

impl Drop for Ended {
    fn drop(&mut self) {
        // Fails only when nobody joins threads any more.
        let _ = self.tell.send(self.number);
    }
}

impl Connections {
    /// No connection yet. The receiver tells which threads to [`Connections::join`].
    pub fn new(core: Arc<Core>) -> (Arc<Self>, Receiver<u64>) {
        let (ended, to_join) = unbounded();
        (Arc::new(Self { core, inner: Mutex::default(), ended }), to_join)
    }

    /// Serves a connection on a new thread. Gives the socket back if no thread can be started.
    pub fn serve(
        &self,
        dialect: &Dialect,
        stream: TcpStream,
        ip: IpAddr,
        slot: ConnectionSlot,
    ) -> Result<(), (TcpStream, io::Error)> {
        let stream = Arc::new(stream);
        let handle: Arc<CloseHandle> = Arc::default();
        // Locked until the entry is made, so that a thread that ends at once is not joined before it is known.
        let inner = &mut *self.inner.lock();
        inner.last += 1;
        let number = inner.last;
        let ended = Ended { number, tell: self.ended.clone() };
        let run = {
            let (core, stream, handle) = (self.core.clone(), stream.clone(), handle.clone());
            let dialect = dialect.clone();
            move || {
                let _ended = ended;
                dialect.serve(core, &stream, ip, slot, &handle);
            }
        };
        match OwnedThread::with_stack(format!("conn-{number}"), STACK_LEN, run) {
            Ok(thread) => {
                inner.running.insert(number, Connection { stream, handle, thread });
                Ok(())
            }
            Err(error) => match Arc::try_unwrap(stream) {
                Ok(stream) => Err((stream, error)),
                Err(_) => Ok(()),
            },
        }
    }

    /// Joins a thread that has ended or is about to.
    pub fn join(&self, number: u64) {
        let connection = self.inner.lock().running.remove(&number);
        if let Some(mut connection) = connection {
            connection.thread.join();
        }
    }

    /// Tells every client that the tracker is closing. What was asked is still answered; nothing more is read.
    pub fn close(&self) {
        let running = self.inner.lock();
        let all: Vec<_> = running.running.values().map(|c| (c.stream.clone(), c.handle.clone())).collect();
        drop(running);
        for (stream, handle) in all {
            handle.close();
            // Fails if the connection is gone already.
            let _ = stream.shutdown(Shutdown::Read);
        }
    }

    /// Ends every connection in both directions.
    pub fn cut(&self) {
        for connection in self.inner.lock().running.values() {
            if let Some(channel) = connection.handle.channel() {
                channel.end();
            }
            let _ = connection.stream.shutdown(Shutdown::Both);
        }
    }

    /// Joins all threads.
    pub fn join_all(&self) {
        let running: Vec<_> = self.inner.lock().running.drain().collect();
        for (_, mut connection) in running {
            connection.thread.join();
        }
    }
}
