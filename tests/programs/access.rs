//! Who may do what: every request to a tracker and to a seeder, by everybody who could make it, each with the exact
//! answer. A kind of request that is missing in the table fails the test.

use crate::common::client::{Client, Share};
use crate::common::deadline::LONG;
use crate::common::installation::Installation;
use crate::common::manifest::manifest;
use crate::common::membership::{all_pieces, announcement};
use crate::common::names::{PASSWORD, command, file, group, password, user};
use crate::common::program::Program;
use crate::common::queries::some_pieces;
use crate::common::tracker::TestTracker;
use crate::common::wait::wait_until;
use groupshare::client::reach::interfaces::machine;
use groupshare::model::digest::{InfoHash, KeyId};
use groupshare::model::id::{ClientId, OpId, OpOrder, Origin, PeerKey, ShareRef};
use groupshare::model::manifest::Content;
use groupshare::model::name::pattern::NamePattern;
use groupshare::model::op::group_access::GroupAccess;
use groupshare::model::piece::block::BlockLen;
use groupshare::tracker::operator::table::Verb;
use groupshare::wire::client_tracker::{CallWay, Holding, Reply, Request, TOKEN_LEN_MAX};
use groupshare::wire::codec::{Blob, List};
use groupshare::wire::connection::{self, RecvError};
use groupshare::wire::frame::{FRAME_LEN_MAX, UNASKED};
use groupshare::wire::handshake::peer::{PeerIdentity, peer_to_peer};
use groupshare::wire::handshake::{HandshakeError, Secret, public_key};
use groupshare::wire::peer::{PeerReply, PeerRequest};
use groupshare::wire::refusal::Code;
use std::collections::BTreeSet;
use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

