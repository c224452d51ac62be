//! Members of every kind give files to members of every kind.

use crate::common::wait::wait_until;
use crate::inside::inside;
use crate::kinds::{KINDS, Kind};
use crate::lab::{Lab, gather, group};
use crate::member::Member;
use crate::table::{Arrival, Table, legend};
use crossbeam_channel::{Receiver, Sender, bounded};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::thread;
use std::time::{Duration, Instant};

/// Three pieces, the last of them short.
const SIZE: usize = 2 * 512 * 1024 + 1000;
/// A pair that does not get through within this time never does.
const PATIENCE: Duration = Duration::from_secs(8);
/// The longest wait for a pair that must get through. The allowed times are shorter.
const LONGER: Duration = Duration::from_secs(12);
/// Members that download something that must arrive. All others wait for their turn, since the time is measured.
const AT_ONCE: usize = 4;
/// The variable that is set if nothing else runs on the machine.
const STRICT: &str = "GROUPSHARE_NETLAB_STRICT";

/// Whether a giver of one kind must get through to a taker of another.
type Must = fn(&Kind, &Kind) -> bool;

/// The sender returns a turn, and the receiver takes one.
type Turns = (Sender<()>, Receiver<()>);

#[test]
fn one_who_is_reachable_or_two_whose_ports_are_known_are_enough() {
    inside("ways::one_who_is_reachable_or_two_whose_ports_are_known_are_enough", || {
        let table = exchanged("no relay", &[], Kind::gives_without_relay);
        eprintln!("\n{}\n{table}", legend());
        holds(&table, Kind::gives_without_relay);
    });
}

#[test]
fn with_a_relay_everybody_gives_to_everybody() {
    inside("ways::with_a_relay_everybody_gives_to_everybody", || {
        let table = exchanged("relay", &["--relay", "20M"], |_, _| true);
        eprintln!("\n{table}");
        holds(&table, |_, _| true);
    });
}

#[test]
fn two_behind_nats_take_two_files_each_of_each_other_at_once() {
    inside("ways::two_behind_nats_take_two_files_each_of_each_other_at_once", || {
        let kind = KINDS.iter().find(|kind| kind.name == "nat-ei").expect("it is there");
        let mut lab = Lab::new(1, &[]);
        let mut members: Vec<Member> = (1..)
            .zip(&lab.sites(kind))
            .map(|(number, site)| {
                // So slow that no download ends while another pair still waits.
                let args = [kind.listen, "tracker_info.txt", "--upload-limit", "100K"];
                lab.member(&format!("{}{number}", kind.name), site, kind, &args)
            })
            .collect();
        gather(&mut members);
        for giver in &mut members {
            for number in 1..=2 {
                let name = format!("{}-{number}", giver.name);
                let content: Vec<u8> = name.bytes().cycle().take(8 * SIZE).collect();
                fs::write(giver.folder.join(&name), content).expect("room");
                giver.does("upload_file", &json!({ "group_id": "lab", "file_path": name }));
            }
        }
        for (taker, giver) in [(0, "nat-ei2"), (1, "nat-ei1")] {
            for number in 1..=2 {
                let file = format!("{giver}-{number}");
                let args = json!({ "group_id": "lab", "file_name": file, "destination_path": "." });
                members[taker].does("download_file", &args);
            }
        }
        let comes = |download: &Value| download["delivered"][0]["way"] == "punched" && download["state"] == "running";
        wait_until("all four come at the same time", || {
            members.iter_mut().all(|taker| {
                let shown = taker.does("show_downloads", &group());
                let downloads = shown["downloads"].as_array().expect("a list");
                downloads.iter().filter(|download| comes(download)).count() == 2
            })
        });
    });
}

/// Every taker downloads a separate file from every giver.
fn exchanged(title: &'static str, args: &[&str], must: Must) -> Table {
    let (_lab, mut givers, takers) = members(args);
    for (at, giver) in givers.iter_mut().enumerate() {
        for taker in 0..KINDS.len() {
            let name = file_name(at, taker);
            let content: Vec<u8> = name.bytes().cycle().take(SIZE).collect();
            fs::write(giver.folder.join(&name), content).expect("room");
            giver.does("upload_file", &json!({ "group_id": "lab", "file_path": name }));
        }
    }
    let turns = bounded(AT_ONCE);
    (0..AT_ONCE).for_each(|_| turns.0.send(()).expect("there is room"));
    let mut table = Table { title, ..Table::default() };
    thread::scope(|scope| {
        let taking = takers.into_iter().enumerate().map(|(at, mut taker)| {
            let turns = &turns;
            scope.spawn(move || take_all(&mut taker, at, must, turns))
        });
        for (at, taken) in taking.collect::<Vec<_>>().into_iter().enumerate() {
            let column = taken.join().expect("it takes");
            table.cells.extend(column.into_iter().map(|(giver, cell)| ((giver, at), cell)));
        }
    });
    table
}

