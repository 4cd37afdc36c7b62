"use strict";
const $ = (id) => document.getElementById(id);
const STILL_MS = 120, MOST_VIEWS = 4, SLIDERS = ["blink", "jaw", "brows"];
const token = new URLSearchParams(location.search).get("token") || "";
const state = { views: new Map(), shown: [], chosenKind: new Map(), figures: new Map(), readings: new Map(), readers: [], seq: 0, started: false };
let stillTimer = 0, frameAsked = false, draftWanted = false, film = null;

const make = (tag, properties = {}, ...children) => {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
};
const alarm = (text) => { $("alarm-text").textContent = text; $("alarm").hidden = !text; };
const signed = (value) => `${value < 0 ? "−" : "+"}${Math.abs(value).toFixed(1)}`;
const wish = () => ({
  gaze_deg: [gaze.pitch, gaze.yaw], head_deg: [head.pitch, head.yaw],
  ...Object.fromEntries(SLIDERS.map((name) => [name, $(name).value / 100])),
});

/* While something moves, one wish for each frame of the screen; full pictures and readings once it rests. */
const changed = () => {
  $("asked").textContent = `asked: pitch ${signed(gaze.pitch)}°, yaw ${signed(gaze.yaw)}°` +
    (head.pitch || head.yaw ? `; head turned by ${signed(head.pitch)}°, ${signed(head.yaw)}°` : "");
  cover();
  draftWanted = true;
  if (!frameAsked) { frameAsked = true; requestAnimationFrame(() => { frameAsked = false; if (draftWanted) ask(false); }); }
  clearTimeout(stillTimer); stillTimer = setTimeout(() => ask(true), STILL_MS);
};
/* A draft that a slow screen asks for late must not replace the full picture. */
const ask = (full) => { draftWanted = false; const seq = live.ask(state.shown, wish(), full); if (seq) { state.seq = seq; stale(); } };

const gaze = new Pad($("gaze-pad"), 45, changed), head = new Pad($("head-pad"), 30, changed);
$("head-pad").addEventListener("wheel", (event) => {
  head.set(head.pitch - event.deltaY / 40, head.yaw - event.deltaX / 40, true); event.preventDefault();
}, { passive: false });
for (const name of SLIDERS) {
  $(name).addEventListener("input", () => { $(name).nextElementSibling.value = $(name).value; changed(); });
}
$("reset").addEventListener("click", () => {
  gaze.set(0, 0); head.set(0, 0);
  for (const name of SLIDERS) { $(name).value = 0; $(name).nextElementSibling.value = 0; }
  changed();
});
$("alarm-close").addEventListener("click", () => alarm(""));

/* The eyes look at the pointer as if it lay in the plane of the screen, at arm's length before the picture. */
const lookAt = (event, frame) => {
  const box = frame.getBoundingClientRect(), far = 0.8 * box.width;
  const x = event.clientX - box.left - box.width / 2, y = event.clientY - box.top - box.height * 0.45;
  const degrees = (side) => Math.atan2(side, far) * 180 / Math.PI;
  gaze.set(-degrees(y), -degrees(x), true);
};

const figure = (key) => {
  const canvas = make("canvas", { width: 128, height: 128 });
  canvas.setAttribute("role", "img");
  const corner = make("div", { className: "corner" }), name = make("b"), note = make("span");
  const frame = make("div", { className: "frame" }, canvas, corner);
  let held = false;
  frame.addEventListener("pointerdown", (event) => { held = true; frame.setPointerCapture(event.pointerId); lookAt(event, frame); event.preventDefault(); });
  frame.addEventListener("pointermove", (event) => { if (held || $("follow").checked) lookAt(event, frame); });
  for (const end of ["pointerup", "pointercancel"]) frame.addEventListener(end, () => { held = false; });
  const whole = make("figure", {}, frame, make("figcaption", {}, name, note));
  whole.dataset.view = key;
  return { whole, canvas, corner, frame, name, note };
};

