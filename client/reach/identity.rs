//! The identity of this run of the client towards other members: its key, the certificate of its tracker, and the time
//! at the tracker.

use crate::model::id::{ClientId, PeerKey};
use crate::sys::random::random_bytes;
use crate::wire::certificate::{CERTIFICATE_LIFE, Certificate, CertificateError, SignerKey};
use crate::wire::handshake::peer::PeerIdentity;
use crate::wire::handshake::{Secret, public_key};
use parking_lot::Mutex;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

/// The statement of a tracker about this client, and when it came.
#[derive(Debug, Clone)]
pub struct Certified {
    pub certificate: Certificate,
    /// The signer that certificates must have.
    pub signer: SignerKey,
    /// The tracker's time, in seconds since 1970, at the moment `heard`. The clock of this machine may be wrong by any
    /// amount.
    pub now_s: u64,
    pub heard: Instant,
    /// The tracker's number.
    pub tracker: u16,
    /// Whether the tracker relays data between members that cannot reach each other.
    pub relay: bool,
    /// The address at which the tracker sees this client.
    pub seen: SocketAddr,
}

impl Certified {
    /// The time at the tracker, in seconds since 1970.
    pub fn now_s(&self, now: Instant) -> u64 {
        self.now_s.saturating_add(now.saturating_duration_since(self.heard).as_secs())
    }
}

/// The key of this run, and the tracker's statement about it.
pub struct Identity {
    // Immutable.
    client: ClientId,
    secret: Secret,
    key: PeerKey,
    // Atomic.
    doubted: AtomicBool,
    // Locked.
    certified: Mutex<Option<Certified>>,
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identity({})", self.key)
    }
}

/// Why the certificate of another client is rejected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Doubt {
    /// No tracker has named the signer of certificates yet.
    NoSigner,
    /// The certificate is invalid or has expired.
    Certificate(CertificateError),
}

impl Identity {
    /// Makes a key. There is no certificate yet.
    ///
    /// # Errors
    /// The system gives no random bytes.
    pub fn new(client: ClientId) -> io::Result<Self> {
        let secret = Secret(random_bytes()?);
        let key = PeerKey(public_key(&secret));
        Ok(Self { client, secret, key, doubted: AtomicBool::new(false), certified: Mutex::default() })
    }

    pub fn client(&self) -> ClientId {
        self.client
    }

    pub fn key(&self) -> PeerKey {
        self.key
    }

    /// The private half of the key.
    pub fn secret(&self) -> &Secret {
        &self.secret
    }

    /// Takes a tracker's statement. Returns false if its certificate is not for this client.
    pub fn take(&self, certified: Certified) -> bool {
        let certificate = &certified.certificate;
        let is_mine = (certificate.client, certificate.key) == (self.client, self.key);
        let holds = is_mine && certificate.verify(&certified.signer, certified.now_s).is_ok();
        if holds {
            *self.certified.lock() = Some(certified);
            self.doubted.store(false, Ordering::Relaxed);
        }
        holds
    }

    /// Drops the certificate after a logout.
    pub fn forget(&self) {
        *self.certified.lock() = None;
    }

    /// The statement of the current tracker, or of the last one that was reached.
    pub fn certified(&self) -> Option<Certified> {
        self.certified.lock().clone()
    }

    /// The certificate of this client, to show to others.
    pub fn certificate(&self) -> Option<Certificate> {
        self.certified.lock().as_ref().map(|certified| certified.certificate.clone())
    }

    /// Notes that a peer rejects the certificate of this client.
    pub(super) fn doubt(&self) {
        self.doubted.store(true, Ordering::Relaxed);
    }

    /// Whether to ask for a new certificate: half of the lifetime is over, or a peer rejects it.
    pub fn is_due(&self, now: Instant) -> bool {
        let certified = self.certified.lock();
        let left_s = |certified: &Certified| certified.certificate.end.saturating_sub(certified.now_s(now));
        let is_due = |certified| left_s(certified) <= CERTIFICATE_LIFE.as_secs() / 2;
        certified.as_ref().is_some_and(|certified| is_due(certified) || self.doubted.load(Ordering::Relaxed))
    }

    /// The identity to show to others, once a tracker has certified it.
    pub fn shown(&self) -> Option<PeerIdentity> {
        let certificate = self.certificate()?;
        Some(PeerIdentity { secret: self.secret.clone(), certificate })
    }

