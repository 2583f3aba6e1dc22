#!/usr/bin/env python3
"""Turns what REALM_TRACE wrote into one HTML page: a line a thread, a box a span, no other file needed.

    REALM_TRACE=1 realm bench -m MODEL
    tools/trace_view.py realm-trace.json [trace.html]      (default: beside the trace, .html)

On the page: the wheel zooms at the pointer, dragging moves, hovering tells a span's name and length.
Below the time-line stands how often each span came and how long it took.
"""

import html
import json
import statistics
import sys
from pathlib import Path

PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>%(title)s</title><style>
body { font: 13px system-ui, sans-serif; margin: 1em; color: #222; background: #fff; }
canvas { width: 100%%; border: 1px solid #ccc; cursor: grab; }
table { border-collapse: collapse; margin-top: 1em; }
td, th { padding: .2em .8em; text-align: right; } td:first-child, th:first-child { text-align: left; }
#hint { min-height: 1.5em; }
</style></head><body>
<h1>%(title)s</h1><p id="hint">wheel: zoom, drag: move</p><canvas id="line"></canvas>
%(table)s
<script>
const threads = %(threads)s;
</script><script>
%(script)s
</script></body></html>
"""

SCRIPT = """
const ROW = 20, LABEL = 130, canvas = document.getElementById("line"), draw = canvas.getContext("2d");
const hint = document.getElementById("hint");
let height = 24;
for (const thread of threads) {
    thread.top = height;
    height += ROW * thread.depth + 8;
}
const last = Math.max(...threads.flatMap(t => t.spans.map(s => s[1] + s[2])), 1);
let from = 0, to = last;
const width = () => canvas.clientWidth - LABEL;
const x_of = us => LABEL + (us - from) / (to - from) * width();
const us_of = x => from + (x - LABEL) / width() * (to - from);
const text_of = us => us < 1000 ? us.toFixed(1) + " us" : (us / 1000).toFixed(2) + " ms";
function colour(name) {
    let sum = 0;
    for (const c of name) sum = (sum * 31 + c.charCodeAt(0)) % 360;
    return `hsl(${sum} 60% 70%)`;
}
function paint() {
    const ratio = window.devicePixelRatio || 1;
    canvas.style.height = height + "px";
    canvas.width = canvas.clientWidth * ratio;
    canvas.height = height * ratio;
    draw.scale(ratio, ratio);
    draw.font = "12px system-ui";
    draw.fillStyle = "#555";
    for (let i = 0; i <= 8; i++) {
        const us = from + (to - from) * i / 8;
        draw.fillText(text_of(us), Math.min(x_of(us), canvas.clientWidth - 60), 12);
    }
    for (const thread of threads) {
        for (const [name, start, length, depth] of thread.spans) {
            const left = Math.max(x_of(start), LABEL), right = x_of(start + length);
            if (right < LABEL || left > canvas.clientWidth) continue;
            const top = thread.top + depth * ROW, wide = Math.max(right - left, 1);
            draw.fillStyle = colour(name);
            draw.fillRect(left, top, wide, ROW - 2);
            if (wide > 50) {
                draw.fillStyle = "#222";
                draw.fillText(name, left + 3, top + 13, wide - 6);
            }
        }
        draw.fillStyle = "#222";
        draw.fillText(thread.name, 2, thread.top + 13, LABEL - 6);
    }
}
function span_at(x, y) {
    const us = us_of(x), near = (to - from) / width();
    for (const thread of threads) {
        const depth = Math.floor((y - thread.top) / ROW);
        for (const span of thread.spans)
            if (span[3] === depth && span[1] - near <= us && us <= span[1] + span[2] + near) return span;
    }
    return null;
}
canvas.addEventListener("wheel", event => {
    event.preventDefault();
    const at = us_of(event.offsetX), factor = event.deltaY > 0 ? 1.25 : 0.8;
    from = Math.max(at - (at - from) * factor, 0);
    to = Math.min(at + (to - at) * factor, last);
    paint();
});
canvas.addEventListener("mousemove", event => {
    if (event.buttons & 1) {
        const by = event.movementX / width() * (to - from), move = Math.min(Math.max(-by, -from), last - to);
        from += move;
        to += move;
        paint();
        return;
    }
    const span = span_at(event.offsetX, event.offsetY);
    hint.textContent = span ? `${span[0]}: ${text_of(span[2])}, at ${text_of(span[1])}` : "";
});
window.addEventListener("resize", paint);
paint();
"""


def read_threads(events):
    """[{name, depth, spans: [[name, start in us from the first span, length in us, depth]]}]"""
    names = {event["tid"]: event["args"]["name"] for event in events if event["name"] == "thread_name"}
    spans = [event for event in events if event.get("ph") == "X"]
    if not spans:
        raise SystemExit("trace: no spans; was REALM_TRACE set, and did anything run?")
    zero = min(span["ts"] for span in spans)
    threads = []
    for thread in sorted({span["tid"] for span in spans}):
        own = [[span["name"], round(span["ts"] - zero, 3), span["dur"]]
               for span in spans if span["tid"] == thread]
        name = names.get(thread) or f"thread {thread}"
        threads.append({"name": name, "spans": nest(own)})
        threads[-1]["depth"] = 1 + max(span[3] for span in threads[-1]["spans"])
    return threads


def nest(spans):
    """Gives each span its depth: how many spans that have not ended it lies within."""
    open_ends, nested = [], []
    for name, start, length in sorted(spans, key=lambda span: (span[1], -span[2])):
        while open_ends and open_ends[-1] <= start:
            open_ends.pop()
        nested.append([name, start, length, len(open_ends)])
        open_ends.append(start + length)
    return nested


def table(threads):
    lengths = {}
    for thread in threads:
        for name, _, length, _ in thread["spans"]:
            lengths.setdefault((thread["name"], name), []).append(length)
    rows = "".join(
        f"<tr><td>{html.escape(thread)}: {html.escape(name)}</td><td>{len(all_of)}</td>"
        f"<td>{sum(all_of) / 1000:.2f}</td><td>{statistics.median(all_of) / 1000:.3f}</td>"
        f"<td>{max(all_of) / 1000:.3f}</td></tr>\n"
        for (thread, name), all_of in lengths.items())
    return ("<table><tr><th>span</th><th>times</th><th>all, ms</th><th>median, ms</th>"
            f"<th>longest, ms</th></tr>\n{rows}</table>")


def main():
    if len(sys.argv) not in (2, 3) or sys.argv[1].startswith("-"):
        raise SystemExit(__doc__)
    source = Path(sys.argv[1])
    target = Path(sys.argv[2]) if len(sys.argv) == 3 else source.with_suffix(".html")
    threads = read_threads(json.loads(source.read_text()))
    target.write_text(PAGE % {
        "title": html.escape(source.name),
        "table": table(threads),
        # A name must not end the script early.
        "threads": json.dumps(threads).replace("<", "\\u003c"),
        "script": SCRIPT,
    })
    print(target)


if __name__ == "__main__":
    main()
