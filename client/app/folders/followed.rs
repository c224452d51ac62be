//! One followed group of a login: its arrived, running and waiting files, and what the client has told the user.

use super::follow_commands::there_now;
use crate::client::app::download::hold_back::cancel;
use crate::client::app::download_list::Tracked;
use crate::client::app::login_session::LoginSession;
use crate::client::download::transfer::TransferProgress;
use crate::client::folder::following::{Begin, Came, Following, Here, NoRoom, Offer, PassedOver, Verdict};
use crate::client::folder::tree::folder_node;
use crate::client::output::event::Event;
use crate::client::output::report::FolderStatus;
use crate::client::rpc::error::RpcError;
use crate::client::state::file::StateError;
use crate::client::state::folders::FolderRecord;
use crate::client::state::follow_log::{FollowLog, FollowedFiles};
use crate::client::state::record::ShareRecord;
use crate::client::storage::file_stamp::Stamps;
use crate::model::digest::InfoHash;
use crate::model::name::FileName;
use crate::model::units::size;
use crate::sys::files::{make_folder_in, open_folder, open_folder_in};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// How long a download may stand without a peer that delivers. After that, another download gets its turn.
const STANDS_LONG: Duration = Duration::from_secs(10);

/// The time in which news is collected into one message.
const NEWS_PAUSE: Duration = Duration::from_secs(1);
/// The client remembers this many names that take no room, beyond the names that the group has.
const ROOMLESS_MAX: usize = 4096;

/// A download that the thread has begun.
#[derive(Debug, Clone, Copy)]
pub(super) struct Coming {
    /// The number of the download.
    pub id: u64,
    /// Since when no peer delivers anything.
    pub stands: Option<Instant>,
}

impl Coming {
    fn stands_long(&self, now: Instant) -> bool {
        self.stands.is_some_and(|since| now.saturating_duration_since(since) >= STANDS_LONG)
    }
}

/// The record of an offer after its download is complete.
fn came_of(Offer { info_hash, size, author, .. }: &Offer) -> Came {
    Came { info_hash: *info_hash, size: *size, author: author.clone() }
}

/// A followed group.
pub(super) struct Followed {
    record: FolderRecord,
    pub following: Following,
    /// `None` if the log is lost, and with it the list of shares from before the group was followed.
    log: Option<FollowLog>,
    /// The running downloads.
    pub running: BTreeMap<FileName, Coming>,
    /// The thread has to list the whole group.
    pub list: bool,
    /// The thread lists the group at this time at the earliest.
    pub list_rests: Option<Instant>,
    /// The names to ask for.
    pub names: BTreeSet<FileName>,
    /// When to ask again about the running downloads: their shares may have ended or have another version.
    pub checks: Option<Instant>,
    /// The maximum number of remembered names that take no room. Beyond this limit the thread lists the whole group.
    roomless_max: usize,
    /// The missing room, and whether the user knows.
    lacking: Option<NoRoom>,
    told: Option<String>,
    /// The arrivals since the last news: the number of files, the last name, and when to tell.
    news: Option<(usize, FileName)>,
    tells: Option<Instant>,
}

impl Followed {
    /// Opens a group that is already followed.
    pub(super) fn open(session: &LoginSession, record: FolderRecord, max_size: u64) -> Result<Self, StateError> {
        let opened = FollowLog::open(&session.slot().follow_log(&record.path))?;
        let (log, files) = opened.map_or((None, FollowedFiles::default()), |(log, files)| (Some(log), files));
        let roomless_max = files.passed.len() + ROOMLESS_MAX;
        let following = Following::new(max_size, files.came, files.passed);
        let (running, names) = (BTreeMap::new(), BTreeSet::new());
        let mut followed = Self {
            record,
            following,
            log,
            running,
            list: true,
            list_rests: None,
            names,
            checks: None,
            roomless_max,
            lacking: None,
            told: None,
            news: None,
            tells: None,
        };
        files.begun.into_iter().for_each(|(name, begun)| followed.go_on(session, name, begun));
        Ok(followed)
    }

    /// Takes in a download of an earlier run, which may be complete without a note or may still run.
    fn go_on(&mut self, session: &LoginSession, name: FileName, begun: Came) {
        let (group, place) = (&self.record.group, self.place_of(&name));
        let is_it = |share: ShareRecord| share.path == place && share.content.info_hash == begun.info_hash;
        let came = self.following.came(&name).map(|came| came.info_hash);
        let coming = session.downloads().find(group, &name).filter(|tracked| {
            tracked.destination == place && tracked.info_hash == Some(begun.info_hash) && !tracked.phase.has_ended()
        });
        if let Some(Tracked { id, .. }) = coming {
            session.follows().begin(group, &name);
            let Came { info_hash, size, author } = begun;
            // The files of this download already take their room on the disk.
            self.following.go_on(Offer { name: name.clone(), info_hash, size, files: 0, author });
            self.running.insert(name, Coming { id, stands: None });
        } else if came != Some(begun.info_hash) && session.slot().share(group, &name).is_some_and(is_it) {
            self.note_came(session, &name, begun);
        }
    }

