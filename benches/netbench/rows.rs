//! The rows: their machines, their links, and the best possible time.

use super::link::{Access, MBIT, Way};
use std::time::Duration;

/// The share of a full packet of 1,500 bytes that TCP carries: all except the IP header and the TCP header with
/// timestamps.
const CARRIED: f64 = 1448.0 / 1500.0;
const MIB: u64 = 1 << 20;

/// Givers that have a file, and takers that all fetch it at once.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Row {
    pub name: &'static str,
    pub what: &'static str,
    /// The goal of the row.
    pub bar: &'static str,
    pub size: u64,
    pub givers: usize,
    pub takers: usize,
    pub giver: Access,
    pub taker: Access,
    /// The link of the last taker, if it is a different one.
    pub odd: Option<Access>,
    /// The upload limit of each giver, in bytes per second.
    pub cap: Option<u64>,
    /// Whether the machines send in bursts.
    pub bursts: bool,
}

impl Row {
    /// Bytes per second that TCP can carry in this direction.
    fn goodput(way: Way) -> f64 {
        way.rate as f64 / 8.0 * CARRIED
    }

    /// The least possible seconds until all takers except an odd one have everything. A giver, a taker, and all takers
    /// together each set a limit (Kumar and Ross 2006). The delay of a packet does not count.
    pub(crate) fn ideal_s(&self) -> f64 {
        let giver = Self::goodput(self.giver.up).min(self.cap.map_or(f64::MAX, |cap| cap as f64));
        let (size, givers, takers) = (self.size as f64, self.givers as f64, self.takers as f64);
        let one = size / (giver * givers).min(Self::goodput(self.taker.down));
        let all = takers * size / (giver * givers + takers * Self::goodput(self.taker.up));
        one.max(all)
    }

    /// The least possible seconds for the odd taker.
    pub(crate) fn odd_ideal_s(&self) -> Option<f64> {
        self.odd.map(|odd| self.size as f64 / Self::goodput(odd.down))
    }

    /// Bytes per second that plain TCP should reach from a giver to the first taker without random loss.
    pub(crate) fn plain_goodput(&self) -> f64 {
        Self::goodput(self.giver.up).min(Self::goodput(self.taker.down))
    }

    /// Whether one taker takes from one giver. Then plain TCP can do the same.
    pub(crate) fn is_pair(&self) -> bool {
        self.givers == 1 && self.takers == 1
    }
}

/// A link to the switch. Two of them make this round trip. Its queue drains in 50 ms, or in one round trip if that is
/// longer.
fn way(rate: u64, rtt_ms: u64) -> Way {
    Way::new(rate, Duration::from_millis(rtt_ms) / 4, Duration::from_millis(rtt_ms.max(50)))
}

/// A line at home, 20 ms from others. Outgoing packets wait up to 100 ms.
fn line(up: u64, down: u64) -> Access {
    let delay = Duration::from_millis(5);
    Access {
        up: Way::new(up, delay, Duration::from_millis(100)),
        down: Way::new(down, delay, Duration::from_millis(100)),
    }
}

fn pair(name: &'static str, bar: &'static str, what: &'static str, (size, way): (u64, Way)) -> Row {
    let access = Access::even(way);
    let (giver, taker, bursts) = (access, access, way.rate >= 1000 * MBIT);
    Row { name, what, bar, size, givers: 1, takers: 1, giver, taker, odd: None, cap: None, bursts }
}

/// Members on lines at home.
fn crowd(name: &'static str, bar: &'static str, what: &'static str, (size, takers): (u64, usize)) -> Row {
    let (giver, taker) = (line(20 * MBIT, 100 * MBIT), line(20 * MBIT, 100 * MBIT));
    Row { name, what, bar, size, givers: 1, takers, giver, taker, odd: None, cap: None, bursts: false }
}

/// Members whose lines do not limit them, and a seeder with a limit.
fn capped(name: &'static str, bar: &'static str, what: &'static str, (size, takers): (u64, usize), cap: u64) -> Row {
    let access = line(100 * MBIT, 100 * MBIT);
    Row { cap: Some(cap), giver: access, taker: access, bursts: true, ..crowd(name, bar, what, (size, takers)) }
}

/// One giver and one taker on lines of this rate.
pub(crate) fn line_row(rate: u64) -> Row {
    pair("", "", "", (MIB, way(rate, 20)))
}

pub(crate) fn all() -> Vec<Row> {
    let lossy = {
        let row = pair("lossy", "40 %", "100 Mbit/s, RTT 20 ms, loss 1 %", (32 * MIB, way(100 * MBIT, 20)));
        Row { giver: Access { up: Way { loss: 0.01, ..row.giver.up }, ..row.giver }, ..row }
    };
    vec![
        pair("fat20", "90 %", "1 Gbit/s, RTT 20 ms", (1024 * MIB, way(1000 * MBIT, 20))),
        pair("fat100", "55 %, and as plain", "1 Gbit/s, RTT 100 ms", (1024 * MIB, way(1000 * MBIT, 100))),
        pair("line20", "92 %", "100 Mbit/s, RTT 20 ms", (128 * MIB, way(100 * MBIT, 20))),
        pair("line100", "85 %", "100 Mbit/s, RTT 100 ms", (256 * MIB, way(100 * MBIT, 100))),
        lossy,
        pair("small", "2.2 s", "1 MiB, 100 Mbit/s, RTT 200 ms", (MIB, way(100 * MBIT, 200))),
        crowd("even8", "1.10 x", "8 members 20 up / 100 down, no limit set", (32 * MIB, 8)),
        Row {
            giver: line(2 * MBIT, 20 * MBIT),
            ..crowd("thin30", "1.15 x", "30 members at an uplink of 2 Mbit/s, no limit set", (8 * MIB, 30))
        },
        capped("cap30", "1.05 x, sent 1.05", "30 at once at a seeder limited to 0.5 MB/s", (16 * MIB, 30), 500_000),
        capped("cap60", "1.05 x, sent 1.05, 32 MB, 40 threads", "60 at once, as before", (16 * MIB, 60), 500_000),
        capped("cap150", "1.10 x, sent 1.1, none fails", "150 at once, 0.2 MB/s", (16 * MIB, 150), 200_000),
        Row {
            givers: 8,
            taker: line(MBIT, MBIT),
            ..crowd("down1", "got 1.03", "a downlink of 1 Mbit/s, 8 seeders", (4 * MIB, 1))
        },
        Row {
            odd: Some(line(MBIT, MBIT)),
            ..crowd("odd8", "1.10 x, the odd one 1.05", "8 members, one with 1 Mbit/s both ways", (8 * MIB, 8))
        },
        capped("slow30", "sent 1.1", "30 members at --upload-limit 100K", (4 * MIB, 30), 100_000),
        capped("slow150", "sent 1.1", "150 members at --upload-limit 100K", (4 * MIB, 150), 100_000),
    ]
}
