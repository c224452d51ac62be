//! The tracker's log: lines on standard error, each with a level, and a rate limit for each kind of event.

mod line_writer;

use crate::model::address::network_of;
use crate::model::escape::quoted;
use crate::model::units::utc;
use crate::rate::buckets::{Buckets, Pace};
use crate::sys;
use crate::tracker::warn::Warn;
use line_writer::LineWriter;
use parking_lot::Mutex;
use std::fmt;
use std::fmt::{Display, Write as _};
use std::fs::File;
use std::io::{self, IsTerminal};
use std::net::IpAddr;
use std::os::fd::AsFd;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

/// How often events of one kind and one address get a line. A network of IPv6 counts as one address.
const PACE: Pace = Pace { burst: 20, interval: Duration::from_secs(3) };
/// How often events of one kind get a line, from all addresses together.
const PACE_IN_ALL: Pace = Pace { burst: 160, interval: Duration::from_millis(375) };

/// How much a line matters. The numbers are those of syslog.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    Error = 3,
    Warn = 4,
    Info = 6,
}

/// Every level with its name.
const LEVELS: [(Level, &str); 3] = [(Level::Error, "error"), (Level::Warn, "warn"), (Level::Info, "info")];

impl Level {
    /// The default level. An operator at a console does not want a line for each login.
    pub fn usual() -> Self {
        if io::stdin().is_terminal() && io::stderr().is_terminal() { Level::Warn } else { Level::Info }
    }
}

impl Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = LEVELS.iter().find(|(level, _)| level == self).map_or("", |(_, name)| name);
        f.write_str(name)
    }
}

/// The text names no level.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoSuchLevel;

impl FromStr for Level {
    type Err = NoSuchLevel;

    fn from_str(text: &str) -> Result<Self, NoSuchLevel> {
        LEVELS.iter().find(|(_, name)| *name == text).map(|(level, _)| *level).ok_or(NoSuchLevel)
    }
}

macro_rules! kinds {
    ($($kind:ident $name:literal $doc:literal)*) => {
        /// The kind of an event. Each kind has its own limit.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum LogKind {
            $(#[doc = $doc] $kind,)*
        }

        /// Every kind, in the order of its number.
        const KINDS: &[(LogKind, &str)] = &[$((LogKind::$kind, $name),)*];
    };
}

kinds! {
    Login "login" "A login failed."
    Member "member" "A member came or left."
    Operator "operator" "An operator did something."
    Quota "quota" "A change would have been over a limit."
    Full "full" "There was no room: for connections, passwords, or the relay."
    CtlRefused "ctl_refused" "Another user of this machine gave a command."
    Audit "audit" "The audit lost lines."
    Version "version" "A caller of another version was turned away."
}

/// The kind of an event, and the address that caused it, if there is one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct LogSubject {
    kind: LogKind,
    network: Option<IpAddr>,
}

impl From<LogKind> for LogSubject {
    fn from(kind: LogKind) -> Self {
        Self { kind, network: None }
    }
}

impl LogKind {
    /// An event of this kind, caused by this address.
    pub fn at(self, ip: IpAddr) -> LogSubject {
        LogSubject { kind: self, network: Some(network_of(ip)) }
    }

    fn name(self) -> &'static str {
        KINDS[self as usize].1
    }
}

/// A name and a value after the words of a line.
pub type LogPair<'a> = (&'static str, &'a dyn Display);

/// Takes the lines of a log. It must not wait for long.
type LogOutput = Box<dyn Fn(Level, &str) + Send + Sync>;

/// Takes all events of a tracker.
pub struct Log {
    /// The lowest level that is written.
    level: AtomicU8,
    kinds: Mutex<KindPaces>,
    output: LogOutput,
}

/// How often each kind has had lines.
struct KindPaces {
    subjects: Buckets<LogSubject>,
    in_all: Buckets<LogKind>,
    /// How many events were left out since the last line of each kind.
    left_out: [u64; KINDS.len()],
}

impl Default for Log {
    /// A log without output.
    fn default() -> Self {
        Self::new(Level::Error, |_, _| {})
    }
}

impl fmt::Debug for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Log").field("level", &self.level).finish_non_exhaustive()
    }
}

impl Log {
    /// Passes lines of this level and above to `output`, without the time.
    pub fn new(level: Level, output: impl Fn(Level, &str) + Send + Sync + 'static) -> Self {
        let kinds = KindPaces::new();
        Self { level: AtomicU8::new(level as u8), kinds: Mutex::new(kinds), output: Box::new(output) }
    }

    /// Writes to standard error, with this name before the words. The journal of systemd adds times and levels itself.
    ///
    /// # Errors
    /// The system has no room for a thread or a descriptor.
    pub fn to_stderr(level: Level, name: &str) -> io::Result<Self> {
        let (name, to_journal) = (name.to_owned(), sys::stderr_is_journal());
        let form = Arc::new(move |level: Level, line: &str| match to_journal {
            true => format!("<{}>{line}\n", level as u8),
            false => format!("{} {level} {name}: {line}\n", utc(sys::unix_time_s())),
        });
        // Writes without the standard library's lock: a panic elsewhere would wait for that lock.
        let stderr = File::from(io::stderr().as_fd().try_clone_to_owned()?);
        let formed = form.clone();
        let left_out =
            move |count| formed(Level::Warn, &format!("lines were left out that nobody read left_out={count}"));
        let writer = LineWriter::start(stderr, left_out)?;
        Ok(Self::new(level, move |level, line| writer.write(form(level, line), level <= Level::Warn)))
    }

    /// From now on writes lines of this level and above. Returns a message if the level has changed.
    pub fn set_level(&self, level: Level) -> Option<String> {
        let before = self.level.swap(level as u8, Ordering::Relaxed);
        (before != level as u8).then(|| format!("log is {level}"))
    }

