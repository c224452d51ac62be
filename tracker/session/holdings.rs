//! Soft state on a connection: where the client listens, which pieces it holds, who else holds some.

use super::Session;
use super::share::visible_share;
use crate::model::id::ShareRef;
use crate::tracker::presence::{Held, HoldError, SwarmInfo};
use crate::wire::client_tracker::{Holding, Peer, Reply};
use crate::wire::codec::List;
use crate::wire::refusal::{Code, Refusal};
use std::net::{IpAddr, SocketAddr};

impl Session {
    pub(super) fn announce(&mut self, ip: Option<IpAddr>, port: u16) -> Result<Reply, Refusal> {
        self.user()?;
        let ip = ip.map_or(self.ip, |ip| ip.to_canonical());
        // A client that listens on all addresses is found at the one that the tracker sees.
        let ip = if ip.is_unspecified() { self.ip } else { ip };
        if port == 0 || ip.is_multicast() {
            return Err(Refusal::about(Code::Malformed, "nobody can be reached at this address"));
        }
        let addr = SocketAddr::new(ip, port);
        if let Some(login) = &self.login {
            let state = self.core.state();
            self.core
                .presence
                .announce(&login.ticket, addr)
                .iter()
                .for_each(|holder_up| self.core.tell_holder_up(&state, holder_up));
        }
        Ok(Reply::Announced { addr })
    }

    pub(super) fn hold(&mut self, share: ShareRef, holding: &Holding) -> Result<Reply, Refusal> {
        let user = self.user()?;
        let ticket = self.login.as_ref().ok_or(Code::NotLoggedIn)?.ticket;
        let state = self.core.state();
        let info = visible_share(&state, user, share)?;
        let swarm = SwarmInfo { share: info.share, group: info.group, layout: info.content.layout };
        let holder_up = self.core.presence.hold(&ticket, swarm, holding).map_err(|error| match error {
            HoldError::Void => Refusal::from(Code::SessionEnded),
            HoldError::NoSuchPiece => Refusal::about(Code::Malformed, "a piece does not exist"),
        })?;
        // The membership may have ended since the check, and its holdings may have been dropped before these came.
        if !self.core.state().is_member(info.group, user) {
            self.core.presence.drop_member(user, info.group);
            return Err(Code::NotMember.into());
        }
        if let Some(holder_up) = holder_up {
            self.core.tell_holder_up(&state, &holder_up);
        }
        Ok(Reply::Done {})
    }

    /// Where pieces of a share can be had, for whoever may see it.
    pub(in crate::tracker) fn holdings(&self, share: ShareRef) -> Vec<Held> {
        self.core.presence.holdings(share)
    }

    pub(super) fn find_peers(&mut self, share: ShareRef) -> Result<Reply, Refusal> {
        let user = self.user()?;
        let key = self.login.as_ref().ok_or(Code::NotLoggedIn)?.ticket.key;
        let state = self.core.state();
        let info = visible_share(&state, user, share)?;
        let holders = self.core.presence.peers(info.share, key).into_iter();
        let peers = holders.filter_map(|holder| {
            let user = state.account(holder.key.user)?.name;
            Some(Peer { client: holder.key.client, user, addr: holder.addr, held: holder.held })
        });
        Ok(Reply::Peers { peers: List::first_of(peers.collect()) })
    }
}
