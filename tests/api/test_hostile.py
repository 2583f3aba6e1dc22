"""Hostile programs beside other tenants: what they do ends with them, and is told by the name of the limit."""

import http.client
import json
import os
import pathlib
import re
import signal
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests
import wasmtime

import hostile
from hostile import Attacker
from programs import GUESTS, guest
from realm_server import KEY, wait_until
from test_programs import TINY, Programs, new_key
from test_ws import Client

MAGIC = b"\0asm\1\0\0\0"
FIFTY_MB = 50 << 20
QUESTION = {"model": "smollm2", "prompt": "The sea was calm and the ship", "max_tokens": 48, "temperature": 0,
            "stream": True, "extra_body": {"ignore_eos": True}}


def answer(programs):
    """The text of a stream that must come to its end."""
    with programs.client() as client:
        chunks = list(client.completions.create(**QUESTION))
    assert chunks[-1].choices[0].finish_reason == "length"
    return "".join(chunk.choices[0].text for chunk in chunks)


def breaches(server, tenant):
    page = server.get("/metrics")[1].decode()
    return dict(re.findall(rf'^realm_sandbox_breaches_total{{tenant="{tenant}",limit="(\w+)"}} (\d+)$', page, re.M))


def is_told(server, kind):
    """Whether the log has a run's failure, with its limit."""
    limits = {end.limit or "" for end in (hostile.ENDS[kind], hostile.INSTEAD.get(kind, hostile.ENDS[kind]))}
    return any(line["event"] == "program_failed" and (line["tenant"], line["program"]) == ("evil", kind) and
               line["limit"] in limits for line in server.log())


def test_all_kinds_at_once_leave_another_tenant_its_answer(own_server):
    server = own_server()
    good = Programs(server, new_key(server, "good", "--scopes", "all"))
    evil = Programs(server, new_key(server, "evil", "--scopes", "all"))
    attacker, gone = Attacker(server.url, evil.key), threading.Event()
    attacker.push_all()
    quiet = answer(good)
    assert len(quiet) > 100
    ended = [kind for kind in hostile.KINDS if kind != "unread"]
    with ThreadPoolExecutor(len(hostile.KINDS)) as pool:
        unread = pool.submit(attacker.unread, gone)
        attacks = [pool.submit(attacker.attack, kind) for kind in ended]
        answers = [answer(good)]
        while not all(attack.done() for attack in attacks):
            answers.append(answer(good))
        gone.set()
        for attack in [*attacks, unread]:
            attack.result()
    assert set(answers) == {quiet}
    told = breaches(server, "evil")
    assert {end.limit for end in hostile.ENDS.values() if end.limit} <= told.keys()
    assert {"stored_bytes", "invoke_depth"} <= told.keys() and breaches(server, "good") == {}
    for kind, end in hostile.ENDS.items():
        if end.code is not None:
            wait_until(lambda kind=kind: is_told(server, kind), what=f"the log of {kind}")
    wait_until(lambda: any(run["status"] == "cancelled" for run in evil.get("/flood/logs")["data"]))
    for gauge in "realm_sandbox_instances", "realm_kv_pages_used", "realm_sequences_running", "realm_sequences_waiting":
        wait_until(lambda gauge=gauge: server.metric(gauge) == 0, what=gauge)
    assert answer(good) == quiet


def test_a_full_store_is_told_whether_or_not_the_program_minds(own_server):
    """A program that lives with the refusal ends well; metrics and log tell of it once a run."""
    server = own_server()
    programs = Programs(server)
    text = (GUESTS / "store.wat").read_text()
    programs.push("store", wasmtime.wat2wasm(text.replace("(local.get $refused)))\n", "(i32.const 0)))\n")))
    programs.run("store")
    assert breaches(server, "default") == {"stored_bytes": "1"}
    wait_until(lambda: any(line["event"] == "program_quota" and line["program"] == "store" and
                           line["limit"] == "stored_bytes" for line in server.log()))
    programs.push("minds", guest("store"))
    error = programs.run("minds", status=422)["error"]
    assert error["code"] == "program_failed" and "limit stored_bytes" in error["message"]
    assert breaches(server, "default") == {"stored_bytes": "2"}


