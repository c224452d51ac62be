//! The lines about one download or upload, and about a file that is being read.

use super::download_failure::DownloadFailure;
use crate::client::reach::way::Way;
use crate::model::name::{FileName, GroupId, UserId};
use crate::model::units::{duration, percent, rate, size};
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

/// One download at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DownloadStatus {
    /// From which group.
    pub group: GroupId,
    /// Which file.
    pub file: FileName,
    /// The patterns of the wanted files of a folder; empty for all files.
    pub patterns: Vec<String>,
    /// The state of the download.
    pub state: DownloadState,
    /// Verified and stored bytes; `None` while unknown.
    pub done_bytes: Option<u64>,
    /// Bytes in all.
    pub total_bytes: u64,
    /// The recent speed in bytes per second.
    pub speed: u64,
    /// The number of members that deliver.
    pub peers: usize,
    /// The remaining time at this speed; `None` if unknown.
    pub left: Option<Duration>,
    /// The bytes of each member, the largest number first.
    pub members: Vec<Delivered>,
    /// Bytes from an old version of the file.
    pub reused_bytes: u64,
    /// Why nothing arrives.
    pub obstacles: Vec<Obstacle>,
}

/// Why nothing arrives for a download: the obstacle to one member, or to all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Obstacle {
    pub user: Option<UserId>,
    /// One line, without a full stop.
    pub why: String,
}

impl fmt::Display for Obstacle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.user {
            Some(user) => write!(f, "{user}: {}", self.why),
            None => f.write_str(&self.why),
        }
    }
}

/// One member's upload of one file at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UploadStatus {
    /// In which group.
    pub group: GroupId,
    /// Which file.
    pub file: FileName,
    /// The member that takes the file.
    pub user: UserId,
    /// The way of the connection.
    pub way: Way,
    /// The recent speed in bytes per second.
    pub speed: u64,
    /// Bytes given so far.
    pub given_bytes: u64,
}

/// One member's part in a download.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivered {
    pub user: UserId,
    /// Bytes of good pieces.
    pub bytes: u64,
    /// The way of the member's connection, if it has one now. After the end of the download, the way of the last one.
    pub way: Option<Way>,
}

impl Delivered {
    /// The members by their bytes, the largest number first, and then by name.
    pub(crate) fn most_first(bytes: BTreeMap<UserId, u64>, ways: &BTreeMap<UserId, Way>) -> Vec<Self> {
        let delivered = |(user, bytes)| Self { way: ways.get(&user).copied(), user, bytes };
        let mut all: Vec<_> = bytes.into_iter().map(delivered).collect();
        all.sort_by_key(|delivered| Reverse(delivered.bytes));
        all
    }
}

/// The maximum number of members that the line of a download names.
const NAMED_MAX: usize = 4;
/// The maximum number of lines about why nothing arrives.
const OBSTACLES_MAX: usize = 4;
/// The indent of each such line.
const INDENT: &str = "      ";

/// The state of a download.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DownloadState {
    /// The client verifies the pieces of an earlier run.
    Checking,
    /// The client fetches pieces, or waits for them.
    Running,
    /// The download goes on once the tracker knows the file.
    Waiting,
    /// Paused until it is resumed.
    Paused,
    /// The file is in its place.
    Completed,
    Failed(DownloadFailure),
}

impl DownloadStatus {
    /// The line of `show_downloads`: `[D]`, `[C]` or `[F]`, group and file, and two spaces before the rest.
    pub fn line(&self) -> String {
        self.short_line() + &self.shares()
    }

    /// As `line`, without the members.
    pub fn short_line(&self) -> String {
        let letter = match self.state {
            DownloadState::Completed => 'C',
            DownloadState::Failed(_) => 'F',
            DownloadState::Checking | DownloadState::Running | DownloadState::Waiting | DownloadState::Paused => 'D',
        };
        let part = match self.patterns.split_first() {
            None => String::new(),
            Some((first, [])) if first.is_empty() => String::new(),
            Some((first, [])) => format!("{first}: "),
            Some((first, others)) => format!("{first} and {} more: ", others.len()),
        };
        format!("[{letter}] [{}] {}  {part}{}", self.group, self.file, self.rest())
    }

