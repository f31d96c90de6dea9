// SPDX-License-Identifier: Apache-2.0
"use strict";
const $ = id => document.getElementById(id);
let key = "", timer = 0, socket = null, terminal = null, lists = {};

const MAX_ROWS = 200;

async function api(method, path, body) {
	const answer = await fetch(path, {
		method, cache: "no-store", credentials: "omit", redirect: "error",
		headers: { Authorization: "Bearer " + key, ...(body ? { "Content-Type": "application/json" } : {}) },
		body: body ? JSON.stringify(body) : undefined,
	});
	const text = await answer.text();
	if (!answer.ok) {
		let why = text;
		try { why = JSON.parse(text).error || text; } catch { /* no JSON: the text itself */ }
		throw Object.assign(new Error(why || `the Server answered ${answer.status}`), { status: answer.status });
	}
	return text ? JSON.parse(text) : null;
}

function say(text, bad) {
	$("state").textContent = text;
	$("state").className = bad ? "bad" : "";
}

function element(name, text, ...children) {
	const node = document.createElement(name);
	if (text !== undefined && text !== null)
		node.textContent = text;
	node.append(...children);
	return node;
}

function button(text, label, action) {
	const node = element("button", text);
	node.setAttribute("aria-label", label);
	node.onclick = async () => {
		node.disabled = true;
		try { await action(); } catch (e) { say(e.message, true); } finally { node.disabled = false; }
	};
	return node;
}

function state(s, job) {
	// A target without an agent has no state of its own when it is done.
	const name = s ? s.name === "undefined" ? "ready" : s.name : "unknown", node = element("span", name);
	node.className = /^(ready|started|success)$/.test(name) ? "good" :
		/error|unresponsive|unavailable/.test(name) ? "bad" : /ing$|^pending/.test(name) ? "wait" : "";
	const why = s && s.error || (job && job.state === "error" ? job.error : "");
	return why ? element("span", null, node, Object.assign(element("span", why), { className: "why" })) : node;
}

function ago(time) {
	const s = Math.max(0, Math.round((Date.now() - Date.parse(time)) / 1000));
	if (!time || Number.isNaN(s)) return "never";
	return s < 90 ? `${s} s ago` : s < 5400 ? `${Math.round(s / 60)} min ago` : s < 172800 ? `${Math.round(s / 3600)} h ago` :
		`${Math.round(s / 86400)} days ago`;
}

/* rows: [key, [cells]]; what has not changed stays, so that focus and selection do. */
function fill(table, rows, none) {
	const body = $(table).tBodies[0], labels = [...$(table).tHead.rows[0].cells].map(th => th.textContent);
	const old = new Map([...body.rows].map(tr => [tr.dataset.key, tr]));
	const more = rows.length > MAX_ROWS ? rows.length - MAX_ROWS : 0;
	rows = rows.slice(0, MAX_ROWS);
	body.replaceChildren(...rows.map(([id, print, cells]) => {
		let tr = old.get(id);
		if (tr && tr.dataset.print === print)
			return tr;
		const focused = tr && tr.contains(document.activeElement) ? document.activeElement.textContent : null;
		tr = element("tr", null, ...cells().map((cell, i) => {
			const td = element("td", null, cell instanceof Array ? element("div", null, ...cell) : cell);
			td.dataset.label = labels[i];
			return td;
		}));
		tr.dataset.key = id;
		tr.dataset.print = print;
		if (focused)
			setTimeout(() => [...tr.querySelectorAll("button")].filter(b => b.textContent === focused).forEach(b => b.focus()));
		return tr;
	}));
	if (!rows.length || more)
		body.append(element("tr", null, Object.assign(element("td", more ? `and ${more} more: use the filter` : none), { colSpan: 9 })));
}

function shown(words) {
	const wanted = $("filter").value.trim().toLowerCase();
	return !wanted || words.join(" ").toLowerCase().includes(wanted);
}

async function act(kind, item, verb) {
	if (verb === "delete" && !await sure(`Delete ${kind} ${item.name}${kind === "workspace" ? " and all its files" : ""}?`))
		return;
	if (verb === "delete")
		await api("DELETE", `/${kind}/${item.id}`);
	else
		await api("POST", `/${kind}/${item.id}/${verb}`);
	say(`${kind} ${item.name}: ${verb} was asked for`);
	await refresh();
}

