//! How a connection begins: the preface, then a Noise handshake whose prologue is the preface.
//!
//! The one who connects sends the preface and the first handshake message together. The one who accepts answers with
//! the second handshake message, or refuses in the clear (length 0, then a code). A refusal in the clear is not
//! authentic: it is shown, never acted on beyond trying again.

use super::channel::refusal_in_clear;
use super::codec::{Decoder, Wire};
use super::error::Code;
use crate::model::digest::{Fingerprint, KeyId};
use snow::params::{DHChoice, NoiseParams};
use snow::resolvers::{CryptoResolver, DefaultResolver};
use snow::{Builder, HandshakeState, StatelessTransportState};
use std::fmt;
use std::io::{self, Read, Write};

/// First bytes of every connection.
pub const MAGIC: [u8; 8] = *b"GRPSHARE";
/// Version of the protocol.
pub const VERSION: u16 = 1;
/// Longest handshake message in bytes; the longest in use has 96.
const HANDSHAKE_LEN_MAX: usize = 256;

const CLIENT_PATTERN: &str = "Noise_NX_25519_AESGCM_SHA256";
const PSK_PATTERN: &str = "Noise_NNpsk0_25519_AESGCM_SHA256";

/// What is spoken on a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Dialect {
    /// A client to a tracker.
    ClientTracker = 1,
    /// A leecher to a seeder.
    PeerPeer = 2,
}

/// A secret that a handshake rests on: a static private key, or the key of a group.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(pub [u8; 32]);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// Why no channel came about.
#[derive(Debug)]
pub enum HandshakeError {
    /// The connection failed or a deadline passed.
    Io(io::Error),
    /// The far side does not speak this protocol or this dialect.
    NotOurs,
    /// The far side refused, for this reason if it is a known one.
    Refused(Option<Code>),
    /// The far side does not know the key, or somebody changed bytes on the way.
    Crypto,
    /// The far side asks for a version, key or dialect that is not served here, and was told so.
    Turned(Code),
}

impl fmt::Display for HandshakeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            HandshakeError::Io(error) if is_timeout(error) => write!(f, "no answer in time"),
            HandshakeError::Io(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                write!(f, "the connection was closed")
            }
            HandshakeError::Io(error) => write!(f, "{error}"),
            HandshakeError::NotOurs => write!(f, "the other side does not speak this protocol"),
            HandshakeError::Refused(Some(code)) => write!(f, "{}", code.words()),
            HandshakeError::Refused(None) => write!(f, "refused for an unknown reason"),
            HandshakeError::Crypto => write!(f, "the keys do not match"),
            HandshakeError::Turned(code) => write!(f, "turned away: {}", code.words()),
        }
    }
}

impl std::error::Error for HandshakeError {}

impl From<io::Error> for HandshakeError {
    fn from(error: io::Error) -> Self {
        HandshakeError::Io(error)
    }
}

/// Whether an error says that a deadline passed.
pub fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}

fn params(pattern: &str) -> NoiseParams {
    pattern.parse().expect("the pattern is a constant that snow knows")
}

/// Turns snow's error into ours: everything it reports here comes from bytes of the far side.
fn crypto(_: snow::Error) -> HandshakeError {
    HandshakeError::Crypto
}

fn preface(dialect: Dialect, key: Option<KeyId>) -> Vec<u8> {
    let mut out = Vec::with_capacity(27);
    MAGIC.put(&mut out);
    VERSION.put(&mut out);
    (dialect as u8).put(&mut out);
    if let Some(key) = key {
        key.put(&mut out);
    }
    out
}

/// The public key that belongs to a static private key (X25519).
pub fn public_key(private: &Secret) -> [u8; 32] {
    let mut dh = DefaultResolver.resolve_dh(&DHChoice::Curve25519).expect("snow is built with X25519");
    dh.set(&private.0);
    dh.pubkey().try_into().expect("an X25519 public key has 32 bytes")
}

/// The fingerprint of a static public key.
pub fn fingerprint(public: &[u8]) -> Fingerprint {
    let digest = ring::digest::digest(&ring::digest::SHA256, public);
    Fingerprint(digest.as_ref().try_into().expect("SHA-256 has 32 bytes"))
}

/// Connects a client to a tracker; tells the fingerprint of the tracker's static key, which the caller must check
/// before it sends anything.
pub fn client_to_tracker(
    stream: &mut (impl Read + Write),
) -> Result<(StatelessTransportState, Fingerprint), HandshakeError> {
    let prologue = preface(Dialect::ClientTracker, None);
    let noise = Builder::new(params(CLIENT_PATTERN)).prologue(&prologue).map_err(crypto)?;
    let noise = initiate(stream, &prologue, noise.build_initiator().map_err(crypto)?)?;
    let fingerprint = fingerprint(noise.get_remote_static().ok_or(HandshakeError::Crypto)?);
    Ok((noise.into_stateless_transport_mode().map_err(crypto)?, fingerprint))
}

