//! A file that is mostly holes, from one member. Beside it stand a file of its content alone, and `rsync --sparse` from
//! a daemon on this machine. The runs alternate. The SHA-1 of as many zeros on one core stands there too, since the
//! SHA-1 of the complete file is one chain. `cargo bench -- holes size=20480 content=200 rounds=3 where=/tmp`.

use crate::kit::content::{folder_in, write_noise};
use crate::kit::house::{FILE, House, Member};
use crate::kit::options::Options;
use crate::kit::program;
use crate::kit::table::{Table, median_s};
use crate::kit::tools::{Rsync, lacking};
use groupshare::model::piece::PIECE_LEN;
use sha1::{Digest, Sha1};
use std::fs::{self, File};
use std::hint::black_box;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

/// Length of each stretch of content, in bytes.
const STRETCH_LEN: u64 = 4 << 20;
/// The file without the holes.
const CONTENT: &str = "content";
/// As many bytes as fit into the cache.
const WARM_LEN: usize = 128 * 1024;

pub(crate) fn bench(options: &Options) {
    let (size, content) = (options.mib("size", 20 * 1024), options.mib("content", 200));
    let rounds = options.number("rounds", 3);
    for place in options.words("where", &std::env::temp_dir().display().to_string()) {
        compare(Path::new(&place), (size, content), rounds);
    }
}

fn compare(place: &Path, (size, content): (u64, u64), rounds: usize) {
    let folder = folder_in(place);
    let (dense, sparse) = (folder.path().join(CONTENT), folder.path().join(FILE));
    write_noise(&dense, content);
    spread(&dense, &sparse, size);
    let own = folder.path().join("rsync");
    fs::create_dir(&own).expect("a new folder");
    let rsync = lacking("rsync").is_none().then(|| Rsync::serve(folder.path(), &own));
    let house = House::start(folder.path());
    let mut sharer = house.member("sharer", &[]);
    sharer.found("lab");
    house.member("reader", &[]).join("lab", &mut sharer);
    let mut times: [Vec<Duration>; 6] = Default::default();
    for round in 0..rounds {
        times[0].push(sha1_of_zeros(size));
        times[1].push(sharer.share("lab", &dense));
        times[2].push(sharer.share("lab", &sparse));
        let out = folder.path().join("out");
        for (at, name) in [(3, CONTENT), (4, FILE)] {
            times[at].push(in_new_folder(&out, || groupshare(&house, &format!("{name}-{round}"), name, &out)));
        }
        if let Some(rsync) = &rsync {
            times[5].push(in_new_folder(&out, || rsync_sparse(rsync, &out)));
        }
    }
    println!(
        "\n{} MiB with {} MiB of content in {}, medians of {rounds} interleaved rounds",
        size >> 20,
        content >> 20,
        place.display()
    );
    let names = [
        "SHA-1 of as many zeros on one core",
        "sharing the content alone",
        "sharing the file",
        "downloading the content alone",
        "downloading the file",
        "rsync --sparse",
    ];
    let mut table = Table::new(&["", "s"]);
    for (name, times) in names.into_iter().zip(times).filter(|(_, times)| !times.is_empty()) {
        table.line(vec![name.to_owned(), format!("{:.2}", median_s(times))]);
    }
    table.print();
}

/// Makes a file of this size with the content in stretches at equal distances, and holes between them.
fn spread(content: &Path, file: &Path, size: u64) {
    let (content, file) = (File::open(content).expect("there"), File::create(file).expect("made"));
    file.set_len(size).expect("sparse");
    let len = content.metadata().expect("there").len();
    let stretches = len.div_ceil(STRETCH_LEN);
    let mut buffer = vec![0; STRETCH_LEN as usize];
    for stretch in 0..stretches {
        let from = stretch * STRETCH_LEN;
        let now = &mut buffer[..STRETCH_LEN.min(len - from) as usize];
        content.read_exact_at(now, from).expect("read");
        file.write_all_at(now, size / stretches * stretch).expect("written");
    }
    file.sync_all().expect("synced");
}

fn sha1_of_zeros(size: u64) -> Duration {
    let (start, warm) = (Instant::now(), vec![0; WARM_LEN]);
    let mut sha1 = Sha1::new();
    (0..size / WARM_LEN as u64).for_each(|_| sha1.update(&warm));
    black_box(sha1.finalize());
    start.elapsed()
}

/// Runs with an empty folder. Afterwards it may take no more room than the pieces with content.
fn in_new_folder(out: &Path, run: impl FnOnce() -> Duration) -> Duration {
    fs::create_dir(out).expect("a new folder");
    let took = run();
    let room = |path: &Path| fs::metadata(path).map_or(0, |found| found.blocks() * 512);
    let content = room(&out.with_file_name(FILE)) + STRETCH_LEN;
    // A stretch begins and ends inside pieces, so it touches one piece more than it fills.
    let pieces = content + content / STRETCH_LEN * u64::from(PIECE_LEN);
    let arrived = room(&out.join(FILE));
    assert!(arrived <= pieces, "it arrived without its holes: {arrived} bytes, of {pieces}");
    fs::remove_dir_all(out).expect("removed");
    rustix::fs::syncfs(File::open(out.parent().expect("it lies somewhere")).expect("there")).expect("synced");
    took
}

fn groupshare(house: &House, folder: &str, name: &str, out: &Path) -> Duration {
    let mut reader: Member = house.client("reader", folder, &[]);
    reader.log_in();
    reader.ask(&format!("download_file lab {name} \"{}\"", out.display()), "Download completed")
}

fn rsync_sparse(rsync: &Rsync, out: &Path) -> Duration {
    let start = Instant::now();
    program::start(Command::new("rsync").arg("-S").arg(rsync.url()).arg(out)).wait();
    File::open(out.join(FILE)).and_then(|file| file.sync_all()).expect("synced");
    start.elapsed()
}
