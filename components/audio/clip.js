// A clip is dropped, chosen, or recorded; a recording is sent as WAV, which every server can read.
const field = element.querySelector(".drop"), said = element.querySelector(".said");
const microphone = element.querySelector("[data-microphone]");
const LONGEST = 10_000; // ms
let recorder = null;

async function send(file) {
  said.textContent = "";
  try {
    const sent = await upload(file);
    trigger("upload", { path: sent.path });
  } catch { said.textContent = `${file.name}: ${field.dataset.failed}`; }
}

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

async function record() {
  if (recorder) return recorder.stop();
  let stream;
  try { stream = await navigator.mediaDevices.getUserMedia({ audio: true }); }
  catch { said.textContent = field.dataset.refused; return; }
  const parts = [];
  recorder = new MediaRecorder(stream);
  const started = performance.now();
  const tell = () => { microphone.textContent = `${field.dataset.recording} (${Math.floor((performance.now() - started) / 1000)} s)`; };
  const telling = setInterval(tell, 200);
  recorder.addEventListener("dataavailable", (event) => parts.push(event.data));
  recorder.addEventListener("stop", async () => {
    for (const track of stream.getTracks()) track.stop();
    clearInterval(telling);
    recorder = null;
    microphone.textContent = field.dataset.record;
    microphone.setAttribute("aria-pressed", "false");
    try {
      const context = new AudioContext();
      const heard = await context.decodeAudioData(await new Blob(parts).arrayBuffer());
      context.close();
      send(wav(heard.getChannelData(0), heard.sampleRate));
    } catch { said.textContent = field.dataset.refused; }
  });
  recorder.start();
  setTimeout(() => recorder?.stop(), LONGEST);
  tell();
  microphone.setAttribute("aria-pressed", "true");
}

microphone.addEventListener("click", record);
element.addEventListener("change", (event) => {
  const [file] = event.target.files ?? [];
  if (file) send(file);
  event.target.value = "";
});
for (const kind of ["dragenter", "dragover"]) element.addEventListener(kind, (event) => {
  event.preventDefault();
  field.classList.add("over");
});
element.addEventListener("dragleave", (event) => { if (!element.contains(event.relatedTarget)) field.classList.remove("over"); });
element.addEventListener("drop", (event) => {
  event.preventDefault();
  field.classList.remove("over");
  const [file] = event.dataTransfer.files;
  if (file) send(file);
});
