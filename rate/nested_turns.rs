//! Jobs of many owners for a few threads, with turns within turns: places take turns, and so do the owners in one
//! place. At each level the owner with the fewest running jobs comes first; of equal ones, the owner with the oldest
//! last turn. Pure: the caller passes the time in.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::time::{Duration, Instant};

/// How many owners and places the queue remembers the last turn of.
const SERVED_MAX: usize = 1024;

/// How much a queue takes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NestedBounds {
    /// Most jobs that wait.
    pub waiting: usize,
    /// A job that has waited for longer is of no use.
    pub age: Duration,
}

/// A job, its owner from the widest to the narrowest level, and the time at which it came.
#[derive(Debug)]
struct NestedJob<K, J, const N: usize> {
    path: [K; N],
    job: J,
    came: Instant,
}

#[derive(Debug)]
pub(crate) struct NestedTurns<K, J, const N: usize> {
    bounds: NestedBounds,
    /// The oldest in front.
    waiting: VecDeque<NestedJob<K, J, N>>,
    /// The owners of running jobs.
    taken: Vec<[K; N]>,
    /// The last turn of each owner and place, by the beginnings of paths.
    served: HashMap<Vec<K>, u64>,
    turn: u64,
}

impl<K: Eq + Hash + Clone, J, const N: usize> NestedTurns<K, J, N> {
    pub(crate) fn new(bounds: NestedBounds) -> Self {
        Self { bounds, waiting: VecDeque::new(), taken: Vec::new(), served: HashMap::new(), turn: 0 }
    }

    /// Adds a job. Returns the jobs that get no turn. These are the jobs that are too old. If the queue is full, the
    /// last job of the owner with most jobs gets no turn either. This last job may be the new one.
    pub(crate) fn put(&mut self, path: [K; N], job: J, now: Instant) -> Vec<J> {
        let mut dropped = self.drop_old(now);
        self.waiting.push_back(NestedJob { path, job, came: now });
        if self.waiting.len() > self.bounds.waiting {
            let last = self.last_of_most().and_then(|at| self.waiting.remove(at));
            dropped.extend(last.map(|last| last.job));
        }
        dropped
    }

    /// Takes the job whose turn it is, with its owner. The job counts as running until [`NestedTurns::done`].
    pub(crate) fn take(&mut self, now: Instant) -> Option<([K; N], J)> {
        self.drop_old(now);
        let next = (0..self.waiting.len()).min_by_key(|&at| self.rank(&self.waiting[at].path));
        let NestedJob { path, job, .. } = self.waiting.remove(next?)?;
        self.turn += 1;
        for level in 1..=N {
            self.served.insert(path[..level].to_vec(), self.turn);
        }
        if self.served.len() > SERVED_MAX {
            self.forget_half();
        }
        self.taken.push(path.clone());
        Some((path, job))
    }

    /// A job that was taken has ended.
    pub(crate) fn done(&mut self, path: &[K; N]) {
        if let Some(at) = self.taken.iter().position(|taken| taken == path) {
            self.taken.swap_remove(at);
        }
    }

    /// How many jobs wait.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// At each level: how many jobs are under way, and when the last turn was.
    fn rank(&self, path: &[K; N]) -> [(usize, Option<u64>); N] {
        std::array::from_fn(|level| {
            let begin = &path[..=level];
            let taken = self.taken.iter().filter(|taken| taken[..=level] == *begin).count();
            (taken, self.served.get(begin).copied())
        })
    }

    /// The last job of the owner with the most jobs: of the widest level first, then of the next level within it.
    fn last_of_most(&self) -> Option<usize> {
        let mut among: Vec<usize> = (0..self.waiting.len()).collect();
        for level in 1..=N {
            let begin = |at: usize| &self.waiting[at].path[..level];
            let mut counts: HashMap<&[K], usize> = HashMap::new();
            among.iter().for_each(|&at| *counts.entry(begin(at)).or_default() += 1);
            // Of equal ones, the one that came last.
            let most = *among.iter().max_by_key(|&&at| counts[begin(at)])?;
            among.retain(|&at| begin(at) == begin(most));
        }
        among.last().copied()
    }

    /// Forgets the older half of the last turns. Their owners then count as new.
    fn forget_half(&mut self) {
        let mut turns: Vec<u64> = self.served.values().copied().collect();
        let (_, half, _) = turns.select_nth_unstable(SERVED_MAX / 2);
        let half = *half;
        self.served.retain(|_, turn| *turn >= half);
    }

