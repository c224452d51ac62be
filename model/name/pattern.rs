//! Patterns of names, as in a shell: `*` matches any characters, `?` one character, `[a-z]` one of a set, and `[!a-z]`
//! one outside it. A pattern without a capital letter ignores case.
//!
//! Matching backtracks to the last `*` only. So the number of steps is at most the product of both lengths.

use std::fmt;
use std::ops::RangeInclusive;
use std::str::Chars;
use unicode_normalization::UnicodeNormalization;

/// Longest pattern in bytes: room for every name with a `*` at either end, and for some sets of characters.
pub const PATTERN_LEN_MAX: usize = 512;

/// Why a text is not a pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PatternError {
    Empty,
    TooLong,
}

impl fmt::Display for PatternError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PatternError::Empty => write!(f, "a pattern cannot be empty"),
            PatternError::TooLong => write!(f, "a pattern has at most {PATTERN_LEN_MAX} bytes"),
        }
    }
}

impl std::error::Error for PatternError {}

/// A pattern of names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamePattern {
    text: String,
    tokens: Vec<Token>,
    /// Whether the pattern has no capital letter, and so ignores the case of a name.
    blind: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    /// `*`
    Any,
    /// `?`
    One,
    Char(char),
    Set {
        ranges: Vec<RangeInclusive<char>>,
        inverse: bool,
    },
}

/// The result of comparing a name with a pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Comparison {
    pub matches: bool,
    /// How many characters were compared.
    pub steps: usize,
}

impl NamePattern {
    /// Takes a pattern and normalizes it, since names are in Unicode's form C.
    pub fn new(text: &str) -> Result<Self, PatternError> {
        if text.is_empty() {
            return Err(PatternError::Empty);
        }
        // Form C of a text can be longer than the text.
        if text.len() > PATTERN_LEN_MAX {
            return Err(PatternError::TooLong);
        }
        let text: String = text.nfc().collect();
        if text.len() > PATTERN_LEN_MAX {
            return Err(PatternError::TooLong);
        }
        let tokens = tokens(&text);
        let blind = !text.chars().any(char::is_uppercase);
        Ok(Self { text, tokens, blind })
    }

    /// Takes the text of a search. A text without a pattern character matches all names that contain it.
    pub fn search(text: &str) -> Result<Self, PatternError> {
        let pattern = Self::new(text)?;
        if pattern.tokens.iter().all(|token| matches!(token, Token::Char(_))) {
            return Self::new(&format!("*{text}*"));
        }
        Ok(pattern)
    }

    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether the pattern matches a name.
    pub fn matches(&self, name: &str) -> bool {
        self.compare(name).matches
    }

    /// Whether the pattern matches a name, and the number of steps that the comparison took.
    pub fn compare(&self, name: &str) -> Comparison {
        let (mut at, mut rest, mut steps) = (0, name.chars(), 0);
        // The position behind the last `*`, and the part of the name that this `*` has not taken.
        let mut star: Option<(usize, Chars<'_>)> = None;
        loop {
            let mut next = rest.clone();
            let Some(c) = next.next() else { break };
            steps += 1;
            match self.tokens.get(at) {
                Some(Token::Any) => {
                    at += 1;
                    star = Some((at, rest.clone()));
                }
                Some(token) if token.takes(if self.blind { lower(c) } else { c }, &mut steps) => {
                    at += 1;
                    rest = next;
                }
                _ => {
                    let Some((behind, left)) = &mut star else { return Comparison { matches: false, steps } };
                    left.next();
                    at = *behind;
                    rest = left.clone();
                }
            }
        }
        Comparison { matches: self.tokens[at..].iter().all(|token| *token == Token::Any), steps }
    }
}

impl Token {
    fn takes(&self, c: char, steps: &mut usize) -> bool {
        match self {
            Token::Any | Token::One => true,
            Token::Char(own) => *own == c,
            Token::Set { ranges, inverse } => {
                *steps += ranges.len();
                ranges.iter().any(|range| range.contains(&c)) != *inverse
            }
        }
    }
}

/// The small letter of a character, if it is a single character.
fn lower(c: char) -> char {
    let mut lower = c.to_lowercase();
    match (lower.next(), lower.next()) {
        (Some(one), None) => one,
        _ => c,
    }
}

fn tokens(text: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        tokens.push(match c {
            '*' if tokens.last() == Some(&Token::Any) => continue,
            '*' => Token::Any,
            '?' => Token::One,
            '[' => match set(rest.as_str()) {
                Some((token, behind)) => {
                    rest = behind;
                    token
                }
                // As in a shell, a bracket without its closing one is a plain character.
                None => Token::Char('['),
            },
            c => Token::Char(c),
        });
    }
    tokens
}

