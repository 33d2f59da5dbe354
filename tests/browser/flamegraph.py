#!/usr/bin/env python3
"""Flame graphs in a real browser: opened, searched, zoomed, reset, read by mouse and keyboard.

Usage: flamegraph.py EMBERCTL [FOLDER for screenshots]. Prints TAP."""

import os
import subprocess
import sys
import tempfile

import webdriver

EMBERCTL = sys.argv[1]
SHOTS = sys.argv[2] if len(sys.argv) > 2 else None
HERE = os.path.dirname(os.path.abspath(__file__))
SVG_FRAMES = """return Array.from(document.querySelectorAll("#frames > g")).map((g) => ({
    name: g.querySelector("title").textContent.split("\\n")[0], shown: g.style.display !== "none",
    x: +g.querySelector("rect").getAttribute("x"), width: +g.querySelector("rect").getAttribute("width"),
    text: g.querySelector("text") ? g.querySelector("text").textContent : ""}))"""
HOSTILE = [
    "</script><script>window.pwned=1</script>",
    "]]></script><script>window.pwned=2</script>",
    '"><img src=x onerror=window.pwned=3>',
    "<svg/onload=window.pwned=4>",
    "<!--<script>",
    "&#60script>window.pwned=5&lt/script>",
    "javascript:window.pwned=6",
]


def read_folded(text):
    stacks = {}
    for line in text.splitlines():
        stack, count = line.rsplit(" ", 1)
        stacks[tuple(stack.split(";"))] = int(count)
    return stacks


def share(stacks, matches):
    """Percent of all samples with a frame that matches, as the page should say it."""
    hit = sum(n for stack, n in stacks.items() if any(matches(name) for name in stack))
    return 100 * hit / sum(stacks.values())


class Pictures:
    """Files made by emberctl from the same generated profile, 1,000 distinct stacks."""

    def __init__(self, folder):
        self.folder = folder
        text = subprocess.run(
            [sys.executable, os.path.join(HERE, "stacks.py"), "1000"], check=True, capture_output=True, text=True
        ).stdout
        self.stacks = read_folded(text)
        self.put("a.folded", text)
        self.put("b.folded", "\n".join(self.changed()) + "\n")
        hostile = [f"main;{name};leaf 10" for name in HOSTILE] + ["main;bell\x07\x1b[31m 5"]
        self.put("hostile.folded", "\n".join(hostile).encode() + b"\nmain;bad\xff\xfe\xc0\xaf 5\n")
        self.emberctl("flamegraph", "a.folded", "a.svg", "a.html")
        self.emberctl("flamegraph", "hostile.folded", "hostile.svg", "hostile.html", "--title", HOSTILE[0])
        for form in ("svg", "html"):
            self.call("diff", "--normalize", "-o", self.path("diff." + form), self.path("a.folded"), self.path("b.folded"))
        self.put("img.html", f'<!DOCTYPE html><iframe sandbox="" srcdoc="<p>x</p>"></iframe><img id="i" src="a.svg">')

    def changed(self):
        for stack, n in self.stacks.items():
            if "btree_search" not in stack:
                yield ";".join(stack) + f" {n * 3 if 'tokenize' in stack else n}"
        yield "nginx;main;brand_new 900"

    def path(self, name):
        return os.path.join(self.folder, name)

    def put(self, name, data):
        with open(self.path(name), "wb") as f:
            f.write(data.encode() if isinstance(data, str) else data)

    def call(self, *arguments):
        subprocess.run([EMBERCTL, *arguments], check=True)

    def emberctl(self, command, source, *outputs_and_options):
        outputs = [o for o in outputs_and_options if o.endswith((".svg", ".html"))]
        for output in outputs:
            rest = [o for o in outputs_and_options if o not in outputs]
            self.call(command, "-o", self.path(output), *rest, self.path(source))


def equal(got, want, what):
    assert got == want, f"{what}: {got!r} is not {want!r}"


def near(got, want, slack, what):
    assert abs(got - want) <= slack, f"{what}: {got} is not {want}"


def matched_percent(text):
    assert text.endswith(" % matched"), f"the page says {text!r}"
    return float(text.split(" ")[0])


def frames_by_name(browser):
    return {f["name"]: f for f in reversed(browser.run(SVG_FRAMES))}