    /// Removes the jobs that are too old.
    pub(crate) fn drop_old(&mut self, now: Instant) -> Vec<J> {
        let is_old = |job: &NestedJob<K, J, N>| now.saturating_duration_since(job.came) > self.bounds.age;
        let old = self.waiting.iter().take_while(|job| is_old(job)).count();
        self.waiting.drain(..old).map(|old| old.job).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: NestedBounds = NestedBounds { waiting: 6, age: Duration::from_secs(2) };

    type Turns = NestedTurns<&'static str, u32, 2>;

    fn filled(jobs: &[(&'static str, &'static str, u32)], now: Instant) -> Turns {
        let mut turns = NestedTurns::new(BOUNDS);
        for &(place, name, job) in jobs {
            assert_eq!(turns.put([place, name], job, now), [0; 0]);
        }
        turns
    }

    fn taken(turns: &mut Turns, now: Instant) -> Vec<u32> {
        std::iter::from_fn(|| {
            let (path, job) = turns.take(now)?;
            turns.done(&path);
            Some(job)
        })
        .collect()
    }

    #[test]
    fn places_take_turns_and_names_take_turns_within_a_place() {
        let now = Instant::now();
        let jobs = [("x", "eve", 1), ("x", "eve", 2), ("x", "eve", 3), ("x", "mia", 4), ("y", "ann", 5)];
        assert_eq!(taken(&mut filled(&jobs, now), now), [1, 5, 4, 2, 3]);
    }

    #[test]
    fn many_names_at_one_place_take_no_more_turns_than_one_name_at_another() {
        let now = Instant::now();
        let mut turns = filled(&[("x", "a", 1), ("x", "b", 2), ("x", "c", 3)], now);
        assert_eq!(turns.take(now).map(|(_, job)| job), Some(1));
        assert!(turns.put(["y", "ann"], 4, now).is_empty() && turns.put(["y", "ann"], 5, now).is_empty());
        let next = [(); 4].map(|()| turns.take(now).map(|(_, job)| job));
        assert_eq!(next, [Some(4), Some(2), Some(5), Some(3)]);
    }

    #[test]
    fn a_user_with_a_job_under_way_waits_for_those_without_one() {
        let now = Instant::now();
        let mut turns = filled(&[("x", "a", 1), ("x", "a", 2)], now);
        let (first, _) = turns.take(now).expect("a job");
        // A place without an earlier turn.
        turns.put(["y", "b"], 3, now);
        let (second, job) = turns.take(now).expect("a job");
        assert_eq!(job, 3);
        turns.put(["y", "b"], 4, now);
        turns.done(&first);
        assert_eq!(turns.take(now).map(|(_, job)| job), Some(2), "the other place has one under way");
        turns.done(&second);
        assert_eq!(turns.take(now).map(|(_, job)| job), Some(4));
    }

    #[test]
    fn in_a_full_queue_the_last_of_whoever_has_most_gives_way_and_not_the_newcomer() {
        let now = Instant::now();
        let jobs = [("x", "a", 1), ("x", "b", 2), ("x", "b", 3), ("y", "c", 4), ("y", "c", 5), ("x", "d", 6)];
        let mut turns = filled(&jobs, now);
        assert_eq!(turns.put(["z", "ann"], 7, now), [3], "place x has most, and b has most there");
        assert_eq!(turns.put(["x", "e"], 8, now), [8], "the newcomer is of the place that has most");
        assert_eq!(turns.put(["z", "ann"], 9, now), [6], "x has three, and all names there have one");
        assert_eq!(turns.put(["z", "ann"], 10, now), [10], "z has most by now");
        assert_eq!(turns.waiting(), BOUNDS.waiting);
    }

    #[test]
    fn a_job_that_is_too_old_gets_no_turn() {
        let now = Instant::now();
        let mut turns = filled(&[("x", "a", 1), ("x", "a", 2)], now);
        let later = now + BOUNDS.age + Duration::from_millis(1);
        assert_eq!(turns.put(["y", "b"], 3, later), [1, 2]);
        assert_eq!(taken(&mut turns, later), [3]);
    }

    #[test]
    fn it_remembers_no_more_than_there_may_be() {
        let (mut turns, now) = (NestedTurns::<usize, (), 2>::new(BOUNDS), Instant::now());
        for number in 0..4 * SERVED_MAX {
            assert!(turns.put([number, number], (), now).is_empty());
            let (path, ()) = turns.take(now).expect("a job");
            turns.done(&path);
        }
        assert!(turns.served.len() <= SERVED_MAX && turns.taken.is_empty());
    }
}
