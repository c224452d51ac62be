//! The fault at an address of a member, in words for users.

use crate::wire::handshake::HandshakeError;
use crate::wire::refusal::Code;
use std::fmt;
use std::io;
use std::net::SocketAddr;

/// Why the right client was not met at an address.
#[derive(Debug)]
pub enum DialFault {
    /// No connection came about.
    Connect(io::Error),
    /// A host accepted the connection, but no handshake came about.
    Handshake(HandshakeError),
}

impl DialFault {
    /// The code with which the listener at the address has refused the connection.
    pub fn code(&self) -> Option<Code> {
        match self {
            DialFault::Handshake(HandshakeError::Refused(code)) => *code,
            _ => None,
        }
    }
}

impl fmt::Display for DialFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let error = match self {
            DialFault::Handshake(HandshakeError::Refused(Some(Code::Busy))) => return f.write_str("is busy"),
            DialFault::Handshake(HandshakeError::Refused(Some(code))) => return write!(f, "refused: {}", code.words()),
            DialFault::Handshake(HandshakeError::NotOurs | HandshakeError::Refused(None)) => {
                return f.write_str("is another program");
            }
            DialFault::Handshake(HandshakeError::Crypto | HandshakeError::Turned(_) | HandshakeError::Probed) => {
                return f.write_str("is another client");
            }
            DialFault::Handshake(HandshakeError::Io(error)) | DialFault::Connect(error) => error,
        };
        match error.kind() {
            io::ErrorKind::ConnectionRefused => f.write_str("refused the connection"),
            io::ErrorKind::TimedOut => f.write_str("does not answer"),
            io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => {
                f.write_str("closed the connection")
            }
            io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable | io::ErrorKind::AddrNotAvailable => {
                f.write_str("is not reachable from here")
            }
            _ => write!(f, "cannot be dialed ({})", crate::sys::reason(error)),
        }
    }
}

/// An address at which the right client was not met. In words: `192.0.2.9:18000 refused the connection`.
#[derive(Debug)]
pub struct AddressFault {
    pub addr: SocketAddr,
    pub fault: DialFault,
}

impl fmt::Display for AddressFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.addr, self.fault)
    }
}
