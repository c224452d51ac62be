//! A pipeline that reads and hashes pieces on the rayon pool, and hands them on in order.

use super::sha1_pair::{Sha1Stream, update_pair};
use crate::model::digest::Sha1Digest;
use crate::model::piece::{Layout, PieceIndex};
use crossbeam_channel::Receiver;
use rayon::Yield;
use sha1::{Digest, Sha1};
use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::thread;

/// Most jobs ahead of the one that is handed on next. A job has two pieces at most, so this bounds the memory to 16
/// MiB.
const AHEAD_MAX: usize = 16;

/// The SHA-1 of some bytes.
pub fn sha1_of(data: &[u8]) -> Sha1Digest {
    Sha1Digest(Sha1::digest(data).into())
}

/// The result of a job of the pool, and its buffer.
type JobResult<T> = (Vec<u8>, T);

/// Reads each of the pieces with `read`, several at a time on the rayon pool, and hands the bytes of each to `sink` on
/// the calling thread, in the order given. Stops when `sink` breaks.
pub fn read_in_order<E: Send, B>(
    layout: Layout,
    pieces: impl Iterator<Item = PieceIndex>,
    read: impl Fn(PieceIndex, &mut [u8]) -> Result<(), E> + Sync,
    mut sink: impl FnMut(PieceIndex, Result<&[u8], E>) -> ControlFlow<B>,
) -> ControlFlow<B> {
    let work = |piece, buffer: &mut Vec<u8>| {
        buffer.resize(layout.len(piece) as usize, 0);
        read(piece, buffer)
    };
    in_order(pieces, work, || false, |piece, buffer, outcome| sink(piece, outcome.map(|()| buffer)))
}

/// Reads each of the pieces with `read` and hashes it, several at a time on the rayon pool. Hands the digest of each to
/// `sink` on the calling thread, in the order given. Stops when `sink` breaks. Two pieces make a job, since a core
/// hashes two at once in little more time than one. While no job is ready, the calling thread calls `meanwhile`, which
/// does a little of something else, until that gives false.
pub fn hash_in_order<E: Send, B>(
    layout: Layout,
    mut pieces: impl Iterator<Item = PieceIndex>,
    read: impl Fn(PieceIndex, &mut [u8]) -> Result<(), E> + Sync,
    meanwhile: impl FnMut() -> bool,
    mut sink: impl FnMut(PieceIndex, Result<Sha1Digest, E>) -> ControlFlow<B>,
) -> ControlFlow<B> {
    let pairs = std::iter::from_fn(|| pieces.next().map(|first| (first, pieces.next())));
    let len = |piece| layout.len(piece) as usize;
    let work = |(first, second): (PieceIndex, Option<PieceIndex>), buffer: &mut Vec<u8>| {
        buffer.resize(len(first) + second.map_or(0, len), 0);
        let (one, two) = buffer.split_at_mut(len(first));
        let read_one = read(first, one);
        let read_two = second.map(|second| read(second, two));
        let (mut sha1_one, mut sha1_two) = (Sha1Stream::default(), Sha1Stream::default());
        update_pair((&mut sha1_one, one), (&mut sha1_two, two));
        (read_one.map(|()| sha1_one.digest()), read_two.map(|read| read.map(|()| sha1_two.digest())))
    };
    in_order(pairs, work, meanwhile, |(first, second), _, (one, two)| {
        sink(first, one)?;
        match second.zip(two) {
            Some((second, two)) => sink(second, two),
            None => ControlFlow::Continue(()),
        }
    })
}

