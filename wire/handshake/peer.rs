//! The handshake between clients. The connecting client knows which client it calls, and only that client can read its
//! first message. The message names the key of the group and carries the caller's certificate.

use super::probe::proves;
use super::{
    Dialect, HANDSHAKE_LEN_MAX, HandshakeError, Secret, answer, answer_len, crypto, greet, params, preface, read_first,
    read_message, read_preface, take_message, turn_away,
};
use crate::model::digest::KeyId;
use crate::model::id::PeerKey;
use crate::wire::certificate::Certificate;
use crate::wire::codec::{Decoder, Wire, to_bytes};
use crate::wire::handshake::features::Features;
use crate::wire::refusal::Code;
use crate::wire::transport_keys::TransportKeys;
use snow::{Builder, HandshakeState};
use std::fmt;
use std::io::{Read, Write};

const PEER_PATTERN: &str = "Noise_IKpsk2_25519_AESGCM_SHA256";
/// The place of the group's key in the pattern.
const PSK_AT: u8 = 2;

/// A client's identity among its peers.
#[derive(Debug, Clone)]
pub struct PeerIdentity {
    /// The private half of the client's key.
    pub secret: Secret,
    pub certificate: Certificate,
}

/// The caller that a client has accepted.
#[derive(Debug)]
pub struct PeerCaller {
    pub keys: TransportKeys,
    /// The group's key.
    pub key: KeyId,
    pub certificate: Certificate,
}

/// Connects to the client that has this key, under the key of a group.
pub fn peer_to_peer(
    stream: &mut (impl Read + Write),
    me: &PeerIdentity,
    their: PeerKey,
    group: (KeyId, &Secret),
) -> Result<TransportKeys, HandshakeError> {
    let (greeting, bytes) = peer_greets(me, their, group)?;
    stream.write_all(&bytes)?;
    greeting.hear(&read_answer(stream)?)
}

/// A client that has sent its greeting and waits for the answer.
pub struct PeerGreeting(HandshakeState);

/// The first half of connecting to another client, for a caller that waits on several sockets. Returns the waiting
/// state and the bytes to send.
pub fn peer_greets(
    me: &PeerIdentity,
    their: PeerKey,
    (id, key): (KeyId, &Secret),
) -> Result<(PeerGreeting, Vec<u8>), HandshakeError> {
    let prologue = preface(Dialect::PeerPeer, None);
    let noise = builder(&prologue, &me.secret)?.remote_public_key(&their.0).map_err(crypto)?;
    let noise = noise.psk(PSK_AT, &key.0).map_err(crypto)?.build_initiator().map_err(crypto)?;
    let mut brings = to_bytes(&Features::KNOWN);
    id.put(&mut brings);
    me.certificate.put(&mut brings);
    let (noise, bytes) = greet(&prologue, noise, &brings)?;
    Ok((PeerGreeting(noise), bytes))
}

impl PeerGreeting {
    /// The second half: takes all bytes of the answer. [`answer_len`] says how many they are.
    pub fn hear(self, answer: &[u8]) -> Result<TransportKeys, HandshakeError> {
        let PeerGreeting(mut noise) = self;
        let theirs = take_message(&mut noise, &read_message(&mut &*answer)?)?;
        TransportKeys::of(noise, theirs).ok_or(HandshakeError::Crypto)
    }
}

impl fmt::Debug for PeerGreeting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PeerGreeting(..)")
    }
}

/// The length of a caller's opening as far as its first bytes tell it, for a side that waits on several sockets. For an
/// opening that this side refuses, the length ends where the refusal is certain.
pub fn opening_len(begun: &[u8]) -> usize {
    let accepted = [Dialect::PeerPeer, Dialect::Probe].map(|dialect| preface(dialect, None));
    let len = accepted[0].len();
    match begun.split_at_checked(len) {
        Some((front, message)) if accepted.iter().any(|preface| preface == front) => match message {
            &[high, low, ..] => {
                let message_len = usize::from(u16::from_be_bytes([high, low]));
                len + 2 + if message_len <= HANDSHAKE_LEN_MAX { message_len } else { 0 }
            }
            _ => len + 2,
        },
        _ => len,
    }
}

