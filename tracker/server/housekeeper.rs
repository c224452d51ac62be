//! The housekeeper: a thread that joins the threads of ended connections and removes what has grown old.

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
/// How often the housekeeper gives free memory back to the system. Folding late ops frees much of it, and so do links
/// that come and go.
const TRIM_INTERVAL: Duration = Duration::from_secs(60);
/// The rest after a look at all shares, as a multiple of its duration.
const LOOK_REST: u32 = 50;

pub(super) struct Housekeeper {
    core: Arc<Core>,
    connections: Arc<Connections>,
    listeners: Vec<Arc<Listener>>,
    warn: Warn,
    /// What the operator was told last.
    trouble: Option<String>,
    /// The number of missing manifests that the operator was last told.
    missing: MissingCounts,
    /// The revision of the set of missing manifests at that time.
    missing_revision: u64,
    manifest_sweep: ManifestSweep,
    /// No look at all shares begins before this time.
    looks_from: Instant,
    /// The floor up to which presence has dropped forgotten shares.
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

    /// Joins the threads whose numbers come on `to_join`, until `stop` is disconnected.
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
                // Its shares may all have ended.
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
        // Users choose how often this look is due.
        if now >= self.looks_from {
            let begun = Instant::now();
            self.tell_missing();
            self.sweep_manifests(now);
            self.looks_from = begun + LOOK_REST * begun.elapsed();
        }
        self.drop_forgotten_shares();
    }

    /// No client finds a share that the base has forgotten: presence drops its holders.
    fn drop_forgotten_shares(&mut self) {
        let state = self.core.state();
        if std::mem::replace(&mut self.floor, state.floor()) != state.floor() {
            self.core.presence.drop_shares(|share| state.fate(share.0) == Fate::Forgotten);
        }
    }

    /// Removes a few files that belong to no visible share. If a share comes back, this tracker asks the others for
    /// its file.
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
