//! Every message beside its bytes, written by hand: the encoder must make them, and the decoder must read them.

use super::annotated::{bytes, digits};
use super::schema::{self, Variant};
use groupshare::model::digest::{InfoHash, KeyId, Sha1Digest};
use groupshare::model::id::{ClientId, CommandId, GroupRef, OpId, OpOrder, Origin, ShareRef, UserRef};
use groupshare::model::manifest::{Content, FileEntry, Manifest};
use groupshare::model::name::{FileName, GroupId, UserId};
use groupshare::model::notice::Notice;
use groupshare::model::op::{Op, OpBody, PasswordHash};
use groupshare::model::path::RelPath;
use groupshare::model::piece::Layout;
use groupshare::wire::client_tracker::*;
use groupshare::wire::codec::{Blob, List, Tail, Text, Wire, from_bytes, to_bytes};
use groupshare::wire::handshake::Secret;
use groupshare::wire::peer::{Answer, Ask};
use groupshare::wire::tracker_tracker::{Link, Seen};
use std::fmt::Debug;

const COMMAND: CommandId = CommandId([0xc0; 16]);
const CLIENT: ClientId = ClientId([0xd0; 16]);
const INFO_HASH: InfoHash = InfoHash([0x1f; 32]);
const TRACKER: Origin = Origin { tracker: 1, incarnation: 0x1a2b_3c4d_5e6f_7081 };
const ALICE: UserRef = UserRef(OpId { origin: TRACKER, seq: 1 });
const BOB: UserRef = UserRef(OpId { origin: TRACKER, seq: 2 });
const LAB: GroupRef = GroupRef(OpId { origin: TRACKER, seq: 3 });
const FILM: ShareRef = ShareRef(OpId { origin: TRACKER, seq: 0x0102 });
const PLACE: OpOrder = OpOrder { lamport: 9, origin: TRACKER };

fn user(name: &str) -> UserId {
    UserId::parse(name).expect("a user name")
}

fn lab() -> GroupId {
    GroupId::parse("lab").expect("a group name")
}

fn film() -> FileName {
    FileName::parse("film.mkv").expect("a file name")
}

fn password(text: &str) -> Password {
    Password::new(text).expect("a password")
}

fn content() -> Content {
    let layout = Layout::new(1_000_000).expect("not too long");
    Content { layout, sha1: Sha1Digest([0x5a; 20]), info_hash: INFO_HASH, file_count: 1 }
}

fn blob<const MAX: usize>(bytes: &[u8]) -> Blob<MAX> {
    Blob::new(bytes.to_vec()).expect("few bytes")
}

fn list<T, const MAX: usize>(values: Vec<T>) -> List<T, MAX> {
    List::new(values).expect("few values")
}

fn peer() -> Peer {
    Peer { client: CLIENT, user: user("bob"), addr: "10.0.0.2:18000".parse().expect("an address"), held: 2 }
}

fn group_key() -> GroupKey {
    GroupKey { group: LAB, name: lab(), id: KeyId([0x1d; 16]), key: Secret([0x5e; 32]) }
}

