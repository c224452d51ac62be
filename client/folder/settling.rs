//! Decides when a file of a watched folder is shared, and when its share is withdrawn. The time and the looks of files
//! are passed in: this uses no disk.

use crate::model::name::FileName;
use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::hash::Hash;
use std::time::{Duration, Instant};

/// How long a file has to stay unchanged before it is shared, or before its share is withdrawn.
pub(crate) const REST: Duration = Duration::from_secs(2);
/// More withdrawals at once than this need the user's consent.
const WITHDRAWN_MAX: usize = 20;
/// Withdrawals within this time count as withdrawn at once.
const AT_ONCE: Duration = Duration::from_secs(60);
/// Other withdrawals wait at most this long for a user who removes a file every second.
const GONE_WAIT_MAX: Duration = Duration::from_secs(30);

/// The longest wait for a file that changes all the time.
const BUSY: Duration = Duration::from_secs(10);
/// How long the user's consent lasts. The files that are missing now come to rest within this time.
const CONSENT: Duration = Duration::from_secs(6);

/// A file that may still be changing.
#[derive(Debug)]
struct Restless<S> {
    found: Option<S>,
    since: Instant,
    /// Since when the file has not been at rest.
    first: Instant,
}

/// The next step for missing files.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum GoneStep {
    /// Nothing yet.
    Wait,
    /// These shares end.
    Withdraw(Vec<FileName>),
    /// This many would end, so the user is asked first.
    Ask(usize),
}

/// The files of a watched folder on their way into the group and out of it. `S` is the look of a file: equal for equal
/// content.
///
/// Invariants: A ready file was at rest for [`REST`]. Only shared names are in `gone`. A ready name is not in `gone`.
/// `names` and `gone_looks` are `shared` and `gone`, ordered by looks.
#[derive(Debug)]
pub(crate) struct Settling<S> {
    shared: BTreeMap<FileName, S>,
    /// The shared names of each look.
    names: HashMap<S, BTreeSet<FileName>>,
    restless: BTreeMap<FileName, Restless<S>>,
    /// At rest and waiting to be shared.
    ready: BTreeMap<FileName, S>,
    /// Not shared with this look, and the user knows.
    refused: BTreeMap<FileName, S>,
    /// Shared, but missing at rest; since when.
    gone: BTreeMap<FileName, Instant>,
    /// The looks of missing files. Several look alike if they were names of one file.
    gone_looks: HashMap<S, BTreeSet<FileName>>,
    /// Missing names whose files are now shared under another name.
    moved: BTreeSet<FileName>,
    /// The times of withdrawals without a question, in order.
    withdrawn: VecDeque<Instant>,
    /// The number of files in the last question to the user.
    asked: usize,
    /// Until this time, the user agrees that the shares of missing files end. This includes files that go missing only
    /// after the question.
    consented: Option<Instant>,
}

impl<S: Copy + Eq + Hash> Settling<S> {
    /// A folder with these existing shares.
    pub(crate) fn new(shared: BTreeMap<FileName, S>) -> Self {
        let mut names: HashMap<S, BTreeSet<FileName>> = HashMap::new();
        for (name, &look) in &shared {
            names.entry(look).or_default().insert(name.clone());
        }
        Self {
            shared,
            names,
            restless: BTreeMap::new(),
            ready: BTreeMap::new(),
            refused: BTreeMap::new(),
            gone: BTreeMap::new(),
            gone_looks: HashMap::new(),
            moved: BTreeSet::new(),
            withdrawn: VecDeque::new(),
            asked: 0,
            consented: None,
        }
    }

    /// The number of shared files.
    pub(crate) fn shared_count(&self) -> usize {
        self.shared.len()
    }

    /// The number of files that wait to be shared.
    pub(crate) fn waiting_count(&self) -> usize {
        let waiting = |(name, it): &(&FileName, &Restless<S>)| it.found.is_some() && !self.ready.contains_key(*name);
        self.ready.len() + self.restless.iter().filter(waiting).count()
    }

    /// The number of shares without a file.
    pub(crate) fn gone_count(&self) -> usize {
        self.gone.len()
    }

    /// The number of files that are at rest but not shared.
    pub(crate) fn refused_count(&self) -> usize {
        self.refused.len()
    }

    /// Whether nothing is under way: every file is shared or refused, and the user knows of the missing ones.
    pub(crate) fn is_settled(&self) -> bool {
        self.restless.is_empty() && self.ready.is_empty() && self.is_gone_known()
    }

    /// As `is_settled`, without ever-changing files; `full` also leaves out files that wait for a full tracker.
    pub(crate) fn is_done(&self, full: bool, now: Instant) -> bool {
        let is_busy = |it: &Restless<S>| it.found.is_some() && it.first + BUSY <= now;
        self.restless.values().all(is_busy) && (full || self.ready.is_empty()) && self.is_gone_known()
    }

    fn is_gone_known(&self) -> bool {
        self.gone.is_empty() || (self.asked >= self.gone.len() && self.consented.is_none())
    }

