//! Why a link to another tracker failed or has ended.

use crate::sys;
use crate::sys::net::resolve::lookup_reason;
use crate::wire::codec::DecodeError;
use crate::wire::connection::RecvError;
use crate::wire::handshake::HandshakeError;
use crate::wire::refusal::Refusal;
use std::fmt;
use std::io;

/// Its words are for the operator.
#[derive(Debug)]
pub(crate) enum LinkError {
    /// The socket cannot be used, or the greeting cannot be sent.
    Begin(io::Error),
    /// The name of the other tracker has no address.
    Lookup(io::Error),
    /// There is no connection or no thread, or a message cannot be sent.
    System(io::Error),
    Handshake(HandshakeError),
    Recv(RecvError),
    Decode(DecodeError),
    /// One of the two trackers refused the link or a message on it.
    Refused(Refusal),
    /// The first message is no greeting.
    NoGreeting,
    /// The called address belongs to another tracker.
    OtherNumber {
        called: u16,
        answers: u16,
    },
    /// This tracker has ended the link.
    Ended,
}

impl fmt::Display for LinkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LinkError::Begin(error) => write!(f, "{error}"),
            LinkError::Lookup(error) => f.write_str(&lookup_reason(error)),
            LinkError::System(error) => f.write_str(&sys::reason(error)),
            LinkError::Handshake(error) => write!(f, "{error}"),
            LinkError::Recv(error) => write!(f, "{error}"),
            LinkError::Decode(error) => write!(f, "{error}"),
            LinkError::Refused(refusal) => write!(f, "{refusal}"),
            LinkError::NoGreeting => f.write_str("it does not begin with a greeting"),
            LinkError::OtherNumber { called, answers } => {
                write!(f, "tracker {answers} answers there, where the list has tracker {called}")
            }
            LinkError::Ended => f.write_str("the link was ended"),
        }
    }
}

impl std::error::Error for LinkError {}

impl From<RecvError> for LinkError {
    fn from(error: RecvError) -> Self {
        LinkError::Recv(error)
    }
}

impl From<DecodeError> for LinkError {
    fn from(error: DecodeError) -> Self {
        LinkError::Decode(error)
    }
}

impl From<Refusal> for LinkError {
    fn from(refusal: Refusal) -> Self {
        LinkError::Refused(refusal)
    }
}
