//! The beginning of a connection: any bytes at a tracker and at a seeder, any answer to the connecting side, and
//! mutations of real openings and answers.

use super::script::Script;
use groupshare::model::digest::KeyId;
use groupshare::model::id::{ClientId, PeerKey};
use groupshare::model::name::UserId;
use groupshare::wire::certificate::Certificate;
use groupshare::wire::codec::to_bytes;
use groupshare::wire::handshake::features::Features;
use groupshare::wire::handshake::peer::{PeerIdentity, peer_accepts, peer_to_peer};
use groupshare::wire::handshake::{self, Caller, HandshakeError, Secret, public_key, refusal_in_clear};
use groupshare::wire::refusal::Code;
use groupshare::wire::transport_keys::TransportKeys;
use snow::Builder;
use std::io::{self, Read, Write};
use std::sync::OnceLock;

/// The keys of the worked example in docs/PROTOCOL.md. Its openings are in the corpus.
const TRACKER_KEY: [u8; 32] = [9; 32];
const SEEDER_KEY: [u8; 32] = [0x0b; 32];
const LEECHER_KEY: [u8; 32] = [0x0c; 32];
const GROUP_KEY: [u8; 32] = [7; 32];
/// Longest payload of a first message between clients: 512 bytes without a key, a sealed key and a tag.
const BROUGHT_LEN_MAX: usize = 512 - 32 - 48 - 16;
const GROUP_ID: KeyId = KeyId([0xa5; 16]);
const LINK_KEY: [u8; 32] = [6; 32];
const LINK_ID: KeyId = KeyId([0x6b; 16]);
/// Length of the answer to a client, with the two bytes in front: an ephemeral key, the sealed static one, a tag.
const CLIENT_ANSWER_LEN: usize = 2 + 32 + 48 + 8 + 16;
/// Length of the answer to a peer or another tracker: an ephemeral key and a tag.
const PEER_ANSWER_LEN: usize = 2 + 32 + 8 + 16;

/// A far side that has sent everything in advance.
struct Said<'a> {
    says: &'a [u8],
    heard: Vec<u8>,
}

impl<'a> Said<'a> {
    fn new(says: &'a [u8]) -> Self {
        Self { says, heard: Vec::new() }
    }
}

impl Read for Said<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.says.read(buf)
    }
}

impl Write for Said<'_> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.heard.write(buf)
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A far side that answers once it has received something.
struct Answering<F> {
    heard: Vec<u8>,
    answer: Option<F>,
    says: io::Cursor<Vec<u8>>,
}

impl<F: FnOnce(&[u8]) -> Vec<u8>> Answering<F> {
    fn new(answer: F) -> Self {
        Self { heard: Vec::new(), answer: Some(answer), says: io::Cursor::default() }
    }
}

impl<F: FnOnce(&[u8]) -> Vec<u8>> Read for Answering<F> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if let Some(answer) = self.answer.take() {
            self.says = io::Cursor::new(answer(&self.heard));
        }
        self.says.read(buf)
    }
}

impl<F> Write for Answering<F> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.heard.write(buf)
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A client that calls another one.
fn peer() -> PeerIdentity {
    let (secret, user) = (Secret(LEECHER_KEY), UserId::parse("bob").expect("a name"));
    let key = PeerKey(public_key(&secret));
    PeerIdentity { secret, certificate: Certificate::new((ClientId([1; 16]), user, key), 1, |_| [2; 64]) }
}

/// Which side connects to which.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Client,
    Peer,
    Tracker,
}

const WAYS: [Way; 3] = [Way::Client, Way::Peer, Way::Tracker];

fn connect_to(way: Way, stream: &mut (impl Read + Write)) -> Result<TransportKeys, HandshakeError> {
    match way {
        Way::Client => handshake::client_to_tracker(stream).map(|(keys, shown)| {
            assert_eq!(shown, handshake::fingerprint(&public_key(&Secret(TRACKER_KEY))));
            keys
        }),
        Way::Peer => {
            peer_to_peer(stream, &peer(), PeerKey(public_key(&Secret(SEEDER_KEY))), (GROUP_ID, &Secret(GROUP_KEY)))
        }
        Way::Tracker => handshake::tracker_to_tracker(stream, LINK_ID, &Secret(LINK_KEY)),
    }
}

