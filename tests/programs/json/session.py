"""A program written after docs/JSON.md, with nothing but the standard library: users, a group, a shared file, its pieces, and
everything that a tracker must not mind. Says `ok` and ends with 0, or says what was not as the page has it.

Usage: session.py IP PORT, where a tracker that nobody uses otherwise listens for programs.
"""

import hashlib
import json
import socket
import sys
import time

PIECE_LEN = 524288


class Program:
    """A connection to the tracker, of a program that listens for peers at a port."""

    def __init__(self, listens_at):
        self.socket = socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=60)
        self.lines = self.socket.makefile("rb")
        self.sender = {"sender_ip": self.socket.getsockname()[0], "sender_port": str(listens_at)}

    def say(self, line):
        """Writes a line as it is; gives the answer."""
        self.socket.sendall(line + b"\n")
        answer = self.lines.readline()
        assert answer.endswith(b"\n"), f"no answer to {line[:100]!r}"
        return json.loads(answer)

    def request(self, command, args, **members):
        return {"command": command, "command_args": args, **self.sender, **members}

    def ask(self, command, members={}, **args):
        return self.say(json.dumps(self.request(command, args, **members)).encode())

    def done(self, command, members={}, **args):
        answer = self.ask(command, members, **args)
        assert answer["status"] == "success", f"{command}: {answer}"
        del answer["status"]
        return answer

    def refused(self, command, message, members={}, **args):
        self.is_error(self.ask(command, members, **args), message)

    def is_error(self, answer, message):
        assert set(answer) == {"status", "message"} and answer["status"] == "error", answer
        assert answer["message"].startswith(message), f"{answer} instead of {message}"

    def log_in(self, user, password):
        self.done("create_user", user_id=user, passwd=password)
        assert self.done("login", user_id=user, passwd=password) == {"user_id": user}


def sha1(data):
    return hashlib.sha1(data).hexdigest()


def digests(data):
    pieces = [data[at : at + PIECE_LEN] for at in range(0, len(data), PIECE_LEN)]
    return {"piecewise_sha": [sha1(piece) for piece in pieces], "fileSha": sha1(data)}


def people():
    """Alice with a group, bob in it and carol who was turned down."""
    alice, bob, carol = Program(5000), Program(5001), Program(5002)
    alice.refused("list_groups", "Please login first")
    alice.refused("login", "Invalid username or password", user_id="alice", passwd="wonderland")
    alice.log_in("alice", "wonderland")
    alice.refused("login", "Already logged in", user_id="alice", passwd="wonderland")
    bob.refused("create_user", "User already exists: alice", user_id="alice", passwd="other")
    bob.log_in("bob", "builder")
    carol.log_in("carol", "käse")
    alice.done("create_group", group_id="lab")
    bob.refused("create_group", "Group already exists: lab", group_id="lab")
    bob.refused("list_files", "You are not a member of this group: lab", group_id="lab")
    for program in bob, carol:
        program.done("join_group", group_id="lab")
    bob.refused("join_group", "Join request already pending: lab", group_id="lab")
    assert alice.done("list_requests", group_id="lab") == {"requests": ["bob", "carol"], "more": False}
    assert alice.done("list_requests", group_id="lab", after="bob") == {"requests": ["carol"], "more": False}
    bob.refused("accept_request", "You are not a member of this group: lab", group_id="lab", user_id="bob")
    alice.done("accept_request", group_id="lab", user_id="bob")
    alice.done("reject_request", group_id="lab", user_id="carol")
    roles = {"alice": "owner", "bob": "member", "carol": "none"}
    for program, user in (alice, "alice"), (bob, "bob"), (carol, "carol"):
        group = {"group_id": "lab", "owner": "alice", "owners": 1, "members": 2, "access": "ask", "role": roles[user]}
        assert program.done("list_groups") == {"groups": [group], "more": False}
    told = bob.done("list_notices")
    assert told["notices"] == [{"notice": "request_accepted", "group_id": "lab"}], told
    assert carol.done("list_notices")["notices"] == [{"notice": "request_rejected", "group_id": "lab"}]
    assert alice.done("list_notices") == {"notices": [], "through": None}
    carol.done("read_notices", through=told["through"])
    assert len(carol.done("list_notices")["notices"]) == 1, "bob's text names none of carol's notices"
    for _ in range(2):
        bob.done("read_notices", through=told["through"])
        assert bob.done("list_notices") == {"notices": [], "through": None}
    for wrong in "", "1.1.1", told["through"] + "0":
        bob.refused("read_notices", "The message is malformed: through", through=wrong)
    members = bob.done("list_members", group_id="lab")["members"]
    assert members == [{"user_id": name, "owner": name == "alice", "online": 1} for name in ("alice", "bob")]
    return alice, bob, carol


