//! The length of the sentences in the documents, and the length of README.
//!
//! A sentence ends at `.`, `!` or `?` before a space and a character other than a lower-case letter. It also ends with
//! its paragraph or list item. Headings, tables and code blocks have no sentences. A word stands between spaces and has
//! a letter or a digit. A code span is one word, and the address of a link is no word.

use crate::prose::{documents, prose};
use crate::source::Tree;

/// Most words of a sentence at each percentile: per cent and words.
const LIMITS: [(usize, usize); 2] = [(50, 16), (90, 28)];
/// Most words of README, counted like `wc -w`: with tables, code and addresses.
const README_WORDS_MAX: usize = 2_500;
/// How many of a page's longest sentences the report names.
const TOLD: usize = 8;
/// Abbreviations whose points end no sentence.
const ABBREVIATIONS: [&str; 4] = ["e.g.", "i.e.", "etc.", "vs."];

/// A sentence: its first line, its words, and the number of words.
struct Sentence {
    line: usize,
    text: String,
    words: usize,
}

/// Pages with sentences that are too long. The limits hold for each page, and for all pages together.
pub(crate) fn long_sentences(tree: &Tree) -> Vec<String> {
    documents(tree).flat_map(|(path, text)| of_page(path, text)).collect()
}

fn of_page(path: &str, text: &str) -> Vec<String> {
    let mut sentences = sentences(text);
    sentences.sort_by_key(|sentence| sentence.words);
    let at = |percent: usize| (sentences.len() * percent).div_ceil(100).saturating_sub(1);
    let words = |percent: usize| sentences.get(at(percent)).map_or(0, |sentence| sentence.words);
    let broken = LIMITS.iter().filter(|(percent, most)| words(*percent) > *most);
    let mut out: Vec<String> = broken
        .map(|(percent, most)| {
            let words = words(*percent);
            format!(
                "{path}: {percent} % of the sentences have up to {words} words, {most} is the most: split long ones"
            )
        })
        .collect();
    if !out.is_empty() {
        out.extend(sentences.iter().rev().take(TOLD).map(|Sentence { line, text, words }| {
            let begin: String = text.chars().take(60).collect();
            format!("  {path}:{line} has {words} words: {begin}...")
        }));
    }
    out
}

/// Reports a README that is too long.
pub(crate) fn long_readme(tree: &Tree) -> Vec<String> {
    let readme = tree.texts.iter().find(|(path, _)| path == "README.md").map_or("", |(_, text)| text);
    let words = readme.split_whitespace().count();
    let told =
        || format!("README.md has {words} words, {README_WORDS_MAX} is the most: move what is long to docs/GUIDE.md");
    (words > README_WORDS_MAX).then(told).into_iter().collect()
}

fn sentences(text: &str) -> Vec<Sentence> {
    let mut out = Vec::new();
    // The words of a paragraph, with their lines.
    let mut words: Vec<(usize, String)> = Vec::new();
    let mut before = 0;
    for (line, text) in prose(text) {
        let item = text.trim_start().trim_start_matches('>').trim_start();
        let begins = ["- ", "* "].iter().any(|mark| item.starts_with(mark)) || is_numbered(item);
        if line != before + 1 || begins || item.is_empty() || item.starts_with('#') {
            split(&mut words, &mut out);
        }
        before = line;
        if !item.starts_with(['#', '<']) {
            words.extend(item.split_whitespace().map(|word| (line, word.to_owned())));
        }
    }
    split(&mut words, &mut out);
    out
}

/// Whether this begins an item such as `1. `.
fn is_numbered(item: &str) -> bool {
    let rest = item.trim_start_matches(|c: char| c.is_ascii_digit());
    rest.len() < item.len() && rest.starts_with(". ")
}

/// Splits the words of a paragraph into sentences.
fn split(words: &mut Vec<(usize, String)>, out: &mut Vec<Sentence>) {
    let mut sentence: Vec<(usize, String)> = Vec::new();
    let mut words = units(std::mem::take(words)).into_iter().peekable();
    while let Some(word) = words.next() {
        let ends = match words.peek() {
            None => true,
            Some((_, next)) => ends_sentence(&word.1) && !next.starts_with(char::is_lowercase),
        };
        sentence.push(word);
        if ends {
            let said: Vec<&str> = sentence.iter().map(|(_, word)| &**word).collect();
            let count = said.iter().filter(|word| word.contains(char::is_alphanumeric)).count();
            if count > 0 {
                out.push(Sentence { line: sentence[0].0, text: said.join(" "), words: count });
            }
            sentence.clear();
        }
    }
}

