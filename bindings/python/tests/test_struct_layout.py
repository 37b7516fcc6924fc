"""Every struct, field, function and constant of include/sot is in the package, as in C."""

import ctypes
import dataclasses
import re

import c_headers
import pytest
from conftest import ROOT

import sot
from sot import _constants, _errors, _layout, _records

TEXT = c_headers.source(ROOT)
SOURCES = ROOT / "bindings" / "python" / "src" / "sot"
LIBRARY_KINDS = {
    ctypes.c_uint32: "u4",
    ctypes.c_int32: "i4",
    ctypes.c_uint64: "u8",
    ctypes.c_int64: "i8",
    ctypes.c_float: "f4",
    ctypes.c_double: "f8",
}
C_NAMES = {
    ctypes.c_uint32: "uint32_t",
    ctypes.c_int32: "int32_t",
    ctypes.c_uint64: "uint64_t",  # and size_t, which ctypes does not tell from it
    ctypes.c_float: "float",
    ctypes.c_double: "double",
    ctypes.c_char: "char",
    ctypes.c_char_p: "char *",
    ctypes.c_void_p: "void *",
    None: "void",
}
CALLBACKS = {
    name: getattr(_layout, name) for name in dir(_layout) if re.fullmatch(r"sot_\w+_fn", name)
}


def kind_of(field_type):
    """What KIND() of a field, or of an array's first item, is."""
    if issubclass(field_type, ctypes.Array):
        field_type = field_type._type_
    return LIBRARY_KINDS.get(field_type, "pointer")


def c_type(kind):
    for name, callback in CALLBACKS.items():
        # sot_progress_fn and sot_profile_fn are one type to ctypes and to C.
        if kind is callback:
            return name
    if kind in C_NAMES:
        return C_NAMES[kind]
    if hasattr(kind, "_type_"):
        inner = c_type(kind._type_)
        return inner + ("*" if inner.endswith("*") else " *")
    return kind.__name__


def same_type(c, python):
    c = c.replace("size_t", "uint64_t").replace("sot_status", "int32_t")
    return c == python or {c, python} == {"sot_progress_fn", "sot_profile_fn"}


def test_structs_of_headers_are_those_of_layout():
    assert set(c_headers.structs(TEXT)) == {struct.__name__ for struct in _layout.STRUCTS}
    assert c_headers.opaque(TEXT) == {struct.__name__ for struct in _layout.OPAQUE}


@pytest.mark.parametrize("struct", _layout.STRUCTS, ids=lambda struct: struct.__name__)
def test_struct_has_fields_of_header(struct):
    wanted = c_headers.structs(TEXT)[struct.__name__]
    assert [field[0] for field in struct._fields_] == wanted


def test_sizes_offsets_and_kinds_are_those_of_compiler(tmp_path):
    body, expected = "", []
    for struct in _layout.STRUCTS:
        name = struct.__name__
        body += '    printf("{0} %zu\\n", sizeof({0}));\n'.format(name)
        expected.append("{} {}".format(name, ctypes.sizeof(struct)))
        for field, field_type in struct._fields_:
            item = field + ("[0]" if issubclass(field_type, ctypes.Array) else "")
            body += (
                '    printf("{0}.{1} %zu %zu %s\\n", offsetof({0}, {1}), '
                "sizeof((({0} *)0)->{1}), KIND((({0} *)0)->{2}));\n"
            ).format(name, field, item)
            place = getattr(struct, field)
            expected.append(
                "{}.{} {} {} {}".format(name, field, place.offset, place.size, kind_of(field_type))
            )
    assert c_headers.run_c(ROOT, tmp_path, body) == expected


def test_functions_of_headers_and_map_are_those_of_layout():
    in_map = re.findall(
        r"^\s*(sot_\w+);", (ROOT / "lib/api/libsot.map").read_text(), flags=re.MULTILINE
    )
    assert set(_layout.FUNCTIONS) == set(in_map) == set(c_headers.functions(TEXT))


@pytest.mark.parametrize("name", sorted(_layout.FUNCTIONS))
def test_function_has_prototype_of_header(name):
    result, arguments = _layout.FUNCTIONS[name]
    c_result, c_arguments = c_headers.functions(TEXT)[name]
    assert same_type(c_result, c_type(result))
    assert len(arguments) == len(c_arguments)
    assert all(same_type(c, c_type(a)) for c, a in zip(c_arguments, arguments)), (
        [c_type(a) for a in arguments],
        c_arguments,
    )


