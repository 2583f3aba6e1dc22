"""realm config, and what realm serve makes of a file, the environment and its options."""

import json
import os
import re
import subprocess
import time
import urllib.request

import pytest
import yaml

REALM = os.environ["REALM"]
MODEL = os.environ["REALM_MODEL_SMOLLM2"]


@pytest.fixture
def realm(tmp_path):
    """Runs the program, away from the settings of whoever runs the test."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("REALM_", "OTEL_"))}
    environment["XDG_CONFIG_HOME"] = str(tmp_path / "config")

    def run(*arguments, **variables):
        return subprocess.run([REALM, *map(str, arguments)], env={**environment, **variables}, text=True,
                              capture_output=True, timeout=60)

    run.environment = environment
    return run


def write(path, **settings):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(settings))
    return path


def options_of_serve(realm):
    page = realm("serve", "--help").stdout
    return set(re.findall(r"^\s+(?:-\w, )?--([a-z0-9-]+)", page, re.M)) - {"help", "config"}


def test_check_tells_all_mistakes_and_where(realm, tmp_path):
    file = tmp_path / "realm.yaml"
    file.write_text("prot: 80\nport: many\nmodel: [/there/is/none.gguf]\ntls-cert: /none.pem\n")
    done = realm("config", "check", file)
    assert done.returncode == 4
    lines = done.stderr.splitlines()
    assert lines[0] == f'{file}:1:1: unknown key "prot"; did you mean "port"?'
    assert lines[1] == f'{file}:2:7: port is "many" and must be a whole number between 0 and 65535'
    assert lines[2].startswith(f"{file}:3:9: ") and "/there/is/none.gguf" in lines[2]
    assert lines[3] == f"{file}:4:11: tls-cert: there is no file /none.pem"
    assert lines[4].startswith(f"{file}:4:11: tls-cert and tls-key go together")
    assert "5 problems" in lines[5]


def test_check_passes_a_good_file(realm, tmp_path):
    done = realm("config", "check", write(tmp_path / "realm.yaml", port=0, model={"m": MODEL}))
    assert done.returncode == 0, done.stderr
    assert "2 settings, no problem" in done.stdout


def test_show_is_yaml_and_names_every_source(realm, tmp_path):
    file = write(tmp_path / "realm.yaml", **{"port": 1, "drain": 5, "kv-memory": "64M", "host": "it's"})
    done = realm("config", "show", file, "--port", "3", "--no-prefix-cache", REALM_DRAIN="6", REALM_PORT="2")
    assert done.returncode == 0, done.stderr
    shown = yaml.safe_load(done.stdout)
    assert shown["port"] == 3 and shown["drain"] == 6 and shown["kv-memory"] == 64 << 20
    assert shown["host"] == "it's" and shown["no-prefix-cache"] is True and shown["log-level"] == "info"
    source = dict(re.findall(r"^([a-z0-9-]+): .*# (\S+)$", done.stdout, re.M))
    assert source["port"] == "--port" and source["drain"] == "REALM_DRAIN"
    assert source["kv-memory"].startswith(f"{file}:") and source["log-level"] == "default"


def test_what_show_prints_is_a_file(realm, tmp_path):
    first = realm("config", "show", "--model", "a=b", "--cors-origin", "https://x.test", "--no-prefix-cache")
    (tmp_path / "shown.yaml").write_text(first.stdout)
    second = realm("config", "show", tmp_path / "shown.yaml")
    assert second.returncode == 0, second.stderr
    assert yaml.safe_load(second.stdout) == yaml.safe_load(first.stdout)


def test_the_example_holds_every_option_and_is_right(realm, tmp_path):
    example = realm("config", "example").stdout
    assert set(re.findall(r"^#([a-z0-9-]+): ", example, re.M)) == options_of_serve(realm)
    file = tmp_path / "realm.yaml"
    file.write_text(example)
    assert realm("config", "show", file).returncode == 0
    # With its defaults made settings, nothing changes.
    plain = yaml.safe_load(realm("config", "show").stdout)
    settings = {name: value for name, value in re.findall(r"^#([a-z0-9-]+): (.*)$", example, re.M) if name in plain}
    file.write_text("".join(f"{name}: {value}\n" for name, value in settings.items()))
    done = realm("config", "show", file)
    assert done.returncode == 0, done.stderr
    assert yaml.safe_load(done.stdout) == plain


def test_the_usual_place_is_looked_at_and_may_be_empty(realm, tmp_path):
    assert yaml.safe_load(realm("config", "show").stdout)["port"] == 8080
    write(tmp_path / "config" / "realm" / "realm.yaml", port=81)
    assert yaml.safe_load(realm("config", "show").stdout)["port"] == 81
    other = write(tmp_path / "other.yaml", port=82)
    assert yaml.safe_load(realm("config", "show", REALM_CONFIG=str(other)).stdout)["port"] == 82


@pytest.mark.parametrize("settings, remedy", [
    ("prot: 1\n", 'did you mean "port"?'),
    ("a: 1\nb: 2\n", '(and 1 more: "realm config check" shows all)'),
])
def test_serve_does_not_start_with_mistakes(realm, tmp_path, settings, remedy):
    file = tmp_path / "realm.yaml"
    file.write_text(settings)
    done = realm("serve", "--config", file, "--data", tmp_path / "data", "--allow-root")
    assert done.returncode == 2 and remedy in done.stderr and f"{file}:1:1" in done.stderr


def test_serve_names_a_file_that_is_not_there(realm, tmp_path):
    done = realm("serve", "--config", tmp_path / "none.yaml")
    assert done.returncode == 3 and "none.yaml" in done.stderr


def test_serve_takes_file_environment_and_options(realm, tmp_path):
    file = write(tmp_path / "realm.yaml", **{"model": {"from-file": MODEL}, "port": 1, "host": "127.0.0.2",
                                             "port-file": str(tmp_path / "port"), "allow-root": True, "ctx": 64})
    server = subprocess.Popen(
        [REALM, "serve", "--config", file, "--host", "127.0.0.1"],
        env={**realm.environment, "REALM_PORT": "0", "REALM_DATA_DIR": str(tmp_path / "data"),
             "REALM_API_KEY": "secret-of-the-config-test"})
    try:
        deadline = time.monotonic() + 60
        while not (tmp_path / "port").exists() or not (tmp_path / "port").read_text().strip():
            assert server.poll() is None and time.monotonic() < deadline
            time.sleep(0.05)
        port = (tmp_path / "port").read_text().strip()
        assert port != "1"
        request = urllib.request.Request(f"http://127.0.0.1:{port}/v1/models",
                                         headers={"Authorization": "Bearer secret-of-the-config-test"})
        while True:
            try:
                models = json.load(urllib.request.urlopen(request, timeout=60))["data"]
                if models:
                    break
            except OSError:
                pass
            assert server.poll() is None and time.monotonic() < deadline
            time.sleep(0.05)
        assert [model["id"] for model in models] == ["from-file"]
        assert (tmp_path / "data" / "realm.db").exists()
    finally:
        server.terminate()
        assert server.wait(timeout=60) == 0
