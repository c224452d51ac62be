//! Whose turn it is where members share something scarce. The member with the least service comes first, counted from
//! its first request (start-time fair queuing; Goyal, Vin and Cheng, 1996). A member counts once for all its
//! connections, which take turns. Pure.

use crate::model::name::UserId;
use std::collections::{HashMap, HashSet, VecDeque};

/// One connection of a member. The queue names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct FlowId {
    member: u64,
    number: u64,
}

#[derive(Debug)]
struct MemberFlows {
    user: UserId,
    flows: usize,
    /// Bytes that the member has had, as if it had asked all the time.
    had: u64,
}

/// The members, and which of their connections wait.
///
/// Invariant: every flow that waits belongs to a member of the queue.
#[derive(Debug, Default)]
pub struct FairQueue {
    members: HashMap<u64, MemberFlows>,
    /// In the order in which they began to wait.
    waiting: VecDeque<FlowId>,
    last: u64,
    /// The `had` of the member that was served last, before that turn. A member that does not ask falls only a little
    /// behind it.
    floor: u64,
}

impl FairQueue {
    /// Adds a connection of this member.
    pub fn join(&mut self, user: &UserId) -> FlowId {
        self.last += 1;
        let known = self.members.iter_mut().find(|(_, member)| member.user == *user);
        let member = match known {
            Some((&id, member)) => {
                member.flows += 1;
                id
            }
            None => {
                self.members.insert(self.last, MemberFlows { user: user.clone(), flows: 1, had: self.floor });
                self.last
            }
        };
        FlowId { member, number: self.last }
    }

    /// Removes a connection.
    pub fn leave(&mut self, flow: FlowId) {
        self.give_up(flow);
        if let Some(member) = self.members.get_mut(&flow.member) {
            member.flows -= 1;
            if member.flows == 0 {
                self.members.remove(&flow.member);
            }
        }
    }

    /// The connection begins to wait. If no other connection of its member waits, the member may later get what it
    /// missed, up to `behind_max` bytes. So a late request does not cost a member with one connection more than it
    /// costs others.
    pub fn wait(&mut self, flow: FlowId, behind_max: u64) {
        let others = self.waiting.iter().any(|other| other.member == flow.member);
        self.waiting.push_back(flow);
        if let Some(member) = self.members.get_mut(&flow.member).filter(|_| !others) {
            member.had = member.had.max(self.floor.saturating_sub(behind_max));
        }
    }

    /// The connection stops waiting, and gets nothing.
    pub fn give_up(&mut self, flow: FlowId) {
        self.waiting.retain(|other| *other != flow);
    }

    /// How many members wait, with the member of this connection.
    pub fn sharers(&self, flow: FlowId) -> usize {
        self.waiting.iter().chain([&flow]).map(|flow| flow.member).collect::<HashSet<_>>().len()
    }

    /// The waiting connection whose turn is next.
    pub fn next(&self) -> Option<FlowId> {
        let had = |flow: &&FlowId| self.members.get(&flow.member).map(|member| member.had);
        self.waiting.iter().min_by_key(had).copied()
    }

    /// The connection stops waiting, and gets this many bytes.
    pub fn serve(&mut self, flow: FlowId, len: usize) {
        self.give_up(flow);
        if let Some(member) = self.members.get_mut(&flow.member) {
            self.floor = self.floor.max(member.had);
            member.had += len as u64;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::name::tests::user;

    /// Serves the next connection so many times. Every connection in `asking` asks again at once for its amount.
    /// Returns what each of them got.
    fn serve(queue: &mut FairQueue, asking: &[(FlowId, usize)], times: usize) -> Vec<usize> {
        let mut got = vec![0; asking.len()];
        asking.iter().for_each(|(flow, _)| queue.wait(*flow, 0));
        for _ in 0..times {
            let next = queue.next().expect("somebody waits");
            let place = asking.iter().position(|(flow, _)| *flow == next).expect("one of these");
            queue.serve(next, asking[place].1);
            got[place] += asking[place].1;
            queue.wait(next, 0);
        }
        asking.iter().for_each(|(flow, _)| queue.give_up(*flow));
        got
    }

    #[test]
    fn a_member_with_many_connections_gets_what_a_member_with_one_gets() {
        let mut queue = FairQueue::default();
        let one = queue.join(&user("one"));
        let many: Vec<_> = (0..7).map(|_| queue.join(&user("many"))).collect();
        let asking: Vec<_> = many.iter().chain([&one]).map(|&flow| (flow, 10)).collect();
        let got = serve(&mut queue, &asking, 140);
        assert_eq!(got, [100, 100, 100, 100, 100, 100, 100, 700]);
    }

    #[test]
    fn bytes_count_and_not_turns() {
        let mut queue = FairQueue::default();
        let (small, large) = (queue.join(&user("small")), queue.join(&user("large")));
        let got = serve(&mut queue, &[(small, 1), (large, 10)], 1100);
        assert_eq!(got, [1000, 1000]);
    }

    #[test]
    fn nobody_gets_later_what_was_not_asked_for_before() {
        let mut queue = FairQueue::default();
        let (early, idle) = (queue.join(&user("early")), queue.join(&user("idle")));
        serve(&mut queue, &[(early, 10)], 1000);
        let late = queue.join(&user("late"));
        let got = serve(&mut queue, &[(early, 10), (idle, 10), (late, 10)], 300);
        assert_eq!(got, [1000, 1000, 1000]);
    }

    #[test]
    fn a_member_late_to_ask_again_gets_what_it_missed_up_to_a_bound() {
        for (behind_max, missed) in [(1000, 500), (200, 200), (0, 0)] {
            let mut queue = FairQueue::default();
            let (late, many) = (queue.join(&user("late")), queue.join(&user("many")));
            serve(&mut queue, &[(late, 10), (many, 10)], 20);
            // A member's count begins at the start of the last turn.
            serve(&mut queue, &[(many, 10)], 51);
            queue.wait(many, behind_max);
            queue.wait(late, behind_max);
            let mut got = 0;
            while queue.next() == Some(late) {
                queue.serve(late, 10);
                queue.wait(late, behind_max);
                got += 10;
            }
            assert_eq!(got, missed + 10, "the missed bytes, and one more turn");
        }
    }

    #[test]
    fn a_connection_that_leaves_waits_no_more() {
        let mut queue = FairQueue::default();
        let (first, second) = (queue.join(&user("a")), queue.join(&user("a")));
        queue.wait(first, 0);
        queue.wait(second, 0);
        assert_eq!(queue.next(), Some(first));
        queue.leave(first);
        assert_eq!(queue.next(), Some(second));
        queue.leave(second);
        assert_eq!(queue.next(), None);
        assert!(queue.members.is_empty());
    }
}
