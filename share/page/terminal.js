// SPDX-License-Identifier: Apache-2.0
// A terminal as programs expect of TERM=xterm-256color (ECMA-48, and what xterm made of it). Cells and pens are never changed but
// replaced, so that they can be shared; a row that has changed has no node any more.
"use strict";
const PLAIN = { fg: null, bg: null, bold: false, dim: false, italic: false, under: false, inverse: false };
const KEPT = 2000; // rows that have left above

class Terminal {
	constructor(screen, keys, send, resized) {
		this.screen = screen;
		this.keys = keys;
		this.send = send;
		this.resized = resized;
		this.decoder = new TextDecoder();
		this.past = []; // rows that have left above
		this.rest = "";
		this.size();
		this.reset();
		this.listen();
	}

	size() {
		const probe = document.createElement("span");
		probe.textContent = "0".repeat(50);
		this.screen.replaceChildren(document.createElement("div"));
		this.screen.firstChild.append(probe);
		const box = probe.getBoundingClientRect(), style = getComputedStyle(this.screen.firstChild);
		this.cellW = box.width / 50 || 8;
		this.cellH = parseFloat(style.height) || 17;
		const cols = Math.floor((this.screen.clientWidth - 8) / this.cellW);
		const rows = Math.floor((this.screen.clientHeight - 8) / this.cellH);
		this.cols = Math.max(20, Math.min(500, cols || 80));
		this.rows = Math.max(5, Math.min(200, rows || 24));
	}

	reset() {
		this.pen = PLAIN;
		this.x = this.y = 0;
		this.wrapNext = false;
		this.top = 0;
		this.bottom = this.rows - 1;
		this.saved = null;
		this.modes = { wrap: true, cursor: true, appCursor: false, insert: false, paste: false, origin: false };
		this.graphics = [false, false];
		this.shift = 0;
		this.grid = this.blank(this.rows);
		this.other = null;
		this.tabs = n => (Math.floor(n / 8) + 1) * 8;
		this.draw();
	}

	line() {
		if (this.blankPen !== this.pen) {
			this.blankPen = this.pen;
			this.empty = { c: " ", p: this.pen.bg ? { ...PLAIN, bg: this.pen.bg } : PLAIN };
		}
		return new Array(this.cols).fill(this.empty);
	}

	blank(n) {
		return Array.from({ length: n }, () => this.line());
	}

	fit() {
		const cols = this.cols, rows = this.rows;
		this.size();
		if (cols === this.cols && rows === this.rows)
			return this.draw();
		for (const grid of [this.grid, this.other && this.other.grid]) {
			if (!grid)
				continue;
			while (grid.length > this.rows)
				if (grid === this.grid && this.y < grid.length - 1)
					grid.pop();
				else
					(grid === this.grid && this.y--, grid.shift());
			while (grid.length < this.rows)
				grid.push(this.line());
			for (const row of grid) {
				row.length = Math.min(row.length, this.cols);
				while (row.length < this.cols)
					row.push(this.empty);
				row.node = null;
			}
		}
		this.top = 0;
		this.bottom = this.rows - 1;
		this.x = Math.min(this.x, this.cols - 1);
		this.y = Math.max(0, Math.min(this.y, this.rows - 1));
		this.resized(this.cols, this.rows);
		this.draw();
	}

	write(bytes) {
		let text = this.rest + (typeof bytes === "string" ? bytes : this.decoder.decode(bytes, { stream: true }));
		this.rest = "";
		for (let i = 0; i < text.length;) {
			if (text[i] === "\x1b") {
				const used = this.escape(text.slice(i, i + 4096));
				if (!used) { // not whole yet
					this.rest = text.slice(i);
					if (this.rest.length > 4096)
						this.rest = "";
					break;
				}
				i += used;
				continue;
			}
			const code = text.codePointAt(i), c = code < 128 ? text[i] : String.fromCodePoint(code);
			i += c.length;
			if (code < 32 || code === 127)
				this.control(code);
			else
				this.put(c, code);
		}
		if (!this.waiting)
			this.waiting = requestAnimationFrame(() => { this.waiting = 0; this.draw(); });
	}

