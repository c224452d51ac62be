//! Text for people beside the code: its width, and whether the files that it names exist.

use crate::source::Tree;

/// Most characters in a line of prose.
const WIDTH_MAX: usize = 100;
/// Documents in the root folder.
const ROOT: [&str; 3] = ["README.md", "CHANGELOG.md", "CONTRIBUTING.md"];

/// Lines of prose that are too wide. Tables, code and lines of a single word, such as a link, may have any width.
pub(crate) fn wide_lines(tree: &Tree) -> Vec<String> {
    let mut out = Vec::new();
    for (path, text) in documents(tree) {
        for (line, text) in prose(text) {
            let width = text.chars().count();
            let words = text.trim_start_matches([' ', '-', '*', '#', '>']).split(' ').count();
            if width > WIDTH_MAX && words > 1 {
                out.push(format!("{path}:{line} is {width} characters wide, {WIDTH_MAX} is the most: wrap it"));
            }
        }
    }
    out
}

/// The documents: path and text.
pub(crate) fn documents(tree: &Tree) -> impl Iterator<Item = (&str, &str)> {
    let is_read = |path: &str| ROOT.contains(&path) || path.starts_with("docs/") && path.ends_with(".md");
    tree.texts.iter().filter(move |(path, _)| is_read(path)).map(|(path, text)| (&**path, &**text))
}

/// The lines without tables and code, with their numbers.
pub(crate) fn prose(text: &str) -> Vec<(usize, &str)> {
    outside_of_code(text).into_iter().filter(|(_, line)| !line.trim_start().starts_with('|')).collect()
}

/// The lines without code, with their numbers.
pub(crate) fn outside_of_code(text: &str) -> Vec<(usize, &str)> {
    let (mut out, mut fenced, mut before) = (Vec::new(), false, "");
    let mut code = false;
    for (at, line) in text.lines().enumerate() {
        let is_fence = line.trim_start().starts_with("```");
        fenced ^= is_fence;
        // Code is indented and follows an empty line. It ends with the indentation.
        code = line.starts_with("    ") && (code || before.is_empty()) || code && line.is_empty();
        if !is_fence && !fenced && !code {
            out.push((at + 1, line));
        }
        before = line;
    }
    out
}

/// Sources that the documents name and that do not exist.
pub(crate) fn lost_names(tree: &Tree) -> Vec<String> {
    let mut out = Vec::new();
    for (path, text) in documents(tree) {
        for (at, line) in text.lines().enumerate() {
            let lost = |name: &&str| name.ends_with(".rs") && name.contains('/') && !is_there(tree, name);
            for name in line.split('`').skip(1).step_by(2).filter(lost) {
                out.push(format!("{path}:{} names {name}, which is not there: name the place where it is now", at + 1));
            }
        }
    }
    out
}

/// `a/{b,c}.rs` and `a/*.rs` name several files.
fn is_there(tree: &Tree, name: &str) -> bool {
    match name.split_once(['{', '*', '<']) {
        Some((before, _)) => tree.sources.iter().any(|source| source.path.starts_with(before)),
        None => tree.source(name).is_some(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(text: &str) -> Vec<String> {
        wide_lines(&Tree::of(&[("docs/A.md", text)]))
    }

    #[test]
    fn a_wide_line_of_prose_is_told() {
        let wide = "word ".repeat(30);
        assert_eq!(told(&format!("Short.\n{wide}")), ["docs/A.md:2 is 150 characters wide, 100 is the most: wrap it"]);
        assert_eq!(told(&format!("- item\n  {wide}")).len(), 1, "what goes on with an item is prose");
        assert_eq!(told(&format!("text\n    {wide}")).len(), 1, "code begins behind an empty line");
    }

    #[test]
    fn tables_code_and_links_may_be_wide() {
        let wide = "word ".repeat(30);
        for text in [
            format!("| {wide} |"),
            format!("```\n{wide}\n```"),
            format!("text\n\n    {wide}\n\n    {wide}"),
            format!("- [a](http://{})", "x".repeat(100)),
        ] {
            assert!(told(&text).is_empty(), "{text}");
        }
        assert!(wide_lines(&Tree::of(&[("tests/corpus/a.md", &wide)])).is_empty());
    }

    #[test]
    fn a_source_that_is_gone_is_told() {
        let tree = Tree::of(&[
            ("README.md", "See `wire/conn.rs`, `wire/{a,b}.rs`, `conn.rs`\nand `wire/gone.rs`."),
            ("wire/conn.rs", ""),
        ]);
        let expected = "README.md:2 names wire/gone.rs, which is not there: name the place where it is now";
        assert_eq!(lost_names(&tree), [expected]);
    }
}
