//! The connections that a download is making. If the download stops meanwhile, it stops these connections.

use crate::client::reach::calls::Attempt;
use crate::sync::Mutex;
use std::net::IpAddr;
use std::sync::Arc;

/// Connections in the making.
#[derive(Debug, Default)]
pub(crate) struct DialList(Mutex<Vec<Arc<Attempt>>>);

/// A connection in the making, which stays on the list until this is dropped.
#[derive(Debug)]
pub struct Dialing<'a> {
    list: &'a DialList,
    attempt: &'a Arc<Attempt>,
}

impl Drop for Dialing<'_> {
    fn drop(&mut self) {
        self.list.0.lock().retain(|other| !Arc::ptr_eq(other, self.attempt));
    }
}

impl DialList {
    /// Notes a connection, unless the download is stopped.
    pub(super) fn add<'a>(&'a self, attempt: &'a Arc<Attempt>, is_stopped: impl Fn() -> bool) -> Option<Dialing<'a>> {
        let mut list = self.0.lock();
        if is_stopped() {
            return None;
        }
        list.push(attempt.clone());
        Some(Dialing { list: self, attempt })
    }

    pub(super) fn stop(&self) {
        self.0.lock().drain(..).for_each(|attempt| attempt.stop());
    }

    /// Restarts the dials from these addresses, which this machine has lost.
    pub(super) fn end_from(&self, gone: &[IpAddr]) {
        self.0.lock().iter().for_each(|attempt| attempt.end_from(gone));
    }
}
