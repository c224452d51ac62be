//! Why a command failed.

use crate::client::rpc::error::{RpcError, TRIED_AGAIN};
use crate::wire::refusal::{Code, Refusal};
use std::fmt;

/// One line that says what was wrong and what to do, and the kind of the failure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The words for a person.
    pub why: String,
    /// The kind, for a program.
    pub cause: Cause,
}

/// The kinds of failures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// The tracker refused it with this code, or the client did so before asking.
    Refused(Code),
    /// No tracker could be reached.
    NoTracker,
    /// The name now stands for another version of the share.
    OtherVersion,
    /// Anything else: a line that is no command, a file that cannot be read, a full disk.
    Other,
}

impl Failure {
    /// The failure for a script that gives this command up and goes on to the next.
    pub(crate) fn given_up(&self) -> Failure {
        let why =
            Some(&self.why).filter(|_| self.cause == Cause::NoTracker).and_then(|why| why.strip_suffix(TRIED_AGAIN));
        Self { why: why.unwrap_or(&self.why).to_owned(), cause: self.cause }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.why)
    }
}

impl From<RpcError> for Failure {
    fn from(error: RpcError) -> Self {
        let cause = match &error {
            RpcError::Refused(refusal) => Cause::Refused(refusal.code),
            RpcError::NoTracker(_) => Cause::NoTracker,
            RpcError::Unexpected | RpcError::Cancelled => Cause::Other,
        };
        Self { why: error.to_string(), cause }
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        RpcError::from(refusal).into()
    }
}

impl From<Code> for Failure {
    fn from(code: Code) -> Self {
        Refusal::from(code).into()
    }
}

impl From<String> for Failure {
    fn from(why: String) -> Self {
        Self { why, cause: Cause::Other }
    }
}

impl From<&str> for Failure {
    fn from(why: &str) -> Self {
        why.to_owned().into()
    }
}
