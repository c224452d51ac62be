//! New versions beside rsync: bytes on the network, and time. A member with the old file updates it to the new version
//! of the only sharer. rsync does the same from a daemon. Both run in a fresh network namespace. Its loopback interface
//! counts every byte, with headers and the traffic of the tracker.
//! `cargo bench -- difference size=64 image=1024 only=append,image where=/tmp`.

mod edits;

use crate::common::namespaces::{fed, is_inside};
use crate::kit::content::{folder_in, sha1_of_file};
use crate::kit::house::{FILE, House, Member};
use crate::kit::options::Options;
use crate::kit::program::{self, again_inside};
use crate::kit::table::Table;
use crate::kit::tools::{Rsync, lacking};
use edits::{EDITS, Edit};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// The cost of one way to the new version.
#[derive(Debug, Clone, Copy)]
struct Cost {
    bytes: u64,
    took: Duration,
}

pub(crate) fn bench(options: &Options) {
    if let Some(remedy) = lacking("rsync") {
        println!("Not measured: rsync is not installed ({remedy})");
        return;
    }
    if !is_inside() {
        return again_inside("");
    }
    fed(Command::new("sh").args(["-es"]), "ip link set lo up\n");
    let (size, image) = (options.mib("size", 64), options.mib("image", 1024));
    let names: Vec<String> = EDITS.iter().map(|edit| edit.name.to_owned()).collect();
    let wanted = options.words("only", &names.join(","));
    let place = PathBuf::from(&options.words("where", &std::env::temp_dir().display().to_string())[0]);
    let mut table = Table::new(&["edit", "MiB", "KiB moved", "rsync", "ratio", "s", "rsync", "downloaded anew"]);
    for edit in EDITS.iter().filter(|edit| wanted.iter().any(|name| name == edit.name)) {
        let len = if edit.is_image { image } else { size };
        let (size, [update, rsync, anew]) = compare(&place, edit, len);
        let kib = |cost: Cost| (cost.bytes / 1024).to_string();
        let seconds = |cost: Cost| format!("{:.2}", cost.took.as_secs_f64());
        table.line(vec![
            edit.words.to_owned(),
            format!("{:.1}", size as f64 / f64::from(1 << 20)),
            kib(update),
            kib(rsync),
            format!("{:.2}", update.bytes as f64 / rsync.bytes as f64),
            seconds(update),
            seconds(rsync),
            seconds(anew),
        ]);
    }
    table.print();
}

/// The cost of the new version by this program, by rsync, and as a whole download; and its length.
fn compare(place: &Path, edit: &Edit, len: u64) -> (u64, [Cost; 3]) {
    let folder = folder_in(place);
    let path = |name: &str| folder.path().join(name);
    let (old, new) = (path("old"), path("new"));
    (edit.make)(len, &old, &new);
    let rsync = by_rsync(&path("rsync"), &old, &new);
    let house = House::start(folder.path());
    let mut sharer = house.member("sharer", &[]);
    sharer.found("lab");
    let shared = path(FILE);
    fs::copy(&old, &shared).expect("copied");
    sharer.share("lab", &shared);
    let mut reader = house.member("reader", &[]);
    reader.join("lab", &mut sharer);
    let mine = path("mine");
    download(&mut reader, &mine);
    // First the tracker must know that the reader has the old version.
    sharer.program.until("list_files lab", "2 members online with it");
    fs::copy(&new, path("copy")).and_then(|_| fs::rename(path("copy"), &shared)).expect("replaced");
    sync(folder.path());
    sharer.share("lab", &shared);
    reader.program.expect("has shared a new version");
    let update = counted(|| {
        reader.ask(&format!("update_file lab {FILE}"), "Download completed");
    });
    assert!(sha1_of_file(&mine.join(FILE)) == sha1_of_file(&new), "it is the new version");
    let mut other = house.client("reader", "other", &[]);
    other.log_in();
    drop(reader);
    let anew = counted(|| download(&mut other, &path("anew")));
    (fs::metadata(&new).expect("there").len(), [update, rsync, anew])
}

fn download(member: &mut Member, folder: &Path) {
    fs::create_dir(folder).expect("a new folder");
    member.begin("lab", folder);
    member.complete();
}

fn by_rsync(own: &Path, old: &Path, new: &Path) -> Cost {
    let (given, taken) = (own.join("given"), own.join("taken"));
    [own, &given, &taken].into_iter().for_each(|folder| fs::create_dir(folder).expect("a new folder"));
    fs::copy(new, given.join(FILE)).and_then(|_| fs::copy(old, taken.join(FILE))).expect("copied");
    let daemon = Rsync::serve(&given, own);
    sync(own);
    let cost = counted(|| {
        let mut command = Command::new("rsync");
        command.args(["--no-whole-file", "--ignore-times"]).arg(daemon.url()).arg(&taken);
        program::start(&mut command).wait();
        File::open(taken.join(FILE)).and_then(|file| file.sync_all()).expect("synced");
    });
    assert!(sha1_of_file(&taken.join(FILE)) == sha1_of_file(new), "it is the new version");
    cost
}

fn sync(folder: &Path) {
    File::open(folder).and_then(|folder| Ok(rustix::fs::syncfs(folder)?)).expect("synced");
}

/// The bytes that this moves over the loopback interface, and its time.
fn counted(run: impl FnOnce()) -> Cost {
    let (before, start) = (moved(), Instant::now());
    run();
    Cost { bytes: moved() - before, took: start.elapsed() }
}

/// Bytes that the loopback interface has sent so far.
fn moved() -> u64 {
    let text = fs::read_to_string("/proc/self/net/dev").expect("Linux tells");
    let line = text.lines().find_map(|line| line.trim().strip_prefix("lo:")).expect("there is one");
    line.split_whitespace().nth(8).and_then(|sent| sent.parse().ok()).expect("a number")
}
