//! The record layer of the secure channel. It makes encrypted records of frames, and frames of records. It works on
//! bytes in memory: `connection` moves them through sockets, and `handshake` makes the keys.
//!
//! A record is a length (2 bytes) and a Noise transport message of that length. A frame begins with a new record and
//! takes as many records as it needs. All but the last of them are full.

use super::codec::DecodeError;
use super::frame::{Frame, HEADER_LEN, LENGTH_LEN};
use super::stretches::{StretchLayout, Stretches};
use super::transport_keys::{Forged, TAG_LEN, TransportKeys};
use byteorder::{BigEndian, ByteOrder};
use std::fmt;
use zeroize::Zeroize;

/// Bytes of the length in front of a record.
const RECORD_HEADER_LEN: usize = 2;
/// Longest Noise message (Noise specification, section 3).
const NOISE_LEN_MAX: usize = 65535;
/// Most plaintext in one record.
pub const RECORD_PLAIN_MAX: usize = NOISE_LEN_MAX - TAG_LEN;
/// Longest record with its length.
const RECORD_LEN_MAX: usize = RECORD_HEADER_LEN + NOISE_LEN_MAX;
/// Room for short frames, in bytes. A longer frame takes room among the long frames.
pub const SHORT_BUFFER_LEN: usize = 4 * 1024;
/// Where the plaintext lies in consecutive records.
const RECORDS: StretchLayout = StretchLayout { place_len: RECORD_LEN_MAX, before: RECORD_HEADER_LEN, behind: TAG_LEN };

/// Why the records of a connection cannot be opened any further.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecordError {
    /// A record was not made with the keys of this connection, or it is out of order.
    Forged,
    /// A record has an impossible length.
    BadLength,
    /// A frame is longer than this stage of the connection allows.
    FrameTooLong {
        /// The length it claims, in bytes.
        len: usize,
        max: usize,
    },
    /// A frame does not end where its record ends.
    Framing,
}

impl fmt::Display for RecordError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RecordError::Forged => write!(f, "a record does not decrypt"),
            RecordError::BadLength => write!(f, "a record has an impossible length"),
            RecordError::FrameTooLong { len, max } => write!(f, "a frame of {len} bytes is over the cap of {max}"),
            RecordError::Framing => write!(f, "a frame and its records do not end together"),
        }
    }
}

impl std::error::Error for RecordError {}

/// Encrypts frames of one direction.
#[derive(Debug, Default)]
pub struct Sealer {
    nonce: u64,
    records: FrameRecords,
}

impl Sealer {
    /// The records of a frame, ready to write.
    pub fn seal(&mut self, keys: &TransportKeys, frame: &[u8]) -> &[u8] {
        self.records.hold(frame);
        self.records.seal(keys, &mut self.nonce)
    }

    /// The same for a frame in place. Its bytes are sealed afterwards.
    pub fn seal_in_place<'a>(&mut self, keys: &TransportKeys, frame: &'a mut FrameRecords) -> &'a [u8] {
        frame.seal(keys, &mut self.nonce)
    }

    /// Frees its memory.
    pub fn release(&mut self) {
        self.records = FrameRecords::default();
    }
}

/// A frame in the places of its records. A frame that is made there is sealed and sent without a copy.
#[derive(Debug, Default)]
pub struct FrameRecords {
    /// Consecutive records, all but the last full. The buffer keeps its largest length, so that it is not zeroed again
    /// for every frame.
    bytes: Vec<u8>,
    /// The length of the records.
    len: usize,
}

impl FrameRecords {
    /// Begins a frame of this length with these bytes in front. Returns the room for the other bytes, with arbitrary
    /// content.
    pub fn begin(&mut self, front: &[u8], frame_len: usize) -> impl Iterator<Item = &mut [u8]> {
        self.len = sealed_len(frame_len);
        if self.bytes.len() < self.len {
            self.bytes.resize(self.len, 0);
        }
        let mut stretches = self.bytes[..self.len].chunks_mut(RECORD_LEN_MAX).map(|record| {
            let end = record.len() - TAG_LEN;
            &mut record[RECORD_HEADER_LEN..end]
        });
        let (front_room, first) = stretches.next().unwrap_or_default().split_at_mut(front.len());
        front_room.copy_from_slice(front);
        std::iter::once(first).chain(stretches)
    }

