//! The cluster key that the trackers of one installation share, and the keys derived from it. These are the static
//! key, the link key, and the keys of groups, session tokens and certificates.

use super::session_token::TokenClaim;
use crate::model::digest::{Fingerprint, KeyId};
use crate::model::id::{ClientId, GroupRef, PeerKey};
use crate::model::name::UserId;
use crate::sys::random::random_bytes;
use crate::sys::{self, durable};
use crate::wire::certificate::{CERTIFICATE_LIFE, Certificate, SignerKey};
use crate::wire::client_tracker::TOKEN_LEN_MAX;
use crate::wire::codec::{self, Blob};
use crate::wire::handshake::{self, Secret};
use crate::wire::mirror::Mirrored;
use ring::signature::{Ed25519KeyPair, KeyPair};
use ring::{hkdf, hmac};
use std::ffi::OsString;
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::net::SocketAddr;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Length of the cluster key in bytes.
const KEY_LEN: usize = 32;
/// Length of the code that authenticates a token (HMAC-SHA256), in bytes.
const MAC_LEN: usize = 32;
/// How long a tracker believes that a client is still where a tracker saw it, in seconds.
const MIRRORED_LIFE_S: u64 = 30;
/// Separates the keys derived here from any other use of the same 32 bytes.
const SALT: &[u8] = b"groupshare cluster key 1";

/// Why there is no cluster key. Each error is one line that says what to do.
#[derive(Debug)]
pub enum ClusterKeyError {
    /// The key file or its folder cannot be read or written.
    Io {
        path: PathBuf,
        /// What failed, as a verb.
        doing: &'static str,
        error: io::Error,
    },
    /// The path of the key file leads to something else.
    NotAFile(PathBuf),
    /// The key file does not have exactly 32 bytes.
    Size {
        path: PathBuf,
        /// Its length in bytes.
        len: u64,
    },
    /// Users other than the file's owner may read or write it.
    Open { path: PathBuf, mode: u32 },
    /// The system gives no random bytes.
    NoRandomness,
}

impl fmt::Display for ClusterKeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ClusterKeyError::Io { path, doing, error } => {
                write!(f, "cannot {doing} {}: {}", path.display(), sys::reason(error))
            }
            ClusterKeyError::NotAFile(path) => write!(f, "{} is not a file; move it away", path.display()),
            ClusterKeyError::Size { path, len } => write!(
                f,
                "{} has {len} bytes instead of {KEY_LEN}; put the key of the other trackers there, or remove it if \
                 there are none",
                path.display()
            ),
            ClusterKeyError::Open { path, mode } => write!(
                f,
                "{} can be read by other users (mode {mode:03o}); run: chmod 600 '{}'",
                path.display(),
                path.display()
            ),
            ClusterKeyError::NoRandomness => write!(f, "the system gives no random bytes"),
        }
    }
}

impl std::error::Error for ClusterKeyError {}

/// The cluster key, with all keys that are derived once. Holds no file.
pub struct ClusterKey {
    derive: hkdf::Prk,
    static_key: Secret,
    fingerprint: Fingerprint,
    link_key: (KeyId, Secret),
    token_key: hmac::Key,
    mirror_key: hmac::Key,
    signing_key: Ed25519KeyPair,
}

impl fmt::Debug for ClusterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ClusterKey({})", self.fingerprint)
    }
}

/// Length of derived keys in bytes, as ring's HKDF wants to be told.
struct Len;

impl hkdf::KeyType for Len {
    fn len(&self) -> usize {
        KEY_LEN
    }
}

fn expand(prk: &hkdf::Prk, info: &[&[u8]]) -> Secret {
    let mut out = Secret([0; KEY_LEN]);
    let okm = prk.expand(info, Len).and_then(|okm| okm.fill(&mut out.0));
    okm.expect("HKDF-SHA256 gives up to 8,160 bytes");
    out
}

impl ClusterKey {
    /// Derives all keys from these 32 bytes.
    pub fn new(bytes: &[u8; KEY_LEN]) -> Self {
        let derive = hkdf::Salt::new(hkdf::HKDF_SHA256, SALT).extract(bytes);
        let static_key = expand(&derive, &[b"tracker static key"]);
        let fingerprint = handshake::fingerprint(&handshake::public_key(&static_key));
        let link_id = expand(&derive, &[b"tracker link key id"]);
        let link_id = KeyId(*link_id.0.first_chunk().expect("a derived key is longer than an id"));
        let link_key = (link_id, expand(&derive, &[b"tracker link key"]));
        let hmac_key = |label: &[u8]| hmac::Key::new(hmac::HMAC_SHA256, &expand(&derive, &[label]).0);
        let (token_key, mirror_key) = (hmac_key(b"session tokens"), hmac_key(b"mirrored addresses"));
        let signing_key = Ed25519KeyPair::from_seed_unchecked(&expand(&derive, &[b"certificates"]).0);
        let signing_key = signing_key.expect("a seed has 32 bytes");
        Self { derive, static_key, fingerprint, link_key, token_key, mirror_key, signing_key }
    }