/// A giver and a taker of each kind, all in one group.
fn members(args: &[&str]) -> (Lab, Vec<Member>, Vec<Member>) {
    let mut lab = Lab::new(2, args);
    let mut members = Vec::new();
    for kind in &KINDS {
        let sites = lab.sites(kind);
        for (number, site) in (1..).zip(&sites) {
            // Two members on one machine need different ports. All others have the same port.
            let listen = if sites[0].name == sites[1].name && number == 2 { "127.0.0.1:18001" } else { kind.listen };
            members.push(lab.member(&format!("{}{number}", kind.name), site, kind, &[listen, "tracker_info.txt"]));
        }
    }
    gather(&mut members);
    let (mut givers, mut takers) = (Vec::new(), Vec::new());
    for (at, member) in members.into_iter().enumerate() {
        if at % 2 == 0 { givers.push(member) } else { takers.push(member) }
    }
    (lab, givers, takers)
}

/// Downloads a file from every giver, beginning with the taker's own kind. Files that may fail to arrive share one
/// wait.
fn take_all(taker: &mut Member, at: usize, must: Must, turns: &Turns) -> Vec<(usize, Option<Arrival>)> {
    let givers = (0..KINDS.len()).map(|n| (at + n) % KINDS.len());
    let (sure, doubtful): (Vec<usize>, Vec<usize>) = givers.partition(|giver| must(&KINDS[*giver], &KINDS[at]));
    let mut taken: Vec<_> = sure
        .iter()
        .map(|giver| {
            turns.1.recv().expect("as many as in the beginning");
            let arrival = take(taker, &[file_name(*giver, at)], LONGER).remove(0);
            turns.0.send(()).expect("there is room");
            (*giver, arrival)
        })
        .collect();
    let names: Vec<String> = doubtful.iter().map(|giver| file_name(*giver, at)).collect();
    taken.extend(doubtful.into_iter().zip(take(taker, &names, PATIENCE)));
    taken
}

/// The file of this giver for this taker alone.
fn file_name(giver: usize, taker: usize) -> String {
    format!("{}-{}", KINDS[giver].name, KINDS[taker].name)
}

/// Downloads these files, all at once.
fn take(taker: &mut Member, names: &[String], within: Duration) -> Vec<Option<Arrival>> {
    let mut running: BTreeMap<&str, Instant> = BTreeMap::new();
    for name in names {
        running.insert(name, Instant::now());
        taker.does("download_file", &json!({ "group_id": "lab", "file_name": name, "destination_path": "." }));
    }
    let (mut came, deadline) = (BTreeMap::new(), Instant::now() + within);
    while !running.is_empty() {
        let left = deadline.saturating_duration_since(Instant::now());
        let Some((at, event)) = taker.event(left, |event| event["event"] == "download_completed") else { break };
        let name = event["file_name"].as_str().expect("a name");
        // A download that was given up may have completed all the same.
        let Some(begin) = running.remove(name) else { continue };
        came.insert(name.to_owned(), at - begin);
    }
    for name in running.keys() {
        taker.does("cancel_download", &json!({ "group_id": "lab", "file_name": name }));
    }
    let shown = taker.does("show_downloads", &group());
    let way = |name: &str| {
        let downloads = shown["downloads"].as_array().expect("a list");
        let download = downloads.iter().find(|download| download["file_name"] == name).expect("it is listed");
        download["delivered"][0]["way"].as_str().expect("it has delivered").to_owned()
    };
    names.iter().map(|name| came.get(name).map(|after| Arrival { way: way(name), after: *after })).collect()
}

/// Checks that every pair that must get through has done so, within the time for its way.
fn holds(table: &Table, must: Must) {
    let allowed = if std::env::var_os(STRICT).is_some() { 1 } else { 2 };
    let mut wrong = Vec::new();
    for (&(giver, taker), cell) in &table.cells {
        let (giver, taker) = (&KINDS[giver], &KINDS[taker]);
        match cell {
            None if must(giver, taker) => wrong.push(format!("{} does not give to {}", giver.name, taker.name)),
            // A file that may fail to arrive may still come at the last moment.
            Some(Arrival { way, after }) if must(giver, taker) => {
                let bound = Duration::from_secs(if ["direct", "called"].contains(&&**way) { 2 } else { 5 });
                if *after > allowed * bound {
                    wrong.push(format!("{} gives to {} ({way}) after {after:?} only", giver.name, taker.name));
                }
            }
            _ => {}
        }
    }
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
}