def test_what_a_silent_program_takes_counts_while_it_runs(own_server):
    server = own_server()
    programs = Programs(server, new_key(server, "acme", "--scopes", "all", "--tokens-per-day", "300"))
    programs.push("mute", guest("mute"))

    def left():
        with programs.client() as client, pytest.raises(Exception, match="has [0-9]+ left") as caught:
            client.completions.create(model="smollm2", prompt="x", max_tokens=299)
        return int(re.search(r"has (\d+) left", str(caught.value))[1])

    with Client(server, programs.key) as ws:
        ws.request(1, kind="program", name="mute", body={"stream": True})
        wait_until(lambda: left() <= 300 - 200, what="200 tokens, counted")
        assert server.metric("realm_sandbox_instances") == 1
        ws.send(type="input_end", id=1)
        [done] = [m for m in ws.until_end(1) if m.get("event") == "done"]
        used = done["data"]["usage"]["total_tokens"]
    wait_until(lambda: left() == 300 - used)


def test_a_run_can_be_had_again(own_server):
    """The same module, seed and model: the same text of four sampled sequences and the same random numbers, also in
    another process."""
    texts = []
    for _ in range(2):
        server = own_server()
        programs = Programs(server)
        programs.push("replay", guest("replay"))
        with ThreadPoolExecutor(3) as pool:  # one alone, then two beside a third
            texts.append(programs.run("replay", {"seed": 5})["output"])
            other = pool.submit(programs.run, "replay", {"seed": 6})
            texts += [run.result()["output"] for run in [pool.submit(programs.run, "replay", {"seed": 5})
                                                         for _ in range(2)]]
            other = other.result()["output"]
        assert server.stop() == 0
    assert set(texts) == {texts[0]} != {other}
    parts = texts[0].split("|")
    assert len(parts) >= 5 and len(set(parts)) == len(parts)


def children_of(pid):
    tasks = pathlib.Path(f"/proc/{pid}/task").glob("*/children")
    return {int(child) for task in tasks for child in task.read_text().split()}


def test_a_compiler_that_stands_still_ends_with_its_server(own_server):
    """The server has its compilers stand still while it computes; nothing may be left of one where the server dies then."""
    server = own_server()
    programs = Programs(server)
    with ThreadPoolExecutor(1) as pool:
        before = children_of(server.process.pid)
        push = pool.submit(programs.push, "work", module([WORKS] * 500 + [RETURNS_ZERO]))
        wait_until(lambda: children_of(server.process.pid) - before, what="a compiler")
        [compiler] = children_of(server.process.pid) - before
        folder = pathlib.Path(f"/proc/{compiler}")
        wait_until(lambda: "Seccomp:\t2" in (folder / "status").read_text(), what="a confined compiler")
        os.kill(compiler, signal.SIGSTOP)
        server.process.kill()
        server.process.wait()
        wait_until(lambda: not folder.exists() or "State:\tZ" in (folder / "status").read_text(), what="its end")
        assert push.exception() is not None


def test_a_flood_whose_reader_has_gone_goes_no_further(own_server):
    """What was not read is not taken from the program either: it would come for as long as it may, and keep others waiting."""
    server = own_server()
    attacker, programs = Attacker(server.url, KEY), Programs(server)
    # Large pieces that are slow to write as JSON: the program would always be ahead of who takes them.
    flood = (GUESTS / "flood.wat").read_text()
    flood = flood.replace("all work and no play makes jack a dull boy. ", "\\01" * 20000).replace("44)", "20000)")
    programs.push("flood", wasmtime.wat2wasm(flood.replace("\\01", "work", 1)))
    gone = threading.Event()
    gone.set()
    for n in range(1, 25):
        attacker.unread(gone)
        wait_until(lambda n=n: len(programs.get("/flood/logs")["data"]) == n, what="the run's end")
        assert programs.get("/flood/logs")["data"][0]["status"] == "cancelled"


