//! The effect of lying seeders on a download.

use super::liar::{Believer, Liar, Told, piece_frame};
use super::ordeal::Ordeal;
use crate::common::subject::{all, user};
use crate::common::wait::wait_until;
use crate::member::Member;
use groupshare::wire::client_tracker::BITFIELD_MAX;
use groupshare::wire::codec::{Blob, List, Text};
use groupshare::wire::deadlines::HANDSHAKE_DEADLINE;
use groupshare::wire::frame::{FRAME_LEN_MAX, UNASKED};
use groupshare::wire::peer::{NEWS_MAX, PeerReply, PeerRequest};
use groupshare::wire::record_layer::FrameRecords;
use groupshare::wire::refusal::Code;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

/// The kinds of two answers, for malformed ones.
const OPENED: u8 = 2;
const NEWS: u8 = 64;
/// The time for one byte of a seeder that sends a byte now and then. It is shorter than the silence after which others
/// get the requests.
const BYTE: Duration = Duration::from_millis(100);
/// The first pause of a peer after a wrong piece.
const PAUSE: Duration = Duration::from_millis(500);
/// The time until the first answer of a distant peer.
const FAR: Duration = Duration::from_millis(500);

/// An answer to a request for a piece. Its arguments are the id of the request, the first piece, and the bitfield of
/// all pieces.
type Lie = fn(&Believer, u32, &[u8], &[u8]);

fn refused(code: u16) -> PeerReply {
    PeerReply::Refused { code, about: Text::new("\u{1b}[2J\u{202e}").expect("short") }
}

/// Keeps the connection until the victim goes.
fn until_gone(mut stream: &TcpStream) {
    while matches!(stream.read(&mut [0; 512]), Ok(1..)) {}
}

/// Lies about each requested piece. Returns how often it was asked.
fn asked_of(
    ordeal: &Ordeal,
    number: u8,
    lie: impl Fn(&mut Believer, u32, u32) + Send + Sync + 'static,
) -> (Liar, Arc<AtomicUsize>) {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    let liar = Liar::that_holds(ordeal.all(), number, move |believer, request, piece| {
        count.fetch_add(1, Ordering::SeqCst);
        lie(believer, request, piece);
        believer.told.lied();
    });
    (liar, asked)
}

#[test]
fn a_liar_under_an_honest_members_client_id_keeps_nobody_from_that_member() {
    let ordeal = Ordeal::new();
    // It always claims to be about to give.
    let (mut thief, _) = asked_of(&ordeal, 1, |_, _, _| {});
    let (victim, honest) = (Member::new(200), Member::new(201));
    honest.seed(&ordeal.data, &ordeal.subject, all(&ordeal.subject));
    thief.peer.client = honest.client;
    victim.download(1, &ordeal.subject);
    victim.engine.peers(1, vec![thief.peer.clone()]);
    thief.has_lied();
    // The tracker names the honest peer once, while the thief has a connection.
    victim.engine.peers(1, vec![honest.peer(201, &ordeal.subject)]);
    victim.expect_finished(&ordeal.data);
}

#[test]
fn a_member_said_to_have_all_is_asked_behind_open_and_gives_what_it_has_if_that_is_less() {
    let ordeal = Ordeal::new();
    let (good, all) = ((0..9).map(|piece| ordeal.piece(piece)).collect::<Vec<_>>(), ordeal.all());
    let first = AtomicBool::new(true);
    let mut member = Liar::new(1, move |mut believer| {
        if !first.swap(false, Ordering::SeqCst) {
            // Later the victim asks for nothing on trust.
            return believer.open(&all);
        }
        let (open, asked) = (believer.next(), believer.next());
        let (Some((open, PeerRequest::Open { .. })), Some((request, PeerRequest::GetPiece { piece }))) = (open, asked)
        else {
            return;
        };
        let mut bits = all.clone();
        bits[piece as usize / 8] &= !(0x80 >> (piece % 8));
        let bits = Blob::new(bits).expect("below the cap");
        believer.says(open, &PeerReply::Opened { bits });
        believer.says(request, &refused(Code::NoSuchPiece as u16));
        while let Some((request, ask)) = believer.next() {
            if let PeerRequest::GetPiece { piece } = ask {
                believer.gives(request, &good[piece as usize]);
                believer.told.lied();
            }
        }
    });
    member.peer.held = 9;
    ordeal.is_survived(&[member]);
}

