//! Carries the commands of the prompt out.

use super::account::Account;
use super::command::Command;
use super::fetch;
use super::limit::{Limit, Way};
use super::link::CallError;
use super::listing;
use super::login;
use super::node::{Node, command_id};
use super::progress;
use super::repl::{Execute, Outcome};
use super::sharing;
use super::stop::Stop;
use crate::model::name::{FileName, GroupId, UserId};
use crate::wire::client_tracker::Request;
use crate::wire::error::Code;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Hashing that takes longer than this says how far it is, as often.
const PROGRESS_PAUSE: Duration = Duration::from_secs(2);

/// The prompt's view of the client.
pub struct Session {
    node: Arc<Node>,
    stop: Stop,
    failures: usize,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session").field("node", &self.node).finish_non_exhaustive()
    }
}

impl Session {
    /// Works on a running client; `stop` ends commands that take long.
    pub fn new(node: Arc<Node>, stop: Stop) -> Self {
        Self { node, stop, failures: 0 }
    }

    fn account(&self) -> Result<Arc<Account>, String> {
        self.node.account().ok_or_else(|| Code::NotLoggedIn.words().to_owned())
    }

    fn carry_out(&mut self, command: Command) -> Result<(), String> {
        match command {
            Command::CreateUser { user, password } => {
                self.change(Request::CreateUser { command: command_id(), user, password }, "User created")
            }
            Command::Login { user, password } => {
                if let Some(account) = self.node.account() {
                    return Err(format!("Already logged in as {}, please logout first", account.user));
                }
                login::log_in(&self.node, user, password)
            }
            Command::Limit { change } => {
                self.limit(change);
                Ok(())
            }
            other => {
                let account = self.account()?;
                self.carry_out_logged_in(&account, other)
            }
        }
    }

    fn carry_out_logged_in(&mut self, account: &Arc<Account>, command: Command) -> Result<(), String> {
        match command {
            Command::CreateUser { .. } | Command::Login { .. } | Command::Limit { .. } => Ok(()),
            Command::Logout => {
                self.failures += account.downloads.failures();
                login::log_out(&self.node);
                self.node.terminal.result("Logout successful");
                Ok(())
            }
            Command::ChangePassword { old, new } => {
                let request = Request::ChangePassword { command: command_id(), old, new };
                self.node.link.renew(&request).map_err(|error| error.to_string())?;
                self.node.terminal.result("Password changed");
                Ok(())
            }
            Command::CreateGroup { group } => self.create_group(group),
            Command::JoinGroup { group } => {
                self.change(Request::JoinGroup { command: command_id(), group }, "Request sent")
            }
            Command::LeaveGroup { group } => self.leave_group(account, group),
            Command::ListRequests { group } => self.list(listing::requests(&self.node.link, &group)),
            Command::AcceptRequest { group, user } => self.decide(Decision::Accept, group, user),
            Command::RejectRequest { group, user } => self.decide(Decision::Reject, group, user),
            Command::RemoveMember { group, user } => self.decide(Decision::Remove, group, user),
            Command::ListMembers { group } => self.list(listing::members(&self.node.link, &group)),
            Command::ListGroups => self.list(listing::groups(&self.node.link)),
            Command::ListFiles { group } => self.list(listing::files(&self.node.link, &group)),
            Command::UploadFile { path, group } => self.upload(account, &path, &group),
            Command::StopShare { group, file } => {
                sharing::stop(&self.node, account, &group, &file).map_err(|error| error.to_string())?;
                self.node.terminal.result("Stopped sharing");
                Ok(())
            }
            Command::DownloadFile { group, file, destination } => {
                fetch::begin(&self.node, account, &group, &file, &destination)?;
                self.node.terminal.result("Downloading...");
                Ok(())
            }
            Command::ShowDownloads => {
                self.show_downloads(account);
                Ok(())
            }
            Command::PauseDownload { group, file } => {
                fetch::pause(&self.node, account, &group, &file)?;
                self.node.terminal.result("Paused");
                Ok(())
            }
            Command::ResumeDownload { group, file } => {
                fetch::resume(&self.node, account, &group, &file)?;
                self.node.terminal.result("Downloading...");
                Ok(())
            }
            Command::CancelDownload { group, file } => {
                fetch::cancel(&self.node, account, &group, &file)?;
                self.node.terminal.result("Cancelled");
                Ok(())
            }
            Command::Wait { which } => self.wait(account, which),
        }
    }

