//! The transcripts of README.md and docs/GUIDE.md, and the parts of a line that are the same in every run.

use super::project;
use std::fs;

/// A typed line, and the lines that follow.
pub(crate) type Step = (String, Vec<String>);

/// The lines of the transcript in this page that begins with `first`.
pub(crate) fn transcript(page: &str, first: &str) -> Vec<String> {
    let text = fs::read_to_string(project(page)).expect(page);
    let lines = text.lines().map(|line| line.strip_prefix("    "));
    let mut lines = lines.skip_while(|line| !line.is_some_and(|line| line.starts_with(first)));
    let transcript: Vec<String> = lines.by_ref().map_while(|line| line.map(str::to_owned)).collect();
    assert!(!transcript.is_empty(), "{page} has no transcript that begins with {first}");
    transcript
}

/// The steps of the transcript in README.md that begins with `first`. The lines before all prompts come first, with
/// nothing typed.
pub(crate) fn steps(first: &str) -> Vec<Step> {
    let mut steps = vec![(String::new(), Vec::new())];
    for line in transcript("README.md", first) {
        match line.strip_prefix("> ") {
            Some(typed) => steps.push((typed.to_owned(), Vec::new())),
            None => steps.last_mut().expect("one at least").1.push(line),
        }
    }
    steps.retain(|(typed, shown)| !typed.is_empty() || !shown.is_empty());
    steps
}

/// A line with `#` for the parts that differ from run to run: addresses, digests, and amounts with their units.
pub(crate) fn shape(line: &str) -> String {
    let mut words: Vec<&str> = Vec::new();
    for word in line.split([' ', ':', '(', ')', ',', ';']).filter(|word| !word.is_empty()) {
        let number = word.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
        let digest = word.len() >= 40 && word.bytes().all(|byte| byte.is_ascii_hexdigit());
        let unit = ["B", "kB", "MB", "GB", "s", "min", "h", "d"].contains(&word.trim_end_matches("/s"));
        if !number && !digest && !unit {
            words.push(word);
        } else if words.last() != Some(&"#") {
            words.push("#");
        }
    }
    words.join(" ")
}

/// The same for several lines.
pub(crate) fn shapes(lines: &[String]) -> Vec<String> {
    lines.iter().map(|line| shape(line)).collect()
}
