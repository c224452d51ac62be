//! The table of resources that can run out. Each row has a bound, an existing option, and an existing test.

use crate::source::Tree;
use crate::tokens::Token;
use std::collections::BTreeSet;

const DOCUMENT: &str = "docs/SECURITY.md";
const SECTION: &str = "## What can be used up";
const COLUMNS: [&str; 5] = ["resource", "by whom", "bound", "option", "test"];
/// Who may use something up.
const WHO: [&str; 5] = ["stranger", "user", "member", "peer", "program"];

/// Rows of the table without an existing option or test.
pub(crate) fn unshown_bounds(tree: &Tree) -> Vec<String> {
    let rows = rows(tree);
    if rows.is_empty() {
        return vec![format!("{DOCUMENT} has no table below `{SECTION}`: put it back")];
    }
    let (tests, words) = (tests(tree), words(tree));
    let mut out = Vec::new();
    for (line, cells) in rows {
        let place = format!("{DOCUMENT}:{line}");
        let [resource, who, bound, option, test] = &cells[..] else {
            out.push(format!("{place} has {} cells: give it {}", cells.len(), COLUMNS.join(", ")));
            continue;
        };
        if resource.is_empty() || bound.is_empty() {
            out.push(format!("{place} names no resource or no bound: name both"));
        }
        if who.split(", ").any(|who| !WHO.contains(&who)) {
            out.push(format!("{place} says that {who:?} uses it up: name some of {}", WHO.join(", ")));
        }
        let options: Vec<&str> = quoted(option).collect();
        if option != "none" && (options.is_empty() || options.iter().any(|option| !is_option(option, &words))) {
            out.push(format!(
                "{place} has the option {option}, which no program knows: name one that is there, or none"
            ));
        }
        let named: Vec<&str> = quoted(test).collect();
        if named.is_empty() || named.iter().any(|name| !tests.contains(name)) {
            out.push(format!("{place} has the test {test}, which is not there: name one that shows the bound"));
        }
    }
    out
}

/// The rows of all tables in the section: line and cells.
fn rows(tree: &Tree) -> Vec<(usize, Vec<String>)> {
    let text = tree.texts.iter().find(|(path, _)| path == DOCUMENT).map_or("", |(_, text)| text);
    let lines = (1..).zip(text.lines()).skip_while(|(_, line)| *line != SECTION).skip(1);
    let lines = lines.take_while(|(_, line)| !line.starts_with("## ")).filter(|(_, line)| line.starts_with('|'));
    let cells = |line: &str| line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect::<Vec<_>>();
    let rows = lines.map(|(number, line)| (number, cells(line)));
    rows.filter(|(_, cells)| *cells != COLUMNS && !cells.iter().all(|cell| cell.starts_with("--"))).collect()
}

/// The text between backticks.
fn quoted(cell: &str) -> impl Iterator<Item = &str> {
    cell.split('`').skip(1).step_by(2)
}

/// The names of all tests.
fn tests(tree: &Tree) -> BTreeSet<&str> {
    let begins =
        |tokens: &[Token]| ["#", "[", "test", "]", "fn"].iter().zip(tokens).all(|(word, token)| token.is(word));
    let of = |tokens: &'_ [Token]| -> Vec<usize> { (0..tokens.len()).filter(|at| begins(&tokens[*at..])).collect() };
    let names = tree.sources.iter().flat_map(|source| {
        of(&source.tokens).into_iter().filter_map(|at| source.tokens.get(at + 5)).map(|token| &*token.text)
    });
    names.collect()
}

/// The strings in both programs. The names of options and limits are among them.
fn words(tree: &Tree) -> BTreeSet<&str> {
    let texts = tree.production().flat_map(|source| &source.production);
    texts.filter_map(|token| token.text.strip_prefix('"')).collect()
}

/// Whether this is an option such as `--relay`, or a limit such as `--limit shares`.
fn is_option(option: &str, words: &BTreeSet<&str>) -> bool {
    option.strip_prefix("--").is_some_and(|name| name.split(' ').all(|word| words.contains(word)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(row: &str) -> Vec<String> {
        let text =
            format!("{SECTION}\n\n| resource | by whom | bound | option | test |\n|---|---|---|---|---|\n{row}\n");
        let tree = Tree::of(&[
            (DOCUMENT, &text),
            ("tracker/args.rs", "fn f() { o(\"\", \"relay\"); o(\"limit\"); o(\"shares\"); }"),
            ("wire/a.rs", "#[cfg(test)] mod tests { #[test]\nfn it_holds() {} fn helper() {} }"),
        ]);
        unshown_bounds(&tree)
    }

    #[test]
    fn a_row_with_a_bound_an_option_and_a_test_is_right() {
        for option in ["none", "`--relay`", "`--limit shares`", "`--relay`, `--limit shares`"] {
            let row = format!("| places | stranger, user | 4 | {option} | `it_holds` |");
            assert!(told(&row).is_empty(), "{:?}", told(&row));
        }
    }

    #[test]
    fn a_row_that_nobody_can_rely_on_is_told() {
        for (row, why) in [
            ("| places | user | | none | `it_holds` |", "names no resource or no bound"),
            ("| places | user | 4 | none |", "has 4 cells"),
            ("| places | anybody | 4 | none | `it_holds` |", "name some of stranger, user"),
            ("| places | user | 4 | relay | `it_holds` |", "which no program knows"),
            ("| places | user | 4 | `--frob` | `it_holds` |", "which no program knows"),
            ("| places | user | 4 | `--limit frobs` | `it_holds` |", "which no program knows"),
            ("| places | user | 4 | none | it_holds |", "which is not there"),
            ("| places | user | 4 | none | `helper` |", "which is not there"),
            ("", "has no table"),
        ] {
            let told = told(row);
            assert!(told.len() == 1 && told[0].contains(why), "{row}: {told:?}");
        }
    }
}
