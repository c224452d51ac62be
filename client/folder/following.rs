//! Decides what comes into a folder that follows a group. Some shares are fetched, some are passed over, some replace
//! old versions, and some lack room. This uses no disk and no clock.

use super::place::may_be_placed;
use crate::model::digest::InfoHash;
use crate::model::manifest::Content;
use crate::model::name::{FileName, UserId};
use crate::sys::space::{DiskRoom, Supply};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;

/// The maximum number of downloads of a followed group at a time, and the maximum for one sharer.
const RUNNING_MAX: usize = 64;
const RUNNING_OF_ONE_MAX: usize = 4;
/// The minimum size that a file counts for, in bytes: an empty one takes up disk space too.
const ROOM_MIN: u64 = 4096;
/// The extra files beside an incomplete file, with the folders on its path.
const FILES_BESIDE: u64 = 4;
/// One part in this many stays free, of the disk's bytes and of its possible files.
const FREE_PARTS: u64 = 20;

/// What the group shares under a name.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Offer {
    pub name: FileName,
    pub info_hash: InfoHash,
    pub size: u64,
    /// The number of files of the share.
    pub files: u64,
    pub author: UserId,
}

impl Offer {
    /// The offer of a share whose size is known.
    pub(crate) fn of(name: FileName, content: &Content, author: UserId) -> Self {
        let Content { layout, info_hash, file_count, .. } = *content;
        Self { name, info_hash, size: layout.size(), files: u64::from(file_count), author }
    }

    /// The number of files that the disk needs room for.
    fn disk_files(&self) -> u64 {
        self.files.saturating_add(FILES_BESIDE)
    }

    fn room(&self) -> u64 {
        self.size.max(ROOM_MIN)
    }
}

/// What lies at the place of a share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Here {
    Nothing,
    /// Exactly the version that came before.
    AsItCame,
    Other,
}

/// Why an offer is not fetched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum PassedOver {
    /// The name is hidden, or that of an unfinished download.
    Name,
    /// The user has changed the earlier version here.
    ChangedHere,
    /// The earlier version under this name is by another user.
    OtherAuthor(UserId),
    /// Its folder cannot be made, for this reason.
    NoFolder(String),
    /// A file of the user's own is in its place.
    OwnFile,
    /// A folder, a link or the like is in its place.
    InTheWay,
}

impl fmt::Display for PassedOver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PassedOver::Name => write!(f, "a file of that name is hidden or taken for an unfinished download"),
            PassedOver::ChangedHere => write!(f, "a new version is shared, and the file here was changed"),
            PassedOver::NoFolder(why) => write!(f, "its folder cannot be used: {why}"),
            PassedOver::OwnFile => write!(f, "a file of your own has its place"),
            PassedOver::InTheWay => write!(f, "a folder or something else that is no file has its place"),
            PassedOver::OtherAuthor(author) => {
                write!(f, "somebody else shares it under this name now, and what {author} shared stays")
            }
        }
    }
}

/// What kind of room is missing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum NoRoom {
    /// The folder would exceed its limit.
    Folder,
    /// This sharer has used up its part of the folder's room.
    Sharer(UserId),
    /// Too little of the disk would stay free.
    Disk,
    /// The disk allows too few further files.
    Files,
}

/// The result of an offer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The share waits for its turn.
    Waits,
    /// The share is here, is coming, or was passed over before.
    Known,
    PassedOver(PassedOver),
}

/// A download to begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Begin {
    pub offer: Offer,
    /// The download replaces the version that came before.
    pub replaces: bool,
}

/// The version that has come under a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Came {
    /// The content of the version.
    pub info_hash: InfoHash,
    /// In bytes.
    pub size: u64,
    /// The user that has shared it.
    pub author: UserId,
}

impl Came {
    fn room(&self) -> u64 {
        self.size.max(ROOM_MIN)
    }
}

/// Whether too little would stay free.
fn is_scarce(Supply { free, total }: Supply, taken: u64) -> bool {
    free.saturating_sub(taken) < total / FREE_PARTS
}

/// The bytes that count, in all and for each sharer.
#[derive(Debug, Default)]
struct Room {
    all: u64,
    of: HashMap<UserId, u64>,
}

impl Room {
    fn take(&mut self, author: &UserId, bytes: u64) {
        self.all = self.all.saturating_add(bytes);
        let of = self.of.entry(author.clone()).or_default();
        *of = of.saturating_add(bytes);
    }

    fn give_back(&mut self, author: &UserId, bytes: u64) {
        self.all = self.all.saturating_sub(bytes);
        if let Some(of) = self.of.get_mut(author) {
            *of = of.saturating_sub(bytes);
            if *of == 0 {
                self.of.remove(author);
            }
        }
    }

    fn of(&self, author: &UserId) -> u64 {
        self.of.get(author).copied().unwrap_or_default()
    }
}