    /// The line of `show_downloads`, and below it why nothing arrives.
    pub fn lines(&self) -> Vec<String> {
        std::iter::once(self.line()).chain(self.obstacle_lines()).collect()
    }

    /// Why nothing arrives: a line for each member, four at most.
    pub fn obstacle_lines(&self) -> Vec<String> {
        let is_waiting = self.state == DownloadState::Running && self.peers == 0 && !self.is_whole();
        let obstacles = if is_waiting { &self.obstacles[..] } else { &[] };
        let named = if obstacles.len() > OBSTACLES_MAX { OBSTACLES_MAX - 1 } else { obstacles.len() };
        let lines = obstacles.iter().take(named).map(|obstacle| format!("{INDENT}{obstacle}"));
        let more = (obstacles.len() > named).then(|| format!("{INDENT}and {} more", obstacles.len() - named));
        lines.chain(more).collect()
    }

    /// Whether every piece is here.
    fn is_whole(&self) -> bool {
        self.done_bytes == Some(self.total_bytes)
    }

    /// Whether pieces arrive.
    pub fn moves(&self) -> bool {
        self.state == DownloadState::Running && self.speed > 0
    }

    /// The rank of the download: running ones first, then waiting ones, and complete ones last.
    pub fn rank(&self) -> u8 {
        match self.state {
            DownloadState::Running if self.speed > 0 => 0,
            DownloadState::Running | DownloadState::Checking | DownloadState::Waiting => 1,
            DownloadState::Paused => 2,
            DownloadState::Failed(_) => 3,
            DownloadState::Completed => 4,
        }
    }

    /// The bytes of each member, one line each.
    pub fn member_lines(&self) -> Vec<String> {
        self.members.iter().map(|member| self.share_of(member)).collect()
    }

    /// The bytes of the members, in a few words.
    fn shares(&self) -> String {
        let reused = (self.reused_bytes > 0).then(|| format!("{} from the old version", size(self.reused_bytes)));
        let members = self.members.iter().take(NAMED_MAX).map(|member| self.share_of(member));
        let named: Vec<String> = reused.into_iter().chain(members).collect();
        match self.members.len().saturating_sub(NAMED_MAX) {
            _ if named.is_empty() => String::new(),
            0 => format!("; {}", named.join(", ")),
            others => format!("; {} and {others} more", named.join(", ")),
        }
    }

    fn share_of(&self, member: &Delivered) -> String {
        let all: u64 = self.members.iter().map(|member| member.bytes).sum();
        let share = if all == 0 { percent(0, 1) } else { percent(member.bytes, all) };
        // An ended download has no connections any more.
        let way = member.way.filter(|_| self.state == DownloadState::Running);
        let way = way.map(|way| format!(", {way}")).unwrap_or_default();
        format!("{} {} ({share}{way})", member.user, size(member.bytes))
    }

    fn rest(&self) -> String {
        let share = || match self.done_bytes {
            Some(done) => format!("{} of {}", percent(done, self.total_bytes), size(self.total_bytes)),
            None => size(self.total_bytes),
        };
        match &self.state {
            DownloadState::Completed => size(self.total_bytes),
            DownloadState::Failed(failure) => failure.why.clone(),
            DownloadState::Checking => format!("{}, checking what is there", share()),
            DownloadState::Waiting => format!("{}, waiting for a tracker that knows of it", share()),
            DownloadState::Paused => format!("{}, paused", share()),
            // Every piece is here. The client checks the whole file and syncs it.
            DownloadState::Running if self.is_whole() => format!("{}, finishing", share()),
            DownloadState::Running if self.peers == 0 => format!("{}, waiting for members who have it", share()),
            DownloadState::Running => {
                let members = if self.peers == 1 { "member" } else { "members" };
                let left = self.left.map(|left| format!(", {} left", duration(left))).unwrap_or_default();
                format!("{}, {} from {} {members}{left}", share(), rate(self.speed), self.peers)
            }
        }
    }
}