/// The answers of a tracker. Each line is a request, and each column is a user who makes it:
///
/// | | |
/// |---|---|
/// | stranger | has not logged in |
/// | user | has logged in, and has nothing to do with the group `lab` |
/// | asking | asks to join it |
/// | member | is in it |
/// | owner | owns it |
/// | former | was removed from it |
/// | other | owns another group, `den` |
/// | operator | runs the tracker; the command of ctl that does the same to anybody, or `-` |
///
/// All requests are about `lab`. In every scene it has its owner and `mia`, who shares `a.bin` and is online with it.
/// `pat` asks to join. An answer is the reason of a refusal, or a reply with its number of entries: `Members/2` has two
/// members.
const TRACKER: &str = "
    request                stranger      user             asking            member           owner            former           other            operator
    CreateUser             Done          AlreadyLoggedIn  AlreadyLoggedIn   AlreadyLoggedIn  AlreadyLoggedIn  AlreadyLoggedIn  AlreadyLoggedIn  create_user
    CreateUser(taken)      UserExists    AlreadyLoggedIn  AlreadyLoggedIn   AlreadyLoggedIn  AlreadyLoggedIn  AlreadyLoggedIn  AlreadyLoggedIn  create_user
    Login                  LoggedIn      AlreadyLoggedIn  AlreadyLoggedIn   AlreadyLoggedIn  AlreadyLoggedIn  AlreadyLoggedIn  AlreadyLoggedIn  -
    Login(guess)           BadLogin      AlreadyLoggedIn  AlreadyLoggedIn   AlreadyLoggedIn  AlreadyLoggedIn  AlreadyLoggedIn  AlreadyLoggedIn  -
    Resume                 LoggedIn      AlreadyLoggedIn  AlreadyLoggedIn   AlreadyLoggedIn  AlreadyLoggedIn  AlreadyLoggedIn  AlreadyLoggedIn  -
    Resume(forged)         SessionEnded  AlreadyLoggedIn  AlreadyLoggedIn   AlreadyLoggedIn  AlreadyLoggedIn  AlreadyLoggedIn  AlreadyLoggedIn  -
    Logout                 NotLoggedIn   Done             Done              Done             Done             Done             Done             kick
    ChangePassword         NotLoggedIn   LoggedIn         LoggedIn          LoggedIn         LoggedIn         LoggedIn         LoggedIn         reset_password
    ChangePassword(guess)  NotLoggedIn   BadLogin         BadLogin          BadLogin         BadLogin         BadLogin         BadLogin         reset_password
    CreateGroup            NotLoggedIn   Done             Done              Done             Done             Done             Done             -
    CreateGroup(taken)     NotLoggedIn   GroupExists      GroupExists       GroupExists      GroupExists      GroupExists      GroupExists      -
    JoinGroup              NotLoggedIn   Done             RequestPending    AlreadyMember    AlreadyMember    Done             Done             -
    LeaveGroup             NotLoggedIn   NotMember        Done              Done             Done             NotMember        NotMember        -
    ListRequests           NotLoggedIn   NotMember        NotMember         NotOwner         Users/1          NotMember        NotMember        group
    AcceptRequest          NotLoggedIn   NotMember        NotMember         NotOwner         Done             NotMember        NotMember        -
    AcceptRequest(self)    NotLoggedIn   NotMember        NotMember         NotOwner         AlreadyMember    NotMember        NotMember        -
    RejectRequest          NotLoggedIn   NotMember        NotMember         NotOwner         Done             NotMember        NotMember        -
    RejectRequest(self)    NotLoggedIn   NotMember        NotMember         NotOwner         AlreadyMember    NotMember        NotMember        -
    RemoveMember           NotLoggedIn   NotMember        NotMember         NotOwner         Done             NotMember        NotMember        -
    RemoveMember(owner)    NotLoggedIn   NotMember        NotMember         NotOwner         RemoveSelf       NotMember        NotMember        -
    MakeOwner              NotLoggedIn   NotMember        NotMember         NotOwner         Done             NotMember        NotMember        -
    MakeOwner(self)        NotLoggedIn   NotMember        NotMember         NotOwner         AlreadyOwner     NotMember        NotMember        -
    DropOwner              NotLoggedIn   NotMember        NotMember         NotOwner         TargetNotOwner   NotMember        NotMember        -
    DropOwner(last)        NotLoggedIn   NotMember        NotMember         NotOwner         LastOwner        NotMember        NotMember        -
    AddMember              NotLoggedIn   NotMember        NotMember         NotOwner         Done             NotMember        NotMember        -
    SetGroup               NotLoggedIn   NotMember        NotMember         NotOwner         Done             NotMember        NotMember        -
    SetAdding              NotLoggedIn   Done             Done              Done             Done             Done             Done             -
    ListGroups             NotLoggedIn   Groups/Stranger  Groups/Requested  Groups/Member    Groups/Owner     Groups/Stranger  Groups/Stranger  groups
    ListMembers            NotLoggedIn   NotMember        NotMember         Members/3        Members/2        NotMember        NotMember        group
    ListFiles              NotLoggedIn   NotMember        NotMember         Files/1          Files/1          NotMember        NotMember        files
    FindFiles              NotLoggedIn   NotMember        NotMember         Found/1          Found/1          NotMember        NotMember        files
    Follow                 NotLoggedIn   Done             Done              Done             Done             Done             Done             -
    FindFiles(all)         NotLoggedIn   Found/0          Found/0           Found/1          Found/1          Found/0          Found/0          -
    PutManifest            NotLoggedIn   NotMember        NotMember         Done             Done             NotMember        NotMember        -
    ShareFile              NotLoggedIn   NotMember        NotMember         Share            Share            NotMember        NotMember        -
    ShareFile(taken)       NotLoggedIn   NotMember        NotMember         FileExists       FileExists       NotMember        NotMember        -
    StopShare              NotLoggedIn   NotMember        NotMember         NotSharing       NotSharing       NotMember        NotMember        -
    StopShare(own)         NotLoggedIn   NotMember        NotMember         Done             Done             NotMember        NotMember        -
    FindShare              NotLoggedIn   NotMember        NotMember         Share            Share            NotMember        NotMember        files
    GetManifest            NotLoggedIn   Forgotten        Forgotten         ManifestPart     ManifestPart     Forgotten        Forgotten        -
    GetManifest(nowhere)   NotLoggedIn   NoSuchFile       NoSuchFile        NoSuchFile       NoSuchFile       NoSuchFile       NoSuchFile       -
    Announce               NotLoggedIn   Announced        Announced         Announced        Announced        Announced        Announced        -
    Hold(all)              NotLoggedIn   Forgotten        Forgotten         Done             Done             Forgotten        Forgotten        -
    Hold(nothing)          NotLoggedIn   Forgotten        Forgotten         Done             Done             Forgotten        Forgotten        -
    Hold(exactly)          NotLoggedIn   Forgotten        Forgotten         Done             Done             Forgotten        Forgotten        -
    Hold(more)             NotLoggedIn   Forgotten        Forgotten         Done             Done             Forgotten        Forgotten        -
    FindPeers              NotLoggedIn   Forgotten        Forgotten         Peers/1          Peers/1          Forgotten        Forgotten        -
    Call                   NotLoggedIn   Forgotten        Forgotten         PeerOffline      PeerOffline      Forgotten        Forgotten        -
    CheckReach             NotLoggedIn   Malformed        Malformed         Malformed        Malformed        Malformed        Malformed        -
    ListKeys               NotLoggedIn   Keys/            Keys/             Keys/lab         Keys/lab         Keys/            Keys/den         -
    Heartbeat              Done          Done             Done              Done             Done             Done             Done             -
    ReadNotices            NotLoggedIn   Done             Done              Done             Done             Done             Done             -