    /// Takes a copy of a frame.
    pub fn hold(&mut self, frame: &[u8]) {
        let plain = frame.chunks(RECORD_PLAIN_MAX);
        self.begin(&[], frame.len()).zip(plain).for_each(|(room, plain)| room.copy_from_slice(plain));
    }

    fn seal(&mut self, keys: &TransportKeys, nonce: &mut u64) -> &[u8] {
        // A frame is sealed only once: sealed bytes are no plaintext.
        let sealed = &mut self.bytes[..std::mem::take(&mut self.len)];
        for record in sealed.chunks_mut(RECORD_LEN_MAX) {
            let (header, rest) = record.split_at_mut(RECORD_HEADER_LEN);
            // At most NOISE_LEN_MAX, which is the largest u16.
            BigEndian::write_u16(header, rest.len() as u16);
            let (plain, tag) = rest.split_at_mut(rest.len() - TAG_LEN);
            tag.copy_from_slice(&keys.seal(*nonce, plain));
            *nonce += 1;
        }
        sealed
    }
}

/// The length of the records of a frame.
fn sealed_len(frame_len: usize) -> usize {
    frame_len + frame_len.div_ceil(RECORD_PLAIN_MAX) * (RECORD_HEADER_LEN + TAG_LEN)
}

/// Decrypts records of one direction in place, and puts frames together. The bytes may come in portions of any size.
#[derive(Debug)]
pub struct Opener {
    nonce: u64,
    /// On a connection for pieces, the kind of frames whose records the opener does not join. It makes room for such a
    /// long frame in advance, so the bytes stay in place.
    spread_kind: Option<u8>,
    /// Longest frame that it takes, counted like its length field.
    frame_len_max: usize,
    bytes: Vec<u8>,
    /// Where the first record of the present frame begins.
    frame_at: usize,
    /// Where the ciphertext begins that is still encrypted.
    start: usize,
    end: usize,
    /// How many bytes of the present frame are decrypted.
    plain_len: usize,
    /// The length of the whole frame, once its first record is open.
    frame_len: Option<usize>,
}

impl Opener {
    /// Takes frames up to this length, and makes room for them as they come in.
    pub fn new(frame_len_max: usize) -> Self {
        Self {
            nonce: 0,
            spread_kind: None,
            frame_len_max,
            bytes: Vec::new(),
            frame_at: 0,
            start: 0,
            end: 0,
            plain_len: 0,
            frame_len: None,
        }
    }

    /// Leaves frames of this kind, which end in a `Payload`, in stretches. It makes room for a long one in advance.
    pub fn spread(mut self, kind: u8) -> Self {
        self.spread_kind = Some(kind);
        self
    }

    /// Changes the length up to which it takes frames.
    pub fn set_frame_len_max(&mut self, frame_len_max: usize) {
        self.frame_len_max = frame_len_max;
    }

    /// The room for the next bytes from the socket. It is never empty.
    pub fn room(&mut self) -> &mut [u8] {
        if self.is_idle() {
            (self.frame_at, self.start, self.end) = (0, 0, 0);
        }
        let missing = self.missing_cipher();
        // A long frame is read up to its end, so that nothing moves in the buffer. An untrusted far side may claim any
        // length. Then the room only doubles, and only once it is full.
        let (opened, used) = (self.start - self.frame_at, self.end - self.frame_at);
        let whole = opened + missing;
        let target = match whole {
            0..=SHORT_BUFFER_LEN => SHORT_BUFFER_LEN,
            _ if self.spread_kind.is_some() => whole,
            _ if used < self.bytes.len() => self.bytes.len(),
            _ => whole.min(SHORT_BUFFER_LEN.max(2 * used)),
        };
        if self.bytes.len() < target {
            let mut grown = Vec::with_capacity(target);
            grown.extend_from_slice(&self.bytes[self.frame_at..self.end]);
            grown.resize(target, 0);
            // The old buffer may hold keys of groups.
            std::mem::replace(&mut self.bytes, grown).zeroize();
            self.moved_to_front();
        } else if self.frame_at + target > self.bytes.len() {
            self.bytes.copy_within(self.frame_at..self.end, 0);
            self.moved_to_front();
        }
        // The buffer is freed behind a long frame, so it must hold nothing of the next frame.
        let is_long = missing > 0 && self.bytes.len() > SHORT_BUFFER_LEN;
        let limit = if is_long { self.bytes.len().min(self.start + missing) } else { self.bytes.len() };
        // There is room: the waiting bytes are less than one record, and a record is no longer than what is missing.
        &mut self.bytes[self.end..limit]
    }

