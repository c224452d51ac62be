//! Members without tracker and prompt: seeders and leechers in one process, over real sockets.

use crate::common::deadline::LONG;
use crate::common::identity::{at, identity, peer_identity};
use crate::common::subject::{group, user};
use crossbeam_channel as channel;
use groupshare::client::difference::gathering::Difference;
use groupshare::client::difference::old_version::OldVersion;
use groupshare::client::download::engine::Engine;
use groupshare::client::download::engine::event::EngineEvent;
use groupshare::client::download::engine::options::{EngineOptions, default_workers};
use groupshare::client::download::patching::find_difference;
use groupshare::client::download::transfer::{Subject, Transfer, TransferSetup};
use groupshare::client::download::verify::{fill_from_old, verify_existing};
use groupshare::client::keyring::Keyring;
use groupshare::client::rate::downlink::Downlink;
use groupshare::client::reach::calls::Calls;
use groupshare::client::reach::identity::Identity;
use groupshare::client::reach::port::ListeningPort;
use groupshare::client::reach::reacher::Reacher;
use groupshare::client::storage::file_stamp::Stamps;
use groupshare::client::storage::part::{OpenedPart, Part, PartLabel, PartRecord};
use groupshare::client::storage::shared_files::SharedFiles;
use groupshare::client::upload::catalog::Catalog;
use groupshare::client::upload::event::SeederEvent;
use groupshare::client::upload::given::Given;
use groupshare::client::upload::seeder::{Seeder, SeederSetup};
use groupshare::client::upload::served::Served;
use groupshare::model::bitfield::Bitfield;
use groupshare::model::digest::KeyId;
use groupshare::model::id::ClientId;
use groupshare::model::name::GroupId;
use groupshare::rate::limit::Limit;
use groupshare::rate::uplink::Uplink;
use groupshare::wire::client_tracker::{GroupKey, Peer};
use groupshare::wire::connection::{self, FrameReceiver, FrameSender};
use groupshare::wire::frame::FRAME_LEN_MAX;
use groupshare::wire::handshake::peer::peer_to_peer;
use groupshare::wire::handshake::{HandshakeError, Secret};
use groupshare::wire::peer::{PeerReply, PeerRequest};
use groupshare::wire::transport_keys::TransportKeys;
use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

/// The name of the group of all members. It is too long to come up in random bytes.
pub(crate) const GROUP: &str = "laboratory";

pub(crate) fn key(secret: u8) -> GroupKey {
    let name = GroupId::parse(GROUP).expect("a name");
    GroupKey { group: group(), name, id: KeyId([secret; 16]), key: Secret([secret; 32]) }
}

/// The settings of a member, and the receivers of its events.
pub(crate) struct MemberSetup {
    pub patience: Option<Duration>,
    pub uplink: Arc<Uplink>,
    pub download: Limit,
    pub events: channel::Sender<SeederEvent>,
    /// Receives the connections of members that give.
    pub given: channel::Sender<Given>,
}

impl Default for MemberSetup {
    fn default() -> Self {
        let (events, given) = (channel::unbounded().0, channel::unbounded().0);
        Self { patience: None, uplink: Uplink::new(Limit::NONE), download: Limit::NONE, events, given }
    }
}

/// A client without a prompt and a tracker.
pub(crate) struct Member {
    pub folder: tempfile::TempDir,
    pub client: ClientId,
    pub identity: Arc<Identity>,
    pub keyring: Arc<Keyring>,
    pub catalog: Arc<Catalog>,
    pub seeder: Option<Seeder>,
    pub engine: Arc<Engine>,
    told: channel::Receiver<EngineEvent>,
}

impl Member {
    pub(crate) fn new(number: u8) -> Self {
        Self::with(number, MemberSetup::default())
    }

    pub(crate) fn with(number: u8, setup: MemberSetup) -> Self {
        let MemberSetup { patience, uplink, download, events, given } = setup;
        let keyring = Arc::new(Keyring::default());
        keyring.put(key(7));
        let catalog = Arc::new(Catalog::start().expect("a thread"));
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let client = ClientId([number; 16]);
        let identity = identity(client, user(number));
        let take_given = Box::new(move |it| drop(given.send(it)));
        let calls = Arc::new(Calls::default());
        let setup = SeederSetup {
            identity: identity.clone(),
            keyring: keyring.clone(),
            catalog: catalog.clone(),
            uplink,
            calls: calls.clone(),
            events,
            take_given,
        };
        let port = Arc::new(ListeningPort::share(&listener).expect("bound"));
        let reacher = Arc::new(Reacher { identity: identity.clone(), port, calls, tracker: None });
        let seeder = Seeder::start(listener, setup);
        let seeder = seeder.expect("a thread");
        let (tell, told) = channel::unbounded();
        let options = EngineOptions { workers: default_workers(), patience, downlink: Downlink::new(download) };
        let engine = Arc::new(Engine::start(options, (keyring.clone(), reacher), tell).expect("threads"));
        Self {
            folder: tempfile::tempdir().expect("a folder"),
            client,
            identity,
            keyring,
            catalog,
            seeder: Some(seeder),
            engine,
            told,
        }
    }

    pub(crate) fn peer(&self, number: u8, subject: &Subject) -> Peer {
        let addr = self.seeder.as_ref().expect("listens").addr();
        let held = subject.content.layout.count();
        Peer { client: self.client, user: user(number), key: self.identity.key(), addrs: at(addr), held }
    }