const picture = (info, image) => {
  const target = state.figures.get(info.view);
  if (!target) return;
  if (target.canvas.width !== image.width || target.canvas.height !== image.height) Object.assign(target.canvas, { width: image.width, height: image.height });
  target.canvas.getContext("2d").drawImage(image, 0, 0);
  const asked = [gaze.pitch, gaze.yaw], drawn = info.drawn_deg, limited = info.full && Math.hypot(drawn[0] - asked[0], drawn[1] - asked[1]) > 1;
  target.corner.textContent = `${info.full ? "full" : "draft"} · ${info.width} × ${info.height} · ${Math.round(info.ms)} ms`;
  target.frame.classList.toggle("drafting", !info.full);
  target.canvas.setAttribute("aria-label", `${target.name.textContent}: a face that looks at pitch ${drawn[0].toFixed(0)}, yaw ${drawn[1].toFixed(0)} degrees`);
  target.note.className = "";
  target.note.textContent = [limited ? `drawn at ${signed(drawn[0])}°, ${signed(drawn[1])}°: eyes turn no further` : "", info.remark].filter(Boolean).join("; ");
  target.whole.dataset.seq = info.seq; target.whole.dataset.full = info.full;
  if (film) film.draw();
};

const show = () => {
  state.shown = state.shown.filter((key) => state.views.get(key)?.state === "ready");
  $("wait").hidden = state.shown.length > 0;
  $("pictures").style.setProperty("--columns", [1, 1, 2, 3, 2][state.shown.length]);
  for (const [key, { whole }] of state.figures) if (!state.shown.includes(key)) { whole.remove(); state.figures.delete(key); }
  for (const key of state.shown) {
    if (!state.figures.has(key)) state.figures.set(key, figure(key));
    const one = state.figures.get(key);
    one.name.textContent = state.views.get(key).name; $("pictures").append(one.whole);
  }
  const can = new Set(state.shown.flatMap((key) => state.views.get(key).controls));
  for (const name of SLIDERS) $(name).disabled = !can.has(name);
  $("head-pad").style.opacity = can.has("head") ? 1 : 0.45;
  $("take").disabled = $("film").disabled = !state.shown.length;
  cover(); table(); changed();
};
const cover = () => {
  const covered = state.shown.map((key) => state.views.get(key)).find((view) => view.coverage);
  gaze.show(covered?.coverage ?? null, head.pitch, head.yaw);
  $("coverage-note").textContent = covered ? `Blue: where ${covered.name} has seen eyes look, in ${covered.coverage.frames} pictures; grey: it extrapolates.` : "";
};
const toggle = (key, on) => {
  state.shown = state.shown.filter((one) => one !== key);
  if (on) state.shown = [...state.shown, key].slice(-MOST_VIEWS);
  models(); show();
};

/* A photo is one entry with two ways to move it: its own eyes, or the drawn head. */
const models = () => {
  const focused = document.activeElement?.id, rows = [], photos = new Map();
  for (const view of state.views.values()) {
    if (view.photo) photos.set(view.photo, [...(photos.get(view.photo) ?? []), view]); else rows.push([view]);
  }
  $("models").replaceChildren(...[...rows, ...photos.values()].map((ways) => {
    const now = ways.find((view) => state.shown.includes(view.key)) ?? ways[0], on = state.shown.includes(now.key);
    const box = make("input", { type: "checkbox", id: `show-${ways[0].key}`, checked: on, disabled: now.state !== "ready" });
    box.addEventListener("change", () => toggle(now.key, box.checked));
    const words = { loading: "is being opened", fault: "cannot be opened: " }[now.state] ?? "";
    const row = make("div", { className: "model" }, make("label", {}, box, ways[0].name), make("p", { className: now.state === "fault" ? "fault" : "", textContent: words + now.note }));
    if (now.photo) {
      const kinds = [["a", "own eyes"], ["b", "drawn head"]].map(([end, text]) => {
        const key = now.photo + end, button = make("button", { type: "button", textContent: text, id: `kind-${key}`, disabled: !state.views.has(key) });
        button.setAttribute("aria-pressed", state.shown.includes(key));
        button.addEventListener("click", () => {
          state.shown = state.shown.filter((one) => one.slice(0, -1) !== now.photo); toggle(key, true);
        });
        return button;
      });
      row.append(make("div", { className: "kinds" }, ...kinds));
    }
    return row;
  }));
  if (focused) $(focused)?.focus();
};

