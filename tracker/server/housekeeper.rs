//! The housekeeper: a thread that joins the threads of ended connections and looks for what has grown old.

use crate::sys::heap;
use crate::tracker::core::Core;
use crate::tracker::log::Level;
use crate::tracker::manifests::MissingCounts;
use crate::tracker::manifests::sweep::ManifestSweep;
use crate::tracker::net::connections::Connections;
use crate::tracker::net::listener::Listener;
use crate::tracker::state::Fate;
use crate::tracker::warn::Warn;
use crossbeam_channel::{Receiver, select};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How often the housekeeper looks for what has grown old.
const SWEEP_INTERVAL: Duration = Duration::from_secs(1);
/// How often it gives free memory back: folding late ops, and links that come and go, leave much of it.
const TRIM_INTERVAL: Duration = Duration::from_secs(60);
/// The rest after looks at all shares, in times of how long they took.
const LOOK_REST: u32 = 50;

pub(super) struct Housekeeper {
    core: Arc<Core>,
    connections: Arc<Connections>,
    listeners: Vec<Arc<Listener>>,
    warn: Warn,
    /// What the operator was told last.
    trouble: Option<String>,
    /// How many manifests were missing when the operator was told so last.
    missing: MissingCounts,
    /// Which manifests were missing then, as a number.
    missing_revision: u64,
    manifest_sweep: ManifestSweep,
    /// No look at all shares begins before this time.
    looks_from: Instant,
    /// The floor below which presence names no share that is gone.
    floor: u64,
}

impl Housekeeper {
    /// Warns of manifests that are missing already.
    pub(super) fn new(
        core: Arc<Core>,
        connections: Arc<Connections>,
        listeners: Vec<Arc<Listener>>,
        warn: Warn,
    ) -> Self {
        let mut this = Self {
            core,
            connections,
            listeners,
            warn,
            trouble: None,
            missing: MissingCounts::default(),
            missing_revision: 0,
            manifest_sweep: ManifestSweep::new(Instant::now()),
            looks_from: Instant::now(),
            floor: 0,
        };
        this.core.oversight.metrics.note_missing(0);
        this.tell_missing();
        this
    }

    /// Joins the threads whose numbers come on `to_join`, until nothing can come on `stop`.
    pub(super) fn run(mut self, to_join: &Receiver<u64>, stop: &Receiver<()>) {
        let mut sweep_at = Instant::now() + SWEEP_INTERVAL;
        let mut trim_at = Instant::now() + TRIM_INTERVAL;
        loop {
            select! {
                recv(to_join) -> number => {
                    if let Ok(number) = number {
                        self.connections.join(number);
                    }
                }
                recv(stop) -> _ => return,
                default(sweep_at.saturating_duration_since(Instant::now())) => {}
            }
            let now = Instant::now();
            if now >= sweep_at {
                sweep_at = now + SWEEP_INTERVAL;
                self.sweep(now);
            }
            if now >= trim_at {
                trim_at = now + TRIM_INTERVAL;
                heap::give_back_free_memory();
                // What was missing may be shared by nobody any more.
                self.missing_revision = 0;
            }
        }
    }

    fn sweep(&mut self, now: Instant) {
        self.core.presence.sweep(now);
        self.core.tell_put_off(now);
        self.listeners.iter().for_each(|listener| listener.sweep(now));
        self.core.slow_consumers.flush();
        self.core.cluster.sweep(now);
        let trouble = self.core.committer.trouble().map(|trouble| trouble.to_string());
        if trouble != self.trouble {
            let log = &self.core.oversight.log;
            match &trouble {
                Some(trouble) => log.say(Level::Error, trouble),
                None => log.say(Level::Warn, "changes are saved again"),
            }
            self.trouble = trouble;
        }
        // Users choose how often there is something to look for.
        if now >= self.looks_from {
            let begun = Instant::now();
            self.tell_missing();
            self.sweep_manifests(now);
            self.looks_from = begun + LOOK_REST * begun.elapsed();
        }
        self.drop_forgotten_shares();
    }

    /// What the base has forgotten, nobody finds: presence need not know who holds it.
    fn drop_forgotten_shares(&mut self) {
        let state = self.core.state();
        if std::mem::replace(&mut self.floor, state.floor()) != state.floor() {
            self.core.presence.drop_shares(|share| state.fate(share.0) == Fate::Forgotten);
        }
    }

    /// Removes a few files that belong to no share that somebody shares. A share that comes back has its file asked of
    /// the other trackers.
    fn sweep_manifests(&mut self, now: Instant) {
        let manifests = &self.core.manifests;
        let unused = manifests.choose_unused(&mut self.manifest_sweep, now);
        if !unused.is_empty() {
            manifests.remove_unknown(unused, self.core.state().listed_info_hashes());
        }
    }

    fn tell_missing(&mut self) {
        let revision = self.core.manifests.missing_revision();
        if revision == self.missing_revision {
            return;
        }
        self.missing_revision = revision;
        let state = self.core.state();
        let missing = self.core.manifests.missing_counts(|| state.listed_info_hashes());
        if missing.exceeds(self.missing) {
            (self.warn)(&format!("manifests {missing}; the other trackers are asked for them"));
        } else if missing.is_none() && !self.missing.is_none() {
            (self.warn)("no manifest is missing any more");
        }
        self.core.oversight.metrics.note_missing(missing.lost + missing.awaited);
        self.missing = missing;
    }
}
