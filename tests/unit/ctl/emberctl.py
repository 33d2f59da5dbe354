#!/usr/bin/env python3
"""What a person relies on: exit codes, one clear line, JSON, formats. Usage: emberctl.py EMBERCTL. Prints TAP."""

import json
import os
import subprocess
import sys
import tempfile

EMBERCTL = os.path.abspath(sys.argv[1])
FOLDED = """main;parse;tokenize 60
main;parse;malloc 25
main;render;malloc 10
main;render 5
"""
AFTER = """main;parse;tokenize 160
main;parse;malloc 25
main;render;malloc 10
main;render 5
"""


def run(*arguments, status=0, stdin=None):
    done = subprocess.run([EMBERCTL, *arguments], capture_output=True, text=True, input=stdin, timeout=60)
    assert done.returncode == status, f"{arguments}: status {done.returncode}, stderr {done.stderr!r}"
    return done


def fails(status, *arguments):
    """The one line on stderr (and the hint, for wrong usage)."""
    done = run(*arguments, status=status)
    lines = done.stderr.splitlines()
    assert 1 <= len(lines) <= (2 if status == 2 else 1), f"{arguments}: {done.stderr!r}"
    assert done.stdout == "", f"{arguments} printed {done.stdout!r}"
    return lines[0]


def commands():
    text = run("--help").stdout
    return [line.split()[0] for line in text.split("Commands:")[1].split("\n\n")[0].splitlines() if line.strip()]


def help_and_version():
    assert run("--version").stdout.startswith("emberctl ")
    for name in commands():
        text = run(name, "--help").stdout
        assert "Usage: emberctl " + name in text, f"{name} --help: {text[:80]!r}"
        assert "Examples:" in text, f"{name} --help has no examples"
        lines = [line for line in text.split("Examples:")[1].splitlines() if line.strip()]
        assert all(line.startswith("  ") for line in lines), f"{name} --help: an example is too long for a line"
        assert run(name, "--version").stdout.startswith("emberctl ")


def wrong_usage_is_2():
    assert "no command 'nothing'" in fails(2, "nothing")
    assert "--sort takes flat or cum, not 'x'" in fails(2, "top", "--sort", "x", "a.folded")
    assert "--by takes" in fails(2, "top", "--by", "x", "a.folded")
    assert "too many" in fails(2, "diff", "a", "b", "c")
    assert "--threshold takes" in fails(2, "hotspots", "--threshold", "200", "a.folded")
    assert "--hide takes a regular expression" in fails(2, "flamegraph", "--hide", "(", "a.folded")
    assert "--width takes" in fails(2, "flamegraph", "--width", "5", "a.folded")
    assert ".svg or .html" in fails(2, "flamegraph", "-o", "x.png", "a.folded")
    assert "says no format" in fails(2, "convert", "-o", "x.unknown", "a.folded")
    assert "give -o FILE" in fails(2, "merge", "a.folded")
    run("top", "--no-such-option", "a.folded", status=2)
    run(status=2)


def failure_is_1_with_one_line():
    assert "none.pb.gz" in fails(1, "top", "none.pb.gz")
    assert "garbage" in fails(1, "top", "garbage")
    line = fails(1, "top", "--sample-type", "walrus", "a.folded")
    assert "walrus" in line and "samples" in line, line
    assert "cannot write" in fails(1, "flamegraph", "-o", "no/such/folder/a.svg", "a.folded")


def top_adds_up():
    answer = json.loads(run("top", "--json", "--sample-type", "samples", "a.folded").stdout)
    rows = {row["name"]: row for row in answer["rows"]}
    assert answer["total"] == 100 and answer["n_rows"] == 5, answer
    assert rows["malloc"]["flat"] == 35 and rows["malloc"]["cum"] == 35
    assert rows["render"]["flat"] == 5 and rows["render"]["cum"] == 15
    assert rows["main"]["cum_percent"] == 100
    assert [row["name"] for row in answer["rows"]][:2] == ["tokenize", "malloc"]
    assert json.loads(run("top", "--json", "-n", "1", "a.folded").stdout)["rows"][0]["name"] == "tokenize"
    table = run("top", "a.folded").stdout.splitlines()
    assert table[1].split() == ["FLAT", "FLAT%", "CUM", "CUM%", "FUNCTION"], table
    assert table[2].split() == ["60", "60.00%", "60", "60.00%", "tokenize"], table


def hotspots_hold_the_threshold():
    answer = json.loads(run("hotspots", "--threshold", "25", "--json", "a.folded").stdout)
    assert [spot["function"] for spot in answer["hotspots"]] == ["tokenize", "malloc"], answer
    assert answer["hotspots"][1]["samples"] == 35


def diff_says_what_changed():
    answer = json.loads(run("diff", "--json", "a.folded", "b.folded").stdout)
    rows = {row["name"]: row for row in answer["rows"]}
    assert rows["tokenize"]["flat"]["verdict"] == "grew"
    assert rows["malloc"]["flat"]["verdict"] == "chance"
    assert "tokenize" in run("diff", "--normalize", "a.folded", "b.folded").stdout
    run("diff", "-o", "d.svg", "a.folded", "b.folded")
    assert "Differential flame graph" in open("d.svg").read()


def convert_keeps_totals():
    for name in ("c.pb.gz", "c.pb.zst", "c.pb", "c.folded"):
        run("convert", "-o", name, "a.folded")
        assert json.loads(run("top", "--json", name).stdout)["total"] == 100, name
    for name in ("c.speedscope.json", "c.svg", "c.html"):
        run("convert", "-o", name, "a.folded")
        assert os.path.getsize(name) > 100, name
    assert json.loads(run("top", "--json", "-", stdin=FOLDED).stdout)["total"] == 100


def merge_adds():
    run("merge", "-o", "m.pb.gz", "a.folded", "a.folded", "b.folded")
    assert json.loads(run("top", "--json", "m.pb.gz").stdout)["total"] == 400


def flamegraph_forms():
    assert run("flamegraph", "a.folded").stdout.startswith("<?xml")
    run("flamegraph", "-o", "f.html", "--title", "A & B", "a.folded")
    assert "A &amp; B" in open("f.html").read()
    run("flamegraph", "-o", "f.svg", "--hide", "^malloc$", "--width", "800", "a.folded")
    text = open("f.svg").read()
    assert 'width="800"' in text and "<title>malloc" not in text and "<title>tokenize" in text


TESTS = [
    help_and_version,
    wrong_usage_is_2,
    failure_is_1_with_one_line,
    top_adds_up,
    hotspots_hold_the_threshold,
    diff_says_what_changed,
    convert_keeps_totals,
    merge_adds,
    flamegraph_forms,
]


def main():
    failed = 0
    print(f"1..{len(TESTS)}")
    with tempfile.TemporaryDirectory(prefix="ember-ctl-") as folder:
        os.chdir(folder)
        for name, text in (("a.folded", FOLDED), ("b.folded", AFTER)):
            with open(name, "w") as f:
                f.write(text)
        with open("garbage", "wb") as f:
            f.write(bytes(range(200, 256)) * 10)
        for number, test in enumerate(TESTS, 1):
            try:
                test()
                print(f"ok {number} - {test.__name__}")
            except (AssertionError, KeyError, ValueError, OSError) as e:
                failed += 1
                print(f"not ok {number} - {test.__name__}\n# {type(e).__name__}: {e}")
        os.chdir("/")
    return 1 if failed else 0


sys.exit(main())
