//! Which room may name which: the list of all arrows. All of them lead down.

use crate::graph::{Arrows, circles, files, grouped, longest_chain, room};
use crate::paths::named;
use crate::source::Tree;

/// Each room with the rooms of its program that it names. Every room may name the layers below, and of these only
/// `wire` and `rate` name another layer. A room is a folder of `client/` or `tracker/`, or a file directly there. `*`
/// is every room.
pub(crate) const ARROWS: &[(&str, &str)] = &[
    ("client/start", "*"),
    ("client/app", "*"),
    ("client/args", "download output"),
    ("client/difference", "hash storage"),
    ("client/download", "difference hash keyring picker rate reach storage upload"),
    ("client/folder", "storage"),
    ("client/shell", "command output state terminal"),
    ("client/upload", "difference keyring rate reach storage"),
    ("client/state", "folder hash storage"),
    ("client/output", "command reach terminal"),
    ("client/command", "rpc"),
    ("client/storage", "hash"),
    ("client/reach", "keyring rpc"),
    ("client/rpc", ""),
    ("client/rate", ""),
    ("client/picker", ""),
    ("client/hash", ""),
    ("client/terminal", ""),
    ("client/keyring", ""),
    ("tracker/program", "*"),
    ("tracker/server", "*"),
    ("tracker/net", "admission core json log push session warn"),
    ("tracker/json", "core metrics presence push session"),
    (
        "tracker/session",
        "admission auth commit core ledger log manifests metrics oversight presence prober push replication \
         request_turns state",
    ),
    ("tracker/replication", "cluster commit core floor manifests presence state"),
    ("tracker/notifier", "commit core push state"),
    ("tracker/core", "auth cluster commit manifests oversight presence prober push relay request_turns restart state"),
    ("tracker/floor", "state"),
    ("tracker/journal", "commit floor ledger state warn"),
    ("tracker/commit", "ledger state"),
    ("tracker/backup", "cluster commit core data_dir journal manifests state warn"),
    ("tracker/cluster", "state warn"),
    ("tracker/push", "presence state"),
    ("tracker/ledger", "state"),
    ("tracker/admission", ""),
    ("tracker/args", "log operator oversight"),
    ("tracker/audit", "log state"),
    ("tracker/auth", ""),
    ("tracker/console", "operator"),
    ("tracker/data_dir", ""),
    ("tracker/log", "warn"),
    ("tracker/manifests", ""),
    ("tracker/metrics", ""),
    ("tracker/operator", ""),
    ("tracker/oversight", "audit ledger log metrics state"),
    ("tracker/presence", ""),
    ("tracker/prober", ""),
    ("tracker/relay", ""),
    ("tracker/request_turns", ""),
    ("tracker/restart", ""),
    ("tracker/state", ""),
    ("tracker/warn", ""),
    ("wire", "model"),
    ("rate", "model"),
    ("model", ""),
    ("signals", ""),
    ("sync", ""),
    ("sys", ""),
];

/// The longest chain of rooms in each program, counted in rooms.
const FLOORS: [(&str, usize); 2] = [("client", 8), ("tracker", 11)];
/// Layers that both programs stand on.
const LAYERS: [&str; 6] = ["model", "rate", "wire", "sys", "sync", "signals"];

/// Arrows between rooms that are missing in the list, and listed arrows that no file has.
pub(crate) fn strange_arrows(tree: &Tree, allowed: &[(&str, &str)]) -> Vec<String> {
    let arrows = grouped(&files(tree), room);
    let mut out = Vec::new();
    for (from, all) in &arrows {
        let Some((_, may)) = allowed.iter().find(|(room, _)| room == from) else {
            out.push(format!("{from} is missing in the list of arrows: add a line for the rooms that it may name"));
            continue;
        };
        for (to, place) in all.iter().filter(|(to, _)| !allows(may, from, to)) {
            out.push(format!(
                "{}:{} names {}, but {from} may not name {to}: move what it needs further down, or pass it in",
                place.file, place.line, place.named
            ));
        }
    }
    out.extend(needless(&arrows, allowed));
    out
}

