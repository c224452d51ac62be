//! The beginning of a connection: the handshake, on a thread that ends with it.

use crate::tracker::core::Core;
use crate::wire::connection::TimedStream;
use crate::wire::deadlines::HANDSHAKE_DEADLINE;
use crate::wire::handshake::refusal_in_clear;
use crate::wire::handshake::{Caller, HandshakeError, full_tracker_accepts, tracker_accepts};
use crate::wire::refusal::Code;
use std::io::{self, Write};
use std::net::{IpAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

/// Stack of the thread in bytes. It uses 24 KiB. The C library reuses stacks of up to four times the requested size.
/// With this size the next connection's thread does not get the used stack and its memory.
const STACK_LEN: usize = 1024 * 1024;

/// Deadline of the handshake on a reserved slot: a tracker identifies itself at once.
const RESERVED_DEADLINE: Duration = Duration::from_secs(2);

/// Accepts a client or another tracker; on a `reserved` slot only another tracker.
///
/// The key agreement needs more stack than anything later, and used stack stays in memory until its thread ends. So a
/// thread of its own runs the handshake, which saves 6 KiB for every idle client.
pub(super) fn accept(stream: &TcpStream, core: &Core, from: IpAddr, reserved: bool) -> Result<Caller, HandshakeError> {
    let deadline = if reserved { RESERVED_DEADLINE } else { HANDSHAKE_DEADLINE };
    let until = Instant::now() + deadline;
    // A silent caller takes no second thread.
    stream.set_read_timeout(Some(deadline))?;
    match stream.peek(&mut [0]) {
        Ok(0) => return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
        Err(error) if reserved => {
            (&*stream).write_all(&refusal_in_clear(Code::Busy))?;
            return Err(error.into());
        }
        peeked => peeked?,
    };
    let shake = || shake(stream, core, (from, reserved), until);
    thread::scope(|scope| {
        match thread::Builder::new().name("handshake".into()).stack_size(STACK_LEN).spawn_scoped(scope, shake) {
            Ok(thread) => thread.join().unwrap_or(Err(HandshakeError::Crypto)),
            // The system has no thread left: the stack of this thread is deep enough.
            Err(_) => shake(),
        }
    })
}

/// If inlined, its stack would stay in memory for as long as the connection lasts.
#[inline(never)]
fn shake(
    stream: &TcpStream,
    core: &Core,
    (from, reserved): (IpAddr, bool),
    until: Instant,
) -> Result<Caller, HandshakeError> {
    let mut timed = TimedStream::new(stream, until.saturating_duration_since(Instant::now()));
    let cluster_key = &core.cluster_key;
    if reserved {
        return full_tracker_accepts(&mut timed, &cluster_key.link_key());
    }
    let turn = || core.turns.take(from, None, Duration::ZERO);
    tracker_accepts(&mut timed, cluster_key.static_key(), &cluster_key.link_key(), turn)
}
