"""Servers and clients of the API's tests."""

import os
import sys
from pathlib import Path

import openai
import pytest

sys.path.insert(0, str(Path(os.environ["REALM_TEST_DATA"]) / "support"))

from realm_server import KEY, RealmServer  # noqa: E402


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    """One server with SmolLM2 for all tests that leave it as it was; it must survive them all."""
    running = RealmServer(tmp_path_factory.mktemp("server"))
    yield running
    assert running.stop() == 0, running.log_path.read_text(errors="replace")[-4000:]


@pytest.fixture(scope="session")
def client(server):
    with openai.OpenAI(base_url=server.url + "/v1", api_key=KEY, max_retries=0, timeout=120) as made:
        yield made


@pytest.fixture
def own_server(tmp_path):
    """Starts servers that one test may do anything to; call it with the arguments of `realm serve`."""
    started = []

    def start(*arguments, **options):
        folder = tmp_path / f"server{len(started)}"
        folder.mkdir()
        started.append(RealmServer(folder, *arguments, **options))
        return started[-1]

    yield start
    for running in started:
        running.stop()
