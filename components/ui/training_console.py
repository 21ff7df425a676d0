"""The console of a training: start and pause, one step, a slider to an earlier one, new weights."""

from components.ui.language import Texts
from components.ui.layout import html_escape


def console_html(t: Texts) -> str:
    """Buttons and slider; `training_console.js` works them, `training_console.css` is how they look.

    They trigger `submit` (go on) and `edit` (one step), both with the `step` to go on from, `stop`, and
    `clear` (anew).
    """
    keys = ("start", "go_on", "pause", "one", "anew", "running", "paused", "done", "step")
    said = {key: html_escape(t(f"training_console.{key}")) for key in keys}
    return (
        f'<div class="console" data-step="{said["step"]}"><button type="button" class="go" data-act="go" '
        f'data-start="{said["start"]}" data-goon="{said["go_on"]}" data-pause="{said["pause"]}">'
        f"{said['start']}</button>"
        f'<button type="button" data-act="one">{said["one"]}</button>'
        f'<label><span class="sv-sr">{html_escape(t("training_console.slider"))}</span>'
        f'<input type="range" min="0" max="1" step="1" value="0" disabled></label>'
        f'<button type="button" data-act="anew" title="{html_escape(t("training_console.anew_hint"))}">'
        f'{said["anew"]}</button><p class="sv-sr" role="status" data-running="{said["running"]}" '
        f'data-paused="{said["paused"]}" data-done="{said["done"]}"></p></div>'
    )
