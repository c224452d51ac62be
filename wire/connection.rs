//! A connection after its handshake: frames in and out of a TCP socket.
//!
//! One descriptor serves both directions, and neither direction waits for the other. The receiver belongs to one
//! thread; the sender is shared.

mod frame_receiver;
mod frame_sender;
mod long_frames;
mod timed_stream;

use super::deadlines::FRAME_DEADLINE;
use crate::wire::transport_keys::TransportKeys;
use std::io;
use std::net::TcpStream;
use std::sync::Arc;

pub use frame_receiver::{FrameReceiver, RecvError};
pub use frame_sender::{FrameSender, TooSlow};
pub use long_frames::{LongFrame, LongFrames, Payer};
pub use timed_stream::TimedStream;

/// Makes a connection from a socket and the keys of its handshake. `bulk` connections carry pieces and keep their
/// buffers between frames. Others free their memory whenever they are idle.
pub fn split(
    stream: impl Into<Arc<TcpStream>>,
    keys: TransportKeys,
    frame_len_max: usize,
    bulk: bool,
) -> io::Result<(FrameReceiver, Arc<FrameSender>)> {
    let (stream, keys) = (stream.into(), Arc::new(keys));
    stream.set_nodelay(true)?;
    stream.set_write_timeout(Some(FRAME_DEADLINE))?;
    let receiver = FrameReceiver::new(stream.clone(), keys.clone(), frame_len_max, bulk);
    Ok((receiver, Arc::new(FrameSender::new(stream, keys, bulk))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::codec::{List, Payload};
    use crate::wire::frame::{self, Frame};
    use crate::wire::handshake::{is_timeout, tests::keys};
    use crate::wire::peer::PeerReply;
    use crate::wire::record_layer::{RECORD_PLAIN_MAX, RecordError};
    use std::io::{Read, Write};
    use std::net::TcpListener;
    use std::thread;
    use std::time::Duration;

    pub(super) const PIECE: usize = 512 * 1024;
    /// Longer than any test takes, even on a busy machine.
    pub(super) const LONG: Duration = Duration::from_secs(60);

    /// Two sockets that are connected to each other.
    pub(super) fn sockets() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let near = TcpStream::connect(listener.local_addr().expect("bound")).expect("connects");
        (near, listener.accept().expect("accepts").0)
    }

    /// Both ends of a connection.
    pub(super) fn pair(bulk: bool) -> [(FrameReceiver, Arc<FrameSender>); 2] {
        let ((near, far), (near_keys, far_keys)) = (sockets(), keys());
        let end = |stream, keys| split(stream, keys, frame::FRAME_LEN_MAX, bulk).expect("a socket");
        [end(near, near_keys), end(far, far_keys)]
    }

    pub(super) fn news(pieces: &[u32]) -> PeerReply {
        PeerReply::News { pieces: List::new(pieces.to_vec()).expect("few") }
    }

    /// A `Piece` with data of this length. Its first bytes tell which piece it is.
    pub(super) fn piece(request: u32, len: usize) -> Vec<u8> {
        let mut out = Vec::new();
        frame::begin(&mut out, request, &PeerReply::Piece { data: Payload { len: 0 } });
        out.extend((0..len).map(|at| (at as u32 ^ request) as u8));
        frame::end(&mut out);
        out
    }

    /// The data of a `Piece`.
    pub(super) fn data_of(frame: &Frame<'_>) -> Vec<u8> {
        let Ok(PeerReply::Piece { data }) = frame.message() else { panic!("no piece") };
        frame.payload(data.len).iter().collect::<Vec<_>>().concat()
    }

    /// Sends a piece across. Both sides then need more memory than an idle one may keep.
    pub(super) fn pass_piece(near: &FrameSender, far: &mut FrameReceiver) {
        thread::scope(|scope| {
            scope.spawn(|| near.send_frame(&piece(1, PIECE)).expect("goes out"));
            assert_eq!(data_of(&far.recv(LONG).expect("comes in")).len(), PIECE);
        });
    }

    /// Writes byte by byte, with a short pause in which the other side may end the connection. Returns how many bytes
    /// it wrote until then.
    pub(super) fn drip(mut stream: TcpStream, bytes: &[u8]) -> usize {
        stream.set_read_timeout(Some(Duration::from_millis(50))).expect("set");
        let ended = |mut stream: &TcpStream| match stream.read(&mut [0; 256]) {
            Ok(len) => len == 0,
            Err(error) => !is_timeout(&error),
        };
        bytes.iter().take_while(|&&byte| stream.write_all(&[byte]).is_ok() && !ended(&stream)).count()
    }

    #[test]
    fn frames_of_every_length_come_through_and_one_over_the_cap_does_not() {
        let [(_near_receiver, near), (mut far, far_sender)] = pair(false);
        let (near, header) = (&near, frame::HEADER_LEN);
        let cap = frame::FRAME_LEN_MAX + frame::LENGTH_LEN - header;
        let record = RECORD_PLAIN_MAX - header;
        let lens = [0, 1, 4096, record - 1, record, record + 1, PIECE, cap];
        thread::scope(move |scope| {
            scope.spawn(move || {
                for (request, len) in (1..).zip(lens) {
                    near.send_frame(&piece(request, len)).expect("goes out");
                }
                near.send_frame(&piece(0, cap + 1))
            });
            for (request, len) in (1..).zip(lens) {
                let frame = far.recv(LONG).expect("comes in");
                assert_eq!((frame.request, data_of(&frame)), (request, piece(request, len)[header..].to_vec()));
                assert_eq!(frame.message(), Ok(PeerReply::Piece { data: Payload { len: len as u32 } }));
            }
            let too_long = RecordError::FrameTooLong { len: frame::FRAME_LEN_MAX + 1, max: frame::FRAME_LEN_MAX };
            assert!(matches!(far.recv(LONG), Err(RecvError::Record(error)) if error == too_long));
            // The reader never takes the rest of that frame, and the sender notices.
            drop((far, far_sender));
        });
    }

    #[test]
    fn the_cap_changes_with_the_login() {
        let ((near, far), (near_keys, far_keys)) = (sockets(), keys());
        let (_near_receiver, near) = split(near, near_keys, frame::FRAME_LEN_MAX, false).expect("a socket");
        let (mut far, _far_sender) = split(far, far_keys, frame::EARLY_FRAME_LEN_MAX, false).expect("a socket");
        let body = frame::EARLY_FRAME_LEN_MAX + frame::LENGTH_LEN - frame::HEADER_LEN;
        near.send_frame(&piece(1, body)).expect("goes out");
        assert_eq!(data_of(&far.recv(LONG).expect("just fits")).len(), body);
        far.set_frame_len_max(frame::FRAME_LEN_MAX);
        near.send_frame(&piece(2, body + 1)).expect("goes out");
        assert_eq!(data_of(&far.recv(LONG).expect("fits now")).len(), body + 1);
        far.set_frame_len_max(frame::EARLY_FRAME_LEN_MAX);
        near.send_frame(&piece(3, body + 1)).expect("goes out");
        assert!(matches!(far.recv(LONG), Err(RecvError::Record(RecordError::FrameTooLong { .. }))));
    }

    #[test]
    fn ending_a_connection_wakes_whoever_waits_for_a_frame() {
        let [(mut receiver, sender), _far] = pair(false);
        let reader = thread::spawn(move || receiver.recv(LONG).map(drop));
        sender.end();
        assert!(matches!(reader.join().expect("ends"), Err(RecvError::Closed)));
        assert!(sender.is_over());
    }
}
