"""What shoppers type into the search box: two languages, from a word to a narrow wish, with slips of the finger.

Brands are invented; the typo of a term is of the kinds that people make: a letter dropped, doubled, swapped with the
next one, or a neighbour's on the keyboard hit instead (Damerau 1964 found these four to be 80 % of all).
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import NamedTuple


class Category(NamedTuple):
    """A category of the shop, and what people call it."""

    name: str  # `item_category`
    english: tuple[str, ...]
    german: tuple[str, ...]


CATEGORIES = (
    Category("running-shoes", ("running shoes", "runners", "trail shoes"), ("laufschuhe", "joggingschuhe")),
    Category("sneakers", ("sneakers", "trainers"), ("sneaker", "turnschuhe")),
    Category("boots", ("boots", "ankle boots", "winter boots"), ("stiefel", "stiefeletten", "winterstiefel")),
    Category("sandals", ("sandals", "flip flops"), ("sandalen", "badelatschen")),
    Category("jackets", ("jacket", "rain jacket"), ("jacke", "regenjacke", "übergangsjacke")),
    Category("coats", ("coat", "wool coat"), ("mantel", "wollmantel")),
    Category("jeans", ("jeans", "slim jeans"), ("jeans", "jeanshose")),
    Category("shirts", ("shirt", "t-shirt", "white shirt"), ("hemd", "t-shirt", "weißes hemd")),
    Category("dresses", ("dress", "summer dress"), ("kleid", "sommerkleid")),
    Category("knitwear", ("sweater", "cardigan", "jumper"), ("pullover", "strickjacke")),
    Category("socks", ("socks", "wool socks"), ("socken", "strümpfe")),
    Category("hats", ("hat", "beanie", "cap"), ("mütze", "hut")),
    Category("bags", ("handbag", "backpack", "tote bag"), ("handtasche", "rucksack")),
    Category("watches", ("watch", "wrist watch"), ("armbanduhr", "uhr")),
    Category("jewellery", ("necklace", "earrings", "ring"), ("halskette", "ohrringe", "schmuck")),
    Category("phones", ("phone", "smartphone"), ("handy", "smartphone")),
    Category("phone-cases", ("phone case", "screen protector"), ("handyhülle", "panzerglas")),
    Category("headphones", ("headphones", "earbuds", "noise cancelling headphones"), ("kopfhörer", "ohrhörer")),
    Category("laptops", ("laptop", "notebook"), ("laptop", "notebook")),
    Category("tablets", ("tablet", "drawing tablet"), ("tablet", "grafiktablett")),
    Category("monitors", ("monitor", "27 inch monitor"), ("monitor", "bildschirm 27 zoll")),
    Category("keyboards", ("keyboard", "mechanical keyboard"), ("tastatur", "mechanische tastatur")),
    Category("cameras", ("camera", "camera lens"), ("kamera", "objektiv")),
    Category("printers", ("printer", "printer ink"), ("drucker", "druckerpatronen")),
    Category("lamps", ("lamp", "desk lamp", "led lamp"), ("lampe", "schreibtischlampe")),
    Category("sofas", ("sofa", "couch", "corner sofa"), ("sofa", "couch", "ecksofa")),
    Category("chairs", ("chair", "office chair"), ("stuhl", "bürostuhl")),
    Category("bedding", ("bedding", "duvet cover", "pillow"), ("bettwäsche", "kopfkissen")),
    Category("towels", ("towels", "bath towel"), ("handtücher", "badetuch")),
    Category("cookware", ("frying pan", "pots", "cookware set"), ("bratpfanne", "topfset")),
    Category("knives", ("kitchen knife", "knife set"), ("küchenmesser", "messerblock")),
    Category("coffee", ("coffee beans", "espresso"), ("kaffeebohnen", "espresso")),
    Category("tea", ("tea", "green tea"), ("tee", "grüner tee")),
    Category("toys", ("toys", "wooden toys", "building blocks"), ("spielzeug", "holzspielzeug", "bausteine")),
    Category("puzzles", ("puzzle", "1000 piece puzzle"), ("puzzle", "puzzle 1000 teile")),
    Category("books", ("books", "crime novel", "cookbook"), ("bücher", "krimi", "kochbuch")),
    Category("bicycles", ("bicycle", "city bike", "e-bike"), ("fahrrad", "cityrad", "e-bike")),
    Category("tents", ("tent", "two person tent"), ("zelt", "zwei personen zelt")),
    Category("garden-tools", ("garden tools", "lawn mower"), ("gartengeräte", "rasenmäher")),
    Category("pet-food", ("dog food", "cat food"), ("hundefutter", "katzenfutter")),
)

_WISHES = {
    "english": ("black", "cheap", "new", "small", "for women", "for men", "sale", "large", "blue", "best"),
    "german": ("schwarz", "günstig", "neu", "klein", "damen", "herren", "angebot", "groß", "blau", "test"),
}
_KEYBOARD = ("qwertyuiop", "asdfghjkl", "zxcvbnm")
_SYLLABLES = (
    *("al", "an", "ar", "bel", "bor", "cal", "dor", "el", "fen", "gar", "hal", "il", "jor", "kel", "lan", "lum"),
    *("mar", "mon", "nor", "ol", "or", "pel", "quin", "ral", "sal", "sol", "tar", "tor", "ul", "vel", "vor", "wen"),
)
_ENDINGS = ("a", "ex", "o", "is", "en", "ia", "ix", "on", "ara", "ello")


class Terms(NamedTuple):
    """Search terms of a category in one language, by how narrow they are; later ones of a list are rarer."""

    broad: list[str]  # "boots"
    narrow: list[str]  # "black boots"
    by_brand: list[str]  # "Velora boots"


def brand_names(rng: Random, count: int) -> list[str]:
    """Invented, distinct names."""
    names: dict[str, None] = {}
    while len(names) < count:
        syllables = rng.choices(_SYLLABLES, k=2 if len(names) < 2_000 else 4)
        names[("".join(syllables) + rng.choice(_ENDINGS)).capitalize()] = None
    return list(names)


def terms(rng: Random, category: Category, brands: Sequence[str]) -> tuple[Terms, Terms]:
    """(German, English) terms of a category that sells these brands."""
    german = _terms(rng, category.german, _WISHES["german"], brands)
    return german, _terms(rng, category.english, _WISHES["english"], brands)


def _terms(rng: Random, called: Sequence[str], wishes: Sequence[str], brands: Sequence[str]) -> Terms:
    chosen = rng.sample(wishes, 4)
    narrow = [f"{word} {wish}" if wish.startswith("for ") else f"{wish} {word}" for wish in chosen for word in called]
    return Terms(list(called), narrow, [f"{brand.lower()} {called[0]}" for brand in brands])


def typo(rng: Random, term: str) -> str:
    """The term with one slip; a term of less than 3 letters as it is."""
    if len(term) < 3:
        return term
    at = rng.randrange(1, len(term) - 1)
    kind = rng.randrange(4)
    if kind == 0:
        return term[:at] + term[at + 1 :]
    if kind == 1:
        return term[:at] + term[at] + term[at:]
    if kind == 2 and term[at] != term[at + 1]:
        return term[:at] + term[at + 1] + term[at] + term[at + 2 :]
    return term[:at] + _neighbour(rng, term[at]) + term[at + 1 :]


def _neighbour(rng: Random, letter: str) -> str:
    for row in _KEYBOARD:
        if letter in row:
            place = row.index(letter)
            return rng.choice(row[max(0, place - 1) : place] + row[place + 1 : place + 2])
    return "e" if letter != "e" else "r"
