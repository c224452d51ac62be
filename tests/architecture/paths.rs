//! Every path that a file names, in full: imports with their groups spelled out, and paths in code with their imports
//! resolved.

use crate::tokens::Token;
use std::collections::HashMap;

/// A path with `self`, `super` and imported names resolved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Named {
    /// Begins with `crate` if it leads into this package.
    pub(crate) segments: Vec<String>,
    /// The path as written.
    pub(crate) written: String,
    pub(crate) line: usize,
}

impl Named {
    /// The path in full, with `::`.
    pub(crate) fn full(&self) -> String {
        self.segments.join("::")
    }

    /// Where the path leads inside this package.
    pub(crate) fn in_package(&self) -> Option<&[String]> {
        self.segments.split_first().filter(|(first, _)| *first == "crate").map(|(_, rest)| rest)
    }
}

/// A path as written, and the modules of this file around it.
struct Written {
    segments: Vec<String>,
    alias: Option<String>,
    is_import: bool,
    inside: Vec<String>,
    line: usize,
}

/// The paths that the tokens of the file at `module` name. A bare `mod x;` names none.
pub(crate) fn named(tokens: &[Token], module: &[&str]) -> Vec<Named> {
    let (written, declared) = scan(tokens);
    let mut imports: HashMap<String, Vec<String>> = HashMap::new();
    let at = |inside: &[String]| -> Vec<String> {
        let module = module.iter().map(|part| (*part).to_owned());
        std::iter::once("crate".to_owned()).chain(module).chain(inside.iter().cloned()).collect()
    };
    for path in written.iter().filter(|path| path.is_import) {
        let Some(last) = path.alias.as_ref().or(path.segments.last()) else { continue };
        let full = resolved(&path.segments, &at(&path.inside), &declared, &HashMap::new());
        // A crate that is imported under its own name would be resolved without an end.
        if full.first() != Some(last) {
            imports.insert(last.clone(), full);
        }
    }
    let full = |path: Written| Named {
        segments: resolved(&path.segments, &at(&path.inside), &declared, &imports),
        written: path.segments.join("::"),
        line: path.line,
    };
    written.into_iter().map(full).collect()
}

/// `declared` has the modules that this file declares. `imports` has the path of each imported name.
fn resolved(
    path: &[String],
    at: &[String],
    declared: &[String],
    imports: &HashMap<String, Vec<String>>,
) -> Vec<String> {
    let mut from: Vec<String> = match path.first().map(String::as_str) {
        Some("crate" | "groupshare") => vec!["crate".to_owned()],
        Some("self" | "super") => at.to_vec(),
        Some(first) if declared.iter().any(|name| name == first) => [at, &path[..1]].concat(),
        Some(first) => imports.get(first).cloned().unwrap_or_else(|| vec![first.to_owned()]),
        None => return Vec::new(),
    };
    let rest = match path[0].as_str() {
        "super" => path,
        _ => &path[1..],
    };
    for part in rest {
        match part.as_str() {
            "super" => drop(from.pop()),
            "self" => {}
            _ => from.push(part.clone()),
        }
    }
    from
}

/// The paths, and the names of the declared modules.
fn scan(tokens: &[Token]) -> (Vec<Written>, Vec<String>) {
    let (mut out, mut declared) = (Vec::new(), Vec::new());
    // The open modules, each with the depth of braces outside it.
    let (mut open, mut depth): (Vec<(String, usize)>, usize) = (Vec::new(), 0);
    let mut at = 0;
    while at < tokens.len() {
        let inside = || open.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
        let next_is = |text: &str| tokens.get(at + 1).is_some_and(|token| token.is(text));
        match tokens[at].text.as_str() {
            "mod" if at + 2 < tokens.len() && tokens[at + 1].is_word() => {
                declared.push(tokens[at + 1].text.clone());
                if tokens[at + 2].is("{") {
                    open.push((tokens[at + 1].text.clone(), depth));
                }
                at += 2;
            }
            "{" => (depth, at) = (depth + 1, at + 1),
            "}" => {
                depth = depth.saturating_sub(1);
                open.retain(|(_, outside)| *outside < depth);
                at += 1;
            }
            "use" if !next_is("<") => at += 1 + import(&tokens[at + 1..], &[], &inside(), &mut out),
            _ if tokens[at].is_word() && next_is("::") && (at == 0 || !tokens[at - 1].is("::")) => {
                let segments = segments(&tokens[at..]);
                let len = 2 * segments.len() - 1;
                let line = tokens[at].line;
                out.push(Written { segments, alias: None, is_import: false, inside: inside(), line });
                at += len;
            }
            _ => at += 1,
        }
    }
    (out, declared)
}

