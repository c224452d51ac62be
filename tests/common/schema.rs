//! A JSON validator for the keywords in docs/client.schema.json (JSON Schema, draft 2020-12). It panics at any other
//! keyword, so that it ignores no part of the schema.

use serde_json::{Map, Value};
use std::fs;
use std::path::Path;

/// Keywords that do not affect validity.
const NOTES: [&str; 5] = ["$schema", "$id", "title", "description", "$defs"];

/// A parsed schema.
pub(crate) struct Schema(Value);

impl Schema {
    /// The schema of this project.
    pub(crate) fn of_client() -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/client.schema.json");
        let text = fs::read_to_string(path).expect("docs/client.schema.json");
        Self(serde_json::from_str(&text).expect("the schema is JSON"))
    }

    /// Its definitions.
    pub(crate) fn defs(&self) -> &Map<String, Value> {
        self.0["$defs"].as_object().expect("definitions")
    }

    /// Checks a value against the whole schema.
    pub(crate) fn check(&self, value: &Value) -> Result<(), String> {
        self.check_against(&self.0, value, "")
    }

    /// Checks a value against one of the definitions.
    pub(crate) fn check_as(&self, def: &str, value: &Value) -> Result<(), String> {
        let schema = self.defs().get(def).ok_or_else(|| format!("there is no definition {def}"))?;
        self.check_against(schema, value, "")
    }

    fn check_against(&self, schema: &Value, value: &Value, at: &str) -> Result<(), String> {
        let keywords = schema.as_object().expect("a schema is an object");
        for (keyword, says) in keywords {
            let is_valid = match keyword.as_str() {
                "type" => is_of_type(says, value),
                "const" => value == says,
                "enum" => list(says).contains(value),
                "minimum" => value.as_f64().is_none_or(|number| Some(number) >= says.as_f64()),
                "required" => list(says).iter().all(|name| value.get(text(name)).is_some()),
                "additionalProperties" => {
                    assert_eq!(says, false, "the only value that is understood");
                    let known = |name: &String| keywords["properties"].get(name).is_some();
                    value.as_object().is_none_or(|members| members.keys().all(known))
                }
                "properties" => {
                    for (name, of) in says.as_object().expect("an object") {
                        let Some(member) = value.get(name) else { continue };
                        self.check_against(of, member, &format!("{at}/{name}"))?;
                    }
                    true
                }
                "items" => {
                    for (number, item) in value.as_array().into_iter().flatten().enumerate() {
                        self.check_against(says, item, &format!("{at}/{number}"))?;
                    }
                    true
                }
                "$ref" => {
                    let def = text(says).strip_prefix("#/$defs/").expect("a definition of this schema");
                    return self.check_against(&self.defs()[def], value, at);
                }
                "anyOf" | "oneOf" => {
                    let tries = list(says).iter().map(|of| self.check_against(of, value, at));
                    let (valid, wrong): (Vec<_>, Vec<_>) = tries.partition(Result::is_ok);
                    if valid.is_empty() || keyword == "oneOf" && valid.len() > 1 {
                        return Err(format!("{at} is {} of {keyword}: {value}, {wrong:?}", valid.len()));
                    }
                    true
                }
                note => {
                    assert!(NOTES.contains(&note), "the validator does not know {note}");
                    true
                }
            };
            if !is_valid {
                return Err(format!("{at}: {value} is not as {keyword} {says}"));
            }
        }
        Ok(())
    }
}

fn list(value: &Value) -> &[Value] {
    value.as_array().expect("a list")
}

fn text(value: &Value) -> &str {
    value.as_str().expect("a text")
}

fn is_of_type(says: &Value, value: &Value) -> bool {
    let is = |name: &str| match name {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        "number" => value.is_number(),
        "integer" => value.is_i64() || value.is_u64(),
        other => panic!("no type is called {other}"),
    };
    says.as_str().map_or_else(|| list(says).iter().any(|name| is(text(name))), is)
}
