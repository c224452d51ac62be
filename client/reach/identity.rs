//! Who this run of the client is to other members: its key, the certificate that its tracker gave it, and what time it
//! is at the tracker.

use crate::model::id::{ClientId, PeerKey};
use crate::sys::random::random_bytes;
use crate::wire::certificate::{Certificate, CertificateError, SignerKey};
use crate::wire::handshake::{Secret, public_key};
use parking_lot::Mutex;
use std::fmt;
use std::io;
use std::net::SocketAddr;
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
        Ok(Self { client, secret, key, certified: Mutex::default() })
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
