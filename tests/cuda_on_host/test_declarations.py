#!/usr/bin/env python3
"""The layer's declarations of CUDA's and cuBLASLt's APIs say what NVIDIA's own say.

A program of lib/cuda/ compiles against either. Here every constant of the layer's headers becomes a
static assertion about NVIDIA's, and every function is declared once more behind NVIDIA's
declaration, which a C compiler refuses unless both agree. Without NVIDIA's headers: skipped."""
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import unittest

LAYER = pathlib.Path(__file__).parent / "include"
RUNTIME = ["cuda_runtime_api.h", "cuda_error_list.h", "library_types.h"]
BLAS = ["cublasLt.h"]
TYPES = {
    "runtime": ["cudaLaunchAttribute", "cudaLaunchConfig_t"],
    "blas": ["cublasLtMatmulAlgo_t", "cublasLtMatmulHeuristicResult_t",
             "cublasLtMatmulDescOpaque_t", "cublasLtMatrixLayoutOpaque_t",
             "cublasLtMatmulPreferenceOpaque_t"],
}


def cache_entry(name):
    """What CMake found when the build folder was configured, if it is there."""
    cache = pathlib.Path(os.environ.get("SOT_BUILD_DIR", "build")) / "CMakeCache.txt"
    found = re.search(rf"^{name}:\w+=(.*)$", cache.read_text() if cache.exists() else "", re.M)
    return found.group(1) if found and pathlib.Path(found.group(1)).is_dir() else None


def constants(text):
    names = set(re.findall(r"\b(cuda[A-Z]\w+|CUDA_R_\w+|CUBLAS\w+) = (?:0x)?\d", text))
    names |= set(re.findall(r"^#define (cuda\w+) +0x", text, re.M))
    names |= set(re.findall(r"\bX\((\w+), \d", text))
    return sorted(names)


def prototypes(text):
    text = re.sub(r" ON_HOST_DEFAULT\([^)]*\)", "", text)
    return re.findall(
        r"^(?:cudaError_t|cublasStatus_t|const char \*|size_t)\s*(?:cuda|cublasLt)\w+\([^;{]*\);",
        text, re.M)


def compiled(source, includes, folder, *options):
    """The compiler's result for a C program; what it made is folder/out."""
    path = pathlib.Path(folder) / "declarations.c"
    path.write_text(source)
    command = [os.environ.get("CC", "cc"), "-std=c11", *options, str(path), "-o", f"{folder}/out"]
    return subprocess.run([*command, *(f"-I{include}" for include in includes)], text=True,
                          capture_output=True, check=False)


def values_of(names, types, include_lines, folder):
    """Constants and sizes as the layer's headers give them."""
    lines = [include_lines, "#include <stdio.h>", "int main(void) {"]
    lines += [f'printf("{name} %d\\n", (int){name});' for name in names]
    lines += [f'printf("sizeof({name}) %d\\n", (int)sizeof({name}));' for name in types]
    compiled("\n".join(lines) + "return 0; }\n", [LAYER], folder).check_returncode()
    printed = subprocess.run([f"{folder}/out"], text=True, capture_output=True, check=True)
    return dict(line.split(" ") for line in printed.stdout.splitlines())


class Declarations(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)

    def compare(self, headers, types, include_lines, includes, n_least):
        text = "".join((LAYER / name).read_text() for name in headers)
        values = values_of(constants(text), types, include_lines, self.folder.name)
        declared = prototypes(text)
        self.assertGreater(len(values), n_least[0], "this script misreads the header")
        self.assertGreater(len(declared), n_least[1], "this script misreads the header")
        lines = [include_lines]
        lines += [f'_Static_assert((int)({name}) == {value}, "{name}");'
                  for name, value in values.items()]
        source = "\n".join(lines + declared) + "\n"
        result = compiled(source, includes, self.folder.name, "-c")
        self.assertEqual(result.returncode, 0, result.stderr)
        # A disagreement is one that the compiler sees.
        wrong = declared[-1].replace("(", "(int more, ", 1)
        self.assertNotEqual(compiled(source + wrong, includes, self.folder.name, "-c").returncode, 0)

    def test_runtime_declarations_agree_with_nvidias(self):
        runtime = cache_entry("SOT_CUDART_INCLUDE")
        if runtime is None:
            print("SKIPPED: NVIDIA's cuda_runtime_api.h was not found", file=sys.stderr)
            self.skipTest("no CUDA toolkit")
        self.compare(RUNTIME, TYPES["runtime"],
                     "#include <cuda_runtime_api.h>\n#include <library_types.h>", [runtime],
                     (90, 40))

    def test_blas_declarations_agree_with_nvidias(self):
        runtime, blas = cache_entry("SOT_CUDART_INCLUDE"), cache_entry("SOT_CUBLAS_INCLUDE")
        if runtime is None or blas is None:
            print("SKIPPED: NVIDIA's cublasLt.h was not found", file=sys.stderr)
            self.skipTest("no cuBLAS")
        self.compare(BLAS, TYPES["blas"], "#include <cublasLt.h>", [runtime, blas], (40, 12))


if __name__ == "__main__":
    unittest.main()
