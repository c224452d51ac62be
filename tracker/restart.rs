//! How a part of a running tracker has its program start it anew, in the same process.

use crossbeam_channel::{Receiver, Sender, bounded};

/// The wish to be started anew. The first one counts.
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
    /// Asks for it. `why` is one line for the operator. Returns at once: the tracker goes on until its program stops it.
    pub fn ask(&self, why: &str) {
        // Full if another part was faster.
        let _ = self.tell.try_send(why.to_owned());
    }

    /// Receives the reason once a part has asked.
    pub fn wanted(&self) -> Receiver<String> {
        self.told.clone()
    }
}