/// A share that is not given whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IncompleteShare {
    pub group: GroupId,
    pub file: FileName,
    /// Whether the client gives parts of it.
    pub partly: bool,
    /// What is missing or wrong, and the consequence.
    pub why: String,
}

impl IncompleteShare {
    /// The line of `show_uploads`: `[M]`, group and file, and two spaces before the rest.
    pub fn line(&self) -> String {
        format!("[M] [{}] {}  {}", self.group, self.file, self.why)
    }
}

impl UploadStatus {
    /// The line of `show_uploads`: `[U]`, group and file, and two spaces before the rest.
    pub fn line(&self) -> String {
        let (speed, given) = (rate(self.speed), size(self.given_bytes));
        format!("[U] [{}] {}  to {} ({}), {speed}, {given} given", self.group, self.file, self.user, self.way)
    }
}

/// The totals of all transfers at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Totals {
    /// The recent speed from other members, in bytes per second.
    pub down: u64,
    /// The recent speed to other members, in bytes per second.
    pub up: u64,
    /// Missing bytes of all downloads, except paused and failed ones.
    pub left_bytes: u64,
    /// The number of running downloads and uploads.
    moving: usize,
}

impl Totals {
    pub fn of(downloads: &[DownloadStatus], uploads: &[UploadStatus]) -> Self {
        let left = |download: &DownloadStatus| download.total_bytes.saturating_sub(download.done_bytes.unwrap_or(0));
        Self {
            down: downloads.iter().map(|download| download.speed).sum(),
            up: uploads.iter().map(|upload| upload.speed).sum(),
            left_bytes: downloads.iter().filter(|download| download.rank() < 2).map(left).sum(),
            moving: downloads.iter().filter(|download| download.moves()).count()
                + uploads.iter().filter(|upload| upload.speed > 0).count(),
        }
    }

    /// The remaining time at this speed; `None` if unknown.
    pub fn left(&self) -> Option<Duration> {
        (self.down > 0 && self.left_bytes > 0).then(|| Duration::from_secs(self.left_bytes / self.down))
    }

    /// The line for a person. If at most one transfer runs, its own line says everything.
    pub fn line(&self) -> Option<String> {
        let left = self.left().map(|left| format!(", {}", duration(left))).unwrap_or_default();
        let left = if self.left_bytes > 0 { format!(", {} left{left}", size(self.left_bytes)) } else { String::new() };
        (self.moving > 1).then(|| format!("Total  {} down, {} up{left}", rate(self.down), rate(self.up)))
    }
}

/// The line about the progress of reading a file to share.
pub(crate) fn hashed(bytes: u64, total: u64, took: Duration) -> String {
    let share = format!("Hashing: {} of {}", percent(bytes, total), size(total));
    let Some(speed) = mean_speed(bytes, took).filter(|speed| *speed > 0) else {
        return share;
    };
    let left = Duration::from_secs(total.saturating_sub(bytes) / speed);
    format!("{share}, {}, {} left", rate(speed), duration(left))
}

/// The part of a complete download that came over the network. The rest was here before.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Fetched {
    pub bytes: u64,
    pub took: Duration,
}

/// The line about a complete download.
pub(crate) fn completed(group: &GroupId, file: &FileName, bytes: u64, fetched: Fetched) -> String {
    let Fetched { bytes: fetched, took } = fetched;
    let part = if (1..bytes).contains(&fetched) { format!(", {} of it", size(fetched)) } else { String::new() };
    format!("Download completed: [{group}] {file}  {}{part} in {}", size(bytes), pace(fetched, took))
}

