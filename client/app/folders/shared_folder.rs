//! One shared folder of a login: its tree on the disk, which of its files are on their way into the group, and what the
//! user was told of it.

use crate::client::app::login_session::LoginSession;
use crate::client::folder::settling::{GoneStep, Settling};
use crate::client::folder::tree::FolderTree;
use crate::client::output::event::Event;
use crate::client::output::report::FolderStatus;
use crate::client::state::folders::SharedFolder;
use crate::client::storage::file_stamp::{FileStamp, Stamps, StampsDigest};
use crate::model::escape::ShownPath;
use crate::model::name::FileName;
use std::collections::BTreeMap;
use std::os::fd::BorrowedFd;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Pause before the first look whether a folder is back. It doubles with each look.
const AWAY_PAUSE: Duration = Duration::from_secs(5);
const AWAY_PAUSE_MAX: Duration = Duration::from_secs(60);
/// Where the system does not tell what happens, the pause between two scans, and that in times of how long one took.
const SCAN_PAUSE: Duration = Duration::from_secs(10);
const SCAN_REST: u32 = 100;
const UNWATCHED: &str = "the system tells no more programs what happens in folders (fs.inotify.max_user_watches); it is \
                         looked through from time to time";
const AWAY: &str = "it is not there, or another folder is in its place; what is shared of it stays shared";
/// News of this time are told together.
const NEWS_PAUSE: Duration = Duration::from_secs(1);

/// What is to be done next.
pub(super) enum Moment {
    Nothing,
    /// A file, what it looks like, and the name that it had before.
    Share(FileName, StampsDigest, Option<FileName>),
    Withdraw(Vec<FileName>),
    Ask(usize),
}

/// The folder.
pub(super) struct Folder {
    record: SharedFolder,
    tree: FolderTree,
    settling: Settling<StampsDigest>,
    /// When it is scanned next.
    scan: Option<Instant>,
    /// It is not there, and the pause before the next look.
    away: Option<Duration>,
    /// Why the tracker does not take all of it.
    full: Option<String>,
    /// The system does not tell what happens in it.
    unwatched: bool,
    unfit: Option<String>,
    /// Shared and ended since the last news.
    news: (usize, usize),
    news_due: Option<Instant>,
}

/// The same digest that the record of a share has.
fn digest(stamp: FileStamp) -> StampsDigest {
    Stamps([stamp].into()).digest()
}

impl Folder {
    /// A folder of which this is shared. It is scanned at once.
    pub(super) fn new(record: SharedFolder, shared: BTreeMap<FileName, StampsDigest>) -> Self {
        Self {
            tree: FolderTree::new(record.path.clone(), record.node),
            settling: Settling::new(shared),
            record,
            scan: Some(Instant::now()),
            away: None,
            full: None,
            unwatched: false,
            unfit: None,
            news: (0, 0),
            news_due: None,
        }
    }

    pub(super) fn record(&self) -> &SharedFolder {
        &self.record
    }

    /// Where a file lies.
    pub(super) fn path_of(&self, name: &FileName) -> PathBuf {
        self.tree.path_of(name)
    }

    /// What a file looks like now.
    pub(super) fn look_of(&self, name: &FileName) -> Option<StampsDigest> {
        self.tree.look(name).map(digest)
    }

    /// Takes in what has happened, and looks at what is due.
    pub(super) fn look(&mut self, session: &LoginSession, now: Instant) {
        let happened = self.tree.take();
        let mut names = happened.files;
        names.extend(happened.folders.iter().flat_map(|folder| self.settling.below(folder)));
        if happened.rescan {
            self.scan = Some(now);
        }
        if self.away.is_none() {
            names.iter().for_each(|name| self.touched(name, now));
            for name in self.settling.due(now) {
                let found = self.look_of(&name);
                self.settling.rested(name, found, now);
            }
        }
        if self.scan.is_some_and(|due| due <= now) {
            self.scan_now(session, now);
        }
    }

    fn scan_now(&mut self, session: &LoginSession, now: Instant) {
        if !self.is_there(session) {
            return;
        }
        let scan = self.tree.scan();
        // What was lost or replaced while it was read shows at the next scan.
        let took = now.elapsed();
        self.scan = (!self.tree.is_watched()).then(|| now + SCAN_PAUSE.max(took * SCAN_REST));
        let files = scan.files.into_iter().map(|(name, stamp)| (name, digest(stamp))).collect();
        self.settling.scanned(&files, now);
        let unfit = scan.first_unfit.map(|(path, why)| match scan.unfit {
            1 => format!("{} is not shared: {why}", ShownPath(&path)),
            more => format!("{more} of its files are not shared, such as {}: {why}", ShownPath(&path)),
        });
        if let Some(why) = unfit.clone().filter(|_| unfit != self.unfit) {
            self.event(session, why);
        }
        self.unfit = unfit;
        let told = std::mem::replace(&mut self.unwatched, !self.tree.is_watched());
        if self.unwatched && !told {
            self.event(session, UNWATCHED.to_owned());
        }
    }

