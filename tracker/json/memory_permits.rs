//! Permits for what takes much memory: long lines and long answers, a few at a time over all connections.

use crossbeam_channel::{Receiver, Sender, bounded};
use std::sync::Arc;
use std::time::Instant;

/// How many there are. Each stands for at most 30 MiB: a line, what was read from it, and a list of pieces.
const PERMITS: usize = 8;

#[derive(Debug)]
pub struct MemoryPermits {
    /// Holds a token for each that is free.
    tokens: (Sender<()>, Receiver<()>),
}

/// A permit; given back when dropped.
#[derive(Debug)]
pub struct MemoryPermit(Arc<MemoryPermits>);

impl MemoryPermits {
    pub fn new() -> Arc<Self> {
        let tokens = bounded(PERMITS);
        (0..PERMITS).for_each(|_| tokens.0.send(()).expect("there is room, and the receiver is here"));
        Arc::new(Self { tokens })
    }

    /// Waits for a free one until this time.
    pub fn take(self: &Arc<Self>, until: Instant) -> Option<MemoryPermit> {
        self.tokens.1.recv_deadline(until).ok().map(|()| MemoryPermit(self.clone()))
    }
}

impl Drop for MemoryPermit {
    fn drop(&mut self) {
        // There is room: no more tokens are put back than were taken.
        let _ = self.0.tokens.0.try_send(());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_so_many_and_each_comes_back() {
        let permits = MemoryPermits::new();
        let now = Instant::now();
        let mut taken: Vec<MemoryPermit> = (0..PERMITS).filter_map(|_| permits.take(now)).collect();
        assert_eq!(taken.len(), PERMITS);
        assert!(permits.take(now).is_none());
        taken.pop();
        assert!(permits.take(now).is_some());
    }
}
