#![no_main]

groupshare_fuzz::target!("seeding_session");
