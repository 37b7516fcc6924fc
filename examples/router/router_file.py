"""The file of a trained router, as lib/sot/router_file.h describes it: train.py writes it by this,
and the tests read it and score with it to compare the C library. Standard library only."""
import math
import struct
import zlib

from question_features import FAMILIES, families

HEADER = struct.Struct("<8sIIIIIQff8f")
MAX_BYTES = 512 * 1024


def pack(lexicon, weights, bias, threshold=0.5):
    """The file's bytes. weights: {feature: weight}; every family has the scale 1."""
    words = sorted(lexicon.masks.items())
    size = HEADER.size + 4 * len(lexicon.names) + 12 * len(words) + 8 * len(weights) + 4
    data = HEADER.pack(b"SOTROUTR", 1, size, len(lexicon.names), len(words), len(weights),
                       lexicon.requests, bias, threshold, *([1.0] * len(FAMILIES)))
    data += struct.pack(f"<{len(lexicon.symbols)}I", *lexicon.symbols)
    data += b"".join(struct.pack("<IQ", *word) for word in words)
    data += b"".join(struct.pack("<If", *one) for one in sorted(weights.items()))
    data += struct.pack("<I", zlib.crc32(data))
    assert len(data) == size <= MAX_BYTES
    return data


class RouterFile:
    """A file that was read; it stands for its lexicon, too (see question_features.Lexicon)."""

    def __init__(self, data):
        fields = HEADER.unpack_from(data)
        n_classes, n_words, n_weights, self.requests, self.bias, self.threshold = fields[3:9]
        self.scales = fields[9:]
        self.symbols = struct.unpack_from(f"<{n_classes}I", data, HEADER.size)
        at = HEADER.size + 4 * n_classes
        self.masks = dict(struct.iter_unpack("<IQ", data[at:at + 12 * n_words]))
        at += 12 * n_words
        self.weights = dict(struct.iter_unpack("<If", data[at:at + 8 * n_weights]))

    def score(self, question):
        logit = self.bias
        for scale, members in zip(self.scales, families(question, self)):
            if members:
                logit += scale / math.sqrt(len(members)) * math.fsum(
                    self.weights.get(value, 0.0) for value in members)
        return 1.0 / (1.0 + math.exp(-logit)) if logit > -700 else 0.0
