//! The places of a member as a giver. It follows `client/upload/admission`, `place` and `waiting_line`, whose types are
//! bound to sockets. Each member has an address of its own here.
//!
//! In a crowd most dials are refused. So a refusal reads no connection: the facts that it needs are kept beside them.

use super::events::ConnId;
use super::slots::Slots;
use std::cmp::Reverse;
use std::time::Duration;

/// The constants of `client/upload`.
const PLACES: usize = 128;
const MEMBER_MAX: usize = 16;
const LAPSE: Duration = Duration::from_secs(3);
const LINE_MAX: usize = 256;
const UNUSED: Duration = Duration::from_secs(10);
const TENURE: Duration = Duration::from_secs(20);

/// The connections with a place, and the members that wait for one.
#[derive(Default)]
pub(crate) struct Places {
    conns: Vec<ConnId>,
    /// The members with these connections, in the same order.
    takers: Vec<u32>,
    /// How many members have places.
    members: usize,
    /// No place is unused before this time.
    used_until: Duration,
    /// No member has had a place for long before this time.
    fresh_until: Duration,
    line: Line,
}

impl Places {
    /// The connections, in the order in which they came.
    pub(crate) fn conns(&self) -> &[ConnId] {
        &self.conns
    }

    pub(crate) fn join(&mut self, id: ConnId, taker: u32, now: Duration) {
        if self.conns.is_empty() {
            (self.used_until, self.fresh_until) = (now + UNUSED, now + TENURE);
        }
        self.members += usize::from(!self.takers.contains(&taker));
        self.conns.push(id);
        self.takers.push(taker);
    }

    pub(crate) fn leave(&mut self, id: ConnId) {
        if let Some(at) = self.conns.iter().position(|other| *other == id) {
            self.conns.remove(at);
            let taker = self.takers.remove(at);
            self.members -= usize::from(!self.takers.contains(&taker));
        }
    }

    fn held_by(&self, taker: u32) -> usize {
        self.takers.iter().filter(|other| **other == taker).count()
    }

    /// Whether a member may have one more place. If all are taken, also the connection that loses its place.
    ///
    /// # Errors
    /// The member gets no place. The error is its position in the line, unless it has places here already.
    pub(crate) fn admit(&mut self, taker: u32, conns: &Slots, now: Duration) -> Result<Option<ConnId>, Option<u32>> {
        self.line.lapse(now);
        let own = self.held_by(taker);
        let free = PLACES.saturating_sub(self.conns.len());
        let before = if own == 0 { self.line.before(taker) } else { self.line.len() };
        let for_others = |places: &mut Self| match own {
            0 => places.unused(conns, now).max(places.conns.len() - places.members),
            _ => 0,
        };
        let wait = |line: &mut Line| (own == 0).then(|| line.wait(taker, now));
        if own >= MEMBER_MAX || before > 0 && before >= free && before >= free + for_others(self) {
            return Err(wait(&mut self.line));
        }
        let least = if free == 0 { self.least(own, conns, now) } else { None };
        if free == 0 && least.is_none() {
            return Err(wait(&mut self.line));
        }
        if own == 0 {
            self.line.leave(taker);
        }
        Ok(least)
    }

    /// How many connections are unused.
    fn unused(&mut self, conns: &Slots, now: Duration) -> usize {
        if now < self.used_until {
            return 0;
        }
        let asked_at = self.conns.iter().map(|id| conns[*id].asked_at).min();
        self.used_until = asked_at.unwrap_or(now) + UNUSED;
        self.conns.iter().filter(|id| is_unused(**id, conns, now)).count()
    }

    /// The connection that loses its place to a member with `own` places.
    fn least(&mut self, own: usize, conns: &Slots, now: Duration) -> Option<ConnId> {
        let is_even = self.members == self.conns.len();
        if is_even && now < self.used_until && (own > 0 || now < self.fresh_until) {
            return None;
        }
        let since = self.conns.iter().map(|id| conns[*id].since).min();
        self.fresh_until = since.unwrap_or(now) + TENURE;
        let rank = |id: ConnId, held: usize| match () {
            () if is_unused(id, conns, now) => Some(3),
            () if held >= own + 2 => Some(2),
            () => (own == 0 && now - conns[id].since >= TENURE).then_some(0),
        };
        let ranked = self.conns.iter().zip(&self.takers).filter_map(|(&id, &taker)| {
            let held = if is_even { 1 } else { self.held_by(taker) };
            Some((rank(id, held)?, held, id))
        });
        let least = ranked.max_by_key(|&(rank, held, id)| {
            let conn = &conns[id];
            (rank, held, Reverse(conn.given_lately), now - conn.since)
        });
        least.map(|(_, _, id)| id)
    }
}

fn is_unused(id: ConnId, conns: &Slots, now: Duration) -> bool {
    let conn = &conns[id];
    conn.sending.is_none() && conn.requests.is_empty() && now - conn.asked_at >= UNUSED
}

/// The waiting members, in the order in which they came.
#[derive(Default)]
struct Line {
    who: Vec<u32>,
    /// When each of them last came, in the same order.
    came: Vec<Duration>,
    /// No member leaves the line before this time.
    lapses_at: Duration,
}

impl Line {
    fn len(&self) -> usize {
        self.who.len()
    }

    /// Removes members that have not come again.
    fn lapse(&mut self, now: Duration) {
        if now < self.lapses_at || self.who.is_empty() {
            return;
        }
        let stays: Vec<_> = self.came.iter().map(|came| now - *came < LAPSE).collect();
        let (mut who, mut came) = (stays.iter(), stays.iter());
        self.who.retain(|_| *who.next().expect("as many"));
        self.came.retain(|_| *came.next().expect("as many"));
        self.lapses_at = self.came.iter().min().map_or(Duration::ZERO, |first| *first + LAPSE);
    }

    /// How many members come before this one.
    fn before(&self, taker: u32) -> usize {
        self.who.iter().position(|waits| *waits == taker).unwrap_or(self.len())
    }

    /// Adds this member to the line if there is room. Returns its position, counted from one.
    fn wait(&mut self, taker: u32, now: Duration) -> u32 {
        let at = self.before(taker);
        if let Some(came) = self.came.get_mut(at) {
            *came = now;
        } else if at < LINE_MAX {
            if self.who.is_empty() {
                self.lapses_at = now + LAPSE;
            }
            self.who.push(taker);
            self.came.push(now);
        }
        at as u32 + 1
    }

    fn leave(&mut self, taker: u32) {
        if let Some(at) = self.who.iter().position(|waits| *waits == taker) {
            self.who.remove(at);
            self.came.remove(at);
        }
    }
}
