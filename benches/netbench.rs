//! The programs over wide-area links, in network namespaces. Beside them stand libtorrent, and plain TCP, which shows
//! what each link carries. `cargo bench -- netbench only=fat20,fat100 rounds=3`. `only=rows` lists the rows.

mod breaks;
mod link;
mod network;
pub(crate) mod plain;
mod rows;
mod switch;
mod tools;
mod watch;

use crate::common::namespaces::is_inside;
use crate::kit::content::folder_in;
use crate::kit::options::Options;
use crate::kit::program::again_inside;
use crate::kit::table::{Table, median};
use crate::kit::tools::lacking;
use network::Star;
use plain::Plain;
use rows::Row;
use std::path::PathBuf;
use std::time::Duration;
use tools::{Cast, Taken};

/// What the rows need from the system. The bench tries it once.
const TRIAL: &str = "
try 'make a TUN device' ip tuntap add mode tun name trial
";
/// A row counts if plain TCP reaches this share of its link's capacity.
const COUNTS: f64 = 0.95;
/// With more takers than this, libtorrent has too many processes for one machine.
const LIBTORRENT_MAX: usize = 60;

pub(crate) fn bench(options: &Options) {
    let names: Vec<&str> = rows::all().iter().map(|row| row.name).chain(breaks::NAMES).collect();
    let wanted = options.words("only", &names.join(","));
    if let Some(other) = wanted.iter().find(|name| !names.contains(&name.as_str())) {
        println!("There is no row {other}, but {}", names.join(", "));
        return;
    }
    if !is_inside() {
        return again_inside(TRIAL);
    }
    Star::begin();
    let setting = Setting {
        rounds: options.number("rounds", 1),
        tools: options.words("tools", "plain,groupshare,libtorrent"),
        folder: PathBuf::from(&options.words("where", "/dev/shm")[0]),
    };
    if let Some(remedy) = lacking("libtorrent") {
        println!("Not installed, and left out: libtorrent ({remedy})");
    }
    for row in rows::all().iter().filter(|row| wanted.iter().any(|name| name == row.name)) {
        setting.measure(row);
    }
    breaks::measure(&wanted, &setting.folder);
}

/// The headings of the columns.
const HEADINGS: [&str; 18] = [
    "",
    "s",
    "range",
    "x ideal",
    "% of ideal",
    "odd x",
    "failed",
    "sent x",
    "got x",
    "packets/s",
    "giver MiB",
    "taker MiB",
    "giver threads",
    "taker threads",
    "connections",
    "giver CPU s",
    "taker CPU s",
    "cores busy %",
];

struct Setting {
    rounds: usize,
    tools: Vec<String>,
    folder: PathBuf,
}

/// Bytes per second as Mbit/s.
fn mbit(bytes_per_s: f64) -> f64 {
    bytes_per_s * 8e-6
}

impl Setting {
    fn measure(&self, row: &Row) {
        let star = || Star::new(1 + row.givers + row.takers, row.bursts);
        let reached = link_carries(&star(), row);
        let share = reached / row.plain_goodput();
        println!(
            "\n{}: {}, {} MiB; bar {}; ideal {:.1} s{}\nplain TCP over the link: {:.1} of {:.1} Mbit/s, {}",
            row.name,
            row.what,
            row.size >> 20,
            row.bar,
            row.ideal_s(),
            row.odd_ideal_s().map(|s| format!(", the odd one {s:.1} s")).unwrap_or_default(),
            mbit(reached),
            mbit(row.plain_goodput()),
            if share >= COUNTS { "so the row counts" } else { "so the row DOES NOT COUNT" }
        );
        let mut table = Table::new(&HEADINGS);
        let mut connections = 1;
        for tool in &self.tools {
            let run = match tool.as_str() {
                "plain" => continue,
                "groupshare" => tools::groupshare,
                "libtorrent" if lacking(tool).is_some() || row.takers > LIBTORRENT_MAX => continue,
                "libtorrent" => tools::libtorrent,
                _ => panic!("{tool} is neither plain, groupshare nor libtorrent"),
            };
            let runs: Vec<Taken> =
                (0..self.rounds).map(|_| run(&star(), row, folder_in(&self.folder).path())).collect();
            if tool == "groupshare" {
                connections = runs.iter().map(|taken| taken.seen.connections).max().unwrap_or(1).max(1);
            }
            table.line(line_of(tool, row, &runs));
        }
        if row.is_pair() && self.tools.iter().any(|tool| tool == "plain") {
            let mut counts = vec![1, connections];
            counts.dedup();
            for count in counts {
                let times: Vec<f64> = (0..self.rounds).map(|_| plain_s(&star(), row, count)).collect();
                table.line(plain_line(count, row, &times, HEADINGS.len()));
            }
        }
        table.print();
    }
}