def sharing(alice, bob, carol):
    """A file of three pieces, two of which are the same, is shared, found, and shared by bob too."""
    data = bytes(2 * PIECE_LEN) + b"the end"
    shas = digests(data)
    pieces = shas["piecewise_sha"]
    name = dict(group_id="lab", file_name="film.mkv")
    alice.done("upload_file", {**shas, "size": len(data)}, **name)
    carol.refused("download_file", "You are not a member of this group: lab", **name)
    bob.refused("download_file", "File does not exist in this group: other", group_id="lab", file_name="other")

    def found(*ports):
        holders = [["127.0.0.1", port] for port in ports]
        answer = bob.ask("download_file", **name)
        for sha in answer["chunk_metadata"]:
            answer["chunk_metadata"][sha].sort()
        assert answer == {
            "status": "success",
            "file_path": "film.mkv",
            "file_chunks": pieces,
            "chunk_metadata": {sha: holders for sha in set(pieces)},
        }, answer

    found("5000")
    bob.refused("upload_file", "Another file is shared under this name: film.mkv", {**digests(b"x"), "size": 1}, **name)
    bob.refused("upload_file", "The message is malformed: piecewise_sha does not", {**shas, "size": PIECE_LEN}, **name)
    bob.refused("stop_share", "You are not sharing this file: film.mkv", **name)
    bob.done("upload_file", {**shas, "size": len(data)}, **name)
    found("5000", "5001")
    file = {"file_name": "film.mkv", "size": len(data), "fileSha": shas["fileSha"], "files": 1, "sharers": 2, "online": 2}
    assert alice.done("list_files", group_id="lab") == {"files": [file], "more": False}
    bob.sender["sender_port"] = 6001
    found("5000", "6001")
    alice.done("logout")
    found("6001")
    alice.done("login", user_id="alice", passwd="wonderland")
    alice.done("stop_share", **name)
    bob.done("stop_share", **name)
    assert alice.done("list_files", group_id="lab") == {"files": [], "more": False}


def without_size(alice, bob):
    """The size of a file may be left out, and told by whoever shares it next."""
    data = b"how long is this?" * 50000
    shas = digests(data)
    name = dict(group_id="lab", file_name="unmeasured")
    alice.done("upload_file", shas, **name)
    assert alice.done("list_files", group_id="lab")["files"][0]["size"] is None
    assert bob.done("download_file", **name)["file_chunks"] == shas["piecewise_sha"]
    forged = {**shas, "piecewise_sha": shas["piecewise_sha"][::-1], "size": len(data)}
    bob.refused("upload_file", "Another file is shared under this name: unmeasured", forged, **name)
    bob.done("upload_file", {**shas, "size": len(data)}, **name)
    alice.done("upload_file", {**shas, "size": None}, **name)
    files = alice.done("list_files", group_id="lab")["files"]
    assert [(file["size"], file["sharers"], file["online"]) for file in files] == [(len(data), 2, 2)]
    empty = dict(group_id="lab", file_name="empty")
    alice.done("upload_file", digests(b""), **empty)
    answer = bob.done("download_file", **empty)
    assert answer == {"file_path": "empty", "file_chunks": [], "chunk_metadata": {}}
    assert alice.done("list_files", group_id="lab")["files"][0]["size"] == 0


def contradictions(alice):
    """A file of no or of one piece has the SHA-1 that this says, and no other."""
    name = dict(group_id="lab", file_name="crooked")
    nothing, little = digests(b""), digests(b"little")
    for shas in {**nothing, "fileSha": little["fileSha"]}, {**little, "fileSha": nothing["fileSha"]}:
        for size in {}, {"size": 6 * len(shas["piecewise_sha"])}:
            alice.refused("upload_file", "The message is malformed: fileSha is not the SHA-1 of", {**shas, **size}, **name)
    alice.refused("download_file", "File does not exist in this group: crooked", **name)


