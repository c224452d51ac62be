//! The state as bytes, in one canonical form. Trackers compare it, and base states and checkpoints keep it.
//!
//! It holds only the tables of facts. Each is a count of eight bytes and its rows, in the order of their keys or
//! numbers. The rest (names, owners, who is where, what each op made) follows from them. In a table with holes each
//! row comes with its number.

mod decode;
mod encode;

/// The version of the form.
const VERSION: u16 = 11;
