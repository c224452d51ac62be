//! A random walk over what people do to their files and to their clients. Alice has two machines, and bob has one. An
//! oracle knows what must always hold.
//!
//! `make walk TIME=3600` walks for an hour. A failing seed is printed with its actions.
//! `SEED=7 cargo test --test programs walk -- --nocapture` repeats them.

mod content;
mod doings;
mod machine;
mod oracle;

use doings::Walk;
use std::time::{Duration, Instant};

/// Actions in one walk.
const STEPS: usize = 12;
/// Walks without `TIME`.
const WALKS: u64 = 3;

fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok().filter(|text| !text.is_empty())?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} has to be a number, not '{text}'")))
}

#[test]
fn a_users_files_stay_and_completed_downloads_are_complete_whatever_people_do() {
    let end = number("TIME").map(|seconds| Instant::now() + Duration::from_secs(seconds));
    let first = number("SEED");
    for seed in first.unwrap_or(1).. {
        let over = match end {
            Some(end) => Instant::now() >= end,
            None => seed > first.unwrap_or(WALKS),
        };
        if over {
            return;
        }
        println!("seed {seed}: SEED={seed} cargo test --test programs walk -- --nocapture");
        let mut walk = Walk::begin(seed);
        (0..STEPS).for_each(|_| walk.step());
        walk.check();
    }
}
