//! Takes values from bytes, and says why bytes are not a value.

use crate::model::name::NameError;
use byteorder::{BigEndian, ByteOrder};
use std::fmt;

/// Why bytes are not a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DecodeError {
    /// The bytes end inside a value.
    Truncated,
    /// This many bytes follow the last value.
    Trailing(usize),
    /// A text or list is longer than its cap.
    OverCap {
        len: usize,
        max: usize,
    },
    Utf8,
    /// A text is not a canonical name.
    Name(NameError),
    /// A value is out of its range. The text names the value.
    Value(&'static str),
    /// No message of this direction has this kind.
    UnknownKind(u8),
    /// A manifest has a form that only older versions of the program make.
    OlderManifest,
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DecodeError::Truncated => write!(f, "a message ends too early"),
            DecodeError::Trailing(len) => write!(f, "{len} bytes too many follow a message"),
            DecodeError::OverCap { len, max } => write!(f, "a length of {len} is over the cap of {max}"),
            DecodeError::Utf8 => write!(f, "a text is not UTF-8"),
            DecodeError::Name(error) => write!(f, "{error}"),
            DecodeError::Value(what) => write!(f, "{what} is out of range"),
            DecodeError::UnknownKind(kind) => write!(f, "message kind {kind} is unknown"),
            DecodeError::OlderManifest => {
                write!(f, "it was made by an older version of groupshare; share the file again")
            }
        }
    }
}

impl std::error::Error for DecodeError {}

/// Reads values from the front of a byte slice.
#[derive(Debug)]
pub struct Decoder<'a> {
    rest: &'a [u8],
    /// How many bytes follow these in another place. Only a `Payload` takes them.
    elsewhere: usize,
}

impl<'a> Decoder<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self::before(bytes, 0)
    }

    /// Takes these bytes. `elsewhere` more bytes follow in another place.
    pub fn before(bytes: &'a [u8], elsewhere: usize) -> Self {
        Self { rest: bytes, elsewhere }
    }

    /// The next `len` bytes.
    pub fn bytes(&mut self, len: usize) -> Result<&'a [u8], DecodeError> {
        let (bytes, rest) = self.rest.split_at_checked(len).ok_or(DecodeError::Truncated)?;
        self.rest = rest;
        Ok(bytes)
    }

    pub fn left(&self) -> usize {
        self.rest.len()
    }

    /// Skips all bytes, here and elsewhere, and returns how many they are.
    pub(super) fn skip_all(&mut self) -> usize {
        std::mem::take(&mut self.rest).len() + std::mem::take(&mut self.elsewhere)
    }

    /// A length of `T` that must not exceed a cap.
    pub(super) fn len(&mut self, len: usize, max: usize) -> Result<usize, DecodeError> {
        if len > max { Err(DecodeError::OverCap { len, max }) } else { Ok(len) }
    }

    /// A text with a length of two bytes.
    pub(super) fn text(&mut self, max: usize) -> Result<&'a str, DecodeError> {
        let len = BigEndian::read_u16(self.bytes(2)?);
        let len = self.len(usize::from(len), max)?;
        std::str::from_utf8(self.bytes(len)?).map_err(|_| DecodeError::Utf8)
    }

    /// Ends the reading: nothing may be left.
    pub fn finish(self) -> Result<(), DecodeError> {
        match self.rest.len() + self.elsewhere {
            0 => Ok(()),
            left => Err(DecodeError::Trailing(left)),
        }
    }
}
