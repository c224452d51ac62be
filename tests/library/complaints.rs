//! An only seeder with a wrong piece that answers a complaint late, or leaves before it hears of it. It is asked again.

use crate::common::deadline::LONG;
use crate::common::identity::{at, peer_key, secret};
use crate::common::subject::{all, bytes, subject_of, user};
use crate::common::wait::wait_until;
use crate::member::{Member, MemberSetup, key};
use groupshare::client::download::transfer::Transfer;
use groupshare::model::id::ClientId;
use groupshare::rate::limit::Limit;
use groupshare::wire::client_tracker::Peer;
use groupshare::wire::codec::{Blob, Payload};
use groupshare::wire::connection::{self, FrameReceiver, FrameSender, TimedStream};
use groupshare::wire::deadlines::HANDSHAKE_DEADLINE;
use groupshare::wire::frame::{self, FRAME_LEN_MAX};
use groupshare::wire::handshake::peer::peer_accepts;
use groupshare::wire::peer::{PeerReply, PeerRequest};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

/// The length of the file: one short piece. Sockets hold all of it.
const LEN: usize = 20_000;

/// A leecher's connection to the seeder.
struct Connection {
    stream: TcpStream,
    receiver: FrameReceiver,
    sender: Arc<FrameSender>,
}

impl Connection {
    fn accept(stream: TcpStream) -> Self {
        let mut timed = TimedStream::new(&stream, HANDSHAKE_DEADLINE);
        let accepted = peer_accepts(&mut timed, &secret(1), |_, _| Ok(key(7).key)).expect("a member");
        let other = stream.try_clone().expect("an open socket");
        let (receiver, sender) = connection::split(stream, accepted.keys, FRAME_LEN_MAX, true).expect("a socket");
        Self { stream: other, receiver, sender }
    }

    /// Opens, and gives these bytes as the only piece.
    fn gives(&mut self, data: &[u8]) {
        let bits = Blob::new(all(&subject_of(data)).as_bytes().to_vec()).expect("short");
        let (request, ask) = self.hears().expect("it opens");
        assert!(matches!(ask, PeerRequest::Open { .. }), "{ask:?}");
        self.sender.send(request, &PeerReply::Opened { bits }).expect("sent");
        let (request, ask) = self.hears().expect("it asks");
        assert_eq!(ask, PeerRequest::GetPiece { piece: 0 });
        let mut out = Vec::new();
        frame::begin(&mut out, request, &PeerReply::Piece { data: Payload { len: data.len() as u32 } });
        out.extend_from_slice(data);
        frame::end(&mut out);
        self.sender.send_frame(&out).expect("sent");
    }

    /// The next request; `None` once the leecher has left.
    fn hears(&mut self) -> Option<(u32, PeerRequest)> {
        let frame = self.receiver.recv(LONG).ok()?;
        Some((frame.request, frame.message().expect("the leecher is honest")))
    }

    /// Leaves in such a way that the leecher can send nothing more.
    fn leaves(self) {
        rustix::net::sockopt::set_socket_linger(&self.stream, Some(Duration::ZERO)).expect("an option");
    }
}

/// A member with this download limit gets a file from its only seeder. The first piece is wrong, and `then` is what the
/// seeder does with its connection. On the others it gives the right piece.
fn arrives_in_the_end(download: Limit, then: impl FnOnce(Connection, &Transfer) + Send + 'static) {
    let data = bytes(LEN);
    let subject = subject_of(&data);
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let addrs = at(listener.local_addr().expect("bound"));
    let leecher = Member::with(3, MemberSetup { download, ..MemberSetup::default() });
    let transfer = leecher.download(1, &subject);
    let held = subject.content.layout.count();
    leecher.engine.peers(1, vec![Peer { client: ClientId([1; 16]), user: user(1), key: peer_key(1), addrs, held }]);
    let right = data.clone();
    let seeder = thread::spawn(move || {
        let accept = || Connection::accept(listener.accept().expect("it connects").0);
        let mut first = accept();
        first.gives(&[7; LEN]);
        let goes_on = thread::spawn(move || then(first, &transfer));
        let mut second = accept();
        second.gives(&right);
        goes_on.join().expect("the first connection ends as it should");
    });
    leecher.expect_finished(&data);
    seeder.join().expect("the leecher does what is expected");
}

#[test]
fn a_seeder_that_is_too_busy_to_answer_a_complaint_is_asked_again() {
    arrives_in_the_end(Limit::NONE, |mut first, _| {
        let (_, complaint) = first.hears().expect("it complains");
        assert_eq!(complaint, PeerRequest::BadPiece { piece: 0 });
        assert_eq!(first.hears(), None, "it leaves without the answer");
    });
}

#[test]
fn a_seeder_that_leaves_before_the_complaint_can_be_sent_is_asked_again() {
    // The leecher takes a second to read the piece.
    arrives_in_the_end(Limit::of(LEN as u64), |first, transfer| {
        wait_until("the piece comes in", || transfer.progress(Instant::now()).arriving > 0);
        first.leaves();
    });
}
