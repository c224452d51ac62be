//! The cost of small parts of the protocol: encoding and decoding messages, and the bitfield of the largest share.
//! `cargo bench -- codec`.

use crate::kit::options::Options;
use crate::kit::table::{Table, median};
use groupshare::model::bitfield::Bitfield;
use groupshare::model::id::{ClientId, PeerKey};
use groupshare::model::name::UserId;
use groupshare::model::piece::{Layout, PIECES_MAX, SIZE_MAX};
use groupshare::wire::client_tracker::{PEERS_MAX, Peer, Reply};
use groupshare::wire::codec::{List, Wire, from_bytes, to_bytes};
use groupshare::wire::peer::{PeerReply, PeerRequest};
use std::hint::black_box;
use std::net::SocketAddr;
use std::time::Instant;

/// Samples of each measurement. The median counts.
const SAMPLES: usize = 31;
/// Calls in a sample.
const CALLS: u32 = 1000;

pub(crate) fn bench(_: &Options) {
    let mut table = Table::new(&["", "bytes", "ns each"]);
    let mut time = |what: &str, bytes: usize, calls: u32, call: &mut dyn FnMut()| {
        let sample = |_| {
            let start = Instant::now();
            (0..calls).for_each(|_| call());
            start.elapsed().as_nanos() as f64 / f64::from(calls)
        };
        let each = median((0..SAMPLES).map(sample));
        table.line(vec![what.to_owned(), bytes.to_string(), format!("{each:.0}")]);
    };

    let messages = [
        ("a request for a piece", wire(&PeerRequest::GetPiece { piece: 7 }), reading::<PeerRequest> as fn(&[u8])),
        (
            "news of 64 pieces",
            wire(&PeerReply::News { pieces: List::first_of((0..64).collect()) }),
            reading::<PeerReply>,
        ),
        ("a reply with 512 peers", wire(&peers()), reading::<Reply>),
    ];
    for (what, (bytes, write), read) in &messages {
        time(&format!("write {what}"), bytes.len(), CALLS, &mut || write());
        time(&format!("read {what}"), bytes.len(), CALLS, &mut || read(bytes));
    }

    let layout = Layout::new(SIZE_MAX).expect("the largest");
    let mut half = Bitfield::none(layout);
    for piece in layout.indexes().step_by(2) {
        half.insert(piece);
    }
    let bytes = half.as_bytes().to_vec();
    let mut piece = 0;
    let mut random = || {
        piece = (piece * 5 + 12_345) % PIECES_MAX;
        layout.index(piece).expect("below the count")
    };
    time("bitfield: has", bytes.len(), CALLS, &mut || {
        black_box(half.has(random()));
    });
    let mut filling = Bitfield::none(layout);
    time("bitfield: insert", bytes.len(), CALLS, &mut || {
        black_box(filling.insert(random()));
    });
    time("bitfield: from its bytes", bytes.len(), 10, &mut || drop(black_box(Bitfield::from_bytes(layout, &bytes))));
    time("bitfield: walk, every second piece", bytes.len(), 1, &mut || {
        black_box(half.iter(layout).map(|piece| u64::from(piece.get())).sum::<u64>());
    });
    println!("Medians of {SAMPLES} samples; the bitfield is that of {PIECES_MAX} pieces");
    table.print();
}

/// The bytes of a value, and a function that encodes it again.
fn wire<T: Wire + Clone + 'static>(value: &T) -> (Vec<u8>, Box<dyn Fn()>) {
    let again = value.clone();
    (to_bytes(value), Box::new(move || drop(black_box(to_bytes(black_box(&again))))))
}

fn reading<T: Wire>(bytes: &[u8]) {
    drop(black_box(from_bytes::<T>(black_box(bytes)).expect("its bytes")));
}

fn peers() -> Reply {
    let peer = |number: u16| Peer {
        client: ClientId(u128::from(number).to_be_bytes()),
        user: UserId::parse(&format!("member{number}")).expect("a name"),
        key: PeerKey([1; 32]),
        addrs: List::first_of(vec![SocketAddr::from(([127, 0, 0, 1], 10_000 + number))]),
        held: PIECES_MAX,
    };
    Reply::Peers { peers: List::first_of((0..PEERS_MAX as u16).map(peer).collect()), newer: None }
}
