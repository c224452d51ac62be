//! Locks, conditions, channels, threads and atomic values of the rooms whose schedules are explored: the system's, or under
//! `--cfg explore` those of a scheduler that decides which thread goes on (docs/TESTING.md, "Schedules").

#[cfg(explore)]
mod explored;

#[cfg(not(explore))]
pub use crossbeam_channel as channel;
#[cfg(explore)]
pub use explored::{Condvar, Mutex, MutexGuard, RwLock, atomic, channel, thread};
#[cfg(not(explore))]
pub use parking_lot::{Condvar, Mutex, MutexGuard, RwLock};
#[cfg(not(explore))]
pub use std::{sync::atomic, thread};
