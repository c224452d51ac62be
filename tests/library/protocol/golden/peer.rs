//! The messages between leechers and seeders, beside their bytes.

use super::cast::{INFO_HASH, blob, list};
use groupshare::model::piece::block::BlockLen;
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
        (
            PeerRequest::Describe { block_len: BlockLen::LONGEST, pieces: list(vec![3, 7]) },
            r#"
            05                  # Describe
            0f                  # block_len: 2^15 bytes
            00000002            # two pieces
            00000003 00000007
            "#,
        ),
        (
            PeerRequest::GetBlocks { piece: 7, block_len: BlockLen::LONGEST, blocks: blob(&[0x80, 0x01]) },
            r#"
            06                  # GetBlocks
            00000007            # piece
            0f                  # block_len: 2^15 bytes
            00000002 8001       # blocks: the first and the last one
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
            PeerReply::Digests { digests: blob(&[0x1d; 7]) },
            r#"
            05                  # Digests
            00000007 1d*7       # those of a piece with one block
            "#,
        ),
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
