//! How a connection begins: the preface, then a Noise handshake whose prologue is the preface. Each message of the
//! handshake brings along which features its sender knows.
//!
//! The connecting side sends the preface and the first handshake message together. The accepting side answers with the
//! second handshake message, or refuses in the clear (length 0, then a code). A refusal in the clear is not authentic.
//! The program shows it, and otherwise only tries again.

pub mod features;
pub mod peer;
pub mod probe;

use self::features::Features;
use super::codec::{Decoder, Wire, from_bytes, to_bytes};
use super::refusal::Code;
use crate::model::digest::{Fingerprint, KeyId};
use crate::model::id::RelayTicket;
use crate::wire::transport_keys::TransportKeys;
use snow::params::{DHChoice, NoiseParams};
use snow::resolvers::{CryptoResolver, DefaultResolver};
use snow::{Builder, HandshakeState};
use std::cmp::Ordering;
use std::fmt;
use std::io::{self, Read, Write};
use zeroize::Zeroize;

/// First bytes of every connection.
pub const MAGIC: [u8; 8] = *b"GRPSHARE";
/// Version of the protocol.
pub const VERSION: u16 = 4;
/// Longest handshake message in bytes. The longest real one has 317.
const HANDSHAKE_LEN_MAX: usize = 512;

const CLIENT_PATTERN: &str = "Noise_NX_25519_AESGCM_SHA256";
const PSK_PATTERN: &str = "Noise_NNpsk0_25519_AESGCM_SHA256";

/// The dialect of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Dialect {
    /// A client to a tracker.
    ClientTracker = 1,
    /// A leecher to a seeder.
    PeerPeer = 2,
    /// A tracker to another one of the same installation.
    TrackerTracker = 10,
    /// A tracker to a client, to test whether the client is there.
    Probe = 5,
    /// A client to the relay of a tracker, to meet another client there.
    Relay = 6,
    /// A client to a tracker, to learn the address from which its connection comes.
    Mirror = 7,
}

impl Dialect {
    fn from_number(number: u8) -> Option<Self> {
        let with_tracker = [Dialect::ClientTracker, Dialect::TrackerTracker, Dialect::Relay, Dialect::Mirror];
        let with_client = [Dialect::PeerPeer, Dialect::Probe];
        with_tracker.into_iter().chain(with_client).find(|dialect| *dialect as u8 == number)
    }
}

/// A secret of a handshake: a static private key, or a key that both sides know. Dropping it clears its memory.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(pub [u8; 32]);