fn requests() -> Vec<(Request, &'static str)> {
    let (command, client) = (COMMAND, CLIENT);
    let (alice, bob) = (user("alice"), user("bob"));
    let group = lab;
    vec![
        (
            Request::CreateUser { command, user: alice.clone(), password: password("pass word") },
            r#"
            01                  # CreateUser
            c0*16               # command
            0005 "alice"        # user
            0009 "pass word"    # password
            "#,
        ),
        (
            Request::Login { client, user: user("müller"), password: password("x") },
            r#"
            02                  # Login
            d0*16               # client
            0007 "m" c3bc "ller" # user: 7 bytes of UTF-8
            0001 "x"            # password
            "#,
        ),
        (
            Request::Resume { client, token: blob(&[1, 2, 3]) },
            r#"
            03                  # Resume
            d0*16               # client
            00000003 010203     # token
            "#,
        ),
        (Request::Logout {}, "04 # Logout"),
        (
            Request::ChangePassword { command, old: password("old"), new: password("new one") },
            r#"
            05                  # ChangePassword
            c0*16               # command
            0003 "old"          # old
            0007 "new one"      # new
            "#,
        ),
        (
            Request::CreateGroup { command, group: group() },
            r#"
            06                  # CreateGroup
            c0*16               # command
            0003 "lab"          # group
            "#,
        ),
        (
            Request::JoinGroup { command, group: group() },
            r#"
            07                  # JoinGroup
            c0*16               # command
            0003 "lab"          # group
            "#,
        ),
        (
            Request::LeaveGroup { command, group: group() },
            r#"
            08                  # LeaveGroup
            c0*16               # command
            0003 "lab"          # group
            "#,
        ),
        (
            Request::ListRequests { group: group(), after: Some(bob.clone()) },
            r#"
            09                  # ListRequests
            0003 "lab"          # group
            01 0003 "bob"       # after: there is one
            "#,
        ),
        (
            Request::AcceptRequest { command, group: group(), user: bob.clone() },
            r#"
            0a                  # AcceptRequest
            c0*16               # command
            0003 "lab"          # group
            0003 "bob"          # user
            "#,
        ),
        (
            Request::RejectRequest { command, group: group(), user: bob.clone() },
            r#"
            0b                  # RejectRequest
            c0*16               # command
            0003 "lab"          # group
            0003 "bob"          # user
            "#,
        ),
        (
            Request::RemoveMember { command, group: group(), user: bob },
            r#"
            0c                  # RemoveMember
            c0*16               # command
            0003 "lab"          # group
            0003 "bob"          # user
            "#,
        ),
        (
            Request::ListGroups { after: None },
            r#"
            0d                  # ListGroups
            00                  # after: none, the first page
            "#,
        ),
        (
            Request::ListMembers { group: group(), after: Some(alice) },
            r#"
            0e                  # ListMembers
            0003 "lab"          # group
            01 0005 "alice"     # after
            "#,
        ),
        (
            Request::ListFiles { group: group(), after: Some(film()) },
            r#"
            0f                  # ListFiles
            0003 "lab"          # group
            01 0008 "film.mkv"  # after
            "#,
        ),
        (
            Request::PutManifest {
                group: group(),
                info_hash: INFO_HASH,
                total: 0x0010_0000,
                offset: 0x0008_0000,
                part: blob(b"part"),
            },
            r#"
            10                  # PutManifest
            0003 "lab"          # group
            1f*32               # info hash
            00100000            # total: 1 MiB
            00080000            # offset
            00000004 "part"     # part
            "#,
        ),
        (
            Request::ShareFile { command, group: group(), name: film(), content: content() },
            r#"
            11                  # ShareFile
            c0*16               # command
            0003 "lab"          # group
            0008 "film.mkv"     # name
                                # content:
            00000000000f4240    #   size: 1,000,000
            5a*20               #   SHA-1 of all of it
            1f*32               #   info hash
            00000001            #   one file
            "#,
        ),
        (
            Request::StopShare { command, group: group(), name: film() },
            r#"
            12                  # StopShare
            c0*16               # command
            0003 "lab"          # group
            0008 "film.mkv"     # name
            "#,
        ),
        (
            Request::FindShare { group: group(), name: film() },
            r#"
            13                  # FindShare
            0003 "lab"          # group
            0008 "film.mkv"     # name
            "#,
        ),
        (
            Request::GetManifest { share: FILM, offset: 0x0008_0000 },
            r#"
            14                  # GetManifest
                                # share:
            0001                #   tracker 1
            1a2b3c4d5e6f7081    #   incarnation
            0000000000000102    #   its 258th op
            00080000            # offset
            "#,
        ),
        (
            Request::Announce { ip: Some("192.0.2.7".parse().expect("an address")), port: 18000 },
            r#"
            15                  # Announce
            01 04 c0000207      # ip: IPv4, 192.0.2.7
            4650                # port: 18000
            "#,
        ),
        (
            Request::Hold { share: FILM, holding: Holding::More { pieces: list(vec![0, 7]) } },
            r#"
            16                                    # Hold
            0001 1a2b3c4d5e6f7081 0000000000000102 # share
            04                                    # holding: More
            00000002 00000000 00000007            #   pieces 0 and 7
            "#,
        ),
        (
            Request::FindPeers { share: FILM },
            r#"
            17                                    # FindPeers
            0001 1a2b3c4d5e6f7081 0000000000000102 # share
            "#,
        ),
        (
            Request::ListKeys { after: Some(group()) },
            r#"
            18                  # ListKeys
            01 0003 "lab"       # after
            "#,
        ),
        (Request::Heartbeat {}, "19 # Heartbeat"),
        (
            Request::ReadNotices { command, through: PLACE },
            r#"
            1a                      # ReadNotices
            c0*16                   # command
                                    # through:
            0000000000000009        #   Lamport counter
            0001 1a2b3c4d5e6f7081   #   origin: tracker, incarnation
            "#,
        ),
    ]
}

