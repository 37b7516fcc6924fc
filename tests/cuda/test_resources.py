"""resources.py finds what it is there to find, in reports written as ptxas writes them."""
import json
import os
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import resources  # pylint: disable=wrong-import-position

NAME = "_ZN4soti45_GLOBAL__N__c0f4000c_12_gemm_rows_cu_6978382f7k_tableILi2ELb1EEEvNS_4planE"
DEVICES = {"sm_80": {"registers": 65536, "threads": 2048, "shared_bytes": 167936,
                     "block_shared_bytes": 166912}}


def report(registers=64, frame=0, spills=0, shared=0, name=NAME, device="sm_80"):
    memory = f", {shared} bytes smem" if shared else ""
    return (f"ptxas info    : 0 bytes gmem\n"
            f"ptxas info    : Compiling entry function '{name}' for '{device}'\n"
            f"ptxas info    : Function properties for {name}\n"
            f"    {frame} bytes stack frame, {spills} bytes spill stores, {spills} bytes spill "
            f"loads\n"
            f"ptxas info    : Used {registers} registers, used 1 barriers{memory}, 472 bytes "
            f"cmem[0]\n")


def table(**changes):
    row = {"name": "k_table", "threads": 256, "blocks": 4, "dynamic_shared_bytes": 0,
           "shared": "none", "bytes": "", "limit": ""}
    row.update(changes)
    return {"release": "13.0", "devices": DEVICES, "kernels": [row]}


class Resources(unittest.TestCase):
    def wrong(self, text, rows=None):
        return resources.check_all(resources.read_report(text), rows or table())

    def assert_wrong(self, sentences, words):
        self.assertEqual(len(sentences), 1, sentences)
        self.assertIn(words, sentences[0])

    def test_report_is_read(self):
        kernels = resources.read_report(report(registers=61, shared=34368) + report(device="sm_90"))
        self.assertEqual(kernels[0], {"name": "k_table<2, true>", "device": "sm_80",
                                      "registers": 61, "shared": 34368, "frame": 0, "spills": 0})
        self.assertEqual(kernels[1]["device"], "sm_90")

    def test_kernel_within_its_limits_passes(self):
        self.assertEqual(self.wrong(report()), [])

    def test_spills_and_local_memory_are_refused(self):
        self.assert_wrong(self.wrong(report(spills=8)), "spills 16 bytes")
        self.assert_wrong(self.wrong(report(frame=32)), "32 bytes of local memory")

    def test_one_register_too_many_is_refused(self):
        self.assert_wrong(self.wrong(report(registers=65)), "4 blocks of 256 threads leave 64")

    def test_shared_memory_that_does_not_fit_is_refused(self):
        fits = 167936 // 4 - 1024
        self.assertEqual(self.wrong(report(shared=fits)), [])
        self.assert_wrong(self.wrong(report(shared=fits + 1)), "do not fit")
        self.assert_wrong(self.wrong(report(), table(dynamic_shared_bytes=fits + 1)), "do not fit")

    def test_kernel_unknown_is_refused(self):
        other = NAME.replace("7k_table", "7k_other")
        self.assertIn("k_other<2, true> for sm_80 is not in resources.json",
                      self.wrong(report() + report(name=other)))

    def test_kernel_that_was_not_built_is_missed(self):
        self.assert_wrong(self.wrong(""), "was not built for sm_80")

    def test_report_without_numbers_is_refused(self):
        with self.assertRaises(ValueError):
            resources.read_report(report().replace("Used", "Had"))

    def test_table_of_this_project_is_complete(self):
        with open(resources.TABLE_FILE, encoding="utf-8") as file:
            rows = json.load(file)["kernels"]
        for row in rows:
            self.assertEqual(set(row), {"name", "threads", "blocks", "dynamic_shared_bytes",
                                        "shared", "bytes", "limit"})


if __name__ == "__main__":
    unittest.main()
