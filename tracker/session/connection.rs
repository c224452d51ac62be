//! A connection that a listener has accepted, on its way to the dialect that serves it.

use crate::tracker::admission::ConnectionSlot;
use crate::tracker::push::close_handle::CloseHandle;
use crate::wire::connection::TimedStream;
use std::io::Read;
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

/// How long the far side may take to read a last reply before the connection is closed under it.
const FAREWELL: Duration = Duration::from_secs(1);

/// All that is known of a connection before anything was said on it.
pub(crate) struct AcceptedConnection {
    pub(crate) stream: Arc<TcpStream>,
    /// The address of the far end.
    pub(crate) seen: SocketAddr,
    pub(crate) slot: ConnectionSlot,
    /// Opened by the dialect, once the client can be told something.
    pub(crate) close_handle: Arc<CloseHandle>,
}

/// Lets the far side read what was sent. A socket that is closed with bytes unread in it loses that.
pub(crate) fn hang_up(stream: &TcpStream) {
    // Fails if the connection is gone; then there is nothing to wait for.
    let _ = stream.shutdown(Shutdown::Write);
    let mut rest = TimedStream::new(stream, FAREWELL);
    while let Ok(1..) = rest.read(&mut [0; 512]) {}
}
