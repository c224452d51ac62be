//! The running connections, each on a thread of its own.

use crate::sys::owned_thread::OwnedThread;
use crate::tracker::admission::{ConnectionSlot, Door};
use crate::tracker::core::Core;
use crate::tracker::json;
use crate::tracker::json::JsonMemory;
use crate::tracker::log::Log;
use crate::tracker::push::close_handle::CloseHandle;
use crate::tracker::session::binary_dialect;
use crate::tracker::session::connection::AcceptedConnection;
use crate::wire::handshake::refusal_in_clear;
use crate::wire::refusal::Code;
use crossbeam_channel::{Receiver, Sender, unbounded};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::io;
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;

/// Stack of a connection's thread, in bytes of address space. Only the used part becomes memory: 20 KiB for a client
/// that logs in and lists. Measured over all tests of sessions, a release build needs less than 32 KiB, and a debug
/// build less than 128.
const STACK_LEN: usize = if cfg!(debug_assertions) { 512 * 1024 } else { 128 * 1024 };

/// The dialect of a listener: what its connections speak.
#[derive(Debug, Clone)]
pub enum Encoding {
    Binary,
    /// The dialect of docs/JSON.md.
    Json(Arc<JsonMemory>),
}

impl Encoding {
    /// Whether other trackers connect to the same socket.
    pub fn is_for_trackers(&self) -> bool {
        matches!(self, Encoding::Binary)
    }

    /// The kind of clients that its listening socket is for.
    pub fn door(&self) -> Door {
        match self {
            Encoding::Binary => Door::Clients,
            Encoding::Json(_) => Door::Programs,
        }
    }

    /// The refusal of a connection when there is no room for it.
    pub fn busy(&self) -> Vec<u8> {
        match self {
            Encoding::Binary => refusal_in_clear(Code::Busy).to_vec(),
            Encoding::Json(_) => json::busy(),
        }
    }

    fn serve(&self, core: Arc<Core>, connection: AcceptedConnection) {
        match self {
            Encoding::Binary => binary_dialect::serve(core, connection),
            Encoding::Json(memory) => json::serve(core, connection, memory),
        }
    }
}

/// The table of running connections.
pub struct Connections {
    core: Arc<Core>,
    running: Mutex<Running>,
    /// A thread that is about to end sends its number here.
    ended: Sender<u64>,
}

#[derive(Default)]
struct Running {
    last: u64,
    by_number: HashMap<u64, RunningConnection>,
}

struct RunningConnection {
    stream: Arc<TcpStream>,
    close_handle: Arc<CloseHandle>,
    thread: OwnedThread,
}

/// Reports that a thread is about to end, even by a panic.
struct Ended {
    number: u64,
    tell: Sender<u64>,
}

impl Drop for Ended {
    fn drop(&mut self) {
        // Fails only if nothing joins threads any more.
        let _ = self.tell.send(self.number);
    }
}

impl Connections {
    /// The receiver gives the numbers of threads to pass to [`Connections::join`].
    pub fn new(core: Arc<Core>) -> (Arc<Self>, Receiver<u64>) {
        let (ended, to_join) = unbounded();
        (Arc::new(Self { core, running: Mutex::default(), ended }), to_join)
    }

    /// Serves a connection on a new thread. Returns the socket if no thread can be started.
    pub fn serve(
        &self,
        encoding: &Encoding,
        stream: TcpStream,
        seen: SocketAddr,
        mut slot: ConnectionSlot,
    ) -> Result<(), (TcpStream, io::Error)> {
        let stream = Arc::new(stream);
        slot.set_stream(&stream);
        let close_handle: Arc<CloseHandle> = Arc::default();
        // Locked until the entry exists, so that no thread is joined before it is known.
        let running = &mut *self.running.lock();
        running.last += 1;
        let number = running.last;
        let ended = Ended { number, tell: self.ended.clone() };
        let accepted = AcceptedConnection { stream: stream.clone(), seen, slot, close_handle: close_handle.clone() };
        let (core, encoding) = (self.core.clone(), encoding.clone());
        let run = move || {
            let _ended = ended;
            encoding.serve(core, accepted);
        };
        match OwnedThread::with_stack(format!("conn-{number}"), STACK_LEN, run) {
            Ok(thread) => {
                running.by_number.insert(number, RunningConnection { stream, close_handle, thread });
                Ok(())
            }
            Err(error) => match Arc::try_unwrap(stream) {
                Ok(stream) => Err((stream, error)),
                Err(_) => Ok(()),
            },
        }
    }

    /// The log for events of connections.
    pub fn log(&self) -> &Log {
        &self.core.oversight.log
    }

    /// Joins a thread that has ended or is about to.
    pub fn join(&self, number: u64) {
        let connection = self.running.lock().by_number.remove(&number);
        if let Some(mut connection) = connection {
            connection.thread.join();
        }
    }

    /// Tells every client that the tracker closes. Sessions still answer received requests, and read no more.
    pub fn close(&self) {
        let running = self.running.lock();
        let all: Vec<_> = running.by_number.values().map(|c| (c.stream.clone(), c.close_handle.clone())).collect();
        drop(running);
        for (stream, close_handle) in all {
            close_handle.close();
            // Fails if the connection is gone already.
            let _ = stream.shutdown(Shutdown::Read);
        }
    }

    /// Ends every connection in both directions.
    pub fn cut(&self) {
        for connection in self.running.lock().by_number.values() {
            if let Some(channel) = connection.close_handle.channel() {
                channel.end();
            }
            let _ = connection.stream.shutdown(Shutdown::Both);
        }
    }

    pub fn join_all(&self) {
        let running: Vec<_> = self.running.lock().by_number.drain().collect();
        for (_, mut connection) in running {
            connection.thread.join();
        }
    }
}
