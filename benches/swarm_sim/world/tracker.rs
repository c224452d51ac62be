//! The tracker of the simulation: the real presence, and the real pace of its messages to members.

use super::member::{Names, number_of};
use groupshare::model::bitfield::Bitfield;
use groupshare::model::id::{GroupRef, OpId, Origin, ShareRef, UserRef};
use groupshare::model::piece::{Layout, PieceIndex};
use groupshare::tracker::presence::{ClientKey, Presence, SwarmInfo, TellingPace, Ticket};
use groupshare::wire::certificate::Certificate;
use groupshare::wire::client_tracker::{HOLD_MORE_MAX, Holding};
use groupshare::wire::codec::{Blob, List};
use groupshare::wire::contact::Contact;
use std::time::Instant;

/// About how many bytes a message takes besides its content: frame, record, TCP and IP.
pub(crate) const MESSAGE_LEN: u64 = 80;
/// About how many bytes one peer takes in a message: names, key and an address.
const PEER_LEN: u64 = 90;

/// The messages between the tracker and the members.
#[derive(Debug, Default, Clone, Copy, PartialEq)]
pub(crate) struct Said {
    pub(crate) messages: u64,
    pub(crate) bytes: u64,
}

impl Said {
    pub(crate) fn say(&mut self, messages: u64, bytes: u64) {
        self.messages += messages;
        self.bytes += messages * MESSAGE_LEN + bytes;
    }
}

pub(crate) struct Tracker {
    presence: Presence,
    telling: TellingPace,
    swarm: SwarmInfo,
    tickets: Vec<Ticket>,
    pub(crate) said: Said,
}

fn op(seq: u64) -> OpId {
    OpId { origin: Origin { tracker: 1, incarnation: 1 }, seq }
}

impl Tracker {
    /// A tracker with all these members logged in. The first one holds everything.
    pub(crate) fn new(layout: Layout, names: &[Names], now: Instant) -> Self {
        let presence = Presence::new();
        let (share, group) = (ShareRef(op(1)), GroupRef(op(2)));
        let swarm = SwarmInfo { share, group, layout };
        let enter = |(number, names): (usize, &Names)| {
            let key = ClientKey { user: UserRef(op(10 + number as u64)), client: names.id.client };
            let ticket = presence.enter(key, now);
            presence.announce(&ticket, contact(names));
            ticket
        };
        let tickets: Vec<_> = names.iter().enumerate().map(enter).collect();
        let held = presence.hold(&tickets[0], swarm, &Holding::All {});
        held.expect("a piece that is there");
        Self { presence, telling: TellingPace::default(), swarm, tickets, said: Said::default() }
    }

    /// A member tells its holdings. Returns the members that must hear of them.
    pub(crate) fn hold(
        &mut self,
        member: u32,
        have: &Bitfield,
        fresh: Option<&[PieceIndex]>,
        now: Instant,
    ) -> Vec<u32> {
        let holding = match fresh {
            Some(fresh) if fresh.len() <= HOLD_MORE_MAX => {
                Holding::More { pieces: List::first_of(fresh.iter().map(|piece| piece.get()).collect()) }
            }
            _ => Holding::Exactly { bits: Blob::new(have.as_bytes().to_vec()).expect("within the cap") },
        };
        let len = fresh.map_or(have.as_bytes().len(), |fresh| 4 * fresh.len());
        self.said.say(2, len as u64);
        let up = self.presence.hold(&self.tickets[member as usize], self.swarm, &holding).expect("they are there");
        up.map_or_else(Vec::new, |up| self.tell(up.holder.key, &up.tell, now))
    }

    fn tell(&mut self, holder: ClientKey, tell: &[ClientKey], now: Instant) -> Vec<u32> {
        if !self.telling.allows(self.swarm.share, holder, now) {
            return Vec::new();
        }
        self.said.say(tell.len() as u64, tell.len() as u64 * PEER_LEN);
        tell.iter().map(|key| number_of(key.client)).collect()
    }

    /// The messages that were put off: the member in question, and the members to tell.
    pub(crate) fn put_off(&mut self, now: Instant) -> Vec<(u32, Vec<u32>)> {
        let due = self.telling.due(now);
        let ups: Vec<_> = due.into_iter().filter_map(|(share, key)| self.presence.holder_up(share, key)).collect();
        ups.into_iter().map(|up| (number_of(up.holder.key.client), self.tell(up.holder.key, &up.tell, now))).collect()
    }

    /// The peers that a member hears of, and how many pieces each holds. `matters` if the member can have more
    /// connections.
    pub(crate) fn peers(&mut self, member: u32, matters: bool) -> Vec<(u32, u32)> {
        let named = if matters {
            let holders = self.presence.peers(self.swarm, self.tickets[member as usize].key, |_| false);
            holders.into_iter().map(|holder| (number_of(holder.key.client), holder.held)).collect()
        } else {
            Vec::new()
        };
        let holders = self.presence.holder_counts(&[self.swarm.share], |_, _| false)[0].min(512);
        self.said.say(2, u64::from(holders) * PEER_LEN);
        named
    }
}

fn contact(names: &Names) -> Contact {
    let certificate = Certificate {
        client: names.id.client,
        user: names.id.user.clone(),
        key: names.key,
        end: u64::MAX,
        signature: [0; 64],
    };
    Contact {
        certificate,
        seen: names.addr,
        port: names.addr.port(),
        interfaces: List::EMPTY,
        announced: None,
        proved: List::EMPTY,
        machine: names.id.client.0,
        round_trip_ms: 0,
    }
}
