//! Frames between ctl and the tracker: the kind of a payload, its length, the payload.

use std::io::{self, Read, Write};

/// The first bytes of ctl: the protocol and its version.
pub const GREETING: [u8; 8] = *b"GSCTL\0\0\x01";
/// The longest payload from ctl, in bytes.
pub const ASKED_MAX: usize = 16 * 1024;
/// The longest payload from the tracker, in bytes.
pub const TOLD_MAX: usize = 64 * 1024;

/// The kind of a payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum FrameKind {
    /// From ctl: the command as JSON, first.
    Command = b'C',
    /// From the tracker: a question for a password.
    Question = b'?',
    /// From ctl: the password; empty if there is none.
    Secret = b'S',
    /// From the tracker: bytes for standard output.
    Output = b'O',
    /// From the tracker: a line for standard error.
    Complaint = b'E',
    /// From the tracker: the exit code in one byte, last.
    Exit = b'X',
}

impl FrameKind {
    fn of(byte: u8) -> Option<Self> {
        let all = [Self::Command, Self::Question, Self::Secret, Self::Output, Self::Complaint, Self::Exit];
        all.into_iter().find(|kind| *kind as u8 == byte)
    }
}

/// Writes a payload, in one frame or, if it is too long, in several of the same kind.
///
/// # Errors
/// Those of the writer.
pub fn write_frame(to: &mut impl Write, kind: FrameKind, payload: &[u8]) -> io::Result<()> {
    let empty: &[u8] = &[];
    let parts = payload.chunks(TOLD_MAX).chain(payload.is_empty().then_some(empty));
    for part in parts {
        // A part has 64 KiB at most.
        let len = part.len() as u32;
        let mut frame = Vec::with_capacity(5 + part.len());
        frame.push(kind as u8);
        frame.extend(len.to_be_bytes());
        frame.extend(part);
        to.write_all(&frame)?;
    }
    Ok(())
}

/// Reads one frame. `len_max` is the longest payload that the other side may send.
///
/// # Errors
/// Those of the reader; `InvalidData` if the bytes are no frame.
pub fn read_frame(from: &mut impl Read, len_max: usize) -> io::Result<(FrameKind, Vec<u8>)> {
    let mut head = [0; 5];
    from.read_exact(&mut head)?;
    let [kind, len @ ..] = head;
    let len = usize::try_from(u32::from_be_bytes(len)).unwrap_or(usize::MAX);
    let kind = FrameKind::of(kind).filter(|_| len <= len_max).ok_or(io::ErrorKind::InvalidData)?;
    let mut payload = vec![0; len];
    from.read_exact(&mut payload)?;
    Ok((kind, payload))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_read_as_it_was_written() {
        let mut bytes = Vec::new();
        write_frame(&mut bytes, FrameKind::Output, b"hello").expect("written");
        write_frame(&mut bytes, FrameKind::Exit, &[]).expect("written");
        let mut from = bytes.as_slice();
        assert_eq!(read_frame(&mut from, 5).expect("a frame"), (FrameKind::Output, b"hello".to_vec()));
        assert_eq!(read_frame(&mut from, 0).expect("a frame"), (FrameKind::Exit, vec![]));
        assert_eq!(read_frame(&mut from, 0).expect_err("the end").kind(), io::ErrorKind::UnexpectedEof);
    }

    #[test]
    fn a_long_payload_takes_several_frames() {
        let mut bytes = Vec::new();
        write_frame(&mut bytes, FrameKind::Output, &[7; TOLD_MAX + 1]).expect("written");
        let mut from = bytes.as_slice();
        assert_eq!(read_frame(&mut from, TOLD_MAX).expect("a frame").1.len(), TOLD_MAX);
        assert_eq!(read_frame(&mut from, TOLD_MAX).expect("a frame").1, [7]);
    }

    #[test]
    fn a_frame_too_long_or_of_no_kind_is_refused_before_its_payload() {
        for bytes in [b"O\0\0\0\x06", b"O\xff\xff\xff\xff", b"Q\0\0\0\0"] {
            let error = read_frame(&mut bytes.as_slice(), 5).expect_err("refused");
            assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        }
    }
}