/// Accepts another client, at the client with this key. `admit` checks the caller's certificate. It returns the key of
/// the group, or a code of refusal. The caller's handshake message may be a replay, so the caller has proved nothing
/// before its first frame is decrypted.
pub fn peer_accepts(
    stream: &mut (impl Read + Write),
    secret: &Secret,
    admit: impl FnOnce(KeyId, &Certificate) -> Result<Secret, Code>,
) -> Result<PeerCaller, HandshakeError> {
    match read_preface(stream)? {
        Some(Dialect::PeerPeer) => {}
        Some(Dialect::Probe) => return Err(proves(stream, secret).err().unwrap_or(HandshakeError::Probed)),
        _ => return turn_away(stream, Code::UnknownKind),
    }
    let prologue = preface(Dialect::PeerPeer, None);
    let mut noise = builder(&prologue, secret)?.build_responder().map_err(crypto)?;
    let mut brought = [0; HANDSHAKE_LEN_MAX];
    let Ok(len) = noise.read_message(&read_first(stream)?, &mut brought) else {
        return turn_away(stream, Code::OtherClient);
    };
    let Some((theirs, id, certificate)) = read_brought(&brought[..len]) else {
        return turn_away(stream, Code::Malformed);
    };
    if noise.get_remote_static() != Some(&certificate.key.0[..]) {
        return turn_away(stream, Code::BadCertificate);
    }
    match admit(id, &certificate) {
        Ok(key) => {
            noise.set_psk(PSK_AT.into(), &key.0).map_err(crypto)?;
            let noise = answer(stream, noise, &to_bytes(&Features::KNOWN))?;
            let keys = TransportKeys::of(noise, theirs).ok_or(HandshakeError::Crypto)?;
            Ok(PeerCaller { keys, key: id, certificate })
        }
        Err(code) => turn_away(stream, code),
    }
}

fn builder<'a>(prologue: &'a [u8], secret: &'a Secret) -> Result<Builder<'a>, HandshakeError> {
    let noise = Builder::new(params(PEER_PATTERN)).prologue(prologue).map_err(crypto)?;
    noise.local_private_key(&secret.0).map_err(crypto)
}

/// The payload of the first message.
fn read_brought(bytes: &[u8]) -> Option<(Features, KeyId, Certificate)> {
    let mut from = Decoder::new(bytes);
    let brought = (Features::take(&mut from).ok()?, KeyId::take(&mut from).ok()?, Certificate::take(&mut from).ok()?);
    from.finish().ok().map(|()| brought)
}

