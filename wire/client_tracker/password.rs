//! A password as bytes.

use crate::wire::codec::{DecodeError, Decoder, Text, Wire};
use std::fmt;

/// Longest password in bytes.
pub const PASSWORD_LEN_MAX: usize = 1024;

/// A password on its way to the tracker, inside the secure channel. It is never empty, and dropping it clears its
/// memory.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(Text<PASSWORD_LEN_MAX>);

impl Drop for Password {
    fn drop(&mut self) {
        self.0.clear();
    }
}

impl Password {
    /// Takes a password of the right length.
    pub fn new(text: &str) -> Option<Self> {
        Text::new(text).filter(|text| !text.as_str().is_empty()).map(Self)
    }

    pub fn reveal(&self) -> &str {
        self.0.as_str()
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(..)")
    }
}

impl Wire for Password {
    fn put(&self, out: &mut Vec<u8>) {
        self.0.put(out);
    }
    fn take(from: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        let text = Text::take(from)?;
        if text.as_str().is_empty() { Err(DecodeError::Value("a password")) } else { Ok(Self(text)) }
    }
}
