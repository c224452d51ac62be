//! The protocol's front door: what the dialects are, and the limits that hold for all of them. docs/PROTOCOL.md
//! describes every byte.
//!
//! Every connection begins with a fixed preface that names the protocol, its version and the dialect, goes on with a
//! Noise handshake, and carries frames inside the secure channel from then on.

pub mod error;
