//! Locks, conditions, channels, threads and atomic values for the rooms whose schedules the tests explore. They are the
//! system's. Under `--cfg explore` they belong to a scheduler that decides which thread runs (docs/TESTING.md,
//! "Schedules").

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
