//! New versions of local content. Equal parts come from the old version, and the rest from members.

use crate::common::subject::{all, bytes, bytes_of, subject_of};
use crate::member::Member;
use groupshare::client::download::transfer::TransferProgress;
use groupshare::model::piece::PIECE_LEN;
use std::time::Instant;

const PIECE: usize = PIECE_LEN as usize;

/// A client with `old` downloads `new` from a member. Returns the progress of that.
fn update(old: &[u8], new: &[u8]) -> TransferProgress {
    let (before, after) = (subject_of(old), subject_of(new));
    let (seeder, leecher) = (Member::new(1), Member::new(2));
    seeder.seed(new, &after, all(&after));
    let download = leecher.update(&after, old, &before);
    leecher.engine.peers(1, vec![seeder.peer(1, &after)]);
    leecher.expect_finished(new);
    download.progress(Instant::now())
}

#[test]
fn bytes_that_are_inserted_at_the_front_cost_little_more_than_themselves() {
    let old = bytes(9 * PIECE + 77);
    let new = [&bytes_of(3001, 7)[..], &old].concat();
    let TransferProgress { received, reused, .. } = update(&old, &new);
    assert!(received < 3001 + 3 * 4096, "{received}");
    assert_eq!(reused + received, new.len() as u64);
}

#[test]
fn pieces_that_have_moved_by_whole_pieces_cost_nothing() {
    let old = bytes(9 * PIECE);
    let new = [&old[3 * PIECE..], &old[..3 * PIECE]].concat();
    let TransferProgress { received, .. } = update(&old, &new);
    assert_eq!(received, 0);
}

#[test]
fn content_that_is_all_in_the_old_version_comes_from_nobody() {
    let old = bytes(9 * PIECE + 77);
    let cut = &old[PIECE / 8..];
    let swapped = [&old[3 * 4096..6 * 4096], &old[..3 * 4096], &old[6 * 4096..]].concat();
    for new in [cut, &swapped[..]] {
        let TransferProgress { received, reused, .. } = update(&old, new);
        assert!(received < 5000 && received + reused == new.len() as u64, "{received}");
    }
    // The end of the content is also the end of a block.
    let whole = bytes(9 * PIECE);
    assert_eq!(update(&whole, &whole[PIECE / 8..]).received, 0);
}

#[test]
fn single_writes_cost_a_block_each() {
    let old = bytes(20 * PIECE);
    let mut new = old.clone();
    for (number, at) in [3, 1_000_000, 2_345_678, 5_000_000, 9_999_999].into_iter().enumerate() {
        new[at..at + 100].copy_from_slice(&bytes_of(100, number as u8));
    }
    let TransferProgress { received, .. } = update(&old, &new);
    assert!(received <= 10 * 4096, "{received}");
}

#[test]
fn a_version_with_nothing_in_common_comes_whole() {
    let (old, new) = (bytes_of(3 * PIECE, 1), bytes_of(4 * PIECE + 9, 2));
    let TransferProgress { received, reused, .. } = update(&old, &new);
    assert_eq!((received, reused), (new.len() as u64, 0));
}

#[test]
fn a_file_that_shrinks_or_is_empty_or_was_is_updated_as_well() {
    let long = bytes(5 * PIECE + 9);
    for (old, new) in
        [(&long[..], &long[100..2 * PIECE]), (&long, &[]), (&[], &long), (&long, &long[..1]), (&long[..1], &long[..2])]
    {
        update(old, new);
    }
}
