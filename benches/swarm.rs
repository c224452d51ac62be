//! A crowd at one member with an upload limit: the time until all have the file, and how often the seeder sends it.
//! `cargo bench -- swarm size=256 cap=20 members=8 rounds=3 only=groupshare,libtorrent`.

use crate::common::relay::Relay;
use crate::kit::content::{folder_in, sha1_of_file, write_noise};
use crate::kit::house::{FILE, House, free_address};
use crate::kit::libtorrent::Libtorrent;
use crate::kit::options::Options;
use crate::kit::table::{Table, median};
use crate::kit::tools::lacking;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// The file and its crowd.
struct Crowd {
    size: u64,
    /// Bytes per second that the seeder may send.
    cap: u64,
    members: usize,
}

pub(crate) fn bench(options: &Options) {
    let crowd = Crowd {
        size: options.mib("size", 256),
        cap: options.number("cap", 20) as u64 * 1_000_000,
        members: options.number("members", 8),
    };
    let rounds = options.number("rounds", 3);
    let ideal = crowd.size as f64 / crowd.cap as f64;
    println!(
        "{} MiB from one seeder limited to {} MB/s to {} members at once, medians of {rounds} rounds; size / cap is {ideal:.1} s",
        crowd.size >> 20,
        crowd.cap / 1_000_000,
        crowd.members
    );
    let mut table = Table::new(&["", "last done s", "x size/cap", "range", "sent x size", "range"]);
    for name in options.words("only", "groupshare,libtorrent") {
        if let Some(remedy) = lacking(&name) {
            println!("Not installed, and left out: {name} ({remedy})");
            continue;
        }
        let run = match name.as_str() {
            "groupshare" => groupshare,
            "libtorrent" => libtorrent,
            _ => panic!("{name} is neither groupshare nor libtorrent"),
        };
        let runs: Vec<(f64, f64)> = (0..rounds)
            .map(|_| {
                let (took, sent) = run(&crowd);
                (took.as_secs_f64() / ideal, sent as f64 / crowd.size as f64)
            })
            .collect();
        let range = |of: fn(&(f64, f64)) -> f64| {
            let all = runs.iter().map(of);
            format!("{:.2}-{:.2}", all.clone().fold(f64::MAX, f64::min), all.fold(0.0, f64::max))
        };
        let last = median(runs.iter().map(|run| run.0));
        let sent = median(runs.iter().map(|run| run.1));
        table.line(vec![
            name,
            format!("{:.1}", last * ideal),
            format!("{last:.2}"),
            range(|run| run.0),
            format!("{sent:.2}"),
            range(|run| run.1),
        ]);
    }
    table.print();
}

/// This project's programs. A relay counts what the seeder sends on its connections, with everything that the protocol
/// adds.
fn groupshare(crowd: &Crowd) -> (Duration, u64) {
    let folder = folder_in(&std::env::temp_dir());
    let file = folder.path().join(FILE);
    let sha1 = write_noise(&file, crowd.size);
    let house = House::start(folder.path());
    let listen = free_address();
    let sent = Arc::new(AtomicU64::new(0));
    let count = sent.clone();
    let relay = Relay::to(listen, move |_, asked, bytes| {
        if !asked {
            count.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        }
    });
    let (announce, cap) = (relay.addr.to_string(), crowd.cap.to_string());
    let options = ["--announce", announce.as_str(), "--upload-limit", cap.as_str()];
    let mut seeder = house.member_at(listen, "seeder", &options);
    seeder.found("lab");
    seeder.share("lab", &file);
    let mut members: Vec<_> = (0..crowd.members).map(|number| house.member(&format!("member{number}"), &[])).collect();
    for member in &mut members {
        member.join("lab", &mut seeder);
    }
    let out = |number: usize| folder.path().join(format!("out-{number}"));
    (0..crowd.members).for_each(|number| fs::create_dir(out(number)).expect("a new folder"));
    let start = Instant::now();
    for (number, member) in members.iter_mut().enumerate() {
        member.begin("lab", &out(number));
    }
    let last = members.iter_mut().map(|member| member.complete()).max().expect("one at least");
    let sent = sent.load(Ordering::Relaxed);
    check(crowd, &sha1, |number| out(number).join(FILE));
    (last - start, sent)
}

fn libtorrent(crowd: &Crowd) -> (Duration, u64) {
    let folder = folder_in(&std::env::temp_dir());
    let file = folder.path().join(FILE);
    let sha1 = write_noise(&file, crowd.size);
    let result = Libtorrent::swarm(&file, crowd.cap, crowd.members, folder.path());
    check(crowd, &sha1, |number| folder.path().join(format!("giver-0/taker-{number}")).join(FILE));
    result
}

fn check<P: AsRef<Path>>(crowd: &Crowd, sha1: &[u8; 20], path: impl Fn(usize) -> P) {
    for number in 0..crowd.members {
        assert!(sha1_of_file(path(number).as_ref()) == *sha1, "member {number} has another file");
    }
}
