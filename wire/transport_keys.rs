//! The keys of a connection after its handshake. They seal and open records in place. The library of the handshake
//! copies each record before it applies AES.

use super::handshake::features::Features;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use snow::HandshakeState;
use std::fmt;
use zeroize::Zeroize;

/// Bytes that authentication adds to a record (AES-GCM).
pub const TAG_LEN: usize = 16;

/// A record was not made with these keys, or it is out of order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Forged;

/// The keys of both directions, and what both sides know.
pub struct TransportKeys {
    outgoing: LessSafeKey,
    incoming: LessSafeKey,
    features: Features,
}

impl fmt::Debug for TransportKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TransportKeys(..)")
    }
}

impl TransportKeys {
    /// The keys of a handshake (Noise specification, section 5.2, `Split`) with a side that knows these features.
    /// `None` if the handshake is not finished.
    pub fn of(mut noise: HandshakeState, theirs: Features) -> Option<Self> {
        if !noise.is_handshake_finished() {
            return None;
        }
        let (mut of_initiator, mut of_responder) = noise.dangerously_get_raw_split();
        let key = |bytes: &[u8]| UnboundKey::new(&AES_256_GCM, bytes).map(LessSafeKey::new).ok();
        let (first, second) = (key(&of_initiator), key(&of_responder));
        of_initiator.zeroize();
        of_responder.zeroize();
        let (outgoing, incoming) = if noise.is_initiator() { (first, second) } else { (second, first) };
        Some(Self { outgoing: outgoing?, incoming: incoming?, features: Features::KNOWN.common(theirs) })
    }

    /// The features that both sides know.
    pub fn features(&self) -> Features {
        self.features
    }

    /// Encrypts a record in place. Returns its tag.
    pub fn seal(&self, number: u64, plain: &mut [u8]) -> [u8; TAG_LEN] {
        let tag = self.outgoing.seal_in_place_separate_tag(nonce(number), Aad::empty(), plain);
        let tag = tag.expect("a record is far shorter than AES-GCM allows");
        tag.as_ref().try_into().expect("a tag of 16 bytes")
    }

    /// Decrypts a record with its tag in place. Returns the plaintext.
    ///
    /// # Errors
    /// The record is forged or out of order. Its bytes are then worthless.
    pub fn open<'a>(&self, number: u64, record: &'a mut [u8]) -> Result<&'a mut [u8], Forged> {
        self.incoming.open_in_place(nonce(number), Aad::empty(), record).map_err(|_| Forged)
    }
}

/// The nonce of a record (Noise specification, section 12.4, `AESGCM`).
fn nonce(number: u64) -> Nonce {
    let mut nonce = [0; NONCE_LEN];
    nonce[NONCE_LEN - 8..].copy_from_slice(&number.to_be_bytes());
    Nonce::assume_unique_for_key(nonce)
}

#[cfg(test)]
mod tests {
    use super::super::handshake::tests::{finished, keys};
    use super::*;

    /// This room does what the library of the handshake does, byte for byte.
    #[test]
    fn records_are_those_of_the_library_of_the_handshake() {
        let (near, far) = finished();
        let near = TransportKeys::of(near, Features::KNOWN).expect("finished");
        let far = far.into_stateless_transport_mode().expect("finished");
        for number in [0, 1, 255, 1 << 40] {
            let plain = [number as u8; 100];
            let mut record = [plain.as_slice(), &[0; TAG_LEN]].concat();
            let tag = near.seal(number, &mut record[..100]);
            record[100..].copy_from_slice(&tag);
            let mut opened = [0; 100 + TAG_LEN];
            assert_eq!(far.read_message(number, &record, &mut opened).ok(), Some(100));
            assert_eq!(opened[..100], plain);
        }
    }

    #[test]
    fn a_record_opens_at_the_other_end_once_and_in_its_turn_only() {
        let (near, far) = keys();
        let mut record = b"secret".to_vec();
        let tag = near.seal(7, &mut record);
        record.extend_from_slice(&tag);
        assert_eq!(far.open(8, &mut record.clone()), Err(Forged));
        assert_eq!(near.open(7, &mut record.clone()), Err(Forged), "the other direction");
        assert_eq!(far.open(7, &mut record).map(|plain| plain.to_vec()), Ok(b"secret".to_vec()));
    }
}
