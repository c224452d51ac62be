//! The seeder's limit on connections. Members share the places; a few more places are for connections that have not yet
//! proved to be a member's. When all places are taken, the next member gets the place of a member that makes least use
//! of it.

use super::origin::{ConnectionOrigin, Crowds};
use super::place::{FullHouse, Holder, Place};
use super::waiting_line::WaitingLine;
use crate::client::reach::gone::is_from;
use crate::model::id::GroupRef;
use crate::model::name::UserId;
use parking_lot::Mutex;
use std::cmp::Reverse;
use std::collections::HashMap;
use std::net::{IpAddr, Shutdown, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The maximum number of connections of members. One more takes the place of another, or is told to come back later.
pub const CONNECTIONS_MAX: usize = 128;
/// The maximum number of early connections besides, which have not yet proved to be a member's. At the limit, the
/// oldest one of the busiest address is told to come back later. A member proves it within moments, so an occupied
/// early place keeps no member out.
pub(super) const EARLY_MAX: usize = 32;
/// The maximum number of connections of one member.
pub(super) const MEMBER_MAX: usize = 16;

/// A connection that has lost its place to another member may still send the rest of its piece, for at most this long.
const LATE: Duration = Duration::from_secs(30);
/// The maximum number of such connections, besides those with a place.
const LATE_MAX: usize = 16;

/// The state of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Nothing is proved yet: a handshake alone may be a replay.
    Early,
    /// Nothing was proved, and another connection has its place now.
    GivenUp,
    /// A message came that was made with the key of a group.
    Member,
}

struct SeederConnection {
    /// For ending the connection at any stage.
    stream: Arc<TcpStream>,
    origin: ConnectionOrigin,
    stage: Stage,
    group: Option<GroupRef>,
    /// The user and the place of a member's connection.
    member: Option<(UserId, Arc<Place>)>,
}

impl SeederConnection {
    /// The holder of this place, if it is a member's.
    fn holder(&self, id: u64) -> Option<Holder<'_>> {
        let (user, place) = self.member.as_ref().filter(|_| self.stage == Stage::Member)?;
        Some(Holder { id, user, origin: &self.origin, place })
    }

    fn end(&self) {
        // This fails only if the connection is gone.
        let _ = self.stream.shutdown(Shutdown::Both);
    }
}

/// The member gets no place for one more connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NoPlace {
    /// The place in the waiting line. `None` for a member that already has connections here.
    pub in_line: Option<usize>,
}

/// The places of the seeder, and the connections that have them.
#[derive(Default)]
pub(super) struct Admission {
    // Locked, but never while receiving or sending.
    connections: Mutex<HashMap<u64, SeederConnection>>,
    // Locked after `connections`.
    line: Mutex<WaitingLine>,
}

impl Admission {
    /// Gives a connection an early place. Returns the connection that loses its place for that, if there were too many.
    pub(super) fn enter(&self, id: u64, stream: Arc<TcpStream>, origin: ConnectionOrigin) -> Option<u64> {
        let mut connections = self.connections.lock();
        let is_full = count(&connections, Stage::Early) >= EARLY_MAX;
        let given_up = if is_full { give_one_up(&mut connections) } else { None };
        connections.insert(id, SeederConnection { stream, origin, stage: Stage::Early, group: None, member: None });
        given_up
    }

    /// Notes the end of a connection.
    pub(super) fn leave(&self, id: u64) {
        self.connections.lock().remove(&id);
    }

    /// Whether this connection has lost its place to another one.
    pub(super) fn is_given_up(&self, id: u64) -> bool {
        self.connections.lock().get(&id).is_some_and(|connection| connection.stage == Stage::GivenUp)
    }

    /// Notes the group whose key a connection uses.
    pub(super) fn of_group(&self, id: u64, group: GroupRef) {
        if let Some(connection) = self.connections.lock().get_mut(&id) {
            connection.group = Some(group);
        }
    }

