//! What a member does as a giver: who has a place, which piece leaves next, and how fast.
//!
//! Leases, fair queue and token bucket are the product's. The admission follows `client/upload/admission` and
//! `client/upload/place`, whose types are bound to sockets, for members of whom each has an address of its own. Without
//! a limit the connections share the uplink as TCP does: whoever has room in its window goes on, by chance.

use super::World;
use super::events::{ConnId, Event};
use super::member::Sending;
use super::tracker::MESSAGE_LEN;
use groupshare::model::piece::{PIECE_LEN, PieceIndex};
use std::collections::BTreeMap;
use std::time::Duration;

/// Those of `client/upload`.
const PLACES: usize = 128;
const MEMBER_MAX: usize = 16;
const LAPSE: Duration = Duration::from_secs(3);
const UNUSED: Duration = Duration::from_secs(10);
const TENURE: Duration = Duration::from_secs(20);
const LEASE_SLACK: u32 = 4;
const LEASE_MIN: Duration = Duration::from_secs(5);
const BEHIND_MAX: Duration = Duration::from_millis(100);
/// A member has this long to tell others of a piece.
const TELLING: Duration = Duration::from_secs(1);
/// Most bytes of a connection that have left and are not there.
const WINDOW_LEN: u32 = 256 * 1024;

impl World {
    /// Gives a member a place at another, and says whose place it was; or its place in the line.
    pub(super) fn admit(&mut self, giver: u32, taker: u32) -> Result<Option<ConnId>, Option<u32>> {
        let now = self.clock.elapsed();
        let mut held: BTreeMap<u32, usize> = BTreeMap::new();
        let member = &mut self.members[giver as usize];
        member.line.retain(|(_, came)| now - *came < LAPSE);
        let conns = &self.conns;
        member.serving.iter().for_each(|id| *held.entry(conns[*id].taker).or_default() += 1);
        let own = held.get(&taker).copied().unwrap_or(0);
        let is_unused = |id: ConnId| {
            let conn = &conns[id];
            conn.sending.is_none() && conn.requests.is_empty() && now - conn.asked_at >= UNUSED
        };
        let before = match (own, member.line.iter().position(|(waits, _)| *waits == taker)) {
            (0, Some(at)) => at,
            _ => member.line.len(),
        };
        let free = PLACES.saturating_sub(member.serving.len());
        let unused = member.serving.iter().filter(|id| is_unused(**id)).count();
        let for_others = if own == 0 { unused.max(held.values().map(|count| count - 1).sum()) } else { 0 };
        let wait = |line: &mut Vec<(u32, Duration)>| {
            let at = line.iter().position(|(waits, _)| *waits == taker).unwrap_or(line.len());
            line.truncate(256.max(at));
            if at == line.len() {
                line.push((taker, now))
            } else {
                line[at].1 = now
            }
            at as u32 + 1
        };
        if own >= MEMBER_MAX || before > 0 && before >= free + for_others {
            return Err((own == 0).then(|| wait(&mut member.line)));
        }
        let mut least = None;
        if free == 0 {
            let rank = |id: ConnId| match () {
                () if is_unused(id) => Some(3),
                () if held[&conns[id].taker] >= own + 2 => Some(2),
                () => (own == 0 && now - conns[id].since >= TENURE).then_some(0),
            };
            let ranked = member.serving.iter().filter_map(|id| Some((rank(*id)?, *id)));
            least = ranked.max_by_key(|(rank, id)| {
                let conn = &conns[*id];
                (*rank, held[&conn.taker], std::cmp::Reverse(conn.given_lately), now - conn.since)
            });
            if least.is_none() {
                return Err((own == 0).then(|| wait(&mut member.line)));
            }
        }
        member.line.retain(|(waits, _)| own > 0 || *waits != taker);
        Ok(least.map(|(_, id)| id))
    }

    /// Somebody else has the place of this connection from now on.
    pub(super) fn give_up(&mut self, id: ConnId) {
        let giver = self.conns[id].giver;
        self.members[giver as usize].serving.retain(|other| *other != id);
        self.conns[id].given_up = true;
        let sends = self.conns[id].sending.is_some();
        if sends && self.rules.whole {
            return;
        }
        self.stop_giving(id);
        self.say(id, Event::Ended(id, sends));
    }

    /// The giver sends nothing more on this connection.
    pub(super) fn stop_giving(&mut self, id: ConnId) {
        let conn = &mut self.conns[id];
        let giver = conn.giver as usize;
        conn.requests.clear();
        let (sending, flow) = (conn.sending.take(), conn.flow.take());
        let member = &mut self.members[giver];
        if sending.is_some() {
            member.sending -= 1;
        }
        drop(sending);
        if let (Some(flow), Some(limit)) = (flow, member.limit.as_mut()) {
            limit.queue.leave(flow);
            limit.flows.remove(&flow);
        }
        self.call_row(giver as u32);
    }