    /// Adjusts the positions once the present frame stands at the beginning of the buffer.
    fn moved_to_front(&mut self) {
        (self.start, self.end) = (self.start - self.frame_at, self.end - self.frame_at);
        self.frame_at = 0;
    }

    /// Notes how many bytes the caller has put into [`Opener::room`].
    pub fn filled(&mut self, len: usize) {
        self.end += len;
    }

    /// How much ciphertext the present frame, or else the present record, still takes from `start` on; 0 if unknown.
    fn missing_cipher(&self) -> usize {
        match self.frame_len {
            Some(frame_len) => sealed_len(frame_len - self.plain_len),
            None => self.record_len().unwrap_or(0),
        }
    }

    /// How many bytes must come in before anything can be decrypted.
    pub fn wanted_len(&self) -> usize {
        let have = self.end - self.start;
        self.record_len().unwrap_or(RECORD_HEADER_LEN).saturating_sub(have).max(1)
    }

    /// The length of the record at the front with its header, once the header has come in.
    fn record_len(&self) -> Option<usize> {
        let waiting = &self.bytes[self.start..self.end];
        (waiting.len() >= RECORD_HEADER_LEN)
            .then(|| RECORD_HEADER_LEN + usize::from(BigEndian::read_u16(&waiting[..RECORD_HEADER_LEN])))
    }

    /// How much memory the present frame may take up, in bytes; 0 if it fits into the room for short ones. A record
    /// counts once that much of it has come in. A frame counts once its first record is open.
    pub fn claimed_len(&self) -> usize {
        let claimed = match self.frame_len {
            Some(frame_len) => sealed_len(frame_len),
            None if self.end - self.start < SHORT_BUFFER_LEN => 0,
            None => self.record_len().unwrap_or(0),
        };
        if claimed > SHORT_BUFFER_LEN { claimed } else { 0 }
    }

    /// How many bytes of the present frame have come in.
    pub fn come_len(&self) -> usize {
        self.plain_len + self.end - self.start
    }

    /// True between frames: no byte of another frame has come in.
    pub fn is_idle(&self) -> bool {
        self.start == self.end && self.frame_len.is_none()
    }

    /// Whether bytes have come in behind the present frame.
    pub fn has_more(&self) -> bool {
        self.start != self.end
    }

    /// Decrypts what has come in. True once a frame is complete. [`Opener::frame`] then shows the frame, and
    /// [`Opener::next_frame`] goes on.
    pub fn advance(&mut self, keys: &TransportKeys) -> Result<bool, RecordError> {
        while self.frame_len != Some(self.plain_len) {
            let Some(record_len) = self.record_len() else {
                return Ok(false);
            };
            self.check_record_len(record_len)?;
            if self.end - self.start < record_len {
                return Ok(false);
            }
            self.open_record(keys, record_len)?;
        }
        Ok(true)
    }

    /// Refuses a record of an impossible length before making room for it.
    fn check_record_len(&self, record_len: usize) -> Result<(), RecordError> {
        let Some(plain_len) = record_len.checked_sub(RECORD_HEADER_LEN + TAG_LEN).filter(|&len| len > 0) else {
            return Err(RecordError::BadLength);
        };
        match self.frame_len {
            Some(frame_len) if plain_len != (frame_len - self.plain_len).min(RECORD_PLAIN_MAX) => {
                Err(RecordError::Framing)
            }
            None if plain_len > LENGTH_LEN + self.frame_len_max => {
                Err(RecordError::FrameTooLong { len: plain_len - LENGTH_LEN, max: self.frame_len_max })
            }
            _ => Ok(()),
        }
    }

