//! The row of connections that want a piece of a scarce uplink. A few pieces leave at a time, so each arrives soon and
//! is passed on. The others wait. Members take turns, one piece each. Pure: the time is passed in.

use super::breadth::{BREADTH_MIN, Breadth};
use crate::model::name::UserId;
use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

/// A piece no longer delays other pieces after this long without a byte, or after `LONG` in all.
const STILL: Duration = Duration::from_secs(2);
const LONG: Duration = Duration::from_secs(60);
/// Fewer bytes than this count as none.
const LITTLE: u64 = 8 * 1024;
/// The assumed time for a piece before one has left.
const USUAL: Duration = Duration::from_secs(5);

/// One connection in the row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct RowId(u64);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stand {
    /// The connection wants nothing.
    Rests,
    /// The connection wants a piece, since this turn.
    Waits(u64),
    /// The wanted piece is not available until something changes.
    Blocked(u64),
    /// The connection has its turn.
    Called,
    Leaves(Leaving),
}

/// A piece that is leaving.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Leaving {
    since: Instant,
    /// The last time at which at least `LITTLE` bytes had left, and the number of bytes since then.
    moved: Instant,
    few: u64,
    /// Whether the socket is full.
    stalled: bool,
}

#[derive(Debug)]
struct InRow {
    user: UserId,
    stand: Stand,
}

#[derive(Debug)]
struct RowMember {
    connections: usize,
    /// The number of the turn in which the member's last piece ended, given or interrupted. At first, the number of its
    /// arrival.
    last: u64,
}

/// All connections with open content.
///
/// Invariant: a waiting connection is called as long as fewer pieces leave than are allowed.
#[derive(Debug)]
pub struct PieceRow {
    connections: BTreeMap<RowId, InRow>,
    members: HashMap<UserId, RowMember>,
    /// Numbers the connections and the turns.
    count: u64,
    /// Whether the rate limiter sets the rate of the uplink.
    limited: bool,
    breadth: Breadth,
    /// When a piece last ended.
    left_at: Option<Instant>,
    /// The recent time for a piece.
    usual: Duration,
    /// Whether a connection other than the one that caused the change was called since the last `take_calls`.
    calls: bool,
}

impl Default for PieceRow {
    fn default() -> Self {
        Self {
            connections: BTreeMap::new(),
            members: HashMap::new(),
            count: 0,
            limited: false,
            breadth: Breadth::default(),
            left_at: None,
            usual: USUAL,
            calls: false,
        }
    }
}

impl PieceRow {
    /// Adds a connection of this member.
    pub fn join(&mut self, user: &UserId) -> RowId {
        self.count += 1;
        let member = self.members.entry(user.clone()).or_insert(RowMember { connections: 0, last: self.count });
        member.connections += 1;
        let id = RowId(self.count);
        self.connections.insert(id, InRow { user: user.clone(), stand: Stand::Rests });
        id
    }

    /// Removes a connection.
    pub fn leave(&mut self, id: RowId, now: Instant) {
        let Some(gone) = self.connections.remove(&id) else { return };
        if let Some(member) = self.members.get_mut(&gone.user) {
            member.connections -= 1;
            if member.connections == 0 {
                self.members.remove(&gone.user);
            }
        }
        if matches!(gone.stand, Stand::Leaves(_)) {
            self.had_turn(&gone.user);
            self.left_at = Some(now);
        }
        self.wake(id, now);
    }

    /// Notes that the connection wants a piece. `limited` says whether the rate limiter sets the rate of the uplink.
    pub fn ask(&mut self, id: RowId, limited: bool, now: Instant) {
        self.limited = limited;
        self.count += 1;
        let turn = self.count;
        if let Some(it) = self.connections.get_mut(&id) {
            it.stand = match it.stand {
                Stand::Rests | Stand::Leaves(_) => Stand::Waits(turn),
                Stand::Blocked(turn) => Stand::Waits(turn),
                other @ (Stand::Waits(_) | Stand::Called) => other,
            };
        }
        self.call(id, now);
    }

    /// Whether it is the turn of a connection.
    pub fn is_called(&self, id: RowId) -> bool {
        self.connections.get(&id).is_some_and(|it| it.stand == Stand::Called)
    }

