//! The messages between clients and trackers, beside their bytes.

use super::cast::{
    CLIENT, COMMAND, FILM, INFO_HASH, LAB, PEER_KEY, PLACE, TICKET, addr, blob, certificate, content, film, group_key,
    interfaces, lab, list, passed_call, password, peer, user,
};
use groupshare::model::name::GroupId;
use groupshare::model::name::pattern::NamePattern;
use groupshare::model::notice::Notice;
use groupshare::model::op::group_access::GroupAccess;
use groupshare::wire::certificate::SignerKey;
use groupshare::wire::client_tracker::{
    CallWay, FileLine, FoundFile, GroupLine, Holding, MemberLine, ReachClass, Reply, Request, Role, SearchPlace,
};
use groupshare::wire::codec::Text;
use groupshare::wire::mirror::Mirrored;

pub(super) fn requests() -> Vec<(Request, &'static str)> {
    [
        account_requests(),
        group_requests(),
        member_requests(),
        share_requests(),
        presence_requests(),
        later_requests(),
        owner_requests(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// About accounts and logins.
fn account_requests() -> Vec<(Request, &'static str)> {
    vec![
        (
            Request::CreateUser { command: COMMAND, user: user("alice"), password: password("pass word") },
            r#"
            01                  # CreateUser
            c0*16               # command
            0005 "alice"        # user
            0009 "pass word"    # password
            "#,
        ),
        (
            Request::Login { client: CLIENT, user: user("müller"), password: password("x") },
            r#"
            02                  # Login
            d0*16               # client
            0007 "m" c3bc "ller" # user: 7 bytes of UTF-8
            0001 "x"            # password
            "#,
        ),
        (
            Request::Resume { client: CLIENT, token: blob(&[1, 2, 3]) },
            r#"
            03                  # Resume
            d0*16               # client
            00000003 010203     # token
            "#,
        ),
        (Request::Logout {}, "04 # Logout"),
        (
            Request::ChangePassword { command: COMMAND, old: password("old"), new: password("new one") },
            r#"
            05                  # ChangePassword
            c0*16               # command
            0003 "old"          # old
            0007 "new one"      # new
            "#,
        ),
    ]
}

/// About groups and their members.
fn group_requests() -> Vec<(Request, &'static str)> {
    vec![
        (
            Request::CreateGroup { command: COMMAND, group: lab() },
            r#"
            06                  # CreateGroup
            c0*16               # command
            0003 "lab"          # group
            "#,
        ),
        (
            Request::JoinGroup { command: COMMAND, group: lab() },
            r#"
            07                  # JoinGroup
            c0*16               # command
            0003 "lab"          # group
            "#,
        ),
        (
            Request::LeaveGroup { command: COMMAND, group: lab() },
            r#"
            08                  # LeaveGroup
            c0*16               # command
            0003 "lab"          # group
            "#,
        ),
        (
            Request::ListRequests { group: lab(), after: Some(user("bob")) },
            r#"
            09                  # ListRequests
            0003 "lab"          # group
            01 0003 "bob"       # after: there is one
            "#,
        ),
        (
            Request::AcceptRequest { command: COMMAND, group: lab(), user: user("bob") },
            r#"
            0a                  # AcceptRequest
            c0*16               # command
            0003 "lab"          # group
            0003 "bob"          # user
            "#,
        ),
        (
            Request::RejectRequest { command: COMMAND, group: lab(), user: user("bob") },
            r#"
            0b                  # RejectRequest
            c0*16               # command
            0003 "lab"          # group
            0003 "bob"          # user
            "#,
        ),
    ]
}

/// About members, and lists in pages.
fn member_requests() -> Vec<(Request, &'static str)> {
    vec![
        (
            Request::RemoveMember { command: COMMAND, group: lab(), user: user("bob") },
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
            Request::ListMembers { group: lab(), after: Some(user("alice")) },
            r#"
            0e                  # ListMembers
            0003 "lab"          # group
            01 0005 "alice"     # after
            "#,
        ),
        (
            Request::ListFiles { group: lab(), after: Some(film()) },
            r#"
            0f                  # ListFiles
            0003 "lab"          # group
            01 0008 "film.mkv"  # after
            "#,
        ),
    ]
}

/// About shares and their manifests.
fn share_requests() -> Vec<(Request, &'static str)> {
    vec![
        (
            Request::PutManifest {
                group: lab(),
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
            Request::ShareFile { command: COMMAND, group: lab(), name: film(), content: content() },
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
            Request::StopShare { command: COMMAND, group: lab(), name: film() },
            r#"
            12                  # StopShare
            c0*16               # command
            0003 "lab"          # group
            0008 "film.mkv"     # name
            "#,
        ),
        (
            Request::FindShare { group: lab(), name: film() },
            r#"
            13                  # FindShare
            0003 "lab"          # group
            0008 "film.mkv"     # name
            "#,
        ),
    ]
}

/// About manifests and presence.
fn presence_requests() -> Vec<(Request, &'static str)> {
    vec![
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
            Request::Announce {
                key: PEER_KEY,
                port: 18000,
                interfaces: interfaces(),
                announced: Some(addr("[2001:db8::7]:19000")),
                machine: [0xac; 16],
                round_trip_ms: 20,
            },
            r#"
            15                                             # Announce
            9e*32                                          # key
            4650                                           # port: 18000
            00000001 04 0a000002 18                        # interfaces: one of them, 10.0.0.2/24
            01 06 20010db8 00000000 00000000 00000007 4a38 # announced: there is one, IPv6, port 19000
            ac*16                                          # machine
            0014                                           # round trip: 20 ms
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
    ]
}

/// Keys, heartbeats, notices, calls.
fn later_requests() -> Vec<(Request, &'static str)> {
    vec![
        (
            Request::ListKeys { after: Some(lab()) },
            r#"
            18                  # ListKeys
            01 0003 "lab"       # after
            "#,
        ),
        (Request::Heartbeat {}, "19 # Heartbeat"),
        (
            Request::ReadNotices { command: COMMAND, through: PLACE },
            r#"
            1a                      # ReadNotices
            c0*16                   # command
                                    # through:
            0000000000000009        #   Lamport counter
            0001 1a2b3c4d5e6f7081   #   origin: tracker, incarnation
            "#,
        ),
        (
            Request::Call {
                share: FILM,
                user: user("bob"),
                client: CLIENT,
                way: CallWay::Punch,
                from: Some(Mirrored { addr: addr("192.0.2.7:51000"), token: [0x7a; 40] }),
            },
            r#"
            1b                                     # Call
            0001 1a2b3c4d5e6f7081 0000000000000102 # share
            0003 "bob"                             # user
            d0*16                                  # client
            02                                     # way: Punch
            01                                     # from: there is one
            04 c0000207 c738                       #   addr: 192.0.2.7:51000
            7a*40                                  #   token
            "#,
        ),
        (Request::CheckReach {}, "1c # CheckReach"),
    ]
}

/// About owners and access.
fn owner_requests() -> Vec<(Request, &'static str)> {
    vec![
        (
            Request::MakeOwner { command: COMMAND, group: lab(), user: user("bob") },
            r#"
            1d                  # MakeOwner
            c0*16               # command
            0003 "lab"          # group
            0003 "bob"          # user
            "#,
        ),
        (
            Request::DropOwner { command: COMMAND, group: lab(), user: user("bob") },
            r#"
            1e                  # DropOwner
            c0*16               # command
            0003 "lab"          # group
            0003 "bob"          # user
            "#,
        ),
        (
            Request::AddMember { command: COMMAND, group: lab(), user: user("bob") },
            r#"
            1f                  # AddMember
            c0*16               # command
            0003 "lab"          # group
            0003 "bob"          # user
            "#,
        ),
        (
            Request::SetGroup { command: COMMAND, group: lab(), access: GroupAccess::Open },
            r#"
            20                  # SetGroup
            c0*16               # command
            0003 "lab"          # group
            00                  # access: open
            "#,
        ),
        (Request::SetAdding { command: COMMAND, allowed: true }, "21 c0*16 01 # SetAdding: command, allowed"),
        (
            Request::FindFiles {
                group: None,
                pattern: NamePattern::new("*.mkv").expect("a pattern"),
                after: Some(SearchPlace { group: lab(), name: Some(film()) }),
            },
            r#"
            22                  # FindFiles
            00                  # group: none
            0005 "*.mkv"        # pattern
            01                  # after: there is one
            0003 "lab"          #   group
            01 0008 "film.mkv"  #   name: there is one
            "#,
        ),
        (Request::Follow { groups: list(vec![lab()]) }, "23 00000001 0003 \"lab\" # Follow: one group, its name"),
    ]
}

pub(super) fn replies() -> Vec<(Reply, &'static str)> {
    [
        short_replies(),
        list_replies(),
        line_replies(),
        share_replies(),
        peer_replies(),
        pushed_replies(),
        told_replies(),
        version_replies(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// Short replies.
fn short_replies() -> Vec<(Reply, &'static str)> {
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
    ]
}

/// Lists of groups and users, in pages.
fn list_replies() -> Vec<(Reply, &'static str)> {
    vec![
        (
            Reply::Groups {
                groups: list(vec![
                    GroupLine {
                        name: lab(),
                        owner: user("alice"),
                        owner_count: 2,
                        member_count: 3,
                        access: GroupAccess::Ask,
                        role: Role::Requested,
                    },
                    GroupLine {
                        name: GroupId::parse("z").expect("a name"),
                        owner: user("bob"),
                        owner_count: 1,
                        member_count: 1,
                        access: GroupAccess::Open,
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
            00000002            #   owners
            00000003            #   members
            01                  #   access: ask
            01                  #   role: has asked to be let in
            0001 "z"            #   name
            0003 "bob"          #   owner
            00000001            #   owners
            00000001            #   members
            00                  #   access: open
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
    ]
}

/// Lists of members and files.
fn line_replies() -> Vec<(Reply, &'static str)> {
    vec![
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
            Reply::Files { files: list(vec![film_line()]), more: false },
            r#"
            07                  # Files
            00000001            # one of them
            0008 "film.mkv"     #   name
            00000000000f4240    #   size
            5a*20               #   SHA-1
            1f*32               #   info hash
            00000001            #   number of files
            0005 "alice"        #   who shared it first
            00000002            #   sharers
            00000001            #   clients online with pieces
            00                  # no other page
            "#,
        ),
    ]
}

/// About shares, and the client's own identity.
fn share_replies() -> Vec<(Reply, &'static str)> {
    vec![
        (
            Reply::Share {
                share: FILM,
                group: LAB,
                name: film(),
                content: content(),
                author: user("alice"),
                shared_by_you: false,
            },
            r#"
            08                                    # Share
            0001 1a2b3c4d5e6f7081 0000000000000102 # share
            0001 1a2b3c4d5e6f7081 0000000000000003 # group
            0008 "film.mkv"                       # name
            00000000000f4240 5a*20 1f*32 00000001 # content
            0005 "alice"                          # who shared it first
            00                                    # not shared by you
            "#,
        ),
        (
            Reply::ManifestPart { total: 0x0123, part: blob(b"GSMANIF\x02") },
            r#"
            09                          # ManifestPart
            00000123                    # total
            00000008 "GSMANIF" 02       # part
            "#,
        ),
        (
            Reply::Announced {
                certificate: certificate(),
                signer: SignerKey([0x59; 32]),
                now_s: 0x69ff_0000,
                tracker: 1,
                relay: true,
                seen: addr("192.0.2.7:40000"),
                token: blob(&[0xff; 92]),
            },
            r#"
            0a                  # Announced
                                # certificate:
            d0*16               #   client
            0003 "bob"          #   user
            9e*32               #   key
            000000006a000000    #   end, in seconds since 1970
            51*64               #   signature
            59*32               # signer
            0000000069ff0000    # what time it is, in seconds since 1970
            0001                # tracker
            01                  # relay
            04 c0000207 9c40    # seen: 192.0.2.7:40000
            0000005c ff*92      # token
            "#,
        ),
    ]
}

fn film_line() -> FileLine {
    FileLine { name: film(), content: content(), author: user("alice"), sharer_count: 2, online: 1 }
}

fn found_film() -> FoundFile {
    FoundFile { group: lab(), file: film_line() }
}

/// About peers, and keys of groups.
fn peer_replies() -> Vec<(Reply, &'static str)> {
    vec![
        (
            Reply::Peers { peers: list(vec![peer()]), newer: Some(FILM) },
            r#"
            0b                  # Peers
            00000001            # one of them
            d0*16               #   client
            0003 "bob"          #   user
            9e*32               #   key
            00000002            #   two addresses
            04 0a000002 4650    #     10.0.0.2:18000
            06 20010db8 00000000 00000000 00000002 4650
            00000002            #   pieces held
            01 0001 1a2b3c4d5e6f7081 0000000000000102 # newer
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
            Reply::CallPassed { addrs: list(vec![addr("10.0.0.2:18000")]), start_ms: 20, ticket: Some(TICKET) },
            r#"
            0d                        # CallPassed
            00000001 04 0a000002 4650 # addrs: one of them
            0014                      # start: 20 ms
            01 71*16                  # ticket: there is one
            "#,
        ),
        (
            Reply::Found { files: list(vec![found_film()]), next: Some(SearchPlace { group: lab(), name: None }) },
            r#"
            0e                  # Found
            00000001            # one of them
            0003 "lab"          #   group
            0008 "film.mkv"     #   name
            00000000000f4240    #   size
            5a*20               #   SHA-1
            1f*32               #   info hash
            00000001            #   number of files
            0005 "alice"        #   who shared it first
            00000002            #   sharers
            00000001            #   clients online with pieces
            01                  # next: there is one
            0003 "lab"          #   group
            00                  #   no name
            "#,
        ),
    ]
}

/// Unasked messages about groups and shares.
fn pushed_replies() -> Vec<(Reply, &'static str)> {
    vec![
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
            9e*32                                  # key
            00000002                               # two addresses
            04 0a000002 4650                       #   10.0.0.2:18000
            06 20010db8 00000000 00000000 00000002 4650
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
    ]
}

/// Unasked messages about the user, and about ways to others.
fn told_replies() -> Vec<(Reply, &'static str)> {
    vec![
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
        (
            Reply::Reach { addr: addr("192.0.2.7:18000"), found: ReachClass::NoAnswer },
            r#"
            47                  # Reach
            04 c0000207 4650    # addr: IPv4, port 18000
            03                  # found: NoAnswer
            "#,
        ),
        (
            Reply::Called { call: passed_call() },
            r#"
            48                                     # Called
            0001 1a2b3c4d5e6f7081 0000000000000102 #   share
            0001 1a2b3c4d5e6f7081 0000000000000003 #   group
            1f*32                                  #   info hash
            03                                     #   way: Relay
                                                   #   caller:
            d0*16                                  #     client
            0003 "bob"                             #     user
            9e*32                                  #     key
            000000006a000000                       #     end
            51*64                                  #     signature
            00000001 04 c0000207 4650              #   addrs: one of them
            0000                                   #   start
            01 0001 71*16                          #   relay: that of tracker 1, ticket
            "#,
        ),
    ]
}

/// About new versions and followed groups.
fn version_replies() -> Vec<(Reply, &'static str)> {
    vec![
        (
            Reply::Superseded { old: FILM, new: FILM, group: lab(), name: film(), author: user("bob") },
            r#"
            49                                     # Superseded
            0001 1a2b3c4d5e6f7081 0000000000000102 # old
            0001 1a2b3c4d5e6f7081 0000000000000102 # new
            0003 "lab"                             # group
            0008 "film.mkv"                        # name
            0003 "bob"                             # author
            "#,
        ),
        (
            Reply::GroupChanged { group: lab(), names: list(vec![film()]), more: true },
            r#"
            4a                  # GroupChanged
            0003 "lab"          # group
            00000001            # one of them
            0008 "film.mkv"     #   name
            01                  # others too
            "#,
        ),
    ]
}

pub(super) fn holdings() -> Vec<(Holding, &'static str)> {
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
        (
            Holding::Runs { edges: list(vec![0, 2, 5, 6]) },
            r#"
            05                  # Runs
            00000004            # edges: pieces 0, 1 and 5
            00000000 00000002 00000005 00000006
            "#,
        ),
        (Holding::Count { held: 3 }, "06 00000003 # Count: 3"),
    ]
}
