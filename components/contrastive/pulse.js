// Hands what the server tells of a training to the stage, whichever of the two is drawn first.
function beat() {
  const data = element.querySelector("[data-pulse]");
  const stage = document.querySelector("#contrastive-stage .stage");
  if (data && stage) stage.dispatchEvent(new CustomEvent("pulse", { detail: JSON.parse(data.dataset.pulse), bubbles: true }));
}
watch("value", beat);
document.addEventListener("contrastive-ready", () => queueMicrotask(beat));
beat();
