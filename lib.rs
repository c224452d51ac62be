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
    pub mod path_text;
    pub mod piece;
    pub mod tracker_list;
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
    pub mod commit;
    pub mod console;
    pub mod core;
    pub mod data_dir;
    pub mod journal;
    pub mod json;
    pub mod ledger;
    pub mod manifests;
    /// The door: listening, and the threads of connections.
    pub mod net {
        pub mod connections;
        pub mod listener;
    }
    pub mod notifier;
    /// What this tracker knows of the other trackers.
    pub mod peers {
        pub mod feed;
        pub mod log_throttle;
        pub mod replica;
        pub mod state_digest;
        pub mod table;
        pub mod version_vector;
        pub mod wakeup;
    }
    pub mod presence;
    pub mod program;
    /// Messages that clients did not ask for.
    pub mod push {
        pub mod line;
        pub mod login_registry;
        pub mod push_channel;
        pub mod slow_consumers;
    }
    /// The links to other trackers.
    pub mod replication {
        pub mod dialer;
        pub mod link;
        pub mod outgoing;
    }
    pub mod server;
    pub mod session;
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
        pub mod download;
        pub mod download_list;
        pub mod event_loop;
        pub mod executor;
        pub mod login;
        pub mod login_session;
        pub mod names;
        pub mod node;
        pub mod resume;
        pub mod share;
        pub mod status;
        pub mod watch;
    }
    /// Getting pieces from peers.
    pub mod download {
        pub mod dialer;
        pub mod engine;
        pub mod live;
        pub mod liveness;
        pub mod peer_connection;
        pub mod peer_list;
        pub mod verify;
        pub mod whole_hash;
    }
    /// The prompt: reading lines and carrying them out one by one.
    pub mod shell {
        pub mod completer;
        pub mod editor;
        pub mod history;
        pub mod prompt;
        pub mod repl;
    }
    /// Giving pieces to peers.
    pub mod upload {
        pub mod leases;
        pub mod seeder;
        pub mod served;
        pub mod stats;
    }
    /// What is remembered from run to run.
    pub mod state {
        pub mod dir;
        pub mod file;
        pub mod pins;
        pub mod record;
    }
    /// What is said, as words or JSON.
    pub mod output {
        pub mod event;
        pub mod json;
        pub mod report;
        pub mod reporter;
        pub mod status;
    }
    /// What a line asks for.
    pub mod command {
        pub mod completion;
        pub mod failure;
        pub mod json;
        pub mod parse;
        pub mod table;
    }
    /// Content on this disk.
    pub mod storage {
        pub mod file_stamp;
        pub mod import;
        pub mod open_files;
        pub mod part;
        pub mod share_tree;
        pub mod shared_files;
    }
    /// How fast: measuring it and keeping to it.
    pub mod rate {
        pub mod downlink;
        pub mod fair_queue;
        pub mod limit;
        pub mod speed;
        pub mod token_bucket;
        pub mod uplink;
    }
    /// Requests to a tracker and their replies.
    pub mod rpc {
        pub mod error;
        pub mod found;
        pub mod link;
        pub mod moved;
        pub mod pending;
        pub mod queries;
    }
    /// Which piece to ask of whom. Pure.
    pub mod picker {
        pub mod availability;
        pub mod partition;
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
        pub mod colour;
        pub mod interrupt;
        pub mod line_reader;
        pub mod page;
        pub mod password;
        pub mod writer;
    }
}

/// Ctrl-C, and the wish from outside that the program end.
pub mod signals;

/// Locks and threads that a schedule explorer can stand in for.
pub mod sync;

/// System calls that the standard library lacks.
pub mod sys;
