//! The dialect for programs, as they see it: what docs/JSON.md promises, and beside clients.

mod document;
mod notices;
mod outcomes;
mod programs;
