//! One shared folder of a login: its tree on the disk, the files on their way into the group, and the messages to the
//! user.

use crate::client::app::login_session::LoginSession;
use crate::client::folder::settling::{GoneStep, Settling};
use crate::client::folder::tree::FolderTree;
use crate::client::output::event::Event;
use crate::client::output::report::FolderStatus;
use crate::client::state::folders::FolderRecord;
use crate::client::storage::file_stamp::{FileStamp, Stamps, StampsDigest};
use crate::model::escape::ShownPath;
use crate::model::name::FileName;
use crate::sys;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::os::fd::BorrowedFd;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// The pause before the first look whether a missing folder is back. The pause doubles with each look.
const AWAY_PAUSE: Duration = Duration::from_secs(5);
const AWAY_PAUSE_MAX: Duration = Duration::from_secs(60);
/// The minimum pause between two scans of a folder without watches. After a long scan, the pause is `SCAN_REST` times
/// as long as that scan.
const SCAN_PAUSE: Duration = Duration::from_secs(10);
const SCAN_REST: u32 = 100;
/// The pause before another look at something unreadable, and the minimum time between two scans for unfit files.
const AGAIN_PAUSE: Duration = Duration::from_secs(60);
const UNWATCHED: &str = "the system allows no more watches of folders (fs.inotify.max_user_watches); the client \
                         looks through the folder from time to time";
const AWAY: &str = "it is not there, or another folder is in its place";
/// A helper thread reads files of at least this many bytes: others should not wait that long.
const LARGE_LEN: u64 = 64 * 1024 * 1024;
/// The time in which news is collected into one message.
const NEWS_PAUSE: Duration = Duration::from_secs(1);

/// The next step for a folder.
pub(super) enum Moment {
    Nothing,
    /// A file, its stamps, and its former name.
    Share(FileName, StampsDigest, Option<FileName>),
    Withdraw(Vec<FileName>),
    Ask(usize),
}

/// A shared folder.
pub(super) struct Folder {
    record: FolderRecord,
    tree: FolderTree,
    settling: Settling<StampsDigest>,
    /// The large files among those that wait while another large file is read.
    large: BTreeSet<FileName>,
    /// When to scan the folder next.
    scan: Option<Instant>,
    /// When to scan once more. The last scan counts until then.
    again: Option<Instant>,
    scanned: Option<Instant>,
    /// At the next scan the shares without a file may end.
    agreed: bool,
    /// Why the folder is missing or unreadable, and the pause before the next look.
    away: Option<(Duration, String)>,
    /// Why the tracker does not take all files.
    full: Option<String>,
    /// The system reports no changes in the folder.
    unwatched: bool,
    unfit: Option<String>,
    /// Refused files since the last news: their number, and the name and reason of the first.
    refused: usize,
    refusal: Option<(String, String)>,
    /// The ever-changing file that the client has told the user of.
    busy: Option<FileName>,
    /// The numbers of shared files and ended shares since the last news.
    news: (usize, usize),
    news_due: Option<Instant>,
}

/// Whether a file takes long to read.
fn is_large(tree: &FolderTree, name: &FileName) -> bool {
    tree.look(name).is_ok_and(|found| found.is_some_and(|stamp| stamp.size >= LARGE_LEN))
}

/// The digest of a file's stamp, as in the record of a share.
fn digest(stamp: FileStamp) -> StampsDigest {
    Stamps([stamp].into()).digest()
}

/// The message about refused files: their number, the first one, and why.
fn not_shared(count: usize, (what, why): &(String, String)) -> String {
    match count {
        1 => format!("{what} is not shared: {why}"),
        more => format!("{more} of its files are not shared, such as {what}: {why}"),
    }
}

