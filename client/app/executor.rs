//! Carries out commands.

use super::download::{self, hold_back, update};
use super::download_list::{DownloadList, Tracked};
use super::folders::commands as folders;
use super::folders::follow_commands as follows;
use super::folders::register::GoneFiles;
use super::listing;
use super::login::{Login, bring_back, group_lost};
use super::login_session::LoginSession;
use super::node::{Node, command_id};
use super::parts;
use super::resume;
use super::share::{self, ToShare};
use super::status;
use super::upkeep::keeper::{self, OtherContent};
use super::watch;
use crate::client::command::failure::Failure;
use crate::client::command::types::{Command, Direction};
use crate::client::output::event::Event;
use crate::client::output::report::{Report, ToldAgo};
use crate::client::rpc::error::RpcError;
use crate::client::rpc::queries;
use crate::client::shell::repl::Execute;
use crate::client::state::told::TOLD_MAX;
use crate::client::terminal::interrupt::{Activity, Interrupt};
use crate::model::name::shared_path::SharedPath;
use crate::model::name::{FileName, GroupId, UserId};
use crate::model::op::group_access::GroupAccess;
use crate::rate::limit::Limit;
use crate::sys;
use crate::wire::client_tracker::Request;
use crate::wire::refusal::{Code, Refusal};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Pauses between two reports of how far hashing is, and before the first. The first value is for output whose lines
/// stay; the second is for a terminal, where the next report replaces the last.
const PROGRESS_PAUSES: [Duration; 2] = [Duration::from_secs(2), Duration::from_millis(200)];

/// How long a command, or the end of the program, waits for a tracker to hear of downloaded files.
const TELL_DEADLINE: Duration = Duration::from_secs(3);

/// The executor of the commands at the prompt.
pub struct Executor {
    login: Arc<Login>,
    interrupt: Interrupt,
    /// The downloads of the latest login. Empty after a logout.
    downloads: Arc<DownloadList>,
    /// The number of failed downloads in earlier logins.
    failures: usize,
    /// A login whose answer the user has not seen yet, and the typed name.
    arrived: Option<(UserId, Arc<LoginSession>)>,
    /// The last question to the user, and its login.
    asked: Option<(Question, Arc<LoginSession>)>,
}

/// A decision that only a person can make.
enum Question {
    OtherContent(OtherContent),
    GoneFiles(GoneFiles),
}

impl std::fmt::Debug for Executor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Executor").field("login", &self.login).finish_non_exhaustive()
    }
}

impl Executor {
    /// `interrupt` ends long commands.
    pub fn new(login: Arc<Login>, interrupt: Interrupt) -> Self {
        Self { login, interrupt, downloads: Arc::default(), failures: 0, arrived: None, asked: None }
    }

    /// Called when no further command comes. Waits until the tracker has heard of downloaded files, unless the program
    /// is to end at once.
    pub fn part(&self) {
        if let Some(session) = self.login.session() {
            self.let_tell(&session);
        }
    }

    fn node(&self) -> &Node {
        self.login.node()
    }

    fn carry_out(&mut self, command: Command) -> Result<Report, Failure> {
        match command {
            Command::CreateUser { user, password } => {
                self.change(Request::CreateUser { command: command_id(), user, password }, "User created")
            }
            Command::Login { user, password } => {
                if let Some(session) = self.login.session() {
                    return Err(format!("Already logged in as {}, please logout first", session.user()).into());
                }
                let session = self.login.log_in(user.clone(), password)?;
                let report = Report::LoggedIn { user: session.user().clone() };
                self.follow(session.downloads().clone());
                self.arrived = Some((user, session));
                Ok(report)
            }
            Command::Limit { change } => Ok(self.limit(change)),
            other => {
                let session = self.login.session().ok_or(Code::NotLoggedIn)?;
                self.carry_out_logged_in(&session, other)
            }
        }
    }

    /// Makes these the downloads that the end of the program waits for.
    fn follow(&mut self, downloads: Arc<DownloadList>) {
        self.failures += std::mem::replace(&mut self.downloads, downloads).failures();
    }

