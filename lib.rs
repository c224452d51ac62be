//! Group-based peer-to-peer file sharing for people on their own network.
//!
//! The map of the house; docs/ARCHITECTURE.md walks through it. Arrow: `model <- wire <- {tracker, client} <- programs`.
//! `tracker` and `client` never import each other. Pure rooms touch no socket, file or clock.

/// What the words of the system mean. Pure.
pub mod model {
    pub mod address;
    pub mod bitfield;
    pub mod digest;
    pub mod escape;
    pub mod exit;
    pub mod id;
    pub mod manifest;
    pub mod name;
    pub mod notice;
    pub mod op;
    pub mod path;
    pub mod piece;
    pub mod tracker_list;
}

/// The protocol: frames, codec, secure channel, dialects.
pub mod wire;

/// The program that keeps accounts, groups and who shares what.
pub mod tracker {
    pub mod accept;
    pub mod acceptor;
    pub mod args;
    pub mod checkpoint;
    pub mod commit;
    pub mod connections;
    pub mod console;
    pub mod core;
    pub mod data_dir;
    pub mod disk;
    pub mod herald;
    pub mod identity;
    pub mod journal;
    pub mod json;
    pub mod laggards;
    pub mod ledger;
    pub mod manifests;
    pub mod password;
    pub mod presence;
    pub mod program;
    pub mod replica;
    pub mod roster;
    pub mod seats;
    pub mod server;
    pub mod session;
    pub mod state;
    pub mod throttle;
    pub mod voice;
}

/// The program that members run.
pub mod client {
    pub mod account;
    pub mod args;
    mod call_error;
    pub mod candidates;
    mod colour;
    pub mod command;
    mod completion;
    pub mod dialer;
    pub mod download;
    pub mod downloads;
    mod editor;
    pub mod event;
    pub mod failure;
    pub mod fetch;
    pub mod file_stamp;
    mod file_stream;
    pub mod found;
    mod guide;
    pub mod hashing;
    mod hidden;
    mod history;
    pub mod json_command;
    pub mod json_report;
    pub mod keyring;
    mod known;
    pub mod limit;
    pub mod limit_downlink;
    pub mod limit_pace;
    pub mod limit_turns;
    pub mod limit_uplink;
    pub mod lines;
    pub mod link;
    pub mod listing;
    pub mod login;
    mod moved;
    pub mod node;
    mod own_share;
    mod page;
    pub mod part;
    mod part_error;
    pub mod passing;
    mod path_text;
    pub mod peer_link;
    pub mod picker;
    pub mod piece_hash;
    pub mod pins;
    mod place;
    pub mod progress;
    pub mod prompt;
    mod pulse;
    mod rarity;
    pub mod repl;
    mod replies;
    pub mod report;
    pub mod seeding;
    pub mod serving;
    pub mod session;
    pub mod sha1_pair;
    pub mod share_tree;
    pub mod sharing;
    mod sidecar;
    pub mod source;
    mod speed;
    pub mod split_mix;
    pub mod start;
    pub mod state_dir;
    mod state_file;
    mod state_record;
    pub mod steward;
    pub mod stop;
    pub mod stream_hash;
    pub mod swarm;
    pub mod takers;
    pub mod terminal;
    mod uploads;
    pub mod usage;
    pub mod verify;
    pub mod voice;
    mod waiting;
    pub mod waker;
    mod watch;
}

/// Ctrl-C, and the wish from outside that the program end.
pub mod signals;

/// Locks and threads that a schedule explorer can stand in for.
pub mod sync;

/// System calls that the standard library lacks.
pub mod sys;
