//! Programs and clients beside each other at one tracker.

use crate::common::deadline::LONG;
use crate::common::installation::Installation;
use crate::common::manifest::manifest;
use crate::common::membership::all_pieces;
use crate::common::names::PASSWORD;
use crate::common::program::Program;
use crate::common::queries::some_pieces;
use crate::common::tracker::{TestTracker, loopback};
use crate::common::wait::wait_until;
use groupshare::model::digest::Sha1Digest;
use groupshare::model::piece::PIECE_LEN;
use groupshare::tracker::admission::Caps;
use groupshare::tracker::json::LINE_LEN_MAX;
use groupshare::tracker::server::{ListenSockets, ServerSettings};
use groupshare::wire::client_tracker::{Reply, Request};
use groupshare::wire::refusal::Code;
use serde_json::{Value, json};
use sha1::Digest;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};

/// A tracker that speaks JSON too.
pub(crate) fn tracker() -> TestTracker {
    speaking(|_| {})
}

/// The same with changed settings.
pub(crate) fn speaking(change: impl FnOnce(&mut ServerSettings)) -> TestTracker {
    TestTracker::start_at(ListenSockets { clients: loopback(), programs: Some(loopback()) }, change)
}

/// A program, on a connection of its own.
pub(crate) struct Speaker {
    stream: TcpStream,
    answers: BufReader<TcpStream>,
    /// The port at which it claims to listen.
    port: u16,
}

impl Speaker {
    pub(crate) fn connect(addr: SocketAddr, port: u16) -> Self {
        let stream = TcpStream::connect(addr).expect("it listens");
        stream.set_read_timeout(Some(LONG)).expect("a time");
        Self { answers: BufReader::new(stream.try_clone().expect("a socket")), stream, port }
    }

    /// Sends a raw line. Returns the answer.
    pub(crate) fn say(&mut self, line: &[u8]) -> String {
        self.stream.write_all(&[line, b"\n"].concat()).expect("taken");
        self.hear()
    }

    fn hear(&mut self) -> String {
        let mut answer = String::new();
        self.answers.read_line(&mut answer).expect("an answer");
        answer.strip_suffix('\n').expect("a whole line").to_owned()
    }

    /// Sends a request with these arguments, and with these members besides the usual ones.
    pub(crate) fn ask(&mut self, command: &str, args: Value, top: Value) -> Value {
        self.send(command, args, top);
        serde_json::from_str(&self.hear()).expect("JSON")
    }

    /// Sends a request without waiting for its answer.
    pub(crate) fn send(&mut self, command: &str, args: Value, top: Value) {
        let mut request =
            json!({"command": command, "command_args": args, "sender_ip": "127.0.0.1", "sender_port": self.port});
        let members = request.as_object_mut().expect("an object");
        members.extend(top.as_object().expect("members").clone());
        self.stream.write_all(format!("{request}\n").as_bytes()).expect("taken");
    }

    /// Sends a request that must succeed.
    pub(crate) fn done(&mut self, command: &str, args: &str) -> Value {
        let args = serde_json::from_str(&format!("{{{args}}}")).expect("JSON");
        self.done_with(command, args, json!({}))
    }

    pub(crate) fn done_with(&mut self, command: &str, args: Value, top: Value) -> Value {
        let answer = self.ask(command, args, top);
        assert_eq!(answer["status"], "success", "{command}: {answer}");
        answer
    }

    /// Sends a request that must be refused. Returns the message.
    pub(crate) fn refused(&mut self, command: &str, args: Value, top: Value) -> String {
        let answer = self.ask(command, args, top);
        assert_eq!(answer["status"], "error", "{command}: {answer}");
        answer["message"].as_str().expect("words").to_owned()
    }

    /// Makes an account and logs in.
    pub(crate) fn enter(&mut self, name: &str) {
        let who = json!({"user_id": name, "passwd": PASSWORD});
        self.done_with("create_user", who.clone(), json!({}));
        self.done_with("login", who, json!({}));
    }

    /// The pieces of a share, each with the ports of its holders.
    fn find(&mut self, name: &str) -> Vec<Vec<u16>> {
        let found = self.done_with("download_file", json!({"group_id": "lab", "file_name": name}), json!({}));
        let ports = |chunk: &Value| {
            let holders = found["chunk_metadata"][chunk.as_str().expect("a digest")].as_array().expect("a list");
            let port = |holder: &Value| holder[1].as_str().expect("a text").parse().expect("a port");
            holders.iter().map(port).collect::<Vec<u16>>()
        };
        found["file_chunks"].as_array().expect("a list").iter().map(ports).collect()
    }

