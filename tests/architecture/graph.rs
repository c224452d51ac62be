//! Which file of the library names which, and the same for folders: arrows, circles and floors.

use crate::paths::{Named, named};
use crate::source::{Source, Tree};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// The reason for an arrow: the first place that makes it.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub(crate) file: String,
    pub(crate) line: usize,
    /// The named path.
    pub(crate) named: String,
}

/// Nodes and the arrows between them.
pub(crate) type Arrows = BTreeMap<String, BTreeMap<String, Place>>;

/// The arrows between the files of the library. A bare `mod x;` makes none.
pub(crate) fn files(tree: &Tree) -> Arrows {
    let modules: BTreeMap<Vec<&str>, &Source> = tree.library().map(|source| (source.module(), source)).collect();
    let mut arrows = Arrows::new();
    for source in tree.library().filter(|source| source.path != "lib.rs") {
        let from = arrows.entry(source.path.clone()).or_default();
        for path in named(&source.production, &source.module()) {
            let Some(to) = target(&path, &modules).filter(|to| to.path != source.path && to.path != "lib.rs") else {
                continue;
            };
            let place = Place { file: source.path.clone(), line: path.line, named: path.written };
            from.entry(to.path.clone()).or_insert(place);
        }
    }
    arrows
}

/// The file that a path leads into.
fn target<'a>(path: &Named, modules: &BTreeMap<Vec<&str>, &'a Source>) -> Option<&'a Source> {
    let segments: Vec<&str> = path.in_package()?.iter().map(String::as_str).collect();
    (1..=segments.len()).rev().find_map(|len| modules.get(&segments[..len]).copied())
}

/// The arrows between groups of files. `group` names the group of a file.
pub(crate) fn grouped(arrows: &Arrows, group: impl Fn(&str) -> String) -> Arrows {
    let mut out = Arrows::new();
    for (from, all) in arrows {
        let out = out.entry(group(from)).or_default();
        for (to, place) in all.iter().filter(|(to, _)| group(to) != group(from)) {
            out.entry(group(to)).or_insert_with(|| place.clone());
        }
    }
    out
}

/// The room of a file: a folder of `client/` or `tracker/` with the file of its name, or all of a layer such as
/// `model`.
pub(crate) fn room(path: &str) -> String {
    let parts: Vec<&str> = path.trim_end_matches(".rs").split('/').collect();
    let len = if ["client", "tracker"].contains(&parts[0]) { 2 } else { 1 };
    parts[..len.min(parts.len())].join("/")
}

/// The shortest circle in each group of nodes that all reach each other, as the places that make it.
pub(crate) fn circles(arrows: &Arrows) -> Vec<Vec<Place>> {
    let (mut out, mut seen) = (Vec::new(), BTreeSet::new());
    for node in arrows.keys() {
        let Some(circle) = way(arrows, node, |to| to == node).filter(|_| !seen.contains(node)) else { continue };
        // Each group is reported once.
        seen.extend(arrows.keys().filter(|other| {
            way(arrows, node, |to| to == *other).is_some() && way(arrows, other, |to| to == node).is_some()
        }));
        out.push(circle);
    }
    out
}

/// The shortest way of at least one arrow from a node to a wanted one.
pub(crate) fn way<'a>(arrows: &'a Arrows, from: &'a str, is_end: impl Fn(&str) -> bool) -> Option<Vec<Place>> {
    let mut came: BTreeMap<&str, (&str, &Place)> = BTreeMap::new();
    let mut next = VecDeque::from([from]);
    while let Some(node) = next.pop_front() {
        for (to, place) in arrows.get(node).into_iter().flatten() {
            if came.contains_key(&**to) {
                continue;
            }
            came.insert(to, (node, place));
            if is_end(to) {
                let mut places = vec![place.clone()];
                let mut at = node;
                while at != from {
                    places.push(came[at].1.clone());
                    at = came[at].0;
                }
                places.reverse();
                return Some(places);
            }
            next.push_back(to);
        }
    }
    None
}

/// The longest chain of arrows, from the top down. With a circle it has all nodes.
pub(crate) fn longest_chain(arrows: &Arrows) -> Vec<String> {
    fn below<'a>(arrows: &'a Arrows, node: &'a str, known: &mut BTreeMap<&'a str, Vec<String>>) -> Vec<String> {
        if let Some(chain) = known.get(node) {
            return chain.clone();
        }
        let mut longest = Vec::new();
        for to in arrows.get(node).into_iter().flat_map(BTreeMap::keys) {
            let chain = below(arrows, to, known);
            longest = if chain.len() > longest.len() { chain } else { longest };
        }
        longest.insert(0, node.to_owned());
        known.insert(node, longest.clone());
        longest
    }
    if !circles(arrows).is_empty() {
        return arrows.keys().cloned().collect();
    }
    let mut known = BTreeMap::new();
    arrows.keys().map(|node| below(arrows, node, &mut known)).max_by_key(Vec::len).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree() -> Tree {
        Tree::of(&[
            ("lib.rs", "mod client { mod a; mod b { mod c; mod d; } } mod wire;"),
            ("client/a.rs", "use crate::client::b::c::Thing;\nuse crate::client::b;\nfn f() { b::d::g() }"),
            ("client/b/c.rs", "use crate::wire::Frame;"),
            ("client/b/d.rs", "#[cfg(test)] mod tests { use crate::client::a::x; }"),
            ("wire.rs", "mod conn; pub use conn::Sender;"),
            ("wire/conn.rs", ""),
        ])
    }

    #[test]
    fn arrows_lead_to_the_file_that_a_path_is_in() {
        let arrows = files(&tree());
        let to = |from: &str| arrows[from].keys().map(String::as_str).collect::<Vec<_>>();
        assert_eq!(to("client/a.rs"), ["client/b/c.rs", "client/b/d.rs"]);
        assert_eq!(arrows["client/a.rs"]["client/b/d.rs"].line, 3);
        assert_eq!(to("client/b/c.rs"), ["wire.rs"]);
        assert!(to("client/b/d.rs").is_empty(), "tests count for nothing");
        assert_eq!(to("wire.rs"), ["wire/conn.rs"], "`pub use` counts, `mod` does not");
    }

    #[test]
    fn rooms_are_folders_of_the_programs_and_whole_layers_below() {
        let arrows = grouped(&files(&tree()), room);
        assert_eq!(arrows["client/a"].keys().collect::<Vec<_>>(), ["client/b"]);
        assert_eq!(arrows["client/b"].keys().collect::<Vec<_>>(), ["wire"]);
        assert_eq!(room("tracker/state.rs"), room("tracker/state/view.rs"));
    }

    #[test]
    fn a_circle_is_found_once_by_its_shortest_way() {
        let tree = Tree::of(&[
            ("client/a.rs", "use super::b::X;"),
            ("client/b.rs", "use super::c::X; use super::a::Y;"),
            ("client/c.rs", "use super::a::X;"),
        ]);
        let circles = circles(&files(&tree));
        assert_eq!(circles.len(), 1);
        let files: Vec<&str> = circles[0].iter().map(|place| &*place.file).collect();
        assert_eq!(files, ["client/a.rs", "client/b.rs"]);
    }

    #[test]
    fn the_longest_chain_counts_nodes() {
        assert_eq!(longest_chain(&files(&tree())).len(), 4);
    }
}
