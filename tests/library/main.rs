//! Tests inside this process: trackers, clients and their parts. They talk over real sockets.

#[path = "../common"]
mod common {
    pub(crate) mod accounts;
    pub(crate) mod client;
    pub(crate) mod deadline;
    pub(crate) mod ending;
    pub(crate) mod floors;
    pub(crate) mod gated_log;
    pub(crate) mod identity;
    pub(crate) mod kept_tracker;
    pub(crate) mod manifest;
    pub(crate) mod membership;
    pub(crate) mod memory_log;
    pub(crate) mod names;
    pub(crate) mod offer;
    pub(crate) mod person;
    pub(crate) mod queries;
    pub(crate) mod random;
    pub(crate) mod relay;
    pub(crate) mod resumption;
    pub(crate) mod room;
    pub(crate) mod subject;
    pub(crate) mod tracker;
    pub(crate) mod vacant;
    pub(crate) mod wait;
    pub(crate) mod wiretap;
}

mod adoption;
mod certificates;
mod client;
mod compat;
mod complaints;
mod conversation;
mod difference;
mod failing_disk;
mod faulty_disk;
mod fold;
mod giving;
mod herald;
mod journal;
mod member;
mod packaging;
mod protocol;
mod pushes;
mod quota;
mod replica;
mod starts;
mod swarm;
mod tracker;
mod transfer;
