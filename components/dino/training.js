// Tells the console how far the training is that is drawn here.
const tell = () => document.dispatchEvent(new CustomEvent("dino-training"));
watch("value", tell);
tell();
