//! The tickets of the relay, and the places that each user has there. Pure: the caller passes the time in, counted from
//! a moment of its choice, and whoever waits is a value of its choice.

use crate::model::id::{ClientId, RelayTicket};
use crate::model::name::UserId;
use core::time::Duration;
use std::collections::HashMap;

/// Places of one user, as caller and as called one. A ticket takes a place before its pair is there.
pub(super) const PLACES_PER_USER: usize = 4;
/// Places in all. Each pair takes two connections and two threads of the tracker.
const PLACES_MAX: usize = 1024;

/// One side of a pair: a running client of a user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RelayEnd {
    pub user: UserId,
    pub client: ClientId,
}

/// Who calls and who is called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Ends {
    pub(super) from: RelayEnd,
    pub(super) to: RelayEnd,
}

impl Ends {
    /// The users, each once.
    fn users(&self) -> impl Iterator<Item = &UserId> {
        let other = (self.to.user != self.from.user).then_some(&self.to.user);
        std::iter::once(&self.from.user).chain(other)
    }
}

/// Why there is no ticket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum NoPlace {
    /// This user has all the places that a user may have.
    User(UserId),
    /// All places are taken.
    Relay,
}

/// What came of a ticket that was good.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Arrival<W> {
    /// The first side is here, and its ticket is good until this time.
    First(Duration),
    /// Both sides are here: what the first one left, and who they are. The place stays taken until
    /// [`Tickets::release`].
    Second(W, Ends),
}

/// The tickets that are out, and the places that are taken.
///
/// Invariant: a user's count is the number of tickets and pairs of which the user is a side.
#[derive(Debug)]
pub(super) struct Tickets<W> {
    issued: HashMap<RelayTicket, Issued<W>>,
    /// Users without a place are not there.
    places: HashMap<UserId, usize>,
    /// Tickets and pairs.
    taken: usize,
}

#[derive(Debug)]
struct Issued<W> {
    ends: Ends,
    until: Duration,
    /// What the first side left.
    first: Option<W>,
}

impl<W> Default for Tickets<W> {
    fn default() -> Self {
        Self { issued: HashMap::new(), places: HashMap::new(), taken: 0 }
    }
}

impl<W> Tickets<W> {
    /// Makes a ticket good for two clients until this time. One that was made for the same two before, and with which nobody has come,
    /// is good no more: a client that asks again takes no second place.
    pub(super) fn issue(
        &mut self,
        ticket: RelayTicket,
        ends: Ends,
        now: Duration,
        until: Duration,
    ) -> Result<(), NoPlace> {
        self.sweep(|issued| issued.until <= now || (issued.first.is_none() && issued.ends == ends));
        let is_full = |user: &&UserId| self.places.get(user).is_some_and(|places| *places >= PLACES_PER_USER);
        if let Some(user) = ends.users().find(is_full) {
            return Err(NoPlace::User(user.clone()));
        }
        if self.taken >= PLACES_MAX {
            return Err(NoPlace::Relay);
        }
        self.taken += 1;
        for user in ends.users() {
            *self.places.entry(user.clone()).or_default() += 1;
        }
        self.issued.insert(ticket, Issued { ends, until, first: None });
        Ok(())
    }

    /// Somebody comes with a ticket. `first` is what it leaves if it is the first. `None` if the ticket is not good.
    pub(super) fn redeem(&mut self, ticket: RelayTicket, first: W, now: Duration) -> Option<Arrival<W>> {
        self.sweep(|issued| issued.until <= now);
        let issued = self.issued.get_mut(&ticket)?;
        match issued.first.take() {
            None => {
                issued.first = Some(first);
                Some(Arrival::First(issued.until))
            }
            Some(other) => self.issued.remove(&ticket).map(|issued| Arrival::Second(other, issued.ends)),
        }
    }

    /// The first side waits no more.
    pub(super) fn give_up(&mut self, ticket: RelayTicket) {
        if let Some(issued) = self.issued.remove(&ticket) {
            self.release(&issued.ends);
        }
    }

    /// A pair has ended.
    pub(super) fn release(&mut self, ends: &Ends) {
        self.taken -= 1;
        for user in ends.users() {
            if let Some(places) = self.places.get_mut(user) {
                *places -= 1;
                if *places == 0 {
                    self.places.remove(user);
                }
            }
        }
    }

    /// Makes every ticket bad. Whoever waits with one is let go.
    pub(super) fn clear(&mut self) {
        self.sweep(|_| true);
    }

    /// Pairs that are there.
    pub(super) fn pairs(&self) -> usize {
        self.taken - self.issued.len()
    }

