//! The protocol's front door: the dialects and their limits. docs/PROTOCOL.md describes every byte.
//!
//! Every connection begins with a fixed preface: the protocol, its version and the dialect. A Noise handshake follows
//! (`handshake`), in which both sides say which features they know. From then on frames (`frame`) travel inside
//! encrypted records (`record_layer`). The three dialects are client to tracker (`client_tracker`), leecher to seeder
//! (`peer`) and tracker to tracker (`tracker_tracker`). Besides, two members meet at a tracker through `relay`, and
//! what they say there is a connection of its own. Through `mirror` a client learns from where one of its connections
//! comes.

pub mod certificate;
pub mod client_tracker;
pub mod codec;
pub mod connection;
pub mod contact;
pub mod deadlines;
pub mod frame;
pub mod handshake;
pub mod manifest;
pub mod mirror;
pub mod op;
pub mod peer;
pub mod record_layer;
pub mod refusal;
pub mod relay;
pub mod stretches;
pub mod tracker_tracker;
pub mod transport_keys;
