//! Members behind firewalls and NATs of every kind, each in a network namespace: who reaches whom, in which way, and
//! how fast.
//!
//! `make netlab` prints the tables. If there is no right to make namespaces, or no `ip` and `nft`, one line says so.

#[path = "../common"]
mod common {
    pub(crate) mod deadline;
    pub(crate) mod namespaces;
    pub(crate) mod wait;
}

mod files;
mod inside;
mod kinds;
mod lab;
mod member;
mod moves;
mod network;
mod reach;
mod strangers;
mod table;
mod ways;
