//! Limits the lines on the user's screen about acts of others, for each kind and source. Further lines are counted and
//! reported in one line. The time is passed in.

use crate::rate::buckets::{Buckets, Pace};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// The maximum number of sources of a kind with their own counts. The others share one count.
const SOURCES_MAX: usize = 64;
/// The maximum number of sources with a line each for their left-out lines. More of them share one line.
const APART_MAX: usize = 3;

/// The kinds of lines that can come again and again without the user's doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LineKind {
    /// Users ask to be let into a group.
    JoinRequest,
    /// Owners of a group decide about the user.
    Decision,
    /// Connections to trackers are lost and made.
    Trackers,
    /// Members stop sharing files that are being downloaded from a group.
    Stranded,
    /// The user's shares in a group end.
    ShareLost,
    /// Shares in a group get new versions.
    NewVersion,
    /// A warning; its words are its source.
    Warning,
}

/// The limits of a kind.
struct KindInfo {
    kind: LineKind,
    /// The limit for each source.
    each: Pace,
    /// The limit for all sources together. Warnings have none: their number follows from the user's own acts.
    all: Option<Pace>,
}

const fn pace(burst: u64, interval_s: u64) -> Pace {
    Pace { burst, interval: Duration::from_secs(interval_s) }
}

const KINDS: [KindInfo; 7] = [
    KindInfo { kind: LineKind::JoinRequest, each: pace(5, 30), all: Some(pace(20, 6)) },
    KindInfo { kind: LineKind::Decision, each: pace(5, 30), all: Some(pace(20, 6)) },
    KindInfo { kind: LineKind::Trackers, each: pace(10, 30), all: None },
    KindInfo { kind: LineKind::Stranded, each: pace(5, 30), all: Some(pace(20, 6)) },
    KindInfo { kind: LineKind::ShareLost, each: pace(20, 6), all: Some(pace(60, 6)) },
    KindInfo { kind: LineKind::NewVersion, each: pace(5, 30), all: Some(pace(20, 6)) },
    KindInfo { kind: LineKind::Warning, each: pace(5, 30), all: None },
];

/// The source of a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LineSource {
    pub(crate) kind: LineKind,
    pub(crate) source: String,
}

/// The left-out lines of one source.
#[derive(Debug, Default)]
struct UntoldLines {
    count: u64,
    /// The last left-out line.
    last: String,
}

#[derive(Debug)]
struct KindPace {
    kind: LineKind,
    each: Buckets<String>,
    all: Option<Buckets<()>>,
    left_out: BTreeMap<String, UntoldLines>,
}

/// Limits the lines of all kinds.
#[derive(Debug)]
pub(crate) struct LinePace(Vec<KindPace>);

impl Default for LinePace {
    fn default() -> Self {
        let kind_pace = |info: &KindInfo| KindPace {
            kind: info.kind,
            each: Buckets::new(info.each),
            all: info.all.map(Buckets::new),
            left_out: BTreeMap::new(),
        };
        Self(KINDS.iter().map(kind_pace).collect())
    }
}

impl LinePace {
    /// Whether the line may be shown now. If not, it is counted.
    pub(crate) fn take(&mut self, cause: &LineSource, line: &str, now: Instant) -> bool {
        self.0.iter_mut().filter(|pace| pace.kind == cause.kind).all(|pace| pace.take(&cause.source, line, now))
    }

    /// The lines that now report left-out ones.
    pub(crate) fn due(&mut self, now: Instant) -> Vec<(LineKind, String)> {
        self.0.iter_mut().flat_map(|pace| pace.due(now)).collect()
    }

    /// As `due`, for all left-out lines at the end.
    pub(crate) fn rest(&mut self) -> Vec<(LineKind, String)> {
        self.0.iter_mut().flat_map(KindPace::rest).collect()
    }
}

impl KindPace {
    fn take(&mut self, source: &str, line: &str, now: Instant) -> bool {
        let key = source.to_owned();
        if !self.left_out.contains_key(source) && self.allows(&key, now) {
            self.count(&key, now);
            return true;
        }
        let is_apart = self.left_out.contains_key(source) || self.left_out.len() < SOURCES_MAX;
        let left_out = self.left_out.entry(if is_apart { key } else { String::new() }).or_default();
        left_out.count += 1;
        line.clone_into(&mut left_out.last);
        false
    }

    fn allows(&self, source: &String, now: Instant) -> bool {
        self.all.as_ref().is_none_or(|all| all.allows(&(), now)) && self.each.allows(source, now)
    }

    fn count(&mut self, source: &String, now: Instant) {
        self.each.take(source, now);
        if let Some(all) = &mut self.all {
            all.take(&(), now);
        }
    }

    fn due(&mut self, now: Instant) -> Vec<(LineKind, String)> {
        let ready: Vec<String> = self.left_out.keys().filter(|source| self.allows(source, now)).cloned().collect();
        if self.left_out.len() > APART_MAX {
            ready.first().iter().for_each(|source| self.count(source, now));
            return if ready.is_empty() { Vec::new() } else { self.rest() };
        }
        let mut lines = Vec::new();
        for source in ready {
            if self.allows(&source, now)
                && let Some(left_out) = self.left_out.remove(&source)
            {
                self.count(&source, now);
                lines.push((self.kind, words(self.kind, &source, left_out)));
            }
        }
        lines
    }

    fn rest(&mut self) -> Vec<(LineKind, String)> {
        let left_out = std::mem::take(&mut self.left_out);
        if left_out.len() > APART_MAX {
            let count = left_out.values().map(|left_out| left_out.count).sum();
            return vec![(self.kind, words_of_many(self.kind, count))];
        }
        left_out.into_iter().map(|(source, left_out)| (self.kind, words(self.kind, &source, left_out))).collect()
    }
}