/// The progress of a download when it failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reached {
    /// Received bytes.
    pub received_bytes: u64,
    /// Bytes in all.
    pub total_bytes: u64,
    /// Time since the start.
    pub took: Duration,
}

/// The line about a failed download, with its progress if it had begun.
pub(crate) fn failed(group: &GroupId, file: &FileName, reason: &str, reached: Option<Reached>) -> String {
    let reached = reached.map(|Reached { received_bytes, total_bytes, took }| {
        format!(" ({} of {} in {})", size(received_bytes), size(total_bytes), pace(received_bytes, took))
    });
    format!("Download failed: [{group}] {file}  {reason}{}", reached.unwrap_or_default())
}

/// A duration, and the mean speed over it if known.
fn pace(bytes: u64, took: Duration) -> String {
    let speed = mean_speed(bytes, took).map(|speed| format!(", {}", rate(speed))).unwrap_or_default();
    format!("{}{speed}", duration(took))
}

/// Bytes a second; `None` for too short a time.
fn mean_speed(bytes: u64, took: Duration) -> Option<u64> {
    let millis = took.as_millis();
    (millis > 0 && bytes > 0).then(|| u64::try_from(u128::from(bytes) * 1000 / millis).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::output::download_failure::FailureCode;
    use crate::model::name::tests::user;

    fn status(state: DownloadState) -> DownloadStatus {
        DownloadStatus {
            group: GroupId::parse("lab").expect("a name"),
            file: FileName::parse("my notes.pdf").expect("a name"),
            patterns: Vec::new(),
            state,
            done_bytes: Some(45_600_000),
            total_bytes: 100_000_000,
            speed: 12_340_000,
            peers: 3,
            left: Some(Duration::from_secs(125)),
            members: Vec::new(),
            reused_bytes: 0,
            obstacles: Vec::new(),
        }
    }

    #[test]
    fn each_state_of_a_download_has_its_line() {
        for (state, line) in [
            (
                DownloadState::Running,
                "[D] [lab] my notes.pdf  45 % of 100.0 MB, 12.3 MB/s from 3 members, 2 min 05 s left",
            ),
            (DownloadState::Checking, "[D] [lab] my notes.pdf  45 % of 100.0 MB, checking what is there"),
            (
                DownloadState::Waiting,
                "[D] [lab] my notes.pdf  45 % of 100.0 MB, waiting for a tracker that knows of it",
            ),
            (DownloadState::Paused, "[D] [lab] my notes.pdf  45 % of 100.0 MB, paused"),
            (DownloadState::Completed, "[C] [lab] my notes.pdf  100.0 MB"),
            (
                DownloadState::Failed(DownloadFailure {
                    code: FailureCode::NoMember,
                    why: "nobody shares it any more".to_owned(),
                }),
                "[F] [lab] my notes.pdf  nobody shares it any more",
            ),
        ] {
            assert_eq!(status(state).line(), line);
        }
        let slow = DownloadStatus { peers: 1, left: None, speed: 0, ..status(DownloadState::Running) };
        assert_eq!(slow.line(), "[D] [lab] my notes.pdf  45 % of 100.0 MB, 0 B/s from 1 member");
        let alone = DownloadStatus { peers: 0, ..slow };
        assert_eq!(alone.line(), "[D] [lab] my notes.pdf  45 % of 100.0 MB, waiting for members who have it");
        let whole = DownloadStatus { done_bytes: Some(alone.total_bytes), ..alone };
        assert_eq!(whole.line(), "[D] [lab] my notes.pdf  100 % of 100.0 MB, finishing");
        let update = DownloadStatus { reused_bytes: 99_000_000, ..status(DownloadState::Completed) };
        assert_eq!(update.line(), "[C] [lab] my notes.pdf  100.0 MB; 99.0 MB from the old version");
        let before = DownloadStatus { done_bytes: None, ..status(DownloadState::Paused) };
        assert_eq!(
            before.line(),
            "[D] [lab] my notes.pdf  100.0 MB, paused",
            "the client has not looked at the stored bytes"
        );
    }

    #[test]
    fn the_end_of_a_download_is_told_with_size_time_and_speed() {
        let DownloadStatus { group, file, .. } = status(DownloadState::Running);
        assert_eq!(
            completed(&group, &file, 64_000_000, Fetched { bytes: 64_000_000, took: Duration::from_millis(500) }),
            "Download completed: [lab] my notes.pdf  64.0 MB in 0.5 s, 128.0 MB/s"
        );
        assert_eq!(
            completed(&group, &file, 64_000_000, Fetched { bytes: 6_000_000, took: Duration::from_millis(500) }),
            "Download completed: [lab] my notes.pdf  64.0 MB, 6.0 MB of it in 0.5 s, 12.0 MB/s",
            "what an earlier run has fetched counts for nothing"
        );
        assert_eq!(
            completed(&group, &file, 0, Fetched::default()),
            "Download completed: [lab] my notes.pdf  0 B in 0.1 s"
        );
        let reached = Reached { received_bytes: 45_600_000, total_bytes: 100_000_000, took: Duration::from_secs(12) };
        let line = "Download failed: [lab] my notes.pdf  the disk is full";
        assert_eq!(failed(&group, &file, "the disk is full", None), line);
        assert_eq!(
            failed(&group, &file, "the disk is full", Some(reached)),
            format!("{line} (45.6 MB of 100.0 MB in 12 s, 3.8 MB/s)")
        );
    }

    #[test]
    fn the_status_line_ends_with_how_much_each_member_delivered() {
        let member = |name, bytes| Delivered { user: user(name), bytes, way: None };
        let mut download = status(DownloadState::Paused);
        download.members = vec![member("ann", 30_000_000), member("bob", 15_600_000), member("carol", 0)];
        let line = "[D] [lab] my notes.pdf  45 % of 100.0 MB, paused";
        assert_eq!(download.line(), format!("{line}; ann 30.0 MB (65 %), bob 15.6 MB (34 %), carol 0 B (0 %)"));
        assert_eq!(download.member_lines(), ["ann 30.0 MB (65 %)", "bob 15.6 MB (34 %)", "carol 0 B (0 %)"]);
        download.members = ["a", "b", "c", "d", "e", "f"].map(|name| member(name, 0)).to_vec();
        assert!(download.line().ends_with("; a 0 B (0 %), b 0 B (0 %), c 0 B (0 %), d 0 B (0 %) and 2 more"));
        assert_eq!(download.member_lines().len(), 6);
    }

    #[test]
    fn the_way_of_each_connection_is_told_as_long_as_there_is_one() {
        let member = |name, bytes, way| Delivered { user: user(name), bytes, way };
        let mut download = status(DownloadState::Running);
        download.members = vec![
            member("ann", 30_000_000, Some(Way::Relayed)),
            member("bob", 10_000_000, Some(Way::Direct)),
            member("joe", 0, None),
        ];
        let line = download.line();
        let told = "2 min 05 s left; ann 30.0 MB (75 %, relayed), bob 10.0 MB (25 %, direct), joe 0 B (0 %)";
        assert!(line.ends_with(told), "{line}");
        assert_eq!(download.member_lines()[0], "ann 30.0 MB (75 %, relayed)");
        let complete = DownloadStatus { state: DownloadState::Completed, ..download };
        assert!(complete.line().ends_with("; ann 30.0 MB (75 %), bob 10.0 MB (25 %), joe 0 B (0 %)"));
    }

    #[test]
    fn a_download_that_moves_ranks_before_those_that_wait_or_have_ended() {
        let failure = DownloadFailure { code: FailureCode::NoMember, why: String::new() };
        let moves = status(DownloadState::Running);
        let still = DownloadStatus { speed: 0, ..moves.clone() };
        let ranks = [
            moves.rank(),
            still.rank(),
            status(DownloadState::Paused).rank(),
            status(DownloadState::Failed(failure)).rank(),
            status(DownloadState::Completed).rank(),
        ];
        assert!(ranks.is_sorted_by(|a, b| a < b), "{ranks:?}");
        assert_eq!(status(DownloadState::Waiting).rank(), still.rank());
    }

    #[test]
    fn the_total_is_told_where_more_than_one_thing_moves() {
        let moves = DownloadStatus { done_bytes: Some(0), speed: 1_000_000, ..status(DownloadState::Running) };
        let paused = DownloadStatus { speed: 0, ..status(DownloadState::Paused) };
        let DownloadStatus { group, file, .. } = moves.clone();
        let upload =
            UploadStatus { group, file, user: user("bob"), way: Way::Direct, speed: 1_500_000, given_bytes: 1 };
        assert_eq!(Totals::of(&[moves.clone(), paused.clone()], &[]).line(), None);
        assert_eq!(Totals::of(std::slice::from_ref(&paused), &[]), Totals::default());
        let total = Totals::of(&[moves.clone(), moves, paused], std::slice::from_ref(&upload));
        let line = "Total  2.0 MB/s down, 1.5 MB/s up, 200.0 MB left, 1 min 40 s";
        assert_eq!(total.line().as_deref(), Some(line));
        let total = Totals::of(&[], &[upload.clone(), upload]);
        assert_eq!(total.line().as_deref(), Some("Total  0 B/s down, 3.0 MB/s up"));
    }

    #[test]
    fn a_download_that_waits_says_why_member_by_member_in_four_lines_at_most() {
        let obstacle = |name, why: &str| Obstacle { user: Some(user(name)), why: why.to_owned() };
        let mut download = DownloadStatus { peers: 0, ..status(DownloadState::Running) };
        download.obstacles = vec![
            Obstacle { user: None, why: "your own link is down".to_owned() },
            obstacle("bob", "192.0.2.9:18000 refused the connection, does not call back (offline), no relay"),
        ];
        let lines = [
            "[D] [lab] my notes.pdf  45 % of 100.0 MB, waiting for members who have it",
            "      your own link is down",
            "      bob: 192.0.2.9:18000 refused the connection, does not call back (offline), no relay",
        ];
        assert_eq!(download.lines(), lines);
        download.obstacles = ["a", "b", "c", "d"].map(|name| obstacle(name, "is busy")).to_vec();
        assert_eq!(download.obstacle_lines().len(), 4);
        download.obstacles = ["a", "b", "c", "d", "e"].map(|name| obstacle(name, "is busy")).to_vec();
        assert_eq!(
            download.obstacle_lines(),
            ["      a: is busy", "      b: is busy", "      c: is busy", "      and 2 more"]
        );
        let delivers = DownloadStatus { peers: 1, ..download.clone() };
        assert_eq!(delivers.lines().len(), 1);
        let paused = DownloadStatus { state: DownloadState::Paused, ..download };
        assert_eq!(paused.lines().len(), 1);
    }

    #[test]
    fn an_upload_and_a_hashing_have_lines_of_their_own() {
        let DownloadStatus { group, file, .. } = status(DownloadState::Running);
        let (user, way) = (user("bob"), Way::Direct);
        let upload = UploadStatus { group, file, user, way, speed: 1_500_000, given_bytes: 45_600_000 };
        assert_eq!(upload.line(), "[U] [lab] my notes.pdf  to bob (direct), 1.5 MB/s, 45.6 MB given");
        let punched = UploadStatus { way: Way::Punched, ..upload };
        assert_eq!(punched.line(), "[U] [lab] my notes.pdf  to bob (punched), 1.5 MB/s, 45.6 MB given");
        let line = hashed(40_000_000, 100_000_000, Duration::from_secs(2));
        assert_eq!(line, "Hashing: 40 % of 100.0 MB, 20.0 MB/s, 3.0 s left");
        assert_eq!(hashed(0, 100_000_000, Duration::ZERO), "Hashing: 0 % of 100.0 MB");
    }
}
