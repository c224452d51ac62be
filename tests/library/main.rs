//! Tests that run in this process: trackers, clients and what they are made of, over real sockets where they speak.

#[path = "../common/mod.rs"]
mod common;
#[path = "../faults/mod.rs"]
mod faults;

mod client;
mod failing_disk;
mod fold;
mod herald;
mod hostile;
mod journal;
mod packaging;
mod protocol;
mod replica;
mod swarm;
mod tracker;
