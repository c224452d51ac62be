//! A member as a taker: which member it dials, what it requests, and what it does with incoming bytes.
//!
//! The picker, the peer list, the pace of dials and the bound on requests are the product's. The order at each tick
//! follows `client/download/engine/dispatcher`.

use super::World;
use super::events::{ConnId, Event};
use super::member::Conn;
use super::tracker::MESSAGE_LEN;
use groupshare::client::difference::piece_ask::PieceAsk;
use groupshare::client::download::obstacle::MemberObstacle;
use groupshare::client::download::peer_connection::asking::{Asking, Refused};
use groupshare::client::download::peer_connection::liveness::Due;
use groupshare::client::picker::piece_picker::Received;
use groupshare::client::reach::way::Way;
use groupshare::model::piece::PieceIndex;
use std::collections::VecDeque;
use std::time::Duration;

/// The constants of `client/download`.
pub(super) const TICK: Duration = Duration::from_millis(200);
const CONNECTIONS_MAX: usize = 64;
/// The constants of `client/app/event_loop` and `client/upload/catalog`.
pub(super) const HOLD_PAUSE: Duration = Duration::from_secs(1);
const PEERS_PAUSE: Duration = Duration::from_secs(10);
const NEWS_PAUSE: Duration = Duration::from_millis(20);
/// How many peers a member of the simulation remembers, the first ones. The product remembers 1,024, and forgets some
/// for others.
pub(super) const KNOWN_MAX: usize = 512;
/// About how many bytes it takes to open a connection, in both directions.
const OPENING_LEN: u64 = 1500;

impl World {
    pub(super) fn begins(&mut self, member: u32) {
        let now = self.clock.now();
        let told = self.tracker.hold(member, &self.members[member as usize].have, None, now);
        self.holder_up(member, &told);
        let delay = self.members[member as usize].access.delay;
        self.clock.after(4 * delay, Event::Peers(member));
        self.clock.after(TICK, Event::Tick(member));
        self.clock.after(HOLD_PAUSE, Event::Heartbeat(member));
    }

    /// These members hear from the tracker that a member holds pieces.
    pub(super) fn holder_up(&mut self, holder: u32, told: &[u32]) {
        let now = self.clock.now();
        for &to in told {
            let [from, to] = if holder == to { continue } else { self.pair(holder, to) };
            let held = from.have.held();
            let Some(taking) = &mut to.taking else { continue };
            if taking.knows(holder) {
                taking.peers.learn(vec![from.names.peer(held)]);
                taking.peers.arrived(&from.names.id, now);
            }
        }
    }

    /// The tracker names peers.
    pub(super) fn peers(&mut self, member: u32) {
        let Some(taking) = &self.members[member as usize].taking else { return };
        let matters = taking.lanes < CONNECTIONS_MAX;
        let named = self.tracker.peers(member, matters);
        let Some(taking) = &mut self.members[member as usize].taking else { return };
        let known: Vec<_> = named.into_iter().filter(|(number, _)| taking.knows(*number)).collect();
        let peer = |(number, held): (u32, u32)| self.members[number as usize].names.peer(held);
        let peers = known.into_iter().map(peer).collect();
        let Some(taking) = &mut self.members[member as usize].taking else { return };
        taking.peers.learn(peers);
        self.dial(member);
    }

    pub(super) fn heartbeat(&mut self, member: u32) {
        let elapsed = self.clock.elapsed();
        let Some(taking) = &mut self.members[member as usize].taking else { return };
        if elapsed - taking.asked_tracker >= PEERS_PAUSE {
            taking.asked_tracker = elapsed;
            let delay = self.members[member as usize].access.delay;
            self.clock.after(4 * delay, Event::Peers(member));
        }
        self.tell_tracker(member);
        self.clock.after(HOLD_PAUSE, Event::Heartbeat(member));
    }

    /// Tells the tracker what has come in since the last time.
    fn tell_tracker(&mut self, member: u32) {
        let Some(taking) = &mut self.members[member as usize].taking else { return };
        let fresh = std::mem::take(&mut taking.fresh);
        if !fresh.is_empty() {
            let told = self.tracker.hold(member, &self.members[member as usize].have, Some(&fresh), self.clock.now());
            self.holder_up(member, &told);
        }
    }

