//! The exchange between an operator and the running tracker.

use super::answer::{Outcome, Row};
use super::command::OperatorCommand;
use crate::wire::client_tracker::Password;
use std::fmt;

/// The operator is gone, or takes no more of the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gone;

/// Why a question has no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AskError {
    Gone,
    /// No answer came for too long.
    Late,
    /// It is empty or too long for a password, or the operator gave up.
    NoPassword,
}

/// The way by which an operator speaks to the tracker.
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
    /// Sends one row.
    ///
    /// # Errors
    /// The operator is gone.
    fn row(&mut self, row: &Row) -> Result<(), Gone>;

    /// Sends one line beside the rows.
    ///
    /// # Errors
    /// The operator is gone.
    fn complain(&mut self, line: &str) -> Result<(), Gone>;

    /// Sends bytes as they are, for standard output. Without bytes, checks whether the operator is still there.
    ///
    /// # Errors
    /// The operator is gone.
    fn bytes(&mut self, bytes: &[u8]) -> Result<(), Gone>;

    /// Asks for a password, which is not displayed.
    ///
    /// # Errors
    /// There is no answer.
    fn ask(&mut self, question: &str) -> Result<Password, AskError>;
}

/// Carries out the commands of operators, several at a time.
pub trait OperatorCommands: Send + Sync {
    fn carry_out(&self, caller: OperatorCaller, command: OperatorCommand, to: &mut dyn Dialogue) -> Outcome;

    /// The tracker has refused a command of this user, who is not the operator.
    fn turned_away(&self, user: u32);
}
