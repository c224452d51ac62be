//! The origins of the seeder's connections, and how crowded each is. Pure.

use crate::model::address::{SITE_SHARE, network_of, site_of};
use crate::model::name::UserId;
use std::collections::HashMap;
use std::net::IpAddr;

/// The origin of a connection, as far as the admission needs it.
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
    /// A relayed connection, whose address says nothing about its member.
    Relayed(u64),
    /// A member with a relayed connection.
    Member(UserId),
}

impl ConnectionOrigin {
    pub(super) fn of(ip: IpAddr) -> Self {
        Self { near: Near::Network(network_of(ip)), site: site_of(ip) }
    }

    /// The origin of the relayed connection with this number.
    pub(super) fn relayed(id: u64) -> Self {
        Self { near: Near::Relayed(id), site: None }
    }

    /// The origin once the member of the connection is known.
    pub(super) fn of_member(&self, user: &UserId) -> Self {
        match self.near {
            Near::Network(_) => self.clone(),
            Near::Relayed(_) | Near::Member(_) => Self { near: Near::Member(user.clone()), site: None },
        }
    }
}

/// The number of connections from each origin. A site counts like a network with a tenth of its connections.
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

    /// How crowded this origin is.
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