#[test]
fn a_piece_that_was_asked_for_behind_open_comes_from_others_if_that_is_never_answered() {
    let ordeal = Ordeal::new();
    let mut silent = Liar::new(1, |mut believer| {
        let asked = (believer.next(), believer.next());
        assert!(matches!(asked, (Some((_, PeerRequest::Open { .. })), Some((_, PeerRequest::GetPiece { .. })))));
        believer.told.lied();
        while believer.next().is_some() {}
    });
    silent.peer.held = 9;
    let took = ordeal.is_survived(&[silent]);
    assert!(took < HANDSHAKE_DEADLINE, "{took:?}");
}

#[test]
fn members_that_do_not_answer_open_keep_no_honest_one_from_being_asked() {
    let ordeal = Ordeal::new();
    let silent = |number| {
        let mut silent = Liar::new(number, |mut believer| {
            while believer.next().is_some() {
                believer.told.lied();
            }
        });
        silent.peer.held = 9;
        silent
    };
    let silent: Vec<_> = (1..=8).map(silent).collect();
    let took = ordeal.is_survived(&silent);
    assert!(took < HANDSHAKE_DEADLINE, "{took:?}");
}

#[test]
fn a_busy_members_word_on_its_line_is_told_if_it_is_a_place() {
    let ordeal = Ordeal::new();
    let busy = |number, about: &'static str| {
        Liar::new(number, move |mut believer| {
            if let Some((request, PeerRequest::Open { .. })) = believer.next() {
                let about = Text::new(about).expect("short");
                believer.says(request, &PeerReply::Refused { code: Code::Busy as u16, about });
            }
        })
    };
    let members = [busy(1, "23"), busy(2, "\u{1b}[2J")];
    let victim = Member::new(200);
    let transfer = victim.download(1, &ordeal.subject);
    victim.engine.peers(1, members.iter().map(|member| member.peer.clone()).collect());
    let told = || {
        let mut told: Vec<String> = transfer.obstacles().iter().map(|(user, why)| format!("{user}: {why}")).collect();
        told.sort();
        told
    };
    let expected = [format!("{}: busy, 23rd in line", user(1)), format!("{}: busy", user(2))];
    wait_until("both are told of", || told() == expected);
}

#[test]
fn a_seeder_of_bad_pieces_is_found_out_with_the_first_and_asked_for_nothing_more() {
    let ordeal = Ordeal::new();
    let good: Vec<_> = (0..9).map(|piece| ordeal.piece(piece)).collect();
    let (liar, asked) = asked_of(&ordeal, 1, move |believer, request, piece| {
        let mut data = good[piece as usize].clone();
        *data.last_mut().expect("no piece is empty") ^= 1;
        believer.gives(request, &data);
    });
    ordeal.is_survived(std::slice::from_ref(&liar));
    // The first piece, and the requests that were on their way before the victim checked it.
    let times = (asked.load(Ordering::SeqCst), liar.connections());
    assert!(times.0 <= 3 && times.1 == 1, "asked, connected {times:?} times");
}

#[test]
fn a_piece_of_a_wrong_length_is_thrown_away_and_its_sender_asked_for_more_only_after_longer_and_longer_pauses() {
    let ordeal = Ordeal::new();
    let piece = ordeal.piece(0).len();
    let lens = [0, 1, piece - 1, piece + 1, FRAME_LEN_MAX - 5, FRAME_LEN_MAX + 1, 4 * FRAME_LEN_MAX];
    let (liars, asked): (Vec<_>, Vec<_>) = (1..)
        .zip(lens)
        .map(|(number, len)| {
            asked_of(&ordeal, number, move |believer, request, _| believer.gives(request, &vec![7; len]))
        })
        .unzip();
    let took = ordeal.is_survived(&liars);
    for ((liar, asked), len) in liars.iter().zip(asked).zip(lens) {
        let (asked, connections) = (asked.load(Ordering::SeqCst), liar.connections());
        // After a wrong piece the peer gets another try after a pause. The pause doubles each time.
        let pauses = PAUSE * (2_u32.pow(connections as u32 - 1) - 1);
        let told = format!("a piece of {len} bytes: asked {asked} times on {connections} connections in {took:?}");
        assert!(asked <= 3 * connections && pauses <= took, "{told}");
    }
}

