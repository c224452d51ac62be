//! Floors: the rules by which trackers agree on one, and which ops have a place above one. Pure.

pub mod pace;
pub mod placing;
pub mod rules;
