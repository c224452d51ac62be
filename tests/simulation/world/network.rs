//! Connections between trackers: which one calls, what they carry, and when they break.

use super::super::link::{Conn, EndId, Message};
use super::{World, brief};
use groupshare::model::id::Seen;
use groupshare::model::op::floor::FloorMark;

impl World {
    /// All open ends.
    pub(super) fn ends(&self) -> Vec<EndId> {
        let all = (self.oldest..self.conns.len()).flat_map(|conn| [(conn, 0), (conn, 1)]);
        all.filter(|&(conn, side)| self.conns[conn].ends[side].open).collect()
    }

    pub(super) fn close(&mut self, (conn, side): EndId) {
        self.conns[conn].close(side);
        self.break_off(conn);
    }

    fn break_off(&mut self, conn: usize) {
        let arrives = [0, 1].map(|side| {
            let len = self.conns[conn].ends[side].inbox.len();
            self.dice.below(len + 1)
        });
        self.conns[conn].break_off(arrives);
    }

    pub(super) fn break_some(&mut self) {
        let ends = self.ends();
        if let Some((conn, _)) = self.dice.pick(&ends) {
            say!(self, "the connection of {} and {} breaks", self.of(conn)[0] + 1, self.of(conn)[1] + 1);
            self.break_off(conn);
        }
    }

    /// The trackers of a connection.
    pub(super) fn of(&self, conn: usize) -> [usize; 2] {
        [0, 1].map(|side| self.conns[conn].ends[side].tracker)
    }

    pub(super) fn partition(&mut self) {
        let parts = 1 + self.dice.below(3).min(1 + self.dice.below(2));
        for t in 0..self.sides.len() {
            self.sides[t] = self.dice.below(parts);
        }
        say!(self, "the network is {:?}", self.sides);
    }

    pub(super) fn dial(&mut self) {
        let (Some(a), Some(b)) = (self.some_running(), self.some_running()) else { return };
        if self.fates.may_link(a, b) && self.sides[a] == self.sides[b] {
            self.connect(a, b);
        }
    }

    pub(super) fn connect(&mut self, a: usize, b: usize) {
        if self.has_forgotten(a, b) {
            return;
        }
        say!(self, "{} calls {}", a + 1, b + 1);
        self.conns.push(Conn::new([a, b]));
        let is_over = |conn: &Conn| conn.ends.iter().all(|end| !end.open);
        self.oldest += self.conns[self.oldest..].iter().take_while(|conn| is_over(conn)).count();
        self.greet((self.conns.len() - 1, 0));
    }

    fn greet(&mut self, (conn, side): EndId) {
        let (floor, seen) = self.has(self.conns[conn].ends[side].tracker);
        self.conns[conn].send(side, Message::Hello(floor, seen));
    }

    /// What a tracker claims to have.
    fn has(&self, t: usize) -> (FloorMark, Vec<Seen>) {
        let run = self.trackers[t].run.as_ref().expect("it runs");
        (run.floor, run.durable.version().map(|(origin, seq)| Seen { origin, seq }).collect())
    }

    /// A tracker has another floor, and announces that at once.
    pub(super) fn say_have(&mut self, t: usize) {
        let (floor, seen) = self.has(t);
        for (conn, side) in self.ends() {
            let end = &mut self.conns[conn].ends[side];
            // The calling side has sent its greeting. The other side sends its own after receiving that one.
            if end.tracker == t && (side == 0 || end.far.is_some()) {
                // The far side may have skipped ops that were sent meanwhile. It answers with what it has.
                end.cursor = 0;
                self.conns[conn].send(side, Message::Have(floor, seen.clone()));
            }
        }
    }

    /// Takes a message from a connection, or puts one on it.
    pub(super) fn carry(&mut self) {
        let ends = self.ends();
        let Some(end) = self.dice.pick(&ends) else { return };
        if self.dice.percent(50) {
            self.take(end);
        } else {
            let count = 1 + self.dice.below(6);
            self.give(end, count);
        }
    }