/// Bytes per second that plain TCP reaches over the links of a row after its start. Random loss is off meanwhile.
fn link_carries(star: &Star, row: &Row) -> f64 {
    let sure = |mut access: link::Access| {
        access.up.loss = 0.0;
        access.down.loss = 0.0;
        access
    };
    let row = Row { giver: sure(row.giver), taker: sure(row.taker), odd: None, ..*row };
    let cast = Cast::of(star, &row);
    cast.link(star, &row);
    let rtt = (row.giver.up.delay + row.taker.down.delay + row.taker.up.delay + row.giver.down.delay).as_secs_f64();
    let size = (row.plain_goodput() * (rtt * 150.0).max(8.0)) as u64;
    let plain = Plain::start(&cast.givers[..1]);
    let taken = plain.take(&cast.takers[0], size, 1);
    (size / 2) as f64 / taken.second_half.as_secs_f64()
}

/// Seconds that plain TCP takes for the same bytes, with the opening of connections.
fn plain_s(star: &Star, row: &Row, connections: usize) -> f64 {
    let cast = Cast::of(star, row);
    cast.link(star, row);
    Plain::start(&cast.givers).take(&cast.takers[0], row.size, connections).all.as_secs_f64()
}

fn range(values: &[f64]) -> String {
    let (least, most) = values.iter().fold((f64::MAX, 0.0_f64), |(a, b), &value| (a.min(value), b.max(value)));
    format!("{least:.2}-{most:.2}")
}

fn plain_line(count: usize, row: &Row, times: &[f64], cells: usize) -> Vec<String> {
    let s = median(times.iter().copied());
    let mut line = vec![
        format!("plain TCP, {count}"),
        format!("{s:.2}"),
        range(times),
        format!("{:.2}", s / row.ideal_s()),
        format!("{:.0}", 100.0 * row.ideal_s() / s),
    ];
    line.resize(cells, String::new());
    line
}

/// The result of one tool: the last of the takers without the odd one, and the medians over the rounds.
fn line_of(tool: &str, row: &Row, runs: &[Taken]) -> Vec<String> {
    let usual = row.takers - usize::from(row.odd.is_some());
    let seconds = |times: &[Option<Duration>]| times.iter().flatten().map(Duration::as_secs_f64).fold(0.0, f64::max);
    let last: Vec<f64> = runs.iter().map(|taken| seconds(&taken.takers[..usual])).collect();
    let s = median(last.iter().copied());
    let over = |of: &dyn Fn(&Taken) -> f64| median(runs.iter().map(of));
    let odd = row.odd_ideal_s().map(|ideal| over(&|taken| seconds(&taken.takers[usual..]) / ideal));
    let failed: usize = runs.iter().map(|taken| taken.takers.iter().filter(|taker| taker.is_none()).count()).sum();
    let mib = |side: usize| format!("{:.0}", over(&|taken| taken.seen.memory[side] as f64) / f64::from(1 << 20));
    let threads = |side: usize| format!("{:.0}", over(&|taken| taken.seen.threads[side] as f64));
    let cpu = |side: usize| format!("{:.1}", over(&|taken| taken.seen.cpu[side].as_secs_f64()));
    vec![
        tool.to_owned(),
        format!("{s:.2}"),
        range(&last),
        format!("{:.2}", s / row.ideal_s()),
        format!("{:.0}", 100.0 * row.ideal_s() / s),
        odd.map(|odd| format!("{odd:.2}")).unwrap_or_default(),
        failed.to_string(),
        format!("{:.2}", over(&|taken| taken.seen.sent as f64) / row.size as f64),
        format!("{:.2}", over(&|taken| taken.seen.got as f64) / row.size as f64),
        format!("{:.0}", over(&|taken| taken.seen.packets_per_s)),
        mib(0),
        mib(1),
        threads(0),
        threads(1),
        format!("{:.0}", over(&|taken| taken.seen.connections as f64)),
        cpu(0),
        cpu(1),
        format!("{:.0}", 100.0 * over(&|taken| taken.seen.busy)),
    ]
}
