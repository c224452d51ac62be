//! Group-based peer-to-peer file sharing for people on their own network.
//!
//! The map of the house; docs/ARCHITECTURE.md walks through it. Arrow: `model <- wire <- {tracker, client} <- programs`.
//! `tracker` and `client` never import each other. Pure rooms touch no socket, file or clock.

/// What the words of the system mean. Pure.
pub mod model {
    pub mod bitfield;
    pub mod digest;
    pub mod id;
    pub mod manifest;
    pub mod name;
    pub mod notice;
    pub mod op;
    pub mod path;
    pub mod piece;
}

/// The protocol: frames, codec, secure channel, dialects.
pub mod wire;