const table = () => {
  const rows = state.readers.map((name) => make("tr", {}, make("th", { scope: "row", textContent: { cnn: "judge" }[name] ?? name }), ...state.shown.map((key) => {
    const found = state.readings.get(`${key} ${name}`), cell = make("td");
    if (!found) { cell.textContent = "…"; return cell; }
    if (found.seq !== state.seq) cell.className = "stale";
    if (found.gaze_deg) cell.append(make("b", { textContent: `${signed(found.gaze_deg[0])}, ${signed(found.gaze_deg[1])}` }), ` (${found.error_deg.toFixed(1)}°)`);
    else cell.textContent = "reads nothing";
    cell.dataset.reading = JSON.stringify(found);
    return cell;
  })));
  $("readings").tHead.replaceChildren(make("tr", {}, make("th", { textContent: "reader" }), ...state.shown.map((key) => make("th", { scope: "col", textContent: state.views.get(key).name }))));
  $("readings").tBodies[0].replaceChildren(...rows);
};
let staleAsked = false;
const stale = () => {
  if (staleAsked) return;
  staleAsked = true; setTimeout(() => { staleAsked = false; table(); }, 150);
};

const handle = {
  views(message) {
    const before = new Set(state.views.keys());
    state.views = new Map(message.views.map((view) => [view.key, view]));
    const ready = message.views.filter((view) => view.state === "ready");
    if (!state.started && ready.length) { state.started = true; state.shown = [ready[0].key]; }
    for (const view of ready) if (state.started && view.photo && !before.has(view.key) && view.key.endsWith("a")) state.shown = [...state.shown.filter((key) => !state.views.get(key)?.photo), view.key].slice(-MOST_VIEWS);
    if (!state.started && message.views.length && message.views.every((view) => view.state === "fault")) $("wait").textContent = "No model can be opened; see the list.";
    models(); show();
  },
  fits(message) {
    $("fits").replaceChildren(...message.fits.map((fit) => fit.fault
      ? make("p", { className: "fit fault", textContent: `${fit.name}: ${fit.fault}` })
      : make("div", { className: "fit" }, `${fit.name}: ${fit.stage}`, make("progress", { value: fit.share, max: 1, ariaLabel: `${fit.name}: ${fit.stage}` }))));
  },
  readers(message) {
    state.readers = message.names;
    $("absent").textContent = Object.entries(message.absent).map(([name, why]) => `${name}: ${why}`).join("; ");
    table();
  },
  reading(message) {
    state.readings.set(`${message.view} ${message.reader}`, message); table();
    const seen = state.readers.map((name) => state.readings.get(`${message.view} ${name}`)).filter((one) => one?.seq === state.seq && one.gaze_deg);
    if (seen.length && message.reader === state.readers.at(-1)) $("spoken").textContent = seen.map((one) => `${one.reader}: ${one.error_deg.toFixed(0)} degrees off`).join(", ");
  },
  error(message) {
    const target = state.figures.get(message.view);
    if (target) { target.note.className = "fault"; target.note.textContent = message.text; }
    alarm(message.text);
  },
};
const words = { ready: "connected", lost: "connection lost, trying again", waiting: "connecting" };
const live = new Live(token, {
  picture,
  message: (message) => handle[message.kind]?.(message),
  state: (name) => { $("connection").textContent = words[name]; $("connection").className = `pill ${name}`; if (name === "ready") setTimeout(changed, 50); },
});
window.studio = { live, gaze, head, state };

