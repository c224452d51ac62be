//! A member as a giver: which piece leaves next, and how fast.
//!
//! The leases, the row for pieces, the fair queue and the token bucket are the product's. Without a limit the
//! connections share the uplink as TCP does: a random connection with room in its window goes on.

use super::World;
use super::events::{ConnId, Event};
use super::member::Sending;
use super::tracker::MESSAGE_LEN;
use groupshare::client::upload::leases::LeaseGuard;
use groupshare::client::upload::scarcity::put_offs::PutOffs;
use groupshare::model::piece::{PIECE_LEN, PieceIndex};
use std::time::Duration;

/// The constants of `client/upload`.
const LOOK_PAUSE: Duration = Duration::from_millis(500);
const LEASE_SLACK: u32 = 4;
const LEASE_MIN: Duration = Duration::from_secs(5);
const USUAL_MAX: Duration = Duration::from_secs(15);
const BEHIND_MAX: Duration = Duration::from_millis(100);
/// A member has this long to tell others of a piece.
const TELLING: Duration = Duration::from_secs(1);
/// Most bytes of a connection on their way.
const WINDOW_LEN: u32 = 256 * 1024;

impl World {
    /// Another member has the place of this connection from now on.
    pub(super) fn give_up(&mut self, id: ConnId) {
        let giver = self.conns[id].giver;
        self.members[giver as usize].places.leave(id);
        self.conns[id].given_up = true;
        if self.conns[id].sending.is_none() {
            self.stop_giving(id);
            self.say(id, Event::Ended(id, false));
        }
    }

    /// The giver sends nothing more on this connection.
    pub(super) fn stop_giving(&mut self, id: ConnId) {
        let conn = &mut self.conns[id];
        let giver = conn.giver as usize;
        conn.requests.clear();
        let broken_off = conn.sending.take().map(|sending| sending.piece);
        let flow = conn.flow.take();
        let member = &mut self.members[giver];
        if let (Some(flow), Some(limit)) = (flow, member.limit.as_mut()) {
            limit.queue.leave(flow);
            limit.flows.remove(&flow);
        }
        broken_off.into_iter().for_each(|piece| self.rows[giver].fresh.give(piece));
        self.rows[giver].leave(id, self.clock.now());
        self.call_row(giver);
    }

    /// A request has arrived at the giver.
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

    /// Goes on with the requests of a connection that handles none now.
    fn go_on(&mut self, id: ConnId) {
        let giver = self.conns[id].giver as usize;
        while self.conns.get(id).is_some_and(|conn| conn.sending.is_none()) {
            if self.conns[id].given_up {
                self.stop_giving(id);
                return self.say(id, Event::Ended(id, false));
            }
            let Some((piece, until)) = self.wanted(id) else { break };
            let (now, held) = (self.clock.now(), self.clock.elapsed() >= until);
            let rows = &mut self.rows[giver];
            let Some(row_id) = rows.id(id) else { break };
            let mut at_once = false;
            if rows.row.is_called(row_id) {
                if let Some(lease) = self.lease(id, piece) {
                    self.begin(id, piece, lease);
                    break;
                }
                let rows = &mut self.rows[giver];
                rows.row.block(row_id, now);
                let user = &self.members[self.conns[id].taker as usize].names.id.user;
                at_once = rows.of(id, user).put_offs.at_once();
            }
            if !at_once && !held {
                break;
            }
            self.refuse(id, !at_once);
        }
        self.call_row(giver);
    }

    fn is_limited(&self, giver: usize) -> bool {
        self.members[giver].limit.is_some()
    }

    /// The piece that a connection waits for, and until when.
    fn wanted(&mut self, id: ConnId) -> Option<(PieceIndex, Duration)> {
        let conn = &mut self.conns[id];
        let giver = conn.giver as usize;
        let user = &self.members[conn.taker as usize].names.id.user;
        let waiting = self.rows[giver].of(id, user);
        if waiting.wants.is_none() {
            let elapsed = self.clock.elapsed();
            let until = elapsed + waiting.put_offs.hold();
            waiting.wants = Some((conn.requests.pop_front()?, until));
            waiting.look_at = until.min(elapsed + LOOK_PAUSE);
            self.clock.at(waiting.look_at, Event::Held(id));
            let (row_id, limited) = (waiting.id, self.members[giver].limit.is_some());
            self.rows[giver].row.ask(row_id, limited, self.clock.now());
        }
        self.rows[giver].of(id, user).wants
    }

    /// The piece of a connection may be available by now, or its wait may be over.
    pub(super) fn held(&mut self, id: ConnId) {
        let (now, elapsed) = (self.clock.now(), self.clock.elapsed());
        let Some(giver) = self.conns.get(id).map(|conn| conn.giver as usize) else { return };
        let limited = self.is_limited(giver);
        let Some(waiting) = self.rows[giver].known(id).filter(|it| it.look_at == elapsed) else { return };
        let (row_id, Some((_, until))) = (waiting.id, waiting.wants) else { return };
        if elapsed < until {
            waiting.look_at = until.min(elapsed + LOOK_PAUSE);
            self.clock.at(waiting.look_at, Event::Held(id));
        }
        self.rows[giver].row.ask(row_id, limited, now);
        self.go_on(id);
    }

