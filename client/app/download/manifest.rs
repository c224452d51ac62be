//! What a download is of, as the tracker tells it.

use crate::client::app::login_session::LoginSession;
use crate::client::command::failure::Failure;
use crate::client::rpc::error::RpcError;
use crate::model::id::ShareRef;
use crate::model::manifest::{Content, Manifest};
use crate::wire::client_tracker::{Reply, Request};
use crate::wire::manifest;
use std::sync::Arc;

/// Fetches the manifest of a share and checks it against what the share is.
pub(in crate::client::app) fn fetch(
    session: &LoginSession,
    share: ShareRef,
    content: &Content,
) -> Result<Arc<Manifest>, Failure> {
    let mut bytes = Vec::new();
    loop {
        let offset = u32::try_from(bytes.len()).map_err(|_| "the list of pieces is too long")?;
        let Reply::ManifestPart { total, part } = session.call(&Request::GetManifest { share, offset })? else {
            return Err(RpcError::Unexpected.into());
        };
        bytes.extend_from_slice(part.as_bytes());
        if bytes.len() >= total as usize {
            break;
        }
        if part.as_bytes().is_empty() || total as usize > manifest::MANIFEST_LEN_MAX {
            return Err("the tracker does not have the whole list of pieces".into());
        }
    }
    let manifest = manifest::decode(&bytes, content.info_hash)
        .map_err(|error| format!("the list of pieces from the tracker is wrong: {error}"))?;
    if manifest.layout() != content.layout {
        return Err("the list of pieces from the tracker does not match the size of the file".into());
    }
    Ok(Arc::new(manifest))
}
