//! Who is logged in on this client: from login to logout, and what ends with a membership.

use super::announce::announce_all;
use super::download;
use super::folders;
use super::login_session::LoginSession;
use super::node::Node;
use super::parts;
use super::restore;
use super::resume;
use super::share;
use super::upkeep::keeper;
use crate::client::command::failure::Failure;
use crate::client::output::event::Event;
use crate::model::id::GroupRef;
use crate::model::name::{GroupId, UserId};
use crate::wire::client_tracker::{Password, Request};
use parking_lot::Mutex;
use std::sync::Arc;

/// The login of this client. There is one at a time, or none.
#[derive(Debug)]
pub struct Login {
    node: Arc<Node>,
    session: Mutex<Option<Arc<LoginSession>>>,
}

impl Login {
    /// Nobody is logged in yet.
    pub fn new(node: Arc<Node>) -> Arc<Self> {
        Arc::new(Self { node, session: Mutex::default() })
    }

    pub fn node(&self) -> &Node {
        &self.node
    }

    /// The session of whoever is logged in.
    pub fn session(&self) -> Option<Arc<LoginSession>> {
        self.session.lock().clone()
    }

    /// Logs in. What others say to the user waits for [`bring_back`].
    pub(super) fn log_in(&self, user: UserId, password: Password) -> Result<Arc<LoginSession>, Failure> {
        let request = Request::Login { client: self.node.client, user, password };
        let (user, number) = self.node.link.log_in(&request)?;
        let session = LoginSession::begin(self.node.clone(), user, number).inspect_err(|_| self.node.link.log_out())?;
        *self.session.lock() = Some(session.clone());
        Ok(session)
    }

    /// Ends the login: sharing stops, downloads are kept for the next login.
    pub(super) fn log_out(&self) {
        if self.end().is_some() {
            self.node.link.log_out();
        }
    }

    /// The login has ended without the user's doing, for this reason.
    pub(super) fn lose(&self, why: String) {
        if let Some(session) = self.end() {
            session.event(&Event::LoggedOut { why });
            session.downloads().lose();
        }
    }

    /// Ends the login on this side; gives its session, nothing if nobody was logged in.
    pub fn end(&self) -> Option<Arc<LoginSession>> {
        let session = self.session.lock().take()?;
        self.node.identity.forget();
        session.downloads().running().iter().for_each(|transfer| download::follow(&session, transfer));
        session.end();
        Some(session)
    }
}

/// Brings everything back that was there before the login: shares, and downloads that have not ended.
pub(super) fn bring_back(session: &Arc<LoginSession>) {
    resume::take_in(session);
    session.help("upkeep".into(), |session| keeper::run(session));
    session.folders().wake();
    session.help("folders".into(), folders::keeper::run);
    session.follows().wake_for();
    session.help("follower".into(), folders::follow_keeper::run);
    session.node().link.arrived();
    // Should the tracker be lost just now, this is done again when one is reached.
    if let Err(error) = announce_all(session) {
        session.event(&Event::Warning(error.to_string()));
    }
    restore_beside(session);
}

/// Tells a tracker that has just been reached everything about this client. What the login could not bring back because
/// a tracker was lost comes back now.
pub(super) fn announce_and_bring_back(session: &Arc<LoginSession>) {
    match announce_all(session) {
        Ok(()) => restore_beside(session),
        Err(error) => session.event(&Event::Warning(error.to_string())),
    }
}

fn restore_beside(session: &Arc<LoginSession>) {
    session.help("restore".into(), |session| {
        restore::restore(session);
        parts::bring_back(session);
        resume::resume_waiting(session);
    });
}

/// The user is no longer a member of a group: nothing is shared or downloaded there any more.
pub(super) fn group_lost(session: &LoginSession, group: GroupRef, name: &GroupId) {
    let node = session.node();
    // Under the name by which it is known here, should it have got another.
    let name = &node.keyring.name_of(group).unwrap_or_else(|| name.clone());
    node.keyring.remove(group);
    session.drop_connections(group);
    node.catalog.remove_group(group);
    download::stop_group(session, name);
    let mut folders = session.slot().folders().list();
    folders.retain(|folder| folder.group == *name);
    session.remembered(session.slot().folders().remove_where(|folder| folder.group == *name), ToString::to_string);
    session.folders().stop_reading();
    session.follows().wake();
    for folder in folders {
        let what = if folder.is_shared() { "it is shared no longer" } else { "nothing comes into it any more" };
        let why = format!("{what}: you are no member of the group any more");
        session.event(&Event::FolderTrouble { group: folder.group, folder: folder.path, why });
    }
    share::forget(session, |record| record.group == *name);
}
