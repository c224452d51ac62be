//! What a member complains of on one connection, at a bounded pace.

use crate::client::upload::event::SeederEvent;
use crate::client::upload::served::Served;
use crate::model::name::UserId;
use std::time::{Duration, Instant};

/// Least time between two complaints of one connection that are heard. Whoever was given a wrong piece leaves.
const COMPLAINT_PAUSE: Duration = Duration::from_secs(10);

/// When a connection complained last.
#[derive(Debug, Default)]
pub(super) struct ComplaintPace(Option<Instant>);

impl ComplaintPace {
    /// What is told of a complaint about a piece; nothing if there is none, or the connection has complained a moment ago.
    pub(super) fn hear(&mut self, served: &Served, user: &UserId, piece: u32, now: Instant) -> Option<SeederEvent> {
        let recent = self.0.is_some_and(|at| now.duration_since(at) < COMPLAINT_PAUSE);
        let piece = served.layout().index(piece).filter(|_| !recent)?;
        self.0 = Some(now);
        let (group, info_hash) = (served.group(), served.info_hash());
        Some(SeederEvent::Complaint { user: user.clone(), group, info_hash, piece })
    }
}
