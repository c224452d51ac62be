//! The result of a tracker's attempt to reach a client.

use crate::wire::codec::{DecodeError, Decoder, Wire};

/// The result of a tracker's attempt to reach a client. It tells nothing of what another program answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum ReachClass {
    /// The client has proved its key at that address.
    Reached = 1,
    /// The connection was refused.
    Refused = 2,
    /// No answer came in time.
    NoAnswer = 3,
    /// Another program answered.
    OtherProgram = 4,
    /// The tracker did not try, or does not tell the result.
    NotTried = 5,
}

impl Wire for ReachClass {
    fn put(&self, out: &mut Vec<u8>) {
        (*self as u8).put(out);
    }
    fn take(from: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        match u8::take(from)? {
            1 => Ok(ReachClass::Reached),
            2 => Ok(ReachClass::Refused),
            3 => Ok(ReachClass::NoAnswer),
            4 => Ok(ReachClass::OtherProgram),
            5 => Ok(ReachClass::NotTried),
            _ => Err(DecodeError::Value("what was found")),
        }
    }
}