def svg_shows_all(browser, pictures):
    browser.open(pictures.path("a.svg"))
    frames = browser.run(SVG_FRAMES)
    near(frames[0]["width"], 1580, 0.01, "width of the root")
    total = sum(pictures.stacks.values())
    want = sum(n for stack, n in pictures.stacks.items() if stack[0] == "nginx") / total * 1580
    near(frames_by_name(browser)["nginx"]["width"], want, 0.01, "width of nginx")
    equal([f["name"] for f in frames if f["width"] >= 28 and not f["text"]], [], "boxes that could be read but have no text")
    assert len([f for f in frames if f["text"]]) > 60, "few names can be read"
    box = browser.run(
        "return Array.from(document.querySelectorAll('#frames text')).filter((t) => t.getBBox().width > "
        "+t.parentNode.querySelector('rect').getAttribute('width')).length"
    )
    equal(box, 0, "texts wider than their boxes")
    equal(browser.errors(), [], "complaints")


def svg_search_shows_the_share(browser, pictures):
    browser.open(pictures.path("a.svg"))
    browser.type("#search", "tokenize|^malloc$")
    text = browser.run("return document.getElementById('matched').textContent")
    want = share(pictures.stacks, lambda name: "tokenize" in name or name == "malloc")
    near(matched_percent(text), want, 0.03, "matched")
    names = browser.run(
        "return Array.from(document.querySelectorAll('.match > title')).map((t) => t.textContent.split('\\n')[0])"
    )
    equal({n.split("_step")[0] for n in names} - {"tokenize", "malloc"}, set(), "other names that match")
    equal(browser.run("return getComputedStyle(document.querySelector('.match rect')).fill"), "rgb(230, 59, 208)", "colour")
    browser.press(*"(")
    equal(browser.run("return document.getElementById('matched').textContent"), "not a regular expression", "bad regex")
    browser.press("Escape")
    equal(browser.run("return document.querySelectorAll('.match').length"), 0, "matches after Escape")


def svg_click_zooms_and_reset_restores(browser, pictures):
    browser.open(pictures.path("a.svg"))
    before = browser.run(SVG_FRAMES)
    browser.run("""const g = Array.from(document.querySelectorAll("#frames > g")).find((x) =>
        x.querySelector("title").textContent.startsWith("redis-server")); g.setAttribute("data-wanted", "")""")
    browser.click("[data-wanted] rect")
    frames = frames_by_name(browser)
    near(frames["redis-server"]["width"], 1580, 0.01, "width of the zoomed box")
    near(frames["all"]["width"], 1580, 0.01, "width of the root")
    equal(frames["nginx"]["shown"], False, "nginx is shown")
    assert len([f for f in browser.run(SVG_FRAMES) if f["shown"] and f["text"]]) > 40, "zooming in shows few names"
    assert browser.run("return document.querySelector('#frames > g').classList.contains('above')"), "the root is not pale"
    if SHOTS:
        browser.screenshot(os.path.join(SHOTS, "svg-zoomed.png"))
    browser.click("#reset")
    after = browser.run(SVG_FRAMES)
    equal([f["shown"] for f in after].count(False), 0, "hidden boxes after reset")
    for old, new in zip(before, after):
        near(new["x"], old["x"], 0.01, "x of " + old["name"])
        near(new["width"], old["width"], 0.01, "width of " + old["name"])


def svg_tool_tip_has_count_percent_and_value(browser, pictures):
    browser.open(pictures.path("a.svg"))
    samples = sum(n for stack, n in pictures.stacks.items() if stack[0] == "nginx")
    percent = 100 * samples / sum(pictures.stacks.values())
    want = f"nginx\n{samples:,} samples, {percent:.2f} %"
    got = browser.run("""const g = Array.from(document.querySelectorAll("#frames > g")).find((x) =>
        x.querySelector("title").textContent.startsWith("nginx\\n")); const r = g.getBoundingClientRect();
        return [g.querySelector("title").textContent, r.x + r.width / 2, r.y + r.height / 2]""")
    assert got[0].startswith(want), f"{got[0]!r} does not start with {want!r}"
    browser.pointer(got[1], got[2])
    text = browser.run("return document.getElementById('details').textContent")
    assert text.startswith(want.replace("\n", " \u00b7 ")), f"the line of details says {text!r}"


def svg_works_by_keyboard(browser, pictures):
    name = """return document.activeElement.querySelector("title").textContent.split("\\n")[0]"""
    browser.open(pictures.path("a.svg"))
    browser.run("document.querySelector('#frames > g').focus()")
    browser.press("Down")
    first = browser.run(name)
    frames = frames_by_name(browser)
    widest = max((f for n, f in frames.items() if n in ("nginx", "redis-server", "postgres")), key=lambda f: f["width"])
    equal(first, widest["name"], "the widest child")
    browser.press("Left")
    assert browser.run(name) != first, "Left does not move"
    browser.press("Right", "Enter")
    near(frames_by_name(browser)[first]["width"], 1580, 0.01, "width after Enter")
    browser.press("Escape")
    near(frames_by_name(browser)[first]["width"], frames[first]["width"], 0.01, "width after Escape")
    browser.press("/")
    equal(browser.run("return document.activeElement.id"), "search", "focus after /")


