//! The thread that looks after the shares of a login. The thread tells the user of missing, unreadable or changed
//! files, and stops giving them to others. Such a file stays shared: the thread looks for it again, reads it if need
//! be, and gives it again.

use super::inspection::{Inspection, reason};
use super::news::News;
use super::register::{Known, Upkeep};
use super::standing::{Finding, Lack, Reason, ShareKey, ShareNews, Standing};
use crate::client::app::announce::note_refused_hold;
use crate::client::app::download::manifest;
use crate::client::app::folders::commands::folder_of;
use crate::client::app::login_session::LoginSession;
use crate::client::app::share::{LocalShare, hold_now, serve};
use crate::client::download::transfer::{Subject, Transfer};
use crate::client::hash::piece_hash::sha1_of;
use crate::client::rpc::error::RpcError;
use crate::client::state::record::ShareRecord;
use crate::client::storage::file_stamp::StampsDigest;
use crate::client::storage::piece_source::{PieceSource, SourceError};
use crate::client::storage::share_tree::SharePlace;
use crate::client::storage::sighting::{Sight, Sighting};
use crate::model::digest::Sha1Digest;
use crate::model::escape::ShownPath;
use crate::model::id::ShareRef;
use crate::model::manifest::Manifest;
use crate::model::name::{FileName, GroupId, UserId};
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

/// The state of the thread.
struct Keeper<'a> {
    session: &'a LoginSession,
    reading: Option<Reading>,
    news: News,
}

/// Looks after the shares until the session ends. The thread reads one share at a time, in small steps. Between two
/// steps it looks at other shares.
pub(crate) fn run(session: &LoginSession) {
    let mut keeper = Keeper { session, reading: None, news: News::default() };
    while !session.is_over() {
        match session.upkeep().next(keeper.reading.is_some(), keeper.news.due(), session.over()) {
            Some(Upkeep::Look(key)) => keeper.look(key),
            Some(Upkeep::Check(key, piece)) => {
                let begun = Instant::now();
                check(session, key, piece);
                session.upkeep().checked(begun.elapsed());
            }
            None => keeper.read_on(),
        }
        if keeper.news.due().is_some_and(|due| due <= Instant::now()) {
            keeper.news.tell(session);
        }
    }
}

/// Handles an alarm of the seeder, which could not read a requested piece. Returns false if the content is no share.
pub(crate) fn alarm(session: &LoginSession, key: ShareKey, unreadable: Option<PieceIndex>) -> bool {
    if let Some(piece) = unreadable {
        session.upkeep().complain(None, key, piece);
    }
    session.upkeep().alarm(key, Instant::now())
}

/// Takes in a member's complaint that a piece of a share is wrong.
pub(crate) fn complain(session: &LoginSession, user: UserId, key: ShareKey, piece: PieceIndex) {
    session.upkeep().complain(Some(user), key, piece);
}

/// A share whose place now has other content. Only the user can say whether to share that instead.
#[derive(Debug)]
pub(crate) struct OtherContent {
    pub key: ShareKey,
    pub group: GroupId,
    pub name: FileName,
    /// The place that the question is about. The answer does not count for anything that comes there later.
    pub place: SharePlace,
    /// Whether a symbolic link leads there now, and did not before.
    linked: bool,
}

impl OtherContent {
    /// The question to the user.
    pub(crate) fn question(&self) -> String {
        let Self { group, name, place, linked, .. } = self;
        let place = ShownPath(place.path());
        match linked {
            true => {
                format!("{name} in {group} is a link to {place} now, or lies behind one. Share what is there? [y/N] ")
            }
            false => format!("{name} in {group} has changed since it was shared. Share {place} as it is now? [y/N] "),
        }
    }
}

/// The next share whose place has other content, and about which the user has not been asked yet.
pub(crate) fn other_content(session: &LoginSession) -> Option<OtherContent> {
    loop {
        let (key, linked) = session.upkeep().take_question()?;
        let record = record_of(session, key).filter(|record| folder_of(session, record).is_none());
        let Some(ShareRecord { group, name, path, .. }) = record else { continue };
        // The thread tells the user if the content is gone by now.
        if let Ok(place) = SharePlace::find(&path) {
            return Some(OtherContent { key, group, name, place, linked });
        }
    }
}

