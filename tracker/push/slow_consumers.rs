//! Connections whose client did not take at once all that the tracker said. The notifier writes the rest as soon as
//! there is room; `wire/connection/frame_sender` cuts a client off that leaves too much waiting.

use super::push_channel::PushChannel;
use parking_lot::Mutex;
use std::sync::Arc;

/// The connections on which something waits for room.
#[derive(Debug, Default)]
pub struct SlowConsumers(Mutex<Vec<Arc<dyn PushChannel>>>);

impl SlowConsumers {
    /// Writes what waits on a connection, as far as there is room. The rest is written by [`SlowConsumers::flush`].
    pub fn flush_on(&self, channel: Arc<dyn PushChannel>) {
        if channel.flush() {
            let mut channels = self.0.lock();
            if !channels.iter().any(|other| Arc::ptr_eq(other, &channel)) {
                channels.push(channel);
            }
        }
    }

    /// Writes what waits, as far as there is room now.
    pub fn flush(&self) {
        self.0.lock().retain(|channel| channel.flush());
    }

    pub fn is_empty(&self) -> bool {
        self.0.lock().is_empty()
    }
}
