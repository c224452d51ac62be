//! Connections whose far side did not take at once what was said to it without waiting: answers and news. It is written
//! as soon as there is room, not only with the next answer.

use super::push_channel::Voice;
use parking_lot::Mutex;
use std::sync::Arc;

/// The connections on which something waits for room.
#[derive(Debug, Default)]
pub struct Laggards(Mutex<Vec<Arc<dyn Voice>>>);

impl Laggards {
    /// Writes what waits on a connection, as far as there is room; the rest is written later.
    pub fn flush_on(&self, voice: Arc<dyn Voice>) {
        if voice.flush() {
            let mut voices = self.0.lock();
            if !voices.iter().any(|other| Arc::ptr_eq(other, &voice)) {
                voices.push(voice);
            }
        }
    }

    /// Writes what waits, as far as there is room now.
    pub fn flush(&self) {
        self.0.lock().retain(|voice| voice.flush());
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.0.lock().is_empty()
    }
}
