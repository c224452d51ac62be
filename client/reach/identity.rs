//! Who this run of the client is to other members: its key, the certificate that its tracker gave it, and what time it
//! is at the tracker.

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

/// What a tracker said of this client, and when it said so.
#[derive(Debug, Clone)]
pub struct Certified {
    pub certificate: Certificate,
    /// Whose signature a certificate has to bear.
    pub signer: SignerKey,
    /// What time it was at the tracker, in seconds since 1970, and when that was here. The clock of this machine may be
    /// wrong by any time.
    pub now_s: u64,
    pub heard: Instant,
    /// The tracker's number.
    pub tracker: u16,
    /// Whether it passes on what members say who cannot reach each other.
    pub relay: bool,
    /// Where it sees this client.
    pub seen: SocketAddr,
}

impl Certified {
    /// What time it is at the tracker, in seconds since 1970.
    pub fn now_s(&self, now: Instant) -> u64 {
        self.now_s.saturating_add(now.saturating_duration_since(self.heard).as_secs())
    }
}

/// The key of this run, and what its tracker said of it.
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

/// Why the certificate of another client counts for nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Doubt {
    /// No tracker has said yet who signs certificates.
    NoSigner,
    /// It is not one, or has ended.
    Certificate(CertificateError),
}

impl Identity {
    /// Makes a key. No certificate is there yet.
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

    /// Takes what a tracker said. Returns false if its certificate is not for this client.
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

    /// The user has logged out: nothing is certified any more.
    pub fn forget(&self) {
        *self.certified.lock() = None;
    }

    /// What the tracker said, or the last one that was reached.
    pub fn certified(&self) -> Option<Certified> {
        self.certified.lock().clone()
    }

    /// The certificate of this client, to show to others.
    pub fn certificate(&self) -> Option<Certificate> {
        self.certified.lock().as_ref().map(|certified| certified.certificate.clone())
    }

    /// Somebody says that the certificate of this client does not hold.
    pub(super) fn doubt(&self) {
        self.doubted.store(true, Ordering::Relaxed);
    }

    /// Whether it is time to ask for a new certificate: half of the time of this one is over, or somebody doubts it.
    pub fn is_due(&self, now: Instant) -> bool {
        let certified = self.certified.lock();
        let left_s = |certified: &Certified| certified.certificate.end.saturating_sub(certified.now_s(now));
        let is_due = |certified| left_s(certified) <= CERTIFICATE_LIFE.as_secs() / 2;
        certified.as_ref().is_some_and(|certified| is_due(certified) || self.doubted.load(Ordering::Relaxed))
    }

    /// Who this client is to others, once a tracker has certified it.
    pub fn shown(&self) -> Option<PeerIdentity> {
        let certificate = self.certificate()?;
        Some(PeerIdentity { secret: self.secret.clone(), certificate })
    }

    /// Checks the certificate of another client.
    ///
    /// # Errors
    /// It counts for nothing.
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

    /// What a tracker says of a client, where it is this time.
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

    /// The same, of this user.
    pub(crate) fn certified_as(number: u8, user: &UserId) -> Identity {
        let identity = Identity::new(ClientId([number; 16])).expect("random bytes");
        assert!(identity.take(said_of(&identity, user.clone(), NOW_S, Instant::now())));
        identity
    }

    #[test]
    fn the_time_is_that_of_the_tracker_whatever_the_clock_of_this_machine_says() {
        // The clock of no machine is asked: the tracker may be years away from it.
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
