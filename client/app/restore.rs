//! Bringing back at login what the user shared here before, and what becomes of that elsewhere.

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

/// Why a share is over that this client has not ended.
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

/// What became of a share.
#[derive(Debug)]
enum Restored {
    /// It is given to others, or looked after until it can be.
    AsItWas,
    /// It goes by another name now, under which it is to be brought back yet.
    Moved,
}

/// Brings back what was shared when the user was last logged in on this client, as far as it is not back yet.
pub(super) fn restore(session: &LoginSession) {
    // One that goes by another name now may have to wait until the one that had that name goes by another too.
    for _ in 0..=session.slot().shares().len() {
        if !restore_each(session) {
            return;
        }
    }
}

/// Goes through all once. True if some go by other names now, under which they are to be brought back yet.
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

/// Tells why a share has not come back: it has ended, or something went wrong that is tried again with the next tracker
/// or login.
fn tell(session: &LoginSession, ShareRecord { group, name: file, .. }: ShareRecord, error: &RestoreError) {
    let ended = session.slot().share(&group, &file).is_none();
    match error {
        _ if ended => session.event(&Event::ShareLost { group, file, why: error.to_string() }),
        RestoreError::Rpc(RpcError::Refused(_)) | RestoreError::State(_) => {
            session.event(&Event::Warning(format!("{file} is not given to others in {group} yet: {error}")));
        }
        // The loss of a tracker is told as such.
        RestoreError::Rpc(_) | RestoreError::EndedElsewhere | RestoreError::Forgotten => {}
    }
}

/// Brings back all at once what stands at the tracker as it did. Gives the others, which need a closer look.
///
/// The tracker is asked for all, then told of all, so the number of shares does not count in round trips.
fn restore_unchanged(session: &LoginSession, records: Vec<ShareRecord>) -> Vec<ShareRecord> {
    let find = |record: &ShareRecord| Request::FindShare { group: record.group.clone(), name: record.name.clone() };
    // Should the tracker be lost just now, all of this is done again when one is reached.
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
    // The next tracker is told of all that is served.
    let _ = hold_shares(session, back);
    others
}

/// Serves a share if its file has not changed; true if it does. What is missing or has changed is looked after.
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

/// Looks what has become of a share, here and at the tracker.
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
        // What has this name here may be older than the share.
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

/// The tracker says that the user shares something no longer. If this client did not end it, the user is told. What the
/// user has shared another version of on another client is kept as an old one, unless its folder decides on it.
pub(super) fn ended(session: &LoginSession, share: ShareRef) {
    // With the lock: a command of this client that has ended it, or shares another version, is done with it by then.
    session.decide(|| {
        let shares = session.slot().shares_numbered(share);
        if shares.is_empty() {
            return;
        }
        let Ok(superseded) = is_superseded(&session.node().link, share) else {
            // What is not given is looked for when a tracker is reached.
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
            // Others may be in the middle of it. The next tracker hears of all that is given.
            let _ = hold_shares(session, old);
        }
        for ShareRecord { group, name, .. } in lost.clone() {
            session.event(&Event::ShareLost { group, file: name, why: ENDED_ELSEWHERE.to_owned() });
        }
        forget_all(session, &lost);
    });
}

/// The user has shared a new version of this on another client: tells so, as others are told by the tracker.
fn tell_newer(session: &LoginSession, record: &ShareRecord) {
    let comes_by_itself = session.slot().folders().follows_into(&record.group, &record.path);
    if !comes_by_itself && folder_of(session, record).is_none() {
        let (group, name, author) = (record.group.clone(), record.name.clone(), session.user().clone());
        session.event(&Event::Notice(Notice::NewVersion { group, name, author }));
    }
}

/// Remembers the share no longer, for this reason.
fn give_up(session: &LoginSession, record: &ShareRecord, why: RestoreError) -> Result<Restored, RestoreError> {
    if !is_kept(session, record) {
        return Ok(Restored::AsItWas);
    }
    forget_all(session, session.slot().share(&record.group, &record.name).as_slice());
    Err(why)
}

/// Whether the share is remembered as it was. The user may have stopped it meanwhile.
fn is_kept(session: &LoginSession, record: &ShareRecord) -> bool {
    session.slot().share(&record.group, &record.name).is_some_and(|kept| kept == *record)
}
