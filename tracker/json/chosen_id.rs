//! The id that a program gives a request, to be able to repeat the request.

use crate::model::id::CommandId;
use serde::Deserialize;
use serde::de::{Deserializer, Error, Visitor};
use std::fmt;

/// How many hexadecimal digits an id has.
const DIGITS: usize = 32;

/// The id as the program wrote it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ChosenId(pub(super) CommandId);

impl<'de> Deserialize<'de> for ChosenId {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct ChosenIdVisitor;
        impl Visitor<'_> for ChosenIdVisitor {
            type Value = ChosenId;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "an id of {DIGITS} hexadecimal digits")
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<ChosenId, E> {
                let whole = text.len() == DIGITS && text.bytes().all(|byte| byte.is_ascii_hexdigit());
                let id = whole.then(|| u128::from_str_radix(text, 16).ok()).flatten();
                let id = id.ok_or_else(|| E::custom(format_args!("command_id has {DIGITS} hexadecimal digits")))?;
                Ok(ChosenId(CommandId(id.to_be_bytes())))
            }
        }
        from.deserialize_str(ChosenIdVisitor)
    }
}
