//! What docs/COMPATIBILITY.md promises: peers that know less or more.

mod peers;
