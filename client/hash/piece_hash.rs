//! A pipeline that reads and hashes pieces on the rayon pool, and passes them on in order.

use super::sha1_lanes::sha1_of_each;
use super::zeros::{sha1_of_zeros, zeros};
use crate::model::digest::Sha1Digest;
use crate::model::piece::{Layout, PieceIndex};
use crossbeam_channel::Receiver;
use rayon::Yield;
use rayon::iter::ParallelIterator;
use rayon::slice::ParallelSlice;
use sha1::{Digest, Sha1};
use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::thread;

/// The number of pieces that a core hashes at once. Four take little longer than one, and more exceed the registers.
const LANES: usize = 4;
/// The maximum number of jobs ahead of the next one to pass on. A job has at most `LANES` pieces, so this bounds the
/// memory to 16 MiB.
const AHEAD_MAX: usize = 8;

/// The SHA-1 of some bytes.
pub fn sha1_of(data: &[u8]) -> Sha1Digest {
    Sha1Digest(Sha1::digest(data).into())
}

/// The result of a job of the pool, and its buffer.
type JobResult<T> = (Vec<u8>, T);

/// A piece that was read.
#[derive(Debug, Clone, Copy)]
pub struct HashedPiece<'a> {
    pub data: &'a [u8],
    pub sha1: Sha1Digest,
}

/// The way in which a piece was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PieceRead {
    /// The bytes of the piece are in the buffer.
    Bytes,
    /// The piece is all zeros, which were not read.
    Zeros,
}

