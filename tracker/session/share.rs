//! Shares and their manifests on a connection.

use super::Session;
use super::page::{PAGE_AND_ONE, page};
use crate::model::digest::InfoHash;
use crate::model::id::{CommandId, OpId, ShareRef, UserRef};
use crate::model::manifest::Content;
use crate::model::name::{FileName, GroupId};
use crate::tracker::core::Core;
use crate::tracker::ledger::accept::{Acceptance, Change, accept, find_own_group, find_share};
use crate::tracker::manifests::{ManifestFacts, ManifestPart, room_of};
use crate::tracker::state::{CommandOwner, Fate, ShareInfo, State};
use crate::wire::client_tracker::{FileLine, Reply};
use crate::wire::codec::Blob;
use crate::wire::refusal::{Code, Refusal};
use std::time::{Duration, Instant};

/// How long a client waits for a manifest that was lost here, while other trackers are asked for it.
const MANIFEST_WAIT: Duration = Duration::from_secs(5);

/// A share in a group that the user is a member of. It may have no sharers left: clients with parts of it may go on
/// exchanging them. A stranger gets the same answer for a share as for any other op, and so cannot tell which ops made
/// shares.
pub(super) fn visible_share(state: &State, user: UserRef, share: ShareRef) -> Result<ShareInfo, Refusal> {
    let visible = state.share(share).filter(|info| state.is_member(info.group, user));
    visible.ok_or_else(|| match state.fate(share.0) {
        Fate::Known | Fate::Forgotten => Code::Forgotten.into(),
        // The op may still be on its way from another tracker.
        Fate::Unheard => Code::NoSuchFile.into(),
    })
}

/// The share that the change of `op` made. It is for the author, who may have left the group since. A repeated command
/// has no `share`: then returns the share that this op made, if it is the requested one.
fn done_share(
    state: &State,
    op: OpId,
    share: Option<ShareRef>,
    (group, content): (&GroupId, &Content),
) -> Option<ShareInfo> {
    let is_asked = |info: &ShareInfo| state.group_named(group) == Some(info.group) && info.content.is_same(content);
    let repeated = || state.share(ShareRef(op)).filter(is_asked);
    share.map_or_else(repeated, |share| state.share(share))
}

/// The lines of a list for these shares.
pub(super) fn file_lines(core: &Core, state: &State, rows: Vec<ShareInfo>) -> Vec<FileLine> {
    let shares: Vec<_> = rows.iter().map(|row| row.share).collect();
    let online = core.presence.holder_counts(&shares, |share, user| state.is_sharer(share, user));
    let line = |(row, online): (ShareInfo, u32)| FileLine {
        name: row.name,
        content: row.content,
        author: row.author,
        sharer_count: row.sharer_count,
        online,
    };
    rows.into_iter().zip(online).map(line).collect()
}

fn share_reply(state: &State, user: UserRef, info: ShareInfo) -> Reply {
    let shared_by_you = state.is_sharer(info.share, user);
    let ShareInfo { share, group, name, content, author, .. } = info;
    Reply::Share { share, group, name, content, author, shared_by_you }
}

impl Session {
    pub(super) fn list_files(&mut self, group: &GroupId, after: Option<&FileName>) -> Result<Reply, Refusal> {
        let user = self.user()?;
        let state = self.core.state();
        let rows = state.files_after(find_own_group(&state, user, group)?, after, PAGE_AND_ONE);
        let (files, more) = page(file_lines(&self.core, &state, rows));
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
        let part = ManifestPart { info_hash, total, offset, bytes };
        let requester = self.requester(user);
        let brought = self.brought.of(user);
        // The user has paid for a first part that got no turn.
        if offset == 0 && !brought.upload.as_ref().is_some_and(|upload| upload.awaits(&part)) {
            let room = u64::from(room_of(total));
            manifests.lens().look(|len_of| limits.ask_upload(&state, user, room, len_of))?;
            // Paid once for the whole list, even if it is here: it is kept for this user.
            limits.take_bytes(user, room)?;
        }
        if manifests.put(&mut brought.upload, part, requester, |used| limits.ask_bytes(used))? {
            brought.note(info_hash);
        }
        Ok(Reply::Done {})
    }

    pub(super) fn get_manifest(&mut self, share: ShareRef, offset: u32) -> Result<Reply, Refusal> {
        let user = self.user()?;
        let info = visible_share(&self.core.state(), user, share)?;
        let (total, part) = self.read_manifest(user, info.content.info_hash, offset)?;
        let part = Blob::new(part).ok_or(Code::Unavailable)?;
        Ok(Reply::ManifestPart { total, part })
    }