    fn limit(&self, change: Option<(Way, Limit)>) {
        let (uplink, downlink) = (&self.node.uplink, &self.node.swarm.downlink);
        match change {
            Some((Way::Upload, limit)) => uplink.set_limit(limit),
            Some((Way::Download, limit)) => downlink.set_limit(limit),
            None => {}
        }
        let lines = [format!("upload  {}", uplink.limit()), format!("download  {}", downlink.limit())];
        self.node.terminal.results(lines.to_vec());
    }

    /// A request whose answer is yes or no.
    fn change(&self, request: Request, done: &str) -> Result<(), String> {
        self.node.link.call(&request).map_err(|error| error.to_string())?;
        self.node.terminal.result(done);
        Ok(())
    }

    fn create_group(&self, group: GroupId) -> Result<(), String> {
        let request = Request::CreateGroup { command: command_id(), group };
        self.node.link.call(&request).map_err(|error| error.to_string())?;
        // The key of the new group, for sharing in it.
        self.node.refresh_keys().map_err(|error| error.to_string())?;
        self.node.terminal.result("Group created");
        Ok(())
    }

    fn leave_group(&self, account: &Arc<Account>, group: GroupId) -> Result<(), String> {
        let member = self.node.keyring.group_named(&group);
        let request = Request::LeaveGroup { command: command_id(), group: group.clone() };
        self.node.link.call(&request).map_err(|error| error.to_string())?;
        match member {
            Some(id) => {
                login::group_lost(&self.node, account, id, &group);
                self.node.terminal.result("Left the group");
            }
            None => self.node.terminal.result("Request withdrawn"),
        }
        Ok(())
    }

    fn decide(&self, decision: Decision, group: GroupId, user: UserId) -> Result<(), String> {
        let command = command_id();
        let (request, done) = match decision {
            Decision::Accept => (Request::AcceptRequest { command, group, user }, "Request accepted"),
            Decision::Reject => (Request::RejectRequest { command, group, user }, "Request rejected"),
            Decision::Remove => (Request::RemoveMember { command, group, user }, "Member removed"),
        };
        self.change(request, done)
    }

    fn list(&self, lines: Result<Vec<String>, CallError>) -> Result<(), String> {
        self.node.terminal.results(lines.map_err(|error| error.to_string())?);
        Ok(())
    }

    fn upload(&self, account: &Arc<Account>, path: &Path, group: &GroupId) -> Result<(), String> {
        let terminal = &self.node.terminal;
        terminal.result("Uploading...");
        let cancel = AtomicBool::new(false);
        let mut told = Instant::now();
        let mut tell = |done: u64, total: u64| {
            cancel.fetch_or(self.stop.is_cancelled(), Ordering::Relaxed);
            let now = Instant::now();
            if now.duration_since(told) >= PROGRESS_PAUSE {
                told = now;
                terminal.event(&format!("hashed {} of {}", progress::percent(done, total), progress::size(total)));
            }
        };
        sharing::upload(&self.node, account, path, group, &cancel, &mut tell)?;
        terminal.result("Uploaded");
        Ok(())
    }

    fn show_downloads(&self, account: &Account) {
        let now = Instant::now();
        let list = account.downloads.list();
        let lines: Vec<_> = list.iter().map(|tracked| fetch::status_line(tracked, now)).collect();
        let lines = if lines.is_empty() { vec!["No downloads yet".to_owned()] } else { lines };
        self.node.terminal.results(lines);
    }

    fn wait(&self, account: &Account, which: Option<(GroupId, FileName)>) -> Result<(), String> {
        let Some((group, file)) = which else {
            account.downloads.wait(|_| true, || self.stop.is_cancelled());
            return Ok(());
        };
        let chosen = account.downloads.find(&group, &file);
        let chosen = chosen.ok_or_else(|| format!("No download of {file} from {group}; see show_downloads"))?;
        account.downloads.wait(|tracked| tracked.id == chosen.id, || self.stop.is_cancelled());
        Ok(())
    }
}

enum Decision {
    Accept,
    Reject,
    Remove,
}

impl Execute for Session {
    fn execute(&mut self, command: Command) -> Outcome {
        match self.carry_out(command) {
            Ok(()) => Outcome::Done,
            Err(why) => Outcome::Failed(why),
        }
    }

    fn finish(&mut self) {
        if let Some(account) = self.node.account() {
            account.downloads.wait(|_| true, || self.stop.is_cancelled());
        }
    }

    fn has_failed_downloads(&self) -> bool {
        let now = self.node.account().map_or(0, |account| account.downloads.failures());
        self.failures + now > 0
    }
}
