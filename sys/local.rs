//! Talking to other programs of this machine.

pub mod socket;
