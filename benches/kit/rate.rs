//! How many requests of clients are answered per second.

use crate::common::client::Client;
use groupshare::wire::client_tracker::{Reply, Request};
use rustix::time::{ClockId, clock_gettime};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// How long the answers are counted.
pub(crate) const RATED: Duration = Duration::from_secs(3);

/// Runs this, and sets its flag when [`RATED`] is over. Returns how long it took.
pub(crate) fn during(work: impl FnOnce(&AtomicBool)) -> Duration {
    let stop = Arc::new(AtomicBool::new(false));
    let start = Instant::now();
    let timer = {
        let stop = stop.clone();
        thread::spawn(move || {
            thread::sleep(RATED);
            stop.store(true, Ordering::Relaxed);
        })
    };
    work(&stop);
    let elapsed = start.elapsed();
    timer.join().expect("slept");
    elapsed
}

/// How many requests were answered per second, and the core time of each, with its client's share.
pub(crate) struct Rate {
    pub per_second: f64,
    pub core: Duration,
}

/// Clients send one request after the other, each over its own connection. `beside` runs meanwhile.
pub(crate) fn answered(
    clients: &mut [Client],
    request: impl Fn(usize) -> Request + Sync,
    beside: impl FnOnce(&AtomicBool),
) -> Rate {
    let (count, core) = (AtomicU64::new(0), core_time(ClockId::ProcessCPUTime));
    let elapsed = during(|stop| {
        thread::scope(|scope| {
            for (number, client) in clients.iter_mut().enumerate() {
                let (count, request) = (&count, &request);
                scope.spawn(move || {
                    while !stop.load(Ordering::Relaxed) {
                        let reply = client.ask(request(number));
                        assert!(!matches!(reply, Reply::Refused { .. }), "{reply:?}");
                        count.fetch_add(1, Ordering::Relaxed);
                    }
                });
            }
            beside(stop);
        });
    });
    let (count, core) = (count.into_inner(), core_time(ClockId::ProcessCPUTime) - core);
    Rate { per_second: count as f64 / elapsed.as_secs_f64(), core: core / count.max(1) as u32 }
}

/// Core time of this thread or process: the time that it would take on a quiet machine.
pub(crate) fn core_time(clock: ClockId) -> Duration {
    let time = clock_gettime(clock);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}
