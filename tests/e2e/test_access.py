"""Every tab can be used by everybody: axe-core finds nothing against WCAG 2.2 A and AA, light and dark."""

from collections.abc import Callable

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

from docs.take_screenshots import FILLED, wait_until_filled

RULES = {"runOnly": {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]}}


@pytest.mark.parametrize(("path", "scheme"), [("/", "light"), ("/de", "dark")], ids=["light", "dark"])
def test_no_tab_breaks_a_rule_of_accessibility(
    page: Callable[..., Page], open_tab: Callable[[Page, str], None], path: str, scheme: str
) -> None:
    opened = page(path, color_scheme=scheme)
    found = {}
    for stem in FILLED:
        open_tab(opened, stem)
        wait_until_filled(opened, stem)
        violations = Axe().run(opened, options=RULES).response["violations"]
        nodes = [f"{v['id']}: {node['html'][:140]}" for v in violations for node in v["nodes"]]
        if nodes:
            found[stem] = nodes
    assert not found
