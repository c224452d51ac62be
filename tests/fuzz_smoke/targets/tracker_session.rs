//! Whole connections to a running tracker: of a client, logged in or not, and of another tracker.

use super::Folder;
use super::common::client::Client;
use super::common::manifest::manifest;
use super::common::membership::all_pieces;
use super::common::memory_log::MemoryLog;
use super::common::names::PASSWORD;
use super::common::tracker::{TestTracker, cluster, fingerprint, loopback};
use super::connection::{Connection, hear_lines};
use super::script::Script;
use groupshare::model::id::ClientId;
use groupshare::model::op::Op;
use groupshare::model::op::floor::FloorMark;
use groupshare::tracker::commit::OpSource;
use groupshare::tracker::data_dir::DataDir;
use groupshare::tracker::server::ListenSockets;
use groupshare::tracker::state::State;
use groupshare::wire::client_tracker::{Reply, Request, TOKEN_LEN_MAX};
use groupshare::wire::codec::{Blob, List};
use groupshare::wire::frame::{self, Message, UNASKED};
use groupshare::wire::handshake;
use groupshare::wire::refusal::{Code, Refusal};
use groupshare::wire::tracker_tracker::LinkMessage;
use parking_lot::Mutex;
use std::sync::Arc;

/// After this many connections a new tracker begins. Otherwise its state would grow without an end.
const CONNECTIONS_MAX: u32 = 200;
/// Most requests on one connection. Their answers fit into the buffers of its socket.
const REQUESTS_MAX: usize = 48;

/// A tracker with some users and groups, and the sessions of these users: an owner, a member, one with a request, and a
/// stranger.
struct Bench {
    tracker: TestTracker,
    log: MemoryLog,
    tokens: [Blob<TOKEN_LEN_MAX>; 4],
    /// A client that the tracker must always serve.
    witness: Client,
    /// The state at the last check.
    checked: Arc<State>,
    served: u32,
    /// The folder is removed after the tracker.
    _folder: Folder,
}

impl Bench {
    fn start() -> Self {
        let (log, folder) = (MemoryLog::default(), Folder::new());
        let tracker =
            TestTracker::start_at(ListenSockets { clients: loopback(), programs: Some(loopback()) }, |settings| {
                settings.log = Box::new(log.clone());
                settings.source = Arc::new(log.clone());
                settings.data_dir = DataDir::open(folder.path()).expect("a data folder");
                settings.warn = Arc::new(|_| {});
            });
        let mut clients = ["alice", "bob", "carol", "dave"].map(|name| {
            let mut client = tracker.client();
            client.create_user(name);
            let token = client.log_in(name);
            (client, token)
        });
        clients[0].0.create_group("lab");
        clients[3].0.create_group("den");
        clients[1].0.join("lab");
        clients[2].0.join("lab");
        clients[0].0.accept("lab", "bob");
        let (bytes, content) = manifest("film.mkv", 3, 7);
        let alice: &mut Client = &mut clients[0].0;
        alice.announce(18000);
        alice.put_manifest("lab", &bytes, &content);
        let share = alice.share("lab", "film.mkv", &content);
        alice.hold(share.share, all_pieces());
        let tokens = clients.map(|(_, token)| token);
        let witness = tracker.client();
        Self { tracker, log, tokens, witness, checked: Arc::default(), served: 0, _folder: folder }
    }

    fn client(&self) -> Connection {
        Connection::new(self.tracker.addr, |stream| {
            let (keys, shown) = handshake::client_to_tracker(stream)?;
            assert_eq!(shown, fingerprint());
            Ok(keys)
        })
    }

    /// The published state is the fold of the kept ops, and the tracker still serves clients.
    fn check(&mut self) {
        self.witness.done(Request::Heartbeat {});
        let published = self.tracker.server.core().state();
        if Arc::ptr_eq(&published, &self.checked) {
            return;
        }
        let mut ops: Vec<Op> = Vec::new();
        let read = self.log.read(&mut |op| {
            ops.push(op);
            true
        });
        read.expect("it is in memory");
        ops.sort_by_key(Op::order);
        let mut state = State::new();
        ops.iter().for_each(|op| state.apply(op));
        assert!(published.op_count() <= state.op_count());
        if published.op_count() == state.op_count() {
            assert_eq!(published.digest(), state.digest());
            self.checked = published;
        }
    }
}

