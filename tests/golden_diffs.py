"""Changes written for the purpose, as git writes them, with what is to be read in them and what kind they are."""

from typing import NamedTuple


class Golden(NamedTuple):
    """`files`: path, old path, status, lines added, lines deleted, hunks, binary."""

    name: str
    title: str
    category: str
    languages: dict[str, int]
    files: tuple[tuple[str, str | None, str, int, int, int, bool], ...]
    diff: str


GOLDEN = (
    Golden(
        "a missing guard",
        "fix: checkout crashes when the cart has no address",
        "bug-fix",
        {"python": 2},
        (
            ("shop/checkout.py", None, "M", 3, 1, 1, False),
            ("tests/test_checkout.py", None, "M", 4, 0, 1, False),
        ),
        """\
diff --git a/shop/checkout.py b/shop/checkout.py
index 3f1c2aa..91b7d04 100644
--- a/shop/checkout.py
+++ b/shop/checkout.py
@@ -14,6 +14,8 @@ class Checkout:
     def ship_to(self, cart):
         self.log("shipping")
-        return cart.address.lines()
+        if cart.address is None:
+            raise MissingAddress(cart.id)
+        return cart.address.lines()

     def total(self, cart):
         return sum(line.price for line in cart.lines)
diff --git a/tests/test_checkout.py b/tests/test_checkout.py
index 0a11b22..5c6d7e8 100644
--- a/tests/test_checkout.py
+++ b/tests/test_checkout.py
@@ -30,3 +30,7 @@ def test_total():
     cart = Cart(lines=[Line(2), Line(3)])
     assert Checkout().total(cart) == 5

+
+def test_a_cart_without_address_is_refused():
+    with pytest.raises(MissingAddress):
+        Checkout().ship_to(Cart())
""",
    ),
    Golden(
        "a cache in a hot path",
        "perf: cache parsed templates and avoid cloning the buffer",
        "performance",
        {"rust": 1},
        (("src/render/template.rs", None, "M", 6, 3, 2, False),),
        """\
diff --git a/src/render/template.rs b/src/render/template.rs
index 77aa001..88bb002 100644
--- a/src/render/template.rs
+++ b/src/render/template.rs
@@ -1,4 +1,5 @@
 use crate::ast::Node;
+use std::collections::HashMap;
 use std::io::Write;

 pub struct Renderer {
@@ -20,9 +21,11 @@ impl Renderer {
     pub fn render(&mut self, name: &str, out: &mut impl Write) -> Result<()> {
-        let source = self.sources[name].clone();
-        let nodes = parse(&source)?;
-        self.write(nodes, out)
+        if !self.cache.contains_key(name) {
+            let parsed = parse(&self.sources[name])?;
+            self.cache.insert(name.to_owned(), parsed);
+        }
+        self.write(&self.cache[name], out)
     }

     fn depth(&self) -> usize {
         self.depth
     }
""",
    ),
    Golden(
        "a helper moved and renamed",
        "refactor: move name formatting into its own module",
        "refactor",
        {"typescript": 2},
        (
            ("src/format/names.ts", "src/util/format.ts", "R", 1, 1, 1, False),
            ("src/user/card.ts", None, "M", 1, 1, 1, False),
        ),
        """\
diff --git a/src/util/format.ts b/src/format/names.ts
similarity index 92%
rename from src/util/format.ts
rename to src/format/names.ts
index 1234567..89abcde 100644
--- a/src/util/format.ts
+++ b/src/format/names.ts
@@ -3,5 +3,5 @@ import { Person } from '../person';

-export function format(person: Person): string {
+export function displayName(person: Person): string {
   return `${person.first} ${person.last}`;
 }

diff --git a/src/user/card.ts b/src/user/card.ts
index aaaaaaa..bbbbbbb 100644
--- a/src/user/card.ts
+++ b/src/user/card.ts
@@ -1,3 +1,3 @@
-import { format } from '../util/format';
+import { displayName } from '../format/names';
 import { Card } from './base';

""",
    ),
    Golden(
        "files of every other kind",
        "chore: new logo, executable script, no newline at the end",
        "",
        {"shell": 1, "sql": 1},
        (
            ("assets/logo.png", None, "M", 0, 0, 0, True),
            ("bin/release.sh", None, "M", 0, 0, 0, False),
            ("db/0002_drop.sql", None, "D", 0, 2, 1, False),
            ("docs/größe.md", None, "A", 1, 0, 1, False),
        ),
        """\
diff --git a/assets/logo.png b/assets/logo.png
index 1111111..2222222 100644
Binary files a/assets/logo.png and b/assets/logo.png differ
diff --git a/bin/release.sh b/bin/release.sh
old mode 100644
new mode 100755
diff --git a/db/0002_drop.sql b/db/0002_drop.sql
deleted file mode 100644
index 3333333..0000000
--- a/db/0002_drop.sql
+++ /dev/null
@@ -1,2 +0,0 @@
-drop table carts;
-drop table lines;
diff --git "a/docs/gr\\303\\266\\303\\237e.md" "b/docs/gr\\303\\266\\303\\237e.md"
new file mode 100644
index 0000000..4444444
--- /dev/null
+++ "b/docs/gr\\303\\266\\303\\237e.md"
@@ -0,0 +1 @@
+Wie groß?
\\ No newline at end of file
""",
    ),
    Golden(
        "a merge, against its first parent",
        "Merge branch 'retries'",
        "",
        {"go": 1},
        (("client/retry.go", None, "M", 2, 1, 1, False),),
        """\
diff --cc client/retry.go
index 1111111,2222222..3333333
--- a/client/retry.go
+++ b/client/retry.go
@@@ -5,3 -5,3 +5,4 @@@ func attempts(n int) int
  func wait(n int) time.Duration {
- 	return time.Second
 -	return time.Minute
++	base := time.Second
++	return base << n
  }
""",
    ),
    Golden(
        "a plain diff with Windows line ends in one file",
        "fix: wrong rounding",
        "",
        {"csharp": 1},
        (("Billing/Tax.cs", None, "M", 1, 1, 1, False),),
        "--- a/Billing/Tax.cs\t2026-01-05 10:00:00\n+++ b/Billing/Tax.cs\t2026-01-05 10:01:00\n@@ -7,3 +7,3 @@\n"
        " decimal Tax(decimal net) {\r\n-  return net * 0.19m;\r\n+  return Math.Round(net * 0.19m, 2);\r\n }\r\n",
    ),
)
