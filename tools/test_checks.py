#!/usr/bin/env python3
"""The checks catch what they are for: each case plants one violation and wants it named.

    tools/test_checks.py
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

TOOLS = Path(__file__).resolve().parent
HEADER = "/* A thing. */\n#ifndef REALM_X_H\n#define REALM_X_H\n%s\n#endif\n"
COMPILER = os.environ.get("CC", "cc")


def run(*arguments, **options):
    return subprocess.run(
        [str(argument) for argument in arguments], capture_output=True, text=True, **options)


class Tree(unittest.TestCase):
    """A tree with the real law and the files a test plants."""

    check = ""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.root = Path(folder.name)
        self.plant("tools/layers.txt", (TOOLS / "layers.txt").read_text())

    def plant(self, path, text):
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    def accepts(self, path, text):
        self.plant(path, text)
        result = run(sys.executable, TOOLS / self.check, "--root", self.root)
        self.assertEqual(result.returncode, 0, result.stdout)
        self.assertEqual(result.stdout, "")

    def refuses(self, path, text, line, reason):
        self.plant(path, text)
        result = run(sys.executable, TOOLS / self.check, "--root", self.root)
        self.assertEqual(result.returncode, 1, result.stdout)
        self.assertIn(f"{path}:{line}: ", result.stdout)
        self.assertIn(reason, result.stdout)


class Layers(Tree):
    check = "check_layers.py"

    def test_a_face_below_is_allowed(self):
        self.accepts("src/engine/step.c", '#include "kv/page_pool.h"\n#include <string.h>\n')

    def test_own_folder_is_allowed(self):
        self.accepts("src/engine/step.c", '#include "engine/sequence.h"\n')

    def test_an_include_upwards_is_refused(self):
        self.refuses("src/kv/page_pool.c", '\n#include "engine/engine.h"\n', 2, "kv may not use engine")

    def test_a_hidden_header_is_refused(self):
        self.refuses("src/server/loop.c", '#include "engine/sequence.h"\n', 1, "no face of engine")

    def test_an_unknown_folder_is_refused(self):
        self.refuses("src/misc/x.c", "int x;\n", 1, "no line in tools/layers.txt")

    def test_an_include_without_folder_is_refused(self):
        self.refuses("src/kv/page_pool.c", '#include "page_pool.h"\n', 1, "write the folder")

    def test_a_library_in_the_wrong_file_is_refused(self):
        self.refuses("src/server/json.c", "#include <libwebsockets.h>\n", 1, "belongs to server/answer_head.c server/conn.c")

    def test_a_library_in_its_file_is_allowed(self):
        self.accepts("src/server/loop.c", "#include <libwebsockets.h>\n")

    def test_an_instruction_set_folder_sees_kernels_only(self):
        self.refuses("src/backend/cpu/avx2/norm.c", "#include <math.h>\n", 1, "intrinsics only")

    def test_an_instruction_set_folder_sees_intrinsics(self):
        self.accepts("src/backend/cpu/avx2/norm.c",
                     '#include "backend/cpu/kernels.h"\n#include <immintrin.h>\n')

    def test_cmake_links_what_the_law_names(self):
        self.accepts("src/kv/CMakeLists.txt", "realm_folder(kv USES base plan LINK m RUST a.c)\n")

    def test_cmake_that_links_more_is_refused(self):
        self.refuses("src/kv/CMakeLists.txt", "\nrealm_folder(kv USES base plan engine)\n", 2,
                     "USES base plan engine, but the law says base plan")


class Source(Tree):
    check = "check_source.py"

    def test_clean_file_is_accepted(self):
        self.accepts("src/kv/a.c", '/* malloc( */\nconst char *s = "free(x)";\nint f(void)\n{\n'
                                   "    return table->free(1);\n}\n")

    def test_each_banned_function_is_refused(self):
        for name in ("malloc", "free", "assert", "abort", "exit", "strcpy", "sprintf", "atoi",
                     "rand", "time", "getenv", "printf", "alloca", "strtok"):
            with self.subTest(name):
                self.refuses("src/kv/a.c", f"\n    {name}(x);\n", 2, f"{name}: ")

    def test_base_alloc_may_call_malloc(self):
        self.accepts("src/base/alloc.c", "void *f(void)\n{\n    return malloc(1);\n}\n")

    def test_snprintf_is_no_printf(self):
        self.accepts("src/kv/a.c", "    snprintf(buffer, sizeof buffer, format);\n")

    def test_conditional_in_a_function_is_refused(self):
        self.refuses("src/kv/a.c", "int f(void)\n{\n#ifdef X\n    return 1;\n#endif\n}\n", 3, "#if inside")

    def test_conditional_between_functions_is_accepted(self):
        self.accepts("src/kv/a.c", "int f(void)\n{\n    return 1;\n}\n#ifdef X\nint x[] = {1};\n#endif\n")

    def test_long_file_is_refused(self):
        self.refuses("src/kv/a.c", "int x;\n" * 1001, 1001, "1001 lines")

    def test_long_table_is_accepted(self):
        self.accepts("src/kv/a_table.c", "int x;\n" * 1001)

    def test_todo_without_issue_is_refused(self):
        self.refuses("src/kv/a.c", "/* TO" "DO: later */\n", 1, "names its issue")

    def test_header_without_comment_is_refused(self):
        self.refuses("src/kv/a.h", (HEADER % "").split("\n", 1)[1], 1, "begins with a comment")

    def test_header_without_guard_is_refused(self):
        self.refuses("src/kv/a.h", "/* A thing. */\nint x;\n", 1, "include guard")

    def test_long_line_is_refused(self):
        self.refuses("src/kv/a.c", "int " + "x" * 100 + ";\n", 1, "columns")

    def test_nolint_with_a_reason_is_accepted(self):
        self.accepts("src/kv/a.c", "    free(x); /* NOLINT: the library made it */\n")


@unittest.skipUnless(shutil.which(COMPILER), "no compiler")
class Symbols(unittest.TestCase):
    HEADER = "REALM_API int realm_one(void);\nREALM_API const char *realm_two(int a,\n int b);\n"

    def check(self, source):
        with tempfile.TemporaryDirectory() as folder:
            root = Path(folder)
            (root / "realm.h").write_text(self.HEADER)
            (root / "a.c").write_text(source)
            library = root / "librealm.so"
            made = run(COMPILER, "-shared", "-fPIC", "-o", library, root / "a.c")
            self.assertEqual(made.returncode, 0, made.stderr)
            return run(TOOLS / "check_symbols.sh", library,
                       env={**os.environ, "REALM_HEADER": str(root / "realm.h")})

    def test_exact_set_is_accepted(self):
        result = self.check("int realm_one(void) { return 1; }\n"
                            "const char *realm_two(int a, int b) { return a > b ? 0 : \"\"; }\n")
        self.assertEqual(result.returncode, 0, result.stdout)

    def test_foreign_and_missing_and_undeclared_names_are_refused(self):
        result = self.check("int realm_one(void) { return 1; }\nint gguf_open;\nint realm_three;\n")
        self.assertEqual(result.returncode, 1)
        for reason in ("gguf_open: shown, but not ours", "realm_three: shown, but not declared",
                       "realm_two: declared REALM_API, but missing"):
            self.assertIn(reason, result.stdout)


@unittest.skipUnless(shutil.which(COMPILER), "no compiler")
class Tidy(unittest.TestCase):
    """tools/tidy.py looks again at what changed, and only at that."""

    FAKE = """#!/bin/sh
