//! Calls: a client that cannot dial another one asks a tracker to pass a call on.

use crate::model::digest::InfoHash;
use crate::model::id::{GroupRef, RelayTicket, ShareRef};
use crate::wire::certificate::Certificate;
use crate::wire::codec::{DecodeError, Decoder, List, Wire, wire_struct};
use crate::wire::contact::ADDRS_MAX;
use std::net::SocketAddr;

/// How two clients meet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum CallWay {
    /// The called client dials.
    Back = 1,
    /// Both dial at the same moment.
    Punch = 2,
    /// Both come to the relay of the caller's tracker.
    Relay = 3,
}

impl Wire for CallWay {
    fn put(&self, out: &mut Vec<u8>) {
        (*self as u8).put(out);
    }
    fn take(from: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        match u8::take(from)? {
            1 => Ok(CallWay::Back),
            2 => Ok(CallWay::Punch),
            3 => Ok(CallWay::Relay),
            _ => Err(DecodeError::Value("a way")),
        }
    }
}

/// The relay at which two clients meet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RelayPlace {
    /// The number of the tracker with the relay.
    pub tracker: u16,
    /// The ticket of the called client.
    pub ticket: RelayTicket,
}
wire_struct!(RelayPlace { tracker, ticket });

/// A call as the called client hears it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PassedCall {
    pub share: ShareRef,
    pub group: GroupRef,
    /// The content of which the caller wants pieces.
    pub info_hash: InfoHash,
    pub way: CallWay,
    /// The calling client.
    pub caller: Certificate,
    /// Where the caller may be, the likeliest address first.
    pub addrs: List<SocketAddr, ADDRS_MAX>,
    /// For `Punch`: how long to wait before both dial.
    pub start_ms: u16,
    /// For `Relay`: the relay at which the clients meet.
    pub relay: Option<RelayPlace>,
}
wire_struct!(PassedCall { share, group, info_hash, way, caller, addrs, start_ms, relay });