    /// Reads this key file. `None` if it does not exist.
    pub fn read(path: &Path) -> Result<Option<Self>, ClusterKeyError> {
        read_key(path).map(|key| key.map(|key| Self::new(&key.0)))
    }

    /// Reads this key file, or makes it if it does not exist.
    pub fn open(path: &Path) -> Result<Self, ClusterKeyError> {
        let key = match read_key(path)? {
            Some(key) => key,
            None => make_key(path)?,
        };
        Ok(Self::new(&key.0))
    }

    /// The trackers' static private key (X25519).
    pub fn static_key(&self) -> &Secret {
        &self.static_key
    }

    /// The fingerprint of the trackers' static public key.
    pub fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }

    /// The key for links between the trackers of this installation, with its public id.
    pub fn link_key(&self) -> (KeyId, Secret) {
        self.link_key.clone()
    }

    /// The key of a group after these departures, with its public id.
    pub fn group_key(&self, group: GroupRef, chain: &[u8; 32]) -> (KeyId, Secret) {
        let group = codec::to_bytes(&group.0);
        let id = expand(&self.derive, &[b"group key id", &group, chain]);
        let id = id.0.first_chunk().expect("a derived key is longer than an id");
        (KeyId(*id), expand(&self.derive, &[b"group key", &group, chain]))
    }

    /// The public key of the trackers' signature on certificates.
    pub fn signer(&self) -> SignerKey {
        SignerKey(self.signing_key.public_key().as_ref().try_into().expect("an Ed25519 public key has 32 bytes"))
    }

    /// Certifies that a client belongs to a user and has this key. Valid from `now_s` on, in seconds since 1970.
    pub fn certify(&self, client: ClientId, user: UserId, key: PeerKey, now_s: u64) -> Certificate {
        let end = now_s.saturating_add(CERTIFICATE_LIFE.as_secs());
        Certificate::new((client, user, key), end, |bytes| {
            self.signing_key.sign(bytes).as_ref().try_into().expect("an Ed25519 signature has 64 bytes")
        })
    }

    /// Makes a session token.
    pub fn token(&self, claim: &TokenClaim) -> Blob<TOKEN_LEN_MAX> {
        let mut token = codec::to_bytes(claim);
        let mac = hmac::sign(&self.token_key, &token);
        token.extend_from_slice(mac.as_ref());
        Blob::new(token).expect("a claim and a code fit")
    }

    /// The content of a token. `None` if no tracker of this installation made it.
    pub fn open_token(&self, token: &[u8]) -> Option<TokenClaim> {
        let (claim, mac) = token.split_last_chunk::<MAC_LEN>()?;
        hmac::verify(&self.token_key, claim, mac).ok()?;
        codec::from_bytes(claim).ok()
    }

    /// Proof for a client of the address from which it connects at this time, in seconds since 1970.
    pub fn mirrored(&self, addr: SocketAddr, now_s: u64) -> Mirrored {
        let addr = SocketAddr::new(addr.ip().to_canonical(), addr.port());
        let code = hmac::sign(&self.mirror_key, &seen_at(addr, now_s));
        let token = [&now_s.to_be_bytes(), code.as_ref()].concat().try_into();
        Mirrored { addr, token: token.expect("a time and a code") }
    }

    /// Whether a tracker of this installation made this proof within the last moments.
    pub fn has_mirrored(&self, said: &Mirrored, now_s: u64) -> bool {
        let (made_s, code) = said.token.split_first_chunk().expect("a token is longer than a time");
        let made_s = u64::from_be_bytes(*made_s);
        let is_ours = hmac::verify(&self.mirror_key, &seen_at(said.addr, made_s), code).is_ok();
        is_ours && now_s.abs_diff(made_s) <= MIRRORED_LIFE_S
    }
}

/// The content of such a proof.
fn seen_at(addr: SocketAddr, now_s: u64) -> Vec<u8> {
    [codec::to_bytes(&addr), codec::to_bytes(&now_s)].concat()
}

