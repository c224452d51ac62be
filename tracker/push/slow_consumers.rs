//! Clients that read more slowly than the tracker writes. The tracker writes the rest as soon as their sockets have
//! room. It cuts off a client with too much waiting.

use super::push_channel::PushChannel;
use crate::wire::client_tracker::Reply;
use crate::wire::connection::{FrameSender, TooSlow};
use crate::wire::frame::UNASKED;
use parking_lot::Mutex;
use std::sync::Arc;

/// The connections with waiting messages.
#[derive(Debug, Default)]
pub struct SlowConsumers(Mutex<Vec<Arc<dyn PushChannel>>>);

impl SlowConsumers {
    /// Writes the waiting messages of a connection, as far as there is room. [`SlowConsumers::flush`] writes the rest.
    pub fn flush_on(&self, channel: Arc<dyn PushChannel>) {
        if channel.flush() {
            let mut channels = self.0.lock();
            if !channels.iter().any(|other| Arc::ptr_eq(other, &channel)) {
                channels.push(channel);
            }
        }
    }

    /// Writes the waiting messages, as far as there is room now.
    pub fn flush(&self) {
        self.0.lock().retain(|channel| channel.flush());
    }

    pub fn is_empty(&self) -> bool {
        self.0.lock().is_empty()
    }
}

/// Queues a reply or a pushed message. Cuts off a client with too much waiting: it learns what it missed when it
/// returns.
pub(crate) fn queue_or_cut_off(sender: &FrameSender, request: u32, reply: &Reply) {
    if let Err(TooSlow) = sender.queue(request, reply) {
        sender.end();
    }
}

impl PushChannel for FrameSender {
    fn queue(&self, reply: &Reply) {
        queue_or_cut_off(self, UNASKED, reply);
    }

    fn flush(&self) -> bool {
        self.flush_rest()
    }

    fn end(&self) {
        FrameSender::end(self);
    }
}
