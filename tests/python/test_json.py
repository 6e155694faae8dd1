"""What ``send()`` makes of Python values: the JSON of ``json.dumps``, with what Django adds to it."""

from __future__ import annotations

import collections
import datetime
import decimal
import enum
import json
import math
import random
import struct
import sys
import threading
import uuid

import pytest
from django.core.serializers.json import DjangoJSONEncoder
from django.utils.functional import lazystr
from django.utils.safestring import mark_safe
from dwebsocket import _core


class Colour(enum.IntEnum):
    RED = 1
    HUGE = 10**30


class Mood(enum.StrEnum):
    GOOD = "good"


class Ratio(float):
    def __repr__(self):
        return "a ratio"


class Count(int):
    def __repr__(self):
        return "a count"


class Name(str):
    def __str__(self):
        return "another"


Point = collections.namedtuple("Point", "x y")

PLAIN = [
    None,
    True,
    False,
    0,
    -1,
    2**53 + 1,
    2**63 - 1,
    -(2**63),
    2**63,
    2**64,
    -(2**64),
    10**400,
    0.0,
    -0.0,
    1.0,
    0.1,
    1e16,
    1e-7,
    5e-324,
    1.7976931348623157e308,
    "",
    "text",
    "你刚才对我说",
    "emoji 🎉 and a NUL \x00 and \x1f \x7f \u2028",
    'quotes " and \\ and / \b\f\n\r\t',
    [],
    (),
    {},
    [[]],
    [1, "two", None, [3.0, {"four": 5}]],
    (1, (2, 3)),
    Point(1, 2),
    {"": ""},
    {"a": 1, "b": [1, 2], "c": {"d": None}},
    {3: "int", 2.5: "float", True: "bool", None: "none", -7: 0, 1e22: 1, 10**30: 2},
    {1: "twice", "1": "twice"},
    {"键": "值"},
    collections.OrderedDict([("z", 1), ("a", 2)]),
    collections.defaultdict(list, {"a": [1]}),
    collections.Counter("abca"),
    Colour.RED,
    Colour.HUGE,
    Mood.GOOD,
    {Colour.RED: Mood.GOOD, Mood.GOOD: Colour.HUGE},
    Ratio(0.5),
    Count(7),
    {Ratio(0.5): Count(7), Count(8): 1},
    Name("itself"),
    mark_safe("<b>safe</b>"),
]


@pytest.mark.parametrize("value", PLAIN, ids=lambda value: repr(value)[:40])
def test_a_value_is_the_json_that_json_dumps_makes_of_it(value):
    expected = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    text = _core.to_json(value)
    # Floats may be spelt otherwise (1e16, 1e+16); their meaning is the same.
    assert json.loads(text, object_pairs_hook=list) == json.loads(expected, object_pairs_hook=list)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"a": [1, 2.5, None, True]}, '{"a":[1,2.5,null,true]}'),
        (["é", "中", "🎉"], '["é","中","🎉"]'),
        ('"\\\n', r'"\"\\\n"'),
        ("\x00\x1f", r'"\u0000\u001f"'),
        (1.0, "1.0"),
        (-0.0, "-0.0"),
        ({1e22: 0}, '{"1e+22":0}'),
        ({}, "{}"),
        ((), "[]"),
    ],
)
def test_json_has_compact_separators_and_plain_utf8(value, text):
    assert _core.to_json(value) == text


def test_any_double_comes_back_as_it_went():
    generator = random.Random(20260)
    for bits in (generator.getrandbits(64) for _ in range(2000)):
        number = _double(bits)
        if math.isfinite(number):
            assert json.loads(_core.to_json(number)) == number


def _double(bits):
    return struct.unpack("<d", struct.pack("<Q", bits))[0]


def test_any_tree_of_values_comes_back_as_it_went():
    generator = random.Random(20261)

    def tree(depth):
        kind = generator.randrange(9 if depth else 6)
        if kind == 0:
            return generator.choice([None, True, False])
        if kind == 1:
            return generator.randint(-(2 ** generator.randrange(1, 90)), 2 ** generator.randrange(1, 90))
        if kind == 2:
            return generator.uniform(-1e6, 1e6)
        if kind <= 5:
            return "".join(
                chr(generator.choice([generator.randrange(0xD800), generator.randrange(0xE000, 0x110000)]))
                for _ in range(generator.randrange(12))
            )
        if kind == 6:
            return {str(tree(0)): tree(depth - 1) for _ in range(generator.randrange(5))}
        return [tree(depth - 1) for _ in range(generator.randrange(6))]

    for _ in range(500):
        value = tree(5)
        assert json.loads(_core.to_json(value)) == value


