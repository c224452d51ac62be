//! The log as the committer sees it: makes ops durable, and reads them back.

use crate::model::op::Op;
use crate::model::op::floor::FloorMark;
use crate::tracker::state::State;
use std::error::Error;
use std::fmt;

/// Makes ops durable.
pub trait OpLog: Send {
    /// Makes ops durable, in this order and after all earlier ones.
    ///
    /// # Errors
    /// The log keeps none of them, or fails for good.
    fn append(&mut self, ops: &[Op]) -> Result<(), AppendError>;

    /// Called with the state after the ops kept so far, once the sink has told it.
    fn kept(&mut self, _: &State) {}
}

/// Why a log did not keep ops. The words go to users and to the console.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AppendError {
    /// There is no room; nothing was kept. A later append may succeed.
    Full(String),
    /// The content of the log is uncertain. No append succeeds before a restart.
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

/// Reads ops back.
pub trait OpSource: Send + Sync {
    /// Reads the newest base. Without one it gives the state at birth.
    fn base(&self) -> Result<State, ReadBackError>;

    /// Gives every op above the floor of the newest base, in the order in which the log took them, until `take`
    /// returns false. Some of the ops may not be durable yet, or may never be.
    fn read(&self, take: &mut dyn FnMut(Op) -> bool) -> Result<(), ReadBackError>;

    /// Gives the same ops in their total order. One thread at a time may call this.
    fn read_in_order(&self, take: &mut dyn FnMut(Op) -> bool) -> Result<(), ReadBackError>;
}

/// Makes bases durable. A base replaces the ops below its floor.
pub trait BaseStore: Send + Sync {
    /// Makes a base durable. It contains all ops at or below its floor, and all ops of the log are durable already.
    /// Once this returns, a start begins with this base.
    ///
    /// # Errors
    /// The log goes on with the base before, or fails for good.
    fn keep(&self, base: &State) -> Result<(), BaseError>;

    /// Removes the files that no start needs: those with ops below the floor of the older of the two kept bases.
    /// Returns false if a thread is reading the log. Then everything is still there, and a later call removes it.
    ///
    /// # Errors
    /// Some of it is still there. A later call removes it.
    fn clear(&self) -> Result<bool, BaseError>;

    /// Reads at most `len` bytes of the newest base, for another tracker: the canonical form of its state, whose
    /// SHA-256 is in the mark. `None` if the newest base has another floor.
    fn part(&self, _floor: FloorMark, _offset: u64, _len: usize) -> Result<Option<BasePart>, ReadBackError> {
        Ok(None)
    }

    /// Takes a part of another tracker's base. An offset of 0 begins anew. The parts of one base follow each other
    /// without a gap.
    ///
    /// # Errors
    /// `Unchanged`: no part of the base is left.
    fn take_part(&self, _floor: FloorMark, _offset: u64, _bytes: &[u8]) -> Result<(), BaseError> {
        Err(BaseError::Unchanged("no base is taken from other trackers".into()))
    }

    /// All parts have come. Makes the base durable, so that the next start puts the log on it. Returns false, and keeps
    /// nothing, if the parts are not the base of that floor or if no tracker can have made this base.
    ///
    /// # Errors
    /// `Unchanged`: no part of the base is left.
    fn taken(&self, _floor: FloorMark) -> Result<bool, BaseError> {
        Ok(false)
    }

    /// No more parts come of the base that is being received. Removes its parts, unless all of them have come.
    fn give_up(&self) {}
}

/// A part of a base.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BasePart {
    /// The length of the whole base in bytes.
    pub total: u64,
    pub bytes: Vec<u8>,
}

/// Why a base was not kept, or a file could not be removed. The words go to the console.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BaseError {
    /// A start finds the files as before. A later call may succeed.
    Unchanged(String),
    /// The content of the log is uncertain. Nothing more becomes durable before a restart.
    Failed(String),
}

impl fmt::Display for BaseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BaseError::Unchanged(reason) => f.write_str(reason),
            BaseError::Failed(reason) => write!(f, "{reason}; changes are refused until the tracker is restarted"),
        }
    }
}

impl Error for BaseError {}

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
