//! Between whoever asks and the running tracker.

use super::answer::{Outcome, Row};
use super::command::OperatorCommand;
use crate::wire::client_tracker::Password;

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

/// Takes the answer to a command while it is made.
pub trait Dialogue {
    /// Says one row.
    ///
    /// # Errors
    /// Nobody takes it.
    fn row(&mut self, row: &Row) -> Result<(), Gone>;

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
    fn carry_out(&self, command: OperatorCommand, to: &mut dyn Dialogue) -> Outcome;
}