/// The path of the key file: the path of tracker_info.txt with links resolved, and `.key` after it.
pub fn key_path(tracker_info: &Path) -> Result<PathBuf, ClusterKeyError> {
    let canonical = tracker_info.canonicalize();
    let canonical = canonical.map_err(|error| failed(tracker_info, "find", error))?;
    let mut path = OsString::from(canonical);
    path.push(".key");
    Ok(path.into())
}

fn failed(path: &Path, doing: &'static str, error: io::Error) -> ClusterKeyError {
    ClusterKeyError::Io { path: path.to_path_buf(), doing, error }
}

/// Reads the key file. `None` if it does not exist.
fn read_key(path: &Path) -> Result<Option<Secret>, ClusterKeyError> {
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(path, "read", error)),
    };
    let meta = file.metadata().map_err(|error| failed(path, "read", error))?;
    if !meta.is_file() {
        return Err(ClusterKeyError::NotAFile(path.to_path_buf()));
    }
    if meta.mode() & 0o077 != 0 {
        return Err(ClusterKeyError::Open { path: path.to_path_buf(), mode: meta.mode() & 0o777 });
    }
    if meta.len() != KEY_LEN as u64 {
        return Err(ClusterKeyError::Size { path: path.to_path_buf(), len: meta.len() });
    }
    let mut key = Secret([0; KEY_LEN]);
    file.read_exact(&mut key.0).map_err(|error| failed(path, "read", error))?;
    Ok(Some(key))
}