def test_callbacks_have_prototypes_of_headers():
    in_c = c_headers.callbacks(TEXT)
    assert set(in_c) == set(CALLBACKS)
    for name, callback in CALLBACKS.items():
        found = c_type(callback._restype_), [c_type(a) for a in callback._argtypes_]
        assert found == in_c[name], name


def test_functions_are_all_called_by_package():
    code = "".join(path.read_text() for path in SOURCES.glob("_*.py") if path.stem != "_layout")
    unused = {name for name in _layout.FUNCTIONS if not re.search(name + r"\b", code)}
    assert unused == {"sot_status_name"}  # names of statuses are those of sot.Status


def family_of(name):
    prefix = max((p for p in _constants.FAMILIES if name.startswith(p)), key=len)
    return _constants.FAMILIES[prefix], name[len(prefix) :]


def test_constants_of_headers_have_their_values(tmp_path):
    names = c_headers.constants(TEXT)
    assert len(names) > 50
    body = "".join('    printf("%d\\n", (int){});\n'.format(name) for name in names)
    for name, value in zip(names, c_headers.run_c(ROOT, tmp_path, body)):
        family, member = family_of(name)
        assert family[member] == int(value), name


def test_constants_of_package_are_all_in_headers():
    in_c = set(c_headers.constants(TEXT))
    for prefix, family in _constants.FAMILIES.items():
        assert {prefix + member.name for member in family} <= in_c


def test_version_is_that_of_headers():
    found = re.findall(r"#define SOT_VERSION_(?:MAJOR|MINOR|PATCH) (\d+)", TEXT)
    assert _constants.VERSION == tuple(map(int, found))


def test_every_status_has_an_exception_and_its_name():
    from sot._library import library

    for status in sot.Status:
        assert library().sot_status_name(status).decode() == "SOT_" + status.name
        if status != sot.Status.OK:
            error = _errors.error_of(status, "what")
            assert type(error) is not sot.SotError and error.status == status


def names_of(struct, *left_out):
    return {f[0] for f in struct._fields_} - {"struct_size", "reserved"} - set(left_out)


@pytest.mark.parametrize(
    "cls, struct",
    [
        (sot.ModelInfo, _layout.sot_model_info),
        (sot.SessionInfo, _layout.sot_session_info),
        (sot.Decision, _layout.sot_decision),
        (sot.Stats, _layout.sot_stats),
        (sot.ProfileInfo, _layout.sot_profile_info),
        (sot.Estimate, _layout.sot_estimate),
        (sot.BreakEven, _layout.sot_break_even),
    ],
)
def test_records_have_every_field_of_their_structs(cls, struct):
    assert {f.name for f in dataclasses.fields(cls)} == names_of(struct)


def test_records_of_templates_have_every_field_of_their_structs():
    fields = {f.name for f in dataclasses.fields(sot.Conversation)}
    assert fields == names_of(_layout.sot_conversation, "flags")
    fields = {f.name for f in dataclasses.fields(sot.Prompts)}
    assert fields - {"chained"} == names_of(_layout.sot_prompts, "flags")


def test_events_have_every_field_of_struct():
    from typing import get_args

    fields = {f.name for event in get_args(sot.Event) for f in dataclasses.fields(event)}
    assert fields == names_of(_layout.sot_event, "type", "text_size")


def test_options_reach_every_field_of_params():
    options = set(sot.Options.__annotations__)
    reached = options - {"ignore_stops", "concurrent"}
    reached |= {"flags", "n_stop_ids", "n_stop_strings", "n_history", "n_point_limits"}
    reached |= {"custom_conversation", "trained_router", "on_route"}
    assert reached == names_of(_layout.sot_generate_params, "event_user", "route_user")


def test_sized_struct_is_all_default_but_its_size():
    for struct in _layout.STRUCTS:
        made = _records.sized(struct)
        size = ctypes.sizeof(struct)
        assert bytes(made) == size.to_bytes(4, "little") + bytes(size - 4)
