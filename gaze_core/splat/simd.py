"""Vector instructions as arithmetic operators, for numba's code generation.

LLVM's auto-vectoriser missed the loops that matter here.
"""

from typing import Any

from llvmlite import ir
from numba.core import cgutils

LANES = 8
FLOAT, MASK = ir.FloatType(), ir.IntType(64)
VECTOR, BITS = ir.VectorType(FLOAT, LANES), ir.VectorType(ir.IntType(1), LANES)
_FAST = ("contract", "nsz")  # no reassociation: the exponential depends on the order


def address(context: Any, builder: Any, array_type: Any, array: Any, index: Any, kind: Any = VECTOR) -> Any:
    """Pointer to `kind` at an element of a one-dimensional array."""
    data = context.make_array(array_type)(context, builder, array).data
    return builder.bitcast(builder.gep(data, [index]), kind.as_pointer())


def load(builder: Any, pointer: Any, vector: int = 0) -> Any:
    return builder.load(builder.gep(pointer, [ir.Constant(MASK, vector)]), align=4)


def store(builder: Any, value: Any, pointer: Any, vector: int = 0) -> None:
    builder.store(value, builder.gep(pointer, [ir.Constant(MASK, vector)]), align=4)


def splat(builder: Any, value: Any) -> Any:
    one = builder.insert_element(ir.Constant(VECTOR, ir.Undefined), value, ir.Constant(ir.IntType(32), 0))
    zeros = ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES)
    return builder.shuffle_vector(one, ir.Constant(VECTOR, ir.Undefined), zeros)


def multiply_add(builder: Any, a: Any, b: Any, c: Any) -> Any:
    kind = ir.FunctionType(VECTOR, [VECTOR] * 3)
    return builder.call(cgutils.get_or_insert_function(builder.module, kind, "llvm.fmuladd.v8f32"), [a, b, c])


def add_up(builder: Any, start: Any, vector: Any) -> Any:
    kind = ir.FunctionType(FLOAT, [FLOAT, VECTOR])
    sum_of = cgutils.get_or_insert_function(builder.module, kind, "llvm.vector.reduce.fadd.v8f32")
    return builder.call(sum_of, [start, vector], fastmath=("reassoc",))


class Lanes:
    """Eight floats or booleans during code generation; arithmetic on them emits vector instructions."""

    def __init__(self, builder: Any, value: Any) -> None:
        self.builder = builder
        self.value = splat(builder, value) if value.type == FLOAT else value

    @classmethod
    def load(cls, builder: Any, pointer: Any) -> "Lanes":
        return cls(builder, load(builder, pointer))

    def _emit(self, instruction: str, other: Any, *arguments: Any) -> "Lanes":
        right = other.value if isinstance(other, Lanes) else ir.Constant(VECTOR, [float(other)] * LANES)
        emit = getattr(self.builder, instruction)
        return Lanes(self.builder, emit(*arguments, self.value, right, **({} if arguments else {"flags": _FAST})))

    def __add__(self, other: Any) -> "Lanes":
        return self._emit("fadd", other)

    def __sub__(self, other: Any) -> "Lanes":
        return self._emit("fsub", other)

    def __mul__(self, other: Any) -> "Lanes":
        return self._emit("fmul", other)

    def __truediv__(self, other: Any) -> "Lanes":
        return self._emit("fdiv", other)

    def __lt__(self, other: Any) -> "Lanes":
        return self._emit("fcmp_ordered", other, "<")

    def __gt__(self, other: Any) -> "Lanes":
        return self._emit("fcmp_ordered", other, ">")

    def __ge__(self, other: Any) -> "Lanes":
        return self._emit("fcmp_ordered", other, ">=")

    def __and__(self, other: "Lanes") -> "Lanes":
        return Lanes(self.builder, self.builder.and_(self.value, other.value))

    def choose(self, yes: "Lanes", no: "Lanes") -> "Lanes":
        """Selects `yes` in lanes where this is true, else `no`."""
        return Lanes(self.builder, self.builder.select(self.value, yes.value, no.value))

    def at_most(self, other: "Lanes") -> "Lanes":
        return (self < other).choose(self, other)

    def bits(self) -> Any:
        """Eight booleans as the low bits of a mask."""
        return self.builder.zext(self.builder.bitcast(self.value, ir.IntType(8)), MASK)


def constant(builder: Any, *values: float) -> Lanes:
    return Lanes(builder, ir.Constant(VECTOR, [float(values[n % len(values)]) for n in range(LANES)]))


def for_each_bit(builder: Any, mask: Any, carried: list[Any], body: Any) -> list[Any]:
    """Calls `body(bit, carried) -> carried` for each set bit of a mask that is not 0; returns the last `carried`."""
    before, loop = builder.block, builder.append_basic_block("bit")
    after = builder.append_basic_block("bits_done")
    builder.branch(loop)
    builder.position_at_end(loop)
    rest = builder.phi(MASK)
    rest.add_incoming(mask, before)
    values = [builder.phi(value.type) for value in carried]
    for value, start in zip(values, carried, strict=True):
        value.add_incoming(start, before)
    bit = builder.cttz(rest, ir.Constant(ir.IntType(1), 1))
    new_values = body(bit, values)
    fewer = builder.and_(rest, builder.sub(rest, ir.Constant(MASK, 1)))
    rest.add_incoming(fewer, builder.block)
    for value, new in zip(values, new_values, strict=True):
        value.add_incoming(new, builder.block)
    builder.cbranch(builder.icmp_unsigned("!=", fewer, ir.Constant(MASK, 0)), loop, after)
    builder.position_at_end(after)
    return new_values
