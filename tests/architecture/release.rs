//! The rules of a release: its version stands in one place, and CHANGELOG.md tells users about it.

use crate::source::Tree;

/// The files that may name the version: its definition, and the list of changes.
const NAMING: [&str; 2] = ["Cargo.toml", "CHANGELOG.md"];
/// Most words of an entry of CHANGELOG.md at each percentile: per cent and words.
const WORDS_MAX: [(usize, usize); 2] = [(50, 16), (90, 28)];

/// The version in Cargo.toml.
fn version(tree: &Tree) -> &str {
    let lines = tree.text("Cargo.toml").lines();
    lines
        .filter_map(|line| line.strip_prefix("version = \""))
        .map(|rest| rest.trim_end_matches('"'))
        .next()
        .unwrap_or("")
}

/// Lines that repeat the version of Cargo.toml. `others` are files besides sources, Markdown and manifests.
pub(crate) fn second_versions(tree: &Tree, others: &[(String, String)]) -> Vec<String> {
    let version = version(tree);
    let sources = tree.sources.iter().map(|source| (&source.path, &source.text));
    let texts = tree.texts.iter().chain(others).map(|(path, text)| (path, text));
    let mut out = Vec::new();
    for (path, text) in sources.chain(texts).filter(|(path, _)| !NAMING.contains(&path.as_str())) {
        for (at, line) in text.lines().enumerate().filter(|(_, line)| has_version(line, version)) {
            let line = line.trim();
            let told = format!("{path}:{} repeats the version of Cargo.toml in `{line}`", at + 1);
            out.push(format!("{told}: take it from there, or leave it out"));
        }
    }
    out
}

/// Whether the line has the version. A longer number, such as an address, does not count. A tag such as `v1.2.0` does
/// not count either.
fn has_version(line: &str, version: &str) -> bool {
    line.match_indices(version).any(|(at, _)| {
        let (before, after) = (&line[..at], &line[at + version.len()..]);
        let goes_on = |rest: &str| rest.starts_with(|c: char| c.is_ascii_digit());
        !before.ends_with(|c: char| c.is_ascii_digit() || matches!(c, '.' | 'v'))
            && !goes_on(after)
            && !after.strip_prefix('.').is_some_and(goes_on)
    })
}

/// Faults of CHANGELOG.md: in its versions, or in the length of its entries.
pub(crate) fn odd_changes(tree: &Tree) -> Vec<String> {
    let text = tree.text("CHANGELOG.md");
    let mut out = Vec::new();
    let headings: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("## ")).collect();
    let newest = headings.first().copied().unwrap_or("nothing");
    if newest.split(' ').next() != Some(version(tree)) {
        let version = version(tree);
        out.push(format!(
            "CHANGELOG.md begins with {newest}, but Cargo.toml says {version}: say what {version} brings"
        ));
    }
    for heading in headings {
        if parts(heading).is_none() {
            out.push(format!("CHANGELOG.md has a heading `{heading}`: write it as `1.2.3 - 2026-12-31`"));
        }
    }
    let mut words: Vec<usize> = entries(text).iter().map(|entry| entry.split_whitespace().count()).collect();
    words.sort_unstable();
    for (percent, most) in WORDS_MAX {
        let Some(&has) = words.get(words.len().saturating_sub(1) * percent / 100) else { continue };
        if has > most {
            out.push(format!(
                "{percent} % of the entries of CHANGELOG.md have up to {has} words, {most} is the most: cut them"
            ));
        }
    }
    out
}

/// The three numbers of a heading with a date behind them.
fn parts(heading: &str) -> Option<[u32; 3]> {
    let (version, date) = heading.split_once(" - ")?;
    let numbers =
        |text: &str, separator| -> Option<Vec<u32>> { text.split(separator).map(|part| part.parse().ok()).collect() };
    let _date: [u32; 3] = numbers(date, '-')?.try_into().ok()?;
    numbers(version, '.')?.try_into().ok()
}

/// The items of all lists, each as one line.
fn entries(text: &str) -> Vec<String> {
    let mut out: Vec<String> = Vec::new();
    let mut inside = false;
    for line in text.lines() {
        match (line.strip_prefix("- "), line.strip_prefix("  ")) {
            (Some(entry), _) => out.push(entry.to_owned()),
            (None, Some(more)) if inside => out.last_mut().expect("it has begun").extend([" ", more]),
            _ => {
                inside = false;
                continue;
            }
        }
        inside = true;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANIFEST: (&str, &str) = ("Cargo.toml", "[package]\nversion = \"1.2.0\"\n");

    #[test]
    fn a_second_place_of_the_version_is_told() {
        let tree = Tree::of(&[
            MANIFEST,
            ("CHANGELOG.md", "## 1.2.0 - 2026-12-31"),
            ("client/a.rs", "const V: &str = \"1.2.0\";"),
            ("docs/A.md", "11.2.0, 1.2.0.7, 1.2.01 and v1.2.0\nsince 1.2.0."),
        ]);
        let others = [("packaging/a.1".to_owned(), ".Os groupshare 1.2.0".to_owned())];
        let told = |place, line| {
            format!("{place} repeats the version of Cargo.toml in `{line}`: take it from there, or leave it out")
        };
        assert_eq!(
            second_versions(&tree, &others),
            [
                told("client/a.rs:1", "const V: &str = \"1.2.0\";"),
                told("docs/A.md:2", "since 1.2.0."),
                told("packaging/a.1:1", ".Os groupshare 1.2.0"),
            ]
        );
    }

    #[test]
    fn changes_begin_with_the_version_of_the_manifest() {
        let changes = |text| odd_changes(&Tree::of(&[MANIFEST, ("CHANGELOG.md", text)]));
        assert!(
            changes("# Changes\n\n## 1.2.0 - 2026-12-31\n\n- Files are found.\n\n## 1.1.0 - 2026-11-30").is_empty()
        );
        let expected = "CHANGELOG.md begins with 1.1.0 - 2026-11-30, but Cargo.toml says 1.2.0: say what 1.2.0 brings";
        assert_eq!(changes("## 1.1.0 - 2026-11-30"), [expected]);
        let expected = "CHANGELOG.md has a heading `1.2.0`: write it as `1.2.3 - 2026-12-31`";
        assert_eq!(changes("## 1.2.0"), [expected]);
    }

    #[test]
    fn long_entries_are_told() {
        let entry = |words| format!("- {}\n  and more\n", "word ".repeat(words));
        let changes = |entries: String| {
            odd_changes(&Tree::of(&[MANIFEST, ("CHANGELOG.md", &format!("## 1.2.0 - 2026-12-31\n{entries}"))]))
        };
        assert!(changes(entry(14)).is_empty());
        let expected = "50 % of the entries of CHANGELOG.md have up to 17 words, 16 is the most: cut them";
        assert_eq!(changes(entry(15)), [expected]);
        let expected = "90 % of the entries of CHANGELOG.md have up to 40 words, 28 is the most: cut them";
        assert_eq!(changes(entry(3).repeat(8) + &entry(38).repeat(2)), [expected]);
    }
}
