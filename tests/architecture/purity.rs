//! Which rooms touch no socket, file, clock, thread, lock or source of randomness, neither directly nor through others.

use crate::graph::{Arrows, files, way};
use crate::paths::named;
use crate::source::{Source, Tree};

/// Pure files, and folders with everything in them. Each of them must exist: otherwise the rule could become empty.
pub(crate) const PURE: &[&str] = &[
    "model/",
    "tracker/audit/line.rs",
    "tracker/state.rs",
    "tracker/state/",
    "tracker/ledger.rs",
    "tracker/ledger/",
    "tracker/floor.rs",
    "tracker/floor/",
    "tracker/cluster/version_vector.rs",
    "tracker/operator/answer.rs",
    "tracker/operator/command.rs",
    "tracker/operator/table.rs",
    "client/command/completion.rs",
    "client/difference/block_index.rs",
    "client/difference/patch.rs",
    "client/difference/rolling.rs",
    "client/picker/",
    "tracker/relay/tickets.rs",
    "rate/limit.rs",
    "rate/token_bucket.rs",
    "rate/fair_queue.rs",
];
/// Impure paths. `core` counts as `std`.
const IMPURE_PATHS: [&str; 9] = [
    "std::net",
    "std::fs",
    "std::time",
    "std::thread",
    "std::env",
    "std::os",
    "std::sync::Mutex",
    "std::sync::RwLock",
    "std::sync::Condvar",
];
/// Values inside them that are only numbers.
const PURE_PATHS: [&str; 6] = [
    "std::time::Duration",
    "std::net::IpAddr",
    "std::net::Ipv4Addr",
    "std::net::Ipv6Addr",
    "std::net::SocketAddr",
    "std::net::SocketAddrV4",
];
/// Names that are impure wherever they come from.
const IMPURE_NAMES: [&str; 14] = [
    "Instant",
    "SystemTime",
    "TcpStream",
    "TcpListener",
    "UdpSocket",
    "File",
    "rand",
    "getrandom",
    "SystemRandom",
    "crossbeam_channel",
    "rayon",
    "rustix",
    "libc",
    "parking_lot",
];

/// The impure things that pure rooms reach, with the way there.
pub(crate) fn impure_rooms(tree: &Tree, pure: &[&str]) -> Vec<String> {
    let arrows = files(tree);
    let mut out = Vec::new();
    for room in pure {
        let files: Vec<&Source> = tree.library().filter(|source| source.is_in(&[room])).collect();
        if files.is_empty() {
            out.push(format!("{room} is gone from the list of pure rooms: name the place where it is pure now"));
        }
        out.extend(files.into_iter().filter_map(|file| impurity(tree, &arrows, file)));
    }
    out
}

/// The first impure thing that a file names or reaches.
fn impurity(tree: &Tree, arrows: &Arrows, file: &Source) -> Option<String> {
    if let Some((line, name)) = impure_name(file) {
        return Some(format!("{}:{line} names {name}, but this room is pure: have it passed in", file.path));
    }
    let reach = |to: &str| tree.source(to).and_then(impure_name);
    let way = way(arrows, &file.path, |to| reach(to).is_some())?;
    let (first, last) = (way.first()?, way.last()?);
    let to = arrows[&last.file].iter().find(|(to, place)| place.line == last.line && reach(to).is_some())?.0;
    let (line, name) = reach(to)?;
    let place = format!("{}:{} names {}", first.file, first.line, first.named);
    Some(format!(
        "{place}, from where {to}:{line} is reached, which names {name}, but this room is pure: break the chain"
    ))
}

fn impure_name(file: &Source) -> Option<(usize, String)> {
    let begins = |path: &str, with: &str| path == with || path.starts_with(&format!("{with}::"));
    for path in named(&file.production, &file.module()) {
        let full = path.full();
        let full = full.strip_prefix("core::").map_or(full.clone(), |rest| format!("std::{rest}"));
        let impure = IMPURE_PATHS.iter().any(|impure| begins(&full, impure));
        // A module as a whole is only the beginning of longer paths.
        let is_module = ["std::time", "std::net"].contains(&&*full);
        if impure && !is_module && !PURE_PATHS.iter().any(|pure| begins(&full, pure)) {
            return Some((path.line, full));
        }
    }
    let impure = file.production.iter().find(|token| IMPURE_NAMES.contains(&&*token.text))?;
    Some((impure.line, impure.text.clone()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_check_tells_which_impure_thing_a_pure_room_names_itself() {
        let told = |text: &str| impure_rooms(&Tree::of(&[("model/name.rs", text)]), &["model/"]);
        assert!(told("use std::time::Duration; use std::net::IpAddr; fn f(d: core::time::Duration) {}").is_empty());
        let expected = "model/name.rs:2 names std::fs::read, but this room is pure: have it passed in";
        assert_eq!(told("\nfn f() { std::fs::read(p) }"), [expected]);
        for text in [
            "use std::fs;",
            "use std::{env, fmt};",
            "use std::time; fn f() { time::Instant::now() }",
            "use core::net::TcpStream;",
        ] {
            assert_eq!(told(text).len(), 1, "{text}");
        }
        assert_eq!(told("fn f(m: &parking_lot::Mutex<u8>) {}").len(), 1);
        assert!(told("#[cfg(test)] mod tests { use std::fs; }").is_empty());
    }

    #[test]
    fn the_check_tells_the_way_by_which_a_pure_room_reaches_an_impure_thing() {
        let tree = Tree::of(&[
            ("client/rate/token_bucket.rs", "use super::limit::Limit;"),
            ("client/rate/limit.rs", "use crate::client::output::status::rate;"),
            ("client/output/status.rs", "\nuse std::fs::File;"),
        ]);
        let expected = "client/rate/token_bucket.rs:1 names super::limit::Limit, from where client/output/status.rs:2 is \
                        reached, which names std::fs::File, but this room is pure: break the chain";
        assert_eq!(impure_rooms(&tree, &["client/rate/token_bucket.rs"]), [expected]);
    }

    #[test]
    fn a_pure_room_that_is_gone_is_told() {
        let told = impure_rooms(&Tree::of(&[]), &["client/picker/"]);
        assert_eq!(told, ["client/picker/ is gone from the list of pure rooms: name the place where it is pure now"]);
    }
}
