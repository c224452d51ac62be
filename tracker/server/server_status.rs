//! How a tracker is doing, as `status` tells the operator.

use super::floor_status::FloorStatus;
use super::unplaced::UnplacedList;
use crate::model::digest::Fingerprint;
use crate::model::units;
use crate::tracker::admission::Occupancy;
use crate::tracker::cluster::other_tracker::OtherTracker;
use crate::tracker::manifests::MissingCounts;
use crate::tracker::relay::RelayLoad;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

#[derive(Debug, Clone)]
pub struct ServerStatus {
    /// Which tracker of the installation it is.
    pub number: u16,
    pub addr: SocketAddr,
    pub fingerprint: Fingerprint,
    /// How long it has been running.
    pub uptime: Duration,
    pub users: usize,
    /// Groups with members.
    pub groups: usize,
    /// Files and folders shared by somebody.
    pub shares: usize,
    /// Notices that nobody has read.
    pub unread: u64,
    /// Users with a client online.
    pub users_online: usize,
    pub clients_online: usize,
    pub others: Vec<OtherTracker>,
    /// Numbers of trackers that several programs claim, each in words.
    pub clashes: Vec<String>,
    pub connections: Occupancy,
    /// How busy the relay is, if there is one.
    pub relay: Option<RelayLoad>,
    /// Manifests that should be here and are not.
    pub missing: MissingCounts,
    /// Where the floor is; `None` while nobody looks after it.
    pub floor: Option<FloorStatus>,
    /// Changes that could not be placed.
    pub unplaced: Vec<UnplacedList>,
    /// Bases that lost their place to one that lacks some of them.
    pub left: Vec<PathBuf>,
    /// Why changes cannot be made at present.
    pub trouble: Option<String>,
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
