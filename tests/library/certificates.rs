//! The identity of members among each other: what a certificate permits, and what it does not.

use crate::common::deadline::LONG;
use crate::common::identity::{certified_by, peer_identity, peer_key};
use crate::common::subject::{all, bytes, subject_of, user};
use crate::member::{Member, key};
use groupshare::client::download::engine::event::EngineEvent;
use groupshare::client::download::transfer::Subject;
use groupshare::model::id::{ClientId, PeerKey};
use groupshare::wire::certificate::Certificate;
use groupshare::wire::client_tracker::Peer;
use groupshare::wire::handshake::peer::{PeerIdentity, peer_to_peer};
use groupshare::wire::handshake::{HandshakeError, Secret, public_key};
use groupshare::wire::refusal::Code;
use std::net::TcpStream;

/// The seeder's answer to a client that calls it by this key.
fn answer(seeder: &Member, subject: &Subject, me: &PeerIdentity, their: PeerKey) -> Option<Code> {
    let stream = TcpStream::connect(seeder.peer(1, subject).addrs[0]).expect("it listens");
    stream.set_read_timeout(Some(LONG)).expect("an option");
    let group = key(7);
    match peer_to_peer(&mut &stream, me, their, (group.id, &group.key)) {
        Ok(_) => None,
        Err(HandshakeError::Refused(code)) => code,
        Err(error) => panic!("{error}"),
    }
}

fn seeder() -> (Member, Subject, Vec<u8>) {
    let data = bytes(10);
    let subject = subject_of(&data);
    let seeder = Member::new(1);
    seeder.seed(&data, &subject, all(&subject));
    (seeder, subject, data)
}

#[test]
fn a_member_cannot_pass_for_another() {
    let (seeder, subject, _) = seeder();
    let theirs = seeder.identity.key();
    let (eve, bob) = (peer_identity(5), peer_identity(2));
    assert_eq!(answer(&seeder, &subject, &eve, theirs), None, "as herself she is let in");
    // With the certificate of another member, which everybody may know.
    let stolen = PeerIdentity { secret: eve.secret.clone(), certificate: bob.certificate.clone() };
    assert_eq!(answer(&seeder, &subject, &stolen, theirs), Some(Code::BadCertificate));
    // With her own certificate, and in it another name or another client.
    let renamed = Certificate { user: bob.certificate.user, ..eve.certificate.clone() };
    let another = Certificate { client: ClientId([77; 16]), ..eve.certificate.clone() };
    let longer = Certificate { end: u64::MAX, ..eve.certificate.clone() };
    for forged in [renamed, another, longer] {
        let forger = PeerIdentity { secret: eve.secret.clone(), certificate: forged };
        assert_eq!(answer(&seeder, &subject, &forger, theirs), Some(Code::BadCertificate));
    }
    // With a certificate of another installation, or one that has ended.
    let (client, name) = (eve.certificate.client, user(5));
    let elsewhere = certified_by([0xee; 32], (client, name.clone(), peer_key(5)), 0);
    let ended = certified_by([0xc1; 32], (client, name, peer_key(5)), 25 * 3600);
    for worthless in [elsewhere, ended] {
        let me = PeerIdentity { secret: eve.secret.clone(), certificate: worthless };
        assert_eq!(answer(&seeder, &subject, &me, theirs), Some(Code::BadCertificate));
    }
}

#[test]
fn a_client_does_not_talk_to_itself() {
    let (seeder, subject, _) = seeder();
    let me = seeder.identity.shown().expect("certified");
    assert_eq!(answer(&seeder, &subject, &me, seeder.identity.key()), Some(Code::OtherClient));
    // Another client with the same client id is no better.
    let secret = Secret([66; 32]);
    let same = certified_by([0xc1; 32], (seeder.client, user(6), PeerKey(public_key(&secret))), 0);
    let same = PeerIdentity { secret, certificate: same };
    assert_eq!(answer(&seeder, &subject, &same, seeder.identity.key()), Some(Code::OtherClient));
}

#[test]
fn a_download_that_meets_another_client_asks_who_is_where_and_goes_on() {
    let (seeder, subject, data) = seeder();
    let leecher = Member::new(2);
    leecher.download(1, &subject);
    // Like after a restart of the client that listened there.
    let before = Peer { client: ClientId([99; 16]), key: peer_key(99), ..seeder.peer(1, &subject) };
    leecher.engine.peers(1, vec![before]);
    assert!(matches!(leecher.hears(), EngineEvent::StalePeer(1)));
    leecher.engine.peers(1, vec![seeder.peer(1, &subject)]);
    loop {
        match leecher.hears() {
            EngineEvent::StalePeer(1) => {}
            EngineEvent::Finished(_, path) => break assert!(std::fs::read(path).expect("there") == data),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_download_whose_certificate_has_ended_says_so_and_goes_on_with_a_new_one() {
    let (seeder, subject, data) = seeder();
    let leecher = Member::new(2);
    let fresh = leecher.identity.certified().expect("certified");
    let (client, name) = (leecher.client, user(2));
    let certificate = certified_by([0xc1; 32], (client, name, leecher.identity.key()), 25 * 3600);
    let mut ended = fresh.clone();
    (ended.now_s, ended.certificate) = (certificate.end - 1, certificate);
    assert!(leecher.identity.take(ended), "by the time of the leecher it has not ended");
    leecher.download(1, &subject);
    leecher.engine.peers(1, vec![seeder.peer(1, &subject)]);
    assert!(matches!(leecher.hears(), EngineEvent::StaleCertificate));
    assert!(leecher.identity.take(fresh));
    loop {
        match leecher.hears() {
            EngineEvent::StaleCertificate => {}
            EngineEvent::Finished(_, path) => break assert!(std::fs::read(path).expect("there") == data),
            other => panic!("{other:?}"),
        }
    }
}