    /// A request is at the giver.
    pub(super) fn asked(&mut self, id: ConnId, piece: u32) {
        let piece = self.layout.index(piece).expect("asked for by its number");
        let now = self.clock.elapsed();
        if self.conns.get(id).is_none_or(|conn| conn.given_up) {
            return;
        }
        let conn = &mut self.conns[id];
        conn.requests.push_back(piece);
        conn.asked_at = now;
        self.go_on(id);
    }

    /// Begins with the next request of a connection, if it is at none.
    fn go_on(&mut self, id: ConnId) {
        loop {
            let conn = &self.conns[id];
            if conn.sending.is_some() || conn.in_row {
                return;
            }
            if conn.given_up {
                self.stop_giving(id);
                self.say(id, Event::Ended(id, false));
                return;
            }
            let Some(&piece) = conn.requests.front() else { return };
            let giver = &mut self.members[conn.giver as usize];
            if self.rules.serial.is_some_and(|most| giver.sending >= most) {
                giver.in_row.push_back(id);
                self.conns[id].in_row = true;
                return;
            }
            self.conns[id].requests.pop_front();
            self.begin(id, piece);
        }
    }

    /// The next ones in the row begin with their pieces.
    fn call_row(&mut self, giver: u32) {
        while self.rules.serial.is_some_and(|most| self.members[giver as usize].sending < most) {
            let Some(id) = self.members[giver as usize].in_row.pop_front() else { return };
            if self.conns.get(id).is_some_and(|conn| conn.in_row) {
                self.conns[id].in_row = false;
                self.go_on(id);
            }
        }
    }

    /// Whether other members wait for what this connection takes, and how many share the uplink.
    fn contention(&self, id: ConnId) -> (bool, usize) {
        let conn = &self.conns[id];
        let giver = &self.members[conn.giver as usize];
        let of_others = |other: &ConnId| self.conns.get(*other).is_some_and(|other| other.taker != conn.taker);
        let in_row = giver.in_row.iter().any(of_others);
        match (&giver.limit, conn.flow) {
            (Some(limit), Some(flow)) => (in_row || limit.queue.others_wait(flow), limit.queue.sharers(flow)),
            _ => (in_row || giver.ready.iter().any(of_others), giver.sending + 1),
        }
    }

    fn begin(&mut self, id: ConnId, piece: PieceIndex) {
        let (now, (contended, sharers)) = (self.clock.now(), self.contention(id));
        let conn = &self.conns[id];
        let giver = &self.members[conn.giver as usize];
        let rate = giver.limit.as_ref().and_then(|limit| limit.bucket.limit().bytes_per_second());
        let rate = rate.map_or(giver.access.up, |rate| rate.get() as f64);
        let takes = Duration::from_secs_f64(f64::from(PIECE_LEN) * sharers as f64 / rate);
        let mut lease = None;
        let shared = conn.giver == 0;
        if giver.limit.is_some() || self.rules.once && shared {
            let user = &self.members[conn.taker as usize].names.id.user;
            let leases = &self.leases[conn.giver as usize];
            lease = leases.begin(piece.get(), user, (LEASE_SLACK * takes).max(LEASE_MIN), now);
            let stale = self.rules.fresh && shared && giver.never_given > 0 && giver.given[piece.as_usize()] > 0;
            if contended && (lease.is_none() || stale) {
                let until = (takes + TELLING).min(Duration::from_secs(30));
                self.tally.put_off += 1;
                self.tally.control += MESSAGE_LEN;
                return self.say(id, Event::PutOff(id, until.as_millis() as u32));
            }
        }
        let left = self.layout.len(piece);
        let conn = &mut self.conns[id];
        conn.sending = Some(Sending { piece, left, lease });
        let (giver, flow) = (conn.giver, conn.flow);
        let member = &mut self.members[giver as usize];
        member.sending += 1;
        match (member.limit.as_mut(), flow) {
            (Some(limit), Some(flow)) => {
                limit.queue.wait(flow, limit.bucket.len_in(BEHIND_MAX));
                self.pump(giver);
            }
            _ => self.make_ready(id),
        }
    }

    /// The connection has bytes to send and room in its window.
    pub(super) fn make_ready(&mut self, id: ConnId) {
        let conn = &mut self.conns[id];
        if conn.flow.is_some() || conn.is_ready || conn.sending.is_none() || conn.in_flight >= WINDOW_LEN {
            return;
        }
        conn.is_ready = true;
        let giver = conn.giver;
        self.members[giver as usize].ready.push(id);
        self.pump(giver);
    }

    /// The uplink is free, or its limit allows more.
    pub(super) fn uplink(&mut self, giver: u32) {
        let member = &mut self.members[giver as usize];
        member.uplink_busy = false;
        if let Some(limit) = &mut member.limit {
            limit.due = None;
        }
        self.pump(giver);
    }

