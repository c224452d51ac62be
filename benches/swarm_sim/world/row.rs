//! The connections that wait for pieces at a giver.

use super::events::ConnId;
use groupshare::client::upload::scarcity::freshness::Freshness;
use groupshare::client::upload::scarcity::piece_row::{PieceRow, RowId};
use groupshare::client::upload::scarcity::put_offs::PutOffs;
use groupshare::model::name::UserId;
use groupshare::model::piece::{Layout, PieceIndex};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// The takers of one giver.
pub(crate) struct GiverRow {
    pub(crate) row: PieceRow,
    pub(crate) fresh: Freshness,
    conns: BTreeMap<ConnId, Waiting>,
}

/// The state of one connection.
pub(crate) struct Waiting {
    pub(crate) id: RowId,
    pub(crate) put_offs: PutOffs,
    /// The piece that it waits for, and until when.
    pub(crate) wants: Option<(PieceIndex, Duration)>,
    /// When to check whether that piece is available.
    pub(crate) look_at: Duration,
}

impl GiverRow {
    pub(crate) fn new(layout: Layout) -> Self {
        Self { row: PieceRow::default(), fresh: Freshness::new(layout), conns: BTreeMap::new() }
    }

    /// The state of a connection of this user. A new connection is added.
    pub(crate) fn of(&mut self, conn: ConnId, user: &UserId) -> &mut Waiting {
        let row = &mut self.row;
        self.conns.entry(conn).or_insert_with(|| Waiting {
            id: row.join(user),
            put_offs: PutOffs::default(),
            wants: None,
            look_at: Duration::ZERO,
        })
    }

    /// The state of a known connection.
    pub(crate) fn known(&mut self, conn: ConnId) -> Option<&mut Waiting> {
        self.conns.get_mut(&conn)
    }

    pub(crate) fn id(&self, conn: ConnId) -> Option<RowId> {
        self.conns.get(&conn).map(|waiting| waiting.id)
    }

    pub(crate) fn leave(&mut self, conn: ConnId, now: Instant) {
        if let Some(gone) = self.conns.remove(&conn) {
            self.row.leave(gone.id, now);
        }
    }

    /// The connections whose turn it is, and that were not told so.
    pub(crate) fn called(&mut self) -> Vec<ConnId> {
        if !self.row.take_calls() {
            return Vec::new();
        }
        self.conns.iter().filter(|(_, waiting)| self.row.is_called(waiting.id)).map(|(conn, _)| *conn).collect()
    }
}
