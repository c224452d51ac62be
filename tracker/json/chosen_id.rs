//! The id that a program gives a request, so that it can make the request again.

use crate::model::id::{CommandId, UserRef};
use crate::wire::codec::Wire;
use ring::digest::{Context, SHA256};
use serde::Deserialize;
use serde::de::{Deserializer, Error, Visitor};
use std::fmt;

/// Keeps these ids apart from those that clients make at random.
const CONTEXT: &[u8] = b"groupshare: command of a program";
/// How many hexadecimal digits an id has.
const DIGITS: usize = 32;

/// The id as the program wrote it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ChosenId(u128);

/// Who makes a request.
#[derive(Debug, Clone, Copy)]
pub(super) enum Author<'a> {
    User(UserRef),
    /// Nobody is logged in. Somebody may be about to make an account of this name.
    Nobody(&'a str),
}

impl ChosenId {
    /// The command of this author. Another author who chose the same id has another command.
    pub(super) fn command_of(self, author: Author<'_>) -> CommandId {
        let mut bytes = CONTEXT.to_vec();
        match author {
            Author::User(user) => {
                bytes.push(1);
                user.put(&mut bytes);
            }
            Author::Nobody(name) => {
                bytes.push(0);
                bytes.extend_from_slice(name.as_bytes());
            }
        }
        let mut context = Context::new(&SHA256);
        context.update(&bytes);
        context.update(&self.0.to_be_bytes());
        let mut command = [0; 16];
        command.copy_from_slice(&context.finish().as_ref()[..16]);
        CommandId(command)
    }
}

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
                id.map(ChosenId).ok_or_else(|| E::custom(format_args!("command_id has {DIGITS} hexadecimal digits")))
            }
        }
        from.deserialize_str(ChosenIdVisitor)
    }
}