    fn sweep(&mut self, is_over: impl Fn(&Issued<W>) -> bool) {
        let over: Vec<RelayTicket> =
            self.issued.iter().filter(|(_, issued)| is_over(issued)).map(|(ticket, _)| *ticket).collect();
        over.into_iter().for_each(|ticket| self.give_up(ticket));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::name::tests::user;

    const START: Duration = Duration::from_secs(100);
    const END: Duration = Duration::from_secs(110);

    fn end(name: &str, client: u8) -> RelayEnd {
        RelayEnd { user: user(name), client: ClientId([client; 16]) }
    }

    fn ends(from: &str, to: &str) -> Ends {
        Ends { from: end(from, 1), to: end(to, 2) }
    }

    fn ticket(number: u16) -> RelayTicket {
        RelayTicket(u128::from(number).to_be_bytes())
    }

    /// Issues tickets for these two, on a client of its own each, until one is refused; gives how many.
    fn filled(tickets: &mut Tickets<u8>, from: &str, to: &str, first: u8) -> usize {
        let issue = |number: &u8| {
            let ends = Ends { from: end(from, *number), to: end(to, *number) };
            tickets.issue(ticket(u16::from(*number)), ends, START, END).is_ok()
        };
        (first..).take_while(issue).count()
    }

    #[test]
    fn a_ticket_is_good_for_two_and_for_no_third() {
        let mut tickets = Tickets::default();
        assert_eq!(tickets.issue(ticket(1), ends("ann", "bob"), START, END), Ok(()));
        assert_eq!(tickets.redeem(ticket(2), 0, START), None, "nobody was given that one");
        assert_eq!(tickets.redeem(ticket(1), 7, START), Some(Arrival::First(END)));
        assert_eq!(tickets.pairs(), 0);
        assert_eq!(tickets.redeem(ticket(1), 8, START), Some(Arrival::Second(7, ends("ann", "bob"))));
        assert_eq!(tickets.redeem(ticket(1), 9, START), None);
        assert_eq!(tickets.pairs(), 1);
        tickets.release(&ends("ann", "bob"));
        assert_eq!((tickets.pairs(), tickets.places.len()), (0, 0));
    }

    #[test]
    fn a_ticket_that_comes_too_late_is_good_for_nobody_and_gives_its_place_back() {
        let mut tickets = Tickets::default();
        assert_eq!(tickets.issue(ticket(1), ends("ann", "bob"), START, END), Ok(()));
        assert!(tickets.redeem(ticket(1), 7, END - Duration::from_millis(1)).is_some());
        assert_eq!(tickets.redeem(ticket(1), 8, END), None, "the other one is late");
        assert_eq!((tickets.taken, tickets.places.len()), (0, 0));
    }

    #[test]
    fn a_user_has_four_places_as_caller_and_called_one_together() {
        let mut tickets = Tickets::default();
        assert_eq!(filled(&mut tickets, "ann", "bob", 0), PLACES_PER_USER);
        let full = |name| Err(NoPlace::User(user(name)));
        assert_eq!(tickets.issue(ticket(90), ends("ann", "eve"), START, END), full("ann"));
        assert_eq!(tickets.issue(ticket(90), ends("eve", "ann"), START, END), full("ann"));
        assert_eq!(tickets.issue(ticket(90), ends("eve", "bob"), START, END), full("bob"));
        assert_eq!(tickets.issue(ticket(90), ends("eve", "joe"), START, END), Ok(()));
        tickets.give_up(ticket(0));
        assert_eq!(tickets.issue(ticket(91), ends("eve", "ann"), START, END), Ok(()));
        assert_eq!(
            tickets.issue(ticket(92), ends("ann", "bob"), END, END + END),
            Ok(()),
            "nobody came with the others"
        );
        assert_eq!(tickets.taken, 1);
    }

    #[test]
    fn two_clients_of_one_user_take_one_place_of_that_user() {
        let mut tickets = Tickets::default();
        assert_eq!(filled(&mut tickets, "ann", "ann", 0), PLACES_PER_USER);
    }

    #[test]
    fn a_client_that_asks_again_takes_no_second_place() {
        let mut tickets = Tickets::default();
        for number in 0..100 {
            assert_eq!(tickets.issue(ticket(number), ends("ann", "bob"), START, END), Ok(()));
        }
        assert_eq!((tickets.taken, tickets.issued.len()), (1, 1));
        assert_eq!(tickets.redeem(ticket(98), 0, START), None);
        assert!(tickets.redeem(ticket(99), 0, START).is_some());
        assert_eq!(tickets.issue(ticket(100), ends("ann", "bob"), START, END), Ok(()));
        assert_eq!(tickets.taken, 2, "somebody waits with the one before");
    }

    #[test]
    fn places_are_bounded_in_all() {
        let mut tickets = Tickets::<u8>::default();
        for number in 0..PLACES_MAX as u16 {
            let ends = ends(&format!("a{number}"), &format!("b{number}"));
            assert_eq!(tickets.issue(ticket(number), ends, START, END), Ok(()));
        }
        assert_eq!(tickets.issue(ticket(u16::MAX), ends("ann", "bob"), START, END), Err(NoPlace::Relay));
        tickets.clear();
        assert_eq!(tickets.issue(ticket(u16::MAX), ends("ann", "bob"), START, END), Ok(()));
    }
}