/// The set behind a `[`, and the text after it. A `]` in first place belongs to the set.
fn set(text: &str) -> Option<(Token, Chars<'_>)> {
    let mut rest = text.chars();
    let inverse = text.starts_with(['!', '^']);
    if inverse {
        rest.next();
    }
    let mut ranges = Vec::new();
    loop {
        let first = rest.next()?;
        if first == ']' && !ranges.is_empty() {
            return Some((Token::Set { ranges, inverse }, rest));
        }
        let mut ahead = rest.clone();
        let last = match (ahead.next(), ahead.next()) {
            (Some('-'), Some(last)) if last != ']' => {
                rest = ahead;
                last
            }
            _ => first,
        };
        ranges.push(first..=last);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn pattern(text: &str) -> NamePattern {
        NamePattern::new(text).expect(text)
    }

    #[test]
    fn a_pattern_means_what_it_means_in_a_shell() {
        for (text, name, is) in [
            ("*", "", true),
            ("*", "film.mkv", true),
            ("*.mkv", "film.mkv", true),
            ("*.mkv", "film.mkv.part", false),
            ("film", "film.mkv", false),
            ("f*m*", "film.mkv", true),
            ("?ob", "bob", true),
            ("?ob", "ob", false),
            ("*b*b*", "bob", true),
            ("*b*b*b*", "bob", false),
            ("ü?", "üa", true),
            ("u\u{308}*", "\u{fc}a", true),
            ("s0[1-3]e*", "s02e07", true),
            ("s0[1-3]e*", "s04e07", false),
            ("[!a-c]x", "dx", true),
            ("[!a-c]x", "bx", false),
            ("[^a-c]x", "bx", false),
            ("[]x]", "]", true),
            ("[!]]", "]", false),
            ("[*]", "*", true),
            ("[*]", "a", false),
            ("[a-]", "-", true),
            ("[z-a]", "m", false),
            ("a[b", "a[b", true),
            ("[", "[", true),
            ("[!", "[!", true),
            ("[]", "[]", true),
            ("тест*", "тест.txt", true),
        ] {
            assert_eq!(pattern(text).matches(name), is, "{text} {name}");
        }
    }

    #[test]
    fn small_letters_stand_for_capitals_too_and_capitals_for_themselves() {
        for (text, name, is) in [
            ("*.mkv", "FILM.MKV", true),
            ("über*", "ÜBER uns", true),
            ("[a-f]*", "Ada", true),
            ("*.MKV", "film.mkv", false),
            ("Film*", "film.mkv", false),
            ("Film*", "Film.mkv", true),
        ] {
            assert_eq!(pattern(text).matches(name), is, "{text} {name}");
        }
    }

    #[test]
    fn a_search_without_a_sign_of_a_pattern_finds_what_contains_it() {
        let found = |text: &str, name: &str| NamePattern::search(text).expect(text).matches(name);
        assert!(found("lecture", "My Lecture 3.pdf") && found("[", "a[b"));
        assert!(!found("?", "ab") && !found("lect*", "My Lecture 3.pdf"));
        let longest = "x".repeat(268);
        assert!(found(&longest, &longest));
    }

    #[test]
    fn a_pattern_has_a_length() {
        assert_eq!(NamePattern::new(""), Err(PatternError::Empty));
        assert_eq!(NamePattern::new(&"x".repeat(PATTERN_LEN_MAX)).map(drop), Ok(()));
        assert_eq!(NamePattern::new(&"x".repeat(PATTERN_LEN_MAX + 1)), Err(PatternError::TooLong));
        assert_eq!(NamePattern::search(&"x".repeat(PATTERN_LEN_MAX)), Err(PatternError::TooLong));
        // U+0958 is longer in form C.
        let grows = "\u{958}".repeat(PATTERN_LEN_MAX / 3);
        assert_eq!(NamePattern::new(&grows), Err(PatternError::TooLong));
    }

    /// A second matcher, as short as possible and however slow.
    fn means(tokens: &[Token], name: &[char]) -> bool {
        match (tokens.split_first(), name.split_first()) {
            (None, _) => name.is_empty(),
            (Some((Token::Any, behind)), _) => (0..=name.len()).any(|taken| means(behind, &name[taken..])),
            (Some((token, behind)), Some((c, rest))) => token.takes(*c, &mut 0) && means(behind, rest),
            (Some(_), None) => false,
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, cases: 2000, ..ProptestConfig::default() })]

        #[test]
        fn a_name_is_meant_if_it_can_be_cut_that_way(text in "[*?ab\\[\\]!-]{1,9}", name in "[ab\\[\\]!-]{0,9}") {
            let pattern = pattern(&text);
            let chars: Vec<char> = name.chars().collect();
            prop_assert_eq!(pattern.matches(&name), means(&pattern.tokens, &chars), "{} {}", text, name);
        }

        #[test]
        fn any_text_is_a_pattern_that_ends_in_time(text in "\\PC{1,40}", name in "\\PC{0,60}") {
            let pattern = pattern(&text);
            let steps = pattern.compare(&name).steps;
            prop_assert!(steps <= (text.chars().count() + 1) * (name.chars().count() + 1), "{}", steps);
            prop_assert_eq!(NamePattern::new(pattern.as_str()), Ok(pattern.clone()), "its text makes the same pattern");
        }

        #[test]
        fn a_name_without_signs_means_itself(name in "[a-zA-Zäöü0-9 ._-]{1,30}") {
            prop_assert!(pattern(&name).matches(&name));
            prop_assert!(NamePattern::search(&name).is_ok_and(|pattern| pattern.matches(&name)));
        }
    }

    #[test]
    fn a_hostile_pattern_costs_the_product_of_both_lengths_at_most() {
        let (hostile, name) = (format!("{}b", "*a".repeat(200)), "a".repeat(255));
        let Comparison { matches, steps } = pattern(&hostile).compare(&name);
        assert!(!matches && steps <= hostile.len() * name.len(), "{steps}");
        let (hostile, name) = (format!("*{}b", "a".repeat(127)), "a".repeat(255));
        assert!(pattern(&hostile).compare(&name).steps <= hostile.len() * name.len());
    }
}
