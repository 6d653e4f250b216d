"""Writes haystack.txt: about 30 kB of plain English prose about a small town, made from the sentence frames below.

The text is the default filler of the task needle/facts. It is original, so it can be shipped under the project's licence.
Run it in this folder; the output is the same every time.
"""

import random
import re
from pathlib import Path

SLOTS = {
    "person": "the baker|the ferryman|the schoolteacher|the clockmaker|the old gardener|the librarian|the miller|"
    "the harbour master|the postman|the carpenter|the beekeeper|the stonemason|the night watchman|the seamstress|"
    "the retired captain|the young doctor".split("|"),
    "place": "the market square|the harbour wall|the upper mill|the long bridge|the reading room|the walled garden|"
    "the old railway station|the ropewalk|the weather station|the lower meadow|the chapel yard|the boat shed|"
    "the town hall|the quarry road|the fish market|the lighthouse path".split("|"),
    "thing": "a wooden crate|a coil of rope|a brass lamp|a bundle of letters|a basket of pears|a worn map|a copper kettle|"
    "a bag of seed|a stack of plates|a folding chair|a pair of oars|a small anvil|a length of canvas|a ledger|"
    "a jar of nails|a roll of cloth".split("|"),
    "weather": "a light rain|a dry east wind|a thick morning fog|the first frost|a mild grey sky|a sudden squall|"
    "clear cold air|the late summer heat|a slow drizzle|low cloud|bright haze|a steady breeze".split("|"),
    "season": "early spring|late spring|midsummer|the last week of summer|early autumn|late autumn|the middle of winter|"
    "the end of winter".split("|"),
    "craft": "mending nets|binding books|grafting fruit trees|sharpening tools|repairing slate roofs|drying herbs|"
    "pressing cider|painting shop signs|weaving baskets|tuning the organ|sorting the mail|sweeping the steps".split("|"),
    "view": "the far hills|the estuary|the chimneys of the brickworks|the orchards|the grey line of the sea|"
    "the barges on the canal|the new footpath|the tall poplars".split("|"),
    "count": "two|three|four|five|six|seven|nine|a dozen|twenty".split("|"),
    "quality": "patient|careful|stubborn|cheerful|practical|quiet|curious|generous|precise|hesitant".split("|"),
    "animal": "a grey heron|a pair of swallows|the stable cat|an elderly dog|a flock of geese|two goats|a young fox|"
    "a row of pigeons".split("|"),
}

FRAMES = """In {season}, {person} used to walk from {place} to {place} before anyone else was awake.
Nobody remembered who had left {thing} beside {place}, yet it stayed there for {count} weeks.
{weather} settled over {place}, and most of the windows stayed shut until noon.
From {place} one could see {view}, at least on days without fog.
{person} and {person} argued for an hour about the proper way of {craft}, and neither gave in.
The work of {craft} was slow, but it paid for bread, lamp oil and a little coal.
When {weather} came, {person} carried {thing} indoors and dried it by the stove.
A notice on the door of {place} asked visitors to wipe their boots and to speak softly.
{animal} crossed {place} without hurry and vanished behind the hedge.
People said that {person} was {quality}, and they meant it as praise.
It took {count} men and one tired horse to move the beam from {place} to {place}.
After the meeting, {person} wrote the figures into a ledger and locked it in a drawer.
Children were told not to play near {place}, so of course they met there every afternoon.
The council had promised to repair {place} in {season}, but the money went into the new drain.
{person} kept {thing} under the counter, wrapped in newspaper and tied with string.
On market days the road past {place} filled with carts, and the dust hung in the air until evening.
There was a smell of tar and apples around {place}, which strangers noticed and residents did not.
Every {count} years the river rose above its banks and left a line of mud on the walls of {place}.
{person} had learned {craft} from an uncle who never once explained what he was doing.
Because of {weather}, the ferry waited at the pier, and the passengers shared their sandwiches.
A visitor from the city bought {thing} for a fair price and then forgot it on a bench near {place}.
The bell rang {count} times, although everybody agreed that it was the wrong hour.
{animal} had made a home under the roof of {place}, and no one had the heart to drive it out.
It was {person} who noticed that the steps of {place} were worn deeper on the left than on the right.
Later that week, {person} lent {thing} to {person}, and a small friendship began.
The path to {view} is longer than it looks, and the last part is steep.
Supper was soup, dark bread and cheese, and the talk turned once more to {craft}.
In the archive of {place} there are {count} boxes of photographs that nobody has sorted.
{weather} made the stones slippery, so {person} spread ash on the steps of {place}.
The painter who stayed through {season} finished {count} pictures of {place} and gave one away.
Some of the older houses behind {place} still have cellars that reach down to the water.
{person} answered every question with another question, which was thought to be {quality}.
Trains no longer stop here, but the timetable of the last year is still framed in {place}.
By {season} the apples were gathered, and the presses ran from dawn until the lamps were lit.
Someone had carved a small ship into the door of {place}, and below it a date that could not be read.
{person} found {thing} in the reeds and asked along the street until the owner was known.
The wind turned in the night, and by morning {view} stood out as sharp as a drawing.
A good wall, said {person}, begins with a dry foundation and a {quality} mind.
For {count} days no letter came, and then the whole bag arrived at once.
The new teacher counted the chairs in {place} and found that there were too few.
Between {place} and {place} lies a strip of common land where anybody may graze a goat.
{person} closed the shop early, put on a heavy coat and went to look at {view}.
In a town of this size, a rumour needs about as long as a kettle to boil.
Rain filled the barrels behind {place}, and the gardeners were glad of it.
The repair cost less than expected, since {person} gave the timber and asked for nothing.
{animal} slept in the sun beside {thing} and did not move when the carts went by.
Old maps show a second bridge near {place}, but no trace of it has been found.
The choir practised in {place}, and those who could not sing carried chairs.
With {weather} in the valley, sounds travelled far, and one could hear hammering from {place}.
The last lamp to go out was always the one of {person}, who read until midnight."""


def capital(text: str) -> str:
    return text[0].upper() + text[1:]


def main() -> None:
    rng = random.Random(20261125)
    frames = FRAMES.split("\n")
    paragraphs, size, seen = [], 0, set()
    queue: list[str] = []
    while size < 30_000:
        sentences = []
        for _ in range(rng.randint(5, 9)):
            if not queue:
                queue = rng.sample(frames, len(frames))
            frame = queue.pop()
            while True:
                used: set[str] = set()

                def fill(match: re.Match[str]) -> str:
                    word = rng.choice([w for w in SLOTS[match.group(1)] if w not in used])
                    used.add(word)
                    return word

                sentence = capital(re.sub(r"\{(\w+)\}", fill, frame))
                if sentence not in seen or "{" not in frame:
                    break
            if sentence not in seen:
                seen.add(sentence)
                sentences.append(sentence)
        paragraphs.append(" ".join(sentences))
        size += len(paragraphs[-1]) + 2
    Path(__file__).with_name("haystack.txt").write_text("\n\n".join(paragraphs) + "\n", encoding="ascii")


if __name__ == "__main__":
    main()
