//! The secure channel's record layer: frames become encrypted records and records become frames again. Works on bytes
//! in memory; `conn` moves them through sockets, `handshake` makes the keys.
//!
//! A record is a length (2 bytes) and a Noise transport message of that length. A frame begins with a record of its
//! own and fills as many as it needs, all but the last to the brim.

use super::codec::{DecodeError, Wire};
use super::frame::{Frame, HEADER_LEN, LENGTH_LEN};
use byteorder::{BigEndian, ByteOrder};
use snow::StatelessTransportState;
use std::fmt;

/// Bytes of the length in front of a record.
const RECORD_HEADER_LEN: usize = 2;
/// Bytes that authentication adds to a record (AES-GCM).
const TAG_LEN: usize = 16;
/// Longest Noise message (Noise specification, section 3).
const NOISE_LEN_MAX: usize = 65535;
/// Most plaintext in one record.
pub const RECORD_PLAIN_MAX: usize = NOISE_LEN_MAX - TAG_LEN;
/// Longest record with its length.
const RECORD_LEN_MAX: usize = RECORD_HEADER_LEN + NOISE_LEN_MAX;
/// What an idle connection may keep for either direction, in bytes.
pub const IDLE_BUFFER_LEN: usize = 4 * 1024;
/// Ciphertext taken from the socket at once while a long frame comes in: whole records.
const BULK_LEN: usize = 4 * RECORD_LEN_MAX;

/// Why a channel cannot go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChannelError {
    /// A record was not made with this connection's keys, or not in this order.
    Forged,
    /// A record has an impossible length.
    Record,
    /// A frame is longer than is allowed at this stage.
    FrameTooLong {
        /// The length it claims, in bytes.
        len: usize,
        /// The cap.
        max: usize,
    },
    /// A frame does not end where its record ends.
    Framing,
}

impl fmt::Display for ChannelError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ChannelError::Forged => write!(f, "a record does not decrypt"),
            ChannelError::Record => write!(f, "a record has an impossible length"),
            ChannelError::FrameTooLong { len, max } => write!(f, "a frame of {len} bytes is over the cap of {max}"),
            ChannelError::Framing => write!(f, "a frame and its records do not end together"),
        }
    }
}

impl std::error::Error for ChannelError {}

/// Encrypts frames of one direction.
#[derive(Debug, Default)]
pub struct Sealer {
    nonce: u64,
    /// Sealed bytes; kept at its largest so far, so that it is not zeroed again for every frame.
    out: Vec<u8>,
}

impl Sealer {
    /// The records of a frame, ready to be written.
    pub fn seal(&mut self, keys: &StatelessTransportState, frame: &[u8]) -> &[u8] {
        let records = frame.len().div_ceil(RECORD_PLAIN_MAX);
        let sealed_len = frame.len() + records * (RECORD_HEADER_LEN + TAG_LEN);
        if self.out.len() < sealed_len {
            self.out.resize(sealed_len, 0);
        }
        let mut end = 0;
        for plain in frame.chunks(RECORD_PLAIN_MAX) {
            let (header, room) = self.out[end..].split_at_mut(RECORD_HEADER_LEN);
            let len = keys
                .write_message(self.nonce, plain, room)
                .expect("the room is exact and a connection ends long before 2^64 records");
            // At most NOISE_LEN_MAX, which is the largest u16.
            BigEndian::write_u16(header, len as u16);
            self.nonce += 1;
            end += RECORD_HEADER_LEN + len;
        }
        &self.out[..end]
    }

    /// Gives back memory above what an idle connection may keep.
    pub fn release(&mut self) {
        if self.out.capacity() > IDLE_BUFFER_LEN {
            self.out = Vec::new();
        }
    }
}

/// Decrypts records of one direction and puts frames together, a few bytes at a time if need be.
#[derive(Debug)]
pub struct Opener {
    nonce: u64,
    /// Longest frame taken, counted as its length field does.
    frame_len_max: usize,
    /// Ciphertext that has come in stands at `start..end`.
    cipher: Vec<u8>,
    start: usize,
    end: usize,
    /// The frame so far is `plain[..plain_len]`; the rest is room, kept so that it is not zeroed again.
    plain: Vec<u8>,
    plain_len: usize,
    /// Length of the whole frame, once its first record is open.
    frame_len: Option<usize>,
}

impl Opener {
    /// Takes frames up to this length.
    pub fn new(frame_len_max: usize) -> Self {
        Self {
            nonce: 0,
            frame_len_max,
            cipher: Vec::new(),
            start: 0,
            end: 0,
            plain: Vec::new(),
            plain_len: 0,
            frame_len: None,
        }
    }

    /// Takes frames up to another length from now on.
    pub fn set_frame_len_max(&mut self, frame_len_max: usize) {
        self.frame_len_max = frame_len_max;
    }

    /// Where the next bytes from the socket belong. Never empty.
    pub fn room(&mut self) -> &mut [u8] {
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        }
        let missing = self.missing_cipher();
        // A long frame is read up to its end, in whole records, so that nothing has to be moved in the buffer.
        let target = if missing > IDLE_BUFFER_LEN { missing.min(BULK_LEN) } else { IDLE_BUFFER_LEN };
        if self.cipher.len() < target {
            self.cipher.resize(target, 0);
        }
        if self.end == self.cipher.len() {
            self.cipher.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        let limit =
            if missing > IDLE_BUFFER_LEN { self.cipher.len().min(self.start + missing) } else { self.cipher.len() };
        // What waits is less than one record, and a record is no longer than what is missing: there is room.
        &mut self.cipher[self.end..limit]
    }

