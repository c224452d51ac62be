//! Answers to an operator: rows, as words and as JSON, and the outcome of a command.

use crate::model::escape::escape;
use serde_json::{Value, json};
use unicode_width::UnicodeWidthStr;

/// One line of an answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// For people. May have several lines. Characters that deceive a terminal are escaped.
    pub words: String,
    /// For programs: one object.
    pub json: Value,
}

impl Row {
    pub fn new(words: impl Into<String>, json: Value) -> Self {
        let words: Vec<_> = words.into().split('\n').map(|line| escape(line).into_owned()).collect();
        Self { words: words.join("\n"), json }
    }

    /// The answer that a change was made.
    pub fn success(words: impl Into<String>) -> Self {
        let words = words.into();
        let json = json!({"status": "success", "message": words});
        Self::new(words, json)
    }

    /// Rows with aligned fields.
    pub fn table(rows: Vec<(Vec<String>, Value)>) -> Vec<Self> {
        let shown = |fields: Vec<String>| fields.iter().map(|field| escape(field).into_owned()).collect::<Vec<_>>();
        let rows: Vec<_> = rows.into_iter().map(|(fields, json)| (shown(fields), json)).collect();
        let fields = rows.iter().map(|(fields, _)| fields.len()).max().unwrap_or_default();
        let width = |at: usize| rows.iter().filter_map(|(row, _)| row.get(at)).map(|field| field.width()).max();
        let widths: Vec<usize> = (0..fields).map(|at| width(at).unwrap_or_default()).collect();
        let row = |(fields, json): (Vec<String>, Value)| {
            let mut words = String::new();
            for (field, width) in fields.iter().zip(&widths) {
                words.push_str(field);
                words.extend(std::iter::repeat_n(' ', width + 2 - field.width()));
            }
            Self { words: words.trim_end().to_owned(), json }
        };
        rows.into_iter().map(row).collect()
    }
}

/// The outcome of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    Done,
    Refused(CommandRefusal),
    /// The tracker is restarting. Nothing was done.
    Restarting,
    /// The tracker is to stop.
    Quit,
    /// The operator is no longer there to take the answer.
    Gone,
}

/// Why a command was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandRefusal {
    /// For programs: a name from the table of refusals.
    pub code: String,
    /// For people, in one line.
    pub words: String,
}

impl CommandRefusal {
    pub fn json(&self) -> Value {
        json!({"status": "error", "code": self.code, "message": self.words})
    }
}

/// The words while the tracker is restarting.
pub const RESTARTING: &str = "the tracker is starting anew, try again";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_hides_characters_is_spelled_out_for_people_and_whole_for_programs() {
        let hidden = "f\u{200b}\u{e0041}\u{2800}";
        let json = json!({"file": hidden});
        let rows = [
            Row::new(format!("{hidden}\nnext"), json.clone()),
            Row::table(vec![(vec![hidden.to_owned(), "next".to_owned()], json.clone())]).remove(0),
        ];
        for (row, between) in rows.iter().zip(["\n", "  "]) {
            assert_eq!(row.words, format!(r"f\u{{200b}}\u{{e0041}}\u{{2800}}{between}next"));
            assert_eq!(row.json, json);
        }
        assert!(!Row::success(hidden).words.contains('\u{200b}'));
    }

    #[test]
    fn the_fields_of_a_table_stand_below_each_other() {
        let row = |fields: &[&str]| (fields.iter().map(|field| (*field).to_owned()).collect(), Value::Null);
        let rows = Row::table(vec![row(&["a", "1", "x"]), row(&["日本", "10"]), row(&[])]);
        let words: Vec<&str> = rows.iter().map(|row| row.words.as_str()).collect();
        assert_eq!(words, ["a     1   x", "日本  10", ""]);
    }
}