";

/// The answers of a seeder. It is in the groups `lab` and `den` and shares one file in each. All callers ask for the
/// file in `lab`, except the last one:
///
/// | | |
/// |---|---|
/// | stranger | makes no handshake |
/// | made-up | invents a key |
/// | guesser | knows the id of the key, but not the key |
/// | former | was removed from `lab`, and has the key of that time |
/// | other | is only in `den` |
/// | member, owner | of `lab` |
/// | elsewhere | is in both, and asks under the key of `lab` for the share in `den` |
///
/// `Piece` is a right piece, and `cut` is the end of the connection without an answer. `first` has no `Open` before it.
const SEEDER: &str = "
    ask                stranger  made-up     guesser  former      other      member       owner        elsewhere
    Open               cut       UnknownKey  cut      UnknownKey  NotServed  Opened       Opened       NotServed
    Open(twice)        cut       UnknownKey  cut      UnknownKey  NotServed  Malformed    Malformed    NotServed
    GetPiece           cut       UnknownKey  cut      UnknownKey  NotServed  Piece        Piece        NotServed
    GetPiece(nowhere)  cut       UnknownKey  cut      UnknownKey  NotServed  NoSuchPiece  NoSuchPiece  NotServed
    GetPiece(first)    cut       UnknownKey  cut      UnknownKey  Malformed  Malformed    Malformed    Malformed
    KeepAlive          cut       UnknownKey  cut      UnknownKey  NotServed  Alive        Alive        NotServed
    KeepAlive(first)   cut       UnknownKey  cut      UnknownKey  Malformed  Malformed    Malformed    Malformed
    BadPiece           cut       UnknownKey  cut      UnknownKey  NotServed  Alive        Alive        NotServed
    BadPiece(nowhere)  cut       UnknownKey  cut      UnknownKey  NotServed  Alive        Alive        NotServed
    BadPiece(first)    cut       UnknownKey  cut      UnknownKey  Malformed  Malformed    Malformed    Malformed
    Describe           cut       UnknownKey  cut      UnknownKey  NotServed  Digests      Digests      NotServed
    Describe(nowhere)  cut       UnknownKey  cut      UnknownKey  NotServed  NoSuchPiece  NoSuchPiece  NotServed
    Describe(first)    cut       UnknownKey  cut      UnknownKey  Malformed  Malformed    Malformed    Malformed
    GetBlocks          cut       UnknownKey  cut      UnknownKey  NotServed  Piece        Piece        NotServed
    GetBlocks(nowhere) cut       UnknownKey  cut      UnknownKey  NotServed  NoSuchPiece  NoSuchPiece  NotServed
    GetBlocks(first)   cut       UnknownKey  cut      UnknownKey  Malformed  Malformed    Malformed    Malformed
";

/// The cells of a table: line, column, expected answer.
pub(crate) fn cells(table: &'static str) -> impl Iterator<Item = (&'static str, &'static str, &'static str)> {
    let mut lines = table.lines().map(str::split_whitespace).filter(|words| words.clone().next().is_some());
    let heads: Vec<&str> = lines.next().expect("a heading").skip(1).collect();
    lines.flat_map(move |mut words| {
        let line = words.next().expect("a name");
        let cells: Vec<&str> = words.collect();
        assert_eq!(cells.len(), heads.len(), "{line} has a cell for everybody");
        heads.clone().into_iter().zip(cells).map(move |(head, cell)| (line, head, cell)).collect::<Vec<_>>()
    })
}

