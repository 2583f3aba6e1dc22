"""/metrics: what Prometheus reads, by its own checker, and that the numbers are those of what happened."""

import os
import re
import subprocess
from pathlib import Path

import pytest

from realm_server import wait_until

ROOT = Path(os.environ["REALM_TEST_DATA"]).parent
HISTOGRAMS = ["time_to_first_token_seconds", "inter_token_latency_seconds", "e2e_request_latency_seconds",
              "request_queue_time_seconds", "step_seconds", "step_tokens", "step_sequences"]


@pytest.fixture(scope="module")
def promtool():
    return subprocess.run([ROOT / "tools/promtool.sh"], check=True, text=True, capture_output=True).stdout.split()[-1]


def test_promtool_has_nothing_to_say(server, client, promtool):
    client.completions.create(model="smollm2", prompt="Hello", max_tokens=4)
    text = server.get("/metrics")[1]
    checked = subprocess.run([promtool, "check", "metrics"], input=text, capture_output=True)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert not checked.stdout + checked.stderr


def test_a_broken_page_would_be_told(promtool):
    checked = subprocess.run([promtool, "check", "metrics"], input=b"realm_x{le=} 1\n", capture_output=True)
    assert checked.returncode != 0


def test_the_guides_alerts_are_rules_over_metrics_that_exist(server, promtool):
    rules = ROOT / "docs/guides/alerts.yml"
    checked = subprocess.run([promtool, "check", "rules", rules], capture_output=True, text=True)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    families = set(re.findall(r"^# TYPE (\S+)", server.get("/metrics")[1].decode(), re.M))
    used = {re.sub("_bucket$", "", name) for name in re.findall(r"realm_\w+", rules.read_text())}
    assert used and used <= families, used - families


def samples(text, name):
    return {labels: float(value) for labels, value in re.findall(rf"^{name}\{{(.*)\}} (\S+)$", text, re.M)}


def test_a_request_counts_where_it_should(server, client):
    before = {name: server.metric("realm_" + name) for name in [
        "prompt_tokens_total", "generation_tokens_total", "requests_finished_total", "step_tokens_sum",
        "time_to_first_token_seconds_count", "inter_token_latency_seconds_count", "e2e_request_latency_seconds_count",
        "request_queue_time_seconds_count"]}
    answer = client.completions.create(model="smollm2", prompt="One two three four five", max_tokens=9,
                                       extra_body={"ignore_eos": True})
    grown = {name: server.metric("realm_" + name) - value for name, value in before.items()}
    assert grown["prompt_tokens_total"] == answer.usage.prompt_tokens
    assert grown["generation_tokens_total"] == 9
    assert grown["requests_finished_total"] == 1
    # The last token is never run; tokens found in the prefix cache are not computed.
    cached = answer.usage.prompt_tokens_details.cached_tokens
    computed = answer.usage.prompt_tokens - cached + 8
    wait_until(lambda: server.metric("realm_step_tokens_sum") - before["step_tokens_sum"] == computed)
    assert grown["time_to_first_token_seconds_count"] == 1
    assert grown["inter_token_latency_seconds_count"] == 8
    assert grown["e2e_request_latency_seconds_count"] == 1
    assert grown["request_queue_time_seconds_count"] == 1
    wait_until(lambda: server.metric("realm_kv_pages_used") == 0, what="pages given back")


@pytest.mark.parametrize("name", HISTOGRAMS)
def test_histograms_are_cumulative_and_end_with_all(server, client, name):
    client.completions.create(model="smollm2", prompt="Hello", max_tokens=3)
    text = server.get("/metrics")[1].decode()
    buckets = samples(text, f"realm_{name}_bucket")
    bounds = [float(re.search(r'le="(.*)"', labels)[1].replace("+Inf", "inf")) for labels in buckets]
    counts = list(buckets.values())
    assert bounds == sorted(bounds) and bounds[-1] == float("inf")
    assert counts == sorted(counts) and counts[-1] > 0
    assert [counts[-1]] == list(samples(text, f"realm_{name}_count").values())


def test_every_number_of_the_engine_carries_its_model(server):
    text = server.get("/metrics")[1].decode()
    for line in text.splitlines():
        if line.startswith(("realm_tenant_", "realm_sandbox_")):
            assert 'tenant="default"' in line, line
        elif line.startswith("realm_") and not line.startswith(("realm_http_", "realm_spans_", "realm_adapter")):
            assert 'model="smollm2"' in line, line


def test_a_tenants_numbers_are_what_it_was_served(server, client):
    names = ["prompt_tokens_total", "generation_tokens_total", "prompt_tokens_cached_total"]

    def read():
        text = server.get("/metrics")[1].decode()
        return [samples(text, f"realm_tenant_{name}")['tenant="default"'] for name in names]

    before = read()
    usage = client.completions.create(model="smollm2", prompt="Who pays for this?", max_tokens=5,
                                      extra_body={"ignore_eos": True}).usage
    grown = [b - a for a, b in zip(before, read())]
    assert grown == [usage.prompt_tokens, 5, usage.prompt_tokens_details.cached_tokens]


def test_a_prompt_seen_before_is_found(server, client):
    words = "The quick brown fox jumps over the lazy dog. " * 20
    first = client.completions.create(model="smollm2", prompt=words, max_tokens=1, temperature=0)
    before = server.metric("realm_prompt_tokens_cached_total")
    second = client.completions.create(model="smollm2", prompt=words, max_tokens=1, temperature=0)
    found = second.usage.prompt_tokens_details.cached_tokens
    assert second.choices[0].text == first.choices[0].text
    assert found == (second.usage.prompt_tokens - 1) // 16 * 16 > 100
    assert server.metric("realm_prompt_tokens_cached_total") - before == found
