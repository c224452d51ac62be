//! Users lie to a tracker. The tracker and its honest users notice nothing.

use super::liar::raw_frame;
use super::replay::Recorder;
use crate::common::client::{Client, Share};
use crate::common::deadline::LONG;
use crate::common::manifest::manifest;
use crate::common::membership::all_pieces;
use crate::common::names::{command, file, group, password, user};
use crate::common::tracker::TestTracker;
use crate::common::wait::wait_until;
use groupshare::model::digest::InfoHash;
use groupshare::model::id::{ClientId, ShareRef};
use groupshare::model::manifest::Content;
use groupshare::wire::client_tracker::{Holding, PASSWORD_LEN_MAX, Reply, Request};
use groupshare::wire::codec::Blob;
use groupshare::wire::frame::{self, FRAME_LEN_MAX, Message, UNASKED};
use groupshare::wire::refusal::Code;
use std::io::{Read, Write};
use std::net::TcpStream;

/// Names that lead out of a folder, change how the text around them is shown, or look like other names.
const BAD_NAMES: [&str; 18] = [
    "",
    ".",
    "..",
    "../x",
    "../../etc/passwd",
    "/etc/passwd",
    "a/b",
    "a\0b",
    "a\nb",
    "a\rb",
    "\u{1b}[2J\u{1b}]0;owned\u{7}",
    "a\u{9b}31m",
    "gpj.\u{202e}exe",
    "a\u{2066}b\u{2069}",
    "a\u{200f}b",
    "a\u{2028}b",
    " a",
    "u\u{308}ber",
];
/// Marks the place of such a name in a request.
const MARK: &str = "bad-name-here";

/// The bytes of the request with `name` in the place of the mark.
fn spoil(request: &Request, name: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    request.put_body(&mut body);
    let at = body.windows(MARK.len()).position(|window| window == MARK.as_bytes()).expect("the mark");
    body.splice(at - 2..at + MARK.len(), (name.len() as u16).to_be_bytes().into_iter().chain(name.iter().copied()));
    raw_frame(77, request.kind(), &body)
}

fn code_of(reply: &Reply) -> Code {
    match reply {
        Reply::Refused { code, .. } => Code::from_number(*code).expect("a known reason"),
        other => panic!("not refused but {other:?}"),
    }
}

/// Sends this frame. The tracker must refuse it with this code and end the connection.
fn ends_with(mut client: Client, frame: &[u8], code: Code) {
    // The tracker may end the connection before everything is sent.
    let _ = client.sender.send_frame(frame);
    let said = client.until_end();
    let last = said.iter().rfind(|(id, _)| [77, UNASKED].contains(id)).expect("a reason");
    assert_eq!(code_of(&last.1), code);
}

/// Alice's group with a share, as its members see it; and its further members.
struct Lab {
    tracker: TestTracker,
    alice: Client,
    share: ShareRef,
    content: Content,
}

impl Lab {
    fn new() -> Self {
        let tracker = TestTracker::start_with(|_| {});
        let mut alice = tracker.user("alice");
        alice.create_group("lab");
        let Share { share, content, .. } = alice.offer("lab", "a.bin", 3, 1);
        alice.announce(18000);
        alice.hold(share, all_pieces());
        let mut lab = Self { tracker, alice, share, content };
        drop(lab.mallory("mallory", true));
        lab
    }

    /// A client of a hostile member, who first joins if necessary.
    fn mallory(&mut self, name: &str, new: bool) -> Client {
        let mut mallory = self.tracker.client();
        if new {
            mallory.create_user(name);
        }
        mallory.log_in(name);
        if new {
            mallory.join("lab");
            self.alice.accept("lab", name);
        }
        mallory
    }

    /// What Alice sees. The tracker must go on.
    fn shown(&mut self) -> String {
        self.alice.done(Request::Heartbeat {});
        let mut shown = String::new();
        for request in [
            Request::ListGroups { after: None },
            Request::ListMembers { group: group("lab"), after: None },
            Request::ListRequests { group: group("lab"), after: None },
            Request::ListFiles { group: group("lab"), after: None },
            Request::FindPeers { share: self.share },
        ] {
            shown += &format!("{:?}\n", self.alice.ask(request));
        }
        shown.replace("online: 0", "").replace("online: 1", "").replace("online: 2", "")
    }
}