/// The record of a share.
fn record_of(session: &LoginSession, (group, info_hash): ShareKey) -> Option<ShareRecord> {
    let group = session.node().keyring.name_of(group)?;
    session.slot().shares_of(info_hash).into_iter().find(|record| record.group == group)
}

/// The manifest of a share: the stored one, or else the tracker's.
fn manifest_of(session: &LoginSession, record: &ShareRecord, share: ShareRef) -> Result<Arc<Manifest>, Reason> {
    match session.slot().manifest(&record.content.info_hash) {
        Ok(Some(manifest)) => Ok(Arc::new(manifest)),
        Ok(None) | Err(_) => manifest::fetch(session, share, &record.content)
            .map_err(|failure| Reason::Unreadable(format!("the list of its pieces is missing: {}", failure.why))),
    }
}

/// Reads a piece about which a member complains. If it is wrong, the client no longer gives it, and the thread reads
/// the whole share.
fn check(session: &LoginSession, key: ShareKey, piece: PieceIndex) {
    let known = session.upkeep().known(key);
    let checked = known.as_ref().and_then(|known| known.checked.as_ref()).filter(|checked| checked.have.has(piece));
    let (Some(known), Some(checked), Some(record)) = (&known, checked, record_of(session, key)) else { return };
    let Ok(manifest) = manifest_of(session, &record, known.share) else { return };
    let mut bytes = vec![0; manifest.layout().len(piece) as usize];
    match checked.source.read_piece(piece, &mut bytes) {
        Ok(()) if sha1_of(&bytes) == manifest.pieces()[piece.as_usize()] => return,
        Ok(()) => {}
        // As with a disk that is broken in one place.
        Err(SourceError::Io(..)) if Sighting::take(&record.path, manifest.files()).stamps().is_some() => {}
        Err(_) => {
            session.upkeep().alarm(key, Instant::now());
            return;
        }
    }
    session.decide(|| {
        let Some(kept) = record_of(session, key).filter(|kept| *kept == record) else { return };
        // The next login must read the files too.
        let doubtful = ShareRecord { stamps: StampsDigest::WORTHLESS, ..kept };
        session.remembered(session.slot().put_share(doubtful, &manifest), ToString::to_string);
        session.upkeep().doubt(key, piece);
    });
}

/// Whether a share that is given whole still has unchanged files.
fn is_untouched(known: &Known) -> bool {
    let checked = known.checked.as_ref().filter(|checked| checked.have.is_complete() && !known.doubted);
    known.standing == Standing::Served && checked.is_some_and(|checked| checked.source.check_all().is_ok())
}

