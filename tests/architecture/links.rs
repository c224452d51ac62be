//! Links of the documents: each leads to a document that is there, and to a heading in it.

use crate::prose::{documents, outside_of_code};
use crate::source::Tree;
use std::collections::BTreeSet;

/// Links that lead nowhere. Links to pages of the web and to other files than Markdown are left alone.
pub(crate) fn lost_links(tree: &Tree) -> Vec<String> {
    let mut out = Vec::new();
    for (path, text) in documents(tree) {
        for (line, link) in
            outside_of_code(text).into_iter().flat_map(|(line, text)| links(text).map(move |link| (line, link)))
        {
            let (file, heading) = link.split_once('#').unwrap_or((link, ""));
            if link.contains("://") || !(file.is_empty() || file.ends_with(".md")) {
                continue;
            }
            let target = if file.is_empty() { path.to_owned() } else { beside(path, file) };
            match tree.texts.iter().find(|(path, _)| *path == target) {
                None => {
                    out.push(format!("{path}:{line} leads to {target}, which is not there: name the file as it is"))
                }
                Some((_, text)) if !heading.is_empty() && !headings(text).contains(heading) => out.push(format!(
                    "{path}:{line} leads to {link}, and {target} has no such heading: name the heading as it is"
                )),
                Some(_) => {}
            }
        }
    }
    out
}

/// The targets of links in a line.
fn links(text: &str) -> impl Iterator<Item = &str> {
    text.split("](").skip(1).filter_map(|rest| rest.split(')').next())
}

/// The path of a file that a document names relative to itself.
fn beside(document: &str, file: &str) -> String {
    let mut parts: Vec<&str> = document.split('/').collect();
    parts.pop();
    for part in file.split('/') {
        match part {
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

/// The headings of a document, as links name them.
fn headings(text: &str) -> BTreeSet<String> {
    let named = |heading: &str| {
        let kept = heading.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
        kept.collect::<String>().to_lowercase().replace(' ', "-")
    };
    let lines = outside_of_code(text).into_iter().filter(|(_, line)| line.starts_with('#'));
    lines.map(|(_, line)| named(line.trim_start_matches('#').trim())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(line: &str) -> Vec<String> {
        lost_links(&Tree::of(&[
            ("README.md", line),
            ("docs/A.md", "# A\n\n## What `status` tells, and when\n\n[up](../README.md) [down](B.md#other)"),
            ("docs/B.md", "## Other\n\n    ## no heading"),
        ]))
    }

    #[test]
    fn links_that_lead_somewhere_are_right() {
        for line in [
            "[a](docs/A.md) and [b](docs/A.md#what-status-tells-and-when)",
            "# Here\n| [here](#here) |",
            "[web](https://example.org/x.md) [picture](docs/a.svg)",
            "```\n[code](nowhere.md)\n```",
        ] {
            assert!(told(line).is_empty(), "{line}: {:?}", told(line));
        }
    }

    #[test]
    fn links_that_lead_nowhere_are_told() {
        let gone = "README.md:2 leads to docs/C.md, which is not there: name the file as it is";
        assert_eq!(told("One\n[c](docs/C.md#x)"), [gone]);
        for link in ["docs/B.md#no-heading", "#here"] {
            let told = told(&format!("| [x]({link}) |"));
            assert!(told.len() == 1 && told[0].contains("has no such heading"), "{link}: {told:?}");
        }
    }
}