	control(code) {
		if (code === 8) {
			this.x = Math.max(0, this.x - 1);
			this.wrapNext = false;
		} else if (code === 9) {
			this.x = Math.min(this.cols - 1, this.tabs(this.x));
		} else if (code >= 10 && code <= 12) {
			this.down();
		} else if (code === 13) {
			this.x = 0;
			this.wrapNext = false;
		} else if (code === 14 || code === 15) {
			this.shift = 15 - code;
		}
	}

	wide(code) {
		return (code <= 0x115f || (code >= 0x2e80 && code <= 0xa4cf) ||
			(code >= 0xac00 && code <= 0xd7a3) || (code >= 0xf900 && code <= 0xfaff) || (code >= 0xfe30 && code <= 0xfe6f) ||
			(code >= 0xff00 && code <= 0xff60) || (code >= 0xffe0 && code <= 0xffe6) || (code >= 0x1f300 && code <= 0x1faff) ||
			(code >= 0x20000 && code <= 0x3fffd));
	}

	put(c, code) {
		if ((code >= 0x300 && code <= 0x36f) || code === 0x200d || (code >= 0xfe00 && code <= 0xfe0f)) {
			const row = this.grid[this.y], x = Math.max(0, this.wrapNext ? this.x : this.x - 1); // joins what stands before it
			if (row[x].c.length < 16)
				row[x] = { c: row[x].c + c, p: row[x].p };
			row.node = null;
			return;
		}
		if (this.graphics[this.shift] && code >= 0x60 && code < 0x7f)
			c = "◆▒␉␌␍␊°±␤␋┘┐┌└┼⎺⎻─⎼⎽├┤┴┬│≤≥π≠£·"[code - 0x60];
		const n = code >= 0x1100 && this.wide(code) ? 2 : 1;
		if (this.wrapNext || this.x + n > this.cols) {
			if (this.modes.wrap) {
				this.x = 0;
				this.down();
			} else {
				this.x = this.cols - n;
			}
			this.wrapNext = false;
		}
		const row = this.grid[this.y];
		if (this.modes.insert)
			row.splice(this.x, 0, ...this.line().slice(0, n)), row.length = this.cols;
		row[this.x] = { c, p: this.pen };
		if (n === 2)
			row[this.x + 1] = { c: "", p: this.pen };
		row.node = null;
		this.x += n;
		if (this.x >= this.cols) {
			this.x = this.cols - 1;
			this.wrapNext = true;
		}
	}

	down() {
		this.wrapNext = false;
		if (this.y === this.bottom)
			this.scroll(1);
		else if (this.y < this.rows - 1)
			this.y++;
	}

	scroll(n) { // > 0: the text goes up
		for (let i = 0; i < Math.min(Math.abs(n), this.rows); i++) {
			if (n > 0) {
				const [gone] = this.grid.splice(this.top, 1);
				this.grid.splice(this.bottom, 0, this.line());
				if (this.top === 0 && !this.other)
					this.keep(gone);
			} else {
				this.grid.splice(this.bottom, 1);
				this.grid.splice(this.top, 0, this.line());
			}
		}
	}

	keep(row) {
		this.past.push(row);
		if (this.past.length > 2 * KEPT)
			this.past.splice(0, KEPT);
	}

