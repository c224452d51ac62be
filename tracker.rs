//! The tracker: arguments, start, exit code.

fn main() {}