function actions(kind, item, verbs) {
	const nodes = verbs.map(verb => button(verb, `${verb} ${kind} ${item.name}`, () => act(kind, item, verb)));
	if (kind === "workspace")
		nodes.unshift(button("terminal", `terminal in ${item.name}`, () => openTerminal(item)));
	nodes.push(button("log", `log of ${kind} ${item.name}`, () => openLog(kind, item)));
	return nodes;
}

function show() {
	const { runners, targets, workspaces, jobs } = lists;
	const names = new Map([...runners, ...targets, ...workspaces].map(x => [x.id, x.name]));
	fill("workspaces", workspaces.filter(w => shown([w.name, w.id, w.repository && w.repository.url])).map(w => [w.id,
		JSON.stringify([w.name, w.state && w.state.name, w.state && w.state.error, w.lastJob && w.lastJob.error, w.targetId]), () => [
			element("strong", w.name), state(w.state, w.lastJob), w.repository ? w.repository.url : "", names.get(w.targetId) || w.targetId,
			actions("workspace", w, ["start", "stop", "restart", "delete"])]]), "No workspace yet.");
	fill("targets", targets.filter(t => shown([t.name, t.id])).map(t => [t.id,
		JSON.stringify([t.name, t.state, t.workspaces && t.workspaces.length]), () => [
			element("strong", t.name), state(t.state, t.lastJob), t.targetConfig.providerInfo.name,
			String((t.workspaces || []).length), actions("target", t, ["start", "stop", "restart", "delete"])]]), "No target yet.");
	fill("runners", runners.filter(r => shown([r.name, r.id])).map(r => {
		const m = r.metadata || {}, state = [ago(m.updatedAt), String(m.runningJobs || 0), (m.providers || []).map(p => p.name).join(", ")];
		return [r.id, JSON.stringify([r.name, state]), () => [element("strong", r.name), ...state,
			[button("log", `log of runner ${r.name}`, () => openLog("runner", r))]]];
	}), "No runner yet: daytona-runner create prints the line for its machine.");
	jobs.sort((a, b) => Date.parse(b.createdAt) - Date.parse(a.createdAt));
	fill("jobs", jobs.filter(j => shown([j.id, j.action, names.get(j.resourceId)])).map(j => [j.id,
		JSON.stringify([j.state, j.error, ago(j.createdAt)]), () => [ago(j.createdAt), `${j.action} (${j.id})`,
			`${j.resourceType} ${names.get(j.resourceId) || j.resourceId}`,
			state({ name: j.state, error: j.error }),
			/^(pending|running)$/.test(j.state) ? [button("cancel", `cancel job ${j.id}`, () => api("POST", `/job/${j.id}/cancel`).then(refresh))] : ""]]),
	"No job yet.");
}

async function refresh() {
	clearTimeout(timer);
	const began = performance.now();
	try {
		const [runners, targets, workspaces, jobs] = await Promise.all(["/runner", "/target", "/workspace", `/job?limit=${MAX_ROWS}`].map(p => api("GET", p)));
		lists = { runners: runners || [], targets: targets || [], workspaces: workspaces || [], jobs: jobs || [] };
		show();
		if ($("state").dataset.away)
			say("");
		delete $("state").dataset.away;
	} catch (e) {
		if (e.status === 401 || e.status === 403) {
			forget();
			return say(e.status === 401 ? "The Server does not know this key." : "This is no client key: daytona-runner server key create NAME makes one.", true);
		}
		$("state").dataset.away = "1";
		say(`The Server does not answer (${e.message}); asking again`, true);
	}
	if (key)
		timer = setTimeout(refresh, document.hidden ? 30000 : Math.max(2000, 20 * (performance.now() - began)));
}

function forget() {
	key = "";
	clearTimeout(timer);
	lists = {};
	$("main").hidden = $("forget").hidden = true;
	$("login").hidden = false;
	$("login").key.value = "";
	$("login").key.focus();
}

function sure(text) {
	$("sure-text").textContent = text;
	$("sure").returnValue = "";
	$("sure").showModal();
	return new Promise(done => { $("sure").onclose = () => done($("sure").returnValue === "yes"); });
}

/* Log and terminal. */

function webSocket(path) {
	const url = new URL(path, location.href);
	url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
	const s = new WebSocket(url, ["daytona", "daytona.key." + key]);
	s.binaryType = "arraybuffer";
	return s;
}

