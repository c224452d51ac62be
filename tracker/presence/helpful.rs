//! Which addresses of a client can help another one to reach it. Pure.

use crate::wire::contact::Contact;
use std::net::SocketAddr;

/// The addresses of a client that are told to another one, the likely one first; at most
/// [`ADDRS_MAX`](crate::wire::contact::ADDRS_MAX). `to` is `None` for a client that has not announced where it is.
pub fn helpful(of: &Contact, _to: Option<&Contact>) -> Vec<SocketAddr> {
    let mut listed = of.interfaces.iter().map(|interface| interface.ip);
    let listed = listed.find(|ip| !ip.is_unspecified() && !ip.is_multicast());
    let addr = of.announced.unwrap_or_else(|| SocketAddr::new(listed.unwrap_or(of.seen.ip()), of.port));
    vec![addr]
}