    /// Says how many bytes were put into [`Opener::room`].
    pub fn filled(&mut self, len: usize) {
        self.end += len;
    }

    /// Ciphertext that the current frame, or else the current record, still takes, from `start` on; 0 if unknown.
    fn missing_cipher(&self) -> usize {
        match self.frame_len {
            Some(frame_len) => {
                let plain = frame_len - self.plain_len;
                plain + plain.div_ceil(RECORD_PLAIN_MAX) * (RECORD_HEADER_LEN + TAG_LEN)
            }
            None => self.record_len().unwrap_or(0),
        }
    }

    /// How many bytes must come in before anything can be decrypted.
    pub fn wanted_len(&self) -> usize {
        let have = self.end - self.start;
        self.record_len().unwrap_or(RECORD_HEADER_LEN).saturating_sub(have).max(1)
    }

    /// Length of the record at the front with its header, once the header is there.
    fn record_len(&self) -> Option<usize> {
        let waiting = &self.cipher[self.start..self.end];
        (waiting.len() >= RECORD_HEADER_LEN)
            .then(|| RECORD_HEADER_LEN + usize::from(BigEndian::read_u16(&waiting[..RECORD_HEADER_LEN])))
    }

    /// True between frames: nothing of another frame has come in.
    pub fn is_idle(&self) -> bool {
        self.start == self.end && self.frame_len.is_none()
    }

    /// Decrypts what has come in; true once a frame is whole. Then [`Opener::frame`] shows it and
    /// [`Opener::next_frame`] goes on.
    pub fn advance(&mut self, keys: &StatelessTransportState) -> Result<bool, ChannelError> {
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

    /// Refuses a record whose length cannot be right before room is made for it.
    fn check_record_len(&self, record_len: usize) -> Result<(), ChannelError> {
        let Some(plain_len) = record_len.checked_sub(RECORD_HEADER_LEN + TAG_LEN).filter(|&len| len > 0) else {
            return Err(ChannelError::Record);
        };
        match self.frame_len {
            Some(frame_len) if plain_len != (frame_len - self.plain_len).min(RECORD_PLAIN_MAX) => {
                Err(ChannelError::Framing)
            }
            None if plain_len > LENGTH_LEN + self.frame_len_max => {
                Err(ChannelError::FrameTooLong { len: plain_len - LENGTH_LEN, max: self.frame_len_max })
            }
            _ => Ok(()),
        }
    }

    fn open_record(&mut self, keys: &StatelessTransportState, record_len: usize) -> Result<(), ChannelError> {
        let noise_len = record_len - RECORD_HEADER_LEN;
        let room_len = self.plain_len + noise_len;
        if self.plain.len() < room_len {
            // Once the length of the frame is known, room for all of it, with the tag of the last record.
            let whole = self.frame_len.map_or(0, |frame_len| frame_len + TAG_LEN);
            self.plain.resize(room_len.max(whole), 0);
        }
        let record = &self.cipher[self.start + RECORD_HEADER_LEN..self.start + record_len];
        let len = keys
            .read_message(self.nonce, record, &mut self.plain[self.plain_len..room_len])
            .map_err(|_| ChannelError::Forged)?;
        self.nonce += 1;
        self.start += record_len;
        self.plain_len += len;
        let frame_len = match self.frame_len {
            Some(frame_len) => frame_len,
            None => self.begin_frame()?,
        };
        // All records of a frame but its last are full, so a frame has one form only. For the first record this is
        // known only now.
        if self.plain_len > frame_len || (self.plain_len < frame_len && len != RECORD_PLAIN_MAX) {
            return Err(ChannelError::Framing);
        }
        Ok(())
    }

    fn begin_frame(&mut self) -> Result<usize, ChannelError> {
        if self.plain_len < HEADER_LEN {
            return Err(ChannelError::Framing);
        }
        let len = BigEndian::read_u32(&self.plain[..LENGTH_LEN]) as usize;
        if len > self.frame_len_max {
            return Err(ChannelError::FrameTooLong { len, max: self.frame_len_max });
        }
        self.frame_len = Some(LENGTH_LEN + len);
        Ok(LENGTH_LEN + len)
    }

    /// The whole frame, after [`Opener::advance`] said that there is one.
    pub fn frame(&self) -> Result<Frame<'_>, DecodeError> {
        debug_assert!(self.frame_len == Some(self.plain_len), "advance said so");
        Frame::parse(&self.plain[..self.plain_len])
    }

    /// Goes on to the next frame.
    pub fn next_frame(&mut self) {
        self.plain_len = 0;
        self.frame_len = None;
    }

    /// Gives back memory above what an idle connection may keep, between frames.
    pub fn release(&mut self) {
        if self.plain_len == 0 && self.plain.capacity() > IDLE_BUFFER_LEN {
            self.plain = Vec::new();
        }
        if self.start == self.end && self.cipher.capacity() > IDLE_BUFFER_LEN {
            self.cipher = Vec::new();
            (self.start, self.end) = (0, 0);
        }
    }
}

/// A refusal before the channel stands: a handshake message of length 0 and the number of the code, in the clear.
pub fn refusal_in_clear(code: super::error::Code) -> [u8; 4] {
    let mut out = Vec::with_capacity(4);
    0u16.put(&mut out);
    (code as u16).put(&mut out);
    out.try_into().expect("two numbers of two bytes")
}
