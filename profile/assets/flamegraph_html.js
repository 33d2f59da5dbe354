(function () {
"use strict";
const $ = (id) => document.getElementById(id);
const data = JSON.parse($("data").textContent);
const ROW = 18, FONT = '12px ui-monospace, "DejaVu Sans Mono", Menlo, Consolas, monospace';
const canvas = $("canvas"), context = canvas.getContext("2d"), graph = $("graph"), tip = $("tip");
const n = data.depth.length, rows = data.depth.reduce((a, b) => Math.max(a, b), 0) + 1;

/* ---- layout: boxes in the order of a walk, parents first; x and width as fractions of the whole ---- */

const x = new Float64Array(n), width = new Float64Array(n), parent = new Int32Array(n), end = new Int32Array(n);
const levels = Array.from({ length: rows }, () => []);

function weigh(i) {
	const before = Number(data.value[i]) * data.scale[0];

	return data.isDiff ? before + Number(data.valueAfter[i]) * data.scale[1] : before;
}

(function () {
	const path = [], next = [];

	for (let i = 0; i < n; i++) {
		while (path.length > data.depth[i])
			end[path.pop()] = i;
		const above = path.length ? path[path.length - 1] : -1;

		parent[i] = above;
		width[i] = weigh(i);
		x[i] = above < 0 ? 0 : next[data.depth[i] - 1];
		if (above >= 0)
			next[data.depth[i] - 1] += width[i];
		next[data.depth[i]] = x[i];
		path.push(i);
		levels[data.depth[i]].push(i);
	}
	for (const i of path)
		end[i] = n;
})();

let zoomed = 0, current = 0, hovered = -1, flipped = false, expression = null;
const matches = new Uint8Array(data.frames.length);

/* ---- words ---- */

const nameOf = (i) => (data.frame[i] < 0 ? "all" : data.frames[data.frame[i]][0]);
const exact = (v) => (typeof v === "string" ? BigInt(v) : v).toLocaleString("en-US");

function scaled(value, unit) {
	return (value === Math.floor(value) || value >= 100 ? value.toFixed(0) : value < 10 ? value.toFixed(2) : value.toFixed(1)) +
		" " + unit;
}

function human(v) {
	const times = [["d", 864e11], ["h", 36e11], ["min", 6e10], ["s", 1e9], ["ms", 1e6], ["us", 1e3], ["ns", 1]];
	const sizes = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
	const sign = v < 0 ? "-" : "", size = Math.abs(Number(v));

	if (data.unit === "nanoseconds") {
		const [unit, factor] = times.find((t) => size >= t[1]) || times[times.length - 1];

		return sign + scaled(size / factor, unit);
	}
	if (data.unit === "bytes") {
		const step = Math.min(Math.floor(Math.log2(Math.max(size, 1)) / 10), sizes.length - 1);

		return sign + scaled(size / Math.pow(1024, step), sizes[step]);
	}
	return exact(v);
}

function percent(value, whole) {
	return (Number(whole) ? Number(value) / Number(whole) * 100 : 0).toFixed(2) + " %";
}

function sentence(value, count, whole) {
	if (data.unit === "count")
		return exact(value) + " " + data.type + ", " + percent(value, whole);
	return human(value) + ", " + percent(value, whole) + " (" + exact(value) + " " + data.unit + " in " + exact(count) +
		(Number(count) === 1 ? " sample)" : " samples)");
}

function changeOf(i) {
	const shares = [data.value, data.valueAfter].map((v) => (Number(v[0]) ? Number(v[i]) / Number(v[0]) * 100 : 0));
	const before = Number(data.value[i]) * data.scale[0], after = Number(data.valueAfter[i]) * data.scale[1];
	const points = shares[1] - shares[0], sign = (v) => (v >= 0 ? "+" : "");
	let text = "change " + sign(points) + points.toFixed(2) + " points";

	if (before > 0 && after > 0)
		text += ", " + sign(after - before) + ((after / before - 1) * 100).toFixed(1) + " %";
	else
		text += before > 0 ? ", gone" : ", new";
	return text;
}

function linesOf(i) {
	const frame = data.frames[data.frame[i]], lines = [nameOf(i)];

	if (data.isDiff) {
		lines.push("before " + sentence(data.value[i], data.count[i], data.value[0]));
		lines.push("after " + sentence(data.valueAfter[i], data.countAfter[i], data.valueAfter[0]));
		lines.push(changeOf(i));
		if (frame && frame[4])
			lines.push(frame[4]);
	} else {
		lines.push(sentence(data.value[i], data.count[i], data.value[0]));
		if (Number(data.self[i]) && data.self[i] !== data.value[i])
			lines.push("self " + human(data.self[i]) + ", " + percent(data.self[i], data.value[0]));
	}
	if (frame)
		lines.push(frame[3]);
	return lines;
}

/* ---- drawing ---- */

function style(name) {
	return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

function colourOf(i) {
	const f = data.frame[i];

	if (f < 0)
		return style("--all");
	if (matches[f])
		return "#e63bd0";
	return data.isDiff ? data.steps[data.step[i]] : data.kinds[data.frames[f][1]][2 + data.frames[f][2]];
}

const size = { width: 0, height: 0, top: 0 };
const yOf = (i) => (flipped ? rows - 1 - data.depth[i] : data.depth[i]) * ROW;
const isAbove = (i, other) => i < other && other < end[i];

/* Where a box is on the canvas in CSS pixels, or null. */
function place(i) {
	const scale = size.width / width[zoomed];

	if (i === zoomed || isAbove(i, zoomed))
		return { x: 0, width: size.width, y: yOf(i) - size.top, faded: i !== zoomed };
	if (!isAbove(zoomed, i))
		return null;
	return { x: (x[i] - x[zoomed]) * scale, width: width[i] * scale, y: yOf(i) - size.top, faded: false };
}

let character = 7.23;

function drawLabel(i, box) {
	const room = Math.floor((box.width - 6) / character);
	let name = nameOf(i);

	if (name.length > room)
		name = Array.from(name).slice(0, room - 1).join("") + "\u2026";
	context.fillStyle = "#1b1b1b";
	context.fillText(name, box.x + 3, box.y + 13);
}

function drawBox(i, box) {
	const w = Math.max(box.width - (box.width > 3 ? 0.6 : 0), 0.4);

	context.globalAlpha = box.faded ? 0.5 : 1;
	context.fillStyle = colourOf(i);
	context.fillRect(box.x, box.y, w, ROW - 1);
	if (box.width >= 28)
		drawLabel(i, box);
	context.globalAlpha = 1;
	if (i === hovered || (i === current && document.activeElement === canvas)) {
		context.strokeStyle = i === hovered ? style("--text") : style("--focus");
		context.lineWidth = i === hovered ? 1 : 2;
		context.strokeRect(box.x + 0.5, box.y + 0.5, Math.max(w - 1, 1), ROW - 2);
	}
}

function draw() {
	const ratio = window.devicePixelRatio || 1;

	context.setTransform(ratio, 0, 0, ratio, 0, 0);
	context.clearRect(0, 0, size.width, size.height);
	context.font = FONT;
	character = context.measureText("m".repeat(50)).width / 50 || 7.23;
	for (let i = 0; i < n;) {
		const box = place(i);

		if (!box || box.width < 0.1) {
			i = box || !isAbove(i, zoomed) ? end[i] : i + 1;
			continue;
		}
		if (box.y > -ROW && box.y < size.height)
			drawBox(i, box);
		i++;
	}
	if (!n) {
		context.fillStyle = style("--muted");
		context.fillText("The profile holds no samples of this type.", 4, 24);
	}
}

let isAsked = false;

function redraw() {
	if (!isAsked)
		requestAnimationFrame(() => {
			isAsked = false;
			draw();
		});
	isAsked = true;
}

/* The canvas covers the window only; the graph below it is as tall as it needs to be. */
function resize() {
	const top = document.querySelector("header").offsetHeight, ratio = window.devicePixelRatio || 1;

	graph.style.height = Math.max(rows * ROW, 60) + "px";
	canvas.style.top = top + "px";
	$("functions").style.top = top + 8 + "px";
	size.width = graph.clientWidth;
	size.height = Math.min(Math.max(rows * ROW, 60), Math.max(window.innerHeight - top, 60));
	canvas.style.height = size.height + "px";
	canvas.width = Math.round(size.width * ratio);
	canvas.height = Math.round(size.height * ratio);
	follow();
}

function follow() {
	size.top = canvas.getBoundingClientRect().top - graph.getBoundingClientRect().top;
	redraw();
}

/* ---- finding ---- */

function pick(event) {
	const box = canvas.getBoundingClientRect(), px = event.clientX - box.left;
	const row = Math.floor((event.clientY - box.top + size.top) / ROW), level = levels[flipped ? rows - 1 - row : row] || [];
	let low = 0, high = level.length - 1;

	for (const i of level)
		if (isAbove(i, zoomed) || i === zoomed)
			return i;
	while (low <= high) {
		const middle = (low + high) >> 1, at = (x[level[middle]] - x[zoomed]) * size.width / width[zoomed];

		if (px < at)
			high = middle - 1;
		else if (px >= at + width[level[middle]] * size.width / width[zoomed])
			low = middle + 1;
		else
			return isAbove(zoomed, level[middle]) ? level[middle] : -1;
	}
	return -1;
}

function search(text) {
	const input = $("search"), matched = $("matched");
	let total = 0, last = 0;

	input.setAttribute("aria-invalid", "false");
	try {
		/* Small letters match both. */
		expression = text ? new RegExp(text, text === text.toLowerCase() ? "i" : "") : null;
	} catch (e) {
		expression = null;
		input.setAttribute("aria-invalid", "true");
	}
	data.frames.forEach((f, i) => { matches[i] = expression && expression.test(f[0]) ? 1 : 0; });
	/* A match inside a match counts once. */
	for (let i = 0; i < n; i++)
		if (i >= last && data.frame[i] >= 0 && matches[data.frame[i]]) {
			total += width[i];
			last = end[i];
		}
	matched.textContent = expression ? (total / width[0] * 100).toFixed(2) + " % matched" :
		text ? "not a regular expression" : "";
	redraw();
}

/* ---- acting ---- */

function zoom(i) {
	if (i < 0 || !n)
		return;
	zoomed = i;
	$("reset").disabled = i === 0;
	redraw();
}

function show(i) {
	$("details").textContent = i < 0 || !n ? "" : linesOf(i).join(" \u00b7 ");
}

function showTip(i, event) {
	tip.hidden = i < 0;
	if (i < 0)
		return;
	tip.textContent = "";
	linesOf(i).forEach((line, at) => {
		const row = tip.appendChild(document.createElement("div"));

		row.appendChild(document.createElement(at ? "span" : "b")).textContent = line;
	});
	const left = Math.min(event.clientX + 14, window.innerWidth - tip.offsetWidth - 8);
	const below = event.clientY + 18;

	tip.style.left = Math.max(left, 4) + "px";
	tip.style.top = (below + tip.offsetHeight > window.innerHeight ? event.clientY - tip.offsetHeight - 10 : below) + "px";
}

function focus(i) {
	if (i === undefined || i < 0 || i >= n)
		return;
	current = i;
	const y = yOf(i), header = document.querySelector("header").offsetHeight;

	if (y < size.top)
		window.scrollBy(0, y - size.top);
	else if (y + ROW > size.top + window.innerHeight - header)
		window.scrollBy(0, y + ROW - size.top - window.innerHeight + header);
	show(i);
	redraw();
}

function children(i) {
	return (levels[data.depth[i] + 1] || []).filter((c) => parent[c] === i);
}

function sibling(step) {
	const all = current ? children(parent[current]) : [];

	return all[all.indexOf(current) + step];
}

function up() {
	return parent[current];
}

function down() {
	return children(current).reduce((a, b) => (a !== undefined && width[a] >= width[b] ? a : b), undefined);
}

const keys = {
	ArrowUp: () => focus(flipped ? down() : up()),
	ArrowDown: () => focus(flipped ? up() : down()),
	ArrowLeft: () => focus(sibling(-1)),
	ArrowRight: () => focus(sibling(1)),
	Home: () => focus(0),
	Enter: () => zoom(current),
	" ": () => zoom(current),
	Escape: () => zoom(0),
};

/* ---- the list of functions ---- */

let order = 1;

/* Recursion counts once in the total: a box below one of the same function adds nothing. */
function functionRows() {
	const self = new Float64Array(data.frames.length), total = new Float64Array(data.frames.length);
	const inside = new Int32Array(data.frames.length);

	for (let i = 1; i < n; i++) {
		const f = data.frame[i];

		self[f] += width[i];
		if (parent[i] > 0)
			self[data.frame[parent[i]]] -= width[i];
		if (i >= inside[f]) {
			total[f] += width[i];
			inside[f] = end[i];
		}
	}
	return data.frames.map((f, i) => [f[0], self[i] / width[0] * 100, total[i] / width[0] * 100]);
}

function cell(row, tag, child) {
	const c = row.appendChild(document.createElement(tag));

	c.append(child);
	return c;
}

function button(text, action) {
	const b = document.createElement("button");

	b.type = "button";
	b.textContent = text;
	b.addEventListener("click", action);
	return b;
}

let listed = null;

function list() {
	const table = document.createElement("table"), head = table.createTHead().insertRow(), body = table.createTBody();

	listed = listed || functionRows();
	["self", "total"].forEach((name, i) => {
		cell(head, "th", button(name + (order === i + 1 ? " \u25be" : ""), () => {
			order = i + 1;
			list();
		}));
	});
	cell(head, "th", "function");
	for (const row of listed.slice().sort((a, b) => b[order] - a[order]).slice(0, 500)) {
		const tr = body.insertRow();

		cell(tr, "td", row[1].toFixed(2) + " %");
		cell(tr, "td", row[2].toFixed(2) + " %");
		cell(tr, "td", button(row[0], () => {
			$("search").value = "^" + row[0].replace(/[\\^$.*+?()[\]{}|]/g, "\\$&") + "$";
			search($("search").value);
		})).title = row[0];
	}
	$("functions").replaceChildren(table);
}

/* ---- wiring ---- */

function legend() {
	const middle = (data.steps.length - 1) / 2;
	const entries = data.isDiff ?
		[["gone", data.steps[0]], ["shrank", data.steps[middle / 2]], ["as before", data.steps[middle]],
			["grew", data.steps[middle * 1.5]], ["new", data.steps[middle * 2]], ["pale: may be chance", null]] :
		data.kinds.filter((k) => k[1]).map((k) => [k[0], k[2]]);

	for (const [name, colour] of entries) {
		const chip = $("legend").appendChild(document.createElement("span"));

		if (colour)
			chip.appendChild(document.createElement("i")).style.background = colour;
		chip.append(name);
	}
}

function isDark() {
	const theme = document.documentElement.dataset.theme;

	return theme ? theme === "dark" : window.matchMedia("(prefers-color-scheme: dark)").matches;
}

function setTheme(theme) {
	if (theme)
		document.documentElement.dataset.theme = theme;
	$("theme").textContent = isDark() ? "Light" : "Dark";
	redraw();
}

canvas.addEventListener("mousemove", (e) => {
	const i = pick(e);

	if (i !== hovered) {
		hovered = i;
		show(i);
		redraw();
	}
	showTip(i, e);
});
canvas.addEventListener("mouseleave", () => {
	hovered = -1;
	tip.hidden = true;
	redraw();
});
canvas.addEventListener("click", (e) => {
	const i = pick(e);

	if (i < 0)
		return;
	current = i;
	show(i);
	zoom(i);
});
canvas.addEventListener("focus", () => {
	if (hovered < 0)
		focus(current);
});
canvas.addEventListener("blur", redraw);
canvas.addEventListener("keydown", (e) => {
	if (e.ctrlKey || e.metaKey || e.altKey || !keys[e.key])
		return;
	e.preventDefault();
	keys[e.key]();
});
document.addEventListener("keydown", (e) => {
	if (e.key === "/" && e.target.tagName !== "INPUT") {
		e.preventDefault();
		$("search").focus();
	}
});
$("search").addEventListener("input", () => search($("search").value));
$("search").addEventListener("keydown", (e) => {
	if (e.key === "Escape") {
		$("search").value = "";
		search("");
		canvas.focus();
	}
});
$("reset").addEventListener("click", () => zoom(0));
$("flip").addEventListener("click", () => {
	flipped = !flipped;
	$("flip").setAttribute("aria-pressed", String(flipped));
	redraw();
});
$("list").addEventListener("click", () => {
	const isOpen = $("functions").hidden;

	$("functions").hidden = !isOpen;
	$("list").setAttribute("aria-pressed", String(isOpen));
	if (isOpen)
		list();
	resize();
});
$("theme").addEventListener("click", () => setTheme(isDark() ? "light" : "dark"));
window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => setTheme(null));
window.addEventListener("resize", resize);
window.addEventListener("scroll", follow, { passive: true });

legend();
setTheme(null);
resize();
})();
