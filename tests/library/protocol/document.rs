//! docs/PROTOCOL.md against the code, in both directions: something that only one of them has is an error.

use super::schema::{self, Field, Variant, plain};
use groupshare::wire::certificate::CERTIFICATE_LIFE;
use groupshare::wire::deadlines::{
    ANSWER_DEADLINE, FRAME_DEADLINE, HANDSHAKE_DEADLINE, HEARTBEAT_INTERVAL, IDLE_DEADLINE, REPLY_DEADLINE,
    WAITED_REPLY_DEADLINE,
};
use groupshare::wire::handshake::{Dialect, MAGIC, VERSION};
use groupshare::wire::refusal::Code;
use groupshare::wire::tracker_tracker::HAVE_INTERVAL;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_path_buf()
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn document() -> String {
    read("docs/PROTOCOL.md")
}

/// The lines below a heading, up to the next heading of any level.
fn section(heading: &str) -> Vec<String> {
    let document = document();
    let mut lines = document.lines().skip_while(|line| line.trim_start_matches('#').trim() != heading);
    assert!(lines.next().is_some(), "there is no section {heading}");
    lines.take_while(|line| !line.starts_with('#')).map(str::to_owned).collect()
}

/// The cells of every row of the tables in these lines, without their heads.
fn rows(lines: &[String]) -> Vec<Vec<String>> {
    let mut rows = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        let heads = lines.get(at + 1).is_some_and(|next| next.starts_with("|---"));
        if line.starts_with('|') && !line.starts_with("|---") && !heads {
            let cells = line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned());
            rows.push(cells.collect());
        }
    }
    rows
}

/// Code blocks whose info string begins like this: the rest of that string, and the text.
pub(super) fn blocks(info: &str) -> Vec<(String, String)> {
    let document = document();
    let mut blocks = Vec::new();
    let mut lines = document.lines();
    while let Some(line) = lines.next() {
        if let Some(label) = line.strip_prefix("```").and_then(|rest| rest.strip_prefix(info)) {
            let text: Vec<&str> = lines.by_ref().take_while(|line| !line.starts_with("```")).collect();
            blocks.push((label.to_owned(), text.join("\n")));
        }
    }
    blocks
}

/// The fields in a cell such as `` `name: Type`, `name: Type` ``.
fn inline_fields(cell: &str) -> Vec<Field> {
    let quoted = cell.split('`').skip(1).step_by(2);
    let field = |text: &str| text.split_once(": ").map(|(name, of)| (name.to_owned(), plain(of)));
    quoted.map(|text| field(text).unwrap_or_else(|| panic!("no field: {text}"))).collect()
}

fn unquoted(cell: &str) -> String {
    cell.trim_matches('`').to_owned()
}

/// The messages of a direction that have a section such as `Request 1: `CreateUser``.
fn documented_messages(direction: &str) -> Vec<Variant> {
    let document = document();
    let headings = document.lines().filter_map(|line| line.strip_prefix("#### ")?.strip_prefix(direction));
    headings
        .filter_map(|rest| rest.strip_prefix(' ')?.split_once(": "))
        .map(|(number, name)| {
            let lines = section(&format!("{direction} {number}: {name}"));
            let fields = rows(&lines).iter().map(|row| (unquoted(&row[0]), plain(&row[1]))).collect();
            Variant { number: number.parse().expect("a number"), name: unquoted(name), fields }
        })
        .collect()
}

#[test]
fn every_message_is_documented_with_its_number_and_its_fields_and_none_besides() {
    for choice in schema::choices() {
        let documented = if schema::DIRECTIONS.contains(&choice.name) {
            documented_messages(choice.name)
        } else {
            let variant = |row: &Vec<String>| Variant {
                number: row[0].parse().expect("a number"),
                name: unquoted(&row[1]),
                fields: inline_fields(&row[2]),
            };
            rows(&section(choice.name)).iter().map(variant).collect()
        };
        assert_eq!(documented, choice.variants, "{}", choice.name);
    }
}