/* Pictures and films are made of what is on the page. */
const save = (blob, name) => {
  const link = make("a", { href: URL.createObjectURL(blob), download: name });
  link.click(); setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  $("done").textContent = `${name} saved`;
};
$("take").addEventListener("click", () => {
  for (const key of state.shown) {
    const { canvas, name } = state.figures.get(key);
    canvas.toBlob((blob) => save(blob, `${name.textContent.replace(/\W+/g, "_")}_${gaze.pitch}_${gaze.yaw}.png`), "image/png");
  }
});
$("film").addEventListener("click", () => {
  if (film) { film.recorder.stop(); return; }
  const kind = ["video/mp4", "video/webm"].find((type) => window.MediaRecorder?.isTypeSupported(type));
  if (!kind) { alarm("this browser records no film; take pictures, or use Firefox or Chromium"); return; }
  const side = 480, keys = [...state.shown], canvas = make("canvas", { width: side * keys.length, height: side }), g = canvas.getContext("2d"), parts = [];
  const draw = () => keys.forEach((key, n) => {
    const source = state.figures.get(key)?.canvas;
    if (!source) return;
    const scale = Math.min(side / source.width, side / source.height), w = source.width * scale, h = source.height * scale;
    g.fillStyle = "#fff"; g.fillRect(n * side, 0, side, side); g.drawImage(source, n * side + (side - w) / 2, (side - h) / 2, w, h);
  });
  const recorder = new MediaRecorder(canvas.captureStream(25), { mimeType: kind });
  recorder.ondataavailable = (event) => parts.push(event.data);
  recorder.onstop = () => {
    film = null; $("film").setAttribute("aria-pressed", false); $("film").textContent = "Record film";
    save(new Blob(parts, { type: kind }), `gaze.${kind.slice(6)}`);
  };
  film = { recorder, draw }; draw(); recorder.start();
  setTimeout(() => { if (film?.recorder === recorder) recorder.stop(); }, 120000);
  $("film").setAttribute("aria-pressed", true); $("film").textContent = "Stop and save";
});

const upload = async (file) => {
  if (!file) return;
  if (file.size > 20e6) { alarm(`${file.name}: ${(file.size / 1e6).toFixed(0)} MB; a photo of up to 20 MB is expected`); return; }
  $("fits").textContent = `${file.name}: looking for a face`;
  try { await live.send("/photo", { name: file.name }, file); alarm(""); }
  catch (error) { $("fits").textContent = ""; alarm(`${file.name}: ${error.message}`); }
};
$("file").addEventListener("change", () => { upload($("file").files[0]); $("file").value = ""; });
let depth = 0;
addEventListener("dragenter", () => { depth += 1; $("veil").hidden = false; });
addEventListener("dragleave", () => { depth -= 1; if (depth <= 0) { depth = 0; $("veil").hidden = true; } });
addEventListener("dragover", (event) => event.preventDefault());
addEventListener("drop", (event) => { event.preventDefault(); depth = 0; $("veil").hidden = true;
  const file = event.dataTransfer.files[0];
  if (file?.type.startsWith("audio/") && studio.hear) studio.hear(file); else upload(file);
});

const numbers = (row) => Object.entries(row.numbers).map(([name, value]) => `${name.replaceAll("_", " ")} ${value}`).join(", ");
const link = (row, text) => row.page ? make("a", { href: `/report?${new URLSearchParams({ token, name: row.page })}`, target: "_blank", rel: "noopener", textContent: text }) : text;
const fill = (table, titles, rows, empty) => {
  table.tHead.replaceChildren(make("tr", {}, ...titles.map((title) => make("th", { scope: "col", textContent: title }))));
  table.tBodies[0].replaceChildren(...(rows.length ? rows.map((cells) => make("tr", {}, ...cells.map((cell) => make("td", {}, cell)))) : [make("tr", {}, make("td", { colSpan: titles.length, className: "soft", textContent: empty }))]));
};
const gallery = async () => {
  try {
    const found = await live.send("/gallery", {});
    $("reports-folder").textContent = `in ${found.folder}`;
    fill($("reports"), ["report", "made (UTC)", "verdict", "numbers"], found.reports.map((row) => [link(row, row.title), row.created, row.verdict, numbers(row)]), "No report yet. gazeworks demo makes one.");
    fill($("store"), ["stage", "kind", "made (UTC)", "MB", "numbers", "report"], found.store.map((row) => [row.stage, row.kind, row.created, row.megabytes, numbers(row), link(row, row.page ? "open" : "")]), "The store is empty.");
  } catch (error) { alarm(`the gallery: ${error.message}`); }
};
const turn = (toGallery) => {
  $("studio").hidden = toGallery; $("gallery").hidden = !toGallery;
  $("to-studio").setAttribute("aria-pressed", !toGallery); $("to-gallery").setAttribute("aria-pressed", toGallery);
  if (toGallery) gallery();
};
$("to-studio").addEventListener("click", () => turn(false));
$("to-gallery").addEventListener("click", () => turn(true));
if (!window.isSecureContext && location.hostname !== "localhost") $("film").title = "some browsers record films on secure pages only";
