//! The condition of a tracker, as `status` tells the operator.

use super::floor_status::{FloorStatus, NextFloor};
use super::limit_looks::LimitStatus;
use super::unplaced::UnplacedList;
use crate::model::address::TrackerAddr;
use crate::model::digest::Fingerprint;
use crate::model::units;
use crate::tracker::admission::Occupancy;
use crate::tracker::cluster::other_tracker::{LinkStatus, OtherTracker};
use crate::tracker::manifests::MissingCounts;
use crate::tracker::operator::answer::Row;
use crate::tracker::oversight::limits::Accounts;
use crate::tracker::relay::RelayLoad;
use serde_json::{Value, json};
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

#[derive(Debug, Clone)]
pub struct ServerStatus {
    /// The number of this tracker.
    pub number: u16,
    pub addr: SocketAddr,
    pub fingerprint: Fingerprint,
    /// How long it has been running.
    pub uptime: Duration,
    pub users: usize,
    /// Deleted accounts: their names stay reserved, and nothing else is left of them.
    pub deleted_users: usize,
    /// Groups with members.
    pub groups: usize,
    /// Files and folders with sharers.
    pub shares: usize,
    /// Unread notices.
    pub unread: u64,
    /// Users with a client online.
    pub users_online: usize,
    pub clients_online: usize,
    pub others: Vec<OtherTracker>,
    /// Tracker numbers that several programs claim, each as a sentence.
    pub clashes: Vec<String>,
    pub connections: Occupancy,
    /// The load of the relay, if there is one.
    pub relay: Option<RelayLoad>,
    /// Manifests that should be here but are missing.
    pub missing: MissingCounts,
    /// The state of the floor; `None` while no keeper runs.
    pub floor: Option<FloorStatus>,
    /// How near users are to their limits.
    pub limits: LimitStatus,
    /// How long the tracker has been refusing changes of clients, if it is.
    pub read_only: Option<Duration>,
    /// Changes that could not be placed.
    pub unplaced: Vec<UnplacedList>,
    /// Bases that lost their place to another base, although the other one lacks a part of them.
    pub left: Vec<PathBuf>,
    /// Why the tracker can make no changes at present.
    pub trouble: Option<String>,
}

impl ServerStatus {
    /// The whole status, as one answer.
    pub fn row(&self) -> Row {
        Row::new(self.to_string(), self.json())
    }

    /// An answer for each of the other trackers.
    pub fn others_rows(&self) -> Vec<Row> {
        self.others.iter().map(|other| Row::new(other.to_string(), other_json(other))).collect()
    }

    fn json(&self) -> Value {
        let Occupancy { total, early, refused } = self.connections;
        let relay = |relay: &RelayLoad| json!({"pairs": relay.pairs, "bytes": relay.bytes});
        let unplaced = |list: &UnplacedList| json!({"path": list.path, "count": list.count.as_ref().ok()});
        json!({
            "number": self.number,
            "addr": self.addr.to_string(),
            "fingerprint": self.fingerprint.to_string(),
            "uptime_s": self.uptime.as_secs(),
            "users": self.users,
            "deleted_users": self.deleted_users,
            "users_online": self.users_online,
            "clients_online": self.clients_online,
            "groups": self.groups,
            "shares": self.shares,
            "notices_unread": self.unread,
            "connections": {"total": total, "early": early, "refused": refused},
            "relay": self.relay.as_ref().map(relay),
            "trackers": self.others.iter().map(other_json).collect::<Vec<_>>(),
            "clashes": self.clashes,
            "floor": self.floor.as_ref().map(floor_json),
            "limits": self.limits.json(),
            "accounts": self.limits.accounts.to_string(),
            "read_only": self.read_only.is_some(),
            "unplaced": self.unplaced.iter().map(unplaced).collect::<Vec<_>>(),
            "left": self.left,
            "trouble": self.trouble,
        })
    }
}

/// `state` is one of connected, away, forgotten.
fn other_json(other: &OtherTracker) -> Value {
    let mut json = json!({"number": other.number, "addr": other.addr.as_ref().map(TrackerAddr::to_string)});
    let told = match &other.status {
        LinkStatus::Connected { lasts, there_behind, here_behind, agrees, .. } => json!({
            "state": "connected",
            "seconds": lasts.as_secs(),
            "behind": there_behind,
            "this_behind": here_behind,
            "same_digest": agrees,
        }),
        LinkStatus::Away { lasts, why } => json!({"state": "away", "seconds": lasts.as_secs(), "why": why}),
        LinkStatus::Forgotten => json!({"state": "forgotten"}),
    };
    if let (Value::Object(all), Value::Object(more)) = (&mut json, told) {
        all.extend(more);
    }
    json
}

fn floor_json(floor: &FloorStatus) -> Value {
    let (next, held_back_by) = match &floor.next {
        NextFloor::NotDue => ("not_due", Vec::new()),
        NextFloor::HeldBack { by, .. } => ("held_back", by.iter().map(|one| one.tracker).collect()),
        NextFloor::BeingAgreed { waiting_for, .. } => ("being_agreed", waiting_for.clone()),
        NextFloor::Underway => ("underway", Vec::new()),
        NextFloor::Higher => ("higher", Vec::new()),
        NextFloor::Contradiction { between } => ("contradiction", between.to_vec()),
    };
    json!({
        "below": floor.below,
        "above": floor.above,
        "reached_s": floor.reached.map(|reached| reached.as_secs()),
        "next": next,
        "waits_for": held_back_by,
    })
}

impl fmt::Display for ServerStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "tracker {} on {}, up {}", self.number, self.addr, units::hours(self.uptime))?;
        writeln!(f, "fingerprint {}", self.fingerprint)?;
        writeln!(f, "users       {}, {} online on {} clients", self.users, self.users_online, self.clients_online)?;
        writeln!(f, "groups      {}", self.groups)?;
        writeln!(f, "files       {}", self.shares)?;
        writeln!(f, "notices     {} unread", self.unread)?;
        let Occupancy { total, early, refused } = self.connections;
        write!(f, "connections {total}, {early} not logged in, {refused} refused since the start")?;
        write!(f, "\nlimits      {}", self.limits)?;
        if self.limits.accounts == Accounts::Closed {
            write!(f, "\naccounts    closed, create_user makes them")?;
        }
        if let Some(relay) = &self.relay {
            write!(f, "\nrelay       {relay}")?;
        }
        for other in &self.others {
            write!(f, "\n{other}")?;
        }
        for clash in &self.clashes {
            write!(f, "\nnumbers     {clash}")?;
        }
        if !self.missing.is_none() {
            write!(f, "\nmanifests   {}", self.missing)?;
        }
        if let Some(floor) = &self.floor {
            write!(f, "\n{floor}")?;
        }
        if let Some(since) = self.read_only {
            write!(f, "\nread-only   since {}", units::age(since))?;
        }
        for list in &self.unplaced {
            write!(f, "\nunplaced    {list}")?;
        }
        for path in &self.left {
            write!(f, "\nset aside   what was below the floor here is kept as {}", path.display())?;
        }
        if let Some(trouble) = &self.trouble {
            write!(f, "\ntrouble     {trouble}")?;
        }
        Ok(())
    }
}