[ "$1" = --version ] && { echo "version ${FAKE_VERSION:-1}"; exit; }
for file; do :; done
echo "$file" >>"$FAKE_CALLS"
if grep -q bad "$file"; then echo "$file: bad"; exit 1; fi
"""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.root = Path(folder.name).resolve()
        for path, text in {
            "src/a/a.c": '#include "a.h"\n', "src/a/b.c": "int b;\n", "src/a/a.h": "int a;\n",
            "tests/unit/c.c": "int bad;\n", "tools/tidy.h": "", ".clang-tidy": "x", "tidy": self.FAKE,
            "tools/tidy.py": (TOOLS / "tidy.py").read_text(),
        }.items():
            self.write(path, text)
        (self.root / "tidy").chmod(0o755)
        self.write("build/compile_commands.json", json.dumps([
            {"directory": str(self.root / "build"), "file": str(self.root / file),
             "command": f"{COMPILER} -o {file}.o -c {self.root / file}"}
            for file in ("src/a/a.c", "src/a/b.c", "tests/unit/c.c")]))

    def write(self, path, text):
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    def tidy(self, *arguments, **environment):
        """(exit code, what clang-tidy looked at)"""
        calls = self.root / "calls"
        calls.write_text("")
        result = run(sys.executable, self.root / "tools/tidy.py", *arguments, env={
            **os.environ, "CLANG_TIDY": str(self.root / "tidy"), "REALM_TIDY_BUILD": "build",
            "REALM_CACHE_DIR": str(self.root / "cache"), "FAKE_CALLS": str(calls), **environment})
        return result.returncode, sorted(calls.read_text().split())

    def test_a_clean_file_is_looked_at_once(self):
        self.assertEqual(self.tidy(), (0, ["src/a/a.c", "src/a/b.c"]))
        self.assertEqual(self.tidy(), (0, []))

    def test_a_changed_header_concerns_who_includes_it(self):
        self.tidy()
        self.write("src/a/a.h", "int changed;\n")
        self.assertEqual(self.tidy(), (0, ["src/a/a.c"]))

    def test_other_checks_and_another_version_concern_all(self):
        self.tidy()
        self.assertEqual(self.tidy(FAKE_VERSION="2")[1], ["src/a/a.c", "src/a/b.c"])
        self.write(".clang-tidy", "y")
        self.assertEqual(self.tidy()[1], ["src/a/a.c", "src/a/b.c"])

    def test_a_warning_fails_every_time(self):
        self.write("src/a/b.c", "int bad;\n")
        self.assertEqual(self.tidy(), (1, ["src/a/a.c", "src/a/b.c"]))
        self.assertEqual(self.tidy(), (1, ["src/a/b.c"]))

    def test_a_named_file_is_looked_at_alone(self):
        self.assertEqual(self.tidy("src/a/b.c"), (0, ["src/a/b.c"]))


class Fuzz(unittest.TestCase):
    """tools/fuzz.sh runs every fuzzer there is, and says so when there is none."""

    def fuzz(self, fuzzers, *arguments):
        with tempfile.TemporaryDirectory() as folder:
            root = Path(folder)
            (root / "tools").mkdir()
            shutil.copy(TOOLS / "fuzz.sh", root / "tools")
            for name, code in fuzzers.items():
                program = root / f"build/fuzz/tests/fuzz_{name}"
                program.parent.mkdir(parents=True, exist_ok=True)
                program.write_text(f"#!/bin/sh\necho stat::number_of_executed_units: 7\nexit {code}\n")
                program.chmod(0o755)
            return run(root / "tools/fuzz.sh", *arguments)

    def test_no_fuzzer_fails(self):
        self.assertEqual(self.fuzz({}).returncode, 1)
        self.assertEqual(self.fuzz({"json": 0}, "jsn").returncode, 1)

    def test_all_run(self):
        result = self.fuzz({"gguf": 0, "json": 0})
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertEqual(result.stdout.count("number_of_executed_units"), 2)

    def test_a_crash_fails(self):
        result = self.fuzz({"gguf": 0, "json": 77})
        self.assertEqual(result.returncode, 1)
        self.assertIn("json failed", result.stderr)


@unittest.skipUnless(shutil.which("gcov"), "no gcov")
class Coverage(unittest.TestCase):
    """tools/coverage.py counts a line that several programs share once."""

    def test_folders_and_the_lines_that_never_ran(self):
        with tempfile.TemporaryDirectory() as folder:
            root = Path(folder).resolve()
            for path, text in {
                "tools/coverage.py": (TOOLS / "coverage.py").read_text(),
                "src/a/twice.h": "static inline int twice(int x)\n{\n    return 2 * x;\n}\n",
                "src/a/one.c": '#include "twice.h"\nint one(int x);\nint one(int x)\n{\n    if (x > 3) {\n'
                               "        return twice(x);\n    }\n    return 1;\n}\n",
                "src/b/main.c": '#include "../a/twice.h"\nint one(int x);\nint main(void)\n{\n'
                                "    return one(1) + twice(1) - 3;\n}\n",
            }.items():
                (root / path).parent.mkdir(parents=True, exist_ok=True)
                (root / path).write_text(text)
            build = root / "build/coverage"
            build.mkdir(parents=True)
            made = run("gcc", "--coverage", "-o", "main", root / "src/a/one.c", root / "src/b/main.c",
                       cwd=build)
            self.assertEqual(made.returncode, 0, made.stderr)
            self.assertEqual(run(build / "main", cwd=build).returncode, 0)
            result = run(sys.executable, root / "tools/coverage.py", "a")
            self.assertEqual(result.returncode, 0, result.stderr)
            lines = [line.split() for line in result.stdout.splitlines() if line]
            self.assertEqual(lines, [
                ["83.3", "%", "6", "a"], ["100.0", "%", "2", "b"], ["87.5", "%", "8", "all"],
                ["75.0", "%", "4", "a/one.c"], ["6"], ["100.0", "%", "2", "a/twice.h"]])

    def test_nothing_to_count_fails(self):
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / "tools").mkdir()
            shutil.copy(TOOLS / "coverage.py", Path(folder) / "tools")
            result = run(sys.executable, Path(folder) / "tools/coverage.py")
            self.assertEqual(result.returncode, 1)
            self.assertIn("nothing ran", result.stderr)


class Ci(unittest.TestCase):
    """.ci/run ends at the first stage that fails, and sums up what ran."""

    def ci(self, *stages):
        with tempfile.TemporaryDirectory() as folder:
            root = Path(folder)
            for name, code in {"format.sh": 0, "check_layers.py": 3, "check_source.py": 0}.items():
                script = root / "tools" / name
                script.parent.mkdir(exist_ok=True)
                script.write_text(f"#!/bin/sh\necho this is {name}\nexit {code}\n")
                script.chmod(0o755)
            (root / ".ci").mkdir()
            shutil.copy(TOOLS.parent / ".ci/run", root / ".ci/run")
            return run(root / ".ci/run", *stages)

    def test_the_first_failure_ends_it(self):
        result = self.ci("format", "layers", "source")
        self.assertEqual(result.returncode, 3)
        self.assertRegex(result.stdout, r"(?m)^format +\d+ s  ok$")
        self.assertRegex(result.stdout, r"(?m)^layers +\d+ s  FAILED \(3\)$")
        self.assertNotIn("this is check_source.py", result.stdout)

    def test_stages_can_be_chosen(self):
        result = self.ci("source", "format")
        self.assertEqual(result.returncode, 0)
        self.assertLess(result.stdout.index("this is check_source"), result.stdout.index("this is format"))

    def test_an_unknown_stage_fails(self):
        self.assertNotEqual(self.ci("formt").returncode, 0)


class TraceView(unittest.TestCase):
    def view(self, events):
        with tempfile.TemporaryDirectory() as folder:
            trace = Path(folder) / "t.json"
            trace.write_text(json.dumps(events))
            result = run(TOOLS / "trace_view.py", trace)
            page = trace.with_suffix(".html")
            return result, page.read_text() if page.exists() else ""

    def test_spans_lie_within_those_that_have_not_ended(self):
        span = {"ph": "X", "tid": 1}
        result, page = self.view([
            {"name": "thread_name", "ph": "M", "tid": 1, "args": {"name": "</script>"}},
            {**span, "name": "inner", "ts": 12.0, "dur": 3.0},
            {**span, "name": "outer", "ts": 10.0, "dur": 8.0},
            {**span, "name": "next", "ts": 18.0, "dur": 1.0}])
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertIn('[["outer", 0.0, 8.0, 0], ["inner", 2.0, 3.0, 1], ["next", 8.0, 1.0, 0]]', page)
        self.assertEqual(page.count("</script>"), 2)

    def test_a_trace_without_spans_is_refused(self):
        result, page = self.view([{"name": "end", "ph": "M"}])
        self.assertEqual(result.returncode, 1)
        self.assertIn("no spans", result.stderr)
        self.assertEqual(page, "")


class Completion(unittest.TestCase):
    """Bash completion against a program that only knows --help."""

    def complete(self, *words):
        with tempfile.TemporaryDirectory() as folder:
            program = Path(folder) / "realm"
            program.write_text('#!/bin/sh\n[ "$1 $2" = "run --help" ] && '
                               'echo "  -m, --model PATH   x--not"; echo "  --json-schema F"\n')
            program.chmod(0o755)
            line = " ".join(f"'{word}'" for word in (program, *words))
            script = (f"source {TOOLS}/completion.bash; COMP_WORDS=({line}); "
                      f"COMP_CWORD={len(words)}; _realm; printf '%s\\n' \"${{COMPREPLY[@]}}\"")
            result = run("bash", "-c", script)
            self.assertEqual(result.returncode, 0, result.stderr)
            return result.stdout.split()

    def test_commands(self):
        self.assertEqual(self.complete("q"), ["quantize"])

    def test_options_come_from_help(self):
        self.assertEqual(self.complete("run", "--"), ["--json-schema", "--model"])

    def test_quantised_types(self):
        self.assertEqual(self.complete("quantize", "in", "out", "Q4_K"), ["Q4_K_S", "Q4_K_M"])

    def test_model_path_after_a_name(self):
        self.assertIn(str(TOOLS / "layers.txt"),
                      self.complete("serve", "--model", "a", "=", str(TOOLS / "layers")))


# A server with the program's contract that answers what it is told to.
SERVER = """#!/usr/bin/env python3
import http.server, json, os, sys
arguments = dict(zip(sys.argv[2::2], sys.argv[3::2]))
data = arguments["--data"]
os.makedirs(data)
open(data + "/first_key.txt", "w").write("secret\\n")