/// One followed group.
///
/// Invariants: A waiting or running offer is neither known nor passed over. At most [`RUNNING_MAX`] offers run. `room`
/// is the room of the files that are here and of the running downloads. Each waiting name has one turn.
#[derive(Debug)]
pub(crate) struct Following {
    max_size: u64,
    came: BTreeMap<FileName, Came>,
    /// Names whose files are gone, so they take no room.
    removed: BTreeSet<FileName>,
    /// For each name, the content from before the group was followed, or the one that was last passed over.
    passed: BTreeMap<FileName, InfoHash>,
    room: Room,
    waiting: BTreeMap<FileName, (u64, Begin)>,
    /// The order of the waiting names. A failed one goes behind the others.
    turns: BTreeMap<u64, FileName>,
    last_turn: u64,
    running: BTreeMap<FileName, Begin>,
}

impl Following {
    pub(crate) fn new(max_size: u64, came: BTreeMap<FileName, Came>, passed: BTreeMap<FileName, InfoHash>) -> Self {
        let mut room = Room::default();
        came.values().for_each(|came| room.take(&came.author, came.room()));
        let (removed, waiting, running) = (BTreeSet::new(), BTreeMap::new(), BTreeMap::new());
        Self { max_size, came, removed, passed, room, waiting, turns: BTreeMap::new(), last_turn: 0, running }
    }

    /// The version that has come under a name.
    pub(crate) fn came(&self, name: &FileName) -> Option<&Came> {
        self.came.get(name)
    }

    /// Notes that this version has come, though this run knew of no download for it.
    pub(crate) fn put(&mut self, name: FileName, came: Came) {
        self.take_from_queue(&name);
        self.set_removed(&name, true);
        self.removed.remove(&name);
        self.room.take(&came.author, came.room());
        self.came.insert(name, came);
    }

    /// Passes over a content under a name, because it was there before.
    pub(crate) fn pass(&mut self, name: FileName, info_hash: InfoHash) {
        self.passed.insert(name, info_hash);
    }

    /// The running downloads.
    pub(crate) fn running(&self) -> impl Iterator<Item = &Offer> {
        self.running.values().map(|begin| &begin.offer)
    }

    /// The content last passed over, by name.
    pub(crate) fn passed(&self) -> &BTreeMap<FileName, InfoHash> {
        &self.passed
    }

    /// All versions that have come, by name.
    pub(crate) fn all_came(&self) -> &BTreeMap<FileName, Came> {
        &self.came
    }

    /// The number of remembered names that take no room.
    pub(crate) fn roomless_count(&self) -> usize {
        self.passed.len() + self.removed.len()
    }

    /// Forgets all names that the group no longer shares, unless their files are here. Returns true if there are any. A
    /// share that comes back under such a name is new.
    pub(crate) fn keep_only(&mut self, shared: &BTreeSet<FileName>) -> bool {
        let before = self.roomless_count();
        self.passed.retain(|name, _| shared.contains(name));
        self.removed.retain(|name| shared.contains(name) || self.came.remove(name).is_none());
        self.roomless_count() < before
    }

    /// The limit for the size of all files.
    pub(crate) fn max_size(&self) -> u64 {
        self.max_size
    }

    /// The number of files that came, and of those still to come.
    pub(crate) fn counts(&self) -> (usize, usize) {
        (self.came.len(), self.waiting.len() + self.running.len())
    }

    /// Takes in a share. An earlier offer of the name no longer counts.
    pub(crate) fn offered(&mut self, offer: Offer, here: Here) -> Verdict {
        let is_same = |begin: &Begin| begin.offer.info_hash == offer.info_hash;
        if self.waiting.get(&offer.name).is_some_and(|(_, begin)| is_same(begin)) {
            return Verdict::Known;
        }
        self.take_from_queue(&offer.name);
        let is_passed = self.passed.get(&offer.name) == Some(&offer.info_hash);
        if is_passed || self.running.get(&offer.name).is_some_and(is_same) {
            return Verdict::Known;
        }
        let came = self.came.get(&offer.name);
        if came.is_some_and(|came| came.info_hash == offer.info_hash) {
            return Verdict::Known;
        }
        let passed = match (came, here) {
            _ if !may_be_placed(&offer.name) => Some(PassedOver::Name),
            (Some(came), Here::AsItCame | Here::Other) if came.author != offer.author => {
                Some(PassedOver::OtherAuthor(came.author.clone()))
            }
            (Some(_), Here::Other) => Some(PassedOver::ChangedHere),
            // A complete copy counts as the download. Anything else is reported then.
            _ => None,
        };
        if let Some(why) = passed {
            self.pass(offer.name, offer.info_hash);
            return Verdict::PassedOver(why);
        }
        let replaces = came.is_some() && here == Here::AsItCame;
        self.queue(Begin { offer, replaces });
        Verdict::Waits
    }

    /// Queues an offer behind all others.
    fn queue(&mut self, begin: Begin) {
        self.last_turn += 1;
        let name = begin.offer.name.clone();
        self.turns.insert(self.last_turn, name.clone());
        self.waiting.insert(name, (self.last_turn, begin));
    }

    fn take_from_queue(&mut self, name: &FileName) -> Option<Begin> {
        let (turn, begin) = self.waiting.remove(name)?;
        self.turns.remove(&turn);
        Some(begin)
    }