    fn dial(&mut self, member: u32) {
        let now = self.clock.now();
        let own = self.members[member as usize].access.delay;
        let Some(taking) = &mut self.members[member as usize].taking else { return };
        if taking.lanes >= CONNECTIONS_MAX {
            return;
        }
        let due = taking.peers.due(now, &mut taking.paces);
        taking.lanes += due.len();
        for peer in due {
            let number = super::member::number_of(peer.client);
            let delay = own + self.members[number as usize].access.delay;
            // Connect, handshake and opening each take a round trip.
            self.clock.after(6 * delay, Event::Dialed(member, number));
        }
    }

    pub(super) fn dialed(&mut self, taker: u32, giver: u32) {
        let (now, elapsed) = (self.clock.now(), self.clock.elapsed());
        if self.members[taker as usize].taking.is_none() {
            return;
        }
        self.tally.control += OPENING_LEN;
        let place = self.members[giver as usize].places.admit(taker, &self.conns, elapsed);
        let id = self.members[giver as usize].names.id.clone();
        let Some(taking) = &mut self.members[taker as usize].taking else { return };
        match place {
            Err(line) => {
                self.tally.busy += 1;
                taking.lanes -= 1;
                return taking.peers.put_off(&id, now, MemberObstacle::Busy(line));
            }
            Ok(least) => least.into_iter().for_each(|least| self.give_up(least)),
        }
        let user = self.members[taker as usize].names.id.user.clone();
        let [from, to] = self.pair(giver, taker);
        let Some(taking) = &mut to.taking else { return };
        let lane = taking.open.opened(&id, Way::Direct, &from.have);
        let useful = taking.open.picker.wants_from(lane.peer());
        taking.peers.connected(&id, Way::Direct, now, useful);
        let flow = from.limit.as_mut().map(|limit| limit.queue.join(&user));
        let opened = Conn {
            taker,
            giver,
            lane,
            asking: Asking::new(self.layout, now),
            owed: VecDeque::new(),
            expected: 0,
            user: id.user.clone(),
            since: elapsed,
            asked_at: elapsed,
            given_lately: 0,
            requests: VecDeque::new(),
            sending: None,
            is_ready: false,
            in_flight: 0,
            tail: Duration::ZERO,
            flow,
            given_up: false,
            news: Vec::new(),
        };
        self.tally.control += u64::from(self.layout.count() / 8);
        let conn = self.conns.insert(opened);
        let [from, to] = self.pair(giver, taker);
        from.places.join(conn, taker, elapsed);
        if let (Some(limit), Some(flow)) = (&mut from.limit, flow) {
            limit.flows.insert(flow, conn);
        }
        to.taking.iter_mut().for_each(|taking| taking.conns.push(conn));
        self.ask(conn);
    }

    /// Asks for as many pieces as the connection's bound allows.
    pub(super) fn ask(&mut self, id: ConnId) {
        let now = self.clock.now();
        let Some(conn) = self.conns.get_mut(id) else { return };
        let far = self.members[conn.giver as usize].access.delay;
        let delay = far + self.members[conn.taker as usize].access.delay;
        let Some(taking) = &mut self.members[conn.taker as usize].taking else { return };
        let (open, bound, lane) = (&mut taking.open, &mut taking.bound, conn.lane);
        while bound.has_room(&conn.user)
            && let Some((request, wanted)) =
                conn.asking.next(now, |outlook| open.pick(lane, outlook, now).map(PieceAsk::from))
        {
            conn.recount(bound, now);
            conn.owed.push_back(request);
            self.tally.control += MESSAGE_LEN;
            self.clock.after(delay, Event::Asked(id, wanted.piece.get()));
        }
    }

    /// Bytes come in on a connection. The bound may then allow more requests.
    fn hear(&mut self, id: ConnId, bytes: u64) {
        let now = self.clock.now();
        let conn = &mut self.conns[id];
        if let Some(taking) = &mut self.members[conn.taker as usize].taking {
            taking.came += bytes;
        }
        if conn.asking.hear(bytes, now) {
            self.ask(id);
        }
    }

    pub(super) fn put_off(&mut self, id: ConnId, until_ms: u32) {
        if self.conns.get(id).is_none() {
            return;
        }
        self.hear(id, MESSAGE_LEN);
        let (now, elapsed) = (self.clock.now(), self.clock.elapsed());
        let conn = &mut self.conns[id];
        let refused = conn.owed.pop_front().and_then(|request| conn.asking.refuse(request, now));
        let Some(Refused { piece, is_gone }) = refused else { return };
        if is_gone {
            return self.lose(id, true);
        }
        if let Some(taking) = &mut self.members[conn.taker as usize].taking {
            conn.recount(&mut taking.bound, now);
            taking.open.picker.put_off(conn.lane, piece);
            taking.promised.insert(piece, elapsed + Duration::from_millis(until_ms.into()));
        }
        self.ask(id);
    }

