//! The tickets of the relay, and the places that each user has there. Pure. The caller passes the time in, counted
//! from a moment of its choice. The caller also chooses the type that stands for a waiting side.

use crate::model::address::place_of;
use crate::model::id::{ClientId, RelayTicket};
use crate::model::name::UserId;
use core::time::Duration;
use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;

/// The places of one user. A caller's ticket takes one. A pair also takes one of the called user. So a user loses no
/// place to a call that the user's own client did not take.
pub(super) const PLACES_PER_USER: usize = 4;
/// The places in all. Each pair takes two connections and two threads of the tracker. Callers at one address get
/// another place only while more places are free than they have.
pub(super) const PLACES_MAX: usize = 1024;

/// One side of a pair: a running client of a user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RelayEnd {
    pub user: UserId,
    pub client: ClientId,
}

/// The tickets for the two sides of a call. Neither side can come in place of the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RelayTickets {
    pub caller: RelayTicket,
    pub called: RelayTicket,
}

/// The two sides of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Ends {
    pub(super) from: RelayEnd,
    pub(super) to: RelayEnd,
    /// The caller's address, or the caller's site under IPv6.
    place: IpAddr,
}

impl Ends {
    pub(super) fn new((from, ip): (RelayEnd, IpAddr), to: RelayEnd) -> Self {
        Self { from, to, place: place_of(ip) }
    }

    /// The called user, unless it is the caller's own user.
    fn called_user(&self) -> Option<&UserId> {
        (self.to.user != self.from.user).then_some(&self.to.user)
    }
}

/// Why there is no ticket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum NoPlace {
    /// This user has all the places that a user may have.
    User(UserId),
    /// Callers at this address have as many places as are left.
    Address,
    /// All places are taken.
    Relay,
}

/// The result of redeeming a valid ticket.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Arrival<W> {
    /// The first side is here. Its ticket is valid until this time.
    First(Duration),
    /// Both sides are here: the value of the first one, and both ends. The places stay taken until
    /// [`Tickets::release`].
    Second(W, Ends),
    /// Both sides are here, but the called user has no place left: the value of the first side.
    Full(W),
}

/// The valid tickets, and the places that are taken.
///
/// Invariant: a user's count is the number of calls and pairs as caller, and of pairs as called user.
#[derive(Debug)]
pub(super) struct Tickets<W> {
    /// By the caller's ticket.
    issued: HashMap<RelayTicket, Issued<W>>,
    /// The caller's ticket for each ticket of a called side. As many as in `issued`.
    called: HashMap<RelayTicket, RelayTicket>,
    /// Users without a taken place are absent.
    places: HashMap<UserId, usize>,
    /// Calls and pairs by the caller's address.
    taken_at: HashMap<IpAddr, usize>,
    /// Calls and pairs.
    taken: usize,
}

#[derive(Debug)]
struct Issued<W> {
    ends: Ends,
    called: RelayTicket,
    until: Duration,
    /// The first side: its ticket and its value.
    first: Option<(RelayTicket, W)>,
}

impl<W> Default for Tickets<W> {
    fn default() -> Self {
        Self {
            issued: HashMap::new(),
            called: HashMap::new(),
            places: HashMap::new(),
            taken_at: HashMap::new(),
            taken: 0,
        }
    }
}

impl<W> Tickets<W> {
    /// Makes tickets valid for two clients until this time. Unused tickets of the same two clients become void, so
    /// that a client that asks again takes no second place.
    pub(super) fn issue(
        &mut self,
        tickets: RelayTickets,
        ends: Ends,
        now: Duration,
        until: Duration,
    ) -> Result<(), NoPlace> {
        self.sweep(|issued| issued.until <= now || (issued.first.is_none() && issued.ends == ends));
        if let Some(user) = [&ends.from.user, &ends.to.user].into_iter().find(|user| self.is_full(user)) {
            return Err(NoPlace::User(user.clone()));
        }
        if self.taken >= PLACES_MAX {
            return Err(NoPlace::Relay);
        }
        let taken_there = self.taken_at.entry(ends.place).or_default();
        if *taken_there >= PLACES_MAX - self.taken {
            return Err(NoPlace::Address);
        }
        *taken_there += 1;
        self.taken += 1;
        self.take_place(&ends.from.user);
        let RelayTickets { caller, called } = tickets;
        self.called.insert(called, caller);
        self.issued.insert(caller, Issued { ends, called, until, first: None });
        Ok(())
    }