impl Drop for Secret {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// Why a handshake failed.
#[derive(Debug)]
pub enum HandshakeError {
    /// The connection failed or a deadline passed.
    Io(io::Error),
    /// The far side does not speak this protocol or this dialect.
    NotOurs,
    /// The far side refused, with this code if it is a known one.
    Refused(Option<Code>),
    /// The far side does not know the key, or the bytes were changed on the way.
    Crypto,
    /// The far side asked for a version, key or dialect that is not served here. This side has refused in the clear.
    Turned(Code),
    /// A tracker has tested which client listens here, and has its answer. The connection ends.
    Probed,
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
            HandshakeError::Turned(Code::TooOld | Code::Version) => {
                f.write_str("turned away, since it is older than this program")
            }
            HandshakeError::Turned(Code::TooNew) => f.write_str("turned away, since it is newer than this program"),
            HandshakeError::Turned(code) => write!(f, "turned away: {}", code.words()),
            HandshakeError::Probed => f.write_str("a tracker has looked who listens here"),
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

/// Every error that snow reports here comes from the far side's bytes.
fn crypto(_: snow::Error) -> HandshakeError {
    HandshakeError::Crypto
}

pub(super) fn preface(dialect: Dialect, key: Option<KeyId>) -> Vec<u8> {
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

/// Connects a client to a tracker. Returns the fingerprint of the tracker's static key. The caller must check it before
/// it sends anything.
pub fn client_to_tracker(stream: &mut (impl Read + Write)) -> Result<(TransportKeys, Fingerprint), HandshakeError> {
    let prologue = preface(Dialect::ClientTracker, None);
    let noise = Builder::new(params(CLIENT_PATTERN)).prologue(&prologue).map_err(crypto)?;
    let (noise, theirs) = initiate(stream, &prologue, noise.build_initiator().map_err(crypto)?)?;
    let fingerprint = fingerprint(noise.get_remote_static().ok_or(HandshakeError::Crypto)?);
    Ok((TransportKeys::of(noise, theirs).ok_or(HandshakeError::Crypto)?, fingerprint))
}

/// The length of an answer to a greeting, as far as the first bytes tell it.
///
/// # Errors
/// An answer cannot be that long.
pub fn answer_len(begun: &[u8]) -> Result<usize, HandshakeError> {
    match begun {
        // A message begins with its length. A refusal has 0 there, and then a code.
        [0, 0, ..] => Ok(4),
        &[high, low, ..] if usize::from(u16::from_be_bytes([high, low])) <= HANDSHAKE_LEN_MAX => {
            Ok(2 + usize::from(u16::from_be_bytes([high, low])))
        }
        [_, _, ..] => Err(HandshakeError::NotOurs),
        _ => Ok(2),
    }
}

/// Connects a tracker to another one under the link key of the installation.
pub fn tracker_to_tracker(
    stream: &mut (impl Read + Write),
    key_id: KeyId,
    key: &Secret,
) -> Result<TransportKeys, HandshakeError> {
    connect_under(stream, Dialect::TrackerTracker, key_id, key)
}

/// Connects under a key that both sides know.
fn connect_under(
    stream: &mut (impl Read + Write),
    dialect: Dialect,
    key_id: KeyId,
    key: &Secret,
) -> Result<TransportKeys, HandshakeError> {
    let prologue = preface(dialect, Some(key_id));
    let noise = under(key, &prologue)?.build_initiator().map_err(crypto)?;
    let (noise, theirs) = initiate(stream, &prologue, noise)?;
    TransportKeys::of(noise, theirs).ok_or(HandshakeError::Crypto)
}

fn initiate(
    stream: &mut (impl Read + Write),
    prologue: &[u8],
    noise: HandshakeState,
) -> Result<(HandshakeState, Features), HandshakeError> {
    let (mut noise, bytes) = greet(prologue, noise, &to_bytes(&Features::KNOWN))?;
    stream.write_all(&bytes)?;
    let theirs = take_message(&mut noise, &read_message(stream)?)?;
    Ok((noise, theirs))
}

/// The preface and the first message with its payload.
fn greet(
    prologue: &[u8],
    mut noise: HandshakeState,
    brings: &[u8],
) -> Result<(HandshakeState, Vec<u8>), HandshakeError> {
    let mut message = [0; HANDSHAKE_LEN_MAX];
    let len = noise.write_message(brings, &mut message).map_err(crypto)?;
    let mut out = prologue.to_vec();
    put_message(&message[..len], &mut out);
    Ok((noise, out))
}

/// Takes a handshake message whose payload is the features that its sender knows. Bytes that nobody reads would make a
/// second form of the same message.
fn take_message(noise: &mut HandshakeState, message: &[u8]) -> Result<Features, HandshakeError> {
    let mut payload = [0; HANDSHAKE_LEN_MAX];
    let len = noise.read_message(message, &mut payload).map_err(crypto)?;
    from_bytes(&payload[..len]).map_err(|_| HandshakeError::Crypto)
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

pub(super) fn read_u16(stream: &mut impl Read) -> io::Result<u16> {
    let mut bytes = [0; 2];
    stream.read_exact(&mut bytes)?;
    Ok(u16::from_be_bytes(bytes))
}

/// The side that a tracker accepted, with the keys of the connection.
#[derive(Debug)]
pub enum Caller {
    Client(TransportKeys),
    /// Another tracker of the same installation. Its handshake message may be a replay, so it has proved nothing before
    /// its first frame is decrypted.
    Tracker(TransportKeys),
    /// A client that wants to meet another client at the relay. It has proved nothing yet.
    AtRelay(RelayTicket),
    /// A client that wants to know from where its connection comes, and nothing else.
    AtMirror,
}

/// Accepts a client or another tracker, at a tracker with this static private key and this link key. A tracker with
/// another link key gets a refusal. Once a client's message is here, `turn` waits for the client's turn. The turn lasts
/// for the key agreement and the answer.
pub fn tracker_accepts<T>(
    stream: &mut (impl Read + Write),
    private: &Secret,
    link: &(KeyId, Secret),
    turn: impl FnOnce() -> T,
) -> Result<Caller, HandshakeError> {
    accept_at_tracker(stream, Some(private), link, turn)
}

/// Accepts another tracker, at a tracker that is full and refuses clients.
pub fn full_tracker_accepts(
    stream: &mut (impl Read + Write),
    link: &(KeyId, Secret),
) -> Result<Caller, HandshakeError> {
    accept_at_tracker(stream, None, link, || ())
}

fn accept_at_tracker<T>(
    stream: &mut (impl Read + Write),
    private: Option<&Secret>,
    (link_id, link_key): &(KeyId, Secret),
    turn: impl FnOnce() -> T,
) -> Result<Caller, HandshakeError> {
    match read_preface(stream)? {
        Some(Dialect::ClientTracker) => match private {
            Some(private) => accept_client(stream, private, turn).map(Caller::Client),
            None => turn_away(stream, Code::Busy),
        },
        Some(Dialect::TrackerTracker) => {
            if read_key_id(stream)? != *link_id {
                return turn_away(stream, Code::OtherCluster);
            }
            accept_under(stream, Dialect::TrackerTracker, *link_id, link_key).map(Caller::Tracker)
        }
        Some(Dialect::Relay) if private.is_some() => {
            let mut ticket = [0; 16];
            stream.read_exact(&mut ticket)?;
            Ok(Caller::AtRelay(RelayTicket(ticket)))
        }
        Some(Dialect::Mirror) if private.is_some() => Ok(Caller::AtMirror),
        Some(Dialect::Relay | Dialect::Mirror) => turn_away(stream, Code::Busy),
        Some(Dialect::PeerPeer | Dialect::Probe) | None => turn_away(stream, Code::UnknownKind),
    }
}

fn accept_client<T>(
    stream: &mut (impl Read + Write),
    private: &Secret,
    turn: impl FnOnce() -> T,
) -> Result<TransportKeys, HandshakeError> {
    let prologue = preface(Dialect::ClientTracker, None);
    let noise = Builder::new(params(CLIENT_PATTERN)).prologue(&prologue).map_err(crypto)?;
    let noise = noise.local_private_key(&private.0).map_err(crypto)?;
    let first = read_first(stream)?;
    let _turn = turn();
    respond(stream, noise.build_responder().map_err(crypto)?, &first)
}

/// Accepts under a key that both sides know.
fn accept_under(
    stream: &mut (impl Read + Write),
    dialect: Dialect,
    key_id: KeyId,
    key: &Secret,
) -> Result<TransportKeys, HandshakeError> {
    let prologue = preface(dialect, Some(key_id));
    let first = read_first(stream)?;
    respond(stream, under(key, &prologue)?.build_responder().map_err(crypto)?, &first)
}

/// The handshake pattern for two sides that know a key.
fn under<'a>(key: &'a Secret, prologue: &'a [u8]) -> Result<Builder<'a>, HandshakeError> {
    let noise = Builder::new(params(PSK_PATTERN)).prologue(prologue).map_err(crypto)?;
    noise.psk(0, &key.0).map_err(crypto)
}

/// Reads the part of the preface that all dialects have. Returns the dialect; `None` for an unknown one.
fn read_preface(stream: &mut (impl Read + Write)) -> Result<Option<Dialect>, HandshakeError> {
    let mut bytes = [0; 11];
    stream.read_exact(&mut bytes)?;
    let mut from = Decoder::new(&bytes);
    let malformed = |_| HandshakeError::NotOurs;
    if <[u8; 8]>::take(&mut from).map_err(malformed)? != MAGIC {
        return Err(HandshakeError::NotOurs);
    }
    if let Some(code) = misfit(u16::take(&mut from).map_err(malformed)?, VERSION) {
        return turn_away(stream, code);
    }
    Ok(Dialect::from_number(u8::take(&mut from).map_err(malformed)?))
}

/// The refusal for a caller of another version than this side's.
fn misfit(theirs: u16, own: u16) -> Option<Code> {
    match theirs.cmp(&own) {
        // Versions before 4 refuse every other version with this code, and know no other.
        Ordering::Less if theirs < 4 => Some(Code::Version),
        Ordering::Less => Some(Code::TooOld),
        Ordering::Greater => Some(Code::TooNew),
        Ordering::Equal => None,
    }
}

/// Reads the rest of the preface, for a dialect with a key.
fn read_key_id(stream: &mut impl Read) -> Result<KeyId, HandshakeError> {
    let mut id = [0; KeyId::LEN];
    stream.read_exact(&mut id)?;
    Ok(KeyId(id))
}

fn turn_away<T>(stream: &mut impl Write, code: Code) -> Result<T, HandshakeError> {
    stream.write_all(&refusal_in_clear(code))?;
    Err(HandshakeError::Turned(code))
}

fn respond(stream: &mut impl Write, mut noise: HandshakeState, first: &[u8]) -> Result<TransportKeys, HandshakeError> {
    let theirs = take_message(&mut noise, first)?;
    let noise = answer(stream, noise, &to_bytes(&Features::KNOWN))?;
    TransportKeys::of(noise, theirs).ok_or(HandshakeError::Crypto)
}

/// Reads the first message.
fn read_first(stream: &mut impl Read) -> Result<Vec<u8>, HandshakeError> {
    match read_message(stream) {
        // Only the accepting side may refuse.
        Err(HandshakeError::Refused(_)) => Err(HandshakeError::NotOurs),
        other => other,
    }
}

/// Sends the second message, with what it brings along.
fn answer(stream: &mut impl Write, mut noise: HandshakeState, brings: &[u8]) -> Result<HandshakeState, HandshakeError> {
    let mut message = [0; HANDSHAKE_LEN_MAX];
    let len = noise.write_message(brings, &mut message).map_err(crypto)?;
    let mut out = Vec::with_capacity(2 + len);
    put_message(&message[..len], &mut out);
    stream.write_all(&out)?;
    Ok(noise)
}

/// A refusal before there is a channel: a handshake message of length 0 and the number of the code, in the clear.
pub fn refusal_in_clear(code: Code) -> [u8; 4] {
    let mut out = Vec::with_capacity(4);
    0u16.put(&mut out);
    (code as u16).put(&mut out);
    out.try_into().expect("two numbers of two bytes")
}

#[cfg(test)]
pub(crate) mod tests {
    use super::super::record_layer::{Opener, RecordError, Sealer};
    use super::*;
    use std::net::TcpStream;
    use std::os::unix::net::UnixStream;
    use std::thread;

    /// Both ends of a finished handshake: the connecting side and the accepting side.
    pub(crate) fn finished() -> (HandshakeState, HandshakeState) {
        let builder = || Builder::new(params(PSK_PATTERN)).psk(0, &[7; 32]).expect("a key of 32 bytes");
        let mut near = builder().build_initiator().expect("builds");
        let mut far = builder().build_responder().expect("builds");
        let (mut message, mut payload) = ([0; HANDSHAKE_LEN_MAX], [0; HANDSHAKE_LEN_MAX]);
        let len = near.write_message(&[], &mut message).expect("writes");
        far.read_message(&message[..len], &mut payload).expect("reads");
        let len = far.write_message(&[], &mut message).expect("writes");
        near.read_message(&message[..len], &mut payload).expect("reads");
        (near, far)
    }

    /// The keys of both ends of a connection: of the connecting side and of the accepting side.
    pub(crate) fn keys() -> (TransportKeys, TransportKeys) {
        let (near, far) = finished();
        [near, far].map(|noise| TransportKeys::of(noise, Features::KNOWN).expect("finished")).into()
    }

    #[test]
    fn an_answer_is_as_long_as_its_beginning_says_and_no_longer_than_one_can_be() {
        assert_eq!([answer_len(&[]).ok(), answer_len(&[0]).ok()], [Some(2), Some(2)]);
        assert_eq!([answer_len(&[0, 0]).ok(), answer_len(&[0, 48]).ok()], [Some(4), Some(50)]);
        assert!(matches!(answer_len(&[0xff, 0xff]), Err(HandshakeError::NotOurs)));
    }

    pub(super) const KEY_ID: KeyId = KeyId([0xa5; 16]);
    pub(super) const GROUP_KEY: Secret = Secret([7; 32]);
    pub(super) const TRACKER_KEY: Secret = Secret([9; 32]);
    pub(super) const LINK: (KeyId, Secret) = (KeyId([0x6b; 16]), Secret([6; 32]));

    /// A far side that has sent everything in advance.
    pub(super) struct Script {
        input: io::Cursor<Vec<u8>>,
        pub(super) output: Vec<u8>,
    }

    impl Script {
        pub(super) fn new(input: impl Into<Vec<u8>>) -> Self {
            Self { input: io::Cursor::new(input.into()), output: Vec::new() }
        }
    }

    impl Read for Script {
        fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
            self.input.read(buf)
        }
    }

    impl Write for Script {
        fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
            self.output.write(buf)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// Runs both sides against each other. Each side sees at once when the other has ended.
    pub(super) fn meet<A: Send, B: Send>(
        near: impl FnOnce(&mut UnixStream) -> A + Send,
        far: impl FnOnce(&mut UnixStream) -> B + Send,
    ) -> (A, B) {
        let (mut near_stream, mut far_stream) = UnixStream::pair().expect("two sockets");
        thread::scope(|scope| {
            let near = scope.spawn(move || near(&mut near_stream));
            let far = scope.spawn(move || far(&mut far_stream));
            (near.join().expect("no panic"), far.join().expect("no panic"))
        })
    }

    pub(super) fn accepts_all(far: &mut (impl Read + Write)) -> Result<Caller, HandshakeError> {
        tracker_accepts(far, &TRACKER_KEY, &LINK, || ())
    }

    fn client(accepted: Caller) -> TransportKeys {
        let Caller::Client(keys) = accepted else { panic!("a client") };
        keys
    }

    fn tracker(accepted: Caller) -> TransportKeys {
        let Caller::Tracker(keys) = accepted else { panic!("a tracker") };
        keys
    }

    /// Whether a frame sealed at one end opens at the other.
    pub(super) fn talk(from: &TransportKeys, to: &TransportKeys) -> Result<bool, RecordError> {
        let mut opener = Opener::new(100);
        let sealed = Sealer::default().seal(from, &[0, 0, 0, 5, 3, 0, 0, 0, 1]).to_vec();
        opener.room()[..sealed.len()].copy_from_slice(&sealed);
        opener.filled(sealed.len());
        opener.advance(to)
    }

    /// What the connecting side sends under a key: the preface and the first handshake message. Also returns its state.
    fn opening(dialect: Dialect, key_id: KeyId, key: &Secret, payload: &[u8]) -> (Vec<u8>, HandshakeState) {
        let mut out = preface(dialect, Some(key_id));
        let builder = Builder::new(params(PSK_PATTERN)).prologue(&out).expect("once").psk(0, &key.0).expect("once");
        let mut noise = builder.build_initiator().expect("builds");
        let mut message = [0; HANDSHAKE_LEN_MAX];
        let len = noise.write_message(payload, &mut message).expect("writes");
        put_message(&message[..len], &mut out);
        (out, noise)
    }

    pub(super) fn is_closed(error: &HandshakeError) -> bool {
        matches!(error, HandshakeError::Io(error) if error.kind() == io::ErrorKind::UnexpectedEof)
    }

    #[test]
    fn a_client_and_a_tracker_meet_and_the_client_learns_whom_it_met() {
        let (near, far) = meet(client_to_tracker, accepts_all);
        let ((near, fingerprint_seen), far) = (near.expect("meets"), client(far.expect("meets")));
        assert_eq!(fingerprint_seen, fingerprint(&public_key(&TRACKER_KEY)));
        assert_ne!(fingerprint_seen, fingerprint(&public_key(&GROUP_KEY)));
        assert_eq!((talk(&near, &far), talk(&far, &near)), (Ok(true), Ok(true)));
    }

    #[test]
    fn both_sides_use_the_features_that_both_know() {
        for (theirs, common) in [(0, Features(0)), (u64::MAX, Features::KNOWN), (2, Features(0))] {
            let (said, mut noise) = opening(Dialect::TrackerTracker, LINK.0, &LINK.1, &to_bytes(&Features(theirs)));
            let mut far = Script::new(said);
            let keys = tracker(accepts_all(&mut far).expect("it has the key"));
            assert_eq!(keys.features(), common);
            assert_eq!(take_message(&mut noise, &far.output[2..]).expect("an answer"), Features::KNOWN);
        }
        let (near, far) = meet(client_to_tracker, accepts_all);
        let known = [near.expect("meets").0, client(far.expect("meets"))].map(|keys| keys.features());
        assert_eq!(known, [Features::KNOWN; 2]);
    }

    #[test]
    fn trackers_of_one_installation_meet_at_the_door_at_which_clients_meet_them() {
        let (near, far) = meet(|near| tracker_to_tracker(near, LINK.0, &LINK.1), accepts_all);
        let (near, far) = (near.expect("meets"), tracker(far.expect("meets")));
        assert_eq!((talk(&near, &far), talk(&far, &near)), (Ok(true), Ok(true)));
    }

    #[test]
    fn a_tracker_of_another_installation_is_told_that_the_cluster_keys_differ() {
        let (near, far) = meet(|near| tracker_to_tracker(near, KEY_ID, &GROUP_KEY), accepts_all);
        let error = near.expect_err("no channel");
        assert!(matches!(error, HandshakeError::Refused(Some(Code::OtherCluster))));
        assert_eq!(error.to_string(), "The trackers' cluster keys differ, copy the key file of one to the other");
        assert!(matches!(far, Err(HandshakeError::Turned(Code::OtherCluster))));
    }

    #[test]
    fn a_caller_with_the_id_of_the_link_key_alone_gets_no_further() {
        let (near, far) = meet(|near| tracker_to_tracker(near, LINK.0, &GROUP_KEY), accepts_all);
        assert!(is_closed(&near.expect_err("no channel")));
        assert!(matches!(far, Err(HandshakeError::Crypto)));
    }

    #[test]
    fn the_first_message_of_a_tracker_can_be_replayed_but_no_frame_can_follow() {
        let (recorded, mut noise) = opening(Dialect::TrackerTracker, LINK.0, &LINK.1, &[0; 8]);
        let mut first = Script::new(recorded.clone());
        let first_keys = tracker(accepts_all(&mut first).expect("the tracker itself"));
        let theirs = take_message(&mut noise, &first.output[2..]).expect("the tracker reads the answer");
        let near = TransportKeys::of(noise, theirs).expect("finished");
        assert_eq!(talk(&near, &first_keys), Ok(true));
        let second_keys = tracker(accepts_all(&mut Script::new(recorded)).expect("completes"));
        assert_eq!(talk(&near, &second_keys), Err(RecordError::Forged));
    }

    #[test]
    fn the_same_key_makes_no_channel_between_dialects() {
        let (recorded, _) = opening(Dialect::PeerPeer, LINK.0, &LINK.1, &[0; 8]);
        let mut changed = recorded;
        changed[10] = Dialect::TrackerTracker as u8;
        assert!(matches!(accepts_all(&mut Script::new(changed)), Err(HandshakeError::Crypto)));
    }

    #[test]
    fn the_caller_is_told_in_the_clear_which_side_is_older_and_another_protocol_gets_no_answer() {
        for (version, code) in [(0, Code::Version), (VERSION - 1, Code::Version), (VERSION + 1, Code::TooNew)] {
            let mut script = Script::new([&MAGIC[..], &version.to_be_bytes(), &[1]].concat());
            assert!(matches!(accepts_all(&mut script), Err(HandshakeError::Turned(turned)) if turned == code));
            assert_eq!(script.output, refusal_in_clear(code));
            let told = client_to_tracker(&mut Script::new(script.output)).map(drop);
            assert!(matches!(told, Err(HandshakeError::Refused(Some(told))) if told == code));
        }
        let of_the_next = [(3, Some(Code::Version)), (4, Some(Code::TooOld)), (5, None), (6, Some(Code::TooNew))];
        assert_eq!(of_the_next.map(|(version, _)| (version, misfit(version, 5))), of_the_next);
        assert!(Code::TooOld.words().starts_with("This program is older") && Code::TooOld.words().contains("install"));
        // Programs of version 3 refuse a newer caller with this number, and show their own words for it.
        let told = client_to_tracker(&mut Script::new([0, 0, 0, 4])).map(drop).expect_err("refused").to_string();
        assert!(told.starts_with("The other side is older") && told.contains("upgrade"), "{told}");
        assert!(
            Code::TooNew.words().starts_with("The other side is older") && Code::TooNew.words().contains("upgrade")
        );
        let mut script = Script::new(*b"GRPSHARE\x00\x04\x09");
        assert!(matches!(accepts_all(&mut script), Err(HandshakeError::Turned(Code::UnknownKind))));
        let mut script = Script::new(*b"GET / HTTP/1.1\r\n\r\n");
        assert!(matches!(accepts_all(&mut script), Err(HandshakeError::NotOurs)));
        assert!(script.output.is_empty());
    }

    #[test]
    fn a_client_knows_a_refusal_from_what_is_no_answer_at_all() {
        for code in Code::ALL {
            let error = client_to_tracker(&mut Script::new(refusal_in_clear(*code))).map(drop);
            assert!(matches!(error, Err(HandshakeError::Refused(Some(read))) if read == *code));
        }
        let error = client_to_tracker(&mut Script::new([0, 0, 0xff, 0xff])).map(drop);
        assert!(matches!(error, Err(HandshakeError::Refused(None))));
        for other in [&b"HTTP/1.1 400 Bad Request\r\n"[..], b"SSH-2.0-OpenSSH", &[2, 1]] {
            assert!(matches!(client_to_tracker(&mut Script::new(other)), Err(HandshakeError::NotOurs)));
        }
        for cut in [&[][..], &[0], &[0, 0, 1], &[0, 96, 1]] {
            assert!(is_closed(&client_to_tracker(&mut Script::new(cut)).map(drop).expect_err("no answer")));
        }
    }

    #[test]
    fn a_refusal_over_tcp_is_read_although_the_refusing_side_is_gone_already() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        for _ in 0..20 {
            // The refusal comes before the client has sent anything.
            let mut near = TcpStream::connect(listener.local_addr().expect("bound")).expect("connects");
            let (mut far, _) = listener.accept().expect("accepts");
            far.write_all(&refusal_in_clear(Code::Busy)).expect("goes out");
            drop(far);
            let error = client_to_tracker(&mut near).map(drop);
            assert!(matches!(error, Err(HandshakeError::Refused(Some(Code::Busy)))), "{error:?}");
            // The refusal leaves bytes of the client unread, so the system resets the connection.
            let mut near = TcpStream::connect(listener.local_addr().expect("bound")).expect("connects");
            let (mut far, _) = listener.accept().expect("accepts");
            let refused = thread::spawn(move || accepts_all(&mut far).map(drop));
            let error = tracker_to_tracker(&mut near, KEY_ID, &GROUP_KEY).map(drop);
            assert!(matches!(error, Err(HandshakeError::Refused(Some(Code::OtherCluster)))), "{error:?}");
            assert!(refused.join().expect("no panic").is_err());
        }
    }

    #[test]
    fn only_the_side_that_accepts_may_refuse() {
        let mut opening = preface(Dialect::ClientTracker, None);
        opening.extend(refusal_in_clear(Code::Busy));
        let mut script = Script::new(opening);
        assert!(matches!(accepts_all(&mut script), Err(HandshakeError::NotOurs)));
        assert!(script.output.is_empty());
    }

    #[test]
    fn a_key_id_that_was_changed_on_the_way_fails_even_under_the_same_key() {
        let (recorded, _) = opening(Dialect::TrackerTracker, LINK.0, &LINK.1, &[0; 8]);
        for at in 11..27 {
            let mut changed = recorded.clone();
            changed[at] ^= 1;
            let mut script = Script::new(changed.clone());
            let under = KeyId(changed[11..27].try_into().expect("16 bytes"));
            let accepted = tracker_accepts(&mut script, &TRACKER_KEY, &(under, LINK.1.clone()), || ());
            assert!(matches!(accepted, Err(HandshakeError::Crypto)));
            assert!(script.output.is_empty());
        }
    }

    #[test]
    fn bytes_changed_on_the_way_between_client_and_tracker_are_noticed_by_the_client() {
        // From the client: 13 bytes, then the key of its handshake, and what it knows. From the tracker: 2 bytes, then
        // keys, what it knows, and tags.
        for (from_client, byte) in (13..53).map(|byte| (true, byte)).chain((2..106).map(|byte| (false, byte))) {
            let (near, _) = meet(
                |near| client_to_tracker(near).map(drop),
                |far| {
                    let mut opening = vec![0; 53];
                    far.read_exact(&mut opening).expect("the opening");
                    if from_client {
                        opening[byte] ^= 0x40;
                    }
                    let mut script = Script::new(opening);
                    accepts_all(&mut script).expect("the tracker cannot know");
                    if !from_client {
                        script.output[byte] ^= 0x40;
                    }
                    far.write_all(&script.output).expect("goes out");
                },
            );
            assert!(matches!(near, Err(HandshakeError::Crypto)), "{from_client} {byte}");
        }
    }

    #[test]
    fn handshake_messages_of_any_other_length_are_refused() {
        let (recorded, _) = opening(Dialect::TrackerTracker, LINK.0, &LINK.1, &[0; 8]);
        assert_eq!(recorded.len(), 27 + 2 + 56);
        for len in 1..56 {
            let mut short = recorded[..29 + len].to_vec();
            short[28] = len as u8;
            let error = accepts_all(&mut Script::new(short)).map(drop);
            assert!(matches!(error, Err(HandshakeError::Crypto)), "{len}");
        }
        for brings in [0, 7, 9] {
            let (other_payload, _) = opening(Dialect::TrackerTracker, LINK.0, &LINK.1, &vec![1; brings]);
            let error = accepts_all(&mut Script::new(other_payload)).map(drop);
            assert!(matches!(error, Err(HandshakeError::Crypto)), "{brings}");
        }
        let mut long = preface(Dialect::ClientTracker, None);
        put_message(&[1; HANDSHAKE_LEN_MAX + 1], &mut long);
        assert!(matches!(accepts_all(&mut Script::new(long)), Err(HandshakeError::NotOurs)));
        for cut in 0..recorded.len() {
            let error = accepts_all(&mut Script::new(&recorded[..cut])).map(drop);
            assert!(is_closed(&error.expect_err("the opening is cut")), "{cut}");
        }
    }

    #[test]
    fn secrets_do_not_show_in_debug_output() {
        assert_eq!(format!("{GROUP_KEY:?}"), "Secret(..)");
    }

    #[test]
    fn a_refusal_in_the_clear_is_four_bytes() {
        assert_eq!(refusal_in_clear(Code::UnknownKey), [0, 0, 0, 80]);
    }
}
