//! When a file of a watched folder is shared, and when a share of it is withdrawn. Time is passed in, and what a file
//! looks like: this knows no disk.

use crate::model::name::FileName;
use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::hash::Hash;
use std::time::{Duration, Instant};

/// How long a file has to stay as it is before it is shared, or its share is withdrawn.
pub(crate) const REST: Duration = Duration::from_secs(2);
/// More shares than this are withdrawn at once only after a yes.
const WITHDRAWN_MAX: usize = 20;
/// What was withdrawn so long ago counts as withdrawn at once.
const AT_ONCE: Duration = Duration::from_secs(60);
/// Whoever removes a file every second does not put off the others for longer.
const GONE_WAIT_MAX: Duration = Duration::from_secs(30);

/// Nobody waits longer for a file that changes all the time.
const BUSY: Duration = Duration::from_secs(10);
/// A yes counts for what is gone by now, which is at rest by then.
const CONSENT: Duration = Duration::from_secs(6);

/// A file that may be about to change.
#[derive(Debug)]
struct Restless<S> {
    found: Option<S>,
    since: Instant,
    /// Since when it has not been at rest.
    first: Instant,
}

/// What is to be done about files that are gone.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum GoneStep {
    /// Nothing yet.
    Wait,
    /// These shares end.
    Withdraw(Vec<FileName>),
    /// So many would end: the user is asked first.
    Ask(usize),
}

/// The files of a watched folder on their way into the group and out of it. `S` is what a file looks like: equal for
/// equal content.
///
/// Invariants: what is ready was at rest for [`REST`]; only shared names are gone; a name that is ready is not gone;
/// `names` and `gone_looks` are `shared` and `gone` by looks.
#[derive(Debug)]
pub(crate) struct Settling<S> {
    shared: BTreeMap<FileName, S>,
    /// The names that are shared of what looks like this.
    names: HashMap<S, BTreeSet<FileName>>,
    restless: BTreeMap<FileName, Restless<S>>,
    /// At rest and to be shared.
    ready: BTreeMap<FileName, S>,
    /// Not shared as it is, and the user knows.
    refused: BTreeMap<FileName, S>,
    /// Shared, and at rest not there; since when.
    gone: BTreeMap<FileName, Instant>,
    /// What those looked like. Several look alike if they were names of one file.
    gone_looks: HashMap<S, BTreeSet<FileName>>,
    /// Gone, and shared under another name since.
    moved: BTreeSet<FileName>,
    /// When shares were withdrawn without a question, in order.
    withdrawn: VecDeque<Instant>,
    /// About so many the user was asked.
    asked: usize,
    /// The user wants the shares to end whose files are gone, those too that are found to be gone until then.
    consented: Option<Instant>,
}

impl<S: Copy + Eq + Hash> Settling<S> {
    /// This is shared of the folder.
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

    /// How many files are shared.
    pub(crate) fn shared_count(&self) -> usize {
        self.shared.len()
    }

    /// How many files are to be shared.
    pub(crate) fn waiting_count(&self) -> usize {
        let waiting = |(name, it): &(&FileName, &Restless<S>)| it.found.is_some() && !self.ready.contains_key(*name);
        self.ready.len() + self.restless.iter().filter(waiting).count()
    }

    /// How many shares have no file any more.
    pub(crate) fn gone_count(&self) -> usize {
        self.gone.len()
    }

    /// How many files are not shared though they are at rest.
    pub(crate) fn refused_count(&self) -> usize {
        self.refused.len()
    }

    /// Whether nothing is under way: every file is shared or refused, and of what is gone the user knows.
    pub(crate) fn is_settled(&self) -> bool {
        self.restless.is_empty() && self.ready.is_empty() && self.is_gone_known()
    }

    /// The same, but for files that change all the time, and if the tracker is full for those that are to be shared.
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

    /// Something has happened to a file, and this is what it looks like now.
    pub(crate) fn touched(&mut self, name: FileName, found: Option<S>, now: Instant) {
        if found.is_some() {
            self.is_back(&name);
        }
        self.ready.remove(&name);
        let first = self.restless.get(&name).map_or(now, |it| it.first);
        self.restless.insert(name, Restless { found, since: now, first });
    }

    /// All files that are there, but for those that could not be looked for. What is as it was stays at rest.
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
            // One that changed and changed back.
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

    /// The names that are known at this place in the folder and below.
    pub(crate) fn below(&self, folder: &str) -> Vec<FileName> {
        let is_below = |name: &&FileName| name.as_str().strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'));
        let known = self.shared.keys().chain(self.ready.keys()).chain(self.restless.keys());
        let below: BTreeSet<&FileName> = known.filter(is_below).collect();
        below.into_iter().cloned().collect()
    }