class Handler(http.server.BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
    def do_POST(self):
        if self.headers["Authorization"] != "Bearer secret":
            self.send_response(401)
            self.end_headers()
            return
        self.send_response(200)
        self.end_headers()
        for part in os.environ["ANSWER"].split("|"):
            event = {"choices": [{"delta": {"content": part}}]}
            self.wfile.write(b"data: " + json.dumps(event).encode() + b"\\n\\n")
        self.wfile.write(os.environ["END"].encode() + b"\\n\\n")

server = http.server.HTTPServer(("127.0.0.1", int(arguments["--port"])), Handler)
open(os.environ["PID_FILE"], "w").write(str(os.getpid()))
open(arguments["--port-file"], "w").write(str(server.server_port))
server.serve_forever()
"""


@unittest.skipUnless(shutil.which("curl"), "no curl")
class Demo(unittest.TestCase):
    """tools/demo.sh says yes to a right and whole answer only, and leaves no server behind."""

    def demo(self, answer, end="data: [DONE]", server=SERVER):
        with tempfile.TemporaryDirectory() as folder:
            program = Path(folder) / "realm"
            program.write_text(server)
            program.chmod(0o755)
            pid_file = Path(folder) / "pid"
            result = run(TOOLS / "demo.sh", "no.gguf", env={
                **os.environ, "REALM": str(program), "ANSWER": answer, "END": end,
                "PID_FILE": str(pid_file)})
            if pid_file.exists():
                with self.assertRaises(ProcessLookupError):
                    os.kill(int(pid_file.read_text()), 0)
            return result

    def test_right_answer(self):
        result = self.demo("The capital| is Par|is.")
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertIn("A: The capital is Paris.", result.stdout)

    def test_wrong_answer(self):
        result = self.demo("London")
        self.assertNotEqual(result.returncode, 0)
        self.assertIn("does not contain Paris", result.stderr)

    def test_broken_stream(self):
        result = self.demo("Paris", end="")
        self.assertNotEqual(result.returncode, 0)
        self.assertIn("without [DONE]", result.stderr)

    def test_server_that_ends_early(self):
        result = self.demo("Paris", server="#!/bin/sh\necho no such model >&2\nexit 3\n")
        self.assertNotEqual(result.returncode, 0)
        self.assertIn("no such model", result.stderr)


if __name__ == "__main__":
    unittest.main()
