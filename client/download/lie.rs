//! Messages that no honest peer sends.

use crate::wire::codec::DecodeError;
use crate::wire::record_layer::RecordError;
use std::fmt;

/// A message that no honest peer sends. This download does not try the peer again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lie {
    /// An answer without a question.
    Unasked,
    /// A piece without a request.
    UnaskedPiece,
    /// A refusal without a request.
    UnaskedRefusal,
    /// A piece that does not match its SHA-1.
    BadPiece,
    /// More or fewer block digests than the pieces have.
    WrongDigests,
    /// A piece number that does not exist.
    NoSuchPiece,
    /// News of no piece, or of pieces that it had announced before.
    NoNews,
    /// A frame with an invalid message.
    Malformed(DecodeError),
    /// A frame that decrypts but violates the framing of the channel.
    Unframed(RecordError),
}

impl fmt::Display for Lie {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Lie::Unasked => f.write_str("it sent an answer to no question"),
            Lie::UnaskedPiece => f.write_str("it sent a piece that was not asked for"),
            Lie::UnaskedRefusal => f.write_str("it sent a refusal of what was not asked for"),
            Lie::BadPiece => f.write_str("it sent a piece that does not match its SHA-1"),
            Lie::WrongDigests => f.write_str("it described other pieces than it was asked for"),
            Lie::NoSuchPiece => f.write_str("it sent a piece that does not exist"),
            Lie::NoNews => f.write_str("it announced no piece, or a piece twice"),
            Lie::Malformed(error) => error.fmt(f),
            Lie::Unframed(error) => error.fmt(f),
        }
    }
}
