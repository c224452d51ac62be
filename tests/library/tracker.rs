//! A tracker from the outside: real sockets, the real protocol.

mod backup;
mod bytes;
mod calls;
mod commands;
mod floors;
mod forgotten;
mod news;
mod operated;
mod outcomes;
mod reach;
mod relay;
mod restart;
mod search;
mod server;
mod sessions;

use crate::common::client::Client;
use groupshare::wire::client_tracker::Reply;
use groupshare::wire::refusal::Code;

fn refused_code(reply: &Reply) -> Option<Code> {
    match reply {
        Reply::Refused { code, .. } => Code::from_number(*code),
        _ => None,
    }
}

/// The first push that matters. Earlier pushes are skipped.
fn pushed<T>(client: &mut Client, wanted: impl Fn(&Reply) -> Option<T>) -> T {
    loop {
        if let Some(found) = wanted(&client.pushed()) {
            return found;
        }
    }
}