    /// Notes that the wanted piece is not available now. The connection waits, and another one gets its turn.
    pub fn block(&mut self, id: RowId, now: Instant) {
        self.count += 1;
        let turn = self.count;
        self.set(id, Stand::Blocked(turn));
        self.call(id, now);
    }

    /// Notes that the connection wants nothing any more. Its member keeps its turn, unless a piece has begun.
    pub fn give_up(&mut self, id: RowId, now: Instant) {
        if let Some(InRow { stand: Stand::Leaves(_), user }) = self.connections.get(&id) {
            self.had_turn(&user.clone());
        }
        self.set(id, Stand::Rests);
        self.call(id, now);
    }

    /// Notes that the piece begins to leave.
    pub fn begin(&mut self, id: RowId, now: Instant) {
        self.set(id, Stand::Leaves(Leaving { since: now, moved: now, few: 0, stalled: false }));
    }

    /// Notes that the socket is full.
    pub fn stall(&mut self, id: RowId, now: Instant) {
        self.change_leaving(id, |leaving| leaving.stalled = true);
        self.call(id, now);
    }

    /// Notes that the socket takes data again, and has taken this many bytes since it was full.
    pub fn go_on(&mut self, id: RowId, taken: u64, now: Instant) {
        self.change_leaving(id, |leaving| {
            (leaving.stalled, leaving.few) = (false, leaving.few + taken);
            if leaving.few >= LITTLE {
                (leaving.moved, leaving.few) = (now, 0);
            }
        });
        let wait = self.is_waited_for();
        self.breadth.take(taken, wait, now);
        self.call(id, now);
    }

    /// Notes the end of a piece, of which this many bytes have left.
    pub fn end(&mut self, id: RowId, len: u32, now: Instant) {
        if let Some(InRow { stand: Stand::Leaves(Leaving { since, .. }), user }) = self.connections.get(&id) {
            let time = now.saturating_duration_since(*since);
            self.usual = (3 * self.usual + time) / 4;
            self.breadth.left(len, time, now);
            self.had_turn(&user.clone());
        }
        self.set(id, Stand::Rests);
        self.left_at = Some(now);
        self.wake(id, now);
    }

    /// Whether other members want pieces.
    pub fn others_want(&self, id: RowId) -> bool {
        let Some(own) = self.connections.get(&id) else { return false };
        self.connections.values().any(|it| it.stand != Stand::Rests && it.user != own.user)
    }

    /// Whether the uplink takes everything, so that no member has to wait.
    pub fn is_plenty(&self, now: Instant) -> bool {
        !self.limited && self.breadth.most(now).is_none()
    }

    /// The time in which nothing has left.
    pub fn idle(&self, now: Instant) -> Duration {
        if self.leaving().any(|leaving| self.counts(leaving, now)) {
            return Duration::ZERO;
        }
        let last = self.leaving().map(|leaving| leaving.moved).chain(self.left_at).max();
        last.map_or(Duration::ZERO, |last| now.saturating_duration_since(last))
    }

    /// The recent time for a piece.
    pub fn usual(&self) -> Duration {
        self.usual
    }

    /// Whether a connection has its turn and does not know it yet.
    pub fn take_calls(&mut self) -> bool {
        std::mem::take(&mut self.calls)
    }

    /// Makes blocked connections wait for their turn again, because their piece may be available now.
    fn wake(&mut self, by: RowId, now: Instant) {
        for it in self.connections.values_mut() {
            if let Stand::Blocked(turn) = it.stand {
                it.stand = Stand::Waits(turn);
            }
        }
        self.call(by, now);
    }

    /// Counts a turn for this member, after a piece on its way has ended, complete or not.
    fn had_turn(&mut self, user: &UserId) {
        self.count += 1;
        if let Some(member) = self.members.get_mut(user) {
            member.last = self.count;
        }
    }

    fn set(&mut self, id: RowId, stand: Stand) {
        self.connections.entry(id).and_modify(|it| it.stand = stand);
    }

    fn change_leaving(&mut self, id: RowId, change: impl FnOnce(&mut Leaving)) {
        if let Some(InRow { stand: Stand::Leaves(leaving), .. }) = self.connections.get_mut(&id) {
            change(leaving);
        }
    }

    fn leaving(&self) -> impl Iterator<Item = &Leaving> {
        self.connections.values().filter_map(|it| match &it.stand {
            Stand::Leaves(leaving) => Some(leaving),
            _ => None,
        })
    }