/// Whether a room with these allowed names may name this one.
fn allows(may: &str, from: &str, to: &str) -> bool {
    match (from.split_once('/'), to.split_once('/')) {
        (Some((program, _)), Some((other, room))) => {
            program == other && may.split(' ').any(|name| name == room || name == "*")
        }
        (Some(_), None) => LAYERS.contains(&to),
        (None, _) => may.split(' ').any(|name| name == to),
    }
}

/// Listed arrows that no file uses.
fn needless(arrows: &Arrows, allowed: &[(&str, &str)]) -> Vec<String> {
    let mut out = Vec::new();
    for (from, may) in allowed {
        let Some(all) = arrows.get(*from) else {
            out.push(format!("the list of arrows has {from}, but there is no such room: take the line away"));
            continue;
        };
        let whole =
            |name: &str| from.split_once('/').map_or(name.to_owned(), |(program, _)| format!("{program}/{name}"));
        let names = may.split(' ').filter(|name| !name.is_empty() && *name != "*").map(whole);
        for to in names.filter(|to| !all.contains_key(to)) {
            out.push(format!("the list of arrows lets {from} name {to}, which no file does: take the arrow away"));
        }
    }
    out
}

/// Circles of files, anywhere in the library.
pub(crate) fn circles_of_files(tree: &Tree) -> Vec<String> {
    told(&files(tree), "files")
}

/// Circles of rooms.
pub(crate) fn circles_of_rooms(tree: &Tree) -> Vec<String> {
    told(&grouped(&files(tree), room), "rooms")
}

fn told(arrows: &Arrows, of: &str) -> Vec<String> {
    let circle = |places: Vec<_>| {
        let places: Vec<String> = places
            .iter()
            .map(|place: &crate::graph::Place| format!("{}:{} names {}", place.file, place.line, place.named))
            .collect();
        format!("{}: a circle of {of}. Move what both sides need into a file below both", places.join(", "))
    };
    circles(arrows).into_iter().map(circle).collect()
}

/// Programs with more floors than allowed.
pub(crate) fn tall_programs(tree: &Tree) -> Vec<String> {
    let mut out = Vec::new();
    for (program, most) in FLOORS {
        let inside = |room: &String| room.starts_with(&format!("{program}/"));
        let mut arrows = grouped(&files(tree), room);
        arrows.retain(|room, _| inside(room));
        arrows.values_mut().for_each(|all| all.retain(|room, _| inside(room)));
        let chain = longest_chain(&arrows);
        if chain.len() > most {
            let chain = chain.join(" -> ");
            out.push(format!(
                "{program}/ has more than {most} floors of rooms, {chain}: let one of them go around the next"
            ));
        }
    }
    out
}

