//! The handshake of a connection that another member made. No thread waits for it: its opening comes in bit by bit, and
//! is answered once it is complete.

use crate::model::digest::KeyId;
use crate::wire::certificate::Certificate;
use crate::wire::handshake::peer::{PeerCaller, opening_len, peer_accepts};
use crate::wire::handshake::{HandshakeError, Secret};
use crate::wire::refusal::Code;
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags};
use std::io::{self, Read, Write};
use std::net::TcpStream;

/// The received bytes of an opening.
#[derive(Debug, Default)]
pub(super) struct Greeting(Vec<u8>);

impl Greeting {
    /// Takes the available bytes, and none behind the opening. Returns true once the opening is complete.
    ///
    /// # Errors
    /// The socket's; `UnexpectedEof` at its end.
    pub(super) fn poll(&mut self, stream: &TcpStream) -> io::Result<bool> {
        loop {
            let (had, whole) = (self.0.len(), opening_len(&self.0));
            if had >= whole {
                return Ok(true);
            }
            self.0.resize(whole, 0);
            let read = rustix::net::recv(stream, &mut self.0[had..], RecvFlags::DONTWAIT);
            self.0.truncate(had + read.map_or(0, |(len, _)| len));
            match read {
                Ok((0, _)) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(_) | Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return Ok(false),
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Answers the complete opening.
    pub(super) fn accept(
        &self,
        stream: &TcpStream,
        secret: &Secret,
        admit: impl FnOnce(KeyId, &Certificate) -> Result<Secret, Code>,
    ) -> Result<PeerCaller, HandshakeError> {
        peer_accepts(&mut Opening { left: &self.0, stream }, secret, admit)
    }
}

/// An opening that was read, and the socket for the answer.
struct Opening<'a> {
    left: &'a [u8],
    stream: &'a TcpStream,
}

impl Read for Opening<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.left.read(buf)
    }
}

impl Write for Opening<'_> {
    /// The answer is the first data on the socket, so there is room for it.
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        Ok(rustix::net::send(self.stream, buf, SendFlags::DONTWAIT | SendFlags::NOSIGNAL)?)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