#[test]
fn every_struct_is_documented_with_its_fields_and_none_besides() {
    let rows = rows(&section("Values"));
    let documented: BTreeMap<String, Vec<Field>> = rows
        .iter()
        .filter(|row| row[1].starts_with('`') && row[1].contains(": "))
        .map(|row| (unquoted(&row[0]), inline_fields(&row[1])))
        .collect();
    let structs: BTreeMap<String, Vec<Field>> =
        schema::structs().into_iter().map(|(name, fields)| (name.to_owned(), fields)).collect();
    assert_eq!(documented, structs);
}

/// `List<GroupLine,PAGE_MAX>` names three types or limits.
fn names_in(of: &str) -> impl Iterator<Item = &str> {
    of.split(['<', '>', ',']).filter(|name| !name.is_empty())
}

#[test]
fn every_type_of_a_field_is_explained_and_none_is_explained_for_nothing() {
    let fields = schema::choices().into_iter().flat_map(|choice| choice.variants).flat_map(|variant| variant.fields);
    let fields = fields.chain(schema::structs().into_iter().flat_map(|(_, fields)| fields));
    let mut used: BTreeSet<String> =
        fields.flat_map(|(_, of)| names_in(&of).map(str::to_owned).collect::<Vec<_>>()).collect();
    let limits: BTreeSet<String> = rows(&section("Limits")).iter().map(|row| unquoted(&row[0])).collect();
    used.retain(|name| !limits.contains(name));

    let mut explained = BTreeSet::new();
    for row in rows(&section("Values")) {
        for name in row[0].split('`').skip(1).step_by(2) {
            explained.insert(plain(name.split('<').next().unwrap_or(name)));
        }
    }
    explained.extend(["Holding", "Notice", "OpBody"].map(str::to_owned));
    let missing: Vec<_> = used.difference(&explained).collect();
    assert!(missing.is_empty(), "not explained: {missing:?}");
    // These are not fields themselves: fields of manifests and of the handshake, the unused width, a whole op.
    let elsewhere = ["FileEntry", "Fingerprint", "Op", "u8", "i64"];
    let spare: Vec<_> = explained.difference(&used).filter(|name| !elsewhere.contains(&name.as_str())).collect();
    assert!(spare.is_empty(), "explained for nothing: {spare:?}");
}

#[test]
fn every_code_is_documented_with_its_number_and_its_words_and_none_besides() {
    let documented: Vec<_> = rows(&section("Codes")).into_iter().map(|row| row[..3].to_vec()).collect();
    let row = |code: &Code| vec![(*code as u16).to_string(), format!("`{code:?}`"), code.words().to_owned()];
    assert_eq!(documented, Code::ALL.iter().map(row).collect::<Vec<_>>());
}

/// The types of limits and deadlines.
const NUMBERS: [&str; 5] = ["usize", "u16", "u32", "u64", "Duration"];

/// The files in a folder, and in the folders in it.
fn sources(folder: &Path) -> Vec<PathBuf> {
    let paths = std::fs::read_dir(folder).expect("the room").map(|entry| entry.expect("a file").path());
    paths.flat_map(|path| if path.is_dir() { sources(&path) } else { vec![path] }).collect()
}

/// Every `const NAME: integer = …;` in the files of `wire`, public or not, with the text behind the `=`.
fn constants_in_source() -> BTreeMap<String, String> {
    let mut files = sources(&root().join("wire"));
    files.push(root().join("wire.rs"));
    let mut found = BTreeMap::new();
    for file in files {
        let text = std::fs::read_to_string(&file).expect("readable");
        let code = text.split("#[cfg(test)]").next().unwrap_or(&text);
        for line in code.lines().map(|line| line.trim().trim_start_matches("pub ")) {
            let Some((name, rest)) = line.strip_prefix("const ").and_then(|rest| rest.split_once(": ")) else {
                continue;
            };
            let number = rest.split_once(" = ").filter(|(of, _)| NUMBERS.contains(of));
            if let Some((_, value)) = number {
                found.insert(name.to_owned(), value.trim_end_matches(';').to_owned());
            }
        }
    }
    assert!(found.len() > 20, "the source was found: {found:?}");
    found
}