impl Folder {
    /// A folder with these existing shares. It is scanned at once.
    pub(super) fn new(record: FolderRecord, shared: BTreeMap<FileName, StampsDigest>) -> Self {
        Self {
            tree: FolderTree::new(record.path.clone(), record.node),
            settling: Settling::new(shared),
            record,
            large: BTreeSet::new(),
            scan: Some(Instant::now()),
            again: None,
            scanned: None,
            agreed: false,
            away: None,
            full: None,
            unwatched: false,
            unfit: None,
            refused: 0,
            refusal: None,
            busy: None,
            news: (0, 0),
            news_due: None,
        }
    }

    pub(super) fn record(&self) -> &FolderRecord {
        &self.record
    }

    /// The path of a file.
    pub(super) fn path_of(&self, name: &FileName) -> PathBuf {
        self.tree.path_of(name)
    }

    /// The current stamps of a file.
    ///
    /// # Errors
    /// The system does not tell.
    pub(super) fn look_of(&self, name: &FileName) -> io::Result<Option<StampsDigest>> {
        Ok(self.tree.look(name)?.map(digest))
    }

    /// Plans another look after something was unreadable.
    fn look_again(&mut self, now: Instant) {
        self.again.get_or_insert(now + AGAIN_PAUSE);
    }

    /// Takes in reported changes, and makes the looks that are due.
    pub(super) fn look(&mut self, session: &LoginSession, now: Instant) {
        let happened = self.tree.take();
        let mut names = happened.files;
        names.extend(happened.folders.iter().flat_map(|folder| self.settling.below(folder)));
        if happened.rescan {
            self.scan = Some(now);
        }
        if happened.unfit {
            let soon = now + NEWS_PAUSE;
            let due = self.scanned.map_or(soon, |scanned| soon.max(scanned + AGAIN_PAUSE));
            self.again = self.again.map(|again| again.min(due)).or(Some(due));
        }
        if self.away.is_none() {
            names.append(&mut self.settling.linked(&names));
            names.iter().for_each(|name| self.touched(name, now));
            for name in self.settling.due(now) {
                match self.look_of(&name) {
                    Ok(found) => self.settling.rested(name, found, now),
                    Err(_) => {
                        self.settling.unknown(&name);
                        self.look_again(now);
                    }
                }
            }
        }
        if self.scan.into_iter().chain(self.again).any(|due| due <= now) {
            self.scan_now(session, now);
        }
    }

    fn scan_now(&mut self, session: &LoginSession, now: Instant) {
        if self.away.is_some() {
            self.tree = FolderTree::new(self.record.path.clone(), self.record.node);
        }
        let scan = self.tree.scan();
        // The folder may have been moved during the scan.
        let mut scan = match scan {
            _ if !self.tree.is_there() => return self.go_away(session, AWAY.to_owned()),
            Err(error) => return self.go_away(session, format!("it cannot be read ({})", sys::reason(&error))),
            Ok(scan) => scan,
        };
        self.away = None;
        let took = now.elapsed();
        self.scanned = Some(now);
        self.again = (!scan.is_whole()).then(|| now + AGAIN_PAUSE.max(took * SCAN_REST));
        self.scan = (!self.tree.is_watched()).then(|| now + SCAN_PAUSE.max(took * SCAN_REST));
        let files = std::mem::take(&mut scan.files).into_iter().map(|(name, stamp)| (name, digest(stamp))).collect();
        if std::mem::take(&mut self.agreed) {
            self.settling.retry();
            self.settling.consent(Instant::now());
        }
        self.settling.scanned(&files, |name| scan.is_unknown(name), now);
        let unfit = scan.first_unfit.map(|(path, why)| not_shared(scan.unfit, &(ShownPath(&path).to_string(), why)));
        if let Some(why) = unfit.clone().filter(|_| unfit != self.unfit) {
            self.event(session, why);
        }
        self.unfit = unfit;
        let told = std::mem::replace(&mut self.unwatched, !self.tree.is_watched());
        if self.unwatched && !told {
            self.event(session, UNWATCHED.to_owned());
        }
    }