    /// A client comes with a ticket. `first` is its value if it is the first side. `None` if the ticket is void: each
    /// one is valid once.
    pub(super) fn redeem(&mut self, ticket: RelayTicket, first: W, now: Duration) -> Option<Arrival<W>> {
        self.sweep(|issued| issued.until <= now);
        let caller = self.callers(ticket);
        let issued = self.issued.get_mut(&caller)?;
        match &issued.first {
            None => {
                issued.first = Some((ticket, first));
                return Some(Arrival::First(issued.until));
            }
            Some((other, _)) if *other == ticket => return None,
            Some(_) => {}
        }
        let Issued { ends, first, .. } = self.remove(caller)?;
        let (_, other) = first?;
        if ends.called_user().is_some_and(|user| self.is_full(user)) {
            self.release_call(&ends);
            return Some(Arrival::Full(other));
        }
        if let Some(user) = ends.called_user() {
            self.take_place(user);
        }
        Some(Arrival::Second(other, ends))
    }

    /// The first side, which came with this ticket, gives up.
    pub(super) fn give_up(&mut self, ticket: RelayTicket) {
        if let Some(issued) = self.remove(self.callers(ticket)) {
            self.release_call(&issued.ends);
        }
    }

    /// A pair has ended.
    pub(super) fn release(&mut self, ends: &Ends) {
        self.release_call(ends);
        if let Some(user) = ends.called_user() {
            self.free_place(user);
        }
    }

    /// Makes all tickets void. Drops the values of waiting sides.
    pub(super) fn clear(&mut self) {
        self.sweep(|_| true);
    }

    /// The number of pairs.
    pub(super) fn pairs(&self) -> usize {
        self.taken - self.issued.len()
    }

    /// The caller's ticket of the call that a ticket of either side belongs to.
    fn callers(&self, ticket: RelayTicket) -> RelayTicket {
        self.called.get(&ticket).copied().unwrap_or(ticket)
    }

    fn remove(&mut self, caller: RelayTicket) -> Option<Issued<W>> {
        let issued = self.issued.remove(&caller)?;
        self.called.remove(&issued.called);
        Some(issued)
    }

    fn is_full(&self, user: &UserId) -> bool {
        self.places.get(user).is_some_and(|places| *places >= PLACES_PER_USER)
    }

    fn take_place(&mut self, user: &UserId) {
        *self.places.entry(user.clone()).or_default() += 1;
    }

    fn free_place(&mut self, user: &UserId) {
        take_one(&mut self.places, user);
    }

    /// Gives back the places of a call.
    fn release_call(&mut self, ends: &Ends) {
        self.taken -= 1;
        take_one(&mut self.taken_at, &ends.place);
        self.free_place(&ends.from.user);
    }

    fn sweep(&mut self, is_over: impl Fn(&Issued<W>) -> bool) {
        let over: Vec<RelayTicket> =
            self.issued.iter().filter(|(_, issued)| is_over(issued)).map(|(ticket, _)| *ticket).collect();
        over.into_iter().for_each(|ticket| self.give_up(ticket));
    }
}

