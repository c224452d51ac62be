//! Connections whose far side did not take at once what was said to it without waiting: answers and news. It is written
//! as soon as there is room, not only with the next answer.

use crate::wire::conn::Sender;
use parking_lot::Mutex;
use std::sync::Arc;

/// The connections on which something waits for room.
#[derive(Debug, Default)]
pub struct Laggards(Mutex<Vec<Arc<Sender>>>);

impl Laggards {
    /// Writes what waits on a connection, as far as there is room; the rest is written later.
    pub fn flush_on(&self, sender: &Arc<Sender>) {
        if sender.flush_rest() {
            let mut senders = self.0.lock();
            if !senders.iter().any(|other| Arc::ptr_eq(other, sender)) {
                senders.push(Arc::clone(sender));
            }
        }
    }

    /// Writes what waits, as far as there is room now.
    pub fn flush(&self) {
        self.0.lock().retain(|sender| sender.flush_rest());
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.0.lock().is_empty()
    }
}
