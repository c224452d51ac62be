//! What is being given to whom.

use super::login_session::Account;
use super::node::Node;
use crate::client::output::status::UploadStatus;
use crate::model::digest::InfoHash;
use crate::model::name::{FileName, GroupId};

/// Everything that members take from here now, by group, file and member.
pub(crate) fn list(node: &Node, account: &Account) -> Vec<UploadStatus> {
    let mut uploads = Vec::new();
    for served in node.serving.list() {
        let taken = served.takers().list();
        let named = || {
            let group = node.keyring.name_of(served.group())?;
            Some((name_of(account, &group, served.info_hash())?, group))
        };
        let Some((file, group)) = named().filter(|_| !taken.is_empty()) else {
            continue;
        };
        uploads.extend(taken.into_iter().map(|taken| UploadStatus {
            group: group.clone(),
            file: file.clone(),
            user: taken.user,
            speed: taken.speed,
            given_bytes: taken.given,
        }));
    }
    uploads.sort_by(|a, b| (&a.group, &a.file, &a.user).cmp(&(&b.group, &b.file, &b.user)));
    uploads
}

/// What content of a group is called: that of a share, or of a download.
fn name_of(account: &Account, group: &GroupId, info_hash: InfoHash) -> Option<FileName> {
    let shares = account.slot.shares().into_iter();
    let share = shares.filter(|share| share.group == *group && share.content.info_hash == info_hash).map(|s| s.name);
    let downloads = account.downloads.list().into_iter();
    let download = downloads.filter(|d| d.group == *group && d.info_hash == Some(info_hash)).map(|d| d.name);
    share.chain(download).next()
}
