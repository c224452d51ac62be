//! Whole connections to a seeder that has a file and a part of another one.

use super::connection::Connection;
use super::script::Script;
use super::{Folder, is_one_line};
use crossbeam_channel as channel;
use groupshare::client::keyring::Keyring;
use groupshare::client::reach::identity::{Certified, Identity};
use groupshare::client::storage::file_stamp::Stamps;
use groupshare::client::storage::shared_files::SharedFiles;
use groupshare::client::upload::catalog::Catalog;
use groupshare::client::upload::event::SeederEvent;
use groupshare::client::upload::seeder::{Seeder, SeederSetup};
use groupshare::model::bitfield::Bitfield;
use groupshare::model::digest::{InfoHash, KeyId};
use groupshare::model::id::{ClientId, GroupRef, OpId, Origin, PeerKey};
use groupshare::model::manifest::FileEntry;
use groupshare::model::name::{GroupId, UserId};
use groupshare::model::path::RelPath;
use groupshare::model::piece::block::BlockSet;
use groupshare::model::piece::{Layout, PIECE_LEN};
use groupshare::rate::limit::Limit;
use groupshare::rate::uplink::Uplink;
use groupshare::tracker::auth::cluster_key::ClusterKey;
use groupshare::wire::client_tracker::GroupKey;
use groupshare::wire::connection::TimedStream;
use groupshare::wire::frame::{Frame, Message};
use groupshare::wire::handshake::Secret;
use groupshare::wire::handshake::peer::{PeerIdentity, peer_to_peer};
use groupshare::wire::peer::{PeerReply, PeerRequest};
use groupshare::wire::refusal::{Code, Refusal};
use std::fs;
use std::net::TcpListener;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

const KEY_ID: KeyId = KeyId([1; 16]);
const KEY: [u8; 32] = [2; 32];
/// The content that is served as a whole, and the content without its last piece.
const WHOLE: InfoHash = InfoHash([3; 32]);
const PART: InfoHash = InfoHash([4; 32]);
/// Two pieces. The last one is short.
const LEN: usize = PIECE_LEN as usize + 1000;
/// Most requests on one connection. About as many pieces fit into the buffers of its socket.
const REQUESTS_MAX: usize = 6;
/// Bytes of the digest of a block.
const DIGEST_LEN: usize = 7;
/// The number of `Give`.
const GIVE: u8 = 65;

struct Bench {
    seeder: Seeder,
    key: PeerKey,
    data: Vec<u8>,
    _events: channel::Receiver<SeederEvent>,
    _folder: Folder,
}

/// A client of this user, with a certificate of a tracker.
fn certified(client: u8, user: &str) -> Arc<Identity> {
    let identity = Identity::new(ClientId([client; 16])).expect("random bytes");
    let (cluster_key, user) = (ClusterKey::new(&[1; 32]), UserId::parse(user).expect("a name"));
    let certificate = cluster_key.certify(identity.client(), user, identity.key(), 1);
    let (signer, heard, seen) = (cluster_key.signer(), Instant::now(), ([127, 0, 0, 1], 1).into());
    assert!(identity.take(Certified { certificate, signer, now_s: 1, heard, tracker: 1, relay: false, seen }));
    Arc::new(identity)
}

fn group() -> GroupRef {
    GroupRef(OpId { origin: Origin { tracker: 1, incarnation: 1 }, seq: 1 })
}

impl Bench {
    fn start() -> Self {
        let folder = Folder::new();
        let data: Vec<u8> = (0..LEN).map(|at| (at / 7 + at / 1000) as u8).collect();
        let path = folder.path().canonicalize().expect("there").join("film.mkv");
        fs::write(&path, &data).expect("room");
        let files = [FileEntry { path: RelPath::parse("film.mkv").expect("a path"), len: LEN as u64 }];
        let layout = Layout::new(LEN as u64).expect("small");
        let catalog = Arc::new(Catalog::start().expect("a thread"));
        for info_hash in [WHOLE, PART] {
            let stamps = Stamps::take(&path, &files).expect("just written");
            let source = Arc::new(SharedFiles::new(path.clone(), &files, layout, stamps));
            let mut have = Bitfield::all(layout);
            if info_hash == PART {
                have.remove(layout.index(1).expect("the last piece"));
            }
            catalog.add(group(), info_hash, source, have).expect("open");
        }
        let keyring = Arc::new(Keyring::default());
        let name = GroupId::parse("lab").expect("a name");
        keyring.put(GroupKey { group: group(), name, id: KEY_ID, key: Secret(KEY) });
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let (events, _events) = channel::bounded(64);
        let (identity, uplink) = (certified(1, "alice"), Uplink::new(Limit::NONE));
        let setup = SeederSetup {
            identity: identity.clone(),
            keyring,
            catalog,
            uplink,
            events,
            take_given: Box::new(drop),
            calls: Arc::default(),
        };
        let seeder = Seeder::start(listener, setup).expect("a thread");
        Self { seeder, key: identity.key(), data, _events, _folder: folder }
    }
}

