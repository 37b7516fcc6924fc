"""Records of sot-eval run, made here: as sot-eval(1) describes them, with random lengths."""


def stage(rng, tokens):
    return {"prefill_ns": rng.randrange(10**6, 10**7), "decode_ns": tokens * 10**6,
            "prefill_tokens": 10, "reused_tokens": 0, "decode_tokens": tokens,
            "decode_steps": tokens, "max_rows": 1}


def record(rng, i, category, mode, **more):
    """A record as sot-eval(1) describes it."""
    ran = more.pop("ran", "normal" if mode == "normal" else "sot")
    lengths = more.pop("lengths", [rng.randrange(5, 60) for _ in range(rng.randrange(3, 9))])
    lengths = lengths if ran == "sot" else []
    tokens = [rng.randrange(50, 400), 0, 0] if ran == "normal" else [0, 40, sum(lengths)]
    stages = dict(zip(("normal", "skeleton", "expand", "route"),
                      [stage(rng, n) for n in tokens + [0]]))
    total = sum(s["prefill_ns"] + s["decode_ns"] for s in stages.values()) + 12345
    return {"question_id": i, "category": category, "difficulty": None, "suitable": i % 2,
            "mode": mode, "status": "SOT_OK", "error": None, "question": f"Question {i}?",
            "ran": ran, "finish": "stop", "answer": f"Answer {i} {mode}",
            "skeleton": " 1. A" if ran == "sot" else None, "n_tokens": sum(tokens),
            "answer_tokens": sum(tokens) + 3,
            "points": [{"index": str(j + 1), "outline": "A", "text": " t", "tokens": n,
                        "finish": "stop"} for j, n in enumerate(lengths)],
            "points_dropped": 0, "decision": None, "stats": stages | {"total_ns": total},
            "peak_bytes": rng.randrange(10**7, 2 * 10**7),
            "started": "2026-01-31T12:00:00Z"} | more


def decided(label, **more):
    return {"ran": "sot" if label == "sot" else "normal",
            "decision": {"router": "trained", "label": label, "score": 0.5,
                         "latency_ns": 400000}} | more
