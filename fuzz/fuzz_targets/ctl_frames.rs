#![no_main]

groupshare_fuzz::target!("ctl_frames");
