"""Traces: W3C trace context in, OTLP spans out, to a collector of our own."""

import base64
import json
import os
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread

import pytest
import requests
from google.protobuf import json_format
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status
from realm_server import KEY, wait_until

MODEL = ("tiny=" + os.environ["REALM_TEST_DATA"] + "/golden/models/llama_tied.gguf",)
SECRET = "xyzzy-plugh-7731"
BODY = {"model": "tiny", "prompt": SECRET, "max_tokens": 3, "ignore_eos": True}
TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


class Collector:
    """Answers with `statuses` in turn, the last one for ever; 0: does not answer while `hold` is not set."""

    def __init__(self, statuses=(200,)):
        self.bodies, self.headers, self.hold = [], [], Event()
        self.statuses = list(statuses)
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["content-length"]))
                status = collector.statuses[0] if len(collector.statuses) == 1 else collector.statuses.pop(0)
                collector.headers.append((self.path, dict(self.headers)))
                if status == 0:
                    collector.hold.wait(60)
                    return
                if status == 200:
                    collector.bodies.append(body)
                self.send_response(status)
                self.send_header("content-length", "2")
                self.end_headers()
                self.wfile.write(b"{}")

            def log_message(self, *_):
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.http.server_address[1]}"
        Thread(target=self.http.serve_forever, daemon=True).start()

    def messages(self):
        """By the official message, unknown fields refused.  Its JSON has ids as base64, OTLP's as hex: see hex_of."""
        return [json_format.Parse(body, ExportTraceServiceRequest()) for body in self.bodies]

    def spans(self):
        return [span for message in self.messages() for resource in message.resource_spans
                for scope in resource.scope_spans for span in scope.spans]


def hex_of(id):
    return base64.b64encode(id).decode()


def value_of(value):
    kind = value.WhichOneof("value")
    return [value_of(one) for one in value.array_value.values] if kind == "array_value" else getattr(value, kind)


def attributes(what):
    return {attribute.key: value_of(attribute.value) for attribute in what.attributes}


@pytest.fixture
def collector():
    made = []

    def make(*arguments):
        made.append(Collector(*arguments))
        return made[-1]

    yield make
    for one in made:
        one.hold.set()
        one.http.shutdown()


def ask(server, traceparent=None, **more):
    headers = {"Authorization": "Bearer " + KEY, **({"traceparent": traceparent} if traceparent else {}),
               **more.pop("headers", {})}
    return requests.post(server.url + "/v1/completions", headers=headers, json={**BODY, **more}, timeout=60)


def log_line(server, answer):
    ours = answer.headers["x-realm-request-id"]
    return wait_until(lambda: [line for line in server.log() if line.get("id") == ours])[0]


@pytest.mark.parametrize("stream", [False, True])
def test_spans_of_a_request(own_server, collector, stream):
    to = collector()
    server = own_server("--otlp-endpoint", to.url + "/", models=MODEL, environment={
        "OTEL_SERVICE_NAME": "my \"realm\"", "OTEL_EXPORTER_OTLP_HEADERS": "x-none=,x-token=a%20b%2Cc,x-two=2"})
    answer = ask(server, f"00-{TRACE}-{PARENT}-01", headers={"tracestate": "a=1, b@c=x y"}, stream=stream)
    assert answer.status_code == 200
    spans = {span.name: span for span in wait_until(to.spans)}
    path, headers = to.headers[0]
    assert path == "/v1/traces" and headers["Content-Type"] == "application/json"
    assert (headers["x-token"], headers["x-two"]) == ("a b,c", "2") and "x-none" not in headers
    assert attributes(to.messages()[0].resource_spans[0].resource)["service.name"] == "my \"realm\""
    request = spans["POST /v1/completions"]
    assert set(spans) == {request.name, "queue", "prefill", "decode"}
    assert {hex_of(span.trace_id) for span in spans.values()} == {TRACE}
    assert hex_of(request.parent_span_id) == PARENT and request.kind == Span.SPAN_KIND_SERVER
    assert request.trace_state == "a=1, b@c=x y"
    assert len({span.span_id for span in spans.values()}) == 4
    phases = [spans[name] for name in ("queue", "prefill", "decode")]
    assert all(span.parent_span_id == request.span_id for span in phases)
    moments = [request.start_time_unix_nano, phases[0].start_time_unix_nano, phases[0].end_time_unix_nano,
               phases[1].start_time_unix_nano, phases[1].end_time_unix_nano, phases[2].start_time_unix_nano,
               phases[2].end_time_unix_nano, request.end_time_unix_nano]
    assert moments == sorted(moments) and abs(moments[-1] / 1e9 - time.time()) < 60
    told = attributes(request)
    assert told["http.request.method"] == "POST" and told["http.route"] == "/v1/completions"
    assert told["http.response.status_code"] == 200 and request.status.code == Status.STATUS_CODE_UNSET
    assert told["gen_ai.operation.name"] == "text_completion" and told["gen_ai.request.model"] == "tiny"
    assert told["gen_ai.usage.output_tokens"] == 3 and told["gen_ai.usage.input_tokens"] > 0
    assert told["gen_ai.response.finish_reasons"] == ["length"] and told["realm.tenant"]
    assert told["realm.request_id"] == answer.headers["x-realm-request-id"]
    line = log_line(server, answer)
    assert line["trace_id"] == TRACE and line["tenant"] == told["realm.tenant"]
    assert SECRET.encode() not in b"".join(to.bodies) and KEY.encode() not in b"".join(to.bodies)
    wait_until(lambda: server.metric("realm_spans_sent_total") >= 4)


