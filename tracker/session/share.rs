//! Shares and their manifests on a connection.

use super::Session;
use super::page::{PAGE_AND_ONE, page};
use crate::model::digest::InfoHash;
use crate::model::id::{CommandId, OpId, ShareRef, UserRef};
use crate::model::manifest::{Content, Manifest};
use crate::model::name::{FileName, GroupId};
use crate::tracker::ledger::accept::{Acceptance, Change, accept, find_own_group, find_share};
use crate::tracker::manifests::ManifestPart;
use crate::tracker::state::{CommandOwner, Fate, ShareInfo, State};
use crate::wire::client_tracker::{FileLine, Reply};
use crate::wire::codec::Blob;
use crate::wire::manifest::decode;
use crate::wire::refusal::{Code, Refusal};
use std::time::Duration;

/// How long a client waits for a manifest that was lost here and is asked of other trackers.
const MANIFEST_WAIT: Duration = Duration::from_secs(5);

/// A share in a group of which the user is a member. It need not be listed any more: clients that hold parts of it may
/// go on exchanging them.
pub(super) fn visible_share(state: &State, user: UserRef, share: ShareRef) -> Result<ShareInfo, Refusal> {
    let info = state.share(share).ok_or_else(|| match state.fate(share.0) {
        Fate::Forgotten => Code::Forgotten,
        // The op may still be on its way from another tracker.
        Fate::Known | Fate::Unheard => Code::NoSuchFile,
    })?;
    // A stranger is not told the name of the group.
    if state.is_member(info.group, user) { Ok(info) } else { Err(Code::NotMember.into()) }
}

/// The share of a change that the op `op` made, for its author, who may be out of the group by now. A repeated command
/// does not know its `share`: then the op has made it, or has joined what has this name.
fn done_share(
    state: &State,
    op: OpId,
    share: Option<ShareRef>,
    (group, name): (&GroupId, &FileName),
    content: &Content,
) -> Option<ShareInfo> {
    let named = || state.share_named(state.group_named(group)?, name).filter(|info| info.content.is_same(content));
    state.share(share.unwrap_or(ShareRef(op))).or_else(named)
}

fn share_reply(state: &State, user: UserRef, info: ShareInfo) -> Reply {
    let shared_by_you = state.is_sharer(info.share, user);
    let ShareInfo { share, group, name, content, .. } = info;
    Reply::Share { share, group, name, content, shared_by_you }
}

impl Session {
    pub(super) fn list_files(&mut self, group: &GroupId, after: Option<&FileName>) -> Result<Reply, Refusal> {
        let user = self.user()?;
        let state = self.core.state();
        let rows = state.files_after(find_own_group(&state, user, group)?, after, PAGE_AND_ONE);
        let online = self.core.presence.holder_counts(rows.iter().map(|row| row.share));
        let line = rows.into_iter().zip(online).map(|(row, online)| FileLine {
            name: row.name,
            content: row.content,
            sharer_count: row.sharer_count,
            online,
        });
        let (files, more) = page(line.collect());
        Ok(Reply::Files { files, more })
    }

    pub(super) fn find_share(&mut self, group: &GroupId, name: &FileName) -> Result<Reply, Refusal> {
        let user = self.user()?;
        let state = self.core.state();
        let info = find_share(&state, user, group, name)?;
        Ok(share_reply(&state, user, info))
    }

    pub(super) fn put_manifest(
        &mut self,
        group: &GroupId,
        (info_hash, total, offset): (InfoHash, u32, u32),
        bytes: &[u8],
    ) -> Result<Reply, Refusal> {
        let user = self.user()?;
        let state = self.core.state();
        find_own_group(&state, user, group)?;
        self.core.committer.must_take_changes()?;
        let (limits, manifests) = (&self.core.oversight.limits, &self.core.manifests);
        if offset == 0 {
            manifests.lens().look(|len_of| limits.ask_upload(&state, user, u64::from(total), len_of))?;
            // Once for the whole, also if it is here: it stays for this user.
            limits.take_bytes(user, u64::from(total))?;
        }
        let part = ManifestPart { info_hash, total, offset, bytes };
        manifests.put(&mut self.upload, part, |used| limits.ask_bytes(used))?;
        Ok(Reply::Done {})
    }

