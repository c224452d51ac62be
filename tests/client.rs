//! Whole clients, driven by commands as the prompt would, against a tracker in this process.

mod common;

use common::relay::Relay;
use common::{LONG, TestTracker, fingerprint, silent_tracker};
use groupshare::client::command::{Surroundings, Typed, parse};
use groupshare::client::link::CallError;
use groupshare::client::login;