impl Keeper<'_> {
    /// Tells the user. For a file of a shared folder, the news goes to the folder's thread: files come and go there,
    /// and the system may not have told that thread of the change.
    fn news(&mut self, record: &ShareRecord, news: Option<ShareNews>) {
        if news.is_none() {
            return;
        }
        match folder_of(self.session, record) {
            Some(folder) => self.session.folders().touch(folder, record.name.clone()),
            None => self.news.add(record, news),
        }
    }

    /// Looks at a share without reading content. Begins to read it if need be.
    fn look(&mut self, key: ShareKey) {
        let (session, begun) = (self.session, Instant::now());
        let Some(known) = session.upkeep().known(key) else { return };
        let Some(record) = record_of(session, key) else { return session.upkeep().forget(key) };
        if is_untouched(&known) {
            return self.looked(key, &record, (None, Finding::Whole), begun);
        }
        // A missing root needs no look at each file.
        let root = Sight::at(&record.path, record.content.layout.size());
        let away = reason(&root).filter(|away| *away == Reason::Link || !record.path.is_dir());
        let manifest = away.map_or_else(|| manifest_of(session, &record, known.share), Err);
        let mut inspection = match manifest {
            Ok(manifest) => Inspection::begin(&record.path, manifest),
            Err(why) => return self.nothing_there(key, &record, (root, why), begun),
        };
        if known.seen == Some(inspection.seen) && !known.doubted {
            return self.looked(key, &record, (known.seen, Finding::AsBefore), begun);
        }
        let hashed = inspection.sighting().stamps().is_some_and(|stamps| stamps.digest() == record.stamps);
        match known.checked.as_ref() {
            None if hashed => inspection.trust(),
            checked => inspection.compare(checked, known.doubted),
        }
        self.give(key, &record, Some(&inspection));
        if let Some(lack) = inspection.lack().filter(|_| known.doubted) {
            self.news(&record, session.upkeep().lacks(key, lack));
        }
        if !inspection.must_read() {
            let finding = inspection.lack().map_or(Finding::Whole, Finding::Lacks);
            self.looked(key, &record, (Some(inspection.seen), finding), begun);
        } else if session.upkeep().may_read(key, self.reading.is_some(), Instant::now()) {
            self.reading = Some(Reading { key, record, inspection, begun: Instant::now() });
        }
    }

    fn looked(
        &mut self,
        key: ShareKey,
        record: &ShareRecord,
        (seen, finding): (Option<Sha1Digest>, Finding),
        begun: Instant,
    ) {
        self.news(record, self.session.upkeep().looked(key, seen, finding, begun.elapsed()));
    }

    /// Handles a share of which nothing can be read now.
    fn nothing_there(&mut self, key: ShareKey, record: &ShareRecord, root: (Sight, Reason), begun: Instant) {
        self.give(key, record, None);
        let (seen, reason) = root;
        let lack = Lack { path: record.path.clone(), reason, files: 1, partly: false };
        self.looked(key, record, (Some(Sighting([seen].into()).digest()), Finding::Lacks(lack)), begun);
    }

    /// Reads some pieces of the current share.
    fn read_on(&mut self) {
        // A share that was stopped or shared again meanwhile needs no more reading.
        let is_wanted = |reading: &Reading| self.session.upkeep().is_reading(reading.key);
        let Some(mut reading) = self.reading.take().filter(is_wanted) else { return };
        if reading.inspection.step(self.session.over()) {
            self.reading = Some(reading);
        } else if !self.session.is_over() {
            self.finish(&reading);
        }
    }

    /// Finishes a share after all the reads it needed.
    fn finish(&mut self, reading: &Reading) {
        let Reading { key, record, inspection, begun } = reading;
        let upkeep = self.session.upkeep();
        // A piece turned out wrong that this inspection did not read.
        if upkeep.known(*key).is_some_and(|known| known.doubted) && !inspection.is_thorough() {
            upkeep.look_again(*key);
        }
        // Otherwise the user has stopped the share or shared it again meanwhile.
        if upkeep.is_reading(*key) {
            self.give(*key, record, Some(inspection));
            let found = (inspection.seen, inspection.checked(), inspection.lack());
            self.news(record, upkeep.read(*key, found, begun.elapsed()));
        }
    }

    /// Gives exactly the right pieces to others, and tells the tracker of changes.
    fn give(&mut self, key: ShareKey, record: &ShareRecord, inspection: Option<&Inspection>) {
        let (session, (group, info_hash)) = (self.session, key);
        let catalog = &session.node().catalog;
        let told = session.decide(|| {
            let share = session.upkeep().known(key)?.share;
            let kept = record_of(session, key).filter(|kept| kept.path == record.path)?;
            let had = catalog.find(group, info_hash).map(|served| served.have());
            // The running download of this content gives its own pieces.
            if had.is_some() && is_downloaded(session, key) {
                return None;
            }
            match inspection.filter(|inspection| !inspection.right.is_empty() || inspection.is_whole()) {
                None => {
                    had?;
                    catalog.remove(group, info_hash);
                    Some(hold_now(session, share, key))
                }
                Some(inspection) if inspection.is_whole() && !inspection.must_read() => {
                    self.news(&kept, session.upkeep().is_back(key));
                    Some(serve_whole(session, share, &kept, inspection))
                }
                Some(Inspection { source, right, .. }) => {
                    catalog.offer(group, info_hash, source.clone(), right.clone());
                    let new = had.as_ref() != Some(right);
                    new.then(|| hold_now(session, share, key))
                }
            }
        });
        // If the client loses the tracker right now, it tells the next one everything.
        if let Some(Err(RpcError::Refused(refusal))) = told {
            note_refused_hold(session, key, &refusal);
        }
    }
}

/// Whether a download of the content runs right now.
fn is_downloaded(session: &LoginSession, (group, info_hash): ShareKey) -> bool {
    let is_it = |transfer: &Arc<Transfer>| {
        let Subject { group: of, content, .. } = transfer.subject();
        (*of, content.info_hash) == (group, info_hash)
    };
    session.downloads().running().iter().any(is_it)
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