/// The kind of a line, without the remark in brackets.
fn kind_of(line: &str) -> &str {
    line.split('(').next().expect("a name")
}

/// Checks that a table has every existing kind, and no other.
pub(crate) fn is_whole(table: &'static str, there: BTreeSet<&str>) {
    let shown: BTreeSet<&str> = cells(table).map(|(line, ..)| kind_of(line)).collect();
    assert_eq!(shown, there);
}

/// The name of a variant, as derived `Debug` gives it.
fn name_of(value: &impl std::fmt::Debug) -> String {
    format!("{value:?}").split(|c: char| !c.is_alphanumeric()).next().expect("a name").to_owned()
}

/// A reason by its name, which has to be a known one.
fn reason(code: u16) -> String {
    name_of(&Code::from_number(code).expect("a known reason"))
}

/// A group for one cell, in which one user makes one request.
struct Scene<'a> {
    tracker: &'a TestTracker,
    /// Makes the names of this scene unique.
    number: usize,
    lab: String,
    share: ShareRef,
    content: Content,
    actor: Client,
    token: Blob<TOKEN_LEN_MAX>,
}

fn every_name() -> NamePattern {
    NamePattern::new("*").expect("a pattern")
}

/// The users that every scene has.
struct Cast {
    ann: Client,
    mia: Client,
    pat: Client,
}

impl Cast {
    fn new(tracker: &TestTracker) -> Self {
        let mut mia = tracker.user("mia");
        mia.announce(18000);
        Self { ann: tracker.user("ann"), mia, pat: tracker.user("pat") }
    }
}

impl<'a> Scene<'a> {
    fn set(tracker: &'a TestTracker, cast: &mut Cast, number: usize, role: &str) -> Self {
        let (lab, name) = (format!("lab {number}"), format!("actor {number}"));
        let mut actor = tracker.client();
        actor.create_user(&name);
        let token = actor.log_in(&name);
        if role == "owner" {
            actor.create_group(&lab);
        } else {
            cast.ann.create_group(&lab);
        }
        let let_in = |client: &mut Client, name: &str, owner: &mut Client| {
            client.join(&lab);
            owner.accept(&lab, name);
        };
        let owner = if role == "owner" { &mut actor } else { &mut cast.ann };
        let_in(&mut cast.mia, "mia", owner);
        cast.pat.join(&lab);
        match role {
            "asking" => actor.join(&lab),
            "member" => let_in(&mut actor, &name, &mut cast.ann),
            "former" => {
                let_in(&mut actor, &name, &mut cast.ann);
                let (group, user) = (group(&lab), user(&name));
                cast.ann.done(Request::RemoveMember { command: command(), group, user });
            }
            "other" => actor.create_group(&format!("den {number}")),
            "stranger" => actor = tracker.client(),
            "user" | "owner" => {}
            other => panic!("who is {other}?"),
        }
        let Share { share, content, .. } = cast.mia.offer(&lab, "a.bin", 3, 1);
        cast.mia.hold(share, all_pieces());
        Self { tracker, number, lab, share, content, actor, token }
    }

    /// The request of a line.
    fn request(&mut self, line: &str) -> Request {
        let (command, client) = (command(), self.actor.id);
        let new = format!("new {}", self.number);
        let me = user(&format!("actor {}", self.number));
        match line {
            "CreateUser" => Request::CreateUser { command, user: user(&new), password: password(PASSWORD) },
            "CreateUser(taken)" => Request::CreateUser { command, user: user("mia"), password: password(PASSWORD) },
            "Login" => Request::Login { client, user: me, password: password(PASSWORD) },
            "Login(guess)" => Request::Login { client, user: me, password: password("guessed") },
            "Resume" => Request::Resume { client, token: self.token.clone() },
            "Resume(forged)" => Request::Resume { client, token: forged(&self.token) },
            "Logout" => Request::Logout {},
            "ChangePassword" => {
                Request::ChangePassword { command, old: password(PASSWORD), new: password("another one") }
            }
            "ChangePassword(guess)" => {
                Request::ChangePassword { command, old: password("guessed"), new: password("another one") }
            }
            other => self.request_about_groups(other),
        }
    }

