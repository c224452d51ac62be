//! Interruptions: a member gets another address; a seeder stands still for a while and comes back.

use super::link::MBIT;
use super::network::{Site, Star};
use super::rows::{self, Row};
use super::tools::{Cast, Group};
use crate::common::wait::wait_until;
use crate::kit::content::folder_in;
use rustix::process::Signal;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

pub(crate) const NAMES: [&str; 3] = ["taker-moves", "giver-moves", "stopped"];
/// How long the seeder stands still.
const STOP: Duration = Duration::from_secs(120);
/// A download has gone on once this many bytes came. Fewer bytes than this may have been on their way at the break.
const GOES_ON: u64 = 512 * 1024;
/// Without this the download of a script fails after a minute without a member that has the file.
const PATIENT: [&str; 2] = ["--patience", "forever"];
/// The seeder's limit, in bytes per second.
const CAP: u64 = 1_000_000;

/// Prints how long it takes until the download goes on, for each wanted row.
pub(crate) fn measure(wanted: &[String], folder: &Path) {
    for name in NAMES.iter().filter(|name| wanted.iter().any(|wanted| wanted == *name)) {
        let row = Row { size: 32 << 20, takers: 1, cap: Some(CAP), ..rows::line_row(20 * MBIT) };
        let mut star = Star::new(3, false);
        let cast = Cast::of(&star, &row);
        let folder = folder_in(folder);
        let mut group = Group::start(&cast, &row, folder.path(), &PATIENT);
        cast.link(&star, &row);
        let (giver, taker) = (&cast.givers[0], &cast.takers[0]);
        group.begin();
        wait_for(&star, taker, 4 * GOES_ON);
        let took = match *name {
            "stopped" => {
                group.givers[0].program.signal(Signal::STOP);
                thread::sleep(STOP);
                group.givers[0].program.signal(Signal::CONT);
                wait_for(&star, taker, GOES_ON)
            }
            moves => {
                star.moves(if moves == "taker-moves" { taker } else { giver });
                wait_for(&star, taker, GOES_ON)
            }
        };
        let ideal = Duration::from_secs_f64(GOES_ON as f64 / CAP as f64);
        println!(
            "\n{name}: {GOES_ON} bytes more after {:.1} s, ideal {:.1} s",
            took.as_secs_f64(),
            ideal.as_secs_f64()
        );
        assert!(group.end()[0].is_some(), "the download has failed");
    }
}

/// Waits until a machine has received this many more bytes. Returns how long that took.
fn wait_for(star: &Star, site: &Site, bytes: u64) -> Duration {
    let (begun, before) = (Instant::now(), star.traffic(site).got);
    wait_until("bytes", || star.traffic(site).got >= before + bytes);
    begun.elapsed()
}