/// Makes the key file. If another process was faster, reads the key that it made.
fn make_key(path: &Path) -> Result<Secret, ClusterKeyError> {
    let key = random_bytes().map(Secret).map_err(|_| ClusterKeyError::NoRandomness)?;
    if durable::create(path, &key.0).map_err(|error| failed(path, "make", error))? {
        return Ok(key);
    }
    read_key(path)?.ok_or_else(|| failed(path, "read", io::ErrorKind::NotFound.into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::id::{OpId, Origin, SessionId, UserRef};
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::sync::Barrier;

    fn open_beside(tracker_info: &Path) -> Result<ClusterKey, ClusterKeyError> {
        ClusterKey::open(&key_path(tracker_info)?)
    }

    fn op(seq: u64) -> OpId {
        OpId { origin: Origin { tracker: 1, incarnation: 7 }, seq }
    }

    fn info(folder: &tempfile::TempDir) -> PathBuf {
        let path = folder.path().join("tracker_info.txt");
        fs::write(&path, "127.0.0.1 9000\n").expect("writable");
        path
    }

    #[test]
    fn the_key_is_made_once_and_read_ever_after() {
        let folder = tempfile::tempdir().expect("a folder");
        let info = info(&folder);
        let first = open_beside(&info).expect("made");
        assert_eq!(open_beside(&info).expect("read").fingerprint(), first.fingerprint());
        let meta = fs::metadata(key_path(&info).expect("there")).expect("there");
        assert_eq!((meta.len(), meta.mode() & 0o777), (32, 0o600));
        assert_eq!(fs::read_dir(folder.path()).expect("readable").count(), 2, "no other file is left behind");
    }

    #[test]
    fn starters_at_the_same_time_agree_on_one_key() {
        let folder = tempfile::tempdir().expect("a folder");
        let info = info(&folder);
        let barrier = Barrier::new(8);
        let prints: Vec<Fingerprint> = std::thread::scope(|scope| {
            let start = || {
                barrier.wait();
                open_beside(&info).expect("made or read").fingerprint()
            };
            let starters: Vec<_> = (0..8).map(|_| scope.spawn(start)).collect();
            starters.into_iter().map(|starter| starter.join().expect("no panic")).collect()
        });
        assert!(prints.windows(2).all(|pair| pair[0] == pair[1]), "{prints:?}");
        assert_eq!(fs::read_dir(folder.path()).expect("readable").count(), 2);
    }

    #[test]
    fn a_link_to_tracker_info_leads_to_the_same_key() {
        let folder = tempfile::tempdir().expect("a folder");
        let info = info(&folder);
        let link = folder.path().join("link.txt");
        symlink(&info, &link).expect("linked");
        assert_eq!(key_path(&link).expect("there"), key_path(&info).expect("there"));
    }

    #[test]
    fn a_key_file_of_the_wrong_size_or_open_to_others_is_refused_in_one_line() {
        let folder = tempfile::tempdir().expect("a folder");
        let info = info(&folder);
        let path = key_path(&info).expect("there");
        fs::write(&path, [0; 31]).expect("writable");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).expect("allowed");
        let error = open_beside(&info).expect_err("others may read it").to_string();
        assert!(error.contains("chmod 600") && !error.contains('\n'), "{error}");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("allowed");
        let error = open_beside(&info).expect_err("too short").to_string();
        assert!(error.contains("31 bytes instead of 32") && !error.contains('\n'), "{error}");
        fs::remove_file(&path).expect("removable");
        fs::create_dir_all(&path).expect("makeable");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).expect("allowed");
        assert!(matches!(open_beside(&info), Err(ClusterKeyError::NotAFile(_))));
        let error = open_beside(&folder.path().join("none.txt")).expect_err("no such file").to_string();
        assert!(error.starts_with("cannot find "), "{error}");
    }

    #[test]
    fn derived_keys_differ_by_label_group_and_chain_and_are_the_same_everywhere() {
        let (here, there) = (ClusterKey::new(&[1; 32]), ClusterKey::new(&[1; 32]));
        let (a, b) = (GroupRef(op(1)), GroupRef(op(2)));
        assert_eq!(here.group_key(a, &[0; 32]), there.group_key(a, &[0; 32]));
        assert_ne!(here.group_key(a, &[0; 32]), here.group_key(b, &[0; 32]));
        assert_ne!(here.group_key(a, &[0; 32]), here.group_key(a, &[1; 32]));
        assert_ne!(here.static_key().0, here.group_key(a, &[0; 32]).1.0);
        assert_ne!(here.fingerprint(), ClusterKey::new(&[2; 32]).fingerprint());
        let (id, key) = here.group_key(a, &[0; 32]);
        assert_ne!(id.0[..], key.0[..KeyId::LEN]);
        let (link_id, link_key) = here.link_key();
        assert_eq!((link_id, link_key.clone()), there.link_key());
        assert_ne!(link_id.0[..], link_key.0[..KeyId::LEN]);
        assert_ne!(link_key.0, here.static_key().0);
        assert_ne!(link_id, ClusterKey::new(&[2; 32]).link_key().0, "trackers of two installations can tell");
    }

    #[test]
    fn an_address_was_seen_if_a_tracker_of_the_installation_said_so_moments_ago() {
        let cluster_key = ClusterKey::new(&[1; 32]);
        let addr = |addr: &str| addr.parse().expect("an address");
        let said = cluster_key.mirrored(addr("[::ffff:192.0.2.7]:51000"), 1_000);
        assert_eq!(said.addr, addr("192.0.2.7:51000"));
        for now_s in [970, 1_000, 1_030] {
            assert!(ClusterKey::new(&[1; 32]).has_mirrored(&said, now_s), "at every tracker, at {now_s}");
        }
        for now_s in [0, 969, 1_031, u64::MAX] {
            assert!(!cluster_key.has_mirrored(&said, now_s), "at {now_s}");
        }
        assert!(!ClusterKey::new(&[2; 32]).has_mirrored(&said, 1_000), "another installation");
        for other in ["192.0.2.7:51001", "192.0.2.8:51000", "[2001:db8::7]:51000"] {
            assert!(!cluster_key.has_mirrored(&Mirrored { addr: addr(other), ..said }, 1_000), "{other}");
        }
        for at in 0..said.token.len() {
            let mut forged = said;
            forged.token[at] ^= 1;
            assert!(!cluster_key.has_mirrored(&forged, 1_000), "byte {at}");
        }
    }

    #[test]
    fn a_token_is_opened_by_trackers_of_its_installation_as_it_was_made_and_not_otherwise() {
        let cluster_key = ClusterKey::new(&[1; 32]);
        let session = SessionId([3; 16]);
        let claim = TokenClaim { user: UserRef(op(1)), sessions_since: op(5), session, made_s: 1_000 };
        let made = cluster_key.token(&claim);
        let token = made.as_bytes();
        assert_eq!(ClusterKey::new(&[1; 32]).open_token(token), Some(claim), "valid at every tracker");
        assert_eq!(ClusterKey::new(&[2; 32]).open_token(token), None, "another installation");
        for at in 0..token.len() {
            let mut forged = token.to_vec();
            forged[at] ^= 1;
            assert_eq!(cluster_key.open_token(&forged), None, "byte {at}");
        }
        for len in 0..token.len() {
            assert_eq!(cluster_key.open_token(&token[..len]), None, "{len} bytes");
        }
    }
}
