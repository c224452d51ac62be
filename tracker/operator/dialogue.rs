//! Between whoever asks and the running tracker.

use super::answer::{Outcome, Row};
use super::command::OperatorCommand;
use crate::wire::client_tracker::Password;
use std::fmt;

/// Whoever asked is gone, or takes no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gone;

/// Why a question has no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AskError {
    Gone,
    /// Nobody has answered for too long.
    Late,
    /// It is empty or too long for a password, or was given up.
    NoPassword,
}

/// By which way an operator speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OperatorCaller {
    /// ctl, run by this user of the machine.
    Ctl { user: u32 },
    /// The terminal in which the tracker runs.
    Console,
    /// SIGHUP.
    Signal,
}

impl fmt::Display for OperatorCaller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            OperatorCaller::Ctl { user } => write!(f, "ctl uid {user}"),
            OperatorCaller::Console => f.write_str("console"),
            OperatorCaller::Signal => f.write_str("signal"),
        }
    }
}

/// Takes the answer to a command while it is made.
pub trait Dialogue {
    /// Says one row.
    ///
    /// # Errors
    /// Nobody takes it.
    fn row(&mut self, row: &Row) -> Result<(), Gone>;

    /// Says one line beside the rows.
    ///
    /// # Errors
    /// Nobody takes it.
    fn complain(&mut self, line: &str) -> Result<(), Gone>;

    /// Gives bytes as they are, to standard output. Without any it looks whether somebody takes them.
    ///
    /// # Errors
    /// Nobody takes them.
    fn bytes(&mut self, bytes: &[u8]) -> Result<(), Gone>;

    /// Asks for a password, which nobody is shown.
    ///
    /// # Errors
    /// There is none.
    fn ask(&mut self, question: &str) -> Result<Password, AskError>;
}

/// Carries out the commands of operators. Several may ask at once.
pub trait OperatorCommands: Send + Sync {
    fn carry_out(&self, caller: OperatorCaller, command: OperatorCommand, to: &mut dyn Dialogue) -> Outcome;

    /// A command of this user was refused, who is not the operator.
    fn turned_away(&self, user: u32);
}