impl Bench {
    fn piece(&self, piece: u32) -> &[u8] {
        let from = piece as usize * PIECE_LEN as usize;
        &self.data[from..LEN.min(from + PIECE_LEN as usize)]
    }

    /// The bytes that this request asks for.
    fn asked(&self, (kind, body): (u8, &[u8])) -> Vec<u8> {
        match Frame::new(kind, 0, body).message() {
            Ok(PeerRequest::GetPiece { piece }) => self.piece(piece).to_vec(),
            Ok(PeerRequest::GetBlocks { piece, block_len, blocks }) => {
                let piece = self.piece(piece);
                let blocks =
                    BlockSet::from_bytes(block_len, piece.len() as u32, blocks.as_bytes()).expect("it is given");
                blocks.ranges().flat_map(|range| piece[range.start as usize..range.end as usize].to_vec()).collect()
            }
            _ => panic!("no bytes were asked for"),
        }
    }
}

/// The first byte says which content is opened first, if any. Requests follow. The seeder gives exactly the requested
/// bytes.
pub(super) fn seeding_session(data: &[u8]) {
    static BENCH: OnceLock<Bench> = OnceLock::new();
    let bench = BENCH.get_or_init(Bench::start);
    let mut script = Script::new(data);
    let Some(first) = script.byte() else { return };
    static BOB: OnceLock<PeerIdentity> = OnceLock::new();
    let bob = BOB.get_or_init(|| certified(2, "bob").shown().expect("certified"));
    let greet = |stream: &mut TimedStream<'_>| peer_to_peer(stream, bob, bench.key, (KEY_ID, &Secret(KEY)));
    let mut leecher = Connection::new(bench.seeder.addr(), greet);
    let opens = [Some(WHOLE), Some(PART), Some(InfoHash([9; 32])), None][usize::from(first % 4)];
    if let Some(info_hash) = opens {
        let open = PeerRequest::Open { info_hash };
        let mut body = Vec::new();
        open.put_body(&mut body);
        leecher.ask(open.kind(), &body);
    }
    let before = leecher.last_request;
    let said = leecher.say_all(&mut script, REQUESTS_MAX);
    let (last, mut answered, mut over) = (leecher.last_request, 0, false);
    leecher.hear_all(|frame| {
        if answered == last {
            return assert!(said.wild, "a second answer");
        }
        answered += 1;
        assert_eq!(frame.request, answered, "answers come in order");
        assert!(!over, "the connection was to end");
        match frame.message().expect("a seeder says nothing else") {
            PeerReply::Refused { code, about } => {
                let refusal = Refusal::received(code, &about);
                assert!(is_one_line(&refusal), "{refusal}");
                over = answered == 1 || refusal.code == Code::Malformed;
            }
            PeerReply::Opened { bits } => {
                assert_eq!(answered, 1);
                let held = [0b1100_0000, 0b1000_0000];
                assert!(held.iter().any(|&held| bits.as_bytes() == [held]));
            }
            PeerReply::Piece { data } => {
                let asked = bench.asked(said.requests[(answered - before - 1) as usize]);
                assert!(frame.payload(data.len).iter().flatten().eq(&asked));
            }
            PeerReply::Digests { digests } => {
                let (kind, body) = said.requests[(answered - before - 1) as usize];
                let Ok(PeerRequest::Describe { block_len, pieces }) = Frame::new(kind, 0, body).message() else {
                    panic!("digests were not asked for")
                };
                let counts = pieces.iter().map(|&piece| block_len.count(bench.piece(piece).len() as u32) as usize);
                assert_eq!(digests.as_bytes().len(), DIGEST_LEN * counts.sum::<usize>());
            }
            PeerReply::Alive {} => {}
            PeerReply::News { .. } | PeerReply::Give { .. } => panic!("nothing is new here"),
        }
    });
    // A connection whose caller offers pieces is passed on, and here no thread waits for it.
    let gives = opens.is_none() && said.requests.first().is_some_and(|(kind, body)| *kind == GIVE && body.len() == 32);
    assert!(over || gives || answered == last, "{answered} of {last} requests were answered");
}
