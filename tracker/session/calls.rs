//! Calls between members who cannot dial each other. A client asks that another one dial it, that both dial, or that
//! both come to the relay. The called client hears the call here or from its own tracker.

use super::Session;
use super::share::visible_share;
use crate::model::id::{ClientId, ShareRef, UserRef};
use crate::model::name::UserId;
use crate::sys::unix_time_s;
use crate::tracker::presence::ClientKey;
use crate::tracker::presence::helpful::{helpful, helpful_to_meet, helpful_to_meet_at};
use crate::tracker::state::{ShareInfo, State};
use crate::wire::client_tracker::{CallWay, PassedCall, RelayPlace, Reply};
use crate::wire::codec::List;
use crate::wire::contact::{ADDRS_MAX, Contact};
use crate::wire::mirror::Mirrored;
use crate::wire::refusal::{Code, Refusal};
use std::net::SocketAddr;
use std::time::Instant;

/// The longest delay that one side gets so that both begin at the same time.
const START_MS_MAX: u16 = 1000;

impl Session {
    /// Calls another client, if the caller may see the share and the other user is a member of its group.
    pub(super) fn call(
        &mut self,
        share: ShareRef,
        (called, client): (&UserId, ClientId),
        way: CallWay,
        from: Option<Mirrored>,
    ) -> Result<Reply, Refusal> {
        let user = self.user()?;
        let own = self.login.as_ref().ok_or(Code::NotLoggedIn)?.ticket.key;
        let state = self.core.state();
        let info = visible_share(&state, user, share)?;
        // The caller must not learn whether a user is no member or is offline.
        let called = member(&state, &info, called).ok_or(Code::PeerOffline)?;
        let key = Some(ClientKey { user: called, client }).filter(|key| *key != own).ok_or(Code::PeerOffline)?;
        let presence = &self.core.presence;
        let (contact, home) = presence.whereabouts(key).ok_or(Code::PeerOffline)?;
        let nowhere = || Refusal::about(Code::Malformed, "a client that was not announced cannot be called");
        let mine = presence.contact(own).ok_or_else(nowhere)?;
        let leaves = from.map(|from| self.leaving(way, &from)).transpose()?;
        if !self.core.calls.lock().allows((user, self.ip()), key.user, Instant::now()) {
            return Err(Code::SlowDown.into());
        }
        let tickets = match way {
            CallWay::Relay => Some(self.core.relay_tickets((&mine.certificate, self.ip()), &contact.certificate)?),
            CallWay::Back | CallWay::Punch => None,
        };
        let (start_ms, their_start_ms) = starts(way, &mine, &contact);
        let passed = PassedCall {
            share,
            group: info.group,
            info_hash: info.content.info_hash,
            way,
            caller: mine.certificate.clone(),
            addrs: leaves.map_or_else(
                || addrs(way, &mine, &contact),
                |at| List::first_of(helpful_to_meet_at(at, &mine, &contact)),
            ),
            start_ms: their_start_ms,
            relay: tickets
                .map(|tickets| RelayPlace { tracker: self.core.cluster.me().origin.tracker, ticket: tickets.called }),
        };
        if !self.core.pass_call(&key, home, passed) {
            return Err(Code::PeerOffline.into());
        }
        let ticket = tickets.map(|tickets| tickets.caller);
        Ok(Reply::CallPassed { addrs: addrs(way, &contact, &mine), start_ms, ticket })
    }

    /// The address from which the caller dials, for this call alone. This tracker believes it if a tracker has just
    /// seen a client there, and if it has the IP of the caller's link.
    fn leaving(&self, way: CallWay, from: &Mirrored) -> Result<SocketAddr, Refusal> {
        if way != CallWay::Punch {
            return Err(Refusal::about(Code::Malformed, "a call cannot come from there"));
        }
        if from.addr.ip() != self.ip() || !self.core.cluster_key.has_mirrored(from, unix_time_s()) {
            return Err(Code::NotSeenThere.into());
        }
        Ok(from.addr)
    }
}

/// The user of this name, if the user is a member of the share's group.
fn member(state: &State, info: &ShareInfo, name: &UserId) -> Option<UserRef> {
    state.user_named(name).filter(|user| state.is_member(info.group, *user))
}

/// The addresses of one client at which the other one dials it.
fn addrs(way: CallWay, of: &Contact, to: &Contact) -> List<SocketAddr, ADDRS_MAX> {
    List::first_of(match way {
        CallWay::Punch => helpful_to_meet(of, to),
        CallWay::Back | CallWay::Relay => helpful(of, Some(to)),
    })
}

/// How long the caller and the called client wait after the call, in ms, so that both begin at the same moment. The
/// side with the shorter round trip hears it sooner, and waits for half of the difference of the round trips.
fn starts(way: CallWay, caller: &Contact, called: &Contact) -> (u16, u16) {
    if way != CallWay::Punch {
        return (0, 0);
    }
    let (mine, theirs) = (caller.round_trip_ms, called.round_trip_ms);
    let wait = |own: u16, other: u16| (other.saturating_sub(own) / 2).min(START_MS_MAX);
    (wait(mine, theirs), wait(theirs, mine))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::contact::tests::contact;

    fn contact_at(round_trip_ms: u16) -> Contact {
        Contact { round_trip_ms, ..contact(1) }
    }

    #[test]
    fn the_client_that_hears_sooner_waits_for_half_of_the_difference() {
        let starts = |mine, theirs| starts(CallWay::Punch, &contact_at(mine), &contact_at(theirs));
        assert_eq!(starts(20, 20), (0, 0));
        assert_eq!(starts(20, 220), (100, 0));
        assert_eq!(starts(220, 20), (0, 100));
        assert_eq!(starts(0, u16::MAX), (START_MS_MAX, 0), "a client says what it likes");
        assert_eq!(super::starts(CallWay::Back, &contact_at(0), &contact_at(500)), (0, 0));
    }
}
