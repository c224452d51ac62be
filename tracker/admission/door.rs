//! The doors of a tracker.

/// Which kind of far side a listening socket is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Door {
    Clients,
    Programs,
}
