//! The dialect for programs, as they see it: what docs/JSON.md promises, and beside clients.

mod common;
#[path = "json/document.rs"]
mod document;
#[path = "json/programs.rs"]
mod programs;
