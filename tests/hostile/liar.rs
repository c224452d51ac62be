//! A seeder that lies. It accepts connections like every other seeder, and then does with each what a test decides.

use crate::common::identity::{at, peer_key, secret};
use crate::common::subject::user;
use crate::member::key;
use crossbeam_channel as channel;
use groupshare::model::id::ClientId;
use groupshare::wire::client_tracker::Peer;
use groupshare::wire::codec::{Blob, Payload};
use groupshare::wire::connection::{self, FrameReceiver, FrameSender, TimedStream};
use groupshare::wire::deadlines::{HANDSHAKE_DEADLINE, IDLE_DEADLINE};
use groupshare::wire::frame::{self, FRAME_LEN_MAX, HEADER_LEN};
use groupshare::wire::handshake::peer::{PeerCaller, peer_accepts};
use groupshare::wire::peer::{PeerReply, PeerRequest};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A liar. Its threads end with the test's process.
pub(super) struct Liar {
    /// The liar as the tracker names it.
    pub peer: Peer,
    connections: Arc<AtomicUsize>,
    lies: channel::Receiver<()>,
}

/// Where a liar reports its lies to the waiting test.
#[derive(Clone)]
pub(super) struct Told(channel::Sender<()>);

impl Told {
    /// Reports that the victim has received a lie.
    pub(super) fn lied(&self) {
        let _ = self.0.try_send(());
    }
}

/// A victim that has connected to a liar.
pub(super) struct Believer {
    pub receiver: FrameReceiver,
    pub sender: Arc<FrameSender>,
    pub told: Told,
}

impl Liar {
    /// Runs this on each connection, before a handshake.
    pub(super) fn before_the_handshake(number: u8, lie: impl Fn(TcpStream, &Told) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let addr = listener.local_addr().expect("bound");
        let connections = Arc::new(AtomicUsize::new(0));
        let (tell, lies) = channel::bounded(1);
        let (counted, lie, told) = (connections.clone(), Arc::new(lie), Told(tell));
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                counted.fetch_add(1, Ordering::SeqCst);
                let (lie, told) = (lie.clone(), told.clone());
                std::thread::spawn(move || lie(stream, &told));
            }
        });
        let (client, key) = (ClientId([number; 16]), peer_key(number));
        let peer = Peer { client, user: user(number), key, addrs: at(addr), held: u32::MAX };
        Self { peer, connections, lies }
    }

    /// Runs this on each connection, after its handshake.
    pub(super) fn new(number: u8, lie: impl Fn(Believer) + Send + Sync + 'static) -> Self {
        Self::before_the_handshake(number, move |stream, told| {
            let mut stream_until = TimedStream::new(&stream, HANDSHAKE_DEADLINE);
            let accepted = peer_accepts(&mut stream_until, &secret(number), |_, _| Ok(key(7).key));
            // A victim that is done ends the connections that it has begun.
            let Ok(PeerCaller { keys, .. }) = accepted else { return };
            let Ok((receiver, sender)) = connection::split(stream, keys, FRAME_LEN_MAX, true) else { return };
            lie(Believer { receiver, sender, told: told.clone() });
        })
    }

    /// Opens with this bitfield, and runs this on each request for a piece.
    pub(super) fn that_holds(
        bits: impl AsRef<[u8]> + Send + Sync + 'static,
        number: u8,
        lie: impl Fn(&mut Believer, u32, u32) + Send + Sync + 'static,
    ) -> Self {
        Self::new(number, move |mut believer| {
            believer.open(bits.as_ref());
            while let Some((request, ask)) = believer.next() {
                if let PeerRequest::GetPiece { piece } = ask {
                    lie(&mut believer, request, piece);
                }
            }
        })
    }

    /// Waits until a victim has received a lie.
    pub(super) fn has_lied(&self) {
        self.lies.recv_timeout(crate::common::deadline::LONG).expect("a victim receives a lie");
    }

    /// How many connections the liar got.
    pub(super) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

impl Believer {
    /// The next request; `None` once the victim is gone.
    pub(super) fn next(&mut self) -> Option<(u32, PeerRequest)> {
        let frame = self.receiver.recv(IDLE_DEADLINE).ok()?;
        Some((frame.request, frame.message().expect("the victim is honest")))
    }

    /// Answers the first request with this bitfield.
    pub(super) fn open(&mut self, bits: &[u8]) {
        if let Some((request, PeerRequest::Open { .. })) = self.next() {
            let bits = Blob::new(bits.to_vec()).expect("below the cap");
            self.says(request, &PeerReply::Opened { bits });
        }
    }

    /// Sends a well-formed answer. The victim may be gone.
    pub(super) fn says(&self, request: u32, answer: &PeerReply) {
        let _ = self.sender.send(request, answer);
    }

    /// Sends an answer with any body.
    pub(super) fn says_bytes(&self, request: u32, kind: u8, body: &[u8]) {
        let _ = self.sender.send_frame(&raw_frame(request, kind, body));
    }

    /// Sends these bytes as a piece.
    pub(super) fn gives(&self, request: u32, data: &[u8]) {
        let _ = self.sender.send_frame(&piece_frame(request, data));
    }
}

/// A frame with this kind and body.
pub(super) fn raw_frame(request: u32, kind: u8, body: &[u8]) -> Vec<u8> {
    let mut out = vec![0; HEADER_LEN];
    out[4] = kind;
    out[5..].copy_from_slice(&request.to_be_bytes());
    out.extend_from_slice(body);
    frame::end(&mut out);
    out
}

/// A frame with these bytes as a piece.
pub(super) fn piece_frame(request: u32, data: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    frame::begin(&mut out, request, &PeerReply::Piece { data: Payload { len: 0 } });
    out.extend_from_slice(data);
    frame::end(&mut out);
    out
}