fn take_one<K: Eq + Hash>(counts: &mut HashMap<K, usize>, key: &K) {
    if let Some(count) = counts.get_mut(key) {
        *count -= 1;
        if *count == 0 {
            counts.remove(key);
        }
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

    /// The address of a user with this name: each user is at another site.
    fn home(name: &str) -> IpAddr {
        let mut ip = [0; 16];
        ip[..name.len()].copy_from_slice(name.as_bytes());
        ip.into()
    }

    fn ends(from: &str, to: &str) -> Ends {
        Ends::new((end(from, 1), home(from)), end(to, 2))
    }

    fn ticket(number: u16) -> RelayTicket {
        RelayTicket(u128::from(number).to_be_bytes())
    }

    /// The called side's ticket of the same call.
    fn their(number: u16) -> RelayTicket {
        RelayTicket((u128::from(number) + (1 << 64)).to_be_bytes())
    }

    fn both(number: u16) -> RelayTickets {
        RelayTickets { caller: ticket(number), called: their(number) }
    }

    fn full(name: &str) -> Result<(), NoPlace> {
        Err(NoPlace::User(user(name)))
    }

    /// Issues tickets for these two users, with a new client each time, until one is refused. Returns how many.
    fn filled(tickets: &mut Tickets<u8>, from: &str, to: &str, first: u8) -> usize {
        let issue = |number: &u8| {
            let ends = Ends::new((end(from, *number), home(from)), end(to, *number));
            tickets.issue(both(u16::from(*number)), ends, START, END).is_ok()
        };
        (first..).take_while(issue).count()
    }

    /// Both sides of this call come. Returns whether they make a pair.
    fn meet(tickets: &mut Tickets<u8>, number: u16) -> bool {
        assert_eq!(tickets.redeem(ticket(number), 1, START), Some(Arrival::First(END)));
        matches!(tickets.redeem(their(number), 2, START), Some(Arrival::Second(1, _)))
    }

    #[test]
    fn each_side_has_a_ticket_that_is_good_once() {
        let mut tickets = Tickets::default();
        for called_first in [false, true] {
            let (one, other) = if called_first { (their(1), ticket(1)) } else { (ticket(1), their(1)) };
            assert_eq!(tickets.issue(both(1), ends("ann", "bob"), START, END), Ok(()));
            assert_eq!(tickets.redeem(ticket(2), 0, START), None, "nobody was given that one");
            assert_eq!(tickets.redeem(one, 7, START), Some(Arrival::First(END)));
            assert_eq!(tickets.redeem(one, 8, START), None, "one side alone makes no pair");
            assert_eq!(tickets.pairs(), 0);
            assert_eq!(tickets.redeem(other, 8, START), Some(Arrival::Second(7, ends("ann", "bob"))));
            assert_eq!([one, other].map(|ticket| tickets.redeem(ticket, 9, START)), [None, None]);
            assert_eq!(tickets.pairs(), 1);
            tickets.release(&ends("ann", "bob"));
            assert_eq!((tickets.pairs(), tickets.places.len(), tickets.called.len()), (0, 0, 0));
        }
    }

    #[test]
    fn a_ticket_that_comes_too_late_is_good_for_nobody_and_gives_its_place_back() {
        let mut tickets = Tickets::default();
        assert_eq!(tickets.issue(both(1), ends("ann", "bob"), START, END), Ok(()));
        assert!(tickets.redeem(ticket(1), 7, END - Duration::from_millis(1)).is_some());
        assert_eq!(tickets.redeem(their(1), 8, END), None, "the other one is late");
        assert_eq!((tickets.taken, tickets.places.len(), tickets.called.len()), (0, 0, 0));
    }

    #[test]
    fn a_user_has_four_places_as_caller_and_called_one_together() {
        let mut tickets = Tickets::default();
        assert_eq!(filled(&mut tickets, "ann", "bob", 0), PLACES_PER_USER);
        assert_eq!(tickets.issue(both(90), ends("ann", "eve"), START, END), full("ann"));
        assert_eq!(tickets.issue(both(90), ends("eve", "ann"), START, END), full("ann"));
        assert!((0..4).all(|number| meet(&mut tickets, number)));
        assert_eq!(tickets.issue(both(90), ends("eve", "bob"), START, END), full("bob"));
        assert_eq!(tickets.issue(both(90), ends("bob", "eve"), START, END), full("bob"));
        assert_eq!(tickets.issue(both(90), ends("eve", "joe"), START, END), Ok(()));
        tickets.release(&ends("ann", "bob"));
        assert_eq!(tickets.issue(both(91), ends("eve", "ann"), START, END), Ok(()));
        assert_eq!(tickets.issue(both(92), ends("bob", "joe"), START, END), Ok(()));
    }

    #[test]
    fn a_caller_takes_no_place_of_a_user_whose_client_does_not_come() {
        let mut tickets = Tickets::default();
        assert_eq!(filled(&mut tickets, "eve", "bob", 0), PLACES_PER_USER);
        for number in 0..4 {
            assert!(tickets.redeem(ticket(number), 0, START).is_some());
            assert_eq!(tickets.redeem(ticket(number), 0, START), None);
        }
        assert_eq!(filled(&mut tickets, "bob", "ann", 10), PLACES_PER_USER, "bob has all of his");
        assert_eq!(tickets.issue(both(90), ends("eve", "joe"), START, END), full("eve"));
        assert_eq!(tickets.issue(both(91), ends("eve", "ann"), END, END + END), Ok(()), "nobody came to her");
        assert_eq!(tickets.taken, 1);
    }

    #[test]
    fn a_called_user_who_waits_in_vain_has_all_places() {
        let mut tickets = Tickets::default();
        assert_eq!(filled(&mut tickets, "eve", "bob", 0), PLACES_PER_USER);
        assert!((0..4).all(|number| tickets.redeem(their(number), 0, START).is_some()));
        assert_eq!(filled(&mut tickets, "bob", "ann", 10), PLACES_PER_USER);
    }

    #[test]
    fn a_called_one_with_four_pairs_comes_for_nothing_and_the_caller_hears_it() {
        let mut tickets = Tickets::default();
        assert_eq!(tickets.issue(both(90), ends("eve", "bob"), START, END), Ok(()), "bob has none yet");
        assert_eq!(filled(&mut tickets, "ann", "bob", 0), PLACES_PER_USER);
        assert!((0..4).all(|number| meet(&mut tickets, number)));
        assert!(tickets.redeem(ticket(90), 7, START).is_some());
        assert_eq!(tickets.redeem(their(90), 8, START), Some(Arrival::Full(7)));
        assert_eq!((tickets.pairs(), tickets.taken, tickets.places.get(&user("eve"))), (4, 4, None));
    }

    #[test]
    fn two_clients_of_one_user_take_one_place_of_that_user() {
        let mut tickets = Tickets::default();
        assert_eq!(filled(&mut tickets, "ann", "ann", 0), PLACES_PER_USER);
        assert!((0..4).all(|number| meet(&mut tickets, number)));
    }

    #[test]
    fn a_client_that_asks_again_takes_no_second_place() {
        let mut tickets = Tickets::default();
        for number in 0..100 {
            assert_eq!(tickets.issue(both(number), ends("ann", "bob"), START, END), Ok(()));
        }
        assert_eq!((tickets.taken, tickets.issued.len(), tickets.called.len()), (1, 1, 1));
        assert_eq!(tickets.redeem(ticket(98), 0, START), None);
        assert!(tickets.redeem(ticket(99), 0, START).is_some());
        assert_eq!(tickets.issue(both(100), ends("ann", "bob"), START, END), Ok(()));
        assert_eq!(tickets.taken, 2, "somebody waits with the one before");
    }

    #[test]
    fn places_are_bounded_in_all() {
        let mut tickets = Tickets::<u8>::default();
        for number in 0..PLACES_MAX as u16 {
            let ends = ends(&format!("a{number}"), &format!("b{number}"));
            assert_eq!(tickets.issue(both(number), ends, START, END), Ok(()));
        }
        assert_eq!(tickets.issue(both(u16::MAX), ends("ann", "bob"), START, END), Err(NoPlace::Relay));
        tickets.clear();
        assert_eq!(tickets.issue(both(u16::MAX), ends("ann", "bob"), START, END), Ok(()));
    }

    #[test]
    fn accounts_of_one_address_leave_half_of_all_places_to_others() {
        let mut tickets = Tickets::<u8>::default();
        let mut issue = |number: u16, ip: IpAddr, now| {
            let ends = Ends::new((end(&format!("a{number}"), 1), ip), end("bob", 2));
            tickets.issue(both(number), ends, now, now + END)
        };
        let here = IpAddr::from([192, 0, 2, 1]);
        let of_address = (0..2_000).take_while(|number| issue(*number, here, START).is_ok());
        assert_eq!(of_address.count(), PLACES_MAX / 2);
        assert_eq!(issue(2_000, here, START), Err(NoPlace::Address));
        let network = |number: u16| IpAddr::from([0x2001, 0xdb8, 1, number, 0, 0, 0, 1]);
        let of_site = (3_000..5_000).take_while(|number| issue(*number, network(*number), START).is_ok());
        assert_eq!(of_site.count(), PLACES_MAX / 4, "a site has half of what is left");
        assert_eq!(issue(5_000, home("ann"), START), Ok(()));
        assert_eq!(issue(5_001, here, START + END), Ok(()), "the tickets are too old by now");
        assert_eq!((tickets.taken, tickets.taken_at.len()), (1, 1));
    }
}
