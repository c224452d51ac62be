//! The messages between trackers, beside their bytes.

use super::cast::{ALICE, BOB, CLIENT, COMMAND, FILM, INFO_HASH, LAB, TRACKER, blob, contact, list, passed_call};
use groupshare::model::digest::InfoHash;
use groupshare::model::id::{OpId, Origin, Seen};
use groupshare::model::op::floor::FloorMark;
use groupshare::model::op::{Op, OpBody};
use groupshare::wire::client_tracker::Holding;
use groupshare::wire::codec::{List, Text};
use groupshare::wire::tracker_tracker::{LinkMessage, ORIGINS_MAX};
use std::sync::Arc;

pub(super) fn links() -> Vec<(LinkMessage, &'static str)> {
    [beginnings(), others(), soft_state(), wishes(), signs_of_life(), long_lists(), bases()]
        .into_iter()
        .flatten()
        .collect()
}

/// The first messages of a link, ops, and a tracker's progress.
fn beginnings() -> Vec<(LinkMessage, &'static str)> {
    let leaves = OpBody::LeaveGroup { group: LAB, user: BOB };
    let joins = OpBody::JoinShare { share: FILM, user: ALICE };
    vec![
        (
            LinkMessage::Hello { tracker: 1, instance: [0x17; 16], floor: FLOOR, seen: two_origins() },
            r#"
            01                                     # Hello
            0001                                   # tracker 1
            17*16                                  # instance
            0000000000000009 f9*32                 # floor
            00000002                               # seen: ops of two origins
            0001 1a2b3c4d5e6f7081 0000000000000102 #   258 of tracker 1 under this incarnation
            0002 0000000000000099 0000000000000007 #   7 of tracker 2
            "#,
        ),
        (
            LinkMessage::Ops { ops: list(vec![op(0x11, leaves), op(0x12, joins)]) },
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
            LinkMessage::Have { floor: FLOOR, seen: two_origins(), digest: Some([0xdd; 32]) },
            r#"
            03                                     # Have
            0000000000000009 f9*32                 # floor
            00000002                               # seen: ops of two origins
            0001 1a2b3c4d5e6f7081 0000000000000102 #   258 of tracker 1
            0002 0000000000000099 0000000000000007 #   7 of tracker 2
            01 dd*32                               # digest: there is one
            "#,
        ),
    ]
}

/// A manifest and a refusal.
fn others() -> Vec<(LinkMessage, &'static str)> {
    vec![
        (
            LinkMessage::Manifest { info_hash: INFO_HASH, total: 0x0123, offset: 0x0100, part: blob(b"GSMANIF\x02") },
            r#"
            04                          # Manifest
            1f*32                       # info hash
            00000123                    # total
            00000100                    # offset
            00000008 "GSMANIF" 02       # part
            "#,
        ),
        (
            LinkMessage::Refused { code: 101, about: Text::new("2").expect("short") },
            r#"
            05                  # Refused
            0065                # code: 101, TrackerNumber
            0001 "2"            # about
            "#,
        ),
    ]
}

