// Hands what the server sends to the players: a list of messages, each with the address of its player.
// The players keep what came before, which a new value of their own place would wipe out.
function pass() {
  const store = element.querySelector("[data-sounds]");
  if (!store) return;
  for (const message of JSON.parse(store.dataset.sounds)) {
    const player = document.querySelector(`#${message.player} .player`);
    player?.dispatchEvent(new CustomEvent("sound", { detail: message, bubbles: true }));
  }
}
watch("value", pass);
pass();