def svg_is_a_picture_without_script(browser, pictures):
    browser.open(pictures.path("img.html"))
    browser.wait_for(lambda: browser.run("return document.getElementById('i').complete"))
    equal(browser.run("return document.getElementById('i').naturalWidth"), 1600, "width of the picture")
    errors = [e for e in browser.errors() if "a.svg" in e]
    equal(errors, [], "complaints")


def names_cannot_run(browser, pictures):
    for form in ("svg", "html"):
        browser.open(pictures.path("hostile." + form))
        equal(browser.run("return window.pwned === undefined ? 'safe' : window.pwned"), "safe", "hostile names in " + form)
        equal(browser.run("return document.title"), HOSTILE[0], "title of the " + form)
        equal(browser.run("return document.querySelectorAll('img').length"), 0, "images in " + form)
        equal(browser.errors(), [], "complaints")
    browser.open(pictures.path("hostile.svg"))
    shown = set(frames_by_name(browser))
    equal(set(HOSTILE) - shown, set(), "names that are not shown as they are")


def html_draws(browser, pictures):
    browser.open(pictures.path("a.html"))
    painted = """const c = document.getElementById("canvas"), d = c.getContext("2d").getImageData(0, 0, c.width, c.height).data;
        let n = 0; for (let i = 3; i < d.length; i += 4) n += d[i] > 0; return n / (c.width * c.height)"""
    browser.wait_for(lambda: browser.run(painted) > 0.1)
    equal(browser.run("return document.documentElement.scrollWidth <= window.innerWidth"), True, "fits the window")
    equal(browser.errors(), [], "complaints")


def html_search_zoom_reset(browser, pictures):
    browser.open(pictures.path("a.html"))
    browser.type("#search", "tokenize|^malloc$")
    want = share(pictures.stacks, lambda name: "tokenize" in name or name == "malloc")
    text = browser.run("return document.getElementById('matched').textContent")
    near(matched_percent(text), want, 0.01, "matched")
    box = browser.run("const r = document.getElementById('canvas').getBoundingClientRect(); return [r.x, r.y, r.width]")
    total = sum(pictures.stacks.values())
    order = sorted({stack[0] for stack in pictures.stacks})
    starts, at = {}, 0
    for name in order:
        n = sum(c for stack, c in pictures.stacks.items() if stack[0] == name)
        starts[name] = (at / total, n / total, n)
        at += n
    start, width, samples = starts["redis-server"]
    x, y = box[0] + (start + width / 2) * box[2], box[1] + 18 + 9
    browser.pointer(x, y)
    tip = browser.run("return document.getElementById('tip').innerText")
    assert tip.startswith(f"redis-server\n{samples:,} samples, {100 * width:.2f} %"), f"the tool tip says {tip!r}"
    browser.pointer(x, y, click=True)
    equal(browser.run("return document.getElementById('reset').disabled"), False, "reset is disabled after a zoom")
    browser.pointer(box[0] + 5, y)
    browser.wait_for(lambda: browser.run("return document.getElementById('details').textContent").startswith("redis-server"))
    if SHOTS:
        browser.screenshot(os.path.join(SHOTS, "html-zoomed.png"))
    browser.click("#reset")
    browser.pointer(box[0] + 5, y)
    browser.wait_for(lambda: browser.run("return document.getElementById('details').textContent").startswith(order[0]))


def html_works_by_keyboard(browser, pictures):
    details = "return document.getElementById('details').textContent"
    browser.open(pictures.path("a.html"))
    browser.run("document.getElementById('canvas').focus()")
    browser.press("Down")
    first = browser.run(details)
    browser.press("Down")
    assert browser.run(details) != first, "Down does not move"
    browser.press("Up")
    equal(browser.run(details), first, "Up goes back")
    browser.press("Enter")
    equal(browser.run("return document.getElementById('reset').disabled"), False, "Enter zooms")
    browser.press("Escape")
    equal(browser.run("return document.getElementById('reset').disabled"), True, "Escape resets")
    browser.press("/")
    equal(browser.run("return document.activeElement.id"), "search", "focus after /")