    fn pump(&mut self, giver: u32) {
        if self.members[giver as usize].limit.is_some() { self.pump_limited(giver) } else { self.pump_ready(giver) }
    }

    fn pump_limited(&mut self, giver: u32) {
        let now = self.clock.elapsed();
        loop {
            let Some(limit) = &mut self.members[giver as usize].limit else { return };
            let Some(flow) = limit.queue.next() else { return };
            let id = limit.flows[&flow];
            let Some(left) = self.conns[id].sending.as_ref().map(|sending| sending.left) else {
                limit.queue.give_up(flow);
                continue;
            };
            match limit.bucket.allowance(now, left as usize) {
                Ok(len) => {
                    limit.bucket.pass(now, len);
                    limit.queue.serve(flow, len);
                    if left as usize > len {
                        limit.queue.wait(flow, limit.bucket.len_in(BEHIND_MAX));
                    }
                    self.leave(id, len as u32);
                }
                Err(when) => {
                    if limit.due.is_none() {
                        limit.due = Some(when);
                        self.clock.at(when, Event::Uplink(giver));
                    }
                    return;
                }
            }
        }
    }

    fn pump_ready(&mut self, giver: u32) {
        // A slow line is silent for no longer than it has to be.
        let chunk = ((self.members[giver as usize].access.up / 100.0) as u32).clamp(1448, self.chunk);
        while !self.members[giver as usize].uplink_busy && !self.members[giver as usize].ready.is_empty() {
            let at = self.random.below(self.members[giver as usize].ready.len());
            let id = self.members[giver as usize].ready.swap_remove(at);
            let Some(conn) = self.conns.get_mut(id) else { continue };
            conn.is_ready = false;
            let Some(sending) = &conn.sending else { continue };
            let len = sending.left.min(chunk);
            self.members[giver as usize].uplink_busy = true;
            let left_at = self.leave(id, len);
            self.clock.at(left_at, Event::Uplink(giver));
            if self.conns.get(id).is_some() {
                self.make_ready(id);
            }
        }
    }

    /// So many bytes of the piece leave. Gives when they have left.
    fn leave(&mut self, id: ConnId, len: u32) -> Duration {
        let (now, delay) = (self.clock.elapsed(), self.delay(id));
        let conn = &mut self.conns[id];
        let (giver, taker) = (conn.giver as usize, conn.taker as usize);
        conn.in_flight += len;
        conn.given_lately += u64::from(len);
        let Some(sending) = &mut conn.sending else { return now };
        sending.left -= len;
        let last = sending.left == 0;
        let member = &mut self.members[giver];
        member.sent += u64::from(len);
        member.up_free = member.up_free.max(now) + Duration::from_secs_f64(f64::from(len) / member.access.up);
        let left_at = member.up_free;
        let taker = &mut self.members[taker];
        let took = Duration::from_secs_f64(f64::from(len) / taker.access.down);
        taker.down_free = taker.down_free.max(left_at + delay) + took;
        conn.tail = taker.down_free;
        self.clock.at(taker.down_free, Event::Delivered(id, len, last));
        if last {
            self.given(id);
        }
        left_at
    }

    /// Something that is no piece leaves, behind what has left on the connection before.
    fn say(&mut self, id: ConnId, event: Event) {
        let at = (self.clock.elapsed() + self.delay(id)).max(self.conns[id].tail);
        self.clock.at(at, event);
    }

    /// A whole piece has left.
    fn given(&mut self, id: ConnId) {
        let now = self.clock.elapsed();
        let conn = &mut self.conns[id];
        let Some(Sending { piece, lease, .. }) = conn.sending.take() else { return };
        conn.asked_at = now;
        if let Some(lease) = lease {
            lease.sent(self.clock.now());
        }
        let giver = conn.giver;
        let member = &mut self.members[giver as usize];
        member.sending -= 1;
        let given = &mut member.given[piece.as_usize()];
        *given += 1;
        if *given == 1 {
            member.never_given -= 1;
            member.all_given = (member.never_given == 0).then_some(now);
        }
        // News go behind the piece.
        if !conn.news.is_empty() {
            self.say(id, Event::News(id));
        }
        self.go_on(id);
        self.call_row(giver);
    }

    /// Tells those who take from here of the new pieces. Whoever is in the middle of a piece hears it behind that.
    pub(super) fn announce(&mut self, giver: u32) {
        let pieces = std::mem::take(&mut self.members[giver as usize].unannounced);
        for at in 0..self.members[giver as usize].serving.len() {
            let Some(&id) = self.members[giver as usize].serving.get(at) else { return };
            let conn = &mut self.conns[id];
            conn.news.extend(&pieces);
            if conn.sending.is_none() {
                self.news(id);
            }
        }
    }
}