    /// An end sends some of the ops that the far side lacks. Returns whether there were any. Ops flow only between
    /// equal floors.
    pub(super) fn give(&mut self, (conn, side): EndId, count: usize) -> bool {
        let count = if self.hasty { count * 100 } else { count };
        let end = &mut self.conns[conn].ends[side];
        let (records, cursor) = (&self.trackers[end.tracker].disk.records, &mut end.cursor);
        let run = self.trackers[end.tracker].run.as_ref().expect("ends end with their tracker");
        let Some(far) = end.far.as_mut().filter(|far| far.floor == run.floor) else { return false };
        let mut ops = Vec::new();
        while let Some(op) = records.get(*cursor).filter(|_| ops.len() < count) {
            *cursor += 1;
            let is_durable = op.id.seq <= run.durable.seen(op.id.origin) && op.lamport > run.floor.lamport;
            if is_durable && far.has.give(op) {
                ops.push(op.clone());
            }
        }
        if ops.is_empty() {
            return false;
        }
        say!(self, "{} gives {} ops to {}", self.of(conn)[side] + 1, ops.len(), self.of(conn)[1 - side] + 1);
        self.conns[conn].send(side, Message::Ops(ops));
        true
    }

    /// An end takes its next message, if one has come. Returns whether there was one.
    pub(super) fn take(&mut self, (conn, side): EndId) -> bool {
        let [here, there] = [side, 1 - side].map(|side| self.of(conn)[side]);
        let waits = self.conns[conn].ends[side].waits || self.trackers[here].is_establishing();
        if self.sides[here] != self.sides[there] || waits {
            return false;
        }
        if self.ask_for_all((conn, side)) {
            return true;
        }
        match self.conns[conn].ends[side].inbox.pop_front() {
            None if self.conns[conn].broken => {
                self.close((conn, side));
                return true;
            }
            // It must still ask.
            None => return self.conns[conn].ends[side].refused,
            Some(message) => self.carry_out((conn, side), message),
        }
        true
    }

    /// An end takes a message.
    fn carry_out(&mut self, (conn, side): EndId, message: Message) {
        let [here, there] = [side, 1 - side].map(|side| self.of(conn)[side]);
        let end = &mut self.conns[conn].ends[side];
        match message {
            Message::Hello(floor, seen) => self.enter((conn, side), floor, &seen),
            Message::Have(floor, seen) => {
                say!(self, "{} hears that {} has floor {}", here + 1, there + 1, floor.lamport);
                end.hear(floor, &seen);
            }
            Message::GiveAgain(seen) => {
                let floor = end.far_floor().expect("the greeting comes first");
                end.hear(floor, &seen);
            }
            Message::WantBase(floor) => self.give_base((conn, side), floor),
            Message::Base(base, part) => self.take_part((conn, side), &base, part),
            Message::NoBase => end.taking = None,
            Message::Ops(_) if end.refused => {}
            Message::Ops(ops) => {
                let far = end.far.as_mut().expect("the greeting comes first");
                far.has.note(&ops);
                if self.trackers[here].run.as_ref().is_some_and(|run| run.floor != far.floor) {
                    say!(self, "{} passes over {} ops from {}", here + 1, ops.len(), there + 1);
                    self.census.passed_over += 1;
                    return;
                }
                say!(self, "{} takes {} ops from {}", here + 1, ops.len(), there + 1);
                match self.trackers[here].receive(ops, (conn, side)) {
                    Ok(waits) => self.conns[conn].ends[side].waits = waits,
                    Err(_) => self.conns[conn].ends[side].refused = true,
                }
            }
        }
    }

    /// An end that could not keep ops asks for them again, if it can keep them now. Returns whether it does.
    fn ask_for_all(&mut self, (conn, side): EndId) -> bool {
        let end = &self.conns[conn].ends[side];
        let stuck = self.trackers[end.tracker].run.as_ref().is_some_and(|run| run.stuck);
        if !end.refused || stuck || !self.dice.percent(30) {
            return false;
        }
        let (_, seen) = self.has(end.tracker);
        self.conns[conn].ends[side].refused = false;
        self.conns[conn].send(side, Message::GiveAgain(seen));
        self.census.asked_again += 1;
        true
    }

    /// The far side has told what it has. An older connection with that tracker ends.
    fn enter(&mut self, (conn, side): EndId, floor: FloorMark, seen: &[Seen]) {
        let [here, there] = [side, 1 - side].map(|side| self.of(conn)[side]);
        if self.has_forgotten(here, there) {
            say!(self, "{}: turns {} away", here + 1, there + 1);
            self.census.turned_away += 1;
            return self.close((conn, side));
        }
        for old in self.ends() {
            let of = &self.conns[old.0];
            let with = (of.ends[old.1].tracker, of.ends[1 - old.1].tracker);
            // A greeting that is still on its way ends nothing.
            if old.0 != conn && with == (here, there) && of.ends[old.1].far.is_some() {
                self.close(old);
            }
        }
        self.conns[conn].ends[side].hear(floor, seen);
        if side == 1 {
            self.greet((conn, side));
        }
    }
}