# --- large modules -------------------------------------------------------------------------------


def leb(n):
    out = bytearray()
    while True:
        out.append(n & 127 | (128 if n > 127 else 0))
        n >>= 7
        if n == 0:
            return bytes(out)


def signed_leb(n):
    """Of a number that is not negative."""
    encoded = leb(n)
    return encoded if encoded[-1] < 64 else encoded[:-1] + bytes([encoded[-1] | 128, 0])


def section(number, content):
    return bytes([number]) + leb(len(content)) + content


def vector(*items):
    return leb(len(items)) + b"".join(items)


def module(functions, data=b""):
    """A module with these bodies, the last of which is realm_run, and a segment of data in its memory."""
    bodies = [leb(len(body)) + body for body in functions]
    pages = 1 + (len(data) >> 16)
    return (MAGIC + section(1, vector(b"\x60\x00\x01\x7f")) + section(3, vector(*[b"\0"] * len(bodies))) +
            section(5, vector(b"\0" + leb(pages))) +
            section(7, vector(b"\x06memory\x02\x00", b"\x09realm_run\x00" + leb(len(bodies) - 1))) +
            section(10, vector(*bodies)) +
            (section(11, vector(b"\0\x41\0\x0b" + leb(len(data)) + data)) if data else b""))


RETURNS_ZERO = b"\x00\x41\x00\x0b"
# 1,000 times: add 1, multiply by 3.
WORKS = b"\x00\x41\x07" + b"\x41\x01\x6a\x41\x03\x6c" * 1000 + b"\x0b"


def allow(server, **limits):
    answer = requests.patch(server.url + "/admin/v1/tenants/default", json=limits, timeout=60,
                            headers={"Authorization": "Bearer " + KEY})
    assert answer.status_code == 200, answer.text


@pytest.fixture
def roomy(own_server):
    """A server whose tenant may have large modules."""
    server = own_server(models=(f"tiny={TINY}",))
    allow(server, program_module_bytes=64 << 20)
    return server


def test_a_module_of_50_mb_runs_where_its_tenant_may_have_one(roomy):
    programs = Programs(roomy)
    at_its_end = b"\x00\x41" + signed_leb(FIFTY_MB - 1) + b"\x2d\x00\x00\x41" + signed_leb(255) + b"\x47\x0b"
    large = module([at_its_end], bytes(range(256)) * (FIFTY_MB >> 8))
    assert len(large) > FIFTY_MB
    assert programs.push("large", large)["bytes"] == len(large)
    programs.run("large")


def test_50_mb_of_code_take_no_more_than_their_tenant_may_use_to_compile(roomy):
    programs = Programs(roomy)
    large = module([WORKS] * (FIFTY_MB // len(WORKS)) + [RETURNS_ZERO])
    allow(roomy, program_compile_ms=1000)
    error = programs.push("large", large, 422)["error"]
    assert (error["code"], error["param"]) == ("program_limit_exceeded", "compile_ms")
    assert "program_compile_ms" in error["message"]
    assert breaches(roomy, "default") == {"compile_ms": "1"}
    programs.push("small", module([WORKS, RETURNS_ZERO]))
    programs.run("small")


def test_50_mb_are_refused_before_they_are_sent_where_their_tenant_may_have_less(server):
    """The answer comes to the head: it has not waited for the body, let alone kept it."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    connection.putrequest("PUT", "/v1/programs/large")
    connection.putheader("Authorization", "Bearer " + KEY)
    connection.putheader("Content-Length", str(FIFTY_MB))
    connection.endheaders(MAGIC)
    refused = connection.getresponse()
    error = json.loads(refused.read())["error"]
    connection.close()
    assert refused.status == 413 and error["code"] == "body_too_large"
    assert str(32 << 20) in error["message"] and "program_module_bytes" in error["message"]