    /// Whether lines of this level are written.
    pub fn shows(&self, level: Level) -> bool {
        level as u8 <= self.level.load(Ordering::Relaxed)
    }

    /// Writes a line without a rate limit. Its words are this program's own, or escaped.
    pub fn say(&self, level: Level, line: &str) {
        if self.shows(level) {
            (self.output)(level, line);
        }
    }

    /// Writes a line about an event, unless there were too many of its kind lately, from this address or in all.
    pub fn event(&self, level: Level, subject: impl Into<LogSubject>, words: &str, pairs: &[LogPair<'_>]) {
        if !self.shows(level) {
            return;
        }
        let now = Instant::now();
        let subject = subject.into();
        let left_out = self.kinds.lock().take(subject, now);
        if let Some(left_out) = left_out {
            (self.output)(level, &line(subject.kind, words, pairs, left_out));
        }
    }

    /// A way to warn the operator, for rooms that do not know kinds of events.
    pub fn warn_fn(log: &Arc<Self>) -> Warn {
        let log = log.clone();
        Arc::new(move |line| log.say(Level::Warn, line))
    }
}

impl KindPaces {
    fn new() -> Self {
        Self { subjects: Buckets::new(PACE), in_all: Buckets::new(PACE_IN_ALL), left_out: [0; KINDS.len()] }
    }

    /// Lets an event have its line. Returns how many of its kind were left out since the last line. `None` if this one
    /// is left out too.
    fn take(&mut self, subject: LogSubject, now: Instant) -> Option<u64> {
        let left_out = &mut self.left_out[subject.kind as usize];
        if !self.subjects.allows(&subject, now) || !self.in_all.allows(&subject.kind, now) {
            *left_out += 1;
            return None;
        }
        self.subjects.take(&subject, now);
        self.in_all.take(&subject.kind, now);
        Some(std::mem::take(left_out))
    }
}

fn line(kind: LogKind, words: &str, pairs: &[LogPair<'_>], left_out: u64) -> String {
    let mut line = format!("{words} kind={}", kind.name());
    for (name, value) in pairs {
        // Writing to a string cannot fail.
        let _ = write!(line, " {name}={}", quoted(&value.to_string()));
    }
    if left_out > 0 {
        let _ = write!(line, " left_out={left_out}");
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A log of this level, and the lines that it has written.
    fn log(level: Level) -> (Log, Arc<Mutex<Vec<String>>>) {
        let lines: Arc<Mutex<Vec<String>>> = Arc::default();
        let written = lines.clone();
        (Log::new(level, move |level, line| written.lock().push(format!("{level}: {line}"))), lines)
    }

    #[test]
    fn a_line_has_words_a_kind_and_pairs() {
        let (log, lines) = log(Level::Info);
        log.event(Level::Info, LogKind::Login, "login failed", &[("user", &"bob"), ("tries", &3)]);
        log.event(Level::Warn, LogKind::Full, "no room", &[]);
        log.say(Level::Warn, "the disk is full");
        assert_eq!(
            *lines.lock(),
            ["info: login failed kind=login user=bob tries=3", "warn: no room kind=full", "warn: the disk is full"]
        );
    }

    #[test]
    fn lines_below_the_level_are_not_written_until_it_changes() {
        let (log, lines) = log(Level::Warn);
        log.event(Level::Info, LogKind::Member, "came", &[]);
        log.say(Level::Info, "detail");
        assert!(lines.lock().is_empty());
        assert_eq!(log.set_level(Level::Info).as_deref(), Some("log is info"));
        assert_eq!(log.set_level(Level::Info), None);
        log.say(Level::Info, "detail");
        assert_eq!(*lines.lock(), ["info: detail"]);
        assert_eq!("loud".parse::<Level>(), Err(NoSuchLevel));
    }

    #[test]
    fn each_kind_has_its_own_limit_and_tells_what_it_left_out() {
        let (log, lines) = log(Level::Info);
        (0..50).for_each(|_| log.event(Level::Info, LogKind::Login, "login failed", &[]));
        assert_eq!(lines.lock().len(), 20);
        log.event(Level::Info, LogKind::Member, "came", &[]);
        assert_eq!(lines.lock().len(), 21, "another kind is not concerned");

        let (mut kinds, start) = (KindPaces::new(), Instant::now());
        let told = (0..57).filter_map(|_| kinds.take(LogKind::Login.into(), start)).collect::<Vec<_>>();
        assert_eq!(told, [0; 20]);
        assert_eq!(kinds.take(LogKind::Login.into(), start + Duration::from_secs(3)), Some(37));
        assert_eq!(kinds.take(LogKind::Login.into(), start + Duration::from_secs(3)), None);
        assert_eq!(kinds.take(LogKind::Login.into(), start + Duration::from_secs(6)), Some(1));
        assert_eq!(line(LogKind::Login, "login failed", &[], 37), "login failed kind=login left_out=37");
    }

    #[test]
    fn an_address_with_many_events_takes_few_lines_from_others() {
        let (mut kinds, start) = (KindPaces::new(), Instant::now());
        let at = |network: u16, host: u16| LogKind::Login.at([0x2001, 0xdb8, 0, network, 0, 0, 0, host].into());
        let told = (0..500).filter(|host| kinds.take(at(1, *host), start).is_some()).count();
        assert_eq!(told, 20, "a network of IPv6 is one source");
        assert_eq!(kinds.take(at(2, 1), start), Some(480), "another one is not concerned");
        let told = (3..500).flat_map(|network| (0..9).map(move |host| at(network, host)));
        assert_eq!(told.filter(|subject| kinds.take(*subject, start).is_some()).count(), 139, "160 in all");
    }
}