    fn size(&mut self, name: &str) -> Value {
        let files = self.done("list_files", r#""group_id":"lab""#);
        let files = files["files"].as_array().expect("a list");
        files.iter().find(|file| file["file_name"] == name).expect("listed")["size"].clone()
    }
}

/// The fields at the top level of an upload.
pub(crate) fn digests(pieces: &[Sha1Digest], sha1: Sha1Digest) -> Value {
    let pieces: Vec<String> = pieces.iter().map(ToString::to_string).collect();
    json!({"piecewise_sha": pieces, "fileSha": sha1.to_string()})
}

fn sized(mut digests: Value, size: u64) -> Value {
    digests["size"] = size.into();
    digests
}

/// The digests of a manifest from a test.
pub(crate) fn pieces_of(bytes: &[u8]) -> Vec<Sha1Digest> {
    let manifest = groupshare::wire::codec::from_bytes::<groupshare::model::manifest::Manifest>(bytes).expect("valid");
    manifest.pieces().to_vec()
}

fn python(addr: SocketAddr) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/programs/json/session.py");
    let mut command = Command::new("python3");
    command.arg(script).args([addr.ip().to_string(), addr.port().to_string()]).stdin(Stdio::null());
    let output = command.output().unwrap_or_else(|error| panic!("python3 is needed for this test: {error}"));
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said == "ok\n", "{said}{}", String::from_utf8_lossy(&output.stderr));
}

/// Starts the tracker with this number. Returns its address for JSON.
fn start(installation: &Installation, number: usize) -> (Program, SocketAddr) {
    let addr = SocketAddr::new(installation.addrs[number - 1].ip(), 0).to_string();
    let (mut tracker, _) = installation.start(&["tracker_info.txt", &number.to_string(), "--json", &addr]);
    let line = tracker.line();
    let addr = line.strip_prefix("JSON for programs on ").and_then(|rest| rest.strip_suffix(", in the clear"));
    (tracker, addr.expect("where").parse().expect("an address"))
}

#[test]
fn a_program_in_python_written_after_the_page_finds_all_as_promised() {
    let tracker = tracker();
    let mut beside = tracker.user("beside");
    python(tracker.server.json_addr().expect("it speaks JSON"));
    beside.done(Request::Heartbeat {});
}

#[test]
fn the_program_speaks_json_where_it_is_told_to_and_only_to_this_machine() {
    let installation = Installation::of(2);
    let ip = installation.addrs[0].ip();
    let (code, said) = installation.fail(&["--json", "0.0.0.0:0"]);
    assert_eq!(code, 2);
    assert!(said.starts_with("tracker: --json: other machines can reach 0.0.0.0:0, and passwords would"), "{said}");
    let (mut tracker, addr) = start(&installation, 1);
    assert_eq!(addr.ip(), ip);
    let mut speaker = Speaker::connect(addr, 5000);
    assert_eq!(
        speaker.say(b"{}"),
        r#"{"status":"error","message":"The message is malformed: missing field `command` at line 1 column 2"}"#
    );
    let (code, said) = installation.fail(&["2", "--json", &addr.to_string()]);
    assert_eq!(code, 3);
    assert!(said.starts_with(&format!("tracker: --json: cannot listen on {addr}: ")), "{said}");
    tracker.say("quit");
    assert_eq!(tracker.end().0.code(), Some(0));
}

#[test]
fn clients_and_programs_share_the_same_file_and_hold_it_piece_by_piece() {
    let tracker = tracker();
    let addr = tracker.server.json_addr().expect("it speaks JSON");
    let (mut alice, mut bob) = (tracker.user("alice"), tracker.user("bob"));
    alice.create_group("lab");
    bob.join("lab");
    alice.accept("lab", "bob");
    let (bytes, content) = manifest("film.mkv", 3, 7);
    alice.put_manifest("lab", &bytes, &content);
    let share = alice.share("lab", "film.mkv", &content);
    alice.announce(4000);
    alice.hold(share.share, some_pieces(&[0, 2]));
    let mut program = Speaker::connect(addr, 5000);
    program.done_with("login", json!({"user_id": "bob", "passwd": PASSWORD}), json!({}));
    assert_eq!(program.find("film.mkv"), [vec![4000], vec![], vec![4000]]);

    let upload = sized(digests(&pieces_of(&bytes), content.sha1), content.layout.size());
    program.done_with("upload_file", json!({"group_id": "lab", "file_name": "film.mkv"}), upload);
    assert_eq!(program.find("film.mkv")[1], [5000]);
    let peers = alice.peers(share.share);
    assert_eq!(peers.iter().map(|peer| (peer.addrs[0].port(), peer.held)).collect::<Vec<_>>(), [(5000, 3)]);
    let told = |push: &Reply| matches!(push, Reply::PeerUp { peer, .. } if peer.addrs[0].port() == 5000);
    assert!(alice.all_pushed().iter().any(told), "alice waits for pieces");
    let shared = bob.find_share("lab", "film.mkv");
    assert!(shared.shared_by_you, "the program shares it for bob");
    assert_eq!((shared.share, shared.content), (share.share, content));

    drop(program);
    wait_until("the program is gone", || alice.peers(share.share).is_empty());
    alice.hold(share.share, all_pieces());
    assert!(bob.find_share("lab", "film.mkv").shared_by_you, "what was shared stays listed");
}

