//! Tests that start the programs and talk to them as people and scripts do.

#[path = "../common"]
mod common {
    pub(crate) mod accounts;
    pub(crate) mod client;
    pub(crate) mod deadline;
    pub(crate) mod gated_log;
    pub(crate) mod group_maker;
    pub(crate) mod installation;
    pub(crate) mod listing;
    pub(crate) mod manifest;
    pub(crate) mod membership;
    pub(crate) mod memory_log;
    pub(crate) mod names;
    pub(crate) mod offer;
    pub(crate) mod program;
    pub(crate) mod queries;
    pub(crate) mod random;
    pub(crate) mod relay;
    pub(crate) mod resumption;
    pub(crate) mod room;
    pub(crate) mod tracker;
    pub(crate) mod wait;
}

mod access;
mod acts;
mod apart;
mod at_console;
mod audit;
mod backup;
mod console;
mod crash;
mod ctl;
mod descriptors;
mod folders;
mod installed;
mod interrupted_reading;
mod json;
mod json_client;
mod limits;
mod log;
mod metrics;
mod named_tracker;
mod new_version;
mod obstructed_disk;
mod operator_access;
mod owners;
mod reachable;
mod readme;
mod reload;
mod script;
mod secrecy;
mod service;
mod sitting;
mod takeover;
mod terminal;
mod told_late;
mod tracker_program;
mod trackers_program;
mod troubleshooting;
mod typed_ahead;
mod update;
mod waiting;
mod walk;
