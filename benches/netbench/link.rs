//! A link in simulated time: when a packet arrives, and which packets are lost.

use std::time::Duration;

/// One direction of a link.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Way {
    /// Bits per second on the wire, with the headers of IP and TCP.
    pub rate: u64,
    /// From the moment at which a packet has left until it arrives.
    pub delay: Duration,
    /// Most bytes in the queue. Further packets are lost.
    pub queue: u64,
    /// The share of packets that is lost at random.
    pub loss: f64,
}

/// The link of a machine to the others.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Access {
    /// From the machine to the switch.
    pub up: Way,
    /// From the switch to the machine.
    pub down: Way,
}

/// Megabits per second.
pub(crate) const MBIT: u64 = 1_000_000;

impl Way {
    /// A cable without any effect.
    pub(crate) const FREE: Self = Self { rate: 100_000 * MBIT, delay: Duration::ZERO, queue: u64::MAX, loss: 0.0 };

    /// A direction whose queue drains in this time, and holds at least 30 packets.
    pub(crate) fn new(rate: u64, delay: Duration, queue: Duration) -> Self {
        let queue = (rate as f64 / 8.0 * queue.as_secs_f64()) as u64;
        Self { rate, delay, queue: queue.max(45_000), loss: 0.0 }
    }
}

impl Access {
    /// The same in both directions.
    pub(crate) fn even(way: Way) -> Self {
        Self { up: way, down: way }
    }
}

/// The queue of one direction, kept as the moment at which its last packet has left.
pub(crate) struct Queue {
    pub way: Way,
    /// In nanoseconds on the caller's clock.
    free_at: u64,
    random: u64,
}

impl Queue {
    /// An empty queue. Equal seeds lose the same packets.
    pub(crate) fn new(way: Way, seed: u64) -> Self {
        Self { way, free_at: 0, random: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1 }
    }

    /// When a packet of this length, sent now, is at the other end. `None` if it is lost.
    pub(crate) fn pass(&mut self, now: u64, len: usize) -> Option<u64> {
        let waiting_ns = u128::from(self.free_at.saturating_sub(now));
        let waiting = waiting_ns * u128::from(self.way.rate) / 8_000_000_000;
        if waiting + len as u128 > u128::from(self.way.queue) {
            return None;
        }
        self.free_at = self.free_at.max(now) + len as u64 * 8_000_000_000 / self.way.rate;
        // A lost packet has used its time on the wire.
        (self.chance() >= self.way.loss).then(|| self.free_at + self.way.delay.as_nanos() as u64)
    }

    /// A number from 0 to 1: xorshift64 (Marsaglia 2003).
    fn chance(&mut self) -> f64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        (self.random >> 11) as f64 / (1_u64 << 53) as f64
    }
}
