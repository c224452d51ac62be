//! The messages that a user was shown: the file `told` of a slot, one line of JSON for each, the latest last.
//!
//! A line is written at once and not synced: a message that a crash of the machine takes was on the screen before.
//! Lines that are no JSON objects are ignored, such as the last one after a crash.

use crate::model::id::OpOrder;
use crate::sys::durable;
use crate::sys::files::{self, Open};
use parking_lot::Mutex;
use serde_json::{Map, Value};
use std::collections::{HashMap, VecDeque};
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

/// The maximum number of messages to keep. Beyond this limit, the oldest message of the most frequent kind goes. So a
/// flood of one kind drives out no other kind.
pub const TOLD_MAX: usize = 500;
/// The longest line to keep, in bytes.
const LINE_LEN_MAX: usize = 8 * 1024;
/// After this many written lines the file is rewritten.
const LINES_MAX: usize = 2 * TOLD_MAX;

/// One message, in the form for programs.
pub type Told = Map<String, Value>;

/// The field of a line with the place of the tracker's notice.
const PLACE: &str = "place";
/// The field of a line with the time at which the user was told.
pub(crate) const AT: &str = "at";

/// The last messages that a user was shown by one client.
#[derive(Debug)]
pub struct ToldLog {
    path: PathBuf,
    /// The writer holds this lock, so no line overtakes another. `None` once the slot is closed.
    writing: Mutex<Option<Lines>>,
    // Locked, but never during I/O.
    kept: Mutex<VecDeque<Told>>,
}

/// The file, to which lines are added.
#[derive(Debug, Default)]
struct Lines {
    /// `None` until the file is rewritten.
    file: Option<File>,
    len: u64,
    count: usize,
}

impl ToldLog {
    /// Reads the messages of an earlier login. Unreadable ones are ignored.
    pub(super) fn load(path: PathBuf) -> Self {
        let text = fs::read(&path).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let mut kept: VecDeque<Told> = text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        while kept.len() > TOLD_MAX {
            forget_one(&mut kept);
        }
        Self { path, writing: Mutex::new(Some(Lines::default())), kept: Mutex::new(kept) }
    }

    /// Keeps one more message, as far as the disk takes it.
    pub fn keep(&self, told: Told) {
        let line = serde_json::to_string(&told).expect("texts and numbers become JSON") + "\n";
        let mut writing = self.writing.lock();
        let Some(lines) = writing.as_mut().filter(|_| line.len() <= LINE_LEN_MAX) else { return };
        {
            let mut kept = self.kept.lock();
            kept.push_back(told);
            if kept.len() > TOLD_MAX {
                forget_one(&mut kept);
            }
        }
        if !lines.add(&line) {
            *lines = self.written_anew();
        }
    }

    /// Keeps a notice of the tracker. Returns false if the user was told it before. The tracker sends a notice again if
    /// the client ended before it could say that the user has read it.
    pub fn keep_notice(&self, mut told: Told, order: OpOrder) -> bool {
        told.insert(
            PLACE.to_owned(),
            format!("{}-{}-{}", order.lamport, order.origin.tracker, order.origin.incarnation).into(),
        );
        if self.kept.lock().iter().any(|kept| is_same(kept, &told)) {
            return false;
        }
        self.keep(told);
        true
    }

    /// All kept messages, the latest last.
    pub fn all(&self) -> Vec<Told> {
        let mut all: Vec<Told> = self.kept.lock().iter().cloned().collect();
        for told in &mut all {
            told.remove(PLACE);
        }
        all
    }

    /// Keeps nothing from now on.
    pub(super) fn close(&self) {
        self.writing.lock().take();
    }

    fn written_anew(&self) -> Lines {
        let line = |told: &Told| serde_json::to_string(told).expect("texts and numbers become JSON") + "\n";
        let lines: Vec<String> = self.kept.lock().iter().map(line).collect();
        let text = lines.concat();
        let written = durable::replace(&self.path, text.as_bytes());
        let file = written.and_then(|()| files::open_file(&self.path, Open::Write)).ok();
        Lines { file, len: text.len() as u64, count: lines.len() }
    }
}

impl Lines {
    /// Appends a line. Returns false if the file must be rewritten instead.
    fn add(&mut self, line: &str) -> bool {
        let Some(file) = self.file.as_ref().filter(|_| self.count < LINES_MAX) else { return false };
        let is_written = file.write_all_at(line.as_bytes(), self.len).is_ok();
        self.len += line.len() as u64;
        self.count += 1;
        is_written
    }
}

