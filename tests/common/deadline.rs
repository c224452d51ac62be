//! How long is waited for what has to come.

use std::time::Duration;

/// Longer than anything takes that a test or a bench waits for, even on a busy machine.
pub(crate) const LONG: Duration = Duration::from_secs(300);
