"""Questions that do not suit Skeleton-of-Thought: sums, code, stories, translations and so on.

Owns their wording, their router letter (B: later steps need earlier ones; C: not a list) and the
one honest sentence that the demo model answers them with, since it knows nothing about them.
"""
import string

SUM = " I am only a small demonstration model, so I cannot calculate."
CODE = " I am only a small demonstration model, so I cannot write code."
STORY = " I am only a small demonstration model, so I cannot write stories or letters."
FACT = " I am only a small demonstration model, so I do not know such facts."
LANGUAGE = " I am only a small demonstration model, so I cannot work on texts."

# (router letter, answer, templates). {o} is any object, {n} {m} {k} are numbers, {w} is a word,
# {c} a programming language, {l} a language, {p} a person's role, {v} a variable.
KINDS = [
    ("B", SUM, [
        "What is {n} + {m}?", "What is {n} times {m}?", "Calculate {n} - {m}.",
        "Solve for {v}: {k}{v} + {n} = {m}.", "What is {k} percent of {n}?",
        "How much is {n} divided by {k}?", "Compute ({n} + {m}) * {k}.",
        "A train travels {n} kilometres in {k} hours. What is its speed?",
        "If I buy {k} apples for {n} cents each, how much do I pay?",
        "Prove that the sum of two odd numbers is even.",
        "Find the roots of {v}^2 - {k}{v} + {n}.",
        "What is the area of a circle with radius {n}?",
        "If f({v}) = {k}{v} + {n}, what is f({m})?",
        "Each of {k} boxes holds {n} {o} parts. How many parts are there in total?",
        "Tom is {n} years old and twice as old as Ann. How old is Ann?",
        "What is the greatest common divisor of {n} and {m}?",
    ]),
    ("B", CODE, [
        "Write a {c} program that prints the first {n} prime numbers.",
        "Write a function in {c} that sorts a list.", "Implement binary search in {c}.",
        "Write {c} code to reverse a string.", "How do I read a file line by line in {c}?",
        "Write a {c} function to count the word {w} in a text.",
        "Implement a program to find the common elements of two arrays.",
        "Write a {c} class for {o} with two methods.", "Fix the bug in this {c} code.",
        "Write an SQL query that lists all customers older than {n}.",
        "Develop a {c} script that downloads a web page.", "Write a regular expression for dates.",
    ]),
    ("C", STORY, [
        "Write a short story about {o}.", "Write a poem about {o}.", "Tell me a story about {o}.",
        "Write an email to my boss about {o}.", "Compose a letter about {o} to a friend.",
        "Pretend to be {p} and talk about {o}.", "Write a dialogue between {p} and a dragon.",
        "Imagine you are {p}. Describe your day.", "Write a song about {o} and love.",
        "Write a movie review of a film about {o}.", "Write a speech by {p} about {o}.",
        "Compose an engaging travel blog post about {o}.", "Tell me a joke about {o}.",
        "You are {p}. Explain what you think of {o}.",
        "Write the first paragraph of a novel on {o}.",
    ]),
    ("C", FACT, [
        "Who invented the {w}?", "When was the {w} built?", "What is the capital of {l} territory?",
        "Who wrote the book about {o}?", "How many people live in {o}?", "What does {w} mean?",
        "Is {o} older than {n} years?", "How old is {o}?", "What year did {o} begin?",
        "How many legs does a {w} have?", "Which planet is the largest?", "Define {o}.",
        "What is {o}?", "Is it true that {o} is dangerous?", "Who was the first to try {o}?",
        "How long does {o} take?", "Hello, how are you?", "What is your name?",
    ]),
    ("C", LANGUAGE, [
        "Translate {w} {w2} into {l}.", "How do you say {w} in {l}?",
        "Summarise this text about {o} in one sentence.",
        "Correct the spelling of this sentence: {w} {w2}.",
        "Rewrite this sentence in the past tense: I like {o}.",
        "Translate the following text into {l}: {o}.",
        "Give me another word for {w}.", "Extract all names from the text about {o}.",
        "Classify this review as good or bad: The {w} was {w2}.",
        "What is the main idea of the text about {o}?",
    ]),
]

PROGRAMMING = ["C", "C++", "Python", "Java", "Rust", "JavaScript", "Go", "Perl", "Bash"]
LANGUAGES = ["English", "Dutch", "Polish", "Swedish", "Latin", "Russian", "Korean", "Danish"]
ROLES = ["a pirate", "Sherlock Holmes", "a robot", "a king", "a teacher", "a detective", "a wizard",
         "a scientist", "Shakespeare", "an old captain", "a time traveller", "a chef", "Superman"]


def draw_other(rng, material, maker):
    """One such question as a line of the corpus."""
    letter, answer, templates = rng.choice(KINDS)
    word, second = rng.choices(material.words, k=2)
    question = rng.choice(templates).format(
        o=maker.draw(rng).name, n=rng.randint(2, 10 ** rng.randint(1, 4)), m=rng.randint(2, 999),
        k=rng.randint(2, 20), w=word, w2=second, c=rng.choice(PROGRAMMING),
        l=rng.choice(LANGUAGES), p=rng.choice(ROLES), v=rng.choice(string.ascii_lowercase))
    return {"route": letter, "question": question, "answer": answer}
