//! Tells the tracker about shares and holdings, and finds out which of them the tracker has not heard of yet.

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

/// Tells a newly reached tracker where this client listens and what this client holds.
pub(super) fn announce_all(session: &LoginSession) -> Result<(), RpcError> {
    session.node().announce()?;
    session.refresh_keys()?;
    hold_shares(session, session.slot().shares())?;
    parts::announce(session)?;
    share::tell_untold(session);
    tell_withdrawn(session)?;
    take_part_in(session, &session.downloads().running())?;
    // A tracker without a reachability check serves clients all the same.
    let _ = session.node().check_reach();
    Ok(())
}

/// Tells the tracker what this client holds of these shares, as far as the client serves them.
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
            // The user stopped it on another client while this one was away. The tracker's push about that comes too.
            if let Err(refusal) = reply {
                note_refused_hold(session, key, &refusal);
            }
        }
        Ok(())
    })
}

/// Takes note of a refusal to hold a share. The client no longer serves a share that the trackers have forgotten, until
/// a look-up by its name finds it again.
pub(super) fn note_refused_hold(session: &LoginSession, (group, info_hash): ShareKey, refusal: &Refusal) {
    if refusal.code == Code::Forgotten {
        session.node().catalog.remove(group, info_hash);
        session.announce_again();
    }
    session.note_refusal(refusal);
}

/// Tells the tracker what a download holds, and only then asks for other holders. The order matters: of two members
/// that begin at the same time, one has to hear of the other.
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

/// The two requests for a download: one tells the tracker what it holds, the other asks for peers.
fn asked(transfer: &Transfer) -> [Request; 2] {
    [hold(transfer), Request::FindPeers { share: transfer.share() }]
}

/// Whether a download is to be announced. A download that was paused, was given up or has failed meanwhile is not.
fn still_runs(session: &LoginSession, transfer: &Arc<Transfer>) -> bool {
    session.downloads().owns(transfer)
}

/// Tells the tracker what downloads hold, and asks for other holders.
fn take_part_in(session: &LoginSession, transfers: &[Arc<Transfer>]) -> Result<(), RpcError> {
    let (transfers, replies) = session.tell_holding(|| {
        let transfers: Vec<_> = transfers.iter().filter(|transfer| still_runs(session, transfer)).collect();
        let requests: Vec<_> = transfers.iter().flat_map(|transfer| asked(transfer)).collect();
        session.node().link.call_all(&requests).map(|replies| (transfers, replies))
    })?;
    for (transfer, replies) in transfers.into_iter().zip(replies.chunks_exact(2)) {
        match replies {
            [Ok(_), Ok(Reply::Peers { peers, .. })] => session.engine().peers(transfer.id(), peers.to_vec()),
            // A refused download, as in a group that the user has left meanwhile, does not hold up the others.
            [Err(refusal), _] | [_, Err(refusal)] => drop(session.note_refusal(refusal)),
            _ => return Err(RpcError::Unexpected),
        }
    }
    Ok(())
}

/// Tells the tracker that this client holds nothing of this share any more, after its download has ended in any way. If
/// no tracker can be reached, the client tells the next one.
pub(super) fn withdraw(session: &LoginSession, share: ShareRef) {
    session.withdraw(share);
    let _ = tell_withdrawn(session);
}

/// Tells the tracker which shares this client holds nothing of any more. The client still holds a share that it serves
/// or that another download fetches.
pub(super) fn tell_withdrawn(session: &LoginSession) -> Result<(), RpcError> {
    for share in session.withdrawn() {
        session.tell_holding(|| {
            let told = if is_held(session, share) { Ok(()) } else { session.hold(share, Holding::Nothing {}) };
            match told {
                // A tracker that does not know the share or the member has no holding to remove.
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

/// Whether this client gives any piece of a share to others.
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

/// Tells the tracker which pieces a download holds. The download registers even without any piece, so that others learn
/// of it.
fn hold(transfer: &Transfer) -> Request {
    // A later call tells of pieces that arrive after this line.
    transfer.take_fresh();
    let bits = Blob::new(transfer.have().as_bytes().to_vec()).expect("the longest bitfield is within the cap");
    Request::Hold { share: transfer.share(), holding: Holding::Exactly { bits } }
}

/// Tells the tracker which pieces have arrived since the last call.
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

/// Asks the tracker for other holders. Returns the share that is a new version of this one, if there is one.
pub(super) fn find_peers(session: &LoginSession, transfer: &Transfer) -> Result<Option<ShareRef>, RpcError> {
    let Reply::Peers { peers, newer } = session.call(&Request::FindPeers { share: transfer.share() })? else {
        return Err(RpcError::Unexpected);
    };
    session.engine().peers(transfer.id(), peers.into_vec());
    Ok(newer)
}

/// Returns the shares of these records that the tracker has not heard of yet, because another tracker created them.
pub(super) fn unheard_of(session: &LoginSession, records: &[ShareRecord]) -> Result<BTreeSet<ShareRef>, RpcError> {
    let shares: Vec<ShareRef> = records.iter().filter_map(|record| record.share).collect();
    let requests: Vec<_> = shares.iter().map(|&share| Request::FindPeers { share }).collect();
    let answers = session.node().link.call_all(&requests)?;
    let is_unheard = |answer: Result<Reply, Refusal>| answer.is_err_and(|refusal| session.note_refusal(&refusal));
    let answers = shares.into_iter().zip(answers);
    Ok(answers.filter_map(|(share, answer)| is_unheard(answer).then_some(share)).collect())
}

/// Whether the tracker has not heard yet of a share that another tracker created.
pub(super) fn is_unheard(session: &LoginSession, share: ShareRef) -> bool {
    refused_share(session, share).is_some_and(|refusal| session.note_refusal(&refusal))
}

/// The tracker's refusal that says why it does not know a share, if it refuses.
fn refused_share(session: &LoginSession, share: ShareRef) -> Option<Refusal> {
    match session.call(&Request::FindPeers { share }) {
        Err(RpcError::Refused(refusal)) => Some(refusal),
        _ => None,
    }
}

/// Returns the share that now has the name of this one, which some tracker created. Returns `None` if the tracker has
/// not heard of this share yet. The refusal is `Forgotten` if the trackers have forgotten the share.
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
                // For a user outside the group, all its shares count as forgotten.
                Some(refusal) if refusal.code == Code::Forgotten && !is_stranger => Err(refusal.into()),
                // The tracker may have heard of the share since the first look-up by name.
                _ => find(link, group, name).map(Some),
            }
        }
        found => found.map(Some),
    }
}