    /// Marks the folder as missing. Its shares do not end until the folder is there and readable. An earlier agreement
    /// of the user does not count then.
    fn go_away(&mut self, session: &LoginSession, why: String) {
        let before = self.away.take();
        let pause = before.as_ref().map_or(AWAY_PAUSE, |(pause, _)| (*pause * 2).min(AWAY_PAUSE_MAX));
        (self.agreed, self.again, self.scan) = (false, None, Some(Instant::now() + pause));
        let why = format!("{why}; what is shared of it stays shared");
        if before.is_none_or(|(_, told)| told != why) {
            self.event(session, why.clone());
        }
        self.away = Some((pause, why));
    }

    /// Takes in a change of a file.
    pub(super) fn touched(&mut self, name: &FileName, now: Instant) {
        match self.look_of(name) {
            Ok(found) => self.settling.touched(name.clone(), found, now),
            Err(_) => self.look_again(now),
        }
    }

    /// The next step.
    ///
    /// While a large file of the folder is being read, no other large one gets its turn.
    pub(super) fn next(&mut self, now: Instant, may_share: bool, is_reading: bool) -> Moment {
        if self.away.is_some() {
            return Moment::Nothing;
        }
        // In a missing folder every file seems missing. A folder that lies in its place instead must not be shared.
        let next_share = self.next_share(is_reading).filter(|_| may_share);
        let is_due = self.settling.gone_count() > 0 || next_share.is_some();
        if is_due && !self.tree.is_there() {
            self.scan = Some(now);
            return Moment::Nothing;
        }
        match self.settling.gone(now) {
            GoneStep::Wait => {}
            GoneStep::Withdraw(names) => return Moment::Withdraw(names),
            GoneStep::Ask(count) => return Moment::Ask(count),
        }
        match next_share {
            Some((name, look, from)) => Moment::Share(name, look, from),
            None => Moment::Nothing,
        }
    }

    fn next_share(&mut self, is_reading: bool) -> Option<(FileName, StampsDigest, Option<FileName>)> {
        let (tree, large) = (&self.tree, &mut self.large);
        self.settling.next_share(|name| {
            if is_reading && !large.contains(name) && is_large(tree, name) {
                large.insert(name.clone());
            }
            is_reading && large.contains(name)
        })
    }

    /// Whether a file takes long to read.
    pub(super) fn is_large(&self, name: &FileName) -> bool {
        is_large(&self.tree, name)
    }

    /// Notes that no large file is being read any more.
    pub(super) fn has_read(&mut self) {
        self.large.clear();
    }

    /// Whether a file with these stamps is still to be shared.
    pub(super) fn is_ready(&self, name: &FileName, look: StampsDigest) -> bool {
        self.settling.is_ready(name, look)
    }

    pub(super) fn is_shared(&mut self, name: &FileName, look: StampsDigest) {
        self.settling.is_shared(name, look);
        self.note((1, 0));
    }

    pub(super) fn is_refused(&mut self, name: &FileName, look: StampsDigest, why: &str) {
        self.settling.is_refused(name, look);
        if self.refused == 0 {
            self.refusal = Some((name.to_string(), why.to_owned()));
        }
        self.refused += 1;
        self.note((0, 0));
    }

    pub(super) fn is_withdrawn(&mut self, name: &FileName, now: Instant) {
        self.settling.is_withdrawn(name, now);
        self.note((0, 1));
    }

    pub(super) fn has_ended(&mut self, name: &FileName) {
        self.settling.has_ended(name);
    }

    /// Notes that the group has something else under a name than the folder.
    pub(super) fn differs(&mut self, name: &FileName, now: Instant) {
        self.settling.forget(name);
        self.touched(name, now);
    }

    /// Lets the shares end whose files are missing, and tries refused files again.
    pub(super) fn agree(&mut self) {
        self.agreed = true;
        self.scan = Some(Instant::now());
    }