/// Joins the words of a code span into one, and removes the addresses of links.
fn units(words: Vec<(usize, String)>) -> Vec<(usize, String)> {
    let mut out: Vec<(usize, String)> = Vec::new();
    let mut in_code = false;
    for (line, word) in words {
        let begins_in_code = in_code;
        in_code ^= word.matches('`').count() % 2 == 1;
        match out.last_mut() {
            Some((_, last)) if begins_in_code => {
                last.push(' ');
                last.push_str(&word);
            }
            _ => out.push((line, word)),
        }
    }
    for (_, word) in &mut out {
        if let Some((before, rest)) = word.split_once("](") {
            *word = format!("{before}{}", rest.split_once(')').map_or("", |(_, after)| after));
        }
    }
    out
}

fn ends_sentence(word: &str) -> bool {
    let bare = word.trim_end_matches(['"', '\'', ')', ']', '*', '_']);
    bare.ends_with(['.', '!', '?']) && !ABBREVIATIONS.contains(&bare.trim_start_matches('('))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each sentence by its line and its number of words.
    fn counted(text: &str) -> Vec<(usize, usize)> {
        sentences(text).iter().map(|sentence| (sentence.line, sentence.words)).collect()
    }

    /// A page with these numbers of sentences and words.
    fn page(sentences: &[(usize, usize)]) -> String {
        let of = |words: usize| format!("It {}.\n", "is ".repeat(words - 1).trim_end());
        sentences.iter().map(|(count, words)| of(*words).repeat(*count)).collect()
    }

    #[test]
    fn a_sentence_ends_at_a_mark_a_paragraph_and_an_item() {
        for (text, expected) in [
            ("One two. Three four\nfive! Six?", &[(1, 2), (1, 3), (2, 1)][..]),
            ("One two\n\nthree", &[(1, 2), (3, 1)]),
            ("Two items:\n- one two\n  three\n- four\n1. five\n10. six", &[(1, 2), (2, 3), (4, 1), (5, 2), (6, 2)]),
            ("One (two.) Three. \"Four.\" Five", &[(1, 2), (1, 1), (1, 1), (1, 1)]),
            ("Version 1.0 is e.g. Two, etc. and vs. Three.", &[(1, 9)]),
            (
                "It ends in .rs files and goes on. `code` begins the next. [A link](a.md) too.",
                &[(1, 8), (1, 4), (1, 3)],
            ),
        ] {
            assert_eq!(counted(text), expected, "{text}");
        }
    }

    #[test]
    fn code_tables_headings_and_addresses_are_no_words() {
        for (text, expected) in [
            ("# A heading that is long\nOne two", &[(2, 2)][..]),
            ("Say `one two. Three\nfour` now", &[(1, 3)]),
            ("| a cell. With sentences |\n|---|\n| more |", &[]),
            ("One:\n\n    code that is long. And more\n\nTwo\n```\nmore code\n```\n- * -", &[(1, 1), (5, 1)]),
            ("See [the long page](docs/a.md#b). **Then** this, - that", &[(1, 4), (1, 3)]),
        ] {
            assert_eq!(counted(text), expected, "{text}");
        }
    }

    #[test]
    fn a_page_within_the_limits_is_right() {
        for sentences in [&[(9, 16), (1, 200)][..], &[(5, 16), (4, 28), (1, 90)], &[(1, 16)], &[]] {
            assert!(of_page("docs/A.md", &page(sentences)).is_empty(), "{sentences:?}");
        }
    }

    #[test]
    fn a_page_of_long_sentences_is_told_with_the_longest_ones() {
        let told = of_page("docs/A.md", &page(&[(4, 10), (5, 17), (1, 40)]));
        assert_eq!(told[0], "docs/A.md: 50 % of the sentences have up to 17 words, 16 is the most: split long ones");
        assert!(told[1].starts_with("  docs/A.md:10 has 40 words: It is is "), "{}", told[1]);
        assert_eq!(told.len(), 1 + TOLD);
        let told = of_page("docs/A.md", &page(&[(8, 10), (2, 29)]));
        assert_eq!(told[0], "docs/A.md: 90 % of the sentences have up to 29 words, 28 is the most: split long ones");
    }

    #[test]
    fn a_long_readme_is_told_and_no_other_page() {
        let told = |path: &str, words: usize| long_readme(&Tree::of(&[(path, &"word ".repeat(words))]));
        assert!(told("README.md", README_WORDS_MAX).is_empty() && told("docs/GUIDE.md", 9_000).is_empty());
        let told = told("README.md", README_WORDS_MAX + 1);
        assert!(told.len() == 1 && told[0].ends_with("is the most: move what is long to docs/GUIDE.md"), "{told:?}");
    }

    #[test]
    fn pages_are_readme_changes_how_to_join_and_docs() {
        let long = page(&[(1, 30)]);
        for (path, pages) in
            [("README.md", 1), ("CHANGELOG.md", 1), ("CONTRIBUTING.md", 1), ("docs/A.md", 1), ("A.md", 0)]
        {
            // Both limits, and the sentence.
            assert_eq!(long_sentences(&Tree::of(&[(path, &long)])).len(), pages * 3, "{path}");
        }
    }
}
