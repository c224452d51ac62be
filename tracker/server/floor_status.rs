//! What `status` tells the operator of the floor: where it is, and why the next one has not come.

use crate::model::units::{self, duration};
use std::fmt;
use std::time::Duration;

/// The most trackers that a line names.
const NAMED_MAX: usize = 8;

/// The floor of this tracker.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FloorStatus {
    /// How many changes lie below it.
    pub below: u64,
    /// How many changes lie above it.
    pub above: u64,
    /// How long ago this run of the program reached it. `None` if an earlier run did, or if there is no floor yet.
    pub reached: Option<Duration>,
    pub next: NextFloor,
}

/// The progress of the next floor.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum NextFloor {
    /// The next floor is not due yet, or was just proposed.
    #[default]
    NotDue,
    /// It is due, and some trackers are not ready.
    HeldBack { by: Vec<Holdback>, since: Duration },
    /// All are ready. Some have not promised yet.
    BeingAgreed { promised: usize, participants: usize, waiting_for: Vec<u16> },
    /// All have promised, and this tracker is establishing it.
    Underway,
    /// Another tracker has a higher floor.
    Higher,
    /// These two trackers have promised floors that exclude each other.
    Contradiction { between: [u16; 2] },
}

/// A tracker that is not ready for the next floor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holdback {
    pub tracker: u16,
    pub why: HoldbackReason,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HoldbackReason {
    /// No change of it has ever come.
    NeverMet,
    NotConnected,
    /// It is connected, and lacks changes or has not answered yet.
    Behind,
    /// It has the lowest number and must propose the floor, but has not yet.
    HasToPropose,
    /// The list here contains it, and the list of the proposing tracker does not.
    NotOnTheirList {
        proposer: u16,
    },
}

impl fmt::Display for FloorStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { below, above, reached, next } = self;
        write!(f, "floor       {below} changes below it, {above} above")?;
        if let Some(reached) = reached {
            write!(f, ", reached {} ago", units::age(*reached))?;
        }
        match next {
            NextFloor::NotDue => Ok(()),
            NextFloor::HeldBack { by, since } => {
                by.iter().take(NAMED_MAX).try_for_each(|holdback| {
                    write!(f, "\nfloor       held back for {} by tracker {holdback}", duration(*since))
                })?;
                match by.len().saturating_sub(NAMED_MAX) {
                    0 => Ok(()),
                    more => write!(f, "\nfloor       held back by {more} more trackers"),
                }
            }
            NextFloor::BeingAgreed { promised, participants, waiting_for } => {
                write!(f, "\nfloor       being agreed on: {promised} of {participants} have promised")?;
                for (place, tracker) in waiting_for.iter().take(NAMED_MAX).enumerate() {
                    write!(f, "{} tracker {tracker}", if place == 0 { "; waiting for" } else { "," })?;
                }
                Ok(())
            }
            NextFloor::Underway => {
                write!(f, "\nfloor       all trackers have agreed on the next floor; this tracker is moving to it")
            }
            NextFloor::Higher => write!(f, "\nfloor       another tracker has a higher one, which this one takes over"),
            NextFloor::Contradiction { between: [one, other] } => write!(
                f,
                "\nfloor       CANNOT BE AGREED ON: trackers {one} and {other} have promised what excludes each other; \
                 forget one of them (docs/OPERATIONS.md)"
            ),
        }
    }
}

impl fmt::Display for Holdback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { tracker, why } = self;
        match why {
            HoldbackReason::NeverMet => {
                write!(f, "{tracker}: it was never met; start it, or say forget {tracker}")
            }
            HoldbackReason::NotConnected => {
                write!(f, "{tracker}: it is not connected; if it does not come back, say forget {tracker}")
            }
            HoldbackReason::Behind => write!(f, "{tracker}: it has not caught up yet"),
            HoldbackReason::HasToPropose => write!(f, "{tracker}: it must propose the next floor and has not done so"),
            HoldbackReason::NotOnTheirList { proposer } => {
                write!(f, "{tracker}: it is not on the list of tracker {proposer}; make the lists the same")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(next: NextFloor) -> String {
        FloorStatus { below: 1_204_311, above: 9_120, reached: Some(Duration::from_secs(250)), next }.to_string()
    }

    const FIRST: &str = "floor       1204311 changes below it, 9120 above, reached 0 h 04 min ago";

    #[test]
    fn the_operator_is_told_where_the_floor_is() {
        assert_eq!(told(NextFloor::NotDue), FIRST);
        let at_birth = FloorStatus { above: 7, ..FloorStatus::default() };
        assert_eq!(at_birth.to_string(), "floor       0 changes below it, 7 above");
    }

    #[test]
    fn the_operator_is_told_who_holds_the_floor_back_and_what_to_do() {
        let by = |tracker, why| Holdback { tracker, why };
        let since = Duration::from_secs(2 * 86_400);
        let held = NextFloor::HeldBack {
            by: vec![
                by(3, HoldbackReason::NeverMet),
                by(4, HoldbackReason::NotConnected),
                by(5, HoldbackReason::Behind),
                by(6, HoldbackReason::NotOnTheirList { proposer: 1 }),
                by(1, HoldbackReason::HasToPropose),
            ],
            since,
        };
        let expected = format!(
            "{FIRST}
floor       held back for 2 d 0 h by tracker 3: it was never met; start it, or say forget 3
floor       held back for 2 d 0 h by tracker 4: it is not connected; if it does not come back, say forget 4
floor       held back for 2 d 0 h by tracker 5: it has not caught up yet
floor       held back for 2 d 0 h by tracker 6: it is not on the list of tracker 1; make the lists the same
floor       held back for 2 d 0 h by tracker 1: it must propose the next floor and has not done so"
        );
        assert_eq!(told(held), expected);
        let many = NextFloor::HeldBack { by: (2..=40).map(|n| by(n, HoldbackReason::NotConnected)).collect(), since };
        let told = told(many);
        assert_eq!(told.lines().count(), 2 + NAMED_MAX);
        assert_eq!(told.lines().last(), Some("floor       held back by 31 more trackers"));
    }

    #[test]
    fn the_operator_is_told_how_far_the_trackers_are_with_a_floor() {
        let agreed = |waiting_for| NextFloor::BeingAgreed { promised: 1, participants: 3, waiting_for };
        assert_eq!(
            told(agreed(vec![2, 3])),
            format!("{FIRST}\nfloor       being agreed on: 1 of 3 have promised; waiting for tracker 2, tracker 3")
        );
        assert_eq!(told(agreed(Vec::new())), format!("{FIRST}\nfloor       being agreed on: 1 of 3 have promised"));
        assert!(
            told(NextFloor::Underway)
                .ends_with("all trackers have agreed on the next floor; this tracker is moving to it")
        );
        assert!(told(NextFloor::Higher).ends_with("another tracker has a higher one, which this one takes over"));
        assert!(told(NextFloor::Contradiction { between: [2, 3] }).contains("trackers 2 and 3 have promised what"));
    }
}
