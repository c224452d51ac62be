//! The cost of an event in the middle of a download, and what is left of a download after a kill.
//! `cargo bench -- failures size=1024 rounds=3 only=killed,stopped,resumed`.

use crate::kit::content::{folder_in, sha1_of_file, write_noise};
use crate::kit::house::{FILE, House, Member};
use crate::kit::options::Options;
use crate::kit::table::{Table, median, median_s};
use rustix::process::Signal;
use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Members with the file.
const SEEDERS: usize = 3;

/// A shared file, and the member that wants it.
struct Scene {
    folder: tempfile::TempDir,
    house: House,
    seeders: Vec<Member>,
    reader: Member,
    sha1: [u8; 20],
    size: u64,
}

impl Scene {
    fn set(size: u64) -> Self {
        let folder = folder_in(&std::env::temp_dir());
        let file = folder.path().join(FILE);
        let sha1 = write_noise(&file, size);
        let house = House::start(folder.path());
        let mut seeders = house.sharers("seeder", SEEDERS, &file);
        let mut reader = house.member("reader", &[]);
        reader.join("lab", &mut seeders[0]);
        let out = folder.path().join("out");
        fs::create_dir(&out).expect("a new folder");
        Self { folder, house, seeders, reader, sha1, size }
    }

    fn out(&self) -> PathBuf {
        self.folder.path().join("out")
    }

    /// Downloads, and triggers `event` at the seeders in the middle. Returns how long the download took.
    fn download(mut self, event: fn(&mut Vec<Member>)) -> Duration {
        let start = self.reader.begin("lab", &self.out());
        self.reader.program.wait_written(self.size / 2);
        event(&mut self.seeders);
        let took = self.reader.complete() - start;
        self.check();
        took
    }

    /// Downloads, is killed at 90 %, and goes on in a new process. Returns the share of the bytes that was missing, the
    /// share that was fetched then, and the time from the login to the end.
    fn resume(mut self) -> (f64, f64, Duration) {
        self.reader.begin("lab", &self.out());
        self.reader.program.wait_written(self.size / 10 * 9);
        let here = self.reader.program.written();
        self.reader.program.kill();
        self.reader = self.house.client("reader", "reader", &[]);
        let start = Instant::now();
        self.reader.log_in();
        let took = self.reader.complete() - start;
        let fetched = self.reader.program.written();
        self.check();
        (1.0 - here as f64 / self.size as f64, fetched as f64 / self.size as f64, took)
    }

    fn check(&self) {
        assert!(sha1_of_file(&self.out().join(FILE)) == self.sha1, "another file");
    }
}

/// An event in the middle of a download.
type Event = fn(&mut Vec<Member>);

pub(crate) fn bench(options: &Options) {
    let (size, rounds) = (options.mib("size", 1024), options.number("rounds", 3));
    let only = options.words("only", "killed,stopped,resumed");
    let wanted = |name: &str| only.iter().any(|only| only == name);
    println!("{} MiB from {SEEDERS} seeders, medians of {rounds} interleaved rounds", size >> 20);

    let events: [(&str, &str, Event); 2] = [
        ("killed", "two of three seeders killed at 50 %", |seeders| {
            seeders.truncate(1);
        }),
        ("stopped", "one of three seeders stopped at 50 %", |seeders| seeders[0].program.signal(Signal::STOP)),
    ];
    let events: Vec<_> = events.into_iter().filter(|(name, ..)| wanted(name)).collect();
    let mut calm = Vec::new();
    let mut eventful = vec![Vec::new(); events.len()];
    for _ in 0..if events.is_empty() { 0 } else { rounds } {
        calm.push(Scene::set(size).download(|_| {}));
        for ((_, _, event), times) in events.iter().zip(&mut eventful) {
            times.push(Scene::set(size).download(*event));
        }
    }
    if !events.is_empty() {
        let mut table = Table::new(&["", "s", "lost s"]);
        let base = median_s(calm);
        table.line(vec!["nothing happens".to_owned(), format!("{base:.2}"), String::new()]);
        for ((_, what, _), times) in events.iter().zip(eventful) {
            let time = median_s(times);
            table.line(vec![(*what).to_owned(), format!("{time:.2}"), format!("{:.2}", time - base)]);
        }
        table.print();
    }
    if wanted("resumed") {
        let runs: Vec<_> = (0..rounds).map(|_| Scene::set(size).resume()).collect();
        println!(
            "killed at 90 %: {:.1} % fetched again (of {:.1} % that had not been written), {:.2} s from the login on",
            100.0 * median(runs.iter().map(|run| run.1)),
            100.0 * median(runs.iter().map(|run| run.0)),
            median_s(runs.iter().map(|run| run.2))
        );
    }
}
