//! Counters of events. All labels come from fixed sets, and the counting code holds its counter.

use crate::wire::client_tracker::Request;
use crate::wire::refusal::Code;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use std::fmt;
use std::sync::Arc;
use std::time::Instant;

/// The kind for requests that are no command.
pub const NO_COMMAND: u8 = 0;
/// The label of that kind.
const NO_COMMAND_NAME: &str = "Malformed";
/// The upper bounds of the buckets, in seconds.
const SECONDS: [f64; 12] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 2.5, 10.0];

/// Labels whose values are known when the program is built.
type Labels = Vec<(&'static str, &'static str)>;

/// A command that is being carried out.
#[derive(Debug, Clone, Copy)]
pub struct BegunCommand {
    kind: u8,
    at: Instant,
}

impl BegunCommand {
    /// A command of this kind of request, which begins now.
    pub fn of_kind(kind: u8) -> Self {
        Self { kind, at: Instant::now() }
    }
}

/// All counters of a run of the program. They outlive a restart of the tracker within it.
pub struct Metrics {
    pub(super) registry: Registry,
    /// By the kinds of requests, from [`NO_COMMAND`] on.
    commands: Vec<CommandMeter>,
    /// In the order of [`Code::ALL`].
    refusals: Vec<Counter>,
    commits: Arc<CommitMeter>,
    manifests_missing: Gauge,
}

/// The counters of one kind of command.
struct CommandMeter {
    done: Counter,
    refused: Counter,
    seconds: Histogram,
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    pub fn new() -> Self {
        let mut registry = Registry::with_prefix("groupshare");
        let (commands, seconds, refusals) = (Family::default(), seconds(), Family::default());
        let kinds = Request::KINDS.iter().map(|(_, name, _)| *name);
        let commands_of = |name| CommandMeter {
            done: counter(&commands, &[("kind", name), ("result", "ok")]),
            refused: counter(&commands, &[("kind", name), ("result", "refused")]),
            seconds: seconds.get_or_create_owned(&vec![("kind", name)]),
        };
        let by_kind = [NO_COMMAND_NAME].into_iter().chain(kinds).map(commands_of).collect();
        let by_code = Code::ALL.iter().map(|code| counter(&refusals, &[("reason", code.name())])).collect();
        registry.register("commands", "Commands of clients and programs that were answered", commands);
        registry.register("command_seconds", "How long a command took until its answer held", seconds);
        registry.register("refusals", "Commands that were refused", refusals);
        let commits = Arc::new(CommitMeter::new(&mut registry));
        let manifests_missing = Gauge::default();
        let help = "Lists of pieces that should be here and are not";
        registry.register("manifests_missing", help, manifests_missing.clone());
        Self { registry, commands: by_kind, refusals: by_code, commits, manifests_missing }
    }

    /// Counts a command that has its answer.
    pub fn answered(&self, command: BegunCommand, refusal: Option<Code>) {
        let Some(meter) = self.commands.get(usize::from(command.kind)) else { return };
        meter.seconds.observe(command.at.elapsed().as_secs_f64());
        match refusal {
            None => meter.done.inc(),
            Some(code) => {
                if let Some(of_code) = Code::ALL.binary_search(&code).ok().and_then(|at| self.refusals.get(at)) {
                    of_code.inc();
                }
                meter.refused.inc()
            }
        };
    }

    /// Sets the number of missing manifests. Counting them walks through all shares, so the code that does so anyway
    /// reports it.
    pub fn note_missing(&self, count: usize) {
        self.manifests_missing.set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    pub fn commits(&self) -> &Arc<CommitMeter> {
        &self.commits
    }
}

/// Measures what becomes durable.
pub struct CommitMeter {
    commits: Counter,
    failed: Counter,
    ops: Counter,
    seconds: Histogram,
}

impl fmt::Debug for CommitMeter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CommitMeter").finish_non_exhaustive()
    }
}

