"use strict";
/* A square on which a person sets two angles: x is yaw (to the left of the picture is positive), y is pitch (up is positive). */

class Pad {
  constructor(canvas, most, changed) {
    this.canvas = canvas; this.most = most; this.changed = changed;
    this.pitch = 0; this.yaw = 0; this.coverage = null; this.offset = [0, 0];
    canvas.addEventListener("pointerdown", (event) => {
      canvas.setPointerCapture(event.pointerId); this.dragging = true; this.at(event); canvas.focus(); event.preventDefault();
    });
    canvas.addEventListener("pointermove", (event) => { if (this.dragging) this.at(event); });
    for (const end of ["pointerup", "pointercancel"]) canvas.addEventListener(end, () => { this.dragging = false; });
    canvas.addEventListener("keydown", (event) => this.key(event));
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.draw());
    this.draw();
  }
  at(event) {
    const box = this.canvas.getBoundingClientRect();
    this.set(this.most * (1 - 2 * (event.clientY - box.top) / box.height), this.most * (1 - 2 * (event.clientX - box.left) / box.width), true);
  }
  key(event) {
    const step = event.shiftKey ? 5 : 1;
    const moves = { ArrowUp: [step, 0], ArrowDown: [-step, 0], ArrowLeft: [0, step], ArrowRight: [0, -step] };
    if (event.key === "Home") this.set(0, 0, true);
    else if (moves[event.key]) this.set(this.pitch + moves[event.key][0], this.yaw + moves[event.key][1], true);
    else return;
    event.preventDefault();
  }
  set(pitch, yaw, tell) {
    const within = (value) => Math.max(-this.most, Math.min(this.most, Math.round(value * 10) / 10)) + 0;
    this.pitch = within(pitch); this.yaw = within(yaw);
    this.canvas.setAttribute("aria-valuenow", this.yaw);
    this.canvas.setAttribute("aria-valuetext", `pitch ${this.pitch.toFixed(0)} degrees, yaw ${this.yaw.toFixed(0)} degrees`);
    this.draw();
    if (tell) this.changed();
  }
  /* Cells of the head's frame, moved by the head's turn: where the eyes of this head have looked in training. */
  show(coverage, pitch, yaw) { this.coverage = coverage; this.offset = [pitch, yaw]; this.draw(); }
  x(yaw) { return (1 - yaw / this.most) * this.canvas.width / 2; }
  y(pitch) { return (1 - pitch / this.most) * this.canvas.height / 2; }
  draw() {
    const style = getComputedStyle(document.documentElement), colour = (name) => style.getPropertyValue(name).trim();
    const g = this.canvas.getContext("2d"), { width, height } = this.canvas;
    g.fillStyle = colour(this.coverage ? "--outside" : "--page"); g.fillRect(0, 0, width, height);
    if (this.coverage) {
      const { cell_deg: cell, most_deg: from, share } = this.coverage, most = Math.max(...share.flat());
      const size = cell / this.most * width / 2;
      share.forEach((row, n) => row.forEach((value, m) => {
        if (!value) return;
        const left = this.x(-from + (m + 1) * cell + this.offset[1]), top = this.y(-from + (n + 1) * cell + this.offset[0]);
        g.fillStyle = colour("--card"); g.fillRect(left, top, size, size);
        g.fillStyle = `rgba(${colour("--seen")}, ${(0.15 + 0.6 * Math.sqrt(value / most)).toFixed(3)})`; g.fillRect(left, top, size - 1, size - 1);
      }));
    }
    g.strokeStyle = colour("--field"); g.lineWidth = 2; g.strokeRect(1, 1, width - 2, height - 2);
    g.fillStyle = g.strokeStyle = colour("--soft"); g.lineWidth = 1; g.font = "20px system-ui, sans-serif"; g.textAlign = "center"; g.textBaseline = "middle";
    g.beginPath(); g.moveTo(width / 2, 0); g.lineTo(width / 2, height); g.moveTo(0, height / 2); g.lineTo(width, height / 2); g.stroke();
    g.fillText("up", width / 2 + 20, 16); g.fillText("down", width / 2 + 32, height - 16);
    const x = this.x(this.yaw), y = this.y(this.pitch);
    g.beginPath(); g.arc(x, y, 13, 0, 7); g.fillStyle = colour("--candidate"); g.fill();
    g.lineWidth = 4; g.strokeStyle = colour("--card"); g.stroke();
  }
}
