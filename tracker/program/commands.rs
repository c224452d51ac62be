//! The operator's commands, from the console or from ctl, on a tracker that may be started anew meanwhile.

use crate::tracker::operator::answer::{CommandRefusal, Outcome, Row};
use crate::tracker::operator::command::OperatorCommand;
use crate::tracker::operator::dialogue::{Dialogue, OperatorCommands};
use crate::tracker::operator::table;
use crate::tracker::server::Server;
use crate::tracker::server::kept_server::KeptServer;
use crossbeam_channel::Sender;
use serde_json::json;
use std::sync::Arc;

/// Carries them out.
pub(super) struct Operator {
    pub(super) server: Arc<KeptServer>,
    /// Has the program end.
    pub(super) ask: Sender<()>,
}

impl OperatorCommands for Operator {
    fn carry_out(&self, command: OperatorCommand, to: &mut dyn Dialogue) -> Outcome {
        match command {
            OperatorCommand::Help(about) => {
                let rows = table::help(about).into_iter().map(|line| Row::new(line.clone(), json!({"help": line})));
                tell(rows, to)
            }
            OperatorCommand::Quit => {
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
            OperatorCommand::Forget(number) => self.act(to, |server| server.forget_or_not(number, true)),
            OperatorCommand::Unforget(number) => self.act(to, |server| server.forget_or_not(number, false)),
            OperatorCommand::Users(_)
            | OperatorCommand::User(_)
            | OperatorCommand::Online
            | OperatorCommand::Groups(_)
            | OperatorCommand::Group(_)
            | OperatorCommand::Files(_) => match self.server.look(Server::looks) {
                // A start anew does not wait for whoever reads slowly.
                Some(looks) => looks.show(&command, to),
                None => Outcome::Restarting,
            },
        }
    }
}

impl Operator {
    fn act(&self, to: &mut dyn Dialogue, act: impl FnOnce(&Server) -> Result<Row, CommandRefusal>) -> Outcome {
        match self.server.look(act) {
            Some(Ok(row)) => tell([row], to),
            Some(Err(refusal)) => Outcome::Refused(refusal),
            None => Outcome::Restarting,
        }
    }
}

fn tell(rows: impl IntoIterator<Item = Row>, to: &mut dyn Dialogue) -> Outcome {
    for row in rows {
        if to.row(&row).is_err() {
            return Outcome::Gone;
        }
    }
    Outcome::Done
}
