//! The targets of `make fuzz` on the stable compiler, for seconds. They run their corpora and thousands of mutations,
//! the same in every run.

#[path = "../common/random.rs"]
mod random;
mod targets;

use random::Random;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Once;
use std::sync::atomic::{AtomicUsize, Ordering};
use targets::{TARGETS, Target};

/// Targets with slow runs, with how many mutations each gets: connections and files.
const SLOW: [(&str, u32); 13] = [
    ("accept", 300),
    ("client_folders", 300),
    ("client_records", 300),
    ("cluster", 20),
    ("connect", 300),
    ("ctl_frames", 300),
    ("follow_log", 300),
    ("journal", 300),
    ("seeding_session", 60),
    ("sidecar", 300),
    ("tracker_json", 100),
    ("tracker_link", 60),
    ("tracker_session", 150),
];
/// How many mutations every other target gets.
const CHANGES: u32 = 2000;
/// Longest input that a mutation makes, in bytes.
const LEN_MAX: usize = 4096;
/// Numbers that are lengths, counts and caps.
const NUMBERS: [u64; 12] = [0, 1, 2, 16, 64, 255, 256, 4096, 65_535, 1 << 20, u32::MAX as u64, u64::MAX];

/// How many threads have panicked. Those of trackers and seeders count too.
static PANICS: AtomicUsize = AtomicUsize::new(0);

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn corpus(name: &str) -> Vec<Vec<u8>> {
    let folder = root().join("fuzz/corpus").join(name);
    let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("readable").path()).collect();
    paths.sort();
    assert!(!paths.is_empty(), "{name} has a corpus");
    paths.iter().map(|path| fs::read(path).expect("readable")).collect()
}

/// Prints the input with which a target has failed.
struct Shown<'a>(&'a str, &'a [u8]);

impl Drop for Shown<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let mut digits = String::new();
            for byte in self.1 {
                write!(digits, "{byte:02x}").expect("writing to a string does not fail");
            }
            eprintln!("{} with {digits}", self.0);
        }
    }
}

fn run(name: &str, target: Target, input: &[u8]) {
    let _shown = Shown(name, input);
    target(input);
    assert_eq!(PANICS.load(Ordering::Relaxed), 0, "a thread has panicked");
}

fn play(name: &str, target: Target, changes: u32) {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            PANICS.fetch_add(1, Ordering::Relaxed);
            before(info);
        }));
    });
    let corpus = corpus(name);
    corpus.iter().for_each(|input| run(name, target, input));
    let mut random = Random(name.bytes().map(u64::from).sum());
    for _ in 0..changes {
        let mut input = pick(&corpus, &mut random).clone();
        for _ in 0..=below(4, &mut random) {
            change(&mut input, &corpus, &mut random);
        }
        input.truncate(LEN_MAX);
        run(name, target, &input);
    }
}

fn below(end: usize, random: &mut Random) -> usize {
    (random.next() % end as u64) as usize
}

fn pick<'a>(corpus: &'a [Vec<u8>], random: &mut Random) -> &'a Vec<u8> {
    &corpus[below(corpus.len(), random)]
}

/// One mutation: what libFuzzer does, but without its feedback.
fn change(input: &mut Vec<u8>, corpus: &[Vec<u8>], random: &mut Random) {
    let at = below(input.len() + 1, random);
    let end = at + below(input.len() + 1 - at, random);
    match below(8, random) {
        0 if at < input.len() => input[at] ^= 1 << below(8, random),
        1 if at < input.len() => input[at] = random.next() as u8,
        2 => input.insert(at, random.next() as u8),
        3 => drop(input.drain(at..end)),
        4 => input.truncate(at),
        5 => {
            let copy = input[at..end].to_vec();
            input.splice(at..at, copy);
        }
        6 => {
            let other = pick(corpus, random);
            let from = below(other.len() + 1, random);
            input.truncate(at);
            input.extend_from_slice(&other[from..]);
        }
        _ => {
            let number = NUMBERS[below(NUMBERS.len(), random)].to_be_bytes();
            let len = [1, 2, 4, 8][below(4, random)].min(input.len() - at);
            input[at..at + len].copy_from_slice(&number[8 - len..]);
        }
    }
}

#[test]
fn bytes_that_nobody_would_send_write_or_type_do_no_harm() {
    let fast = TARGETS.iter().filter(|(name, _)| SLOW.iter().all(|(slow, _)| slow != name));
    fast.for_each(|&(name, target)| play(name, target, CHANGES));
}

#[test]
fn connections_and_files_that_make_no_sense_do_no_harm() {
    for (name, changes) in SLOW {
        play(name, targets::target(name), changes);
    }
}

#[test]
fn every_target_is_known_to_libfuzzer_and_has_a_corpus() {
    let manifest = fs::read_to_string(root().join("fuzz/Cargo.toml")).expect("readable");
    let names = |folder: &str| {
        let entries = fs::read_dir(root().join("fuzz").join(folder)).expect("readable");
        let stem = |path: PathBuf| path.file_stem().and_then(|stem| stem.to_str()).expect("a name").to_owned();
        let mut names: Vec<_> = entries.map(|entry| stem(entry.expect("readable").path())).collect();
        names.sort();
        names
    };
    let expected: Vec<_> = TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(names("fuzz_targets"), expected);
    assert_eq!(names("corpus"), expected);
    for (name, _) in TARGETS {
        assert!(manifest.contains(&format!("name = \"{name}\"\n")), "{name} is in fuzz/Cargo.toml");
    }
    // Targets that `make fuzz COUNT=full` runs fewer times must have slow runs here too.
    let campaign = fs::read_to_string(root().join("fuzz/campaign.sh")).expect("readable");
    let heavy = campaign.lines().find_map(|line| line.strip_prefix("HEAVY='")?.strip_suffix('\'')).expect("a list");
    let long = |name: &&str| SLOW.iter().all(|(slow, _)| slow != name);
    assert_eq!(
        heavy.split(' ').filter(long).collect::<Vec<_>>(),
        ["checkpoint"],
        "a base is read fast where it is small"
    );
    // fuzz/ compiles the same modules, so this test stands for them.
    let library = fs::read_to_string(root().join("fuzz/lib.rs")).expect("readable");
    assert!(library.contains("#[path = \"../tests/fuzz_smoke/targets/mod.rs\"]\nmod targets;\n"));
}
