//! Rust source as words and signs, each with its line.
//!
//! This is a lexer of the project and not `syn`. The rules look only at words, paths and attributes, and `syn` with all
//! of Rust's grammar takes longer to build than this binary.

/// A word or a sign. `::` is one sign. A string begins with `"`, and a lifetime or character with `'`. Comments are
/// left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Token {
    pub(crate) text: String,
    /// Counted from 1.
    pub(crate) line: usize,
}

impl Token {
    pub(crate) fn is(&self, text: &str) -> bool {
        self.text == text
    }

    pub(crate) fn is_word(&self) -> bool {
        self.text.starts_with(|c: char| c.is_alphanumeric() || c == '_')
    }
}

pub(crate) fn tokens(text: &str) -> Vec<Token> {
    let chars: Vec<char> = text.chars().collect();
    let (mut out, mut at, mut line) = (Vec::new(), 0, 1);
    while at < chars.len() {
        let (len, shown) = next(&chars[at..]);
        let whole: String = chars[at..at + len].iter().collect();
        if let Some(shown) = shown {
            let text = if shown == Shown::Whole { whole.clone() } else { format!("\"{}", content(&whole)) };
            out.push(Token { text, line });
        }
        line += whole.matches('\n').count();
        at += len;
    }
    out
}

/// How the lexer keeps a token.
#[derive(PartialEq, Eq)]
enum Shown {
    Whole,
    /// A string, without its quotes.
    Content,
}

/// The length of the token at the front, and how to keep it.
fn next(rest: &[char]) -> (usize, Option<Shown>) {
    match rest {
        ['/', '/', ..] => (rest.iter().position(|&c| c == '\n').unwrap_or(rest.len()), None),
        ['/', '*', ..] => (block_comment_len(rest), None),
        [c, ..] if c.is_whitespace() => (1, None),
        ['"', ..] => (text_len(rest), Some(Shown::Content)),
        ['b' | 'c', '"', ..] => (1 + text_len(&rest[1..]), Some(Shown::Content)),
        ['r' | 'b' | 'c', 'r' | '"' | '#', ..] if raw_text_len(rest).is_some() => {
            (raw_text_len(rest).unwrap_or(1), Some(Shown::Content))
        }
        ['\'', ..] => (char_or_lifetime_len(rest), Some(Shown::Whole)),
        [c, ..] if c.is_alphanumeric() || *c == '_' => {
            (rest.iter().position(|c| !c.is_alphanumeric() && *c != '_').unwrap_or(rest.len()), Some(Shown::Whole))
        }
        [':', ':', ..] => (2, Some(Shown::Whole)),
        _ => (1, Some(Shown::Whole)),
    }
}

fn content(text: &str) -> &str {
    let text = text.trim_start_matches(['b', 'c', 'r']);
    text.trim_start_matches('#').trim_end_matches('#').trim_start_matches('"').trim_end_matches('"')
}

fn block_comment_len(rest: &[char]) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < rest.len() {
        match rest[at..] {
            ['/', '*', ..] => (depth, at) = (depth + 1, at + 2),
            ['*', '/', ..] => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            return at;
        }
    }
    at
}

fn text_len(rest: &[char]) -> usize {
    let mut at = 1;
    while at < rest.len() && rest[at] != '"' {
        at += if rest[at] == '\\' { 2 } else { 1 };
    }
    (at + 1).min(rest.len())
}

fn raw_text_len(rest: &[char]) -> Option<usize> {
    let mark = rest.iter().take(2).position(|&c| c == 'r')? + 1;
    let hashes = rest[mark..].iter().take_while(|&&c| c == '#').count();
    let start = mark + hashes + 1;
    if rest.get(start - 1) != Some(&'"') {
        return None;
    }
    let ends =
        |at: usize| rest[at] == '"' && rest[at + 1..].iter().take(hashes).filter(|&&c| c == '#').count() == hashes;
    Some((start..rest.len()).find(|&at| ends(at)).map_or(rest.len(), |at| at + 1 + hashes))
}

fn char_or_lifetime_len(rest: &[char]) -> usize {
    match rest {
        ['\'', '\\', _, tail @ ..] => 4 + tail.iter().position(|&c| c == '\'').unwrap_or(0),
        ['\'', _, '\'', ..] => 3,
        _ => 1 + rest[1..].iter().position(|c| !c.is_alphanumeric() && *c != '_').unwrap_or(rest.len() - 1),
    }
}

/// Leaves out every item behind `#[cfg(test)]`: a module, a function, an import. Also returns how many lines these
/// items take.
pub(crate) fn without_tests(tokens: &[Token]) -> (Vec<Token>, usize) {
    let (mut out, mut lines, mut at) = (Vec::new(), 0, 0);
    while at < tokens.len() {
        if is_test_mark(&tokens[at..]) {
            let len = item_len(&tokens[at..]);
            lines += tokens[at + len - 1].line - tokens[at].line + 1;
            at += len;
        } else {
            out.push(tokens[at].clone());
            at += 1;
        }
    }
    (out, lines)
}

/// Whether an attribute for tests begins here: `#[cfg(test)]` or `#[cfg(all(test, ...))]`.
pub(crate) fn is_test_mark(tokens: &[Token]) -> bool {
    let begins = |words: &[&str]| tokens.len() >= words.len() && words.iter().zip(tokens).all(|(word, t)| t.is(word));
    begins(&["#", "[", "cfg", "(", "test", ")"]) || begins(&["#", "[", "cfg", "(", "all", "(", "test"])
}

/// The length up to the `;` or the closing brace of the first item.
fn item_len(tokens: &[Token]) -> usize {
    let mut depth = 0;
    for (at, token) in tokens.iter().enumerate() {
        match token.text.as_str() {
            "{" => depth += 1,
            "}" => depth -= 1,
            ";" if depth == 0 => return at + 1,
            _ => continue,
        }
        if depth == 0 {
            return at + 1;
        }
    }
    tokens.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        without_tests(&tokens(text)).0.into_iter().map(|token| token.text).collect()
    }

    #[test]
    fn comments_texts_characters_and_tests_are_no_code() {
        let words = words(
            r###"
            // async
            /* unsafe /* tokio */ await */
            fn f<'a>(c: &'a str) -> char { let _ = ("async \" fn", r#"unsafe " "#, b"x", '\'', '"', '\u{41}'); 'b' }
            #[cfg(test)]
            mod tests { fn g() { unsafe {} } }
            #[cfg(test)]
            use std::fs;
            fn last() {}
        "###,
        );
        for word in ["async", "unsafe", "tokio", "await", "tests", "fs", "g"] {
            assert!(!words.iter().any(|other| other == word), "{word}: {words:?}");
        }
        assert!(words.windows(2).any(|pair| pair == ["fn", "last"]), "{words:?}");
    }

    #[test]
    fn texts_keep_what_they_say_and_lifetimes_their_mark() {
        assert_eq!(words("\"a.rs\""), ["\"a.rs"]);
        assert_eq!(words("r#\"a\"b\"#"), ["\"a\"b"]);
        assert_eq!(words("&'a str"), ["&", "'a", "str"]);
        assert_eq!(words(r"'\'' x"), [r"'\''", "x"]);
    }

    #[test]
    fn lines_are_counted_through_texts_and_comments() {
        let tokens = tokens("a\n\"x\ny\"\n/* \n */ b");
        assert_eq!(tokens.last().map(|token| token.line), Some(5));
    }

    #[test]
    fn the_lines_of_tests_are_known() {
        assert_eq!(without_tests(&tokens("fn a() {}\n#[cfg(test)]\nmod tests {\n}\nfn b() {}")).1, 3);
    }
}