/// Presence and holdings.
fn soft_state() -> Vec<(LinkMessage, &'static str)> {
    let user = ALICE;
    let client = CLIENT;
    let share = FILM;
    vec![
        (
            LinkMessage::Online { user, client, contact: Some(Arc::new(contact())) },
            r#"
            06                                     # Online
            0001 1a2b3c4d5e6f7081 0000000000000001 # user
            d0*16                                  # client
            01                                     # contact: there is one
                                                   #   certificate:
            d0*16                                  #     client
            0003 "bob"                             #     user
            9e*32                                  #     key
            000000006a000000                       #     end, in seconds since 1970
            51*64                                  #     signature
            04 c0000207 9c40                       #   seen: 192.0.2.7:40000
            4650                                   #   port: 18000
            00000001 04 0a000002 18                #   interfaces: one of them, 10.0.0.2/24
            01 04 c0000208 4a38                    #   announced: there is one, 192.0.2.8:19000
            00000001 04 c0000207 4650              #   proved: one of them, 192.0.2.7:18000
            ac*16                                  #   machine
            0014                                   #   round trip: 20 ms
            "#,
        ),
        (
            LinkMessage::Offline { user, client },
            r#"
            07                                     # Offline
            0001 1a2b3c4d5e6f7081 0000000000000001 # user
            d0*16                                  # client
            "#,
        ),
        (
            LinkMessage::Holds { user, client, share, holding: Holding::Exactly { bits: blob(&[0b1010_0000]) } },
            r#"
            08                                     # Holds
            0001 1a2b3c4d5e6f7081 0000000000000001 # user
            d0*16                                  # client
            0001 1a2b3c4d5e6f7081 0000000000000102 # share
            03 00000001 a0                         # holding: Exactly pieces 0 and 2
            "#,
        ),
        (LinkMessage::AllTold {}, "09 # AllTold"),
    ]
}

/// Requests of one tracker to the other.
fn wishes() -> Vec<(LinkMessage, &'static str)> {
    vec![
        (
            LinkMessage::WantManifests { info_hashes: list(vec![INFO_HASH, InfoHash([0x2f; 32])]) },
            r#"
            0a                  # WantManifests
            00000002            # two of them
            1f*32               #   info hash
            2f*32               #   info hash
            "#,
        ),
        (
            LinkMessage::GiveAgain { seen: two_origins() },
            r#"
            0b                                     # GiveAgain
            00000002                               # seen: ops of two origins
            0001 1a2b3c4d5e6f7081 0000000000000102 #   258 of tracker 1
            0002 0000000000000099 0000000000000007 #   7 of tracker 2
            "#,
        ),
        (
            LinkMessage::Call { user: ALICE, client: CLIENT, call: Arc::new(passed_call()) },
            r#"
            0c                                     # Call
            0001 1a2b3c4d5e6f7081 0000000000000001 # user
            d0*16                                  # client
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

/// The question whether a tracker is alive, and its answer.
fn signs_of_life() -> Vec<(LinkMessage, &'static str)> {
    vec![(LinkMessage::AreYouThere {}, "0d # AreYouThere"), (LinkMessage::Here {}, "0e # Here")]
}

/// The rest of a long list.
fn long_lists() -> Vec<(LinkMessage, &'static str)> {
    vec![(
        LinkMessage::SeenMore { seen: two_origins() },
        r#"
        0f                                     # SeenMore
        00000002                               # seen: ops of two origins
        0001 1a2b3c4d5e6f7081 0000000000000102 #   258 of tracker 1
        0002 0000000000000099 0000000000000007 #   7 of tracker 2
        "#,
    )]
}

/// The base under a floor.
fn bases() -> Vec<(LinkMessage, &'static str)> {
    vec![
        (LinkMessage::WantBase { floor: FLOOR }, "10 0000000000000009 f9*32 # WantBase: floor"),
        (
            LinkMessage::Base { floor: FLOOR, total: 0x0103, offset: 0x0100, part: blob(&[1, 2, 3]) },
            r#"
            11                     # Base
            0000000000000009 f9*32 # floor
            0000000000000103       # total
            0000000000000100       # offset
            00000003 010203        # part
            "#,
        ),
        (LinkMessage::NoBase { floor: FLOOR }, "12 0000000000000009 f9*32 # NoBase: floor"),
    ]
}

const FLOOR: FloorMark = FloorMark { lamport: 9, base: [0xf9; 32] };

fn two_origins() -> List<Seen, ORIGINS_MAX> {
    let other = Origin { tracker: 2, incarnation: 0x99 };
    list(vec![Seen { origin: TRACKER, seq: 0x0102 }, Seen { origin: other, seq: 7 }])
}

fn op(seq: u64, body: OpBody) -> Op {
    Op { id: OpId { origin: TRACKER, seq }, lamport: 0x20 + seq, command: COMMAND, body }
}