impl CommitMeter {
    fn new(registry: &mut Registry) -> Self {
        let this = Self {
            commits: Counter::default(),
            failed: Counter::default(),
            ops: Counter::default(),
            seconds: Histogram::new(SECONDS),
        };
        registry.register(
            "commits",
            "Batches of changes that became durable, each with one sync",
            this.commits.clone(),
        );
        registry.register("commits_failed", "Batches of changes that could not be saved", this.failed.clone());
        registry.register("commit_ops", "Changes that became durable, of other trackers too", this.ops.clone());
        registry.register("commit_sync_seconds", "How long writing and syncing a batch took", this.seconds.clone());
        this
    }

    /// Runs `keep`, which makes `ops` ops durable, and measures it.
    pub fn measure<E>(&self, ops: usize, keep: impl FnOnce() -> Result<(), E>) -> Result<(), E> {
        let begun = Instant::now();
        let kept = keep();
        self.seconds.observe(begun.elapsed().as_secs_f64());
        match kept {
            Ok(()) => {
                self.commits.inc();
                self.ops.inc_by(ops as u64);
            }
            Err(_) => {
                self.failed.inc();
            }
        }
        kept
    }
}

fn counter(family: &Family<Labels, Counter>, labels: &[(&'static str, &'static str)]) -> Counter {
    family.get_or_create_owned(&labels.to_vec())
}

fn seconds() -> Family<Labels, Histogram, fn() -> Histogram> {
    Family::new_with_constructor(|| Histogram::new(SECONDS))
}

#[cfg(test)]
mod tests {
    use super::*;
    use prometheus_client::encoding::prometheus_text;

    fn text(metrics: &Metrics) -> String {
        let mut text = String::new();
        prometheus_text::encode(&mut text, &metrics.registry).expect("a text");
        text
    }

    #[test]
    fn every_kind_of_request_has_counters_of_its_own() {
        let metrics = Metrics::new();
        // Kinds are indexes into the list of counters.
        let kinds: Vec<u8> = Request::KINDS.iter().map(|(kind, ..)| *kind).collect();
        assert_eq!(kinds, (1..=kinds.len() as u8).collect::<Vec<_>>());
        metrics.answered(BegunCommand::of_kind(1), None);
        metrics.answered(BegunCommand::of_kind(1), Some(Code::UserExists));
        metrics.answered(BegunCommand::of_kind(NO_COMMAND), Some(Code::Malformed));
        metrics.answered(BegunCommand::of_kind(u8::MAX), None);
        let text = text(&metrics);
        let line = |wanted: &[&str]| text.lines().find(|line| wanted.iter().all(|part| line.contains(part)));
        assert!(line(&["groupshare_commands_total{", "\"CreateUser\"", "\"ok\"", "} 1"]).is_some(), "{text}");
        assert!(line(&["groupshare_commands_total{", "\"CreateUser\"", "\"refused\"", "} 1"]).is_some(), "{text}");
        assert!(line(&["groupshare_commands_total{", "\"Malformed\"", "\"refused\"", "} 1"]).is_some(), "{text}");
        assert!(line(&["groupshare_refusals_total{reason=\"UserExists\"} 1"]).is_some(), "{text}");
        assert!(line(&["groupshare_command_seconds_count{kind=\"CreateUser\"} 2"]).is_some(), "{text}");
    }

    #[test]
    fn commits_that_become_durable_are_counted() {
        let metrics = Metrics::new();
        let commits = metrics.commits();
        assert_eq!(commits.measure(3, || Ok::<(), ()>(())), Ok(()));
        assert_eq!(commits.measure(5, || Err("full")), Err("full"));
        let text = text(&metrics);
        for line in ["groupshare_commits_total 1", "groupshare_commit_ops_total 3", "groupshare_commits_failed_total 1"]
        {
            assert!(text.lines().any(|told| told == line), "{line}: {text}");
        }
        assert!(text.contains("groupshare_commit_sync_seconds_count 2\n"), "{text}");
    }
}
