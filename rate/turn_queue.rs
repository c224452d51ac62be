//! Jobs of many users for a few threads. Users take turns: the user with the fewest running jobs comes first; of equal
//! ones, the user with the oldest last turn. Pure: the caller passes the time in.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// How many users the queue remembers the last turn of.
const SERVED_MAX: usize = 256;

/// How much a queue takes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TurnBounds {
    /// Most jobs that wait.
    pub waiting: usize,
    /// Most jobs of one user, waiting and running together.
    pub each: usize,
    /// A job that has waited for longer is of no use.
    pub age: Duration,
}

/// A job, its user, and the time at which it came.
#[derive(Debug)]
pub(crate) struct UserJob<U, J> {
    pub user: U,
    pub job: J,
    pub came: Instant,
}

#[derive(Debug)]
pub(crate) struct TurnQueue<U, J> {
    bounds: TurnBounds,
    /// The oldest in front.
    waiting: VecDeque<UserJob<U, J>>,
    /// The users of running jobs.
    taken: Vec<U>,
    /// Users in the order of their last turns, the latest at the end.
    served: VecDeque<U>,
    /// Jobs that get no turn, until the caller takes them.
    dropped: Vec<J>,
}

impl<U: Eq + Clone, J> TurnQueue<U, J> {
    pub(crate) fn new(bounds: TurnBounds) -> Self {
        Self { bounds, waiting: VecDeque::new(), taken: Vec::new(), served: VecDeque::new(), dropped: Vec::new() }
    }

    /// Adds a job. Returns false if the user has too many jobs. Also returns false if the queue is full and no other
    /// user has more jobs in it than this user would have. If every user in a full queue has one job, the oldest job
    /// gives way to a user without a job.
    pub(crate) fn put(&mut self, user: U, job: J, now: Instant) -> bool {
        self.drop_old(now);
        let waiting = self.waiting_of(&user);
        if waiting + self.taken_of(&user) >= self.bounds.each {
            return false;
        }
        if self.waiting.len() >= self.bounds.waiting {
            let most = (0..self.waiting.len()).max_by_key(|&at| self.waiting_of(&self.waiting[at].user));
            let at = match most.map(|at| (at, self.waiting_of(&self.waiting[at].user))) {
                Some((at, most)) if most > waiting + 1 => at,
                Some((_, 1)) if waiting == 0 => 0,
                Some(_) | None => return false,
            };
            self.dropped.extend(self.waiting.remove(at).map(|turn| turn.job));
        }
        self.waiting.push_back(UserJob { user, job, came: now });
        true
    }

    /// Takes the job whose turn it is. The job counts as running until [`TurnQueue::done`].
    pub(crate) fn take(&mut self, now: Instant) -> Option<UserJob<U, J>> {
        self.drop_old(now);
        let next = (0..self.waiting.len()).min_by_key(|&at| {
            let user = &self.waiting[at].user;
            (self.taken_of(user), self.served.iter().position(|served| served == user))
        });
        let turn = self.waiting.remove(next?)?;
        self.served.retain(|served| *served != turn.user);
        self.served.push_back(turn.user.clone());
        if self.served.len() > SERVED_MAX {
            self.served.pop_front();
        }
        self.taken.push(turn.user.clone());
        Some(turn)
    }

    /// A job of this user that was taken has ended.
    pub(crate) fn done(&mut self, user: &U) {
        if let Some(at) = self.taken.iter().position(|taken| taken == user) {
            self.taken.swap_remove(at);
        }
    }

    /// Jobs that get no turn, each returned once. They waited too long, or gave way to another user's job.
    pub(crate) fn take_dropped(&mut self) -> Vec<J> {
        std::mem::take(&mut self.dropped)
    }

    /// Whether a job that meets the condition waits.
    pub(crate) fn waits(&self, is_such: impl Fn(&J) -> bool) -> bool {
        self.waiting.iter().any(|turn| is_such(&turn.job))
    }

    /// Another user asks for a job that waits. The job then belongs to the user whose turn comes first. False if no
    /// such job waits.
    pub(crate) fn join(&mut self, user: &U, is_such: impl Fn(&J) -> bool) -> bool {
        let Some(at) = self.waiting.iter().position(|turn| is_such(&turn.job)) else { return false };
        let served = |user: &U| self.served.iter().position(|served| served == user);
        let owner = &self.waiting[at].user;
        let others = (self.waiting_of(owner) - 1, served(owner));
        if owner != user && (self.waiting_of(user), served(user)) < others {
            self.waiting[at].user = user.clone();
        }
        true
    }

    /// Removes the waiting jobs that do not meet the condition.
    pub(crate) fn retain(&mut self, keep: impl Fn(&J) -> bool) {
        self.waiting.retain(|turn| keep(&turn.job));
    }