    /// The request of a line about groups and their members.
    fn request_about_groups(&mut self, line: &str) -> Request {
        let (command, lab) = (command(), group(&self.lab));
        let new = format!("new {}", self.number);
        let me = user(&format!("actor {}", self.number));
        match line {
            "CreateGroup" => Request::CreateGroup { command, group: group(&new) },
            "CreateGroup(taken)" => Request::CreateGroup { command, group: lab },
            "JoinGroup" => Request::JoinGroup { command, group: lab },
            "LeaveGroup" => Request::LeaveGroup { command, group: lab },
            "ListRequests" => Request::ListRequests { group: lab, after: None },
            "AcceptRequest" => Request::AcceptRequest { command, group: lab, user: user("pat") },
            "AcceptRequest(self)" => Request::AcceptRequest { command, group: lab, user: me },
            "RejectRequest" => Request::RejectRequest { command, group: lab, user: user("pat") },
            "RejectRequest(self)" => Request::RejectRequest { command, group: lab, user: me },
            "RemoveMember" => Request::RemoveMember { command, group: lab, user: user("mia") },
            "RemoveMember(owner)" => {
                let state = self.tracker.server.core().state();
                let owner = state.groups_after(None, 10_000, state.user_named(&user("mia")).expect("there"));
                let owner = owner.into_iter().find(|row| row.name == lab).expect("there").owner;
                Request::RemoveMember { command, group: lab, user: owner }
            }
            "MakeOwner" => Request::MakeOwner { command, group: lab, user: user("mia") },
            "MakeOwner(self)" => Request::MakeOwner { command, group: lab, user: me },
            "DropOwner" => Request::DropOwner { command, group: lab, user: user("mia") },
            "DropOwner(last)" => Request::DropOwner { command, group: lab, user: me },
            "AddMember" => Request::AddMember { command, group: lab, user: user("pat") },
            "SetGroup" => Request::SetGroup { command, group: lab, access: GroupAccess::Closed },
            "SetAdding" => Request::SetAdding { command, allowed: false },
            "ListGroups" => Request::ListGroups { after: None },
            "ListMembers" => Request::ListMembers { group: lab, after: None },
            "ListFiles" => Request::ListFiles { group: lab, after: None },
            "FindFiles" => Request::FindFiles { group: Some(lab), pattern: every_name(), after: None },
            "FindFiles(all)" => Request::FindFiles { group: None, pattern: every_name(), after: None },
            "Follow" => Request::Follow { groups: List::new(vec![lab]).expect("one") },
            other => self.request_about_shares(other),
        }
    }

    /// The request of a line about shares, presence, and the rest.
    fn request_about_shares(&mut self, line: &str) -> Request {
        let (command, lab, share, name) = (command(), group(&self.lab), self.share, file("a.bin"));
        let nowhere = ShareRef(OpId { origin: Origin { tracker: 9, incarnation: 9 }, seq: 9 });
        match line {
            "PutManifest" => {
                let (bytes, content) = manifest(&format!("new {}", self.number), 1, 2);
                let (total, part) = (bytes.len() as u32, Blob::new(bytes).expect("short"));
                Request::PutManifest { group: lab, info_hash: content.info_hash, total, offset: 0, part }
            }
            "ShareFile" => Request::ShareFile { command, group: lab, name, content: self.content },
            "ShareFile(taken)" => Request::ShareFile { command, group: lab, name, content: manifest("a.bin", 4, 2).1 },
            "StopShare" => Request::StopShare { command, group: lab, name },
            "StopShare(own)" => {
                // Only members can have shared it. The table has the answer to the others.
                self.actor.ask(Request::ShareFile {
                    command: crate::common::names::command(),
                    group: lab.clone(),
                    name: name.clone(),
                    content: self.content,
                });
                Request::StopShare { command, group: lab, name }
            }
            "FindShare" => Request::FindShare { group: lab, name },
            "GetManifest" => Request::GetManifest { share, offset: 0 },
            "GetManifest(nowhere)" => Request::GetManifest { share: nowhere, offset: 0 },
            "Announce" => announcement(18001),
            "Hold(all)" => Request::Hold { share, holding: all_pieces() },
            "Hold(nothing)" => Request::Hold { share, holding: Holding::Nothing {} },
            "Hold(exactly)" => Request::Hold {
                share,
                holding: Holding::Exactly { bits: Blob::new(vec![0b0100_0000]).expect("short") },
            },
            "Hold(more)" => Request::Hold { share, holding: some_pieces(&[2]) },
            "FindPeers" => Request::FindPeers { share },
            "CheckReach" => Request::CheckReach {},
            "Call" => {
                Request::Call { share, user: user("mia"), client: ClientId([9; 16]), way: CallWay::Back, from: None }
            }
            "ListKeys" => Request::ListKeys { after: None },
            "Heartbeat" => Request::Heartbeat {},
            "ReadNotices" => {
                let through = OpOrder { lamport: u64::MAX, origin: Origin { tracker: 1, incarnation: 1 } };
                Request::ReadNotices { command, through }
            }
            other => panic!("what is {other}?"),
        }
    }

