//! Frames: the units of a connection's plaintext. A frame has its length (of everything behind the length), a kind, a
//! request id and a body. A reply repeats the id of its request, and an unasked message has id 0.

use super::codec::{DecodeError, Decoder, Wire};
use super::stretches::Stretches;
use byteorder::{BigEndian, ByteOrder};
use std::cmp::Ordering;
use zeroize::Zeroizing;

/// Bytes in front of the body: length (4), kind (1), request id (4).
pub const HEADER_LEN: usize = 9;
/// Bytes of the length field. The length does not count them.
pub const LENGTH_LEN: usize = 4;
/// Longest frame after login, counted as its length field does, in bytes.
pub const FRAME_LEN_MAX: usize = 1024 * 1024;
/// Longest frame before login, in bytes.
pub const EARLY_FRAME_LEN_MAX: usize = 4 * 1024;
/// The kind of frames with a piece.
pub const PIECE_KIND: u8 = 3;
/// The request id of a message that is no reply.
pub const UNASKED: u32 = 0;

/// One direction of a dialect.
pub trait Message: Sized {
    /// The number of the message's kind.
    fn kind(&self) -> u8;
    fn put_body(&self, out: &mut Vec<u8>);
    /// Takes the body of a message of this kind.
    fn take_body(kind: u8, from: &mut Decoder<'_>) -> Result<Self, DecodeError>;
}

/// Implements [`Message`] for an enum made with `wire_enum!`.
macro_rules! message {
    ($name:ident) => {
        impl $crate::wire::frame::Message for $name {
            fn kind(&self) -> u8 {
                $name::kind(self)
            }
            fn put_body(&self, out: &mut Vec<u8>) {
                self.put_fields(out);
            }
            fn take_body(
                kind: u8,
                from: &mut $crate::wire::codec::Decoder<'_>,
            ) -> Result<Self, $crate::wire::codec::DecodeError> {
                Self::take_fields(kind, from)
            }
        }
    };
}
pub(crate) use message;

/// A received frame, still in the buffer of its connection.
#[derive(Debug, Clone, Copy)]
pub struct Frame<'a> {
    pub kind: u8,
    /// The id of the request, or of the request that this frame answers.
    pub request: u32,
    /// The body, or its part in the first stretch.
    pub body: &'a [u8],
    /// The body in all its stretches.
    stretches: Stretches<'a>,
}

impl<'a> Frame<'a> {
    /// A frame with its whole body in one stretch.
    pub fn new(kind: u8, request: u32, body: &'a [u8]) -> Self {
        Self { kind, request, body, stretches: body.into() }
    }

    /// Takes a whole frame, as [`begin`] and [`end`] made it.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let mut from = Decoder::new(bytes);
        let len = u32::take(&mut from)? as usize;
        let (kind, request) = (u8::take(&mut from)?, u32::take(&mut from)?);
        let body_len = len.checked_sub(HEADER_LEN - LENGTH_LEN).ok_or(DecodeError::Truncated)?;
        let body = from.bytes(body_len)?;
        from.finish()?;
        Ok(Self::new(kind, request, body))
    }

    /// The same for a frame in stretches. The first stretch has the header.
    pub fn parse_stretches(stretches: Stretches<'a>) -> Result<Self, DecodeError> {
        let first = stretches.iter().next().unwrap_or_default();
        let mut from = Decoder::new(first);
        let len = u32::take(&mut from)? as usize;
        let (kind, request) = (u8::take(&mut from)?, u32::take(&mut from)?);
        match (LENGTH_LEN + len).cmp(&stretches.len()) {
            Ordering::Less => Err(DecodeError::Trailing(stretches.len() - LENGTH_LEN - len)),
            Ordering::Greater => Err(DecodeError::Truncated),
            Ordering::Equal => {
                Ok(Self { kind, request, body: &first[HEADER_LEN..], stretches: stretches.after(HEADER_LEN) })
            }
        }
    }

    pub fn message<M: Message>(&self) -> Result<M, DecodeError> {
        let mut from = Decoder::before(self.body, self.stretches.len() - self.body.len());
        let message = M::take_body(self.kind, &mut from)?;
        from.finish()?;
        Ok(message)
    }

    /// The last `len` bytes of the body: the data of a message with a `Payload` of that length.
    pub fn payload(&self, len: u32) -> Stretches<'a> {
        self.stretches.after(self.stretches.len() - len as usize)
    }
}

/// Begins a frame in an emptied buffer with the header and the message's fields. The caller may append data before
/// [`end`].
pub fn begin<M: Message>(out: &mut Vec<u8>, request: u32, message: &M) {
    out.clear();
    0u32.put(out);
    message.kind().put(out);
    request.put(out);
    message.put_body(out);
}

