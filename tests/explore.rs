//! The lock-and-channel code of the committer and of a download, under many schedules: `make explore` has an explorer
//! decide at every lock, condition and atomic value which thread goes on. Elsewhere the same scenarios run on real
//! threads, a few times.

mod common;
mod explore {
    mod committer;
    mod download;
    mod feed;
    mod late_ops;
    mod schedules;
    mod serving;
    mod stream_hash;
}
