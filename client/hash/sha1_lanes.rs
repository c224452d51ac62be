//! SHA-1 over several streams at once. One stream leaves a core mostly idle, because every round needs the one before.
//! Independent streams fill the gaps. Two hashes of the same bytes share one message schedule.
//!
//! The `sha1` crate does everything else: single streams, and all streams on a machine without the SHA instructions.
//! This is the second room with `unsafe`, and only for these instructions.

use crate::model::digest::Sha1Digest;
use sha1::block_api::compress;
use sha1::digest::array::{Array, sizes::U64};
use std::fmt;

/// Length of a block, in bytes.
const BLOCK_LEN: usize = 64;
/// The place of the stream's length in the last block.
const LENGTH_AT: usize = BLOCK_LEN - 8;

type Sha1State = [u32; 5];
type Block = [u8; BLOCK_LEN];

/// The SHA-1 of a stream so far.
#[derive(Clone)]
pub struct Sha1Stream {
    state: Sha1State,
    /// Bytes taken.
    len: u64,
    /// The bytes after the last whole block, `len` modulo the length of a block.
    rest: Block,
}

impl fmt::Debug for Sha1Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sha1Stream").field("len", &self.len).finish_non_exhaustive()
    }
}

impl Default for Sha1Stream {
    fn default() -> Self {
        // FIPS 180-4, section 5.3.1.
        let state = [0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476, 0xc3d2_e1f0];
        Self { state, len: 0, rest: [0; BLOCK_LEN] }
    }
}

impl Sha1Stream {
    /// Takes more bytes.
    pub fn update(&mut self, data: &[u8]) {
        let data = self.fill_rest(data);
        let (blocks, rest) = blocks_of(data);
        compress(&mut self.state, blocks);
        self.take_rest(blocks, rest);
    }

    /// The digest of the bytes so far.
    pub fn digest(&self) -> Sha1Digest {
        let mut state = self.state;
        let mut last = [[0; BLOCK_LEN]; 2];
        let held = self.held();
        last[0][..held].copy_from_slice(&self.rest[..held]);
        last[0][held] = 0x80;
        let blocks = if held < LENGTH_AT { 1 } else { 2 };
        last[blocks - 1][LENGTH_AT..].copy_from_slice(&(self.len * 8).to_be_bytes());
        compress(&mut state, &last[..blocks]);
        let mut digest = [0; 20];
        for (bytes, word) in digest.chunks_exact_mut(4).zip(state) {
            bytes.copy_from_slice(&word.to_be_bytes());
        }
        Sha1Digest(digest)
    }

    /// The number of bytes that wait for the rest of their block.
    fn held(&self) -> usize {
        (self.len % BLOCK_LEN as u64) as usize
    }

    /// Fills the begun block as far as the bytes go. Returns the other bytes.
    fn fill_rest<'a>(&mut self, data: &'a [u8]) -> &'a [u8] {
        let held = self.held();
        if held == 0 {
            return data;
        }
        let (now, later) = data.split_at(data.len().min(BLOCK_LEN - held));
        self.rest[held..held + now.len()].copy_from_slice(now);
        self.len += now.len() as u64;
        if self.held() == 0 {
            compress(&mut self.state, &[self.rest]);
        }
        later
    }

    /// Counts compressed blocks, and keeps the bytes behind them.
    fn take_rest(&mut self, blocks: &[Block], rest: &[u8]) {
        self.len += (blocks.len() * BLOCK_LEN + rest.len()) as u64;
        if !rest.is_empty() {
            self.rest[..rest.len()].copy_from_slice(rest);
        }
    }
}

/// Both streams take the same bytes. This is the cheapest way to two digests.
pub fn update_both(one: &mut Sha1Stream, other: &mut Sha1Stream, data: &[u8]) {
    if one.held() != other.held() {
        return update_pair((one, data), (other, data));
    }
    let (left, _) = (one.fill_rest(data), other.fill_rest(data));
    let (blocks, rest) = blocks_of(left);
    compress_both(&mut one.state, &mut other.state, blocks);
    one.take_rest(blocks, rest);
    other.take_rest(blocks, rest);
}

/// Each stream takes bytes of its own. If one has more than the other, it takes the rest alone.
pub fn update_pair((one, one_data): (&mut Sha1Stream, &[u8]), (other, other_data): (&mut Sha1Stream, &[u8])) {
    let (one_data, other_data) = (one.fill_rest(one_data), other.fill_rest(other_data));
    let [one_later, other_later] = update_lanes([one, other], [one_data, other_data]);
    one.update(one_later);
    other.update(other_later);
}

