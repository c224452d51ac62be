//! The complaints of a member on one connection, at a limited rate.

use crate::client::upload::event::SeederEvent;
use crate::client::upload::served::Served;
use crate::model::name::UserId;
use std::time::{Duration, Instant};

/// The minimum time between two complaints of one connection that count. A member with a wrong piece leaves.
const COMPLAINT_PAUSE: Duration = Duration::from_secs(10);

/// When a connection last complained.
#[derive(Debug, Default)]
pub(super) struct ComplaintPace(Option<Instant>);

impl ComplaintPace {
    /// The event for a complaint about a piece. `None` if there is no such piece, or if the connection complained a
    /// moment ago.
    pub(super) fn hear(&mut self, served: &Served, user: &UserId, piece: u32, now: Instant) -> Option<SeederEvent> {
        let recent = self.0.is_some_and(|at| now.duration_since(at) < COMPLAINT_PAUSE);
        let piece = served.layout().index(piece).filter(|_| !recent)?;
        self.0 = Some(now);
        let (group, info_hash) = (served.group(), served.info_hash());
        Some(SeederEvent::Complaint { user: user.clone(), group, info_hash, piece })
    }
}
