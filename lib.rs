//! Group-based peer-to-peer file sharing for people on their own network.
//!
//! This is the map: a sentence for each room, and the files in it. Arrows lead down only. The programs name `client`
//! or `tracker`, which never name each other. Both of these name `wire` and `rate`, and these two name `model`. Pure
//! rooms touch no socket, file, clock, thread or lock. docs/ARCHITECTURE.md walks through all of it and explains the
//! words.

/// The meaning of the system's words: checked names and addresses, ids, ops, pieces, manifests, amounts in words.
/// Pure.
pub mod model {
    pub mod address;
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
    pub mod piece;
    pub mod piece_set;
    pub mod tracker_list;
    pub(crate) mod units;
}

/// How fast bytes may pass: limits such as `20M`, and the limiter that members share fairly. Also how often an event
/// may happen, and whose turn it is.
pub mod rate {
    pub mod buckets;
    pub mod fair_queue;
    pub mod limit;
    pub(crate) mod nested_turns;
    pub mod token_bucket;
    pub(crate) mod turn_queue;
    pub mod uplink;
}

/// The protocol: frames, codec, encryption, and a file for each dialect.
pub mod wire;

/// The program that keeps accounts, groups and shares.
pub mod tracker {
    /// Limits the connections: in all, before login, and from one address.
    pub mod admission;
    /// The command line.
    pub mod args;
    /// Who changed what and when: lines of JSON in a folder of their own.
    pub mod audit;
    /// Who may come in: passwords, limits on attempts, the cluster key, and the keys derived from it, such as a
    /// group's.
    pub mod auth {
        pub mod cluster_key;
        mod known_places;
        mod login_pace;
        pub mod login_throttle;
        pub mod passwords;
        pub mod session_token;
    }
    /// A copy of everything as a stream: `snapshot` writes it while the tracker runs, `restore` makes a data folder
    /// from it.
    pub mod backup {
        pub mod restore;
        pub mod snapshot;
        pub mod stream;
    }
    /// What a tracker knows of the others: who they are, version vectors of what each has, what is new for them.
    pub mod cluster {
        pub(crate) mod base_slot;
        pub(crate) mod cluster_view;
        pub mod feed;
        pub(crate) mod live_link;
        pub(crate) mod local_tracker;
        pub(crate) mod log_throttle;
        mod number_clashes;
        pub mod other_tracker;
        pub(crate) mod sign_of_life;
        pub(crate) mod state_digest;
        pub(crate) mod tracker_table;
        pub mod version_vector;
        pub mod wakeup;
    }
    /// The way of a change: into the ledger, durable in a batch with others, then published and answered.
    pub mod commit;
    /// The operator's commands on standard input.
    pub mod console;
    /// The parts that every session uses, in one place.
    pub(crate) mod core;
    /// The folder of a tracker's data, locked while it runs.
    pub mod data_dir;
    /// The rules by which trackers agree on a floor, and which ops have a place above one. Pure.
    pub mod floor;
    /// The log of ops on disk: `writer` makes a batch durable, `plan` finds where a start begins, `recovery` reads it.
    pub mod journal;
    /// The dialect for programs in any language: lines of JSON, carried out by the same sessions.
    pub mod json;
    /// All ops in their order: `accept` accepts a change or refuses it, `refold` puts late ones in their place. Pure.
    pub mod ledger;
    /// Lines on standard error: levels, pairs of name and value, and a rate limit for each kind of event.
    pub mod log;
    /// Manifests as files, by info hash. Missing ones come from other trackers.
    pub(crate) mod manifests;
    /// Metrics for a monitoring system, and the health of this tracker, over HTTP.
    pub mod metrics;
    /// Accepts connections and gives each a thread; `admission` limits how many.
    pub mod net {
        pub(crate) mod connections;
        mod ignored_places;
        pub mod listener;
    }
    /// Writes to clients what has become durable: the replies owed for it, and pushed messages.
    pub(crate) mod notifier;
    /// What an operator watches a tracker by, in one place: the log, the audit, the metrics, and the limits of users.
    pub mod oversight;
    /// Who is online, at which address, with which pieces: soft state, never on disk.
    pub mod presence;
    /// Checks whether clients can be reached, on threads of its own.
    pub(crate) mod prober;
    /// How the program starts, what it waits for, and how it ends.
    pub mod program;
    /// Connections as other threads write to them: which client is logged in on which; `slow_consumers` cuts off slow
    /// clients.
    pub(crate) mod push {
        pub(crate) mod close_handle;
        pub(crate) mod followers;
        pub(crate) mod login_registry;
        pub(crate) mod push_channel;
        pub(crate) mod slow_consumers;
        pub(crate) mod untold_notices;
    }
    /// Passes sealed bytes between two members who found no other way: tickets, places, and pairs of connections.
    pub mod relay;
    /// The links to other trackers: calls them, takes their ops, sends what they lack.
    pub(crate) mod replication {
        mod base_transfer;
        pub(crate) mod link;
        pub(crate) mod link_dialer;
        pub(crate) mod link_error;
        mod link_receiver;
        mod link_sender;
        mod seen_parts;
        mod sent_wishes;
    }
    /// What an operator may ask: one table, its parser, the socket, and the program at the other end.
    pub mod operator {
        pub mod answer;
        pub mod command;
        pub mod ctl;
        pub mod ctl_args;
        pub mod dialogue;
        pub mod door;
        pub mod frame;
        pub mod table;
    }
    /// Whose request is carried out next: turns by network and user, so that no client takes the processor from
    /// others.
    pub mod request_turns;
    /// How a part of the running tracker asks its program for a restart.
    pub mod restart;
    /// A running tracker: starts its threads, cleans up, moves the floor, stops them. `kept_server` restarts it.
    pub mod server;
    /// One client's requests and replies, a file for each subject; `holdings` checks an announced address.
    pub(crate) mod session;
    /// The fold of all ops: accounts, groups, shares, notices. Pure.
    pub mod state;
    /// How any room tells the operator that something is wrong.
    pub mod warn;
}

