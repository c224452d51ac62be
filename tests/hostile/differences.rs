//! New versions among members that lie about blocks, or request them without an end.

use super::leechers::{seeder, still_serves};
use super::liar::{Believer, Liar};
use super::ordeal::Ordeal;
use crate::common::deadline::LONG;
use crate::common::subject::{all, bytes_of, subject_of};
use crate::member::{Member, open};
use groupshare::client::difference::rolling::{BlockDigest, DIGEST_LEN, describe};
use groupshare::model::piece::PIECE_LEN;
use groupshare::model::piece::block::BlockLen;
use groupshare::wire::codec::{Blob, List};
use groupshare::wire::connection::{FrameReceiver, RecvError};
use groupshare::wire::frame::UNASKED;
use groupshare::wire::peer::{DESCRIBED_MAX, PeerReply, PeerRequest};
use groupshare::wire::refusal::Code;

const BLOCK: BlockLen = BlockLen::SHORTEST;

/// The answer to a request, with the bytes of its piece.
fn answer(receiver: &mut FrameReceiver) -> (u32, PeerReply, Vec<u8>) {
    loop {
        let frame = receiver.recv(LONG).expect("an answer");
        if frame.request != UNASKED {
            let reply = frame.message().expect("one that is understood");
            return (frame.request, reply, frame.body.to_vec());
        }
    }
}

fn refusal(reply: &PeerReply) -> Option<Code> {
    match reply {
        PeerReply::Refused { code, .. } => Code::from_number(*code),
        _ => None,
    }
}

fn pieces(numbers: &[u32]) -> List<u32, DESCRIBED_MAX> {
    List::new(numbers.to_vec()).expect("few")
}

fn blocks(piece: u32, bits: &[u8]) -> PeerRequest {
    PeerRequest::GetBlocks { piece, block_len: BLOCK, blocks: Blob::new(bits.to_vec()).expect("short") }
}

#[test]
fn a_member_describes_pieces_and_gives_the_blocks_that_were_asked_for_and_no_others() {
    let ordeal = Ordeal::new();
    let (seeder, served) = seeder(&ordeal);
    let (mut receiver, sender) = open(&seeder, &ordeal.subject, 2).expect("there is a place");
    let describe_some = PeerRequest::Describe { block_len: BLOCK, pieces: pieces(&[8, 3, 3]) };
    sender.send(2, &describe_some).expect("sent");
    let mut expected = Vec::new();
    [8, 3, 3].into_iter().for_each(|piece| describe(&ordeal.piece(piece), BLOCK, &mut expected));
    let (request, reply, _) = answer(&mut receiver);
    assert!(request == 2 && reply == PeerReply::Digests { digests: Blob::new(expected).expect("below the cap") });
    assert_eq!(served.given(), 0, "nothing was given");
    let mut bits = [0; 64];
    (bits[0], bits[1], bits[63]) = (0b0110_0000, 0x80, 1);
    sender.send(3, &blocks(5, &bits)).expect("sent");
    let piece = ordeal.piece(5);
    let wanted = [&piece[1024..3072], &piece[8192..9216], &piece[511 * 1024..]].concat();
    let (request, _, data) = answer(&mut receiver);
    assert!(request == 3 && data == wanted);
    assert_eq!(served.given(), 4 * 1024);
}

