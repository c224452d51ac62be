//! The programs over links of a wide area, in network namespaces: beside plain TCP, which says what each link carries, and
//! libtorrent. `cargo bench -- netbench only=fat20,fat100 rounds=3`; `only=` with a wrong name tells which there are.

mod link;
mod network;
pub(crate) mod plain;
mod switch;

use crate::common::namespaces::{again, is_inside, unshare};
use crate::kit::options::Options;
use link::{Access, MBIT, Way};
use network::Star;
use plain::Plain;
use std::time::Duration;

/// What the rows need of the system, tried once.
const TRIAL: &str = "
try 'make a TUN device' ip tuntap add mode tun name trial
";

pub(crate) fn bench(_options: &Options) {
    if is_inside() {
        Star::begin();
        return rows();
    }
    match unshare(TRIAL, &[]) {
        Err(missing) => println!("Not measured over networks: {missing}"),
        Ok(unshare) => {
            let mut child = again(unshare).args(std::env::args_os().skip(1)).spawn().expect("it has started before");
            // It runs as long as nobody closes its input.
            let input = child.stdin.take();
            let status = child.wait().expect("started");
            drop(input);
            assert!(status.success(), "it has failed in its namespaces, as told above");
        }
    }
}

fn rows() {
    for (rate, rtt, size) in [(1000, 20, 1024_u64), (1000, 100, 2048), (100, 20, 128), (100, 100, 128)] {
        let star = Star::new(2, rate == 1000);
        let quarter = Duration::from_millis(rtt) / 4;
        let way = Way::new(rate * MBIT, quarter, Duration::from_millis(rtt.max(50)));
        let [giver, taker] = [0, 1].map(|number| star.site(number));
        for site in [&giver, &taker] {
            star.link(site, Access::even(way));
        }
        let plain = Plain::start(std::slice::from_ref(&giver));
        for connections in [1, 4] {
            let took = plain.take(&taker, size << 20, connections);
            let mbit = |bytes: u64, time: Duration| bytes as f64 * 8e-6 / time.as_secs_f64();
            println!(
                "{rate} Mbit/s {rtt} ms, {connections}: all {:.0} Mbit/s, second half {:.0}, {:?}",
                mbit(size << 20, took.all),
                mbit(size << 19, took.second_half),
                star.traffic(&giver)
            );
        }
    }
}