/// Limits of the model that the wire shows.
const MODEL_LIMITS: [&str; 14] = [
    "COMPONENTS_MAX",
    "FILES_MAX",
    "FILE_LEN_MAX",
    "FOLDERS_MAX",
    "PARTICIPANTS_MAX",
    "PASSWORD_HASH_LEN_MAX",
    "PATH_LEN_MAX",
    "PATTERN_LEN_MAX",
    "PIECES_MAX",
    "PIECE_LEN",
    "SIZE_MAX",
    "SUFFIX_LEN_MAX",
    "USER_LEN_MAX",
    "VECTOR_MAX",
];
/// Constants of `wire` without influence on its bytes. They are the sizes of buffers and queues, ids, the version of a
/// file format, and the times after which one frame gives way to another.
const NOT_ON_THE_WIRE: [&str; 11] = [
    "ATTRIBUTES_LEN",
    "CUT_PAUSE",
    "SHORT_BUFFER_LEN",
    "MIB",
    "PUSHED_AT_ONCE",
    "PUSHES_LEN_STEP",
    "PUSHES_QUEUED_MAX",
    "RECORD_LEN_MAX",
    "SLOW",
    "UNASKED",
    "VERSION",
];

#[test]
fn every_limit_is_documented_with_its_value_and_none_besides() {
    let documented: BTreeMap<String, u64> = rows(&section("Limits"))
        .iter()
        .map(|row| (unquoted(&row[0]), row[1].parse().unwrap_or_else(|_| panic!("no number: {row:?}"))))
        .collect();
    let source = constants_in_source();
    let deadlines: Vec<String> = rows(&section("Deadlines")).iter().map(|row| unquoted(&row[0])).collect();
    let expected: BTreeSet<&str> = source
        .keys()
        .map(String::as_str)
        .filter(|name| !NOT_ON_THE_WIRE.contains(name) && !deadlines.iter().any(|deadline| deadline == name))
        .chain(MODEL_LIMITS)
        .collect();
    assert_eq!(documented.keys().map(String::as_str).collect::<BTreeSet<_>>(), expected);

    let known: BTreeMap<&str, u64> = schema::limits().into_iter().collect();
    for (name, value) in &documented {
        // The source has the value of a private constant, as a number or a product of numbers.
        let product =
            |value: &String| value.split(" * ").map(|number| number.parse::<u64>().ok()).product::<Option<u64>>();
        let in_code = known.get(name.as_str()).copied().or_else(|| product(source.get(name)?));
        if name == "SUFFIX_LEN_MAX" {
            assert_eq!(*value, "~4294967295".len() as u64);
        } else {
            assert_eq!(Some(*value), in_code, "{name}");
        }
    }
}

#[test]
fn every_deadline_is_documented_with_its_value_and_none_besides() {
    let documented: BTreeMap<String, String> =
        rows(&section("Deadlines")).iter().map(|row| (unquoted(&row[0]), row[1].clone())).collect();
    let known = [
        ("CERTIFICATE_LIFE", CERTIFICATE_LIFE),
        ("ANSWER_DEADLINE", ANSWER_DEADLINE),
        ("FRAME_DEADLINE", FRAME_DEADLINE),
        ("REPLY_DEADLINE", REPLY_DEADLINE),
        ("WAITED_REPLY_DEADLINE", WAITED_REPLY_DEADLINE),
        ("HANDSHAKE_DEADLINE", HANDSHAKE_DEADLINE),
        ("HEARTBEAT_INTERVAL", HEARTBEAT_INTERVAL),
        ("HAVE_INTERVAL", HAVE_INTERVAL),
        ("IDLE_DEADLINE", IDLE_DEADLINE),
    ];
    let known = known.map(|(name, value)| (name.to_owned(), format!("{} s", value.as_secs())));
    assert_eq!(documented, known.into_iter().collect());
    let source = constants_in_source();
    let is_deadline = |name: &str, value: &str| value.starts_with("Duration::") && !NOT_ON_THE_WIRE.contains(&name);
    let in_source = source.iter().filter(|(name, value)| is_deadline(name, value)).map(|(name, _)| name);
    assert!(in_source.eq(documented.keys()));
}

