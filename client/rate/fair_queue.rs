//! Whose turn it is where several members share something that is scarce: who has had least, counted from when they
//! began to ask (start-time fair queuing; Goyal, Vin and Cheng, 1996). A member counts once, however many connections it
//! has, and takes turns among these. Pure.

use crate::model::name::UserId;
use std::collections::{HashMap, VecDeque};

/// One connection of a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Seat {
    member: u64,
    number: u64,
}

#[derive(Debug)]
struct Member {
    user: UserId,
    seats: usize,
    /// What it has had, as if it had always asked.
    had: u64,
}

/// The members, their connections, and which of these wait.
///
/// Invariant: every seat that waits belongs to a member that is there.
#[derive(Debug, Default)]
pub(crate) struct Turns {
    members: HashMap<u64, Member>,
    /// In the order in which they began to wait.
    waiting: VecDeque<Seat>,
    last: u64,
    /// What the member had that was served last: who did not ask meanwhile gets little of it later.
    floor: u64,
}

impl Turns {
    /// A connection of this member.
    pub(crate) fn join(&mut self, user: &UserId) -> Seat {
        self.last += 1;
        let known = self.members.iter_mut().find(|(_, member)| member.user == *user);
        let member = match known {
            Some((&id, member)) => {
                member.seats += 1;
                id
            }
            None => {
                self.members.insert(self.last, Member { user: user.clone(), seats: 1, had: self.floor });
                self.last
            }
        };
        Seat { member, number: self.last }
    }

    /// The connection is gone.
    pub(crate) fn leave(&mut self, seat: Seat) {
        self.give_up(seat);
        if let Some(member) = self.members.get_mut(&seat.member) {
            member.seats -= 1;
            if member.seats == 0 {
                self.members.remove(&seat.member);
            }
        }
    }

    /// The connection waits from now on. A member of whom none did may get later what it missed, up to `behind_max`: it
    /// may only have been late to ask again, which should not cost a member with one connection more than others.
    pub(crate) fn wait(&mut self, seat: Seat, behind_max: u64) {
        let others = self.waiting.iter().any(|other| other.member == seat.member);
        self.waiting.push_back(seat);
        if let Some(member) = self.members.get_mut(&seat.member).filter(|_| !others) {
            member.had = member.had.max(self.floor.saturating_sub(behind_max));
        }
    }

    /// The connection waits no more, without having been served.
    pub(crate) fn give_up(&mut self, seat: Seat) {
        self.waiting.retain(|other| *other != seat);
    }

    /// Whether a connection of another member waits.
    pub(crate) fn others_wait(&self, seat: Seat) -> bool {
        self.waiting.iter().any(|other| other.member != seat.member)
    }

    /// The connection whose turn it is.
    pub(crate) fn next(&self) -> Option<Seat> {
        let had = |seat: &&Seat| self.members.get(&seat.member).map(|member| member.had);
        self.waiting.iter().min_by_key(had).copied()
    }

    /// The connection waits no more: it gets so much.
    pub(crate) fn serve(&mut self, seat: Seat, len: usize) {
        self.give_up(seat);
        if let Some(member) = self.members.get_mut(&seat.member) {
            self.floor = self.floor.max(member.had);
            member.had += len as u64;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::name::tests::user;

    /// Serves whoever's turn it is so many times; everybody in `asking` asks again at once for so much. Gives what each
    /// got.
    fn serve(turns: &mut Turns, asking: &[(Seat, usize)], times: usize) -> Vec<usize> {
        let mut got = vec![0; asking.len()];
        asking.iter().for_each(|(seat, _)| turns.wait(*seat, 0));
        for _ in 0..times {
            let next = turns.next().expect("somebody waits");
            let place = asking.iter().position(|(seat, _)| *seat == next).expect("one of these");
            turns.serve(next, asking[place].1);
            got[place] += asking[place].1;
            turns.wait(next, 0);
        }
        asking.iter().for_each(|(seat, _)| turns.give_up(*seat));
        got
    }

    #[test]
    fn a_member_with_many_connections_gets_what_a_member_with_one_gets() {
        let mut turns = Turns::default();
        let one = turns.join(&user("one"));
        let many: Vec<_> = (0..7).map(|_| turns.join(&user("many"))).collect();
        let asking: Vec<_> = many.iter().chain([&one]).map(|&seat| (seat, 10)).collect();
        let got = serve(&mut turns, &asking, 140);
        assert_eq!(got, [100, 100, 100, 100, 100, 100, 100, 700]);
    }

    #[test]
    fn bytes_count_and_not_turns() {
        let mut turns = Turns::default();
        let (small, large) = (turns.join(&user("small")), turns.join(&user("large")));
        let got = serve(&mut turns, &[(small, 1), (large, 10)], 1100);
        assert_eq!(got, [1000, 1000]);
    }

    #[test]
    fn nobody_gets_later_what_was_not_asked_for_before() {
        let mut turns = Turns::default();
        let (early, idle) = (turns.join(&user("early")), turns.join(&user("idle")));
        serve(&mut turns, &[(early, 10)], 1000);
        let late = turns.join(&user("late"));
        let got = serve(&mut turns, &[(early, 10), (idle, 10), (late, 10)], 300);
        assert_eq!(got, [1000, 1000, 1000]);
    }

    #[test]
    fn who_is_late_to_ask_again_gets_what_was_missed_up_to_a_measure() {
        for (behind_max, missed) in [(1000, 500), (200, 200), (0, 0)] {
            let mut turns = Turns::default();
            let (late, many) = (turns.join(&user("late")), turns.join(&user("many")));
            serve(&mut turns, &[(late, 10), (many, 10)], 20);
            // What is counted from is the start of the last turn.
            serve(&mut turns, &[(many, 10)], 51);
            turns.wait(many, behind_max);
            turns.wait(late, behind_max);
            let mut got = 0;
            while turns.next() == Some(late) {
                turns.serve(late, 10);
                turns.wait(late, behind_max);
                got += 10;
            }
            assert_eq!(got, missed + 10, "its next turn comes besides");
        }
    }

    #[test]
    fn a_connection_that_leaves_waits_no_more() {
        let mut turns = Turns::default();
        let (first, second) = (turns.join(&user("a")), turns.join(&user("a")));
        turns.wait(first, 0);
        turns.wait(second, 0);
        assert_eq!(turns.next(), Some(first));
        turns.leave(first);
        assert_eq!(turns.next(), Some(second));
        turns.leave(second);
        assert_eq!(turns.next(), None);
        assert!(turns.members.is_empty());
    }
}
