//! The login of this client, from login to logout, and what ends with a membership.

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

/// The login of this client. At most one exists at a time.
#[derive(Debug)]
pub struct Login {
    node: Arc<Node>,
    session: Mutex<Option<Arc<LoginSession>>>,
}

impl Login {
    /// Starts without a login.
    pub fn new(node: Arc<Node>) -> Arc<Self> {
        Arc::new(Self { node, session: Mutex::default() })
    }

    pub fn node(&self) -> &Node {
        &self.node
    }

    /// The session of the current login.
    pub fn session(&self) -> Option<Arc<LoginSession>> {
        self.session.lock().clone()
    }

    /// Logs in. Messages from others to the user wait for [`bring_back`].
    pub(super) fn log_in(&self, user: UserId, password: Password) -> Result<Arc<LoginSession>, Failure> {
        let request = Request::Login { client: self.node.client, user, password };
        let (user, number) = self.node.link.log_in(&request)?;
        let session = LoginSession::begin(self.node.clone(), user, number).inspect_err(|_| self.node.link.log_out())?;
        *self.session.lock() = Some(session.clone());
        Ok(session)
    }

    /// Ends the login. Sharing stops, and the client keeps the downloads for the next login.
    pub(super) fn log_out(&self) {
        if self.end().is_some() {
            self.node.link.log_out();
        }
    }

    /// Ends the login for this reason, without the user's doing.
    pub(super) fn lose(&self, why: String) {
        if let Some(session) = self.end() {
            session.event(&Event::LoggedOut { why });
            session.downloads().lose();
        }
    }

    /// Ends the login on this side. Returns its session, or `None` without a login.
    pub fn end(&self) -> Option<Arc<LoginSession>> {
        let session = self.session.lock().take()?;
        self.node.identity.forget();
        session.downloads().running().iter().for_each(|transfer| download::follow(&session, transfer));
        session.end();
        Some(session)
    }
}

/// Brings back the shares and the unfinished downloads from before the login.
pub(super) fn bring_back(session: &Arc<LoginSession>) {
    resume::take_in(session);
    session.help("upkeep".into(), |session| keeper::run(session));
    session.folders().wake();
    session.help("folders".into(), folders::keeper::run);
    session.follows().wake_for();
    session.help("follower".into(), folders::follow_keeper::run);
    session.node().link.arrived();
    // If the client loses the tracker right now, it does this again when it reaches one.
    if let Err(error) = announce_all(session) {
        session.event(&Event::Warning(error.to_string()));
    }
    restore_beside(session);
}

/// Tells a newly reached tracker everything about this client. Also brings back what the login could not, because it
/// lost its tracker.
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

/// Ends sharing and downloads in a group after the user has lost the membership.
pub(super) fn group_lost(session: &LoginSession, group: GroupRef, name: &GroupId) {
    let node = session.node();
    // The group may have a new name. This is the name that the client knows.
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