#[test]
fn a_right_piece_in_the_place_of_another_is_thrown_away() {
    let ordeal = Ordeal::new();
    let good: Vec<_> = (0..9).map(|piece| ordeal.piece(piece)).collect();
    let (liar, _) = asked_of(&ordeal, 1, move |believer, request, piece| {
        believer.gives(request, &good[(piece as usize + 1) % 8]);
    });
    ordeal.is_survived(&[liar]);
}

#[test]
fn answers_to_no_question_end_the_connection() {
    let ordeal = Ordeal::new();
    let (good, bits) = (ordeal.piece(0), ordeal.all());
    let lies: [Lie; 6] = [
        |believer, request, good, _| believer.gives(request.wrapping_add(1), good),
        |believer, _, good, _| believer.gives(UNASKED, good),
        |believer, request, _, bits| believer.says_bytes(request, OPENED, &[&[0, 0, 0, 2], bits].concat()),
        |believer, request, _, _| believer.says(request, &PeerReply::Alive {}),
        |believer, request, _, _| believer.says(request.wrapping_add(9), &refused(Code::OnItsWay as u16)),
        |believer, request, _, _| believer.says_bytes(request, 99, b"what is this?"),
    ];
    let liars: Vec<_> = (1..)
        .zip(lies)
        .map(|(number, lie)| {
            let (good, bits) = (good.clone(), bits.clone());
            asked_of(&ordeal, number, move |believer, request, _| lie(believer, request, &good, &bits)).0
        })
        .collect();
    ordeal.is_survived(&liars);
    for liar in &liars {
        assert_eq!(liar.connections(), 1, "{} is not tried again", liar.peer.user);
    }
}

#[test]
fn pieces_that_a_seeder_claims_and_does_not_have_come_from_others() {
    let ordeal = Ordeal::new();
    let codes = [Code::NoSuchPiece as u16, Code::FileChanged as u16, Code::NotServed as u16, 0, u16::MAX];
    let liars = (1..).zip(codes).map(|(number, code)| {
        asked_of(&ordeal, number, move |believer, request, _| believer.says(request, &refused(code))).0
    });
    ordeal.is_survived(&liars.collect::<Vec<_>>());
}

#[test]
fn pieces_that_a_seeder_never_has_on_its_way_to_us_come_from_others() {
    let ordeal = Ordeal::new();
    let (liar, asked) =
        asked_of(&ordeal, 1, |believer, request, _| believer.says(request, &refused(Code::OnItsWay as u16)));
    let took = ordeal.is_survived(&[liar]);
    // A few times for each tick, of which there are five a second.
    let most = 20 * (2 + took.as_millis() as usize / 200);
    assert!(asked.load(Ordering::SeqCst) < most, "asked {asked:?} times and not {most}");
}

#[test]
fn a_seeder_that_never_answers_holds_nothing_up() {
    let ordeal = Ordeal::new();
    let silent = |number| {
        Liar::before_the_handshake(number, |stream, told: &Told| {
            told.lied();
            until_gone(&stream);
        })
    };
    let after_the_handshake = Liar::new(2, |mut believer| {
        believer.told.lied();
        while believer.next().is_some() {}
    });
    let when_asked = Liar::that_holds(ordeal.all(), 3, |believer, _, _| believer.told.lied());
    let (data, bits) = (ordeal.piece(0), ordeal.all());
    let within_a_piece = Liar::that_holds(bits, 4, move |believer, request, _| {
        let mut frame = FrameRecords::default();
        frame.hold(&piece_frame(request, &data));
        let half = data.len() / 2;
        // As if the rest were on its way.
        assert!(believer.sender.begin_parts());
        let sealed = believer.sender.seal_part(&mut frame);
        let _ = believer.receiver.stream().write_all(&sealed[..half]);
        believer.told.lied();
        std::thread::park_timeout(crate::common::deadline::LONG);
    });
    // Many peers that do not even make a handshake. None of these attempts has timed out when the file is complete.
    let deaf = (10..40).map(silent);
    let all: Vec<_> = deaf.chain([after_the_handshake, when_asked, within_a_piece]).collect();
    let took = ordeal.is_survived(&all);
    assert!(took < HANDSHAKE_DEADLINE, "{took:?}");
}