#[test]
fn pieces_and_blocks_that_do_not_exist_are_refused() {
    let ordeal = Ordeal::new();
    let (seeder, served) = seeder(&ordeal);
    let (mut receiver, sender) = open(&seeder, &ordeal.subject, 2).expect("there is a place");
    for (number, ask) in [
        PeerRequest::Describe { block_len: BLOCK, pieces: pieces(&[0, 9]) },
        PeerRequest::Describe { block_len: BLOCK, pieces: pieces(&[u32::MAX; DESCRIBED_MAX]) },
        blocks(9, &[0xff; 64]),
        blocks(u32::MAX, &[1]),
    ]
    .into_iter()
    .enumerate()
    {
        let number = number as u32 + 2;
        sender.send(number, &ask).expect("sent");
        let (request, reply, _) = answer(&mut receiver);
        assert_eq!((request, refusal(&reply)), (number, Some(Code::NoSuchPiece)), "{ask:?}");
    }
    // The last piece has 77 bytes, and so one block.
    for ask in [blocks(0, &[]), blocks(0, &[0; 64]), blocks(0, &[0xff; 63]), blocks(8, &[0xc0]), blocks(8, &[0x80, 0])]
    {
        let (mut receiver, sender) = open(&seeder, &ordeal.subject, 2).expect("there is a place");
        sender.send(2, &ask).expect("sent");
        let (_, reply, _) = answer(&mut receiver);
        assert_eq!(refusal(&reply), Some(Code::Malformed), "{ask:?}");
        assert!(matches!(receiver.recv(LONG), Err(RecvError::Closed | RecvError::Cut | RecvError::Io(_))));
    }
    assert_eq!(served.given(), 0);
    still_serves(&seeder, &ordeal);
}

#[test]
fn endless_requests_to_describe_pieces_keep_nobody_from_the_file() {
    let ordeal = Ordeal::new();
    let (seeder, _) = seeder(&ordeal);
    let greedy: Vec<_> = (2..10)
        .map(|number| {
            let (receiver, sender) = open(&seeder, &ordeal.subject, number).expect("there is a place");
            let ask = PeerRequest::Describe { block_len: BLOCK, pieces: pieces(&[0; DESCRIBED_MAX]) };
            (2..400).for_each(|request| sender.send(request, &ask).expect("sent"));
            (receiver, sender)
        })
        .collect();
    still_serves(&seeder, &ordeal);
    drop(greedy);
}

/// A member with an old version. Its first byte differs from the new version.
struct Updater {
    ordeal: Ordeal,
    old: Vec<u8>,
}

impl Updater {
    fn new() -> Self {
        Self::of(Ordeal::new())
    }

    fn of(ordeal: Ordeal) -> Self {
        let old = ordeal.data[1..].to_vec();
        Self { ordeal, old }
    }

    /// The member gets the file from this liar, and later also from an honest member. Returns how many bytes came.
    fn gets_it(&self, liar: &Liar) -> u64 {
        let (victim, honest) = (Member::new(200), Member::new(201));
        let Ordeal { data, subject } = &self.ordeal;
        honest.seed(data, subject, all(subject));
        let download = victim.update(subject, &self.old, &subject_of(&self.old));
        victim.engine.peers(1, vec![liar.peer.clone()]);
        liar.has_lied();
        victim.engine.peers(1, vec![honest.peer(201, subject)]);
        victim.expect_finished(data);
        download.progress(std::time::Instant::now()).received
    }
}

/// False digests of these pieces: each block claims to equal the first block of `old`.
fn false_digests(ordeal: &Ordeal, old: &[u8], pieces: &[u32], len: BlockLen) -> PeerReply {
    let digest = BlockDigest::of(&old[..len.get() as usize]).to_bytes();
    let count_of = |piece: &u32| ordeal.piece(*piece).chunks(len.get() as usize).count();
    let count = pieces.iter().map(count_of).sum();
    PeerReply::Digests { digests: Blob::new(digest.repeat(count)).expect("below the cap") }
}

/// The true digests of these pieces.
fn true_digests(ordeal: &Ordeal, pieces: &[u32], len: BlockLen) -> PeerReply {
    let mut digests = Vec::new();
    pieces.iter().for_each(|&piece| describe(&ordeal.piece(piece), len, &mut digests));
    PeerReply::Digests { digests: Blob::new(digests).expect("below the cap") }
}

/// A member that describes and gives blocks by these functions. A report that they are wrong shows a successful lie,
/// and gets an answer.
fn member(
    ordeal: &Ordeal,
    describes: impl Fn(&Believer, u32, &[u32], BlockLen) + Send + Sync + 'static,
    gives: impl Fn(&Believer, u32, u32) + Send + Sync + 'static,
) -> Liar {
    let bits = ordeal.all();
    Liar::new(1, move |mut believer| {
        believer.open(&bits);
        while let Some((request, ask)) = believer.next() {
            match ask {
                PeerRequest::Describe { block_len, pieces } => describes(&believer, request, &pieces, block_len),
                PeerRequest::GetPiece { piece } | PeerRequest::GetBlocks { piece, .. } => {
                    gives(&believer, request, piece);
                }
                PeerRequest::BadPiece { .. } => {
                    believer.says(request, &PeerReply::Alive {});
                    believer.told.lied();
                }
                _ => {}
            }
        }
    })
}

