//! Soft state on a connection: where the client listens, which pieces it holds, who else holds some.

use super::Session;
use super::place::Place;
use super::share::visible_share;
use crate::model::id::ShareRef;
use crate::sys::unix_time_s;
use crate::tracker::core::peer;
use crate::tracker::presence::{Held, HoldError, SwarmInfo};
use crate::wire::client_tracker::{Holding, Reply};
use crate::wire::codec::List;
use crate::wire::contact::Contact;
use crate::wire::refusal::{Code, Refusal};
use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

impl Session {
    /// Certifies the client, and takes its contact for others. In the contact the client itself says where it listens.
    /// Which addresses others are told is decided when they ask.
    pub(super) fn announce(&mut self, place: Place) -> Result<Reply, Refusal> {
        let user = self.user()?;
        let nobody = |ip: IpAddr, port: u16| port == 0 || ip.is_multicast();
        let announced = place.announced.map(|addr| {
            // A client that listens on all addresses is reachable where the tracker sees it.
            let ip = addr.ip().to_canonical();
            SocketAddr::new(if ip.is_unspecified() { self.seen.ip() } else { ip }, addr.port())
        });
        if place.port == 0 || announced.is_some_and(|addr| nobody(addr.ip(), addr.port())) {
            return Err(Refusal::about(Code::Malformed, "nobody can be reached at this address"));
        }
        if !self.core.announcing.lock().allows(user, self.seen.ip(), Instant::now()) {
            return Err(Code::SlowDown.into());
        }
        let token = self.new_token()?;
        let (login, state) = (self.login.as_ref().ok_or(Code::NotLoggedIn)?, self.core.state());
        let account = state.account(user).ok_or(Code::SessionEnded)?;
        let (now_s, client) = (unix_time_s(), login.ticket.key.client);
        let cluster_key = &self.core.cluster_key;
        let certificate = cluster_key.certify(client, account.name, place.key, now_s);
        let reply = Reply::Announced {
            certificate: certificate.clone(),
            signer: cluster_key.signer(),
            now_s,
            tracker: self.core.cluster.me().origin.tracker,
            relay: self.core.relay.is_some(),
            seen: self.seen,
            token,
        };
        let contact = Contact {
            certificate,
            seen: self.seen,
            port: place.port,
            interfaces: place.interfaces,
            announced,
            proved: List::EMPTY,
            machine: place.machine,
            round_trip_ms: place.round_trip_ms,
        };
        let holder_ups = self.core.presence.announce(&login.ticket, contact);
        holder_ups.iter().for_each(|holder_up| self.core.tell_holder_up(&state, holder_up));
        Ok(reply)
    }

    pub(super) fn hold(&mut self, share: ShareRef, holding: &Holding) -> Result<Reply, Refusal> {
        let user = self.user()?;
        let ticket = self.login.as_ref().ok_or(Code::NotLoggedIn)?.ticket;
        let state = self.core.state();
        let info = visible_share(&state, user, share)?;
        if matches!(holding, Holding::Count { .. }) {
            return Err(Refusal::about(Code::Malformed, "not which pieces"));
        }
        let swarm = SwarmInfo { share: info.share, group: info.group, layout: info.content.layout };
        let holder_up = self.core.presence.hold(&ticket, swarm, holding).map_err(|error| match error {
            HoldError::Void => Refusal::from(Code::SessionEnded),
            HoldError::NoSuchPiece => Refusal::about(Code::Malformed, "a piece does not exist"),
        })?;
        // The membership may have ended since the check. Then its holdings were dropped before these came.
        if !self.core.state().is_member(info.group, user) {
            self.core.presence.drop_member(user, info.group);
            return Err(Code::Forgotten.into());
        }
        if let Some(holder_up) = holder_up {
            self.core.tell_holder_up(&state, &holder_up);
        }
        Ok(Reply::Done {})
    }

    /// The clients that can give pieces of a share, for a caller that may see the share.
    pub(in crate::tracker) fn holdings(&self, share: ShareRef) -> Vec<Held> {
        let state = self.core.state();
        let Some(info) = state.share(share) else { return Vec::new() };
        let swarm = SwarmInfo { share: info.share, group: info.group, layout: info.content.layout };
        self.core.presence.holdings(swarm, |user| state.is_sharer(info.share, user))
    }

    pub(super) fn find_peers(&mut self, share: ShareRef) -> Result<Reply, Refusal> {
        let user = self.user()?;
        let key = self.login.as_ref().ok_or(Code::NotLoggedIn)?.ticket.key;
        let state = self.core.state();
        let info = visible_share(&state, user, share)?;
        let mine = self.core.presence.contact(key);
        let swarm = SwarmInfo { share: info.share, group: info.group, layout: info.content.layout };
        let is_sharer = |user| state.is_sharer(info.share, user);
        let holders = self.core.presence.peers(swarm, key, is_sharer).into_iter();
        let peers = holders.filter_map(|holder| {
            let user = state.account(holder.key.user)?.name;
            Some(peer(&holder, user, mine.as_deref()))
        });
        let newer = state.newer(info.share);
        Ok(Reply::Peers { peers: List::first_of(peers.collect()), newer })
    }
}