/// Programs that name the other program.
pub(crate) fn strange_programs(tree: &Tree) -> Vec<String> {
    let mut out = Vec::new();
    for (file, other) in [("client.rs", "tracker"), ("tracker.rs", "client")] {
        let paths = tree.source(file).map(|source| named(&source.production, &[])).unwrap_or_default();
        for path in paths.iter().filter(|path| path.in_package().is_some_and(|rest| rest[0] == other)) {
            out.push(format!("{file}:{} names {}, but the programs do not know each other", path.line, path.written));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(limit: &str) -> Tree {
        Tree::of(&[
            ("client/rate/limit.rs", limit),
            ("client/output/status.rs", "use crate::client::rate::limit::Limit;"),
            ("model/name.rs", ""),
            ("wire.rs", "use crate::model::name::Name;"),
        ])
    }

    const LIST: &[(&str, &str)] = &[("model", ""), ("wire", "model"), ("client/output", "rate"), ("client/rate", "")];

    #[test]
    fn an_arrow_that_the_list_lacks_is_told_with_its_line() {
        assert!(strange_arrows(&tree("use crate::model::name::Name; use crate::wire::Frame;"), LIST).is_empty());
        let told = strange_arrows(&tree("\nuse crate::client::output::status::rate;"), LIST);
        let expected = "client/rate/limit.rs:2 names crate::client::output::status::rate, but client/rate may not name \
                        client/output: move what it needs further down, or pass it in";
        assert_eq!(told, [expected]);
    }

    #[test]
    fn a_layer_that_names_a_program_and_a_program_that_names_the_other_are_told() {
        let tree = Tree::of(&[
            ("model/a.rs", "use crate::wire::Frame;"),
            ("tracker/state.rs", "use crate::client::start::Start;"),
            ("client/start.rs", ""),
            ("wire.rs", ""),
        ]);
        let list = [("model", ""), ("wire", ""), ("client/start", "*"), ("tracker/state", "*")];
        let told = strange_arrows(&tree, &list);
        assert_eq!(told.len(), 2, "{told:?}");
        assert!(told[0].starts_with("model/a.rs:1 names crate::wire::Frame, but model may not name wire"), "{told:?}");
        assert!(told[1].contains("tracker/state may not name client/start"), "{told:?}");
    }

    #[test]
    fn a_room_that_the_list_lacks_is_told() {
        let told = strange_arrows(&tree(""), &LIST[..3]);
        assert_eq!(told, ["client/rate is missing in the list of arrows: add a line for the rooms that it may name"]);
    }

    #[test]
    fn an_arrow_and_a_room_that_nothing_needs_are_told() {
        let list = [&LIST[2..], &[("client/gone", "")]].concat();
        let told = strange_arrows(&Tree::of(&[("client/output/status.rs", ""), ("client/rate/x.rs", "")]), &list);
        let expected = [
            "the list of arrows lets client/output name client/rate, which no file does: take the arrow away",
            "the list of arrows has client/gone, but there is no such room: take the line away",
        ];
        assert_eq!(told, expected);
    }

    #[test]
    fn a_child_that_names_its_parent_makes_a_circle() {
        let tree = Tree::of(&[
            ("wire/conn.rs", "mod sender;\npub use sender::Sender;"),
            ("wire/conn/sender.rs", "use super::LIMIT;"),
        ]);
        let expected = "wire/conn.rs:2 names sender::Sender, wire/conn/sender.rs:1 names super::LIMIT: a circle of files. \
                        Move what both sides need into a file below both";
        assert_eq!(circles_of_files(&tree), [expected]);
        assert!(circles_of_rooms(&tree).is_empty());
    }

    #[test]
    fn rooms_can_make_a_circle_where_files_make_none() {
        let tree = Tree::of(&[
            ("client/a/x.rs", "use crate::client::b::x::X;"),
            ("client/b/x.rs", ""),
            ("client/b/y.rs", "use crate::client::a::y::Y;"),
            ("client/a/y.rs", ""),
        ]);
        assert!(circles_of_files(&tree).is_empty());
        let expected = "client/a/x.rs:1 names crate::client::b::x::X, client/b/y.rs:1 names crate::client::a::y::Y: a circle of \
                        rooms. Move what both sides need into a file below both";
        assert_eq!(circles_of_rooms(&tree), [expected]);
    }

    #[test]
    fn a_program_with_a_floor_too_many_is_told_with_its_rooms() {
        let rooms = |count: usize| -> Vec<(String, String)> {
            let room = |n| (format!("client/r{n}/x.rs"), format!("use crate::client::r{}::x::X;", n + 1));
            (1..=count).map(room).collect()
        };
        let told = |count| {
            let rooms = rooms(count);
            let files: Vec<(&str, &str)> = rooms.iter().map(|(path, text)| (&**path, &**text)).collect();
            tall_programs(&Tree::of(&files))
        };
        assert!(told(8).is_empty());
        let chain =
            "client/r1 -> client/r2 -> client/r3 -> client/r4 -> client/r5 -> client/r6 -> client/r7 -> client/r8";
        let expected = format!(
            "client/ has more than 8 floors of rooms, {chain} -> client/r9: let one of them go around the next"
        );
        assert_eq!(told(9), [expected]);
    }

    #[test]
    fn a_program_that_names_the_other_is_told() {
        let tree = Tree::of(&[("client.rs", "use groupshare::client::start;\nuse groupshare::tracker::server;")]);
        let expected = "client.rs:2 names groupshare::tracker::server, but the programs do not know each other";
        assert_eq!(strange_programs(&tree), [expected]);
    }
}
