//! The thread that looks after the shares of a login. What is not there, cannot be read or has changed is told, and
//! given to nobody. It stays shared: it is looked for again, read if need be, and given again.

use super::inspection::{Inspection, reason};
use super::register::Upkeep;
use super::standing::{Finding, Lack, Reason, ShareKey, ShareNews};
use crate::client::app::download::manifest;
use crate::client::app::login_session::LoginSession;
use crate::client::app::share::{LocalShare, hold_now, serve};
use crate::client::download::transfer::Transfer;
use crate::client::hash::piece_hash::sha1_of;
use crate::client::output::event::Event;
use crate::client::rpc::error::RpcError;
use crate::client::state::record::ShareRecord;
use crate::client::storage::file_stamp::StampsDigest;
use crate::client::storage::piece_source::PieceSource;
use crate::client::storage::sighting::{Sight, Sighting};
use crate::model::id::ShareRef;
use crate::model::manifest::Manifest;
use crate::model::piece::PieceIndex;
use std::sync::Arc;
use std::time::Instant;

/// A share that is being read.
struct Reading {
    key: ShareKey,
    record: ShareRecord,
    inspection: Inspection,
    begun: Instant,
}

/// Looks after the shares until the session ends. One share is read at a time, a bit after the other; between two bits
/// others are looked at.
pub(crate) fn run(session: &LoginSession) {
    let mut reading: Option<Reading> = None;
    while !session.is_over() {
        match session.upkeep().next(reading.is_some(), session.over()) {
            Some(Upkeep::Look(key)) => reading = look(session, key, reading.is_some()).or(reading),
            Some(Upkeep::Check(key, piece)) => check(session, key, piece),
            None => reading = reading.and_then(|reading| read_on(session, reading)),
        }
    }
}

/// Reads a bit of a share. Gives it back unless it is done.
fn read_on(session: &LoginSession, mut reading: Reading) -> Option<Reading> {
    if reading.inspection.step(session.over()) {
        return Some(reading);
    }
    if !session.is_over() {
        finish(session, &reading);
    }
    None
}

/// A seeder could not read what it was asked for. False if it is no share.
pub(crate) fn alarm(session: &LoginSession, key: ShareKey) -> bool {
    session.upkeep().alarm(key, Instant::now())
}

/// A member says that a piece of a share is wrong.
pub(crate) fn complain(session: &LoginSession, key: ShareKey, piece: PieceIndex) {
    session.upkeep().complain(key, piece);
}

/// The record of a share.
fn record_of(session: &LoginSession, (group, info_hash): ShareKey) -> Option<ShareRecord> {
    let group = session.node().keyring.name_of(group)?;
    session.slot().shares_of(info_hash).into_iter().find(|record| record.group == group)
}

/// The list of the pieces of a share: the one that is kept, else that of the tracker.
fn manifest_of(session: &LoginSession, record: &ShareRecord, share: ShareRef) -> Result<Arc<Manifest>, Reason> {
    match session.slot().manifest(&record.content.info_hash) {
        Ok(Some(manifest)) => Ok(Arc::new(manifest)),
        Ok(None) | Err(_) => manifest::fetch(session, share, &record.content)
            .map_err(|failure| Reason::Unreadable(format!("the list of its pieces is missing: {}", failure.why))),
    }
}

/// Looks at a share, without reading content. Gives what is to be read.
fn look(session: &LoginSession, key: ShareKey, busy: bool) -> Option<Reading> {
    let begun = Instant::now();
    let known = session.upkeep().known(key)?;
    let Some(record) = record_of(session, key) else {
        session.upkeep().forget(key);
        return None;
    };
    // A folder whose place is empty needs no look at each file.
    let root = Sight::at(&record.path, record.content.layout.size());
    let away = reason(&root).filter(|_| !record.path.is_dir());
    let manifest = match away {
        Some(away) => Err(away),
        None => manifest_of(session, &record, known.share),
    };
    let manifest = match manifest {
        Ok(manifest) => manifest,
        Err(why) => {
            nothing_there(session, key, &record, (root, why), begun);
            return None;
        }
    };
    let mut inspection = Inspection::begin(&record.path, manifest);
    if known.seen == Some(inspection.seen) && !known.doubted {
        tell(session, &record, session.upkeep().looked(key, inspection.seen, Finding::AsBefore, begun.elapsed()));
        return None;
    }
    let hashed = inspection.sighting().stamps().filter(|stamps| stamps.digest() == record.stamps);
    match known.checked.as_ref() {
        None if hashed.is_some() => inspection.trust(),
        checked => inspection.compare(checked, known.doubted),
    }
    give(session, key, &record, Some(&inspection));
    if let Some(lack) = inspection.lack().filter(|_| known.doubted) {
        tell(session, &record, session.upkeep().lacks(key, lack));
    }
    if inspection.must_read() {
        let begins = session.upkeep().may_read(key, busy, Instant::now());
        return begins.then(|| Reading { key, record, inspection, begun: Instant::now() });
    }
    let finding = inspection.lack().map_or(Finding::Whole, Finding::Lacks);
    tell(session, &record, session.upkeep().looked(key, inspection.seen, finding, begun.elapsed()));
    None
}