    /// Whether a leaving piece delays others. With a limit, a piece with a full socket does not, because the others can
    /// use the limit.
    fn counts(&self, leaving: &Leaving, now: Instant) -> bool {
        let past = |since: Instant| now.saturating_duration_since(since);
        if self.limited { !leaving.stalled } else { past(leaving.moved) < STILL && past(leaving.since) < LONG }
    }

    fn is_waited_for(&self) -> bool {
        self.connections.values().any(|it| matches!(it.stand, Stand::Waits(_)))
    }

    /// Calls the connections that have their turn.
    fn call(&mut self, by: RowId, now: Instant) {
        let most = if self.limited { Some(BREADTH_MIN) } else { self.breadth.most(now) };
        let called = self.connections.values().filter(|it| it.stand == Stand::Called).count();
        let counted = self.leaving().filter(|leaving| self.counts(leaving, now)).count() + called;
        let free = most.map_or(usize::MAX, |most| most.saturating_sub(counted));
        for _ in 0..free {
            let Some(id) = self.next() else { return };
            self.set(id, Stand::Called);
            self.calls |= id != by;
        }
    }

    /// The next connection: of the members with the fewest pieces on their way, that of the member whose last turn was
    /// longest ago.
    fn next(&self) -> Option<RowId> {
        if !self.is_waited_for() {
            return None;
        }
        let mut busy: HashMap<&UserId, usize> = HashMap::new();
        let takes = |it: &&InRow| matches!(it.stand, Stand::Called | Stand::Leaves(_));
        self.connections.values().filter(takes).for_each(|it| *busy.entry(&it.user).or_default() += 1);
        let waits = self.connections.iter().filter_map(|(id, it)| match it.stand {
            Stand::Waits(turn) => {
                let last = self.members.get(&it.user).map(|member| member.last);
                Some(((busy.get(&it.user).copied(), last, turn), *id))
            }
            _ => None,
        });
        waits.min().map(|(_, id)| id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::name::tests::user;
    use crate::model::piece::PIECE_LEN;
    use std::collections::VecDeque;

    const SECOND: Duration = Duration::from_secs(1);

    fn row_of<const N: usize>(names: [&str; N]) -> (PieceRow, [RowId; N]) {
        let mut row = PieceRow::default();
        let ids = names.map(|name| row.join(&user(name)));
        (row, ids)
    }

    /// Begins a piece for the connections that have their turn. Returns them.
    fn begin(row: &mut PieceRow, ids: &[RowId], now: Instant) -> Vec<usize> {
        let called: Vec<_> = (0..ids.len()).filter(|at| row.is_called(ids[*at])).collect();
        called.iter().for_each(|at| row.begin(ids[*at], now));
        called
    }

    #[test]
    fn a_few_pieces_leave_at_a_time_and_members_take_turns_whatever_the_number_of_their_connections() {
        let (mut row, ids) = row_of(["many", "many", "many", "many", "ann", "bob"]);
        let now = Instant::now();
        ids.iter().for_each(|id| row.ask(*id, true, now));
        assert_eq!(begin(&mut row, &ids, now), [0, 1, 2], "no other member was there");
        let mut order = Vec::new();
        let mut leaving = vec![0, 1, 2];
        for _ in 0..12 {
            let first = leaving.remove(0);
            row.end(ids[first], PIECE_LEN, now);
            row.ask(ids[first], true, now);
            let next = begin(&mut row, &ids, now);
            assert_eq!(next.len(), 1);
            leaving.extend(&next);
            order.extend(next);
        }
        assert_eq!(order[..2], [4, 5], "members without a piece come first");
        let of = |at: usize| order.iter().filter(|other| **other == at).count();
        assert!(of(4) >= 3 && of(5) >= 3, "{order:?}");
    }

    #[test]
    fn a_refused_member_that_asks_again_keeps_its_turn() {
        let (mut row, ids) = row_of(["a", "b", "c", "d", "e"]);
        let now = Instant::now();
        ids.iter().for_each(|id| row.ask(*id, true, now));
        assert_eq!(begin(&mut row, &ids, now), [0, 1, 2]);
        row.give_up(ids[3], now);
        row.ask(ids[3], true, now);
        row.end(ids[0], PIECE_LEN, now);
        assert_eq!(begin(&mut row, &ids, now), [3]);
    }

    #[test]
    fn a_blocked_member_leaves_its_turn_to_others_until_something_changes() {
        let (mut row, ids) = row_of(["a", "b", "c", "d", "e"]);
        let now = Instant::now();
        ids.iter().for_each(|id| row.ask(*id, true, now));
        row.begin(ids[0], now);
        row.block(ids[1], now);
        row.block(ids[2], now);
        assert_eq!(begin(&mut row, &ids, now), [3, 4]);
        assert!(row.others_want(ids[0]));
        row.end(ids[3], PIECE_LEN, now);
        assert_eq!(begin(&mut row, &ids, now), [1]);
        row.leave(ids[4], now);
        assert_eq!(begin(&mut row, &ids, now), [2]);
    }

    /// One connection of a member wants nothing. Another one breaks in the middle of each piece and comes again.
    #[test]
    fn a_member_that_breaks_off_its_pieces_has_had_its_turns_like_any_other() {
        let names = [0, 1, 2, 3, 4, 5].map(|number| user(&format!("member{number}")));
        let (mut row, now, eve) = (PieceRow::default(), Instant::now(), user("eve"));
        let _kept = row.join(&eve);
        let mut theirs = row.join(&eve);
        let ids = names.map(|name| row.join(&name));
        row.ask(theirs, true, now);
        ids.iter().for_each(|id| row.ask(*id, true, now));
        let (mut broken_off, mut given) = (0, 0);
        let mut leaving = VecDeque::new();
        while given < 60 {
            let called = ids.iter().chain([&theirs]).filter(|id| row.is_called(**id));
            let called: Vec<_> = called.copied().collect();
            called.iter().for_each(|id| row.begin(*id, now));
            leaving.extend(called);
            let first = leaving.pop_front().expect("somebody waits");
            if first == theirs {
                broken_off += 1;
                row.leave(first, now);
                theirs = row.join(&eve);
                row.ask(theirs, true, now);
            } else {
                given += 1;
                row.end(first, PIECE_LEN, now);
                row.ask(first, true, now);
            }
        }
        assert!(broken_off <= 12, "{broken_off} of its pieces and {given} of six others");
    }

    #[test]
    fn a_member_that_reads_nothing_keeps_nobody_waiting() {
        for limited in [true, false] {
            let (mut row, ids) = row_of(["slow", "slow", "slow", "ann"]);
            let now = Instant::now();
            ids[..3].iter().for_each(|id| row.ask(*id, limited, now));
            assert_eq!(begin(&mut row, &ids, now), [0, 1, 2]);
            ids[..3].iter().for_each(|id| row.stall(*id, now));
            let later = now + STILL;
            // A few bytes count as none.
            ids[..3].iter().for_each(|id| row.go_on(*id, 100, later));
            ids[..3].iter().for_each(|id| row.stall(*id, later));
            row.ask(ids[3], limited, later);
            assert!(row.is_called(ids[3]), "limited: {limited}");
        }
    }

    #[test]
    fn no_connection_waits_once_pieces_leave_fast() {
        let names: Vec<_> = (0..20).map(|number| user(&format!("member{number}"))).collect();
        let (mut row, now) = (PieceRow::default(), Instant::now());
        let ids: Vec<_> = names.iter().map(|name| row.join(name)).collect();
        ids.iter().for_each(|id| row.ask(*id, false, now));
        assert_eq!(begin(&mut row, &ids, now).len(), BREADTH_MIN);
        row.end(ids[0], PIECE_LEN, now + SECOND / 100);
        assert_eq!(begin(&mut row, &ids, now).len(), 20 - BREADTH_MIN);
        assert!(row.is_plenty(now + SECOND));
    }

    #[test]
    fn a_thin_uplink_is_idle_once_nothing_has_left_for_a_while() {
        let (mut row, ids) = row_of(["a", "b"]);
        let now = Instant::now();
        row.ask(ids[0], true, now);
        assert_eq!(begin(&mut row, &ids, now), [0]);
        assert_eq!(row.idle(now + SECOND), Duration::ZERO);
        row.end(ids[0], PIECE_LEN, now + 2 * SECOND);
        assert_eq!(row.idle(now + 3 * SECOND), SECOND);
        ids.iter().for_each(|id| row.leave(*id, now));
        assert!(row.members.is_empty() && row.connections.is_empty());
    }
}
