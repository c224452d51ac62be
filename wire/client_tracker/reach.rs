//! What a tracker has found of how a client can be reached.

use crate::wire::codec::{DecodeError, Decoder, Wire};

/// What came of the tracker's attempt to reach a client. It says nothing of what another program answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum ReachClass {
    /// The client has proved there that it has its key.
    Reached = 1,
    /// The connection was refused.
    Refused = 2,
    /// Nobody answered in time.
    NoAnswer = 3,
    /// Somebody else answered.
    OtherProgram = 4,
    /// The tracker did not try, or does not say what it found.
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