/// Ends a frame: writes its length.
pub fn end(out: &mut [u8]) {
    let len = u32::try_from(out.len() - LENGTH_LEN).expect("a frame is capped at 1 MiB");
    BigEndian::write_u32(&mut out[..LENGTH_LEN], len);
}

/// The front of a frame with `data_len` bytes of data behind it.
pub fn front<M: Message>(request: u32, message: &M, data_len: usize) -> Vec<u8> {
    let mut out = Vec::new();
    begin(&mut out, request, message);
    let len = u32::try_from(out.len() + data_len - LENGTH_LEN).expect("a frame is capped at 1 MiB");
    BigEndian::write_u32(&mut out[..LENGTH_LEN], len);
    out
}

/// A whole frame of one message. Its memory is cleared when it is dropped, since it may hold a password.
pub fn of<M: Message>(request: u32, message: &M) -> Zeroizing<Vec<u8>> {
    // A buffer that grows leaves its old bytes in memory. Messages with passwords fit into this capacity.
    let mut out = Zeroizing::new(Vec::with_capacity(LENGTH_LEN + EARLY_FRAME_LEN_MAX));
    begin(&mut out, request, message);
    end(&mut out);
    // Many frames may wait to be sent, so each takes only as much memory as it needs.
    Zeroizing::new(out.to_vec())
}

#[cfg(test)]
mod tests {
    use super::super::codec::Payload;
    use super::super::peer::{PeerReply, PeerRequest};
    use super::super::stretches::StretchLayout;
    use super::*;

    #[test]
    fn a_frame_is_length_kind_request_and_body() {
        let bytes = of(0x0102_0304, &PeerRequest::GetPiece { piece: 5 });
        assert_eq!(**bytes, [0, 0, 0, 9, 2, 1, 2, 3, 4, 0, 0, 0, 5]);
        let frame = Frame::parse(&bytes).expect("whole");
        assert_eq!((frame.kind, frame.request, frame.body), (2, 0x0102_0304, &[0, 0, 0, 5][..]));
        assert_eq!(frame.message(), Ok(PeerRequest::GetPiece { piece: 5 }));
    }

    #[test]
    fn a_frame_that_is_cut_or_longer_than_it_says_is_refused() {
        let mut bytes = of(1, &PeerRequest::GetPiece { piece: 5 });
        for cut in 0..bytes.len() {
            assert_eq!(Frame::parse(&bytes[..cut]).map(drop), Err(DecodeError::Truncated), "{cut}");
        }
        bytes.push(0);
        assert_eq!(Frame::parse(&bytes).map(drop), Err(DecodeError::Trailing(1)));
        for len in 0..5 {
            let short = [0, 0, 0, len, 2, 0, 0, 0, 1];
            assert_eq!(Frame::parse(&short).map(drop), Err(DecodeError::Truncated), "{len}");
        }
    }

    #[test]
    fn a_body_must_be_the_message_of_its_kind_and_nothing_else() {
        let message = |kind, body: &[u8]| Frame::new(kind, 1, body).message::<PeerRequest>();
        assert_eq!(message(3, &[]), Ok(PeerRequest::KeepAlive {}));
        assert_eq!(message(3, &[0]), Err(DecodeError::Trailing(1)));
        assert_eq!(message(2, &[0, 0, 0]), Err(DecodeError::Truncated));
        assert_eq!(message(0, &[]), Err(DecodeError::UnknownKind(0)));
        assert_eq!(message(64, &[]), Err(DecodeError::UnknownKind(64)));
    }

    #[test]
    fn data_follows_the_front_of_a_frame_and_stays_in_its_stretches() {
        let front = front(7, &PeerReply::Piece { data: Payload { len: 5 } }, 5);
        let layout = StretchLayout { place_len: 4, before: 1, behind: 1 };
        let first = [&front[..], b"ab"].concat();
        let whole = [&first[..], b"cde"].concat();
        for stretches in [Stretches::new(&first, b".cd#.e#", layout), Stretches::from(&whole[..])] {
            let frame = Frame::parse_stretches(stretches).expect("whole");
            assert_eq!((frame.kind, frame.request), (PIECE_KIND, 7));
            assert_eq!(frame.message(), Ok(PeerReply::Piece { data: Payload { len: 5 } }));
            assert_eq!(frame.payload(5).iter().collect::<Vec<_>>().concat(), b"abcde");
        }
        let cut = |places| Frame::parse_stretches(Stretches::new(&first, places, layout)).map(drop);
        assert_eq!(cut(b".cd#"), Err(DecodeError::Truncated));
        assert_eq!(cut(b".cd#.ef#"), Err(DecodeError::Trailing(1)));
    }
}
