"""What a class leaves behind: votes as a table, questions for other programs."""

import csv
import io
import zipfile
from collections.abc import Sequence
from xml.etree import ElementTree

from components.lesson.items import Question
from components.lesson.store import Store, tally

_QTI = "http://www.imsglobal.org/xsd/imsqti_v2p1"
_PACKAGE = "http://www.imsglobal.org/xsd/imscp_v1p1"
_MATCH = "http://www.imsglobal.org/question/qti_v2p1/rptemplates/match_correct"


def as_csv(store: Store, class_id: int) -> str:
    """Votes of a class by question, round and option; the mark at its start tells spreadsheets of UTF-8."""
    out = io.StringIO()
    rows = csv.writer(out)
    rows.writerow(("question", "scene", "round", "option", "right", "phones", "hands"))
    for poll in store.polls(class_id):
        votes, hands = store.votes(poll), store.hands(poll)
        question = poll.question
        for round in range(1, poll.round + 1):
            counts = tally(question, votes[round], [0] * len(question.options))
            for place, count in enumerate(counts):
                if question.scale:
                    low, high = question.scale
                    step = (high - low) / len(counts)
                    option = f"{low + place * step:g} to {low + (place + 1) * step:g} {question.unit}".strip()
                    raised = 0
                else:
                    option, raised = question.options[place], hands[round][place]
                right = "yes" if question.answer == place and not question.scale else ""
                cells = (question.text, poll.scene, round, option, right, count, raised)
                rows.writerow([_as_text(cell) for cell in cells])
    return "\ufeff" + out.getvalue()


def _as_text(cell: str | int) -> str | int:
    """A cell that no spreadsheet takes for a formula."""
    return "'" + cell if isinstance(cell, str) and cell.startswith(("=", "+", "-", "@", "\t", "\r")) else cell


def as_qti(questions: Sequence[Question]) -> bytes:
    """Questions with options as a content package for learning platforms.

    Source: IMS Question and Test Interoperability v2.1, choiceInteraction; IMS Content Packaging v1.1.
    """
    out = io.BytesIO()
    chosen = [question for question in questions if question.options]
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as package:
        package.writestr("imsmanifest.xml", _manifest(len(chosen)))
        for number, question in enumerate(chosen, 1):
            package.writestr(f"item{number}.xml", _item(question, number))
    return out.getvalue()


def _written(root: ElementTree.Element) -> bytes:
    return bytes(ElementTree.tostring(root, encoding="utf-8", xml_declaration=True))


def _item(question: Question, number: int) -> bytes:
    attributes = {"identifier": f"item{number}", "title": _clean(question.text)[:80], "adaptive": "false"}
    root = ElementTree.Element("assessmentItem", {"xmlns": _QTI, **attributes, "timeDependent": "false"})
    kind = {"identifier": "RESPONSE", "cardinality": "single", "baseType": "identifier"}
    declared = ElementTree.SubElement(root, "responseDeclaration", kind)
    if question.answer is not None:
        right = ElementTree.SubElement(declared, "correctResponse")
        ElementTree.SubElement(right, "value").text = f"option{int(question.answer)}"
    score = {"identifier": "SCORE", "cardinality": "single", "baseType": "float"}
    ElementTree.SubElement(root, "outcomeDeclaration", score)
    body = ElementTree.SubElement(root, "itemBody")
    asked = {"responseIdentifier": "RESPONSE", "shuffle": "false", "maxChoices": "1"}
    choices = ElementTree.SubElement(body, "choiceInteraction", asked)
    ElementTree.SubElement(choices, "prompt").text = _clean(question.text)
    for place, option in enumerate(question.options):
        ElementTree.SubElement(choices, "simpleChoice", {"identifier": f"option{place}"}).text = _clean(
            option
        )
    if question.answer is not None:
        ElementTree.SubElement(root, "responseProcessing", {"template": _MATCH})
    return _written(root)


def _manifest(count: int) -> bytes:
    root = ElementTree.Element("manifest", {"xmlns": _PACKAGE, "identifier": "steuervektor"})
    about = ElementTree.SubElement(root, "metadata")
    ElementTree.SubElement(about, "schema").text = "QTIv2.1 Package"
    ElementTree.SubElement(about, "schemaversion").text = "1.0.0"
    ElementTree.SubElement(root, "organizations")
    resources = ElementTree.SubElement(root, "resources")
    for number in range(1, count + 1):
        named = {"identifier": f"item{number}", "type": "imsqti_item_xmlv2p1", "href": f"item{number}.xml"}
        resource = ElementTree.SubElement(resources, "resource", named)
        ElementTree.SubElement(resource, "file", {"href": f"item{number}.xml"})
    return _written(root)


def _clean(text: str) -> str:
    """Without the characters that XML 1.0 cannot hold."""
    return "".join(
        c for c in text if c in "\t\n\r" or " " <= c <= "\ud7ff" or "\ue000" <= c <= "\ufffd" or c > "\uffff"
    )
