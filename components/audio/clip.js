// A clip is dropped, pasted, chosen, or recorded; a recording is sent as WAV, which every server can read.
const door = window.svViews["ui/uploads"](element, trigger, props, upload);
const said = element.querySelector(".drop").dataset;
const microphone = element.querySelector("[data-microphone]");
const label = microphone.firstChild; // changed in place: were it exchanged, a double click would count as two clicks
const LONGEST = 10_000; // ms

function wav(samples, rate) {
  const view = new DataView(new ArrayBuffer(44 + 2 * samples.length));
  const letters = (at, text) => [...text].forEach((letter, i) => view.setUint8(at + i, letter.charCodeAt(0)));
  letters(0, "RIFF"); view.setUint32(4, 36 + 2 * samples.length, true); letters(8, "WAVEfmt ");
  view.setUint32(16, 16, true); view.setUint16(20, 1, true); view.setUint16(22, 1, true);
  view.setUint32(24, rate, true); view.setUint32(28, 2 * rate, true); view.setUint16(32, 2, true);
  view.setUint16(34, 16, true); letters(36, "data"); view.setUint32(40, 2 * samples.length, true);
  samples.forEach((value, i) => view.setInt16(44 + 2 * i, Math.max(-1, Math.min(1, value)) * 32767, true));
  return new File([view.buffer], "recording.wav", { type: "audio/wav" });
}

async function sendRecording(parts) {
  try {
    const context = new AudioContext();
    const heard = await context.decodeAudioData(await new Blob(parts).arrayBuffer()).finally(() => context.close());
    door.send([wav(heard.getChannelData(0), heard.sampleRate)]);
  } catch { door.say(said.nothing); }
}

async function record() {
  if (door.isOpen()) return door.close();
  door.say("");
  let device;
  try { device = await door.open({ audio: true }); }
  catch { return door.say(said.refused); }
  if (!device) return;
  const parts = [], started = performance.now(), recorder = new MediaRecorder(device.stream);
  recorder.addEventListener("dataavailable", (event) => parts.push(event.data));
  recorder.addEventListener("stop", () => sendRecording(parts));
  device.ended = () => {
    if (recorder.state !== "inactive") recorder.stop();
    label.data = said.record;
    microphone.setAttribute("aria-pressed", "false");
  };
  const tell = () => { label.data = `${said.recording} (${Math.floor((performance.now() - started) / 1000)} s)`; };
  device.timers.push(setInterval(tell, 200), setTimeout(door.close, LONGEST));
  recorder.start();
  microphone.setAttribute("aria-pressed", "true");
  tell();
}

microphone.addEventListener("click", (event) => event.detail > 1 || record()); // a double click is one click
