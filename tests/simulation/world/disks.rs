//! Trackers that start and end, and the fates of their disks.

use super::super::disk::Disk;
use super::{World, brief};
use groupshare::model::id::OpId;

impl World {
    pub(super) fn start_some(&mut self) {
        let down = |t: &usize| self.fates.is_listed(*t) && self.trackers[*t].run.is_none();
        let down: Vec<usize> = (0..self.trackers.len()).filter(down).collect();
        if let Some(t) = self.dice.pick(&down) {
            self.start(t);
        }
    }

    /// A new tracker appears in the list, with an empty disk.
    pub(super) fn add(&mut self) {
        if let Some(t) = self.fates.add() {
            say!(self, "{} is added to the list", t + 1);
            self.census.added += 1;
            self.forget_waits();
            self.start(t);
        }
    }

    pub(super) fn start(&mut self, t: usize) {
        if !self.adopt(t) {
            return;
        }
        // Random, but different each time.
        let incarnation = (self.dice.below(1 << 10) as u64) << 10 | self.trackers[t].boots;
        self.trackers[t].start(incarnation);
        let disk = &self.trackers[t].disk;
        let (floor, above) = (disk.floor().lamport, disk.above());
        say!(self, "{}: starts as {incarnation} on floor {floor} with {} ops", t + 1, above.len());
        above.into_iter().for_each(|op| self.note_durable(op));
    }

    /// The lists of trackers have changed.
    fn forget_waits(&mut self) {
        self.trackers.iter_mut().filter_map(|tracker| tracker.run.as_mut()).for_each(|run| run.keeping.waited = None);
    }

    /// A tracker ends without warning. Its disk has any part of the running write.
    pub(super) fn crash(&mut self) {
        let Some(t) = self.some_running() else { return };
        say!(self, "{}: crashes", t + 1);
        self.census.restarts += 1;
        self.end_tracker(t);
    }

    /// A tracker that has voted on a floor which no tracker has yet, in runs with many lost disks. This is the worst
    /// moment.
    fn some_to_lose(&mut self) -> Option<usize> {
        let voted = |t: &usize| {
            let (state, number) = (self.durable(*t), self.trackers[*t].number);
            let ready = state.proposals().any(|(.., ready)| ready.contains(&number));
            ready || state.promises().any(|(.., by)| by.contains(&number))
        };
        let voters: Vec<usize> = self.running().into_iter().filter(voted).collect();
        let voter = self.dice.pick(&voters).filter(|_| self.fates.rough);
        voter.or_else(|| self.some_listed())
    }

    /// A tracker ends, and its disk is lost.
    pub(super) fn wipe(&mut self) {
        let Some(t) = self.some_to_lose() else { return };
        say!(self, "{}: its disk is lost", t + 1);
        let lost = self.replace_disk(t, Disk::default());
        self.census.wiped += usize::from(lost > 0);
    }

    /// An operator copies a tracker's disk.
    pub(super) fn copy(&mut self) {
        let Some(t) = self.some_to_lose() else { return };
        let tracker = &mut self.trackers[t];
        tracker.copies.push(tracker.disk.clone());
    }

    /// A tracker ends, and an old copy replaces its disk. The disk may have been lost since.
    pub(super) fn restore(&mut self) {
        let Some(t) = self.some_to_lose() else { return };
        let Some(copy) = self.dice.pick(&self.trackers[t].copies) else { return };
        let (before, len) = (self.trackers[t].disk.holds().len(), copy.holds().len());
        say!(self, "{}: an old copy of its disk is put back, with {len} ops", t + 1);
        let lost = self.replace_disk(t, copy);
        self.census.restored += usize::from(lost > 0 && len > 0);
        self.census.brought_back += usize::from(len > before);
    }

    /// Ends a running tracker and gives it another disk. Returns how many ops that disk lacks.
    pub(super) fn replace_disk(&mut self, t: usize, disk: Disk) -> usize {
        if self.trackers[t].run.is_some() {
            self.census.restarts += 1;
            self.end_tracker(t);
        }
        let kept = disk.holds();
        let gone = std::mem::replace(&mut self.trackers[t].disk, disk).holds();
        let gone: Vec<OpId> = gone.difference(&kept).copied().collect();
        if !gone.is_empty() && self.round.as_mut().is_some_and(|lost| lost.insert(t) && lost.len() == 2) {
            self.census.wiped_in_round += 1;
        }
        self.lost.extend(&gone);
        gone.len()
    }

    pub(super) fn end_tracker(&mut self, t: usize) {
        let mut run = self.trackers[t].run.take().expect("it runs");
        let promised = |id: &OpId| id.origin == run.origin;
        self.census.died_promised += usize::from(run.durable.promises().any(|(id, ..)| promised(&id)));
        if let Some(batch) = run.working.take() {
            let kept = self.dice.below(batch.ops.len() + 1);
            for op in &batch.ops[..kept] {
                self.trackers[t].disk.records.push(op.clone());
            }
            self.unanswered.extend(batch.waiting.commands.into_iter().map(|(n, _)| n));
        }
        self.unanswered.extend(run.gathering.waiting.commands.into_iter().map(|(n, _)| n));
        for end in self.ends() {
            if self.conns[end.0].ends[end.1].tracker == t {
                self.close(end);
            }
        }
    }
}
