//! Rare situations that chance does not reach: trackers with promises that exclude each other, and a cluster that is
//! restored as a whole.

use super::super::disk::Disk;
use super::super::tracker::Written;
use super::{World, brief};
use groupshare::model::op::floor::FloorMark;

/// How many rounds a scheme lets events come before it gives up.
const PATIENCE: usize = 60;

/// A scheme that is played before the random events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scheme {
    /// The first tracker promises a floor, and no other one hears of it. The second one was ready and loses its disk.
    /// It takes other changes. Once the first one is forgotten, it promises a floor with these.
    Torn,
    /// All disks are restored to a time before a floor. Later one of them is restored to a time on that floor.
    PutBack,
}

impl World {
    /// Plays a scheme as far as it goes.
    pub(super) fn play(&mut self, scheme: Scheme) {
        let slippery = std::mem::take(&mut self.slippery);
        self.fates.meet();
        while self.running().len() < self.trackers.len() {
            self.start_some();
        }
        self.settle();
        let reached = match scheme {
            Scheme::Torn => self.tear(),
            Scheme::PutBack => self.put_back(),
        };
        say!(self, "{scheme:?}: {}", if reached.is_some() { "came off" } else { "was given up" });
        self.slippery = slippery;
    }

    fn tear(&mut self) -> Option<()> {
        let before = self.trackers[1].disk.clone();
        self.change_much(0);
        self.until(|world| world.has_promised(0))?;
        self.set_apart(&[0, 1]);
        self.put_disk(1, before);
        for _ in 0..1 + self.dice.below(4) {
            self.change_at(1);
        }
        self.say_of(2, 1, true);
        self.write_all(2);
        self.set_apart(&[0]);
        if self.dice.percent(70) {
            // Its further ops are not behind those that the other promise excludes.
            self.dial_all();
            self.flow();
            self.end_tracker(1);
            self.start(1);
        }
        self.change_at(2);
        self.until(|world| world.has_promised(1))?;
        self.set_apart(&[1]);
        self.say_of(2, 1, false);
        self.write_all(2);
        self.until(|world| world.has_promised(2))
    }

    fn put_back(&mut self) -> Option<()> {
        let before: Vec<Disk> = self.trackers.iter().map(|tracker| tracker.disk.clone()).collect();
        self.change_much(0);
        let floor = self.highest();
        self.until(|world| world.highest() > floor)?;
        let ahead = (0..self.trackers.len()).find(|&t| self.trackers[t].disk.floor() > floor)?;
        let copy = self.trackers[ahead].disk.clone();
        for (t, disk) in before.into_iter().enumerate() {
            self.put_disk(t, disk);
        }
        self.change_much(1);
        self.until(|world| world.highest() > floor)?;
        self.put_disk(ahead, copy);
        Some(())
    }

    /// Lets events come until a condition holds; `None` if it does not.
    fn until(&mut self, has_come: impl Fn(&Self) -> bool) -> Option<()> {
        for _ in 0..PATIENCE {
            self.dial_all();
            for end in self.ends() {
                if self.conns[end.0].ends[end.1].open {
                    self.give(end, 100);
                    self.take(end);
                }
            }
            for t in self.running() {
                self.write_all(t);
                self.keep_floor(t);
                if self.trackers[t].run.is_some() {
                    self.write_all(t);
                }
                if has_come(self) {
                    return Some(());
                }
            }
        }
        None
    }

    /// Makes changes until a floor above the first of them is due.
    fn change_much(&mut self, t: usize) {
        for _ in 0..2 * (self.pace.margin + self.pace.step) {
            self.change_at(t);
        }
    }

    fn change_at(&mut self, t: usize) {
        if self.trackers[t].run.is_some() {
            self.command(t);
            self.write_all(t);
        }
    }

    /// Makes everything durable that a tracker has taken.
    fn write_all(&mut self, t: usize) {
        while let Some(run) = &self.trackers[t].run {
            if run.working.is_some() {
                self.finish(t, Written::Kept);
            } else if run.may_begin() {
                self.trackers[t].begin();
            } else {
                return;
            }
        }
    }

    /// Puts each of these trackers alone, and the others together.
    fn set_apart(&mut self, alone: &[usize]) {
        self.sides.fill(0);
        for (side, &t) in (1..).zip(alone) {
            self.sides[t] = side;
        }
        say!(self, "the network is {:?}", self.sides);
    }

    /// Gives a tracker another disk.
    fn put_disk(&mut self, t: usize, disk: Disk) {
        say!(self, "{}: an old copy of its disk is put back", t + 1);
        let lost = self.replace_disk(t, disk);
        self.census.restored += usize::from(lost > 0);
        self.start(t);
    }

    /// Connects all that can meet.
    fn dial_all(&mut self) {
        let running = self.running();
        let linked: Vec<[usize; 2]> = (self.oldest..self.conns.len())
            .filter(|&conn| !self.conns[conn].broken && self.conns[conn].ends.iter().all(|end| end.open))
            .map(|conn| self.of(conn))
            .collect();
        for &a in &running {
            for &b in running.iter().filter(|&&b| b > a) {
                if self.sides[a] == self.sides[b] && !linked.contains(&[a, b]) {
                    self.connect(a, b);
                }
            }
        }
    }

    fn has_promised(&self, t: usize) -> bool {
        let by_it = || self.durable(t).promises().any(|(.., by)| by.contains(&self.trackers[t].number));
        self.trackers[t].run.is_some() && by_it()
    }

    /// The highest floor of any disk.
    fn highest(&self) -> FloorMark {
        self.trackers.iter().map(|tracker| tracker.disk.floor()).max().unwrap_or_default()
    }
}