    /// A file that changes all the time.
    pub(crate) fn busy(&self, now: Instant) -> Option<&FileName> {
        let busy = |(_, it): &(&FileName, &Restless<S>)| it.found.is_some() && it.first + BUSY <= now;
        self.restless.iter().find(busy).map(|(name, _)| name)
    }

    /// Notes an event on a file, and its look now.
    pub(crate) fn touched(&mut self, name: FileName, found: Option<S>, now: Instant) {
        if found.is_some() {
            self.is_back(&name);
        }
        self.ready.remove(&name);
        let first = self.restless.get(&name).map_or(now, |it| it.first);
        self.restless.insert(name, Restless { found, since: now, first });
    }

    /// Takes in all files of a scan, except unknown ones. Unchanged files stay at rest.
    pub(crate) fn scanned(
        &mut self,
        files: &BTreeMap<FileName, S>,
        is_unknown: impl Fn(&FileName) -> bool,
        now: Instant,
    ) {
        for (name, &found) in files {
            let known = |known: &BTreeMap<FileName, S>| known.get(name) == Some(&found);
            let seen = self.restless.get(name).is_some_and(|it| it.found == Some(found));
            let is_new = !seen && !known(&self.shared) && !known(&self.ready) && !known(&self.refused);
            // A file that changed and changed back.
            let is_old = self.restless.contains_key(name) || self.gone.contains_key(name);
            if is_new || (is_old && !seen) {
                self.touched(name.clone(), Some(found), now);
            }
        }
        let is_missing = |name: &FileName| !files.contains_key(name) && !is_unknown(name);
        let missing = |name: &&FileName| is_missing(name) && !self.gone.contains_key(*name);
        let known = self.shared.keys().chain(self.ready.keys()).chain(self.restless.keys());
        let missing: BTreeSet<FileName> = known.filter(missing).cloned().collect();
        for name in missing {
            if self.restless.get(&name).is_none_or(|it| it.found.is_some()) {
                self.touched(name, None, now);
            }
        }
        self.refused.retain(|name, _| !is_missing(name));
    }

    /// The known names at this place in the folder and below.
    pub(crate) fn below(&self, folder: &str) -> Vec<FileName> {
        let is_below = |name: &&FileName| name.as_str().strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'));
        let known = self.shared.keys().chain(self.ready.keys()).chain(self.restless.keys());
        let below: BTreeSet<&FileName> = known.filter(is_below).collect();
        below.into_iter().cloned().collect()
    }