fn replies() -> Vec<(Reply, &'static str)> {
    vec![
        (
            Reply::Refused { code: 23, about: Text::new("alice").expect("short") },
            r#"
            01                  # Refused
            0017                # code: 23, UserExists
            0005 "alice"        # about
            "#,
        ),
        (Reply::Done {}, "02 # Done"),
        (
            Reply::LoggedIn { user: user("alice~2"), token: blob(&[0xff; 66]) },
            r#"
            03                  # LoggedIn
            0007 "alice~2"      # user: the name was taken before elsewhere
            00000042 ff*66      # token
            "#,
        ),
        (
            Reply::Groups {
                groups: list(vec![
                    GroupLine { name: lab(), owner: user("alice"), member_count: 3, role: Role::Requested },
                    GroupLine {
                        name: GroupId::parse("z").expect("a name"),
                        owner: user("bob"),
                        member_count: 1,
                        role: Role::Owner,
                    },
                ]),
                more: true,
            },
            r#"
            04                  # Groups
            00000002            # two of them
            0003 "lab"          #   name
            0005 "alice"        #   owner
            00000003            #   members
            01                  #   role: has asked to be let in
            0001 "z"            #   name
            0003 "bob"          #   owner
            00000001            #   members
            03                  #   role: owner
            01                  # there is another page
            "#,
        ),
        (
            Reply::Users { users: list(vec![user("bob")]), more: false },
            r#"
            05                  # Users
            00000001            # one of them
            0003 "bob"
            00                  # no other page
            "#,
        ),
        (
            Reply::Members {
                members: list(vec![MemberLine { name: user("alice"), owner: true, online: 2 }]),
                more: false,
            },
            r#"
            06                  # Members
            00000001            # one of them
            0005 "alice"        #   name
            01                  #   owner
            00000002            #   logged in on two clients
            00                  # no other page
            "#,
        ),
        (
            Reply::Files {
                files: list(vec![FileLine { name: film(), content: content(), sharer_count: 2, online: 1 }]),
                more: false,
            },
            r#"
            07                  # Files
            00000001            # one of them
            0008 "film.mkv"     #   name
            00000000000f4240    #   size
            5a*20               #   SHA-1
            1f*32               #   info hash
            00000001            #   number of files
            00000002            #   sharers
            00000001            #   clients online with pieces
            00                  # no other page
            "#,
        ),
        (
            Reply::Share { share: FILM, group: LAB, name: film(), content: content(), shared_by_you: false },
            r#"
            08                                    # Share
            0001 1a2b3c4d5e6f7081 0000000000000102 # share
            0001 1a2b3c4d5e6f7081 0000000000000003 # group
            0008 "film.mkv"                       # name
            00000000000f4240 5a*20 1f*32 00000001 # content
            00                                    # not shared by you
            "#,
        ),
        (
            Reply::ManifestPart { total: 0x0123, part: blob(b"GSMANIF\x01") },
            r#"
            09                          # ManifestPart
            00000123                    # total
            00000008 "GSMANIF" 01       # part
            "#,
        ),
        (
            Reply::Announced { addr: "[2001:db8::7]:18000".parse().expect("an address") },
            r#"
            0a                                          # Announced
            06 20010db8 00000000 00000000 00000007 4650 # IPv6, port 18000
            "#,
        ),
        (
            Reply::Peers { peers: list(vec![peer()]) },
            r#"
            0b                  # Peers
            00000001            # one of them
            d0*16               #   client
            0003 "bob"          #   user
            04 0a000002 4650    #   10.0.0.2:18000
            00000002            #   pieces held
            "#,
        ),
        (
            Reply::Keys { keys: list(vec![group_key()]), more: false },
            r#"
            0c                                     # Keys
            00000001                               # one of them
            0001 1a2b3c4d5e6f7081 0000000000000003 #   group
            0003 "lab"                             #   name
            1d*16                                  #   id of the key
            5e*32                                  #   key
            00                                     # no other page
            "#,
        ),
        (
            Reply::NewKey { key: group_key() },
            r#"
            40                                     # NewKey
            0001 1a2b3c4d5e6f7081 0000000000000003 # group
            0003 "lab"                             # name
            1d*16                                  # id of the key
            5e*32                                  # key
            "#,
        ),
        (
            Reply::GroupLost { group: LAB, name: lab() },
            r#"
            41                                     # GroupLost
            0001 1a2b3c4d5e6f7081 0000000000000003 # group
            0003 "lab"                             # name
            "#,
        ),
        (
            Reply::PeerUp { share: FILM, peer: peer() },
            r#"
            42                                     # PeerUp
            0001 1a2b3c4d5e6f7081 0000000000000102 # share
            d0*16                                  # client
            0003 "bob"                             # user
            04 0a000002 4650                       # 10.0.0.2:18000
            00000002                               # pieces held
            "#,
        ),
        (
            Reply::ShareEnded { share: FILM },
            r#"
            43                                     # ShareEnded
            0001 1a2b3c4d5e6f7081 0000000000000102 # share
            "#,
        ),
        (
            Reply::Noticed { order: PLACE, notice: Notice::Accepted { group: lab() } },
            r#"
            44                                     # Noticed
            0000000000000009 0001 1a2b3c4d5e6f7081 # order
            01 0003 "lab"                          # notice: Accepted, in this group
            "#,
        ),
        (Reply::SessionOver {}, "45 # SessionOver"),
        (
            Reply::JoinRequested { group: lab(), user: user("bob") },
            r#"
            46                  # JoinRequested
            0003 "lab"          # group
            0003 "bob"          # user
            "#,
        ),
    ]
}