    fn open_record(&mut self, keys: &TransportKeys, record_len: usize) -> Result<(), RecordError> {
        let at = self.start + RECORD_HEADER_LEN;
        let record = &mut self.bytes[at..self.start + record_len];
        let len = keys.open(self.nonce, record).map_err(|Forged| RecordError::Forged)?.len();
        self.nonce += 1;
        self.start += record_len;
        if self.plain_len > 0 && !self.is_spread() {
            let place = self.frame_at + RECORD_HEADER_LEN + self.plain_len;
            self.bytes.copy_within(at..at + len, place);
        }
        self.plain_len += len;
        let frame_len = match self.frame_len {
            Some(frame_len) => frame_len,
            None => self.begin_frame()?,
        };
        // All records of a frame except its last one are full, so a frame has only one form. For the first record this
        // is known only here.
        if self.plain_len > frame_len || (self.plain_len < frame_len && len != RECORD_PLAIN_MAX) {
            return Err(RecordError::Framing);
        }
        Ok(())
    }

    /// The decrypted bytes of the present frame in its first stretch.
    fn plain(&self) -> &[u8] {
        let len = if self.is_spread() { self.plain_len.min(RECORD_PLAIN_MAX) } else { self.plain_len };
        &self.bytes[self.frame_at + RECORD_HEADER_LEN..][..len]
    }

    /// Whether the records of the present frame stay in place. Its first record is open.
    fn is_spread(&self) -> bool {
        self.spread_kind == Some(self.bytes[self.frame_at + RECORD_HEADER_LEN + LENGTH_LEN])
    }

    fn begin_frame(&mut self) -> Result<usize, RecordError> {
        if self.plain_len < HEADER_LEN {
            return Err(RecordError::Framing);
        }
        let len = BigEndian::read_u32(&self.plain()[..LENGTH_LEN]) as usize;
        if len > self.frame_len_max {
            return Err(RecordError::FrameTooLong { len, max: self.frame_len_max });
        }
        self.frame_len = Some(LENGTH_LEN + len);
        Ok(LENGTH_LEN + len)
    }

