//! The content of a session token: the user and the session, the op since which it counts, and when the token was
//! made.

use crate::model::id::{OpId, SessionId, UserRef};
use crate::sys::random::random_bytes;
use crate::wire::certificate::CERTIFICATE_LIFE;
use crate::wire::codec::wire_struct;
use std::io;

/// How long a token is valid. A client gets a new one with each certificate. The clocks of two trackers differ by less
/// than this time.
const TOKEN_LIFE_S: u64 = CERTIFICATE_LIFE.as_secs();

/// A client that shows a token is logged in to its session, until the user logs out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TokenClaim {
    pub user: UserRef,
    /// The op since which the user's sessions counted when this session began.
    pub sessions_since: OpId,
    pub session: SessionId,
    /// In seconds since 1970.
    pub made_s: u64,
}

wire_struct!(TokenClaim { user, sessions_since, session, made_s });

impl TokenClaim {
    /// The claim of a new session.
    ///
    /// # Errors
    /// The system gives no random bytes.
    pub fn begin(user: UserRef, sessions_since: OpId, now_s: u64) -> io::Result<Self> {
        let session = SessionId(random_bytes()?);
        Ok(Self { user, sessions_since, session, made_s: now_s })
    }

    /// The same session, for a new token. A tracker whose clock is behind keeps the time of the older token.
    pub fn renewed(self, now_s: u64) -> Self {
        Self { made_s: self.made_s.max(now_s), ..self }
    }

    /// Whether a token's age is still valid.
    pub fn is_fresh(&self, now_s: u64) -> bool {
        now_s.abs_diff(self.made_s) <= TOKEN_LIFE_S
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::id::Origin;

    #[test]
    fn a_token_is_good_for_a_day_and_a_new_one_for_another() {
        let op = OpId { origin: Origin { tracker: 1, incarnation: 1 }, seq: 1 };
        let (begin, day) = (1_000_000, 24 * 3600);
        let claim = TokenClaim::begin(UserRef(op), op, begin).expect("random bytes");
        assert!([begin, begin + day, begin - day].iter().all(|now_s| claim.is_fresh(*now_s)));
        assert!(!claim.is_fresh(begin + day + 1) && !claim.is_fresh(begin - day - 1) && !claim.is_fresh(u64::MAX));
        let renewed = claim.renewed(begin + day);
        assert!(renewed.is_fresh(begin + 2 * day) && renewed.session == claim.session);
        assert_eq!(claim.renewed(begin - 60), claim, "by a clock that is behind");
        let other = TokenClaim::begin(UserRef(op), op, begin).expect("random bytes");
        assert_ne!(other.session, claim.session);
    }
}