def test_traces_that_begin_here(own_server, collector):
    to = collector()
    server = own_server(models=MODEL, environment={"OTEL_EXPORTER_OTLP_ENDPOINT": to.url})
    bad = [None, f"00-{TRACE}-{PARENT}-0", f"ff-{TRACE}-{PARENT}-01", f"00-{'0' * 32}-{PARENT}-01"]
    traces = {log_line(server, ask(server, parent))["trace_id"] for parent in bad}
    assert len(traces) == len(bad) and TRACE not in traces and all(len(trace) == 32 for trace in traces)
    assert server.stop() == 0  # what waits is sent first
    roots = [span for span in to.spans() if span.kind == Span.SPAN_KIND_SERVER and span.name.startswith("POST")]
    assert {hex_of(span.trace_id) for span in roots} == traces
    assert all(span.parent_span_id == b"" for span in roots)


def test_sampling(own_server, collector):
    to = collector()
    server = own_server("--otlp-endpoint", to.url, "--otlp-sample", "0", models=MODEL)
    for parent in (None, f"00-{TRACE}-{PARENT}-00", f"00-{TRACE[::-1]}-{PARENT}-01"):
        assert ask(server, parent).status_code == 200
    assert requests.post(server.url + "/v1/completions", json=BODY, timeout=60, headers={
        "traceparent": f"00-{TRACE}-{PARENT}-01"}).status_code == 401  # strangers make no traces
    assert server.stop() == 0
    assert {hex_of(span.trace_id) for span in to.spans()} == {TRACE[::-1]}


def test_errors(own_server, collector):
    to = collector()
    server = own_server("--otlp-endpoint", to.url, models=MODEL)
    assert ask(server, model="none").status_code == 404
    assert server.stop() == 0
    spans = [span for span in to.spans() if span.name == "POST /v1/completions"]
    assert len(spans) == 1 and attributes(spans[0])["error.type"] == "404"


@pytest.mark.parametrize("status", [429, 503])
def test_collector_that_is_busy_is_asked_again(own_server, collector, status):
    to = collector([status, status, 200])
    server = own_server("--otlp-endpoint", to.url, models=MODEL)
    ask(server)
    wait_until(lambda: len(to.headers) >= 3)
    wait_until(to.spans)
    assert server.stop() == 0
    spans = to.spans()
    assert len({span.span_id for span in spans}) == len(spans)


@pytest.mark.parametrize("statuses", [None, [0], [503], [400]], ids=str)
def test_collector_that_takes_nothing_hurts_nobody(own_server, collector, statuses):
    to = collector(statuses) if statuses else None
    server = own_server("--otlp-endpoint", to.url if to else "http://127.0.0.1:9", models=MODEL)
    for _ in range(5):
        assert ask(server).status_code == 200
    begin = time.monotonic()
    assert server.stop() == 0
    assert time.monotonic() - begin < 12
    dropped = [line for line in server.log() if line.get("event") == "spans_dropped"]
    assert len(dropped) == 1 and dropped[0]["spans"] == 20


@pytest.mark.parametrize("endpoint, headers", [("", ""), ("ftp://127.0.0.1", ""), ("http://", ""),
                                               ("http://127.0.0.1:1", "nonsense"), ("http://127.0.0.1:1", "a=b%0D%0Ac")])
def test_bad_settings_are_refused(own_server, endpoint, headers):
    if endpoint == "":
        server = own_server("--otlp-endpoint", "", models=MODEL)  # as the environment's: off
        assert log_line(server, ask(server, f"00-{TRACE}-{PARENT}-01"))["trace_id"] == ""
        return
    with pytest.raises(AssertionError, match="otlp-endpoint|OTLP_HEADERS"):
        own_server("--otlp-endpoint", endpoint, models=MODEL, environment={"OTEL_EXPORTER_OTLP_HEADERS": headers})