    /// When the next file comes to rest.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        self.restless.values().map(|it| it.since + REST).min()
    }

    /// The files without an event for long enough. Each gets one more look: see [`Settling::rested`].
    pub(crate) fn due(&self, now: Instant) -> Vec<FileName> {
        let due = self.restless.iter().filter(|(_, it)| it.since + REST <= now);
        due.map(|(name, _)| name.clone()).collect()
    }

    /// A due file could not be looked at, so it counts as before.
    pub(crate) fn unknown(&mut self, name: &FileName) {
        self.restless.remove(name);
    }

    /// Takes in the look of a due file. An unchanged one is at rest.
    pub(crate) fn rested(&mut self, name: FileName, found: Option<S>, now: Instant) {
        let Some(before) = self.restless.get(&name) else { return };
        if before.found != found {
            return self.touched(name, found, now);
        }
        self.restless.remove(&name);
        match (found, self.shared.get(&name)) {
            (None, Some(&look)) => {
                self.gone_looks.entry(look).or_default().insert(name.clone());
                self.gone.entry(name).or_insert(now);
            }
            (None, None) => drop(self.refused.remove(&name)),
            (Some(found), shared) if shared == Some(&found) || self.refused.get(&name) == Some(&found) => {}
            (Some(found), _) => drop(self.ready.insert(name, found)),
        }
    }

    /// The next file to share, its look, and its former share if it was renamed.
    pub(crate) fn next_share(
        &self,
        mut waits: impl FnMut(&FileName) -> bool,
    ) -> Option<(FileName, S, Option<FileName>)> {
        let (name, &look) = self.ready.iter().find(|(name, _)| !waits(name))?;
        Some((name.clone(), look, self.gone_like(look).cloned()))
    }

    /// A share with this look and without a file. One that is already shared under another name comes last.
    fn gone_like(&self, look: S) -> Option<&FileName> {
        let gone = self.gone_looks.get(&look)?;
        gone.iter().find(|name| !self.moved.contains(*name)).or(gone.first())
    }

    /// The other names of the same files. A write through one name causes no event for the others.
    pub(crate) fn linked(&self, names: &BTreeSet<FileName>) -> BTreeSet<FileName> {
        let looks: HashSet<S> = names.iter().filter_map(|name| self.shared.get(name).copied()).collect();
        let linked = looks.iter().filter_map(|look| self.names.get(look)).filter(|linked| linked.len() > 1);
        linked.flatten().filter(|name| !names.contains(*name)).cloned().collect()
    }

    /// Whether a file with this look is still to be shared.
    pub(crate) fn is_ready(&self, name: &FileName, look: S) -> bool {
        self.ready.get(name) == Some(&look)
    }

    /// Notes that a file is shared with this look.
    pub(crate) fn is_shared(&mut self, name: &FileName, look: S) {
        self.ready.remove(name);
        self.refused.remove(name);
        if let Some(from) = self.gone_like(look).filter(|from| *from != name).cloned() {
            self.moved.insert(from);
        }
        self.is_back(name);
        self.unshare(name);
        self.shared.insert(name.clone(), look);
        self.names.entry(look).or_default().insert(name.clone());
    }

    /// Removes the share of a name. Returns its look.
    fn unshare(&mut self, name: &FileName) -> Option<S> {
        let look = self.shared.remove(name)?;
        take_name(&mut self.names, look, name);
        Some(look)
    }

    /// Notes that a file with this look is refused. The file is tried again after a change.
    pub(crate) fn is_refused(&mut self, name: &FileName, look: S) {
        self.ready.remove(name);
        self.refused.insert(name.clone(), look);
    }

    /// Notes that a share has ended because its file was missing.
    pub(crate) fn is_withdrawn(&mut self, name: &FileName, now: Instant) {
        // A moved file does not count for a question.
        if !self.moved.contains(name) {
            self.withdrawn.push_back(now);
        }
        self.is_back(name);
        self.unshare(name);
    }

    /// Notes that a share has ended elsewhere, as by a command on another client. The file is shared again once it
    /// changes.
    pub(crate) fn has_ended(&mut self, name: &FileName) {
        self.is_back(name);
        if let Some(look) = self.unshare(name) {
            self.refused.insert(name.clone(), look);
        }
    }

    /// The group has another version under a name than the last shared one. For the next look the file is new.
    pub(crate) fn forget(&mut self, name: &FileName) {
        self.is_back(name);
        self.unshare(name);
        self.refused.remove(name);
    }

    fn is_back(&mut self, name: &FileName) {
        if self.gone.remove(name).is_some() {
            if let Some(&look) = self.shared.get(name) {
                take_name(&mut self.gone_looks, look, name);
            }
            self.moved.remove(name);
            if self.gone.is_empty() {
                (self.asked, self.consented) = (0, None);
            }
        }
    }

    /// The next step for missing files. A file that comes again under another name does not count as missing: it waits
    /// until that name is shared.
    pub(crate) fn gone(&mut self, now: Instant) -> GoneStep {
        if self.gone.is_empty() {
            self.consented = self.consented.filter(|until| *until > now);
            return GoneStep::Wait;
        }
        if !self.moved.is_empty() {
            return GoneStep::Withdraw(self.moved.iter().cloned().collect());
        }
        let coming = self.coming_again();
        let gone: Vec<&FileName> = self.gone.keys().filter(|name| !coming.contains(name)).collect();
        let Some(&first) = gone.iter().map(|name| &self.gone[*name]).min() else { return GoneStep::Wait };
        let going = |(name, it): &(&FileName, &Restless<S>)| it.found.is_none() && self.shared.contains_key(*name);
        if self.restless.iter().any(|it| going(&it)) && now < first + GONE_WAIT_MAX {
            return GoneStep::Wait;
        }
        while self.withdrawn.front().is_some_and(|then| *then + AT_ONCE <= now) {
            self.withdrawn.pop_front();
        }
        let many = gone.len() + self.withdrawn.len() > WITHDRAWN_MAX;
        let most = gone.len() > 1 && gone.len() * 2 >= self.shared.len();
        if self.consented.is_some() || !(many || most) {
            return GoneStep::Withdraw(gone.into_iter().cloned().collect());
        }
        let count = gone.len();
        if count <= self.asked {
            return GoneStep::Wait;
        }
        self.asked = count;
        GoneStep::Ask(count)
    }

    /// The shares without a file whose files come again under other names. Of shares with one look, at most as many as
    /// there are new files with this look.
    fn coming_again(&self) -> BTreeSet<&FileName> {
        let mut counts: HashMap<S, usize> = HashMap::new();
        self.coming().for_each(|look| *counts.entry(look).or_default() += 1);
        let gone = counts.iter().filter_map(|(look, count)| Some(self.gone_looks.get(look)?.iter().take(*count)));
        gone.flatten().collect()
    }

    /// The looks of the files that wait to be shared.
    fn coming(&self) -> impl Iterator<Item = S> {
        self.ready.values().copied().chain(self.restless.values().filter_map(|it| it.found))
    }

    /// Notes that the user agrees: the shares of missing files may end.
    pub(crate) fn consent(&mut self, now: Instant) {
        self.consented = Some(now + CONSENT);
    }

    /// Makes refused files new for the next scan.
    pub(crate) fn retry(&mut self) {
        self.refused.clear();
    }
}

/// Removes a name from those of one look.
fn take_name<S: Eq + Hash>(names: &mut HashMap<S, BTreeSet<FileName>>, look: S, name: &FileName) {
    if let Entry::Occupied(mut of_look) = names.entry(look) {
        of_look.get_mut().remove(name);
        if of_look.get().is_empty() {
            of_look.remove();
        }
    }
}

#[cfg(test)]
mod tests;
