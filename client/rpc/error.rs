//! Why a request to the trackers has no reply.

use crate::wire::error::Refusal;
use std::fmt;

/// Why a request has no reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CallError {
    /// The tracker said no.
    Refused(Refusal),
    /// No tracker is reached; says why.
    NoTracker(String),
    /// The reply is not one to this request.
    Unexpected,
    /// The user gave up waiting.
    Cancelled,
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CallError::Refused(refusal) => write!(f, "{refusal}"),
            CallError::NoTracker(why) => write!(f, "No tracker can be reached ({why}); it is tried again by itself"),
            CallError::Cancelled => write!(f, "Cancelled; the tracker has not answered"),
            CallError::Unexpected => write!(f, "The tracker gave an answer that does not fit; check its version"),
        }
    }
}

impl std::error::Error for CallError {}

impl From<Refusal> for CallError {
    fn from(refusal: Refusal) -> Self {
        CallError::Refused(refusal)
    }
}