    /// Serves a file on disk, and claims to hold these pieces of it.
    pub(crate) fn seed(&self, data: &[u8], subject: &Subject, have: Bitfield) -> Arc<Served> {
        let path = self.folder.path().join("f.bin");
        fs::write(&path, data).expect("room");
        let files = subject.manifest.files();
        let honest = files[0].len == data.len() as u64;
        assert!(honest, "the source has the size of the share");
        let stamps = Stamps::take(&path, files).expect("just written");
        let source = Arc::new(SharedFiles::new(path, files, subject.content.layout, stamps));
        let info_hash = subject.content.info_hash;
        self.catalog.add(group(), info_hash, source, have).expect("open")
    }

    pub(crate) fn destination(&self) -> PathBuf {
        self.folder.path().canonicalize().expect("there").join("out.bin")
    }

    pub(crate) fn download(&self, id: u64, subject: &Subject) -> Arc<Transfer> {
        let download = self.prepare(id, subject);
        self.engine.add(download.clone());
        download
    }

    /// A download that the engine does not yet know.
    pub(crate) fn prepare(&self, id: u64, subject: &Subject) -> Arc<Transfer> {
        self.prepare_with(id, subject, None)
    }

    /// Downloads a new version of local content, and takes equal parts from the old version.
    pub(crate) fn update(&self, subject: &Subject, data: &[u8], old: &Subject) -> Arc<Transfer> {
        let path = self.folder.path().join("old.bin");
        fs::write(&path, data).expect("room");
        let files = old.manifest.files();
        let stamps = Stamps::take(&path, files).expect("just written");
        let source = Arc::new(SharedFiles::new(path, files, old.content.layout, stamps));
        let download = self.prepare_with(1, subject, Some(OldVersion::new(source, old.manifest.clone())));
        self.engine.add(download.clone());
        let (found, engine) = (download.clone(), self.engine.clone());
        std::thread::spawn(move || {
            find_difference(&found, || false, || engine.decided(found.id()));
        });
        download
    }

    fn prepare_with(&self, id: u64, subject: &Subject, old: Option<OldVersion>) -> Arc<Transfer> {
        let label = PartLabel {
            info_hash: subject.content.info_hash,
            group: GroupId::parse(GROUP).expect("a name"),
            name: subject.name.clone(),
        };
        let opened =
            Part::open(&self.destination(), subject.manifest.clone(), &label, PartRecord::Absent).expect("room");
        let OpenedPart::Part(part) = opened else { panic!("it is not finished") };
        let part = Arc::new(part);
        let over = AtomicBool::new(false);
        let mut verified = verify_existing(&part, &over).expect("not cancelled");
        let difference = old.map(|old| {
            let taken = fill_from_old(&part, &old, &mut verified, &over);
            let layout = subject.content.layout;
            let missing = layout.indexes().filter(|piece| !verified.have.has(*piece)).collect();
            Arc::new(Difference::new(old, layout, missing, taken))
        });
        let info_hash = subject.content.info_hash;
        let served = self.catalog.add(group(), info_hash, part.clone(), verified.have.clone()).expect("open");
        let (subject, client) = (subject.clone(), self.client);
        let setup = TransferSetup { id, subject, part, verified, difference, served, client, seed: id };
        Arc::new(Transfer::new(setup, Instant::now()))
    }

    /// The engine's next event, except those of first pieces.
    pub(crate) fn hears(&self) -> EngineEvent {
        loop {
            let event = self.told.recv_timeout(LONG).expect("told in time");
            if !matches!(event, EngineEvent::FirstPiece(_)) {
                return event;
            }
        }
    }

    pub(crate) fn expect_finished(&self, data: &[u8]) {
        match self.hears() {
            EngineEvent::Finished(_, path) => assert!(fs::read(path).expect("there") == data, "the file is identical"),
            EngineEvent::Failed(_, why) => panic!("failed: {why}"),
            EngineEvent::FirstPiece(_) => unreachable!("passed over"),
            EngineEvent::StaleKey(_) | EngineEvent::StaleCertificate | EngineEvent::StalePeer(_) => {
                panic!("the keys are right")
            }
        }
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.seeder = None;
        self.catalog.close();
    }
}

/// Makes a handshake with the seeder, as a client of this user under this key.
pub(crate) fn greet(
    stream: &mut (impl Read + Write),
    seeder: &Member,
    number: u8,
    under: u8,
) -> Result<TransportKeys, HandshakeError> {
    let group = key(under);
    peer_to_peer(stream, &peer_identity(number), seeder.identity.key(), (group.id, &group.key))
}

/// This user's connection to the seeder with the content open, or the reason why not.
pub(crate) fn open(seeder: &Member, subject: &Subject, number: u8) -> Result<(FrameReceiver, Arc<FrameSender>), u16> {
    let stream = TcpStream::connect(seeder.peer(1, subject).addrs[0]).expect("the seeder listens");
    stream.set_read_timeout(Some(LONG)).expect("an option");
    let keys = greet(&mut &stream, seeder, number, 7).expect("a member");
    let (mut receiver, sender) = connection::split(stream, keys, FRAME_LEN_MAX, false).expect("a connection");
    let ask = PeerRequest::Open { info_hash: subject.content.info_hash };
    sender.send(1, &ask).expect("sent");
    match receiver.recv(LONG).expect("an answer").message().expect("one that is understood") {
        PeerReply::Opened { .. } => Ok((receiver, sender)),
        PeerReply::Refused { code, .. } => Err(code),
        other => panic!("{other:?}"),
    }
}
