"""The language of templates: Jinja2, cut down to what a mail needs, so that no template reaches what it was not given.

Three fences. Before compiling, the syntax tree may hold only known kinds of nodes, filters, tests and names. While
compiling, each loop, macro, operator and literal gets a toll. While rendering, attributes are looked up by key only and
every toll is paid out of a Budget.
"""

# ruff: noqa: N802 - Jinja's visitor finds its methods by the names of its nodes

from collections.abc import Callable, Iterator
from types import CodeType
from typing import Any, NoReturn

from jinja2 import Template, TemplateSyntaxError, nodes, pass_context
from jinja2.meta import find_undeclared_variables
from jinja2.runtime import Context, LoopContext, Macro
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import Namespace
from jinja2.visitor import NodeTransformer

from campaigns.budget import Budget
from campaigns.filters import FILTERS, TESTS, budget_of, concat, format_text, replace
from campaigns.mistakes import did_you_mean, in_plain_words, line_of
from campaigns.values import (
    CAMPAIGN_NAMES,
    RECIPIENT_NAMES,
    Fields,
    Group,
    Method,
    Missing,
    SlotTime,
    items_of,
    kind_of,
    strftime,
    text_of,
)

NAMES = ("recipient", "campaign", "slot", "unsubscribe_url", "name", "email")
"""What a template may start from."""

MAX_TAGS = 5_000
MAX_TOKENS = 50_000
MAX_NODES = 20_000
MAX_RANGE = 1_000
_MAX_BITS = 4_096


class TemplateMistake(Exception):
    """The template can't be used; line says where, counted from 1."""

    def __init__(self, message: str, line: int) -> None:
        super().__init__(f"line {line}: {message[:400]}")
        self.line = line


_TEXT_METHODS = frozenset((
    "capitalize", "casefold", "count", "endswith", "find", "isalpha", "isdigit", "join",
    "lower", "lstrip", "partition", "removeprefix", "removesuffix", "replace", "rpartition", "rsplit",
    "rstrip", "split", "splitlines", "startswith", "strip", "swapcase", "title", "upper",
))  # fmt: skip
_TIME_METHODS = frozenset(
    ("date", "isoformat", "isoweekday", "strftime", "time", "tzname", "weekday")
)
_TIME_FIELDS = frozenset(("year", "month", "day", "hour", "minute", "second"))
_LOOP_METHODS = frozenset(("changed", "cycle"))
_LOOP_FIELDS = frozenset((
    "depth", "depth0", "first", "index", "index0", "last", "length", "nextitem",
    "previtem", "revindex", "revindex0",
))  # fmt: skip
_CALLABLE_NAMES = frozenset(("range", "namespace"))


def range_of(*limits: int) -> list[int]:
    """Count, as Python's range does, up to a thousand numbers."""
    numbers = range(*limits)
    if len(numbers) > MAX_RANGE:
        raise ValueError(f"range gives at most {MAX_RANGE} numbers")
    return list(numbers)


@pass_context
def _printed(context: Context, value: Any) -> Any:
    """Turn what stands in {{ }} into text, or into a number that prints by itself."""
    if isinstance(value, str):
        budget_of(context).spend(1, len(value))
        return value
    if isinstance(value, int | float):
        return value
    budget_of(context).spend_on(value)
    return text_of(value)