#[test]
fn a_seeder_that_gives_a_byte_now_and_then_holds_nothing_up() {
    let ordeal = Ordeal::new();
    // Slow in the handshake.
    let slow_to_begin = Liar::before_the_handshake(1, |mut stream, told| {
        while stream.write_all(&[0]).is_ok() {
            told.lied();
            std::thread::park_timeout(BYTE);
        }
    });
    // Slow within a piece.
    let data = ordeal.piece(0);
    let slow_to_give = Liar::that_holds(ordeal.all(), 2, move |believer, request, _| {
        let mut frame = FrameRecords::default();
        frame.hold(&piece_frame(request, &data));
        assert!(believer.sender.begin_parts());
        for byte in believer.sender.seal_part(&mut frame).chunks(1) {
            believer.told.lied();
            std::thread::park_timeout(BYTE);
            if believer.receiver.stream().write_all(byte).is_err() {
                return;
            }
        }
    });
    ordeal.is_survived(&[slow_to_begin, slow_to_give]);
}

#[test]
fn a_seeder_that_owes_many_pieces_keeps_no_other_from_being_asked() {
    let ordeal = Ordeal::of(80);
    let pieces: Vec<_> = (0..80).map(|piece| ordeal.piece(piece)).collect();
    let bits = ordeal.all();
    // Distant and fast at first, so the victim asks for much. Then a byte now and then: it is never silent.
    let liar = Liar::new(1, move |mut believer| {
        believer.open(&bits);
        let mut given = 0;
        while let Some((request, ask)) = believer.next() {
            let PeerRequest::GetPiece { piece } = ask else { continue };
            let data = &pieces[piece as usize];
            if given < 2 {
                if given == 0 {
                    std::thread::park_timeout(FAR);
                }
                given += 1;
                believer.gives(request, data);
                continue;
            }
            let mut frame = FrameRecords::default();
            frame.hold(&piece_frame(request, data));
            assert!(believer.sender.begin_parts());
            for (count, byte) in believer.sender.seal_part(&mut frame).chunks(1).enumerate() {
                // By now the victim asks for little else, since nothing has come in for some time.
                if count == 40 {
                    believer.told.lied();
                }
                std::thread::park_timeout(BYTE);
                if believer.receiver.stream().write_all(byte).is_err() {
                    return;
                }
            }
        }
    });
    let took = ordeal.is_survived(&[liar]);
    assert!(took < Duration::from_secs(30), "{took:?}");
}

#[test]
fn a_seeder_that_announces_billions_of_pieces_is_not_believed() {
    let ordeal = Ordeal::new();
    let most = u32::MAX.to_be_bytes();
    let whole = vec![0xff; BITFIELD_MAX];
    let counted = |bits: &[u8]| [&(bits.len() as u32).to_be_bytes(), bits].concat();
    let bitfields = [
        most.to_vec(),
        [&most[..], &[0xff; 1000]].concat(),
        counted(&whole),
        counted(&[]),
        counted(&[0xff, 0xff]),
        counted(&[0xff, 0xff, 0xff]),
        [&0x0010_0000_u32.to_be_bytes()[..], &[0xff; 4]].concat(),
    ];
    let openers = (1..).zip(bitfields).map(|(number, body)| {
        Liar::new(number, move |mut believer| {
            if let Some((request, PeerRequest::Open { .. })) = believer.next() {
                believer.says_bytes(request, OPENED, &body);
                believer.told.lied();
                while believer.next().is_some() {}
            }
        })
    });
    ordeal.is_survived(&openers.collect::<Vec<_>>());
    let news = [
        most.to_vec(),
        [&1_u32.to_be_bytes(), &most[..]].concat(),
        [&1_u32.to_be_bytes(), &9_u32.to_be_bytes()[..]].concat(),
        [&(NEWS_MAX as u32 + 1).to_be_bytes()[..], &[0; 4 * (NEWS_MAX + 1)]].concat(),
    ];
    let tellers = (1..).zip(news).map(|(number, body)| {
        let bits = ordeal.all();
        Liar::new(number, move |mut believer| {
            believer.open(&bits);
            believer.says_bytes(UNASKED, NEWS, &body);
            believer.told.lied();
            while believer.next().is_some() {}
        })
    });
    let tellers: Vec<_> = tellers.collect();
    ordeal.is_survived(&tellers);
    for liar in &tellers {
        assert_eq!(liar.connections(), 1, "{} is not tried again", liar.peer.user);
    }
}

