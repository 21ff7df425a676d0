// One script for all drawings of the matrix tab; each finds in its own element what it cares about.

const send = async (files) => {
  const said = element.querySelector(".cm-said");
  const paths = [];
  for (const file of files) {
    try {
      paths.push((await upload(file)).path);
    } catch (error) {
      if (said) said.textContent = `${file.name}: ${element.querySelector("[data-failed]").dataset.failed}`;
    }
  }
  if (paths.length) trigger("upload", { paths });
};

// Pictures: file dialogue, drop, removal.
element.addEventListener("change", (event) => {
  if (event.target.type !== "file") return;
  const files = [...event.target.files];
  event.target.value = "";
  send(files);
});
const dropsHere = () => element.querySelector(".cm-drop, .cm-scroll, .cm-strip");
for (const kind of ["dragenter", "dragover"]) {
  element.addEventListener(kind, (event) => {
    if (!dropsHere()) return;
    event.preventDefault();
    element.classList.add("cm-over");
  });
}
element.addEventListener("dragleave", (event) => {
  if (!element.contains(event.relatedTarget)) element.classList.remove("cm-over");
});
element.addEventListener("drop", (event) => {
  if (!dropsHere()) return;
  event.preventDefault();
  element.classList.remove("cm-over");
  send([...event.dataTransfer.files]);
});

// Camera: the picture goes the way of any other file.
const closeCamera = () => {
  const video = element.querySelector("video");
  for (const track of video.srcObject?.getTracks() ?? []) track.stop();
  video.srcObject = null;
  element.querySelector(".cm-finder").hidden = true;
};
const openCamera = async () => {
  try {
    const stream = await navigator.mediaDevices.getUserMedia({ video: { width: 640, height: 640 } });
    element.querySelector("video").srcObject = stream;
    element.querySelector(".cm-finder").hidden = false;
  } catch (error) {
    element.querySelector(".cm-said").textContent = element.querySelector("[data-no-camera]").dataset.noCamera;
  }
};
const shoot = () => {
  const video = element.querySelector("video");
  const canvas = document.createElement("canvas");
  const side = Math.min(video.videoWidth, video.videoHeight);
  canvas.width = canvas.height = side;
  const [left, top] = [(video.videoWidth - side) / 2, (video.videoHeight - side) / 2];
  canvas.getContext("2d").drawImage(video, left, top, side, side, 0, 0, side, side);
  canvas.toBlob((blob) => send([new File([blob], "camera.png", { type: "image/png" })]), "image/png");
};

// Temperature: the slider runs on the logarithm; its number follows at once, the matrix from the server.
const slide = (range) => {
  const temperature = 10 ** Number(range.value);
  const text = temperature.toFixed(3);
  range.ariaValueText = element.querySelector(".cm-tau").textContent =
    range.dataset.comma === "True" ? text.replace(".", ",") : text;
  trigger("input", { temperature });
};
element.addEventListener("input", (event) => {
  if (event.target.type === "range") slide(event.target);
});

element.addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (!button) return;
  if (button.dataset.remove !== undefined) trigger("delete", { index: Number(button.dataset.remove) });
  else if (button.matches(".cm-reset")) {
    const range = element.querySelector("input[type=range]");
    range.value = range.dataset.learned;
    slide(range);
  } else if (button.matches(".cm-camera")) openCamera();
  else if (button.matches(".cm-shoot")) shoot();
  else if (button.matches(".cm-off")) closeCamera();
});

// Pointing at a cell lights up its picture and its text.
element.addEventListener("pointerover", (event) => {
  const cell = event.target.closest(".cm-cell");
  for (const lit of element.querySelectorAll(".cm-lit")) lit.classList.remove("cm-lit");
  if (!cell) return;
  const row = cell.parentElement;
  row.querySelector(".cm-text").classList.add("cm-lit");
  row.parentElement.firstElementChild.children[cell.cellIndex].classList.add("cm-lit");
});
