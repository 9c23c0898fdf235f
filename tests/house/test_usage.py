"""No public definition is there for its own tests alone."""

from tests.house.sources import listed, planted, product
from tests.house.usage import unused

# Libraries that call the methods of classes derived from theirs.
LIBRARIES = {
    "aiokafka",
    "click",
    "fastapi",
    "faust",
    "logging",
    "mode",
    "pydantic",
    "pydantic_settings",
    "starlette",
    "typer",
    "uvicorn",
}
# Decorators that hand a function to a library: routes, commands, pydantic's checks.
REGISTERING = {
    "callback",
    "command",
    "exception_handler",
    "field_serializer",
    "field_validator",
    "get",
    "middleware",
    "model_validator",
}
ALLOWED = {
    "operations.cli.EXIT_CODES": "docs/reference/commands.md is made from it",
    "schemas.answers.STATES": "docs/reference/api.md is made from it",
    "serving.server.run": "the process of `netsold serve`",
}


def is_command(name: str) -> bool:
    """Whether `operations.cli` imports it by its name when it is run."""
    return name.startswith("operations.commands.") and name.endswith(".command")


def test_every_public_definition_is_used_by_the_product() -> None:
    """Functions, classes, constants and methods, apart from a few with reasons."""
    found = [
        name
        for name in unused(product(), LIBRARIES, REGISTERING)
        if not is_command(name) and name not in ALLOWED
    ]
    assert not found, listed("use it, make it private, or delete it", found)


def test_exceptions_are_still_needed() -> None:
    """A definition that is allowed is there, and unused."""
    assert set(ALLOWED) <= set(unused(product(), LIBRARIES, REGISTERING))


def test_an_unused_definition_is_found() -> None:
    """Recursion and use in a test are no use; registration and a library's hook are."""
    sources = planted(
        tables__a=(
            "def used(): ...\n"
            "def alone(n):\n    return alone(n - 1)\n"
            "def here(): ...\n"
            "ALONE = 1\n"
            "HERE = here()\n"
            "class C:\n"
            "    def called(self): ...\n"
            "    def lonely(self):\n        self.lonely()\n"
            "    def _own(self): ...\n"
            "    @field_validator('x')\n    def checked(self): ...\n"
            "@app.get('/')\ndef route(): ...\n"
        ),
        tables__b=(
            "from tables.a import C, used\nfrom tables import a\nfrom faust import Agent\n"
            "a.HERE\n"
            "C().called()\n"
            "class _D:\n    def any(self): ...\n"
            "class E(Agent):\n    def hook(self): ...\n"
        ),
    )
    assert unused(sources, {"faust"}, {"get", "field_validator"}) == [
        "tables.a.alone",
        "tables.a.ALONE",
        "tables.a.C.lonely",
        "tables.b.E",
    ]
