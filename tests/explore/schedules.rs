//! Runs a scenario in many schedules.

/// Runs a scenario on real threads.
#[cfg(not(explore))]
pub(super) fn explore(scenario: fn()) {
    const ROUNDS: usize = 20;
    (0..ROUNDS).for_each(|_| scenario());
}

/// Runs a scenario in `ITERATIONS` schedules. Half of them choose at random at every step. The other half change
/// threads only a few times, at random places. `SEED` sets the random numbers. `SCHEDULE` names a file with one
/// schedule to repeat.
#[cfg(explore)]
pub(super) fn explore(scenario: fn()) {
    use shuttle::scheduler::{PctScheduler, RandomScheduler, ReplayScheduler, Scheduler};
    use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    /// Changes of thread besides the necessary ones. Most faults show with one or two.
    const CHANGES: usize = 3;
    /// The fold of the tracker's state needs a larger stack than the explorer's default.
    const STACK_LEN: usize = 1 << 20;

    let number = |variable: &str, default: u64| {
        let text = std::env::var(variable).ok().filter(|text| !text.is_empty());
        text.map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{variable} is no number: {text}")))
    };
    // The name of the test, with its path.
    let name = std::thread::current().name().unwrap_or_default().to_owned();
    let (schedules, seed) = (number("ITERATIONS", 1000) as usize, number("SEED", 1));
    let run = |how: &str, scheduler: Box<dyn Scheduler + Send>| {
        let begun = Arc::new(AtomicUsize::new(0));
        let mut config = shuttle::Config::new();
        config.stack_size = STACK_LEN;
        config.silence_warnings = true;
        config.failure_persistence = shuttle::FailurePersistence::File(Some(env!("CARGO_TARGET_TMPDIR").into()));
        let count = begun.clone();
        let counted = move || {
            count.fetch_add(1, Ordering::Relaxed);
            scenario();
        };
        let done = catch_unwind(AssertUnwindSafe(|| shuttle::Runner::new(scheduler, config).run(counted)));
        let begun = begun.load(Ordering::Relaxed);
        match done {
            Ok(_) => println!("{name}: {begun} schedules, {how}, seed {seed}"),
            Err(panic) => {
                eprintln!("{name}: schedule {begun}, {how}, seed {seed}; it is played again, from the file above, by");
                eprintln!("    make explore ONLY={name} SCHEDULE=FILE");
                resume_unwind(panic);
            }
        }
    };
    match std::env::var("SCHEDULE").ok().filter(|text| !text.is_empty()) {
        Some(file) => {
            let schedule = ReplayScheduler::new_from_file(&file).unwrap_or_else(|error| panic!("{file}: {error}"));
            run("played again", Box::new(schedule));
        }
        None => {
            run("random", Box::new(RandomScheduler::new_from_seed(seed, schedules.div_ceil(2))));
            run("few changes", Box::new(PctScheduler::new_from_seed(seed, CHANGES, schedules / 2)));
        }
    }
}
