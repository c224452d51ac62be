//! One file from one member and from three. Beside them stand the limit of this machine and the tools that others use.
//! The runs alternate. `cargo bench -- transfer size=1024 rounds=5 givers=1,3 only=limit,groupshare where=/tmp`.

use crate::kit::content::{folder_in, sha1_of_file, write_noise};
use crate::kit::house::FILE;
use crate::kit::options::Options;
use crate::kit::program::Usage;
use crate::kit::table::{Table, median, median_s};
use crate::kit::tool::Tool;
use crate::kit::tools::{NAMES, Source, lacking, start};
use crate::kit::warm::with_warm_memory;
use std::fs::{self, File};
use std::path::Path;
use std::time::{Duration, Instant};

/// A folder without a disk. There only the limit and this project run, unless the options name others.
const MEMORY: &str = "/dev/shm";

/// One compared tool, with all its results.
struct Entry {
    name: String,
    givers: usize,
    tool: Box<dyn Tool>,
    runs: Vec<Run>,
}

struct Run {
    verified: Duration,
    /// The time until the file was also durable under its name.
    named: Duration,
    taking: Usage,
    giving: Usage,
}

pub(crate) fn bench(options: &Options) {
    let (size, rounds) = (options.mib("size", 1024), options.number("rounds", 5));
    let only = options.words("only", &NAMES.join(","));
    let givers = options.words("givers", "1,3");
    let temp = std::env::temp_dir();
    let places = options.words("where", &format!("{},{MEMORY}", temp.display()));
    let (mut names, mut missing) = (Vec::new(), Vec::new());
    for name in &only {
        match lacking(name) {
            None => names.push(name.as_str()),
            Some(remedy) => missing.push(format!("{name} ({remedy})")),
        }
    }
    if !missing.is_empty() {
        println!("Not installed, and left out: {}", missing.join(", "));
    }
    for place in places {
        let narrow = place == MEMORY && only.len() == NAMES.len();
        let names: Vec<&str> =
            names.iter().copied().filter(|name| !narrow || ["limit", "groupshare"].contains(name)).collect();
        let givers: Vec<usize> = givers.iter().map(|count| count.parse().expect("a number")).collect();
        compare(Path::new(&place), size, rounds, &names, &givers);
    }
}

fn compare(place: &Path, size: u64, rounds: usize, names: &[&str], givers: &[usize]) {
    let folder = folder_in(place);
    let file = folder.path().join(FILE);
    let sha1 = write_noise(&file, size);
    let source = Source { file: &file, folder: folder.path() };
    let mut entries = Vec::new();
    for name in names {
        for &givers in givers {
            if let Some(tool) = start(name, &source, givers) {
                entries.push(Entry { name: (*name).to_owned(), givers, tool, runs: Vec::new() });
            }
        }
    }
    for round in 0..=rounds {
        // Each tool comes first once. So the traces of one tool meet a different one in each round.
        let count = entries.len();
        for turn in 0..count {
            let entry = &mut entries[(round + turn) % count];
            let run = run(entry, &file, folder.path(), &sha1);
            // The first round only warms up.
            if round > 0 {
                entry.runs.push(run);
            }
        }
    }
    println!("\n{} MiB in {}, medians of {rounds} interleaved rounds", size >> 20, place.display());
    print(&entries);
}

fn run(entry: &mut Entry, source: &Path, folder: &Path, sha1: &[u8; 20]) -> Run {
    let out = folder.join("out");
    let path = out.join(FILE);
    let cpu = |entry: &Entry| entry.tool.givers().iter().map(|giver| giver.usage().cpu).sum::<Duration>();
    let transfer = || {
        fs::create_dir(&out).expect("a new folder");
        let before = cpu(entry);
        let taken = entry.tool.take(&out);
        let named = taken.named.unwrap_or_else(|| {
            File::open(&path).and_then(|file| file.sync_all()).expect("the file is there");
            File::open(&out).and_then(|folder| folder.sync_all()).expect("synced");
            Instant::now()
        });
        (taken, named, cpu(entry) - before)
    };
    let (taken, named, given) = with_warm_memory(source, transfer, || fs::remove_dir_all(&out).expect("removed"));
    assert!(sha1_of_file(&path) == *sha1, "{} gave another file", entry.name);
    fs::remove_dir_all(&out).expect("removed");
    let peak = entry.tool.givers().iter().map(|giver| giver.usage().peak).max().expect("one at least");
    Run {
        verified: taken.verified - taken.start,
        named: named - taken.start,
        taking: taken.usage,
        giving: Usage { cpu: given, peak },
    }
}

fn print(entries: &[Entry]) {
    let verified = |entry: &Entry| median_s(entry.runs.iter().map(|run| run.verified));
    let named = |entry: &Entry| median_s(entry.runs.iter().map(|run| run.named));
    let mut table = Table::new(&[
        "",
        "givers",
        "verified s",
        "x limit",
        "range",
        "on disk s",
        "x limit",
        "taker CPU s",
        "MiB",
        "giver CPU s",
        "MiB",
    ]);
    for entry in entries {
        let limit = entries.iter().find(|other| other.name == "limit" && other.givers == entry.givers);
        let ratio = |of: &dyn Fn(&Entry) -> f64| {
            limit.map_or_else(|| "-".to_owned(), |limit| format!("{:.2}", of(entry) / of(limit)))
        };
        let all = || entry.runs.iter().map(|run| run.verified.as_secs_f64());
        let mib =
            |of: &dyn Fn(&Run) -> u64| format!("{:.0}", median(entry.runs.iter().map(of)) as f64 / (1 << 20) as f64);
        table.line(vec![
            entry.name.clone(),
            entry.givers.to_string(),
            format!("{:.2}", verified(entry)),
            ratio(&verified),
            format!("{:.2}-{:.2}", all().fold(f64::MAX, f64::min), all().fold(0.0, f64::max)),
            format!("{:.2}", named(entry)),
            ratio(&named),
            format!("{:.2}", median_s(entry.runs.iter().map(|run| run.taking.cpu))),
            mib(&|run| run.taking.peak),
            format!("{:.2}", median_s(entry.runs.iter().map(|run| run.giving.cpu))),
            mib(&|run| run.giving.peak),
        ]);
    }
    table.print();
}
