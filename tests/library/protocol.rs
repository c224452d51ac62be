//! The protocol, byte by byte. The tests check every message against handwritten bytes, its own decoder, damaged bytes,
//! and docs/PROTOCOL.md.

mod annotated;
mod damage;
mod document;
mod generated;
mod golden;
mod limits;
mod recorded;
mod schema;
mod vectors;
