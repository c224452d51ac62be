//! The operator's commands, from the console or from ctl, on a tracker that may restart meanwhile.

use super::audited;
use super::reload::{Reload, Reloaded};
use crate::model::name::UserId;
use crate::tracker::backup::snapshot::BackupError;
use crate::tracker::log::Level;
use crate::tracker::operator::answer::{CommandRefusal, Outcome, RESTARTING, Row};
use crate::tracker::operator::command::{NewPassword, OperatorCommand};
use crate::tracker::operator::dialogue::{AskError, Dialogue, Gone, OperatorCaller, OperatorCommands};
use crate::tracker::operator::table;
use crate::tracker::oversight::Oversight;
use crate::tracker::server::Server;
use crate::tracker::server::acts::{PasswordAct, UserAct, made_password};
use crate::tracker::server::kept_server::KeptServer;
use crate::wire::client_tracker::Password;
use crate::wire::refusal::Code;
use crossbeam_channel::Sender;
use parking_lot::Mutex;
use serde_json::json;
use std::io::{self, Write};
use std::sync::Arc;

/// Carries the commands out.
pub(super) struct Operator {
    server: Arc<KeptServer>,
    reload: Reload,
    /// Asks the program to end.
    ask: Sender<()>,
    /// Locked while a backup is made.
    backing_up: Mutex<()>,
    /// The number of this tracker.
    number: u16,
    oversight: Oversight,
}

/// A command, and the way by which it came.
#[derive(Clone, Copy)]
struct AskedCommand<'a> {
    caller: OperatorCaller,
    command: &'a OperatorCommand,
}

impl OperatorCommands for Operator {
    fn carry_out(&self, caller: OperatorCaller, command: OperatorCommand, to: &mut dyn Dialogue) -> Outcome {
        let asked = AskedCommand { caller, command: &command };
        match &command {
            OperatorCommand::Help(about) => {
                let rows = table::help(*about).into_iter().map(|line| Row::new(line.clone(), json!({"help": line})));
                tell(rows, to)
            }
            OperatorCommand::Quit => {
                self.note(asked, None);
                // Full if a signal was faster.
                let _ = self.ask.try_send(());
                Outcome::Quit
            }
            OperatorCommand::Status => match self.server.look(Server::status) {
                Some(status) => tell([status.row()], to),
                None => Outcome::Restarting,
            },
            OperatorCommand::Trackers => match self.server.look(Server::status) {
                Some(status) => tell(status.others_rows(), to),
                None => Outcome::Restarting,
            },
            OperatorCommand::CreateUser(new) => self.set_password(asked, PasswordAct::Create, new, to),
            OperatorCommand::ResetPassword(new) => self.set_password(asked, PasswordAct::Reset, new, to),
            OperatorCommand::DisableUser(user) => {
                self.act(asked, to, |server| server.act_on_user(UserAct::Disable, user))
            }
            OperatorCommand::EnableUser(user) => {
                self.act(asked, to, |server| server.act_on_user(UserAct::Enable, user))
            }
            OperatorCommand::DeleteUser(user) => {
                self.act(asked, to, |server| server.act_on_user(UserAct::Delete, user))
            }
            OperatorCommand::Kick(user) => self.act(asked, to, |server| server.act_on_user(UserAct::Kick, user)),
            OperatorCommand::GiveGroup { group, user } => self.act(asked, to, |server| server.give_group(group, user)),
            OperatorCommand::DeleteGroup(group) => self.act(asked, to, |server| server.delete_group(group)),
            OperatorCommand::ReadOnly(wanted) => self.act(asked, to, |server| server.read_only(*wanted)),
            OperatorCommand::Reload => self.told(asked, self.reload_once(), to),
            OperatorCommand::Backup => self.back_up(asked, to),
            OperatorCommand::Audit(filter) => audited::show(&self.oversight, filter, to),
            OperatorCommand::Restore => Outcome::Refused(CommandRefusal {
                code: "RunningTracker".to_owned(),
                words: "a running tracker cannot be restored".to_owned(),
            }),
            OperatorCommand::Forget(number) => self.act(asked, to, |server| server.forget_or_not(*number, true)),
            OperatorCommand::Unforget(number) => self.act(asked, to, |server| server.forget_or_not(*number, false)),
            OperatorCommand::Users(_)
            | OperatorCommand::User(_)
            | OperatorCommand::Online
            | OperatorCommand::Groups(_)
            | OperatorCommand::Group(_)
            | OperatorCommand::Files(_)
            | OperatorCommand::Limits => match self.server.look(Server::looks) {
                // A restart does not wait for a slow reader.
                Some(looks) => looks.show(&command, to),
                None => Outcome::Restarting,
            },
        }
    }

    fn turned_away(&self, user: u32) {
        audited::note_stranger(&self.oversight, self.number, user);
    }
}

impl Operator {
    /// The commands for the tracker with this number. `ask` ends the program.
    pub(super) fn new(
        server: Arc<KeptServer>,
        reload: Reload,
        ask: Sender<()>,
        (number, oversight): (u16, Oversight),
    ) -> Self {
        Self { server, reload, ask, backing_up: Mutex::default(), number, oversight }
    }