    pub(super) fn record(&self) -> &FolderRecord {
        &self.record
    }

    /// Whether the folder is in its place. Tells the user once if it is not.
    pub(super) fn is_there(&mut self, session: &LoginSession) -> bool {
        let there = folder_node(&self.record.path).is_some_and(|found| self.record.node.is_same(&found));
        match there {
            true => self.told = None,
            false => self.trouble(session, "the folder is missing or was replaced; no files come into it".into()),
        }
        there
    }

    /// The path of a share in the folder.
    pub(super) fn place_of(&self, name: &FileName) -> PathBuf {
        self.record.path.join(name.as_str())
    }

    /// Passes over everything that is shared now, if the list of earlier shares is lost.
    pub(super) fn pass_over_what_is_there(&mut self, session: &LoginSession) -> Result<(), RpcError> {
        if self.log.is_none() {
            let path = session.slot().follow_log(&self.record.path);
            let there = there_now(session, &self.record.group)?;
            let begun = FollowLog::begin(&path, &there).and_then(|()| FollowLog::open(&path));
            there.into_iter().for_each(|(name, info_hash)| self.following.pass(name, info_hash));
            match begun {
                Ok(opened) => self.log = opened.map(|(log, _)| log),
                Err(error) => self.trouble(session, format!("the list of downloaded files cannot be saved: {error}")),
            }
        }
        Ok(())
    }

    /// Makes the folders on the path to a file, and checks the place of the file. None of these folders may be a link.
    ///
    /// # Errors
    /// Why the file does not come.
    pub(super) fn make_way(&self, session: &LoginSession, begin: &Begin) -> Result<(), PassedOver> {
        let name = &begin.offer.name;
        self.make_folders(name).map_err(|error| PassedOver::NoFolder(crate::sys::reason(&error)))?;
        if begin.replaces && self.here(session, name) != Here::AsItCame {
            return Err(PassedOver::ChangedHere);
        }
        // A download to an existing folder would go inside it.
        match fs::symlink_metadata(self.place_of(name)) {
            Ok(_) if begin.replaces || self.under_way(session, name).is_some() => Ok(()),
            Ok(there) if there.is_file() => Err(PassedOver::OwnFile),
            Ok(_) => Err(PassedOver::InTheWay),
            Err(_) => Ok(()),
        }
    }

    /// The download of a file to its place in the folder, if one has not ended.
    pub(super) fn under_way(&self, session: &LoginSession, name: &FileName) -> Option<Tracked> {
        let tracked = session.downloads().find(&self.record.group, name)?;
        (tracked.destination == self.place_of(name) && !tracked.phase.has_ended()).then_some(tracked)
    }

    /// Notes that a download begins.
    pub(super) fn note_begun(&mut self, session: &LoginSession, offer: &Offer) {
        let begun = came_of(offer);
        let noted = self.log.as_mut().map_or(Ok(()), |log| log.begun(&offer.name, &begun));
        self.noted(session, noted);
    }