fn asks() -> Vec<(Ask, &'static str)> {
    vec![
        (
            Ask::Open { info_hash: INFO_HASH, user: user("bob") },
            r#"
            01                  # Open
            1f*32               # info hash
            0003 "bob"          # user
            "#,
        ),
        (
            Ask::GetPiece { piece: 0x001f_ffff },
            r#"
            02                  # GetPiece
            001fffff            # piece: the last one of the longest share
            "#,
        ),
        (Ask::KeepAlive {}, "03 # KeepAlive"),
    ]
}

fn answers() -> Vec<(Answer, &'static str)> {
    vec![
        (
            Answer::Refused { code: 82, about: Text::new("").expect("short") },
            r#"
            01                  # Refused
            0052                # code: 82, NoSuchPiece
            0000                # about nothing
            "#,
        ),
        (
            Answer::Opened { bits: blob(&[0x80, 0x40]) },
            r#"
            02                  # Opened
            00000002 8040       # bits: pieces 0 and 9
            "#,
        ),
        // The data follows in the frame and is no part of the message.
        (Answer::Piece { data: Tail { len: 0 } }, "03 # Piece"),
        (Answer::Alive {}, "04 # Alive"),
        (
            Answer::News { pieces: list(vec![3]) },
            r#"
            40                  # News
            00000001 00000003   # one piece: 3
            "#,
        ),
    ]
}

