//! A member's place at the seeder: its use, and which one to give up when all are taken. The time is passed in.

use super::origin::{ConnectionOrigin, Crowds};
use crate::model::name::UserId;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// "Lately" means the latest two windows of this length.
const WINDOW: Duration = Duration::from_secs(5);
/// A member without a request for this long loses its place first.
const UNUSED: Duration = Duration::from_secs(10);
/// Before this time no place goes to a user from another address.
const GRACE: Duration = Duration::from_secs(5);
/// Before this time no place goes to another user if each has only one place.
const TENURE: Duration = Duration::from_secs(20);

/// A place, shared by its connection and the admission.
#[derive(Debug)]
pub(super) struct Place {
    since: Instant,
    // Locked, but never while receiving or sending.
    state: Mutex<PlaceState>,
}

#[derive(Debug)]
struct PlaceState {
    /// Whether a request is being answered.
    working: bool,
    /// Whether a request waits for its turn.
    waiting: bool,
    given_up_at: Option<Instant>,
    /// When a piece was last requested.
    asked_at: Instant,
    window_since: Instant,
    /// Bytes given in this window, and in the one before.
    given: u64,
    given_before: u64,
}

impl PlaceState {
    /// Begins the next window if this one is over.
    fn turn_over(&mut self, now: Instant) {
        let past = now.saturating_duration_since(self.window_since);
        if past >= WINDOW {
            self.given_before = if past < 2 * WINDOW { self.given } else { 0 };
            (self.given, self.window_since) = (0, now);
        }
    }
}

impl Place {
    pub(super) fn new(now: Instant) -> Self {
        let state = PlaceState {
            working: false,
            waiting: false,
            given_up_at: None,
            asked_at: now,
            window_since: now,
            given: 0,
            given_before: 0,
        };
        Self { since: now, state: Mutex::new(state) }
    }

    /// Notes that a request for a piece waits for its turn. Returns false if another connection has the place.
    pub(super) fn wait(&self) -> bool {
        let mut state = self.state.lock();
        state.waiting = state.given_up_at.is_none();
        state.waiting
    }

    /// Notes that a request for a piece is now being answered. Returns false if another connection has the place.
    pub(super) fn begin(&self, now: Instant) -> bool {
        let mut state = self.state.lock();
        state.working = state.given_up_at.is_none();
        state.asked_at = now;
        state.working
    }

    /// Notes that the request is answered, with this many bytes of a piece.
    pub(super) fn finish(&self, given: u64, now: Instant) {
        let mut state = self.state.lock();
        state.turn_over(now);
        (state.working, state.waiting) = (false, false);
        state.given += given;
        state.asked_at = now;
    }

    /// Whether another connection has the place.
    pub(super) fn is_given_up(&self) -> bool {
        self.given_up_at().is_some()
    }

    /// Notes that another connection now has the place. Returns whether the connection can end at once. Otherwise the
    /// rest of its piece leaves first, because the part already sent would be lost.
    pub(super) fn give_up(&self, now: Instant) -> bool {
        let mut state = self.state.lock();
        state.given_up_at = Some(now);
        !state.working
    }

    /// Since when another connection has the place.
    pub(super) fn given_up_at(&self) -> Option<Instant> {
        self.state.lock().given_up_at
    }

    fn given_lately(&self, now: Instant) -> u64 {
        let mut state = self.state.lock();
        state.turn_over(now);
        state.given + state.given_before
    }

    fn is_unused(&self, now: Instant) -> bool {
        let state = self.state.lock();
        !state.working && !state.waiting && now.saturating_duration_since(state.asked_at) >= UNUSED
    }
}

/// The holder of a place.
#[derive(Debug, Clone, Copy)]
pub(super) struct Holder<'a> {
    pub id: u64,
    pub user: &'a UserId,
    pub origin: &'a ConnectionOrigin,
    pub place: &'a Place,
}

/// The places when all are taken.
#[derive(Debug)]
pub(super) struct FullHouse<'a> {
    holders: Vec<Holder<'a>>,
    users: HashMap<&'a UserId, usize>,
    origins: Crowds,
    now: Instant,
}