/// Pieces of a file. A few requests are a small part of them.
const MANY: usize = 25;
/// Most pieces on their way before the first one reveals the lie.
const ON_WAY_MAX: u64 = 6;

#[test]
fn a_member_with_false_digests_hears_so_and_others_describe_the_rest() {
    let updater = Updater::of(Ordeal::of(MANY));
    let (about, given, old) = (Ordeal::of(MANY), Ordeal::of(MANY), updater.old.clone());
    let liar = member(
        &updater.ordeal,
        move |believer, request, pieces, len| believer.says(request, &false_digests(&about, &old, pieces, len)),
        move |believer, request, piece| believer.gives(request, &given.piece(piece)),
    );
    let received = updater.gets_it(&liar);
    assert!(received <= ON_WAY_MAX * u64::from(PIECE_LEN), "{received}");
}

#[test]
fn a_member_with_false_digests_that_gives_nothing_costs_no_more() {
    let updater = Updater::of(Ordeal::of(MANY));
    let (about, old) = (Ordeal::of(MANY), updater.old.clone());
    let liar = member(
        &updater.ordeal,
        move |believer, request, pieces, len| {
            believer.says(request, &false_digests(&about, &old, pieces, len));
            believer.told.lied();
        },
        |_, _, _| {},
    );
    let received = updater.gets_it(&liar);
    assert!(received <= ON_WAY_MAX * u64::from(PIECE_LEN), "{received}");
}

#[test]
fn more_or_fewer_digests_than_blocks_are_a_lie() {
    for digests in [0, 1, DIGEST_LEN, 2 * DIGEST_LEN + 1, 50_000] {
        let updater = Updater::new();
        let liar = member(
            &updater.ordeal,
            move |believer, request, _, _| {
                let digests = Blob::new(vec![0; digests]).expect("below the cap");
                believer.says(request, &PeerReply::Digests { digests });
                believer.told.lied();
            },
            |_, _, _| {},
        );
        let received = updater.gets_it(&liar);
        assert!(received < 10_000, "the honest member describes the other pieces: {received}");
        assert_eq!(liar.connections(), 1, "it is not asked again");
    }
}

#[test]
fn digests_that_nobody_asked_for_are_a_lie() {
    let updater = Updater::new();
    let bits = updater.ordeal.all();
    let liar = Liar::new(1, move |mut believer| {
        believer.open(&bits);
        believer.says(77, &PeerReply::Digests { digests: Blob::new(vec![0; DIGEST_LEN]).expect("short") });
        believer.told.lied();
        while believer.next().is_some() {}
    });
    updater.gets_it(&liar);
    assert_eq!(liar.connections(), 1);
}

#[test]
fn a_giver_of_wrong_or_few_blocks_hears_so_and_others_give_the_piece() {
    for len in [0, 1, 1024, 5000] {
        let updater = Updater::of(Ordeal::of(MANY));
        let about = Ordeal::of(MANY);
        let liar = member(
            &updater.ordeal,
            move |believer, request, pieces, len| believer.says(request, &true_digests(&about, pieces, len)),
            move |believer, request, _| believer.gives(request, &bytes_of(len, 9)),
        );
        let received = updater.gets_it(&liar);
        assert!(received <= ON_WAY_MAX * u64::from(PIECE_LEN), "{len}: {received}");
    }
}

#[test]
fn a_member_that_does_not_describe_keeps_nobody_waiting_for_long() {
    let updater = Updater::new();
    let silent = member(&updater.ordeal, |believer, _, _, _| believer.told.lied(), |_, _, _| {});
    updater.gets_it(&silent);
}
