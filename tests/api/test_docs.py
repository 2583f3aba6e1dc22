"""docs/api.md says all that the server has: fields, routes, error codes."""

import os
import re
from pathlib import Path

import pytest

ROOT = Path(os.environ["REALM_TEST_DATA"]).parent
SERVER = ROOT / "src" / "server"
PAGE = (ROOT / "docs" / "api.md").read_text()


def found(file, pattern):
    names = re.findall(pattern, (SERVER / file).read_text(), re.M)
    assert names
    return names


FIELDS = [(file, name) for file in ("fields.c", "openai_chat.c", "openai_completions.c")
          for name in found(file, r'^    \{"([a-z_]+)", \w+\},$')]


def part(title):
    return re.search(rf"^## {title}$(.*?)^## ", PAGE, re.M | re.S)[1]


def test_the_tables_were_found():
    assert len(FIELDS) > 60 and {name for _, name in FIELDS} >= {"model", "messages", "prompt", "top_k"}


@pytest.mark.parametrize("file, name", FIELDS)
def test_a_field_is_named(file, name):
    titles = {"fields.c": "Fields of both", "openai_chat.c": "Fields of chat completions",
              "openai_completions.c": "Fields of text completions"}
    assert f"`{name}`" in part(titles[file])


@pytest.mark.parametrize("title", ["Fields of both", "Fields of chat completions", "Fields of text completions"])
def test_no_field_is_named_that_is_not_there(title):
    known = {name for _, name in FIELDS}
    assert set(re.findall(r"^\| `([a-z_]+)` \|", part(title), re.M)) <= known


@pytest.mark.parametrize("path", found("route.c", r'\{ROUTE_\w+, "([^"]+)"'))
def test_a_route_is_named(path):
    """Its variable parts in capitals: ":name" and "*" are NAME on the page."""
    written = re.sub(r":([a-z_]+)", lambda m: m[1].upper(), path).replace("*", "NAME")
    assert written in part("Routes")


@pytest.mark.parametrize("code", found("problem.c", r'\{4\d\d, "\w+", "(\w+)"\}') +
                         found("conn.c", r'^ +"([a-z]+_[a-z_]+)",$') + found("route.c", r'"([a-z_]+_[a-z_]+)",$'))
def test_an_error_code_is_named(code):
    # Codes of statuses that no request can have yet, or that name themselves.
    if code not in {"invalid_format", "not_found", "already_exists", "cancelled"}:
        assert f"`{code}`" in part("Errors")