/// The words at the front that `::` joins.
fn segments(tokens: &[Token]) -> Vec<String> {
    let mut out = vec![tokens[0].text.clone()];
    let mut at = 1;
    while at + 1 < tokens.len() && tokens[at].is("::") && tokens[at + 1].is_word() {
        out.push(tokens[at + 1].text.clone());
        at += 2;
    }
    out
}

/// Takes one tree of an import. Returns how many tokens it has.
fn import(tokens: &[Token], before: &[String], inside: &[String], out: &mut Vec<Written>) -> usize {
    let mut path = before.to_vec();
    let (mut alias, mut at) = (None, 0);
    while let Some(token) = tokens.get(at) {
        match token.text.as_str() {
            "{" => {
                at += 1;
                while tokens.get(at).is_some_and(|token| !token.is("}")) {
                    at += if tokens[at].is(",") { 1 } else { import(&tokens[at..], &path, inside, out) };
                }
                return at + 1;
            }
            "as" => {
                alias = tokens.get(at + 1).map(|token| token.text.clone());
                at += 2;
            }
            "::" => at += 1,
            "*" => {
                path.push("*".to_owned());
                at += 1;
            }
            "self" if !path.is_empty() => at += 1,
            _ if token.is_word() => {
                path.push(token.text.clone());
                at += 1;
            }
            _ => break,
        }
    }
    let line = tokens.first().map_or(0, |token| token.line);
    out.push(Written { segments: path, alias, is_import: true, inside: inside.to_vec(), line });
    at.max(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tokens::tokens;

    fn full(text: &str, module: &[&str]) -> Vec<String> {
        named(&tokens(text), module).iter().map(Named::full).collect()
    }

    #[test]
    fn groups_are_spelled_out() {
        let found = full("pub use crate::{model::name, client::{a, b::{self, c as d}}};", &[]);
        assert_eq!(found, ["crate::model::name", "crate::client::a", "crate::client::b", "crate::client::b::c"]);
    }

    #[test]
    fn self_and_super_are_seen_from_the_module_they_stand_in() {
        let text =
            "use super::link; fn f() { self::x::y(); super::super::z::w() } mod inner { use super::other::Thing; }";
        let found = full(text, &["client", "rpc", "pending"]);
        let expected =
            ["client::rpc::link", "client::rpc::pending::x::y", "client::z::w", "client::rpc::pending::other::Thing"];
        assert_eq!(found, expected.map(|path| format!("crate::{path}")));
    }

    #[test]
    fn an_imported_name_stands_for_its_path() {
        let found =
            full("use std::net; use crate::client::command as c; fn f(s: net::TcpStream) { c::parse::x() }", &[]);
        assert_eq!(found[2..], ["std::net::TcpStream", "crate::client::command::parse::x"]);
    }

    #[test]
    fn a_module_that_the_file_declares_is_its_child_and_the_declaration_names_nothing() {
        assert_eq!(full("mod child; pub use child::Thing;", &["wire", "conn"]), ["crate::wire::conn::child::Thing"]);
        assert!(full("mod child;", &["wire", "conn"]).is_empty());
    }

    #[test]
    fn lines_are_told() {
        let lines: Vec<usize> =
            named(&tokens("use a::b;\nuse {\n c::d,\n e::f };"), &[]).iter().map(|n| n.line).collect();
        assert_eq!(lines, [1, 3, 4]);
    }
}