    /// An answer in the words of the table.
    fn words(&self, reply: &Reply) -> String {
        let about = match reply {
            Reply::Refused { code, .. } => return reason(*code),
            Reply::Groups { groups, .. } => {
                let lab = groups.iter().find(|line| line.name.as_str() == self.lab).expect("everybody sees it");
                name_of(&lab.role)
            }
            Reply::Keys { keys, .. } => {
                let names = keys.iter().map(|key| key.name.as_str().trim_end_matches(&format!(" {}", self.number)));
                names.collect::<Vec<_>>().join("+")
            }
            Reply::Users { users, .. } => users.len().to_string(),
            Reply::Members { members, .. } => members.len().to_string(),
            Reply::Files { files, .. } => files.len().to_string(),
            Reply::Found { files, .. } => files.len().to_string(),
            Reply::Peers { peers, .. } => peers.len().to_string(),
            other => return name_of(other),
        };
        format!("{}/{about}", name_of(reply))
    }
}

/// A token with another user in it.
fn forged(token: &Blob<TOKEN_LEN_MAX>) -> Blob<TOKEN_LEN_MAX> {
    let mut bytes = token.as_bytes().to_vec();
    bytes[20] ^= 1;
    Blob::new(bytes).expect("as long as it was")
}

#[test]
fn every_request_to_a_tracker_is_answered_to_everybody_as_the_table_says_and_a_refused_one_changes_nothing() {
    is_whole(TRACKER, Request::KINDS.iter().map(|(_, name, _)| *name).collect());
    let tracker = TestTracker::start();
    let mut cast = Cast::new(&tracker);
    let mut wrong = Vec::new();
    for (number, (line, role, expected)) in cells(TRACKER).enumerate() {
        if role == "operator" {
            assert!(expected == "-" || Verb::find(expected).is_some(), "{line}: {expected} is no command of ctl");
            continue;
        }
        let mut scene = Scene::set(&tracker, &mut cast, number, role);
        let request = scene.request(line);
        let (_, kind, _) = Request::KINDS.iter().find(|(kind, ..)| *kind == request.kind()).expect("a known kind");
        assert_eq!(*kind, kind_of(line));
        let known = || {
            let (core, share) = (tracker.server.core(), scene.share);
            (core.state().digest(), core.presence.holder_counts(&[share], |_, _| false))
        };
        let before = known();
        let reply = scene.actor.ask(request);
        let answer = scene.words(&reply);
        if answer != expected {
            wrong.push(format!("{line} by {role}: {answer} and not {expected}"));
        }
        let refused = matches!(reply, Reply::Refused { .. });
        assert!(!refused || known() == before, "{line} by {role} was refused and has changed something");
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A seeder that is in two groups, and all its callers.
struct Seeder {
    _running: (Program, Program, Installation),
    addr: SocketAddr,
    in_lab: InfoHash,
    in_den: InfoHash,
    lab: (KeyId, Secret),
    /// The key of the lab while a former member was in it.
    former: (KeyId, Secret),
    den: (KeyId, Secret),
    /// The seeder's key as a client.
    key: PeerKey,
    mia: PeerIdentity,
    fay: PeerIdentity,
    eve: PeerIdentity,
}

/// A client's identity, with a certificate of the tracker.
fn certified(client: &mut Client) -> PeerIdentity {
    let secret = Secret(client.id.0.repeat(2).try_into().expect("32 bytes"));
    let request = Request::Announce {
        key: PeerKey(public_key(&secret)),
        port: 18002,
        interfaces: List::EMPTY,
        announced: None,
        // The seeder listens on the loopback interface.
        machine: machine(),
        round_trip_ms: 0,
    };
    match client.ask(request) {
        Reply::Announced { certificate, .. } => PeerIdentity { secret, certificate },
        other => panic!("not certified but {}", name_of(&other)),
    }
}

const LAB_BYTES: &[u8] = b"only for the lab";

impl Seeder {
    fn start() -> Self {
        let installation = Installation::of(1);
        let tracker = installation.tracker(1);
        let user = |name: &str| {
            let mut client = installation.connect(1).expect("it listens");
            client.create_user(name);
            client.log_in(name);
            client
        };
        let [mut olga, mut mia, mut fay, mut eve] = ["olga", "mia", "fay", "eve"].map(user);
        olga.create_group("lab");
        eve.create_group("den");
        let mut alice = installation.person("alice", 1, &[]);
        alice.say("create_user alice pw");
        alice.say("login alice pw");
        for (name, owner, bytes) in [("lab", &mut olga, LAB_BYTES), ("den", &mut eve, b"only for the den")] {
            alice.say(&format!("join_group {name}"));
            alice.expect("Request sent");
            owner.accept(name, "alice");
            alice.expect(&format!("You are a member of {name} now"));
            fs::write(installation.folder.path().join(format!("alice/{name}.txt")), bytes).expect("room");
            alice.say(&format!("upload_file {name}.txt {name}"));
            alice.expect("Uploaded");
        }
        for (client, name) in [(&mut mia, "mia"), (&mut fay, "fay")] {
            client.join("lab");
            olga.accept("lab", name);
        }
        let share = mia.find_share("lab", "lab.txt");
        let as_mia = certified(&mut mia);
        let alice_as_peer = mia.peers(share.share).remove(0);
        let key = |client: &mut Client| {
            let key = client.keys().remove(0);
            (key.id, key.key)
        };
        let (former, in_lab) = (key(&mut fay), share.content.info_hash);
        let remove =
            Request::RemoveMember { command: command(), group: group("lab"), user: crate::common::names::user("fay") };
        olga.done(remove);
        let (lab, den) = (key(&mut mia), key(&mut eve));
        assert_eq!((key(&mut olga).0, fay.keys().len()), (lab.0, 0), "members have the new key, and nobody else");
        let in_den = eve.find_share("den", "den.txt").content.info_hash;
        let [fay, eve] = [&mut fay, &mut eve].map(certified);
        let (addr, key) = (alice_as_peer.addrs[0], alice_as_peer.key);
        let _running = (alice, tracker, installation);
        let seeder = Self { _running, addr, key, in_lab, in_den, lab, former, den, mia: as_mia, fay, eve };
        wait_until("the seeder hears of the departure", || seeder.words("former", "Open") == "UnknownKey");
        seeder
    }

    /// The answer to a caller that sends the request of a line.
    fn words(&self, who: &str, line: &str) -> String {
        let stream = TcpStream::connect(self.addr).expect("the seeder listens");
        stream.set_read_timeout(Some(LONG)).expect("an option");
        let ((id, secret), me) = match who {
            "stranger" => return self.without_a_handshake(stream, line),
            "made-up" => ((KeyId([9; 16]), Secret([9; 32])), &self.eve),
            "guesser" => ((self.lab.0, Secret([9; 32])), &self.eve),
            "former" => (self.former.clone(), &self.fay),
            "other" => (self.den.clone(), &self.eve),
            "member" | "owner" | "elsewhere" => (self.lab.clone(), &self.mia),
            other => panic!("who is {other}?"),
        };
        let keys = match peer_to_peer(&mut &stream, me, self.key, (id, &secret)) {
            Ok(keys) => keys,
            // The caller cannot read the answer.
            Err(HandshakeError::Crypto) => return "cut".to_owned(),
            Err(HandshakeError::Refused(code)) => return name_of(&code.expect("a known reason")),
            Err(HandshakeError::Io(_)) => return "cut".to_owned(),
            Err(error) => panic!("{error}"),
        };
        let (mut receiver, sender) = connection::split(stream, keys, FRAME_LEN_MAX, false).expect("a connection");
        let mut answer = None;
        for (ask, number) in self.asks(who, line).iter().zip(1..) {
            if sender.send(number, ask).is_err() {
                return "cut".to_owned();
            }
            answer = loop {
                match receiver.recv(LONG) {
                    Ok(frame) if frame.request == UNASKED => {}
                    Ok(frame) => break Some(frame.message::<PeerReply>().map(|answer| (answer, frame.body.to_vec()))),
                    Err(RecvError::Closed | RecvError::Cut | RecvError::Io(_)) => return "cut".to_owned(),
                    Err(error) => panic!("{error}"),
                }
            };
            if let Some(Ok((PeerReply::Refused { code, .. }, _))) = answer {
                return reason(code);
            }
        }
        let (answer, body) = answer.expect("something was asked").expect("one that is understood");
        if let PeerReply::Piece { .. } = answer {
            assert_eq!(body, LAB_BYTES);
        }
        name_of(&answer)
    }

    fn asks(&self, who: &str, line: &str) -> Vec<PeerRequest> {
        let info_hash = if who == "elsewhere" { self.in_den } else { self.in_lab };
        let open = || PeerRequest::Open { info_hash };
        let block_len = BlockLen::SHORTEST;
        let describe = |piece| PeerRequest::Describe { block_len, pieces: List::first_of(vec![piece]) };
        // The piece is not longer than a block.
        let blocks = || Blob::new(vec![0x80]).expect("a byte");
        let get_blocks = |piece| PeerRequest::GetBlocks { piece, block_len, blocks: blocks() };
        match line {
            "Open" => vec![open()],
            "Open(twice)" => vec![open(), open()],
            "GetPiece" => vec![open(), PeerRequest::GetPiece { piece: 0 }],
            "GetPiece(nowhere)" => vec![open(), PeerRequest::GetPiece { piece: 1 }],
            "GetPiece(first)" => vec![PeerRequest::GetPiece { piece: 0 }],
            "KeepAlive" => vec![open(), PeerRequest::KeepAlive {}],
            "KeepAlive(first)" => vec![PeerRequest::KeepAlive {}],
            "BadPiece" => vec![open(), PeerRequest::BadPiece { piece: 0 }],
            "BadPiece(nowhere)" => vec![open(), PeerRequest::BadPiece { piece: 1 }],
            "BadPiece(first)" => vec![PeerRequest::BadPiece { piece: 0 }],
            "Describe" => vec![open(), describe(0)],
            "Describe(nowhere)" => vec![open(), describe(1)],
            "Describe(first)" => vec![describe(0)],
            "GetBlocks" => vec![open(), get_blocks(0)],
            "GetBlocks(nowhere)" => vec![open(), get_blocks(1)],
            "GetBlocks(first)" => vec![get_blocks(0)],
            other => panic!("what is {other}?"),
        }
    }

    /// Asks in the clear, like a program that skips the handshake.
    fn without_a_handshake(&self, mut stream: TcpStream, line: &str) -> String {
        for ask in self.asks("stranger", line) {
            let frame = groupshare::wire::frame::of(1, &ask);
            // The connection may have ended before.
            let _ = stream.write_all(&frame);
        }
        // So a seeder that waits for more of a handshake learns that nothing comes.
        let _ = stream.shutdown(std::net::Shutdown::Write);
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        if answer.is_empty() { "cut".to_owned() } else { format!("{} bytes", answer.len()) }
    }
}

#[test]
fn every_ask_to_a_seeder_is_answered_to_everybody_as_the_table_says() {
    is_whole(SEEDER, PeerRequest::KINDS.iter().map(|(_, name, _)| *name).collect());
    let seeder = Seeder::start();
    let wrong: Vec<String> = cells(SEEDER)
        .map(|(line, who, expected)| (line, who, expected, seeder.words(who, line)))
        .filter(|(.., expected, answer)| expected != answer)
        .map(|(line, who, expected, answer)| format!("{line} by {who}: {answer} and not {expected}"))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
