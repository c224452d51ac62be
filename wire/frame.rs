//! Frames: what the plaintext of a connection is cut into. A frame is its length (of all that follows the length), a
//! kind, a request id that the reply repeats (0 for what nobody asked for), and a body.

use super::codec::{DecodeError, Decoder, Wire};
use byteorder::{BigEndian, ByteOrder};
use zeroize::Zeroizing;

/// Bytes in front of the body: length (4), kind (1), request id (4).
pub const HEADER_LEN: usize = 9;
/// Bytes of the length field, which the length does not count.
pub const LENGTH_LEN: usize = 4;
/// Longest frame after login, counted as its length field does, in bytes.
pub const FRAME_LEN_MAX: usize = 1024 * 1024;
/// Longest frame before login, in bytes.
pub const EARLY_FRAME_LEN_MAX: usize = 4 * 1024;
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

/// A frame that has come in, still in the buffer of its connection.
#[derive(Debug, Clone, Copy)]
pub struct Frame<'a> {
    pub kind: u8,
    /// Which request it is, or which it answers.
    pub request: u32,
    pub body: &'a [u8],
}

impl<'a> Frame<'a> {
    /// Takes a whole frame, as [`begin`] and [`end`] made it.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let mut from = Decoder::new(bytes);
        let len = u32::take(&mut from)? as usize;
        let (kind, request) = (u8::take(&mut from)?, u32::take(&mut from)?);
        let body_len = len.checked_sub(HEADER_LEN - LENGTH_LEN).ok_or(DecodeError::Truncated)?;
        let body = from.bytes(body_len)?;
        from.finish()?;
        Ok(Self { kind, request, body })
    }

    pub fn message<M: Message>(&self) -> Result<M, DecodeError> {
        let mut from = Decoder::new(self.body);
        let message = M::take_body(self.kind, &mut from)?;
        from.finish()?;
        Ok(message)
    }

    /// The last `len` bytes of the body: the data of a message that ends in a `Payload` of that length.
    pub fn payload(&self, len: u32) -> &'a [u8] {
        &self.body[self.body.len() - len as usize..]
    }
}

/// Begins a frame in an emptied buffer: header and the message's fields. Data may be appended before [`end`].
pub fn begin<M: Message>(out: &mut Vec<u8>, request: u32, message: &M) {
    out.clear();
    0u32.put(out);
    message.kind().put(out);
    request.put(out);
    message.put_body(out);
}

/// Ends a frame: its length is known now.
pub fn end(out: &mut [u8]) {
    let len = u32::try_from(out.len() - LENGTH_LEN).expect("a frame is capped at 1 MiB");
    BigEndian::write_u32(&mut out[..LENGTH_LEN], len);
}

/// Makes a frame of the same kind and length answer another request; its data is overwritten by the caller.
pub fn rewrite(frame: &mut [u8], request: u32) {
    BigEndian::write_u32(&mut frame[LENGTH_LEN + 1..HEADER_LEN], request);
}

/// A whole frame of one message, which may have a password in it: its memory is cleared.
pub fn of<M: Message>(request: u32, message: &M) -> Zeroizing<Vec<u8>> {
    // A buffer that grew would leave the beginning behind. What has passwords in it has room here.
    let mut out = Zeroizing::new(Vec::with_capacity(LENGTH_LEN + EARLY_FRAME_LEN_MAX));
    begin(&mut out, request, message);
    end(&mut out);
    // Many may wait to be sent, in as much memory as they need.
    Zeroizing::new(out.to_vec())
}

#[cfg(test)]
mod tests {
    use super::super::codec::Payload;
    use super::super::peer::{PeerReply, PeerRequest};
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
        let message = |kind, body: &[u8]| Frame { kind, request: 1, body }.message::<PeerRequest>();
        assert_eq!(message(3, &[]), Ok(PeerRequest::KeepAlive {}));
        assert_eq!(message(3, &[0]), Err(DecodeError::Trailing(1)));
        assert_eq!(message(2, &[0, 0, 0]), Err(DecodeError::Truncated));
        assert_eq!(message(0, &[]), Err(DecodeError::UnknownKind(0)));
        assert_eq!(message(64, &[]), Err(DecodeError::UnknownKind(64)));
    }

    #[test]
    fn data_stays_in_the_frame_and_the_frame_can_be_used_again_for_data_of_the_same_length() {
        let mut out = vec![1, 2, 3];
        begin(&mut out, 7, &PeerReply::Piece { data: Payload { len: 3 } });
        out.extend_from_slice(b"abc");
        end(&mut out);
        let check = |out: &[u8], request, data: &[u8]| {
            let frame = Frame::parse(out).expect("whole");
            assert_eq!(frame.message(), Ok(PeerReply::Piece { data: Payload { len: 3 } }));
            assert_eq!((frame.request, frame.payload(3)), (request, data));
        };
        check(&out, 7, b"abc");
        rewrite(&mut out, 8);
        out[HEADER_LEN..].copy_from_slice(b"xyz");
        check(&out, 8, b"xyz");
    }
}
