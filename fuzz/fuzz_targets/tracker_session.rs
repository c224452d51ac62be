#![no_main]

groupshare_fuzz::target!("tracker_session");
