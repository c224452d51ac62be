//! Identities among members, without a tracker that certifies them.

use groupshare::client::reach::identity::{Certified, Identity};
use groupshare::model::id::{ClientId, PeerKey};
use groupshare::model::name::UserId;
use groupshare::tracker::auth::cluster_key::ClusterKey;
use groupshare::wire::certificate::Certificate;
use groupshare::wire::codec::List;
use groupshare::wire::contact::ADDRS_MAX;
use groupshare::wire::handshake::peer::PeerIdentity;
use groupshare::wire::handshake::{Secret, public_key};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// The cluster key of the trackers.
const CLUSTER: [u8; 32] = [0xc1; 32];

/// The only address of a peer.
pub(crate) fn at(addr: SocketAddr) -> List<SocketAddr, ADDRS_MAX> {
    List::first_of(vec![addr])
}

/// The private key of a stub client.
pub(crate) fn secret(number: u8) -> Secret {
    Secret([number; 32])
}

/// The key of a stub client.
pub(crate) fn peer_key(number: u8) -> PeerKey {
    PeerKey(public_key(&secret(number)))
}

/// The identity of a stub client.
pub(crate) fn peer_identity(number: u8) -> PeerIdentity {
    let mut client = [0xee; 16];
    client[0] = number;
    let user = UserId::parse(&format!("user{number}")).expect("a name");
    PeerIdentity { secret: secret(number), certificate: certificate(ClientId(client), user, peer_key(number)) }
}

/// The complete identity of a client of this user.
pub(crate) fn identity(client: ClientId, user: UserId) -> Arc<Identity> {
    let identity = Identity::new(client).expect("random bytes");
    let certificate = certificate(client, user, identity.key());
    let certified = Certified {
        certificate,
        signer: cluster_key().signer(),
        now_s: now_s(),
        heard: Instant::now(),
        tracker: 1,
        relay: false,
        seen: ([127, 0, 0, 1], 1).into(),
    };
    assert!(identity.take(certified), "the certificate is its own");
    Arc::new(identity)
}

fn certificate(client: ClientId, user: UserId, key: PeerKey) -> Certificate {
    certified_by(CLUSTER, (client, user, key), 0)
}

/// A client's certificate that trackers with this cluster key made `ago_s` seconds ago.
pub(crate) fn certified_by(cluster: [u8; 32], of: (ClientId, UserId, PeerKey), ago_s: u64) -> Certificate {
    let (client, user, key) = of;
    ClusterKey::new(&cluster).certify(client, user, key, now_s() - ago_s)
}

fn cluster_key() -> ClusterKey {
    ClusterKey::new(&CLUSTER)
}

fn now_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs()
}

/// The opening of a connection to another client, cut from everything that the caller sent: preface and first message.
pub(crate) fn opening(said: &[u8]) -> &[u8] {
    let len = u16::from_be_bytes([said[11], said[12]]);
    &said[..13 + usize::from(len)]
}