    /// Begins the pieces of the connections whose turn it is.
    fn call_row(&mut self, giver: usize) {
        self.rows[giver].called().into_iter().for_each(|id| self.go_on(id));
    }

    /// How long a piece takes for all that share the uplink.
    fn takes(&self, id: ConnId) -> Duration {
        let conn = &self.conns[id];
        let giver = &self.members[conn.giver as usize];
        match (&giver.limit, conn.flow) {
            (Some(limit), Some(flow)) => {
                let rate = limit.bucket.limit().bytes_per_second().map_or(f64::INFINITY, |rate| rate.get() as f64);
                Duration::from_secs_f64(f64::from(PIECE_LEN) * limit.queue.sharers(flow) as f64 / rate)
            }
            _ => self.rows[conn.giver as usize].row.usual().min(USUAL_MAX),
        }
    }

    /// Leases a piece if necessary, like `client/upload/session/open_session`.
    fn lease(&mut self, id: ConnId, piece: PieceIndex) -> Option<Option<LeaseGuard>> {
        let (now, conn) = (self.clock.now(), &self.conns[id]);
        let (giver, rows) = (conn.giver as usize, &mut self.rows[conn.giver as usize]);
        if rows.row.is_plenty(now) {
            return Some(None);
        }
        let others_want = rows.id(id).is_some_and(|row_id| rows.row.others_want(row_id));
        let shared = giver == 0;
        if shared && others_want && rows.fresh.is_stale(piece, rows.row.idle(now), now) {
            return None;
        }
        if !shared && !self.is_limited(giver) {
            return Some(None);
        }
        let user = &self.members[conn.taker as usize].names.id.user;
        let term = (LEASE_SLACK * self.takes(id)).max(LEASE_MIN);
        let lease = self.leases[giver].begin(piece.get(), user, term, now);
        if lease.is_none() && others_want { None } else { Some(lease) }
    }

    fn refuse(&mut self, id: ConnId, held: bool) {
        let (now, conn) = (self.clock.now(), &self.conns[id]);
        let user = &self.members[conn.taker as usize].names.id.user;
        let rows = &mut self.rows[conn.giver as usize];
        let waiting = rows.of(id, user);
        waiting.put_offs.count(held);
        waiting.wants = None;
        let row_id = waiting.id;
        rows.row.give_up(row_id, now);
        let until = (self.takes(id) + TELLING).min(Duration::from_secs(30));
        self.tally.put_off += 1;
        self.tally.control += MESSAGE_LEN;
        self.say(id, Event::PutOff(id, until.as_millis() as u32));
    }

    fn begin(&mut self, id: ConnId, piece: PieceIndex, lease: Option<LeaseGuard>) {
        let (now, left) = (self.clock.now(), self.layout.len(piece));
        let conn = &mut self.conns[id];
        conn.sending = Some(Sending { piece, left, lease });
        let (giver, flow) = (conn.giver, conn.flow);
        let user = &self.members[conn.taker as usize].names.id.user;
        let rows = &mut self.rows[giver as usize];
        let waiting = rows.of(id, user);
        waiting.wants = None;
        let row_id = waiting.id;
        rows.row.begin(row_id, now);
        match (self.members[giver as usize].limit.as_mut(), flow) {
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
        // Small chunks keep a slow line from long silences.
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

    /// `len` bytes of the piece leave. Returns when they have left.
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
        if member.limit.is_none() {
            // The socket is always full.
            let (rows, now) = (&mut self.rows[giver], self.clock.now());
            if let Some(row_id) = rows.id(id) {
                rows.row.go_on(row_id, len.into(), now);
                rows.row.stall(row_id, now);
            }
        }
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

    /// Sends something other than a piece, behind everything that has left on the connection.
    fn say(&mut self, id: ConnId, event: Event) {
        let at = (self.clock.elapsed() + self.delay(id)).max(self.conns[id].tail);
        self.clock.at(at, event);
    }

    /// A complete piece has left.
    fn given(&mut self, id: ConnId) {
        let now = self.clock.elapsed();
        let conn = &mut self.conns[id];
        let Some(Sending { piece, lease, .. }) = conn.sending.take() else { return };
        conn.asked_at = now;
        if let Some(lease) = lease {
            lease.sent(self.clock.now());
        }
        let giver = conn.giver as usize;
        let user = &self.members[conn.taker as usize].names.id.user;
        let rows = &mut self.rows[giver];
        rows.fresh.give(piece);
        let waiting = rows.of(id, user);
        waiting.put_offs = PutOffs::default();
        let row_id = waiting.id;
        rows.row.end(row_id, self.layout.len(piece), self.clock.now());
        let member = &mut self.members[giver];
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

    /// Tells the takers of the new pieces. A taker in the middle of a piece hears of them behind it.
    pub(super) fn announce(&mut self, giver: u32) {
        let pieces = std::mem::take(&mut self.members[giver as usize].unannounced);
        for at in 0..self.members[giver as usize].places.conns().len() {
            let Some(&id) = self.members[giver as usize].places.conns().get(at) else { return };
            let conn = &mut self.conns[id];
            conn.news.extend(&pieces);
            if conn.sending.is_none() {
                self.news(id);
            }
        }
    }
}
