#!/usr/bin/env bash
# Starts the server on a free port with fresh state, asks it one question, prints the answer as it
# comes and stops the server.  Exit code 0: the answer was right.
#
#   tools/demo.sh [MODEL.gguf]     default: the one tools/fetch_model.sh fetches
#   REALM=PATH                     the program (default: build/release/realm)
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
realm=${REALM:-$root/build/release/realm}
model=${1:-$("$root/tools/fetch_model.sh" | tail -n1)}
question='What is the capital of France?'
expected=Paris

data=$(mktemp -d)
server=
stop() {
    trap - EXIT
    if [ -n "$server" ]; then
        kill "$server" 2>/dev/null || true
        wait "$server" 2>/dev/null || true
    fi
    rm -rf "$data"
}
trap stop EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

fail() {
    printf 'demo: %s\n' "$*" >&2
    if [ -s "$data/log" ]; then
        printf 'demo: the server said:\n' >&2
        sed 's/^/    /' "$data/log" >&2
    fi
    exit 1
}

"$realm" serve --host 127.0.0.1 --port 0 --port-file "$data/port" --data "$data/state" --allow-root \
    --model "smollm2=$model" >"$data/log" 2>&1 &
server=$!

# The port file appears when the socket listens, /ready answers when the model is loaded.
deadline=$((SECONDS + 120))
wait_for() { # <what> <command...>
    local what=$1
    shift
    until "$@" >/dev/null 2>&1; do
        kill -0 "$server" 2>/dev/null || fail "the server ended early"
        [ $SECONDS -lt $deadline ] || fail "no $what within two minutes"
        sleep 0.1
    done
}
wait_for "port" test -s "$data/port"
url=http://127.0.0.1:$(cat "$data/port")
wait_for "answer from $url/ready" curl --silent --fail --max-time 5 "$url/ready"
wait_for "key" test -s "$data/state/first_key.txt"
key=$(tr -d '[:space:]' <"$data/state/first_key.txt")

printf 'Q: %s\nA: ' "$question"
body='{"model": "smollm2", "stream": true, "temperature": 0, "max_tokens": 64,
       "messages": [{"role": "system", "content": "You are a helpful assistant."},
                    {"role": "user", "content": "'$question'"}]}'
# The key goes in by a file: a command line is for all to read.
printf 'header = "Authorization: Bearer %s"\n' "$key" >"$data/curl"
curl --silent --show-error --no-buffer --max-time 120 --config "$data/curl" \
    --header 'Content-Type: application/json' --data "$body" "$url/v1/chat/completions" |
    python3 -u -c '
import json, sys
expected, answer, done = sys.argv[1], "", False
for line in sys.stdin:
    line = line.strip()
    if not line.startswith("data:"):
        if line:
            print(line, file=sys.stderr)
        continue
    data = line[5:].strip()
    if data == "[DONE]":
        done = True
        break
    for choice in json.loads(data).get("choices", []):
        text = choice.get("delta", {}).get("content") or ""
        answer += text
        print(text, end="", flush=True)
print()
if not done:
    sys.exit("demo: the stream ended without [DONE]")
if expected not in answer:
    sys.exit(f"demo: the answer does not contain {expected}")
' "$expected" || fail "no right answer"
