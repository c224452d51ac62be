"""What the benches run of libtorrent. Without encryption; nobody is looked for. An ADDR is IP:PORT.

give ADDR FOLDER TORRENT CAP       seeds with CAP bytes per second, 0 for no limit, and says `ready`
take ADDR FOLDER TORRENT ADDR...   says `ready`; at a line of input fetches from those, says `done` when all is verified,
                                   and `written` when the file has it; gives to others all the time
swarm FOLDER TORRENT CAP COUNT     seeds FOLDER with CAP bytes per second to COUNT members of this same process, who fetch
                                   at once; says how many seconds that took, and how many bytes the seeder sent
"""

import os
import sys
import time

import libtorrent as lt


def session(listen="127.0.0.1:0", upload=0):
    settings = lt.high_performance_seed()
    settings.update(
        listen_interfaces=listen, enable_dht=False, enable_lsd=False, enable_upnp=False,
        enable_natpmp=False, enable_incoming_utp=False, enable_outgoing_utp=False, in_enc_policy=2, out_enc_policy=2,
        allow_multiple_connections_per_ip=True, download_rate_limit=0, upload_rate_limit=upload,
        unchoke_slots_limit=50 if upload else -1, connections_limit=500, connection_speed=500, mixed_mode_algorithm=0,
        max_out_request_queue=3000, max_allowed_in_request_queue=4000, max_queued_disk_bytes=64 << 20, aio_threads=4,
        hashing_threads=2, smooth_connects=False, rate_limit_ip_overhead=False, torrent_connect_boost=50,
        alert_mask=lt.alert.category_t.status_notification | lt.alert.category_t.storage_notification)
    made = lt.session(settings)
    if upload:
        # Without this, libtorrent ignores limits between peers on the same network.
        every = lt.ip_filter()
        every.add_rule("0.0.0.0", "255.255.255.255", 1 << lt.session.global_peer_class_id)
        made.set_peer_class_filter(every)
    return made


def add(to, folder, torrent, seed):
    params = lt.add_torrent_params()
    params.ti = lt.torrent_info(torrent)
    params.save_path = folder
    flags = lt.torrent_flags
    params.flags = flags.override_trackers | (flags.seed_mode if seed else flags.default_flags)
    params.flags &= ~(flags.paused | flags.auto_managed)
    params.storage_mode = lt.storage_mode_t.storage_mode_allocate
    return to.add_torrent(params)


def give(listen, folder, torrent, cap):
    giver = session(listen, int(cap))
    add(giver, folder, torrent, True)
    print("ready", flush=True)
    sys.stdin.read()


def take(listen, folder, torrent, *addrs):
    taker = session(listen)
    print("ready", flush=True)
    sys.stdin.readline()
    handle = add(taker, folder, torrent, False)
    for addr in addrs:
        host, port = addr.split(":")
        handle.connect_peer((host, int(port)))
    wait_for(taker, lt.torrent_finished_alert)
    print("done", flush=True)
    handle.flush_cache()
    wait_for(taker, lt.cache_flushed_alert)
    print("written", flush=True)
    sys.stdin.read()


def wait_for(of, kind):
    found = False
    while not found:
        of.wait_for_alert(500)
        found = any(isinstance(alert, kind) for alert in of.pop_alerts())


def swarm(folder, torrent, cap, count):
    giver = session(upload=int(cap))
    given = add(giver, folder, torrent, True)
    takers = [session() for _ in range(int(count))]
    ports = [one.listen_port() for one in [giver] + takers]
    start = time.monotonic()
    handles = []
    for number, taker in enumerate(takers):
        own = os.path.join(folder, "taker-%d" % number)
        os.mkdir(own)
        handles.append(add(taker, own, torrent, False))
    for taker, handle in zip(takers, handles):
        for port in ports:
            if port != taker.listen_port():
                handle.connect_peer(("127.0.0.1", port))
    while not all(handle.status().is_seeding for handle in handles):
        time.sleep(0.02)
    print("took %.3f" % (time.monotonic() - start))
    print("sent %d" % given.status().total_upload, flush=True)
    for taker, handle in zip(takers, handles):
        handle.flush_cache()
        wait_for(taker, lt.cache_flushed_alert)
    print("written", flush=True)
    os._exit(0)


{"give": give, "take": take, "swarm": swarm}[sys.argv[1]](*sys.argv[2:])
