//! An accepted connection on its way to the dialect that serves it.

use crate::tracker::admission::ConnectionSlot;
use crate::tracker::push::close_handle::CloseHandle;
use crate::wire::connection::TimedStream;
use std::io::Read;
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

/// How long the far side may take to read a last reply before the connection closes.
const FAREWELL: Duration = Duration::from_secs(1);

/// All that is known of a connection before its first byte.
pub(crate) struct AcceptedConnection {
    pub(crate) stream: Arc<TcpStream>,
    /// The address of the far end.
    pub(crate) seen: SocketAddr,
    pub(crate) slot: ConnectionSlot,
    /// The dialect opens it once the client can take messages.
    pub(crate) close_handle: Arc<CloseHandle>,
}

/// Lets the far side read what was sent. A socket that is closed with unread bytes loses the sent ones.
pub(crate) fn hang_up(stream: &TcpStream) {
    // Fails if the connection is gone. Then there is nothing to wait for.
    let _ = stream.shutdown(Shutdown::Write);
    let mut rest = TimedStream::new(stream, FAREWELL);
    while let Ok(1..) = rest.read(&mut [0; 512]) {}
}
