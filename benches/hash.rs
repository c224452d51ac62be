//! How many bytes a core hashes per second: one stream, two at once, and a piece together with the complete file.
//! `cargo bench -- hash`.

use crate::kit::options::Options;
use groupshare::client::hash::sha1_lanes::{Sha1Stream, update_both, update_pair};
use groupshare::model::piece::PIECE_LEN;
use rustix::time::{ClockId, clock_gettime};
use sha1::{Digest, Sha1};
use std::hint::black_box;

const PIECE: usize = PIECE_LEN as usize;
/// How long each measurement runs, in seconds of this thread's CPU time, and how often. The best one counts, since
/// other programs may use the caches.
const RUN_S: f64 = 0.2;
const RUNS: usize = 5;

/// CPU time of this thread in seconds.
fn cpu_s() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

/// Prints how many bytes of input one core takes per second.
fn measure(what: &str, bytes: usize, mut work: impl FnMut()) {
    let mut best = f64::MAX;
    for _ in 0..RUNS {
        let start = cpu_s();
        let mut rounds = 0;
        while cpu_s() - start < RUN_S {
            work();
            rounds += 1;
        }
        best = best.min((cpu_s() - start) / f64::from(rounds));
    }
    println!("{what:<44} {:6.2} GB/s", bytes as f64 / best / 1e9);
}

pub(crate) fn bench(_: &Options) {
    let piece: Vec<u8> = (0..PIECE).map(|at| (at ^ (at >> 8)) as u8).collect();
    let other: Vec<u8> = piece.iter().map(|byte| byte.rotate_left(3)).collect();
    measure("sha1 crate, one stream", PIECE, || {
        black_box(Sha1::digest(&piece));
    });
    measure("one stream", PIECE, || {
        let mut one = Sha1Stream::default();
        one.update(&piece);
        black_box(one.digest());
    });
    measure("two streams of different bytes, both counted", 2 * PIECE, || {
        let (mut one, mut two) = (Sha1Stream::default(), Sha1Stream::default());
        update_pair((&mut one, &piece), (&mut two, &other));
        black_box((one.digest(), two.digest()));
    });
    measure("two streams of the same bytes, counted once", PIECE, || {
        let (mut one, mut two) = (Sha1Stream::default(), Sha1Stream::default());
        update_both(&mut one, &mut two, &piece);
        black_box((one.digest(), two.digest()));
    });
}
