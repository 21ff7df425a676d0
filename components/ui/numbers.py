"""Numbers as people of the page's language write them; `page.js` has the same for its scripts."""

from components.ui.language import Texts


def fixed(value: float, t: Texts, digits: int = 2) -> str:
    """A number with all its decimals and a true minus sign: −0.26 or −0,26."""
    return _written(f"{value:z.{digits}f}", t)  # z: no minus before a zero


def short(value: float, t: Texts, digits: int = 1) -> str:
    """A number with so many decimals at most: 5, 7.5 or 7,5."""
    text = f"{value:z.{digits}f}"
    return _written(text.rstrip("0").rstrip(".") if digits else text, t)


def of_100(share: float, t: Texts) -> str:
    """A share as cases of a hundred, for sentences: "right in 84 of 100"."""
    return fixed(100 * share, t, 0)


def grouped(value: int, t: Texts) -> str:
    """A whole number in groups of three digits: 49,408 or 49.408."""
    text = f"{value:,}"
    return text.replace(",", ".") if t.language == "de" else text


def percent(share: float, t: Texts) -> str:
    """A share as whole per cent; what rounds to nothing or to all without being it says so."""
    gap = "\u202f" if t.language == "de" else ""
    if 0 < share < 0.005:
        return f"<1{gap}%"
    if 0.995 <= share < 0.9995:
        return f">99{gap}%"
    return f"{share * 100:.0f}{gap}%"


def _written(text: str, t: Texts) -> str:
    text = text.replace("-", "−")
    return text.replace(".", ",") if t.language == "de" else text