    fn carry_out_logged_in(&mut self, session: &Arc<LoginSession>, command: Command) -> Result<Report, Failure> {
        match command {
            // `carry_out` handles these, because they need no login.
            Command::CreateUser { .. } | Command::Login { .. } | Command::Limit { .. } => Ok(Report::Nothing),
            Command::Logout => {
                self.let_tell(session);
                self.follow(Arc::default());
                self.login.log_out();
                Ok(Report::Done("Logout successful"))
            }
            Command::ChangePassword { old, new } => {
                self.node().link.renew(&Request::ChangePassword { command: command_id(), old, new })?;
                Ok(Report::Done("Password changed"))
            }
            Command::UploadFile { path, group } => self.upload(session, ToShare::Named(&path), &group),
            Command::ShareFolder { path, group } => folders::share_folder(session, &path, &group),
            Command::UnshareFolder { path } => folders::unshare_folder(session, &path),
            Command::FollowGroup { group, folder, all, max_size } => {
                follows::follow_group(session, &group, (&folder, all, max_size))
            }
            Command::UnfollowGroup { group } => follows::unfollow_group(session, &group),
            Command::ShowFolders => Ok(folders::show(session)),
            Command::StopShare { group, file } => {
                folders::check_single(session, &group, &file)?;
                self.let_tell(session);
                let is_part = parts::stop(session, &group, &file);
                if !is_part || session.slot().share(&group, &file).is_some() {
                    share::stop(session, &group, &file)?;
                }
                Ok(Report::Done("Stopped sharing"))
            }
            Command::DownloadFile { group, file, destination } => {
                self.let_tell(session);
                download::begin(session, (&group, &file), &destination, Vec::new())
            }
            Command::DownloadPart { group, path, destination } => {
                self.let_tell(session);
                self.download_part(session, &group, (&path, &destination))
            }
            Command::UpdateFile { group, file, destination } => {
                self.let_tell(session);
                update::update(session, &group, &file, destination.as_deref())
            }
            Command::PauseDownload { group, file } => {
                hold_back::pause(session, &group, &file)?;
                Ok(Report::Done("Paused"))
            }
            Command::ResumeDownload { group, file } => resume::resume(session, &group, &file),
            Command::CancelDownload { group, file } => {
                hold_back::cancel(session, &group, &file)?;
                Ok(Report::Done("Cancelled"))
            }
            Command::Wait { which } => self.wait(session, which),
            Command::ListFiles { .. } | Command::ListFolder { .. } | Command::Find { .. } => {
                self.list(session, command)
            }
            Command::ShowDownloads | Command::ShowUploads | Command::Watch | Command::Notices => {
                Ok(self.show(session, &command))
            }
            other => self.carry_out_in_group(session, other),
        }
    }

    /// Shows the state of this client.
    fn show(&self, session: &LoginSession, command: &Command) -> Report {
        match command {
            Command::ShowDownloads => {
                let (downloads, _, totals) = watch::snapshot(session);
                Report::Downloads(downloads, totals)
            }
            Command::ShowUploads => Report::Uploads(status::uploads(session), status::incomplete_shares(session)),
            Command::Watch => {
                watch::watch(session, &self.interrupt);
                // In the live view, ctrl-C was an ordinary key, and left nothing on the screen.
                self.interrupt.enter(Activity::Command);
                let (downloads, uploads, totals) = watch::snapshot(session);
                Report::Transfers(downloads, uploads, totals)
            }
            Command::Notices => self.notices(session),
            // The caller passes no other command.
            _ => Report::Nothing,
        }
    }

    /// Lists what is shared.
    fn list(&self, session: &Arc<LoginSession>, command: Command) -> Result<Report, Failure> {
        match command {
            Command::ListFiles { group, pattern, order } => {
                self.let_tell(session);
                listing::files((session, &self.interrupt), &group, pattern.as_ref(), order)
            }
            Command::ListFolder { group, path, order } => {
                self.let_tell(session);
                listing::folder((session, &self.interrupt), &group, &path, order)
            }
            Command::Find { pattern, order } => {
                self.let_tell(session);
                listing::find((session, &self.interrupt), &pattern, order)
            }
            // The caller passes no other command.
            _ => Ok(Report::Nothing),
        }
    }

