//! Bringing back at login what the user shared here before.

use super::announce::{find_made, hold_all};
use super::login_session::LoginSession;
use super::share::{LocalShare, forget_all, offer, share_hashed};
use crate::client::output::event::Event;
use crate::client::rpc::error::RpcError;
use crate::client::rpc::queries::{Found, find, find_again};
use crate::client::state::file::StateError;
use crate::client::state::record::ShareRecord;
use crate::client::storage::file_stamp::Stamps;
use crate::client::storage::import::{Import, hash_for_sharing};
use crate::client::storage::import_error::ImportError;
use crate::model::id::ShareRef;
use crate::wire::client_tracker::{Holding, Reply, Request};
use crate::wire::refusal::Refusal;
use std::fmt;

/// Why a share does not come back.
#[derive(Debug)]
enum RestoreError {
    Rpc(RpcError),
    State(StateError),
    StoppedElsewhere,
    Unreadable(ImportError),
    /// The file has changed, and the tracker does not take the new version.
    NewVersion(Refusal),
}

impl fmt::Display for RestoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RestoreError::Rpc(error) => error.fmt(f),
            RestoreError::State(error) => error.fmt(f),
            RestoreError::StoppedElsewhere => f.write_str("it was stopped on another client"),
            RestoreError::Unreadable(error) => error.fmt(f),
            RestoreError::NewVersion(refusal) => {
                write!(f, "it has changed, and the new version cannot take its place: {refusal}")
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

/// How a share came back.
#[derive(Debug)]
enum Restored {
    AsItWas,
    Changed,
    /// Not yet: it goes by another name now.
    Moved,
}

/// What a look at a share came to.
enum Looked {
    Settled(Restored),
    /// The file is not what it was when it was hashed last: it is to be hashed again.
    Differs(Found),
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
        let names = || (record.group.clone(), record.name.clone());
        match restore_one(session, &record) {
            Ok(Restored::AsItWas) => {}
            Ok(Restored::Changed) => {
                let (group, file) = names();
                session.event(&Event::ShareChanged { group, file });
            }
            Ok(Restored::Moved) => moved = true,
            Err(_) if session.is_over() => return false,
            Err(error) => {
                let (group, file) = names();
                session.event(&Event::ShareLost { group, file, why: error.to_string() });
            }
        }
    }
    moved
}

/// Brings back all at once what has changed neither here nor at the tracker. Gives the others, which need a closer look.
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
        let share = match found {
            Ok(Reply::Share { share, content, shared_by_you: true, .. }) if content == record.content => Some(share),
            _ => None,
        };
        match share.filter(|&share| !session.is_over() && session.decide(|| offer_unchanged(session, &record, share))) {
            Some(share) => back.push(share),
            None => others.push(record),
        }
    }
    // The next tracker is told of all that is served.
    let _ = hold_all(session, back.into_iter());
    others
}

/// Serves a share if its file has not changed; true if it does.
fn offer_unchanged(session: &LoginSession, record: &ShareRecord, share: ShareRef) -> bool {
    let ShareRecord { group, name, path, content, stamps, .. } = record;
    let manifest = session.slot().manifest(&content.info_hash).ok().flatten().filter(|_| is_kept(session, record));
    let unchanged = manifest.and_then(|manifest| {
        let now = Stamps::take(path, manifest.files()).ok()?;
        (now.digest() == *stamps).then_some((manifest, now))
    });
    unchanged.is_some_and(|(manifest, stamps)| {
        let shared = LocalShare { group, name, path, content: *content, manifest: &manifest, stamps };
        offer(session, share, shared).is_ok()
    })
}

fn restore_one(session: &LoginSession, record: &ShareRecord) -> Result<Restored, RestoreError> {
    let found = match session.decide(|| look(session, record))? {
        Looked::Settled(restored) => return Ok(restored),
        Looked::Differs(found) => found,
    };
    match hash_for_sharing(&record.path, &record.name, session.over(), &mut |_, _| {}) {
        Ok(hashed) => session.decide(|| replace(session, record, &found, hashed)),
        // The login is ending: the next one reads it again.
        Err(ImportError::Cancelled) => Ok(Restored::AsItWas),
        Err(error) => Err(RestoreError::Unreadable(error)),
    }
}

/// Looks what has become of a share, here and at the tracker; serves it if nothing has changed.
fn look(session: &LoginSession, record: &ShareRecord) -> Result<Looked, RestoreError> {
    let node = session.node();
    let ShareRecord { group, name, content, .. } = record;
    let settled = |restored| Ok(Looked::Settled(restored));
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
        return settled(if moved { Restored::Moved } else { Restored::AsItWas });
    }
    let found = match found {
        Ok(Some(found)) if found.shared_by_you => found,
        Ok(Some(_)) => return give_up(session, record, RestoreError::StoppedElsewhere).map(Looked::Settled),
        Ok(None) => return settled(Restored::AsItWas),
        Err(RpcError::Refused(refusal)) if refusal.code.is_gone() => {
            return give_up(session, record, RpcError::Refused(refusal).into()).map(Looked::Settled);
        }
        Err(error) => return Err(error.into()),
    };
    if !is_kept(session, record) {
        return settled(Restored::AsItWas);
    }
    if found.content != *content || !offer_unchanged(session, record, found.share) {
        return Ok(Looked::Differs(found));
    }
    session.hold(found.share, Holding::All {})?;
    settled(Restored::AsItWas)
}

/// Shares what the file holds now instead of what it held.
fn replace(
    session: &LoginSession,
    record: &ShareRecord,
    found: &Found,
    hashed: Import,
) -> Result<Restored, RestoreError> {
    if !is_kept(session, record) {
        return Ok(Restored::AsItWas);
    }
    let changed = hashed.sha1 != found.content.sha1;
    match share_hashed(session, &record.group, &record.name, hashed) {
        Ok(_) => Ok(if changed { Restored::Changed } else { Restored::AsItWas }),
        Err(RpcError::Refused(refusal)) => Err(RestoreError::NewVersion(refusal)),
        Err(error) => Err(error.into()),
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