/// The program that members run.
pub mod client {
    /// The command line.
    pub mod args;
    /// The keys of the user's groups, which a tracker derives and gives out.
    pub mod keyring;
    /// Puts the client together, runs the prompt, and takes it apart again.
    pub mod start;

    /// The running client: what each command does. `event_loop` has the work without a command, such as heartbeats.
    pub mod app {
        pub(crate) mod announce;
        pub(crate) mod download;
        pub mod download_list;
        pub mod event_loop;
        pub mod executor;
        mod listing;
        /// Keeps folders in step. `keeper` shares the changes in a folder and ends shares of removed files.
        /// `follow_keeper` fetches what a group shares.
        pub(crate) mod folders {
            pub(crate) mod commands;
            pub(crate) mod follow_commands;
            pub(crate) mod follow_keeper;
            pub(crate) mod follow_register;
            mod followed;
            pub(crate) mod keeper;
            pub(crate) mod register;
            mod shared_folder;
        }
        pub mod login;
        pub mod login_session;
        pub(crate) mod names;
        pub mod node;
        pub(crate) mod parts;
        pub(crate) mod restore;
        pub(crate) mod resume;
        pub mod share;
        pub(crate) mod status;
        /// Looks after the user's shares: reports missing or changed files, looks for them again, reads them again.
        pub(crate) mod upkeep {
            mod complaints;
            mod inspection;
            pub(crate) mod keeper;
            mod news;
            pub(crate) mod register;
            pub(crate) mod standing;
        }
        pub(crate) mod watch;
    }
    /// Folders in step with a group: which files have a place there, when a file is at rest, and what happens to the
    /// others.
    pub mod folder {
        pub mod following;
        pub(crate) mod node;
        pub(crate) mod place;
        pub(crate) mod settling;
        pub(crate) mod tree;
    }
    /// Gets pieces from peers. `peer_list` decides which peers to dial, how long to back off, and which to ban for a
    /// lie.
    pub mod download {
        mod blame;
        pub mod dial_pace;
        pub(crate) mod dialer;
        pub mod engine;
        pub mod error;
        pub(crate) mod lie;
        pub mod obstacle;
        pub(crate) mod opening;
        pub mod patching;
        pub mod peer_connection;
        pub mod peer_list;
        pub mod transfer;
        pub mod verify;
        pub mod whole_hash;
    }
    /// What an old version has of a new one. `rolling` digests blocks, `block_index` finds them, `patch` puts pieces
    /// together. `testimony` finds the peers that lied about them.
    pub mod difference {
        pub mod block_index;
        pub mod gathering;
        pub mod old_version;
        pub mod patch;
        pub mod piece_ask;
        pub mod rolling;
        mod testimony;
    }
    /// The prompt: reads lines with editing, history and completion, and carries them out one by one.
    pub mod shell {
        pub(crate) mod completer;
        pub(crate) mod editor;
        pub(crate) mod hidden_line;
        pub(crate) mod history;
        pub(crate) mod input;
        pub(crate) mod prompt;
        pub mod repl;
    }
    /// Gives pieces to peers: who asks, what there is to give, and what is on its way already.
    pub mod upload {
        pub mod admission;
        pub mod catalog;
        pub mod event;
        pub mod given;
        pub mod leases;
        mod origin;
        mod place;
        /// Which pieces a scarce uplink gives to whom, and when.
        pub mod scarcity {
            mod breadth;
            pub mod freshness;
            pub mod piece_row;
            pub mod put_offs;
            pub(super) mod row_place;
        }
        pub mod seeder;
        pub mod served;
        pub(crate) mod session;
        pub(crate) mod stats;
        mod turns;
        mod waiting_line;
    }
    /// What the client remembers from run to run: shares, unfinished downloads, pinned keys.
    pub mod state {
        pub(crate) mod change;
        pub mod dir;
        pub mod file;
        pub(crate) mod folders;
        pub mod follow_log;
        pub mod pins;
        pub(crate) mod record;
        pub(crate) mod record_log;
        pub(crate) mod record_table;
        pub mod slot;
        pub(crate) mod takeover;
        pub mod told;
    }
    /// What the client says, as words or JSON: results, events, and in `status` the lines of downloads and uploads.
    /// `line_pace` limits how many lines others cause.
    pub mod output {
        pub mod download_failure;
        pub(crate) mod event;
        pub(crate) mod json;
        pub(crate) mod line_pace;
        pub(crate) mod report;
        pub mod reporter;
        pub(crate) mod status;
    }
    /// What a typed or JSON line asks for: parsing, the table of commands, possible completions.
    pub mod command {
        pub(crate) mod completion;
        pub(crate) mod failure;
        pub mod json;
        pub mod parse;
        pub mod table;
        pub mod types;
    }
    /// Content on this disk: hashing and reading shares; `part` is an unfinished download up to its final name.
    pub mod storage {
        pub(crate) mod file_map;
        pub mod file_stamp;
        pub(crate) mod holes;
        pub mod import;
        pub(crate) mod import_error;
        pub mod left_out;
        pub(crate) mod local_name;
        pub(crate) mod open_files;
        pub mod part;
        pub mod piece_source;
        pub mod selection;
        pub mod share_tree;
        pub mod shared_files;
        pub mod sighting;
    }
    /// How fast downloads may go, and how fast they were.
    pub mod rate {
        pub mod downlink;
        pub(crate) mod speed;
    }
    /// Ways to other members: addresses, dialing, calls, punching, relay.
    pub mod reach {
        pub mod answerer;
        pub(crate) mod call_queue;
        pub(crate) mod call_turns;
        pub mod calls;
        pub mod eyeballs;
        pub(crate) mod gone;
        pub mod identity;
        pub mod interfaces;
        pub mod port;
        pub(crate) mod punch;
        pub mod reacher;
        pub mod relay;
        pub mod unreached;
        pub mod way;
    }
    /// Requests to a tracker and their replies, many at a time; `queries` finds a share, even after it was renamed.
    pub mod rpc {
        pub mod error;
        pub mod event;
        pub mod keeper;
        pub mod link;
        pub(crate) mod link_state;
        pub(crate) mod pending;
        pub(crate) mod queries;
        pub(crate) mod request_window;
    }
    /// Which piece to request next, and from which peer. Pure.
    pub mod picker {
        pub(crate) mod availability;
        pub mod lane;
        pub(crate) mod partition;
        pub mod piece_picker;
        pub mod split_mix;
    }
    /// SHA-1 at full speed.
    pub mod hash {
        pub mod piece_hash;
        pub mod sha1_lanes;
        pub mod zeros;
    }
    /// The terminal as a device: `writer` keeps messages out of the typed line, `password` switches the echo off.
    pub mod terminal {
        pub(crate) mod colour;
        pub mod interrupt;
        pub(crate) mod line_reader;
        pub(crate) mod page;
        pub(crate) mod pager;
        pub(crate) mod password;
        pub(crate) mod window;
        pub mod writer;
    }
}

/// Ctrl-C, and the wish from outside that the program end.
pub mod signals;

/// Locks, channels and threads, which a schedule explorer can replace.
pub mod sync;

/// The operating system: durable files, sockets, threads, random bytes, and calls that the standard library lacks.
pub mod sys;