    /// Carries out commands about groups and their members.
    fn carry_out_in_group(&self, session: &Arc<LoginSession>, command: Command) -> Result<Report, Failure> {
        match command {
            Command::CreateGroup { group } => self.create_group(session, group),
            Command::JoinGroup { group } => {
                self.change(Request::JoinGroup { command: command_id(), group }, "Request sent")
            }
            Command::LeaveGroup { group } => self.leave_group(session, group),
            Command::ListRequests { group } => Ok(Report::Requests(queries::requests(&self.node().link, &group)?)),
            Command::AcceptRequest { group, user } => self.decide(Decision::Accept, group, user),
            Command::RejectRequest { group, user } => self.decide(Decision::Reject, group, user),
            Command::RemoveMember { group, user } => self.decide(Decision::Remove, group, user),
            Command::AddMember { group, user } => self.decide(Decision::Add, group, user),
            Command::MakeOwner { group, user } => self.decide(Decision::MakeOwner, group, user),
            Command::DropOwner { group, user } => self.decide(Decision::DropOwner, group, user),
            Command::SetGroup { group, access } => {
                self.change(Request::SetGroup { command: command_id(), group, access }, access_words(access))
            }
            Command::SetAdding { allowed } => {
                let done = if allowed { "Owners can add you to groups" } else { "Owners cannot add you to groups" };
                self.change(Request::SetAdding { command: command_id(), allowed }, done)
            }
            Command::ListMembers { group } => Ok(Report::Members(queries::members(&self.node().link, &group)?)),
            Command::ListGroups => Ok(Report::Groups(queries::groups(&self.node().link)?)),
            // `carry_out_logged_in` handles the others.
            _ => Ok(Report::Nothing),
        }
    }

    /// Begins to download the wanted files of a shared folder.
    fn download_part(
        &self,
        session: &Arc<LoginSession>,
        group: &GroupId,
        (path, destination): (&SharedPath, &Path),
    ) -> Result<Report, Failure> {
        // A share of exactly that name takes precedence.
        let whole = path.name().into_iter().map(|name| (name, Vec::new()));
        let parts = path.readings().map(|(name, meant)| (name, vec![meant.as_str().to_owned()]));
        for (name, patterns) in whole.chain(parts) {
            match queries::find(&self.node().link, group, &name) {
                Err(RpcError::Refused(refusal)) if refusal.code == Code::NoSuchFile => {}
                found => {
                    found?;
                    return download::begin(session, (group, &name), destination, patterns);
                }
            }
        }
        Err(Refusal::about(Code::NoSuchFile, path.as_str()).into())
    }

    fn notices(&self, session: &LoginSession) -> Report {
        let now = sys::unix_time_s();
        let told = session.slot().told().all().into_iter().rev().map(|told| ToldAgo::of(told, now));
        let report = Report::Notices { told: told.collect(), most: TOLD_MAX };
        listing::shown(session, &self.interrupt, report)
    }

    fn limit(&self, change: Option<(Direction, Limit)>) -> Report {
        let (uplink, downlink) = (&self.node().uplink, &self.node().engine_options.downlink);
        match change {
            Some((Direction::Upload, limit)) => uplink.set_limit(limit),
            Some((Direction::Download, limit)) => downlink.set_limit(limit),
            None => {}
        }
        Report::Limits { upload: uplink.limit(), download: downlink.limit() }
    }

    /// Sends a request that the tracker accepts or refuses.
    fn change(&self, request: Request, done: &'static str) -> Result<Report, Failure> {
        self.node().link.call(&request)?;
        Ok(Report::Done(done))
    }

    fn create_group(&self, session: &LoginSession, group: GroupId) -> Result<Report, Failure> {
        self.node().link.call(&Request::CreateGroup { command: command_id(), group })?;
        // Fetches the key of the new group, to share in it.
        session.refresh_keys()?;
        Ok(Report::Done("Group created"))
    }

    fn leave_group(&self, session: &LoginSession, group: GroupId) -> Result<Report, Failure> {
        self.let_tell(session);
        if self.node().keyring.group_named(&group).is_none() {
            // The user may have heard of the membership a moment before this client has the key.
            session.refresh_keys()?;
        }
        let member = self.node().keyring.group_named(&group);
        self.node().link.call(&Request::LeaveGroup { command: command_id(), group: group.clone() })?;
        Ok(Report::Done(match member {
            Some(id) => {
                group_lost(session, id, &group);
                "Left the group"
            }
            None => "Request withdrawn",
        }))
    }

    fn decide(&self, decision: Decision, group: GroupId, user: UserId) -> Result<Report, Failure> {
        let command = command_id();
        let (request, done) = match decision {
            Decision::Accept => (Request::AcceptRequest { command, group, user }, "Request accepted"),
            Decision::Reject => (Request::RejectRequest { command, group, user }, "Request rejected"),
            Decision::Remove => (Request::RemoveMember { command, group, user }, "Member removed"),
            Decision::Add => (Request::AddMember { command, group, user }, "Member added"),
            Decision::MakeOwner => (Request::MakeOwner { command, group, user }, "Owner made"),
            Decision::DropOwner => (Request::DropOwner { command, group, user }, "Owner dropped"),
        };
        self.change(request, done)
    }