    /// Whether the folder is there. If not, the user is told once, and nothing of it ends.
    fn is_there(&mut self, session: &LoginSession) -> bool {
        if self.tree.is_there() {
            if self.away.take().is_some() {
                self.tree = FolderTree::new(self.record.path.clone(), self.record.node);
            }
            return true;
        }
        let known = self.away.is_some();
        let pause = self.away.map_or(AWAY_PAUSE, |pause| (pause * 2).min(AWAY_PAUSE_MAX));
        (self.away, self.scan) = (Some(pause), Some(Instant::now() + pause));
        if !known {
            self.event(session, AWAY.to_owned());
        }
        false
    }

    /// Something has happened to a file.
    pub(super) fn touched(&mut self, name: &FileName, now: Instant) {
        let found = self.look_of(name);
        self.settling.touched(name.clone(), found, now);
    }

    /// What is to be done next.
    pub(super) fn next(&mut self, now: Instant, may_share: bool) -> Moment {
        if self.away.is_some() {
            return Moment::Nothing;
        }
        // Where the folder itself is gone, each of its files seems to be; and what lies in its place is not meant.
        let is_due = self.settling.gone_count() > 0 || self.settling.next_share().is_some();
        if is_due && !self.tree.is_there() {
            self.scan = Some(now);
            return Moment::Nothing;
        }
        match self.settling.gone(now) {
            GoneStep::Wait => {}
            GoneStep::Withdraw(names) => return Moment::Withdraw(names),
            GoneStep::Ask(count) => return Moment::Ask(count),
        }
        match self.settling.next_share().filter(|_| may_share) {
            Some((name, look, from)) => Moment::Share(name, look, from),
            None => Moment::Nothing,
        }
    }

    pub(super) fn is_shared(&mut self, name: &FileName, look: StampsDigest) {
        self.settling.is_shared(name, look);
        self.note((1, 0));
    }

    pub(super) fn is_refused(&mut self, name: &FileName, look: StampsDigest) {
        self.settling.is_refused(name, look);
    }

    pub(super) fn is_withdrawn(&mut self, name: &FileName, now: Instant) {
        self.settling.is_withdrawn(name, now);
        self.note((0, 1));
    }

    pub(super) fn has_ended(&mut self, name: &FileName) {
        self.settling.has_ended(name);
    }

    /// The shares whose files are gone may end. What was refused is tried again.
    pub(super) fn agree(&mut self) {
        self.settling.consent();
        self.scan = Some(Instant::now());
    }

    fn note(&mut self, (shared, ended): (usize, usize)) {
        self.news = (self.news.0 + shared, self.news.1 + ended);
        self.news_due.get_or_insert_with(|| Instant::now() + NEWS_PAUSE);
    }

    /// The tracker takes no more of it. Told once, until all of it is shared.
    pub(super) fn is_full(&mut self, session: &LoginSession, why: String) {
        if self.full.replace(why.clone()).is_none() {
            self.event(session, why);
        }
    }

    /// Tells something of the folder.
    pub(super) fn event(&self, session: &LoginSession, why: String) {
        let SharedFolder { group, path, .. } = self.record.clone();
        session.event(&Event::FolderTrouble { group, folder: path, why });
    }

    /// Tells what was shared and what is not any more.
    pub(super) fn tell(&mut self, session: &LoginSession) {
        if self.away.is_none() && self.is_settled() {
            self.full = None;
        }
        let due = self.news_due.is_some_and(|due| due <= Instant::now() || self.is_at_rest(false));
        if !due {
            return;
        }
        let (shared, ended) = std::mem::take(&mut self.news);
        self.news_due = None;
        let SharedFolder { group, path, .. } = self.record.clone();
        session.event(&Event::FolderShared { group, folder: path, shared, ended });
    }

    /// Whether every file that is there is shared or refused, and nothing else is under way.
    pub(super) fn is_settled(&self) -> bool {
        self.is_scanned() && self.settling.is_settled()
    }

    /// Whether nothing more is to be done at this moment, if the tracker takes no more shares or if it does.
    pub(super) fn is_at_rest(&self, full: bool) -> bool {
        let only_full = full && self.settling.is_settled_but_for_shares();
        self.away.is_some() || self.is_settled() || (self.is_scanned() && only_full)
    }

    fn is_scanned(&self) -> bool {
        self.scan.is_none() || !self.tree.is_watched()
    }

    /// Whether the tracker has to be asked for something.
    pub(super) fn has_work(&self) -> bool {
        self.away.is_none() && !self.settling.is_settled()
    }

    /// When something is to be done by itself.
    pub(super) fn next_due(&self) -> Option<Instant> {
        let rest = self.settling.next_due().filter(|_| self.away.is_none());
        [rest, self.scan, self.news_due].into_iter().flatten().min()
    }

    /// Readable when something has happened.
    pub(super) fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.tree.descriptor()
    }

    /// What is wrong, if something is.
    fn why(&self) -> Option<String> {
        let away = self.away.map(|_| AWAY.to_owned());
        let unwatched = || self.unwatched.then(|| UNWATCHED.to_owned());
        away.or_else(|| self.full.clone()).or_else(unwatched).or_else(|| self.unfit.clone())
    }

    /// How it stands, for the user.
    pub(super) fn status(&self) -> FolderStatus {
        let SharedFolder { group, path, .. } = self.record.clone();
        FolderStatus {
            group,
            folder: path,
            shared: self.settling.shared_count(),
            waiting: self.settling.waiting_count(),
            gone: self.settling.gone_count(),
            why: self.why(),
        }
    }
}
