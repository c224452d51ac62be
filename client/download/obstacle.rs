//! Why a member delivers nothing, according to the last dial.

use crate::client::reach::unreached::Unreached;
use crate::model::name::UserId;
use crate::model::units::ordinal;
use std::fmt;
use std::sync::Arc;

/// The remedy if a tracker has no relay.
const HINT: &str = ": the operator can allow one with --relay";

/// Why there is no connection to a member.
#[derive(Debug)]
pub enum MemberObstacle {
    /// No way to the member worked.
    Unreached(Unreached),
    /// All its places are taken. The number is the place in its queue, if the member has told it.
    Busy(Option<u32>),
    /// It does not serve the content now.
    NotServed,
    /// A dial is under way.
    Dialed,
}

impl MemberObstacle {
    /// Whether this client has asked its tracker for more calls of the member than the tracker allows.
    pub(super) fn is_of_too_many_calls(&self) -> bool {
        matches!(self, MemberObstacle::Unreached(unreached) if unreached.is_called_too_often())
    }

    /// Whether a relay might help, but the tracker has none.
    fn lacks_relay(&self) -> bool {
        matches!(self, MemberObstacle::Unreached(unreached) if unreached.lacks_relay())
    }
}

impl fmt::Display for MemberObstacle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            MemberObstacle::Unreached(unreached) => unreached.fmt(f),
            MemberObstacle::Busy(Some(place)) => write!(f, "busy, {} in line", ordinal(*place)),
            MemberObstacle::Busy(None) => f.write_str("busy"),
            MemberObstacle::Dialed => f.write_str("is being dialed"),
            MemberObstacle::NotServed => f.write_str("does not give it at present"),
        }
    }
}

/// The members that deliver nothing, and why.
pub type Obstacles = Vec<(UserId, Arc<MemberObstacle>)>;

/// Each obstacle in words. The first member that a relay might reach gets a hint about that.
pub fn in_words(obstacles: &Obstacles) -> Vec<(UserId, String)> {
    let helped = obstacles.iter().position(|(_, obstacle)| obstacle.lacks_relay());
    let words = |(at, (user, obstacle)): (usize, &(UserId, Arc<MemberObstacle>))| {
        let hint = if Some(at) == helped { HINT } else { "" };
        (user.clone(), format!("{obstacle}{hint}"))
    };
    obstacles.iter().enumerate().map(words).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::reach::unreached::NoCall;
    use crate::model::name::tests::user;
    use crate::wire::refusal::Code;

    #[test]
    fn a_busy_member_is_told_with_the_place_in_its_line() {
        assert_eq!(MemberObstacle::Busy(Some(23)).to_string(), "busy, 23rd in line");
        assert_eq!(MemberObstacle::Busy(None).to_string(), "busy");
    }

    #[test]
    fn that_a_relay_would_help_is_said_once_and_only_where_the_tracker_has_none() {
        let unreached = |relay| {
            let back = Some(NoCall::Refused(Code::PeerOffline));
            Arc::new(MemberObstacle::Unreached(Unreached { back, relay, ..Unreached::default() }))
        };
        let none = || unreached(Some(NoCall::Refused(Code::NoRelay)));
        let obstacles = vec![
            (user("ann"), Arc::new(MemberObstacle::Busy(None))),
            (user("bob"), none()),
            (user("eve"), none()),
            (user("joe"), unreached(Some(NoCall::NoPlace("joe has 4 places already".to_owned())))),
        ];
        let words: Vec<String> = in_words(&obstacles).into_iter().map(|(_, words)| words).collect();
        let way = "it has no address that could be dialed, does not call back (offline)";
        let expected = [
            "busy".to_owned(),
            format!("{way}, no relay: the operator can allow one with --relay"),
            format!("{way}, no relay"),
            format!("{way}, no place at the relay (joe has 4 places already)"),
        ];
        assert_eq!(words, expected);
    }
}