/// Runs on the present tracker, or on a new one.
fn with_bench(bench: &Mutex<Option<Bench>>, run: impl FnOnce(&mut Bench)) {
    let mut place = bench.lock();
    let bench = place.get_or_insert_with(Bench::start);
    run(bench);
    bench.served += 1;
    if bench.served == CONNECTIONS_MAX {
        bench.check();
        *place = None;
    }
}

/// The first byte says which user is logged in. Requests follow. Each gets one answer, in order, until one ends the
/// connection.
pub(super) fn tracker_session(data: &[u8]) {
    static BENCH: Mutex<Option<Bench>> = Mutex::new(None);
    let mut script = Script::new(data);
    let Some(who) = script.byte() else { return };
    with_bench(&BENCH, |bench| {
        let mut client = bench.client();
        if let Some(token) = bench.tokens.get(usize::from(who % 5)) {
            let resume = Request::Resume { client: ClientId([who; 16]), token: token.clone() };
            let mut body = Vec::new();
            resume.put_body(&mut body);
            client.ask(resume.kind(), &body);
        }
        let wild = client.say_all(&mut script, REQUESTS_MAX).wild;
        let (asked, mut answered, mut over) = (client.last_request, 0, false);
        client.hear_all(|frame| {
            let reply: Reply = frame.message().expect("a tracker says nothing else");
            if frame.request == UNASKED {
                over |= is_final(&reply);
                return;
            }
            if answered == asked {
                return assert!(wild, "a second answer");
            }
            answered += 1;
            assert_eq!(frame.request, answered, "answers come in order");
            assert!(frame.kind < 64, "an unasked message has a request id");
            assert!(!over, "the connection was to end");
            over = is_final(&reply);
        });
        assert!(over || answered == asked, "{answered} of {asked} requests were answered");
    });
}

/// Whether the connection ends with this reply.
fn is_final(reply: &Reply) -> bool {
    let Reply::Refused { code, about } = reply else { return false };
    matches!(Refusal::received(*code, about).code, Code::Malformed | Code::TooLarge | Code::UnknownKind)
}

/// The first byte says whether a user is logged in. Lines of a program follow. Each gets an answer of one line.
pub(super) fn tracker_json(data: &[u8]) {
    static BENCH: Mutex<Option<Bench>> = Mutex::new(None);
    let Some((&who, said)) = data.split_first() else { return };
    with_bench(&BENCH, |bench| {
        let login = format!(
            "{{\"command\":\"login\",\"command_args\":{{\"user_id\":\"alice\",\"passwd\":\"{PASSWORD}\"}},\
             \"sender_ip\":\"127.0.0.1\",\"sender_port\":18000}}\n"
        );
        let all = if who % 2 == 0 { said.to_vec() } else { [login.as_bytes(), said].concat() };
        let addr = bench.tracker.server.json_addr().expect("programs are let in");
        let lines = all.iter().filter(|&&byte| byte == b'\n').count();
        let answers = hear_lines(addr, &all);
        assert_eq!(answers.lines().count(), lines, "each line is answered");
        for line in answers.lines() {
            let answer: serde_json::Value = serde_json::from_str(line).expect("JSON");
            assert!(matches!(answer["status"].as_str(), Some("success" | "error")), "{line}");
        }
    });
}

/// The first byte says whether a greeting comes first, and which tracker sends. Messages follow.
pub(super) fn tracker_link(data: &[u8]) {
    static BENCH: Mutex<Option<Bench>> = Mutex::new(None);
    let mut script = Script::new(data);
    let Some(who) = script.byte() else { return };
    with_bench(&BENCH, |bench| {
        let (id, key) = cluster().link_key();
        let mut link = Connection::new(bench.tracker.addr, |stream| handshake::tracker_to_tracker(stream, id, &key));
        if who % 8 != 0 {
            let (tracker, floor) = (2 + u16::from(who >> 6), FloorMark::default());
            let hello = LinkMessage::Hello { tracker, instance: [who; 16], floor, seen: List::EMPTY };
            link.say(&frame::of(UNASKED, &hello));
        }
        link.say_all(&mut script, REQUESTS_MAX);
        link.hear_all(|frame| {
            assert_eq!(frame.request, UNASKED);
            let _: LinkMessage = frame.message().expect("a tracker says nothing else");
        });
        bench.check();
    });
}
