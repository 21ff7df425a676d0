// Hands the exact pictures of a run to the views that show it; see `exact.py`.
watch("value", () => {
  if (props.value?.run) dispatchEvent(new CustomEvent("sv-exact", { detail: props.value }));
});
