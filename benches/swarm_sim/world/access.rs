//! Access links, and the least time in which a crowd can have a file.

use std::time::Duration;

/// The line of one member.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Access {
    /// Bytes of TCP per second.
    pub(crate) up: f64,
    pub(crate) down: f64,
    /// Half a round trip to a member without a delay.
    pub(crate) delay: Duration,
}

/// What TCP carries in a second on a line of one Mbit/s: 1,448 bytes in each 1,500.
const MBIT: f64 = 125_000.0 * 1448.0 / 1500.0;

impl Access {
    /// A line of this many Mbit/s.
    pub(crate) fn mbit(up: f64, down: f64, delay_ms: u64) -> Self {
        Self { up: up * MBIT, down: down * MBIT, delay: Duration::from_millis(delay_ms) }
    }
}

/// Lines of a country: percent of the members, Mbit/s up and down, and the delay in ms.
///
/// Ofcom, UK home broadband performance, measurement period March 2023 (14 September 2023): the median is 69.4 Mbit/s
/// down and 18.4 up. 88 % have 30 Mbit/s and more, 3 % less than 10. The classes meet these four figures. The spread of
/// the lines between them is an assumption, and so are the delays.
const CLASSES: [(usize, f64, f64, u64); 6] = [
    (3, 0.8, 8.0, 20),
    (9, 3.0, 20.0, 15),
    (16, 9.5, 38.0, 10),
    (30, 18.4, 69.4, 8),
    (27, 21.0, 145.0, 8),
    (15, 50.0, 500.0, 5),
];

/// The line of member `number`. Any hundred consecutive members have the classes in their proportions.
pub(crate) fn of_country(number: usize) -> Access {
    // 37 has no factor in common with 100, so it spreads the classes.
    let mut percent = number * 37 % 100;
    for (part, up, down, delay) in CLASSES {
        if percent < part {
            return Access::mbit(up, down, delay);
        }
        percent -= part;
    }
    unreachable!("the parts are a hundred percent")
}

/// The least time until all have `size` bytes (Kumar and Ross, Peer-assisted file distribution: the minimum
/// distribution time, 2006).
pub(crate) fn least_time(size: u64, seeder_up: f64, members: &[Access]) -> f64 {
    let size = size as f64;
    let slowest = members.iter().map(|member| member.down).fold(f64::MAX, f64::min);
    let all_up = seeder_up + members.iter().map(|member| member.up).sum::<f64>();
    (size / seeder_up).max(size / slowest).max(members.len() as f64 * size / all_up)
}