    fn note(&mut self, (shared, ended): (usize, usize)) {
        self.news = (self.news.0 + shared, self.news.1 + ended);
        self.news_due.get_or_insert_with(|| Instant::now() + NEWS_PAUSE);
    }

    /// Notes that the tracker takes no more files. Tells the user once, until all files are shared.
    pub(super) fn is_full(&mut self, session: &LoginSession, why: String) {
        if self.full.replace(why.clone()).is_none() {
            self.event(session, why);
        }
    }

    /// Tells an event of the folder.
    pub(super) fn event(&self, session: &LoginSession, why: String) {
        let FolderRecord { group, path, .. } = self.record.clone();
        session.event(&Event::FolderTrouble { group, folder: path, why });
    }

    /// Tells the user about new and ended shares.
    pub(super) fn tell(&mut self, session: &LoginSession) {
        if self.away.is_none() && self.is_settled() {
            self.full = None;
        }
        let now = Instant::now();
        let busy = self.settling.busy(now).filter(|_| self.away.is_none()).cloned();
        if let Some(name) = busy.as_ref().filter(|name| self.busy.as_ref() != Some(name)) {
            self.event(session, format!("{name} keeps changing; it is shared once nothing changes it"));
        }
        self.busy = busy;
        let due = self.news_due.is_some_and(|due| due <= now || self.is_at_rest(false));
        if !due {
            return;
        }
        let (shared, ended) = std::mem::take(&mut self.news);
        self.news_due = None;
        if shared + ended > 0 {
            let FolderRecord { group, path, .. } = self.record.clone();
            session.event(&Event::FolderShared { group, folder: path, shared, ended });
        }
        let refused = std::mem::take(&mut self.refused);
        if let Some(why) = self.refusal.as_ref().filter(|_| refused > 0) {
            self.event(session, not_shared(refused, why));
        }
    }

    /// Whether every file is shared or refused, and nothing else is under way.
    fn is_settled(&self) -> bool {
        self.is_scanned() && self.settling.is_settled()
    }

    /// Whether there is nothing to do right now. `full` says that the tracker takes no more shares.
    pub(super) fn is_at_rest(&self, full: bool) -> bool {
        self.away.is_some() || (self.is_scanned() && self.settling.is_done(full, Instant::now()))
    }

    fn is_scanned(&self) -> bool {
        self.scan.is_none() || !self.tree.is_watched()
    }

    /// Whether the folder needs the tracker.
    pub(super) fn has_work(&self) -> bool {
        self.away.is_none() && !self.settling.is_settled()
    }

    /// The time of the next step that needs no event.
    pub(super) fn next_due(&self) -> Option<Instant> {
        let rest = self.settling.next_due().filter(|_| self.away.is_none());
        [rest, self.scan, self.again, self.news_due].into_iter().flatten().min()
    }

    /// Readable after a change.
    pub(super) fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.tree.descriptor()
    }

    /// The current problem, if there is one.
    fn why(&self) -> Option<String> {
        let away = self.away.as_ref().map(|(_, why)| why.clone());
        let refused = || Some(not_shared(self.settling.refused_count(), self.refusal.as_ref()?));
        let refused = || refused().filter(|_| self.settling.refused_count() > 0);
        let unwatched = || self.unwatched.then(|| UNWATCHED.to_owned());
        away.or_else(|| self.full.clone()).or_else(refused).or_else(|| self.unfit.clone()).or_else(unwatched)
    }

    /// The state of the folder, for the user.
    pub(super) fn status(&self) -> FolderStatus {
        let FolderRecord { group, path, .. } = self.record.clone();
        FolderStatus {
            group,
            folder: path,
            follows: false,
            files: self.settling.shared_count(),
            waiting: self.settling.waiting_count(),
            gone: self.settling.gone_count(),
            why: self.why(),
        }
    }
}
