//! Limits how often this client dials an address that another member names: the address may be that of a third machine.
//! Pure: the time is passed in.

use crate::rate::buckets::{Buckets, Pace};
use crate::sys::random::random_bytes;
use parking_lot::Mutex;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// The maximum number of dials of one side to an address at which both are to meet.
const KNOCKS_MAX: u32 = 12;
/// A host that accepts a connection and fails the handshake counts as this many knocks.
const ACCEPTED_KNOCKS: u32 = 4;
/// The pause after the first knock, in ms. The pause doubles each time, up to `PAUSE_MAX_MS`.
const PAUSE_MS: u64 = 10;
const PAUSE_MAX_MS: u64 = 200;
/// The pause after an attempt that this machine itself has refused. Nothing was sent then.
pub(in super::super) const LOCAL_PAUSE: Duration = Duration::from_millis(20);

/// How often dials of an address may fail, whichever member names it.
const VAIN_PACE: Pace = Pace { burst: 4, interval: Duration::from_secs(15) };
/// How often an address may accept a connection, whichever member names it. This client cannot tell which host is
/// there.
const ACCEPTED_PACE: Pace = Pace { burst: 32, interval: Duration::from_secs(2) };

/// The knocks of one side at one address.
#[derive(Debug, Default, Clone, Copy)]
pub(in super::super) struct KnockPace {
    knocks: u32,
}

impl KnockPace {
    /// The pause before the next knock after a rejected one. `None` if that was the last one.
    pub(in super::super) fn rejected(&mut self) -> Option<Duration> {
        self.count(1)
    }

    /// As `rejected`, after a connection without a handshake.
    pub(in super::super) fn met_another(&mut self) -> Option<Duration> {
        self.count(ACCEPTED_KNOCKS)
    }

    fn count(&mut self, knocks: u32) -> Option<Duration> {
        let middle = PAUSE_MAX_MS.min(PAUSE_MS << self.knocks);
        self.knocks += knocks;
        // If both sides paused for the same time, they would reject each other for ever.
        let chance = random_bytes().map_or(0, |[byte]: [u8; 1]| u64::from(byte));
        let pause = Duration::from_micros(middle * 500 + middle * 1000 * chance / 256);
        (self.knocks < KNOCKS_MAX).then_some(pause)
    }
}

/// Addresses whose dials have failed lately. Such an address rests, even if another member names it. The number of
/// addresses that others can name at once bounds the size of this list.
#[derive(Debug)]
pub(in super::super) struct AddressRests(Mutex<RestFields>);

#[derive(Debug)]
struct RestFields {
    vain: Buckets<SocketAddr>,
    accepted: Buckets<SocketAddr>,
}

impl Default for AddressRests {
    fn default() -> Self {
        Self(Mutex::new(RestFields { vain: Buckets::new(VAIN_PACE), accepted: Buckets::new(ACCEPTED_PACE) }))
    }
}

impl AddressRests {
    /// The addresses that do not rest. Each counts as failed until more is known.
    pub(in super::super) fn admit(&self, addrs: &[SocketAddr], now: Instant) -> Vec<SocketAddr> {
        let fields = &mut *self.0.lock();
        let mut admitted = Vec::new();
        for addr in addrs.iter().copied() {
            let rested = fields.vain.allows(&addr, now) && fields.accepted.allows(&addr, now);
            if rested && !admitted.contains(&addr) {
                fields.vain.take(&addr, now);
                admitted.push(addr);
            }
        }
        admitted
    }

    /// Notes that the right client is at this address.
    pub(in super::super) fn met(&self, addr: SocketAddr) {
        let fields = &mut *self.0.lock();
        fields.vain.refill(&addr);
        fields.accepted.refill(&addr);
    }

    /// Notes that a host has accepted a connection there.
    pub(in super::super) fn accepted(&self, addr: SocketAddr, now: Instant) {
        let fields = &mut *self.0.lock();
        fields.vain.give_back(&addr);
        fields.accepted.take(&addr, now);
    }

    /// Notes that this address was not tried, because its turn did not come.
    pub(in super::super) fn untried(&self, addr: SocketAddr) {
        self.0.lock().vain.give_back(&addr);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addr(port: u16) -> SocketAddr {
        ([192, 0, 2, 1], port).into()
    }

    #[test]
    fn an_address_that_rejects_gets_twelve_knocks_with_pauses_that_grow_within_the_time_of_a_punch() {
        let (mut pace, mut pauses) = (KnockPace::default(), Vec::new());
        while let Some(pause) = pace.rejected() {
            pauses.push(pause);
        }
        assert_eq!(pauses.len(), 11);
        for (pause, middle) in pauses.iter().zip([10, 20, 40, 80, 160, 200, 200, 200, 200, 200, 200]) {
            let middle = Duration::from_millis(middle);
            assert!(*pause >= middle / 2 && *pause < middle * 3 / 2, "{pauses:?}");
        }
        assert!(pauses.iter().sum::<Duration>() < super::super::PUNCH_DEADLINE);
    }

    #[test]
    fn a_program_that_accepts_and_is_another_one_gets_three_connections() {
        let mut pace = KnockPace::default();
        assert!(pace.met_another().is_some() && pace.met_another().is_some() && pace.met_another().is_none());
    }

    #[test]
    fn an_address_that_comes_to_nothing_rests_whoever_names_it() {
        let (rests, now) = (AddressRests::default(), Instant::now());
        let tried =
            |rests: &AddressRests, at| (0..100).filter(|_| !rests.admit(&[addr(1), addr(1)], at).is_empty()).count();
        assert_eq!(tried(&rests, now), 4);
        assert_eq!(rests.admit(&[addr(1), addr(2)], now), [addr(2)], "another one is not concerned");
        assert_eq!(tried(&rests, now + Duration::from_secs(15)), 1);
    }

    #[test]
    fn an_address_at_which_the_member_is_does_not_rest() {
        let (rests, now) = (AddressRests::default(), Instant::now());
        for _ in 0..100 {
            assert_eq!(rests.admit(&[addr(1)], now), [addr(1)]);
            rests.met(addr(1));
        }
        for _ in 0..100 {
            assert_eq!(rests.admit(&[addr(2)], now), [addr(2)]);
            rests.untried(addr(2));
        }
    }

    #[test]
    fn an_address_that_accepts_is_dialed_for_many_files_and_not_for_ever() {
        let (rests, now) = (AddressRests::default(), Instant::now());
        let mut count = 0;
        while !rests.admit(&[addr(1)], now).is_empty() {
            rests.accepted(addr(1), now);
            count += 1;
        }
        assert_eq!(count, 32);
        assert_eq!(rests.admit(&[addr(1)], now + Duration::from_secs(2)), [addr(1)]);
    }
}
