//! A tracker's gauges, for a monitoring system. The cost of a scrape does not grow with the data on the disk.

use super::Server;
use super::floor_status::NextFloor;
use super::kept_server::KeptServer;
use crate::tracker::admission::Occupancy;
use crate::tracker::cluster::other_tracker::{LinkFloor, LinkStatus, OtherTracker};
use crate::tracker::commit::{COMMIT_WAIT_MAX, Standing};
use crate::tracker::data_dir::disk_trouble;
use crate::tracker::ledger::quota::Quota;
use crate::tracker::metrics::{Gauges, LimitGauge, LinkGauge, Observed, Unwell};
use std::path::PathBuf;
use std::time::Instant;

impl Server {
    /// The present gauges.
    pub fn gauges(&self) -> Gauges {
        let core = &*self.core;
        let standing = core.committer.standing();
        let (floor, (here, elsewhere)) = (self.floor.status(&standing), core.presence.client_totals());
        let Standing { state, floor: reached } = standing;
        let Occupancy { total, early, refused } = self.admission.occupancy();
        let bytes = core.manifests.lens().total();
        let limits = core.oversight.limits.all(&state, bytes);
        Gauges {
            clients_here: here as u64,
            clients_elsewhere: elsewhere as u64,
            sessions: core.logins.count() as u64,
            early: early as u64,
            connections: total as u64,
            connections_refused: refused,
            users: state.user_count() as u64,
            groups: state.group_count() as u64,
            shares: state.share_count() as u64,
            ops_above_floor: floor.above,
            ops_below_floor: floor.below,
            floor_lamport: reached.mark.lamport,
            floor_age: floor.reached,
            floor_held_back: match floor.next {
                NextFloor::HeldBack { since, .. } => Some(since),
                _ => None,
            },
            links: core.cluster.others(&state, reached.mark).iter().filter_map(link).collect(),
            password_queue: core.passwords.waiting() as u64,
            relay: core.relay.as_ref().map(|relay| relay.load()).map(|load| (load.pairs as u64, load.bytes)),
            manifests_bytes: bytes,
            audit_lost_lines: core.oversight.audit.lost(),
            trouble: core.committer.trouble().is_some(),
            commit_underway: core.committer.underway(Instant::now()).map(|at| at.since).unwrap_or_default(),
            read_only: core.committer.is_read_only(),
            limits: limits.into_iter().map(limit).collect(),
        }
    }

    /// Whether batches of changes finish.
    ///
    /// # Errors
    /// What a batch has waited for, if that takes longer than a submitter waits.
    pub fn healthy(&self, now: Instant) -> Result<(), Unwell> {
        match self.core.committer.underway(now).filter(|at| at.since >= COMMIT_WAIT_MAX) {
            Some(at) => Err(Unwell(at.to_string())),
            None => Ok(()),
        }
    }

    /// Whether the tracker takes changes, as far as it knows without its disk. Returns the folder to check.
    ///
    /// # Errors
    /// Why not.
    pub fn takes_changes(&self, now: Instant) -> Result<PathBuf, Unwell> {
        self.healthy(now)?;
        if let Some(trouble) = self.core.committer.trouble() {
            return Err(Unwell(trouble.to_string()));
        }
        if self.core.committer.is_joining() {
            return Err(Unwell("this tracker takes over what the others have".to_owned()));
        }
        Ok(self.data_dir.path().to_path_buf())
    }
}

impl Observed for KeptServer {
    fn gauges(&self) -> Option<Gauges> {
        self.look(Server::gauges)
    }

    fn healthy(&self) -> Result<(), Unwell> {
        self.look(|server| server.healthy(Instant::now())).unwrap_or(Ok(()))
    }

    fn ready(&self) -> Result<(), Unwell> {
        let folder = self.look(|server| server.takes_changes(Instant::now()));
        let folder = folder.unwrap_or_else(|| Err(Unwell("the tracker is being started".to_owned())))?;
        // Outside the lock: a hanging file system must not keep the server from stopping.
        disk_trouble(&folder).map_or(Ok(()), |why| Err(Unwell(why)))
    }
}

/// `None` for a tracker that the cluster has forgotten.
fn link(other: &OtherTracker) -> Option<LinkGauge> {
    let (up, lag, behind) = match &other.status {
        LinkStatus::Connected { floor: LinkFloor::Same, there_behind, here_behind, .. } => {
            (true, Some(*there_behind), Some(*here_behind))
        }
        LinkStatus::Connected { .. } => (true, None, None),
        LinkStatus::Away { .. } => (false, None, None),
        LinkStatus::Forgotten => return None,
    };
    Some(LinkGauge { tracker: other.number, up, lag, behind })
}

fn limit((quota, used, max): (Quota, u64, u64)) -> LimitGauge {
    LimitGauge { name: quota.info().name, used, max: (max != u64::MAX).then_some(max) }
}