#[test]
fn a_file_without_size_is_found_by_programs_and_gets_its_size_from_a_client() {
    let tracker = tracker();
    let addr = tracker.server.json_addr().expect("it speaks JSON");
    let mut program = Speaker::connect(addr, 5000);
    program.enter("alice");
    program.done("create_group", r#""group_id":"lab""#);
    let mut bob = tracker.user("bob");
    bob.join("lab");
    program.done("accept_request", r#""group_id":"lab","user_id":"bob""#);
    let (bytes, content) = manifest("film.mkv", 3, 7);
    let name = json!({"group_id": "lab", "file_name": "film.mkv"});
    program.done_with("upload_file", name.clone(), digests(&pieces_of(&bytes), content.sha1));
    assert_eq!(program.size("film.mkv"), Value::Null);
    assert_eq!(program.find("film.mkv"), vec![vec![5000]; 3]);
    let unmeasured = bob.find_share("lab", "film.mkv");
    assert!(!unmeasured.content.is_sized());

    let (other_bytes, other) = manifest("film.mkv", 3, 8);
    let forged = groupshare::model::manifest::Content { sha1: content.sha1, ..other };
    bob.put_manifest("lab", &other_bytes, &forged);
    let request = bob.share_request("lab", "film.mkv", &forged);
    assert_eq!(bob.refused(request), Code::FileExists, "the same digest in all, but other pieces");
    bob.put_manifest("lab", &bytes, &content);
    let share = bob.share("lab", "film.mkv", &content);
    assert_eq!((share.content, share.share), (content, unmeasured.share), "it is the same share");
    assert_eq!(program.size("film.mkv"), content.layout.size());
    let peers = bob.peers(share.share);
    assert_eq!(peers.iter().map(|peer| (peer.addrs[0].port(), peer.held)).collect::<Vec<_>>(), [(5000, 3)]);
    program.done_with("upload_file", name, digests(&pieces_of(&bytes), content.sha1));
    assert_eq!(program.size("film.mkv"), content.layout.size());
}

#[test]
fn trackers_tell_each_other_of_files_without_size_and_of_programs() {
    let installation = Installation::of(2);
    let (_first, first) = start(&installation, 1);
    let (_second, second) = start(&installation, 2);
    let mut alice = Speaker::connect(first, 5000);
    let who = json!({"user_id": "alice", "passwd": PASSWORD});
    alice.done_with("create_user", who.clone(), json!({}));
    alice.done_with("login", who.clone(), json!({}));
    alice.done_with("create_group", json!({"group_id": "lab"}), json!({}));
    let (bytes, content) = manifest("film.mkv", 3, 7);
    let name = json!({"group_id": "lab", "file_name": "film.mkv"});
    alice.done_with("upload_file", name.clone(), digests(&pieces_of(&bytes), content.sha1));
    let mut there = Speaker::connect(second, 5001);
    wait_until("the account is known there", || there.ask("login", who.clone(), json!({}))["status"] == "success");
    wait_until("the share and its holder are known there", || {
        let found = there.ask("download_file", name.clone(), json!({}));
        let holders = found["chunk_metadata"].as_object().map(|chunks| chunks.values().cloned().collect::<Vec<_>>());
        holders == Some(vec![json!([["127.0.0.1", "5000"]]); 3])
    });
    there.done_with("upload_file", name, sized(digests(&pieces_of(&bytes), content.sha1), content.layout.size()));
    wait_until("its size is known here", || {
        let files = alice.ask("list_files", json!({"group_id": "lab"}), json!({}));
        files["files"][0]["size"] == content.layout.size() && files["files"][0]["online"] == 2
    });
}

#[test]
fn a_member_at_a_prompt_learns_why_a_file_without_size_does_not_come_and_can_tell_the_size() {
    let installation = Installation::of(1);
    let (_tracker, addr) = start(&installation, 1);
    let mut program = Speaker::connect(addr, 5000);
    program.enter("alice");
    program.done("create_group", r#""group_id":"lab""#);
    let data = vec![7; 600_000];
    let sha1 = |data: &[u8]| Sha1Digest(sha1::Sha1::digest(data).into());
    let upload = digests(&data.chunks(PIECE_LEN as usize).map(sha1).collect::<Vec<_>>(), sha1(&data));
    program.done_with("upload_file", json!({"group_id": "lab", "file_name": "film.mkv"}), upload);
    let mut bob = installation.person("bob", 1, &[]);
    for line in ["create_user bob builder", "login bob builder", "join_group lab"] {
        bob.say(line);
    }
    bob.expect("Request sent");
    program.done("accept_request", r#""group_id":"lab","user_id":"bob""#);
    bob.expect("You are a member of lab now");
    bob.say("list_files lab");
    bob.expect("film.mkv  size not told yet, 1 member online with it, sha1 ");
    bob.say("download_file lab film.mkv .");
    bob.expect("film.mkv was shared by a program that did not tell its size");
    std::fs::write(installation.folder.path().join("bob/film.mkv"), &data).expect("writable");
    bob.say("upload_file film.mkv lab");
    bob.expect("Uploaded");
    bob.say("list_files lab");
    bob.expect("film.mkv  600.0 kB, 2 members online with it");
    assert_eq!(program.size("film.mkv"), 600_000);
    assert_eq!(program.find("film.mkv")[1].len(), 2, "the program and the client");
}

#[test]
fn an_upload_of_the_most_pieces_is_taken_and_one_more_is_not() {
    let tracker = tracker();
    let mut program = Speaker::connect(tracker.server.json_addr().expect("it speaks JSON"), 5000);
    program.enter("alice");
    program.done("create_group", r#""group_id":"lab""#);
    let count = groupshare::tracker::json::PIECES_MAX as u32;
    let (bytes, content) = manifest("big.iso", count, 1);
    let name = json!({"group_id": "lab", "file_name": "big.iso"});
    let upload = sized(digests(&pieces_of(&bytes), content.sha1), content.layout.size());
    assert!(upload.to_string().len() < LINE_LEN_MAX);
    program.done_with("upload_file", name.clone(), upload);
    assert_eq!(program.find("big.iso"), vec![vec![5000]; count as usize]);
    let (bytes, content) = manifest("bigger.iso", count + 1, 1);
    let message = program.refused("upload_file", name, digests(&pieces_of(&bytes), content.sha1));
    assert_eq!(message, "The message is too large: a file has at most 131072 pieces here");
    let mut client = tracker.client();
    client.log_in("alice");
    client.put_manifest("lab", &bytes, &content);
    client.share("lab", "bigger.iso", &content);
    let message = program.refused("download_file", json!({"group_id": "lab", "file_name": "bigger.iso"}), json!({}));
    assert_eq!(message, "The message is too large: bigger.iso has more than 131072 pieces");
}

#[test]
fn a_program_that_finds_no_room_is_told_in_json() {
    let tracker = speaking(|settings| settings.caps = Caps { total: 1, ..Caps::default() });
    let addr = tracker.server.json_addr().expect("it speaks JSON");
    let mut first = Speaker::connect(addr, 0);
    first.enter("alice");
    let busy = r#"{"status":"error","message":"Too many connections, try again later"}"#;
    assert_eq!(Speaker::connect(addr, 0).hear(), busy);
    first.done("heartbeat", "");
}

#[test]
fn a_login_ends_when_the_password_is_changed_elsewhere() {
    let tracker = tracker();
    let addr = tracker.server.json_addr().expect("it speaks JSON");
    let (mut here, mut there) = (Speaker::connect(addr, 0), Speaker::connect(addr, 0));
    here.enter("alice");
    there.done_with("login", json!({"user_id": "alice", "passwd": PASSWORD}), json!({}));
    there.done_with("change_password", json!({"old_passwd": PASSWORD, "new_passwd": "new"}), json!({}));
    let message = here.refused("list_groups", json!({}), json!({}));
    assert!(message.contains("please login again") || message == "Please login first", "{message}");
    there.done("list_groups", "");
    here.done_with("login", json!({"user_id": "alice", "passwd": "new"}), json!({}));
}

#[test]
fn a_tracker_that_stops_ends_the_connections_of_programs() {
    let tracker = tracker();
    let mut program = Speaker::connect(tracker.server.json_addr().expect("it speaks JSON"), 0);
    program.enter("alice");
    drop(tracker);
    let mut rest = String::new();
    assert_eq!(program.answers.read_line(&mut rest).unwrap_or(0), 0, "{rest}");
}
