//! The thread that looks after shared folders. It hears of changes in them, shares files at rest, and ends the shares
//! of missing files.

use super::commands::{LOT, folder_of, shares_in};
use super::register::{GoneFiles, Orders};
use super::shared_folder::{Folder, Moment};
use crate::client::app::announce::{is_unheard, unheard_of};
use crate::client::app::login_session::LoginSession;
use crate::client::app::share::{self, InFolder, ToShare};
use crate::client::command::failure::{Cause, Failure};
use crate::client::output::event::Event;
use crate::client::rpc::error::RpcError;
use crate::client::rpc::queries::find;
use crate::client::state::folders::FolderRecord;
use crate::client::state::record::ShareRecord;
use crate::client::storage::file_stamp::StampsDigest;
use crate::client::storage::share_tree::SharePlace;
use crate::model::name::{FileName, GroupId};
use crate::wire::refusal::Code;
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// The time in which events are collected: a file that is being written causes thousands a second.
const EVENTS_PAUSE: Duration = Duration::from_millis(100);
/// How long the thread waits if it expects nothing.
const LONG_WAIT: Duration = Duration::from_secs(3600);
/// How long the thread shares nothing after a passing refusal, or at a limit.
const PASSING_PAUSE: Duration = Duration::from_secs(2);
const LIMIT_PAUSE: Duration = Duration::from_secs(60);
/// How long a waiter for the folders waits for a tracker at most.
const LOST_MAX: Duration = Duration::from_secs(60);
/// How often the client asks again whether the tracker has heard of another tracker's shares.
const HEAR_PAUSE: Duration = Duration::from_secs(5);

/// A large file that a helper thread reads beside the others.
struct Reading {
    record: FolderRecord,
    name: FileName,
    look: StampsDigest,
}

struct Keeper<'a> {
    session: &'a Arc<LoginSession>,
    folders: Vec<Folder>,
    /// The thread sends no request before this time.
    paused: Option<Instant>,
    /// When to try again after a full tracker or a long absence of all trackers.
    full: Option<Instant>,
    /// Since when no tracker is reached.
    lost: Option<Instant>,
    reading: Option<Reading>,
    /// Shares that are to end and that the tracker has not heard of. Their file is gone, or their folder is no longer
    /// shared.
    unheard: Vec<ShareRecord>,
    /// When to ask the tracker about them next.
    hears: Option<Instant>,
    /// Files of which the group may have another version than the folder.
    doubted: BTreeSet<(GroupId, FileName)>,
}

/// Looks after the folders until the session ends.
pub(crate) fn run(session: &Arc<LoginSession>) {
    let mut keeper = Keeper {
        session,
        folders: Vec::new(),
        paused: None,
        full: None,
        lost: None,
        reading: None,
        unheard: Vec::new(),
        hears: None,
        doubted: BTreeSet::new(),
    };
    while !session.is_over() {
        keeper.follow_records();
        keeper.take_orders();
        let now = Instant::now();
        keeper.folders.iter_mut().for_each(|folder| folder.look(session, now));
        keeper.look_after_reading();
        if !keeper.is_paused(now) {
            keeper.compare();
            keeper.end_unheard();
        }
        let more = !keeper.is_paused(now) && keeper.carry_out();
        keeper.tell();
        keeper.wait(more);
    }
}

/// Shares a file of a folder, unless that folder is no longer shared.
fn upload(
    session: &LoginSession,
    record: &FolderRecord,
    (name, path): (&FileName, &Path),
    known: Option<&ShareRecord>,
    stopped: &AtomicBool,
) -> Result<(), Failure> {
    let is_wanted = || !session.is_over() && session.slot().folders().list().contains(record);
    if !is_wanted() {
        return Err(RpcError::Cancelled.into());
    }
    let place = SharePlace::unlinked(path.to_path_buf()).map_err(|error| error.to_string())?;
    let file = InFolder { place: &place, name, known, is_wanted: &is_wanted };
    share::upload(session, (ToShare::InFolder(file), &record.group), stopped, &mut |_, _| {}).map(drop)
}

