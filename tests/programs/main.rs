//! Tests that start the programs and talk to them as people and scripts do.

#[path = "../common/mod.rs"]
mod common;

mod access;
mod crash;
mod json;
mod json_client;
mod obstructed_disk;
mod readme;
mod script;
mod terminal;
mod tracker_program;
mod trackers_program;
mod troubleshooting;
