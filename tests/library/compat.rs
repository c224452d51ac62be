//! What docs/COMPATIBILITY.md promises: peers that know less or more, and what released programs have written.

mod formats;
mod peers;
pub(crate) mod recorded;
