//! How two clients meet at the relay of a tracker. Each sends the preface and a ticket. The tracker answers with one
//! byte once both are there. Everything behind that byte comes from the other client.

use super::codec::Wire;
use super::handshake::{Dialect, HandshakeError, preface};
use super::refusal::Code;
use crate::model::id::RelayTicket;
use std::io::{self, Read};

/// What the tracker sends when both sides are there. A refusal in the clear begins with 0.
pub const BOTH_ARE_THERE: u8 = 1;

/// What a client sends to a relay before it reads anything.
pub fn relay_greeting(ticket: RelayTicket) -> Vec<u8> {
    let mut out = preface(Dialect::Relay, None);
    ticket.put(&mut out);
    out
}

/// Takes the next bytes of the relay's answer and no byte behind it. `heard` has the earlier ones. Returns whether both
/// sides are there.
pub fn take_relay_answer(stream: &mut impl Read, heard: &mut Vec<u8>) -> Result<bool, HandshakeError> {
    let mut byte = [0];
    match stream.read(&mut byte) {
        Ok(0) => return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
        Ok(_) => heard.extend(byte),
        // A stream that waits has a deadline, and reports another error when that passes.
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
    use std::io::Cursor;

    /// The client's result if the tracker says this, and how many of these bytes are left for the members.
    fn met(says: &[u8]) -> (Result<(), HandshakeError>, usize) {
        let (mut told, mut heard) = (Cursor::new(says), Vec::new());
        let met = loop {
            match take_relay_answer(&mut told, &mut heard) {
                Ok(false) => {}
                Ok(true) => break Ok(()),
                Err(error) => break Err(error),
            }
        };
        (met, says.len() - told.position() as usize)
    }

    #[test]
    fn a_relay_is_told_the_ticket_behind_the_preface() {
        assert_eq!(relay_greeting(RelayTicket([7; 16])), [&b"GRPSHARE\x00\x04\x06"[..], &[7; 16]].concat());
    }

    #[test]
    fn bytes_after_the_byte_of_the_tracker_are_left_to_the_members() {
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
