//! Attackers do their worst, and honest users of a tracker notice next to nothing.
//!
//! The tracker and two of the honest users are the built programs. Attackers share one core, and honest users have
//! addresses of their own. `make hostile` measures the times of commands, logins and files. At small scale the test
//! checks what needs no clock: no honest user is refused, the tracker lives, and its memory stays.

mod gang;
mod kinds;
mod program;
mod screens;
mod town;

use crate::scale;
use gang::{Crowd, FEW, Gang, HUNDRED, ONE, TEN, Worst};
use parking_lot::Mutex;
use program::resident_kib;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;
use town::{Noticed, Town, Until};

/// The longest time for 99 of 100 commands.
const COMMAND_MAX: Duration = Duration::from_millis(50);
/// The longest time for a login.
const LOGIN_MAX: Duration = Duration::from_secs(2);
/// How many times longer a file may take than without attackers.
const FILE_FACTOR: u32 = 2;
/// How much memory the attackers may add to a tracker.
const GROWTH_MAX_KIB: u64 = 64 * 1024;
/// The longest time for which honest users are alone at first.
const ALONE_MAX: Duration = Duration::from_secs(8);
/// How many rounds each attacker does at small scale.
const ROUNDS: usize = 3;
/// The longest time for these rounds.
const ROUNDS_MAX: Duration = Duration::from_secs(120);

/// Only one siege runs at a time, since each measures time and memory.
static SIEGE: Mutex<()> = Mutex::new(());

fn part(times: &[Duration], of_thousand: usize) -> Duration {
    let mut times = times.to_vec();
    times.sort_unstable();
    let at = (times.len() * of_thousand / 1000).min(times.len().saturating_sub(1));
    times.get(at).copied().unwrap_or_default()
}

fn median(times: &[Duration]) -> Duration {
    part(times, 500)
}

fn ms(time: Duration) -> String {
    format!("{:.1}", time.as_secs_f64() * 1000.0)
}

/// Ends a watch when it is dropped, also by a panic.
struct Watched<'a>(&'a AtomicBool);

impl Drop for Watched<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// The peak memory of the tracker while this ran, in KiB.
fn peak_kib<T>(pid: u32, doing: impl FnOnce() -> T) -> (T, u64) {
    let (over, peak) = (AtomicBool::new(false), AtomicU64::new(0));
    let done = thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                peak.fetch_max(resident_kib(pid).unwrap_or(0), Ordering::Relaxed);
                thread::park_timeout(Duration::from_millis(20));
            }
        });
        let _watched = Watched(&over);
        doing()
    });
    (done, peak.into_inner())
}

/// The observations beside a crowd.
struct Siege {
    alone: Noticed,
    beside: Noticed,
    grown_kib: u64,
    rounds: u64,
    /// Unasked lines on the screen of an honest user.
    lines: usize,
    lives: bool,
}

impl Siege {
    fn lay(crowd: Crowd, worst: Worst) -> Self {
        let mut town = Town::new();
        let pid = town.tracker.pid();
        let attackers = Gang::of(crowd, town.target, scale::time().is_none().then_some(ROUNDS));
        let time = scale::time();
        let alone = || {
            town.warm_up();
            match time {
                Some(time) => town.noticed(&Until::passed(Some(time.min(ALONE_MAX)))),
                None => Noticed::default(),
            }
        };
        let (alone, before) = peak_kib(pid, alone);
        town.alice.listen();
        let heard = town.alice.heard.len();
        let mut gang = Gang::start(attackers, worst);
        let (beside, after) = peak_kib(pid, || {
            let noticed = town.noticed(&Until::passed(time));
            if time.is_none() {
                gang.finish(ROUNDS_MAX);
            }
            noticed
        });
        let rounds = gang.done();
        drop(gang);
        town.alice.listen();
        let said = &town.alice.heard[heard..];
        let lines = said.iter().filter(|line| line.contains("mallory")).count();
        let lives = town.tracker.is_running();
        Self { alone, beside, grown_kib: after.saturating_sub(before), rounds, lines, lives }
    }

    fn told(&self) -> String {
        let Self { alone, beside, grown_kib, rounds, lines, .. } = self;
        let both = |of: fn(&Noticed) -> Duration| format!("{:>7} {:>7}", ms(of(alone)), ms(of(beside)));
        let refused = beside.refused.len();
        format!(
            "{} | {} | {} | {} | {:>6} | {refused:>5} | {lines:>5} | {rounds:>7}",
            both(|noticed| part(&noticed.commands, 990)),
            both(|noticed| part(&noticed.logins, 1000)),
            both(|noticed| median(&noticed.uploads)),
            both(|noticed| median(&noticed.downloads)),
            grown_kib / 1024,
        )
    }