impl Keeper<'_> {
    /// Takes in the remembered folders, and drops the others.
    fn follow_records(&mut self) {
        let mut records = self.session.slot().folders().list();
        records.retain(FolderRecord::is_shared);
        self.folders.retain(|folder| records.contains(folder.record()));
        for record in records {
            if !self.folders.iter().any(|folder| *folder.record() == record) {
                let shared = shares_in(self.session, &record).into_iter().map(|share| (share.name, share.stamps));
                self.folders.push(Folder::new(record, shared.collect()));
            }
        }
    }

    fn take_orders(&mut self) {
        let Orders { ended, agreed, doubted, touched, left, read } = self.session.folders().take_orders();
        if let Some(read) = read {
            self.has_read(read);
        }
        self.doubted.extend(doubted);
        self.put_aside(left);
        // An ended share makes room for another.
        self.full = self.full.filter(|_| ended.is_empty());
        for folder in &mut self.folders {
            let group = folder.record().group.clone();
            ended.iter().filter(|(of, _)| *of == group).for_each(|(_, name)| folder.has_ended(name));
            if agreed.contains(&folder.record().path) {
                folder.agree();
            }
            let now = Instant::now();
            for (of, name) in &touched {
                if of == folder.record() {
                    folder.touched(name, now);
                }
            }
        }
    }

    fn is_paused(&mut self, now: Instant) -> bool {
        self.paused = self.paused.filter(|paused| *paused > now);
        self.full = self.full.filter(|full| *full > now);
        self.paused.is_some()
    }

    /// Shares one file, ends some shares, or asks about them. Returns true if more work may be waiting.
    fn carry_out(&mut self) -> bool {
        let session = self.session;
        for at in 0..self.folders.len() {
            let now = Instant::now();
            match self.folders[at].next(now, self.full.is_none(), self.reading.is_some()) {
                Moment::Nothing => {}
                Moment::Share(name, look, from) => {
                    self.share(at, &name, look, from.as_ref());
                    return true;
                }
                Moment::Withdraw(names) => {
                    self.withdraw(at, &names[..names.len().min(LOT)]);
                    return true;
                }
                Moment::Ask(count) => {
                    let FolderRecord { group, path, .. } = self.folders[at].record().clone();
                    let why = format!(
                        "{count} of its files are gone and stay shared; if you meant that, repeat share_folder"
                    );
                    session.event(&Event::FolderTrouble { group: group.clone(), folder: path.clone(), why });
                    session.folders().ask(GoneFiles { folder: path, group, count });
                    // Other files go on without the user's answer.
                    return true;
                }
            }
        }
        false
    }

    fn share(&mut self, at: usize, name: &FileName, look: StampsDigest, from: Option<&FileName>) {
        let (session, folder) = (self.session, &self.folders[at]);
        let (record, place) = (folder.record().clone(), folder.path_of(name));
        let known = from.and_then(|from| session.slot().share(&record.group, from));
        // A renamed file needs no reading.
        if known.is_none() && folder.is_large(name) {
            let stopped = session.folders().begin_large();
            self.reading = Some(Reading { record: record.clone(), name: name.clone(), look });
            let name = name.clone();
            let read = move |session: &Arc<LoginSession>| {
                session.folders().has_read(upload(session, &record, (&name, &place), None, &stopped));
            };
            return session.help("large-file".to_owned(), read);
        }
        let stopped = session.folders().begin_reading();
        let shared = upload(session, &record, (name, &place), known.as_ref(), stopped);
        let is_stopped = stopped.load(Ordering::Relaxed);
        self.has_shared(at, (name, look), shared, is_stopped);
    }

    /// Takes in the result of a large file.
    fn has_read(&mut self, shared: Result<(), Failure>) {
        let Some(Reading { record, name, look }) = self.reading.take() else { return };
        self.folders.iter_mut().for_each(Folder::has_read);
        if let Some(at) = self.folders.iter().position(|folder| *folder.record() == record) {
            // If the reading was stopped, the file has changed. It has come to rest by now, or will do so.
            let is_outdated = !self.folders[at].is_ready(&name, look);
            self.has_shared(at, (&name, look), shared, is_outdated);
        }
    }

    /// Stops the reading of the large file if it has changed meanwhile.
    fn look_after_reading(&self) {
        let Some(Reading { record, name, look }) = &self.reading else { return };
        let is_it = |folder: &Folder| folder.record() == record && folder.is_ready(name, *look);
        if !self.folders.iter().any(is_it) {
            self.session.folders().stop_large();
        }
    }

    /// Notes that a file is shared as it looked then, or refused. A stopped reading says nothing about the file.
    fn has_shared(
        &mut self,
        at: usize,
        (name, look): (&FileName, StampsDigest),
        shared: Result<(), Failure>,
        is_stopped: bool,
    ) {
        let (session, folder) = (self.session, &mut self.folders[at]);
        let group = folder.record().group.clone();
        let now = Instant::now();
        match shared {
            Ok(()) => {
                let look = session.slot().share(&group, name).map_or(look, |record| record.stamps);
                folder.is_shared(name, look);
                self.lost = None;
            }
            // The folder is no longer shared. If the user ended another folder, this file is read again.
            Err(_)
                if is_stopped
                    || session.is_over()
                    || !self.session.slot().folders().list().contains(folder.record()) => {}
            Err(Failure { cause: Cause::NoTracker, why }) => {
                self.paused = Some(now + PASSING_PAUSE);
                // Waiters no longer wait for this folder.
                if *self.lost.get_or_insert(now) + LOST_MAX <= now {
                    folder.is_full(session, format!("not all of its files are shared: {why}"));
                    self.full = self.paused;
                }
            }
            Err(Failure { cause: Cause::Refused(code), .. }) if code.is_passing() => {
                self.paused = Some(now + PASSING_PAUSE);
            }
            Err(Failure { cause: Cause::Refused(Code::QuotaReached | Code::InstallationFull), why }) => {
                folder.is_full(session, format!("not all of its files are shared: {why}"));
                self.full = Some(now + LIMIT_PAUSE);
            }
            Err(_) if folder.look_of(name).is_ok_and(|found| found != Some(look)) => folder.touched(name, now),
            Err(Failure { why, .. }) => folder.is_refused(name, look, &why),
        }
    }

    /// Shares files again of which the group has another version than the folder.
    fn compare(&mut self) {
        let session = self.session;
        for (group, name) in std::mem::take(&mut self.doubted) {
            let now = Instant::now();
            let is_in = |folder: &&mut Folder| {
                folder.record().group == group && folder.look_of(&name).is_ok_and(|found| found.is_some())
            };
            let Some(folder) = self.folders.iter_mut().find(is_in) else { continue };
            match find(&session.node().link, &group, &name) {
                Ok(found) => {
                    let own = session.slot().share(&group, &name);
                    if !found.shared_by_you || own.is_none_or(|own| own.content != found.content) {
                        folder.differs(&name, now);
                    }
                }
                Err(RpcError::Refused(refusal)) if !refusal.code.is_passing() => folder.differs(&name, now),
                Err(_) => {
                    self.doubted.insert((group, name));
                    self.paused = Some(now + PASSING_PAUSE);
                }
            }
        }
    }

    /// Keeps shares until they can end.
    fn put_aside(&mut self, shares: Vec<ShareRecord>) {
        if !shares.is_empty() {
            self.hears.get_or_insert(Instant::now() + HEAR_PAUSE);
        }
        self.unheard.extend(shares);
    }

    /// Ends those shares that the tracker has heard of by now. A share stays if the user has shared it again, or if its
    /// file lies in a shared folder again.
    fn end_unheard(&mut self) {
        let (session, now) = (self.session, Instant::now());
        if self.hears.is_none_or(|hears| hears > now) {
            return;
        }
        self.unheard.retain(|record| {
            let ShareRecord { group, name, share, .. } = record;
            let is_back = || folder_of(session, record).is_some() && record.path.exists();
            if session.slot().share(group, name).is_none_or(|own| own.share != *share) || is_back() {
                return false;
            }
            if share.is_some_and(|share| is_unheard(session, share)) {
                return true;
            }
            match share::stop(session, group, name) {
                Err(RpcError::Refused(refusal)) => refusal.code.is_passing(),
                ended => ended.is_err(),
            }
        });
        self.hears = (!self.unheard.is_empty()).then(|| now + HEAR_PAUSE);
    }

    /// Sets aside the shares that the tracker has not heard of. A request to end them could only end an older version.
    fn put_off(&mut self, at: usize, names: &[FileName]) -> Result<(), RpcError> {
        let (session, folder) = (self.session, &mut self.folders[at]);
        let share = |name| session.slot().share(&folder.record().group, name);
        let mut records: Vec<ShareRecord> = names.iter().filter_map(share).collect();
        let unheard = unheard_of(session, &records)?;
        records.retain(|record| record.share.is_some_and(|share| unheard.contains(&share)));
        let now = Instant::now();
        records.iter().for_each(|record| folder.is_withdrawn(&record.name, now));
        self.put_aside(records);
        Ok(())
    }

    fn withdraw(&mut self, at: usize, names: &[FileName]) {
        let put_off = self.put_off(at, names);
        let (session, folder) = (self.session, &mut self.folders[at]);
        let now = Instant::now();
        let group = &folder.record().group;
        let is_heard = |name: &&FileName| !self.unheard.iter().any(|it| it.name == **name && it.group == *group);
        let names: Vec<FileName> = names.iter().filter(is_heard).cloned().collect();
        match put_off.and_then(|()| share::stop_all(session, group, &names)) {
            Err(RpcError::Cancelled) => {}
            Err(_) => self.paused = Some(now + PASSING_PAUSE),
            Ok(answers) => {
                for (name, answer) in names.iter().zip(answers) {
                    match answer {
                        Err(refusal) if refusal.code.is_passing() => self.paused = Some(now + PASSING_PAUSE),
                        // A share that the tracker does not know has ended too.
                        Ok(_) | Err(_) => folder.is_withdrawn(name, now),
                    }
                }
            }
        }
    }

    fn tell(&mut self) {
        let session = self.session;
        self.folders.iter_mut().for_each(|folder| folder.tell(session));
        let at_rest = |folder: &Folder| folder.is_at_rest(self.full.is_some());
        let settled = self.doubted.is_empty() && self.folders.iter().all(at_rest);
        session.folders().tell(self.folders.iter().map(Folder::status).collect(), settled);
    }

    /// Waits for the next event.
    fn wait(&self, more: bool) {
        let now = Instant::now();
        if more {
            return;
        }
        let paused = [self.paused, self.full].into_iter().flatten();
        let paused = paused.filter(|_| !self.doubted.is_empty() || self.folders.iter().any(Folder::has_work));
        let due = self.folders.iter().filter_map(Folder::next_due).chain(paused).chain(self.hears);
        let until = due.min().unwrap_or(now + LONG_WAIT).max(now + EVENTS_PAUSE);
        let descriptors: Vec<_> = self.folders.iter().filter_map(Folder::descriptor).collect();
        // A file that is being written to gets its look a little later.
        if !self.session.folders().wait(&[], now + EVENTS_PAUSE) {
            self.session.folders().wait(&descriptors, until);
        }
    }
}
