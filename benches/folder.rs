//! A folder of many small files from one member, beside `rsync -a` from a daemon on this machine. The runs alternate.
//! `cargo bench -- folder files=10000 rounds=5 where=/tmp`.

use crate::kit::content::folder_in;
use crate::kit::house::{FILE, House, Member};
use crate::kit::options::Options;
use crate::kit::program;
use crate::kit::table::{Table, median_s};
use crate::kit::tools::{Rsync, lacking};
use sha1::{Digest, Sha1};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// Longest file, in bytes; the shortest has 1 KiB.
const LEN_MAX: u64 = 16 * 1024;
/// Files in each folder inside the folder.
const FILES_IN_FOLDER: usize = 100;

/// The times of one run, from the command on.
struct Run {
    /// Until every file was there with its content.
    verified: Duration,
    /// Until everything was on the disk, under its name.
    on_disk: Duration,
}

pub(crate) fn bench(options: &Options) {
    let (files, rounds) = (options.number("files", 10_000), options.number("rounds", 5));
    if let Some(remedy) = lacking("rsync") {
        println!("rsync is not installed ({remedy})");
        return;
    }
    let places = format!("{},/dev/shm", std::env::temp_dir().display());
    for place in options.words("where", &places) {
        compare(Path::new(&place), files, rounds);
    }
}

fn compare(place: &Path, files: usize, rounds: usize) {
    let folder = folder_in(place);
    let shared = folder.path().join(FILE);
    let bytes = write_folder(&shared, files);
    let digest = digest_of(&shared);
    let own = folder.path().join("rsync");
    fs::create_dir(&own).expect("a new folder");
    let rsync = Rsync::serve(folder.path(), &own);
    let house = House::start(folder.path());
    let mut sharer = house.member("sharer", &[]);
    sharer.found("lab");
    let mut share_times = vec![sharer.share("lab", &shared)];
    house.member("reader", &[]).join("lab", &mut sharer);
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    // The first round only warms up.
    for round in 0..=rounds {
        let out = folder.path().join("out");
        let ours_now = in_new_folder(&out, &digest, || groupshare(&house, round, &out));
        let theirs_now = in_new_folder(&out, &digest, || rsync_all(&rsync, &out));
        share_times.push(sharer.share("lab", &shared));
        if round > 0 {
            ours.push(ours_now);
            theirs.push(theirs_now);
        }
    }
    let mb = bytes as f64 / 1e6;
    println!("\n{files} files, {mb:.0} MB in {}, medians of {rounds} interleaved rounds", place.display());
    println!("Sharing it takes {:.2} s, which rsync has no need of.", median_s(share_times));
    print(&ours, &theirs);
}

fn print(ours: &[Run], theirs: &[Run]) {
    let mut table = Table::new(&["", "verified s", "x rsync", "range", "on disk s", "x rsync"]);
    let median = |runs: &[Run], of: fn(&Run) -> Duration| median_s(runs.iter().map(of));
    let verified: fn(&Run) -> Duration = |run| run.verified;
    let on_disk: fn(&Run) -> Duration = |run| run.on_disk;
    for (name, runs) in [("groupshare", ours), ("rsync -a", theirs)] {
        let all = || runs.iter().map(|run| run.verified.as_secs_f64());
        table.line(vec![
            name.to_owned(),
            format!("{:.2}", median(runs, verified)),
            format!("{:.2}", median(runs, verified) / median(theirs, verified)),
            format!("{:.2}-{:.2}", all().fold(f64::MAX, f64::min), all().fold(0.0, f64::max)),
            format!("{:.2}", median(runs, on_disk)),
            format!("{:.2}", median(runs, on_disk) / median(theirs, on_disk)),
        ]);
    }
    table.print();
}

/// Runs with an empty folder. Afterwards it must hold the shared files.
fn in_new_folder(out: &Path, digest: &[u8; 20], run: impl FnOnce() -> Run) -> Run {
    fs::create_dir(out).expect("a new folder");
    let run = run();
    assert!(digest_of(&out.join(FILE)) == *digest, "another folder came out");
    fs::remove_dir_all(out).expect("removed");
    // The disk needs time for removed files too.
    sync(out.parent().expect("it lies somewhere"));
    run
}

fn groupshare(house: &House, round: usize, out: &Path) -> Run {
    let mut reader: Member = house.client("reader", &format!("reader-{round}"), &[]);
    reader.log_in();
    let (start, verified, named) = reader.download("lab", out);
    Run { verified: verified - start, on_disk: named - start }
}

fn rsync_all(rsync: &Rsync, out: &Path) -> Run {
    let start = Instant::now();
    let mut command = Command::new("rsync");
    let program = program::start(command.arg("-a").arg(rsync.url()).arg(out));
    let (verified, _) = program.wait();
    sync(out);
    Run { verified: verified - start, on_disk: start.elapsed() }
}

fn sync(folder: &Path) {
    rustix::fs::syncfs(File::open(folder).expect("there")).expect("synced");
}

/// Makes a folder with this many files, the same every time. Returns the sum of their lengths.
fn write_folder(folder: &Path, files: usize) -> u64 {
    let (mut state, mut bytes) = (0x9e37_79b9_7f4a_7c15_u64, 0);
    let mut next = || {
        // xorshift64 (Marsaglia 2003).
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    for number in 0..files {
        let inner = folder.join(format!("{:04}", number / FILES_IN_FOLDER));
        if number % FILES_IN_FOLDER == 0 {
            fs::create_dir_all(&inner).expect("a new folder");
        }
        let len = 1024 + next() % (LEN_MAX - 1023);
        let content: Vec<u8> = (0..len.div_ceil(8)).flat_map(|_| next().to_le_bytes()).collect();
        fs::write(inner.join(format!("{number:06}.bin")), &content[..len as usize]).expect("written");
        bytes += len;
    }
    sync(folder);
    bytes
}

/// A digest of the names and contents of all files in a folder.
fn digest_of(folder: &Path) -> [u8; 20] {
    let (mut paths, mut folders): (Vec<PathBuf>, _) = (Vec::new(), vec![folder.to_path_buf()]);
    while let Some(inner) = folders.pop() {
        for entry in fs::read_dir(&inner).unwrap_or_else(|error| panic!("{}: {error}", inner.display())) {
            let path = entry.expect("readable").path();
            if path.is_dir() { &mut folders } else { &mut paths }.push(path);
        }
    }
    paths.sort();
    let mut sha1 = Sha1::new();
    for path in paths {
        sha1.update(path.strip_prefix(folder).expect("in it").to_string_lossy().as_bytes());
        sha1.update(Sha1::digest(fs::read(&path).expect("readable")));
    }
    sha1.finalize().into()
}