    /// The complete frame, after [`Opener::advance`] has returned true.
    pub fn frame(&self) -> Result<Frame<'_>, DecodeError> {
        debug_assert!(self.frame_len == Some(self.plain_len), "advance said so");
        let plain = self.plain();
        if plain.len() == self.plain_len {
            return Frame::parse(plain);
        }
        let places = &self.bytes[self.frame_at + RECORD_LEN_MAX..self.start];
        Frame::parse_stretches(Stretches::new(plain, places, RECORDS))
    }

    /// Goes on to the next frame.
    pub fn next_frame(&mut self) {
        self.plain_len = 0;
        self.frame_len = None;
        self.frame_at = self.start;
    }

    /// Clears the bytes of earlier frames, which may hold passwords. Frees its memory between frames.
    pub fn release(&mut self) {
        let past = if self.is_idle() { self.end } else { self.frame_at };
        self.bytes[..past].zeroize();
        if self.is_idle() {
            self.bytes = Vec::new();
            (self.frame_at, self.start, self.end) = (0, 0, 0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::codec::Wire;
    use super::super::frame::{EARLY_FRAME_LEN_MAX, FRAME_LEN_MAX};
    use super::super::handshake::tests::keys;
    use super::*;

    impl Sealer {
        /// How many bytes the buffer takes up.
        pub(crate) fn capacity(&self) -> usize {
            self.records.bytes.capacity()
        }
    }

    impl Opener {
        /// How many bytes the buffer takes up.
        pub(crate) fn capacity(&self) -> usize {
            self.bytes.capacity()
        }
    }

    const PIECE: usize = 512 * 1024;
    /// The kind of the frames in these tests.
    const KIND: u8 = 3;

    /// A frame with a body of this length. Each byte tells its place.
    fn frame(body: usize) -> Vec<u8> {
        let mut out = Vec::with_capacity(HEADER_LEN + body);
        ((HEADER_LEN - LENGTH_LEN + body) as u32).put(&mut out);
        KIND.put(&mut out);
        7u32.put(&mut out);
        out.extend((0..body).map(|at| (at ^ (at >> 8)) as u8));
        out
    }

    /// Passes bytes on as the socket would, and returns the complete frames.
    fn feed(opener: &mut Opener, keys: &TransportKeys, mut bytes: &[u8]) -> Result<Vec<Vec<u8>>, RecordError> {
        let mut frames = Vec::new();
        loop {
            while opener.advance(keys)? {
                let frame = opener.frame().expect("the channel accepts any body");
                let len = opener.plain_len - HEADER_LEN;
                let body: Vec<u8> = frame.payload(len as u32).iter().flatten().copied().collect();
                frames.push([&opener.plain()[..HEADER_LEN], &body].concat());
                opener.next_frame();
            }
            if bytes.is_empty() {
                return Ok(frames);
            }
            assert!(opener.wanted_len() > 0);
            let room = opener.room();
            let len = room.len().min(bytes.len());
            room[..len].copy_from_slice(&bytes[..len]);
            opener.filled(len);
            bytes = &bytes[len..];
        }
    }

    /// One opener that joins the frames of these tests, and one that leaves them in stretches.
    fn openers() -> [Opener; 2] {
        [Opener::new(FRAME_LEN_MAX), Opener::new(FRAME_LEN_MAX).spread(KIND)]
    }

    /// One record with this plaintext, which need not be a frame.
    fn record(keys: &TransportKeys, nonce: u64, plain: &[u8]) -> Vec<u8> {
        let mut out = vec![0; RECORD_HEADER_LEN];
        BigEndian::write_u16(&mut out, (plain.len() + TAG_LEN) as u16);
        out.extend_from_slice(plain);
        let tag = keys.seal(nonce, &mut out[RECORD_HEADER_LEN..]);
        out.extend_from_slice(&tag);
        out
    }

    /// The lengths of the records in sealed bytes, their headers included.
    fn record_lens(mut sealed: &[u8]) -> Vec<usize> {
        let mut lens = Vec::new();
        while !sealed.is_empty() {
            lens.push(RECORD_HEADER_LEN + usize::from(BigEndian::read_u16(sealed)));
            sealed = &sealed[lens[lens.len() - 1]..];
        }
        lens
    }

    /// Numbers that look random and are the same in every run (xorshift, Marsaglia 2003).
    fn numbers() -> impl FnMut(usize) -> usize {
        let mut state = 0x2545_f491_4f6c_dd1d_u64;
        move |below| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state % below as u64) as usize
        }
    }

    #[test]
    fn frames_of_every_length_fill_their_records_to_the_brim_and_come_back() {
        let (near, far) = keys();
        let cap = LENGTH_LEN + FRAME_LEN_MAX - HEADER_LEN;
        let record = RECORD_PLAIN_MAX - HEADER_LEN;
        let full = RECORD_LEN_MAX;
        let overhead = RECORD_HEADER_LEN + TAG_LEN;
        for (body, records) in [
            (0, vec![HEADER_LEN + overhead]),
            (1, vec![HEADER_LEN + 1 + overhead]),
            (record - 1, vec![full - 1]),
            (record, vec![full]),
            (record + 1, vec![full, 1 + overhead]),
            (PIECE, [vec![full; 8], vec![HEADER_LEN + PIECE - 8 * RECORD_PLAIN_MAX + overhead]].concat()),
            (cap, [vec![full; 16], vec![LENGTH_LEN + FRAME_LEN_MAX - 16 * RECORD_PLAIN_MAX + overhead]].concat()),
        ] {
            let frame = frame(body);
            let sealed = Sealer::default().seal(&near, &frame).to_vec();
            assert_eq!(record_lens(&sealed), records, "{body}");
            for mut opener in openers() {
                assert!(feed(&mut opener, &far, &sealed).expect("opens") == [&frame[..]], "{body}");
                assert!(opener.is_idle());
            }
        }
    }

    #[test]
    fn frames_come_back_from_any_two_parts() {
        let (near, far) = keys();
        let frames = [frame(0), frame(30), frame(1)];
        let mut sealer = Sealer::default();
        let sealed: Vec<u8> = frames.iter().flat_map(|frame| sealer.seal(&near, frame).to_vec()).collect();
        for (cut, mut opener) in (0..=sealed.len()).flat_map(|cut| openers().map(|opener| (cut, opener))) {
            let mut opened = feed(&mut opener, &far, &sealed[..cut]).expect("opens");
            opened.extend(feed(&mut opener, &far, &sealed[cut..]).expect("opens"));
            assert_eq!(opened, frames, "{cut}");
        }
        // For a long frame, every cut near the edge of a record.
        let frames = [frame(2 * RECORD_PLAIN_MAX + 100), frame(5)];
        let mut sealer = Sealer::default();
        let sealed: Vec<u8> = frames.iter().flat_map(|frame| sealer.seal(&near, frame).to_vec()).collect();
        for edge in [RECORD_LEN_MAX, 2 * RECORD_LEN_MAX] {
            let cuts = edge - 20..edge + 20;
            for (cut, mut opener) in cuts.flat_map(|cut| openers().map(|opener| (cut, opener))) {
                let mut opened = feed(&mut opener, &far, &sealed[..cut]).expect("opens");
                opened.extend(feed(&mut opener, &far, &sealed[cut..]).expect("opens"));
                assert_eq!(opened, frames, "{cut}");
            }
        }
    }

    #[test]
    fn an_unfinished_frame_takes_no_more_than_a_few_times_what_has_come_in() {
        let (near, far) = keys();
        let sealed = Sealer::default().seal(&near, &frame(FRAME_LEN_MAX - HEADER_LEN)).to_vec();
        let mut opener = Opener::new(FRAME_LEN_MAX);
        let mut come = 0;
        for part in [&sealed[..2], &sealed[2..100]].into_iter().chain(sealed[100..].chunks(1000)) {
            come += part.len();
            let frames = feed(&mut opener, &far, part).expect("opens");
            let taken = opener.capacity();
            let claimed = match come {
                0..SHORT_BUFFER_LEN => 0,
                SHORT_BUFFER_LEN..RECORD_LEN_MAX => RECORD_LEN_MAX,
                _ => sealed_len(FRAME_LEN_MAX),
            };
            assert!(!frames.is_empty() || opener.claimed_len() == claimed, "{come}");
            assert!(taken <= claimed.max(SHORT_BUFFER_LEN), "{taken} for {come}");
            assert!(taken <= 2 * come + SHORT_BUFFER_LEN, "{taken} for {come}");
            assert!(frames.is_empty() || come == sealed.len());
        }
        opener.release();
        assert_eq!(opener.capacity(), 0);
    }

    #[test]
    fn frames_come_back_byte_by_byte() {
        let (near, far) = keys();
        for mut opener in openers() {
            let mut sealer = Sealer::default();
            for body in [0, 1, 5000, RECORD_PLAIN_MAX, 10, PIECE] {
                let frame = frame(body);
                let sealed = sealer.seal(&near, &frame).to_vec();
                let (last, rest) = sealed.split_last().expect("not empty");
                let (mut capacity, mut grown) = (opener.capacity(), 0);
                for byte in rest {
                    assert!(feed(&mut opener, &far, &[*byte]).expect("no error").is_empty());
                    assert!(!opener.is_idle());
                    grown += usize::from(std::mem::replace(&mut capacity, opener.capacity()) != opener.capacity());
                }
                assert!(grown <= 8, "the buffer was made anew {grown} times");
                assert!(feed(&mut opener, &far, &[*last]).expect("opens") == [frame]);
                assert!(opener.is_idle());
            }
        }
    }

    #[test]
    fn frames_of_any_lengths_come_back_in_parts_of_any_length() {
        let (near, far) = keys();
        let mut number = numbers();
        let (mut sealers, mut openers) = ([Sealer::default(), Sealer::default()], openers());
        for round in 0..40 {
            let (sealer, opener) = (&mut sealers[round % 2], &mut openers[round % 2]);
            let frames: Vec<Vec<u8>> = (0..8)
                .map(|_| {
                    let below = [10, 5000, 150_000, FRAME_LEN_MAX - 5][number(4)];
                    frame(number(below))
                })
                .collect();
            let sealed: Vec<u8> = frames.iter().flat_map(|frame| sealer.seal(&near, frame).to_vec()).collect();
            let mut opened = Vec::new();
            let mut rest = &sealed[..];
            while !rest.is_empty() {
                let below = [20, 3000, 70_000, 1_000_000][number(4)];
                let (part, behind) = rest.split_at((1 + number(below)).min(rest.len()));
                opened.extend(feed(opener, &far, part).expect("opens"));
                rest = behind;
                assert!(opener.capacity() <= sealed_len(LENGTH_LEN + FRAME_LEN_MAX));
            }
            assert!(opened == frames, "round {round}");
            if round % 3 == 0 {
                sealer.release();
                opener.release();
            }
        }
    }

    #[test]
    fn memory_is_given_back_between_frames_only() {
        let (near, far) = keys();
        let (mut sealer, mut opener) = (Sealer::default(), Opener::new(FRAME_LEN_MAX));
        let frame = frame(PIECE);
        let sealed = sealer.seal(&near, &frame).to_vec();
        let (early, late) = sealed.split_at(PIECE / 2);
        assert!(feed(&mut opener, &far, early).expect("no error").is_empty());
        opener.release();
        assert!(opener.capacity() >= PIECE / 2, "inside a frame everything is kept");
        assert_eq!(feed(&mut opener, &far, late).expect("opens"), [frame]);
        sealer.release();
        opener.release();
        assert_eq!([sealer.capacity(), opener.capacity()], [0, 0]);
    }

    #[test]
    fn a_frame_over_the_cap_is_refused_before_anything_is_made_for_it() {
        let (near, far) = keys();
        for max in [EARLY_FRAME_LEN_MAX, FRAME_LEN_MAX] {
            let mut fits = Opener::new(max);
            let longest = frame(max + LENGTH_LEN - HEADER_LEN);
            assert_eq!(feed(&mut fits, &far, Sealer::default().seal(&near, &longest)).expect("opens"), [longest]);

            // The length field of the frame, in its first record.
            let mut plain = frame(max + 1 + LENGTH_LEN - HEADER_LEN);
            plain.truncate(RECORD_PLAIN_MAX);
            let mut opener = Opener::new(max);
            let error = feed(&mut opener, &far, &record(&near, 0, &plain));
            assert_eq!(error, Err(RecordError::FrameTooLong { len: max + 1, max }));
            assert!(opener.capacity() <= RECORD_LEN_MAX);
        }
        // The header alone announces a record that no frame of this stage can fill.
        let mut opener = Opener::new(EARLY_FRAME_LEN_MAX);
        let claim = (EARLY_FRAME_LEN_MAX + LENGTH_LEN + TAG_LEN + 1) as u16;
        let error = feed(&mut opener, &far, &claim.to_be_bytes());
        assert_eq!(error, Err(RecordError::FrameTooLong { len: EARLY_FRAME_LEN_MAX + 1, max: EARLY_FRAME_LEN_MAX }));
        assert_eq!(opener.capacity(), SHORT_BUFFER_LEN);
        // The length field alone may claim any length.
        let mut opener = Opener::new(FRAME_LEN_MAX);
        let error = feed(&mut opener, &far, &record(&near, 0, &[0xff; HEADER_LEN]));
        assert_eq!(error, Err(RecordError::FrameTooLong { len: u32::MAX as usize, max: FRAME_LEN_MAX }));
        assert!(opener.capacity() <= SHORT_BUFFER_LEN);
    }

    #[test]
    fn every_changed_bit_of_a_record_is_noticed() {
        let (near, far) = keys();
        let sealed = Sealer::default().seal(&near, &frame(20)).to_vec();
        for bit in 0..8 * sealed.len() {
            let mut changed = sealed.clone();
            changed[bit / 8] ^= 0x80 >> (bit % 8);
            match feed(&mut Opener::new(FRAME_LEN_MAX), &far, &changed) {
                Err(RecordError::Forged) => {}
                // A record that claims to be longer waits for more bytes. One that is too short is empty.
                Ok(frames) => assert!(bit < 16 && frames.is_empty(), "{bit}"),
                Err(RecordError::BadLength) => assert!(bit < 16),
                Err(error) => panic!("{error} for bit {bit}"),
            }
        }
        // The same for each record of a frame with several.
        let sealed = Sealer::default().seal(&near, &frame(3 * RECORD_PLAIN_MAX)).to_vec();
        let mut start = 0;
        for len in record_lens(&sealed) {
            for at in [RECORD_HEADER_LEN, len / 2, len - 1] {
                let mut changed = sealed.clone();
                changed[start + at] ^= 1;
                assert_eq!(feed(&mut Opener::new(FRAME_LEN_MAX), &far, &changed), Err(RecordError::Forged));
            }
            start += len;
        }
    }

    #[test]
    fn records_that_are_replayed_left_out_or_in_another_order_are_noticed() {
        let (near, far) = keys();
        let mut sealer = Sealer::default();
        let sealed: Vec<Vec<u8>> = (0..3).map(|body| sealer.seal(&near, &frame(body)).to_vec()).collect();
        for (order, before) in [(&[0, 0][..], 1), (&[1], 0), (&[0, 2], 1), (&[1, 0], 0), (&[0, 1, 0], 2), (&[2], 0)] {
            let mut opener = Opener::new(FRAME_LEN_MAX);
            for (at, &record) in order.iter().enumerate() {
                let opened = feed(&mut opener, &far, &sealed[record]);
                assert_eq!(opened.is_ok(), at < before, "{order:?}");
                assert!(opened.is_ok() || opened == Err(RecordError::Forged));
            }
        }
        // The same inside one frame, whose full records have one length.
        let sealed = Sealer::default().seal(&near, &frame(3 * RECORD_PLAIN_MAX)).to_vec();
        let mut swapped = sealed.clone();
        swapped[RECORD_LEN_MAX..3 * RECORD_LEN_MAX].rotate_left(RECORD_LEN_MAX);
        assert_eq!(feed(&mut Opener::new(FRAME_LEN_MAX), &far, &swapped), Err(RecordError::Forged));
        // A side does not accept its own sealed bytes.
        let said = Sealer::default().seal(&near, &frame(0)).to_vec();
        assert_eq!(feed(&mut Opener::new(FRAME_LEN_MAX), &near, &said), Err(RecordError::Forged));
    }

    #[test]
    fn a_frame_ends_where_its_record_ends() {
        let (near, far) = keys();
        let open = |records: &[&[u8]]| {
            let bytes: Vec<u8> = (0..).zip(records).flat_map(|(nonce, plain)| record(&near, nonce, plain)).collect();
            feed(&mut Opener::new(FRAME_LEN_MAX), &far, &bytes)
        };
        let short = frame(10);
        assert_eq!(open(&[&short]), Ok(vec![short.clone()]));
        // One byte too many; and another frame in the same record.
        assert_eq!(open(&[&[&short[..], &[0]].concat()]), Err(RecordError::Framing));
        assert_eq!(open(&[&[&short[..], &short].concat()]), Err(RecordError::Framing));
        // A frame in two records that fits into one; and a frame whose header is cut.
        assert_eq!(open(&[&short[..15], &short[15..]]), Err(RecordError::Framing));
        assert_eq!(open(&[&short[..HEADER_LEN - 1], &short[HEADER_LEN - 1..]]), Err(RecordError::Framing));
        // A length that leaves no room for the header.
        for len in 0..5 {
            assert_eq!(open(&[&[0, 0, 0, len, 3, 0, 0, 0, 7]]), Err(RecordError::Framing));
        }
        // The last record of a long frame has exactly the missing bytes, and the ones before it are full.
        let long = frame(2 * RECORD_PLAIN_MAX);
        let (full, rest) = (RECORD_PLAIN_MAX, 2 * RECORD_PLAIN_MAX);
        assert_eq!(open(&[&long[..full], &long[full..rest], &long[rest..]]), Ok(vec![long.clone()]));
        let longer = [&long[rest..], &[0]].concat();
        assert_eq!(open(&[&long[..full], &long[full..rest], &longer]), Err(RecordError::Framing));
        assert_eq!(open(&[&long[..full], &long[full..rest], &long[rest..long.len() - 1]]), Err(RecordError::Framing));
        assert_eq!(open(&[&long[..full], &long[full..rest - 1]]), Err(RecordError::Framing));
        assert_eq!(open(&[&long[..full - 1]]), Err(RecordError::Framing));
    }

    #[test]
    fn a_record_without_room_for_a_byte_and_its_tag_is_refused() {
        let (near, far) = keys();
        for len in 0..=TAG_LEN as u16 {
            let error = feed(&mut Opener::new(FRAME_LEN_MAX), &far, &len.to_be_bytes());
            assert_eq!(error, Err(RecordError::BadLength), "{len}");
        }
        assert_eq!(feed(&mut Opener::new(FRAME_LEN_MAX), &far, &record(&near, 0, &[])), Err(RecordError::BadLength));
    }

    #[test]
    fn noise_in_place_of_records_is_never_a_frame() {
        let (_, far) = keys();
        let mut number = numbers();
        for _ in 0..300 {
            let bytes: Vec<u8> = (0..number(5000)).map(|_| number(256) as u8).collect();
            match feed(&mut Opener::new(FRAME_LEN_MAX), &far, &bytes) {
                Ok(frames) => assert!(frames.is_empty()),
                Err(error) => assert!(matches!(error, RecordError::Forged | RecordError::BadLength), "{error}"),
            }
        }
    }
}
