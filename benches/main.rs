//! The benches. `cargo bench -- NAME OPTION=VALUE` runs one of them. `cargo bench` runs all except `netbench`, which
//! takes long.

#[path = "../tests/common"]
mod common {
    pub(crate) mod accounts;
    pub(crate) mod client;
    pub(crate) mod deadline;
    pub(crate) mod group_maker;
    pub(crate) mod installation;
    pub(crate) mod manifest;
    pub(crate) mod memory_log;
    pub(crate) mod names;
    pub(crate) mod namespaces;
    pub(crate) mod program;
    pub(crate) mod relay;
    pub(crate) mod resumption;
    pub(crate) mod tracker;
    pub(crate) mod wait;
    pub(crate) mod wiretap;
}
mod kit;

mod churn;
mod codec;
mod crowd;
mod difference;
mod failures;
mod finding;
mod folder;
mod growth;
mod hash;
mod holes;
mod journal;
mod load;
mod netbench;
mod picker;
mod reading;
mod reads;
mod replication;
mod shares;
mod soak;
mod state;
mod swarm;
mod swarm_sim;
mod transfer;
mod watching;

use kit::limit::is_side;
use kit::options::Options;
use std::process::{Command, exit};

/// A bench: its name, its options, and its function.
type Bench = (&'static str, &'static [&'static str], fn(&Options));

const BENCHES: [Bench; 24] = [
    ("picker", &[], picker::bench),
    ("state", &[], state::bench),
    ("journal", &["only"], journal::bench),
    ("replication", &["only", "shares"], replication::bench),
    ("churn", &["ops", "users", "files"], churn::bench),
    ("codec", &[], codec::bench),
    ("reading", &["size", "rounds"], reading::bench),
    ("holes", &["size", "content", "rounds", "where"], holes::bench),
    ("transfer", &["size", "rounds", "givers", "only", "where"], transfer::bench),
    ("failures", &["size", "rounds", "only"], failures::bench),
    ("swarm", &["size", "cap", "members", "rounds", "only"], swarm::bench),
    ("swarm_sim", &["members", "size", "rows", "rules", "seeds"], swarm_sim::bench),
    ("crowd", &["size", "rounds", "where", "only"], crowd::bench),
    ("difference", &["size", "image", "only", "where"], difference::bench),
    ("hash", &[], hash::bench),
    ("reads", &["rounds"], reads::bench),
    ("load", &["idle", "rounds", "only"], load::bench),
    ("netbench", &["only", "rounds", "tools", "where"], netbench::bench),
    ("folder", &["files", "rounds", "where"], folder::bench),
    ("shares", &["count", "delay"], shares::bench),
    ("finding", &["files", "rounds"], finding::bench),
    ("watching", &["files", "rounds", "idle"], watching::bench),
    ("growth", &["only"], growth::bench),
    ("soak", &["time", "seed"], soak::bench),
];

fn main() {
    // cargo adds `--bench` itself.
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    let Some((name, options)) = args.split_first() else {
        BENCHES.iter().filter(|(name, ..)| *name != "netbench").for_each(|(name, ..)| run_alone(name));
        return;
    };
    if let Some((_, known, bench)) = BENCHES.iter().find(|(other, ..)| other == name) {
        bench(&Options::read(options, known));
    } else if !is_side(&args) && !netbench::plain::is_side(&args) && !watching::is_side(&args) {
        let names: Vec<_> = BENCHES.iter().map(|(name, ..)| *name).collect();
        eprintln!("There is no bench {name}, but {}", names.join(", "));
        exit(2);
    }
}

/// Runs a bench in a process of its own, since some benches measure the resources of their process.
fn run_alone(name: &str) {
    println!("\n# {name}\n");
    let program = std::env::current_exe().expect("Linux tells");
    let status = Command::new(program).arg(name).status().expect("started");
    if !status.success() {
        exit(status.code().unwrap_or(1));
    }
}
