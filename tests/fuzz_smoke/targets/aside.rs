//! The answers to a client that asks a relay or a mirror, and to a tracker that probes a client. Bytes that are not an
//! answer have no effect. No byte behind an answer is taken.

use super::script::Script;
use groupshare::model::id::PeerKey;
use groupshare::wire::handshake::probe::probe_greets;
use groupshare::wire::handshake::{HandshakeError, Secret, public_key};
use groupshare::wire::mirror::{mirror_answer, take_mirrored};
use groupshare::wire::relay::{BOTH_ARE_THERE, take_relay_answer};
use std::io::Cursor;

/// The first byte says which of them is asked. The others are the answer.
pub(super) fn aside(data: &[u8]) {
    let mut script = Script::new(data);
    let Some(who) = script.byte() else { return };
    let answer = script.rest();
    match who % 3 {
        0 => relay(answer),
        1 => mirror(answer),
        _ => probe(answer),
    }
}

/// Reads again and again until there is an answer. Also returns how many bytes were taken.
fn taken<T>(
    answer: &[u8],
    mut take: impl FnMut(&mut Cursor<&[u8]>) -> Result<Option<T>, HandshakeError>,
) -> (Result<T, HandshakeError>, usize) {
    let mut says = Cursor::new(answer);
    loop {
        match take(&mut says).transpose() {
            Some(took) => return (took, says.position() as usize),
            None => assert!(says.position() as usize <= answer.len()),
        }
    }
}

fn relay(answer: &[u8]) {
    let mut heard = Vec::new();
    let (met, len) = taken(answer, |says| take_relay_answer(says, &mut heard).map(|met| met.then_some(())));
    assert_eq!(met.is_ok(), answer.first() == Some(&BOTH_ARE_THERE));
    assert!(met.is_err() || len == 1, "the rest is for the member");
    assert!(!matches!(met, Err(HandshakeError::Refused(_))) || answer.starts_with(&[0, 0]));
}

fn mirror(answer: &[u8]) {
    let mut heard = Vec::new();
    let (seen, len) = taken(answer, |says| take_mirrored(says, &mut heard));
    match seen {
        Ok(seen) => assert_eq!(mirror_answer(seen), &answer[..len]),
        Err(HandshakeError::Refused(_)) => assert!(answer.starts_with(&[0, 0])),
        Err(_) => {}
    }
}

/// Nobody proves to have a key without having it.
fn probe(answer: &[u8]) {
    let (greeting, _) = probe_greets(PeerKey(public_key(&Secret([7; 32])))).expect("random bytes");
    assert!(greeting.hear(&mut Cursor::new(answer)).is_err());
}
