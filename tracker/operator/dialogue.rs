//! Between whoever asks and the running tracker.

use super::answer::{Outcome, Row};
use super::command::OperatorCommand;

/// Whoever asked is gone, or takes no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gone;

/// Takes the answer to a command while it is made.
pub trait Dialogue {
    /// Says one row.
    ///
    /// # Errors
    /// Nobody takes it.
    fn row(&mut self, row: &Row) -> Result<(), Gone>;
}

/// Carries out the commands of operators. Several may ask at once.
pub trait OperatorCommands: Send + Sync {
    fn carry_out(&self, command: OperatorCommand, to: &mut dyn Dialogue) -> Outcome;
}