impl<'a> FullHouse<'a> {
    pub(super) fn new(holders: Vec<Holder<'a>>, now: Instant) -> Self {
        let mut users = HashMap::new();
        holders.iter().for_each(|holder| *users.entry(holder.user).or_default() += 1);
        let origins = holders.iter().map(|holder| holder.origin).collect();
        Self { holders, users, origins, now }
    }

    /// The number of places of each origin.
    pub(super) fn origins(&self) -> &Crowds {
        &self.origins
    }

    /// The number of places of this user.
    pub(super) fn held_by(&self, user: &UserId) -> usize {
        self.users.get(user).copied().unwrap_or(0)
    }

    /// The connection to end for one more of this user from this origin. An unused place goes first. Next comes the
    /// user with most places, of whose places the one with least use lately goes. For a user without a place, a place
    /// of a crowded address follows, and finally any place that is old enough.
    pub(super) fn least(&self, user: &UserId, origin: &ConnectionOrigin) -> Option<u64> {
        let held = self.held_by(user);
        let near = self.origins.at(origin);
        let age = |holder: &Holder<'_>| self.now.saturating_duration_since(holder.place.since);
        let rank = |holder: &Holder<'_>| {
            let theirs = self.users[holder.user];
            if holder.place.is_unused(self.now) {
                Some(3)
            } else if theirs >= held + 2 {
                Some(2)
            } else if held == 0 && self.origins.at(holder.origin) >= near + 2 && age(holder) >= GRACE {
                Some(1)
            } else {
                (held == 0 && age(holder) >= TENURE).then_some(0)
            }
        };
        let least =
            self.holders.iter().filter_map(|holder| Some((rank(holder)?, holder))).max_by_key(|(rank, holder)| {
                let given = std::cmp::Reverse(holder.place.given_lately(self.now));
                (*rank, self.users[holder.user], self.origins.at(holder.origin), given, age(holder))
            });
        least.map(|(_, holder)| holder.id)
    }

    /// The number of places that users without one could get at once.
    pub(super) fn free_for_others(&self) -> usize {
        let unused = self.holders.iter().filter(|holder| holder.place.is_unused(self.now)).count();
        unused.max(self.users.values().map(|held| held.saturating_sub(1)).sum())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::name::tests::user;

    const PIECE: u64 = 512 * 1024;
    const SECOND: Duration = Duration::from_secs(1);

    fn at(host: u8) -> ConnectionOrigin {
        ConnectionOrigin::of([10, 0, 0, host].into())
    }

    /// The holder that makes room for one more connection of `newcomer`. The others are given by name, address and
    /// place.
    fn least(holders: &[(&str, u8, Place)], newcomer: (&str, u8), now: Instant) -> Option<usize> {
        let known: Vec<_> = holders.iter().map(|holder| (user(holder.0), at(holder.1))).collect();
        let mut house = Vec::new();
        for (number, ((_, _, place), (user, origin))) in holders.iter().zip(&known).enumerate() {
            house.push(Holder { id: number as u64, user, origin, place });
        }
        let house = FullHouse::new(house, now);
        house.least(&user(newcomer.0), &at(newcomer.1)).map(|id| id as usize)
    }

    /// A place that has received this many pieces, the last one just now.
    fn busy(since: Instant, now: Instant, pieces: u64) -> Place {
        let place = Place::new(since);
        assert!(place.begin(now));
        place.finish(pieces * PIECE, now);
        place
    }

    #[test]
    fn bytes_count_for_a_while() {
        let begun = Instant::now();
        let place = busy(begun, begun, 3);
        assert_eq!(place.given_lately(begun + WINDOW / 2), 3 * PIECE);
        assert_eq!(place.given_lately(begun + WINDOW), 3 * PIECE, "the window before counts");
        assert_eq!(place.given_lately(begun + 3 * WINDOW), 0);
    }

    #[test]
    fn a_member_without_a_request_loses_its_place_first() {
        let begun = Instant::now();
        let now = begun + UNUSED;
        let holders = [
            ("many", 1, busy(begun, now, 1)),
            ("many", 1, busy(begun, now, 1)),
            ("idle", 2, Place::new(begun)),
            ("many", 1, busy(begun, now, 1)),
        ];
        assert_eq!(least(&holders, ("new", 3), now), Some(2));
        let waits = Place::new(begun);
        waits.begin(begun);
        assert_eq!(least(&[("slow", 2, waits)], ("new", 3), now), None, "a slow link is no idle one");
        let waits = Place::new(begun);
        waits.wait();
        assert_eq!(least(&[("late", 2, waits)], ("new", 3), now), None, "a place whose request waits is not unused");
    }

    #[test]
    fn of_the_user_with_most_places_the_one_that_was_given_least_goes() {
        let begun = Instant::now();
        let now = begun + SECOND;
        let of = |name, pieces| (name, 1, busy(begun, now, pieces));
        let holders = [of("ann", 1), of("many", 9), of("many", 5), of("many", 7), of("bob", 0)];
        assert_eq!(least(&holders, ("new", 1), now), Some(2));
        assert_eq!(least(&holders, ("ann", 1), now), Some(2));
        assert_eq!(least(&holders, ("many", 1), now), None, "no user has more than this one");
        let even = [of("ann", 1), of("ann", 1), of("bob", 1)];
        assert_eq!(least(&even, ("bob", 1), now), None, "they would take the place from each other for ever");
    }

    #[test]
    fn a_newcomer_gets_a_place_of_a_crowded_address_soon_and_any_place_later() {
        let begun = Instant::now();
        let holders = |now| {
            let of = |name, host, pieces| (name, host, busy(begun, now, pieces));
            [of("ann", 1, 0), of("a", 2, 3), of("b", 2, 1), of("c", 2, 3)]
        };
        let at = |after: Duration, newcomer| least(&holders(begun + after), newcomer, begun + after);
        assert_eq!(at(SECOND, ("new", 3)), None);
        assert_eq!(at(GRACE, ("new", 3)), Some(2));
        assert_eq!(at(GRACE, ("new", 2)), None, "it is at that address too");
        assert_eq!(at(GRACE, ("ann", 3)), None, "ann has one");
        assert!(at(TENURE, ("new", 2)).is_some());
        assert_eq!(at(TENURE, ("ann", 1)), None);
    }

    /// All have the address of the tracker with the relay.
    #[test]
    fn members_who_come_by_the_relay_are_no_crowd() {
        let begun = Instant::now();
        let now = begun + GRACE;
        let names: Vec<_> = (0..20).map(|number| user(&format!("member{number}"))).collect();
        let of = |(id, name)| ConnectionOrigin::relayed(id).of_member(name);
        let relayed: Vec<_> = (0..).zip(&names).map(of).collect();
        let places: Vec<_> = names.iter().map(|_| busy(begun, now, 1)).collect();
        let holders = names.iter().zip(&relayed).zip(&places).zip(0..);
        let holders = holders.map(|(((user, origin), place), id)| Holder { id, user, origin, place }).collect();
        let house = FullHouse::new(holders, now);
        assert_eq!(house.least(&user("new"), &at(1)), None, "each of them came by itself");
        let twice = [0, 1].map(|id| ConnectionOrigin::relayed(id).of_member(&names[0]));
        assert_eq!(
            twice.iter().collect::<Crowds>().at(&twice[0]),
            2,
            "connections of one relayed member share an origin"
        );
    }

    #[test]
    fn a_place_changes_hands_between_two_pieces_only() {
        let now = Instant::now();
        let resting = Place::new(now);
        assert!(resting.give_up(now) && !resting.begin(now));
        let working = Place::new(now);
        assert!(working.begin(now));
        assert!(!working.give_up(now), "the rest of the piece leaves");
        working.finish(PIECE, now);
        assert!(working.is_given_up() && !working.begin(now));
    }
}