/// Connects a leecher to a seeder under the key of a group.
pub fn peer_to_peer(
    stream: &mut (impl Read + Write),
    key_id: KeyId,
    key: &Secret,
) -> Result<StatelessTransportState, HandshakeError> {
    let prologue = preface(Dialect::PeerPeer, Some(key_id));
    let noise = Builder::new(params(PSK_PATTERN)).prologue(&prologue).map_err(crypto)?;
    let noise = noise.psk(0, &key.0).map_err(crypto)?;
    let noise = initiate(stream, &prologue, noise.build_initiator().map_err(crypto)?)?;
    noise.into_stateless_transport_mode().map_err(crypto)
}

fn initiate(
    stream: &mut (impl Read + Write),
    prologue: &[u8],
    mut noise: HandshakeState,
) -> Result<HandshakeState, HandshakeError> {
    let mut message = [0; HANDSHAKE_LEN_MAX];
    let len = noise.write_message(&[], &mut message).map_err(crypto)?;
    let mut out = prologue.to_vec();
    put_message(&message[..len], &mut out);
    stream.write_all(&out)?;
    let answer = read_message(stream)?;
    noise.read_message(&answer, &mut message).map_err(crypto)?;
    Ok(noise)
}

fn put_message(message: &[u8], out: &mut Vec<u8>) {
    // At most HANDSHAKE_LEN_MAX.
    (message.len() as u16).put(out);
    out.extend_from_slice(message);
}

fn read_message(stream: &mut impl Read) -> Result<Vec<u8>, HandshakeError> {
    let len = read_u16(stream)?;
    if len == 0 {
        return Err(HandshakeError::Refused(Code::from_number(read_u16(stream)?)));
    }
    if usize::from(len) > HANDSHAKE_LEN_MAX {
        return Err(HandshakeError::NotOurs);
    }
    let mut message = vec![0; usize::from(len)];
    stream.read_exact(&mut message)?;
    Ok(message)
}

fn read_u16(stream: &mut impl Read) -> io::Result<u16> {
    let mut bytes = [0; 2];
    stream.read_exact(&mut bytes)?;
    Ok(u16::from_be_bytes(bytes))
}

/// Accepts a client at a tracker with this static private key.
pub fn tracker_accepts(
    stream: &mut (impl Read + Write),
    private: &Secret,
) -> Result<StatelessTransportState, HandshakeError> {
    read_preface(stream, Dialect::ClientTracker)?;
    let prologue = preface(Dialect::ClientTracker, None);
    let noise = Builder::new(params(CLIENT_PATTERN)).prologue(&prologue).map_err(crypto)?;
    let noise = noise.local_private_key(&private.0).map_err(crypto)?;
    respond(stream, noise.build_responder().map_err(crypto)?)
}

/// Accepts a leecher at a seeder; `key_of` knows the keys of the groups. The leecher has proved nothing before its
/// first frame has been decrypted, since its handshake message may be a replay.
pub fn peer_accepts(
    stream: &mut (impl Read + Write),
    key_of: impl FnOnce(KeyId) -> Option<Secret>,
) -> Result<(StatelessTransportState, KeyId), HandshakeError> {
    read_preface(stream, Dialect::PeerPeer)?;
    let mut id = [0; KeyId::LEN];
    stream.read_exact(&mut id)?;
    let id = KeyId(id);
    let Some(key) = key_of(id) else {
        return turn_away(stream, Code::UnknownKey);
    };
    let prologue = preface(Dialect::PeerPeer, Some(id));
    let noise = Builder::new(params(PSK_PATTERN)).prologue(&prologue).map_err(crypto)?;
    let noise = noise.psk(0, &key.0).map_err(crypto)?;
    Ok((respond(stream, noise.build_responder().map_err(crypto)?)?, id))
}

fn read_preface(stream: &mut (impl Read + Write), dialect: Dialect) -> Result<(), HandshakeError> {
    let mut bytes = [0; 11];
    stream.read_exact(&mut bytes)?;
    let mut from = Decoder::new(&bytes);
    let malformed = |_| HandshakeError::NotOurs;
    if <[u8; 8]>::take(&mut from).map_err(malformed)? != MAGIC {
        return Err(HandshakeError::NotOurs);
    }
    if u16::take(&mut from).map_err(malformed)? != VERSION {
        return turn_away(stream, Code::Version);
    }
    if u8::take(&mut from).map_err(malformed)? != dialect as u8 {
        return turn_away(stream, Code::UnknownKind);
    }
    Ok(())
}

fn turn_away<T>(stream: &mut impl Write, code: Code) -> Result<T, HandshakeError> {
    stream.write_all(&refusal_in_clear(code))?;
    Err(HandshakeError::Turned(code))
}

fn respond(
    stream: &mut (impl Read + Write),
    mut noise: HandshakeState,
) -> Result<StatelessTransportState, HandshakeError> {
    let first = match read_message(stream) {
        // Only the side that accepts may refuse.
        Err(HandshakeError::Refused(_)) => return Err(HandshakeError::NotOurs),
        other => other?,
    };
    let mut message = [0; HANDSHAKE_LEN_MAX];
    noise.read_message(&first, &mut message).map_err(crypto)?;
    let len = noise.write_message(&[], &mut message).map_err(crypto)?;
    let mut out = Vec::with_capacity(2 + len);
    put_message(&message[..len], &mut out);
    stream.write_all(&out)?;
    noise.into_stateless_transport_mode().map_err(crypto)
}