/// The words for the left-out lines of one source. A single line is shown as it is.
fn words(kind: LineKind, source: &str, UntoldLines { count, last }: UntoldLines) -> String {
    if count == 1 {
        return last;
    }
    match kind {
        LineKind::JoinRequest => format!("{count} more ask to join {source}: list_requests {source}"),
        LineKind::Decision => format!("{count} more decisions about you in {source}; the last: {last}"),
        LineKind::Trackers => format!("Trackers come and go, {count} more times; the last: {last}"),
        LineKind::Stranded => format!("{count} more times a download from {source} waits for members: show_downloads"),
        LineKind::ShareLost => format!("{count} more of your files are not shared in {source} any more"),
        LineKind::NewVersion => format!("{count} more new versions in {source}; the last: {last}"),
        LineKind::Warning => format!("{count} more times: {last}"),
    }
}

/// The words for the left-out lines of many sources.
fn words_of_many(kind: LineKind, count: u64) -> String {
    match kind {
        LineKind::JoinRequest => format!("{count} more ask to join your groups: list_requests tells who"),
        LineKind::Decision => {
            format!("{count} more decisions about you in your groups: list_groups tells what you are")
        }
        LineKind::Trackers => format!("Trackers come and go, {count} more times"),
        LineKind::Stranded => format!("{count} more times downloads wait for members: show_downloads"),
        LineKind::ShareLost => format!("{count} more of your files are not shared in their groups any more"),
        LineKind::NewVersion => format!("{count} more new versions in your groups: notices tells which"),
        LineKind::Warning => format!("{count} more of the warnings that were told before"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;

    fn asks(group: &str) -> LineSource {
        LineSource { kind: LineKind::JoinRequest, source: group.to_owned() }
    }

    /// The number of lines that a line stands for.
    fn stands_for(line: &str) -> u64 {
        line.split(' ').next().and_then(|count| count.parse().ok()).unwrap_or(1)
    }

    #[test]
    fn of_many_requests_five_have_a_line_and_the_others_one_together() {
        let (mut pace, start) = (LinePace::default(), Instant::now());
        let told = (0..42).filter(|_| pace.take(&asks("lab"), "eve asks to join lab", start)).count();
        assert_eq!((told, pace.due(start + Duration::from_secs(29))), (5, Vec::new()));
        assert!(pace.take(&asks("den"), "bob asks to join den", start), "another group is not concerned");
        let line = "37 more ask to join lab: list_requests lab".to_owned();
        assert_eq!(pace.due(start + Duration::from_secs(30)), [(LineKind::JoinRequest, line)]);
        assert_eq!((pace.due(start + Duration::from_secs(99)), pace.rest()), (Vec::new(), Vec::new()));
    }

    #[test]
    fn one_line_that_was_left_out_is_told_as_it_is_and_at_the_end_all_are() {
        let (mut pace, start) = (LinePace::default(), Instant::now());
        assert_eq!((0..6).filter(|_| pace.take(&asks("lab"), "eve asks to join lab", start)).count(), 5);
        assert_eq!(pace.rest(), [(LineKind::JoinRequest, "eve asks to join lab".to_owned())]);
    }

    #[test]
    fn of_each_kind_and_source_a_few_lines_are_told_and_the_others_counted() {
        for KindInfo { kind, each, .. } in KINDS {
            let (mut pace, start) = (LinePace::default(), Instant::now());
            let from = |source: &str| LineSource { kind, source: source.to_owned() };
            let told = (0..1000).filter(|_| pace.take(&from("lab"), "as it is", start)).count();
            assert_eq!(told as u64, each.burst, "{kind:?}");
            assert!(pace.take(&from("den"), "as it is", start), "{kind:?}: another source is not concerned");
            let due = pace.due(start + each.interval);
            let [(of, line)] = &due[..] else { panic!("{kind:?}: {due:?}") };
            assert!(*of == kind && line.contains(&(1000 - told).to_string()), "{line}");
        }
    }

    #[test]
    fn requests_for_hundreds_of_groups_are_counted_in_one_line() {
        let (mut pace, start) = (LinePace::default(), Instant::now());
        let groups = || (0..1000).map(|number| asks(&format!("g{number}")));
        assert_eq!(groups().filter(|group| pace.take(group, "eve asks", start)).count(), 20);
        assert!(pace.0[0].left_out.len() <= SOURCES_MAX + 1);
        let line = "980 more ask to join your groups: list_requests tells who".to_owned();
        assert_eq!(pace.due(start + Duration::from_secs(6)), [(LineKind::JoinRequest, line)]);
    }

    proptest! {
        #[test]
        fn every_line_is_told_or_counted_and_no_minute_has_many(
            steps in vec((0..5_u32, 0..200_u64, any::<bool>()), 0..400),
        ) {
            let (mut pace, mut now) = (LinePace::default(), Instant::now());
            let (mut come, mut stood_for, mut times) = (0, 0, Vec::new());
            for (group, ms, ticks) in steps {
                now += Duration::from_millis(ms);
                come += 1;
                if pace.take(&asks(&format!("g{group}")), "eve asks", now) {
                    stood_for += 1;
                    times.push(now);
                }
                for (_, line) in if ticks { pace.due(now) } else { Vec::new() } {
                    stood_for += stands_for(&line);
                    times.push(now);
                }
            }
            stood_for += pace.rest().iter().map(|(_, line)| stands_for(line)).sum::<u64>();
            prop_assert_eq!(come, stood_for);
            for (number, from) in times.iter().enumerate() {
                let minute = times[number..].iter().filter(|time| **time < *from + Duration::from_secs(60)).count();
                prop_assert!(minute <= 20 + 10, "{} lines in a minute", minute);
            }
        }
    }
}
