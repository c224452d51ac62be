//! Where the connections of a seeder come from, and how crowded it is there. Pure.

use crate::model::address::{SITE_SHARE, network_of, site_of};
use crate::model::name::UserId;
use std::collections::HashMap;
use std::net::IpAddr;

/// Where a connection comes from, as far as places go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ConnectionOrigin {
    near: Near,
    /// A whole site of IPv6 networks.
    site: Option<IpAddr>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Near {
    /// One address, or a whole network of IPv6 addresses.
    Network(IpAddr),
    /// A connection by the relay, whose address says nothing of who makes it.
    Relayed(u64),
    /// A member who came by the relay.
    Member(UserId),
}

impl ConnectionOrigin {
    pub(super) fn of(ip: IpAddr) -> Self {
        Self { near: Near::Network(network_of(ip)), site: site_of(ip) }
    }

    /// That of the connection with this number, which comes by the relay.
    pub(super) fn relayed(id: u64) -> Self {
        Self { near: Near::Relayed(id), site: None }
    }

    /// The same once it is known whose connection it is.
    pub(super) fn of_member(&self, user: &UserId) -> Self {
        match self.near {
            Near::Network(_) => self.clone(),
            Near::Relayed(_) | Near::Member(_) => Self { near: Near::Member(user.clone()), site: None },
        }
    }
}

/// How many come from each origin. A site counts like a network that has a tenth of its connections.
#[derive(Debug, Default)]
pub(super) struct Crowds {
    near: HashMap<Near, usize>,
    sites: HashMap<IpAddr, usize>,
}

impl Crowds {
    pub(super) fn add(&mut self, origin: &ConnectionOrigin) {
        *self.near.entry(origin.near.clone()).or_default() += 1;
        origin.site.into_iter().for_each(|site| *self.sites.entry(site).or_default() += 1);
    }

    /// How crowded it is where this one comes from.
    pub(super) fn at(&self, origin: &ConnectionOrigin) -> usize {
        let near = self.near.get(&origin.near).copied().unwrap_or(0);
        let site = origin.site.and_then(|site| self.sites.get(&site)).copied().unwrap_or(0);
        near.max(site.div_ceil(SITE_SHARE as usize))
    }
}

impl<'a> FromIterator<&'a ConnectionOrigin> for Crowds {
    fn from_iter<I: IntoIterator<Item = &'a ConnectionOrigin>>(origins: I) -> Self {
        let mut crowds = Self::default();
        origins.into_iter().for_each(|origin| crowds.add(origin));
        crowds
    }
}