    fn drop_old(&mut self, now: Instant) {
        // The oldest is in front.
        let is_old = |turn: &UserJob<U, J>| now.saturating_duration_since(turn.came) > self.bounds.age;
        let old = self.waiting.iter().take_while(|turn| is_old(turn)).count();
        self.dropped.extend(self.waiting.drain(..old).map(|turn| turn.job));
    }

    fn waiting_of(&self, user: &U) -> usize {
        self.waiting.iter().filter(|turn| turn.user == *user).count()
    }

    fn taken_of(&self, user: &U) -> usize {
        self.taken.iter().filter(|taken| *taken == user).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: TurnBounds = TurnBounds { waiting: 4, each: 3, age: Duration::from_secs(2) };

    fn take(queue: &mut TurnQueue<&'static str, u32>, now: Instant) -> Option<(&'static str, u32)> {
        queue.take(now).map(|turn| (turn.user, turn.job))
    }

    #[test]
    fn users_take_turns_however_many_jobs_one_has() {
        let (mut queue, now) = (TurnQueue::new(BOUNDS), Instant::now());
        assert!((1..=3).all(|job| queue.put("eve", job, now)) && !queue.put("eve", 4, now));
        assert!(queue.put("ann", 5, now));
        assert_eq!(take(&mut queue, now), Some(("eve", 1)));
        assert_eq!(take(&mut queue, now), Some(("ann", 5)));
        assert_eq!(take(&mut queue, now), Some(("eve", 2)));
        assert!(!queue.put("eve", 4, now), "one waits, two are under way");
        queue.done(&"eve");
        assert!(queue.put("eve", 4, now));
    }

    #[test]
    fn a_user_who_comes_first_goes_before_those_who_come_again_and_again() {
        let (mut queue, now) = (TurnQueue::new(BOUNDS), Instant::now());
        for user in ["eve1", "eve2"] {
            assert!(queue.put(user, 1, now) && take(&mut queue, now) == Some((user, 1)));
            queue.done(&user);
        }
        assert!(queue.put("eve2", 2, now) && queue.put("eve1", 2, now) && queue.put("ann", 3, now));
        let turns = [(); 3].map(|()| take(&mut queue, now));
        assert_eq!(turns, [Some(("ann", 3)), Some(("eve1", 2)), Some(("eve2", 2))]);
    }

    #[test]
    fn in_a_full_queue_the_user_with_most_gives_way_and_what_is_too_old_is_dropped() {
        let (mut queue, now) = (TurnQueue::new(BOUNDS), Instant::now());
        assert!((1..=3).all(|job| queue.put("eve", job, now)) && queue.put("ann", 4, now));
        assert!(queue.put("bob", 5, now) && queue.waiting.len() + queue.taken.len() == 4, "one of eve's has gone");
        assert!(queue.put("cat", 6, now) && queue.waiting.len() + queue.taken.len() == 4);
        assert!(!queue.put("ann", 7, now), "nobody has more than one and ann has one");
        assert_eq!((queue.take_dropped(), queue.take_dropped()), (vec![3, 2], Vec::new()), "each once");
        let later = now + BOUNDS.age;
        assert!(queue.take(later).is_some());
        assert!(queue.take(later + Duration::from_millis(1)).is_none() && queue.waiting.len() + queue.taken.len() == 1);
        assert_eq!(queue.take_dropped().len(), 3);
    }

    #[test]
    fn a_newcomer_is_heard_where_everybody_has_one_job_and_a_job_is_of_whoever_gets_it_done_first() {
        let (mut queue, now) = (TurnQueue::new(BOUNDS), Instant::now());
        for (job, user) in ["a", "b", "c", "d", "new"].into_iter().enumerate() {
            assert!(queue.put(user, job as u32, now));
        }
        assert_eq!(
            (queue.take_dropped(), take(&mut queue, now)),
            (vec![0], Some(("b", 1))),
            "the oldest has given way"
        );
        let (mut queue, now) = (TurnQueue::new(BOUNDS), Instant::now());
        assert!((1..=3).all(|job| queue.put("eve", job, now)));
        assert!(queue.join(&"ann", |job| *job == 3) && !queue.join(&"ann", |job| *job == 9));
        assert!(queue.join(&"eve", |job| *job == 3));
        assert!(queue.put("bob", 4, now) && queue.put("cat", 5, now));
        assert_eq!(queue.take_dropped(), [2], "the last of those that eve alone asked for");
        assert_eq!(take(&mut queue, now), Some(("eve", 1)));
        assert_eq!(take(&mut queue, now), Some(("ann", 3)));
    }

    #[test]
    fn it_remembers_no_more_users_than_there_may_be() {
        let (mut queue, now) = (TurnQueue::new(BOUNDS), Instant::now());
        for user in 0..2 * SERVED_MAX {
            assert!(queue.put(user, (), now) && queue.take(now).is_some());
            queue.done(&user);
        }
        assert_eq!((queue.served.len(), queue.taken.len()), (SERVED_MAX, 0));
    }
}
