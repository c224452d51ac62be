//! The protocol, byte by byte: every message against bytes written by hand, against its own decoder, against damaged
//! bytes, and against docs/PROTOCOL.md.

mod annotated;
mod damage;
mod document;
mod generated;
mod golden;
mod limits;
mod schema;
mod vectors;
