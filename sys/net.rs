//! Connections and host names, without a waiting thread for each.

pub mod connecting;
pub mod lingering;
pub(crate) mod resolve;
pub mod socket_filter;
