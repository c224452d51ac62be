//! The lock-and-channel code of the committer and of a download, under many schedules: `make explore` has an explorer
//! decide at every lock, condition and atomic value which thread goes on. Elsewhere the same scenarios run on real
//! threads, a few times.

mod catalog;
mod committer;
#[path = "../common"]
mod common {
    pub(crate) mod deadline;
    pub(crate) mod memory_log;
    pub(crate) mod subject;
}
mod download;
mod feed;
mod floor;
mod late_ops;
mod schedules;
mod whole_hash;
