//! A member's report at login about how others reach it.

use crate::common::deadline::LONG;
use crate::inside::inside;
use crate::kinds::{KINDS, Kind, Wall};
use crate::lab::Lab;
use crate::member::Member;
use serde_json::Value;
use std::time::Duration;

/// The report to the member if others do not reach it.
fn found(kind: &Kind) -> Option<&'static str> {
    match kind.wall {
        Wall::Nothing => kind.listen.starts_with("127.").then_some("loopback"),
        Wall::Rejects => Some("refused"),
        Wall::Drops | Wall::PortKept | Wall::PortByChance => Some("no_answer"),
    }
}

fn tells(event: &Value) -> bool {
    event["event"] == "unreachable"
}

#[test]
fn at_login_a_member_hears_that_others_do_not_reach_it_and_why() {
    inside("reach::at_login_a_member_hears_that_others_do_not_reach_it_and_why", || {
        let mut lab = Lab::new(2, &[]);
        // Members without a report come first. When the others have their reports, these would have theirs.
        let (mut silent, mut told): (Vec<Member>, Vec<_>) = Default::default();
        let mut kinds: Vec<&Kind> = KINDS.iter().collect();
        kinds.sort_by_key(|kind| found(kind));
        for kind in kinds {
            let [site, _] = lab.sites(kind);
            let member = lab.member(kind.name, &site, kind, &[kind.listen, "tracker_info.txt"]);
            match found(kind) {
                None => silent.push(member),
                Some(why) => told.push((member, why, site.ipv4())),
            }
        }
        for (member, why, public) in &mut told {
            let (_, event) = member.event(LONG, tells).expect("it is told");
            let ip = if *why == "loopback" { "127.0.0.1" } else { public };
            assert_eq!((&event["found"], &event["ip"]), (&(*why).into(), &ip.into()), "{}: {event}", member.name);
        }
        for member in &mut silent {
            assert_eq!(member.event(Duration::ZERO, tells), None, "{}", member.name);
        }
    });
}
