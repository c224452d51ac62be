//! Code that benches share.

pub(crate) mod content;
pub(crate) mod delay;
pub(crate) mod history;
pub(crate) mod house;
pub(crate) mod libtorrent;
pub(crate) mod limit;
pub(crate) mod options;
pub(crate) mod program;
pub(crate) mod rate;
pub(crate) mod table;
pub(crate) mod tool;
pub(crate) mod tools;
pub(crate) mod torrent;
pub(crate) mod warm;