#[test]
fn news_without_end_keep_nobody_from_the_pieces() {
    let ordeal = Ordeal::new();
    let pieces = || List::new(vec![0; NEWS_MAX]).expect("at the cap");
    let before_opening = Liar::new(1, move |mut believer| {
        let _ = believer.next();
        while believer.sender.send(UNASKED, &PeerReply::News { pieces: pieces() }).is_ok() {
            believer.told.lied();
        }
    });
    let bits = ordeal.all();
    let after_opening = Liar::new(2, move |mut believer| {
        believer.open(&bits);
        while believer.sender.send(UNASKED, &PeerReply::News { pieces: pieces() }).is_ok() {
            believer.told.lied();
        }
    });
    ordeal.is_survived(&[before_opening, after_opening]);
}

#[test]
fn news_of_nothing_or_of_what_was_announced_before_end_the_connection() {
    let ordeal = Ordeal::new();
    let told: [&[&[u32]]; 3] = [&[&[]], &[&[0]], &[&[1], &[1]]];
    let tellers = (1..).zip(told).map(|(number, told)| {
        // Everything except the second piece, or everything.
        let mut bits = ordeal.all();
        if number == 3 {
            bits[0] &= !0x40;
        }
        Liar::new(number, move |mut believer| {
            believer.open(&bits);
            for pieces in told {
                believer.says(UNASKED, &PeerReply::News { pieces: List::new(pieces.to_vec()).expect("few") });
            }
            believer.told.lied();
            while believer.next().is_some() {}
        })
    });
    let tellers: Vec<_> = tellers.collect();
    ordeal.is_survived(&tellers);
    for liar in &tellers {
        assert_eq!(liar.connections(), 1, "{} is not tried again", liar.peer.user);
    }
}

#[test]
fn bytes_that_are_no_handshake_and_records_that_are_none_end_the_connection() {
    let ordeal = Ordeal::new();
    let greetings: [&[u8]; 4] = [b"HTTP/1.1 400 Bad Request\r\n\r\n", &[0, 0, 0xff, 0xff], &[0xff; 300], &[0, 48, 1]];
    let mut liars: Vec<_> = greetings
        .into_iter()
        .zip(1..)
        .map(|(greeting, number)| {
            Liar::before_the_handshake(number, move |mut stream, told| {
                let _ = stream.write_all(greeting);
                told.lied();
                let _ = stream.shutdown(std::net::Shutdown::Write);
                until_gone(&stream);
            })
        })
        .collect();
    let bits = ordeal.all();
    liars.push(Liar::new(9, move |mut believer| {
        believer.open(&bits);
        // A record without the keys of the connection.
        let _ = believer.receiver.stream().write_all(&[0, 40]);
        let _ = believer.receiver.stream().write_all(&[5; 40]);
        believer.told.lied();
        while believer.next().is_some() {}
    }));
    ordeal.is_survived(&liars);
}

#[test]
fn among_many_who_lie_at_once_one_honest_member_is_enough() {
    let ordeal = Ordeal::new();
    let liars: Vec<_> = (1..=24)
        .map(|number| {
            let data = ordeal.piece(0);
            Liar::that_holds(ordeal.all(), number, move |believer, request, _| {
                match number % 4 {
                    0 => believer.gives(request, &vec![0; data.len()]),
                    1 => believer.gives(request, &data[..100]),
                    2 => believer.says(request, &refused(Code::NoSuchPiece as u16)),
                    _ => {}
                }
                believer.told.lied();
            })
        })
        .collect();
    ordeal.is_survived(&liars);
    wait_until("all were tried", || liars.iter().all(|liar| liar.connections() > 0));
}