    pub(super) fn get_manifest(&mut self, share: ShareRef, offset: u32) -> Result<Reply, Refusal> {
        let user = self.user()?;
        let info = visible_share(&self.core.state(), user, share)?;
        let (total, part) = self.read_manifest(info.content.info_hash, offset)?;
        let part = Blob::new(part).ok_or(Code::Unavailable)?;
        Ok(Reply::ManifestPart { total, part })
    }

    /// A part of a manifest. If it was lost here, other trackers are asked for it.
    fn read_manifest(&self, info_hash: InfoHash, offset: u32) -> Result<(u32, Vec<u8>), Refusal> {
        let manifests = &self.core.manifests;
        let mut found = manifests.read(info_hash, offset)?;
        if found.is_none() {
            manifests.wish(info_hash);
            if self.core.cluster.wake() {
                manifests.wait_for(info_hash, MANIFEST_WAIT);
                found = manifests.read(info_hash, offset)?;
            }
        }
        let lost = "this tracker has lost the list of pieces and asks the others for it";
        found.ok_or_else(|| Refusal::about(Code::Unavailable, lost))
    }

    pub(super) fn share_file(
        &mut self,
        command: CommandId,
        group: GroupId,
        name: FileName,
        content: Content,
    ) -> Result<Reply, Refusal> {
        let user = self.user()?;
        let change = Change::Share { user, group: group.clone(), name: name.clone(), content };
        let state = self.core.state();
        if !state.knows_command(CommandOwner::User(user), command) {
            // Refused before the client sends a manifest, which may be long.
            if let Acceptance::Op(body) = accept(&state, &change)? {
                self.core.manifests.lens().look(|len_of| self.core.oversight.limits.ask(&state, &body, len_of))?;
            }
            self.check_manifest(user, &name, &content)?;
            self.check_pieces(&state, user, (&group, &name), &content)?;
        }
        let committed = self.core.committer.submit(command, &change)?;
        let state = self.core.state();
        let found = find_share(&state, user, &group, &name).or_else(|refusal| {
            // It is done, even if somebody ended the share or the membership meanwhile.
            let done = committed.op.and_then(|op| done_share(&state, op, committed.share, (&group, &name), &content));
            done.ok_or(refusal)
        })?;
        Ok(share_reply(&state, user, found))
    }

    /// Two shares of a file count as one, with its size from either, if they have the same pieces.
    fn check_pieces(
        &self,
        state: &State,
        user: UserRef,
        (group, name): (&GroupId, &FileName),
        content: &Content,
    ) -> Result<(), Refusal> {
        let present = find_share(state, user, group, name).map(|info| info.content);
        match present {
            Ok(present) if present.is_sized() != content.is_sized() && present.is_same(content) => {
                let same = self.manifest(present.info_hash)?.pieces() == self.manifest(content.info_hash)?.pieces();
                if same { Ok(()) } else { Err(Refusal::about(Code::FileExists, name)) }
            }
            _ => Ok(()),
        }
    }

    /// A whole manifest of a single file.
    fn manifest(&self, info_hash: InfoHash) -> Result<Manifest, Refusal> {
        let mut bytes = Vec::new();
        loop {
            let (_, part) = self.read_manifest(info_hash, bytes.len() as u32)?;
            if part.is_empty() {
                break;
            }
            bytes.extend(part);
        }
        decode(&bytes, info_hash).map_err(|error| Refusal::about(Code::Unavailable, error))
    }

    /// The list of pieces is here, is that of the content, and stays for the share.
    fn check_manifest(&self, user: UserRef, name: &FileName, content: &Content) -> Result<(), Refusal> {
        let (limits, manifests) = (&self.core.oversight.limits, &self.core.manifests);
        let facts = manifests.facts(content.info_hash)?.ok_or(Code::NeedManifest)?;
        if !facts.agree_with(name, content) {
            return Err(Refusal::about(Code::BadManifest, "it does not agree with what is shared"));
        }
        let is_here = manifests.keep_for_share(content.info_hash, |len| limits.take_bytes(user, len))?;
        if is_here { Ok(()) } else { Err(Code::NeedManifest.into()) }
    }
}
