//! The seeder's limit on connections. Members share the places; a few more are for those who have yet to prove that
//! they are members.

use crate::model::id::GroupRef;
use crate::model::name::UserId;
use parking_lot::{Condvar, Mutex};
use std::cmp::Reverse;
use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Shutdown, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

/// Most connections of members. One more is told to come back later.
pub const CONNECTIONS_MAX: usize = 128;
/// Most early connections besides: those that have yet to prove to be a member's. With one more, the oldest one of the
/// busiest address is told to come back later. A member proves it within moments, so whoever holds such places keeps
/// nobody out.
pub(super) const EARLY_MAX: usize = 32;
/// Most threads of connections. A connection that was given up takes a moment to end, and the next one waits for that.
pub(super) const THREADS_MAX: usize = CONNECTIONS_MAX + 2 * EARLY_MAX;
/// A member may have one in this many of the free places, and at least one while a place is free. So the first to come
/// keeps nobody out, and the more members come, the fewer connections each may have.
const MEMBER_PART: usize = 8;

/// What is known of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Nothing yet: a handshake alone may be a replay.
    Early,
    /// Nothing, and another connection has its place now.
    GivenUp,
    /// It sent a message that was made with the key of a group.
    Member,
}

struct SeederConnection {
    /// For ending the connection at any stage.
    stream: Arc<TcpStream>,
    ip: IpAddr,
    stage: Stage,
    group: Option<GroupRef>,
    /// Known once it is a member's.
    user: Option<UserId>,
    /// Not an `OwnedThread`: the thread itself removes this entry.
    thread: Option<JoinHandle<()>>,
}

impl SeederConnection {
    fn end(&self) {
        // Fails only if the connection is gone.
        let _ = self.stream.shutdown(Shutdown::Both);
    }
}

/// The places of the seeder, and the connections that have them.
#[derive(Default)]
pub(super) struct Admission {
    closing: AtomicBool,
    // Locked; never while something is received or sent.
    connections: Mutex<HashMap<u64, SeederConnection>>,
    /// A thread of a connection has ended.
    ended: Condvar,
}

impl Admission {
    /// Gives a connection an early place, and the thread that `start` starts. Waits for a thread to end if there are
    /// too many. False if members have every place.
    pub(super) fn enter(
        &self,
        id: u64,
        stream: Arc<TcpStream>,
        ip: IpAddr,
        start: impl FnOnce() -> io::Result<JoinHandle<()>>,
    ) -> bool {
        let mut connections = self.connections.lock();
        if count(&connections, Stage::Member) >= CONNECTIONS_MAX {
            return false;
        }
        if count(&connections, Stage::Early) >= EARLY_MAX {
            give_one_up(&mut connections);
        }
        // Threads beyond those of members and early connections are all given up, and end soon.
        let full = |connections: &mut HashMap<_, _>| connections.len() >= THREADS_MAX && !self.is_closing();
        self.ended.wait_while(&mut connections, full);
        if self.is_closing() {
            return true;
        }
        // Without a thread the connection ends here.
        if let Ok(thread) = start() {
            let (stage, thread) = (Stage::Early, Some(thread));
            connections.insert(id, SeederConnection { stream, ip, stage, group: None, user: None, thread });
        }
        true
    }

    /// The thread of a connection ends.
    pub(super) fn leave(&self, id: u64) {
        self.connections.lock().remove(&id);
        self.ended.notify_one();
    }

    /// Whether another connection has the place of this one.
    pub(super) fn is_given_up(&self, id: u64) -> bool {
        self.connections.lock().get(&id).is_some_and(|connection| connection.stage == Stage::GivenUp)
    }

    /// A connection was made under a key of this group.
    pub(super) fn of_group(&self, id: u64, group: GroupRef) {
        if let Some(connection) = self.connections.lock().get_mut(&id) {
            connection.group = Some(group);
        }
    }

    /// Makes an early connection one of this member's. False if the member may not have one more.
    pub(super) fn admit(&self, id: u64, user: &UserId) -> bool {
        let mut connections = self.connections.lock();
        let theirs = connections.values().filter(|other| other.user.as_ref() == Some(user)).count();
        let free = CONNECTIONS_MAX.saturating_sub(count(&connections, Stage::Member));
        let admitted = free > 0 && theirs <= (free - 1) / MEMBER_PART;
        let connection = connections.get_mut(&id).filter(|connection| connection.stage == Stage::Early);
        let Some(connection) = connection.filter(|_| admitted) else {
            return false;
        };
        connection.stage = Stage::Member;
        connection.user = Some(user.clone());
        true
    }

