//! How a part of a running tracker asks its program for a restart within the same process.

use crossbeam_channel::{Receiver, Sender, bounded};

/// A request for a restart. The first one counts.
pub struct RestartWish {
    tell: Sender<String>,
    told: Receiver<String>,
}

impl Default for RestartWish {
    fn default() -> Self {
        let (tell, told) = bounded(1);
        Self { tell, told }
    }
}

impl RestartWish {
    /// Asks for a restart. `why` is one line for the operator. Returns at once: the tracker goes on until its program
    /// stops it.
    pub fn ask(&self, why: &str) {
        // Full if another part was faster.
        let _ = self.tell.try_send(why.to_owned());
    }

    /// Receives the reason once a part has asked.
    pub fn wanted(&self) -> Receiver<String> {
        self.told.clone()
    }
}
