//! Shares that were renamed, or whose group was, while nobody was logged in here: two sides of a partition had given the
//! same name away.

use super::found;
use super::link::CallError;
use crate::client::app::node::Node;
use crate::client::app::share;
use crate::model::id::ShareRef;
use crate::model::name::{FileName, GroupId};
use std::iter;

/// In which of the user's groups a share is now, and under which name. It was called `name` before.
pub(crate) fn find_again(
    node: &Node,
    share: ShareRef,
    name: &FileName,
) -> Result<Option<(GroupId, FileName)>, CallError> {
    for group in node.keyring.names() {
        // Who came later goes on under the first suffix that was free.
        for name in iter::once(name.base()).chain((2..).map(|n| name.with_suffix(n))) {
            match found::find(&node.link, &group, &name) {
                Ok(found) if found.share == share => return Ok(Some((group, name))),
                Ok(_) => {}
                Err(CallError::Refused(refusal)) if share::is_gone(refusal.code) => {
                    if !name.is_chosen() {
                        break;
                    }
                }
                Err(error) => return Err(error),
            }
        }
    }
    Ok(None)
}
