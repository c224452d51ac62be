//! What leechers and seeders say to each other, beside its bytes.

use super::cast::{INFO_HASH, blob, list, user};
use groupshare::wire::codec::{Tail, Text};
use groupshare::wire::peer::{Answer, Ask};

pub(super) fn asks() -> Vec<(Ask, &'static str)> {
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

pub(super) fn answers() -> Vec<(Answer, &'static str)> {
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
