//! The JSON dialect, as programs use it: the promises of docs/JSON.md, and its use beside clients.

mod document;
mod notices;
mod outcomes;
mod programs;
