//! How long tests wait for something that must happen.

use std::time::Duration;

/// Longer than anything that a test or a bench waits for, even on a busy machine.
pub(crate) const LONG: Duration = Duration::from_secs(300);
