"""A path says what kind of file it names, and in which language."""

import pytest

from shared.files import kind, language


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("src/app.py", "source"),
        ("core/src/lib.rs", "source"),
        ("db/migrations/001_create.sql", "source"),
        ("src/contest/latest.ts", "source"),
        ("src/rules/no_focused_tests.rs", "source"),
        ("src/latest/Spectrum.kt", "source"),
        ("dist.py", "source"),
        ("tests/unit/test_app.py", "test"),
        ("test_app.py", "test"),
        ("conftest.py", "test"),
        ("src/app.Specs.ts", "source"),
        ("__mocks__/api.ts", "test"),
        ("my-e2e_data/page.ts", "test"),
        ("pkg/server_test.go", "test"),
        ("web/Button.spec.tsx", "test"),
        ("src/__tests__/helper.ts", "test"),
        ("packages/e2e-tests/app/page.tsx", "test"),
        ("src/main/FooTest.java", "test"),
        ("tests/fixtures/node_modules/dep/index.js", "test"),
        ("README.md", "docs"),
        ("LICENSE", "docs"),
        ("docs/guide.rst", "docs"),
        ("pnpm-lock.yaml", "lock"),
        ("vendor/x/Cargo.lock", "lock"),
        ("web/dist/app.js", "generated"),
        ("Dist/test.txt", "generated"),
        ("web/app.min.js", "generated"),
        ("api/service_pb2.py", "generated"),
        ("src/schema.generated.ts", "generated"),
        ("src/__snapshots__/a.snap", "generated"),
        ("package.json", "config"),
        (".github/workflows/ci.yml", "config"),
        (".gitignore", "config"),
        ("Makefile", "config"),
        ("logo.png", "other"),
        ("no_extension", "other"),
    ],
)
def test_kind(path: str, expected: str) -> None:
    assert kind(path) == expected


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("a/b.py", "python"),
        ("a/B.TSX", "typescript"),
        ("x.hpp", "cpp"),
        ("build/Dockerfile", "docker"),
        ("go", None),
        ("a.rs/readme", None),
        ("x.md", None),
    ],
)
def test_language(path: str, expected: str | None) -> None:
    assert language(path) == expected
