//! Limits how often this client dials a user and a machine. No announcement changes these limits. Pure: the time is
//! passed in.

use crate::model::address::network_of;
use crate::model::name::UserId;
use crate::rate::buckets::{Buckets, Pace};
use crate::wire::client_tracker::Peer;
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// For one user, over all clients. The burst is for many downloads that begin together.
const USER_PACE: Pace = Pace { interval: Duration::from_millis(100), burst: 64 };
/// For one machine, or what looks like one from here. Several users may share an address.
const NETWORK_PACE: Pace = Pace { interval: Duration::from_millis(50), burst: 128 };

/// The limits for all downloads together.
#[derive(Debug)]
pub struct DialPaces {
    users: Buckets<UserId>,
    networks: Buckets<IpAddr>,
}

impl Default for DialPaces {
    fn default() -> Self {
        Self { users: Buckets::new(USER_PACE), networks: Buckets::new(NETWORK_PACE) }
    }
}

impl DialPaces {
    /// Whether to dial this peer now. If so, the dial counts.
    pub fn admit(&mut self, peer: &Peer, now: Instant) -> bool {
        let networks: BTreeSet<_> = peer.addrs.iter().map(|addr| network_of(addr.ip())).collect();
        let may =
            self.users.allows(&peer.user, now) && networks.iter().all(|network| self.networks.allows(network, now));
        if may {
            self.users.take(&peer.user, now);
            networks.iter().for_each(|network| self.networks.take(network, now));
        }
        may
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::id::{ClientId, PeerKey};
    use crate::model::name::tests::user;
    use crate::wire::codec::List;

    fn peer(client: u8, name: &str, host: u8) -> Peer {
        let addrs = List::first_of(vec![([10, 0, 0, host], 7).into()]);
        Peer { client: ClientId([client; 16]), user: user(name), key: PeerKey([client; 32]), addrs, held: 1 }
    }

    /// How often a peer is dialed in ten seconds of constant attempts.
    fn dialed(peer_of: impl Fn(u32) -> Peer) -> u32 {
        let (mut paces, begun) = (DialPaces::default(), Instant::now());
        let tries = 0..10_000;
        tries.map(|ms| u32::from(paces.admit(&peer_of(ms), begun + Duration::from_millis(u64::from(ms))))).sum()
    }

    #[test]
    fn the_dials_to_a_client_user_or_address_are_bounded_under_many_announcements() {
        let of = |pace: Pace| pace.burst as u32 - 1 + 10_000 / pace.interval.as_millis() as u32;
        let client = dialed(|ms| peer(1, "eve", (ms % 2) as u8));
        assert!(client.abs_diff(of(USER_PACE)) <= 1, "{client} at addresses that change");
        let user = dialed(|ms| peer((ms % 200) as u8, "eve", (ms % 100) as u8));
        assert!(user.abs_diff(of(USER_PACE)) <= 1, "{user} by many ids");
        let host = dialed(|ms| peer((ms % 200) as u8, &format!("user{}", ms % 50), 9));
        assert!(host.abs_diff(of(NETWORK_PACE)) <= 1, "{host} under many names");
    }
}