    /// Notes that a command was carried out, and by which change.
    fn note(&self, asked: AskedCommand<'_>, op: Option<&str>) {
        audited::note(&self.oversight, self.number, asked.caller, asked.command, op);
    }

    fn set_password(
        &self,
        command: AskedCommand<'_>,
        act: PasswordAct,
        new: &NewPassword,
        to: &mut dyn Dialogue,
    ) -> Outcome {
        // Checked first, so that no operator types a password in vain.
        match self.server.look(|server| server.may_set_password(act, &new.user)) {
            Some(Ok(())) => {}
            Some(Err(refusal)) => return Outcome::Refused(refusal),
            None => return Outcome::Restarting,
        }
        let password = if new.make { made_password().map_err(Outcome::Refused) } else { asked(&new.user, to) };
        match password {
            Ok(password) => self.act(command, to, |server| server.set_password(act, &new.user, password, new.make)),
            Err(outcome) => outcome,
        }
    }

    fn back_up(&self, asked: AskedCommand<'_>, to: &mut dyn Dialogue) -> Outcome {
        let refused = |code: &str, words| Outcome::Refused(CommandRefusal { code: code.to_owned(), words });
        let Some(_turn) = self.backing_up.try_lock() else {
            return refused("Busy", "another backup is being made; wait for its end".to_owned());
        };
        // A restart does not wait for a slow reader.
        let Some(source) = self.server.look(Server::backup_source) else { return Outcome::Restarting };
        self.note(asked, None);
        match source.write(Told(to)) {
            Ok(()) => Outcome::Done,
            Err(BackupError::Gone) => Outcome::Gone,
            Err(error) => refused("Unavailable", error.to_string()),
        }
    }

    /// `None` while the server restarts.
    fn reload_once(&self) -> Option<Result<Row, CommandRefusal>> {
        // Ending a busy link takes long, so it happens outside the lock of the server.
        Some(self.reload.reload(&self.server)?.map(|Reloaded { told, ended }| {
            drop(ended);
            told
        }))
    }

    /// Reads the list and the options again, after a signal.
    pub(super) fn reload(&self) {
        let asked = AskedCommand { caller: OperatorCaller::Signal, command: &OperatorCommand::Reload };
        let log = &self.oversight.log;
        match self.reload_once() {
            Some(Ok(row)) => {
                self.note(asked, None);
                log.say(Level::Info, &row.words);
            }
            Some(Err(refusal)) => log.say(Level::Error, &format!("not reloaded: {}", refusal.words)),
            None => log.say(Level::Error, &format!("not reloaded: {RESTARTING}")),
        }
    }

    /// Carries out a command that changes something.
    fn act(
        &self,
        asked: AskedCommand<'_>,
        to: &mut dyn Dialogue,
        act: impl FnOnce(&Server) -> Result<Row, CommandRefusal>,
    ) -> Outcome {
        self.told(asked, self.server.look(act), to)
    }

    /// The outcome of a command that changes something. `None` if the server was restarting.
    fn told(
        &self,
        asked: AskedCommand<'_>,
        done: Option<Result<Row, CommandRefusal>>,
        to: &mut dyn Dialogue,
    ) -> Outcome {
        match done {
            Some(Ok(row)) => {
                self.note(asked, row.json["op"].as_str());
                tell([row], to)
            }
            Some(Err(refusal)) => Outcome::Refused(refusal),
            None => Outcome::Restarting,
        }
    }
}

/// Writes to the operator.
struct Told<'a>(&'a mut dyn Dialogue);

impl Write for Told<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.bytes(bytes).map_err(|Gone| io::ErrorKind::BrokenPipe)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(self.0.bytes(&[]).map_err(|Gone| io::ErrorKind::BrokenPipe)?)
    }
}

/// Asks for a password twice.
fn asked(user: &UserId, to: &mut dyn Dialogue) -> Result<Password, Outcome> {
    let failed = |error| match error {
        AskError::Gone => Outcome::Gone,
        AskError::Late => refused(Code::SlowDown, "Nobody has answered for 5 min; nothing was changed"),
        AskError::NoPassword => refused(Code::BadPassword, Code::BadPassword.words()),
    };
    let password = to.ask(&format!("New password for {user}: ")).map_err(failed)?;
    let again = to.ask("Once more: ").map_err(failed)?;
    if again == password { Ok(password) } else { Err(refused(Code::BadPassword, "The two passwords differ")) }
}

fn refused(code: Code, words: &str) -> Outcome {
    Outcome::Refused(CommandRefusal { code: format!("{code:?}"), words: words.to_owned() })
}

fn tell(rows: impl IntoIterator<Item = Row>, to: &mut dyn Dialogue) -> Outcome {
    for row in rows {
        if to.row(&row).is_err() {
            return Outcome::Gone;
        }
    }
    Outcome::Done
}
