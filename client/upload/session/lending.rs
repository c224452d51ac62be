//! Decides whether a member gets a piece now, and for how long no other gets it.

use crate::client::upload::leases::LeaseGuard;
use crate::client::upload::scarcity::row_place::RowPlace;
use crate::client::upload::served::Served;
use crate::model::name::UserId;
use crate::model::piece::{PIECE_LEN, PieceIndex};
use crate::rate::uplink::PolledFlow;
use std::time::{Duration, Instant};

/// A lease lasts this many times as long as the piece takes while members share the limit. A slow link takes longer.
const LEASE_SLACK: u32 = 4;
/// Every lease may last at least this long.
const LEASE_MIN: Duration = Duration::from_secs(5);
/// Without a limit, the time for a piece counts as this at most.
const USUAL_MAX: Duration = Duration::from_secs(15);

/// Leases the piece, if that is needed. Returns `None` if the uplink is scarce and another piece has to come first, or
/// if this one is on its way to another member.
pub(super) fn lend(
    served: &Served,
    row: &RowPlace,
    (user, flow): (&UserId, &PolledFlow),
    index: PieceIndex,
    now: Instant,
) -> Option<Option<LeaseGuard>> {
    let Some((others_want, idle)) = row.scarcity() else { return Some(None) };
    if others_want && served.is_stale(index, idle, now) {
        return None;
    }
    let time = match flow.is_limited() {
        true => flow.time_of(PIECE_LEN as usize),
        // Without a limit, the client cannot tell what the members pass on.
        false if !served.is_origin() => return Some(None),
        false => row.usual().min(USUAL_MAX),
    };
    let lease = served.leases().begin(index.get(), user, (LEASE_SLACK * time).max(LEASE_MIN), now);
    if lease.is_none() && others_want { None } else { Some(lease) }
}
