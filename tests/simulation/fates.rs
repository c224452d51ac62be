//! The fates of trackers in a run, besides partitions: the trackers that others know, and the pairs that can meet.

use super::clients::Dice;

/// Trackers, by index.
pub(crate) struct Fates {
    /// This tracker is unknown to the others, and has not started.
    unlisted: Option<usize>,
    /// This tracker takes changes alone until the end.
    alone: Option<usize>,
    /// These two never link: they meet only through others.
    apart: Option<[usize; 2]>,
    /// Disks are lost and put back ten times as often.
    pub rough: bool,
}

impl Fates {
    /// The fates of this many trackers.
    pub(crate) fn new(dice: &mut Dice, count: usize) -> Self {
        let unlisted = dice.percent(30).then(|| dice.below(count));
        let alone = dice.percent(20).then(|| dice.below(count)).filter(|&alone| unlisted != Some(alone));
        let first = dice.below(count);
        let apart = [first, (first + 1) % count];
        let apart = (count > 2 && dice.percent(40)).then_some(apart);
        Self { unlisted, alone, apart, rough: dice.percent(10) }
    }

    /// Every tracker is known, and none is alone. Those that never link still do not.
    pub(crate) fn heal(&mut self) {
        (self.unlisted, self.alone) = (None, None);
    }

    /// Every tracker is known, none is alone, and all can link.
    pub(crate) fn meet(&mut self) {
        self.heal();
        self.apart = None;
    }

    /// Adds the unlisted tracker to the list of the others, if there is one.
    pub(crate) fn add(&mut self) -> Option<usize> {
        self.unlisted.take()
    }

    pub(crate) fn is_listed(&self, tracker: usize) -> bool {
        self.unlisted != Some(tracker)
    }

    pub(crate) fn is_alone(&self, tracker: usize) -> bool {
        self.alone == Some(tracker)
    }

    /// Whether these two never link.
    pub(crate) fn are_apart(&self, a: usize, b: usize) -> bool {
        self.apart.is_some_and(|apart| apart == [a, b] || apart == [b, a])
    }

    /// Whether these two can link.
    pub(crate) fn may_link(&self, a: usize, b: usize) -> bool {
        let meets = |tracker| self.is_listed(tracker) && !self.is_alone(tracker);
        a != b && meets(a) && meets(b) && !self.are_apart(a, b)
    }

    /// Random links that connect all of these trackers that can meet.
    pub(crate) fn tree(&self, dice: &mut Dice, among: &[usize]) -> Vec<(usize, usize)> {
        let mut tree = Vec::new();
        let (mut within, mut without) = (Vec::from_iter(among.first().copied()), among.to_vec());
        loop {
            without.retain(|tracker| !within.contains(tracker));
            let pairs = within.iter().flat_map(|&a| without.iter().map(move |&b| (a, b)));
            let pairs: Vec<_> = pairs.filter(|&(a, b)| self.may_link(a, b)).collect();
            match (dice.pick(&pairs), without.first()) {
                (Some((a, b)), _) => {
                    tree.push((b, a));
                    within.push(b);
                }
                // A tracker that can meet none of these begins a tree of its own.
                (None, Some(&first)) => within = vec![first],
                (None, None) => return tree,
            }
        }
    }
}
