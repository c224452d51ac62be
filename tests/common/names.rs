//! Names as people type them, and unique ids.

use groupshare::model::id::CommandId;
use groupshare::model::name::{FileName, GroupId, UserId};
use groupshare::wire::client_tracker::Password;
use std::sync::atomic::{AtomicU64, Ordering};

/// The password of every user, unless a test sets another one.
pub(crate) const PASSWORD: &str = "correct horse battery staple";

static COMMANDS: AtomicU64 = AtomicU64::new(1);

pub(crate) fn unique(counter: &AtomicU64) -> [u8; 16] {
    u128::from(counter.fetch_add(1, Ordering::Relaxed)).to_be_bytes()
}

/// A command id that is unique in this process.
pub(crate) fn command() -> CommandId {
    CommandId(unique(&COMMANDS))
}

pub(crate) fn user(name: &str) -> UserId {
    UserId::parse(name).expect(name)
}

pub(crate) fn group(name: &str) -> GroupId {
    GroupId::parse(name).expect(name)
}

pub(crate) fn file(name: &str) -> FileName {
    FileName::parse(name).expect(name)
}

pub(crate) fn password(text: &str) -> Password {
    Password::new(text).expect("1 to 1,024 bytes")
}
