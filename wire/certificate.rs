//! Certificates: signed statements of a tracker about a running client. With them other clients need not ask a tracker.

use super::codec::{Wire, wire_struct};
use crate::model::id::{ClientId, PeerKey};
use crate::model::name::UserId;
use ring::signature::{ED25519, UnparsedPublicKey};
use std::fmt;
use std::time::Duration;

/// How long a certificate is valid after it was made.
pub const CERTIFICATE_LIFE: Duration = Duration::from_secs(24 * 60 * 60);
/// Separates certificates from other things that the same key may sign.
const CONTEXT: &[u8] = b"groupshare certificate 1";

/// The public key with which trackers of one installation sign (Ed25519).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SignerKey(pub [u8; 32]);
wire_struct!(SignerKey { 0 });

/// States that a running client belongs to a user and has this key. The tracker where the user is logged in signs it.
#[derive(Clone, PartialEq, Eq)]
pub struct Certificate {
    pub client: ClientId,
    pub user: UserId,
    pub key: PeerKey,
    /// When it ends, in seconds since 1970.
    pub end: u64,
    /// Ed25519, over all fields before it.
    pub signature: [u8; 64],
}
wire_struct!(Certificate { client, user, key, end, signature });

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Certificate({} {:?} {} until {})", self.user, self.client, self.key, self.end)
    }
}

/// Why a certificate proves nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CertificateError {
    /// No tracker of this installation signed it.
    Forged,
    /// Its time is over.
    Ended,
}

impl fmt::Display for CertificateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            CertificateError::Forged => "no tracker of this installation signed the certificate",
            CertificateError::Ended => "the certificate has ended",
        })
    }
}

impl std::error::Error for CertificateError {}

impl Certificate {
    /// Makes a certificate; `sign` signs the bytes that it is given.
    pub fn new(
        (client, user, key): (ClientId, UserId, PeerKey),
        end: u64,
        sign: impl FnOnce(&[u8]) -> [u8; 64],
    ) -> Self {
        let mut certificate = Self { client, user, key, end, signature: [0; 64] };
        certificate.signature = sign(&certificate.signed());
        certificate
    }

    /// Checks that a tracker with this key signed the certificate, and that it is valid at this time, in seconds since
    /// 1970.
    ///
    /// # Errors
    /// The certificate proves nothing.
    pub fn verify(&self, signer: &SignerKey, now_s: u64) -> Result<(), CertificateError> {
        let signed = UnparsedPublicKey::new(&ED25519, signer.0).verify(&self.signed(), &self.signature);
        signed.map_err(|_| CertificateError::Forged)?;
        if self.end <= now_s { Err(CertificateError::Ended) } else { Ok(()) }
    }

    /// How far the signer's clock is at least ahead of this time, in seconds since 1970. The end of the certificate
    /// tells: it is one day after the signer made the certificate.
    pub fn signer_is_ahead(&self, now_s: u64) -> Duration {
        Duration::from_secs(self.end.saturating_sub(now_s).saturating_sub(CERTIFICATE_LIFE.as_secs()))
    }

    /// The bytes that the signature covers.
    fn signed(&self) -> Vec<u8> {
        let mut bytes = CONTEXT.to_vec();
        self.client.put(&mut bytes);
        self.user.put(&mut bytes);
        self.key.put(&mut bytes);
        self.end.put(&mut bytes);
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ring::signature::{Ed25519KeyPair, KeyPair};

    const NOW_S: u64 = 1_800_000_000;

    fn pair(seed: u8) -> (Ed25519KeyPair, SignerKey) {
        let pair = Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).expect("a seed has 32 bytes");
        let public = SignerKey(pair.public_key().as_ref().try_into().expect("a key has 32 bytes"));
        (pair, public)
    }

    fn certificate(seed: u8) -> Certificate {
        let user = UserId::parse("bob").expect("a name");
        Certificate::new((ClientId([1; 16]), user, PeerKey([2; 32])), NOW_S + 10, |bytes| {
            pair(seed).0.sign(bytes).as_ref().try_into().expect("a signature has 64 bytes")
        })
    }

    #[test]
    fn a_certificate_holds_until_its_end() {
        let (signer, bob) = (pair(1).1, certificate(1));
        assert_eq!(bob.verify(&signer, NOW_S), Ok(()));
        assert_eq!(bob.verify(&signer, NOW_S + 9), Ok(()));
        assert_eq!(bob.verify(&signer, NOW_S + 10), Err(CertificateError::Ended));
    }

    #[test]
    fn a_certificate_that_ends_too_late_shows_how_far_its_signer_is_ahead() {
        let bob = Certificate { end: NOW_S + CERTIFICATE_LIFE.as_secs() + 90, ..certificate(1) };
        assert_eq!(bob.signer_is_ahead(NOW_S), Duration::from_secs(90));
        assert_eq!(bob.signer_is_ahead(NOW_S + 90), Duration::ZERO);
        assert_eq!(bob.signer_is_ahead(0), Duration::from_secs(NOW_S + 90));
    }

    #[test]
    fn any_change_in_a_certificate_makes_it_worthless() {
        let (signer, bob) = (pair(1).1, certificate(1));
        let changed = [
            Certificate { client: ClientId([9; 16]), ..bob.clone() },
            Certificate { user: UserId::parse("bobby").expect("a name"), ..bob.clone() },
            Certificate { key: PeerKey([9; 32]), ..bob.clone() },
            Certificate { end: bob.end + 1, ..bob.clone() },
            Certificate { signature: [9; 64], ..bob.clone() },
        ];
        for changed in changed {
            assert_eq!(changed.verify(&signer, NOW_S), Err(CertificateError::Forged), "{changed:?}");
        }
        assert_eq!(bob.verify(&pair(2).1, NOW_S), Err(CertificateError::Forged), "another installation");
    }
}
