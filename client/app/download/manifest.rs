//! Fetches the manifest of a download from the tracker.

use crate::client::app::login_session::LoginSession;
use crate::client::command::failure::Failure;
use crate::client::rpc::error::RpcError;
use crate::model::id::ShareRef;
use crate::model::manifest::{Content, Manifest};
use crate::wire::client_tracker::{Peer, Reply, Request};
use crate::wire::manifest;
use std::sync::Arc;

/// Fetches the manifest of a share and checks it against what the share is.
pub(in crate::client::app) fn fetch(
    session: &LoginSession,
    share: ShareRef,
    content: &Content,
) -> Result<Arc<Manifest>, Failure> {
    fetch_rest(session, share, content, session.call(&Request::GetManifest { share, offset: 0 })?)
}

/// Fetches the manifest and the peers of a share with one round trip.
pub(super) fn fetch_with_peers(
    session: &LoginSession,
    share: ShareRef,
    content: &Content,
) -> Result<(Arc<Manifest>, Vec<Peer>), Failure> {
    let both = [Request::GetManifest { share, offset: 0 }, Request::FindPeers { share }];
    let mut answers = session.node().link.call_all(&both)?.into_iter();
    let part = answers.next().ok_or(RpcError::Unexpected)?.map_err(RpcError::from)?;
    let peers = match answers.next() {
        Some(Ok(Reply::Peers { peers, .. })) => peers.into_vec(),
        // A later request asks for the peers again.
        _ => Vec::new(),
    };
    Ok((fetch_rest(session, share, content, part)?, peers))
}

/// Fetches the pages behind this first one of a manifest.
fn fetch_rest(
    session: &LoginSession,
    share: ShareRef,
    content: &Content,
    mut part: Reply,
) -> Result<Arc<Manifest>, Failure> {
    let mut bytes = Vec::new();
    loop {
        let Reply::ManifestPart { total, part: more } = part else { return Err(RpcError::Unexpected.into()) };
        bytes.extend_from_slice(more.as_bytes());
        if bytes.len() >= total as usize {
            break;
        }
        if more.as_bytes().is_empty() || total as usize > manifest::MANIFEST_LEN_MAX {
            return Err("the tracker does not have the whole list of pieces".into());
        }
        let offset = u32::try_from(bytes.len()).map_err(|_| "the list of pieces is too long")?;
        part = session.call(&Request::GetManifest { share, offset })?;
    }
    let manifest = manifest::decode(&bytes, content.info_hash)
        .map_err(|error| format!("the list of pieces from the tracker is wrong: {error}"))?;
    if manifest.layout() != content.layout {
        return Err("the list of pieces from the tracker does not match the size of the file".into());
    }
    Ok(Arc::new(manifest))
}