/// Whether both say the same of one op, at any time. A late op may change the words of a notice.
fn is_same(one: &Told, other: &Told) -> bool {
    let said = |told: &Told| -> Told {
        told.iter().filter(|(key, _)| *key != AT).map(|(k, v)| (k.clone(), v.clone())).collect()
    };
    one.get(PLACE) == other.get(PLACE) && said(one) == said(other)
}

/// Forgets the oldest message of the most frequent kind.
fn forget_one(kept: &mut VecDeque<Told>) {
    let kind = |told: &Told| told.get("event").and_then(Value::as_str).unwrap_or_default().to_owned();
    let mut counts: HashMap<String, usize> = HashMap::new();
    kept.iter().for_each(|told| *counts.entry(kind(told)).or_default() += 1);
    let most = counts.values().copied().max().unwrap_or_default();
    if let Some(oldest) = kept.iter().position(|told| counts[&kind(told)] == most) {
        kept.remove(oldest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::id::Origin;
    use serde_json::json;

    fn told(event: &str, number: usize) -> Told {
        let Value::Object(told) = json!({ "event": event, "number": number }) else { panic!("an object") };
        told
    }

    fn numbers(log: &ToldLog) -> Vec<u64> {
        log.all().iter().filter_map(|told| told["number"].as_u64()).collect()
    }

    #[test]
    fn told_notices_survive_a_restart_and_a_crash_inside_a_line() {
        let temp = tempfile::tempdir().expect("a folder");
        let path = temp.path().join("told");
        let log = ToldLog::load(path.clone());
        assert_eq!(numbers(&log), [0; 0]);
        (0..3).for_each(|number| log.keep(told("warning", number)));
        drop(log);
        let bytes = fs::read(&path).expect("there");
        fs::write(&path, &bytes[..bytes.len() - 5]).expect("written");
        let log = ToldLog::load(path.clone());
        assert_eq!(numbers(&log), [0, 1]);
        log.keep(told("warning", 7));
        fs::write(&path, [&fs::read(&path).expect("there")[..], b"\xff{}\n[1]\n"].concat()).expect("written");
        let log = ToldLog::load(path);
        assert_eq!(numbers(&log), [0, 1, 7]);
        log.close();
        log.keep(told("warning", 8));
        assert_eq!(numbers(&log), [0, 1, 7], "the slot is another login's");
    }

    #[test]
    fn a_notice_is_kept_once_also_over_a_restart_unless_it_says_something_else() {
        let temp = tempfile::tempdir().expect("a folder");
        let path = temp.path().join("told");
        let log = ToldLog::load(path.clone());
        let order = |lamport| OpOrder { lamport, origin: Origin { tracker: 1, incarnation: 7 } };
        let at = |number, at: u64| {
            let mut told = told("owner_made", number);
            told.insert(AT.to_owned(), at.into());
            told
        };
        assert!(log.keep_notice(at(0, 10), order(1)));
        assert!(log.keep_notice(at(0, 10), order(2)), "another one that reads the same");
        let log = ToldLog::load(path);
        assert!(!log.keep_notice(at(0, 99), order(1)));
        assert!(log.keep_notice(at(1, 99), order(1)), "it says something else now");
        assert_eq!(log.all(), [at(0, 10), at(0, 10), at(1, 99)], "programs do not see which notice it is");
    }

    #[test]
    fn many_things_of_one_kind_drive_out_no_other_and_the_file_stays_short() {
        let temp = tempfile::tempdir().expect("a folder");
        let path = temp.path().join("told");
        let log = ToldLog::load(path.clone());
        (0..20).for_each(|number| log.keep(told("download_completed", number)));
        let flood = 3 * TOLD_MAX;
        (0..flood).for_each(|number| log.keep(told("join_requested", number)));
        let all = numbers(&log);
        assert_eq!(all.len(), TOLD_MAX);
        assert_eq!(all[..20], (0..20).collect::<Vec<u64>>());
        assert_eq!(all.last(), Some(&(flood as u64 - 1)));
        assert_eq!(numbers(&ToldLog::load(path.clone())), all);
        let lines = fs::read_to_string(&path).expect("there").lines().count();
        assert!(lines <= LINES_MAX, "{lines}");
        log.keep(Told::from_iter([("event".to_owned(), Value::from("x".repeat(LINE_LEN_MAX)))]));
        assert_eq!(numbers(&log), all, "a line that is too long is not kept");
    }
}
