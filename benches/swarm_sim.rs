//! Which member serves which in a crowd, in simulated time. The picker, peer list, leases, queues and presence are the
//! product's, and the network is simulated.
//! `cargo bench -- swarm_sim members=100,1000 rows=country rules=product size=16`.

mod world;

use crate::kit::options::Options;
use crate::kit::table::{Table, median};
use groupshare::rate::limit::Limit;
use std::time::Instant;
use world::access::{Access, of_country};
use world::rules::Rules;
use world::{Outcome, Setup, play};

const MIB: u64 = 1 << 20;
/// Bytes of a connection that leave at a time on an unlimited uplink. TCP has about as many on their way on a thin
/// line.
const CHUNK_LEN: u32 = 4096;
/// The same in a country, where most lines are faster, and many bytes move.
const COUNTRY_CHUNK_LEN: u32 = 64 * 1024;
/// A member of a country decides about dials this often: every second.
const COUNTRY_LOOK_TICKS: u32 = 5;

/// The setup of every row except those of a country: lines of 20 and 100 Mbit/s, 20 ms from each other.
fn crowd(mib: u64, count: usize) -> Setup {
    let home = Access::mbit(20.0, 100.0, 5);
    let (members, chunk, rules) = (vec![home; count], CHUNK_LEN, Rules::default());
    Setup { size: mib * MIB, seeder: home, cap: Limit::NONE, members, chunk, look_ticks: 1, rules, seed: 1 }
}

/// Members whose lines do not limit them, and a seeder with a limit.
fn capped(mib: u64, count: usize, cap: u64) -> Setup {
    let line = Access::mbit(100.0, 100.0, 5);
    Setup { seeder: line, cap: Limit::of(cap), members: vec![line; count], ..crowd(mib, count) }
}

/// Members on the lines of a country, one of them the seeder.
fn country(size: u64, count: usize) -> Setup {
    let seeder = Access::mbit(18.4, 69.4, 8);
    let members = (0..count).map(of_country).collect();
    Setup { size, seeder, members, chunk: COUNTRY_CHUNK_LEN, look_ticks: COUNTRY_LOOK_TICKS, ..crowd(0, 0) }
}

/// The setups of the rows with this name.
fn rows(name: &str, options: &Options) -> Vec<(String, Setup)> {
    let setup = match name {
        "even8" => crowd(32, 8),
        "thin30" => Setup { seeder: Access::mbit(2.0, 20.0, 5), ..crowd(8, 30) },
        "cap30" => capped(16, 30, 500_000),
        "cap60" => capped(16, 60, 500_000),
        "cap150" => capped(16, 150, 200_000),
        "slow30" => capped(4, 30, 100_000),
        "slow150" => capped(4, 150, 100_000),
        "country" => {
            let counts = options.words("members", "100,1000");
            let row = |count: &String| {
                let members = count.parse().expect("members=N is a number");
                (format!("{count} of a country"), country(options.mib("size", 16), members))
            };
            return counts.iter().map(row).collect();
        }
        _ => panic!("there are no rows {name}"),
    };
    vec![(name.to_owned(), setup)]
}

pub(crate) fn bench(options: &Options) {
    let mut table = Table::new(&[
        "",
        "rules",
        "least s",
        "last x",
        "range",
        "median x",
        "given x",
        "failed",
        "seeder sent x",
        "received x",
        "control kB",
        "tracker msgs",
        "tracker kB",
        "put off",
        "busy",
        "snubbed",
        "events M",
        "took s",
    ]);
    let seeds = options.number("seeds", 1) as u64;
    for name in options.words("rows", "even8,thin30,cap30,cap60,cap150,country") {
        for (title, setup) in rows(&name, options) {
            for rules in options.words("rules", "product") {
                let words: Vec<_> = rules.split('+').map(str::to_owned).collect();
                let begun = Instant::now();
                let play = |seed| play(&Setup { rules: Rules::parse(&words), seed, ..setup.clone() });
                let outcomes: Vec<_> = (1..=seeds).map(play).collect();
                let line = line(&setup, &outcomes, begun);
                eprintln!("{title} {rules} {}", line.join(" "));
                table.line([title.clone(), rules.clone()].into_iter().chain(line).collect());
            }
        }
    }
    table.print();
}

fn line(setup: &Setup, outcomes: &[Outcome], begun: Instant) -> Vec<String> {
    let count = setup.members.len() as f64;
    let of = |what: &dyn Fn(&Outcome) -> f64| median(outcomes.iter().map(what));
    let each = |sum: &dyn Fn(&Outcome) -> u64| format!("{:.1}", of(&|outcome| sum(outcome) as f64) / count);
    let at =
        |outcome: &Outcome, at: usize| outcome.done.get(at).map_or(f64::NAN, |at| at.as_secs_f64() / outcome.least);
    let last = |outcome: &Outcome| at(outcome, outcome.done.len().saturating_sub(1));
    let all = || outcomes.iter().map(last);
    vec![
        format!("{:.1}", outcomes[0].least),
        format!("{:.2}", of(&last)),
        format!("{:.2}-{:.2}", all().fold(f64::MAX, f64::min), all().fold(0.0, f64::max)),
        format!("{:.2}", of(&|outcome| at(outcome, outcome.done.len() / 2))),
        format!("{:.2}", of(&|outcome| outcome.all_given.map_or(f64::NAN, |at| at.as_secs_f64()) / outcome.least)),
        format!("{:.0}", of(&|outcome| outcome.failed as f64)),
        format!("{:.2}", of(&|outcome| outcome.seeder_sent as f64 / setup.size as f64)),
        format!("{:.2}", of(&|outcome| outcome.tally.received as f64 / setup.size as f64 / count)),
        each(&|outcome| outcome.tally.control / 1000),
        each(&|outcome| outcome.tracker.messages),
        each(&|outcome| outcome.tracker.bytes / 1000),
        each(&|outcome| outcome.tally.put_off),
        each(&|outcome| outcome.tally.busy),
        each(&|outcome| outcome.tally.snubbed),
        format!("{:.1}", of(&|outcome| outcome.tally.events as f64 / 1e6)),
        format!("{:.1}", begun.elapsed().as_secs_f64()),
    ]
}
