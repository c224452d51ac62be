//! Each type name stands for one type in a program.

use crate::source::{Source, Tree};
use crate::tokens::Token;
use std::collections::BTreeMap;

const KINDS: [&str; 5] = ["struct", "enum", "trait", "type", "union"];
/// Types for the schedule explorer have the names of the types that they replace.
const STAND_INS: &str = "sync/explored.rs";
const PROGRAMS: [(&str, &str); 2] = [("client", "tracker/"), ("tracker", "client/")];

/// Names that two types of one program share.
pub(crate) fn taken_names(tree: &Tree) -> Vec<String> {
    let mut out = Vec::new();
    for (program, other) in PROGRAMS {
        let mut known: BTreeMap<String, (&str, usize)> = BTreeMap::new();
        let mine = |source: &&Source| !source.path.starts_with(other) && source.path != STAND_INS;
        for source in tree.library().filter(mine) {
            for (name, line) in types(source) {
                let Some((file, first)) = known.get(&name) else {
                    known.insert(name, (&source.path, line));
                    continue;
                };
                let place = format!("{}:{line} has a type {name}, which {file}:{first} has too", source.path);
                let told =
                    format!("{place}: in the {program} a name is for one type, so call one of them what it alone is");
                let layers = [&source.path, *file].iter().all(|path| !path.starts_with(program));
                // Two types of the layers below meet in both programs. One report is enough.
                if !layers || program == PROGRAMS[0].0 {
                    out.push(told);
                }
            }
        }
    }
    out
}

/// The types that other files can name, with their lines. Associated types cannot be public by themselves.
fn types(source: &Source) -> Vec<(String, usize)> {
    let tokens = &source.production;
    // In a macro the name is not known yet.
    let is_named = |at: usize| tokens[at + 1].is_word();
    let is_type = |at: &usize| KINDS.contains(&&*tokens[*at].text) && is_named(*at) && is_public(&tokens[..*at]);
    let places = (0..tokens.len().saturating_sub(1)).filter(is_type);
    places.map(|at| (tokens[at + 1].text.clone(), tokens[at + 1].line)).collect()
}

/// Whether `pub`, `pub(crate)` or the like ends here.
fn is_public(before: &[Token]) -> bool {
    let before = match before {
        [rest @ .., last] if last.is("unsafe") => rest,
        _ => before,
    };
    match before.last() {
        Some(last) if last.is("pub") => true,
        Some(last) if last.is(")") => {
            let open = before.iter().rposition(|token| token.is("("));
            open.is_some_and(|open| open > 0 && before[open - 1].is("pub"))
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_two_types_of_a_program_have_is_told() {
        let tree = Tree::of(&[
            ("client/upload/seeder.rs", "pub(crate) struct Session;"),
            ("wire/conn.rs", "\npub enum Session { A }"),
            ("tracker/session.rs", "struct Session;"),
        ]);
        let expected = "wire/conn.rs:2 has a type Session, which client/upload/seeder.rs:1 has too: in the client a name is for \
                        one type, so call one of them what it alone is";
        assert_eq!(taken_names(&tree), [expected]);
    }

    #[test]
    fn the_programs_may_share_a_name_and_associated_types_are_none() {
        let tree = Tree::of(&[
            ("client/a.rs", "pub struct Link; impl Iterator for A { type Item = u8; } pub trait T { type Item; }"),
            ("client/b.rs", "impl Iterator for B { type Item = u8; }"),
            ("tracker/a.rs", "pub struct Link;"),
        ]);
        assert!(taken_names(&tree).is_empty());
    }

    #[test]
    fn two_types_of_the_layers_below_are_told_of_once() {
        let tree = Tree::of(&[("model/a.rs", "pub type X = u8;"), ("wire/a.rs", "pub(super) trait X {}")]);
        assert_eq!(taken_names(&tree).len(), 1);
    }
}
