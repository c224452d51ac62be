//! Why a request to the trackers has no reply, and why there is no connection to one.

use crate::model::address::TrackerAddr;
use crate::sys::net::resolve::lookup_reason;
use crate::sys::reason;
use crate::wire::codec::DecodeError;
use crate::wire::connection::RecvError;
use crate::wire::handshake::{HandshakeError, is_timeout};
use crate::wire::refusal::Refusal;
use std::error::Error;
use std::fmt;
use std::io;

/// Follows the words for [`RpcError::NoTracker`] if the client tries again by itself.
pub const TRIED_AGAIN: &str = "; the client keeps trying";

/// Why a request has no reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RpcError {
    /// The tracker has refused.
    Refused(Refusal),
    /// The client reaches no tracker; says why.
    NoTracker(String),
    /// The reply does not fit this request.
    Unexpected,
    /// The user gave up waiting.
    Cancelled,
}

impl fmt::Display for RpcError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RpcError::Refused(refusal) => write!(f, "{refusal}"),
            RpcError::NoTracker(why) => write!(f, "No tracker can be reached ({why}){TRIED_AGAIN}"),
            RpcError::Cancelled => write!(f, "Cancelled; the tracker has not answered"),
            RpcError::Unexpected => write!(f, "The tracker gave an answer that does not fit; check its version"),
        }
    }
}

impl Error for RpcError {}

impl From<Refusal> for RpcError {
    fn from(refusal: Refusal) -> Self {
        RpcError::Refused(refusal)
    }
}

/// Why a tracker was not reached, or why the connection to it has ended.
#[derive(Debug)]
pub enum ConnectionError {
    /// The look-up of the tracker's name has failed.
    Lookup(io::Error),
    /// No connection came about.
    Connect(io::Error),
    Handshake(HandshakeError),
    /// The check of its fingerprint failed, for this reason.
    Untrusted(Box<dyn Error + Send + Sync>),
    Io(io::Error),
    Recv(RecvError),
    Decode(DecodeError),
    /// The tracker ended the connection, and said why.
    Refused(Refusal),
    /// The tracker ended the connection without a reason.
    Closed,
    /// A request had no reply in time.
    Silent,
    /// The reply does not fit the resumption of the session.
    Unexpected,
    /// The link is closing.
    Closing,
}

impl fmt::Display for ConnectionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ConnectionError::Lookup(error) => f.write_str(&lookup_reason(error)),
            ConnectionError::Connect(error) => match error.kind() {
                io::ErrorKind::ConnectionRefused => f.write_str("nobody listens there"),
                io::ErrorKind::TimedOut => f.write_str("no answer in time"),
                _ => f.write_str(&reason(error)),
            },
            ConnectionError::Handshake(HandshakeError::Io(error))
                if error.raw_os_error().is_some() && !is_timeout(error) =>
            {
                f.write_str(&reason(error))
            }
            ConnectionError::Handshake(error) => error.fmt(f),
            ConnectionError::Untrusted(why) => why.fmt(f),
            ConnectionError::Io(error) | ConnectionError::Recv(RecvError::Io(error)) => f.write_str(&reason(error)),
            ConnectionError::Recv(error) => error.fmt(f),
            ConnectionError::Decode(error) => error.fmt(f),
            ConnectionError::Refused(refusal) => refusal.fmt(f),
            ConnectionError::Closed => f.write_str("it closed the connection"),
            ConnectionError::Silent => f.write_str("it did not answer"),
            ConnectionError::Unexpected => RpcError::Unexpected.fmt(f),
            ConnectionError::Closing => f.write_str("closing"),
        }
    }
}

impl Error for ConnectionError {}

/// Why the client reached none of the trackers, for each.
#[derive(Debug)]
pub(super) struct Unreachable(pub(super) Vec<(TrackerAddr, ConnectionError)>);

impl fmt::Display for Unreachable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, (addr, why)) in self.0.iter().enumerate() {
            write!(f, "{}{addr}: {why}", if number == 0 { "" } else { "; " })?;
        }
        Ok(())
    }
}

impl Error for Unreachable {}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::io::Errno;

    #[test]
    fn a_system_error_about_a_tracker_is_told_without_its_number() {
        let failed = |errno: Errno| io::Error::from(errno);
        for (error, words) in [
            (ConnectionError::Connect(failed(Errno::NETUNREACH)), "Network is unreachable"),
            (ConnectionError::Io(failed(Errno::PIPE)), "Broken pipe"),
            (ConnectionError::Recv(RecvError::Io(failed(Errno::CONNRESET))), "Connection reset by peer"),
            (ConnectionError::Handshake(HandshakeError::Io(failed(Errno::CONNRESET))), "Connection reset by peer"),
            (ConnectionError::Handshake(HandshakeError::Io(failed(Errno::AGAIN))), "no answer in time"),
        ] {
            assert_eq!(error.to_string(), words);
        }
    }
}