    pub(super) fn delivered(&mut self, id: ConnId, len: u32, last: bool) {
        self.tally.received += u64::from(len);
        let Some(conn) = self.conns.get_mut(id) else { return };
        conn.in_flight -= len;
        self.make_ready(id);
        self.hear(id, len.into());
        if !last {
            return;
        }
        let now = self.clock.now();
        let conn = &mut self.conns[id];
        let taken = conn.owed.pop_front().and_then(|request| conn.asking.take(request, now));
        let Some(asked) = taken else { return };
        if let Some(taking) = &mut self.members[conn.taker as usize].taking {
            conn.recount(&mut taking.bound, now);
        }
        self.ask(id);
        self.conns[id].asking.prove();
        self.take(id, asked.piece);
    }

    /// A complete piece has arrived.
    fn take(&mut self, id: ConnId, piece: PieceIndex) {
        let now = self.clock.now();
        let conn = &self.conns[id];
        let (taker, lane) = (conn.taker, conn.lane);
        let len = u64::from(self.layout.len(piece));
        let [from, to] = self.pair(conn.giver, taker);
        let Some(taking) = &mut to.taking else { return };
        let first = taking.peers.delivered(&from.names.id, now);
        if taking.open.picker.received(lane, piece) == Received::Duplicate {
            self.tally.duplicates += 1;
            return;
        }
        taking.open.count_run(now);
        taking.open.credit(&from.names.id, len);
        taking.fresh.push(piece);
        taking.promised.remove(&piece);
        let complete = taking.open.picker.is_complete();
        to.have.insert(piece);
        to.unannounced.push(piece);
        if to.unannounced.len() == 1 {
            // A part of the delay is the same for all that hear of the piece.
            let delay = NEWS_PAUSE + 2 * to.access.delay;
            self.clock.after(delay, Event::Announces(taker));
        }
        if complete {
            self.finish(taker);
        } else if first {
            self.dial(taker);
            self.tell_tracker(taker);
        }
    }

    fn finish(&mut self, member: u32) {
        let (now, elapsed) = (self.clock.now(), self.clock.elapsed());
        self.members[member as usize].done = Some(elapsed);
        let fresh = self.stop(member);
        self.tracker.hold(member, &self.members[member as usize].have, Some(&fresh), now);
    }

    /// The download ends. Returns the pieces that the tracker has not heard of.
    fn stop(&mut self, member: u32) -> Vec<PieceIndex> {
        self.running -= 1;
        let Some(taking) = self.members[member as usize].taking.take() else { return Vec::new() };
        taking.conns.iter().for_each(|&id| self.part(id));
        taking.fresh
    }

    /// Ends the connection at both ends.
    fn part(&mut self, id: ConnId) {
        if self.conns.get(id).is_none() {
            return;
        }
        let giver = self.conns[id].giver;
        self.members[giver as usize].places.leave(id);
        self.stop_giving(id);
        self.conns.remove(id);
    }

    /// Ends the connection; `failed` if the giver is to blame.
    pub(super) fn lose(&mut self, id: ConnId, failed: bool) {
        let now = self.clock.now();
        let Some(conn) = self.conns.get(id) else { return };
        let (taker, lane, expected) = (conn.taker, conn.lane, conn.expected);
        let [from, to] = self.pair(conn.giver, taker);
        if let Some(taking) = &mut to.taking {
            taking.bound.expect(&from.names.id.user, expected, 0);
            taking.open.closed(&from.names.id, lane);
            taking.peers.lost(&from.names.id, now, failed);
            taking.conns.retain(|other| *other != id);
            taking.lanes -= 1;
        }
        self.part(id);
        self.ask_all(taker);
    }

    fn ask_all(&mut self, member: u32) {
        let Some(taking) = &self.members[member as usize].taking else { return };
        for at in 0..taking.conns.len() {
            let Some(&id) = self.members[member as usize].taking.as_ref().and_then(|it| it.conns.get(at)) else {
                return;
            };
            self.ask(id);
        }
    }