function view(title, what) {
	closeViewer();
	$("viewer-title").textContent = title;
	$("log").hidden = what !== "log";
	$("terminal").hidden = what !== "terminal";
	$("viewer").showModal();
}

function closeViewer() {
	if (socket) {
		socket.onclose = socket.onmessage = null;
		socket.close();
	}
	socket = terminal = null;
	if ($("viewer").open)
		$("viewer").close();
}

function openLog(kind, item) {
	view(`Log of ${kind} ${item.name}`, "log");
	const log = $("log");
	log.textContent = "";
	log.focus();
	socket = webSocket(`/log/${kind}/${item.id}?follow=true`);
	socket.onmessage = e => {
		const at = log.scrollTop + log.clientHeight >= log.scrollHeight - 30;
		for (const line of e.data.split("\n")) {
			let entry = null;
			try { entry = JSON.parse(line); } catch { /* no entry */ }
			if (entry && entry.msg)
				log.append(entry.msg.replace(/\x1b\[[0-9;?]*[A-Za-z]/g, "").replace(/\r(?!\n)/g, "\n"));
		}
		while (log.childNodes.length > 5000)
			log.firstChild.remove();
		if (at)
			log.scrollTop = log.scrollHeight;
	};
	socket.onclose = e => log.append(e.code === 1000 ? "" : `\n(the Server closed the log${e.reason ? ": " + e.reason : ""})\n`);
}

/*
 * A terminal through the tunnel (docs/protocol.md, section 15): the first byte of a message is its channel. What is under way is
 * bounded: each side sends no more than the other has granted.
 */
const IN = 0, OUT = 1, NOTE = 3, SIZE = 4, GRANT = 6, WINDOW = 256 * 1024;

function message(channel, bytes) {
	const all = new Uint8Array(1 + bytes.length);
	all[0] = channel;
	all.set(bytes, 1);
	return all;
}

function four(a, b) {
	return [a >> 8, a & 255, b >> 8, b & 255];
}

class Keyboard { // what was typed waits until it may be sent
	constructor(s) {
		this.s = s;
		this.may = WINDOW;
		this.waiting = [];
		this.length = 0;
		this.encoder = new TextEncoder();
	}

	type(text) {
		const bytes = this.encoder.encode(text);
		if (this.length + bytes.length > 16 * WINDOW)
			return; // nobody reads there
		this.waiting.push(bytes);
		this.length += bytes.length;
		this.push();
	}

	push() {
		while (this.waiting.length && this.may > 0 && this.s.readyState === WebSocket.OPEN) {
			const bytes = this.waiting.shift(), now = bytes.subarray(0, Math.min(this.may, 16384));
			if (now.length < bytes.length)
				this.waiting.unshift(bytes.subarray(now.length));
			this.s.send(message(IN, now));
			this.may -= now.length;
			this.length -= now.length;
		}
	}
}

function openTerminal(item) {
	view(`Terminal in ${item.name}`, "terminal");
	const s = webSocket(`/workspace/${item.id}/tunnel?kind=pty`), keyboard = new Keyboard(s), encoder = new TextEncoder();
	let taken = 0, ended = "";
	socket = s;
	terminal = new Terminal($("screen"), $("keys"), text => keyboard.type(text), (cols, rows) => {
		if (s.readyState === WebSocket.OPEN)
			s.send(message(SIZE, four(cols, rows)));
	});
	const mine = terminal;
	s.onopen = () => {
		s.send(message(NOTE, encoder.encode(JSON.stringify({ columns: mine.cols, rows: mine.rows, env: { TERM: "xterm-256color" } }))));
		keyboard.push();
	};
	s.onmessage = e => {
		const bytes = new Uint8Array(e.data), channel = bytes[0], rest = bytes.subarray(1);
		if (channel === OUT) {
			mine.write(rest);
			taken += rest.length;
			if (taken > WINDOW / 4) {
				s.send(message(GRANT, four(taken >>> 16, taken & 65535)));
				taken = 0;
			}
		} else if (channel === GRANT && rest.length === 4) {
			keyboard.may += new DataView(rest.buffer, rest.byteOffset).getUint32(0);
			keyboard.push();
		} else if (channel === NOTE) {
			const how = JSON.parse(new TextDecoder().decode(rest));
			ended = how.signal ? `ended by signal ${how.signal}` : `ended with status ${how.exit}`;
		}
	};
	s.onclose = e => mine.write(`\r\n(${ended || e.reason || "the connection was lost"}; Close shuts this)\r\n`);
	$("keys").focus();
}

/* Create. */

function field(label, name, control, hint) {
	const node = element("label", label + " ");
	control.name = name;
	node.append(control);
	if (hint)
		node.append(element("small", hint));
	return node;
}

function input(required, placeholder) {
	return Object.assign(document.createElement("input"), { required, placeholder: placeholder || "", autocomplete: "off" });
}

function choice(options) {
	return element("select", null, ...options.map(([value, text]) => Object.assign(element("option", text), { value })));
}

function newId() {
	const bytes = crypto.getRandomValues(new Uint8Array(6));
	const id = [...bytes].map(b => b.toString(16).padStart(2, "0")).join("");
	return /[a-f]/.test(id) ? id : newId(); // all digits would be a number to some
}

function create(title, fields, make) {
	const dialog = $("create"), form = dialog.querySelector("form");
	$("create-title").textContent = title;
	$("fields").replaceChildren(...fields);
	$("create-error").textContent = "";
	$("create-do").onclick = async e => {
		e.preventDefault();
		if (!form.reportValidity())
			return;
		$("create-do").disabled = true;
		try {
			await make(Object.fromEntries(new FormData(form)));
			dialog.close();
			await refresh();
		} catch (error) {
			$("create-error").textContent = error.message;
		} finally {
			$("create-do").disabled = false;
		}
	};
	dialog.showModal();
}

$("new-target").onclick = async () => {
	let configs;
	try {
		configs = await api("GET", "/target-config");
	} catch (e) {
		return say(e.message, true);
	}
	if (!configs || !configs.length)
		return say("No runner offers a place for a target yet: start one first.", true);
	create("New target", [field("Name", "name", input(true, "laptop")),
		field("Where", "config", choice(configs.map(c => [c.id, `${c.name} (${c.providerInfo.name} on ${c.providerInfo.runnerName})`])))],
	form => api("POST", "/target", { id: newId(), name: form.name, targetConfigId: form.config }));
};

$("new-workspace").onclick = () => {
	if (!lists.targets.length)
		return say("Make a target first.", true);
	create("New workspace", [
		field("Repository", "url", input(true, "https://git.example.com/me/project")),
		field("Branch", "branch", input(false), "empty: the repository's own"),
		field("Name", "name", input(false), "empty: from the repository"),
		field("Target", "target", choice(lists.targets.map(t => [t.id, t.name]))),
		field("Environment", "how", choice([["auto", "dev container, if the repository has one"], ["image", "the image below"]])),
		field("Image", "image", input(false), "empty: the Server's default"),
	], async form => {
		const repository = await api("POST", "/gitprovider/context", { url: form.url.trim(), ...(form.branch ? { branch: form.branch } : {}) });
		repository.source ||= "git"; // a host that has neither users nor groups, or a path
		repository.owner ||= repository.source;
		const taken = new Set(lists.workspaces.map(w => w.name));
		let name = form.name || repository.name.replace(/[^\w.-]/g, "-") || "workspace";
		for (let n = 2, base = name; !form.name && taken.has(name); n++)
			name = `${base}-${n}`;
		const w = { id: newId(), name, targetId: form.target, envVars: {}, labels: {}, source: { repository } };
		if (form.how === "auto") w.buildConfig = {};
		if (form.image) w.image = form.image;
		await api("POST", "/workspace", w);
		say(`workspace ${name} is being made; its log shows how`);
	});
};

$("login").onsubmit = async e => {
	e.preventDefault();
	key = $("login").key.value.trim();
	if (!/^[\w.~+/=-]+$/.test(key)) {
		key = "";
		return say("This is no API key.", true);
	}
	say("");
	await refresh();
	if (!key)
		return;
	$("login").key.value = "";
	$("login").hidden = true;
	$("main").hidden = $("forget").hidden = false;
};
$("forget").onclick = () => { forget(); say("The key is forgotten."); };
$("filter").oninput = () => lists.runners && show();
$("viewer-close").onclick = closeViewer;
$("viewer").oncancel = e => { if (terminal) e.preventDefault(); else closeViewer(); }; // Escape is the terminal's
document.onvisibilitychange = () => { if (!document.hidden && key) refresh(); };
addEventListener("resize", () => terminal && terminal.fit());
addEventListener("pageshow", e => { if (e.persisted) forget(); });
