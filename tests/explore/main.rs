//! The locks and channels of the committer and of a download, under many schedules. With `make explore` an explorer
//! decides at every lock, condition and atomic value which thread runs. Otherwise the same scenarios run a few times on
//! real threads.

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
