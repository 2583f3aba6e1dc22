"""realm models pull against a hub on this machine: what works, what breaks on the way, what is refused."""

import hashlib
import http.server
import json
import os
import re
import signal
import subprocess
import threading
import time
from pathlib import Path

import pytest

REALM = os.environ["REALM"]
MODELS = Path(os.environ["REALM_TEST_DATA"]) / "golden" / "models"
SMALL = (MODELS / "llama_tied.gguf").read_bytes()
REPO = "/api/models/acme/tiny-GGUF/tree/main"


class Hub(http.server.ThreadingHTTPServer):
    """Serves `files` by path; `trouble` maps a path to a function that answers instead, once a call."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.files = {}
        self.trouble = {}
        self.requests = []
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def add_repository(self, files, listing=True):
        entries = [{"type": "directory", "path": "folder"}, {"type": "file", "path": "README.md", "size": 3}]
        for name, data in files.items():
            self.files["/acme/tiny-GGUF/resolve/main/" + name] = data
            entries.append({
                "type": "file", "path": name, "size": len(data), "oid": "0" * 40,
                "lfs": {"oid": hashlib.sha256(data).hexdigest(), "size": len(data)},
            })
        if listing:
            self.files[REPO] = json.dumps(entries).encode()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_GET(self):
        path = self.path.split("?")[0]
        self.server.requests.append((path, dict(self.headers)))
        trouble = self.server.trouble.get(path)
        if trouble is not None and trouble(self) is not False:
            return
        data = self.server.files.get(path)
        if data is None:
            self.answer(404, b"not here")
        else:
            self.send_file(data)

    def answer(self, code, body=b"", headers=()):
        self.send_response(code)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def send_file(self, data, upto=None, etag=None):
        """The file or the range asked for; `upto`: the connection ends there."""
        etag = etag or '"%s"' % hashlib.md5(data).hexdigest()
        match = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        begin = int(match[1]) if match and self.headers.get("If-Range") == etag else 0
        if match and begin >= len(data):
            self.answer(416, b"", [("Content-Range", f"bytes */{len(data)}")])
            return
        self.send_response(206 if begin else 200)
        if begin:
            self.send_header("Content-Range", f"bytes {begin}-{len(data) - 1}/{len(data)}")
        self.send_header("ETag", etag)
        self.send_header("Content-Length", str(len(data) - begin))
        self.end_headers()
        if upto is None:
            self.wfile.write(data[begin:])
            return
        self.wfile.write(data[begin:max(begin, upto)])
        self.wfile.flush()
        self.close_connection = True


@pytest.fixture
def hub():
    server = Hub()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def cache(tmp_path):
    return tmp_path / "cache"


def environment(hub, cache, **more):
    kept = {k: v for k, v in os.environ.items() if k not in ("HF_TOKEN", "http_proxy", "https_proxy")}
    return {**kept, "REALM_CACHE_DIR": str(cache), "REALM_HUB_URL": hub.url, **more}


def pull(hub, cache, source, *arguments, timeout=60, **more):
    return subprocess.run(
        [REALM, "models", "pull", source, "--retry-ms", "10", *arguments],
        env=environment(hub, cache, **more), capture_output=True, text=True, timeout=timeout)


def pulled(result):
    assert result.returncode == 0, result.stderr
    return Path(result.stdout.strip())


def leftovers(cache):
    return sorted(p.name for p in cache.rglob("*") if ".part" in p.name)


def big_file():
    return SMALL + bytes(300_000)


def test_a_quant_of_a_repository_is_found_fetched_and_listed(hub, cache):
    hub.add_repository({"tiny-Q8_0.gguf": SMALL, "tiny-Q4_K_M.gguf": SMALL + b"x", "mmproj-Q8_0.gguf": b"GGUFno"})
    path = pulled(pull(hub, cache, "hf:acme/tiny-GGUF:q8_0"))
    assert path == cache / "models/acme/tiny-GGUF/tiny-Q8_0.gguf"
    assert path.read_bytes() == SMALL
    assert leftovers(cache) == []
    listed = subprocess.run([REALM, "models", "list", "--json"], env=environment(hub, cache),
                            capture_output=True, check=True)
    assert [m["name"] for m in json.loads(listed.stdout)["models"]] == ["tiny-Q8_0"]


def test_without_a_quant_the_usual_one_is_taken(hub, cache):
    hub.add_repository({"tiny-Q8_0.gguf": SMALL, "tiny-Q4_K_M.gguf": SMALL + b"x"})
    assert pulled(pull(hub, cache, "hf:acme/tiny-GGUF")).name == "tiny-Q4_K_M.gguf"


def test_a_file_that_is_there_is_not_fetched_again_unless_forced(hub, cache):
    hub.add_repository({"tiny.gguf": SMALL})
    pulled(pull(hub, cache, "hf:acme/tiny-GGUF"))
    hub.requests.clear()
    path = pulled(pull(hub, cache, "hf:acme/tiny-GGUF"))
    assert [p for p, _ in hub.requests] == [REPO]
    path.write_bytes(b"GGUFspoilt")
    pulled(pull(hub, cache, "hf:acme/tiny-GGUF", "--force"))
    assert path.read_bytes() == SMALL


def test_all_parts_of_a_split_model_are_fetched(hub, cache):
    parts = {f"Q8_0/tiny-Q8_0-{i:05}-of-00003.gguf": SMALL + bytes([i]) for i in (1, 2, 3)}
    hub.add_repository(parts)
    path = pulled(pull(hub, cache, "hf:acme/tiny-GGUF:Q8_0"))
    assert path.name == "tiny-Q8_0-00001-of-00003.gguf"
    for name, data in parts.items():
        assert (path.parent / name.split("/")[1]).read_bytes() == data


def test_a_cut_connection_is_resumed_in_the_same_run(hub, cache):
    data = big_file()
    hub.add_repository({"tiny.gguf": data})
    url = "/acme/tiny-GGUF/resolve/main/tiny.gguf"
    cuts = [100_000, 200_000, 250_000]

    def cut(handler):
        if not cuts:
            return False
        handler.send_file(data, upto=cuts.pop(0))

    hub.trouble[url] = cut
    path = pulled(pull(hub, cache, "hf:acme/tiny-GGUF"))
    assert path.read_bytes() == data
    ranges = [h.get("Range") for p, h in hub.requests if p == url]
    assert ranges[0] is None and ranges[1] == "bytes=100000-" and ranges[-1] == "bytes=250000-"


def test_what_a_stopped_run_left_is_resumed_by_the_next(hub, cache):
    data = big_file()
    hub.files["/tiny.gguf"] = data
    hub.trouble["/tiny.gguf"] = lambda h: h.send_file(data, upto=150_000)
    result = pull(hub, cache, hub.url + "/tiny.gguf", "--retries", "1")
    assert result.returncode == 1 and not (cache / "models/tiny.gguf").exists()
    assert (cache / "models/tiny.gguf.part").stat().st_size == 150_000
    hub.trouble.clear()
    hub.requests.clear()
    assert pulled(pull(hub, cache, hub.url + "/tiny.gguf")).read_bytes() == data
    assert hub.requests[0][1]["Range"] == "bytes=150000-"
    assert leftovers(cache) == []


def test_a_file_that_changed_meanwhile_is_fetched_from_the_beginning(hub, cache):
    old, new = big_file(), big_file()[:-1] + b"n"
    hub.files["/tiny.gguf"] = new
    hub.trouble["/tiny.gguf"] = lambda h: h.send_file(old, upto=150_000)
    pull(hub, cache, hub.url + "/tiny.gguf", "--retries", "1")
    hub.trouble.clear()
    assert pulled(pull(hub, cache, hub.url + "/tiny.gguf")).read_bytes() == new


def test_a_server_that_ignores_ranges_still_gives_the_whole_file(hub, cache):
    data = big_file()
    hub.files["/tiny.gguf"] = data
    first = [True]

    def no_ranges(handler):
        if first.pop() if first else False:
            handler.send_file(data, upto=70_000)
        else:
            handler.answer(200, data)

    hub.trouble["/tiny.gguf"] = no_ranges
    assert pulled(pull(hub, cache, hub.url + "/tiny.gguf")).read_bytes() == data


def test_errors_of_the_server_are_tried_again_and_then_told(hub, cache):
    hub.add_repository({"tiny.gguf": SMALL})
    url = "/acme/tiny-GGUF/resolve/main/tiny.gguf"
    codes = [503, 429, 500]
    hub.trouble[url] = lambda h: h.answer(codes.pop(0)) if codes else False
    assert pulled(pull(hub, cache, "hf:acme/tiny-GGUF")).read_bytes() == SMALL
    hub.trouble[url] = lambda h: h.answer(503)
    result = pull(hub, cache, "hf:acme/tiny-GGUF", "--force", "--retries", "2")
    assert result.returncode == 1 and "503" in result.stderr


def test_a_wrong_checksum_is_refused_and_nothing_is_kept(hub, cache):
    hub.add_repository({"tiny.gguf": SMALL})
    hub.files["/acme/tiny-GGUF/resolve/main/tiny.gguf"] = SMALL[:-1] + b"\x01"
    result = pull(hub, cache, "hf:acme/tiny-GGUF")
    assert result.returncode == 4 and hashlib.sha256(SMALL).hexdigest() in result.stderr
    assert list(cache.rglob("*.gguf*")) == []


def test_a_checksum_of_ones_own_is_checked(hub, cache):
    hub.files["/tiny.gguf"] = SMALL
    wrong = pull(hub, cache, hub.url + "/tiny.gguf", "--sha256", "ab" * 32)
    assert wrong.returncode == 4 and "ab" * 32 in wrong.stderr
    right = hashlib.sha256(SMALL).hexdigest().upper()
    assert pulled(pull(hub, cache, hub.url + "/tiny.gguf", "--sha256", right)).exists()
    assert pull(hub, cache, hub.url + "/tiny.gguf", "--sha256", "abc").returncode == 2


def test_the_hubs_checksum_of_a_redirect_is_checked(hub, cache):
    hub.files["/far"] = SMALL
    hub.trouble["/tiny.gguf"] = lambda h: h.answer(
        302, b"", [("Location", "/far"), ("X-Linked-Etag", '"%s"' % ("cd" * 32))])
    result = pull(hub, cache, hub.url + "/tiny.gguf")
    assert result.returncode == 4 and "cd" * 32 in result.stderr


def test_what_is_missing_is_told(hub, cache):
    hub.add_repository({"tiny-Q8_0.gguf": SMALL})
    result = pull(hub, cache, "hf:acme/tiny-GGUF:Q2_K")
    assert result.returncode == 3 and "Q2_K" in result.stderr and "tiny-Q8_0.gguf" in result.stderr
    result = pull(hub, cache, "hf:acme/other")
    assert result.returncode == 3 and "acme/other" in result.stderr
    assert pull(hub, cache, hub.url + "/none.gguf").returncode == 3
    assert list(cache.rglob("*.gguf")) == []


def test_a_page_that_is_no_model_is_refused_at_its_first_bytes(hub, cache):
    hub.files["/tiny.gguf"] = b"<!doctype html>" + bytes(100_000)
    result = pull(hub, cache, hub.url + "/tiny.gguf")
    assert result.returncode == 4 and "no GGUF file" in result.stderr
    assert leftovers(cache) == []


def test_a_redirect_loop_ends(hub, cache):
    hub.trouble["/tiny.gguf"] = lambda h: h.answer(302, b"", [("Location", "/tiny.gguf")])
    result = pull(hub, cache, hub.url + "/tiny.gguf", "--retries", "1")
    assert result.returncode == 1 and "redirects more than" in result.stderr


@pytest.mark.parametrize("target", ["http://192.0.2.1/x.gguf", "ftp://127.0.0.1/x.gguf", "file:///etc/passwd"])
def test_a_redirect_to_an_unsafe_address_is_refused(hub, cache, target):
    hub.trouble["/tiny.gguf"] = lambda h: h.answer(302, b"", [("Location", target)])
    result = pull(hub, cache, hub.url + "/tiny.gguf")
    assert result.returncode == 2 and "only https" in result.stderr


def test_plain_http_to_another_machine_is_refused(hub, cache):
    result = pull(hub, cache, "http://192.0.2.1/x.gguf")
    assert result.returncode == 2 and "only https" in result.stderr


def test_the_token_goes_to_the_hub_and_not_where_it_redirects(hub, cache):
    other = Hub()
    try:
        other.files["/far"] = SMALL
        away = other.url.replace("127.0.0.1", "localhost") + "/far"
        hub.add_repository({"tiny.gguf": SMALL})
        url = "/acme/tiny-GGUF/resolve/main/tiny.gguf"
        hub.trouble[url] = lambda h: h.answer(302, b"", [("Location", away)])
        pulled(pull(hub, cache, "hf:acme/tiny-GGUF", HF_TOKEN="sesame"))
        assert {h.get("Authorization") for _, h in hub.requests} == {"Bearer sesame"}
        assert [h.get("Authorization") for _, h in other.requests] == [None]
    finally:
        other.shutdown()
        other.server_close()


def test_a_gated_repository_asks_for_a_token(hub, cache):
    hub.trouble[REPO] = lambda h: h.answer(401)
    result = pull(hub, cache, "hf:acme/tiny-GGUF")
    assert result.returncode == 6 and "HF_TOKEN" in result.stderr


def test_a_server_that_falls_silent_is_given_up_and_tried_again(hub, cache):
    data = big_file()
    hub.files["/tiny.gguf"] = data
    silent = [True]
    go_on = threading.Event()

    def stall(handler):
        if not silent:
            return False
        silent.clear()
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(data)))
        handler.send_header("ETag", '"%s"' % hashlib.md5(data).hexdigest())
        handler.end_headers()
        handler.wfile.write(data[:50_000])
        handler.wfile.flush()
        go_on.wait(30)

    hub.trouble["/tiny.gguf"] = stall
    result = pull(hub, cache, hub.url + "/tiny.gguf", "--stall", "1")
    go_on.set()
    assert pulled(result).read_bytes() == data
    assert "trying again" in result.stderr


def test_ctrl_c_keeps_what_came(hub, cache):
    data = big_file()
    go_on = threading.Event()

    def slow(handler):
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(data)))
        handler.send_header("ETag", '"e"')
        handler.end_headers()
        handler.wfile.write(data[:50_000])
        handler.wfile.flush()
        go_on.wait(30)

    hub.trouble["/tiny.gguf"] = slow
    process = subprocess.Popen([REALM, "models", "pull", hub.url + "/tiny.gguf"],
                               env=environment(hub, cache), stderr=subprocess.PIPE, text=True)
    part = cache / "models/tiny.gguf.part"
    deadline = time.monotonic() + 20
    while not (part.exists() and part.stat().st_size >= 50_000):
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=20)
    go_on.set()
    assert process.returncode == 130 and "interrupted" in errors
    assert part.stat().st_size == 50_000


def test_a_full_disk_is_told_before_gigabytes_come(hub, cache):
    def huge(handler):
        handler.send_response(200)
        handler.send_header("Content-Length", str(1 << 60))
        handler.end_headers()
        handler.wfile.write(SMALL)
        handler.close_connection = True

    hub.trouble["/tiny.gguf"] = huge
    result = pull(hub, cache, hub.url + "/tiny.gguf", "--retries", "1")
    assert result.returncode == 5 and "no space" in result.stderr


def test_two_runs_at_once_fetch_the_file_once(hub, cache):
    data = big_file()
    hub.files["/tiny.gguf"] = data
    begun, go_on = threading.Event(), threading.Event()

    def wait(handler):
        begun.set()
        go_on.wait(30)
        return False

    hub.trouble["/tiny.gguf"] = wait
    command = [REALM, "models", "pull", hub.url + "/tiny.gguf"]
    first = subprocess.Popen(command, env=environment(hub, cache), stdout=subprocess.DEVNULL)
    assert begun.wait(20)
    second = subprocess.Popen(command, env=environment(hub, cache), stdout=subprocess.PIPE, text=True)
    with pytest.raises(subprocess.TimeoutExpired):
        second.wait(0.5)
    go_on.set()
    assert first.wait(30) == 0 and second.wait(30) == 0
    assert len(hub.requests) == 1
    assert (cache / "models/tiny.gguf").read_bytes() == data and leftovers(cache) == []


@pytest.mark.parametrize("source", ["nonsense", "hf:", "hf:acme", "hf:../x", "hf:acme/x:../y.gguf", "https://x/y",
                                    "https://127.0.0.1/a%2fb.gguf", "hf:acme/tiny@:x"])
def test_sources_that_mean_nothing_are_refused(hub, cache, source):
    assert pull(hub, cache, source).returncode == 2
    assert hub.requests == []
