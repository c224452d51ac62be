//! What leechers and seeders say to each other, beside its bytes.

use super::cast::{INFO_HASH, blob, list};
use groupshare::wire::codec::{Payload, Text};
use groupshare::wire::peer::{PeerReply, PeerRequest};

pub(super) fn asks() -> Vec<(PeerRequest, &'static str)> {
    vec![
        (
            PeerRequest::Open { info_hash: INFO_HASH },
            r#"
            01                  # Open
            1f*32               # info hash
            "#,
        ),
        (
            PeerRequest::GetPiece { piece: 0x001f_ffff },
            r#"
            02                  # GetPiece
            001fffff            # piece: the last one of the longest share
            "#,
        ),
        (PeerRequest::KeepAlive {}, "03 # KeepAlive"),
        (
            PeerRequest::BadPiece { piece: 7 },
            r#"
            04                  # BadPiece
            00000007            # piece
            "#,
        ),
    ]
}

pub(super) fn answers() -> Vec<(PeerReply, &'static str)> {
    vec![
        (
            PeerReply::Refused { code: 82, about: Text::new("").expect("short") },
            r#"
            01                  # Refused
            0052                # code: 82, NoSuchPiece
            0000                # about nothing
            "#,
        ),
        (
            PeerReply::Opened { bits: blob(&[0x80, 0x40]) },
            r#"
            02                  # Opened
            00000002 8040       # bits: pieces 0 and 9
            "#,
        ),
        // The data follows in the frame and is no part of the message.
        (PeerReply::Piece { data: Payload { len: 0 } }, "03 # Piece"),
        (PeerReply::Alive {}, "04 # Alive"),
        (
            PeerReply::News { pieces: list(vec![3]) },
            r#"
            40                  # News
            00000001 00000003   # one piece: 3
            "#,
        ),
        (
            PeerReply::Give { info_hash: INFO_HASH },
            r#"
            41                  # Give
            1f*32               # info hash
            "#,
        ),
    ]
}
