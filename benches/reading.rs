//! The cost of reading and hashing files on this disk: a file to share, and a download that goes on. Beside it stands
//! the SHA-1 of as many bytes on one core. `cargo bench -- reading size=1024 rounds=5`.

use crate::kit::content::{folder_in, write_noise};
use crate::kit::house::FILE;
use crate::kit::options::Options;
use crate::kit::table::{Table, median};
use groupshare::client::download::verify::verify_existing;
use groupshare::client::storage::import::hash_for_sharing;
use groupshare::client::storage::part::{OpenedPart, Part, PartLabel, PartRecord};
use groupshare::client::storage::share_tree::SharePlace;
use groupshare::model::manifest::Manifest;
use groupshare::model::name::{FileName, GroupId};
use groupshare::sys::give_way;
use groupshare::wire::manifest;
use rustix::time::{ClockId, clock_gettime};
use sha1::{Digest, Sha1};
use std::fs::File;
use std::hint::black_box;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread;
use std::time::{Duration, Instant};

/// As many bytes as fit into the cache.
const WARM_LEN: usize = 128 * 1024;

/// Wall time, and time on cores.
#[derive(Clone, Copy)]
struct Cost(f64, f64);

fn cost<T>(work: impl FnOnce() -> T) -> (T, Cost) {
    let cpu = || {
        let time = clock_gettime(ClockId::ProcessCPUTime);
        Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
    };
    let (start, before) = (Instant::now(), cpu());
    let result = work();
    (result, Cost(start.elapsed().as_secs_f64(), (cpu() - before).as_secs_f64()))
}

pub(crate) fn bench(options: &Options) {
    let (size, rounds) = (options.mib("size", 1024), options.number("rounds", 5));
    let folder = folder_in(&std::env::temp_dir());
    let file = folder.path().join(FILE);
    write_noise(&file, size);
    let never = AtomicBool::new(false);
    let name = FileName::parse(FILE).expect("a name");
    let share =
        || hash_for_sharing(&SharePlace::find(&file).expect("a file"), &name, &never, &mut |_, _| {}).expect("a file");
    let hashed = share();
    leave_part(folder.path(), &file, &hashed.manifest);

    let (mut plain, mut sharing, mut verifying, mut whole) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for _ in 0..rounds {
        plain.push(cost(|| black_box(sha1_on_one_core(size))).1);
        sharing.push(cost(share).1);
        let part = open(folder.path(), &hashed.manifest);
        let verify = || {
            // As a client does.
            give_way(10);
            verify_existing(&part, &never).expect("not cancelled")
        };
        let (right, verified) = cost(|| thread::scope(|scope| scope.spawn(verify).join().expect("it ends")));
        assert!(right.have.is_complete());
        verifying.push(verified);
        let (sha1, finished) = cost(|| right.hash.finish(&part).expect("readable"));
        assert_eq!(sha1, hashed.sha1);
        whole.push(Cost(verified.0 + finished.0, verified.1 + finished.1));
    }
    println!("{} MiB in the page cache, medians of {rounds} interleaved rounds", size >> 20);
    let mut table = Table::new(&["", "s", "x SHA-1", "CPU s", "x SHA-1"]);
    let base = Cost(median(plain.iter().map(|cost| cost.0)), median(plain.iter().map(|cost| cost.1)));
    for (what, costs) in [
        ("SHA-1 on one core, out of the cache", plain),
        ("sharing: every piece and the whole", sharing),
        ("resume: every piece verified", verifying),
        ("resume: and the whole hashed behind", whole),
    ] {
        let (wall, cpu) = (median(costs.iter().map(|cost| cost.0)), median(costs.iter().map(|cost| cost.1)));
        table.line(vec![
            what.to_owned(),
            format!("{wall:.2}"),
            format!("{:.2}", wall / base.0),
            format!("{cpu:.2}"),
            format!("{:.2}", cpu / base.1),
        ]);
    }
    table.print();
}

fn sha1_on_one_core(size: u64) -> [u8; 20] {
    let warm = vec![7; WARM_LEN];
    let mut sha1 = Sha1::new();
    (0..size / WARM_LEN as u64).for_each(|_| sha1.update(&warm));
    sha1.finalize().into()
}

fn open(folder: &Path, manifest: &Manifest) -> Part {
    let (_, info_hash) = manifest::encode(manifest).expect("short names");
    let group = GroupId::parse("lab").expect("a name");
    let label = PartLabel { info_hash, group, name: FileName::parse(FILE).expect("a name") };
    match Part::open(&folder.join("download"), Arc::new(manifest.clone()), &label, PartRecord::Absent).expect("room") {
        OpenedPart::Part(part) => part,
        OpenedPart::Taken(_) => panic!("nothing has finished it"),
    }
}

/// Leaves a download with all its pieces, like one that was killed at the last moment.
fn leave_part(folder: &Path, file: &Path, manifest: &Manifest) {
    let (part, file) = (open(folder, manifest), File::open(file).expect("there"));
    let layout = manifest.layout();
    let mut buffer = Vec::new();
    for piece in layout.indexes() {
        buffer.resize(layout.len(piece) as usize, 0);
        file.read_exact_at(&mut buffer, layout.offset(piece)).expect("read");
        part.write_piece(piece, buffer[..].into()).expect("written");
    }
}