fn links() -> Vec<(Link, &'static str)> {
    let (user, client, share) = (ALICE, CLIENT, FILM);
    let other = Origin { tracker: 2, incarnation: 0x99 };
    let seen = || list(vec![Seen { origin: TRACKER, seq: 0x0102 }, Seen { origin: other, seq: 7 }]);
    let op = |seq, body| Op { id: OpId { origin: TRACKER, seq }, lamport: 0x20 + seq, command: COMMAND, body };
    let first = op(0x11, OpBody::LeaveGroup { group: LAB, user: BOB });
    let second = op(0x12, OpBody::JoinShare { share, user });
    vec![
        (
            Link::Hello { tracker: 1, instance: [0x17; 16], seen: seen() },
            r#"
            01                                     # Hello
            0001                                   # tracker 1
            17*16                                  # instance
            00000002                               # seen: ops of two origins
            0001 1a2b3c4d5e6f7081 0000000000000102 #   258 of tracker 1 under this incarnation
            0002 0000000000000099 0000000000000007 #   7 of tracker 2
            "#,
        ),
        (
            Link::Ops { ops: list(vec![first, second]) },
            r#"
            02                                     # Ops
            00000002                               # two of them
            0001 1a2b3c4d5e6f7081 0000000000000011 #   id
            0000000000000031                       #   Lamport counter
            c0*16                                  #   command
            07                                     #   body: LeaveGroup
            0001 1a2b3c4d5e6f7081 0000000000000003 #     group
            0001 1a2b3c4d5e6f7081 0000000000000002 #     user
            0001 1a2b3c4d5e6f7081 0000000000000012 #   id: the next of this origin
            0000000000000032                       #   Lamport counter
            c0*16                                  #   command
            0a                                     #   body: JoinShare
            0001 1a2b3c4d5e6f7081 0000000000000102 #     share
            0001 1a2b3c4d5e6f7081 0000000000000001 #     user
            "#,
        ),
        (
            Link::Have { seen: seen(), digest: Some([0xdd; 32]) },
            r#"
            03                                     # Have
            00000002                               # seen: ops of two origins
            0001 1a2b3c4d5e6f7081 0000000000000102 #   258 of tracker 1
            0002 0000000000000099 0000000000000007 #   7 of tracker 2
            01 dd*32                               # digest: there is one
            "#,
        ),
        (
            Link::Manifest { info_hash: INFO_HASH, total: 0x0123, offset: 0x0100, part: blob(b"GSMANIF\x01") },
            r#"
            04                          # Manifest
            1f*32                       # info hash
            00000123                    # total
            00000100                    # offset
            00000008 "GSMANIF" 01       # part
            "#,
        ),
        (
            Link::Refused { code: 101, about: Text::new("2").expect("short") },
            r#"
            05                  # Refused
            0065                # code: 101, TrackerNumber
            0001 "2"            # about
            "#,
        ),
        (
            Link::Online { user, client, addr: Some("10.0.0.2:18000".parse().expect("an address")) },
            r#"
            06                                     # Online
            0001 1a2b3c4d5e6f7081 0000000000000001 # user
            d0*16                                  # client
            01 04 0a000002 4650                    # addr: there is one, 10.0.0.2:18000
            "#,
        ),
        (
            Link::Offline { user, client },
            r#"
            07                                     # Offline
            0001 1a2b3c4d5e6f7081 0000000000000001 # user
            d0*16                                  # client
            "#,
        ),
        (
            Link::Holds { user, client, share, holding: Holding::Exactly { bits: blob(&[0b1010_0000]) } },
            r#"
            08                                     # Holds
            0001 1a2b3c4d5e6f7081 0000000000000001 # user
            d0*16                                  # client
            0001 1a2b3c4d5e6f7081 0000000000000102 # share
            03 00000001 a0                         # holding: Exactly pieces 0 and 2
            "#,
        ),
        (Link::AllTold {}, "09 # AllTold"),
        (
            Link::WantManifests { info_hashes: list(vec![INFO_HASH, InfoHash([0x2f; 32])]) },
            r#"
            0a                  # WantManifests
            00000002            # two of them
            1f*32               #   info hash
            2f*32               #   info hash
            "#,
        ),
        (
            Link::GiveAgain { seen: seen() },
            r#"
            0b                                     # GiveAgain
            00000002                               # seen: ops of two origins
            0001 1a2b3c4d5e6f7081 0000000000000102 #   258 of tracker 1
            0002 0000000000000099 0000000000000007 #   7 of tracker 2
            "#,
        ),
    ]
}

