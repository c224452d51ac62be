//! The log as the committer sees it: where ops become durable, and where they are read back.

use crate::model::op::Op;
use crate::tracker::state::State;
use std::error::Error;
use std::fmt;

/// Where ops become durable.
pub trait OpLog: Send {
    /// Makes ops durable, in this order and after all earlier ones.
    ///
    /// # Errors
    /// The log keeps none of them, or fails for good.
    fn append(&mut self, ops: &[Op]) -> Result<(), AppendError>;

    /// Called with the state after the ops kept so far, once everybody who has to know of them was told.
    fn kept(&mut self, _: &State) {}
}

/// Why a log did not keep ops. The words go to users and to the console.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AppendError {
    /// There is no room; nothing was kept. A later append may succeed.
    Full(String),
    /// What the log holds is uncertain; no later append can succeed before a restart.
    Failed(String),
}

impl fmt::Display for AppendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AppendError::Full(reason) => write!(f, "{reason}; changes are taken again once there is room"),
            AppendError::Failed(reason) => write!(f, "{reason}; changes are refused until the tracker is restarted"),
        }
    }
}

impl Error for AppendError {}

/// Where ops are read back.
pub trait OpSource: Send + Sync {
    /// Gives every op that the log has kept, in the order in which they came, until `take` returns false. Some of them
    /// may not be durable yet, or never will be.
    fn read(&self, take: &mut dyn FnMut(Op) -> bool) -> Result<(), ReadBackError>;

    /// Gives the same ops in their total order. One thread at a time may do this.
    fn read_in_order(&self, take: &mut dyn FnMut(Op) -> bool) -> Result<(), ReadBackError>;
}

/// Why a log cannot be read back.
#[derive(Debug)]
pub struct ReadBackError(Box<dyn Error + Send + Sync>);

impl ReadBackError {
    pub fn new(why: impl Error + Send + Sync + 'static) -> Self {
        Self(Box::new(why))
    }
}

impl fmt::Display for ReadBackError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Error for ReadBackError {}