class Sandbox(ImmutableSandboxedEnvironment):
    """An environment in which a template can reach nothing but what it is given."""

    intercepted_binops = frozenset(("+", "-", "*", "/", "//", "**", "%"))
    intercepted_unops = frozenset(("+", "-"))

    def __init__(self, *, autoescape: bool) -> None:
        super().__init__(autoescape=autoescape, undefined=Missing, finalize=_printed)
        self.globals = {}
        self.filters = FILTERS | _TOLLS
        self.tests = dict(TESTS)

    def getattr(self, obj: Any, attribute: str) -> Any:
        """Look the name up: keys in objects, a few fields and methods elsewhere, never Python's attributes."""
        if type(obj) is Group:  # most look-ups are for a recipient's attribute
            return obj[attribute]
        if isinstance(obj, dict):
            return _key(obj, attribute)
        if isinstance(obj, Fields):
            return obj.values.get(attribute, Missing(name=attribute))
        if isinstance(obj, Missing):
            return obj
        if isinstance(obj, str):
            return Method(obj, attribute) if attribute in _TEXT_METHODS else Missing(name=attribute)
        return _field_of(obj, attribute)

    def getitem(self, obj: Any, argument: Any) -> Any:
        """Look up by key in an object, by place in a list or a text."""
        if isinstance(obj, dict):
            return _key(obj, argument)
        if isinstance(obj, list | tuple | str) and isinstance(argument, int):
            return obj[argument] if -len(obj) <= argument < len(obj) else Missing(name="item")
        if isinstance(argument, str):
            return self.getattr(obj, argument)
        return Missing(name="item")

    def call(self, context: Context, obj: Any, /, *args: Any, **kwargs: Any) -> Any:
        """Call what may be called: a listed method, a macro, range and namespace."""
        kwargs.pop("_loop_vars", None)
        kwargs.pop("_block_vars", None)
        budget = budget_of(context)
        budget.spend(5)
        for value in (*args, *kwargs.values()):
            budget.spend_on(value)
        if isinstance(obj, Method):
            return _call_method(context, obj, args, kwargs)
        if type(obj) is Macro or obj is Namespace:
            return context.call(obj, *args, **kwargs)
        if obj is range_of:
            numbers = range_of(*args, **kwargs)
            budget.spend(len(numbers) // 10)
            return numbers
        if isinstance(obj, Missing):
            raise TypeError(f"{obj._undefined_name!r} can't be called; there is no such function")
        raise TypeError(f"{kind_of(obj)} can't be called")

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        """Calculate, within bounds; what is not there counts as nothing."""
        if left is None or isinstance(left, Missing):
            left = _nothing_beside(right)
        if right is None or isinstance(right, Missing):
            right = _nothing_beside(left)
        budget = budget_of(context)
        budget.spend_on(left)
        budget.spend_on(right)
        if operator == "%" and isinstance(left, str):
            return format_text(context, left, right)
        if operator == "*" and not (_is_number(left) and _is_number(right)):
            return _repeated(budget, left, right)
        if operator in ("*", "**"):
            _check_bits(operator, left, right)
        return self.binop_table[operator](left, right)

    def call_unop(self, context: Context, operator: str, arg: Any) -> Any:
        """Give a number its sign."""
        if arg is None or isinstance(arg, Missing):
            return arg
        return self.unop_table[operator](arg)

    def template_from(self, source: str) -> Template:
        """Compile a template. Raises TemplateMistake, of which the line is right."""
        if source.count("{{") + source.count("{%") > MAX_TAGS:
            raise TemplateMistake(f"the template has more than {MAX_TAGS} tags", 1)
        try:
            _refuse_too_many_tokens(self.lex(source))
            tree = self.parse(source)
            _check(tree)
            _check_names(tree, find_undeclared_variables(tree))
            tree = _TollBuilder(self).visit(tree)
            code: CodeType = self.compile(tree)
        except TemplateSyntaxError as error:
            said = error.message or "can't be understood"
            line = line_of(said, source, said=error.lineno)
            raise TemplateMistake(in_plain_words(said), line) from None
        except (RecursionError, MemoryError, SyntaxError, OverflowError, ValueError) as error:
            raise TemplateMistake(f"is nested too deeply or too large ({error})", 1) from None
        return Template.from_code(self, code, {}, None)


def _refuse_too_many_tokens(tokens: Iterator[tuple[int, str, str]]) -> None:
    """Stop reading where a template says too much: its tree takes far longer to make than its tokens to count."""
    for count, (line, _, _) in enumerate(tokens):
        if count > MAX_TOKENS:
            raise TemplateMistake("the template is too large", line)


def _key(obj: dict[Any, Any], key: Any) -> Any:
    try:
        return obj[key]
    except (KeyError, TypeError):
        return Missing(name=str(key) if isinstance(key, str | int) else "item")


def _field_of(obj: Any, name: str) -> Any:
    if isinstance(obj, SlotTime) or hasattr(type(obj), "isoformat"):
        if name in _TIME_FIELDS and hasattr(obj, name):
            return getattr(obj, name)
        if name in _TIME_METHODS and hasattr(obj, name):
            return Method(obj, name)
    if isinstance(obj, LoopContext):
        if name in _LOOP_FIELDS:
            return getattr(obj, name)
        if name in _LOOP_METHODS:
            return Method(obj, name)
    if type(obj) is Namespace:
        return getattr(obj, name, Missing(name=name))
    return Missing(name=name)


def _call_method(
    context: Context, method: Method, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    receiver, name = method.receiver, method.name
    if name == "strftime":
        return strftime(receiver, *args, **kwargs)
    if isinstance(receiver, str):
        budget_of(context).spend_on(receiver)
        for sought in args:
            budget_of(context).spend_on_search(receiver, sought)
        if name == "replace":
            return replace(context, receiver, *args, **kwargs)
        if name == "join":
            return FILTERS["join"](context, *args, between=receiver, **kwargs)
    return getattr(receiver, name)(*args, **kwargs)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float)


def _nothing_beside(other: Any) -> Any:
    if isinstance(other, str):
        return ""
    if isinstance(other, list):
        return []
    return 0


def _repeated(budget: Budget, left: Any, right: Any) -> Any:
    value, times = (right, left) if isinstance(left, int) else (left, right)
    if not isinstance(value, str | list) or not isinstance(times, int):
        raise TypeError(f"{kind_of(left)} can't be multiplied by {kind_of(right)}")
    size = budget.spend_on(value) * max(0, times)
    budget.spend(size if isinstance(value, list) else 1, size)
    return value * times


def _check_bits(operator: str, left: Any, right: Any) -> None:
    if isinstance(left, float) or isinstance(right, float):
        return
    bits = left.bit_length()
    if (bits * abs(right) if operator == "**" else bits + right.bit_length()) > _MAX_BITS:
        raise OverflowError("the number is too large")


# Tolls: filters that a template cannot name, put into its syntax tree.


@pass_context
def _spend(context: Context, value: Any, steps: int, characters: int) -> Any:
    budget_of(context).spend(steps, characters)
    return value


@pass_context
def _weighed(context: Context, value: Any) -> Any:
    budget_of(context).spend_on(value)
    return value


@pass_context
def _compared(context: Context, value: Any) -> Any:
    budget_of(context).spend_on(value)
    return Missing(name="nothing") if value is None else value


@pass_context
def _is_in(context: Context, value: Any, container: Any) -> bool:
    budget_of(context).spend_on(value)
    budget_of(context).spend_on(container)
    if isinstance(container, str):
        budget_of(context).spend_on_search(container, value)
    if value is None or isinstance(value, Missing):
        return False
    return (
        value in items_of(container)
        if not isinstance(container, str | dict)
        else value in container
    )


def _looped(value: Any) -> Any:
    return value if isinstance(value, list | dict) else items_of(value)


_TOLLS: dict[str, Callable[..., Any]] = {
    "!spend": _spend,
    "!weighed": _weighed,
    "!compared": _compared,
    "!in": _is_in,
    "!looped": _looped,
    "!concat": concat,
}


class _TollBuilder(NodeTransformer):
    """Puts a toll in front of everything that costs more than its place in the template shows."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox

    def visit_For(self, node: nodes.For) -> nodes.For:
        toll = self._toll(node.body, node.lineno)
        if isinstance(node.test, nodes.Expr):
            steps, characters = _size([node.test])
            free = nodes.Const(True, lineno=node.lineno)
            paid = self._filter(free, "!spend", _const(steps), _const(characters))
            node.test = nodes.And(paid, node.test, lineno=node.lineno)
        self.generic_visit(node)
        node.iter = self._filter(node.iter, "!looped")
        node.body.insert(0, toll)
        return node

    def visit_Macro(self, node: nodes.Macro) -> nodes.Macro:
        toll = self._toll([*node.body, *node.defaults], node.lineno)
        self.generic_visit(node)
        node.body.insert(0, toll)
        return node

    def visit_CondExpr(self, node: nodes.CondExpr) -> nodes.CondExpr:
        self.generic_visit(node)
        if node.expr2 is None:  # Jinja would make an Undefined that is not ours
            node.expr2 = nodes.Const(None, lineno=node.lineno)
        return node

    def visit_Concat(self, node: nodes.Concat) -> nodes.Filter:
        self.generic_visit(node)
        parts = nodes.List(node.nodes, lineno=node.lineno)
        return self._filter(parts, "!concat")

    def visit_Compare(self, node: nodes.Compare) -> nodes.Expr:
        self.generic_visit(node)
        first = node.ops[0]
        if len(node.ops) == 1 and first.op in ("in", "notin"):
            found = self._filter(node.expr, "!in", first.expr)
            return found if first.op == "in" else nodes.Not(found, lineno=node.lineno)
        node.expr = self._filter(node.expr, "!compared")
        for operand in node.ops:
            operand.expr = self._filter(operand.expr, "!compared")
        return node

    def visit_Test(self, node: nodes.Test) -> nodes.Test:
        self.generic_visit(node)
        node.node = self._filter(node.node, "!weighed")
        node.args = [self._filter(argument, "!weighed") for argument in node.args]
        return node

    def visit_Getitem(self, node: nodes.Getitem) -> nodes.Getitem:
        self.generic_visit(node)
        if isinstance(node.arg, nodes.Slice):  # Jinja slices without asking the environment
            node.node = self._filter(node.node, "!weighed")
        return node

    def visit_List(self, node: nodes.List) -> nodes.Filter:
        self.generic_visit(node)
        return self._filter(node, "!weighed")

    def visit_Dict(self, node: nodes.Dict) -> nodes.Filter:
        self.generic_visit(node)
        return self._filter(node, "!weighed")

    def visit_Tuple(self, node: nodes.Tuple) -> nodes.Expr:
        if node.ctx != "load":
            return node
        self.generic_visit(node)
        return self._filter(node, "!weighed")

    def _toll(self, body: list[Any], lineno: int) -> nodes.ExprStmt:
        steps, characters = _size(body)
        nothing = nodes.Const(None, lineno=lineno)
        return nodes.ExprStmt(
            self._filter(nothing, "!spend", _const(10 + steps), _const(characters)), lineno=lineno
        )

    def _filter(self, node: nodes.Node, name: str, *args: nodes.Expr) -> nodes.Filter:
        made = nodes.Filter(node, name, list(args), [], None, None, lineno=node.lineno)
        return made.set_environment(self._sandbox)  # type: ignore[return-value]  # it returns the node itself


def _const(value: int) -> nodes.Const:
    return nodes.Const(value)


def _size(body: list[Any]) -> tuple[int, int]:
    """Return how many nodes a piece of template has, and how much text stands in it."""
    count = characters = 0
    for node in _walk(body):
        count += 1
        if isinstance(node, nodes.TemplateData):
            characters += len(node.data)
    return count, characters


def _walk(body: list[Any]) -> Iterator[nodes.Node]:
    left = list(body)
    while left:
        node = left.pop()
        yield node
        left.extend(node.iter_child_nodes())


_KNOWN = (
    nodes.Template, nodes.Output, nodes.TemplateData, nodes.Name, nodes.NSRef, nodes.Const, nodes.Tuple,
    nodes.List, nodes.Dict, nodes.Pair, nodes.Keyword, nodes.CondExpr, nodes.Filter, nodes.Test, nodes.Call,
    nodes.Getattr, nodes.Getitem, nodes.Slice, nodes.Concat, nodes.Compare, nodes.Operand, nodes.BinExpr,
    nodes.UnaryExpr, nodes.If, nodes.For, nodes.Assign, nodes.AssignBlock, nodes.With, nodes.FilterBlock,
    nodes.Macro,
)  # fmt: skip

_TAGS: dict[type[nodes.Node], str] = {
    nodes.ScopedEvalContextModifier: "autoescape",
    nodes.Scope: "autoescape",
    nodes.CallBlock: "call",
    nodes.FromImport: "from",
}


def _check(tree: nodes.Template) -> None:
    """Refuse what the language of mails does not have."""
    macros = {macro.name for macro in tree.find_all(nodes.Macro)}
    rebound = {name.name for name in tree.find_all(nodes.Name) if name.ctx != "load"}
    for count, node in enumerate(_walk([tree])):
        if count > MAX_NODES:
            _refuse(node, "the template is too large")
        match node:
            case nodes.Filter() if node.name not in FILTERS:
                guess = did_you_mean(node.name, FILTERS)
                _refuse(node, f"there is no filter called {node.name!r}.{guess}")
            case nodes.Test() if node.name not in TESTS:
                _refuse(node, f"there is no test called {node.name!r}")
            case nodes.For() if node.recursive:
                _refuse(node, "a loop can't be recursive")
            case nodes.Call():
                _check_call(node, macros)
            # Such a name would be looked up by key and be empty; whoever writes it wants something else.
            case nodes.Getattr(attr=attr) | nodes.Getitem(arg=nodes.Const(value=attr)) if (
                isinstance(attr, str) and attr.startswith("__")
            ):
                _refuse(node, f"{attr!r} can't be looked up in a campaign")
            case nodes.Getattr(node=nodes.Name(name=name)) if name not in rebound:
                _check_field(node, name)
            case nodes.Const() if isinstance(node.value, str) and not _is_unicode(node.value):
                _refuse(node, "a text holds half a character (a lone surrogate)")
            # With what a recipient has there may be nothing to divide by zero; this does it for everybody.
            case (
                nodes.Div(right=nodes.Const(value=0))
                | nodes.FloorDiv(right=nodes.Const(value=0))
                | nodes.Mod(left=nodes.Const(value=int() | float()), right=nodes.Const(value=0))
            ):
                _refuse(node, "divides by zero")
            case nodes.Scope() if not isinstance(node, nodes.ScopedEvalContextModifier):
                continue  # what {% autoescape %} wraps itself in; the tag itself is refused below
            case _ if not isinstance(node, _KNOWN):
                tag = _TAGS.get(type(node), type(node).__name__.lower())
                _refuse(node, f"{{% {tag} %}} can't be used in a campaign")


def _check_call(node: nodes.Call, macros: set[str]) -> None:
    match node.node:
        case nodes.Name(name=name) if name in _CALLABLE_NAMES or name in macros:
            return
        case nodes.Getattr(attr=attr) if attr in _TEXT_METHODS | _TIME_METHODS | _LOOP_METHODS:
            return
        case nodes.Getattr(attr="items"):
            _refuse(node, "write |items instead of .items(); attributes are looked up by key")
        case nodes.Getattr(attr=attr) | nodes.Name(name=attr):
            _refuse(node, f"{attr!r} can't be called; there is no such function")
    _refuse(node, "this can't be called")


def _check_field(node: nodes.Getattr, owner: str) -> None:
    match owner:
        case "recipient" if node.attr not in RECIPIENT_NAMES:
            _refuse(
                node,
                f"a recipient has no {node.attr!r}, only {', '.join(RECIPIENT_NAMES)};"
                f" an attribute is recipient.attributes.{node.attr}."
                + did_you_mean(node.attr, RECIPIENT_NAMES),
            )
        case "campaign" if node.attr not in CAMPAIGN_NAMES:
            _refuse(node, f"a campaign has no {node.attr!r}, only {', '.join(CAMPAIGN_NAMES)}")
        case "slot" if node.attr not in _TIME_FIELDS | _TIME_METHODS:
            names = ", ".join(sorted(_TIME_FIELDS | _TIME_METHODS))
            _refuse(node, f"a slot has no {node.attr!r}, only {names}")


def _check_names(tree: nodes.Template, used: set[str]) -> None:
    targets: list[nodes.Node] = []
    # A name that only one branch sets is known, and empty in the other.
    targets += [node.target for node in tree.find_all(nodes.Assign)]
    targets += [node.target for node in tree.find_all(nodes.AssignBlock)]
    assigned = {node.name for node in _walk(targets) if isinstance(node, nodes.Name)}
    unknown = used - set(NAMES) - _CALLABLE_NAMES - assigned
    for node in sorted(tree.find_all(nodes.Name), key=lambda name: name.lineno):
        if node.name in unknown:
            _refuse(
                node,
                f"there is no {node.name!r}; the names are {', '.join(NAMES)}."
                f" An attribute is recipient.attributes.{node.name}."
                + did_you_mean(node.name, NAMES),
            )
    if unknown:
        raise TemplateMistake(f"{', '.join(sorted(unknown))} can't be used", 1)


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _refuse(node: nodes.Node, sentence: str) -> NoReturn:
    raise TemplateMistake(sentence, node.lineno)