/// Accepts at a tracker or at a seeder.
fn accept_at(seeder: bool, stream: &mut (impl Read + Write)) -> Result<(Way, TransportKeys), HandshakeError> {
    if seeder {
        let admit = |id, certificate: &Certificate| {
            assert_eq!(certificate.key, peer().certificate.key, "nobody else has the private half of a key");
            if id == GROUP_ID { Ok(Secret(GROUP_KEY)) } else { Err(Code::UnknownKey) }
        };
        return peer_accepts(stream, &Secret(SEEDER_KEY), admit).map(|caller| {
            assert_eq!((caller.key, caller.certificate), (GROUP_ID, peer().certificate));
            (Way::Peer, caller.keys)
        });
    }
    let link = (LINK_ID, Secret(LINK_KEY));
    Ok(match handshake::tracker_accepts(stream, &Secret(TRACKER_KEY), &link, || ())? {
        Caller::Client(keys) => (Way::Client, keys),
        Caller::Tracker(keys) => (Way::Tracker, keys),
        // These callers make no handshake, and get no answer here.
        Caller::AtRelay(_) | Caller::AtMirror => return Err(HandshakeError::NotOurs),
    })
}

/// The keys of both sides of a connection between peers.
pub(super) fn peer_keys() -> &'static (TransportKeys, TransportKeys) {
    static KEYS: OnceLock<(TransportKeys, TransportKeys)> = OnceLock::new();
    KEYS.get_or_init(|| {
        let mut far = None;
        let near = connect_to(
            Way::Peer,
            &mut Answering::new(|opening: &[u8]| {
                let mut said = Said::new(opening);
                far = Some(accept_at(true, &mut said).expect("a real opening").1);
                said.heard
            }),
        );
        (near.expect("a real answer"), far.expect("it was asked"))
    })
}

/// A real opening. It is the same for the whole run, since the accepting side cannot tell.
fn opening(way: Way) -> &'static [u8] {
    static OPENINGS: OnceLock<Vec<Vec<u8>>> = OnceLock::new();
    let openings = OPENINGS.get_or_init(|| {
        let opening = |way: Way| {
            let mut said = Said::new(&[]);
            connect_to(way, &mut said).expect_err("nobody answers");
            said.heard
        };
        WAYS.map(opening).into()
    });
    &openings[way as usize]
}

/// Changes bytes. Returns whether any byte differs now.
fn change(bytes: &mut [u8], script: &mut Script<'_>) -> bool {
    let before = bytes.to_vec();
    while let (Some(at), Some(with)) = (script.byte(), script.byte()) {
        let at = usize::from(at) % bytes.len();
        bytes[at] ^= with;
    }
    before != bytes
}

/// The first byte chooses the accepting side. It also says whether the rest is an opening or changes of a real one.
pub(super) fn accept(data: &[u8]) {
    let mut script = Script::new(data);
    let Some(mode) = script.byte() else { return };
    let (seeder, way) = (mode % 2 == 1, WAYS[usize::from(mode >> 2) % WAYS.len()]);
    if mode & 2 == 0 {
        return check_accept(seeder, script.rest(), None);
    }
    let mut bytes = opening(way).to_vec();
    let changed = change(&mut bytes, &mut script);
    check_accept(seeder, &bytes, Some((way, changed)));
}

