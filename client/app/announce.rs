//! What the tracker is told of shares and holdings, and what it has not heard yet.

use super::login_session::LoginSession;
use super::share;
use crate::client::download::transfer::Transfer;
use crate::client::rpc::error::RpcError;
use crate::client::rpc::queries::{Found, find};
use crate::client::state::record::ShareRecord;
use crate::model::id::ShareRef;
use crate::model::name::{FileName, GroupId};
use crate::wire::client_tracker::{HOLD_MORE_MAX, Holding, Reply, Request};
use crate::wire::codec::{Blob, List};
use std::sync::Arc;

/// Tells a tracker that has just been reached where this client listens, and all that it holds.
pub(super) fn announce_all(session: &LoginSession) -> Result<(), RpcError> {
    session.node().announce()?;
    session.refresh_keys()?;
    hold_shares(session)?;
    share::tell_untold(session);
    take_part_in(session, &session.downloads().running())
}

/// Tells the tracker what is shared here.
fn hold_shares(session: &LoginSession) -> Result<(), RpcError> {
    let node = session.node();
    let served = |record: &ShareRecord| {
        let group = node.keyring.group_named(&record.group);
        group.and_then(|group| node.catalog.find(group, record.content.info_hash)).is_some()
    };
    hold_all(session, session.slot().shares().iter().filter(|record| served(record)).filter_map(|record| record.share))
}

/// Tells the tracker that these shares are held here, all of each.
pub(super) fn hold_all(session: &LoginSession, shares: impl Iterator<Item = ShareRef>) -> Result<(), RpcError> {
    let requests: Vec<_> = shares.map(|share| Request::Hold { share, holding: Holding::All {} }).collect();
    for reply in session.node().link.call_all(&requests)? {
        // Somebody stopped it elsewhere while this client was away: the push that says so comes too.
        if let Err(refusal) = reply {
            session.note_refusal(&refusal);
        }
    }
    Ok(())
}

/// Tells the tracker what a download holds, and asks who else has pieces.
pub(super) fn take_part(session: &LoginSession, transfer: &Transfer) -> Result<(), RpcError> {
    session.call(&hold(transfer))?;
    find_peers(session, transfer)
}

/// Tells the tracker what downloads hold, and asks who else has pieces of them.
fn take_part_in(session: &LoginSession, transfers: &[Arc<Transfer>]) -> Result<(), RpcError> {
    let requests: Vec<_> = transfers
        .iter()
        .flat_map(|transfer| [hold(transfer), Request::FindPeers { share: transfer.share() }])
        .collect();
    let replies = session.node().link.call_all(&requests)?;
    for (transfer, replies) in transfers.iter().zip(replies.chunks_exact(2)) {
        match replies {
            [Ok(_), Ok(Reply::Peers { peers })] => session.engine().peers(transfer.id(), peers.to_vec()),
            // One that is refused, as in a group that was left meanwhile, does not keep the others from being told.
            [Err(refusal), _] | [_, Err(refusal)] => drop(session.note_refusal(refusal)),
            _ => return Err(RpcError::Unexpected),
        }
    }
    Ok(())
}

/// Tells the tracker which pieces a download holds, none of them included: others learn that it is there.
fn hold(transfer: &Transfer) -> Request {
    // What comes in after this is told later.
    transfer.take_fresh();
    let bits = Blob::new(transfer.have().as_bytes().to_vec()).expect("the longest bitfield is within the cap");
    Request::Hold { share: transfer.share(), holding: Holding::Exactly { bits } }
}

/// Tells the tracker which pieces came in since it was told last.
pub(super) fn hold_more(session: &LoginSession, transfer: &Transfer) -> Result<(), RpcError> {
    let fresh = transfer.take_fresh();
    if fresh.is_empty() {
        return Ok(());
    }
    if fresh.len() > HOLD_MORE_MAX {
        return session.call(&hold(transfer)).map(drop);
    }
    session.hold(transfer.share(), Holding::More { pieces: List::first_of(fresh) })
}

/// Asks the tracker who else has pieces.
pub(super) fn find_peers(session: &LoginSession, transfer: &Transfer) -> Result<(), RpcError> {
    let Reply::Peers { peers } = session.call(&Request::FindPeers { share: transfer.share() })? else {
        return Err(RpcError::Unexpected);
    };
    session.engine().peers(transfer.id(), peers.into_vec());
    Ok(())
}

/// Whether the tracker has not heard yet of a share that another tracker has made.
pub(super) fn is_unheard(session: &LoginSession, share: ShareRef) -> bool {
    let asked = session.call(&Request::FindPeers { share });
    matches!(asked, Err(RpcError::Refused(refusal)) if session.note_refusal(&refusal))
}

/// What stands under the name of a share that some tracker has made; nothing if the one asked has not heard of it yet.
pub(super) fn find_made(
    session: &LoginSession,
    share: ShareRef,
    group: &GroupId,
    name: &FileName,
) -> Result<Option<Found>, RpcError> {
    let link = &session.node().link;
    match find(link, group, name) {
        Err(RpcError::Refused(refusal)) if refusal.code.is_gone() => {
            if is_unheard(session, share) {
                return Ok(None);
            }
            // It may have heard of it since it was asked for the name.
            find(link, group, name).map(Some)
        }
        found => found.map(Some),
    }
}