/// The digests of `LANES` byte strings. Strings of about the same length take little longer together than one alone.
pub fn sha1_of_each<const LANES: usize>(data: [&[u8]; LANES]) -> [Sha1Digest; LANES] {
    let mut streams = std::array::from_fn(|_| Sha1Stream::default());
    let later = update_lanes(streams.each_mut(), data);
    streams.iter_mut().zip(later).for_each(|(stream, later)| stream.update(later));
    streams.map(|stream| stream.digest())
}

/// Streams at a block border take as many blocks as all have. Returns the rest of each.
fn update_lanes<'a, const LANES: usize>(
    mut streams: [&mut Sha1Stream; LANES],
    data: [&'a [u8]; LANES],
) -> [&'a [u8]; LANES] {
    let together = data.iter().map(|data| data.len() / BLOCK_LEN).min().unwrap_or(0);
    let blocks = data.map(|data| blocks_of(&data[..together * BLOCK_LEN]).0);
    compress_lanes(streams.each_mut().map(|stream| &mut stream.state), blocks);
    streams.iter_mut().zip(blocks).for_each(|(stream, blocks)| stream.take_rest(blocks, &[]));
    data.map(|data| &data[together * BLOCK_LEN..])
}

/// The whole blocks, and the bytes behind them.
fn blocks_of(data: &[u8]) -> (&[Block], &[u8]) {
    let (blocks, rest) = Array::<u8, U64>::slice_as_chunks(data);
    (Array::cast_slice_to_core(blocks), rest)
}

#[cfg(target_arch = "x86_64")]
fn is_fast() -> bool {
    is_x86_feature_detected!("sha") && is_x86_feature_detected!("ssse3") && is_x86_feature_detected!("sse4.1")
}

#[allow(unsafe_code)]
fn compress_both(one: &mut Sha1State, other: &mut Sha1State, blocks: &[Block]) {
    #[cfg(target_arch = "x86_64")]
    if is_fast() {
        // SAFETY: the machine has the instructions.
        return unsafe { x86::compress_lanes::<2, true>([one, other], [blocks, blocks]) };
    }
    compress(one, blocks);
    compress(other, blocks);
}

/// Each state takes blocks of its own, and all take the same number.
#[allow(unsafe_code)]
fn compress_lanes<const LANES: usize>(states: [&mut Sha1State; LANES], blocks: [&[Block]; LANES]) {
    #[cfg(target_arch = "x86_64")]
    if is_fast() {
        // SAFETY: the machine has the instructions.
        return unsafe { x86::compress_lanes::<LANES, false>(states, blocks) };
    }
    states.into_iter().zip(blocks).for_each(|(state, blocks)| compress(state, blocks));
}

/// The SHA instructions of x86-64, two streams interleaved. The order of the instructions within a stream is that of
/// Intel's "New Instructions Supporting the Secure Hash Algorithm" (2013).
#[cfg(target_arch = "x86_64")]
#[allow(unsafe_code)]
mod x86 {
    use crate::client::hash::sha1_lanes::{Block, Sha1State};
    use std::arch::x86_64::*;

