//! Who waits for pieces at a giver, as the simulation keeps it.

use super::events::ConnId;
use groupshare::client::upload::scarcity::freshness::Freshness;
use groupshare::client::upload::scarcity::piece_row::{PieceRow, RowId};
use groupshare::client::upload::scarcity::put_offs::PutOffs;
use groupshare::model::name::UserId;
use groupshare::model::piece::{Layout, PieceIndex};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Those who take from one giver.
pub(crate) struct GiverRow {
    pub(crate) row: PieceRow,
    pub(crate) fresh: Freshness,
    conns: BTreeMap<ConnId, Waiting>,
}

/// What is known of a connection.
pub(crate) struct Waiting {
    pub(crate) id: RowId,
    pub(crate) put_offs: PutOffs,
    /// What is asked for and waits, and until when.
    pub(crate) wants: Option<(PieceIndex, Duration)>,
    /// When to look whether that is to be had.
    pub(crate) look_at: Duration,
}

impl GiverRow {
    pub(crate) fn new(layout: Layout) -> Self {
        Self { row: PieceRow::default(), fresh: Freshness::new(layout), conns: BTreeMap::new() }
    }

    /// What is known of a connection of this user, who may have come just now.
    pub(crate) fn of(&mut self, conn: ConnId, user: &UserId) -> &mut Waiting {
        let row = &mut self.row;
        self.conns.entry(conn).or_insert_with(|| Waiting {
            id: row.join(user),
            put_offs: PutOffs::default(),
            wants: None,
            look_at: Duration::ZERO,
        })
    }

    /// One that is known.
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

    /// Those whose turn it is, if there are any that do not know it.
    pub(crate) fn called(&mut self) -> Vec<ConnId> {
        if !self.row.take_calls() {
            return Vec::new();
        }
        self.conns.iter().filter(|(_, waiting)| self.row.is_called(waiting.id)).map(|(conn, _)| *conn).collect()
    }
}
