//! Brings back the shares of earlier logins, and follows what happens to them elsewhere.

use super::announce::{find_made, hold_shares, is_unheard};
use super::folders::commands::folder_of;
use super::login_session::LoginSession;
use super::share::{LocalShare, forget_all, offer};
use crate::client::output::event::Event;
use crate::client::rpc::error::RpcError;
use crate::client::rpc::queries::{find, find_again, is_superseded};
use crate::client::state::file::StateError;
use crate::client::state::record::ShareRecord;
use crate::client::storage::file_stamp::Stamps;
use crate::model::id::ShareRef;
use crate::model::notice::Notice;
use crate::wire::client_tracker::{Reply, Request};
use crate::wire::refusal::Code;
use std::fmt;

/// Why a share has ended that this client did not end.
const ENDED_ELSEWHERE: &str = "you have stopped it on another client, or shared another version there";

/// Why a share does not come back.
#[derive(Debug)]
enum RestoreError {
    Rpc(RpcError),
    State(StateError),
    EndedElsewhere,
    Forgotten,
}

impl fmt::Display for RestoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RestoreError::Rpc(error) => error.fmt(f),
            RestoreError::State(error) => error.fmt(f),
            RestoreError::EndedElsewhere => f.write_str(ENDED_ELSEWHERE),
            RestoreError::Forgotten => {
                f.write_str("it ended long ago, and the trackers have forgotten it; share it again with upload_file")
            }
        }
    }
}

impl From<RpcError> for RestoreError {
    fn from(error: RpcError) -> Self {
        RestoreError::Rpc(error)
    }
}

impl From<StateError> for RestoreError {
    fn from(error: StateError) -> Self {
        RestoreError::State(error)
    }
}

/// What happened to a share.
#[derive(Debug)]
enum Restored {
    /// The client serves the share, or looks after it until that is possible.
    AsItWas,
    /// The share has a new name, under which it still has to come back.
    Moved,
}

/// Brings back the user's shares of the last login on this client that are not back yet.
pub(super) fn restore(session: &LoginSession) {
    // A share with a new name may have to wait: another share may still have this name, and must get its own new name
    // first.
    for _ in 0..=session.slot().shares().len() {
        if !restore_each(session) {
            return;
        }
    }
}

/// Goes through all shares once. Returns true if some have new names, under which they still have to come back.
fn restore_each(session: &LoginSession) -> bool {
    let node = session.node();
    let mut absent = session.slot().shares();
    absent.retain(|record| {
        let group = node.keyring.group_named(&record.group);
        group.and_then(|group| node.catalog.find(group, record.content.info_hash)).is_none()
    });
    let mut moved = false;
    for record in restore_unchanged(session, absent) {
        if session.is_over() {
            return false;
        }
        match session.decide(|| restore_one(session, &record)) {
            Ok(Restored::AsItWas) => {}
            Ok(Restored::Moved) => moved = true,
            Err(_) if session.is_over() => return false,
            Err(error) => tell(session, record, &error),
        }
    }
    moved
}

/// Tells why a share has not come back. Either the share has ended, or a failure prevented its return, and the next
/// tracker or login tries again.
fn tell(session: &LoginSession, ShareRecord { group, name: file, .. }: ShareRecord, error: &RestoreError) {
    let ended = session.slot().share(&group, &file).is_none();
    match error {
        _ if ended => session.event(&Event::ShareLost { group, file, why: error.to_string() }),
        RestoreError::Rpc(RpcError::Refused(_)) | RestoreError::State(_) => {
            session.event(&Event::Warning(format!("{file} is not given to others in {group} yet: {error}")));
        }
        // The client reports the loss of a tracker elsewhere.
        RestoreError::Rpc(_) | RestoreError::EndedElsewhere | RestoreError::Forgotten => {}
    }
}

/// Brings back together all shares that are unchanged at the tracker. Returns the others, which need a closer look.
///
/// The client sends all questions at once, then all holdings. So the number of shares costs no further round trips.
fn restore_unchanged(session: &LoginSession, records: Vec<ShareRecord>) -> Vec<ShareRecord> {
    let find = |record: &ShareRecord| Request::FindShare { group: record.group.clone(), name: record.name.clone() };
    // If the client loses the tracker right now, it does all of this again when it reaches one.
    let Ok(found) = session.node().link.call_all(&records.iter().map(find).collect::<Vec<_>>()) else {
        return Vec::new();
    };
    let (mut back, mut others) = (Vec::new(), Vec::new());
    for (record, found) in records.into_iter().zip(found) {
        match found {
            Ok(Reply::Share { share, content, shared_by_you: true, .. }) if content == record.content => {
                if !session.is_over() && session.decide(|| bring_back(session, &record, share)) {
                    back.push(ShareRecord { share: Some(share), ..record });
                }
            }
            _ => others.push(record),
        }
    }
    // The next tracker hears of all served content.
    let _ = hold_shares(session, back);
    others
}