/// Does the jobs with `work`, several at a time on the rayon pool that it is called in, else on the global one. Hands
/// the buffer and the result of each to `sink`, in the order given. Several callers share the pool fairly.
fn in_order<J: Copy + Send, T: Send, B>(
    mut jobs: impl Iterator<Item = J>,
    work: impl Fn(J, &mut Vec<u8>) -> T + Sync,
    mut meanwhile: impl FnMut() -> bool,
    mut sink: impl FnMut(J, &[u8], T) -> ControlFlow<B>,
) -> ControlFlow<B> {
    let ahead = (2 * rayon::current_num_threads() + 2).min(AHEAD_MAX);
    let (done, finished) = crossbeam_channel::bounded::<(usize, thread::Result<JobResult<T>>)>(ahead);
    rayon::in_place_scope_fifo(|scope| {
        // The jobs under way, the next one to hand on in front; `front` is its number.
        let mut on_way: VecDeque<(J, Option<JobResult<T>>)> = VecDeque::with_capacity(ahead);
        let mut front = 0;
        let mut spare: Vec<Vec<u8>> = Vec::new();
        loop {
            for job in jobs.by_ref().take(ahead - on_way.len()) {
                let number = front + on_way.len();
                let mut buffer = spare.pop().unwrap_or_default();
                let (done, work) = (&done, &work);
                on_way.push_back((job, None));
                scope.spawn_fifo(move |_| {
                    // A job that panics must not leave the caller waiting for ever.
                    let made = catch_unwind(AssertUnwindSafe(|| {
                        let result = work(job, &mut buffer);
                        (buffer, result)
                    }));
                    // The channel has room for every job, and the receiver outlives the scope.
                    let _ = done.send((number, made));
                });
            }
            while let Some((_, None)) = on_way.front() {
                let (number, made) = receive(&finished, &mut meanwhile);
                on_way[number - front].1 = Some(made.unwrap_or_else(|panic| resume_unwind(panic)));
            }
            let Some((job, Some((buffer, result)))) = on_way.pop_front() else {
                return ControlFlow::Continue(());
            };
            front += 1;
            sink(job, &buffer, result)?;
            spare.push(buffer);
        }
    })
}

/// Waits for a job to end. A thread of the pool runs jobs meanwhile: its own queue may hold the one that it waits for.
fn receive<T>(finished: &Receiver<T>, mut meanwhile: impl FnMut() -> bool) -> T {
    loop {
        if let Ok(job) = finished.try_recv() {
            return job;
        }
        if rayon::yield_now() != Some(Yield::Executed) && !meanwhile() {
            return finished.recv().expect("the sender lives as long as the scope");
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::model::piece::PIECE_LEN;
    use std::sync::atomic::{AtomicUsize, Ordering};

    /// Bytes of which no piece is like another.
    pub(crate) fn noise(len: usize) -> Vec<u8> {
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
        let flow: ControlFlow<()> = hash_in_order(
            layout,
            layout.indexes(),
            read_number,
            || false,
            |piece, outcome| {
                assert_eq!(piece.as_usize(), seen.len(), "in order");
                if let Ok(sha1) = &outcome {
                    assert_eq!(sha1_of(&vec![piece.get() as u8; layout.len(piece) as usize]), *sha1);
                }
                seen.push(outcome.ok());
                ControlFlow::Continue(())
            },
        );
        assert!(flow.is_continue());
        seen
    }

    #[test]
    fn digests_come_in_order_and_a_failed_read_stops_nobody() {
        for count in [1, 2, 39, 40] {
            let seen = run(count);
            assert_eq!(seen.len(), count as usize);
            assert!(seen.iter().enumerate().all(|(piece, sha1)| sha1.is_none() == (piece == 13)));
        }
    }

    #[test]
    fn the_bytes_of_pieces_come_in_order_too() {
        let layout = Layout::new(40 * u64::from(PIECE_LEN) - 5).expect("small");
        let mut next = 0;
        let flow: ControlFlow<()> = read_in_order(layout, layout.indexes(), read_number, |piece, outcome| {
            assert_eq!(piece.get(), next, "in order");
            next += 1;
            match outcome {
                Ok(data) => assert_eq!(data, vec![piece.get() as u8; layout.len(piece) as usize]),
                Err(number) => assert_eq!(number, piece.get()),
            }
            ControlFlow::Continue(())
        });
        assert!(flow.is_continue());
        assert_eq!(next, layout.count());
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
        let flow = hash_in_order(
            layout,
            layout.indexes(),
            read,
            || false,
            |piece, _| match piece.get() {
                3 => ControlFlow::Break("enough"),
                _ => ControlFlow::Continue(()),
            },
        );
        assert_eq!(flow, ControlFlow::Break("enough"));
        assert!(reads.into_inner() <= 4 + 2 * AHEAD_MAX);
    }
}
