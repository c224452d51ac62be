//! The parts of a tracker between its sockets and its state, together for every session.

use crate::model::id::{GroupRef, ShareRef};
use crate::model::name::UserId;
use crate::tracker::auth::cluster_key::ClusterKey;
use crate::tracker::auth::login_throttle::LoginThrottle;
use crate::tracker::auth::passwords::Passwords;
use crate::tracker::cluster::cluster_view::ClusterView;
use crate::tracker::commit::{BaseStore, Committer, OpSource};
use crate::tracker::manifests::Manifests;
use crate::tracker::oversight::Oversight;
use crate::tracker::presence::helpful::helpful;
use crate::tracker::presence::{AnnouncePace, CallLimit, ClientKey, Holder, HolderUp, Presence, TellingPace};
use crate::tracker::prober::Prober;
use crate::tracker::push::followers::Followers;
use crate::tracker::push::login_registry::LoginRegistry;
use crate::tracker::push::slow_consumers::SlowConsumers;
use crate::tracker::relay::{Relay, RelayEnd, RelayTickets};
use crate::tracker::request_turns::RequestTurns;
use crate::tracker::restart::RestartWish;
use crate::tracker::state::State;
use crate::wire::certificate::Certificate;
use crate::wire::client_tracker::{GroupKey, PassedCall, Peer, Reply};
use crate::wire::codec::List;
use crate::wire::connection::LongFrames;
use crate::wire::contact::Contact;
use crate::wire::refusal::{Code, Refusal};
use crate::wire::tracker_tracker::LinkMessage;
use parking_lot::Mutex;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

/// Each part has its own lock. No part holds its lock while it calls another.
pub struct Core {
    pub cluster_key: Arc<ClusterKey>,
    /// Makes changes, and has the state that they lead to.
    pub committer: Committer,
    /// Every op, for other trackers.
    pub source: Arc<dyn OpSource>,
    pub cluster: Arc<ClusterView>,
    /// Who is online at any tracker.
    pub presence: Presence,
    pub logins: LoginRegistry,
    /// Which clients follow which groups.
    pub followers: Followers,
    pub slow_consumers: Arc<SlowConsumers>,
    pub manifests: Manifests,
    pub passwords: Passwords,
    pub throttle: LoginThrottle,
    /// Checks whether clients can be reached.
    pub(crate) prober: Prober,
    /// The place where members meet who find no other way, if the operator allows it.
    pub relay: Option<Arc<Relay>>,
    /// Limits how often a user may have another one called, by clients of this tracker and of others.
    pub calls: Mutex<CallLimit>,
    /// Memory for long messages of clients.
    pub long_frames: Arc<LongFrames>,
    /// Limits how often clients may announce themselves.
    pub announcing: Mutex<AnnouncePace>,
    /// Limits how often clients hear that another one holds pieces of a share.
    pub telling: Mutex<TellingPace>,
    /// Whose request is carried out next.
    pub turns: Arc<RequestTurns>,
    /// Asks for a restart of the tracker.
    pub restart: RestartWish,
    /// Makes bases durable.
    pub bases: Arc<dyn BaseStore>,
    /// What the operator watches the tracker by.
    pub oversight: Oversight,
}

impl Core {
    /// The durable state.
    pub fn state(&self) -> Arc<State> {
        self.committer.state()
    }

    /// The key of a group in a state; `None` if the group does not exist.
    pub fn group_key(&self, state: &State, group: GroupRef) -> Option<GroupKey> {
        let (id, key) = self.cluster_key.group_key(group, &state.chain(group)?);
        Some(GroupKey { group, name: state.group_name(group)?, id, key })
    }

    /// Tells the clients that download a share about a client that holds pieces of it. If they heard the same lately,
    /// tells them later.
    pub fn tell_holder_up(&self, state: &State, holder_up: &HolderUp) {
        let holder = &holder_up.holder;
        if !self.telling.lock().allows(holder_up.share, holder.key, Instant::now()) {
            return;
        }
        let Some(account) = state.account(holder.key.user) else {
            return;
        };
        // Clients know the share under the id that they were given, so each gets all ids.
        let ids: Vec<_> = state.ids_of(holder_up.share.0).into_iter().map(ShareRef).collect();
        for key in &holder_up.tell {
            let Some(sender) = self.logins.channel(key) else {
                continue;
            };
            let peer = peer(holder, account.name.clone(), self.presence.contact(*key).as_deref());
            ids.iter().for_each(|&share| sender.queue(&Reply::PeerUp { share, peer: peer.clone() }));
            sender.flush();
        }
    }

    /// Tells the news that was put off and is due now, with its present values.
    pub(crate) fn tell_put_off(&self, now: Instant) {
        let due = self.telling.lock().due(now);
        let state = self.state();
        for (share, holder) in due {
            // The id of the share may have become an alias since.
            let share = ShareRef(state.canonical(share.0));
            let holder_up = self.presence.holder_up(share, holder);
            holder_up.iter().for_each(|holder_up| self.tell_holder_up(&state, holder_up));
        }
    }

    /// Makes tickets that let two clients in to the relay of this tracker.
    ///
    /// # Errors
    /// `NoRelay`, `RelayFull`.
    pub(crate) fn relay_tickets(
        &self,
        (caller, ip): (&Certificate, IpAddr),
        called: &Certificate,
    ) -> Result<RelayTickets, Refusal> {
        let end = |certificate: &Certificate| RelayEnd { user: certificate.user.clone(), client: certificate.client };
        let relay = self.relay.as_ref().ok_or(Code::NoRelay)?;
        relay.issue((end(caller), ip), end(called), Instant::now())
    }

    /// Passes a call to a client here or at another tracker. Returns false if its tracker is not connected.
    pub(crate) fn pass_call(&self, called: &ClientKey, home: Option<u16>, call: PassedCall) -> bool {
        match home {
            None => self.tell_call(called, call),
            Some(tracker) => {
                let message = LinkMessage::Call { user: called.user, client: called.client, call: Arc::new(call) };
                self.cluster.table().pass_call(tracker, message)
            }
        }
    }

    /// Passes a call to a client of this tracker. Returns false if the client is gone.
    pub(crate) fn tell_call(&self, called: &ClientKey, call: PassedCall) -> bool {
        let Some(channel) = self.logins.channel(called) else {
            return false;
        };
        channel.queue(&Reply::Called { call });
        self.slow_consumers.flush_on(channel);
        true
    }
}

/// A holder of pieces, as a client with the contact `to` is told of it.
pub(crate) fn peer(holder: &Holder, user: UserId, to: Option<&Contact>) -> Peer {
    let addrs = List::first_of(helpful(&holder.contact, to));
    Peer { client: holder.key.client, user, key: holder.contact.key(), addrs, held: holder.held }
}