/// Serves a share if its file is unchanged, and returns true. Hands a missing or changed file to the upkeep.
fn bring_back(session: &LoginSession, record: &ShareRecord, share: ShareRef) -> bool {
    let ShareRecord { group, name, path, content, stamps, .. } = record;
    if !is_kept(session, record) {
        return false;
    }
    let unchanged = session.slot().manifest(&content.info_hash).ok().flatten().and_then(|manifest| {
        let now = Stamps::take(path, manifest.files()).ok()?;
        (now.digest() == *stamps).then_some((manifest, now))
    });
    if let Some((manifest, stamps)) = unchanged {
        let shared = LocalShare { group, name, path, content: *content, manifest: &manifest, stamps };
        return offer(session, share, shared).is_ok();
    }
    if let Some(group) = session.node().keyring.group_named(group) {
        session.upkeep().watch((group, content.info_hash), share);
    }
    false
}

/// Finds out what happened to a share, here and at the tracker.
fn restore_one(session: &LoginSession, record: &ShareRecord) -> Result<Restored, RestoreError> {
    let node = session.node();
    let ShareRecord { group, name, content, .. } = record;
    let found = match record.share {
        Some(share) => find_made(session, share, group, name),
        None => find(&node.link, group, name).map(Some),
    };
    let is_other = match &found {
        Ok(Some(found)) => record.share != Some(found.share) && !(found.shared_by_you && found.content == *content),
        Err(RpcError::Refused(refusal)) => refusal.code.is_gone(),
        Ok(None) | Err(_) => false,
    };
    if let Some(share) = record.share.filter(|_| is_other)
        && let Some((group, name)) = find_again(&node.link, &node.keyring.names(), share, name)?
    {
        let moved = session.slot().move_share(record, &group, &name)?;
        return Ok(if moved { Restored::Moved } else { Restored::AsItWas });
    }
    match found {
        Ok(Some(found)) if found.shared_by_you && found.content == *content => {
            if bring_back(session, record, found.share) {
                hold_shares(session, vec![ShareRecord { share: Some(found.share), ..record.clone() }])?;
            }
            Ok(Restored::AsItWas)
        }
        // The share under this name may be older than the one here.
        Ok(Some(_)) if record.share.is_some_and(|share| is_unheard(session, share)) => Ok(Restored::AsItWas),
        Ok(Some(found)) => match record.share {
            // Others may still be in the middle of the old version.
            Some(share) if is_superseded(&node.link, share)? => {
                if bring_back(session, record, share) {
                    hold_shares(session, vec![record.clone()])?;
                }
                if found.shared_by_you {
                    tell_newer(session, record);
                }
                Ok(Restored::AsItWas)
            }
            _ => give_up(session, record, RestoreError::EndedElsewhere),
        },
        Ok(None) => Ok(Restored::AsItWas),
        Err(RpcError::Refused(refusal)) if refusal.code == Code::Forgotten => {
            give_up(session, record, RestoreError::Forgotten)
        }
        Err(RpcError::Refused(refusal)) if refusal.code.is_gone() => {
            give_up(session, record, RpcError::Refused(refusal).into())
        }
        Err(error) => Err(error.into()),
    }
}

/// Handles the tracker's push that a share has ended. Tells the user unless this client ended it. If another client of
/// the user has shared a new version, the file here stays as an old one, unless its folder decides.
pub(super) fn ended(session: &LoginSession, share: ShareRef) {
    // Takes the lock, so a command of this client that ends the share or replaces it finishes first.
    session.decide(|| {
        let shares = session.slot().shares_numbered(share);
        if shares.is_empty() {
            return;
        }
        let Ok(superseded) = is_superseded(&session.node().link, share) else {
            // The client looks for a share that is not served when it reaches a tracker.
            for ShareRecord { group, content, .. } in &shares {
                let group = session.node().keyring.group_named(group);
                group.into_iter().for_each(|group| session.node().catalog.remove(group, content.info_hash));
            }
            return;
        };
        let is_kept = |record: &ShareRecord| superseded && folder_of(session, record).is_none();
        let (old, lost): (Vec<_>, Vec<_>) = shares.into_iter().partition(is_kept);
        old.iter().for_each(|record| tell_newer(session, record));
        if !old.is_empty() {
            // Others may be in the middle of it. The next tracker hears of all served content.
            let _ = hold_shares(session, old);
        }
        for ShareRecord { group, name, .. } in lost.clone() {
            session.event(&Event::ShareLost { group, file: name, why: ENDED_ELSEWHERE.to_owned() });
        }
        forget_all(session, &lost);
    });
}

/// Tells of the new version that another client of the user has shared. Other members hear of it from the tracker.
fn tell_newer(session: &LoginSession, record: &ShareRecord) {
    let comes_by_itself = session.slot().folders().follows_into(&record.group, &record.path);
    if !comes_by_itself && folder_of(session, record).is_none() {
        let (group, name, author) = (record.group.clone(), record.name.clone(), session.user().clone());
        session.event(&Event::Notice(Notice::NewVersion { group, name, author }));
    }
}

/// Removes the record of the share, for this reason.
fn give_up(session: &LoginSession, record: &ShareRecord, why: RestoreError) -> Result<Restored, RestoreError> {
    if !is_kept(session, record) {
        return Ok(Restored::AsItWas);
    }
    forget_all(session, session.slot().share(&record.group, &record.name).as_slice());
    Err(why)
}

/// Whether the record of the share is unchanged. The user may have stopped the share meanwhile.
fn is_kept(session: &LoginSession, record: &ShareRecord) -> bool {
    session.slot().share(&record.group, &record.name).is_some_and(|kept| kept == *record)
}
