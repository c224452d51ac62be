//! Gauges: values at the moment of a scrape.

use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::registry::Registry;
use std::time::Duration;

/// The condition of a running tracker, in numbers.
#[derive(Debug, Clone, Default)]
pub struct Gauges {
    pub clients_here: u64,
    pub clients_elsewhere: u64,
    /// Clients that are logged in at this tracker.
    pub sessions: u64,
    /// Connections without a login.
    pub early: u64,
    pub connections: u64,
    pub connections_refused: u64,
    pub users: u64,
    pub groups: u64,
    pub shares: u64,
    pub ops_above_floor: u64,
    pub ops_below_floor: u64,
    pub floor_lamport: u64,
    /// `None` if no floor came since the start.
    pub floor_age: Option<Duration>,
    /// How long other trackers have been holding the next floor back, if they are.
    pub floor_held_back: Option<Duration>,
    pub links: Vec<LinkGauge>,
    pub password_queue: u64,
    /// Pairs, and bytes since the start, if this tracker has a relay.
    pub relay: Option<(u64, u64)>,
    /// The disk space of all manifests, in bytes.
    pub manifests_bytes: u64,
    /// Lines of the audit that were lost since the start.
    pub audit_lost_lines: u64,
    pub trouble: bool,
    /// How long the writer has been at one stage of a batch of changes.
    pub commit_underway: Duration,
    pub read_only: bool,
    pub limits: Vec<LimitGauge>,
}

/// A link to another tracker of the list.
#[derive(Debug, Clone, Copy)]
pub struct LinkGauge {
    pub tracker: u16,
    pub up: bool,
    /// Changes that the other tracker lacks, if that is known.
    pub lag: Option<u64>,
    /// Changes of the other tracker that are not here yet.
    pub behind: Option<u64>,
}

/// The use of a limit of the whole installation.
#[derive(Debug, Clone, Copy)]
pub struct LimitGauge {
    pub name: &'static str,
    pub used: u64,
    /// `None` if there is no limit.
    pub max: Option<u64>,
}

/// A label with its value.
type Label = [(&'static str, String); 1];

impl Gauges {
    /// Adds all of them to a registry, which is encoded once.
    pub(super) fn register(&self, to: &mut Registry) {
        let mut one = |name: &str, help: &str, value: u64| to.register(name, help, ConstGauge::new(whole(value)));
        one("clients", "Clients that are online at this tracker", self.clients_here);
        one("sessions", "Connections that are logged in at this tracker", self.sessions);
        one("users", "Accounts", self.users);
        one("groups", "Groups with members", self.groups);
        one("shares", "Files and folders shared by somebody", self.shares);
        one("ops_above_floor", "Changes above the floor", self.ops_above_floor);
        one("ops_below_floor", "Changes below the floor", self.ops_below_floor);
        one("floor_lamport", "Place of the floor in the order of changes", self.floor_lamport);
        one("password_queue", "Passwords that wait to be hashed or checked", self.password_queue);
        one("manifests_bytes", "Bytes that lists of pieces take", self.manifests_bytes);
        one("disk_trouble", "Whether the last batch of changes could not be saved", u64::from(self.trouble));
        one("read_only", "Whether changes of clients are refused here", u64::from(self.read_only));
        if let Some(age) = self.floor_age {
            to.register("floor_age_seconds", "Time since the floor was reached", ConstGauge::new(age.as_secs_f64()));
        }
        let (help, underway) = ("How long the batch being saved has made no progress", self.commit_underway);
        to.register("commit_underway_seconds", help, ConstGauge::new(underway.as_secs_f64()));
        let held_back = self.floor_held_back.unwrap_or_default().as_secs_f64();
        let help = "How long other trackers have kept the next floor from coming";
        to.register("floor_held_back_seconds", help, ConstGauge::new(held_back));
        self.register_families(to);
        self.register_totals(to);
    }

    fn register_families(&self, to: &mut Registry) {
        let mut family = |name: &str, help: &str, values: Vec<(&'static str, String, u64)>| {
            if values.is_empty() {
                return;
            }
            let family = Family::<Label, Gauge>::default();
            for (label, of, value) in values {
                family.get_or_create(&[(label, of)]).set(whole(value));
            }
            to.register(name, help, family);
        };
        let of = |label: &'static str, of: &str, value| (label, of.to_owned(), value);
        let kinds = vec![of("kind", "early", self.early), of("kind", "all", self.connections)];
        family("connections", "Open connections, those before login and all", kinds);
        let at = vec![of("at", "here", self.clients_here), of("at", "elsewhere", self.clients_elsewhere)];
        family("presence_clients", "Clients that are known to be online, by where", at);
        let links = |value: fn(&LinkGauge) -> Option<u64>| {
            let known = self.links.iter().filter_map(|link| Some((link.tracker, value(link)?)));
            known.map(|(tracker, value)| ("tracker", tracker.to_string(), value)).collect()
        };
        family("link_up", "Whether another tracker is connected", links(|link| Some(u64::from(link.up))));
        family("link_lag_ops", "Changes that another tracker lacks", links(|link| link.lag));
        let limits = self.limits.iter();
        let used = limits.clone().map(|limit| of("name", limit.name, limit.used));
        family("limit_used", "The present use of each limit", used.collect());
        let most = limits.filter_map(|limit| Some(of("name", limit.name, limit.max?)));
        family("limit_max", "The most that a limit lets through", most.collect());
        family("link_behind_ops", "Changes of another tracker that are not here yet", links(|link| link.behind));
    }

    fn register_totals(&self, to: &mut Registry) {
        let refused = ConstCounter::new(self.connections_refused);
        to.register("connections_refused", "Connections that were refused since the tracker started", refused);
        let lost = ConstCounter::new(self.audit_lost_lines);
        to.register("audit_lost_lines", "Lines of the audit that were lost since the tracker started", lost);
        if let Some((pairs, bytes)) = self.relay {
            to.register("relay_pairs", "Pairs of members for whom bytes are relayed", ConstGauge::new(whole(pairs)));
            to.register("relay_bytes", "Bytes relayed since the tracker started", ConstCounter::new(bytes));
        }
    }
}

fn whole(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