    fn make_folders(&self, name: &FileName) -> io::Result<()> {
        let mut at = open_folder(&self.record.path)?;
        for component in name.folder().into_iter().flat_map(|folder| folder.split('/')) {
            at = match open_folder_in(&at, component.as_ref()) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    make_folder_in(&at, component.as_ref())?;
                    open_folder_in(&at, component.as_ref())?
                }
                opened => opened?,
            };
        }
        Ok(())
    }

    /// What lies at the place of a share, compared with the version that arrived there.
    fn here(&self, session: &LoginSession, name: &FileName) -> Here {
        let place = self.place_of(name);
        if fs::symlink_metadata(&place).is_err_and(|error| error.kind() == io::ErrorKind::NotFound) {
            return Here::Nothing;
        }
        let as_it_came = |share: ShareRecord| {
            let came = self.following.came(name)?;
            let is_it = share.path == place && share.content.info_hash == came.info_hash;
            let manifest = session.slot().manifest(&share.content.info_hash).ok().flatten().filter(|_| is_it)?;
            let now = Stamps::take(&place, manifest.files()).ok()?;
            (now.digest() == share.stamps).then_some(())
        };
        let share = session.slot().share(&self.record.group, name);
        let is_as_it_came = session.untold().has(&place) || share.and_then(as_it_came).is_some();
        if is_as_it_came { Here::AsItCame } else { Here::Other }
    }

    /// Takes in a share of the group.
    pub(super) fn offered(&mut self, session: &LoginSession, offer: Offer) {
        let name = offer.name.clone();
        if let Some(share) = session.slot().share(&self.record.group, &name)
            && share.content.info_hash == offer.info_hash
        {
            // The file has arrived, and the program ended before it noted that. Or the user shares the file from
            // elsewhere.
            if share.path == self.place_of(&name)
                && self.following.came(&name).map(|came| came.info_hash) != Some(offer.info_hash)
            {
                let Offer { info_hash, size, author, .. } = offer;
                self.note_came(session, &name, Came { info_hash, size, author });
            }
            return;
        }
        let here = self.here(session, &name);
        let key = (name, offer.info_hash);
        if let Verdict::PassedOver(why) = self.following.offered(offer, here) {
            self.event(session, format!("{} is not downloaded: {why}", key.0));
            self.note_passed(session, &key.0, key.1);
        }
    }

    fn note_came(&mut self, session: &LoginSession, name: &FileName, came: Came) {
        let noted = self.log.as_mut().map_or(Ok(()), |log| log.came(name, &came));
        self.following.put(name.clone(), came);
        self.noted(session, noted);
    }

    fn note_passed(&mut self, session: &LoginSession, name: &FileName, info_hash: InfoHash) {
        let noted = self.log.as_mut().map_or(Ok(()), |log| log.passed(name, &info_hash));
        self.noted(session, noted);
    }

    fn noted(&mut self, session: &LoginSession, noted: io::Result<()>) {
        self.list |= self.following.roomless_count() > self.roomless_max;
        let noted = noted.map_err(|error| crate::sys::reason(&error));
        let is_wasteful = self.log.as_ref().is_some_and(FollowLog::is_wasteful);
        let noted =
            noted.and_then(|()| if is_wasteful { self.rewrite().map_err(|error| error.to_string()) } else { Ok(()) });
        if let Err(why) = noted {
            self.trouble(session, format!("the list of downloaded files cannot be saved: {why}"));
        }
    }

    /// Rewrites the log with only the entries that count.
    fn rewrite(&mut self) -> Result<(), StateError> {
        let begun = self.following.running().map(|offer| (offer.name.clone(), came_of(offer))).collect();
        let (came, passed) = (self.following.all_came().clone(), self.following.passed().clone());
        self.log.as_mut().map_or(Ok(()), |log| log.rewrite(&FollowedFiles { came, begun, passed }))
    }

    /// Takes in the complete list of the group's shares.
    pub(super) fn listed(&mut self, session: &LoginSession, shared: &BTreeSet<FileName>) {
        self.list = false;
        // Below the limit the names stay: another tracker may know of more shares.
        if self.following.roomless_count() <= self.roomless_max {
            return;
        }
        self.look_for_room();
        if self.following.keep_only(shared)
            && let Err(error) = self.rewrite()
        {
            self.trouble(session, format!("the list of downloaded files cannot be saved: {error}"));
        }
        self.roomless_max = self.following.roomless_count() + ROOMLESS_MAX;
    }

    /// A download that was begun is complete, with this content and size.
    pub(super) fn arrived(&mut self, session: &LoginSession, name: &FileName, what: Option<(InfoHash, u64)>) {
        self.running.remove(name);
        if let Some(offered) = self.following.arrived(name) {
            let (info_hash, size) = what.unwrap_or((offered.info_hash, offered.size));
            if info_hash != offered.info_hash {
                // The offered version is still to come.
                self.names.insert(name.clone());
            }
            self.note_came(session, name, Came { info_hash, size, author: offered.author });
            let count = self.news.as_ref().map_or(0, |(count, _)| *count);
            self.news = Some((count + 1, name.clone()));
            self.tells.get_or_insert_with(|| Instant::now() + NEWS_PAUSE);
        }
    }

    /// When to tell of arrivals.
    pub(super) fn tells(&self) -> Option<Instant> {
        self.tells
    }

    /// Tells of arrivals, if the time has come or the thread expects nothing more.
    pub(super) fn tell(&mut self, session: &LoginSession) {
        if self.is_busy() && self.tells.is_some_and(|tells| tells > Instant::now()) {
            return;
        }
        self.tells = None;
        if let Some((files, last)) = self.news.take() {
            let FolderRecord { group, path, .. } = self.record.clone();
            session.event(&Event::FolderCame { group, folder: path, files, last });
        }
    }

    /// Notes that a download has failed.
    pub(super) fn failed(&mut self, session: &LoginSession, name: &FileName, again: bool) {
        self.running.remove(name);
        if let Some(info_hash) = self.following.failed(name, again) {
            self.note_passed(session, name, info_hash);
        }
    }

    /// Notes the progress of a download. If no peer delivers, others get its turn, and it waits behind them.
    pub(super) fn moves(&mut self, session: &LoginSession, name: &FileName, progress: &TransferProgress) {
        let Some(coming) = self.running.get_mut(name) else { return };
        let now = Instant::now();
        coming.stands = (progress.peers == 0).then(|| coming.stands.unwrap_or(now));
        let is_empty = progress.received == 0 && progress.done == 0;
        let stands_long = self.running.get(name).is_some_and(|coming| coming.stands_long(now));
        if stands_long && is_empty && self.following.waits() && cancel(session, &self.record.group, name).is_ok() {
            self.failed(session, name, true);
        }
    }

    /// The downloads that do not advance.
    pub(super) fn standing(&self, now: Instant) -> BTreeSet<FileName> {
        self.running.iter().filter(|(_, coming)| coming.stands_long(now)).map(|(name, _)| name.clone()).collect()
    }

    /// Notes that a share has ended.
    pub(super) fn ended(&mut self, session: &LoginSession, name: &FileName) {
        self.following.ended(name);
        self.give_up(session, name);
    }

    /// Cancels downloads of which another version is shared by now.
    pub(super) fn give_up_outdated(&mut self, session: &LoginSession) {
        for name in self.following.outdated() {
            self.give_up(session, &name);
        }
    }

    /// Cancels a download, unless it ends at this moment.
    fn give_up(&mut self, session: &LoginSession, name: &FileName) {
        if self.running.contains_key(name) && cancel(session, &self.record.group, name).is_ok() {
            self.running.remove(name);
            self.following.let_go(name);
        }
    }

    /// Notes the files that wait for room. Tells the user once.
    pub(super) fn lacks(&mut self, session: &LoginSession, lacking: Option<NoRoom>) {
        if let Some(why) = lacking.clone().filter(|_| lacking != self.lacking) {
            let most = size(self.following.max_size());
            let why = match why {
                NoRoom::Folder => {
                    format!("it has used its {most} and waits for room; follow_group with --max-size allows more")
                }
                NoRoom::Sharer(sharer) => format!(
                    "the files of {sharer} have used their part of the {most} and wait for room; follow_group with \
                     --max-size allows more"
                ),
                NoRoom::Disk => "it waits for room: less than 5 % of the disk would stay free".to_owned(),
                NoRoom::Files => {
                    "it waits for room: less than 5 % of the files that the disk can have would stay free".to_owned()
                }
            };
            self.event(session, why);
        }
        self.lacking = lacking;
    }

    /// Whether a file waits for room.
    pub(super) fn waits_for_room(&self) -> bool {
        self.lacking.is_some()
    }

    /// Finds the files that are no longer here. Their room counts as free again.
    pub(super) fn look_for_room(&mut self) {
        let names: Vec<FileName> = self.following.all_came().keys().cloned().collect();
        for name in names {
            let gone = fs::symlink_metadata(self.place_of(&name)).is_err();
            self.following.set_removed(&name, gone);
        }
    }

    fn trouble(&mut self, session: &LoginSession, why: String) {
        if self.told.as_ref() != Some(&why) {
            self.event(session, why.clone());
            self.told = Some(why);
        }
    }

    /// Tells an event of the folder.
    pub(super) fn event(&self, session: &LoginSession, why: String) {
        let FolderRecord { group, path, .. } = self.record.clone();
        session.event(&Event::FolderTrouble { group, folder: path, why });
    }

    /// Whether a file that can come is still expected.
    pub(super) fn is_busy(&self) -> bool {
        let (_, coming) = self.following.counts();
        self.list || !self.names.is_empty() || !self.running.is_empty() || (coming > 0 && self.lacking.is_none())
    }

    /// The state of the folder, for the user.
    pub(super) fn status(&self) -> FolderStatus {
        let FolderRecord { group, path, .. } = self.record.clone();
        let (came, waiting) = self.following.counts();
        let lacking = self.lacking.as_ref().map(|_| "waits for room".to_owned());
        let why = self.told.clone().or(lacking);
        FolderStatus { group, folder: path, follows: true, files: came, waiting, gone: 0, why }
    }
}
