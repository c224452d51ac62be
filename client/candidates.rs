//! Who is known to hold pieces of a download: whom to connect to, when again, and whom never again. Pure: the time is
//! passed in.

use crate::model::id::ClientId;
use crate::model::name::UserId;
use crate::wire::client_tracker::Peer;
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// Most connections of one download.
const CONNECTIONS_MAX: usize = 64;
/// Connections that a download should have: a few even to a single peer, since one does not fill two cores.
const CONNECTIONS_WANTED: usize = 4;
/// Pause before a peer that is not to blame is tried again.
const RETRY: Duration = Duration::from_millis(500);
/// Longest pause before a peer that failed is tried again; it doubles from [`RETRY`].
const RETRY_MAX: Duration = Duration::from_secs(30);
/// When all who are known lied, others get this long to turn up.
const LIED_PATIENCE: Duration = Duration::from_secs(5);

#[derive(Debug)]
struct Candidate {
    peer: Peer,
    /// Connections made or being made.
    lanes: usize,
    not_before: Instant,
    failures: u32,
    lied: bool,
}

/// The peers of one download.
#[derive(Debug)]
pub struct Candidates {
    known: HashMap<ClientId, Candidate>,
    patience: Option<Duration>,
    useful_at: Instant,
    /// The last lie, for the message that tells of it.
    lie: Option<String>,
}

impl Candidates {
    /// Nobody is known yet. After `patience` without any connection that is of use the download fails.
    pub fn new(now: Instant, patience: Option<Duration>) -> Self {
        Self { known: HashMap::new(), patience, useful_at: now, lie: None }
    }

    /// Takes what the tracker says of peers.
    pub fn learn(&mut self, peers: Vec<Peer>) {
        for peer in peers {
            match self.known.get_mut(&peer.client) {
                Some(candidate) => {
                    if candidate.peer.addr != peer.addr {
                        candidate.failures = 0;
                    }
                    candidate.peer = peer;
                }
                None => {
                    let candidate = Candidate { lanes: 0, not_before: self.useful_at, failures: 0, lied: false, peer };
                    self.known.insert(candidate.peer.client, candidate);
                }
            }
        }
    }

    /// Whom to connect to now; counts as being connected to from here on.
    pub fn due(&mut self, now: Instant) -> Vec<Peer> {
        let mut open: usize = self.known.values().map(|candidate| candidate.lanes).sum();
        let able = self.known.values().filter(|candidate| !candidate.lied && candidate.failures == 0).count();
        let lanes_each = CONNECTIONS_WANTED.div_ceil(able.max(1));
        let mut due = Vec::new();
        // One connection to everybody comes before a second one to anybody.
        for lanes in 0..lanes_each {
            for candidate in self.known.values_mut() {
                let may = !candidate.lied && candidate.lanes == lanes && candidate.not_before <= now;
                if may && open < CONNECTIONS_MAX && (lanes == 0 || candidate.failures == 0) {
                    candidate.lanes += 1;
                    open += 1;
                    due.push(candidate.peer.clone());
                }
            }
        }
        due
    }

    /// A connection was made.
    pub fn connected(&mut self, client: ClientId) {
        if let Some(candidate) = self.known.get_mut(&client) {
            candidate.failures = 0;
        }
    }

    /// A connection was not made or is gone; `failed` if that speaks against the peer.
    pub fn lost(&mut self, client: ClientId, now: Instant, failed: bool) {
        if let Some(candidate) = self.known.get_mut(&client) {
            candidate.lanes = candidate.lanes.saturating_sub(1);
            candidate.failures += u32::from(failed);
            let doubled = RETRY * 2u32.saturating_pow(candidate.failures.saturating_sub(1).min(10));
            candidate.not_before = now + doubled.min(RETRY_MAX);
        }
    }

    /// The peer sent what no honest peer sends: it is not tried again.
    pub fn lied(&mut self, client: ClientId, user: &UserId, what: &str) {
        self.lie = Some(format!("{user}: {what}"));
        if let Some(candidate) = self.known.get_mut(&client) {
            candidate.lied = true;
            candidate.lanes = 0;
        }
    }

    /// Nobody has to wait any longer for the next try.
    pub fn retry(&mut self, now: Instant) {
        self.known.values_mut().for_each(|candidate| candidate.not_before = now);
    }

    /// Says why the download should end, if it should; `useful` if some connection has what is missing.
    pub fn check_patience(&mut self, now: Instant, useful: bool) -> Result<(), String> {
        if useful {
            self.useful_at = now;
            return Ok(());
        }
        let waited = now.duration_since(self.useful_at);
        let able = self.known.values().any(|candidate| !candidate.lied);
        if let Some(lie) = self.lie.as_ref().filter(|_| !able && waited > LIED_PATIENCE) {
            return Err(format!("nobody is left who has it, after {lie}"));
        }
        match self.patience {
            Some(patience) if waited > patience => Err("no member who is online has what is missing".into()),
            _ => Ok(()),
        }
    }
}
