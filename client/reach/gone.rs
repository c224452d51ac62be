//! Addresses that this machine has lost: nothing arrives on connections from there. Pure.

use std::collections::{BTreeSet, VecDeque};
use std::net::IpAddr;

/// The maximum number of addresses to remember. The oldest are forgotten first.
const GONE_MAX: usize = 64;

/// The known addresses of this machine. An address that was never in the list does not count as lost, because some
/// systems have addresses outside the list.
#[derive(Debug, Default)]
pub(crate) struct GoneAddresses {
    present: BTreeSet<IpAddr>,
    gone: VecDeque<IpAddr>,
}

impl GoneAddresses {
    /// Takes the current addresses. Returns the lost ones, if they have changed.
    pub(crate) fn look(&mut self, present: impl IntoIterator<Item = IpAddr>) -> Option<Vec<IpAddr>> {
        let present: BTreeSet<_> = present.into_iter().collect();
        let before = std::mem::replace(&mut self.present, present);
        let known = self.gone.len();
        self.gone.retain(|ip| !self.present.contains(ip));
        let back = known > self.gone.len();
        let lost: Vec<_> = before.difference(&self.present).copied().filter(|ip| can_go(*ip)).collect();
        self.gone.extend(&lost);
        self.gone.drain(..self.gone.len().saturating_sub(GONE_MAX));
        (back || !lost.is_empty()).then(|| self.gone.iter().copied().collect())
    }
}

fn can_go(ip: IpAddr) -> bool {
    let ip = ip.to_canonical();
    !ip.is_loopback() && !ip.is_unspecified()
}

/// Whether a connection with this local address is dead.
pub(crate) fn is_from(local: Option<IpAddr>, gone: &[IpAddr]) -> bool {
    local.is_some_and(|local| gone.contains(&local.to_canonical()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(texts: &[&str]) -> Vec<IpAddr> {
        texts.iter().map(|text| text.parse().expect("an address")).collect()
    }

    #[test]
    fn an_address_is_gone_from_when_the_machine_has_lost_it_until_it_is_back() {
        let mut addresses = GoneAddresses::default();
        assert_eq!(addresses.look(all(&["127.0.0.1", "203.0.113.6", "2001:db8::5"])), None);
        assert_eq!(addresses.look(all(&["127.0.0.1", "203.0.113.6", "2001:db8::5"])), None);
        assert_eq!(addresses.look(all(&["127.0.0.1", "2001:db8::5"])), Some(all(&["203.0.113.6"])));
        assert_eq!(addresses.look(all(&["127.0.0.1", "2001:db8::5", "10.0.0.1"])), None, "known");
        assert_eq!(addresses.look(all(&["127.0.0.1"])), Some(all(&["203.0.113.6", "10.0.0.1", "2001:db8::5"])));
        let left = Some(all(&["10.0.0.1", "2001:db8::5"]));
        assert_eq!(addresses.look(all(&["127.0.0.1", "203.0.113.6"])), left);
    }

    #[test]
    fn loopback_and_unspecified_addresses_are_never_gone_nor_is_one_that_was_never_listed() {
        let mut addresses = GoneAddresses::default();
        assert_eq!(addresses.look(all(&["127.0.0.1", "127.8.8.8", "::1", "0.0.0.0", "::", "10.0.0.1"])), None);
        let gone = addresses.look(None).expect("one is");
        assert_eq!(gone, all(&["10.0.0.1"]));
        for (local, from) in [("10.0.0.1", true), ("::ffff:10.0.0.1", true), ("127.0.0.1", false), ("9.9.9.9", false)] {
            assert_eq!(is_from(local.parse().ok(), &gone), from, "{local}");
        }
        assert!(!is_from(None, &gone));
    }

    #[test]
    fn a_machine_that_has_a_new_address_every_day_remembers_the_latest() {
        let mut addresses = GoneAddresses::default();
        let day = |day: u8| IpAddr::from([10, 0, 0, day]);
        (0..=200).for_each(|number| drop(addresses.look([day(number)])));
        assert_eq!(addresses.gone.len(), GONE_MAX);
        assert_eq!(addresses.gone.back(), Some(&day(199)));
    }
}
