//! The kinds of listening sockets of a tracker.

/// The kind of far side that a listening socket is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Door {
    Clients,
    Programs,
}