    /// Turns an early connection into one of this member's.
    ///
    /// # Errors
    /// The member may not have one more now.
    pub(super) fn admit(&self, id: u64, user: &UserId, now: Instant) -> Result<Arc<Place>, NoPlace> {
        let mut connections = self.connections.lock();
        let early = connections.get(&id).filter(|it| it.stage == Stage::Early);
        let origin = early.map(|it| it.origin.of_member(user)).ok_or(NoPlace { in_line: None })?;
        let (held, least) = self.make_way(&connections, (user, &origin), now)?;
        if let Some(least) = least.and_then(|id| connections.get_mut(&id)) {
            least.stage = Stage::GivenUp;
            if least.member.as_ref().is_some_and(|(_, place)| place.give_up(now)) {
                // The far side gets time to read the reason. This fails only if the connection is gone.
                let _ = least.stream.shutdown(Shutdown::Read);
            }
        }
        if held == 0 {
            self.line.lock().leave(user);
        }
        let place = Arc::new(Place::new(now));
        if let Some(connection) = connections.get_mut(&id) {
            (connection.stage, connection.origin) = (Stage::Member, origin);
            connection.member = Some((user.clone(), place.clone()));
        }
        Ok(place)
    }

    /// Ends the connections that take too long to send their last piece after they have lost their place. Ends the
    /// first of too many such connections as well.
    pub(super) fn end_late(&self, now: Instant) {
        late(&self.connections.lock(), now).for_each(SeederConnection::end);
    }

    /// When the next connection takes too long. One that is late already ends as soon as its worker sees that.
    pub(super) fn late_due(&self, now: Instant) -> Option<Instant> {
        let connections = self.connections.lock();
        given_up(&connections).map(|(at, _)| at + LATE).filter(|due| *due > now).min()
    }

    /// The number of this user's places, and the connection that has to make room if all places are taken.
    ///
    /// # Errors
    /// The user has to wait.
    fn make_way(
        &self,
        connections: &HashMap<u64, SeederConnection>,
        (user, origin): (&UserId, &ConnectionOrigin),
        now: Instant,
    ) -> Result<(usize, Option<u64>), NoPlace> {
        let members: Vec<_> = connections.iter().filter_map(|(&id, connection)| connection.holder(id)).collect();
        let free = CONNECTIONS_MAX.saturating_sub(members.len());
        let house = FullHouse::new(members, now);
        let (held, mut line) = (house.held_by(user), self.line.lock());
        // A user without a place comes before others, and the first in the line comes before the rest.
        let before = if held == 0 { line.before((user, origin), house.origins(), now) } else { line.count(now) };
        let for_others = if held == 0 { house.free_for_others() } else { 0 };
        if held >= MEMBER_MAX || before > 0 && before >= free + for_others {
            let in_line = (held == 0).then(|| line.wait((user, origin), house.origins(), now));
            return Err(NoPlace { in_line });
        }
        if free > 0 {
            return Ok((held, None));
        }
        match house.least(user, origin) {
            Some(least) => Ok((held, Some(least))),
            None => Err(NoPlace { in_line: (held == 0).then(|| line.wait((user, origin), house.origins(), now)) }),
        }
    }

    /// Ends the connections under a key of this group.
    pub(super) fn drop_group(&self, group: GroupRef) {
        let connections = self.connections.lock();
        connections.values().filter(|connection| connection.group == Some(group)).for_each(SeederConnection::end);
    }

    /// Ends the connections from these addresses of this machine.
    pub(super) fn end_from(&self, gone: &[IpAddr]) {
        let local_ip = |connection: &SeederConnection| connection.stream.local_addr().ok().map(|addr| addr.ip());
        let connections = self.connections.lock();
        connections.values().filter(|it| is_from(local_ip(it), gone)).for_each(SeederConnection::end);
    }

    /// Ends every connection.
    pub(super) fn end_all(&self) {
        self.connections.lock().values().for_each(SeederConnection::end);
    }
}

fn count(connections: &HashMap<u64, SeederConnection>, stage: Stage) -> usize {
    connections.values().filter(|connection| connection.stage == stage).count()
}

/// The connections that still send a piece after they have lost their place, and since when.
fn given_up(connections: &HashMap<u64, SeederConnection>) -> impl Iterator<Item = (Instant, &SeederConnection)> {
    connections.values().filter(|connection| connection.stage == Stage::GivenUp).filter_map(|connection| {
        let (_, place) = connection.member.as_ref()?;
        Some((place.given_up_at()?, connection))
    })
}

/// Those that take too long, and the first of too many.
fn late(connections: &HashMap<u64, SeederConnection>, now: Instant) -> impl Iterator<Item = &SeederConnection> {
    let mut given_up: Vec<_> = given_up(connections).collect();
    given_up.sort_by_key(|(at, _)| *at);
    let surplus = given_up.len().saturating_sub(LATE_MAX);
    let is_late = move |number, at| number < surplus || now.saturating_duration_since(at) >= LATE;
    given_up.into_iter().enumerate().filter(move |(number, (at, _))| is_late(*number, *at)).map(|(_, (_, it))| it)
}