@pytest.mark.parametrize(
    "value",
    [
        datetime.datetime(2026, 1, 2, 3, 4, 5, 678901),
        datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.UTC),
        datetime.date(2026, 1, 2),
        datetime.time(3, 4, 5, 678901),
        datetime.timedelta(days=1, hours=2, seconds=3.5),
        decimal.Decimal("1.10"),
        uuid.UUID(int=5),
        lazystr("später"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_django_can_encode_is_encoded_as_django_does(value):
    for wrapped in (value, [value], {"key": (value, value)}):
        expected = json.dumps(wrapped, cls=DjangoJSONEncoder, ensure_ascii=False, separators=(",", ":"))
        assert _core.to_json(wrapped) == expected


@pytest.mark.parametrize(
    "value",
    [object(), {1, 2}, b"bytes", 1j, (x for x in ()), Exception],
    ids=lambda value: type(value).__name__,
)
def test_what_nobody_can_encode_is_a_type_error_that_names_the_type(value):
    for wrapped in (value, [1, value], {"key": value}):
        with pytest.raises(TypeError, match=type(value).__name__):
            _core.to_json(wrapped)


@pytest.mark.parametrize("key", [b"bytes", (1, 2), frozenset(), datetime.date(2026, 1, 2)])
def test_a_key_that_is_no_key_of_json_is_a_type_error(key):
    with pytest.raises(TypeError, match=f"keys must be .* not {type(key).__name__}"):
        _core.to_json({key: 1})


@pytest.mark.parametrize(
    ("number", "name"),
    [(math.nan, "nan"), (math.inf, "inf"), (-math.inf, "-inf"), (Ratio("nan"), "nan")],
)
def test_a_number_that_json_has_not_is_a_value_error_that_names_it(number, name):
    for wrapped in (number, [number], {"key": number}, {number: 1}):
        with pytest.raises(ValueError, match=f"^{name} is not a number of JSON"):
            _core.to_json(wrapped)


@pytest.mark.parametrize("value", ["\ud800", ["a\udfff"], {"key": "\ud83d"}, {"\udc00": 1}])
def test_a_lone_surrogate_is_a_value_error(value):
    with pytest.raises(ValueError, match="surrogates not allowed"):
        _core.to_json(value)


def nested(depth):
    value = 1
    for _ in range(depth):
        value = [value]
    return value


def test_values_nest_as_deep_as_the_bound():
    assert _core.to_json(nested(256)) == "[" * 256 + "1" + "]" * 256


def test_values_nested_deeper_than_the_bound_are_a_value_error():
    with pytest.raises(ValueError, match="more than 256 levels"):
        _core.to_json(nested(257))


def test_a_value_that_contains_itself_is_a_value_error():
    circle = []
    circle.append({"again": circle})
    with pytest.raises(ValueError, match="contains itself"):
        _core.to_json(circle)


def test_an_exception_of_the_encoder_reaches_the_caller():
    aware = datetime.time(1, 2, tzinfo=datetime.UTC)
    with pytest.raises(ValueError, match="timezone-aware"):
        _core.to_json({"at": aware})


def test_an_int_of_more_digits_than_python_prints_is_a_value_error():
    limit = sys.get_int_max_str_digits()
    assert len(_core.to_json(10 ** (limit - 1))) == limit
    with pytest.raises(ValueError, match="digits"):
        _core.to_json(10**limit)


def test_the_items_of_a_dict_subclass_are_its_own():
    class Shown(dict):
        def items(self):
            return [("shown", 1)]

    assert _core.to_json(Shown(hidden=2)) == '{"shown":1}'


def test_the_items_of_a_dict_subclass_that_are_no_pairs_are_a_value_error():
    class Odd(dict):
        def items(self):
            return [(1, 2, 3)]

    with pytest.raises(ValueError, match="tuple"):
        _core.to_json(Odd(a=1))


def test_a_dict_that_changes_while_it_is_encoded_is_encoded_as_it_was():
    changing = {}

    class Text(decimal.Decimal):
        def __str__(self):
            changing.clear()
            changing.update(dict.fromkeys(range(100)))
            return "changed"

    changing.update(first=Text(1), second=2)
    assert _core.to_json(changing) == '{"first":"changed","second":2}'


def test_a_list_that_shrinks_while_it_is_encoded_ends_early():
    shrinking = []

    class Text(decimal.Decimal):
        def __str__(self):
            del shrinking[1:]
            return "first"

    shrinking.extend([Text(1), 2, 3])
    assert _core.to_json(shrinking) == '["first"]'


def test_many_threads_encode_at_once():
    value = {"list": list(range(100)), "when": datetime.date(2026, 1, 2)}
    expected = _core.to_json(value)
    start = threading.Barrier(8)
    texts = []

    def encode():
        start.wait()
        texts.extend(_core.to_json(value) for _ in range(50))

    threads = [threading.Thread(target=encode) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert texts == [expected] * 400
