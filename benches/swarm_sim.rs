//! Who serves whom in a crowd, in made-up time: the product's picker, peer list, leases, queues and presence over a
//! simulated network. `cargo bench -- swarm_sim members=100,1000,10000 rows=country rules=product size=64`.

#[path = "swarm_sim/world.rs"]
mod world;

use crate::kit::options::Options;
use crate::kit::table::{Table, median};
use groupshare::rate::limit::Limit;
use std::time::Instant;
use world::access::{Access, of_country};
use world::rules::Rules;
use world::{Outcome, Setup, play};

const MIB: u64 = 1 << 20;

/// A row of the table: its name, and who downloads what from whom.
fn rows(name: &str, options: &Options) -> Vec<(String, Setup)> {
    let home = Access::mbit(20.0, 100.0, 5);
    let setup = |size: u64, seeder, cap, members| {
        (size * MIB, seeder, Limit::of(cap), members)
    };
    let crowd = |count: usize, access: Access| vec![access; count];
    let lan = Access::mbit(1000.0, 1000.0, 1);
    let (size, seeder, cap, members) = match name {
        "eight" => setup(64, home, 0, crowd(8, home)),
        "thin" => setup(16, Access::mbit(2.0, 100.0, 5), 0, crowd(30, home)),
        "cap8" => setup(256, lan, 20_000_000, crowd(8, lan)),
        "cap30" => setup(256, lan, 20_000_000, crowd(30, lan)),
        "cap60" => setup(256, lan, 20_000_000, crowd(60, lan)),
        "cap30s" => setup(64, lan, 2_000_000, crowd(30, lan)),
        "cap60s" => setup(64, lan, 2_000_000, crowd(60, lan)),
        "cap150" => setup(16, lan, 200_000, crowd(150, lan)),
        "slow30" => setup(4, lan, 100_000, crowd(30, lan)),
        "slow150" => setup(4, lan, 100_000, crowd(150, lan)),
        "country" => {
            let counts = options.words("members", "100,1000,10000");
            return counts.iter().map(|count| {
                let count: usize = count.parse().expect("a number of members");
                let members = (0..count).map(of_country).collect();
                let size = options.mib("size", 64);
                let setup = Setup {
                    size,
                    seeder: Access::mbit(18.4, 69.4, 8),
                    cap: Limit::NONE,
                    members,
                    chunk: 64 * 1024,
                    rules: Rules::default(),
                    seed: 1,
                };
                (format!("{count} members"), setup)
            }).collect();
        }
        _ => panic!("{name} is no row"),
    };
    let chunk = options.number("chunk", 4096) as u32;
    vec![(name.to_owned(), Setup { size, seeder, cap, members, chunk, rules: Rules::default(), seed: 1 })]
}

pub(crate) fn bench(options: &Options) {
    let mut table = Table::new(&[
        "", "rules", "least s", "last x", "range", "median x", "given x", "failed", "seeder sent x", "received x", "control kB",
        "tracker msgs", "tracker kB", "put off", "busy", "snubbed", "took s",
    ]);
    let seeds = options.number("seeds", 1) as u64;
    for name in options.words("rows", "eight,thin,cap8,cap30,cap60,cap150,country") {
        for (title, setup) in rows(&name, options) {
            for rules in options.words("rules", "product") {
                let words: Vec<_> = rules.split('+').map(str::to_owned).collect();
                let begun = Instant::now();
                let play = |seed| play(&Setup { rules: Rules::parse(&words), seed, ..setup.clone() });
                let outcomes: Vec<_> = (1..=seeds).map(play).collect();
                let line = line(&setup, &outcomes, begun);
                println!("{title} {rules} {}", line.join(" "));
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
    let at = |outcome: &Outcome, at: usize| outcome.done.get(at).map_or(f64::NAN, |at| at.as_secs_f64() / outcome.least);
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
        format!("{:.1}", begun.elapsed().as_secs_f64()),
    ]
}