    /// Ends the connections made under a key of this group.
    pub(super) fn drop_group(&self, group: GroupRef) {
        let connections = self.connections.lock();
        connections.values().filter(|connection| connection.group == Some(group)).for_each(SeederConnection::end);
    }

    pub(super) fn is_closing(&self) -> bool {
        self.closing.load(Ordering::SeqCst)
    }

    /// Lets nobody enter any more, ends every connection, and gives the threads to wait for.
    pub(super) fn close(&self) -> Vec<JoinHandle<()>> {
        self.closing.store(true, Ordering::SeqCst);
        // With the lock: a thread in `enter` that has not seen `closing` waits by now.
        let mut connections = self.connections.lock();
        self.ended.notify_all();
        connections.values().for_each(SeederConnection::end);
        connections.values_mut().filter_map(|connection| connection.thread.take()).collect()
    }
}

fn count(connections: &HashMap<u64, SeederConnection>, stage: Stage) -> usize {
    connections.values().filter(|connection| connection.stage == stage).count()
}

/// Gives up the oldest early connection of the address that has most of them. Its thread tells the far side.
fn give_one_up(connections: &mut HashMap<u64, SeederConnection>) {
    let mut per_address: HashMap<IpAddr, (usize, Reverse<u64>)> = HashMap::new();
    for (&id, connection) in connections.iter().filter(|(_, connection)| connection.stage == Stage::Early) {
        let (count, oldest) = per_address.entry(connection.ip).or_insert((0, Reverse(id)));
        *count += 1;
        *oldest = (*oldest).max(Reverse(id));
    }
    let Some((_, Reverse(id))) = per_address.into_values().max() else {
        return;
    };
    if let Some(connection) = connections.get_mut(&id) {
        connection.stage = Stage::GivenUp;
        // Wakes the thread, which finds that nothing more comes in. Fails only if the connection is gone.
        let _ = connection.stream.shutdown(Shutdown::Read);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::name::tests::user;
    use std::net::TcpListener;

    impl Admission {
        /// How many have a thread, and how many of these have not proved anything and still may.
        pub(in crate::client::upload) fn counts(&self) -> (usize, usize) {
            let connections = self.connections.lock();
            (connections.len(), count(&connections, Stage::Early))
        }
    }

    /// An admission to which connections come from any address. All of them are the same socket.
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

        fn enter(&mut self, address: u8) -> Option<u64> {
            self.next += 1;
            let entered = self.admission.enter(self.next, self.stream.clone(), [10, 0, 0, address].into(), || {
                std::thread::Builder::new().spawn(|| ())
            });
            entered.then_some(self.next)
        }

        fn join(&mut self, name: &str) -> bool {
            let id = self.enter(1).expect("there is a place");
            let admitted = self.admission.admit(id, &user(name));
            if !admitted {
                self.admission.leave(id);
            }
            admitted
        }
    }

    #[test]
    fn the_oldest_early_connection_of_the_busiest_address_makes_room() {
        let mut door = Door::new();
        let lone = door.enter(1).expect("a place");
        let crowd: Vec<_> = (1..EARLY_MAX).map(|_| door.enter(2).expect("a place")).collect();
        assert!(!door.admission.is_given_up(crowd[0]), "all of them have room");
        door.enter(3).expect("a place");
        assert!(door.admission.is_given_up(crowd[0]));
        assert!(!door.admission.is_given_up(lone) && !door.admission.is_given_up(crowd[1]));
        assert!(!door.admission.admit(crowd[0], &user("late")), "who was given up has no place");
        assert!(door.admission.admit(crowd[1], &user("ann")));
    }

    #[test]
    fn a_member_has_a_part_of_the_free_places_and_others_still_get_in() {
        let mut door = Door::new();
        let many = (0..).take_while(|_| door.join("many")).count();
        assert!((CONNECTIONS_MAX / MEMBER_PART - 2..=CONNECTIONS_MAX / MEMBER_PART).contains(&many), "{many}");
        let others = (many..CONNECTIONS_MAX).all(|number| door.join(&format!("member{number}")));
        assert!(others, "each gets one while there is a place");
        assert_eq!(door.enter(9), None, "every place is a member's");
        assert_eq!(door.admission.close().len(), CONNECTIONS_MAX);
    }

    #[test]
    fn nobody_enters_while_it_closes() {
        let mut door = Door::new();
        door.enter(1);
        assert_eq!(door.admission.close().len(), 1);
        door.enter(1);
        assert_eq!(door.admission.counts().0, 1);
    }
}
