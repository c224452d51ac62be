//! Whether a client can be reached: the tracker dials the address that the client's connection comes from, and tells
//! the result later.

use super::Session;
use crate::tracker::core::Core;
use crate::tracker::presence::Ticket;
use crate::tracker::prober::Probe;
use crate::wire::client_tracker::{ReachClass, Reply};
use crate::wire::contact::Contact;
use crate::wire::refusal::{Code, Refusal};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

impl Session {
    /// Starts the search for the client at the addresses that the tracker knows to be its own.
    pub(super) fn check_reach(&mut self) -> Result<Reply, Refusal> {
        let user = self.user()?;
        let ticket = self.login.as_ref().ok_or(Code::NotLoggedIn)?.ticket;
        let nowhere = || Refusal::about(Code::Malformed, "announce the client before its test");
        let contact = self.core.presence.contact(ticket.key).ok_or_else(nowhere)?;
        let addrs = own_addresses(&contact, self.seen);
        let listens = addrs.last().copied();
        // Weak: the tracker may be stopping, and then nobody is left to hear the result.
        let (core, key, named) = (Arc::downgrade(&self.core), contact.key(), contact.announced);
        let told = move |addr: SocketAddr, found| {
            let Some(core) = core.upgrade() else { return };
            if found == ReachClass::Reached && named.is_some_and(|named| named == addr) {
                let state = core.state();
                let holder_ups = core.presence.prove(&ticket, key, addr);
                holder_ups.iter().for_each(|holder_up| core.tell_holder_up(&state, holder_up));
            }
            tell(&core, &ticket, addr, found);
        };
        let (prober, now) = (&self.core.prober, Instant::now());
        let probe = Probe { key, addrs, told: Box::new(told) };
        if !(prober.allows(user, now) && prober.probe(user, self.ip(), probe, now)) {
            listens.into_iter().for_each(|addr| tell(&self.core, &ticket, addr, ReachClass::NotTried));
        }
        Ok(Reply::Done {})
    }
}

/// The addresses at which to look for a client. These are the named address if it has the IP of the connection, and
/// the client's listening port at that IP. The tracker dials no other IP, whatever a client says.
fn own_addresses(contact: &Contact, seen: SocketAddr) -> Vec<SocketAddr> {
    let listens = SocketAddr::new(seen.ip(), contact.port);
    let named = contact.announced.filter(|named| named.ip().to_canonical() == seen.ip() && *named != listens);
    named.into_iter().chain([listens]).collect()
}

/// Tells a client the result. A program on the tracker's machine may forward a client's connection, which then seems
/// to come from there. Such a client must not learn what else listens on that machine.
fn tell(core: &Core, ticket: &Ticket, addr: SocketAddr, found: ReachClass) {
    let found = if addr.ip().is_loopback() && found != ReachClass::Reached { ReachClass::NotTried } else { found };
    if let Some(channel) = core.logins.channel(&ticket.key) {
        channel.queue(&Reply::Reach { addr, found });
        core.slow_consumers.flush_on(channel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::contact::tests::contact;

    #[test]
    fn a_client_is_looked_for_where_its_connection_comes_from_and_nowhere_else() {
        let seen: SocketAddr = "203.0.113.7:40001".parse().expect("an address");
        for (named, tried) in [
            (None, &["203.0.113.7:18000"][..]),
            (Some("203.0.113.7:7000"), &["203.0.113.7:7000", "203.0.113.7:18000"]),
            (Some("[::ffff:203.0.113.7]:7000"), &["[::ffff:203.0.113.7]:7000", "203.0.113.7:18000"]),
            (Some("203.0.113.7:18000"), &["203.0.113.7:18000"]),
            (Some("203.0.113.8:7000"), &["203.0.113.7:18000"]),
            (Some("127.0.0.1:22"), &["203.0.113.7:18000"]),
            (Some("169.254.169.254:80"), &["203.0.113.7:18000"]),
            (Some("[::1]:22"), &["203.0.113.7:18000"]),
        ] {
            let announced = named.map(|named| named.parse().expect("an address"));
            let addrs = own_addresses(&Contact { announced, ..contact(18_000) }, seen);
            assert_eq!(addrs.iter().map(ToString::to_string).collect::<Vec<_>>(), tried, "{named:?}");
        }
    }
}