def whatever(program):
    """What no program should write gets one error each, and harms nobody."""
    malformed = "The message is malformed"
    good = json.dumps(program.request("heartbeat", {}))
    deep = "[" * 7000 + "]" * 7000
    for line in [
        b"", b" ", b"\0", b"\0" * 5000, b"{", b"}", b"null", b"[]", b"1", b"nan", b"{'a':1}", b"\xff\xfe{}", b"\xc3\x28",
        good.encode()[:-1], good.encode("utf-16"), good.encode() + b"x", deep.encode(), b'{"a":' * 2500,
        good.replace('"heartbeat"', '"heart\nbeat"').encode().replace(b"\n", b"\t"),
        good.replace('"heartbeat"', '"\\ud800"').encode(),
        good.replace('"heartbeat"', '"\\ud800"').encode()[:-1],
        good.replace('"heartbeat"', "7").encode(),
        good.replace('"heartbeat"', deep).encode(),
        good.replace("{}", "[]").encode(),
        good.replace("{}", '{"user_id":1e999}').encode(),
        good.replace('"command"', '"command":"logout","command"').encode(),
        good.replace('"command"', '"size":18446744073709551616,"command"').encode(),
        good.replace('"command"', '"size":' + "9" * 5000 + ',"command"').encode(),
        good.replace('"command"', '"fileSha":"xyz","command"').encode(),
        json.dumps({**json.loads(good), "sender_ip": "127.0.0.2"}).encode(),
        json.dumps({**json.loads(good), "sender_ip": "localhost"}).encode(),
        json.dumps({**json.loads(good), "sender_port": 65536}).encode(),
        json.dumps({**json.loads(good), "sender_port": [5000]}).encode(),
        json.dumps({**json.loads(good), "command_args": "none"}).encode(),
    ]:
        program.is_error(program.say(line), malformed)
    for member in json.loads(good):
        if member != "command_args":
            line = {key: value for key, value in json.loads(good).items() if key != member}
            program.is_error(program.say(json.dumps(line).encode()), malformed)
    program.is_error(program.say(good.replace("heartbeat", "fly").encode()), "The kind of message is unknown: fly")
    for args in {}, {"user_id": "x"}, {"user_id": None, "passwd": "x"}, {"user_id": ["x"], "passwd": "x"}, {"user_id": "a/b", "passwd": "x"}:
        program.refused("create_user", malformed, **args)
    program.refused("create_user", "A password has 1 to 1024 bytes", user_id="x", passwd="x" * 1025)
    for line in b"x" * 10_000_000, b'{"command":"' + b"x" * 10_000_000 + b'"}', b"\0" * 10_000_000:
        program.is_error(program.say(line), "The message is too large")
    program.done("heartbeat")
    # Several requests at once are answered in their order.
    program.socket.sendall((good + "\r\n" + "[]\n" + good + "\n").encode())
    answers = [json.loads(program.lines.readline())["status"] for _ in range(3)]
    assert answers == ["success", "error", "success"], answers


def farewell(alice, bob):
    """The end of a connection takes its program from the holders, and other commands do what they say."""
    alice.socket.close()
    alice.lines.close()
    other = Program(0)
    other.done("login", user_id="alice", passwd="wonderland")
    name = dict(group_id="lab", file_name="unmeasured")
    deadline = time.monotonic() + 60
    while any(holders != [["127.0.0.1", "6001"]] for holders in other.done("download_file", **name)["chunk_metadata"].values()):
        assert time.monotonic() < deadline, "a program that is gone still counts as a holder"
    other.refused("change_password", "Invalid username or password", old_passwd="x", new_passwd="y")
    other.done("change_password", old_passwd="wonderland", new_passwd="looking glass")
    other.refused("remove_member", "The owner leaves with leave_group", group_id="lab", user_id="alice")
    other.done("remove_member", group_id="lab", user_id="bob")
    bob.refused("list_files", "You are not a member of this group: lab", group_id="lab")
    other.done("leave_group", group_id="lab")
    assert other.done("list_groups") == {"groups": [], "more": False}
    other.done("logout")
    other.refused("logout", "Please login first")


alice, bob, carol = people()
sharing(alice, bob, carol)
without_size(alice, bob)
contradictions(alice)
whatever(Program(7000))
whatever(carol)
bob.done("list_groups")
farewell(alice, bob)
print("ok")