/// Reads each of the pieces with `read` and hashes it, several at a time on the rayon pool. Passes each to `sink` on
/// the calling thread, in the given order. Stops when `sink` breaks. A core hashes several pieces at once, but none
/// that `read` knows to be zeros. While no job is ready, the calling thread calls `meanwhile`, which does a little
/// other work, until that returns false.
pub fn hash_in_order<E: Send, B>(
    layout: Layout,
    mut pieces: impl Iterator<Item = PieceIndex>,
    read: impl Fn(PieceIndex, &mut [u8]) -> Result<PieceRead, E> + Sync,
    meanwhile: impl FnMut() -> bool,
    mut sink: impl FnMut(PieceIndex, Result<HashedPiece<'_>, E>) -> ControlFlow<B>,
) -> ControlFlow<B> {
    let jobs = std::iter::from_fn(|| {
        let job = [(); LANES].map(|()| pieces.next());
        job[0].is_some().then_some(job)
    });
    let work = |job, buffer: &mut Vec<u8>| read_and_hash(layout, job, &read, buffer);
    in_order(jobs, work, meanwhile, |job, data, outcomes| hand_on(layout, job, (data, outcomes), &mut sink))
}

/// As `hash_in_order`, in any order. The threads of the pool call `sink`, so all cores do its work on the pieces. Stops
/// soon after `sink` breaks.
pub fn hash_each<E: Send>(
    layout: Layout,
    pieces: &[PieceIndex],
    read: impl Fn(PieceIndex, &mut [u8]) -> Result<PieceRead, E> + Sync,
    sink: impl Fn(PieceIndex, Result<HashedPiece<'_>, E>) -> ControlFlow<()> + Sync,
) {
    let _ = pieces.par_chunks(LANES).try_for_each_init(Vec::new, |buffer, chunk| {
        let job = std::array::from_fn(|lane| chunk.get(lane).copied());
        let outcomes = read_and_hash(layout, job, &read, buffer);
        hand_on(layout, job, (buffer, outcomes), &sink)
    });
}

/// Some pieces that a core hashes at once.
type Job = [Option<PieceIndex>; LANES];
/// The result for each of them.
type Outcomes<E> = [Option<Result<(PieceRead, Sha1Digest), E>>; LANES];

fn read_and_hash<E>(
    layout: Layout,
    job: Job,
    read: impl Fn(PieceIndex, &mut [u8]) -> Result<PieceRead, E>,
    buffer: &mut Vec<u8>,
) -> Outcomes<E> {
    let len = |piece: &Option<PieceIndex>| piece.map_or(0, |piece| layout.len(piece) as usize);
    buffer.resize(job.iter().map(len).sum(), 0);
    let mut left = &mut buffer[..];
    let (mut outcomes, mut data) = ([const { None }; LANES], [&[][..]; LANES]);
    for (lane, piece) in job.into_iter().enumerate() {
        let (now, later) = std::mem::take(&mut left).split_at_mut(len(&piece));
        let outcome = piece.map(|piece| read(piece, now));
        data[lane] = if matches!(outcome, Some(Ok(PieceRead::Bytes))) { now } else { &[] };
        (outcomes[lane], left) = (outcome, later);
    }
    let mut digests = sha1_of_each(data).into_iter();
    outcomes.map(|outcome| outcome.zip(digests.next()).map(|(read, digest)| read.map(|read| (read, digest))))
}

fn hand_on<E, B>(
    layout: Layout,
    job: Job,
    (mut left, outcomes): (&[u8], Outcomes<E>),
    mut sink: impl FnMut(PieceIndex, Result<HashedPiece<'_>, E>) -> ControlFlow<B>,
) -> ControlFlow<B> {
    let done = job.into_iter().zip(outcomes).filter_map(|(piece, outcome)| piece.zip(outcome));
    for (piece, outcome) in done {
        let len = layout.len(piece);
        let (data, later) = left.split_at(len as usize);
        left = later;
        let hashed = outcome.map(|(read, sha1)| match read {
            PieceRead::Bytes => HashedPiece { data, sha1 },
            PieceRead::Zeros => HashedPiece { data: zeros(len), sha1: sha1_of_zeros(len) },
        });
        sink(piece, hashed)?;
    }
    ControlFlow::Continue(())
}

/// Does the jobs with `work`, several at a time on the rayon pool of the caller, or else on the global one. Passes the
/// buffer and the result of each to `sink`, in the given order. Several callers share the pool fairly.
fn in_order<J: Copy + Send, T: Send, B>(
    mut jobs: impl Iterator<Item = J>,
    work: impl Fn(J, &mut Vec<u8>) -> T + Sync,
    mut meanwhile: impl FnMut() -> bool,
    mut sink: impl FnMut(J, &[u8], T) -> ControlFlow<B>,
) -> ControlFlow<B> {
    let ahead = (rayon::current_num_threads() + 2).min(AHEAD_MAX);
    let (done, finished) = crossbeam_channel::bounded::<(usize, thread::Result<JobResult<T>>)>(ahead);
    rayon::in_place_scope_fifo(|scope| {
        // The running jobs, the next one to pass on first; `front` is its number.
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

/// Waits for a job to end. A thread of the pool runs jobs meanwhile, because its own queue may hold the awaited one.
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

    /// Bytes without two equal pieces.
    pub(crate) fn noise(len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        let words = (1..).map(|i: u64| i.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
        for (chunk, word) in bytes.chunks_mut(8).zip(words) {
            chunk.copy_from_slice(&word[..chunk.len()]);
        }
        bytes
    }

    /// Each piece is full of its number. Some count as zeros, alone and in groups.
    fn read_number(piece: PieceIndex, buffer: &mut [u8]) -> Result<PieceRead, u32> {
        buffer.fill(piece.get() as u8);
        match piece.get() {
            13 => Err(13),
            number if is_hole(number) => Ok(PieceRead::Zeros),
            _ => Ok(PieceRead::Bytes),
        }
    }

    fn is_hole(number: u32) -> bool {
        number % 8 == 5 || (16..24).contains(&number) || number >= 38
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
                let byte = if is_hole(piece.get()) { 0 } else { piece.get() as u8 };
                let expected = vec![byte; layout.len(piece) as usize];
                if let Ok(read) = &outcome {
                    assert_eq!((read.data, read.sha1), (&expected[..], sha1_of(&expected)));
                }
                seen.push(outcome.ok().map(|read| read.sha1));
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
            Ok::<_, ()>(PieceRead::Bytes)
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
        assert!(reads.into_inner() <= 4 + LANES * AHEAD_MAX);
    }
}