    /// Compresses as many blocks as all have. With `SAME`, all take the blocks of the first.
    #[target_feature(enable = "sha,sse2,ssse3,sse4.1")]
    pub(super) fn compress_lanes<const LANES: usize, const SAME: bool>(
        states: [&mut Sha1State; LANES],
        blocks: [&[Block]; LANES],
    ) {
        let nothing = _mm_setzero_si128();
        let (mut sums, mut rests, mut words) = ([nothing; LANES], [nothing; LANES], [[nothing; 4]; LANES]);
        for lane in 0..LANES {
            (sums[lane], rests[lane]) = load_state(states[lane]);
        }
        let mut blocks = blocks.map(<[Block]>::iter);
        let schedules = if SAME { 1 } else { LANES };
        'blocks: loop {
            for lane in 0..schedules {
                let Some(block) = blocks[lane].next() else { break 'blocks };
                words[lane] = load_words(block);
            }
            // The states before the latest four rounds, and after them.
            let (mut before, mut now) = (sums, sums);
            // These are macros because instructions take the function as a constant, and because places in `words` must
            // be known at compile time. Four rounds of all streams: the number of the four, and the function.
            macro_rules! rounds {
                ($n:literal, $f:literal) => {
                    for lane in 0..LANES {
                        let word = words[if SAME { 0 } else { lane }][$n % 4];
                        let with = match $n {
                            0 => _mm_add_epi32(rests[lane], word),
                            _ => _mm_sha1nexte_epu32(before[lane], word),
                        };
                        before[lane] = now[lane];
                        now[lane] = _mm_sha1rnds4_epu32::<$f>(now[lane], with);
                    }
                };
            }
            // The next four words of all message schedules, then rounds.
            macro_rules! scheduled_rounds {
                ($($n:literal)*, $f:literal) => {$(
                    for w in words.iter_mut().take(schedules) {
                        let mixed = _mm_xor_si128(_mm_sha1msg1_epu32(w[$n % 4], w[($n + 1) % 4]), w[($n + 2) % 4]);
                        w[$n % 4] = _mm_sha1msg2_epu32(mixed, w[($n + 3) % 4]);
                    }
                    rounds!($n, $f);
                )*};
            }
            rounds!(0, 0);
            rounds!(1, 0);
            rounds!(2, 0);
            rounds!(3, 0);
            scheduled_rounds!(4, 0);
            scheduled_rounds!(5 6 7 8 9, 1);
            scheduled_rounds!(10 11 12 13 14, 2);
            scheduled_rounds!(15 16 17 18 19, 3);
            for lane in 0..LANES {
                sums[lane] = _mm_add_epi32(sums[lane], now[lane]);
                rests[lane] = _mm_sha1nexte_epu32(before[lane], rests[lane]);
            }
        }
        for (lane, state) in states.into_iter().enumerate() {
            store_state(state, sums[lane], rests[lane]);
        }
    }

    /// The words of a block, four at a time.
    #[target_feature(enable = "sha,sse2,ssse3,sse4.1")]
    #[inline]
    fn load_words(block: &Block) -> [__m128i; 4] {
        let at = block.as_ptr().cast::<__m128i>();
        // SAFETY: the unaligned loads of 16 bytes at 0, 16, 32 and 48 lie within a block of 64.
        let raw = unsafe {
            [_mm_loadu_si128(at), _mm_loadu_si128(at.add(1)), _mm_loadu_si128(at.add(2)), _mm_loadu_si128(at.add(3))]
        };
        let order = _mm_set_epi64x(0x0001_0203_0405_0607, 0x0809_0a0b_0c0d_0e0f);
        [
            _mm_shuffle_epi8(raw[0], order),
            _mm_shuffle_epi8(raw[1], order),
            _mm_shuffle_epi8(raw[2], order),
            _mm_shuffle_epi8(raw[3], order),
        ]
    }

    /// The first four words of a state, and the last.
    #[target_feature(enable = "sha,sse2,ssse3,sse4.1")]
    #[inline]
    fn load_state(state: &Sha1State) -> (__m128i, __m128i) {
        // SAFETY: the unaligned load of 16 bytes is that of the first four words of five.
        let abcd = unsafe { _mm_loadu_si128(state.as_ptr().cast()) };
        (_mm_shuffle_epi32::<0x1b>(abcd), _mm_set_epi32(state[4] as i32, 0, 0, 0))
    }

