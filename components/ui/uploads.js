// The door for files from outside: dropped, pasted, chosen, taken with a camera or a microphone. `upload` is triggered
// with the `paths` they got on the server, `delete` with the `index` of a picture that is to be taken away.
const find = (selector) => element.querySelector(selector);
const say = (text) => {
  const place = find("[data-failed] [role=status]");
  if (place) place.textContent = text;
};

async function send(files) {
  say("");
  const paths = [];
  for (const file of find("input[type=file]")?.multiple === false ? files.slice(0, 1) : files) {
    try {
      paths.push((await upload(file)).path);
    } catch {
      say(`${file.name.normalize("NFC")}: ${find("[data-failed]")?.dataset.failed}`);
    }
  }
  if (paths.length) trigger("upload", { paths });
}

element.addEventListener("change", (event) => {
  if (event.target.type !== "file") return;
  const files = [...event.target.files];
  event.target.value = "";
  if (files.length) send(files);
});
for (const kind of ["dragenter", "dragover"]) {
  element.addEventListener(kind, (event) => {
    if (!find("[data-drop]")) return;
    event.preventDefault();
    find("[data-drop]").classList.add("cm-over");
  });
}
element.addEventListener("dragleave", (event) => {
  if (!element.contains(event.relatedTarget)) find("[data-drop]")?.classList.remove("cm-over");
});
element.addEventListener("drop", (event) => {
  if (!find("[data-drop]")) return;
  event.preventDefault();
  find("[data-drop]").classList.remove("cm-over");
  send([...event.dataTransfer.files]);
});
const seen = () => element.getClientRects().length > 0;
document.addEventListener("paste", (event) => {
  const files = [...event.clipboardData.files];
  // What is copied from a document is text and picture in one; in a text box, the text is meant.
  if (!files.length || !find("input[type=file]") || !seen() || event.target.closest?.("input, textarea")) return;
  event.preventDefault();
  send(files);
});

// A camera or microphone that is open. Its stream and timers belong to one object and end with it: when it is closed,
// its tab left, the page hidden, the device pulled out. It is there before the browser asks for permission, so that
// a second click finds it.
let device = null;

function close() {
  const past = device;
  device = null;
  if (!past) return;
  past.timers.forEach(clearInterval);
  past.ended();
  past.stream?.getTracks().forEach((track) => track.stop());
}

// The object of a device that has been opened; null if it was closed meanwhile, or one is open already.
async function open(wanted) {
  if (device) return null;
  const own = (device = { stream: null, timers: [], ended: () => {} });
  try {
    own.stream = await navigator.mediaDevices.getUserMedia(wanted);
  } catch (error) {
    if (device !== own) return null;
    device = null;
    throw error;
  }
  const tracks = own.stream.getTracks();
  if (device !== own) {
    tracks.forEach((track) => track.stop());
    return null;
  }
  for (const track of tracks) track.addEventListener("ended", () => device === own && close());
  return own;
}

document.addEventListener("visibilitychange", () => document.hidden && close());
new ResizeObserver(() => seen() || close()).observe(element); // a tab that is left has no size

// The camera: a picture goes the way of any other file.
async function openCamera() {
  const [video, finder] = [find("video"), find(".cm-finder")];
  say("");
  try {
    const camera = await open({ video: { width: 640, height: 640 } });
    if (!camera) return;
    camera.ended = () => { video.srcObject = null; finder.hidden = true; };
    video.srcObject = camera.stream;
    finder.hidden = false;
  } catch {
    say(find("[data-no-camera]").dataset.noCamera);
  }
}

function shoot() {
  const video = find("video");
  const side = Math.min(video.videoWidth, video.videoHeight);
  if (!side) return; // the first frame is still to come
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = side;
  const [left, top] = [(video.videoWidth - side) / 2, (video.videoHeight - side) / 2];
  canvas.getContext("2d").drawImage(video, left, top, side, side, 0, 0, side, side);
  canvas.toBlob((blob) => send([new File([blob], "camera.png", { type: "image/png" })]), "image/png");
}

element.addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (button?.dataset.remove !== undefined) trigger("delete", { index: Number(button.dataset.remove) });
  else if (button?.matches(".cm-camera")) openCamera();
  else if (button?.matches(".cm-shoot")) shoot();
  else if (button?.matches(".cm-off")) close();
});

return { send, say, open, close, isOpen: () => device !== null };