    /// A part of a manifest. If this tracker has lost it, asks other trackers.
    fn read_manifest(&self, user: UserRef, info_hash: InfoHash, offset: u32) -> Result<(u32, Vec<u8>), Refusal> {
        let (manifests, requester) = (&self.core.manifests, self.requester(user));
        let mut found = manifests.read(info_hash, offset, requester)?;
        if found.is_none() {
            manifests.wish(info_hash);
            if self.core.cluster.wake() {
                let left = self.answer_by.saturating_duration_since(Instant::now());
                manifests.wait_for(info_hash, MANIFEST_WAIT.min(left));
                found = manifests.read(info_hash, offset, requester)?;
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
            // Refuses before the client sends the manifest, which may be long.
            let accepted = accept(&state, &change)?;
            let is_known = self.has_brought(&state, user, (&group, &name), content.info_hash);
            if let Acceptance::Op(body) = accepted {
                let (limits, asked) = (&self.core.oversight.limits, (user, &body));
                // The user must not learn the length of a list that only others have.
                let secret = (!is_known).then_some(content.info_hash);
                self.core.manifests.lens().look(|len_of| limits.ask(&state, asked, len_of, secret))?;
            }
            if !is_known {
                return Err(Code::NeedManifest.into());
            }
            let facts = self.check_manifest(user, &name, &content)?;
            self.check_pieces(&state, user, (&group, &name), (&content, &facts))?;
        }
        let committed = self.core.committer.submit(command, &change)?;
        let state = self.core.state();
        let found = find_share(&state, user, &group, &name).or_else(|refusal| {
            // The change is done, even if the share or the membership has ended meanwhile.
            let done = committed.op.and_then(|op| done_share(&state, op, committed.share, (&group, &content)));
            done.ok_or(refusal)
        })?;
        Ok(share_reply(&state, user, found))
    }

    /// Whether this user, or this group, has brought a manifest. Nothing else that users are told reveals whether it
    /// is here.
    fn has_brought(
        &mut self,
        state: &State,
        user: UserRef,
        (group, name): (&GroupId, &FileName),
        info_hash: InfoHash,
    ) -> bool {
        let is_it = |share: &ShareInfo| share.content.info_hash == info_hash;
        let named = || state.share_named(state.group_named(group)?, name).filter(is_it);
        self.brought.of(user).has(info_hash)
            || find_own_group(state, user, group).is_ok() && named().is_some()
            || self
                .core
                .manifests
                .lens()
                .look(|len_of| self.core.oversight.limits.shares(state, user, len_of, info_hash))
    }

    /// A share with its size and one without count as the same file if their pieces are equal.
    fn check_pieces(
        &self,
        state: &State,
        user: UserRef,
        (group, name): (&GroupId, &FileName),
        (content, facts): (&Content, &ManifestFacts),
    ) -> Result<(), Refusal> {
        let Ok(present) = find_share(state, user, group, name).map(|info| info.content) else { return Ok(()) };
        let is_twin = present.is_sized() != content.is_sized() && present.is_same(content);
        if !is_twin || present.info_hash == content.info_hash {
            return Ok(());
        }
        let known = self.core.manifests.facts(present.info_hash, self.requester(user))?;
        let lost = "this tracker has lost the list of pieces and asks the others for it";
        let known = known.ok_or_else(|| Refusal::about(Code::Unavailable, lost))?;
        if known.has_pieces_of(facts) { Ok(()) } else { Err(Refusal::about(Code::FileExists, name)) }
    }

    /// Checks that the list of pieces is here and fits the content, and keeps it for the share.
    fn check_manifest(&self, user: UserRef, name: &FileName, content: &Content) -> Result<ManifestFacts, Refusal> {
        let (limits, manifests) = (&self.core.oversight.limits, &self.core.manifests);
        let facts = manifests.facts(content.info_hash, self.requester(user))?.ok_or(Code::NeedManifest)?;
        if !facts.agree_with(name, content) {
            return Err(Refusal::about(Code::BadManifest, "it does not agree with what is shared"));
        }
        let is_here = manifests.keep_for_share(content.info_hash, |len| limits.take_bytes(user, len))?;
        if is_here { Ok(facts) } else { Err(Code::NeedManifest.into()) }
    }
}