def html_lists_functions(browser, pictures):
    browser.open(pictures.path("a.html"))
    browser.click("#list")
    rows = browser.run("""return Array.from(document.querySelectorAll("#functions tbody tr")).map((r) =>
        Array.from(r.cells).map((c) => c.textContent))""")
    leaf = {}
    for stack, n in pictures.stacks.items():
        leaf[stack[-1]] = leaf.get(stack[-1], 0) + n
    hottest = max(leaf, key=leaf.get)
    equal(rows[0][2], hottest, "the hottest function")
    near(float(rows[0][0].split()[0]), 100 * leaf[hottest] / sum(leaf.values()), 0.02, "its own share")
    near(float(rows[0][1].split()[0]), share(pictures.stacks, lambda name: name == hottest), 0.02, "its total share")
    browser.click("#functions tbody button")
    text = browser.run("return document.getElementById('matched').textContent")
    near(matched_percent(text), share(pictures.stacks, lambda name: name == hottest), 0.02, "matched after a click")


def html_has_two_themes_and_flips(browser, pictures):
    browser.open(pictures.path("a.html"))
    page = "return getComputedStyle(document.body).backgroundColor"
    light = browser.run(page)
    browser.click("#theme")
    assert browser.run(page) != light, "the page stays light"
    browser.click("#flip")
    equal(browser.run("return document.getElementById('flip').getAttribute('aria-pressed')"), "true", "flip")
    if SHOTS:
        browser.screenshot(os.path.join(SHOTS, "html-dark-flipped.png"))
    browser.click("#theme")
    equal(browser.run(page), light, "back to light")


def html_refuses_other_scripts(browser, pictures):
    browser.open(pictures.path("a.html"))
    browser.run("""const s = document.createElement("script"); s.textContent = "window.pwned = 1"; document.body.append(s);
        document.body.insertAdjacentHTML("beforeend", "<img src=x onerror='window.pwned = 2'>")""")
    equal(browser.run("return window.pwned === undefined"), True, "an injected script was held back")
    assert any("Content Security Policy" in e for e in browser.errors()), "the policy did not complain"


def diff_is_red_and_blue(browser, pictures):
    browser.open(pictures.path("diff.svg"))
    colours = browser.run("""const of = (name) => { const g = Array.from(document.querySelectorAll("#frames > g")).find((x) =>
        x.querySelector("title").textContent.startsWith(name + "\\n")); return [getComputedStyle(g.querySelector("rect")).fill,
        g.querySelector("title").textContent]; }; return [of("brand_new"), of("btree_search"), of("all")]""")
    channel = lambda c: [int(v) for v in c[4:-1].split(",")]
    new, gone = channel(colours[0][0]), channel(colours[1][0])
    assert new[0] > new[2] + 60, f"what is new is {new}"
    assert gone[2] > gone[0] + 60, f"what is gone is {gone}"
    assert "after 900 samples" in colours[0][1] and "grew by more than chance" in colours[0][1], colours[0][1]
    assert "gone" in colours[1][1] and "shrank by more than chance" in colours[1][1], colours[1][1]
    browser.open(pictures.path("diff.html"))
    browser.type("#search", "brand_new")
    assert matched_percent(browser.run("return document.getElementById('matched').textContent")) > 1
    equal(browser.errors(), [], "complaints")
    if SHOTS:
        browser.screenshot(os.path.join(SHOTS, "diff.png"))


TESTS = [
    svg_shows_all,
    svg_search_shows_the_share,
    svg_click_zooms_and_reset_restores,
    svg_tool_tip_has_count_percent_and_value,
    svg_works_by_keyboard,
    svg_is_a_picture_without_script,
    names_cannot_run,
    html_draws,
    html_search_zoom_reset,
    html_works_by_keyboard,
    html_lists_functions,
    html_has_two_themes_and_flips,
    html_refuses_other_scripts,
    diff_is_red_and_blue,
]


def main():
    if webdriver.missing():
        print(f"1..0 # SKIP {webdriver.missing()} is not installed")
        return 77
    failed = 0
    print(f"1..{len(TESTS)}", flush=True)
    with tempfile.TemporaryDirectory(prefix="ember-flamegraph-") as folder, webdriver.Browser() as browser:
        pictures = Pictures(folder)
        for number, test in enumerate(TESTS, 1):
            try:
                browser.errors()
                test(browser, pictures)
                print(f"ok {number} - {test.__name__}", flush=True)
            except (AssertionError, RuntimeError, TimeoutError, KeyError) as e:
                failed += 1
                print(f"not ok {number} - {test.__name__}\n# {type(e).__name__}: {e}", flush=True)
    return 1 if failed else 0


sys.exit(main())