    #[target_feature(enable = "sha,sse2,ssse3,sse4.1")]
    #[inline]
    fn store_state(state: &mut Sha1State, abcd: __m128i, e: __m128i) {
        // SAFETY: the unaligned store of 16 bytes is that of the first four words of five.
        unsafe { _mm_storeu_si128(state.as_mut_ptr().cast(), _mm_shuffle_epi32::<0x1b>(abcd)) };
        state[4] = _mm_extract_epi32::<3>(e) as u32;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::hash::piece_hash::tests::noise;
    use sha1::{Digest, Sha1};

    fn reference(data: &[u8]) -> Sha1Digest {
        Sha1Digest(Sha1::digest(data).into())
    }

    /// Critical lengths: all short ones, and those around the borders of many blocks.
    fn lens() -> impl Iterator<Item = usize> {
        let borders = [10, 64, 1023, 8192].into_iter().flat_map(|blocks| {
            let at: usize = blocks * BLOCK_LEN;
            at - 9..at + 10
        });
        (0..=300).chain(borders)
    }

    #[test]
    fn one_stream_is_what_the_crate_makes_of_it() {
        let data = noise(8200 * BLOCK_LEN);
        for len in lens() {
            let mut stream = Sha1Stream::default();
            stream.update(&data[..len]);
            assert_eq!(stream.digest(), reference(&data[..len]), "{len}");
        }
    }

    #[test]
    fn both_streams_over_the_same_bytes_are_what_the_crate_makes_of_each() {
        let (before, data) = (noise(200), noise(8200 * BLOCK_LEN));
        for len in lens() {
            // In step with each other at a border and off it, and out of step.
            for (one_held, other_held) in [(0, 0), (128, 64), (7, 71), (0, 1), (63, 64), (200, 100)] {
                let (mut one, mut other) = (Sha1Stream::default(), Sha1Stream::default());
                one.update(&before[..one_held]);
                other.update(&before[..other_held]);
                update_both(&mut one, &mut other, &data[..len]);
                assert_eq!(one.digest(), reference(&[&before[..one_held], &data[..len]].concat()), "{len}");
                assert_eq!(other.digest(), reference(&[&before[..other_held], &data[..len]].concat()), "{len}");
            }
        }
    }

    #[test]
    fn two_streams_of_every_two_lengths_are_what_the_crate_makes_of_each() {
        let data = noise(40_000);
        let (ones, others) = data.split_at(20_000);
        let lens = || (0..=300).step_by(7).chain([63, 64, 65, 127, 128, 129, 4095, 4096, 20_000]);
        for one_len in lens() {
            for other_len in lens() {
                let (mut one, mut other) = (Sha1Stream::default(), Sha1Stream::default());
                update_pair((&mut one, &ones[..one_len]), (&mut other, &others[..other_len]));
                assert_eq!(one.digest(), reference(&ones[..one_len]), "{one_len} beside {other_len}");
                assert_eq!(other.digest(), reference(&others[..other_len]), "{other_len} beside {one_len}");
            }
        }
    }

    #[test]
    fn four_strings_of_whatever_lengths_have_the_digests_that_the_crate_makes() {
        let data = noise(4 * 5000);
        let lens = [0, 1, 63, 64, 65, 4095, 4096, 5000];
        for shift in 0..lens.len() {
            let strings = [0, 1, 2, 3].map(|lane| &data[lane * 5000..][..lens[(shift + 3 * lane) % lens.len()]]);
            assert_eq!(sha1_of_each(strings), strings.map(reference), "{shift}");
            let alike = [0, 1, 2, 3].map(|lane| &data[lane * 5000..][..lens[shift]]);
            assert_eq!(sha1_of_each(alike), alike.map(reference), "{shift}");
        }
    }

    #[test]
    fn in_whatever_steps_the_bytes_come_the_digests_are_the_same() {
        let data = noise(100_000);
        let (mut one, mut other) = (Sha1Stream::default(), Sha1Stream::default());
        let (mut one_at, mut other_at) = (0, 0);
        // Steps of 0 to 1023 bytes from a linear congruence, alone, together and side by side.
        let mut number = 1usize;
        let mut step = |below: usize| {
            number = (number * 1_103_515_245 + 12_345) % (1 << 31);
            (number >> 8) % below
        };
        while one_at < 90_000 && other_at < 90_000 {
            let (n, m) = (step(1024), step(1024));
            match step(4) {
                0 => {
                    one.update(&data[one_at..one_at + n]);
                    one_at += n;
                }
                1 if one_at == other_at => {
                    update_both(&mut one, &mut other, &data[one_at..one_at + n]);
                    (one_at, other_at) = (one_at + n, other_at + n);
                }
                2 if one_at > other_at => {
                    other.update(&data[other_at..one_at]);
                    other_at = one_at;
                }
                _ => {
                    let (now, beside) = (&data[one_at..one_at + n], &data[other_at..other_at + m]);
                    update_pair((&mut one, now), (&mut other, beside));
                    (one_at, other_at) = (one_at + n, other_at + m);
                }
            }
            assert_eq!(one.digest(), reference(&data[..one_at]));
            assert_eq!(other.digest(), reference(&data[..other_at]));
        }
    }

    #[test]
    fn the_portable_code_comes_to_the_same_state_as_the_sha_instructions() {
        let data = noise(64 * BLOCK_LEN);
        let (blocks, _) = blocks_of(&data);
        let (ones, others) = blocks.split_at(32);
        let start = Sha1Stream::default().state;
        let (mut alone, mut beside) = ([start; 2], [start; 2]);
        compress(&mut alone[0], ones);
        compress(&mut alone[1], others);
        let [one, other] = &mut beside;
        compress_lanes([one, other], [ones, others]);
        assert_eq!(alone, beside);
    }
}
