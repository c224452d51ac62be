//! How a client meets another one at the relay of a tracker: the preface, a ticket, and one byte from the tracker once
//! both are there. Everything behind that byte is said by the other client.

use super::codec::Wire;
use super::handshake::{Dialect, HandshakeError, preface};
use super::refusal::Code;
use crate::model::id::RelayTicket;
use std::io::{self, Read, Write};

/// What the tracker says when both sides are there. A refusal in the clear begins with 0.
pub const BOTH_ARE_THERE: u8 = 1;

/// Waits at a tracker's relay, with this ticket, for the other side. The stream belongs to the two from then on.
pub fn meet_at_relay(stream: &mut (impl Read + Write), ticket: RelayTicket) -> Result<(), HandshakeError> {
    stream.write_all(&relay_greeting(ticket))?;
    let mut heard = Vec::new();
    while !take_relay_answer(stream, &mut heard)? {}
    Ok(())
}

/// What is said to a relay, for a caller that waits on several sockets.
pub fn relay_greeting(ticket: RelayTicket) -> Vec<u8> {
    let mut out = preface(Dialect::Relay, None);
    ticket.put(&mut out);
    out
}

/// Takes what is there of the relay's answer and nothing behind it, after what was `heard` before. Says whether both
/// sides are there.
pub fn take_relay_answer(stream: &mut impl Read, heard: &mut Vec<u8>) -> Result<bool, HandshakeError> {
    let mut byte = [0];
    match stream.read(&mut byte) {
        Ok(0) => return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
        Ok(_) => heard.extend(byte),
        // A stream that waits has a deadline, whose error is another one where it passes.
        Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
        Err(error) => return Err(error.into()),
    }
    match heard[..] {
        [BOTH_ARE_THERE] => Ok(true),
        [0, 0, high, low] => Err(HandshakeError::Refused(Code::from_number(u16::from_be_bytes([high, low])))),
        [] | [0] | [0, 0] | [0, 0, _] => Ok(false),
        _ => Err(HandshakeError::NotOurs),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::handshake::refusal_in_clear;
    use std::io::{self, Cursor};

    /// A tracker that has said this in advance.
    struct Told(Cursor<Vec<u8>>, Vec<u8>);

    impl Read for Told {
        fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
            self.0.read(buf)
        }
    }

    impl Write for Told {
        fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
            self.1.write(buf)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// What comes of it when the tracker says this, and how many of these bytes are left to the members.
    fn met(says: &[u8]) -> (Result<(), HandshakeError>, usize) {
        let mut told = Told(Cursor::new(says.to_vec()), Vec::new());
        let met = meet_at_relay(&mut told, RelayTicket([7; 16]));
        assert_eq!(told.1, [&b"GRPSHARE\x00\x01\x06"[..], &[7; 16]].concat());
        (met, says.len() - told.0.position() as usize)
    }

    #[test]
    fn what_follows_the_byte_of_the_tracker_is_left_to_the_members() {
        assert!(matches!(met(&[1, 0, 0, 7]), (Ok(()), 3)));
    }

    #[test]
    fn a_refusal_and_what_is_none_are_told_apart() {
        let refused = met(&refusal_in_clear(Code::RelayFull)).0;
        assert!(matches!(refused, Err(HandshakeError::Refused(Some(Code::RelayFull)))), "{refused:?}");
        for says in [&[2][..], &[0, 1, 0, 87], &[200, 1]] {
            let error = met(says).0;
            assert!(matches!(error, Err(HandshakeError::NotOurs | HandshakeError::Io(_))), "{error:?}");
        }
        assert!(matches!(met(&[]).0, Err(HandshakeError::Io(_))));
    }
}
