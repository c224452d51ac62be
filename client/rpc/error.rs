//! Why a request to the trackers has no reply.

use crate::wire::error::Refusal;
use std::fmt;

/// Why a request has no reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RpcError {
    /// The tracker said no.
    Refused(Refusal),
    /// No tracker is reached; says why.
    NoTracker(String),
    /// The reply is not one to this request.
    Unexpected,
    /// The user gave up waiting.
    Cancelled,
}

impl fmt::Display for RpcError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RpcError::Refused(refusal) => write!(f, "{refusal}"),
            RpcError::NoTracker(why) => write!(f, "No tracker can be reached ({why}); it is tried again by itself"),
            RpcError::Cancelled => write!(f, "Cancelled; the tracker has not answered"),
            RpcError::Unexpected => write!(f, "The tracker gave an answer that does not fit; check its version"),
        }
    }
}

impl std::error::Error for RpcError {}

impl From<Refusal> for RpcError {
    fn from(refusal: Refusal) -> Self {
        RpcError::Refused(refusal)
    }
}
