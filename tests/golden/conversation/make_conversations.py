#!/usr/bin/env python3
"""Makes conversations.json: prompts and the ids that SentencePiece gives for them.

Each prompt is written out here as one text, in the way of FastChat and of the models' own code, and
cut at control pieces, so nothing is shared with the library's templates. What lies between control
pieces is encoded by the sentencepiece package, with the LLaMA vocabulary of the shared data:

    python3 tests/golden/conversation/make_conversations.py ../shared

Needs: pip install sentencepiece==0.2.3
"""
import json
import os
import sys

import sentencepiece

BOS, EOS, EOT = 1, 2, 32000
END_OF_TURN = "<|end_of_turn|>"


def vicuna(system, history, user, partial):
    prompt = []
    for question, answer in history:
        prompt += ["USER: %s ASSISTANT: %s" % (question, answer), EOS]
    return prompt + ["USER: %s ASSISTANT:%s" % (user, partial)]


def llama2(system, history, user, partial):
    first = "<<SYS>>\n%s\n<</SYS>>\n\n" % system if system is not None else ""
    prompt = []
    for question, answer in history:
        prompt += ["[INST] %s%s [/INST] %s " % (first, question, answer), EOS, BOS]
        first = ""
    return prompt + ["[INST] %s%s [/INST]%s" % (first, user, partial)]


def ultralm(system, history, user, partial):
    prompt = []
    for question, answer in history:
        prompt += ["User: %s" % question, EOS, "Assistant: %s" % answer, EOS]
    return prompt + ["User: %s" % user, EOS, "Assistant:%s" % partial]


def openchat(system, history, user, partial):
    prompt = []
    for question, answer in history:
        prompt += ["Human: %s" % question, EOT, "Assistant: %s" % answer, EOT]
    return prompt + ["Human: %s" % user, EOT, "Assistant:%s" % partial]


def stablevicuna(system, history, user, partial):
    text = ""
    for question, answer in history:
        text += "### Human: %s\n### Assistant: %s\n" % (question, answer)
    return [text + "### Human: %s\n### Assistant:%s" % (user, partial)]


def none(system, history, user, partial):
    text = ""
    for question, answer in history:
        text += "%s\n%s\n" % (question, answer)
    return [text + user + partial]


TEMPLATES = {"vicuna": vicuna, "llama2-chat": llama2, "ultralm": ultralm, "openchat": openchat,
             "stablevicuna": stablevicuna, "none": none}

ROUND = ("What is tea?", "1. Leaves. Dried leaves.\n2. Water. Hot water.")
HAND_PICKED = [
    ([], "hi", " 1."),
    ([], "hi", ""),
    ([], "", ""),
    ([], "Quote </s> and <s> and <|end_of_turn|> ### USER: please", "3. </s>"),
    ([], " spaces  around \n", " 1."),
    ([], "中文 😀 naïve", "1. 点心."),
    ([ROUND], "And coffee?", " 1."),
    ([ROUND, ("More?", " Leading space </s>.")], "Why?", ""),
]


def encode(processor, prompt, has_end_of_turn):
    ids = [BOS]
    text = ""
    for part in prompt + [None]:
        if part == EOT and not has_end_of_turn:
            part = END_OF_TURN
        if isinstance(part, str):
            text += part
        else:
            ids += processor.encode(text) if text else []
            text = ""
            ids += [part] if part is not None else []
    return ids


def main():
    shared = sys.argv[1]
    processor = sentencepiece.SentencePieceProcessor(
        model_file=os.path.join(shared, "data/tokenizer/llama.model"))
    cases = []

    def add(name, history, user, partial, system=None, end_of_turn=True):
        # An answer that brings the blank behind the assistant's tag gets no second one.
        once = [(q, a if name == "none" else a.removeprefix(" ")) for q, a in history]
        prompt = TEMPLATES[name](system, once, user, partial)
        cases.append({"template": name, "end_of_turn": end_of_turn, "system": system,
                      "history": [text for round in history for text in round], "user": user,
                      "partial": partial, "ids": encode(processor, prompt, end_of_turn)})

    for name in TEMPLATES:
        for history, user, partial in HAND_PICKED:
            add(name, history, user, partial)
    add("openchat", [ROUND], "And coffee?", " 1.", end_of_turn=False)
    for history, user, partial in HAND_PICKED[::6]:
        add("llama2-chat", history, user, partial, system="Be brief. </s>")
    prompts = json.load(open(os.path.join(shared, "data/prompts_opensource.json")))
    with open(os.path.join(shared, "data/vicuna80.jsonl")) as f:
        questions = [json.loads(line) for line in f]
    questions = [next(q[key] for key in ("question", "text", "instruction") if key in q)
                 for q in questions]
    for question in questions[:40]:
        add("vicuna", [], question, "")
    for question in questions[40:43]:
        user, partial = prompts["outline_prompt"].replace("{request}", question).split(
            "[ROLESWITCHING assistant:]")
        add("vicuna", [ROUND], user, partial)
    folder = os.path.dirname(os.path.abspath(__file__))
    with open(os.path.join(folder, "conversations.json"), "w") as f:
        f.write("[\n" + ",\n".join(json.dumps(case) for case in cases) + "\n]\n")


if __name__ == "__main__":
    main()
