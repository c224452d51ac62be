//! How the rooms of the tracker tell its operator that something is wrong.

use std::sync::Arc;

/// Tells the operator one line.
pub type Warn = Arc<dyn Fn(&str) + Send + Sync>;
