//! A tracker tests whether the client with a certain key listens at an address. The connection carries nothing else.

use super::{Dialect, HANDSHAKE_LEN_MAX, HandshakeError, Secret, answer, crypto, params, preface, put_message};
use super::{read_first, read_message};
use crate::model::id::PeerKey;
use snow::{Builder, HandshakeState};
use std::io::{Read, Write};

const PATTERN: &str = "Noise_NK_25519_AESGCM_SHA256";

/// A tracker that waits for the client's proof.
pub struct ProbeGreeting(HandshakeState);

impl std::fmt::Debug for ProbeGreeting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ProbeGreeting(..)")
    }
}

/// The first half: returns the state that waits for the proof, and the bytes to send.
pub fn probe_greets(client: PeerKey) -> Result<(ProbeGreeting, Vec<u8>), HandshakeError> {
    let prologue = preface(Dialect::Probe, None);
    let noise = Builder::new(params(PATTERN)).prologue(&prologue).map_err(crypto)?;
    let mut noise = noise.remote_public_key(&client.0).map_err(crypto)?.build_initiator().map_err(crypto)?;
    let mut message = [0; HANDSHAKE_LEN_MAX];
    let len = noise.write_message(&[], &mut message).map_err(crypto)?;
    let mut bytes = prologue;
    put_message(&message[..len], &mut bytes);
    Ok((ProbeGreeting(noise), bytes))
}

impl ProbeGreeting {
    /// The second half: reads the proof.
    ///
    /// # Errors
    /// Another program is there.
    pub fn hear(self, stream: &mut impl Read) -> Result<(), HandshakeError> {
        let ProbeGreeting(mut noise) = self;
        take_empty(&mut noise, &read_message(stream)?)
    }
}

/// A client proves that it has its key, after the preface.
pub(super) fn proves(stream: &mut (impl Read + Write), client: &Secret) -> Result<(), HandshakeError> {
    let prologue = preface(Dialect::Probe, None);
    let noise = Builder::new(params(PATTERN)).prologue(&prologue).map_err(crypto)?;
    let noise = noise.local_private_key(&client.0).map_err(crypto)?;
    let mut noise = noise.build_responder().map_err(crypto)?;
    take_empty(&mut noise, &read_first(stream)?)?;
    answer(stream, noise, &[]).map(drop)
}

/// Takes a handshake message that brings nothing along.
fn take_empty(noise: &mut HandshakeState, message: &[u8]) -> Result<(), HandshakeError> {
    match noise.read_message(message, &mut [0; HANDSHAKE_LEN_MAX]).map_err(crypto)? {
        0 => Ok(()),
        _ => Err(HandshakeError::Crypto),
    }
}

#[cfg(test)]
mod tests {
    use super::super::peer::peer_accepts;
    use super::super::public_key;
    use super::super::tests::{Script, meet};
    use super::*;
    use crate::wire::refusal::Code;
    use std::os::unix::net::UnixStream;

    const CLIENT: Secret = Secret([11; 32]);

    fn look_for(key: PeerKey, stream: &mut (impl Read + Write)) -> Result<(), HandshakeError> {
        let (greeting, bytes) = probe_greets(key)?;
        stream.write_all(&bytes)?;
        greeting.hear(stream)
    }

    fn listens(stream: &mut (impl Read + Write)) -> HandshakeError {
        let accepted = peer_accepts(stream, &CLIENT, |_, _| Err(Code::UnknownKey));
        accepted.expect_err("nobody is let in")
    }

    #[test]
    fn the_client_with_the_key_proves_it_and_nothing_more_is_said() {
        let key = PeerKey(public_key(&CLIENT));
        let look =
            |near: &mut UnixStream| look_for(key, near).map(|()| near.read(&mut [0]).expect("the connection ends"));
        let (near, far) = meet(look, listens);
        assert!(matches!(far, HandshakeError::Probed));
        assert_eq!(near.expect("it is there"), 0);
    }

    #[test]
    fn another_client_does_not_pass_for_it() {
        let key = PeerKey(public_key(&Secret([12; 32])));
        let (near, far) = meet(|near| look_for(key, near), listens);
        assert!(matches!(far, HandshakeError::Crypto), "{far}");
        assert!(near.is_err());
    }

    #[test]
    fn an_answer_that_somebody_made_up_proves_nothing() {
        let key = PeerKey(public_key(&CLIENT));
        let made_up = [&[0, 48][..], &[7; 48]].concat();
        assert!(matches!(look_for(key, &mut Script::new(made_up)), Err(HandshakeError::Crypto)));
        // An answer to another question proves nothing here.
        let (_, question) = probe_greets(key).expect("made");
        let mut client = Script::new(question);
        assert!(matches!(listens(&mut client), HandshakeError::Probed));
        assert!(look_for(key, &mut Script::new(client.output)).is_err());
    }
}