    /// Checks the certificate of another client.
    ///
    /// # Errors
    /// The certificate is rejected.
    pub fn check(&self, certificate: &Certificate, now: Instant) -> Result<(), Doubt> {
        let (signer, now_s) = {
            let certified = self.certified.lock();
            let certified = certified.as_ref().ok_or(Doubt::NoSigner)?;
            (certified.signer, certified.now_s(now))
        };
        certificate.verify(&signer, now_s).map_err(Doubt::Certificate)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::model::name::UserId;
    use ring::signature::{Ed25519KeyPair, KeyPair};
    use std::time::Duration;

    const NOW_S: u64 = 1_900_000_000;

    fn sign(bytes: &[u8]) -> [u8; 64] {
        pair().sign(bytes).as_ref().try_into().expect("64 bytes")
    }

    fn pair() -> Ed25519KeyPair {
        Ed25519KeyPair::from_seed_unchecked(&[9; 32]).expect("32 bytes")
    }

    /// A tracker's statement about a client, at this time of the tracker.
    fn said(identity: &Identity, now_s: u64, heard: Instant) -> Certified {
        said_of(identity, UserId::parse("bob").expect("a name"), now_s, heard)
    }

    fn said_of(identity: &Identity, user: UserId, now_s: u64, heard: Instant) -> Certified {
        let end = now_s + CERTIFICATE_LIFE.as_secs();
        Certified {
            certificate: Certificate::new((identity.client(), user, identity.key()), end, sign),
            signer: SignerKey(pair().public_key().as_ref().try_into().expect("32 bytes")),
            now_s,
            heard,
            tracker: 1,
            relay: false,
            seen: ([127, 0, 0, 1], 1).into(),
        }
    }

    /// The identity of the client with this number, certified.
    pub(crate) fn certified(number: u8) -> Identity {
        let identity = Identity::new(ClientId([number; 16])).expect("random bytes");
        assert!(identity.take(said(&identity, NOW_S, Instant::now())));
        identity
    }

    /// As `certified`, of this user.
    pub(crate) fn certified_as(number: u8, user: &UserId) -> Identity {
        let identity = Identity::new(ClientId([number; 16])).expect("random bytes");
        assert!(identity.take(said_of(&identity, user.clone(), NOW_S, Instant::now())));
        identity
    }

    #[test]
    fn the_time_is_that_of_the_tracker_whatever_the_clock_of_this_machine_says() {
        // No local clock counts: the tracker's time may differ by years.
        let (ann, bob) = (certified(1), certified(2));
        let (now, day) = (Instant::now(), CERTIFICATE_LIFE);
        let shown = bob.certificate().expect("certified");
        assert_eq!(ann.check(&shown, now), Ok(()));
        assert_eq!(ann.check(&shown, now + day - Duration::from_secs(60)), Ok(()));
        let ended = Doubt::Certificate(CertificateError::Ended);
        assert_eq!(ann.check(&shown, now + day + Duration::from_secs(60)), Err(ended));
    }

    #[test]
    fn a_certificate_that_somebody_doubts_is_due_until_there_is_a_new_one() {
        let (ann, now) = (certified(1), Instant::now());
        ann.doubt();
        assert!(ann.is_due(now));
        assert!(ann.take(said(&ann, NOW_S, now)) && !ann.is_due(now));
    }

    #[test]
    fn a_certificate_is_due_at_half_of_its_time_and_counts_until_its_end() {
        let ann = certified(1);
        let now = Instant::now();
        assert!(!ann.is_due(now + CERTIFICATE_LIFE / 2 - Duration::from_secs(60)));
        assert!(ann.is_due(now + CERTIFICATE_LIFE / 2));
        let later = now + CERTIFICATE_LIFE / 2;
        assert!(ann.take(said(&ann, NOW_S + CERTIFICATE_LIFE.as_secs() / 2, later)));
        assert!(!ann.is_due(later + Duration::from_secs(60)));
    }

    #[test]
    fn a_certificate_for_another_client_or_another_key_is_not_taken() {
        let (ann, bob) = (certified(1), certified(2));
        assert!(!ann.take(said(&bob, NOW_S, Instant::now())));
        let mut forged = said(&ann, NOW_S, Instant::now());
        forged.certificate.end += 1;
        assert!(!ann.take(forged));
        ann.forget();
        assert!(ann.shown().is_none() && !ann.is_due(Instant::now() + CERTIFICATE_LIFE));
        assert_eq!(ann.check(&bob.certificate().expect("certified"), Instant::now()), Err(Doubt::NoSigner));
    }
}
