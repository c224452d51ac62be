//! Members and connections in the simulation.

use super::access::Access;
use super::events::ConnId;
use super::places::Places;
use super::taking::KNOWN_MAX;
use groupshare::client::download::dial_pace::DialPaces;
use groupshare::client::download::peer_connection::asking::Asking;
use groupshare::client::download::peer_list::PeerList;
use groupshare::client::download::transfer::ask_bound::AskBound;
use groupshare::client::download::transfer::open_peers::OpenPeers;
use groupshare::client::picker::piece_picker::Lane;
use groupshare::client::picker::split_mix::SplitMix;
use groupshare::client::upload::leases::LeaseGuard;
use groupshare::model::bitfield::Bitfield;
use groupshare::model::id::{ClientId, PeerId, PeerKey};
use groupshare::model::name::UserId;
use groupshare::model::piece::PieceIndex;
use groupshare::rate::fair_queue::{FairQueue, FlowId};
use groupshare::rate::token_bucket::TokenBucket;
use groupshare::wire::client_tracker::Peer;
use groupshare::wire::codec::List;
use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

/// A member's identity.
#[derive(Debug, Clone)]
pub(crate) struct Names {
    pub(crate) id: PeerId,
    pub(crate) key: PeerKey,
    pub(crate) addr: SocketAddr,
}

impl Names {
    /// The names of member `number`. Ids and names are random, and the id ends with the number.
    pub(crate) fn of(number: u32, random: &mut SplitMix) -> Self {
        let mut client: [u8; 16] = std::array::from_fn(|_| random.below(256) as u8);
        client[12..].copy_from_slice(&number.to_be_bytes());
        let name = format!("u{:08x}-{number}", random.below(1 << 32));
        let user = UserId::parse(&name).expect("a good name");
        let ip = Ipv4Addr::from_bits(Ipv4Addr::new(11, 0, 0, 0).to_bits() + number);
        let id = PeerId { user, client: ClientId(client) };
        Self { id, key: PeerKey([client[0]; 32]), addr: SocketAddr::new(ip.into(), 7000) }
    }

    pub(crate) fn peer(&self, held: u32) -> Peer {
        let addrs = List::first_of(vec![self.addr]);
        Peer { client: self.id.client, user: self.id.user.clone(), key: self.key, addrs, held }
    }
}

/// The number of the member with this id.
pub(crate) fn number_of(client: ClientId) -> u32 {
    u32::from_be_bytes([client.0[12], client.0[13], client.0[14], client.0[15]])
}

/// The state of a member as a taker.
pub(crate) struct Taking {
    pub(crate) peers: PeerList,
    pub(crate) paces: DialPaces,
    pub(crate) open: OpenPeers,
    /// Its connections to others.
    pub(crate) conns: Vec<ConnId>,
    /// Connections made or being made.
    pub(crate) lanes: usize,
    /// The peers that the member remembers.
    pub(crate) known: HashSet<u32>,
    /// Pieces that the tracker does not yet know of.
    pub(crate) fresh: Vec<PieceIndex>,
    pub(crate) asked_tracker: Duration,
    /// Pieces that were put off, and until when.
    pub(crate) promised: BTreeMap<PieceIndex, Duration>,
    pub(crate) ticks: u32,
    pub(crate) bound: AskBound,
    /// Bytes of pieces that came in.
    pub(crate) came: u64,
}

impl Taking {
    /// Whether the member remembers this peer, or has room to do so.
    pub(crate) fn knows(&mut self, peer: u32) -> bool {
        self.known.contains(&peer) || self.known.len() < KNOWN_MAX && self.known.insert(peer)
    }
}

/// One member. The first member is the seeder and takes nothing.
pub(crate) struct Member {
    pub(crate) names: Names,
    pub(crate) access: Access,
    pub(crate) have: Bitfield,
    pub(crate) taking: Option<Taking>,
    pub(crate) done: Option<Duration>,
    pub(crate) failed: bool,
    pub(crate) down_free: Duration,
    // As a giver.
    /// Connections of other members to this one.
    pub(crate) places: Places,
    /// Connections with bytes that may leave now, if the uplink has no limit.
    pub(crate) ready: Vec<ConnId>,
    pub(crate) uplink_busy: bool,
    pub(crate) up_free: Duration,
    pub(crate) limit: Option<Limited>,
    pub(crate) unannounced: Vec<PieceIndex>,
    /// How often each piece was given completely.
    pub(crate) given: Vec<u32>,
    pub(crate) never_given: u32,
    /// When every piece had been given.
    pub(crate) all_given: Option<Duration>,
    pub(crate) sent: u64,
}

/// A limited uplink.
pub(crate) struct Limited {
    pub(crate) bucket: TokenBucket,
    pub(crate) queue: FairQueue,
    pub(crate) flows: HashMap<FlowId, ConnId>,
    /// When the uplink acts next.
    pub(crate) due: Option<Duration>,
}

/// A connection between a taker and a giver.
pub(crate) struct Conn {
    pub(crate) taker: u32,
    pub(crate) giver: u32,
    // The taker's end.
    pub(crate) lane: Lane,
    pub(crate) asking: Asking,
    /// The unanswered requests.
    pub(crate) owed: VecDeque<u32>,
    /// How many pieces the taker's bound expects on it.
    pub(crate) expected: usize,
    /// The giver's user.
    pub(crate) user: UserId,
    // The giver's end.
    pub(crate) since: Duration,
    pub(crate) asked_at: Duration,
    pub(crate) given_lately: u64,
    pub(crate) requests: VecDeque<PieceIndex>,
    pub(crate) sending: Option<Sending>,
    pub(crate) is_ready: bool,
    pub(crate) in_flight: u32,
    /// When everything that has left has arrived.
    pub(crate) tail: Duration,
    pub(crate) flow: Option<FlowId>,
    /// Another member has taken the place.
    pub(crate) given_up: bool,
    /// Pieces that the taker has not yet heard of.
    pub(crate) news: Vec<PieceIndex>,
}

impl Conn {
    /// Tells the taker's bound how many pieces it expects.
    pub(crate) fn recount(&mut self, bound: &mut AskBound, now: Instant) {
        let before = std::mem::replace(&mut self.expected, self.asking.expected(now));
        bound.expect(&self.user, before, self.expected);
    }
}

/// A piece on its way.
pub(crate) struct Sending {
    pub(crate) piece: PieceIndex,
    pub(crate) left: u32,
    pub(crate) lease: Option<LeaseGuard>,
}