#[test]
fn preface_and_handshake_are_documented_as_they_are() {
    let preface = section("Preface").join("\n");
    assert!(preface.contains(&format!("the magic: `{}` in ASCII", String::from_utf8_lossy(&MAGIC))));
    assert!(preface.contains(&format!("the version of the protocol: {VERSION} ")));
    let source = read("wire/handshake.rs") + &read("wire/handshake/peer.rs");
    let handshake = section("Handshake").join("\n");
    for (constant, dialect) in [
        ("CLIENT_PATTERN", Dialect::ClientTracker),
        ("PEER_PATTERN", Dialect::PeerPeer),
        ("PSK_PATTERN", Dialect::TrackerTracker),
    ] {
        let declared = format!("const {constant}: &str = \"");
        let (_, rest) = source.split_once(&declared).expect("declared");
        let pattern = rest.split('"').next().expect("closed");
        assert!(handshake.contains(&format!("| {} | `{pattern}` |", dialect as u8)), "{pattern}");
    }
}

/// The names in backquotes behind `Refusals:` or `Answer:`, up to the end of that sentence.
fn names_behind(word: &str, text: &str) -> BTreeSet<String> {
    let Some((_, rest)) = text.split_once(word) else {
        return BTreeSet::new();
    };
    let sentence = rest.split('.').next().unwrap_or(rest);
    sentence.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

/// The comment in front of every message of an enum in the source.
fn comments_in_source(file: &str, name: &str) -> BTreeMap<String, String> {
    let source = read(file);
    let (_, body) = source.split_once(&format!("    {name} {{\n")).expect("the enum is there");
    let (body, _) = body.split_once("\n    }\n").expect("it ends");
    let mut comments = BTreeMap::new();
    let mut comment = String::new();
    for line in body.lines() {
        match line.strip_prefix("        ///") {
            Some(text) => comment += text,
            None if line.starts_with("        ") && line.as_bytes()[8].is_ascii_digit() => {
                let message = line.split_whitespace().nth(1).expect("a name");
                comments.insert(message.to_owned(), std::mem::take(&mut comment));
            }
            None => {}
        }
    }
    comments
}

#[test]
fn answers_and_refusals_are_documented_as_the_code_says_them_and_exist() {
    let codes: BTreeSet<String> = Code::ALL.iter().map(|code| format!("{code:?}")).collect();
    for (file, name, answers_of) in [
        ("wire/client_tracker.rs", "Request", "Reply"),
        ("wire/peer.rs", "PeerRequest", "PeerReply"),
        ("wire/tracker_tracker.rs", "LinkMessage", "LinkMessage"),
    ] {
        let answers: BTreeSet<String> =
            documented_messages(answers_of).into_iter().map(|message| message.name).collect();
        let comments = comments_in_source(file, name);
        let messages = documented_messages(name);
        assert_eq!(comments.len(), messages.len());
        for Variant { number, name: message, .. } in messages {
            let text = section(&format!("{name} {number}: `{message}`")).join(" ");
            for word in ["Answer:", "Refusals:"] {
                assert_eq!(names_behind(word, &text), names_behind(word, &comments[&message]), "{message}");
            }
            let (answer, refusals) = (names_behind("Answer:", &text), names_behind("Refusals:", &text));
            // Most messages of an enum for both directions are not requests.
            let asks = name != answers_of || !answer.is_empty();
            assert!(answer.len() == usize::from(asks) && answer.is_subset(&answers), "{message}: {answer:?}");
            assert!(refusals.is_subset(&codes), "{message}: {refusals:?}");
        }
    }
}

#[test]
fn links_inside_the_document_lead_somewhere() {
    let document = document();
    let anchor = |heading: &str| -> String {
        let kept =
            heading.to_lowercase().chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c)).collect::<String>();
        kept.replace(' ', "-")
    };
    let headings: BTreeSet<String> = document
        .lines()
        .filter(|line| line.starts_with('#'))
        .map(|line| anchor(line.trim_start_matches('#').trim()))
        .collect();
    for link in document.split("](#").skip(1).map(|rest| rest.split(')').next().unwrap_or(rest)) {
        assert!(headings.contains(link), "#{link}");
    }
}
