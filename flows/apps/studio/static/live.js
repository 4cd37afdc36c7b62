"use strict";
/* The connection: sends the newest wish, receives pictures and messages, and comes back after it was lost. */

class Live {
  constructor(token, handlers) {
    this.token = token; this.handlers = handlers; this.seq = 0; this.sent = new Map(); this.wait = 500;
    this.tab = Array.from(crypto.getRandomValues(new Uint8Array(12)), (n) => n.toString(16).padStart(2, "0")).join("");
    this.stats = { pictures: 0, drafts: 0, latencies_ms: [], times_ms: [], draw_ms: [], reconnects: 0 };
    this.open();
  }
  open() {
    const scheme = location.protocol === "https:" ? "wss" : "ws";
    this.socket = new WebSocket(`${scheme}://${location.host}/live?token=${encodeURIComponent(this.token)}&tab=${this.tab}`);
    this.socket.binaryType = "arraybuffer";
    this.socket.onopen = () => { this.wait = 500; this.handlers.state("ready"); };
    this.socket.onmessage = (event) => this.received(event.data);
    this.socket.onclose = () => {
      this.sent.clear(); this.handlers.state("lost"); this.stats.reconnects += 1;
      setTimeout(() => this.open(), this.wait); this.wait = Math.min(5000, this.wait * 1.6);
    };
  }
  get ready() { return this.socket.readyState === WebSocket.OPEN; }
  ask(views, wish, full) {
    if (!this.ready || !views.length) return 0;
    this.seq += 1; this.sent.set(this.seq, performance.now());
    if (this.sent.size > 500) this.sent.delete(this.sent.keys().next().value);
    this.socket.send(JSON.stringify({ kind: "wish", seq: this.seq, views, wish, full }));
    return this.seq;
  }
  async received(data) {
    if (typeof data === "string") { this.handlers.message(JSON.parse(data)); return; }
    const size = new DataView(data).getUint32(0), socket = this.socket;
    const head = JSON.parse(new TextDecoder().decode(new Uint8Array(data, 4, size)));
    try {
      const image = await createImageBitmap(new Blob([new Uint8Array(data, 4 + size)], { type: head.type }));
      this.handlers.picture(head, image);
      image.close();
    } finally {
      if (socket.readyState === WebSocket.OPEN) socket.send('{"kind":"seen"}');
    }
    const now = performance.now(), asked = this.sent.get(head.seq);
    this.stats.pictures += 1; this.stats.drafts += head.full ? 0 : 1;
    if (asked !== undefined && !head.full) {
      for (const [list, value] of [["latencies_ms", now - asked], ["times_ms", now], ["draw_ms", head.ms]]) {
        this.stats[list].push(value);
        if (this.stats[list].length > 2000) this.stats[list].shift();
      }
    }
  }
  async send(path, more, body) {
    const query = new URLSearchParams({ token: this.token, tab: this.tab, ...more });
    const answer = await fetch(`${path}?${query}`, body ? { method: "POST", body } : {});
    const content = await answer.json().catch(() => ({ error: `the studio answered ${answer.status}` }));
    if (content.error) throw new Error(content.error);
    return content;
  }
}
