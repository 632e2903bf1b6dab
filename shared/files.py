"""What a path says about a file: its kind, and its language by name."""

import re
from functools import lru_cache
from typing import Literal

Kind = Literal["source", "test", "docs", "lock", "generated", "config", "other"]

_EXTENSIONS = {
    "ada": "adb ads",
    "astro": "astro",
    "c": "c h",
    "clojure": "clj cljs cljc",
    "cpp": "cc cpp cxx hh hpp hxx ipp",
    "crystal": "cr",
    "csharp": "cs",
    "css": "css less sass scss styl",
    "cuda": "cu cuh",
    "d": "d",
    "dart": "dart",
    "elixir": "ex exs",
    "elm": "elm",
    "erlang": "erl hrl",
    "fortran": "f90 f95 f03",
    "fsharp": "fs fsi fsx",
    "gleam": "gleam",
    "go": "go",
    "graphql": "graphql gql",
    "groovy": "groovy",
    "haskell": "hs lhs",
    "html": "html htm",
    "java": "java",
    "javascript": "js cjs jsx mjs",
    "julia": "jl",
    "kotlin": "kt kts",
    "lua": "lua",
    "nim": "nim",
    "nix": "nix",
    "objective-c": "m mm",
    "ocaml": "ml mli",
    "pascal": "pas",
    "perl": "pl pm",
    "php": "php",
    "powershell": "ps1 psm1",
    "prisma": "prisma",
    "protobuf": "proto",
    "python": "py pyi pyx",
    "r": "r",
    "ruby": "rb rake",
    "rust": "rs",
    "scala": "scala sc",
    "shell": "sh bash zsh fish",
    "solidity": "sol",
    "sql": "sql",
    "svelte": "svelte",
    "swift": "swift",
    "terraform": "tf hcl",
    "typescript": "ts cts mts tsx",
    "vue": "vue",
    "zig": "zig",
}
_LANGUAGE = {extension: language for language, words in _EXTENSIONS.items() for extension in words.split()}
# Build files without an extension are configuration, though they have a language.
_BY_NAME = {
    "cmakelists.txt": "cmake",
    "dockerfile": "docker",
    "gemfile": "ruby",
    "makefile": "make",
    "rakefile": "ruby",
}

_KIND_EXTENSIONS: dict[Kind, str] = {
    "config": "bazel bzl cfg cmake conf csproj gradle ini json json5 jsonc plist properties sln toml xml yaml yml",
    "docs": "adoc asciidoc md mdx org po rst txt",
}
_KIND_NAMES: dict[Kind, str] = {
    "docs": "authors changelog changes contributing copying license notice readme",
    "lock": "bun.lock bun.lockb cargo.lock composer.lock deno.lock flake.lock gemfile.lock go.sum mix.lock"
    " npm-shrinkwrap.json package-lock.json package.resolved packages.lock.json pdm.lock pipfile.lock pnpm-lock.yaml"
    " podfile.lock poetry.lock pubspec.lock uv.lock yarn.lock",
}
_BY_EXTENSION = {extension: kind for kind, words in _KIND_EXTENSIONS.items() for extension in words.split()}
_BY_WHOLE_NAME = {name: kind for kind, words in _KIND_NAMES.items() for name in words.split()}
_GENERATED_FOLDER = re.compile(r"/(dist|vendor|node_modules|third_party|generated|__generated__|__snapshots__)/")
_GENERATED_NAME = re.compile(
    r"\.min\.(js|css)$|\.(map|snap)$|_pb2(_grpc)?\.pyi?$|\.pb\.(go|cc|h)$|\.(g|freezed)\.dart$"
    r"|[._-](gen|generated)\.\w+$"
)
_TEST_FOLDER = re.compile(
    r"/([\w.-]*[._-])?(tests?|specs?|testing|e2e)([._-](apps?|applications|data|fixtures|helpers|suites?|utils))?/"
    r"|/_*(tests?|specs?|fixtures?|mocks?|benches|benchmarks?|playgrounds?|cypress|testdata)_*/"
)
# Whatever it finds holds `test` or `spec`, as few names do.
_TEST_NAME = re.compile(
    r"^(tests?\.\w+|test_[^/]*|conftest\.py)$|\.\w*(test|spec)s?\.\w+$|[_-](test|spec)\.\w+$|_tests\.py$"
    r"|Tests?\.(java|kt|cs|swift|scala)$"
)


def language(path: str) -> str | None:
    """By file name; None for what is no programming, style, markup or query language."""
    name = path.rpartition("/")[2].lower()
    return _BY_NAME.get(name) or _LANGUAGE.get(name.rpartition(".")[2] if "." in name else "")


@lru_cache(maxsize=65536)
def kind(path: str) -> Kind:
    """The first that fits: a lock below `vendor/` is a lock, a vendored library below `tests/` is a test's."""
    folder, _, name = path.rpartition("/")
    lowered = name.lower()
    extension = lowered.rpartition(".")[2] if "." in lowered else ""
    if _BY_WHOLE_NAME.get(lowered) == "lock":
        return "lock"
    test, generated = _holds(folder)
    if extension in _LANGUAGE and (test or _names_test(name, lowered)):
        return "test"
    if generated or _GENERATED_NAME.search(lowered):
        return "generated"
    if extension in _LANGUAGE:
        return "source"
    if lowered in _BY_NAME or lowered.startswith("."):
        return "config"
    return _BY_WHOLE_NAME.get(lowered.partition(".")[0]) or _BY_EXTENSION.get(extension, "other")


@lru_cache(maxsize=4096)
def _holds(folder: str) -> tuple[bool, bool]:
    """Whether tests lie in it, and whether what is generated does. A change has fewer folders than files."""
    closed = f"/{folder}/"
    return _TEST_FOLDER.search(closed) is not None, _GENERATED_FOLDER.search(closed.lower()) is not None


def _names_test(name: str, lowered: str) -> bool:
    return ("test" in lowered or "spec" in lowered) and _TEST_NAME.search(name) is not None
