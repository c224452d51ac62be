//! What the tracker is told of shares and holdings, and what it has not heard yet.

use super::login_session::LoginSession;
use super::parts;
use super::share;
use super::share::holding;
use super::upkeep::standing::ShareKey;
use crate::client::download::transfer::Transfer;
use crate::client::rpc::error::RpcError;
use crate::client::rpc::queries::{Found, find};
use crate::client::state::record::ShareRecord;
use crate::model::id::ShareRef;
use crate::model::name::{FileName, GroupId};
use crate::wire::client_tracker::{HOLD_MORE_MAX, Holding, Reply, Request};
use crate::wire::codec::{Blob, List};
use crate::wire::refusal::{Code, Refusal};
use std::collections::BTreeSet;
use std::sync::Arc;

/// Tells a tracker that has just been reached where this client listens, and all that it holds.
pub(super) fn announce_all(session: &LoginSession) -> Result<(), RpcError> {
    session.node().announce()?;
    session.refresh_keys()?;
    hold_shares(session, session.slot().shares())?;
    parts::announce(session)?;
    share::tell_untold(session);
    tell_withdrawn(session)?;
    take_part_in(session, &session.downloads().running())?;
    // A tracker that does not look for clients serves them all the same.
    let _ = session.node().check_reach();
    Ok(())
}

/// Tells the tracker what is held here of these shares, as far as they are given to others.
pub(super) fn hold_shares(session: &LoginSession, records: Vec<ShareRecord>) -> Result<(), RpcError> {
    let node = session.node();
    let request = |record: ShareRecord| {
        let key = (node.keyring.group_named(&record.group)?, record.content.info_hash);
        let served = node.catalog.find(key.0, key.1)?;
        Some((key, Request::Hold { share: record.share?, holding: holding(&served.have()) }))
    };
    session.tell_holding(|| {
        let (keys, requests): (Vec<_>, Vec<_>) = records.into_iter().filter_map(request).unzip();
        for (key, reply) in keys.into_iter().zip(node.link.call_all(&requests)?) {
            // Somebody stopped it elsewhere while this client was away: the push that says so comes too.
            if let Err(refusal) = reply {
                note_refused_hold(session, key, &refusal);
            }
        }
        Ok(())
    })
}

/// Takes note of a refusal to hold a share. One that the trackers have forgotten is given to nobody until it was looked
/// for by its name.
pub(super) fn note_refused_hold(session: &LoginSession, (group, info_hash): ShareKey, refusal: &Refusal) {
    if refusal.code == Code::Forgotten {
        session.node().catalog.remove(group, info_hash);
        session.announce_again();
    }
    session.note_refusal(refusal);
}

/// Tells the tracker what a download holds, and asks who else has pieces: only then, since of two that begin at once one
/// has to hear of the other.
pub(super) fn take_part(session: &LoginSession, transfer: &Arc<Transfer>) -> Result<(), RpcError> {
    let told = session.tell_holding(|| {
        still_runs(session, transfer).then(|| session.node().link.call_all(&asked(transfer))).transpose()
    })?;
    match told.as_deref() {
        None => Ok(()),
        Some([Ok(_), Ok(Reply::Peers { peers, .. })]) => {
            session.engine().peers(transfer.id(), peers.to_vec());
            Ok(())
        }
        Some([Err(refusal), _] | [_, Err(refusal)]) => Err(refusal.clone().into()),
        Some(_) => Err(RpcError::Unexpected),
    }
}

/// What a tracker is told and asked of a download.
fn asked(transfer: &Transfer) -> [Request; 2] {
    [hold(transfer), Request::FindPeers { share: transfer.share() }]
}

/// Whether a download is to be announced: one that is paused, given up or has failed meanwhile is not.
fn still_runs(session: &LoginSession, transfer: &Arc<Transfer>) -> bool {
    session.downloads().owns(transfer)
}

/// Tells the tracker what downloads hold, and asks who else has pieces of them.
fn take_part_in(session: &LoginSession, transfers: &[Arc<Transfer>]) -> Result<(), RpcError> {
    let (transfers, replies) = session.tell_holding(|| {
        let transfers: Vec<_> = transfers.iter().filter(|transfer| still_runs(session, transfer)).collect();
        let requests: Vec<_> = transfers.iter().flat_map(|transfer| asked(transfer)).collect();
        session.node().link.call_all(&requests).map(|replies| (transfers, replies))
    })?;
    for (transfer, replies) in transfers.into_iter().zip(replies.chunks_exact(2)) {
        match replies {
            [Ok(_), Ok(Reply::Peers { peers, .. })] => session.engine().peers(transfer.id(), peers.to_vec()),
            // One that is refused, as in a group that was left meanwhile, does not keep the others from being told.
            [Err(refusal), _] | [_, Err(refusal)] => drop(session.note_refusal(refusal)),
            _ => return Err(RpcError::Unexpected),
        }
    }
    Ok(())
}

/// A download of this share has ended here, in whatever way: the tracker is told that nothing of it is held any more.
/// If none can be reached, the next one is told.
pub(super) fn withdraw(session: &LoginSession, share: ShareRef) {
    session.withdraw(share);
    let _ = tell_withdrawn(session);
}