    /// News arrive on a connection.
    pub(super) fn news(&mut self, id: ConnId) {
        let Some(conn) = self.conns.get_mut(id) else { return };
        let pieces = std::mem::take(&mut conn.news);
        if pieces.is_empty() {
            return;
        }
        let len = MESSAGE_LEN + 4 * pieces.len() as u64;
        self.tally.control += len;
        self.hear(id, len);
        let conn = &mut self.conns[id];
        conn.asking.disregard();
        let Some(taking) = &mut self.members[conn.taker as usize].taking else { return };
        pieces.iter().for_each(|&piece| taking.open.picker.peer_has(conn.lane.peer(), piece));
        self.ask(id);
    }

    /// The connections that are lost because their time is up.
    fn check_time(&mut self, member: u32) -> Vec<ConnId> {
        let now = self.clock.now();
        let Some(taking) = &mut self.members[member as usize].taking else { return Vec::new() };
        let (mut lost, line_time) = (Vec::new(), taking.bound.line_time());
        for &id in &taking.conns {
            let Some(conn) = self.conns.get_mut(id) else { continue };
            if let Some(outlook) = conn.asking.outlook(now) {
                taking.open.expect(conn.lane, outlook);
            }
            match conn.asking.look(false, line_time, now) {
                Some(Due::GiveBack) => {
                    self.tally.snubbed += 1;
                    taking.open.picker.snub(conn.lane);
                }
                Some(Due::End) => lost.push(id),
                // Keep-alives are too few to count.
                Some(Due::KeepAlive) | None => {}
            }
            conn.recount(&mut taking.bound, now);
        }
        lost
    }

    /// Gives up a useless connection while another user waits.
    fn make_room(&mut self, member: u32) {
        let now = self.clock.now();
        let (conns, members) = (&self.conns, &self.members);
        let Some(taking) = &members[member as usize].taking else { return };
        if taking.lanes < CONNECTIONS_MAX {
            return;
        }
        let open = taking.conns.iter().filter_map(|id| conns.get(*id));
        let giving = open.filter(|conn| conn.asking.is_giving(now));
        let giving: Vec<_> = giving.map(|conn| members[conn.giver as usize].names.id.clone()).collect();
        let Some(taking) = &mut self.members[member as usize].taking else { return };
        giving.iter().for_each(|id| taking.peers.gives(id, now));
        let Some(surplus) = taking.peers.surplus(now).map(|peer| super::member::number_of(peer.client)) else { return };
        let to_it = |id: &ConnId| self.conns.get(*id).is_some_and(|conn| conn.giver == surplus);
        let to_it: Vec<_> = taking.conns.iter().copied().filter(to_it).collect();
        to_it.into_iter().for_each(|id| self.lose(id, false));
    }

    pub(super) fn tick(&mut self, member: u32) {
        let (now, elapsed) = (self.clock.now(), self.clock.elapsed());
        if self.members[member as usize].taking.is_none() {
            return;
        }
        let Some(taking) = &mut self.members[member as usize].taking else { return };
        taking.ticks += 1;
        taking.bound.look(taking.came, now);
        taking.peers.count_connections(taking.came, now);
        let lost = self.check_time(member);
        let conns = &self.conns;
        let Some(taking) = &mut self.members[member as usize].taking else { return };
        let useful = taking
            .conns
            .iter()
            .filter_map(|id| conns.get(*id))
            .any(|conn| !conn.asking.is_idle() || taking.open.picker.wants_from(conn.lane.peer()));
        if taking.peers.check_patience(now, useful).is_err() {
            self.members[member as usize].failed = true;
            self.stop(member);
            return;
        }
        if taking.ticks.is_multiple_of(self.look_ticks) {
            self.make_room(member);
            self.dial(member);
        }
        lost.into_iter().for_each(|id| self.lose(id, true));
        let Some(taking) = &mut self.members[member as usize].taking else { return };
        if self.rules.promise {
            let due: Vec<_> = taking.promised.iter().filter(|(_, until)| **until <= elapsed).map(|it| *it.0).collect();
            for piece in due {
                taking.promised.remove(&piece);
                taking.open.picker.put_back_if_put_off(piece);
            }
        } else {
            taking.promised.clear();
            taking.open.picker.recall();
        }
        self.ask_all(member);
        self.clock.after(TICK, Event::Tick(member));
    }
}
