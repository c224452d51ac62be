//! A connection's place in the row for pieces, which all connections of a seeder share.

use super::piece_row::{PieceRow, RowId};
use crate::model::name::UserId;
use crate::sys::waker::Waker;
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The row, and the waker for connections that get their turn.
pub(in crate::client::upload) struct UploadRow {
    // Locked, but never while receiving or sending.
    row: Mutex<PieceRow>,
    waker: Arc<Waker>,
}

impl UploadRow {
    pub(in crate::client::upload) fn new(waker: Arc<Waker>) -> Arc<Self> {
        Arc::new(Self { row: Mutex::default(), waker })
    }

    pub(in crate::client::upload) fn join(self: &Arc<Self>, user: &UserId) -> RowPlace {
        RowPlace { id: self.row.lock().join(user), row: self.clone() }
    }
}

/// A connection's place in the row, until this is dropped.
pub(in crate::client::upload) struct RowPlace {
    row: Arc<UploadRow>,
    id: RowId,
}

impl RowPlace {
    /// Changes the row, and wakes the connections that get their turn by that.
    pub(in crate::client::upload) fn change<R>(&self, change: impl FnOnce(&mut PieceRow, RowId, Instant) -> R) -> R {
        let mut row = self.row.row.lock();
        let changed = change(&mut row, self.id, Instant::now());
        if row.take_calls() {
            self.row.waker.wake();
        }
        changed
    }

    /// Whether the connection has its turn.
    pub(in crate::client::upload) fn is_called(&self) -> bool {
        self.row.row.lock().is_called(self.id)
    }

    /// Whether other members want pieces, and the time in which nothing has left. `None` if the uplink is not scarce.
    pub(in crate::client::upload) fn scarcity(&self) -> Option<(bool, Duration)> {
        let (row, now) = (self.row.row.lock(), Instant::now());
        (!row.is_plenty(now)).then(|| (row.others_want(self.id), row.idle(now)))
    }

    /// The recent time for a piece.
    pub(in crate::client::upload) fn usual(&self) -> Duration {
        self.row.row.lock().usual()
    }
}

impl Drop for RowPlace {
    fn drop(&mut self) {
        self.change(PieceRow::leave);
    }
}
