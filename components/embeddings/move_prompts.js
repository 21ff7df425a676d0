// Moves the prompts over the map while somebody types: a few hundred bytes instead of the whole
// figure with its pictures. `moved` is {coordinates, labels}, or {stale: true} where the
// map on the page cannot place a new text.
(moved) => {
  const map = document.querySelector("#embedding-map .js-plotly-plot");
  if (!map || !window.Plotly || !moved) return;
  const indices = [1, 2, 3, 4, 5];
  if (moved.stale) return void window.Plotly.restyle(map, { opacity: 0.15 }, indices);
  const flat = !("z" in moved.coordinates[0]);
  if (flat !== (map.data[0].type === "scatter")) return;
  const update = { opacity: [0.75, 0.75, 1, 1, 1] };
  for (const axis of flat ? "xy" : "xyz") update[axis] = moved.coordinates.map((c) => c[axis]);
  update.hovertext = [null, null, null, [moved.labels[0]], [moved.labels[1]]];
  window.Plotly.restyle(map, update, indices);
}
