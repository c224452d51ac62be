//! A pipeline that reads pieces, hashes them on the rayon pool, and hands them on in order.

use crate::model::digest::Sha1Digest;
use crate::model::piece::{Layout, PieceIndex};
use crossbeam_channel::Receiver;
use rayon::Yield;
use sha1::{Digest, Sha1};
use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::thread;

/// Most pieces that are read ahead of the one handed on next; bounds the memory to 8 MiB.
const AHEAD_MAX: usize = 16;

/// The SHA-1 of some bytes.
pub fn sha1_of(data: &[u8]) -> Sha1Digest {
    Sha1Digest(Sha1::digest(data).into())
}

/// A piece that a job of the pool has read, with its digest, or why it could not be read.
type Read<E> = (Vec<u8>, Result<Sha1Digest, E>);

/// Reads each of the pieces with `read` and hashes it, several at a time on the rayon pool (the one it is called in,
/// else the global one), and hands bytes and digest of each to `sink` on the calling thread, in the order given.
/// Stops when `sink` breaks. Every piece is a job of its own, so that several callers share the pool fairly.
pub fn hash_in_order<E: Send, B>(
    layout: Layout,
    mut pieces: impl Iterator<Item = PieceIndex>,
    read: impl Fn(PieceIndex, &mut [u8]) -> Result<(), E> + Sync,
    mut sink: impl FnMut(PieceIndex, Result<(&[u8], Sha1Digest), E>) -> ControlFlow<B>,
) -> ControlFlow<B> {
    let ahead = (2 * rayon::current_num_threads() + 2).min(AHEAD_MAX);
    let (done, finished) = crossbeam_channel::bounded::<(usize, thread::Result<Read<E>>)>(ahead);
    rayon::in_place_scope_fifo(|scope| {
        // The pieces on their way, the one to hand on next in front, and the number of that one.
        let mut on_way: VecDeque<(PieceIndex, Option<Read<E>>)> = VecDeque::with_capacity(ahead);
        let mut front = 0;
        let mut spare: Vec<Vec<u8>> = Vec::new();
        loop {
            for piece in pieces.by_ref().take(ahead - on_way.len()) {
                let number = front + on_way.len();
                let mut buffer = spare.pop().unwrap_or_default();
                let (done, read) = (&done, &read);
                on_way.push_back((piece, None));
                scope.spawn_fifo(move |_| {
                    // A job that vanished without a word would leave the caller waiting for ever.
                    let outcome = catch_unwind(AssertUnwindSafe(|| {
                        buffer.resize(layout.len(piece) as usize, 0);
                        let sha1 = read(piece, &mut buffer).map(|()| sha1_of(&buffer));
                        (buffer, sha1)
                    }));
                    // There is room for every job that runs, and the receiver outlives the scope.
                    let _ = done.send((number, outcome));
                });
            }
            while let Some((_, None)) = on_way.front() {
                let (number, outcome) = receive(&finished);
                on_way[number - front].1 = Some(outcome.unwrap_or_else(|panic| resume_unwind(panic)));
            }
            let Some((piece, Some((buffer, outcome)))) = on_way.pop_front() else {
                return ControlFlow::Continue(());
            };
            front += 1;
            sink(piece, outcome.map(|sha1| (&buffer[..], sha1)))?;
            spare.push(buffer);
        }
    })
}

/// Waits for a job to end. A thread of the pool runs jobs meanwhile: the one it waits for may be in its own queue.
fn receive<T>(finished: &Receiver<T>) -> T {
    loop {
        if let Ok(job) = finished.try_recv() {
            return job;
        }
        if rayon::yield_now() != Some(Yield::Executed) {
            return finished.recv().expect("the sender lives as long as the scope");
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::model::piece::PIECE_LEN;
    use std::sync::atomic::{AtomicUsize, Ordering};

    /// Bytes of which no piece is like another.
    pub fn noise(len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        let words = (1..).map(|i: u64| i.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
        for (chunk, word) in bytes.chunks_mut(8).zip(words) {
            chunk.copy_from_slice(&word[..chunk.len()]);
        }
        bytes
    }

    fn read_number(piece: PieceIndex, buffer: &mut [u8]) -> Result<(), u32> {
        buffer.fill(piece.get() as u8);
        if piece.get() == 13 { Err(13) } else { Ok(()) }
    }

    fn run(pieces: u64) -> Vec<Option<Sha1Digest>> {
        let layout = Layout::new(pieces * u64::from(PIECE_LEN) - 5).expect("small");
        let mut seen = Vec::new();
        let flow: ControlFlow<()> = hash_in_order(layout, layout.indexes(), read_number, |piece, outcome| {
            assert_eq!(piece.as_usize(), seen.len(), "in order");
            if let Ok((data, sha1)) = &outcome {
                assert_eq!(data.len(), layout.len(piece) as usize);
                assert_eq!(sha1_of(data), *sha1);
                assert!(data.iter().all(|&byte| byte == piece.get() as u8));
            }
            seen.push(outcome.ok().map(|(_, sha1)| sha1));
            ControlFlow::Continue(())
        });
        assert!(flow.is_continue());
        seen
    }

    #[test]
    fn pieces_come_in_order_and_a_failed_read_stops_nobody() {
        let seen = run(40);
        assert_eq!(seen.len(), 40);
        assert!(seen.iter().enumerate().all(|(piece, sha1)| sha1.is_none() == (piece == 13)));
    }

    #[test]
    fn a_pool_of_one_thread_suffices_even_when_called_from_inside() {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().expect("a pool");
        assert_eq!(pool.install(|| run(40)).len(), 40);
    }

    #[test]
    fn nothing_is_read_far_beyond_the_piece_at_which_the_caller_stops() {
        let layout = Layout::new(1000 * u64::from(PIECE_LEN)).expect("fits");
        let reads = AtomicUsize::new(0);
        let read = |_, _: &mut [u8]| {
            reads.fetch_add(1, Ordering::Relaxed);
            Ok::<_, ()>(())
        };
        let flow = hash_in_order(layout, layout.indexes(), read, |piece, _| match piece.get() {
            3 => ControlFlow::Break("enough"),
            _ => ControlFlow::Continue(()),
        });
        assert_eq!(flow, ControlFlow::Break("enough"));
        assert!(reads.into_inner() <= 4 + AHEAD_MAX);
    }
}