/// Takes the place of the oldest early connection from the origin with most early connections.
fn give_one_up(connections: &mut HashMap<u64, SeederConnection>) -> Option<u64> {
    let early = || connections.iter().filter(|(_, connection)| connection.stage == Stage::Early);
    let crowds: Crowds = early().map(|(_, connection)| &connection.origin).collect();
    let fullest = early().max_by_key(|(id, connection)| (crowds.at(&connection.origin), Reverse(**id)));
    let id = fullest.map(|(&id, _)| id)?;
    if let Some(connection) = connections.get_mut(&id) {
        connection.stage = Stage::GivenUp;
        // The worker of that connection finds that nothing more comes in. This fails only if the connection is gone.
        let _ = connection.stream.shutdown(Shutdown::Read);
    }
    Some(id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::name::tests::user;
    use std::net::TcpListener;

    impl Admission {
        /// The number of all connections, and the number of early ones that still have a place.
        pub(in crate::client::upload) fn counts(&self) -> (usize, usize) {
            let connections = self.connections.lock();
            (connections.len(), count(&connections, Stage::Early))
        }
    }

    /// An admission for connections from any address. All of them use the same socket.
    struct Door {
        admission: Admission,
        stream: Arc<TcpStream>,
        next: u64,
    }

    impl Door {
        fn new() -> Self {
            let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
            let stream = TcpStream::connect(listener.local_addr().expect("bound")).expect("connects");
            Self { admission: Admission::default(), stream: Arc::new(stream), next: 0 }
        }

        fn enter(&mut self, address: u8) -> u64 {
            self.enter_from(ConnectionOrigin::of([10, 0, 0, address].into()))
        }

        fn enter_from(&mut self, origin: ConnectionOrigin) -> u64 {
            self.next += 1;
            self.admission.enter(self.next, self.stream.clone(), origin);
            self.next
        }

        fn join(&mut self, name: &str, now: Instant) -> Result<Arc<Place>, NoPlace> {
            self.join_from(1, name, now)
        }

        fn join_from(&mut self, address: u8, name: &str, now: Instant) -> Result<Arc<Place>, NoPlace> {
            let id = self.enter(address);
            let admitted = self.admission.admit(id, &user(name), now);
            if admitted.is_err() {
                self.admission.leave(id);
            }
            admitted
        }

        /// The number of places of each of these users.
        fn held<const N: usize>(&self, names: [&str; N]) -> [usize; N] {
            let connections = self.admission.connections.lock();
            let members = connections.values().filter(|connection| connection.stage == Stage::Member);
            let users: Vec<_> = members.filter_map(|connection| Some(&connection.member.as_ref()?.0)).collect();
            names.map(|name| users.iter().filter(|other| ***other == user(name)).count())
        }
    }

    #[test]
    fn the_oldest_early_connection_of_the_busiest_address_makes_room() {
        let mut door = Door::new();
        let lone = door.enter(1);
        let crowd: Vec<_> = (1..EARLY_MAX).map(|_| door.enter(2)).collect();
        assert!(!door.admission.is_given_up(crowd[0]), "all of them have room");
        door.enter(3);
        assert!(door.admission.is_given_up(crowd[0]));
        assert!(!door.admission.is_given_up(lone) && !door.admission.is_given_up(crowd[1]));
        let now = Instant::now();
        assert!(
            door.admission.admit(crowd[0], &user("late"), now).is_err(),
            "a connection that was given up gets no place"
        );
        assert!(door.admission.admit(crowd[1], &user("ann"), now).is_ok());
    }

    #[test]
    fn a_stranger_with_many_ipv6_networks_of_one_site_is_one_crowd() {
        let mut door = Door::new();
        let lone = door.enter(1);
        for number in 0..200_u128 {
            let ip = std::net::Ipv6Addr::from_bits((0x2001_0db8 << 96) | (number << 64) | 1);
            let id = door.enter_from(ConnectionOrigin::of(ip.into()));
            // A connection that lost its place has had a moment to end.
            door.admission.connections.lock().retain(|_, connection| connection.stage != Stage::GivenUp);
            assert!(door.admission.connections.lock().contains_key(&id));
        }
        assert!(door.admission.connections.lock().contains_key(&lone), "it has all the time of its handshake");
    }

    #[test]
    fn a_member_from_elsewhere_waits_neither_behind_a_crowd_nor_as_long() {
        let (mut door, begun) = (Door::new(), Instant::now());
        for number in 0..300 {
            if let Ok(place) = door.join(&format!("eve{number}"), begun) {
                assert!(place.begin(begun));
            }
        }
        assert_eq!(door.join_from(2, "ann", begun).err(), Some(NoPlace { in_line: Some(1) }));
        let soon = begun + Duration::from_secs(5);
        (128..300).for_each(|number| drop(door.join(&format!("eve{number}"), soon)));
        assert!(door.join_from(2, "ann", soon).is_ok());
    }

    #[test]
    fn a_member_has_a_part_of_the_places_and_gives_some_up_to_others() {
        let (mut door, now) = (Door::new(), Instant::now());
        let many: Vec<_> = std::iter::from_fn(|| door.join("many", now).ok()).collect();
        assert_eq!(many.len(), MEMBER_MAX);
        for number in MEMBER_MAX..CONNECTIONS_MAX {
            door.join(&format!("member{number}"), now).expect("there is a place");
        }
        // All places are taken, and a user with several makes room.
        assert!(door.join("ann", now).is_ok() && door.join("ann", now).is_ok());
        assert_eq!(door.held(["many", "ann"]), [MEMBER_MAX - 2, 2]);
        assert_eq!(many.iter().filter(|place| place.is_given_up()).count(), 2);
        for number in 2..MEMBER_MAX {
            door.join(&format!("late{number}"), now).expect("whoever has several makes room");
        }
        assert_eq!(door.join("many", now).err(), Some(NoPlace { in_line: None }));
    }

    #[test]
    fn a_waiting_member_hears_its_place_in_line_and_gets_the_first_free_one() {
        let (mut door, now) = (Door::new(), Instant::now());
        let ids: Vec<_> = (0..CONNECTIONS_MAX as u64)
            .map(|number| {
                let joined = door.join(&format!("member{number}"), now).expect("there is a place");
                assert!(joined.begin(now));
                door.next
            })
            .collect();
        let in_line = |door: &mut Door, name: &str| door.join(name, now).err().and_then(|why| why.in_line);
        assert_eq!(in_line(&mut door, "ann"), Some(1));
        assert_eq!(in_line(&mut door, "bob"), Some(2));
        assert_eq!(in_line(&mut door, "ann"), Some(1), "the same one");
        door.admission.leave(ids[7]);
        assert_eq!(in_line(&mut door, "bob"), Some(2), "ann is first");
        assert!(door.join("ann", now).is_ok());
        assert_eq!(in_line(&mut door, "bob"), Some(1));
    }

    /// All of them are in the middle of a piece, and read nothing.
    #[test]
    fn few_members_at_once_get_the_rest_of_their_piece_and_not_for_ever() {
        let (mut door, begun) = (Door::new(), Instant::now());
        for number in 0..CONNECTIONS_MAX {
            let place = door.join(&format!("member{number}"), begun).expect("there is a place");
            assert!(place.begin(begun));
        }
        let late = |door: &Door, now| late(&door.admission.connections.lock(), now).count();
        let soon = begun + Duration::from_secs(20);
        for number in 0..LATE_MAX {
            door.join(&format!("late{number}"), soon).expect("somebody had a place for long");
        }
        assert_eq!([late(&door, soon), late(&door, soon + LATE)], [0, LATE_MAX]);
        let due = [soon, soon + LATE].map(|now| door.admission.late_due(now));
        assert_eq!(due, [Some(soon + LATE), None], "the seeder looks then, though nothing else happens");
        for number in 0..3 {
            door.join(&format!("later{number}"), soon + LATE / 2).expect("somebody had a place for long");
        }
        assert_eq!(late(&door, soon + LATE / 2), 3, "exactly the surplus connections are late");
    }

    #[test]
    fn those_who_do_nothing_keep_nobody_out() {
        let (mut door, mut now) = (Door::new(), Instant::now());
        for number in 0..2 * CONNECTIONS_MAX {
            // Under a name of its own each.
            let _ = door.join(&format!("idle{number}"), now);
        }
        now += Duration::from_secs(20);
        let places: Vec<_> = (0..4).map(|_| door.join("ann", now).expect("room is made")).collect();
        assert!(places.iter().all(|place| !place.is_given_up()));
    }
}