#[test]
fn nobody_is_ever_shown_a_name_that_attacks_a_terminal_or_a_folder() {
    let mut lab = Lab::new();
    let before = lab.shown();
    let mark = || MARK.to_owned();
    for name in BAD_NAMES.map(str::as_bytes).into_iter().chain([&b"\xff\xfe"[..], &[b'n'; 65][..], &[b'n'; 300][..]]) {
        let long = if name.len() > 75 { Code::TooLarge } else { Code::Malformed };
        let requests = [
            Request::CreateUser { command: command(), user: user(&mark()), password: password("pw") },
            Request::Login { client: ClientId([9; 16]), user: user(&mark()), password: password("pw") },
        ];
        for request in requests {
            ends_with(lab.tracker.client(), &spoil(&request, name), long);
        }
        let requests = [
            Request::CreateGroup { command: command(), group: group(&mark()) },
            Request::JoinGroup { command: command(), group: group(&mark()) },
            Request::AcceptRequest { command: command(), group: group("lab"), user: user(&mark()) },
            Request::ListGroups { after: Some(group(&mark())) },
        ];
        for request in requests {
            ends_with(lab.mallory("mallory", false), &spoil(&request, name), long);
        }
        // Names of shares may be longer, and may have a place in a folder.
        if name.len() != 65 && name != b"a/b" {
            let long = if name.len() > 266 { Code::TooLarge } else { Code::Malformed };
            let (command, content) = (command(), lab.content);
            let share = Request::ShareFile { command, group: group("lab"), name: file(&mark()), content };
            ends_with(lab.mallory("mallory", false), &spoil(&share, name), long);
        }
    }
    assert_eq!(lab.shown(), before);
}

/// The encoding of a manifest with one file of one byte at any path.
fn manifest_of(path: &str) -> (Vec<u8>, InfoHash) {
    let mut hashed = 1_u32.to_be_bytes().to_vec();
    hashed.extend_from_slice(&(path.len() as u16).to_be_bytes());
    hashed.extend_from_slice(path.as_bytes());
    hashed.extend_from_slice(&1_u64.to_be_bytes());
    hashed.extend_from_slice(&1_u32.to_be_bytes());
    hashed.extend_from_slice(&[7; 20]);
    let digest = ring::digest::digest(&ring::digest::SHA256, &hashed);
    let bytes = [&b"GSMANIF\x02"[..], &(hashed.len() as u32).to_be_bytes(), &hashed, &[0]].concat();
    (bytes, InfoHash(digest.as_ref().try_into().expect("32 bytes")))
}

#[test]
fn a_folder_whose_paths_lead_elsewhere_is_never_listed() {
    let mut lab = Lab::new();
    let before = lab.shown();
    let mut mallory = lab.mallory("mallory", false);
    let inner = ["d/../../x", "d/..", "d/./x", "d//x", "d/a\0b", "d/gpj.\u{202e}exe", "d/\u{1b}[2J", "/d/x", "d/"];
    // Those are not even paths. This one is, but not of this share.
    let other = ["e/x"];
    for path in BAD_NAMES.into_iter().filter(|name| !["a/b", " a"].contains(name)).chain(inner) {
        let (bytes, info_hash) = manifest_of(path);
        let (total, part) = (bytes.len() as u32, Blob::new(bytes).expect("short"));
        let put = Request::PutManifest { group: group("lab"), info_hash, total, offset: 0, part };
        assert_eq!(mallory.refused(put), Code::BadManifest, "{path:?}");
        let content = Content { info_hash, ..manifest("d", 1, 1).1 };
        assert_eq!(mallory.refused(mallory.share_request("lab", "d", &content)), Code::NeedManifest, "{path:?}");
    }
    for path in other {
        let (bytes, info_hash) = manifest_of(path);
        let content = Content { info_hash, ..manifest("d", 1, 1).1 };
        mallory.put_manifest("lab", &bytes, &content);
        assert_eq!(mallory.refused(mallory.share_request("lab", "d", &content)), Code::BadManifest, "{path:?}");
    }
    drop(mallory);
    assert_eq!(lab.shown(), before);
}