/// Reads an answer and no byte behind it.
fn read_answer(stream: &mut impl Read) -> Result<Vec<u8>, HandshakeError> {
    let mut answer = Vec::new();
    while answer.len() < answer_len(&answer)? {
        let had = answer.len();
        answer.resize(answer_len(&answer)?, 0);
        stream.read_exact(&mut answer[had..])?;
    }
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use super::super::tests::{GROUP_KEY, KEY_ID, LINK, Script, TRACKER_KEY, accepts_all, is_closed, keys, meet, talk};
    use super::super::{client_to_tracker, public_key, put_message, tracker_to_tracker};
    use super::*;
    use crate::model::id::ClientId;
    use crate::model::name::UserId;
    use crate::wire::record_layer::RecordError;

    const SEEDER: Secret = Secret([11; 32]);
    const LEECHER: Secret = Secret([12; 32]);

    fn key_of(secret: &Secret) -> PeerKey {
        PeerKey(public_key(secret))
    }

    fn leecher() -> PeerIdentity {
        let (client, user) = (ClientId([3; 16]), UserId::parse("bob").expect("a name"));
        let certificate = Certificate::new((client, user, key_of(&LEECHER)), 9, |_| [4; 64]);
        PeerIdentity { secret: LEECHER, certificate }
    }

    fn knows_the_group(id: KeyId, certificate: &Certificate) -> Result<Secret, Code> {
        assert_eq!(certificate.user.as_str(), "bob");
        if id == KEY_ID { Ok(GROUP_KEY) } else { Err(Code::UnknownKey) }
    }

    fn accepts(far: &mut (impl Read + Write)) -> Result<PeerCaller, HandshakeError> {
        peer_accepts(far, &SEEDER, knows_the_group)
    }

    fn greets(near: &mut (impl Read + Write)) -> Result<TransportKeys, HandshakeError> {
        peer_to_peer(near, &leecher(), key_of(&SEEDER), (KEY_ID, &GROUP_KEY))
    }

    /// The leecher's opening, and the state that waits for the answer.
    fn opening() -> (PeerGreeting, Vec<u8>) {
        peer_greets(&leecher(), key_of(&SEEDER), (KEY_ID, &GROUP_KEY)).expect("its keys are right")
    }

    #[test]
    fn members_of_a_group_meet_under_its_key_and_the_one_called_learns_who_calls() {
        let (near, far) = meet(greets, accepts);
        let (near, far) = (near.expect("meets"), far.expect("meets"));
        assert_eq!((far.key, far.certificate), (KEY_ID, leecher().certificate));
        assert_eq!((talk(&near, &far.keys), talk(&far.keys, &near)), (Ok(true), Ok(true)));
        // A side does not accept its own sealed bytes.
        assert_eq!(talk(&near, &near), Err(RecordError::Forged));
    }

    #[test]
    fn a_caller_without_the_key_of_the_group_does_not_understand_the_answer() {
        let (near, far) = meet(
            |near| peer_to_peer(near, &leecher(), key_of(&SEEDER), (KEY_ID, &TRACKER_KEY)),
            |far| accepts(far).map(drop),
        );
        assert!(matches!(near, Err(HandshakeError::Crypto)));
        assert!(far.is_ok(), "it has proved nothing yet, and no frame of it will open");
    }

    #[test]
    fn one_who_is_called_and_lacks_the_key_of_the_group_is_not_believed() {
        let (near, _) = meet(greets, |far| peer_accepts(far, &SEEDER, |_, _| Ok(TRACKER_KEY)).map(drop));
        assert!(matches!(near, Err(HandshakeError::Crypto)));
    }

    #[test]
    fn another_client_than_the_one_called_says_so_and_learns_nothing() {
        let asked =
            |_: KeyId, _: &Certificate| -> Result<Secret, Code> { panic!("another client read the certificate") };
        let (near, far) = meet(greets, |far| peer_accepts(far, &LEECHER, asked).map(drop));
        assert!(matches!(near, Err(HandshakeError::Refused(Some(Code::OtherClient)))));
        assert!(matches!(far, Err(HandshakeError::Turned(Code::OtherClient))));
    }

    #[test]
    fn a_thief_of_a_certificate_is_turned_away() {
        let thief = PeerIdentity { secret: Secret([13; 32]), ..leecher() };
        let asked = |_: KeyId, _: &Certificate| -> Result<Secret, Code> { panic!("it is not theirs") };
        let (near, far) = meet(
            |near| peer_to_peer(near, &thief, key_of(&SEEDER), (KEY_ID, &GROUP_KEY)),
            |far| peer_accepts(far, &SEEDER, asked).map(drop),
        );
        assert!(matches!(near, Err(HandshakeError::Refused(Some(Code::BadCertificate)))));
        assert!(matches!(far, Err(HandshakeError::Turned(Code::BadCertificate))));
    }

    #[test]
    fn an_unknown_key_of_a_group_is_refused_in_the_clear_and_the_refusal_is_read() {
        let unknown = (KeyId([1; 16]), &GROUP_KEY);
        let (near, far) =
            meet(|near| peer_to_peer(near, &leecher(), key_of(&SEEDER), unknown), |far| accepts(far).map(drop));
        assert!(matches!(near, Err(HandshakeError::Refused(Some(Code::UnknownKey)))));
        assert!(matches!(far, Err(HandshakeError::Turned(Code::UnknownKey))));
    }

    #[test]
    fn each_dialect_is_refused_where_it_is_not_spoken() {
        let refused = |error: Result<(), HandshakeError>| {
            assert!(matches!(error, Err(HandshakeError::Refused(Some(Code::UnknownKind)))), "{error:?}");
        };
        refused(meet(|near| client_to_tracker(near).map(drop), |far| accepts(far).map(drop)).0);
        refused(meet(|near| tracker_to_tracker(near, LINK.0, &LINK.1).map(drop), |far| accepts(far).map(drop)).0);
        refused(meet(|near| greets(near).map(drop), |far| accepts_all(far).map(drop)).0);
    }

    #[test]
    fn nothing_of_the_group_and_of_who_calls_is_readable() {
        let (_, said) = opening();
        let secrets: [&[u8]; 4] = [&KEY_ID.0, b"bob", &[3; 16], &key_of(&LEECHER).0];
        for secret in secrets {
            assert!(!said.windows(secret.len()).any(|bytes| bytes == secret), "{secret:?}");
        }
    }

    #[test]
    fn the_first_message_of_a_member_can_be_replayed_but_no_frame_can_follow() {
        let (greeting, recorded) = opening();
        let mut first = Script::new(recorded.clone());
        let first_keys = accepts(&mut first).expect("the member itself").keys;
        let member = greeting.hear(&first.output).expect("the member reads the answer");
        assert_eq!(talk(&member, &first_keys), Ok(true));

        // The handshake completes at the seeder, as it must: the first message proves no time.
        let mut second = Script::new(recorded);
        let second_keys = accepts(&mut second).expect("completes").keys;
        assert_ne!(first.output, second.output);
        // The seeder's new share of the secret makes other keys. So neither the member's recorded frames nor anything
        // else from the replaying side opens.
        assert_eq!(talk(&member, &second_keys), Err(RecordError::Forged));
        assert_eq!(talk(&keys().0, &second_keys), Err(RecordError::Forged));
    }

    #[test]
    fn every_bit_changed_in_the_first_message_of_a_member_is_noticed() {
        let (_, recorded) = opening();
        for bit in 13 * 8..recorded.len() * 8 {
            // X25519 ignores the highest bit of a key. The hash of the handshake covers it all the same.
            let mut changed = recorded.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            let error = accepts(&mut Script::new(changed)).map(drop);
            assert!(matches!(error, Err(HandshakeError::Turned(Code::OtherClient))), "{bit}: {error:?}");
        }
    }

    #[test]
    fn messages_of_any_other_length_are_refused() {
        let (_, recorded) = opening();
        for len in 1..recorded.len() - 13 {
            let mut short = preface(Dialect::PeerPeer, None);
            put_message(&recorded[13..13 + len], &mut short);
            let error = accepts(&mut Script::new(short)).map(drop);
            assert!(matches!(error, Err(HandshakeError::Turned(Code::OtherClient))), "{len}");
        }
        for cut in 0..recorded.len() {
            let error = accepts(&mut Script::new(&recorded[..cut])).map(drop);
            assert!(is_closed(&error.expect_err("the opening is cut")), "{cut}");
        }
    }

    #[test]
    fn an_opening_is_as_long_as_its_beginning_says_and_no_longer_than_one_can_be() {
        let (_, said) = opening();
        let mut told = 0;
        // Whatever the sizes of the reads, no byte behind the opening is read.
        while opening_len(&said[..told]) > told {
            told += 1;
        }
        assert_eq!(told, said.len());
        let preface = preface(Dialect::PeerPeer, None);
        assert_eq!(opening_len(&[&preface[..], &[0xff, 0xff]].concat()), 13);
        assert_eq!(opening_len(&[7; 20]), preface.len(), "it is refused without the rest");
        assert_eq!(opening_len(&super::super::preface(Dialect::ClientTracker, None)), preface.len());
    }

    #[test]
    fn bytes_that_are_no_certificate_are_refused() {
        let (prologue, their, own) = (preface(Dialect::PeerPeer, None), key_of(&SEEDER), LEECHER);
        let full = {
            let mut bytes = to_bytes(&Features::KNOWN);
            KEY_ID.put(&mut bytes);
            leecher().certificate.put(&mut bytes);
            bytes
        };
        for brings in [&[][..], &full[..full.len() - 1], &[&full[..], &[0]].concat()] {
            let noise = builder(&prologue, &own).expect("a key").remote_public_key(&their.0).expect("once");
            let noise = noise.psk(PSK_AT, &GROUP_KEY.0).expect("once").build_initiator().expect("builds");
            let (_, said) = greet(&prologue, noise, brings).expect("writes");
            let error = accepts(&mut Script::new(said)).map(drop);
            assert!(matches!(error, Err(HandshakeError::Turned(Code::Malformed))), "{error:?}");
        }
    }
}
