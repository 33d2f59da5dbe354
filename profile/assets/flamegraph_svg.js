(function () {
"use strict";
const script = document.currentScript;
const svg = script ? script.closest("svg") : document.documentElement;
const SVG = "http://www.w3.org/2000/svg", XHTML = "http://www.w3.org/1999/xhtml";
const PAD = 10, ROW = 18, TEXT_MIN = 28;
const width = svg.viewBox.baseVal.width, inner = width - 2 * PAD;
const header = svg.querySelector("#header"), details = svg.querySelector("#details");

/* Boxes in the order of a walk, parents first. */
const frames = Array.from(svg.querySelectorAll("#frames > g"), (g) => {
	const rect = g.querySelector("rect"), title = g.firstElementChild.textContent;

	return {
		g, rect, title,
		text: g.querySelector("text"),
		name: title.split("\n")[0],
		x: +rect.getAttribute("x"),
		width: +rect.getAttribute("width"),
		row: +rect.getAttribute("y") / ROW,
	};
});
if (!frames.length)
	return;
const stack = [];
frames.forEach((f, i) => {
	while (stack.length && stack[stack.length - 1].row >= f.row)
		stack.pop().end = i;
	f.index = i;
	f.parent = stack[stack.length - 1] || null;
	stack.push(f);
});
stack.forEach((f) => { f.end = frames.length; });
const frameOfGroup = new Map(frames.map((f) => [f.g, f]));
const root = frames[0];
let zoomed = root, current = root;

const probe = svg.appendChild(document.createElementNS(SVG, "text"));
probe.textContent = "m".repeat(100);
const character = probe.getComputedTextLength() / 100 || 7.23;
probe.remove();

function fit(f, x, w) {
	const room = Math.floor((w - 6) / character), name = Array.from(f.name);

	if (w < TEXT_MIN) {
		if (f.text)
			f.text.remove();
		f.text = null;
		return;
	}
	if (!f.text) {
		f.text = f.g.appendChild(document.createElementNS(SVG, "text"));
		f.text.setAttribute("y", +f.rect.getAttribute("y") + 13);
	}
	f.text.setAttribute("x", x + 3);
	f.text.textContent = name.length <= room ? f.name : name.slice(0, room - 1).join("") + "\u2026";
}

function draw(f, x, w, isAbove) {
	f.shown = w >= 0.1;
	f.g.style.display = f.shown ? "" : "none";
	f.g.classList.toggle("above", isAbove);
	if (!f.shown)
		return;
	f.rect.setAttribute("x", x);
	f.rect.setAttribute("width", w);
	fit(f, x, w);
}

function isAbove(f, other) {
	return f.index < other.index && other.index < f.end;
}

function zoom(to) {
	const scale = inner / to.width;

	zoomed = to;
	for (const f of frames) {
		if (f === to || isAbove(f, to))
			draw(f, PAD, inner, f !== to);
		else if (isAbove(to, f))
			draw(f, PAD + (f.x - to.x) * scale, f.width * scale, false);
		else
			draw(f, 0, 0, false);
	}
	reset.disabled = to === root;
}

/* The share of everything that lies in boxes that match; a match inside a match counts once. */
function find(text) {
	let expression = null, total = 0, end = 0;

	input.setAttribute("aria-invalid", "false");
	try {
		/* Small letters match both. */
		expression = text ? new RegExp(text, text === text.toLowerCase() ? "i" : "") : null;
	} catch (e) {
		input.setAttribute("aria-invalid", "true");
		matched.textContent = "not a regular expression";
	}
	for (const f of frames) {
		const isMatch = expression !== null && f !== root && expression.test(f.name);

		f.g.classList.toggle("match", isMatch);
		if (isMatch && f.index >= end) {
			total += f.width;
			end = f.end;
		}
	}
	if (expression || !text)
		matched.textContent = text ? (total / root.width * 100).toFixed(2) + " % matched" : "";
}

function show(f) {
	details.textContent = "";
	if (!f)
		return;
	const lines = f.title.split("\n"), room = Math.floor(inner / character);
	const text = lines.slice(1).join(" \u00b7 "), name = Array.from(lines[0]);
	const left = Math.max(room - text.length - 3, 20);

	details.textContent = (name.length > left ? name.slice(0, left - 1).join("") + "\u2026" : lines[0]) + " \u00b7 " + text;
}

function focus(f) {
	if (!f)
		return;
	current.g.setAttribute("tabindex", "-1");
	current = f;
	f.g.setAttribute("tabindex", "0");
	f.g.focus();
}

function children(f) {
	return frames.slice(f.index + 1, f.end).filter((c) => c.parent === f && c.shown);
}

function sibling(f, step) {
	if (!f.parent)
		return null;
	const all = children(f.parent), at = all.indexOf(f);

	return all[at + step] || null;
}

function widestChild(f) {
	return children(f).reduce((a, b) => (a && a.width >= b.width ? a : b), null);
}

const keys = {
	ArrowUp: () => focus(current.parent),
	ArrowDown: () => focus(widestChild(current)),
	ArrowLeft: () => focus(sibling(current, -1)),
	ArrowRight: () => focus(sibling(current, 1)),
	Home: () => focus(root),
	Enter: () => zoom(current),
	" ": () => zoom(current),
	Escape: () => zoom(root),
	"/": () => input.focus(),
};

function frameOf(target) {
	const g = target.closest && target.closest("#frames > g");

	return frameOfGroup.get(g) || null;
}

const foreign = header.appendChild(document.createElementNS(SVG, "foreignObject"));
foreign.setAttribute("x", Math.max(width - 480 - PAD, PAD));
foreign.setAttribute("y", width > 720 ? 8 : 50);
foreign.setAttribute("width", Math.min(480, inner));
foreign.setAttribute("height", 34);
const bar = foreign.appendChild(document.createElementNS(XHTML, "div"));
bar.className = "bar";
const matched = bar.appendChild(document.createElementNS(XHTML, "span"));
matched.id = "matched";
matched.setAttribute("aria-live", "polite");
const input = bar.appendChild(document.createElementNS(XHTML, "input"));
input.id = "search";
input.type = "search";
input.placeholder = "Search (regular expression)";
input.setAttribute("aria-label", "Search functions by regular expression");
const reset = bar.appendChild(document.createElementNS(XHTML, "button"));
reset.id = "reset";
reset.textContent = "Reset zoom";
reset.disabled = true;

input.addEventListener("input", () => find(input.value));
reset.addEventListener("click", () => zoom(root));
svg.addEventListener("click", (e) => {
	const f = frameOf(e.target);

	if (f) {
		focus(f);
		zoom(f);
	}
});
svg.addEventListener("mouseover", (e) => show(frameOf(e.target)));
svg.addEventListener("focusin", (e) => {
	const f = frameOf(e.target);

	if (f)
		show(f);
});
svg.addEventListener("keydown", (e) => {
	if (e.ctrlKey || e.metaKey || e.altKey)
		return;
	if (e.target === input) {
		if (e.key === "Escape") {
			input.value = "";
			find("");
			focus(current);
		}
		return;
	}
	if (e.target === reset || !keys[e.key])
		return;
	e.preventDefault();
	keys[e.key]();
});
document.addEventListener("keydown", (e) => {
	if (e.key === "/" && !svg.contains(e.target.closest ? e.target.closest("#frames, .bar") : null)) {
		e.preventDefault();
		input.focus();
	}
});

/* The header stays in sight while a deep picture scrolls below it. */
function follow() {
	const box = svg.getBoundingClientRect(), scale = svg.viewBox.baseVal.height / box.height || 1;

	header.setAttribute("transform", "translate(0 " + Math.max(0, -box.top * scale) + ")");
}
window.addEventListener("scroll", follow, { passive: true });

svg.setAttribute("role", "group");
for (const f of frames) {
	f.shown = true;
	f.g.setAttribute("tabindex", f === root ? "0" : "-1");
	f.g.setAttribute("role", "button");
	fit(f, f.x, f.width);
}
})();