#[test]
fn a_user_who_claims_billions_of_pieces_is_refused_and_named_to_nobody() {
    let mut lab = Lab::new();
    let before = lab.shown();
    let share = lab.share;
    let hold = |mut holding: Vec<u8>| {
        let mut body = Vec::new();
        Request::Hold { share, holding: Holding::All {} }.put_body(&mut body);
        body.pop();
        body.append(&mut holding);
        raw_frame(77, Request::Hold { share, holding: Holding::All {} }.kind(), &body)
    };
    let counted = |number: u8, count: u32, rest: &[u8]| [&[number][..], &count.to_be_bytes(), rest].concat();
    for (holding, code) in [
        // A list of 2^32 - 1 pieces, the highest piece number, and a bitfield of 2^32 - 1 bytes. Then bitfields of the
        // longest length, of too few bytes, and with bits for pieces that do not exist.
        (counted(4, u32::MAX, &[]), Code::TooLarge),
        (counted(4, 4097, &[0; 4 * 4097]), Code::TooLarge),
        (counted(4, 1, &u32::MAX.to_be_bytes()), Code::Malformed),
        (counted(4, 1, &3_u32.to_be_bytes()), Code::Malformed),
        (counted(3, u32::MAX, &[0xff; 100]), Code::TooLarge),
        (counted(3, 262_144, &[0xff; 262_144]), Code::Malformed),
        (counted(3, 0, &[]), Code::Malformed),
        (counted(3, 1, &[0xff]), Code::Malformed),
        (vec![99], Code::UnknownKind),
    ] {
        let mut mallory = lab.mallory("mallory", false);
        mallory.announce(18001);
        ends_with(mallory, &hold(holding), code);
    }
    // A manifest that is too long, and one with parts that go round in circles.
    let mut mallory = lab.mallory("mallory", false);
    let put = |total, offset, part: &[u8]| {
        let (info_hash, part) = (InfoHash([9; 32]), Blob::new(part.to_vec()).expect("short"));
        Request::PutManifest { group: group("lab"), info_hash, total, offset, part }
    };
    for request in [
        put(u32::MAX, 0, &[1]),
        put(9, u32::MAX, &[1]),
        put(9, 0, &[]),
        put(9, 0, &[0; 10]),
        put(9, 9, &[1]),
        put(0, 0, &[]),
    ] {
        assert_eq!(mallory.refused(request), Code::BadManifest);
    }
    mallory.done(put(9, 0, &[1; 4]));
    assert_eq!(mallory.refused(put(9, 3, &[1; 4])), Code::BadManifest);
    assert_eq!(mallory.refused(put(9, 4, &[1; 5])), Code::BadManifest, "it begins anew after a refusal");
    drop(mallory);
    // A frame over the cap, and one that claims to be.
    let mallory = lab.mallory("mallory", false);
    ends_with(mallory, &raw_frame(77, 25, &vec![0; FRAME_LEN_MAX]), Code::TooLarge);
    let mut claim = frame::of(77, &Request::Heartbeat {});
    claim[..4].copy_from_slice(&u32::MAX.to_be_bytes());
    ends_with(lab.mallory("mallory", false), &claim, Code::TooLarge);
    let long = Request::Login { client: ClientId([9; 16]), user: user("mallory"), password: password(MARK) };
    ends_with(lab.tracker.client(), &spoil(&long, &[b'p'; PASSWORD_LEN_MAX + 1]), Code::TooLarge);
    wait_until("nobody of them is online", || lab.tracker.server.status().clients_online == 1);
    assert_eq!(lab.shown(), before);
}

#[test]
fn a_replay_of_all_that_a_user_has_sent_to_the_tracker_changes_nothing() {
    let mut lab = Lab::new();
    let relay = Recorder::to(lab.tracker.addr);
    let mut bob = Client::connect(relay.addr);
    bob.create_user("bob");
    bob.log_in("bob");
    bob.create_group("bobs");
    bob.leave("bobs");
    bob.done(Request::Logout {});
    drop(bob);
    let before = (lab.shown(), lab.tracker.server.core().state().digest());
    for conversation in relay.said() {
        assert!(conversation.len() > 200, "a handshake and some requests");
        let mut replayer = TcpStream::connect(lab.tracker.addr).expect("it listens");
        replayer.set_read_timeout(Some(LONG)).expect("an option");
        replayer.write_all(&conversation).expect("sent");
        let mut answer = Vec::new();
        let _ = replayer.read_to_end(&mut answer);
        assert!(!answer.windows(3).any(|window| window == b"bob"));
    }
    assert_eq!((lab.shown(), lab.tracker.server.core().state().digest()), before);
}