    /// Notes that a share has ended, so it need not come.
    pub(crate) fn ended(&mut self, name: &FileName) {
        self.take_from_queue(name);
    }

    /// Notes that the files of a name are gone, or are back.
    pub(crate) fn set_removed(&mut self, name: &FileName, removed: bool) {
        let Some(came) = self.came.get(name) else { return };
        if removed && self.removed.insert(name.clone()) {
            self.room.give_back(&came.author, came.room());
        } else if !removed && self.removed.remove(name) {
            self.room.take(&came.author, came.room());
        }
    }

    /// The next downloads that have room; they run from now on. A standing download leaves its sharer's turn to others.
    /// Also returns which room is missing, if others wait for it.
    pub(crate) fn begin(&mut self, standing: &BTreeSet<FileName>, room: DiskRoom) -> (Vec<Begin>, Option<NoRoom>) {
        let (mut begun, mut lacking) = (Vec::new(), None);
        let mut disk = room;
        let mut moving: HashMap<UserId, usize> = HashMap::new();
        for begin in self.running.values().filter(|begin| !standing.contains(&begin.offer.name)) {
            *moving.entry(begin.offer.author.clone()).or_default() += 1;
        }
        let waiting: Vec<FileName> = self.turns.values().cloned().collect();
        for name in waiting {
            if self.running.len() >= RUNNING_MAX {
                break;
            }
            let Some((_, Begin { offer, .. })) = self.waiting.get(&name) else { continue };
            // A name has one download at a time, and so has a content: a second one copies from the first.
            let same = |it: &Begin| it.offer.info_hash == offer.info_hash;
            let is_full = moving.get(&offer.author).is_some_and(|count| *count >= RUNNING_OF_ONE_MAX);
            if is_full || self.running.contains_key(&name) || self.running.values().any(same) {
                continue;
            }
            if let Some(why) = self.room_for(offer, &disk) {
                lacking.get_or_insert(why);
                continue;
            }
            disk.bytes.free = disk.bytes.free.saturating_sub(offer.size);
            if let Some(files) = &mut disk.files {
                files.free = files.free.saturating_sub(offer.disk_files());
            }
            *moving.entry(offer.author.clone()).or_default() += 1;
            if let Some(begin) = self.take_from_queue(&name) {
                self.run(begin.clone());
                begun.push(begin);
            }
        }
        (begun, lacking)
    }

    /// The missing room for a download. The version that it replaces goes only after the download is complete.
    fn room_for(&self, offer: &Offer, disk: &DiskRoom) -> Option<NoRoom> {
        let bytes = offer.room();
        let all = self.room.all.saturating_add(bytes);
        if all > self.max_size {
            Some(NoRoom::Folder)
        } else if all.saturating_add(self.room.of(&offer.author)).saturating_add(bytes) > self.max_size {
            Some(NoRoom::Sharer(offer.author.clone()))
        } else if is_scarce(disk.bytes, offer.size) {
            Some(NoRoom::Disk)
        } else if disk.files.is_some_and(|files| is_scarce(files, offer.disk_files())) {
            Some(NoRoom::Files)
        } else {
            None
        }
    }

    fn run(&mut self, begin: Begin) {
        self.room.take(&begin.offer.author, begin.offer.room());
        self.running.insert(begin.offer.name.clone(), begin);
    }

    /// Goes on with a download of an earlier run.
    pub(crate) fn go_on(&mut self, offer: Offer) {
        self.run(Begin { offer, replaces: false });
    }

    fn stop(&mut self, name: &FileName) -> Option<Begin> {
        let begin = self.running.remove(name)?;
        self.room.give_back(&begin.offer.author, begin.offer.room());
        Some(begin)
    }

    /// Whether an offer waits for its turn. Names with a running download do not count.
    pub(crate) fn waits(&self) -> bool {
        self.waiting.keys().any(|name| !self.running.contains_key(name))
    }

    /// Notes that a download is complete.
    pub(crate) fn arrived(&mut self, name: &FileName) -> Option<Came> {
        let Begin { offer: Offer { info_hash, size, author, .. }, .. } = self.stop(name)?;
        Some(Came { info_hash, size, author })
    }

    /// The running downloads whose names have another version by now.
    pub(crate) fn outdated(&self) -> Vec<FileName> {
        self.running.keys().filter(|name| self.waiting.contains_key(*name)).cloned().collect()
    }

    /// Notes that a download was cancelled, because its share is gone.
    pub(crate) fn let_go(&mut self, name: &FileName) {
        self.stop(name);
    }

    /// Notes that a download has failed. The share is passed over, or waits behind the others for another try.
    pub(crate) fn failed(&mut self, name: &FileName, again: bool) -> Option<InfoHash> {
        let begin = self.stop(name)?;
        if again {
            if !self.waiting.contains_key(name) {
                self.queue(begin);
            }
            return None;
        }
        self.pass(name.clone(), begin.offer.info_hash);
        Some(begin.offer.info_hash)
    }
}

#[cfg(test)]
mod tests;
