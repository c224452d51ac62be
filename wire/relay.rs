//! How a client meets another one at the relay of a tracker: the preface, a ticket, and one byte from the tracker once
//! both are there. Everything behind that byte is said by the other client.

use super::codec::Wire;
use super::handshake::{Dialect, HandshakeError, preface, read_u16};
use super::refusal::Code;
use crate::model::id::RelayTicket;
use std::io::{Read, Write};

/// What the tracker says when both sides are there. A refusal in the clear begins with 0.
pub const BOTH_ARE_THERE: u8 = 1;

/// Waits at a tracker's relay for the other side that has this ticket. The stream belongs to the two from then on.
pub fn meet_at_relay(stream: &mut (impl Read + Write), ticket: RelayTicket) -> Result<(), HandshakeError> {
    let mut out = preface(Dialect::Relay, None);
    ticket.put(&mut out);
    stream.write_all(&out)?;
    let mut told = [0];
    stream.read_exact(&mut told)?;
    if told[0] == BOTH_ARE_THERE {
        return Ok(());
    }
    let mut rest = [0];
    stream.read_exact(&mut rest)?;
    match [told[0], rest[0]] {
        [0, 0] => Err(HandshakeError::Refused(Code::from_number(read_u16(stream)?))),
        _ => Err(HandshakeError::NotOurs),
    }
}
