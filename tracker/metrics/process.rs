//! What the system knows of this process, under the usual names of monitored programs.

use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;
use rustix::process::{Resource, getrlimit};
use rustix::time::{ClockId, clock_gettime};
use std::fs;
use std::time::{Duration, SystemTime};

/// Adds all of them to a registry, which is encoded once. Leaves out values that the system does not give.
pub(super) fn register(to: &mut Registry, started: SystemTime) {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    if let Some(kib) = field(&status, "VmRSS:") {
        to.register("process_resident_memory_bytes", "Memory in use", ConstGauge::new(kib * 1024));
    }
    if let Some(threads) = field(&status, "Threads:") {
        to.register("process_threads", "Threads", ConstGauge::new(threads));
    }
    if let Some(open) = open_descriptors() {
        to.register("process_open_fds", "Open descriptors", ConstGauge::new(open));
    }
    if let Some(most) = getrlimit(Resource::Nofile).current {
        let most = i64::try_from(most).unwrap_or(i64::MAX);
        to.register("process_max_fds", "The most descriptors that may be open", ConstGauge::new(most));
    }
    let used = Duration::try_from(clock_gettime(ClockId::ProcessCPUTime)).unwrap_or_default();
    to.register(
        "process_cpu_seconds",
        "Time that processors have worked for it",
        ConstCounter::new(used.as_secs_f64()),
    );
    let started = started.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let help = "Time of the start in seconds since 1970";
    to.register("process_start_time_seconds", help, ConstGauge::new(started.as_secs_f64()));
}

/// The number after a name.
fn field(status: &str, name: &str) -> Option<i64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

fn open_descriptors() -> Option<i64> {
    const FOLDER: &str = "/proc/self/fd";
    // Newer systems give the number as the size of the folder.
    let told = fs::metadata(FOLDER).ok()?.len();
    let count = if told > 0 { told } else { fs::read_dir(FOLDER).ok()?.count() as u64 };
    i64::try_from(count).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use prometheus_client::encoding::prometheus_text;

    #[test]
    fn this_process_has_memory_and_descriptors() {
        let mut registry = Registry::default();
        register(&mut registry, SystemTime::now());
        let mut text = String::new();
        prometheus_text::encode(&mut text, &registry).expect("a text");
        let value = |name: &str| -> f64 {
            let line = text.lines().find_map(|line| line.strip_prefix(name)).expect(name);
            line.trim().parse().expect("a number")
        };
        assert!(value("process_resident_memory_bytes ") > 100_000.0, "{text}");
        assert!(value("process_open_fds ") >= 3.0, "{text}");
        assert!(value("process_max_fds ") >= value("process_open_fds "), "{text}");
        assert!(value("process_threads ") >= 1.0, "{text}");
        assert!(value("process_start_time_seconds ") > 1.6e9, "{text}");
        assert!(value("process_cpu_seconds_total ") >= 0.0, "{text}");
    }
}