	escape(t) { // what was used of t; 0: more is needed
		if (t.length < 2)
			return 0;
		const kind = t[1];
		if (kind === "[") {
			const m = /^\x1b\[([<-?]?)([0-9;:]*)([ -/]*)([@-~])/.exec(t);
			if (m) {
				this.csi(m[1], m[2].split(/[;:]/).map(n => Math.min(9999, parseInt(n, 10) || 0)), m[3] + m[4]);
				return m[0].length;
			}
			return /^\x1b\[[<-?]?[0-9;:]*[ -/]*$/.test(t) && t.length < 200 ? 0 : 2;
		}
		if ("]P_^X".includes(kind)) { // a title, or a string for nobody
			const m = /\x07|\x1b\\/.exec(t);
			return m ? m.index + m[0].length : t.length < 4096 ? 0 : t.length;
		}
		if ("()*+#% ".includes(kind)) {
			if (t.length < 3)
				return 0;
			if (kind === "(" || kind === ")")
				this.graphics["()".indexOf(kind)] = t[2] === "0";
			return 3;
		}
		if (kind === "7") this.save();
		else if (kind === "8") this.restore();
		else if (kind === "D") this.down();
		else if (kind === "E") { this.x = 0; this.down(); }
		else if (kind === "M") { if (this.y === this.top) this.scroll(-1); else this.y = Math.max(0, this.y - 1); }
		else if (kind === "c") this.reset();
		return 2;
	}

	save() {
		this.saved = { x: this.x, y: this.y, pen: this.pen, graphics: [...this.graphics], shift: this.shift };
	}

	restore() {
		if (!this.saved)
			return this.move(0, 0);
		this.move(this.saved.x, this.saved.y);
		this.pen = this.saved.pen;
		this.graphics = [...this.saved.graphics];
		this.shift = this.saved.shift;
	}

	move(x, y) {
		this.x = Math.max(0, Math.min(this.cols - 1, x));
		this.y = Math.max(0, Math.min(this.rows - 1, y));
		this.wrapNext = false;
	}

	erase(y, from, to) {
		const blank = this.line();
		for (let x = Math.max(0, from); x < Math.min(this.cols, to); x++)
			this.grid[y][x] = blank[x];
		this.grid[y].node = null;
	}

	csi(mark, p, final) {
		const n = Math.max(1, p[0]), origin = this.modes.origin ? this.top : 0, row = this.grid[this.y];
		if (mark === "?" && (final === "h" || final === "l"))
			return p.forEach(mode => this.mode(mode, final === "h"));
		if (mark === ">" && final === "c")
			return this.send("\x1b[>0;10;0c");
		if (mark)
			return;
		switch (final) {
		case "A": return this.move(this.x, Math.max(this.y >= this.top ? this.top : 0, this.y - n));
		case "B": case "e": return this.move(this.x, Math.min(this.y <= this.bottom ? this.bottom : this.rows - 1, this.y + n));
		case "C": case "a": return this.move(this.x + n, this.y);
		case "D": return this.move(this.x - n, this.y);
		case "E": return this.move(0, this.y + n);
		case "F": return this.move(0, this.y - n);
		case "G": case "`": return this.move(n - 1, this.y);
		case "H": case "f": return this.move((p[1] || 1) - 1, n - 1 + origin);
		case "d": return this.move(this.x, n - 1 + origin);
		case "J":
			if (p[0] === 3) { this.past = []; return; }
			for (let y = 0; y < this.rows; y++)
				if (p[0] === 2 || (p[0] === 0 && y > this.y) || (p[0] === 1 && y < this.y))
					this.erase(y, 0, this.cols);
			if (p[0] < 2)
				this.csi("", p, "K");
			return;
		case "K": return this.erase(this.y, p[0] === 0 ? this.x : 0, p[0] === 1 ? this.x + 1 : this.cols);
		case "X": return this.erase(this.y, this.x, this.x + n);
		case "L": case "M":
			if (this.y < this.top || this.y > this.bottom)
				return;
			for (let i = 0; i < Math.min(n, this.rows); i++) {
				this.grid.splice(final === "L" ? this.bottom : this.y, 1);
				this.grid.splice(final === "L" ? this.y : this.bottom, 0, this.line());
			}
			return;
		case "@":
			row.node = null;
			row.splice(this.x, 0, ...this.line().slice(0, Math.min(n, this.cols)));
			row.length = this.cols;
			return;
		case "P":
			row.node = null;
			row.splice(this.x, n);
			return void row.push(...this.line().slice(0, this.cols - row.length));
		case "S": return this.scroll(n);
		case "T": return this.scroll(-n);
		case "m": return this.colours(p);
		case "r":
			this.top = Math.min(this.rows - 1, n - 1);
			this.bottom = Math.min(this.rows, p[1] || this.rows) - 1;
			if (this.bottom <= this.top) { this.top = 0; this.bottom = this.rows - 1; }
			return this.move(0, this.modes.origin ? this.top : 0);
		case "s": return this.save();
		case "u": return this.restore();
		case "h": case "l":
			if (p[0] === 4) this.modes.insert = final === "h";
			return;
		case "n":
			if (p[0] === 5) this.send("\x1b[0n");
			if (p[0] === 6) this.send(`\x1b[${this.y - origin + 1};${this.x + 1}R`);
			return;
		case "c": return this.send("\x1b[?62;22c");
		case "!p": return this.reset();
		}
	}

	mode(which, on) {
		if (which === 1) this.modes.appCursor = on;
		else if (which === 6) { this.modes.origin = on; this.move(0, on ? this.top : 0); }
		else if (which === 7) this.modes.wrap = on;
		else if (which === 25) this.modes.cursor = on;
		else if (which === 2004) this.modes.paste = on;
		else if ((which === 47 || which === 1047 || which === 1049) && on !== !!this.other) {
			if (on) {
				if (which === 1049) this.save();
				this.other = { grid: this.grid };
				this.grid = this.blank(this.rows);
			} else {
				this.grid = this.other.grid;
				this.other = null;
				if (which === 1049) this.restore();
			}
			}
	}

	colours(p) {
		for (let i = 0; i < p.length; i++) {
			const n = p[i];
			if (n === 0) { this.pen = PLAIN; continue; }
			const pen = this.pen = { ...this.pen };
			if (n === 1) pen.bold = true;
			else if (n === 2) pen.dim = true;
			else if (n === 3) pen.italic = true;
			else if (n === 4) pen.under = true;
			else if (n === 7) pen.inverse = true;
			else if (n === 22) pen.bold = pen.dim = false;
			else if (n === 23) pen.italic = false;
			else if (n === 24) pen.under = false;
			else if (n === 27) pen.inverse = false;
			else if (n === 39) pen.fg = null;
			else if (n === 49) pen.bg = null;
			else if (n >= 30 && n < 38) pen.fg = this.palette(n - 30);
			else if (n >= 40 && n < 48) pen.bg = this.palette(n - 40);
			else if (n >= 90 && n < 98) pen.fg = this.palette(n - 82);
			else if (n >= 100 && n < 108) pen.bg = this.palette(n - 92);
			else if (n === 38 || n === 48) {
				let colour = null;
				if (p[i + 1] === 5) { colour = this.palette(p[i + 2] || 0); i += 2; }
				else if (p[i + 1] === 2) { colour = `rgb(${p[i + 2] & 255},${p[i + 3] & 255},${p[i + 4] & 255})`; i += 4; }
				pen[n === 38 ? "fg" : "bg"] = colour;
			}
		}
	}

	palette(n) {
		if (n < 16)
			return ["#1c2126", "#e06c6c", "#7ec384", "#d8b25d", "#6ba4e8", "#c084d8", "#5bbfc4", "#c9d1d9",
				"#6e7781", "#ff9494", "#a5e6ab", "#f2d58a", "#9cc7ff", "#dfb2f2", "#8fe3e8", "#ffffff"][n];
		if (n < 232) {
			const level = v => (v ? 55 + v * 40 : 0);
			n -= 16;
			return `rgb(${level(Math.floor(n / 36))},${level(Math.floor(n / 6) % 6)},${level(n % 6)})`;
		}
		const grey = 8 + (Math.min(255, n) - 232) * 10;
		return `rgb(${grey},${grey},${grey})`;
	}

	rowNode(row, cursor) {
		const div = document.createElement("div");
		let span = null, pen = null, was = false, text = "";
		row.forEach((cell, x) => {
			const p = cell.p, at = x === cursor;
			if (p !== pen || at !== was) {
				if (span)
					span.textContent = text;
				span = document.createElement("span");
				text = "";
				const inverse = p.inverse !== at;
				if (inverse || p.fg) span.style.color = inverse ? p.bg || "#101418" : p.fg;
				if (inverse || p.bg) span.style.backgroundColor = inverse ? p.fg || "#d8dee6" : p.bg;
				if (p.bold) span.style.fontWeight = "bold";
				if (p.dim) span.style.opacity = ".6";
				if (p.italic) span.style.fontStyle = "italic";
				if (p.under) span.style.textDecoration = "underline";
				div.append(span);
				pen = p;
				was = at;
			}
			text += cell.c;
		});
		if (span)
			span.textContent = text;
		return div;
	}

	draw() {
		const screen = this.screen, follows = screen.scrollTop + screen.clientHeight >= screen.scrollHeight - 30;
		const rows = this.other ? this.grid : this.past.slice(-KEPT).concat(this.grid);
		const cursor = this.modes.cursor ? this.grid[this.y] : null;
		if (this.cursorRow && (this.cursorRow !== cursor || this.cursorX !== this.x))
			this.cursorRow.node = null;
		if (cursor && (this.cursorRow !== cursor || this.cursorX !== this.x))
			cursor.node = null;
		this.cursorRow = cursor;
		this.cursorX = this.x;
		for (const row of rows)
			row.node ||= this.rowNode(row, row === cursor ? this.x : -1);
		const wanted = new Set(rows.map(row => row.node));
		for (const node of [...screen.childNodes])
			if (!wanted.has(node))
				node.remove();
		let next = screen.firstChild;
		for (const row of rows) {
			if (row.node === next)
				next = next.nextSibling;
			else
				screen.insertBefore(row.node, next);
		}
		if (follows)
			screen.scrollTop = screen.scrollHeight;
	}

	text() {
		return this.grid.map(row => row.map(cell => cell.c).join("").trimEnd()).join("\n");
	}

	key(e) {
		const names = {
			Enter: "\r", Tab: "\t", Backspace: "\x7f", Escape: "\x1b", Delete: "\x1b[3~", Insert: "\x1b[2~",
			PageUp: "\x1b[5~", PageDown: "\x1b[6~", F1: "\x1bOP", F2: "\x1bOQ", F3: "\x1bOR", F4: "\x1bOS", F5: "\x1b[15~",
			F6: "\x1b[17~", F7: "\x1b[18~", F8: "\x1b[19~", F9: "\x1b[20~", F10: "\x1b[21~", F11: "\x1b[23~", F12: "\x1b[24~",
		};
		const letters = { ArrowUp: "A", ArrowDown: "B", ArrowRight: "C", ArrowLeft: "D", Home: "H", End: "F" };
		const mods = 1 + (e.shiftKey ? 1 : 0) + (e.altKey ? 2 : 0) + (e.ctrlKey ? 4 : 0);
		if (e.isComposing || e.metaKey)
			return null;
		if (letters[e.key])
			return mods > 1 ? `\x1b[1;${mods}${letters[e.key]}` : (this.modes.appCursor ? "\x1bO" : "\x1b[") + letters[e.key];
		if (e.key === "Tab" && e.shiftKey)
			return "\x1b[Z";
		if (names[e.key])
			return (e.altKey ? "\x1b" : "") + names[e.key];
		if (e.key.length === 1 && e.ctrlKey && !e.altKey) {
			if (e.shiftKey && "cv".includes(e.key.toLowerCase()))
				return null; // copy and paste, as terminals have it
			const code = e.key.toUpperCase().charCodeAt(0);
			if (code >= 64 && code < 96) return String.fromCharCode(code - 64);
			if (e.key === " ") return "\0";
			return null;
		}
		if (e.key.length === 1 && e.altKey && !e.ctrlKey)
			return "\x1b" + e.key;
		return null; // an input event brings it
	}

	listen() {
		this.keys.onkeydown = e => {
			const bytes = this.key(e);
			if (bytes === null)
				return;
			e.preventDefault();
			this.send(bytes);
		};
		this.keys.oninput = e => {
			if (e.isComposing)
				return;
			const text = this.keys.value;
			this.keys.value = "";
			if (text)
				this.send(text.replace(/\n/g, "\r"));
		};
		this.keys.oncompositionend = () => this.keys.oninput({ isComposing: false });
		this.keys.onpaste = e => {
			e.preventDefault();
			const text = e.clipboardData.getData("text").replace(/\r?\n/g, "\r").replace(/\x1b/g, "");
			this.send(this.modes.paste ? `\x1b[200~${text}\x1b[201~` : text);
		};
		this.screen.onmouseup = () => {
			if (getSelection().isCollapsed)
				this.keys.focus();
		};
	}
}
