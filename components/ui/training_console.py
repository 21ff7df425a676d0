"""The console of a training: start and pause, one step, a slider to an earlier one, new weights."""

from components.ui.language import Texts
from components.ui.templates import templates


def console_html(t: Texts) -> str:
    """Buttons and slider; `training_console.js` works them, `training_console.css` is how they look.

    They trigger `submit` (go on) and `edit` (one step), both with the `step` to go on from, `stop`, and
    `clear` (anew).
    """
    return templates("ui/training_console.html").console(t)
