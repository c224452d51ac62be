//! What an operator has the tracker do. Each act is durable here when it is answered.

use super::Server;
use super::looks::refusal_of;
use crate::tracker::cluster::cluster_view::ForgetError;
use crate::tracker::operator::answer::{CommandRefusal, Row};

impl Server {
    /// Has all trackers let go of another one, or take it back.
    ///
    /// # Errors
    /// Why nothing was changed.
    pub fn forget_or_not(&self, number: u16, forget: bool) -> Result<Row, CommandRefusal> {
        let (what, done) =
            if forget { ("forgotten", self.forget(number)) } else { ("taken back", self.unforget(number)) };
        let code = |why: &ForgetError| match why {
            ForgetError::Own => "OwnTracker".to_owned(),
            ForgetError::Unknown => "NoSuchTracker".to_owned(),
            ForgetError::NotForgotten => "NotForgotten".to_owned(),
            ForgetError::Refused(refusal) => refusal_of(refusal).code,
        };
        match done {
            Ok(()) => Ok(Row::success(format!(
                "Tracker {number} is {what}, here at once and at the others as they hear of it"
            ))),
            Err(why) => {
                Err(CommandRefusal { code: code(&why), words: format!("Tracker {number} was not {what}: {why}") })
            }
        }
    }
}