/// Tells the tracker of which shares nothing is held any more. A share of which another download runs, or which is
/// shared from here, is none of them.
pub(super) fn tell_withdrawn(session: &LoginSession) -> Result<(), RpcError> {
    for share in session.withdrawn() {
        session.tell_holding(|| {
            let told = if is_held(session, share) { Ok(()) } else { session.hold(share, Holding::Nothing {}) };
            match told {
                // A tracker that knows no such share, or no such member, knows of no holding.
                Ok(()) | Err(RpcError::Refused(_)) => {
                    session.was_withdrawn(share);
                    Ok(())
                }
                Err(error) => Err(error),
            }
        })?;
    }
    Ok(())
}

/// Whether something of a share is given to others from here.
fn is_held(session: &LoginSession, share: ShareRef) -> bool {
    session.downloads().running().iter().any(|transfer| transfer.share() == share)
        || session.slot().shares_numbered(share).iter().any(|record| is_served(session, record))
}

/// Whether a share is given to others.
fn is_served(session: &LoginSession, record: &ShareRecord) -> bool {
    let node = session.node();
    let group = node.keyring.group_named(&record.group);
    group.and_then(|group| node.catalog.find(group, record.content.info_hash)).is_some()
}

/// Tells the tracker which pieces a download holds, none of them included: others learn that it is there.
fn hold(transfer: &Transfer) -> Request {
    // What comes in after this is told later.
    transfer.take_fresh();
    let bits = Blob::new(transfer.have().as_bytes().to_vec()).expect("the longest bitfield is within the cap");
    Request::Hold { share: transfer.share(), holding: Holding::Exactly { bits } }
}

/// Tells the tracker which pieces came in since it was told last.
pub(super) fn hold_more(session: &LoginSession, transfer: &Arc<Transfer>) -> Result<(), RpcError> {
    session.tell_holding(|| {
        let fresh = if still_runs(session, transfer) { transfer.take_fresh() } else { Vec::new() };
        match fresh.len() {
            0 => Ok(()),
            1..=HOLD_MORE_MAX => session.hold(transfer.share(), Holding::More { pieces: List::first_of(fresh) }),
            _ => session.call(&hold(transfer)).map(drop),
        }
    })
}

/// Asks the tracker who else has pieces. Gives the share that is a new version of this one.
pub(super) fn find_peers(session: &LoginSession, transfer: &Transfer) -> Result<Option<ShareRef>, RpcError> {
    let Reply::Peers { peers, newer } = session.call(&Request::FindPeers { share: transfer.share() })? else {
        return Err(RpcError::Unexpected);
    };
    session.engine().peers(transfer.id(), peers.into_vec());
    Ok(newer)
}

/// The shares of these records that the tracker has not heard of yet, as another tracker has made them.
pub(super) fn unheard_of(session: &LoginSession, records: &[ShareRecord]) -> Result<BTreeSet<ShareRef>, RpcError> {
    let shares: Vec<ShareRef> = records.iter().filter_map(|record| record.share).collect();
    let requests: Vec<_> = shares.iter().map(|&share| Request::FindPeers { share }).collect();
    let answers = session.node().link.call_all(&requests)?;
    let is_unheard = |answer: Result<Reply, Refusal>| answer.is_err_and(|refusal| session.note_refusal(&refusal));
    let answers = shares.into_iter().zip(answers);
    Ok(answers.filter_map(|(share, answer)| is_unheard(answer).then_some(share)).collect())
}

/// Whether the tracker has not heard yet of a share that another tracker has made.
pub(super) fn is_unheard(session: &LoginSession, share: ShareRef) -> bool {
    refused_share(session, share).is_some_and(|refusal| session.note_refusal(&refusal))
}

/// Why the tracker knows nothing of a share, if it says so.
fn refused_share(session: &LoginSession, share: ShareRef) -> Option<Refusal> {
    match session.call(&Request::FindPeers { share }) {
        Err(RpcError::Refused(refusal)) => Some(refusal),
        _ => None,
    }
}

/// What stands under the name of a share that some tracker has made; nothing if the one asked has not heard of it yet.
/// If the trackers have forgotten the share, the refusal is `Forgotten`.
pub(super) fn find_made(
    session: &LoginSession,
    share: ShareRef,
    group: &GroupId,
    name: &FileName,
) -> Result<Option<Found>, RpcError> {
    let link = &session.node().link;
    match find(link, group, name) {
        Err(RpcError::Refused(refusal)) if refusal.code.is_gone() => {
            let is_stranger = refusal.code == Code::NotMember;
            match refused_share(session, share) {
                Some(refusal) if session.note_refusal(&refusal) => Ok(None),
                // All shares of a group are as good as forgotten for whoever is not in it.
                Some(refusal) if refusal.code == Code::Forgotten && !is_stranger => Err(refusal.into()),
                // It may have heard of it since it was asked for the name.
                _ => find(link, group, name).map(Some),
            }
        }
        found => found.map(Some),
    }
}
