//! Group-based peer-to-peer file sharing for people on their own network.
//!
//! The map of the house; docs/ARCHITECTURE.md walks through it. Arrow: `model <- wire <- {tracker, client} <- programs`.
//! `tracker` and `client` never import each other. Pure rooms touch no socket, file or clock.

/// What the words of the system mean. Pure.
pub mod model {
    pub(crate) mod address;
    pub mod bitfield;
    pub mod digest;
    pub(crate) mod escape;
    pub mod exit;
    pub mod id;
    pub mod manifest;
    pub mod name;
    pub mod notice;
    pub mod op;
    pub mod path;
    pub(crate) mod path_text;
    pub mod piece;
    pub mod tracker_list;
    pub(crate) mod units;
}

/// The protocol: frames, codec, secure channel, dialects.
pub mod wire;

/// The program that keeps accounts, groups and who shares what.
pub mod tracker {
    pub mod admission;
    pub mod args;
    /// Who may come in: the cluster key and what it gives, passwords, how often somebody may try.
    pub mod auth {
        pub mod cluster_key;
        pub mod password;
        pub mod throttle;
    }
    /// What this tracker knows of the other trackers.
    pub mod cluster {
        pub(crate) mod cluster_view;
        pub mod feed;
        pub(crate) mod live_link;
        pub(crate) mod local_tracker;
        pub(crate) mod log_throttle;
        pub mod other_tracker;
        pub(crate) mod state_digest;
        pub(crate) mod tracker_table;
        pub mod version_vector;
        pub mod wakeup;
    }
    pub mod commit;
    pub mod console;
    pub(crate) mod core;
    pub mod data_dir;
    pub mod journal;
    pub mod json;
    pub mod ledger;
    pub(crate) mod manifests;
    /// Accepting connections, and the thread of each.
    pub mod net {
        pub(crate) mod connections;
        pub mod listener;
    }
    pub(crate) mod notifier;
    pub mod presence;
    pub mod program;
    /// Messages that clients did not ask for.
    pub(crate) mod push {
        pub(crate) mod close_handle;
        pub(crate) mod login_registry;
        pub(crate) mod push_channel;
        pub(crate) mod slow_consumers;
    }
    /// The links to other trackers.
    pub(crate) mod replication {
        pub(crate) mod link;
        pub(crate) mod link_dialer;
        pub(crate) mod link_error;
        mod link_receiver;
        mod link_sender;
    }
    pub mod server;
    pub(crate) mod session;
    pub mod state;
    pub mod warn;
}

/// The program that members run.
pub mod client {
    pub mod args;
    pub mod keyring;
    pub mod start;

    /// The running client, and what each command does.
    pub mod app {
        pub(crate) mod announce;
        pub(crate) mod download;
        pub mod download_list;
        pub mod event_loop;
        pub mod executor;
        pub mod login;
        pub mod login_session;
        pub(crate) mod names;
        pub mod node;
        pub(crate) mod restore;
        pub(crate) mod resume;
        pub mod share;
        pub(crate) mod status;
        pub(crate) mod watch;
    }
    /// Getting pieces from peers.
    pub mod download {
        pub(crate) mod dialer;
        pub mod engine;
        pub mod error;
        pub(crate) mod lie;
        pub(crate) mod liveness;
        pub(crate) mod peer_connection;
        pub(crate) mod peer_list;
        pub mod transfer;
        pub mod verify;
        pub mod whole_hash;
    }
    /// The prompt: reading lines and carrying them out one by one.
    pub mod shell {
        pub(crate) mod completer;
        pub(crate) mod editor;
        pub(crate) mod history;
        pub(crate) mod input;
        pub(crate) mod prompt;
        pub mod repl;
    }
    /// Giving pieces to peers.
    pub mod upload {
        pub mod admission;
        pub mod catalog;
        pub mod event;
        pub mod leases;
        pub mod seeder;
        pub mod served;
        pub(crate) mod session;
        pub(crate) mod stats;
    }
    /// What is remembered from run to run.
    pub mod state {
        pub mod dir;
        pub mod file;
        pub mod pins;
        pub(crate) mod record;
        pub mod slot;
    }
    /// What is said, as words or JSON.
    pub mod output {
        pub(crate) mod event;
        pub(crate) mod json;
        pub(crate) mod report;
        pub mod reporter;
        pub(crate) mod status;
    }
    /// What a line asks for.
    pub mod command {
        pub(crate) mod completion;
        pub(crate) mod failure;
        pub mod json;
        pub mod parse;
        pub mod table;
    }
    /// Content on this disk.
    pub mod storage {
        pub(crate) mod file_map;
        pub mod file_stamp;
        pub mod import;
        pub(crate) mod import_error;
        pub(crate) mod open_files;
        pub mod part;
        pub mod piece_source;
        pub(crate) mod share_tree;
        pub mod shared_files;
    }
    /// How fast: measuring it and keeping to it.
    pub mod rate {
        pub mod downlink;
        pub(crate) mod fair_queue;
        pub mod limit;
        pub(crate) mod speed;
        pub(crate) mod token_bucket;
        pub mod uplink;
    }
    /// Requests to a tracker and their replies.
    pub mod rpc {
        pub mod error;
        pub mod link;
        pub(crate) mod pending;
        pub(crate) mod queries;
    }
    /// Which piece to ask of whom. Pure.
    pub mod picker {
        pub(crate) mod availability;
        pub(crate) mod partition;
        pub mod piece_picker;
        pub mod split_mix;
    }
    /// SHA-1 at full speed.
    pub mod hash {
        pub mod piece_hash;
        pub mod sha1_pair;
    }
    /// The terminal as a device.
    pub mod terminal {
        pub(crate) mod colour;
        pub mod interrupt;
        pub(crate) mod line_reader;
        pub(crate) mod page;
        pub(crate) mod password;
        pub mod writer;
    }
}

/// Ctrl-C, and the wish from outside that the program end.
pub mod signals;

/// Locks and threads that a schedule explorer can stand in for.
pub mod sync;

/// The operating system: files, sockets, threads, and calls that the standard library lacks.
pub mod sys;