    /// When something comes to rest next.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        self.restless.values().map(|it| it.since + REST).min()
    }

    /// The files about which nothing was heard for long enough. Each is looked at once more: see [`Settling::rested`].
    pub(crate) fn due(&self, now: Instant) -> Vec<FileName> {
        let due = self.restless.iter().filter(|(_, it)| it.since + REST <= now);
        due.map(|(name, _)| name.clone()).collect()
    }

    /// A file that was due could not be looked at: it counts as it was.
    pub(crate) fn unknown(&mut self, name: &FileName) {
        self.restless.remove(name);
    }

    /// What a file looks like that was due. If it is as it was, it is at rest.
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

    /// A file to share that need not wait, what it looks like, and the share that it was before it got another name.
    pub(crate) fn next_share(
        &self,
        mut waits: impl FnMut(&FileName) -> bool,
    ) -> Option<(FileName, S, Option<FileName>)> {
        let (name, &look) = self.ready.iter().find(|(name, _)| !waits(name))?;
        Some((name.clone(), look, self.gone_like(look).cloned()))
    }

    /// A share that looks like this and has no file any more. One that is shared under another name already comes last.
    fn gone_like(&self, look: S) -> Option<&FileName> {
        let gone = self.gone_looks.get(&look)?;
        gone.iter().find(|name| !self.moved.contains(*name)).or(gone.first())
    }

    /// The other names of files of which these are some: what is written to one of them is told of no other.
    pub(crate) fn linked(&self, names: &BTreeSet<FileName>) -> BTreeSet<FileName> {
        let looks: HashSet<S> = names.iter().filter_map(|name| self.shared.get(name).copied()).collect();
        let linked = looks.iter().filter_map(|look| self.names.get(look)).filter(|linked| linked.len() > 1);
        linked.flatten().filter(|name| !names.contains(*name)).cloned().collect()
    }

    /// Whether a file is to be shared as it looked then.
    pub(crate) fn is_ready(&self, name: &FileName, look: S) -> bool {
        self.ready.get(name) == Some(&look)
    }

    /// A file is shared as it looked then.
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

    /// Nothing is shared under a name. Gives what it looked like.
    fn unshare(&mut self, name: &FileName) -> Option<S> {
        let look = self.shared.remove(name)?;
        take_name(&mut self.names, look, name);
        Some(look)
    }

    /// A file is not shared as it looks. It is tried again when it has changed.
    pub(crate) fn is_refused(&mut self, name: &FileName, look: S) {
        self.ready.remove(name);
        self.refused.insert(name.clone(), look);
    }

    /// A share has ended because its file was gone.
    pub(crate) fn is_withdrawn(&mut self, name: &FileName, now: Instant) {
        // One that was moved counts for no question.
        if !self.moved.contains(name) {
            self.withdrawn.push_back(now);
        }
        self.is_back(name);
        self.unshare(name);
    }

    /// A share has ended without this folder's doing, as by a command on another client. Its file is shared again once it
    /// changes.
    pub(crate) fn has_ended(&mut self, name: &FileName) {
        self.is_back(name);
        if let Some(look) = self.unshare(name) {
            self.refused.insert(name.clone(), look);
        }
    }

    /// What the group has under a name is not what was shared last. The file is new to whoever looks at it next.
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

    /// What is to be done about files that are gone. One that comes again under another name waits until that is shared,
    /// and counts for nothing.
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

    /// The shares without a file that come again under other names: of what looks alike as many as there are of these.
    fn coming_again(&self) -> BTreeSet<&FileName> {
        let mut counts: HashMap<S, usize> = HashMap::new();
        self.coming().for_each(|look| *counts.entry(look).or_default() += 1);
        let gone = counts.iter().filter_map(|(look, count)| Some(self.gone_looks.get(look)?.iter().take(*count)));
        gone.flatten().collect()
    }

    /// What those files look like that are to be shared.
    fn coming(&self) -> impl Iterator<Item = S> {
        self.ready.values().copied().chain(self.restless.values().filter_map(|it| it.found))
    }

    /// The user wants the shares to end whose files are gone.
    pub(crate) fn consent(&mut self, now: Instant) {
        self.consented = Some(now + CONSENT);
    }

    /// What was refused is new to the next scan.
    pub(crate) fn retry(&mut self) {
        self.refused.clear();
    }
}

/// Takes a name from those of one look.
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