fn holdings() -> Vec<(Holding, &'static str)> {
    vec![
        (Holding::All {}, "01 # All"),
        (Holding::Nothing {}, "02 # Nothing"),
        (
            Holding::Exactly { bits: blob(&[0b1010_0000]) },
            r#"
            03                  # Exactly
            00000001 a0         # bits: pieces 0 and 2
            "#,
        ),
        (
            Holding::More { pieces: list(vec![1]) },
            r#"
            04                  # More
            00000001 00000001   # one piece: 1
            "#,
        ),
    ]
}

/// Every notice beside its bytes.
pub fn notices() -> Vec<(Notice, &'static str)> {
    let file = |name| FileName::parse(name).expect("a file name");
    vec![
        (Notice::Accepted { group: lab() }, r#"01 0003 "lab" # Accepted"#),
        (Notice::Rejected { group: lab() }, r#"02 0003 "lab" # Rejected"#),
        (Notice::Removed { group: lab() }, r#"03 0003 "lab" # Removed"#),
        (
            Notice::UserRenamed { from: user("bob"), to: user("bob~2") },
            r#"
            04                  # UserRenamed
            0003 "bob"          # from
            0005 "bob~2"        # to
            "#,
        ),
        (
            Notice::GroupRenamed { from: lab(), to: lab().with_suffix(3) },
            r#"
            05                  # GroupRenamed
            0003 "lab"          # from
            0005 "lab~3"        # to
            "#,
        ),
        (
            Notice::ShareRenamed { group: lab(), from: file("a"), to: file("a~2") },
            r#"
            06                  # ShareRenamed
            0003 "lab"          # group
            0001 "a"            # from
            0003 "a~2"          # to
            "#,
        ),
        (
            Notice::DecisionOverridden { group: lab(), user: user("bob") },
            r#"
            07                  # DecisionOverridden
            0003 "lab"          # group
            0003 "bob"          # user
            "#,
        ),
        (Notice::RequestOverridden { group: lab() }, r#"08 0003 "lab" # RequestOverridden"#),
        (
            Notice::ShareOverridden { group: lab(), name: film() },
            r#"
            09                  # ShareOverridden
            0003 "lab"          # group
            0008 "film.mkv"     # name
            "#,
        ),
    ]
}

/// Every body of an op beside its bytes.
pub fn op_bodies() -> Vec<(OpBody, &'static str)> {
    let (group, user, by, share) = (LAB, BOB, ALICE, FILM);
    let hash = PasswordHash("$argon2id$v=19$".into());
    vec![
        (
            OpBody::CreateUser { name: self::user("alice"), password: hash.clone() },
            r#"
            01                      # CreateUser
            0005 "alice"            # name
            000f "$argon2id$v=19$"  # password hash
            "#,
        ),
        (
            OpBody::ChangePassword { user, password: hash },
            r#"
            02                                     # ChangePassword
            0001 1a2b3c4d5e6f7081 0000000000000002 # user
            000f "$argon2id$v=19$"                 # password hash
            "#,
        ),
        (
            OpBody::CreateGroup { name: lab(), founder: ALICE },
            r#"
            03                                     # CreateGroup
            0003 "lab"                             # name
            0001 1a2b3c4d5e6f7081 0000000000000001 # founder
            "#,
        ),
        (
            OpBody::RequestJoin { group, user },
            r#"
            04                                     # RequestJoin
            0001 1a2b3c4d5e6f7081 0000000000000003 # group
            0001 1a2b3c4d5e6f7081 0000000000000002 # user
            "#,
        ),
        (
            OpBody::AcceptRequest { group, user, by },
            r#"
            05                                     # AcceptRequest
            0001 1a2b3c4d5e6f7081 0000000000000003 # group
            0001 1a2b3c4d5e6f7081 0000000000000002 # user
            0001 1a2b3c4d5e6f7081 0000000000000001 # by
            "#,
        ),
        (
            OpBody::RejectRequest { group, user, by },
            r#"
            06                                     # RejectRequest
            0001 1a2b3c4d5e6f7081 0000000000000003 # group
            0001 1a2b3c4d5e6f7081 0000000000000002 # user
            0001 1a2b3c4d5e6f7081 0000000000000001 # by
            "#,
        ),
        (
            OpBody::LeaveGroup { group, user },
            r#"
            07                                     # LeaveGroup
            0001 1a2b3c4d5e6f7081 0000000000000003 # group
            0001 1a2b3c4d5e6f7081 0000000000000002 # user
            "#,
        ),
        (
            OpBody::RemoveMember { group, user, by },
            r#"
            08                                     # RemoveMember
            0001 1a2b3c4d5e6f7081 0000000000000003 # group
            0001 1a2b3c4d5e6f7081 0000000000000002 # user
            0001 1a2b3c4d5e6f7081 0000000000000001 # by
            "#,
        ),
        (
            OpBody::CreateShare { group, user, name: film(), content: content(), replaces: Some(share) },
            r#"
            09                                        # CreateShare
            0001 1a2b3c4d5e6f7081 0000000000000003    # group
            0001 1a2b3c4d5e6f7081 0000000000000002    # user
            0008 "film.mkv"                           # name
            00000000000f4240 5a*20 1f*32 00000001     # content
            01 0001 1a2b3c4d5e6f7081 0000000000000102 # replaces: this share
            "#,
        ),
        (
            OpBody::JoinShare { share, user },
            r#"
            0a                                     # JoinShare
            0001 1a2b3c4d5e6f7081 0000000000000102 # share
            0001 1a2b3c4d5e6f7081 0000000000000002 # user
            "#,
        ),
        (
            OpBody::LeaveShare { share, user },
            r#"
            0b                                     # LeaveShare
            0001 1a2b3c4d5e6f7081 0000000000000102 # share
            0001 1a2b3c4d5e6f7081 0000000000000002 # user
            "#,
        ),
        (
            OpBody::ReadNotices { user, through: PLACE, shown: [0x54; 32] },
            r#"
            0c                                     # ReadNotices
            0001 1a2b3c4d5e6f7081 0000000000000002 # user
            0000000000000009 0001 1a2b3c4d5e6f7081 # through
            54*32                                  # shown
            "#,
        ),
    ]
}

fn ops() -> Vec<(Op, &'static str)> {
    let body = OpBody::LeaveGroup { group: LAB, user: BOB };
    vec![(
        Op { id: OpId { origin: TRACKER, seq: 0x11 }, lamport: 0x22, command: COMMAND, body },
        r#"
                                               # id:
        0001                                   #   tracker 1
        1a2b3c4d5e6f7081                       #   incarnation
        0000000000000011                       #   its 17th op
        0000000000000022                       # Lamport counter
        c0*16                                  # command
                                               # body:
        07                                     #   LeaveGroup
        0001 1a2b3c4d5e6f7081 0000000000000003 #   group
        0001 1a2b3c4d5e6f7081 0000000000000002 #   user
        "#,
    )]
}

fn manifests() -> Vec<(Manifest, &'static str)> {
    let manifest = |files: &[(&str, u64)], digests: &[u8]| {
        let file = |&(path, len): &(&str, u64)| FileEntry { path: RelPath::parse(path).expect("a path"), len };
        let digests = digests.iter().map(|&byte| Sha1Digest([byte; 20])).collect();
        Manifest::new(files.iter().map(file).collect(), digests).expect("a manifest")
    };
    vec![
        (
            manifest(&[("empty", 0)], &[]),
            r#"
            "GSMANIF" 01                # magic, version of the encoding
            00000001                    # one file
            0005 "empty"                #   its path
            0000000000000000            #   its length
            00000000                    # no piece
            "#,
        ),
        (
            manifest(&[("film.mkv", 1_000_000)], &[0x11, 0x22]),
            r#"
            "GSMANIF" 01                # magic, version of the encoding
            00000001                    # one file
            0008 "film.mkv"             #   its path
            00000000000f4240            #   its length: 1,000,000
            00000002                    # two pieces
            11*20                       #   SHA-1 of the first 524,288 bytes
            22*20                       #   SHA-1 of the rest
            "#,
        ),
        (
            manifest(&[("d/a/x", 3), ("d/a b", 4)], &[0x33]),
            r#"
            "GSMANIF" 01                # magic, version of the encoding
            00000002                    # two files, in order of their components
            0005 "d/a/x"                #   path
            0000000000000003            #   length
            0005 "d/a b"                #   path
            0000000000000004            #   length
            00000001                    # one piece
            33*20                       #   SHA-1 of all 7 bytes
            "#,
        ),
    ]
}

/// What is encoded as it is written, and read back as the same.
fn check<T: Wire + Debug + PartialEq>(fixtures: &[(T, &str)]) {
    for (value, text) in fixtures {
        let (encoded, expected) = (to_bytes(value), bytes(text));
        assert!(encoded == expected, "{value:?} is\n{}, not\n{}", digits(&encoded), digits(&expected));
        assert_eq!(from_bytes::<T>(&expected).as_ref(), Ok(value));
    }
}

/// The fixtures of a choice, numbers first, in the order of the code.
fn numbers_of(name: &str) -> Vec<u8> {
    let choice = schema::choices().into_iter().find(|choice| choice.name == name).expect("it is in the list");
    choice.variants.iter().map(|Variant { number, .. }| *number).collect()
}

fn check_all<T: Wire + Debug + PartialEq>(name: &str, fixtures: &[(T, &str)]) {
    let numbers: Vec<u8> = fixtures.iter().map(|(value, _)| to_bytes(value)[0]).collect();
    assert_eq!(numbers, numbers_of(name), "every {name} has its bytes here, in order");
    check(fixtures);
}

#[test]
fn every_request_has_the_bytes_written_here() {
    check_all("Request", &requests());
}

#[test]
fn every_reply_has_the_bytes_written_here() {
    check_all("Reply", &replies());
}

#[test]
fn every_ask_has_the_bytes_written_here() {
    check_all("Ask", &asks());
}

#[test]
fn every_answer_has_the_bytes_written_here() {
    check_all("Answer", &answers());
}

#[test]
fn every_message_between_trackers_has_the_bytes_written_here() {
    check_all("Link", &links());
}

#[test]
fn every_holding_has_the_bytes_written_here() {
    check_all("Holding", &holdings());
}

#[test]
fn every_notice_has_the_bytes_written_here() {
    check_all("Notice", &notices());
}

#[test]
fn every_op_has_the_bytes_written_here() {
    check_all("OpBody", &op_bodies());
    check(&ops());
}

#[test]
fn manifests_have_the_bytes_written_here() {
    check(&manifests());
}

/// The bytes of everything above, by the name of what they are: a start for damaging them.
pub fn encoded() -> Vec<(&'static str, Vec<u8>)> {
    fn all<T: Wire>(name: &'static str, fixtures: Vec<(T, &str)>) -> Vec<(&'static str, Vec<u8>)> {
        fixtures.iter().map(|(value, _)| (name, to_bytes(value))).collect()
    }
    [
        all("Request", requests()),
        all("Reply", replies()),
        all("Ask", asks()),
        all("Answer", answers()),
        all("Link", links()),
        all("Holding", holdings()),
        all("Notice", notices()),
        all("OpBody", op_bodies()),
        all("Op", ops()),
        all("Manifest", manifests()),
    ]
    .concat()
}
