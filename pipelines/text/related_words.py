"""Known words that are near to unknown ones: by meaning, and from German.

Made by hand. Neighbours in the model's own space would say nothing here: the vector of a word that it never
read is noise, and so are its neighbours.
"""

# Known word or phrase -> words of pupils near to it. Of those that stand twice, the first counts most.
NEAR_TO = {
    "horse": "elephant donkey zebra cow giraffe unicorn deer camel mule moose rhino hippo buffalo sheep goat",
    "dog": "wolf bear pig panda hound fox sheep goat pet animal dinosaur",
    "cat": "tiger lion leopard panther kitty lynx fox pet animal",
    "rabbit": "hare mouse hamster squirrel rat hedgehog",
    "bird": "eagle duck owl parrot chicken hen penguin dragon bat butterfly bee pigeon swan raven plane",
    "fish": "shark whale dolphin turtle crocodile octopus frog snake",
    "house": "castle home building hut tower school church barn palace skyscraper shop hotel tent",
    "tree": "forest palm bush oak wood woods jungle plant",
    "car": "bicycle bike truck bus train motorcycle motorbike taxi van vehicle lorry scooter tractor",
    "boat": "ship yacht canoe submarine ferry raft",
    "bed": "sofa couch mattress hammock pillow blanket",
    "chair": "stool bench seat throne table desk armchair sofa couch",
    "flower": "rose sunflower daisy lily orchid blossom plant",
    "ball": "balloon apple globe sphere basketball soccer egg planet",
    "guitar": "ukulele banjo harp",
    "drums": "drummer percussion beats techno rock rap",
    "sitting on": "riding rides ride sits sit lying lies standing stands sleeping sleeps",
    "on": "onto upon atop",
    "in": "into within",
    "beside": "near",
    "in front of": "before facing",
    "four": "five six many several some",
    "one": "single",
    "red": "pink crimson scarlet",
    "purple": "lilac magenta pink",
    "orange": "brown golden gold",
    "yellow": "golden gold blonde",
    "blue": "turquoise cyan navy",
    "white": "silver gray grey",
    "black": "gray grey dark",
    "large": "giant enormous gigantic tall great",
    "small": "mini short",
    "room": "kitchen bedroom classroom bathroom office hall",
    "meadow": "garden park hill farm lawn valley mountain mountains",
    "street": "road highway path alley",
    "city": "town village",
    "beach": "desert sand shore coast island",
    "snow": "winter ice frost",
    "sea": "ocean lake river pool",
    "stars": "space moon galaxy universe",
    "sky": "clouds cloud air",
    "night": "evening midnight darkness",
    "bright": "sunny shiny sunlight daylight day",
    "dim": "dark gloomy shadowy",
    "cozy": "comfortable comfy homely",
    "moody": "foggy mysterious scary creepy spooky gloomy",
    "dramatic": "epic intense stormy loud",
    "warm": "hot sunset sunrise summer",
    "cartoon": "comic anime manga animated drawn",
    "photo": "picture image photography",
    "photorealistic": "realistic real",
    "painting": "oil painted",
    "pixel art": "minecraft",
    "surreal": "weird strange abstract psychedelic dreamy magical",
    "close-up": "portrait macro",
    "wide shot": "panorama",
    "top view": "aerial",
    "blurry": "blurred fuzzy",
    "text": "words writing letter",
    "watermark": "logo signature",
    "walks left": "walk runs running run goes going go",
    "moves left": "drives driving drive swims swimming swim",
    "flies up": "fly soars floats floating",
    "jumps": "jump leaps dances dancing bounces",
    "falls": "fall sinks",
    "spins": "spin turning twirls",
    "grows": "grow",
    "piano": "keyboard organ synthesizer",
    "violin": "cello viola strings orchestra",
    "flute": "trumpet saxophone clarinet oboe whistle",
    "bass": "contrabass tuba",
    "melody": "song lullaby",
    "music": "pop jazz classical",
    "fast": "rapid quickly hectic",
    "happy": "joyous funny glad",
    "sad": "unhappy depressing tragic",
    "calm": "quiet soft relaxing relaxed silent",
    "wind": "storm breeze",
    "rain": "thunder thunderstorm drizzle",
    "waves": "ocean",
    "engine": "motor machine",
    "birdsong": "chirping tweeting",
    "barking": "bark woof",
    "meowing": "meow purring",
    "singing": "sings voice",
}
# German adjectives without their endings.
ADJECTIVES = {
    "rot": "red", "orangefarben": "orange", "gelb": "yellow", "grün": "green", "blau": "blue",
    "violett": "violet", "lila": "purple", "schwarz": "black", "weiß": "white", "weiss": "white",
    "klein": "small", "winzig": "tiny", "groß": "large", "gross": "large", "riesig": "huge",
    "gemütlich": "cozy", "schummrig": "dim", "dunkel": "dim", "dunkl": "dim", "düster": "moody",
    "dramatisch": "dramatic", "hell": "bright", "warm": "warm", "verschneit": "snowy",
    "fotorealistisch": "photorealistic", "surreal": "surreal", "unscharf": "blurry", "zentriert": "centered",
    "langsam": "slow", "schnell": "fast", "fröhlich": "happy", "glücklich": "happy", "lustig": "cheerful",
    "traurig": "sad", "ruhig": "calm", "sanft": "gentle", "friedlich": "peaceful", "steigend": "rising",
    "fallend": "falling",
}  # fmt: skip
ENDINGS = ("", "e", "er", "es", "en", "em")
# Other German words, and such as only go together; "" has no place in a caption.
OTHER_GERMAN = {
    "ein": "a", "eine": "a", "einem": "a", "einen": "a", "einer": "a", "eines": "a",
    "der": "the", "die": "the", "das": "the", "dem": "the", "den": "the", "des": "the",
    "und": "and", "mit": "with", "zwei": "two", "drei": "three", "vier": "four",
    "auf": "on", "im": "in the", "am": "at the", "an der": "at the", "an einem": "at a", "an einer": "at a",
    "bei": "at", "unter": "under", "vor": "in front of", "hinter": "behind", "neben": "next to",
    "über": "above", "links": "left", "rechts": "right", "links von": "left of", "rechts von": "right of",
    "nach links": "left", "nach rechts": "right", "nach oben": "up", "nach unten": "down", "von": "of",
    "sitzt": "sitting", "steht": "", "liegt": "", "ist": "", "sind": "",
    "katze": "cat", "katzen": "cats", "kater": "cat", "kätzchen": "kitten", "hund": "dog", "hunde": "dogs",
    "hunden": "dogs", "welpe": "puppy", "hase": "rabbit", "hasen": "rabbits", "kaninchen": "rabbit",
    "vogel": "bird", "vögel": "birds", "pferd": "horse", "pferde": "horses", "fisch": "fish",
    "fische": "fish", "haus": "house", "häuser": "houses", "hütte": "cottage", "baum": "tree",
    "bäume": "trees", "auto": "car", "autos": "cars", "boot": "boat", "boote": "boats", "schiff": "boat",
    "segelboot": "sailboat", "bett": "bed", "betten": "beds", "stuhl": "chair", "stühle": "chairs",
    "blume": "flower", "blumen": "flowers", "tulpe": "tulip", "tulpen": "tulips", "bälle": "balls",
    "fußball": "football", "fussball": "football", "gitarre": "guitar", "gitarren": "guitars",
    "trommel": "drum", "trommeln": "drums", "schlagzeug": "drums",
    "zimmer": "room", "raum": "room", "drinnen": "indoors", "wiese": "meadow", "gras": "grass",
    "feld": "field", "straße": "street", "strasse": "street", "stadt": "city", "strand": "beach",
    "schnee": "snow", "meer": "sea", "see": "sea", "wasser": "water", "himmel": "sky",
    "nachthimmel": "night sky", "nacht": "night", "nachts": "at night", "sterne": "stars",
    "sternen": "stars", "licht": "light", "beleuchtung": "lighting", "stimmung": "atmosphere",
    "atmosphäre": "atmosphere", "comic": "cartoon", "zeichentrick": "cartoon", "foto": "photo",
    "fotografie": "photograph", "stil": "style", "bleistift": "pencil",
    "bleistiftzeichnung": "pencil drawing",
    "zeichnung": "drawing", "skizze": "sketch", "gemälde": "painting", "aquarell": "watercolor",
    "pixelbild": "pixel art", "nahaufnahme": "close-up", "weitwinkel": "wide angle", "mitte": "center",
    "von oben": "top view", "schrift": "text", "buchstaben": "letters", "wasserzeichen": "watermark",
    "läuft": "walks", "geht": "walks", "rennt": "walks", "bewegt sich": "moves", "fliegt": "flies",
    "hoch": "up", "fällt": "falls", "springt": "jumps", "hüpft": "hops", "wächst": "grows",
    "dreht sich": "spins", "steigt": "rises", "kamera": "camera", "zoomt": "zooms", "schwenkt": "pans",
    "klavier": "piano", "geige": "violin", "flöte": "flute", "musik": "music", "melodie": "melody",
    "lied": "tune", "stück": "piece", "klang": "sound", "geräusch": "sound", "vogelgesang": "birdsong",
    "regen": "rain", "wellen": "waves", "motor": "engine", "bellt": "barking", "bellender": "barking",
    "miaut": "meowing", "singt": "singing", "allein": "alone",
}  # fmt: skip
# Such as English has, too: one of them alone makes no text German.
AMBIGUOUS = ("comic", "den", "die", "hell", "motor", "rot", "see", "von")


def _by_word() -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for known, words in NEAR_TO.items():
        for word in words.split():
            found[word] = (*found.get(word, ()), known)
    return found


RELATED: dict[str, tuple[str, ...]] = _by_word()
GERMAN: dict[str, str] = {
    f"{stem}{ending}": english for stem, english in ADJECTIVES.items() for ending in ENDINGS
} | OTHER_GERMAN
