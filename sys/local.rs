//! Communication with other programs of this machine.

pub mod notify;
pub mod socket;
