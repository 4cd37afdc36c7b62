"use strict";
/* Films of a talking head: text, a file or a recording goes to the server, and an mp4 comes back. */
{
  const MOST_BYTES = 20e6, MOST_RECORDED_MS = 30000;
  let recorder = null, isAsking = false, sound = null, hint = "";
  const tell = (text) => { $("talk-help").textContent = text || hint; };
  const heads = () => [...state.views.values()].filter((view) => view.talks && view.state === "ready");

  const refresh = () => {
    const found = heads(), chosen = $("talk-view").value;
    $("talk").hidden = !found.length; $("talk-none").hidden = found.length > 0;
    $("talk-view").replaceChildren(...found.map((view) => make("option", { value: view.key, textContent: view.name })));
    if (found.some((view) => view.key === chosen)) $("talk-view").value = chosen;
    $("talk-who").hidden = found.length < 2;
  };
  const listed = handle.views;
  handle.views = (message) => { listed(message); refresh(); };

  live.send("/speech", {}).then((found) => {
    $("talk-text").disabled = Boolean(found.absent);
    hint = found.absent; tell("");
  }).catch(() => {});

  const film = async (body, more) => {
    $("talk-make").disabled = true; tell("The film is being made.");
    try {
      const asked = { view: $("talk-view").value, gaze: $("talk-gaze").value, pitch: gaze.pitch, yaw: gaze.yaw, ...more };
      const made = await live.send("/talk", asked, body);
      const video = $("talk-film");
      video.src = `/film?${new URLSearchParams({ token, tab: live.tab, name: made.film })}`;
      video.hidden = false; tell("");
      video.play().catch(() => tell("Press play."));
    } catch (error) { tell(error.message); }
    $("talk-make").disabled = false;
  };
  const use = (blob, name) => {
    if (blob.size > MOST_BYTES) { tell(`${name}: ${(blob.size / 1e6).toFixed(0)} MB; sound of up to 20 MB is expected`); return; }
    sound = blob; $("talk-text").value = ""; tell(`${name} will be heard; of longer sound the first 30 s.`);
  };
  studio.hear = (file) => use(file, file.name);  // for sound that is dropped on the page
  $("talk").addEventListener("submit", (event) => {
    event.preventDefault();
    const text = $("talk-text").value.trim();
    if (text) film(new Blob([text]), { text: 1 });
    else if (sound) film(sound, {});
    else tell("Type a sentence, take a sound file, or record one.");
  });
  $("talk-text").addEventListener("input", () => { sound = null; tell(""); });
  $("talk-file").addEventListener("change", () => { const file = $("talk-file").files[0]; if (file) use(file, file.name); $("talk-file").value = ""; });

  $("talk-record").addEventListener("click", async () => {
    if (recorder) { recorder.stop(); return; }
    if (isAsking) return;  // the browser asks for permission
    if (!navigator.mediaDevices) { tell("the browser gives the microphone to loopback and https only; take a sound file"); return; }
    isAsking = true;
    try {
      const stream = await navigator.mediaDevices.getUserMedia({ audio: true }), parts = [];
      recorder = new MediaRecorder(stream);
      recorder.ondataavailable = (event) => parts.push(event.data);
      recorder.onstop = () => {
        stream.getTracks().forEach((track) => track.stop());
        use(new Blob(parts, { type: recorder.mimeType }), "the recording");
        recorder = null; $("talk-record").setAttribute("aria-pressed", false); $("talk-record").textContent = "or record";
      };
      recorder.start(); const mine = recorder;
      setTimeout(() => { if (recorder === mine) mine.stop(); }, MOST_RECORDED_MS);
      $("talk-record").setAttribute("aria-pressed", true); $("talk-record").textContent = "Stop recording"; tell("Speak; at most 30 s.");
    } catch (error) { tell(`the microphone cannot be used: ${error.message}`); }
    isAsking = false;
  });
  refresh();
}
