//! A connection after its handshake. The target sends any frames at once and reads every answer.

use super::script::Script;
use groupshare::wire::connection::TimedStream;
use groupshare::wire::deadlines::HANDSHAKE_DEADLINE;
use groupshare::wire::frame::{FRAME_LEN_MAX, Frame, HEADER_LEN, LENGTH_LEN};
use groupshare::wire::handshake::HandshakeError;
use groupshare::wire::record_layer::{Opener, Sealer};
use groupshare::wire::transport_keys::TransportKeys;
use rustix::net::sockopt::set_socket_linger;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

/// Longer than anything takes, even on a busy machine.
const LONG: Duration = Duration::from_secs(60);

pub(super) struct Connection {
    stream: TcpStream,
    keys: TransportKeys,
    sealer: Sealer,
    /// The highest request id so far.
    pub last_request: u32,
}

/// What was sent on a connection.
#[derive(Default)]
pub(super) struct Said<'a> {
    /// Kinds and bodies of requests.
    pub requests: Vec<(u8, &'a [u8])>,
    /// Whether anything followed that need not be a request.
    pub wild: bool,
}

impl Connection {
    pub(super) fn new(
        addr: SocketAddr,
        shake: impl FnOnce(&mut TimedStream<'_>) -> Result<TransportKeys, HandshakeError>,
    ) -> Self {
        let stream = TcpStream::connect(addr).expect("somebody listens");
        stream.set_nodelay(true).expect("a socket");
        stream.set_read_timeout(Some(LONG)).expect("a socket");
        stream.set_write_timeout(Some(LONG)).expect("a socket");
        let keys = shake(&mut TimedStream::new(&stream, HANDSHAKE_DEADLINE)).expect("the keys are right");
        Self { stream, keys, sealer: Sealer::default(), last_request: 0 }
    }

    /// Sends a frame. The far side may already have ended the connection.
    pub(super) fn say(&mut self, frame: &[u8]) {
        let sealed = self.sealer.seal(&self.keys, frame);
        let _ = (&self.stream).write_all(sealed);
    }

    /// Sends a frame of a new request.
    pub(super) fn ask(&mut self, kind: u8, body: &[u8]) {
        self.last_request += 1;
        let frame = frame(kind, self.last_request, body);
        self.say(&frame);
    }

    /// Sends what a script decides: requests, and at the end possibly something else.
    pub(super) fn say_all<'a>(&mut self, script: &mut Script<'a>, requests_max: usize) -> Said<'a> {
        let mut said = Said::default();
        while said.requests.len() < requests_max {
            let (Some(kind), Some(len)) = (script.byte(), script.number()) else { break };
            let body = script.bytes(usize::from(len));
            match kind {
                // Any plaintext, which need not be a frame.
                0xff => self.say(body),
                // Any bytes in the place of a record.
                0xfe => drop((&self.stream).write_all(body)),
                // A request without an id.
                0xfd => self.say(&frame(body.first().copied().unwrap_or(0), 0, body.get(1..).unwrap_or(&[]))),
                _ => {
                    self.ask(kind, body);
                    said.requests.push((kind, body));
                    continue;
                }
            }
            said.wild = true;
            break;
        }
        said
    }

    /// Ends its own direction, and reads everything up to the end of the other.
    pub(super) fn hear_all(self, mut hear: impl FnMut(Frame<'_>)) {
        let _ = self.stream.shutdown(Shutdown::Write);
        let mut opener = Opener::new(FRAME_LEN_MAX);
        loop {
            while opener.advance(&self.keys).expect("the records of the answer are valid") {
                hear(opener.frame().expect("a frame"));
                opener.next_frame();
            }
            match (&self.stream).read(opener.room()) {
                Ok(len @ 1..) => opener.filled(len),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // A side that leaves bytes unread resets the connection.
                Ok(0) | Err(_) => break,
            }
        }
        // No port may linger, or the ports would run out.
        let _ = set_socket_linger(&self.stream, Some(Duration::ZERO));
    }
}

/// Sends lines to the port for programs. Returns all answers up to the end.
pub(super) fn hear_lines(addr: SocketAddr, said: &[u8]) -> String {
    let mut stream = TcpStream::connect(addr).expect("somebody listens");
    stream.set_read_timeout(Some(LONG)).expect("a socket");
    stream.write_all(said).expect("it is read");
    stream.shutdown(Shutdown::Write).expect("a socket");
    let mut heard = String::new();
    stream.read_to_string(&mut heard).expect("text, and then the end");
    let _ = set_socket_linger(&stream, Some(Duration::ZERO));
    heard
}

fn frame(kind: u8, request: u32, body: &[u8]) -> Vec<u8> {
    let len = (HEADER_LEN - LENGTH_LEN + body.len()) as u32;
    [&len.to_be_bytes()[..], &[kind], &request.to_be_bytes(), body].concat()
}