/// Nothing of the share can be read now.
fn nothing_there(session: &LoginSession, key: ShareKey, record: &ShareRecord, root: (Sight, Reason), begun: Instant) {
    give(session, key, record, None);
    let (seen, reason) = root;
    let lack = Lack { path: record.path.clone(), reason, files: 1, partly: false };
    let seen = Sighting([seen].into()).digest();
    tell(session, record, session.upkeep().looked(key, seen, Finding::Lacks(lack), begun.elapsed()));
}

/// Reads a piece of which a member says that it is wrong. If it is, it is given no more, and all is to be read.
fn check(session: &LoginSession, key: ShareKey, piece: PieceIndex) {
    let known = session.upkeep().known(key);
    let checked = known.as_ref().and_then(|known| known.checked.as_ref()).filter(|checked| checked.have.has(piece));
    let (Some(known), Some(checked), Some(record)) = (&known, checked, record_of(session, key)) else { return };
    let Ok(manifest) = manifest_of(session, &record, known.share) else { return };
    let mut bytes = vec![0; manifest.layout().len(piece) as usize];
    match checked.source.read_piece(piece, &mut bytes) {
        Ok(()) if sha1_of(&bytes) == manifest.pieces()[piece.as_usize()] => return,
        Ok(()) => {}
        Err(_) => {
            alarm(session, key);
            return;
        }
    }
    session.decide(|| {
        let Some(kept) = record_of(session, key).filter(|kept| *kept == record) else { return };
        // The next login must not trust these stamps either.
        let doubtful = ShareRecord { stamps: StampsDigest::WORTHLESS, ..kept };
        session.remembered(session.slot().put_share(doubtful, &manifest), ToString::to_string);
        session.upkeep().doubt(key, piece);
    });
}

/// All that had to be read was read.
fn finish(session: &LoginSession, reading: &Reading) {
    let Reading { key, record, inspection, begun } = reading;
    // A piece that was not read now was wrong.
    if session.upkeep().known(*key).is_some_and(|known| known.doubted) && !inspection.is_thorough() {
        session.upkeep().look_again(*key);
    }
    // Else the user has shared it anew meanwhile, or no longer.
    if session.upkeep().is_reading(*key) {
        give(session, *key, record, Some(inspection));
        let found = (inspection.seen, inspection.checked(), inspection.lack());
        tell(session, record, session.upkeep().read(*key, found, begun.elapsed()));
    }
}

/// Gives the pieces that are right to others, and no other ones; the tracker is told what is new.
fn give(session: &LoginSession, key: ShareKey, record: &ShareRecord, inspection: Option<&Inspection>) {
    let (group, info_hash) = key;
    let catalog = &session.node().catalog;
    // A download of the same content gives what it has, and takes the place of the share in the end.
    let downloads = |transfer: &Arc<Transfer>| (transfer.subject().group, transfer.subject().content.info_hash) == key;
    if session.downloads().running().iter().any(downloads) {
        return;
    }
    let told = session.decide(|| {
        let share = session.upkeep().known(key)?.share;
        let kept = record_of(session, key).filter(|kept| kept.path == record.path)?;
        let had = catalog.find(group, info_hash).map(|served| served.have());
        match inspection.filter(|inspection| !inspection.right.is_empty() || inspection.is_whole()) {
            None => {
                had?;
                catalog.remove(group, info_hash);
                Some(hold_now(session, share, key))
            }
            Some(inspection) if inspection.is_whole() && !inspection.must_read() => {
                Some(serve_whole(session, share, &kept, inspection))
            }
            Some(Inspection { source, right, .. }) => {
                catalog.offer(group, info_hash, source.clone(), right.clone());
                let new = had.as_ref() != Some(right);
                new.then(|| hold_now(session, share, key))
            }
        }
    });
    // Should the tracker be lost now, the next one is told all.
    if let Some(Err(RpcError::Refused(refusal))) = told {
        session.note_refusal(&refusal);
    }
}

fn serve_whole(
    session: &LoginSession,
    share: ShareRef,
    record: &ShareRecord,
    inspection: &Inspection,
) -> Result<(), RpcError> {
    let Some(stamps) = inspection.sighting().stamps() else { return Ok(()) };
    let ShareRecord { group, name, path, content, .. } = record;
    serve(session, share, LocalShare { group, name, path, content: *content, manifest: inspection.manifest(), stamps })
}

fn tell(session: &LoginSession, record: &ShareRecord, word: Option<ShareNews>) {
    let (group, file) = (record.group.clone(), record.name.clone());
    match word {
        None => {}
        Some(ShareNews::Back) => session.event(&Event::ShareBack { group, file }),
        Some(ShareNews::Lacks(lack)) => {
            let (partly, why) = (lack.partly, lack.to_string());
            session.event(&match lack.reason {
                Reason::Changed => Event::ShareChanged { group, file, partly, why },
                Reason::Gone | Reason::Unreadable(_) => Event::ShareMissing { group, file, partly, why },
            });
        }
    }
}
