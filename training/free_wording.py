"""Prompts as people write them, in wordings that the captions of the training never use, with their facts.

Written by hand before any picture of them was looked at, and never trained on. Each holds a word that no
caption has. The facts name only what a reader would demand of the picture.
"""

from pipelines.world.captions import Facts, ThingFact
from training.evaluation_prompts import EvalPrompt


def _thing(words: str) -> ThingFact:
    """What words such as "red car", "small cat" or "3 cat" say."""
    *said, noun = words.split()
    thing = {"noun": noun, "colour": None, "size": None, "count": 1}
    for word in said:
        kind = "count" if word.isdigit() else "size" if word in ("small", "large") else "colour"
        thing[kind] = int(word) if kind == "count" else word
    return ThingFact(**thing)  # type: ignore[arg-type]


def _prompt(text: str, things: str, relation: str | None = None, **looks: str) -> EvalPrompt:
    return EvalPrompt(text, Facts(tuple(map(_thing, things.split(", "))), relation, **looks))


FREE_WORDING = (
    _prompt("There is a cat sleeping on my bed", "cat, bed", "on"),
    _prompt("Show me a dog that sits underneath a chair", "dog, chair", "under"),
    _prompt("I would like to see a rabbit hiding behind a tree", "rabbit, tree", "behind"),
    _prompt("our horse stands right beside the house", "horse, house", "next to"),
    _prompt("a bird that has landed upon a boat", "bird, boat", "on"),
    _prompt("Somebody parked a car directly in front of our house", "car, house", "in front of"),
    _prompt("a ball has rolled under the bed", "ball, bed", "under"),
    _prompt("my guitar leans against a chair", "guitar, chair", "next to"),
    _prompt("on the left we see a dog, on the right there is a drum", "dog, drum", "left of"),
    _prompt("the boat is to the right side of a tree", "boat, tree", "right of"),
    _prompt("a bird flying high over a house", "bird, house", "above"),
    _prompt("a fish swimming beneath a boat", "fish, boat", "below"),
    _prompt("The car that I want is painted bright red", "red car"),
    _prompt("imagine a blue horse galloping", "blue horse"),
    _prompt("a flower whose petals are yellow", "yellow flower"),
    _prompt("my friend owns a green boat", "green boat"),
    _prompt("Please draw an orange fish", "orange fish"),
    _prompt("this bird wears purple feathers", "purple bird"),
    _prompt("someone has painted their chair white", "white chair"),
    _prompt("a black dog waits patiently", "black dog"),
    _prompt("the roof and walls of this house are red", "red house"),
    _prompt("a guitar coloured in blue", "blue guitar"),
    _prompt("our cat is a tiny little thing", "small cat"),
    _prompt("such an enormous dog!", "large dog"),
    _prompt("look at that huge tree", "large tree"),
    _prompt("the ball looks rather tiny from here", "small ball"),
    _prompt("a pair of cats playing together", "2 cat"),
    _prompt("I count three birds here", "3 bird"),
    _prompt("four fish swim along", "4 fish"),
    _prompt("my garden has two trees", "2 tree"),
    _prompt("a dog running through deep snow", "dog", place="snow"),
    _prompt("a rabbit enjoys its winter day outside in the snow", "rabbit", place="snow"),
    _prompt("a horse grazing on green grass", "horse", place="meadow"),
    _prompt("a cat strolls down our street", "cat", place="street"),
    _prompt("vacation by the sea: a boat", "boat", place="sea"),
    _prompt("a ball lies in the sand of a beach", "ball", place="beach"),
    _prompt("a chair stands inside my living room", "chair", place="room"),
    _prompt("a bird among stars, far up in the night sky", "bird", place="night sky"),
    _prompt("a car drives along an empty street", "car", place="street"),
    _prompt("a drum that nobody plays, left behind on a beach", "drum", place="beach"),
    _prompt("it is night and a house stands there", "house", atmosphere="at night"),
    _prompt("hardly any light falls onto a guitar, it is very dim here", "guitar", atmosphere="dim"),
    _prompt("a bed in which one feels cozy and safe", "bed", atmosphere="cozy"),
    _prompt("a tree under dramatic skies", "tree", atmosphere="dramatic"),
    _prompt("a flower that glows in warm evening sun", "flower", atmosphere="warm"),
    _prompt("everything is bright around this horse", "horse", atmosphere="bright"),
    _prompt("my mood is moody and so is this cat", "cat", atmosphere="moody"),
    _prompt("a rabbit like those cartoon heroes on television", "rabbit", style="cartoon"),
    _prompt("someone sketched a horse with their pencil", "horse", style="pencil sketch"),
    _prompt("a house made of pixels, as old video games had it", "house", style="pixel art"),
    _prompt("paint me a tree using watercolor", "tree", style="watercolor"),
    _prompt("a fish that could be out of some surreal dream", "fish", style="surreal"),
    _prompt("take a realistic photo showing one dog", "dog", style="photorealistic"),
    _prompt("a red ball and, not far away, some drum", "red ball, drum"),
    _prompt("a yellow bird watches a green car", "yellow bird, green car"),
    _prompt("a white cat meets a black dog", "white cat, black dog"),
    _prompt("while a boat passes, a dog looks at it from below a tree", "boat, dog, tree"),
    _prompt("someone left a flower lying on a chair", "flower, chair", "on"),
    _prompt("a cat jumped up onto a drum", "cat, drum", "on"),
    _prompt("a horse carries a rabbit on its back", "rabbit, horse", "on"),
)