    /// The complaints of honest users.
    fn complaints(&self) -> Vec<String> {
        let Self { alone, beside, grown_kib, .. } = self;
        let mut out = Vec::new();
        if let Some(why) = beside.refused.first() {
            out.push(format!("{} honest requests were refused, such as: {why}", beside.refused.len()));
        }
        if *grown_kib > GROWTH_MAX_KIB {
            out.push(format!("memory grew by {grown_kib} KiB"));
        }
        if !self.lives {
            out.push("the tracker has ended".to_owned());
        }
        if scale::time().is_none() {
            return out;
        }
        let command = part(&beside.commands, 990);
        let login = part(&beside.logins, 1000);
        if command > COMMAND_MAX {
            out.push(format!("one of a hundred commands takes {} ms", ms(command)));
        }
        if login > LOGIN_MAX {
            out.push(format!("a login takes {} ms", ms(login)));
        }
        let files = [(&alone.uploads, &beside.uploads, "upload"), (&alone.downloads, &beside.downloads, "download")];
        for (alone, beside, what) in files {
            let (alone, beside) = (median(alone), median(beside));
            if beside > alone * FILE_FACTOR {
                out.push(format!("an {what} takes {} ms, and {} ms without attackers", ms(beside), ms(alone)));
            }
        }
        out
    }
}

/// Lays siege with each kind of crowd.
fn withstands(name: &str, worst: Worst) {
    let _turn = SIEGE.lock();
    groupshare::sys::raise_descriptor_limit().expect("allowed");
    let crowds: &[Crowd] = if scale::time().is_some() { &[ONE, TEN, HUNDRED] } else { &[FEW] };
    let mut complaints = Vec::new();
    println!("{HEADER}");
    for crowd in crowds {
        let siege = Siege::lay(*crowd, worst);
        println!("{name:<18} {:<12} | {}", crowd.name, siege.told());
        complaints.extend(siege.complaints().into_iter().map(|why| format!("{name} by {}: {why}", crowd.name)));
    }
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
}

const HEADER: &str = "ms alone, ms beside             | commands p99    | logins, longest | uploads, median | downloads, med. | MiB    | refused | lines | rounds";

#[test]
fn ragged_holdings_cost_others_nothing() {
    withstands("holds", kinds::holds);
}

#[test]
fn many_clients_with_pieces_of_many_shares_cost_others_nothing() {
    withstands("many holdings", kinds::many_holdings);
}

#[test]
fn lists_of_deep_paths_cost_others_nothing() {
    withstands("deep manifests", kinds::deep_manifests);
}

#[test]
fn lists_of_very_many_files_cost_others_nothing() {
    withstands("wide manifests", kinds::wide_manifests);
}

#[test]
fn logins_without_end_cost_others_nothing() {
    withstands("logins", kinds::logins);
}

#[test]
fn guesses_without_end_cost_others_nothing() {
    withstands("guesses", kinds::guesses);
}

#[test]
fn changes_of_passwords_without_end_cost_others_nothing() {
    withstands("password changes", kinds::password_changes);
}

#[test]
fn requests_to_join_without_end_cost_others_nothing() {
    withstands("join requests", kinds::join_requests);
}

#[test]
fn shares_without_end_cost_others_nothing() {
    withstands("uploads", kinds::uploads);
}

#[test]
fn long_lists_cost_others_nothing() {
    withstands("lists", kinds::lists);
}

#[test]
fn answers_that_nobody_reads_cost_others_nothing() {
    withstands("unread", kinds::unread);
}

#[test]
fn lists_of_pieces_that_nobody_reads_cost_others_nothing() {
    withstands("unread lists", kinds::unread_lists);
}

#[test]
fn shares_that_turn_out_to_be_one_cost_others_nothing() {
    withstands("twins", kinds::twins);
}

#[test]
fn clients_that_move_without_end_cost_others_nothing() {
    withstands("moves", kinds::moves);
}

#[test]
fn calls_without_end_cost_others_nothing() {
    withstands("calls", kinds::calls);
}

#[test]
fn connections_that_say_nothing_cost_others_nothing() {
    withstands("connections", kinds::connections);
}

#[test]
fn frames_that_never_end_cost_others_nothing() {
    withstands("unfinished frames", kinds::unfinished_frames);
}

#[test]
fn forged_tickets_cost_others_nothing() {
    withstands("relay", kinds::relay);
}

#[test]
fn lines_of_json_without_end_cost_others_nothing() {
    withstands("json", kinds::json);
}

#[test]
fn messages_that_nobody_knows_cost_others_nothing() {
    withstands("noise", kinds::noise);
}