    fn upload(&self, session: &LoginSession, what: ToShare<'_>, group: &GroupId) -> Result<Report, Failure> {
        self.let_tell(session);
        let reporter = &self.node().reporter;
        reporter.event(&Event::Uploading);
        let cancel = AtomicBool::new(false);
        let begun = Instant::now();
        let mut told = begun;
        let pause = PROGRESS_PAUSES[usize::from(reporter.terminal().is_lively() && !reporter.is_json())];
        let mut tell = |done: u64, total: u64| {
            cancel.fetch_or(self.interrupt.is_cancelled(), Ordering::Relaxed);
            let now = Instant::now();
            if now.duration_since(told) >= pause {
                told = now;
                reporter.event(&Event::Hashed { done, total, took: now.duration_since(begun) });
            }
        };
        share::upload(session, (what, group), &cancel, &mut tell)
    }

    fn wait(&self, session: &LoginSession, which: Option<(GroupId, FileName)>) -> Result<Report, Failure> {
        let chosen = which.map(|(group, file)| download::tracked(session, &group, &file).map(|tracked| tracked.id));
        let chosen = chosen.transpose()?;
        if chosen.is_none() {
            session.folders().wait_settled(|| self.interrupt.is_cancelled());
            session.follows().wait_settled(|| self.interrupt.is_cancelled());
        }
        let waited_for = |tracked: &Tracked| chosen.is_none_or(|id| tracked.id == id);
        session.downloads().wait(waited_for, || self.interrupt.is_cancelled());
        self.let_tell(session);
        Ok(Report::Nothing)
    }

    /// Waits until the tracker has heard of complete downloads. A download ends before the tracker hears that its file
    /// is shared here. Commands about shares and the end of the login wait for that.
    fn let_tell(&self, session: &LoginSession) {
        session.untold().wait_tried(TELL_DEADLINE, || self.interrupt.is_cancelled());
    }
}

enum Decision {
    Accept,
    Reject,
    Remove,
    Add,
    MakeOwner,
    DropOwner,
}

fn access_words(access: GroupAccess) -> &'static str {
    match access {
        GroupAccess::Open => "Everybody can join now",
        GroupAccess::Ask => "Users have to ask to join now",
        GroupAccess::Closed => "Nobody can ask to join any more",
    }
}

impl Execute for Executor {
    fn execute(&mut self, command: Command) -> Result<Report, Failure> {
        let login = self.login.clone();
        login.node().link.for_user(|| self.carry_out(command))
    }

    fn answered(&mut self) {
        let Some((asked, session)) = self.arrived.take() else {
            return;
        };
        if *session.user() != asked {
            session.event(&Event::LoggedInAs { asked, user: session.user().clone() });
        }
        bring_back(&session);
    }

    fn question(&mut self) -> Option<String> {
        let session = self.login.session()?;
        let other = keeper::other_content(&session).map(|other| (other.question(), Question::OtherContent(other)));
        let gone =
            || session.folders().take_question().map(|gone| (folders::question(&gone), Question::GoneFiles(gone)));
        let (words, question) = other.or_else(gone)?;
        self.asked = Some((question, session));
        Some(words)
    }

    fn consent(&mut self) -> Result<Report, Failure> {
        match &self.asked {
            Some((Question::OtherContent(OtherContent { group, name, place, .. }), session)) => {
                self.node().link.for_user(|| self.upload(session, ToShare::Asked(place, name), group))
            }
            Some((Question::GoneFiles(gone), session)) => Ok(folders::agree(session, gone)),
            None => Ok(Report::Nothing),
        }
    }

    fn ask_again(&mut self) {
        match self.asked.take() {
            Some((Question::OtherContent(other), session)) => session.upkeep().ask_again(other.key),
            Some((Question::GoneFiles(gone), session)) => session.folders().ask_again(gone),
            None => {}
        }
    }

    fn finish(&mut self) {
        if let Some(session) = self.login.session() {
            session.folders().wait_settled(|| self.interrupt.is_cancelled());
            session.follows().wait_settled(|| self.interrupt.is_cancelled());
        }
        self.downloads.wait(|_| true, || self.interrupt.is_cancelled());
    }

    fn is_member(&self, group: &GroupId) -> bool {
        self.login.session().is_some() && self.node().keyring.group_named(group).is_some()
    }

    fn running(&self) -> Option<String> {
        match self.downloads.busy() {
            0 => None,
            1 => Some("1 download runs; it goes on after the next login.".to_owned()),
            many => Some(format!("{many} downloads run; they go on after the next login.")),
        }
    }

    fn has_failed_downloads(&self) -> bool {
        self.failures + self.downloads.failures() > 0
    }
}