/// Nothing is sent before the preface is right, and a refusal is the only other output. A caller without the key gets
/// no further.
fn check_accept(seeder: bool, opening: &[u8], real: Option<(Way, bool)>) {
    let mut said = Said::new(opening);
    match accept_at(seeder, &mut said) {
        Ok((way, _)) => {
            let len = if way == Way::Client { CLIENT_ANSWER_LEN } else { PEER_ANSWER_LEN };
            assert_eq!((said.heard.len(), &said.heard[..2]), (len, &((len - 2) as u16).to_be_bytes()[..]));
            if let Some((real, changed)) = real {
                assert_eq!(way, real);
                // A tracker agrees on keys with every caller that claims to be a client.
                assert!(!changed || way == Way::Client, "a changed opening was accepted");
            }
        }
        Err(HandshakeError::Turned(code)) => assert_eq!(said.heard, refusal_in_clear(code)),
        Err(HandshakeError::Refused(_)) => panic!("only the side that accepts may refuse"),
        Err(HandshakeError::Probed) => assert!(seeder && real.is_none(), "only clients answer a probe"),
        Err(HandshakeError::Io(_) | HandshakeError::NotOurs | HandshakeError::Crypto) => {
            assert!(said.heard.is_empty());
            let right = real.is_some_and(|(way, changed)| !changed && seeder == (way == Way::Peer));
            assert!(!right, "a real opening was not accepted");
        }
    }
}

/// The first byte chooses the connecting side. It also says whether the rest is an answer or changes of the real one.
pub(super) fn connect(data: &[u8]) {
    let mut script = Script::new(data);
    let Some(mode) = script.byte() else { return };
    let way = WAYS[usize::from(mode >> 1) % WAYS.len()];
    if mode % 2 == 0 {
        let mut said = Said::new(script.rest());
        let refuses = said.says.starts_with(&[0, 0]) && said.says.len() >= 4;
        match connect_to(way, &mut said) {
            Ok(_) => panic!("an answer that knows nothing of the opening was taken"),
            Err(HandshakeError::Refused(_)) => assert!(refuses),
            Err(HandshakeError::Turned(_) | HandshakeError::Probed) => {
                panic!("only the accepting side gives this error")
            }
            Err(HandshakeError::Io(_) | HandshakeError::NotOurs | HandshakeError::Crypto) => assert!(!refuses),
        }
        return;
    }
    let mut changed = false;
    let mut far = Answering::new(|opening: &[u8]| {
        let mut said = Said::new(opening);
        accept_at(way == Way::Peer, &mut said).expect("a real opening");
        changed = change(&mut said.heard, &mut script);
        said.heard
    });
    let connected = connect_to(way, &mut far);
    assert_eq!(connected.is_ok(), !changed, "an answer holds exactly if nothing in it was changed");
}

/// Any payload in the first message of a client that holds its key. It is accepted only as the canonical form of a key
/// id and a certificate with the caller's key.
pub(super) fn brought(data: &[u8]) {
    let brings = &data[..data.len().min(BROUGHT_LEN_MAX)];
    let preface = b"GRPSHARE\x00\x04\x02";
    let their = public_key(&Secret(SEEDER_KEY));
    let pattern = "Noise_IKpsk2_25519_AESGCM_SHA256".parse().expect("snow knows it");
    let noise = Builder::new(pattern).prologue(preface).expect("once").local_private_key(&LEECHER_KEY).expect("once");
    let noise = noise.remote_public_key(&their).expect("once").psk(2, &GROUP_KEY).expect("once");
    let mut message = [0; 512];
    let len = noise.build_initiator().expect("builds").write_message(brings, &mut message).expect("writes");
    let opening = [&preface[..], &(len as u16).to_be_bytes(), &message[..len]].concat();
    let mut said = Said::new(&opening);
    let accepted = peer_accepts(&mut said, &Secret(SEEDER_KEY), |id, certificate| {
        assert_eq!(certificate.key, peer().certificate.key, "nobody else has the private half of a key");
        if id == GROUP_ID { Ok(Secret(GROUP_KEY)) } else { Err(Code::UnknownKey) }
    });
    match accepted {
        Ok(caller) => {
            let features = Features(u64::from_be_bytes(*brings.first_chunk().expect("they are in front")));
            assert_eq!(caller.keys.features(), Features::KNOWN.common(features));
            assert_eq!([to_bytes(&features), to_bytes(&caller.key), to_bytes(&caller.certificate)].concat(), brings);
        }
        Err(HandshakeError::Turned(code)) => {
            assert!(matches!(code, Code::Malformed | Code::BadCertificate | Code::UnknownKey), "{code:?}");
            assert_eq!(said.heard, refusal_in_clear(code));
        }
        Err(error) => panic!("a message that decrypts is answered: {error}"),
    }
}
